//! The log of one shard: frames in segments, chained, checksummed, flushed a group at a time, and read back verified.
//!
//! `docs/format.md` is the law of what is on the disk. [`Log`] writes and reads; [`recover`] makes of a directory
//! what a `Log` can go on from; [`verify`] reads everything and believes nothing.
//!
//! Deliberately absent: clocks and threads (time is an argument), and any knowledge of what a record means.
#![forbid(unsafe_code)]

mod config;
mod draft;
mod error;
mod files;
mod find;
mod follow;
pub mod format;
mod history;
mod index;
mod inspect;
mod keyring;
pub mod limits;
mod links;
mod manifest;
mod open_frame;
mod prepare;
mod read;
mod recover;
mod scan;
mod seal;
mod stream;
pub mod timing;
mod unseal;
mod verify;
mod wish;
mod writer;

pub use config::{LogBuffers, LogConfig, LogFailure, LogStart, LogStats, Room};
pub use error::{Cause, Damage, LogError, Loss};
pub use find::{FoundRecord, RecordName, find_record};
pub use follow::{Cursor, Followed, FollowedFrame, FollowedRecord, Follower, Paused};
pub use format::Fault;
pub use format::segment::SegmentId;
pub use index::{Run, SealedSegment};
pub use inspect::{SegmentShape, Sight, inspect_segment, log_segments};
pub use manifest::{BadCopy, ManifestRead, read_manifest, write_manifest};
pub use read::{ReadError, ReadRequest, ReadyRead};
pub use recover::{Blind, CatalogRecord, Reading, Recovered, Torn, recover, scan_buffer};
pub use scan::SCAN_BUFFER_BYTES;
pub use stream::StreamStart;
pub use verify::{Tree, Verified, verify, verify_roots};
pub use wish::{Leave, Wish};
pub use writer::Log;
