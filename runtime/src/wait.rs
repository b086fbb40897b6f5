//! How a client waits for an answer: it looks, lets others run, then sleeps.

use parking_lot::Mutex;
use spsc::Doorbell;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Look again at once, so many times: an answer that needs no I/O comes within a microsecond.
const SPINS: u32 = 64;
/// Then let others run between looks, for so long: longer than a fast device's flush.
const YIELD: Duration = Duration::from_micros(500);

/// A client's doorbell. It wakes whichever thread uses the client when it sleeps.
#[derive(Debug)]
pub(crate) struct Bell {
    doorbell: Arc<Doorbell>,
    sleeper: Arc<Mutex<Option<Thread>>>,
}

impl Bell {
    pub(crate) fn new() -> Arc<Bell> {
        let sleeper: Arc<Mutex<Option<Thread>>> = Arc::default();
        let woken = Arc::clone(&sleeper);
        // The lock is taken only when the client sleeps: once a sleep on either side.
        let doorbell = Doorbell::new(move || {
            if let Some(thread) = woken.lock().as_ref() {
                thread.unpark();
            }
        });
        Arc::new(Bell { doorbell: Arc::new(doorbell), sleeper })
    }

    pub(crate) fn doorbell(&self) -> Arc<Doorbell> {
        Arc::clone(&self.doorbell)
    }

    fn sleep(&self, has_input: impl Fn() -> bool) {
        *self.sleeper.lock() = Some(std::thread::current());
        self.doorbell.prepare_park();
        if !has_input() {
            std::thread::park();
        }
        self.doorbell.cancel_park();
    }
}

/// One wait's patience.
#[derive(Debug)]
pub(crate) struct Patience {
    looks: u32,
    since: Option<Instant>,
}

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience { looks: 0, since: None }
    }

    /// Lets others run, without sleeping: for room in a queue, of which nobody tells.
    pub(crate) fn rest_awake(&mut self) {
        if self.looks < SPINS {
            self.looks += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }

    /// Rests a little longer each time; `has_input` is asked once more before sleeping.
    pub(crate) fn rest(&mut self, bell: &Bell, has_input: impl Fn() -> bool) {
        if self.looks < SPINS {
            self.looks += 1;
            std::hint::spin_loop();
        } else if self.since.get_or_insert_with(Instant::now).elapsed() < YIELD {
            std::thread::yield_now();
        } else {
            bell.sleep(has_input);
        }
    }
}
