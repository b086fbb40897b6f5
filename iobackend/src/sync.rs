//! The synchronous backend: ordinary positioned reads and writes, one after
//! the other, in [`submit`](IoBackend::submit).
//!
//! It is what runs where io_uring is forbidden or missing, so it is a backend
//! in full and passes the same tests. It blocks its thread for the length of
//! each operation; the completion is kept for the next poll.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Duration;

use crate::IoBackend;
use crate::config::{BackendInfo, BackendKind};
use crate::error::IoError;
use crate::files::{FILE_MODE, Files};
use crate::op::{Completion, FileName, FileSlot, Op, OpKind, OpenMode, Operation};
use crate::sys;
use crate::waker::{Parker, Waker};

/// See the module's head.
pub struct SyncBackend {
    files: Files,
    open: Box<[Option<File>]>,
    finished: Vec<Finished>,
    depth: usize,
    parker: Parker,
    info: BackendInfo,
}

/// An operation that was carried out and not yet reported.
struct Finished {
    completion: Completion,
    /// For an open: its slot, and the name that it now holds.
    opened: Option<(FileSlot, Option<FileName>)>,
}

impl SyncBackend {
    pub(crate) fn new(files: Files, depth: usize, mut notes: Vec<String>) -> Self {
        notes.push(files.direct.note.clone());
        Self {
            open: (0..files.slot_count()).map(|_| None).collect(),
            finished: Vec::with_capacity(depth),
            depth,
            parker: Parker::new(),
            info: BackendInfo {
                kind: BackendKind::Sync,
                direct: files.direct.on,
                alignment: files.direct.alignment,
                fixed_buffers: false,
                notes,
            },
            files,
        }
    }

    fn file(&self, slot: FileSlot, operation: Operation) -> Result<&File, IoError> {
        let file = self.open[slot.index()].as_ref();
        file.ok_or(IoError::from_errno(operation, libc::EBADF))
    }

    fn write(&self, slot: FileSlot, at: u64, data: &[u8], durable: bool) -> Result<(), IoError> {
        let file = self.file(slot, Operation::Write)?;
        transfer(Operation::Write, data.len(), || file.write_at(data, at))?;
        if durable {
            flush(file, Operation::Write)?;
        }
        Ok(())
    }

    fn read(&self, slot: FileSlot, at: u64, data: &mut [u8]) -> Result<(), IoError> {
        let file = self.file(slot, Operation::Read)?;
        transfer(Operation::Read, data.len(), || file.read_at(data, at))
    }

    fn open(&mut self, slot: FileSlot, name: FileName, mode: OpenMode) -> Result<(), IoError> {
        let path = self.files.path(name.as_str());
        let opened = OpenOptions::new()
            .read(true)
            .write(mode != OpenMode::ReadOnly)
            .create_new(mode == OpenMode::CreateNew)
            .mode(FILE_MODE)
            .custom_flags(self.files.direct.open_flags())
            .open(&path);
        // A directory can be opened for reading, and is no file all the same; what direct I/O says of one tells nobody that.
        let is_directory = match &opened {
            Ok(file) => mode == OpenMode::ReadOnly && file.metadata().is_ok_and(|found| found.is_dir()),
            Err(_) => mode != OpenMode::CreateNew && path.is_dir(),
        };
        if is_directory {
            return Err(IoError::from_errno(Operation::Open, libc::EISDIR));
        }
        let file = opened.map_err(|error| IoError::from_io(Operation::Open, &error))?;
        self.open[slot.index()] = Some(file);
        Ok(())
    }

    fn allocate(&self, slot: FileSlot, len: u64) -> Result<(), IoError> {
        let operation = Operation::Allocate;
        let file = self.file(slot, operation)?;
        sys::allocate(file, len).map_err(|error| IoError::from_io(operation, &error))
    }

    fn flush_directory(&self, name: FileName) -> Result<(), IoError> {
        let flushed = self.files.flush_directory(name.as_str());
        flushed.map_err(|error| IoError::from_io(Operation::FlushDirectory, &error))
    }

    fn execute(&mut self, op: Op) -> Finished {
        let mut opened = None;
        let (result, buffer) = match op.kind {
            OpKind::Write { file, at, buffer, len, durable } => {
                (self.write(file, at, &buffer[..len], durable), Some(buffer))
            }
            OpKind::Read { file, at, mut buffer, len } => (self.read(file, at, &mut buffer[..len]), Some(buffer)),
            OpKind::Flush { file } => {
                let file = self.file(file, Operation::Flush);
                (file.and_then(|file| flush(file, Operation::Flush)), None)
            }
            OpKind::Open { file, name, mode } => {
                let result = self.open(file, name, mode);
                opened = Some((file, result.is_ok().then_some(name)));
                (result, None)
            }
            OpKind::Allocate { file, len } => (self.allocate(file, len), None),
            OpKind::FlushDirectory { name } => (self.flush_directory(name), None),
        };
        Finished { completion: Completion { token: op.token, result, buffer }, opened }
    }
}

/// One read or write of `wanted` bytes, which must move them all.
fn transfer(operation: Operation, wanted: usize, mut call: impl FnMut() -> io::Result<usize>) -> Result<(), IoError> {
    loop {
        match call() {
            Ok(got) if got == wanted => return Ok(()),
            Ok(got) => {
                return Err(IoError::Short { operation, wanted, got });
            }
            // Nothing was moved yet: a signal came first.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(IoError::from_io(operation, &error)),
        }
    }
}

/// On Linux `fdatasync`; on Apple's systems the standard library uses
/// `F_FULLFSYNC`, without which the drive's cache would not be flushed.
fn flush(file: &File, operation: Operation) -> Result<(), IoError> {
    file.sync_data().map_err(|error| IoError::from_io(operation, &error))
}

impl IoBackend for SyncBackend {
    /// Carries the operation out, blocking meanwhile.
    fn submit(&mut self, op: Op) -> Result<(), Op> {
        if self.finished.len() == self.depth {
            return Err(op);
        }
        self.files.begin(&op.kind);
        let finished = self.execute(op);
        self.finished.push(finished);
        Ok(())
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        for finished in self.finished.drain(..) {
            if let Some((file, name)) = finished.opened {
                self.files.end_open(file, name);
            }
            done.push(finished.completion);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.finished.is_empty() {
            self.parker.park(timeout);
        } else {
            self.parker.clear();
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.parker.waker()
    }

    fn in_flight(&self) -> usize {
        self.finished.len()
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn list(&mut self, directory: &str) -> io::Result<Vec<String>> {
        self.files.list(directory)
    }

    fn create_directory(&mut self, directory: &str) -> io::Result<()> {
        self.files.create_directory(directory)
    }

    fn length(&mut self, file: FileSlot) -> io::Result<u64> {
        self.files.length(file)
    }

    fn truncate(&mut self, file: FileSlot, len: u64) -> io::Result<()> {
        self.files.truncate(file, len)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }
}
