//! The byte ring: messages arrive whole and in order, and their memory is not written again before
//! the batch that lends them ends.
//!
//! Under loom the ring keeps a cell for each eight bytes of its memory, and touches the cells as
//! it touches the bytes. So an access that is not ordered fails the model even where the bytes
//! happen to be right.

#![cfg(loom)]

use loom::thread;
use spsc::{ByteConsumer, ByteProducer, byte_ring, wiped_byte_ring};

/// A frame of 24 bytes: header, 12 bytes, padding.
const LEN: usize = 12;

fn message(number: u8) -> [u8; LEN] {
    [number; LEN]
}

fn stage(tx: &mut ByteProducer, number: u8) -> bool {
    let Ok(bytes) = tx.reserve(LEN) else {
        return false;
    };
    bytes.copy_from_slice(&message(number));
    tx.commit();
    true
}

/// A ring of 64 bytes with both positions at byte 48: the next message is the first to wrap.
fn before_the_wrap((mut tx, mut rx): (ByteProducer, ByteConsumer)) -> (ByteProducer, ByteConsumer) {
    for number in 0..2 {
        assert!(stage(&mut tx, number));
        tx.publish();
        assert_eq!(rx.batch().next(), Some(&message(number)[..]));
    }
    (tx, rx)
}

/// Reads what there is, and looks at it only when all is read.
fn receive(rx: &mut ByteConsumer, received: &mut Vec<u8>) {
    let batch = rx.batch();
    let mut messages = Vec::new();
    while let Some(message) = batch.next() {
        messages.push(message);
    }
    for bytes in messages {
        assert_eq!(bytes, message(bytes[0]), "a message changed while it was lent");
        received.push(bytes[0]);
    }
}

#[test]
fn messages_cross_the_wrap_whole_and_in_order() {
    cross_the_wrap(byte_ring);
}

/// The consumer writes zeros where it has read, and the producer its next messages: neither where the other does.
#[test]
fn a_consumer_that_wipes_is_in_nobodys_way() {
    cross_the_wrap(wiped_byte_ring);
}

fn cross_the_wrap(ring: fn(usize, usize) -> (ByteProducer, ByteConsumer)) {
    loom::model(move || {
        let (mut tx, mut rx) = before_the_wrap(ring(64, 64));
        let producer = thread::spawn(move || {
            let mut accepted = Vec::new();
            for number in 0..4 {
                if stage(&mut tx, number) {
                    accepted.push(number);
                }
                tx.publish();
            }
            accepted
        });
        let mut received = Vec::new();
        receive(&mut rx, &mut received);
        receive(&mut rx, &mut received);
        let accepted = producer.join().unwrap();
        receive(&mut rx, &mut received);
        // Twice, since a batch may hold only what an earlier look had shown.
        receive(&mut rx, &mut received);
        assert!(accepted.len() >= 2, "refused with room to spare");
        assert_eq!(received, accepted);
    });
}

/// The second message needs the memory of the first: it waits for the batch to end.
#[test]
fn memory_is_reused_only_after_the_batch() {
    reuse(byte_ring);
}

#[test]
fn memory_is_reused_only_after_it_is_wiped() {
    reuse(wiped_byte_ring);
}

fn reuse(ring: fn(usize, usize) -> (ByteProducer, ByteConsumer)) {
    loom::model(move || {
        let (mut tx, mut rx) = ring(40, 40);
        assert!(stage(&mut tx, 0));
        tx.publish();
        let producer = thread::spawn(move || {
            while !stage(&mut tx, 1) {
                thread::yield_now();
            }
            tx.publish();
        });
        let mut received = Vec::new();
        while received.len() < 2 {
            receive(&mut rx, &mut received);
            thread::yield_now();
        }
        assert_eq!(received, [0, 1]);
        producer.join().unwrap();
    });
}

#[test]
fn a_message_larger_than_the_window_passes_alone() {
    loom::model(|| {
        let (mut tx, mut rx) = byte_ring(128, 8);
        let producer = thread::spawn(move || {
            for number in 0..2 {
                while !stage(&mut tx, number) {
                    thread::yield_now();
                }
                tx.publish();
            }
        });
        let mut received = Vec::new();
        while received.len() < 2 {
            let before = received.len();
            receive(&mut rx, &mut received);
            assert!(received.len() <= before + 1, "two messages in a window for none");
            thread::yield_now();
        }
        assert_eq!(received, [0, 1]);
        producer.join().unwrap();
    });
}

#[test]
fn the_last_message_of_a_leaving_producer_is_not_missed() {
    loom::model(|| {
        let (mut tx, mut rx) = before_the_wrap(byte_ring(64, 64));
        let producer = thread::spawn(move || {
            assert!(stage(&mut tx, 2));
            tx.publish();
            assert!(stage(&mut tx, 3));
        });
        let mut received = Vec::new();
        loop {
            let last = rx.is_disconnected();
            while !rx.is_empty() {
                receive(&mut rx, &mut received);
            }
            if last {
                break;
            }
            thread::yield_now();
        }
        assert_eq!(received, [2, 3]);
        producer.join().unwrap();
    });
}

#[test]
fn a_producer_may_be_writing_when_its_consumer_leaves() {
    loom::model(|| {
        let (mut tx, mut rx) = byte_ring(64, 64);
        let producer = thread::spawn(move || {
            for number in 0..2 {
                stage(&mut tx, number);
                tx.publish();
            }
        });
        let mut received = Vec::new();
        receive(&mut rx, &mut received);
        drop(rx);
        producer.join().unwrap();
        assert!([&[][..], &[0], &[0, 1]].contains(&&received[..]));
    });
}
