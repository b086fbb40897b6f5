//! What a backend is asked and what it answers.
//!
//! Operations own their buffers: a buffer moves into the operation and comes
//! back in its completion, so nobody can touch memory that the kernel may be
//! writing. No type here refers to a particular backend.

use std::ffi::c_char;
use std::fmt;

use crate::arena::Buffer;
use crate::error::{IoError, NameError, NameFault};
use crate::limits::FILE_NAME_BYTES_MAX;

/// A place in the backend's file table, filled by [`OpKind::Open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileSlot(pub u16);

impl FileSlot {
    /// The slot's index in a table.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A path relative to the backend's root, such as `shard-0003/00000012.seg`,
/// held inline so that naming a file never allocates. `.` is the root itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileName {
    len: u8,
    /// The name, then zeros: at least one, so that it is a C string as it lies.
    bytes: [u8; FILE_NAME_BYTES_MAX + 1],
}

impl FileName {
    /// Checks and stores a name of at most [`FILE_NAME_BYTES_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// When the name is empty, too long, absolute, holds a NUL byte, or has a
    /// component that is empty or `..`, or a `.` that is not the whole name: a
    /// name never leads out of the root, and a file has one name only.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if let Some(fault) = Self::fault(name) {
            return Err(NameError { name: name.into(), fault });
        }
        let mut bytes = [0; FILE_NAME_BYTES_MAX + 1];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self {
            len: name.len() as u8, // at most FILE_NAME_BYTES_MAX
            bytes,
        })
    }

    fn fault(name: &str) -> Option<NameFault> {
        if name.len() > FILE_NAME_BYTES_MAX {
            return Some(NameFault::TooLong);
        }
        if name.contains('\0') {
            return Some(NameFault::Nul);
        }
        if name == "." {
            return None;
        }
        let strays = |part: &str| part.is_empty() || part == "." || part == "..";
        name.split('/').any(strays).then_some(NameFault::Component)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match std::str::from_utf8(&self.bytes[..usize::from(self.len)]) {
            Ok(name) => name,
            Err(_) => unreachable!("a FileName is made from a str only"),
        }
    }

    /// The directory that holds the file: `.` for one directly in the root.
    #[must_use]
    pub fn parent(&self) -> &str {
        self.as_str().rsplit_once('/').map_or(".", |(dir, _)| dir)
    }

    /// The name as a NUL-terminated string, valid as long as `self` stays where it is.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn as_c_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileName({:?})", self.as_str())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How [`OpKind::Open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Makes a new file for reading and writing; fails if the name is taken.
    CreateNew,
    /// Opens a file that exists for reading and writing.
    ReadWrite,
    /// Opens a file that exists for reading.
    ReadOnly,
}

/// One operation and the caller's mark on it.
#[derive(Debug)]
pub struct Op {
    /// Comes back in the [`Completion`]; the backend does not look at it.
    pub token: u64,
    /// What to do.
    pub kind: OpKind,
}

/// What an [`Op`] does. Operations in flight together are not ordered: one that
/// depends on another waits for its completion.
#[derive(Debug)]
pub enum OpKind {
    /// Writes the first `len` bytes of `buffer` at byte `at`.
    Write {
        /// Where to.
        file: FileSlot,
        /// First byte in the file; a multiple of the alignment for direct I/O.
        at: u64,
        /// Holds the data; comes back in the completion.
        buffer: Buffer,
        /// Bytes to write, at least one; a multiple of the alignment for direct I/O.
        len: usize,
        /// The completion then says that the data, and the metadata needed to
        /// reach it in this file, survive power loss. The file's directory
        /// entry is another matter: see [`OpKind::FlushDirectory`].
        durable: bool,
    },
    /// Reads `len` bytes at byte `at` into the start of `buffer`. Reaching the
    /// end of the file before that is [`IoError::Short`].
    Read {
        /// Where from.
        file: FileSlot,
        /// First byte in the file; a multiple of the alignment for direct I/O.
        at: u64,
        /// Receives the data; comes back in the completion.
        buffer: Buffer,
        /// Bytes to read, at least one; a multiple of the alignment for direct I/O.
        len: usize,
    },
    /// Makes every write to the file that completed before durable, with the
    /// metadata needed to read it back (`fdatasync`).
    Flush {
        /// Which file.
        file: FileSlot,
    },
    /// Opens a file into a slot and closes the one that it held. If opening
    /// fails the slot keeps what it held.
    Open {
        /// Where to put it.
        file: FileSlot,
        /// Which file.
        name: FileName,
        /// How.
        mode: OpenMode,
    },
    /// Makes the file at least `len` bytes long, with space behind them where
    /// the file system can promise that (`fallocate`), else by setting the
    /// length. Never shortens a file. Not durable by itself.
    Allocate {
        /// Which file; open for writing.
        file: FileSlot,
        /// Length in bytes, at least one.
        len: u64,
    },
    /// Makes the entries of a directory durable: files created, removed or renamed in it.
    FlushDirectory {
        /// Which directory; `.` is the root.
        name: FileName,
    },
}

impl OpKind {
    /// The operation's name, as errors carry it.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Write { .. } => Operation::Write,
            Self::Read { .. } => Operation::Read,
            Self::Flush { .. } => Operation::Flush,
            Self::Open { .. } => Operation::Open,
            Self::Allocate { .. } => Operation::Allocate,
            Self::FlushDirectory { .. } => Operation::FlushDirectory,
        }
    }

    /// The slot that is being opened, if that is what it does.
    pub(crate) fn opens(&self) -> Option<FileSlot> {
        match self {
            Self::Open { file, .. } => Some(*file),
            _ => None,
        }
    }

    /// The operation's buffer, if it has one.
    #[must_use]
    pub fn into_buffer(self) -> Option<Buffer> {
        match self {
            Self::Write { buffer, .. } | Self::Read { buffer, .. } => Some(buffer),
            _ => None,
        }
    }
}

/// The kinds of [`OpKind`], without their contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`OpKind::Write`]
    Write,
    /// [`OpKind::Read`]
    Read,
    /// [`OpKind::Flush`]
    Flush,
    /// [`OpKind::Open`]
    Open,
    /// [`OpKind::Allocate`]
    Allocate,
    /// [`OpKind::FlushDirectory`]
    FlushDirectory,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Flush => "flush",
            Self::Open => "open",
            Self::Allocate => "allocate",
            Self::FlushDirectory => "flush of a directory",
        })
    }
}

/// The end of one operation.
#[derive(Debug)]
pub struct Completion {
    /// The operation's token.
    pub token: u64,
    /// Whether all of it was done.
    pub result: Result<(), IoError>,
    /// The operation's buffer, also after an error. `None` for operations without one.
    pub buffer: Option<Buffer>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_text_and_its_terminator() {
        let name = FileName::new("shard-0003/00000012.seg").unwrap();
        assert_eq!(name.as_str(), "shard-0003/00000012.seg");
        assert_eq!(name.parent(), "shard-0003");
        assert_eq!(FileName::new("manifest").unwrap().parent(), ".");

        let longest = "n".repeat(FILE_NAME_BYTES_MAX);
        let name = FileName::new(&longest).unwrap();
        assert_eq!(name.as_str(), longest);
        assert_eq!(name.bytes.last(), Some(&0));
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_root() {
        let too_long = "n".repeat(FILE_NAME_BYTES_MAX + 1);
        for name in ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a/", "a\0b", &too_long] {
            assert!(FileName::new(name).is_err(), "{name:?} was taken");
        }
        assert!(FileName::new(".").is_ok());
    }
}
