//! The clock that shards are stepped by.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970 that never go back: the wall clock at the start, and the monotonic one from there on.
/// A step of the wall clock is seen at the next opening.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    unix: u64,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Clock { start: Instant::now(), unix }
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.unix.saturating_add(self.start.elapsed().as_nanos() as u64)
    }
}
