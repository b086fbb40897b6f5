//! Waking a thread that waits in [`IoBackend::wait`](crate::IoBackend::wait).
//!
//! What must stay true: a wake that happens before `wait` returns is seen by
//! that `wait` or makes the next one return, and whatever the waking thread
//! wrote before it is visible to the woken one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

#[cfg(target_os = "linux")]
pub(crate) use event::EventWaker;

/// Makes a current or the next [`wait`](crate::IoBackend::wait) return.
#[derive(Clone)]
pub struct Waker(Inner);

#[derive(Clone)]
enum Inner {
    Parked(Arc<Bell>),
    #[cfg(target_os = "linux")]
    Event(Arc<EventWaker>),
}

impl Waker {
    /// Wakes the waiting thread. From a ring's waker that costs one atomic
    /// exchange while nobody waits; wakes before the next wait add up to one.
    pub fn wake(&self) {
        match &self.0 {
            Inner::Parked(bell) => bell.ring(),
            #[cfg(target_os = "linux")]
            Inner::Event(event) => event.wake(),
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn from_event(event: Arc<EventWaker>) -> Self {
        Self(Inner::Event(event))
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// A place to sleep for backends without a descriptor to wait on: the
/// synchronous one, and fakes.
#[derive(Debug, Default)]
pub struct Parker(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    state: Mutex<BellState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BellState {
    rung: bool,
    /// Somebody sleeps: without this every ring would make a system call.
    asleep: bool,
}

impl Bell {
    fn ring(&self) {
        let mut state = self.state.lock();
        state.rung = true;
        if state.asleep {
            self.changed.notify_one();
        }
    }
}

impl Parker {
    /// A parker that nobody has woken.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that wakes this parker.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Inner::Parked(Arc::clone(&self.0)))
    }

    /// Sleeps until woken, or until `timeout` has passed (`None`: never).
    /// Returns at once if a wake came since the last call. Uses the wake up.
    pub fn park(&mut self, timeout: Option<Duration>) {
        let mut state = self.0.state.lock();
        state.asleep = true;
        let changed = &self.0.changed;
        let silent = |state: &mut BellState| !state.rung;
        match timeout {
            None => changed.wait_while(&mut state, silent),
            Some(timeout) => {
                changed.wait_while_for(&mut state, silent, timeout);
            }
        }
        *state = BellState::default();
    }

    /// Uses up a wake that came, without sleeping, and says whether there was one.
    pub(crate) fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.0.state.lock().rung)
    }

    /// Uses up a wake that came, without sleeping.
    pub fn clear(&mut self) {
        self.0.state.lock().rung = false;
    }
}

#[cfg(target_os = "linux")]
mod event {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::{AsRawFd, RawFd};
    use std::sync::atomic::{AtomicU32, Ordering};

    use crate::sys;

    /// Nobody waits, nobody woke.
    const IDLE: u32 = 0;
    /// The owner is in, or on its way into, the kernel.
    const WAITING: u32 = 1;
    /// Somebody woke since the owner last looked.
    const WOKEN: u32 = 2;

    /// A wake-up flag with an eventfd behind it, which is written only while
    /// the owner waits: a wake of a running shard makes no system call.
    pub(crate) struct EventWaker {
        state: AtomicU32,
        event: File,
    }

    impl EventWaker {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self { state: AtomicU32::new(IDLE), event: sys::eventfd()? })
        }

        pub(crate) fn fd(&self) -> RawFd {
            self.event.as_raw_fd()
        }

        pub(super) fn wake(&self) {
            // An exchange also when it is WOKEN already: the owner's next
            // exchange must see this thread's writes, not only the first waker's.
            if self.state.swap(WOKEN, Ordering::AcqRel) == WAITING {
                // Fails only when the counter is at its maximum, that is, readable.
                let _ = (&self.event).write(&1u64.to_ne_bytes());
            }
        }

        /// Owner: announces a wait. False if a wake came; do not block then.
        pub(crate) fn begin_wait(&self) -> bool {
            let begun = self.state.compare_exchange(IDLE, WAITING, Ordering::AcqRel, Ordering::Acquire);
            begun != Err(WOKEN)
        }

        /// Owner: ends a wait and uses up a wake that came.
        pub(crate) fn end_wait(&self) {
            self.state.swap(IDLE, Ordering::AcqRel);
        }

        /// Owner: makes the eventfd unreadable again.
        pub(crate) fn reset(&self) {
            // Fails only when there is nothing to read, which is what is wanted.
            let _ = (&self.event).read(&mut [0; 8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_before_parking_is_kept_and_used_once() {
        let mut parker = Parker::new();
        parker.waker().wake();
        parker.waker().wake();
        parker.park(None); // returns: a wake is kept
        parker.waker().wake();
        parker.clear();
        assert!(!parker.0.state.lock().rung);
        parker.park(Some(Duration::ZERO)); // returns: the time is over
    }
}
