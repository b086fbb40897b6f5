//! What happened, as a list for people and as a number for comparing two runs.

use super::faults::FaultKind;
use super::random::mix;
use crate::op::{FileName, Operation};

/// What was asked of a backend: an operation, or a control call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// [`OpKind::Write`](crate::OpKind::Write)
    Write,
    /// [`OpKind::Read`](crate::OpKind::Read)
    Read,
    /// [`OpKind::Flush`](crate::OpKind::Flush)
    Flush,
    /// [`OpKind::Open`](crate::OpKind::Open)
    Open,
    /// [`OpKind::Allocate`](crate::OpKind::Allocate)
    Allocate,
    /// [`OpKind::FlushDirectory`](crate::OpKind::FlushDirectory)
    FlushDirectory,
    /// [`IoBackend::list`](crate::IoBackend::list)
    List,
    /// [`IoBackend::create_directory`](crate::IoBackend::create_directory)
    CreateDirectory,
    /// [`IoBackend::length`](crate::IoBackend::length)
    Length,
    /// [`IoBackend::truncate`](crate::IoBackend::truncate)
    Truncate,
    /// [`IoBackend::remove`](crate::IoBackend::remove)
    Remove,
}

impl Action {
    /// Whether it is queued and takes time; control calls act at once.
    #[must_use]
    pub fn is_queued(self) -> bool {
        !matches!(self, Self::List | Self::CreateDirectory | Self::Length | Self::Truncate | Self::Remove)
    }

    /// Whether a flush is what it does, or ends with.
    pub(super) fn flushes(self) -> bool {
        matches!(self, Self::Flush | Self::FlushDirectory | Self::CreateDirectory | Self::Truncate | Self::Remove)
    }
}

impl From<Operation> for Action {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Write => Self::Write,
            Operation::Read => Self::Read,
            Operation::Flush => Self::Flush,
            Operation::Open => Self::Open,
            Operation::Allocate => Self::Allocate,
            Operation::FlushDirectory => Self::FlushDirectory,
        }
    }
}

/// What an [`Event`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An operation was queued, or a control call made.
    Submitted,
    /// An operation took effect; its completion can be polled.
    Completed,
    /// It ended with an error.
    Failed,
    /// A fault struck it.
    Struck,
    /// The power went, or the process died: [`Event::fault`] says which.
    Crashed,
    /// The machine is back.
    PoweredOn,
    /// An image was put in place of what was there.
    Restored,
}

/// One thing that happened on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Virtual time, in nanoseconds.
    pub time: u64,
    /// The label of the backend; 0 for what none of them did.
    pub lane: u16,
    /// What happened.
    pub kind: EventKind,
    /// The number of the operation, over all backends.
    pub number: u64,
    /// What was asked.
    pub action: Option<Action>,
    /// Which file or directory; none where a slot held none.
    pub file: Option<FileName>,
    /// First byte, of a transfer.
    pub offset: u64,
    /// Bytes, of a transfer; the length, of an allocation or a truncation.
    pub len: u64,
    /// What struck.
    pub fault: Option<FaultKind>,
}

/// The list, if it is wanted, and the hash, always.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) on: bool,
    pub(super) events: Vec<Event>,
    pub(super) hash: u64,
}

impl Trace {
    pub(super) fn new(seed: u64) -> Self {
        Self { on: false, events: Vec::new(), hash: mix(seed) }
    }

    pub(super) fn push(&mut self, event: Event) {
        self.absorb(event.time);
        let small = u64::from(event.lane)
            | (event.kind as u64) << 16
            | event.action.map_or(0xFF, |action| action as u64) << 24
            | event.fault.map_or(0xFF, |fault| fault as u64) << 32;
        self.absorb(small);
        self.absorb(event.number);
        self.absorb(event.offset);
        self.absorb(event.len);
        for chunk in event.file.as_ref().map_or("", FileName::as_str).as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.absorb(u64::from_le_bytes(word));
        }
        if self.on {
            self.events.push(event);
        }
    }

    /// Takes a number into the hash: by the mixing of SplitMix64, which is the same in every build.
    pub(super) fn absorb(&mut self, word: u64) {
        self.hash = mix(self.hash.rotate_left(5) ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
    }
}
