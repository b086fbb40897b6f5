//! Where operations live while the kernel has them.
//!
//! The kernel holds addresses of what lies here (names) and of what is owned
//! from here (buffers), so entries never move: the slab is sized once and never
//! grows. An operation is known to the kernel by its index.

use std::fs::File;

use crate::op::{Op, OpKind};

/// One operation that the ring was given.
pub(super) struct InFlight {
    pub(super) token: u64,
    pub(super) kind: OpKind,
    /// Of a directory flush in its second step: the directory, to be closed at the end.
    pub(super) directory: Option<File>,
    /// Of a durable write that is two entries: what is known of them.
    pub(super) halves: Halves,
}

/// A durable write in two entries: a write, and a flush linked to it. Nothing
/// says which of the two completions is posted first when one of them failed.
#[derive(Default)]
pub(super) struct Halves {
    pub(super) write: Option<i32>,
    pub(super) flush: Option<i32>,
    /// The link may not have held, so the flush may have begun before the write
    /// had ended: it is worth nothing.
    pub(super) parted: bool,
}

impl Halves {
    /// What a single entry would have answered, when both have: the bytes written
    /// if the flush came through, else the number of the first error.
    pub(super) fn whole(&self, len: usize) -> Option<i32> {
        let (write, flush) = (self.write?, self.flush?);
        let written = usize::try_from(write) == Ok(len);
        // A flush that the kernel would not even take cancels the write before it.
        let not_begun = write == -libc::ECANCELED;
        Some(if flush < 0 && (written || not_begun) { flush } else { write })
    }
}

#[derive(Default)]
pub(super) struct Slab {
    entries: Box<[Option<InFlight>]>,
    free: Vec<u32>,
}

impl Slab {
    pub(super) fn new(depth: usize) -> Self {
        // Lowest index on top: a shallow queue stays in few cache lines.
        let free = (0..depth as u32).rev().collect();
        Self { entries: (0..depth).map(|_| None).collect(), free }
    }

    pub(super) fn depth(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Stores an operation and returns its key and its place, which is its
    /// address until it is removed.
    ///
    /// # Panics
    ///
    /// If the slab is full.
    pub(super) fn insert(&mut self, op: Op) -> (u64, &mut InFlight) {
        let Some(index) = self.free.pop() else {
            panic!("an operation more than the depth");
        };
        let place = &mut self.entries[index as usize];
        assert!(place.is_none(), "a free entry is in use");
        let in_flight =
            place.insert(InFlight { token: op.token, kind: op.kind, directory: None, halves: Halves::default() });
        (u64::from(index), in_flight)
    }

    /// The operations in flight.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut InFlight> {
        self.entries.iter_mut().flatten()
    }

    /// # Panics
    ///
    /// If there is no such operation: the kernel completed one twice.
    pub(super) fn get_mut(&mut self, key: u64) -> &mut InFlight {
        let entry = self.entries.get_mut(key as usize).and_then(Option::as_mut);
        let Some(in_flight) = entry else {
            panic!("a completion for key {key}, which is not in flight");
        };
        in_flight
    }

    /// # Panics
    ///
    /// As [`get_mut`](Self::get_mut).
    pub(super) fn remove(&mut self, key: u64) -> InFlight {
        let entry = self.entries.get_mut(key as usize).and_then(Option::take);
        let Some(in_flight) = entry else {
            panic!("a completion for key {key}, which is not in flight");
        };
        self.free.push(key as u32);
        in_flight
    }
}
