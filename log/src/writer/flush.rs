//! Frames that were written without a flush, and the flush that covers them.
//!
//! A flush covers what was written when it was submitted, and nothing later: io_uring orders nothing. One is in flight at a
//! time; what comes meanwhile is left to the next. It is one of the active segment; a segment that was left is flushed by its
//! sealing, and the durable mark passes its end only then.

use super::{Log, token};
use crate::config::LogFailure;
use crate::format::segment::SegmentId;
use crate::limits::SEALING_MAX;
use crate::wish::{Leave, Stake};
use iobackend::{IoBackend, IoError, Op, OpKind};
use planted::Bug;

/// Segments with frames that are not flushed: those that are being sealed, and the active one.
pub(super) const SEGMENTS_UNFLUSHED_MAX: usize = SEALING_MAX + 1;

/// The frames of a segment that are written, and that no flush covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unflushed {
    /// The segment's number.
    segment: u32,
    /// The highest durable mark that one of them carries.
    mark: u64,
    /// Somebody waits for their flush.
    wanted: bool,
    stake: Stake,
}

impl Unflushed {
    fn flush_at(&self) -> u64 {
        let due_at = if planted::is(Bug::BufferedNeverFlushed) { u64::MAX } else { self.stake.flush_at() };
        if self.wanted { 0 } else { due_at }
    }
}

/// The flush in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flushing {
    segment: SegmentId,
    /// After the newest frame that it covers.
    until: u64,
    frames: Unflushed,
}

impl<B: IoBackend> Log<B> {
    /// Somebody waits until a frame is durable: it is flushed as soon as it is written, whatever its records ask for. When the open
    /// one leaves is still theirs to say, if they ask for a flush.
    pub fn want_durable(&mut self, sequence: u64) {
        if sequence < self.durable {
            return;
        }
        if sequence >= self.next_sequence {
            if let Some(open) = &mut self.open
                && !open.wishes.want_flush(open.records)
            {
                open.wishes.wait_flushed(Leave::Grouped);
            }
            return;
        }
        self.promised_until = self.promised_until.max(sequence + 1);
        if sequence >= self.written {
            let frame = self.in_flight.iter_mut().find(|frame| frame.sequence == sequence);
            frame.expect("a frame stays listed until it is written").wanted = true;
        } else if let Some(frames) = self.unflushed.back_mut() {
            frames.wanted = true;
            self.set_flush_at();
        }
    }

    /// Somebody waits until a frame is written: the open one leaves as if its records had asked for it.
    pub fn want_written(&mut self, sequence: u64) {
        if sequence >= self.next_sequence
            && let Some(open) = &mut self.open
        {
            open.wishes.wait_written();
        }
    }

    /// The newest frame that holds anything, if it is not durable: when it is, everything is.
    #[must_use]
    pub fn newest_undurable(&self) -> Option<u64> {
        let until = self.next_sequence + u64::from(self.open_bytes() > 0);
        (until > self.durable).then(|| until - 1)
    }

    /// Everything that is durable is promised to be so: a mark is to vouch for it.
    pub fn promise_durable(&mut self) {
        self.promised_until = self.promised_until.max(self.durable);
    }

    pub(super) fn want_all_durable(&mut self) {
        if let Some(newest) = self.newest_undurable() {
            self.want_durable(newest);
        }
    }

    /// Whether a flush will be due, or is.
    #[inline]
    #[must_use]
    pub fn has_unflushed(&self) -> bool {
        self.flush_at != u64::MAX
    }

    /// When a flush is due, if nothing in flight leads to it.
    #[must_use]
    pub fn flush_due_at(&self) -> Option<u64> {
        (self.has_unflushed() && self.can_flush() && self.failure.is_none()).then_some(self.flush_at)
    }

    /// Nothing to be flushed lies in segments before the active one, and no flush is in flight.
    fn can_flush(&self) -> bool {
        let first = self.unflushed.front();
        self.flushing.is_none() && first.is_some_and(|frames| frames.segment == self.active.header.id.number)
    }

    fn set_flush_at(&mut self) {
        self.flush_at = self.unflushed.back().map_or(u64::MAX, Unflushed::flush_at);
    }

    /// Takes the oldest frame in flight off the list: it is written, and not flushed.
    #[cold]
    pub(super) fn written_plainly(&mut self, now: u64) {
        let Some(frame) = self.in_flight.pop_front() else {
            return;
        };
        let segment = frame.segment.number;
        if self.unflushed.back().is_none_or(|frames| frames.segment != segment) {
            debug_assert!(self.unflushed.len() < SEGMENTS_UNFLUSHED_MAX);
            self.unflushed.push_back(Unflushed { segment, mark: 0, wanted: false, stake: Stake::NONE });
        }
        if let Some(frames) = self.unflushed.back_mut() {
            frames.mark = frames.mark.max(frame.durable_mark);
            frames.wanted |= frame.wanted;
            frames.stake.add_written(&frame.stake, now);
        }
        self.put_at_stake(frame.stake.written);
        self.set_flush_at();
    }

    /// Flushes the active segment, if frames of it are all that is not flushed and no flush is in flight.
    #[cold]
    pub(super) fn begin_flush(&mut self) {
        if !self.can_flush() {
            return;
        }
        let kind = OpKind::Flush { file: self.active.slot };
        if self.backend.submit(Op { token: token::FLUSH, kind }).is_err() {
            return;
        }
        if let Some(frames) = self.unflushed.pop_front() {
            self.flushing = Some(Flushing { segment: self.active.header.id, until: self.written, frames });
        }
        self.stats.flushes += 1;
        self.set_flush_at();
    }

    #[cold]
    pub(super) fn flush_done(&mut self, result: Result<(), IoError>, now: u64) {
        let Some(Flushing { segment, until, frames }) = self.flushing.take() else {
            unreachable!("a flush stays noted until it is done");
        };
        if let Err(source) = result {
            self.fail(LogFailure { doing: "flush frames", segment, source });
        }
        self.made_durable(until, &frames, now);
    }

    /// A segment that was left is flushed; those before it are.
    #[cold]
    pub(super) fn segment_flushed(&mut self, number: u32, next_sequence: u64, now: u64) {
        while let Some(frames) = self.unflushed.pop_front_if(|frames| frames.segment <= number) {
            self.made_durable(next_sequence, &frames, now);
        }
        self.set_flush_at();
    }

    fn made_durable(&mut self, until: u64, frames: &Unflushed, now: u64) {
        if self.failure.is_some() {
            return;
        }
        self.relieve(frames.stake, now);
        if until > self.durable {
            self.durable = until;
            self.durable_at = now;
            self.marked = self.marked.max(frames.mark);
        }
    }

    /// Records were answered that are not flushed.
    pub(super) fn put_at_stake(&mut self, records: u64) {
        self.at_stake += records;
        self.stats.unflushed_records_max = self.stats.unflushed_records_max.max(self.at_stake);
    }

    /// Those that were at stake are flushed.
    #[cold]
    pub(super) fn relieve(&mut self, stake: Stake, now: u64) {
        self.at_stake -= stake.records;
        if stake.records > 0 {
            let unflushed_ns = now.saturating_sub(stake.since);
            self.stats.unflushed_ns_max = self.stats.unflushed_ns_max.max(unflushed_ns);
        }
    }
}
