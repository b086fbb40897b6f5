//! A backend that delays and fails what the test says, on top of a real one.

use iobackend::{Backend, BackendInfo, Completion, FileSlot, IoBackend, IoError, Op, OpKind, Operation, Waker};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// The kinds of operation, as the log marks them in the upper byte of the token.
const FRAME: u64 = 1;
const PREPARE: u64 = 2;
const READ: u64 = 4;
const FLUSH: u64 = 5;

/// What becomes of a frame's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is written, and the system says EIO.
    Lost,
    /// All is written, and the system says EIO.
    WrittenButError,
    /// All is written, and the system says that it was less.
    Short,
}

impl Outcome {
    fn error(self, len: usize) -> IoError {
        match self {
            Outcome::Short => IoError::Short { operation: Operation::Write, wanted: len, got: len - 512 },
            _ => IoError::from_errno(Operation::Write, 5),
        }
    }
}

/// What goes wrong, and what is held back.
#[derive(Default)]
pub struct Faults {
    /// Completions of frames are held back.
    pub hold_frames: bool,
    /// Completions of reads are held back.
    pub hold_reads: bool,
    /// Completions of flushes of frames are held back.
    pub hold_flushes: bool,
    /// The next flush of frames fails.
    pub fail_flush: bool,
    /// The completions held, oldest first.
    held: VecDeque<Completion>,
    /// Let go, in this order.
    released: Vec<Completion>,
    /// What becomes of which frame's write, counted from 0.
    pub fail_frame: Option<(u64, Outcome)>,
    /// Frames written so far.
    pub frames: u64,
    /// No new segment can be made: the disk is full.
    pub full: bool,
    /// The next read fails.
    pub fail_read: bool,
    /// Files opened and directories flushed so far.
    pub files: u64,
}

impl Faults {
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Lets one completion go: the one at `at` of those that are held.
    pub fn release(&mut self, at: usize) {
        let completion = self.held.remove(at).expect("so many are held");
        self.released.push(completion);
    }

    /// Lets all go, and holds nothing back any more.
    pub fn release_all(&mut self) {
        self.hold_frames = false;
        self.hold_reads = false;
        self.hold_flushes = false;
        self.released.extend(self.held.drain(..));
    }
}

pub struct Faulty {
    inner: Backend,
    faults: Rc<RefCell<Faults>>,
    /// Errors to report in place of what the system says, by token.
    errors: Vec<(u64, IoError)>,
    /// Operations that were never carried out.
    refused: Vec<Completion>,
    polled: Vec<Completion>,
}

impl Faulty {
    pub fn new(inner: Backend, faults: Rc<RefCell<Faults>>) -> Faulty {
        // Room for all that can be in flight: the wrapper must not be what allocates.
        let depth = inner.depth();
        faults.borrow_mut().held.reserve(depth);
        faults.borrow_mut().released.reserve(depth);
        let (errors, refused) = (Vec::with_capacity(depth), Vec::with_capacity(depth));
        Faulty { inner, faults, errors, refused, polled: Vec::with_capacity(depth) }
    }

    /// The error that an operation is to end with, and whether it is carried out all the same.
    fn fault(&self, op: &Op) -> Option<(IoError, bool)> {
        let mut faults = self.faults.borrow_mut();
        faults.files += u64::from(matches!(op.kind, OpKind::Open { .. } | OpKind::FlushDirectory { .. }));
        match (op.token >> 56, &op.kind) {
            (FRAME, OpKind::Write { len, .. }) => {
                let number = faults.frames;
                faults.frames += 1;
                let (_, outcome) = faults.fail_frame.filter(|(at, _)| *at == number)?;
                Some((outcome.error(*len), outcome != Outcome::Lost))
            }
            (PREPARE, kind) if faults.full && !matches!(kind, OpKind::Flush { .. }) => {
                Some((IoError::NoSpace { operation: kind.operation() }, false))
            }
            (READ, OpKind::Read { .. }) if std::mem::take(&mut faults.fail_read) => {
                // Not an unreadable sector, of which the log would say more.
                Some((IoError::from_errno(Operation::Read, 13), false))
            }
            (FLUSH, _) if std::mem::take(&mut faults.fail_flush) => {
                Some((IoError::from_errno(Operation::Flush, 5), true))
            }
            _ => None,
        }
    }
}

impl IoBackend for Faulty {
    fn submit(&mut self, op: Op) -> Result<(), Op> {
        match self.fault(&op) {
            Some((error, false)) => {
                let Op { token, kind } = op;
                self.refused.push(Completion { token, result: Err(error), buffer: kind.into_buffer() });
                Ok(())
            }
            fault => {
                self.errors.extend(fault.map(|(error, _)| (op.token, error)));
                self.inner.submit(op)
            }
        }
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        let Faulty { inner, faults, errors, refused, polled } = self;
        inner.poll(polled);
        polled.append(refused);
        let mut faults = faults.borrow_mut();
        for mut completion in polled.drain(..) {
            if let Some(at) = errors.iter().position(|(token, _)| *token == completion.token) {
                completion.result = Err(errors.swap_remove(at).1);
            }
            let kind = completion.token >> 56;
            let held = match kind {
                FRAME => faults.hold_frames,
                READ => faults.hold_reads,
                FLUSH => faults.hold_flushes,
                _ => false,
            };
            if held {
                faults.held.push_back(completion);
            } else {
                done.push(completion);
            }
        }
        done.append(&mut faults.released);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let released = !self.faults.borrow().released.is_empty();
        if !released && self.refused.is_empty() {
            assert!(self.inner.in_flight() > 0, "a wait that nothing would end");
            self.inner.wait(timeout)?;
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn in_flight(&self) -> usize {
        let faults = self.faults.borrow();
        self.inner.in_flight() + self.refused.len() + faults.held.len() + faults.released.len()
    }

    fn depth(&self) -> usize {
        self.inner.depth()
    }

    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    fn list(&mut self, directory: &str) -> io::Result<Vec<String>> {
        self.inner.list(directory)
    }

    fn create_directory(&mut self, directory: &str) -> io::Result<()> {
        self.inner.create_directory(directory)
    }

    fn length(&mut self, file: FileSlot) -> io::Result<u64> {
        self.inner.length(file)
    }

    fn truncate(&mut self, file: FileSlot, len: u64) -> io::Result<()> {
        self.inner.truncate(file, len)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}
