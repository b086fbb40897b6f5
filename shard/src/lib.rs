//! One core's event loop: drain, apply, seal, submit, reap, answer.
//!
//! [`Shard::turn`] is the loop's body; the modules are its steps. [`port()`] makes the rings between a client and a shard, and
//! [`wire`] says what crosses them.
#![forbid(unsafe_code)]

mod answer;
mod drain;
mod group;
pub mod limits;
mod policy;
mod port;
mod read;
mod shard;
pub mod wire;

pub use port::{ClientPort, ShardPort, port, wiped_port};
pub use shard::{Control, Countdown, Inbox, Progress, Shard, ShardStats};
