//! What can go wrong, said once at the boundary to the operating system.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::Mode;
use crate::limits::{DEPTH_MAX, FILE_NAME_BYTES_MAX, FILE_SLOTS_MAX};
use crate::op::Operation;

/// Why an operation failed. The file and the place are the caller's to add: it
/// finds them under the completion's token. Copying one costs nothing.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoError {
    /// Less was read or written than asked: the end of the file or of the
    /// device. A short write is a failure, never progress.
    Short {
        /// Read or write.
        operation: Operation,
        /// Bytes asked for.
        wanted: usize,
        /// Bytes moved.
        got: usize,
    },
    /// The device or the quota is full.
    NoSpace {
        /// What was attempted.
        operation: Operation,
    },
    /// The operating system refused.
    Os {
        /// What was attempted.
        operation: Operation,
        /// Its error number, as in `errno(3)`.
        errno: i32,
    },
}

impl IoError {
    /// Sorts an error number into its variant.
    #[must_use]
    pub fn from_errno(operation: Operation, errno: i32) -> Self {
        match errno {
            libc::ENOSPC | libc::EDQUOT => Self::NoSpace { operation },
            errno => Self::Os { operation, errno },
        }
    }

    /// The same for an [`io::Error`]; one without a number counts as `EIO`.
    #[must_use]
    pub fn from_io(operation: Operation, error: &io::Error) -> Self {
        Self::from_errno(operation, error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// What was attempted.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match *self {
            Self::Short { operation, .. } | Self::NoSpace { operation } | Self::Os { operation, .. } => operation,
        }
    }

    /// The standard library's name for the failure.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match *self {
            Self::Short { operation: Operation::Read, .. } => io::ErrorKind::UnexpectedEof,
            Self::Short { .. } => io::ErrorKind::WriteZero,
            Self::NoSpace { .. } => io::ErrorKind::StorageFull,
            Self::Os { errno, .. } => io::Error::from_raw_os_error(errno).kind(),
        }
    }

    /// Whether space is what is missing.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    /// Whether the file or directory does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Os { errno, .. } if *errno == libc::ENOENT)
    }

    /// Whether the device could not give back what was written: it is gone, and what lies around it may not be. The
    /// block layer has a number for a medium error, one for a failed integrity check, and one for the rest.
    #[must_use]
    pub fn is_bad_sector(&self) -> bool {
        matches!(self, Self::Os { operation: Operation::Read, errno: libc::EIO | libc::ENODATA | libc::EILSEQ })
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Short { operation, wanted, got } => write!(f, "{operation} stopped after {got} of {wanted} bytes"),
            Self::NoSpace { operation } => {
                write!(f, "{operation}: no space left on the device or in the quota; free some space")
            }
            Self::Os { operation, errno } => {
                write!(f, "{operation}: {}", io::Error::from_raw_os_error(errno))
            }
        }
    }
}

impl std::error::Error for IoError {}

impl From<IoError> for io::Error {
    fn from(error: IoError) -> Self {
        Self::new(error.kind(), error)
    }
}

/// A file name that a backend does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    pub(crate) name: String,
    pub(crate) fault: NameFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameFault {
    TooLong,
    Nul,
    Component,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file name {:?}: ", self.name)?;
        match self.fault {
            NameFault::TooLong => write!(f, "{} bytes long; at most {FILE_NAME_BYTES_MAX} are taken", self.name.len()),
            NameFault::Nul => f.write_str("holds a NUL byte"),
            NameFault::Component => {
                f.write_str("must be relative to the data directory, of parts that are neither empty nor `.` nor `..`")
            }
        }
    }
}

impl std::error::Error for NameError {}

impl From<NameError> for io::Error {
    fn from(error: NameError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// Why no backend could be opened.
#[non_exhaustive]
#[derive(Debug)]
pub enum OpenError {
    /// The data directory is missing or cannot be used.
    Root {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// `depth` is zero or more than [`DEPTH_MAX`].
    Depth {
        /// As configured.
        depth: usize,
    },
    /// `file_slots` is zero or more than [`FILE_SLOTS_MAX`].
    FileSlots {
        /// As configured.
        file_slots: usize,
    },
    /// A ring was asked for by name and cannot be had.
    RingUnavailable {
        /// What was asked for.
        mode: Mode,
        /// Why not.
        reason: RingError,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { path, error } => {
                write!(f, "data directory {}: {error}; create it and let this user read and write it", path.display())
            }
            Self::Depth { depth } => {
                write!(f, "backend depth {depth}: choose 1 to {DEPTH_MAX}")
            }
            Self::FileSlots { file_slots } => {
                write!(f, "file slots {file_slots}: choose 1 to {FILE_SLOTS_MAX}")
            }
            Self::RingUnavailable { mode, reason } => {
                write!(f, "backend {mode}: {reason}; choose `auto` or `sync` to go without io_uring")
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Root { error, .. } => Some(error),
            Self::RingUnavailable { reason, .. } => Some(reason),
            Self::Depth { .. } | Self::FileSlots { .. } => None,
        }
    }
}

/// Why io_uring cannot be used here.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// A step of setting the ring up was refused.
    Refused {
        /// Which step.
        step: &'static str,
        /// The system's error number.
        errno: i32,
    },
    /// The kernel has io_uring, but not all that this crate needs of it.
    Missing {
        /// An operation or feature.
        what: &'static str,
    },
    /// [`DurableWrite::LinkedFlush`](crate::DurableWrite::LinkedFlush) was asked of a ring with submission polling: the
    /// polling thread takes entries when it likes, and a link ends where it stops, so the flush could come before its write.
    LinkedPolled,
    /// This is not Linux.
    NotLinux,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Refused { step, errno } => {
                let error = io::Error::from_raw_os_error(errno);
                write!(f, "io_uring: {step}: {error}")?;
                f.write_str(match errno {
                    libc::ENOSYS => " (this kernel has no io_uring; Linux 5.15 or newer has what is needed)",
                    libc::EPERM | libc::EACCES => {
                        " (forbidden by a seccomp filter or by the sysctl kernel.io_uring_disabled)"
                    }
                    libc::ENOMEM => " (raise the limit on locked memory, RLIMIT_MEMLOCK)",
                    libc::EINVAL => " (a flag, or the CPU chosen for polling, is not taken here)",
                    libc::EMFILE => " (raise the limit on open files, RLIMIT_NOFILE)",
                    _ => "",
                })
            }
            Self::Missing { what } => write!(f, "io_uring: this kernel lacks {what}; Linux 5.15 or newer has it"),
            Self::LinkedPolled => f.write_str(
                "io_uring: submission polling may part a write from the flush linked to it (`uring` does not, and an \
                 RWF_DSYNC write is one entry)",
            ),
            Self::NotLinux => f.write_str("io_uring exists on Linux only"),
        }
    }
}

impl std::error::Error for RingError {}
