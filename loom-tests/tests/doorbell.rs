//! The doorbell: a consumer that parks is woken, and woken once.
//!
//! A lost wake-up shows as a deadlock, which loom reports.

#![cfg(loom)]

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::{Arc, Notify};
use loom::thread;
use spsc::{Consumer, Doorbell, ring};

/// The consumer's side of a doorbell, and what it sleeps on: a notification is kept until it is
/// waited for, as by an eventfd. (Loom's `park` will not do: an `unpark` that comes late also ends
/// the wait of a `join`.)
struct Sleeper {
    doorbell: Arc<Doorbell>,
    notify: Arc<Notify>,
    /// Wake calls. No part of the model, so it adds no interleavings.
    wakes: std::sync::Arc<AtomicUsize>,
    parks: usize,
}

impl Sleeper {
    fn new() -> Self {
        let notify = Arc::new(Notify::new());
        let wakes = std::sync::Arc::new(AtomicUsize::new(0));
        let (to_notify, count) = (Arc::clone(&notify), std::sync::Arc::clone(&wakes));
        let doorbell = Arc::new(Doorbell::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            to_notify.notify();
        }));
        Self { doorbell, notify, wakes, parks: 0 }
    }

    /// Sleeps until there is an item in one of `rings`.
    fn wait_for(&mut self, rings: &[Consumer<u32>]) {
        while rings.iter().all(Consumer::is_empty) {
            self.doorbell.prepare_park();
            self.parks += 1;
            if rings.iter().all(Consumer::is_empty) {
                self.notify.wait();
            }
            self.doorbell.cancel_park();
        }
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }
}

#[test]
fn a_parked_consumer_is_woken() {
    loom::model(|| {
        let mut sleeper = Sleeper::new();
        let doorbell = Arc::clone(&sleeper.doorbell);
        let (mut tx, rx) = ring(2);
        let producer = thread::spawn(move || {
            for number in 0..2 {
                tx.try_push(number).unwrap();
                doorbell.ring();
            }
        });
        let mut rings = [rx];
        for number in 0..2 {
            sleeper.wait_for(&rings);
            assert_eq!(rings[0].pop(), Some(number));
        }
        producer.join().unwrap();
        assert!(sleeper.wakes() <= sleeper.parks);
    });
}

#[test]
fn a_consumer_of_two_rings_is_woken_by_either() {
    // Three threads have too many interleavings to try all; bugs of this kind need few preemptions.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let mut sleeper = Sleeper::new();
        let (ends, mut rings): (Vec<_>, Vec<_>) = (0..2).map(|_| ring(1)).unzip();
        let spawn = |mut tx: spsc::Producer<u32>| {
            let doorbell = Arc::clone(&sleeper.doorbell);
            thread::spawn(move || {
                tx.try_push(7).unwrap();
                doorbell.ring();
            })
        };
        let producers: Vec<_> = ends.into_iter().map(spawn).collect();
        for _ in 0..2 {
            sleeper.wait_for(&rings);
            assert_eq!(rings.iter_mut().find_map(Consumer::pop), Some(7));
        }
        for producer in producers {
            producer.join().unwrap();
        }
        assert!(sleeper.wakes() <= sleeper.parks);
    });
}

#[test]
fn a_park_is_worth_exactly_one_wake() {
    loom::model(|| {
        let sleeper = Sleeper::new();
        sleeper.doorbell.prepare_park();
        let spawn = |_| {
            let doorbell = Arc::clone(&sleeper.doorbell);
            thread::spawn(move || doorbell.ring())
        };
        let producers: Vec<_> = (0..2).map(spawn).collect();
        for producer in producers {
            producer.join().unwrap();
        }
        assert!(sleeper.doorbell.cancel_park());
        assert_eq!(sleeper.wakes(), 1);
    });
}

/// What the consumer learns from cancelling agrees with whether it was, or is about to be, woken.
#[test]
fn cancelling_tells_whether_a_wake_was_spent() {
    loom::model(|| {
        let sleeper = Sleeper::new();
        let doorbell = Arc::clone(&sleeper.doorbell);
        let producer = thread::spawn(move || doorbell.ring());
        sleeper.doorbell.prepare_park();
        let rung = sleeper.doorbell.cancel_park();
        producer.join().unwrap();
        assert_eq!(sleeper.wakes(), usize::from(rung));
    });
}
