//! Where a request's time goes, and where its shard's does. With the cargo feature `timing`; without it everything here is
//! empty, and what calls it costs nothing.
//!
//! [`Stages`] observes: the log and the shard tell it when something begins or ends, and it reads a clock of its own. It
//! decides nothing. A shard still learns the time from whoever steps it, and does the same with the feature as without.
//!
//! Two views come of it. *Latency*: a request is in one [`Stage`] after another, so their totals, over the number of
//! requests, add up to the mean from a client's sending to the shard's publishing of the reply. *Processor time*: a shard's
//! thread is in one [`Step`] or finds nothing to do. Steps are timed by the wall: on a core of its own a thread is never
//! taken off it, and then that is processor time; but the synchronous backend writes while it submits.
//!
//! A reading of the clock costs some 25 ns, about as much as applying a small record. So requests are timed in spans of up to
//! [`SPAN_REQUESTS`], each taken to have had an equal share of its span. Within one, applying and sealing alternate; only
//! one span in [`SAMPLE_EVERY`] is timed request by request, and the proportions found there divide the rest. What the
//! clock itself costs is measured at the start, and not counted as the shard's work.
//!
//! Not staged: a read, once it can begin; and a question for what is in a frame in flight, from when it was applied.

#[cfg(feature = "timing")]
mod clock;
#[cfg(not(feature = "timing"))]
mod off;
#[cfg(feature = "timing")]
mod on;

#[cfg(not(feature = "timing"))]
pub use off::{FrameStages, STAMP_BYTES, StageStats, Stages, stamp};
#[cfg(feature = "timing")]
pub use on::{FrameStages, STAMP_BYTES, StageStats, Stages, stamp};

/// Requests between two readings of the clock at the most: so many share its cost.
pub const SPAN_REQUESTS: usize = 16;
/// One span in so many is timed request by request. A prime, so that no regular load keeps in step with it.
pub const SAMPLE_EVERY: u64 = 17;

/// Where a request is, on its way from the client and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Sent, and not taken by the shard.
    Queue,
    /// Decoded, applied to the kernel, and accounted for.
    Apply,
    /// Its records are copied into the open frame and chained.
    Seal,
    /// In the open frame, while that fills.
    Fill,
    /// In a frame that is being closed: table, checksums.
    Submit,
    /// In a frame that was handed to the backend, until it and all before it are seen to be written.
    Device,
    /// Settled, or in need of no frame, until the reply is published or the read can begin.
    Answer,
}

impl Stage {
    /// All, in the order in which a request goes through them.
    pub const ALL: [Stage; 7] =
        [Stage::Queue, Stage::Apply, Stage::Seal, Stage::Fill, Stage::Submit, Stage::Device, Stage::Answer];

    /// A word for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Queue => "queue",
            Stage::Apply => "apply",
            Stage::Seal => "seal",
            Stage::Fill => "fill",
            Stage::Submit => "submit",
            Stage::Device => "device",
            Stage::Answer => "answer",
        }
    }
}

/// What a shard's thread is at. In none of them it looks for work, or sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Taking requests from the rings, and noting what is owed for them.
    Drain,
    /// Decoding and applying.
    Apply,
    /// Copying into the open frame, and chaining.
    Seal,
    /// Closing frames, and handing operations of all kinds to the system.
    Submit,
    /// Taking completions in, and the work in the background that follows.
    Reap,
    /// Staging and publishing replies, and waking clients.
    Answer,
    /// Beginning reads, and handing out what they brought.
    Read,
}

impl Step {
    /// All, in the order of a turn.
    pub const ALL: [Step; 7] =
        [Step::Drain, Step::Apply, Step::Seal, Step::Submit, Step::Reap, Step::Answer, Step::Read];

    /// A word for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::Drain => "drain",
            Step::Apply => "apply",
            Step::Seal => "seal",
            Step::Submit => "submit",
            Step::Reap => "reap",
            Step::Answer => "answer",
            Step::Read => "read",
        }
    }
}

/// What a request that was taken waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// The open frame.
    OpenFrame,
    /// One that is in flight.
    OlderFrame,
    /// The end of this turn, when replies are published and reads begin.
    Publishing,
}

/// What requests spent in one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTime {
    /// Requests that went through it.
    pub requests: u64,
    /// Nanoseconds, over all of them.
    pub total_ns: u64,
    /// How they are distributed. Of [`Stage::Apply`] and [`Stage::Seal`] the sampled requests only; of [`Stage::Fill`] each
    /// request counts with the mean of its frame.
    pub histogram: Log2Histogram,
}

impl StageTime {
    /// Nanoseconds of a request; 0 if there was none.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.total_ns as f64 / self.requests as f64 }
    }
}

/// The last bucket begins at nine minutes.
const BUCKETS: usize = 40;

/// Durations, counted by the powers of two between which they lie: coarse, of fixed size, and a few instructions a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log2Histogram([u64; BUCKETS]);

impl Default for Log2Histogram {
    fn default() -> Log2Histogram {
        Log2Histogram([0; BUCKETS])
    }
}

impl Log2Histogram {
    /// Counts a duration, so many times.
    #[inline]
    pub fn add(&mut self, duration_ns: u64, times: u64) {
        let bits = (u64::BITS - duration_ns.leading_zeros()) as usize;
        self.0[bits.min(BUCKETS - 1)] += times;
    }

    /// Counts by power of two: the first is of durations of 0 ns, the one at `i` of those from 2^(i-1) to below 2^i.
    #[must_use]
    pub fn buckets(&self) -> &[u64] {
        &self.0
    }

    /// A duration that this share (0 to 1) of all did not exceed: the upper end of a bucket, so up to twice too long. 0 if
    /// nothing was counted.
    #[must_use]
    pub fn quantile_ns_max(&self, share: f64) -> u64 {
        let rank = (self.0.iter().sum::<u64>() as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut below = 0;
        let bucket = self.0.iter().position(|count| {
            below += count;
            below >= rank
        });
        bucket.map_or(0, |bits| (1 << bits) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_upper_ends_of_buckets() {
        let mut histogram = Log2Histogram::default();
        assert_eq!(histogram.quantile_ns_max(0.5), 0);
        histogram.add(0, 1);
        histogram.add(100, 98);
        histogram.add(u64::MAX, 1);
        assert_eq!(histogram.quantile_ns_max(0.01), 0);
        assert_eq!(histogram.quantile_ns_max(0.5), 127);
        assert_eq!(histogram.quantile_ns_max(0.99), 127);
        assert_eq!(histogram.quantile_ns_max(1.0), (1 << (BUCKETS - 1)) - 1);
    }
}
