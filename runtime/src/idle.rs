//! What a shard's thread does when a turn did nothing.
//!
//! A prototype of this loop on a virtual machine with a virtio disk showed it: a thread that spins while I/O is in flight keeps
//! the kernel's own workers, which complete that I/O, from running on its core: milliseconds instead of 65 µs. Yielding lets
//! them run. A wake-up from sleep costs some 40 µs a round trip, so a short spin comes first where nothing is in flight.

use crate::Waiting;
use shard::Progress;
use std::time::Duration;

/// Spin for so long with nothing in flight: longer than a client needs between an answer and its next request.
const SPIN_NS: u64 = 20_000;
/// Yield for so long with I/O in flight: longer than a fast device's flush. A slow one is slept through.
const YIELD_NS: u64 = 500_000;
/// The same where the thread is to sleep: long enough that a shard which is about to have work does not.
const YIELD_BEFORE_SLEEP_NS: u64 = 10_000;

/// What to do before the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Go on at once.
    None,
    /// A pause instruction.
    Spin,
    /// Let others run on this core.
    Yield,
    /// Sleep until a doorbell, a completion, or the time is over.
    Park(Option<Duration>),
}

/// Decides from what turns reported.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    /// When the idleness began; `None` if the last turn worked.
    since: Option<u64>,
    /// The thread shares its core with others that may have work for it: never spin.
    shared: bool,
    waiting: Waiting,
}

impl Idle {
    pub(crate) fn new(shared: bool, waiting: Waiting) -> Idle {
        Idle { since: None, shared, waiting }
    }

    pub(crate) fn rest(&mut self, progress: Progress, now: u64) -> Rest {
        if progress.worked {
            self.since = None;
            return Rest::None;
        }
        let idle_ns = now.saturating_sub(*self.since.get_or_insert(now));
        let timeout = progress.wake_at.map(|at| Duration::from_nanos(at.saturating_sub(now)));
        if progress.in_flight {
            let yield_ns = match self.waiting {
                Waiting::Awake => YIELD_NS,
                Waiting::Asleep => YIELD_BEFORE_SLEEP_NS,
            };
            return if idle_ns < yield_ns { Rest::Yield } else { Rest::Park(timeout) };
        }
        if idle_ns < SPIN_NS {
            return if self.shared { Rest::Yield } else { Rest::Spin };
        }
        Rest::Park(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Progress = Progress { worked: false, in_flight: false, blocked: false, wake_at: None };
    const WRITING: Progress = Progress { in_flight: true, ..NOTHING };

    #[test]
    fn spins_briefly_then_sleeps_until_something_is_due() {
        let mut idle = Idle::new(false, Waiting::Awake);
        assert_eq!(idle.rest(NOTHING, 1000), Rest::Spin);
        assert_eq!(idle.rest(NOTHING, 1000 + SPIN_NS), Rest::Park(None));
        let due = Progress { wake_at: Some(1000 + SPIN_NS + 7), ..NOTHING };
        assert_eq!(idle.rest(due, 1000 + SPIN_NS), Rest::Park(Some(Duration::from_nanos(7))));
        let worked = Progress { worked: true, ..NOTHING };
        assert_eq!(idle.rest(worked, 50_000), Rest::None);
        assert_eq!(idle.rest(NOTHING, 60_000), Rest::Spin, "idleness begins anew");
    }

    /// What is due was slept through while an operation that takes long was in flight.
    #[test]
    fn what_is_due_is_not_slept_through_because_of_io() {
        let mut idle = Idle::new(false, Waiting::Asleep);
        let due = Progress { wake_at: Some(50_000), ..WRITING };
        assert_eq!(idle.rest(due, 0), Rest::Yield);
        assert_eq!(idle.rest(due, 20_000), Rest::Park(Some(Duration::from_nanos(30_000))));
    }

    #[test]
    fn never_spins_while_io_is_in_flight_or_the_core_is_shared() {
        let mut idle = Idle::new(false, Waiting::Awake);
        assert_eq!(idle.rest(WRITING, 0), Rest::Yield);
        assert_eq!(idle.rest(WRITING, YIELD_NS - 1), Rest::Yield);
        assert_eq!(idle.rest(WRITING, YIELD_NS), Rest::Park(None));
        assert_eq!(Idle::new(true, Waiting::Awake).rest(NOTHING, 0), Rest::Yield);
    }

    #[test]
    fn who_is_to_sleep_sleeps_through_a_write() {
        let mut idle = Idle::new(false, Waiting::Asleep);
        assert_eq!(idle.rest(WRITING, 0), Rest::Yield);
        assert_eq!(idle.rest(WRITING, YIELD_BEFORE_SLEEP_NS), Rest::Park(None));
    }
}
