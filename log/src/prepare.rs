//! The next segment, made ready in the background: created, allocated, zeroed a slice at a time, flushed,
//! given its header, and only then written to.
//!
//! A durable write into blocks that were written before needs no change of metadata; into merely allocated
//! blocks it costs twice the time. Zeroing keeps pace with the use of the active segment and does not run ahead of
//! it, so an engine that writes little zeroes little.

use crate::files::{Files, Pinned};
use crate::format::BLOCK_BYTES;
use crate::format::segment::{SegmentHeader, log_directory};
use crate::limits::{PREPARE_RETRY_NS, ZERO_SLICE_BYTES, ZERO_SLICE_BYTES_MAX};
use iobackend::{Buffer, FileName, FileSlot, IoBackend, IoError, Op, OpKind, OpenMode};
use planted::Bug;

/// Where the preparation stands; each names what is to be done next, or is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open,
    Allocate,
    Zero,
    Flush,
    Header,
    Publish,
    Ready,
}

/// A segment on its way to being ready.
#[derive(Debug)]
pub(crate) struct Preparation {
    pub(crate) header: SegmentHeader,
    pub(crate) slot: Option<FileSlot>,
    step: Step,
    waiting: bool,
    zeroed: u64,
    /// Bytes that are being zeroed.
    zeroing: u64,
    zeros: Option<Buffer>,
    block: Option<Buffer>,
    retry_at: u64,
    /// Why the last attempt failed; cleared when one succeeds.
    pub(crate) failure: Option<IoError>,
}

/// The buffers of a preparation: a slice of zeros and a block for the header.
pub(crate) type PrepareBuffers = (Buffer, Buffer);

impl Preparation {
    pub(crate) fn new(header: SegmentHeader, (zeros, block): PrepareBuffers) -> Preparation {
        debug_assert!(zeros.iter().all(|&byte| byte == 0));
        Preparation {
            header,
            slot: None,
            step: Step::Open,
            waiting: false,
            zeroed: 0,
            zeroing: 0,
            zeros: Some(zeros),
            block: Some(block),
            retry_at: 0,
            failure: None,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.step == Step::Ready
    }

    /// Whether an operation is in flight.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether the file exists; to be asked when no operation is in flight.
    pub(crate) fn is_begun(&self) -> bool {
        self.step != Step::Open
    }

    /// Gives the buffers back, for the preparation after this one.
    pub(crate) fn take_buffers(&mut self) -> PrepareBuffers {
        debug_assert!(self.is_ready());
        (self.zeros.take().expect("nothing is in flight"), self.block.take().expect("nothing is in flight"))
    }

    /// Submits the next operation, if none is in flight and it is time. `used` of `of` bytes of the active
    /// segment are taken; `hurry` is said when somebody waits for this one.
    pub(crate) fn advance(
        &mut self,
        backend: &mut impl IoBackend,
        files: &mut Files,
        token: u64,
        now: u64,
        (used, of): (u64, u64),
        hurry: bool,
    ) {
        if self.waiting || self.step == Step::Ready || now < self.retry_at {
            return;
        }
        // Which part is zeroed, and which part is used, over one denominator.
        let zeroed = u128::from(self.zeroed) * u128::from(of);
        let used = u128::from(used) * u128::from(self.header.capacity);
        if zeroed > 2 * used && !hurry {
            return;
        }
        let slice = if hurry || 10 * zeroed < 11 * used { ZERO_SLICE_BYTES_MAX } else { ZERO_SLICE_BYTES };
        let Some(kind) = self.next_operation(files, slice as u64) else {
            return;
        };
        self.waiting = true;
        if let Err(op) = backend.submit(Op { token, kind }) {
            self.waiting = false;
            self.take_back(op.kind.into_buffer());
        }
    }

    fn next_operation(&mut self, files: &mut Files, slice: u64) -> Option<OpKind> {
        let id = self.header.id;
        let capacity = self.header.capacity;
        let file = match self.slot {
            Some(slot) => slot,
            None => match files.pin(id) {
                Pinned::ToOpen(slot) => *self.slot.insert(slot),
                Pinned::Open(_) | Pinned::Wait => return None,
            },
        };
        Some(match self.step {
            Step::Open => OpKind::Open { file, name: id.file_name(), mode: OpenMode::CreateNew },
            Step::Allocate => OpKind::Allocate { file, len: capacity },
            Step::Zero => {
                let buffer = self.zeros.take()?;
                self.zeroing = (capacity - self.zeroed).min(slice);
                OpKind::Write { file, at: self.zeroed, buffer, len: self.zeroing as usize, durable: false }
            }
            Step::Flush => OpKind::Flush { file },
            Step::Header => {
                let mut buffer = self.block.take()?;
                self.header.encode(&mut buffer);
                let durable = !planted::is(Bug::HeaderNotFlushed);
                OpKind::Write { file, at: 0, buffer, len: BLOCK_BYTES, durable }
            }
            Step::Publish => {
                let name = FileName::new(&log_directory(id.log)).expect("a log's directory has a short name");
                OpKind::FlushDirectory { name }
            }
            Step::Ready => return None,
        })
    }

    fn take_back(&mut self, buffer: Option<Buffer>) {
        match buffer {
            Some(buffer) if buffer.len() == BLOCK_BYTES => self.block = Some(buffer),
            Some(buffer) => self.zeros = Some(buffer),
            None => {}
        }
    }

    /// Takes the completion of the operation in flight.
    ///
    /// # Errors
    /// A flush that failed is final, as for frames: a second one may succeed and have saved nothing. What fails before
    /// that is tried again later.
    pub(crate) fn complete(
        &mut self,
        files: &mut Files,
        result: Result<(), IoError>,
        buffer: Option<Buffer>,
        now: u64,
    ) -> Result<(), IoError> {
        self.waiting = false;
        self.take_back(buffer);
        if let Err(error) = result {
            self.failure = Some(error);
            self.retry_at = now.saturating_add(PREPARE_RETRY_NS);
            return match self.step {
                // A full disk may show only now; all of the zeros are written again before they are flushed again.
                Step::Flush if error.is_no_space() => {
                    self.step = Step::Zero;
                    self.zeroed = 0;
                    Ok(())
                }
                Step::Open | Step::Allocate | Step::Zero => Ok(()),
                Step::Flush | Step::Header | Step::Publish | Step::Ready => Err(error),
            };
        }
        self.failure = None;
        self.step = match self.step {
            Step::Open => {
                files.opened(self.slot.expect("an opened file has its slot"));
                Step::Allocate
            }
            Step::Allocate => Step::Zero,
            Step::Zero => {
                self.zeroed += self.zeroing;
                if self.zeroed == self.header.capacity { Step::Flush } else { Step::Zero }
            }
            Step::Flush => Step::Header,
            Step::Header if planted::is(Bug::DirectoryNotFlushed) => Step::Ready,
            Step::Header => Step::Publish,
            Step::Publish | Step::Ready => Step::Ready,
        };
        Ok(())
    }
}
