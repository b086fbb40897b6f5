//! What an answer to an append promises: levels, and the policies that choose among them (`docs/durability.md`).

use std::fmt;

/// How much an answer promises. Ordered: a higher level promises all that a lower one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// The records are applied. They are written with what comes after them.
    Memory = 1,
    /// They are written: they survive the end of the process. They are flushed soon.
    Buffered = 2,
    /// They are flushed: they survive the loss of power.
    Strict = 3,
}

impl Level {
    /// The level of a number; 0 names none.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Level> {
        match number {
            1 => Some(Level::Memory),
            2 => Some(Level::Buffered),
            3 => Some(Level::Strict),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Memory => "memory",
            Level::Buffered => "buffered",
            Level::Strict => "strict",
        })
    }
}

/// When a frame with strict records leaves, to be flushed. (Not called `Sync`, which is a trait that every file knows.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncPolicy {
    /// At once, and with one request in it.
    EveryRecord,
    /// With what the shard found in its rings in the same look.
    EveryBatch,
    /// With what came while the last frame was being written, and up to `max_delay_ns` longer.
    GroupCommit {
        /// Nanoseconds after the first such record; 0: as soon as it is worth a write.
        max_delay_ns: u64,
    },
}

/// A tenant's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// An append is answered when it is applied.
    Memory,
    /// It is answered when it is written; a flush begins when the oldest answer that is not flushed has this age, or so many
    /// records are not flushed.
    Buffered {
        /// Nanoseconds.
        interval_ns: u64,
        /// How many.
        records: u32,
    },
    /// It is answered when it is flushed.
    Strict(SyncPolicy),
}

impl Default for Durability {
    fn default() -> Durability {
        Durability::NATURAL
    }
}

impl Durability {
    /// Strict, with natural group commit: the default.
    pub const NATURAL: Durability = Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: 0 });
    /// The window of `Buffered` where none is chosen, as for an operation that asks for that level in a tenant under `Memory`.
    pub const BUFFERED: Durability = Durability::Buffered { interval_ns: 10_000_000, records: 1 << 16 };
    /// The longest interval: an hour.
    pub const INTERVAL_NS_MAX: u64 = 3_600_000_000_000;
    /// The most records of a window: 2^24.
    pub const RECORDS_MAX: u32 = 1 << 24;
    /// The longest delay of a group commit: a second. Every answer waits for it.
    pub const MAX_DELAY_NS_MAX: u64 = 1_000_000_000;
    /// Bytes of a policy in the log.
    pub const BYTES: usize = 16;

    /// The level that it promises.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Durability::Memory => Level::Memory,
            Durability::Buffered { .. } => Level::Buffered,
            Durability::Strict(_) => Level::Strict,
        }
    }

    /// The policy of an operation that asks for a level, which is not below this policy's.
    #[must_use]
    pub fn raised(self, asked: Level) -> Durability {
        match asked {
            _ if asked <= self.level() => self,
            Level::Memory => Durability::Memory,
            Level::Buffered => Durability::BUFFERED,
            Level::Strict => Durability::NATURAL,
        }
    }

    /// Says what is impossible about it, if anything is.
    ///
    /// # Errors
    /// The bound that it breaks.
    pub const fn check(self) -> Result<(), PolicyFault> {
        match self {
            Durability::Buffered { interval_ns: 0, .. } => Err(PolicyFault::NoInterval),
            Durability::Buffered { interval_ns, .. } if interval_ns > Self::INTERVAL_NS_MAX => {
                Err(PolicyFault::LongInterval { interval_ns })
            }
            Durability::Buffered { records: 0, .. } => Err(PolicyFault::NoRecords),
            Durability::Buffered { records, .. } if records > Self::RECORDS_MAX => {
                Err(PolicyFault::ManyRecords { records })
            }
            Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns }) if max_delay_ns > Self::MAX_DELAY_NS_MAX => {
                Err(PolicyFault::LongDelay { max_delay_ns })
            }
            _ => Ok(()),
        }
    }

    /// The policy as it stands in the log: level (1), how strict ones are synced (1), zero (2), records (4), nanoseconds (8).
    #[must_use]
    pub fn encode(self) -> [u8; Self::BYTES] {
        let (sync, records, ns) = match self {
            Durability::Memory => (0, 0, 0),
            Durability::Buffered { interval_ns, records } => (0, records, interval_ns),
            Durability::Strict(SyncPolicy::EveryRecord) => (1, 0, 0),
            Durability::Strict(SyncPolicy::EveryBatch) => (2, 0, 0),
            Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns }) => (3, 0, max_delay_ns),
        };
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.level() as u8;
        bytes[1] = sync;
        bytes[4..8].copy_from_slice(&records.to_le_bytes());
        bytes[8..16].copy_from_slice(&ns.to_le_bytes());
        bytes
    }

    /// Reads what [`encode`](Self::encode) writes; `None` if it writes no such bytes. What is possible may differ between
    /// versions, so a policy that was accepted once is not checked again.
    #[must_use]
    pub fn decode(bytes: [u8; Self::BYTES]) -> Option<Durability> {
        let records = u32::from_le_bytes(std::array::from_fn(|at| bytes[4 + at]));
        let ns = u64::from_le_bytes(std::array::from_fn(|at| bytes[8 + at]));
        let policy = match (Level::from_number(bytes[0])?, bytes[1]) {
            (Level::Memory, 0) => Durability::Memory,
            (Level::Buffered, 0) => Durability::Buffered { interval_ns: ns, records },
            (Level::Strict, 1) => Durability::Strict(SyncPolicy::EveryRecord),
            (Level::Strict, 2) => Durability::Strict(SyncPolicy::EveryBatch),
            (Level::Strict, 3) => Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: ns }),
            _ => return None,
        };
        (policy.encode() == bytes).then_some(policy)
    }
}

