//! Why an engine does not open or close, and why a call comes to nothing.

use kernel::TenantId;
use log::LogError;
use shard::wire::Failure;
use std::path::{Path, PathBuf};

/// Why an engine could not be opened, or closed.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is out of range; the text names it and the range.
    Config(String),
    /// The data directory cannot be used.
    Directory {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has the directory open.
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// A log, or the manifest.
    Log(LogError),
    /// The I/O backend.
    Backend(iobackend::OpenError),
    /// The placement of tenants.
    Placement(router::PlacementError),
    /// A shard's thread could not be pinned.
    Pin {
        /// The shard.
        shard: u16,
        /// The CPU that was asked for.
        cpu: usize,
        /// The CPUs that its thread may run on instead.
        allowed: Vec<usize>,
    },
    /// The directory is in an older state than was asked for; see [`Builder::at_least`](crate::Builder::at_least).
    Older {
        /// The data directory.
        path: PathBuf,
        /// The generation that it has.
        found: u64,
        /// The generation that was asked for.
        at_least: u64,
    },
    /// The key store, or the master key.
    Keys(keys::Error),
    /// The key store is another engine's than that of the data directory, which is new, or has no manifest.
    ForeignKeys {
        /// The key store's directory.
        store: PathBuf,
        /// The engine that it belongs to.
        engine: [u8; 16],
    },
    /// The data directory needs keys, and there is no key store.
    KeysMissing {
        /// Where it was looked for.
        store: PathBuf,
        /// A tenant that needs one.
        tenant: TenantId,
        /// The key's number in the tenant.
        key_id: u32,
    },
    /// The notary.
    Notary(notary::Error),
    /// The notary's thread ended by a panic: our bug.
    NotaryPanicked,
    /// A key is not the one that the log's catalog commits to.
    KeyDiffers {
        /// The tenant.
        tenant: TenantId,
        /// The key's number in the tenant.
        key_id: u32,
    },
    /// What a log holds contradicts itself, under intact checksums.
    Replay {
        /// What the kernel says of it.
        reason: String,
    },
    /// A shard's thread ended by a panic: our bug.
    ShardPanicked {
        /// The shard.
        shard: u16,
    },
    /// A hosted shard was dropped, or never started, where it was to be closed.
    ShardDropped {
        /// The shard.
        shard: u16,
    },
    /// A hosted shard could not be started.
    ShardNotStarted {
        /// The shard.
        shard: u16,
        /// What its host was told.
        reason: String,
    },
    /// The engine was closed in the thread of a hosted shard that was not closed before.
    ShardOpen {
        /// The shard.
        shard: u16,
    },
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Config(text) => f.write_str(text),
            OpenError::Directory { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            OpenError::Locked { path } => write!(
                f,
                "{} is locked: another process has the data directory open; close it there, or name another directory",
                path.display()
            ),
            OpenError::Log(error) => error.fmt(f),
            OpenError::Backend(error) => error.fmt(f),
            OpenError::Placement(error) => error.fmt(f),
            OpenError::Pin { shard, cpu, allowed } => write!(
                f,
                "shard {shard} cannot be pinned to CPU {cpu}: its thread may run on {allowed:?}; choose among them, or run unpinned"
            ),
            OpenError::Older { path, found, at_least } => {
                let error = recovery::Error::Older { found: *found, at_least: *at_least };
                write!(f, "{}: {error}", path.display())
            }
            OpenError::Keys(error) => error.fmt(f),
            OpenError::ForeignKeys { store, engine } => {
                write!(f, "{}: the key store of engine ", store.display())?;
                engine.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(
                    ", and the data directory has no manifest: name the data directory that belongs to it, or another key store",
                )
            }
            OpenError::KeysMissing { store, tenant, key_id } => write!(
                f,
                "{}: no key store, and tenant {tenant} is sealed with its key {key_id}: name the key store that belongs to the data \
                 directory, or restore it",
                store.display()
            ),
            OpenError::Notary(error) => error.fmt(f),
            OpenError::NotaryPanicked => f.write_str(
                "the notary ended by a panic, which is a bug: report it with the text above; what was acknowledged is safe, and what was \
                 signed stays valid",
            ),
            OpenError::KeyDiffers { tenant, key_id } => write!(
                f,
                "key {key_id} of tenant {tenant} is not the one that the log commits to: this is not the key store of this data \
                 directory, or one of the two was altered"
            ),
            OpenError::Replay { reason } => {
                write!(f, "the log contradicts itself: {reason}; run `diatreme verify`, and report it")
            }
            OpenError::ShardPanicked { shard } => {
                write!(
                    f,
                    "shard {shard} ended by a panic, which is a bug: report it with the text above; what was acknowledged is safe"
                )
            }
            OpenError::ShardDropped { shard } => write!(
                f,
                "shard {shard} was dropped by its host and not closed; what was acknowledged is safe; close it before the engine next time"
            ),
            OpenError::ShardNotStarted { shard, reason } => write!(f, "shard {shard} was not started: {reason}"),
            OpenError::ShardOpen { shard } => write!(
                f,
                "shard {shard} lives in the thread that closed the engine, and was open still; what was acknowledged is safe; \
                 close it before the engine next time"
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Directory { source, .. } => Some(source),
            OpenError::Log(error) => Some(error),
            OpenError::Backend(error) => Some(error),
            OpenError::Placement(error) => Some(error),
            OpenError::Keys(error) => Some(error),
            OpenError::Notary(error) => Some(error),
            _ => None,
        }
    }
}

