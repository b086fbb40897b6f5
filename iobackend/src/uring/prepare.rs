//! Writes an operation as the kernel reads it.

use std::os::fd::{AsRawFd, RawFd};

use io_uring::types::{DestinationSlot, Fd, Fixed, FsyncFlags};
use io_uring::{opcode, squeue};

use crate::arena::Buffer;
use crate::config::DurableWrite;
use crate::files::FILE_MODE;
use crate::op::{FileName, FileSlot, OpKind, OpenMode};

/// What all operations of a ring have in common.
pub(super) struct Context {
    /// The root directory, which names are relative to.
    pub(super) root: std::fs::File,
    /// `O_DIRECT`, or nothing.
    pub(super) open_flags: i32,
    /// Whether the arena is the ring's fixed buffer 0.
    pub(super) fixed: bool,
    /// How a durable write is made.
    pub(super) durable_write: DurableWrite,
}

const ARENA_INDEX: u16 = 0;

impl Context {
    /// The first submission entry of an operation. It holds addresses of the
    /// operation's buffer or name.
    pub(super) fn entry(&self, kind: &mut OpKind) -> squeue::Entry {
        match kind {
            OpKind::Write { file, at, buffer, len, durable } => {
                // With direct I/O into written blocks this is one FUA write or
                // a write and a device flush, for half the CPU of a linked fsync.
                let dsync = *durable && self.durable_write == DurableWrite::Dsync;
                self.write(*file, *at, buffer, *len, if dsync { libc::RWF_DSYNC } else { 0 })
            }
            OpKind::Read { file, at, buffer, len } => self.read(*file, *at, buffer, *len),
            OpKind::Flush { file } => flush(*file),
            OpKind::Open { file, name, mode } => self.open(*file, name, *mode),
            OpKind::Allocate { file, len } => opcode::Fallocate::new(fixed(*file), *len).build(),
            OpKind::FlushDirectory { name } => {
                let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
                opcode::OpenAt::new(self.root(), name.as_c_ptr()).flags(flags).build()
            }
        }
    }

    /// The entry to be linked behind the first one, where there is one: of a durable
    /// write that is not durable by itself.
    #[inline]
    pub(super) fn linked_entry(&self, kind: &OpKind) -> Option<squeue::Entry> {
        match *kind {
            OpKind::Write { file, durable: true, .. } if self.durable_write == DurableWrite::LinkedFlush => {
                Some(flush(file))
            }
            _ => None,
        }
    }

    fn root(&self) -> Fd {
        Fd(self.root.as_raw_fd())
    }

    fn write(&self, file: FileSlot, at: u64, data: &[u8], len: usize, flags: i32) -> squeue::Entry {
        let (start, len) = (data.as_ptr(), len as u32); // fits: see limits
        if self.fixed {
            opcode::WriteFixed::new(fixed(file), start, len, ARENA_INDEX).offset(at).rw_flags(flags).build()
        } else {
            opcode::Write::new(fixed(file), start, len).offset(at).rw_flags(flags).build()
        }
    }

    fn read(&self, file: FileSlot, at: u64, buffer: &mut Buffer, len: usize) -> squeue::Entry {
        let (start, len) = (buffer.as_mut_ptr(), len as u32); // fits: see limits
        if self.fixed {
            opcode::ReadFixed::new(fixed(file), start, len, ARENA_INDEX).offset(at).build()
        } else {
            opcode::Read::new(fixed(file), start, len).offset(at).build()
        }
    }

    /// Opens straight into the ring's file table. Such a file has no
    /// descriptor to inherit, and the kernel refuses `O_CLOEXEC` for it.
    fn open(&self, file: FileSlot, name: &FileName, mode: OpenMode) -> squeue::Entry {
        let Ok(slot) = DestinationSlot::try_from_slot_target(u32::from(file.0)) else {
            unreachable!("16 bits are far from the table's largest index");
        };
        let access = match mode {
            OpenMode::CreateNew => libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
            OpenMode::ReadWrite => libc::O_RDWR,
            OpenMode::ReadOnly => libc::O_RDONLY,
        };
        opcode::OpenAt::new(self.root(), name.as_c_ptr())
            .file_index(Some(slot))
            .flags(access | self.open_flags)
            .mode(FILE_MODE)
            .build()
    }
}

/// Flushes a file of the table. The kernel looks the slot up when it takes the
/// entry (before Linux 5.18) or when it begins it: a write that this is linked
/// to needs its slot to hold the same file all the while.
pub(super) fn flush(file: FileSlot) -> squeue::Entry {
    opcode::Fsync::new(fixed(file)).flags(FsyncFlags::DATASYNC).build()
}

/// The second entry of a directory flush. Two steps and not two linked entries:
/// before Linux 5.18 a linked entry looks its file up before the first has run.
pub(super) fn flush_of(directory: RawFd) -> squeue::Entry {
    opcode::Fsync::new(Fd(directory)).build()
}

/// Reports, once, that a descriptor is readable. Unlike a read it leaves the
/// kernel no memory of ours to write.
pub(super) fn watch(descriptor: RawFd) -> squeue::Entry {
    opcode::PollAdd::new(Fd(descriptor), libc::POLLIN as u32).build()
}

fn fixed(file: FileSlot) -> Fixed {
    Fixed(u32::from(file.0))
}
