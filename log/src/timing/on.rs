//! With the feature: what is observed, and what comes of it.

use super::clock::{self, now};
use super::{Awaits, SAMPLE_EVERY, SPAN_REQUESTS, Stage, StageTime, Step};

/// Bytes of a stamp in a request.
pub const STAMP_BYTES: usize = 8;

/// Writes the time at which a request is sent into its [`STAMP_BYTES`].
#[inline]
pub fn stamp(out: &mut [u8]) {
    out.copy_from_slice(&now().to_le_bytes());
}

/// Observes one shard and its log. Times are nanoseconds of a clock of the process.
#[derive(Debug)]
pub struct Stages {
    started: u64,
    /// What one reading of the clock takes.
    clock_ns: u64,
    /// The end of the last step that was observed in this turn.
    last: Option<u64>,
    span: Span,
    spans: u64,
    /// Requests of the open frame.
    open: FrameStages,
    /// Requests that wait for the publishing of replies.
    awaiting: Waiting,
    closing: u64,
    /// Whether the backend is polled with anything in flight, and with operations that it has yet to hand to the system.
    polls: bool,
    hands_over: bool,
    /// Operations in flight after the last poll: if there are more before the next one, they were submitted since.
    left_in_flight: usize,
    /// When the last completions were seen.
    seen: u64,
    latency: [StageTime; Stage::ALL.len()],
    /// Time of spans, as requests saw it.
    spans_ns: u64,
    busy_ns: [u64; Step::ALL.len()],
    /// Of sampled spans: draining, applying, sealing.
    sampled_ns: [u64; 3],
}

/// Requests, and when they began to wait, as a sum. It wraps, and so do all sums with it: what is taken from them at last is a sum
/// of durations, which fits.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    requests: u64,
    since: u64,
}

impl Waiting {
    fn add(&mut self, requests: u64, since: u64) {
        self.requests += requests;
        self.since = self.since.wrapping_add(requests.wrapping_mul(since));
    }

    /// What they have waited at a time, all together.
    fn until(&self, at: u64) -> u64 {
        self.requests.wrapping_mul(at).wrapping_sub(self.since)
    }
}

/// What is known of a frame: who waits for it, and how far it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameStages {
    filled: Waiting,
    closing: u64,
    closed: u64,
}

/// Requests that were taken since the clock was read.
#[derive(Debug)]
struct Span {
    active: bool,
    sampled: bool,
    began: u64,
    len: usize,
    sent: [u64; SPAN_REQUESTS],
    awaits: [Awaits; SPAN_REQUESTS],
    /// In a sampled span: the end of the part of a request that was timed last, what the draining before it took, and readings of
    /// the clock.
    lap: u64,
    drained: u64,
    readings: u64,
}

impl Span {
    const NONE: Span = Span {
        active: false,
        sampled: false,
        began: 0,
        len: 0,
        sent: [0; SPAN_REQUESTS],
        awaits: [Awaits::Publishing; SPAN_REQUESTS],
        lap: 0,
        drained: 0,
        readings: 0,
    };
}

impl Stages {
    pub(crate) fn new() -> Stages {
        Stages {
            started: now(),
            clock_ns: clock::cost_ns(),
            last: None,
            span: Span::NONE,
            spans: 0,
            open: FrameStages::default(),
            awaiting: Waiting::default(),
            closing: 0,
            polls: false,
            hands_over: false,
            left_in_flight: 0,
            seen: 0,
            latency: Default::default(),
            spans_ns: 0,
            busy_ns: Default::default(),
            sampled_ns: [0; 3],
        }
    }

    /// A turn begins.
    #[inline]
    pub fn turn(&mut self) {
        self.last = None;
    }

    /// A request is looked at.
    #[inline]
    pub fn request(&mut self) {
        if !self.span.active {
            self.begin_span(now());
        } else if self.span.sampled {
            self.span.drained = self.lap(Step::Drain);
        }
    }

    /// It was applied.
    #[inline]
    pub fn applied(&mut self) {
        if self.span.sampled {
            let taken = self.lap(Step::Apply);
            self.latency[Stage::Apply as usize].histogram.add(self.span.drained + taken, 1);
        }
    }

    /// Its records were sealed.
    #[inline]
    pub fn sealed(&mut self) {
        if self.span.sampled {
            let taken = self.lap(Step::Seal);
            self.latency[Stage::Seal as usize].histogram.add(taken, 1);
        }
    }

