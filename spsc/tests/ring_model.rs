//! The ring against a plain queue, under any sequence of calls.

#![cfg(not(loom))]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use proptest::prelude::*;
use spsc::{Consumer, Producer, PushError};

/// An item that reports its own end.
struct Tracked {
    number: usize,
    dropped: Rc<RefCell<Vec<u32>>>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.dropped.borrow_mut()[self.number] += 1;
    }
}

#[derive(Clone, Debug)]
enum Op {
    TryPush,
    Stage,
    Publish,
    PushBatch(usize),
    Pop,
    /// Asks for so many, takes so many of them.
    Drain(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::TryPush),
        6 => Just(Op::Stage),
        3 => Just(Op::Publish),
        4 => (0..12usize).prop_map(Op::PushBatch),
        8 => Just(Op::Pop),
        4 => (0..12usize, 0..12usize).prop_map(|(max, take)| Op::Drain(max, take)),
    ]
}

struct Model {
    capacity: usize,
    tx: Option<Producer<Tracked>>,
    rx: Option<Consumer<Tracked>>,
    published: VecDeque<usize>,
    staged: VecDeque<usize>,
    dropped: Rc<RefCell<Vec<u32>>>,
}

impl Model {
    fn new(capacity: usize) -> Self {
        let (tx, rx) = spsc::ring(capacity);
        Self {
            capacity,
            tx: Some(tx),
            rx: Some(rx),
            published: VecDeque::new(),
            staged: VecDeque::new(),
            dropped: Rc::default(),
        }
    }

    fn len(&self) -> usize {
        self.published.len() + self.staged.len()
    }

    fn item(&self) -> Tracked {
        let number = self.dropped.borrow().len();
        self.dropped.borrow_mut().push(0);
        Tracked { number, dropped: Rc::clone(&self.dropped) }
    }

    fn publish(&mut self) {
        self.published.append(&mut self.staged);
    }

    fn push(&mut self, staged_only: bool) {
        let item = self.item();
        let number = item.number;
        let (full, connected) = (self.len() == self.capacity, self.rx.is_some());
        let Some(tx) = &mut self.tx else { return };
        let result = if staged_only { tx.stage(item) } else { tx.try_push(item) };
        match result {
            Ok(()) => {
                assert!(!full && connected);
                self.staged.push_back(number);
            }
            Err(PushError::Full(item)) => assert!(full && connected && item.number == number),
            Err(PushError::Disconnected(item)) => assert!(!connected && item.number == number),
        }
        if !staged_only {
            self.publish();
        }
    }

    fn push_batch(&mut self, count: usize) {
        let items: Vec<_> = (0..count).map(|_| self.item()).collect();
        let numbers: Vec<_> = items.iter().map(|item| item.number).collect();
        let room = self.capacity - self.len();
        let connected = self.rx.is_some();
        let Some(tx) = &mut self.tx else { return };
        let mut items = items.into_iter();
        let pushed = tx.push_batch(&mut items);
        assert_eq!(pushed, if connected { room.min(count) } else { 0 });
        assert_eq!(items.len(), count - pushed, "took more than fits");
        self.staged.extend(&numbers[..pushed]);
        self.publish();
    }

    fn pop(&mut self) {
        let Some(rx) = &mut self.rx else { return };
        assert_eq!(rx.pop().map(|item| item.number), self.published.pop_front());
    }

    fn drain(&mut self, max: usize, take: usize) {
        let Some(rx) = &mut self.rx else { return };
        let drain = rx.drain(max);
        assert_eq!(drain.len(), max.min(self.published.len()));
        for item in drain.take(take) {
            assert_eq!(Some(item.number), self.published.pop_front());
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::TryPush => self.push(false),
            Op::Stage => self.push(true),
            Op::Publish => {
                if let Some(tx) = &mut self.tx {
                    tx.publish();
                }
                self.publish();
            }
            Op::PushBatch(count) => self.push_batch(count),
            Op::Pop => self.pop(),
            Op::Drain(max, take) => self.drain(max, take),
        }
    }

    fn leave(&mut self, producer: bool) {
        if producer {
            self.tx = None;
            self.publish();
        } else {
            self.rx = None;
        }
    }

    fn check(&self) {
        if let Some(tx) = &self.tx {
            assert_eq!((tx.len(), tx.is_empty()), (self.len(), self.len() == 0));
            assert_eq!(tx.is_disconnected(), self.rx.is_none());
            assert_eq!(tx.capacity(), self.capacity);
        }
        if let Some(rx) = &self.rx {
            assert_eq!((rx.len(), rx.is_empty()), (self.published.len(), self.published.is_empty()));
            assert_eq!(rx.is_disconnected(), self.tx.is_none());
            assert_eq!(rx.capacity(), self.capacity);
        }
        if self.tx.is_some() || self.rx.is_some() {
            let dropped = self.dropped.borrow();
            for &number in self.published.iter().chain(&self.staged) {
                assert_eq!(dropped[number], 0, "item {number} was dropped in the ring");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_a_queue_and_drops_every_item_once(
        capacity in 1..10usize,
        both in prop::collection::vec(op(), 0..200),
        producer_leaves in any::<bool>(),
        one in prop::collection::vec(op(), 0..20),
    ) {
        let mut model = Model::new(capacity);
        for op in &both {
            model.apply(op);
            model.check();
        }
        model.leave(producer_leaves);
        for op in &one {
            model.apply(op);
            model.check();
        }
        model.leave(!producer_leaves);
        let dropped = model.dropped;
        prop_assert!(dropped.borrow().iter().all(|&times| times == 1), "{:?}", dropped.borrow());
    }
}
