//! The pure state machine of Diatreme: tenants and streams.
//!
//! A [`Kernel`] decides. It takes [`Command`]s that borrow from the request where it lies, checks
//! them against its state, and fills [`Effects`]: the records to log, with their offsets,
//! positions and timestamps, and the reply of each command. It says where a payload lies and does
//! not touch it.
//!
//! ```
//! use kernel::{Command, Effects, Kernel, Limits, Records, Reply, TenantId};
//!
//! let mut kernel = Kernel::new(Limits::default());
//! let mut effects = Effects::new(128);
//! let tenant = TenantId::of_name("acme");
//! kernel.apply(0, &Command::CreateTenant { tenant, name: "acme", key: None }, 1_000, &mut effects);
//! kernel.apply(1, &Command::CreateStream { tenant, name: "orders", key: None }, 1_000, &mut effects);
//! let Ok(Reply::StreamCreated { stream, .. }) = effects.replies[1].outcome else { panic!() };
//!
//! let body = *b"\x05\0\0\0hello\x05\0\0\0world";
//! let records = Records::parse(&body, 0, 2)?;
//! effects.clear();
//! kernel.apply(0, &Command::Append { tenant, stream, expected: Some(0), records }, 1_000, &mut effects);
//! assert_eq!(effects.replies[0].outcome, Ok(Reply::Appended { first: 0, count: 2, timestamp: 1_000 }));
//! assert_eq!(effects.records[1].offset, 1);
//! # Ok::<(), kernel::Refusal>(())
//! ```
//!
//! What must stay true:
//!
//! - The same commands with the same times give the same effects; the same records, replayed,
//!   give the same [`state_hash`](Kernel::state_hash). Time is an argument, and nothing here has
//!   a clock, a thread, I/O or randomness that shows.
//! - A command is checked whole before anything changes; one that is refused changes nothing.
//! - Offsets of a stream have no gaps, positions of a tenant ascend over all its streams, and
//!   timestamps of a tenant never go back.
//! - Appends, heads and reads do not allocate once [`Effects`] has its room.
//!
//! Not here: the bytes of requests and replies (the shard decodes the ones and encodes the
//! others), the bytes of records (the log's), how a policy is kept (the shard's: a [`ReplyEffect`] names
//! the stream to wait for), data (a read is granted here and served by the log), and the keys that seal it: only their numbers
//! and commitments.

#![forbid(unsafe_code)]

mod catalog;
mod command;
mod durability;
mod effects;
mod ids;
mod index;
mod kernel;
mod keys;
mod limits;
mod listing;
mod naming;
mod records;
mod refusal;
mod replay;
mod report;
mod tables;

pub use catalog::{CatalogFault, CatalogRecord};
pub use command::Command;
pub use durability::{Durability, Level, PolicyFault, SyncPolicy};
pub use effects::{Effects, Payload, RecordEffect, Reply, ReplyEffect};
pub use ids::{CATALOG, RecordKind, StreamId, StreamSlot, TenantId, UnknownKind};
pub use kernel::{Admitted, Appended, Kernel, Seen};
pub use keys::{Encryption, KeyView, NewKey};
pub use limits::{Limits, NAME_BYTES_MAX};
pub use listing::{LISTING_BYTES_MAX, LISTING_BYTES_MIN, Listing, ListingEntry};
pub use records::{Record, Records, RecordsIter};
pub use refusal::{Malformed, Refusal};
pub use replay::{Place, ReplayError, ReplayedRecord, StreamSummary};
pub use report::StreamView;
pub use tables::Extent;
