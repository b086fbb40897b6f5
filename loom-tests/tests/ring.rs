//! The ring for values: order, loss, repetition, full, empty, and who drops what.
//!
//! Loom tries every interleaving and every value that the memory model lets a load return, and
//! fails when an access to a slot is not ordered against another.

#![cfg(loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use spsc::{PushError, ring};

/// Counts its drops. The counter is no part of the model, so it adds no interleavings.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn one_slot_hands_over_every_item_in_order() {
    loom::model(|| {
        let (mut tx, mut rx) = ring(1);
        let producer = thread::spawn(move || {
            for number in 0..3 {
                while tx.try_push(number).is_err() {
                    thread::yield_now();
                }
            }
        });
        for number in 0..3 {
            let item = loop {
                match rx.pop() {
                    Some(item) => break item,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(item, number);
        }
        assert_eq!(rx.pop(), None);
        producer.join().unwrap();
    });
}

/// What was accepted comes out, in order and once; what was refused does not.
#[test]
fn a_full_ring_refuses_and_loses_nothing() {
    loom::model(|| {
        let (mut tx, mut rx) = ring(2);
        let producer = thread::spawn(move || {
            let mut accepted = Vec::new();
            for number in 0..4 {
                match tx.try_push(number) {
                    Ok(()) => accepted.push(number),
                    Err(error) => assert_eq!(error, PushError::Full(number)),
                }
            }
            accepted
        });
        let mut received: Vec<_> = (0..3).filter_map(|_| rx.pop()).collect();
        let accepted = producer.join().unwrap();
        received.extend(rx.drain(usize::MAX));
        assert!(accepted.len() >= 2, "refused with room to spare");
        assert_eq!(received, accepted);
    });
}

#[test]
fn batches_keep_order_across_the_wrap() {
    loom::model(|| {
        // Three in four slots, so that positions and slots wrap at different places.
        let (mut tx, mut rx) = ring(3);
        assert_eq!(tx.push_batch([0, 1]), 2);
        assert_eq!(rx.drain(2).collect::<Vec<_>>(), [0, 1]);
        let producer = thread::spawn(move || {
            let mut items = 2..7;
            tx.push_batch(&mut items);
            tx.push_batch(&mut items);
            items.start
        });
        let mut received = Vec::new();
        for _ in 0..2 {
            received.extend(rx.drain(2));
        }
        let end = producer.join().unwrap();
        received.extend(rx.drain(usize::MAX));
        assert_eq!(received, (2..end).collect::<Vec<_>>());
        assert!(end >= 5);
    });
}

#[test]
fn staged_items_are_seen_together_or_not_at_all() {
    loom::model(|| {
        let (mut tx, mut rx) = ring(2);
        let producer = thread::spawn(move || {
            tx.stage(1).unwrap();
            tx.stage(2).unwrap();
            tx.publish();
        });
        let seen = rx.len();
        assert!(seen == 0 || seen == 2, "saw {seen} of 2");
        producer.join().unwrap();
        assert_eq!(rx.drain(2).sum::<i32>(), 3);
    });
}

/// Asked in the right order, "disconnected, and then empty" means that all was seen.
#[test]
fn the_last_item_of_a_leaving_producer_is_not_missed() {
    loom::model(|| {
        let (mut tx, mut rx) = ring(2);
        let producer = thread::spawn(move || {
            tx.try_push(1).unwrap();
            tx.stage(2).unwrap();
        });
        let mut received = Vec::new();
        loop {
            let last = rx.is_disconnected();
            received.extend(rx.drain(usize::MAX));
            if last {
                break;
            }
            thread::yield_now();
        }
        assert_eq!(received, [1, 2]);
        producer.join().unwrap();
    });
}

#[test]
fn items_are_dropped_once_when_the_consumer_leaves() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&drops);
        let (mut tx, mut rx) = ring(2);
        let producer = thread::spawn(move || {
            for _ in 0..3 {
                // Accepted, refused as full, or refused as disconnected: it is dropped once.
                let _ = tx.try_push(Counted(Arc::clone(&counter)));
            }
        });
        drop(rx.pop());
        // Takes one more out of a batch, and leaves with the batch not yet given back.
        if let Some(item) = rx.drain(2).next() {
            drop(item);
        }
        drop(rx);
        producer.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn items_are_dropped_once_when_both_leave_at_the_same_time() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut tx, mut rx) = ring(4);
        for _ in 0..3 {
            tx.try_push(Counted(Arc::clone(&drops))).unwrap();
        }
        tx.stage(Counted(Arc::clone(&drops))).unwrap();
        let producer = thread::spawn(move || drop(tx));
        drop(rx.pop());
        // A leaked batch gives nothing back: the consumer does, as it leaves.
        let mut batch = rx.drain(1);
        drop(batch.next());
        std::mem::forget(batch);
        drop(rx);
        producer.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn a_producer_learns_that_its_consumer_left() {
    loom::model(|| {
        let (mut tx, rx) = ring(1);
        let consumer = thread::spawn(move || drop(rx));
        while !tx.is_disconnected() {
            thread::yield_now();
        }
        assert_eq!(tx.try_push(1), Err(PushError::Disconnected(1)));
        consumer.join().unwrap();
    });
}
