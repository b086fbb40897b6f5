//! Both ends on real threads: what ThreadSanitizer is to look at, and what no model of one thread
//! can get wrong.

#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use spsc::{Doorbell, PushError, ReserveError, byte_ring, ring};

/// Few enough for a sanitizer, and for one CPU.
const COUNT: usize = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

/// Small, so that both ends run into each other all the time.
const CAPACITY: usize = 7;

#[test]
fn items_arrive_in_order_one_by_one() {
    let (mut tx, mut rx) = ring(CAPACITY);
    let producer = thread::spawn(move || {
        for number in 0..COUNT {
            let mut item = Box::new(number);
            while let Err(PushError::Full(back)) = tx.try_push(item) {
                item = back;
                thread::yield_now();
            }
        }
    });
    let mut next = 0;
    loop {
        let last = rx.is_disconnected();
        while let Some(item) = rx.pop() {
            assert_eq!(*item, next);
            next += 1;
        }
        if last {
            break;
        }
        thread::yield_now();
    }
    assert_eq!(next, COUNT, "the producer left before the last item was seen");
    producer.join().unwrap();
}

#[test]
fn items_arrive_in_order_in_batches() {
    let (mut tx, mut rx) = ring(CAPACITY);
    let producer = thread::spawn(move || {
        let mut items = (0..COUNT).map(Box::new).peekable();
        while items.peek().is_some() {
            if tx.push_batch(items.by_ref().take(5)) == 0 {
                thread::yield_now();
            }
        }
    });
    let mut next = 0;
    while next < COUNT {
        for item in rx.drain(4) {
            assert_eq!(*item, next);
            next += 1;
        }
        if rx.is_empty() {
            thread::yield_now();
        }
    }
    producer.join().unwrap();
}

#[test]
fn every_item_is_dropped_once_when_the_consumer_leaves_in_the_middle() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    for take in 0..200 {
        let drops = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&drops);
        let (mut tx, mut rx) = ring(CAPACITY);
        let producer = thread::spawn(move || {
            let mut made = 0;
            loop {
                made += 1;
                match tx.try_push(Counted(Arc::clone(&counter))) {
                    Ok(()) => {}
                    Err(PushError::Full(_)) => thread::yield_now(),
                    Err(PushError::Disconnected(_)) => return made,
                }
            }
        });
        let mut taken = 0;
        while taken < take {
            taken += rx.drain(3).count();
        }
        drop(rx);
        let made = producer.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), made);
    }
}

#[test]
fn messages_arrive_whole_and_in_order() {
    let (mut tx, mut rx) = byte_ring(512, 300);
    let len = |number: usize| number * 7 % 91;
    let producer = thread::spawn(move || {
        for number in 0..COUNT {
            loop {
                match tx.reserve(len(number)) {
                    Ok(bytes) => break bytes.fill(number as u8),
                    Err(ReserveError::Full { .. }) => {
                        tx.publish();
                        thread::yield_now();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            tx.commit();
            if number % 3 == 0 {
                tx.publish();
            }
        }
    });
    let mut next = 0;
    while next < COUNT {
        let batch = rx.batch();
        let mut messages = Vec::new();
        while let Some(message) = batch.next() {
            messages.push(message);
        }
        for message in messages {
            assert_eq!(message.len(), len(next));
            assert!(message.iter().all(|&byte| byte == next as u8), "message {next} is damaged");
            next += 1;
        }
        drop(batch);
        thread::yield_now();
    }
    producer.join().unwrap();
}

/// The consumer parks whenever it finds nothing; were a wake-up lost, the test would not end.
#[test]
fn a_parked_consumer_is_woken_for_every_item() {
    const PRODUCERS: usize = 2;
    let woken = Arc::new(AtomicBool::new(false));
    let wakes = Arc::new(AtomicUsize::new(0));
    let doorbell = {
        let (consumer, woken, wakes) = (thread::current(), Arc::clone(&woken), Arc::clone(&wakes));
        Arc::new(Doorbell::new(move || {
            wakes.fetch_add(1, Ordering::Relaxed);
            woken.store(true, Ordering::Release);
            consumer.unpark();
        }))
    };
    let (ends, mut rings): (Vec<_>, Vec<_>) = (0..PRODUCERS).map(|_| ring(CAPACITY)).unzip();
    let producers: Vec<_> = ends
        .into_iter()
        .map(|mut tx| {
            let doorbell = Arc::clone(&doorbell);
            thread::spawn(move || {
                for number in 0..COUNT {
                    while tx.try_push(number).is_err() {
                        thread::yield_now();
                    }
                    doorbell.ring();
                }
            })
        })
        .collect();

    let mut parks = 0;
    let mut next = [0; PRODUCERS];
    while next != [COUNT; PRODUCERS] {
        for (rx, next) in rings.iter_mut().zip(&mut next) {
            for number in rx.drain(usize::MAX) {
                assert_eq!(number, *next);
                *next += 1;
            }
        }
        woken.store(false, Ordering::Relaxed);
        doorbell.prepare_park();
        parks += 1;
        let idle = rings.iter().all(spsc::Consumer::is_empty);
        while idle && next != [COUNT; PRODUCERS] && !woken.load(Ordering::Acquire) {
            thread::park();
        }
        doorbell.cancel_park();
    }
    for producer in producers {
        producer.join().unwrap();
    }
    assert!(wakes.load(Ordering::Relaxed) <= parks, "woken more often than parked");
}
