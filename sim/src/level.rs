//! Durability as plans name it, and as the model reckons with it: what each promise lets a crash take.

use kernel::{Durability, Level, SyncPolicy};
use serde::{Deserialize, Serialize};

/// A tenant's policy, or the engine's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Policy {
    /// Answered when applied.
    Memory,
    /// Answered when written, flushed in the background.
    Buffered {
        /// The oldest unflushed answer's age at which a flush begins, in nanoseconds.
        interval_ns: u64,
        /// Unflushed records at which one begins.
        records: u32,
    },
    /// Answered when flushed, each request in a frame of its own.
    EveryRecord,
    /// Answered when flushed, each look at the rings in a frame of its own.
    EveryBatch,
    /// Answered when flushed, together with what came meanwhile.
    Group {
        /// For so long more is waited for, in nanoseconds.
        max_delay_ns: u64,
    },
}

impl Policy {
    /// What an engine does that is told nothing.
    pub const NATURAL: Policy = Policy::Group { max_delay_ns: 0 };

    pub(crate) fn durability(self) -> Durability {
        match self {
            Policy::Memory => Durability::Memory,
            Policy::Buffered { interval_ns, records } => Durability::Buffered { interval_ns, records },
            Policy::EveryRecord => Durability::Strict(SyncPolicy::EveryRecord),
            Policy::EveryBatch => Durability::Strict(SyncPolicy::EveryBatch),
            Policy::Group { max_delay_ns } => Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns }),
        }
    }

    pub(crate) fn level(self) -> Level {
        self.durability().level()
    }

    /// For how long an answer below `Strict` may stay unflushed, if that has an end; as an operation that asks for `Buffered` has it.
    pub(crate) fn interval_ns(self) -> u64 {
        match (self, Durability::BUFFERED) {
            (Policy::Buffered { interval_ns, .. }, _) | (_, Durability::Buffered { interval_ns, .. }) => interval_ns,
            _ => 0,
        }
    }
}

/// The level that an append asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Asked {
    /// Its tenant's.
    Tenants,
    /// `Memory`, which is below most tenants'.
    Memory,
    /// `Buffered`.
    Buffered,
    /// `Strict`.
    Strict,
}

impl Asked {
    pub(crate) fn level(self) -> Option<Level> {
        match self {
            Asked::Tenants => None,
            Asked::Memory => Some(Level::Memory),
            Asked::Buffered => Some(Level::Buffered),
            Asked::Strict => Some(Level::Strict),
        }
    }
}

/// What the end of an opening may have taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nothing that was acknowledged.
    Nothing,
    /// What was promised below this level.
    Below(Level),
}
