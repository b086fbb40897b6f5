//! What the suites share: where files go, a backend that costs nothing, a log and a shard under load.
//!
//! The suites themselves are in `benches/`, a file a layer; `src/bin/instructions` counts instructions of the same paths.
#![forbid(unsafe_code)]

mod directory;
mod instant;
mod shard_load;
mod writer;

pub use directory::{directory, open_backend};
pub use instant::InstantBackend;
pub use shard_load::ShardLoad;
pub use writer::{ENGINE, LOG, Writer, log_buffers};

/// Payload bytes of a record, in all suites that do not say otherwise.
pub const PAYLOAD_BYTES: usize = 100;
