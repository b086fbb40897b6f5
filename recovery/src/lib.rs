//! From a data directory to the state that shards start with, and back: what an opening and a closing do, but for threads.
//!
//! [`open`] reads the manifest, recovers every log, brings together what they hold of each tenant, gives it to the shard that
//! the placement names, and makes the manifest say that the directory is in use. [`close`] makes it say how it was left. Both
//! reach the directory through a [`Place`], so the same code opens a real one and a simulated one.
//!
//! What must stay true:
//! - nothing is changed before everything was read and judged, and an opening that is interrupted anywhere leaves what the
//!   next one judges the same;
//! - the manifest's frontier never exceeds what is durable.
//!
//! Deliberately absent: the directory's lock, threads of shards, and what is served meanwhile (the runtime).
#![forbid(unsafe_code)]

mod distribute;
mod error;
mod freezing;
mod logs;
mod open;
mod place;
mod report;

pub use distribute::ShardState;
pub use error::Error;
pub use open::{Opened, Opening, close, engine_of, open, overrides};
pub use place::{Cold, Place};
pub use report::{Progress, RecoveryReport};
