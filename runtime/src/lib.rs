//! Diatreme: a thread-per-core, shared-nothing storage engine for many tenants, to be embedded.
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! use diatreme::Engine;
//!
//! let engine = Engine::builder(path).unencrypted().shards(1).open()?;
//! let mut client = engine.client();
//! let stream = client.ensure_stream("acme", "audit")?;
//! let appended = client.append(&stream, b"a record")?;
//! assert!(appended.is_durable());
//! let records = client.read(&stream, appended.first, 10)?;
//! assert_eq!(records[0].payload, b"a record");
//! drop(client);
//! engine.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An [`Engine`] owns a data directory and its shards, each a thread pinned to a core. A [`Client`] is one thread's way to them.
//! What an answer promises is the tenant's [`Durability`], or the engine's (`docs/durability.md`); what is on the disk stands in
//! `docs/format.md`.
#![forbid(unsafe_code)]

mod builder;
mod client;
mod clock;
pub mod cores;
mod encryption;
mod engine;
mod error;
mod hosted;
mod idle;
mod key_calls;
mod lock;
mod notarized;
mod place;
mod shard_thread;
mod wait;

pub use builder::{Builder, Cores, FRAME_CAP_DEFAULT, Waiting};
pub use client::{AppendOptions, Appended, Client, Completion, Head, Named, Outcome, Record, StreamRef, Token};
pub use encryption::KeyReport;
pub use engine::{Engine, ShardReport, StartReport};
pub use error::{CallError, EraseError, OpenError, ProofError};
pub use hosted::{HostedShard, ShardSeat};
pub use lock::DirectoryLock;
pub use notarized::{Checkpoints, NotaryReport, SignedCheckpoint};

/// Checkpoints and proofs, and how they are verified.
pub use crypto::note::{Checkpoint, ConsistencyProof, InclusionProof, NoteError, Verifier};
/// A client that remembers: it demands that each checkpoint extends the last one.
pub use notary::{Accepted, Pinned, PinnedError};

/// What the README shows is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Keeps the whole process out of core dumps: its host's decision, and no engine's.
pub use crypto::secret::undump_process;
/// The choice of an I/O backend, what was chosen, and why it refuses.
pub use iobackend::{BackendInfo, BackendKind, DurableWrite, IoError, Mode, OpenError as BackendError};
/// How a tenant's or a stream's records are kept.
pub use kernel::Encryption;
/// What answers promise.
pub use kernel::{Durability, Level, PolicyFault, SyncPolicy};
/// Ids, and why the state machine refuses.
pub use kernel::{Refusal, StreamId, TenantId};
/// Where the master key comes from, and what an erasure does with it.
pub use keys::{Erased, Error as KeyError, MasterSource, NewMaster, OldMaster, generate_master_file};
/// Where time goes, with the feature `timing`.
pub use log::timing::{Log2Histogram, Stage, StageStats, StageTime, Step};
/// What is wrong with a log or a manifest, and where.
pub use log::{BadCopy, Cause, Damage, Fault, LogError, LogStats, Loss, SegmentId, Torn};
/// How far an opening has come, and what it found.
pub use recovery::{Progress as RecoveryProgress, RecoveryReport};
/// Where tenants live.
pub use router::{Placement, PlacementError};
/// What a turn did; the records of a read, where they lie; what a shard did; and why it failed.
pub use shard::{Progress, ShardStats, limits::IN_FLIGHT_MAX, wire::Failure, wire::ReadRecord, wire::ReadRecords};