    /// It was taken; `stamp` is what the client wrote, or nothing if the request is shorter.
    #[inline]
    pub fn taken(&mut self, stamp: &[u8], awaits: Awaits) {
        let Span { began, len, .. } = self.span;
        self.span.sent[len] = stamp.first_chunk().map_or(began, |raw| u64::from_le_bytes(*raw));
        self.span.awaits[len] = awaits;
        self.span.len += 1;
        if self.span.len == SPAN_REQUESTS {
            let end = now();
            self.end_span(end);
            self.begin_span(end);
        }
    }

    /// No more requests are taken in this turn.
    #[inline]
    pub fn drained(&mut self) {
        if self.span.active {
            self.end_span(now());
        }
    }

    /// The open frame is about to be closed, be it amid the requests of a span: the next one begins when it is handed over.
    pub(crate) fn closing(&mut self) {
        self.closing = now();
        if self.span.active {
            self.end_span(self.closing);
            self.span.active = true;
        }
        self.last = Some(self.closing);
    }

    /// It is closed, and about to be handed to the backend.
    pub(crate) fn closed(&mut self) -> FrameStages {
        FrameStages { closing: self.closing, closed: now(), ..std::mem::take(&mut self.open) }
    }

    /// It was handed over.
    pub(crate) fn submitted(&mut self) {
        let end = now();
        self.step(Step::Submit, end);
        if self.span.active {
            self.begin_span(end);
        }
    }

    /// The backend is about to be polled.
    #[inline]
    pub(crate) fn polling(&mut self, in_flight: impl FnOnce() -> usize) {
        let in_flight = in_flight();
        self.polls = in_flight > 0;
        self.hands_over = in_flight > self.left_in_flight;
        if self.polls {
            self.last = Some(now());
        }
    }

    /// The backend was polled. If it found nothing and handed nothing over, that was no work.
    #[inline]
    pub(crate) fn polled(&mut self, in_flight: impl FnOnce() -> usize, completed: bool) {
        self.left_in_flight = in_flight();
        if !self.polls {
            return;
        }
        self.seen = now();
        if self.hands_over {
            self.step(Step::Submit, self.seen);
        } else if completed {
            self.step(Step::Reap, self.seen);
        }
        self.last = Some(self.seen);
    }

    /// A frame is settled.
    #[inline]
    pub(crate) fn settled(&mut self, frame: FrameStages) {
        let FrameStages { filled, closing, closed } = frame;
        let requests = filled.requests;
        if requests == 0 {
            return;
        }
        let fill = filled.until(closing);
        self.add(Stage::Fill, requests, fill, fill / requests);
        self.add_equal(Stage::Submit, requests, closed - closing);
        self.add_equal(Stage::Device, requests, self.seen - closed);
        self.awaiting.add(requests, self.seen);
    }

    /// Completions were taken in, or there were none.
    #[inline]
    pub(crate) fn reaped(&mut self, completed: bool) {
        if completed {
            self.step(Step::Reap, now());
        }
    }

    /// What is staged is about to be published. Read now, so that no client can have its reply before its stages end.
    #[inline]
    pub fn publishing(&mut self, staged: bool) {
        let awaiting = std::mem::take(&mut self.awaiting);
        if !staged {
            return;
        }
        let end = now();
        self.step(Step::Answer, end);
        if awaiting.requests > 0 {
            let total = awaiting.until(end);
            self.add(Stage::Answer, awaiting.requests, total, total / awaiting.requests);
        }
    }

    /// It was published, or nothing was staged.
    #[inline]
    pub fn published(&mut self, staged: bool) {
        if staged {
            self.step(Step::Answer, now());
        }
    }

    /// Reads were begun or handed out, or there were none.
    #[inline]
    pub fn read(&mut self, worked: bool) {
        if worked {
            self.step(Step::Read, now());
        }
    }

    fn begin_span(&mut self, began: u64) {
        let sampled = self.spans.is_multiple_of(SAMPLE_EVERY);
        self.spans += 1;
        let span = &mut self.span;
        (span.active, span.sampled) = (true, sampled);
        (span.began, span.lap) = (began, began);
        (span.len, span.drained, span.readings) = (0, 0, 0);
    }

