//! The value of `--durability`: a policy as text, and back.

use diatreme::{Durability, SyncPolicy};
use std::fmt;
use std::str::FromStr;

/// What is possible, for whoever wrote something else.
const SYNTAX: &str = "memory, buffered, buffered:INTERVAL,RECORDS such as buffered:10ms,65536, strict, strict:every-record, \
                      strict:every-batch, strict:group or strict:group:DELAY such as strict:group:200us";

/// Units of time, the longest first.
const UNITS: [(&str, u64); 4] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

/// A policy that is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DurabilityArg(pub(crate) Durability);

impl DurabilityArg {
    /// As reports name it.
    pub(crate) fn name(self) -> String {
        self.to_string()
    }
}

impl FromStr for DurabilityArg {
    type Err = String;

    fn from_str(text: &str) -> Result<DurabilityArg, String> {
        let unknown = || format!("`{text}` is no policy: choose {SYNTAX}");
        let (level, rest) = text.split_once(':').map_or((text, None), |(level, rest)| (level, Some(rest)));
        let policy = match (level, rest) {
            ("memory", None) => Durability::Memory,
            ("buffered", None) => Durability::BUFFERED,
            ("buffered", Some(window)) => {
                let (interval, records) = window.split_once(',').ok_or_else(unknown)?;
                let records = records.parse().map_err(|_| format!("`{records}` is no number of records"))?;
                Durability::Buffered { interval_ns: time(interval)?, records }
            }
            ("strict", None | Some("group")) => Durability::NATURAL,
            ("strict", Some("every-record")) => Durability::Strict(SyncPolicy::EveryRecord),
            ("strict", Some("every-batch")) => Durability::Strict(SyncPolicy::EveryBatch),
            ("strict", Some(group)) => {
                let delay = group.strip_prefix("group:").ok_or_else(unknown)?;
                Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: time(delay)? })
            }
            _ => return Err(unknown()),
        };
        policy.check().map_err(|fault| fault.to_string())?;
        Ok(DurabilityArg(policy))
    }
}

impl fmt::Display for DurabilityArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Durability::NATURAL => f.write_str("strict"),
            Durability::Memory => f.write_str("memory"),
            Durability::Buffered { interval_ns, records } => write!(f, "buffered:{},{records}", text(interval_ns)),
            Durability::Strict(SyncPolicy::EveryRecord) => f.write_str("strict:every-record"),
            Durability::Strict(SyncPolicy::EveryBatch) => f.write_str("strict:every-batch"),
            Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns }) => {
                write!(f, "strict:group:{}", text(max_delay_ns))
            }
        }
    }
}

/// Whether a report's policy flushes before it answers.
pub(crate) fn is_strict(name: &str) -> bool {
    name == "strict" || name.starts_with("strict:")
}

fn time(text: &str) -> Result<u64, String> {
    let unknown = || format!("`{text}` is no time: write a number with its unit, such as 200us, 10ms or 1s");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(unknown)?;
    let (number, unit) = text.split_at(unit_at);
    let (_, ns) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(unknown)?;
    let number: u64 = number.parse().map_err(|_| unknown())?;
    number.checked_mul(ns).ok_or_else(unknown)
}

fn text(ns: u64) -> String {
    let exact = |(_, unit): &(&str, u64)| ns.is_multiple_of(*unit);
    let (name, unit) = UNITS.into_iter().find(exact).unwrap_or(("ns", 1));
    format!("{}{name}", ns / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_they_are_written() {
        let buffered = |interval_ns, records| Durability::Buffered { interval_ns, records };
        for (text, policy) in [
            ("memory", Durability::Memory),
            ("buffered:10ms,65536", Durability::BUFFERED),
            ("buffered:1500us,7", buffered(1_500_000, 7)),
            ("strict", Durability::NATURAL),
            ("strict:every-record", Durability::Strict(SyncPolicy::EveryRecord)),
            ("strict:every-batch", Durability::Strict(SyncPolicy::EveryBatch)),
            ("strict:group:200us", Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: 200_000 })),
            ("strict:group:1s", Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: 1_000_000_000 })),
            ("buffered:17ns,1", buffered(17, 1)),
        ] {
            assert_eq!(text.parse(), Ok(DurabilityArg(policy)), "{text}");
            assert_eq!(DurabilityArg(policy).name(), text);
            assert_eq!(is_strict(text), text.starts_with("strict"));
        }
        assert_eq!("buffered".parse(), Ok(DurabilityArg(Durability::BUFFERED)));
        assert_eq!("strict:group".parse(), Ok(DurabilityArg(Durability::NATURAL)));
    }

    #[test]
    fn what_is_no_policy_or_an_impossible_one_is_refused_with_what_is_possible() {
        for (text, words) in [
            ("none", "choose memory, buffered"),
            ("strict:soon", "strict:every-batch"),
            ("memory:1s", "choose memory"),
            ("buffered:10ms", "buffered:INTERVAL,RECORDS"),
            ("buffered:10,5", "such as 200us"),
            ("buffered:99999999999999999999s,5", "is no time"),
            ("buffered:10ms,many", "no number of records"),
            ("buffered:0ms,5", "interval of 0"),
            ("buffered:3601s,5", "choose 1 ns to 1 h"),
            ("buffered:10ms,0", "window of 0 records"),
            ("buffered:10ms,16777217", "choose 1 to 16777216"),
            ("strict:group:2s", "choose 1 s at most"),
        ] {
            let refused = text.parse::<DurabilityArg>().unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