/// Why a policy is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyFault {
    /// An interval of nothing.
    NoInterval,
    /// An interval above [`Durability::INTERVAL_NS_MAX`].
    LongInterval {
        /// The interval.
        interval_ns: u64,
    },
    /// A window of no records.
    NoRecords,
    /// More records than [`Durability::RECORDS_MAX`].
    ManyRecords {
        /// How many.
        records: u32,
    },
    /// A delay above [`Durability::MAX_DELAY_NS_MAX`].
    LongDelay {
        /// The delay.
        max_delay_ns: u64,
    },
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            PolicyFault::NoInterval => {
                f.write_str("buffered with an interval of 0: choose 1 ns to 1 h, or strict, which has no window")
            }
            PolicyFault::LongInterval { interval_ns } => {
                write!(f, "buffered with an interval of {interval_ns} ns: choose 1 ns to 1 h")
            }
            PolicyFault::NoRecords => write!(
                f,
                "buffered with a window of 0 records: choose 1 to {}, or strict, which has no window",
                Durability::RECORDS_MAX
            ),
            PolicyFault::ManyRecords { records } => {
                write!(f, "buffered with a window of {records} records: choose 1 to {}", Durability::RECORDS_MAX)
            }
            PolicyFault::LongDelay { max_delay_ns } => {
                write!(f, "a group commit that is delayed by {max_delay_ns} ns: choose 1 s at most")
            }
        }
    }
}

impl std::error::Error for PolicyFault {}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICIES: [Durability; 5] = [
        Durability::Memory,
        Durability::Buffered { interval_ns: 0x0102_0304_0506, records: 0x0708_090A },
        Durability::Strict(SyncPolicy::EveryRecord),
        Durability::Strict(SyncPolicy::EveryBatch),
        Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: 0x0B0C }),
    ];

    #[test]
    fn policies_come_back_and_nothing_else_is_taken_for_one() {
        for policy in POLICIES {
            let bytes = policy.encode();
            assert_eq!(Durability::decode(bytes), Some(policy));
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut flipped = bytes;
                    flipped[at] ^= 1 << bit;
                    if let Some(other) = Durability::decode(flipped) {
                        assert!(other != policy && other.encode() == flipped, "{other:?}");
                    }
                }
            }
        }
        let buffered = [2, 0, 0, 0, 0x0A, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0];
        assert_eq!(POLICIES[1].encode(), buffered);
        assert_eq!(Durability::decode([0; 16]), None);
    }

    #[test]
    fn an_operation_gets_what_it_asks_for_and_never_less_than_its_tenant() {
        for policy in POLICIES {
            for asked in [Level::Memory, Level::Buffered, Level::Strict] {
                let raised = policy.raised(asked);
                assert_eq!(raised.level(), asked.max(policy.level()));
                assert!(raised == policy || asked > policy.level());
                assert_eq!(raised.check().is_ok(), raised != POLICIES[1]);
            }
        }
    }

    #[test]
    fn impossible_policies_are_named_with_what_is_possible() {
        let buffered = |interval_ns, records| Durability::Buffered { interval_ns, records };
        let group = |max_delay_ns| Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns });
        let (hour, most, second) = (Durability::INTERVAL_NS_MAX, Durability::RECORDS_MAX, Durability::MAX_DELAY_NS_MAX);
        for possible in [buffered(1, 1), buffered(hour, most), group(0), group(second), Durability::BUFFERED] {
            assert_eq!(possible.check(), Ok(()));
        }
        for (impossible, fault) in [
            (buffered(0, 1), PolicyFault::NoInterval),
            (buffered(hour + 1, 1), PolicyFault::LongInterval { interval_ns: hour + 1 }),
            (buffered(1, 0), PolicyFault::NoRecords),
            (buffered(1, most + 1), PolicyFault::ManyRecords { records: most + 1 }),
            (group(second + 1), PolicyFault::LongDelay { max_delay_ns: second + 1 }),
        ] {
            assert_eq!(impossible.check(), Err(fault));
            assert!(fault.to_string().contains(": choose "), "{fault}");
        }
    }
}
