//! The byte ring against a plain queue of messages, under any sequence of calls.

#![cfg(not(loom))]

use std::collections::VecDeque;

use proptest::prelude::*;
use spsc::{ByteConsumer, ByteProducer, ReserveError, byte_ring};

#[derive(Clone, Debug)]
enum Op {
    /// Reserves a message of so many bytes, and commits it or not.
    Reserve(usize, bool),
    Publish,
    /// Reads so many messages in one batch, each by `peek` and `advance` or by `next`.
    Batch(usize, bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..80usize, prop::bool::weighted(0.9)).prop_map(|(len, commit)| Op::Reserve(len, commit)),
        6 => Just(Op::Publish),
        8 => (0..6usize, any::<bool>()).prop_map(|(count, peek)| Op::Batch(count, peek)),
    ]
}

struct Model {
    tx: Option<ByteProducer>,
    rx: Option<ByteConsumer>,
    published: VecDeque<Vec<u8>>,
    staged: VecDeque<Vec<u8>>,
    /// Tells messages apart.
    stamp: u8,
}

impl Model {
    fn new(capacity: usize, window: usize) -> Self {
        let (tx, rx) = byte_ring(capacity, window);
        Self { tx: Some(tx), rx: Some(rx), published: VecDeque::new(), staged: VecDeque::new(), stamp: 0 }
    }

    /// Bytes of what waits, without what is skipped at the end of the memory.
    fn bytes(&self) -> usize {
        let messages = self.published.iter().chain(&self.staged);
        messages.map(|message| 8 + message.len().next_multiple_of(8)).sum()
    }

    fn reserve(&mut self, len: usize, commit: bool) {
        let waiting = self.bytes();
        let Some(tx) = &mut self.tx else { return };
        let (used, frame) = (tx.used(), 8 + len.next_multiple_of(8));
        let (window, max) = (tx.window(), tx.message_bytes_max());
        match tx.reserve(len) {
            Ok(bytes) => {
                assert!(self.rx.is_some() && len <= max);
                assert!(used == 0 || used + frame <= window, "beyond the window");
                assert_eq!(bytes.len(), len);
                assert_eq!(bytes.as_ptr().align_offset(8), 0);
                if commit {
                    self.stamp = self.stamp.wrapping_add(1);
                    bytes.fill(self.stamp);
                    tx.commit();
                    self.staged.push_back(vec![self.stamp; len]);
                }
            }
            Err(ReserveError::Full { used: told, window: limit }) => {
                assert_eq!((told, limit), (used, window));
                assert!(waiting > 0, "an empty ring refused a message");
                // Refused for the end of the memory, if not for the message itself.
                assert!(used + 2 * frame > window, "refused with room to spare");
            }
            Err(error @ ReserveError::TooLong { .. }) => {
                assert_eq!(error, ReserveError::TooLong { len, max });
                assert!(len > max);
            }
            Err(ReserveError::Disconnected) => assert!(self.rx.is_none()),
        }
    }

    fn batch(&mut self, count: usize, by_peek: bool) {
        let Some(rx) = &mut self.rx else { return };
        let empty = self.published.is_empty();
        let batch = rx.batch();
        assert_eq!(batch.peek().is_none(), empty);
        let mut taken = Vec::new();
        for _ in 0..count {
            let message = if by_peek {
                let message = batch.peek();
                batch.advance();
                message
            } else {
                batch.next()
            };
            taken.extend(message);
        }
        // Compared only now: all of them stay as they were until the batch ends.
        for message in taken {
            assert_eq!(Some(message.to_vec()), self.published.pop_front());
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Reserve(len, commit) => self.reserve(len, commit),
            Op::Publish => {
                if let Some(tx) = &mut self.tx {
                    tx.publish();
                    self.published.append(&mut self.staged);
                }
            }
            Op::Batch(count, by_peek) => self.batch(count, by_peek),
        }
    }

    fn leave(&mut self, producer: bool) {
        if producer {
            self.tx = None;
            self.published.append(&mut self.staged);
        } else {
            self.rx = None;
        }
    }

    fn check(&self) {
        if let Some(tx) = &self.tx {
            assert_eq!(tx.is_disconnected(), self.rx.is_none());
            if self.rx.is_some() {
                let (used, waiting) = (tx.used(), self.bytes());
                assert!(used >= waiting && used <= tx.capacity());
                assert_eq!(used == 0, waiting == 0);
            }
        }
        if let Some(rx) = &self.rx {
            assert_eq!(rx.is_disconnected(), self.tx.is_none());
            assert_eq!(rx.is_empty(), self.published.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_a_queue_of_messages(
        capacity in 8..200usize,
        window in 0..250usize,
        both in prop::collection::vec(op(), 0..200),
        producer_leaves in any::<bool>(),
        one in prop::collection::vec(op(), 0..20),
    ) {
        let mut model = Model::new(capacity, window);
        for op in &both {
            model.apply(op);
            model.check();
        }
        model.leave(producer_leaves);
        for op in &one {
            model.apply(op);
            model.check();
        }
    }
}
