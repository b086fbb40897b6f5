//! Why a key store is not opened, or not changed. No variant holds key material, nor anything that a key's source gave.

use crate::format::Fault;
use crate::signed::Regress;
use crate::source::{MasterSource, SourceError};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something was not done with a key store.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The system said no.
    System {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no key store.
    Missing {
        /// Its file.
        path: PathBuf,
    },
    /// There is a key store already, or what is left of one.
    Exists {
        /// The file that says so.
        path: PathBuf,
    },
    /// Another process has the store open.
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// A file is not what its name says. It can be seen without a key.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// It belongs to another engine.
    Foreign {
        /// The file.
        path: PathBuf,
        /// The engine that it names.
        found: [u8; 16],
        /// The engine that opens it.
        expected: [u8; 16],
    },
    /// The keys do not fit. Nothing more is said, and no cause takes another time than the others: whoever tries keys, or
    /// alters the store and looks on, learns nothing from it.
    DoesNotOpen {
        /// The file.
        path: PathBuf,
    },
    /// The master key could not be had.
    Source(SourceError),
    /// A limit is reached.
    Full {
        /// The file.
        path: PathBuf,
        /// Of what.
        things: &'static str,
        /// How many it takes.
        max: usize,
    },
    /// A tenant, or a stream of it, has no key of its own.
    NoKey {
        /// The tenant.
        tenant: u64,
        /// The stream; 0: the tenant.
        stream: u32,
    },
    /// There is no such key, or it is erased.
    NotThere {
        /// The tenant.
        tenant: u64,
        /// The key.
        key_id: u32,
    },
    /// What should be a new master key is the old one.
    SameMaster {
        /// Where it came from.
        source: MasterSource,
    },
    /// The place of the master key has another key by now, and it would be lost.
    OtherMaster {
        /// The place.
        source: MasterSource,
    },
    /// Erasure needs a new master key, and the store cannot make one for this source.
    NeedsMaster {
        /// Where the present one comes from.
        source: MasterSource,
    },
    /// The key is erased; the old master key, which opens older copies of the store, is still there.
    MasterLeft {
        /// Its file.
        path: PathBuf,
        /// What is to be done.
        remedy: &'static str,
        /// Why it is still there.
        source: io::Error,
    },
    /// A write failed before, and nobody knows what the disk has of it.
    Interrupted {
        /// The file.
        path: PathBuf,
    },
    /// There is no signed state beside the keys.
    SignedMissing {
        /// Its file.
        path: PathBuf,
    },
    /// The signed state is in use already.
    SignedInUse {
        /// Its file.
        path: PathBuf,
    },
    /// What was to be signed contradicts what was signed.
    Regress(Regress),
}

impl Error {
    pub(crate) fn system(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::System { doing, path, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::System { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Error::Missing { path } => write!(
                f,
                "{}: there is no key store here; name the right directory, or put the store back from its backup: \
                 what was sealed cannot be read without it",
                path.display()
            ),
            Error::Exists { path } => write!(
                f,
                "{} is there: a key store is never made where one is, or was; open it, or put its other files back",
                path.display()
            ),
            Error::Locked { path } => write!(
                f,
                "{} is locked: another process has the key store open; close it there, or name another directory",
                path.display()
            ),
            Error::Damaged { path, fault } => fault.describe(f, path),
            Error::Foreign { path, found, expected } => write!(
                f,
                "{}: it is the key store of engine {}, not of {}; name the directory that belongs to this engine",
                path.display(),
                Hex(found),
                Hex(expected)
            ),
            Error::DoesNotOpen { path } => write!(
                f,
                "{}: the master key does not open this key store: it is another key, or the store was altered",
                path.display()
            ),
            Error::Source(error) => error.fmt(f),
            Error::Full { path, things, max } => {
                write!(f, "{}: it is full: it takes {max} {things}, erased ones included", path.display())
            }
            Error::NoKey { tenant, stream: 0 } => {
                write!(f, "tenant {tenant:016x} has no key: it is not encrypted, or of another engine")
            }
            Error::NoKey { tenant, stream } => write!(
                f,
                "stream {stream} of tenant {tenant:016x} has no key of its own; it can be erased with its tenant"
            ),
            Error::NotThere { tenant, key_id } => {
                write!(f, "tenant {tenant:016x} has no key {key_id}, or it is erased")
            }
            Error::SameMaster { source } => {
                write!(f, "{source}: this is the master key that the store has already; give a new one")
            }
            Error::OtherMaster { source } => write!(
                f,
                "{source}: this is another master key than the one that the store was opened with, so it is not replaced; does \
                 another key store use the file? Bring the store's own back, or name the source of a new one"
            ),
            Error::NeedsMaster { source } => write!(
                f,
                "{source}: only a master key in a file can be replaced here; name the source of a new one, or say that \
                 the old one is kept (then an older copy of the key store still opens what is erased)"
            ),
            Error::MasterLeft { path, remedy, source } => write!(
                f,
                "the key is erased, but the old master key in {}, which opens older copies of the key store, is not \
                 destroyed: {source}; {remedy}",
                path.display()
            ),
            Error::Interrupted { path } => write!(
                f,
                "an earlier write of {} failed, and what the disk has of it is not known; open the key store again",
                path.display()
            ),
            Error::SignedMissing { path } => write!(
                f,
                "{} is missing: what was signed last is not known, so nothing is signed; put the file back, or re-anchor \
                 every tenant",
                path.display()
            ),
            Error::SignedInUse { path } => write!(f, "{} is in use by this process already", path.display()),
            Error::Regress(regress) => regress.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::System { source, .. } | Error::MasterLeft { source, .. } => Some(source),
            Error::Source(error) => Some(error),
            Error::Regress(regress) => Some(regress),
            _ => None,
        }
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Error::Source(error)
    }
}

impl From<Regress> for Error {
    fn from(regress: Regress) -> Self {
        Error::Regress(regress)
    }
}

/// Bytes as hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
