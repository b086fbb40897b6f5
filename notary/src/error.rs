//! Why something was not followed, signed or proven.

use crate::follow::Stop;
use log::LogError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the notary did not do what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The log, or the manifest.
    Log(LogError),
    /// The directory has no manifest that can be read, so nothing tells whose it is.
    NoManifest,
    /// A file of the notary's own.
    File {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a tree does not hold what was written to it.
    Tiles {
        /// The file.
        path: PathBuf,
    },
    /// The key store.
    Keys(keys::Error),
    /// No records of the tenant are known.
    UnknownTenant {
        /// The tenant.
        tenant: u64,
    },
    /// Something is wrong with the tenant's records: nothing more is signed for it.
    Stopped {
        /// The tenant.
        tenant: u64,
        /// Where, and what.
        stop: Stop,
    },
    /// The tree does not contain what was signed.
    Refused(Refused),
    /// No checkpoint of the tenant was signed yet.
    NoCheckpoint {
        /// Its file.
        path: PathBuf,
    },
    /// A checkpoint on file that is none, or not of this tenant's tree.
    BadCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// What was given as a checkpoint of the tenant is none.
    NotOfTenant {
        /// The tenant.
        tenant: u64,
    },
    /// The records are not those of which a checkpoint is.
    OtherHistory {
        /// The tenant.
        tenant: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The tenant has no such record, or the newest checkpoint does not cover it yet.
    NotCovered {
        /// The stream.
        stream: u32,
        /// The offset.
        offset: u64,
        /// The size of the newest checkpoint.
        size: u64,
    },
    /// No intact frame holds the record.
    NoRecord {
        /// The stream.
        stream: u32,
        /// The offset.
        offset: u64,
    },
    /// A proof was asked from a tree that is larger than the newest checkpoint's.
    OldIsNewer {
        /// The size that was asked for.
        old: u64,
        /// The size of the newest checkpoint.
        size: u64,
    },
}

/// What was signed is not part of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The tree is smaller.
    Smaller {
        /// The tenant.
        tenant: u64,
        /// Records that were signed.
        signed: u64,
        /// Records that there are.
        size: u64,
    },
    /// The tree was another at that size.
    OtherRoot {
        /// The tenant.
        tenant: u64,
        /// Records that were signed.
        signed: u64,
    },
}

impl Error {
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::File { doing, path, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Log(error) => error.fmt(f),
            Error::NoManifest => f.write_str(
                "no copy of the manifest can be read, so nothing tells whose records these are: restore one from a backup",
            ),
            Error::File { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Error::Tiles { path } => write!(
                f,
                "{} does not hold the tree that was written: remove the directory `notary`, and it is made anew from the log",
                path.display()
            ),
            Error::Keys(error) => error.fmt(f),
            Error::UnknownTenant { tenant } => write!(f, "no records of tenant {tenant:016x} are known"),
            Error::Stopped { tenant, stop } => write!(
                f,
                "nothing more is signed for tenant {tenant:016x}: {stop}; run `diatreme verify`, put back what is lost, and \
                 remove the directory `notary`, so that the log is followed anew"
            ),
            Error::Refused(refused) => refused.fmt(f),
            Error::NoCheckpoint { path } => {
                write!(f, "{} is not there: no checkpoint was signed yet; run `diatreme checkpoint`", path.display())
            }
            Error::BadCheckpoint { path, fault } => {
                write!(f, "{}: {fault}; run `diatreme checkpoint`", path.display())
            }
            Error::NotOfTenant { tenant } => {
                write!(f, "it is no checkpoint of tenant {tenant:016x} of this directory")
            }
            Error::OtherHistory { tenant, size } => write!(
                f,
                "the first {size} records of tenant {tenant:016x} are not those of which this checkpoint is: if its signature is \
                 good, the log was rewritten, or it is another one"
            ),
            Error::NotCovered { stream, offset, size } => write!(
                f,
                "stream {stream} offset {offset}: the newest checkpoint, of {size} records, does not cover it yet; sign a newer \
                 one"
            ),
            Error::NoRecord { stream, offset } => write!(
                f,
                "stream {stream} offset {offset}: no intact frame holds it: it was not written, or is damaged; run `diatreme \
                 verify`"
            ),
            Error::OldIsNewer { old, size } => write!(
                f,
                "the checkpoint to start from has {old} records, the newest one here {size}: sign a newer one, or, if one was \
                 signed, records are missing here"
            ),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Smaller { tenant, signed, size } => write!(
                f,
                "tenant {tenant:016x}: {signed} records were signed and {size} are there: the directory was restored from an \
                 older copy, or its log was cut"
            )?,
            Refused::OtherRoot { tenant, signed } => write!(
                f,
                "tenant {tenant:016x}: the first {signed} records are not those that were signed: the log was rewritten, or the \
                 directory restored from an older copy and written on"
            )?,
        }
        f.write_str(
            "; nothing is signed for it: bring back the newer data, or have an operator re-anchor the tenant, which is recorded \
             and which whoever holds an earlier checkpoint will notice",
        )
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Log(error) => Some(error),
            Error::File { source, .. } => Some(source),
            Error::Keys(error) => Some(error),
            _ => None,
        }
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        Error::Log(error)
    }
}

impl From<keys::Error> for Error {
    fn from(error: keys::Error) -> Self {
        Error::Keys(error)
    }
}
