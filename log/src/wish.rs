//! What records ask of the frame that they lie in, and what is at stake while frames are not flushed.
//!
//! Most records ask that their frame leave as soon as it is worth a write, and be flushed. They say nothing: only the others
//! are counted, so that the common case costs nothing.

/// When the open frame is to leave. The earliest that anybody asks for holds; in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leave {
    /// At the end of the turn, be it small and others in flight.
    Now,
    /// As soon as it is worth a write: the shard's grouping says when.
    Grouped,
    /// The same, but not before this time unless it is large.
    At(u64),
    /// Nobody asks: with the next frame that somebody asks for, or when it is full.
    Never,
}

/// What the records of one append ask for, where it is not a flush as soon as the grouping has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To be flushed; the answer waits for it.
    Flushed(Leave),
    /// To be written, for which the answer waits; and to be flushed by a time, or as soon as so many such records are
    /// written and not flushed.
    Written {
        /// The time.
        flush_by: u64,
        /// How many.
        records: u32,
    },
    /// Nothing: they are answered already.
    Nothing,
}

/// The wishes of an open frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    /// Records that came with a wish of their own; all others ask for a flush, and to leave when grouped.
    noted: u32,
    /// Those among them that ask for nothing.
    kept: u32,
    /// Somebody waits until the frame is flushed.
    flushed: bool,
    /// Only a durable mark does, which the frame is to carry.
    for_mark: bool,
    leave: Leave,
    pub(crate) stake: Stake,
}

impl Wishes {
    pub(crate) const NONE: Wishes =
        Wishes { noted: 0, kept: 0, flushed: false, for_mark: false, leave: Leave::Never, stake: Stake::NONE };

    /// Notes what `records` that were just appended ask for.
    pub(crate) fn note(&mut self, records: u32, wish: Wish, now: u64) {
        self.noted += records;
        match wish {
            Wish::Flushed(leave) => self.wait_flushed(leave),
            Wish::Written { flush_by, records: limit } => {
                self.wait_written();
                self.stake.written += u64::from(records);
                self.stake.flush_by = self.stake.flush_by.min(flush_by);
                self.stake.limit = self.stake.limit.min(limit);
            }
            Wish::Nothing => {
                self.kept += records;
                self.stake.answered(u64::from(records), now);
            }
        }
    }

    /// Somebody waits until the frame is flushed.
    pub(crate) fn wait_flushed(&mut self, leave: Leave) {
        self.flushed = true;
        self.leave = self.leave.min(leave);
    }

    /// Somebody waits until the frame is written.
    pub(crate) fn wait_written(&mut self) {
        self.leave = self.leave.min(Leave::Grouped);
    }

    /// The frame is to carry a durable mark, for which it must be flushed.
    pub(crate) fn carry_mark(&mut self) {
        self.flushed = true;
        self.for_mark = true;
    }

    /// Whether a frame of so many records is to be flushed as it is written.
    pub(crate) fn want_flush(&self, records: u32) -> bool {
        records > self.noted || self.flushed
    }

    /// Whether anybody is promised that the frame survives a loss of power, now or later.
    pub(crate) fn promise(&self, records: u32) -> bool {
        records > self.kept || self.flushed && !self.for_mark
    }

    /// When a frame of so many records is to leave.
    #[inline]
    pub(crate) fn leave(&self, records: u32) -> Leave {
        if records > self.noted { self.leave.min(Leave::Grouped) } else { self.leave }
    }
}

/// Answered records that a loss of power would take, and when a flush is due for their sake: of a frame, or of all frames of a
/// segment that are written and that no flush covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stake {
    /// How many are answered.
    pub(crate) records: u64,
    /// When the oldest was.
    pub(crate) since: u64,
    /// Records that are answered as soon as they are written; then, how many of those were.
    pub(crate) written: u64,
    flush_by: u64,
    limit: u32,
}

impl Stake {
    pub(crate) const NONE: Stake =
        Stake { records: 0, since: u64::MAX, written: 0, flush_by: u64::MAX, limit: u32::MAX };

    fn answered(&mut self, records: u64, now: u64) {
        self.records += records;
        self.since = self.since.min(now);
    }

    /// Takes in a frame that was written and not flushed.
    pub(crate) fn add_written(&mut self, frame: &Stake, now: u64) {
        self.records += frame.records;
        self.since = self.since.min(frame.since);
        if frame.written > 0 {
            self.answered(frame.written, now);
        }
        self.written += frame.written;
        self.flush_by = self.flush_by.min(frame.flush_by);
        self.limit = self.limit.min(frame.limit);
    }

    /// When a flush is due for those that are written; [`u64::MAX`] if none is.
    pub(crate) fn flush_at(&self) -> u64 {
        if self.written >= u64::from(self.limit) { 0 } else { self.flush_by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_wish_of_a_frame_holds() {
        let mut wishes = Wishes::NONE;
        assert_eq!(wishes.leave(0), Leave::Never);
        wishes.note(3, Wish::Nothing, 0);
        assert_eq!((wishes.leave(3), wishes.want_flush(3), wishes.promise(3)), (Leave::Never, false, false));
        wishes.note(1, Wish::Flushed(Leave::At(90)), 0);
        wishes.note(1, Wish::Flushed(Leave::At(70)), 0);
        assert_eq!((wishes.leave(5), wishes.want_flush(5), wishes.promise(5)), (Leave::At(70), true, true));
        assert_eq!(wishes.leave(6), Leave::Grouped, "one that said nothing");
        wishes.note(1, Wish::Flushed(Leave::Now), 0);
        assert_eq!(wishes.leave(7), Leave::Now);
    }

    #[test]
    fn a_flush_is_due_by_the_nearest_time_or_the_smallest_number() {
        let mut frame = Wishes::NONE;
        frame.note(2, Wish::Written { flush_by: 500, records: 9 }, 0);
        frame.note(2, Wish::Written { flush_by: 400, records: 6 }, 0);
        assert_eq!((frame.leave(4), frame.want_flush(4), frame.promise(4)), (Leave::Grouped, false, true));
        let mut all = Stake::NONE;
        assert_eq!(all.flush_at(), u64::MAX);
        all.add_written(&frame.stake, 30);
        assert_eq!((all.flush_at(), all.records, all.since), (400, 4, 30));
        let mut kept = Wishes::NONE;
        kept.note(5, Wish::Nothing, 10);
        all.add_written(&kept.stake, 40);
        assert_eq!((all.flush_at(), all.records, all.since), (400, 9, 10), "kept records ask for no flush");
        all.add_written(&frame.stake, 50);
        assert_eq!(all.flush_at(), 0);
    }

    #[test]
    fn a_frame_that_leaves_for_a_mark_promises_its_records_nothing() {
        let mut wishes = Wishes::NONE;
        wishes.note(1, Wish::Nothing, 0);
        wishes.carry_mark();
        assert!(wishes.want_flush(1) && !wishes.promise(1));
        wishes.wait_flushed(Leave::Grouped);
        assert!(!wishes.promise(1), "for the mark all the same");
    }
}