impl OpenError {
    /// What kept a directory from being opened or closed.
    pub(crate) fn of(root: &Path) -> impl Fn(recovery::Error) -> OpenError {
        move |error| match error {
            recovery::Error::Log(error) => OpenError::Log(error),
            recovery::Error::Backend(error) => OpenError::Backend(error),
            recovery::Error::Memory(source) => {
                OpenError::Directory { doing: "take memory to read", path: root.into(), source }
            }
            recovery::Error::Placement(error) => OpenError::Placement(error),
            recovery::Error::Replay { reason } => OpenError::Replay { reason },
            recovery::Error::Older { found, at_least } => OpenError::Older { path: root.into(), found, at_least },
            other => OpenError::Config(other.to_string()),
        }
    }
}

impl From<notary::Error> for OpenError {
    fn from(error: notary::Error) -> Self {
        OpenError::Notary(error)
    }
}

impl From<keys::Error> for OpenError {
    fn from(error: keys::Error) -> Self {
        OpenError::Keys(error)
    }
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> Self {
        OpenError::Log(error)
    }
}

impl From<iobackend::OpenError> for OpenError {
    fn from(error: iobackend::OpenError) -> Self {
        OpenError::Backend(error)
    }
}

impl From<router::PlacementError> for OpenError {
    fn from(error: router::PlacementError) -> Self {
        OpenError::Placement(error)
    }
}

/// Why a call came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The queue to the shard is full. Nothing was sent: take answers, then try again.
    QueueFull {
        /// Requests in flight to the shard.
        depth: usize,
        /// Requests that may be.
        capacity: usize,
        /// Bytes that wait in the ring.
        bytes: usize,
        /// Bytes that may.
        bytes_capacity: usize,
    },
    /// The request is longer than any that is taken. Nothing was sent.
    RequestTooLarge {
        /// Its bytes.
        len: usize,
        /// Bytes that are taken.
        max: usize,
    },
    /// The shard answered that it cannot be done, and why.
    Failed(Failure),
    /// The engine is closed, or the shard is gone. An append that was not answered may or may not be in the log.
    Closed,
    /// The shard has as many clients as it takes.
    TooManyClients,
    /// The engine was opened without keys.
    Unencrypted,
    /// The key store holds as many keys as it takes.
    KeysFull {
        /// How many that is.
        max: usize,
    },
    /// A key could not be made durable in the key store. Nothing was sealed with it.
    KeyNotKept {
        /// What kind of error the system gave.
        kind: std::io::ErrorKind,
    },
}

impl CallError {
    /// Why a key could not be had.
    pub(crate) fn of_keys(error: &keys::Error) -> CallError {
        match error {
            keys::Error::Full { max, .. } => CallError::KeysFull { max: *max },
            keys::Error::System { source, .. } => CallError::KeyNotKept { kind: source.kind() },
            _ => CallError::KeyNotKept { kind: std::io::ErrorKind::Other },
        }
    }
}

/// Why an erasure came to nothing, or was interrupted: then it is to be asked for again.
#[derive(Debug)]
#[non_exhaustive]
pub enum EraseError {
    /// The call to the shard.
    Call(CallError),
    /// The new master key cannot be had, or is the old one. Nothing is erased.
    Refused(keys::Error),
    /// The key store, or the master key. The log says already that nothing of it is served.
    Keys(keys::Error),
}

impl std::fmt::Display for EraseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EraseError::Call(error) => error.fmt(f),
            EraseError::Refused(error) => write!(f, "nothing is erased: {error}"),
            EraseError::Keys(error) => write!(f, "the erasure is not complete, ask for it again: {error}"),
        }
    }
}

impl std::error::Error for EraseError {}

impl From<CallError> for EraseError {
    fn from(error: CallError) -> Self {
        EraseError::Call(error)
    }
}

impl From<keys::Error> for EraseError {
    fn from(error: keys::Error) -> Self {
        EraseError::Keys(error)
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::QueueFull { depth, capacity, bytes, bytes_capacity } => write!(
                f,
                "the queue is full: {depth} of {capacity} requests in flight, {bytes} of {bytes_capacity} bytes waiting; \
                 take answers, then try again"
            ),
            CallError::RequestTooLarge { len, max } => {
                write!(f, "a request of {len} bytes: at most {max} are taken; send less at a time")
            }
            CallError::Failed(failure) => failure.fmt(f),
            CallError::Closed => f.write_str("the engine is closed"),
            CallError::TooManyClients => f.write_str("the shard takes no more clients: drop one, then try again"),
            CallError::Unencrypted => {
                f.write_str("the engine was opened without keys: open it with its key store and master key")
            }
            CallError::KeysFull { max } => write!(f, "the key store holds {max} keys, and takes no more"),
            CallError::KeyNotKept { kind } => {
                write!(
                    f,
                    "a new key could not be made durable in the key store: {kind}; see to its disk, then try again"
                )
            }
        }
    }
}

impl std::error::Error for CallError {}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        CallError::Failed(failure)
    }
}

/// Why there is no checkpoint, or no proof.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProofError {
    /// The engine was opened without keys or without checkpoints, or its notary is gone.
    NoNotary,
    /// What the notary says.
    Notary(notary::Error),
}

impl std::fmt::Display for ProofError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProofError::NoNotary => f.write_str("the engine has no notary: open it with keys and checkpoints"),
            ProofError::Notary(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ProofError {}
