//! Which shard owns which tenant, and how clients come to a shard.
//!
//! [`Placement`] is the table: a rendezvous hash over the shards, with overrides. [`Router`] hands messages (a client's new port)
//! to shards over rings of their own, so that a shard's loop takes no lock to learn of them.
#![forbid(unsafe_code)]

mod attach;
mod placement;

pub use attach::{InboxFull, Router, inbox};
pub use placement::{Placement, PlacementError};
