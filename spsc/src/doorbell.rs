//! Waking a consumer that sleeps, without asking the kernel while it does not.

use std::fmt;

use crossbeam_utils::CachePadded;
use planted::Bug;

use crate::sync::{AtomicBool, Ordering, fence};

/// Wakes a parked consumer; costs a fence and a load while it is awake.
///
/// One consumer parks; any number of producers hold the doorbell (in an `Arc`) and ring it after
/// they publish. How the consumer sleeps is its own matter: the doorbell is given a function that
/// ends that sleep (unpark a thread, write to an eventfd), and calls it only when it must.
///
/// The consumer follows one pattern, and every line of it is needed:
///
/// ```
/// # use std::sync::Arc;
/// # let (mut tx, mut rx) = spsc::ring::<u32>(4);
/// # let consumer = std::thread::current();
/// # let doorbell = Arc::new(spsc::Doorbell::new(move || consumer.unpark()));
/// # let bell = Arc::clone(&doorbell);
/// # let producer = std::thread::spawn(move || { tx.try_push(7).unwrap(); bell.ring(); });
/// let item = loop {
///     if let Some(item) = rx.pop() {
///         break item;
///     }
///     doorbell.prepare_park();
///     // Look again: what was published before `prepare_park` rang for nobody.
///     if rx.is_empty() {
///         std::thread::park();
///     }
///     doorbell.cancel_park();
/// };
/// # assert_eq!(item, 7);
/// # producer.join().unwrap();
/// ```
///
/// A producer that leaves should ring once more after dropping its end of the ring, or a consumer
/// that sleeps does not learn of it.
///
/// # Why no wake-up is lost
///
/// The producer writes the ring and reads the state; the consumer writes the state and reads the
/// ring. Each has a sequentially consistent fence between the two. One of the fences comes first:
/// if the producer's, the consumer's second look finds the item; if the consumer's, the producer
/// finds it parked. `Release` and `Acquire` alone would let both miss.
pub struct Doorbell {
    /// Written by the consumer twice a park and by the producer that wakes it: on a line of its
    /// own, so that ringing an awake consumer reads a line that stays in the ringer's cache.
    parked: CachePadded<AtomicBool>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Doorbell {
    /// A doorbell whose consumer is awake.
    ///
    /// `wake` must end the consumer's sleep, also when it is called just before the sleep begins
    /// (as `Thread::unpark` and an eventfd do). It runs on the thread of the producer that rings.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { parked: CachePadded::new(AtomicBool::new(false)), wake: Box::new(wake) }
    }

    /// Producer: makes sure that the consumer sees what was published before this call.
    ///
    /// Between two calls of [`prepare_park`](Self::prepare_park), the wake function is called at
    /// most once, whatever the number of producers. The fence costs as much as the publishing, so
    /// ring once for a batch.
    #[inline]
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        // Relaxed, here and below: the fences order this with the ring's own positions, and the
        // flag guards no other memory.
        if self.parked.load(Ordering::Relaxed) && !planted::is(Bug::DoorbellLost) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Several producers may find the consumer parked; the one that turns the flag wakes it. An
        // exchange and not a swap: who comes too late writes nothing, and so cannot disturb the
        // next park.
        let turned = self.parked.compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed);
        if turned.is_ok() {
            (self.wake)();
        }
    }

    /// Consumer: announces that it is about to sleep.
    ///
    /// After this call, look at every ring once more. Sleep only if all are empty; in either case
    /// call [`cancel_park`](Self::cancel_park) then.
    pub fn prepare_park(&self) {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Consumer: is awake again, or stays awake.
    ///
    /// Returns whether a producer rang since [`prepare_park`](Self::prepare_park). The wake call
    /// that belongs to it has been made or is just being made, so it may still come after this
    /// returns, and cut the next sleep short: a sleep may end for no reason, as with any wait.
    pub fn cancel_park(&self) -> bool {
        !self.parked.swap(false, Ordering::Relaxed)
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").field("parked", &self.parked.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Doorbell;

    fn counted() -> (Doorbell, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let doorbell = Doorbell::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (doorbell, calls)
    }

    #[test]
    fn an_awake_consumer_is_left_alone() {
        let (doorbell, calls) = counted();
        doorbell.ring();
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn many_rings_wake_a_parked_consumer_once() {
        let (doorbell, calls) = counted();
        for park in 1..=3 {
            doorbell.prepare_park();
            doorbell.ring();
            doorbell.ring();
            assert!(doorbell.cancel_park(), "the ring goes unreported");
            assert_eq!(calls.load(Ordering::Relaxed), park);
        }
    }

    #[test]
    fn a_cancelled_park_wants_no_wake() {
        let (doorbell, calls) = counted();
        doorbell.prepare_park();
        assert!(!doorbell.cancel_park(), "nobody rang");
        doorbell.ring();
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }
}
