//! The notary: it follows the durable log of a data directory, keeps a tree of RFC 6962 for each tenant, signs checkpoints,
//! and gives proofs (`docs/format.md`, "The notary's files").
//!
//! Why it reads the log, and the shard does not compute the trees: a leaf and its share of the nodes cost 42 ns a record with
//! four lanes of hashing, which would be spent in the shard's loop and again in every recovery. And a notary that reads back what
//! is durable, and computes every link again, signs only what is really on the disk, and not what somebody meant to write.
//!
//! What must stay true:
//! - only frames that are durable are followed, so no signed tree is ever cut by an opening;
//! - what was signed last is durable before its signature is released, and nothing is signed that does not contain it;
//! - what is damaged is never signed over: the tenants that it touches are stopped, all others go on;
//! - everything under `notary/` but the checkpoints is derived, and made anew from the log when it is missing or in doubt;
//! - a step does a bounded amount of work.
//!
//! Deliberately absent: threads and clocks (the runtime's), keys' storage (the key store's), the meaning of records.
#![forbid(unsafe_code)]

mod error;
mod files;
mod follow;
pub mod limits;
mod notary;
mod pinned;
mod prove;
mod sign;
mod state;
mod tiles;

pub use error::{Error, Refused};
pub use follow::{Reason, Stop};
pub use notary::{Notary, Rebuilt, Settings, Step};
pub use pinned::{Accepted, Pinned, PinnedError};
pub use sign::Signing;