    fn end_span(&mut self, end: u64) {
        self.last = Some(end);
        (self.span.active, self.span.sampled) = (false, false);
        let Span { began, len, readings, .. } = self.span;
        if len == 0 {
            // A request that there was no room for: that was no work.
            return;
        }
        // The reading that ends it is in the span as well.
        self.busy_ns[Step::Drain as usize] += (end - began).saturating_sub((readings + 1) * self.clock_ns);
        let each = (end - began) / len as u64;
        let mut at = began;
        for request in 0..len {
            // Its share of the span begins where it should, but not before it was sent.
            let sent = self.span.sent[request].min(end);
            let taken = at.max(sent);
            at += each;
            let sealed = at.max(taken);
            self.add_equal(Stage::Queue, 1, taken - sent);
            self.spans_ns += sealed - taken;
            match self.span.awaits[request] {
                Awaits::OpenFrame => self.open.filled.add(1, sealed),
                Awaits::Publishing => self.awaiting.add(1, sealed),
                Awaits::OlderFrame => {}
            }
        }
    }

    /// The end of a part of a request, in a sampled span; returns what it took.
    fn lap(&mut self, part: Step) -> u64 {
        let end = now();
        let taken = (end - self.span.lap).saturating_sub(self.clock_ns);
        self.sampled_ns[part as usize] += taken;
        self.span.lap = end;
        self.span.readings += 1;
        taken
    }

    /// The end of a step that began with the end of the one before.
    #[inline]
    fn step(&mut self, step: Step, end: u64) {
        let began = self.last.replace(end).unwrap_or(end);
        self.busy_ns[step as usize] += (end - began).saturating_sub(self.clock_ns);
    }

    #[inline]
    fn add(&mut self, stage: Stage, requests: u64, total_ns: u64, each_ns: u64) {
        let time = &mut self.latency[stage as usize];
        time.requests += requests;
        time.total_ns += total_ns;
        time.histogram.add(each_ns, requests);
    }

    #[inline]
    fn add_equal(&mut self, stage: Stage, requests: u64, each_ns: u64) {
        self.add(stage, requests, requests * each_ns, each_ns);
    }

    pub(crate) fn stats(&self) -> Option<StageStats> {
        let mut stats = StageStats { latency: self.latency, busy_ns: self.busy_ns, wall_ns: now() - self.started };
        let [drained, applied, sealed] = self.sampled_ns;
        let sampled = (drained + applied + sealed).max(1);
        let share = |whole: u64, part: u64| (u128::from(whole) * u128::from(part) / u128::from(sampled)) as u64;
        let spans_busy_ns = self.busy_ns[Step::Drain as usize];
        stats.busy_ns[Step::Apply as usize] = share(spans_busy_ns, applied);
        stats.busy_ns[Step::Seal as usize] = share(spans_busy_ns, sealed);
        stats.busy_ns[Step::Drain as usize] -= share(spans_busy_ns, applied) + share(spans_busy_ns, sealed);
        let requests = self.latency[Stage::Queue as usize].requests;
        let seal_ns = share(self.spans_ns, sealed);
        for (stage, total_ns) in [(Stage::Apply, self.spans_ns - seal_ns), (Stage::Seal, seal_ns)] {
            let time = &mut stats.latency[stage as usize];
            (time.requests, time.total_ns) = (requests, total_ns);
        }
        Some(stats)
    }
}

/// Where the time went since the log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageStats {
    latency: [StageTime; Stage::ALL.len()],
    busy_ns: [u64; Step::ALL.len()],
    wall_ns: u64,
}

impl StageStats {
    /// What requests spent in a stage.
    #[must_use]
    pub fn latency(&self, stage: Stage) -> &StageTime {
        &self.latency[stage as usize]
    }

    /// Nanoseconds that the shard's thread was at a step.
    #[must_use]
    pub fn busy_ns(&self, step: Step) -> u64 {
        self.busy_ns[step as usize]
    }

    /// Nanoseconds since the log was opened.
    #[must_use]
    pub fn wall_ns(&self) -> u64 {
        self.wall_ns
    }

    /// Nanoseconds in which it was at no step.
    #[must_use]
    pub fn idle_ns(&self) -> u64 {
        self.wall_ns.saturating_sub(self.busy_ns.iter().sum())
    }
}

#[cfg(test)]
mod tests;
