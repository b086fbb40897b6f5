//! How often the system took the processor from the shards' threads, or they gave it up.

use std::collections::BTreeMap;
use std::fs;

/// Context switches of a thread since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    /// It slept.
    pub(crate) voluntary: u64,
    /// Another thread had its turn, also where this one let it.
    pub(crate) involuntary: u64,
}

/// The counts of each shard's thread of this process; none where the system does not tell.
pub(crate) fn of_shards() -> BTreeMap<u16, Switches> {
    let mut shards = BTreeMap::new();
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return shards };
    for task in tasks.flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let Some(shard) = read("comm").trim().strip_prefix("shard-").and_then(|number| number.parse().ok()) else {
            continue;
        };
        if let Some(switches) = parse(&read("status")) {
            shards.insert(shard, switches);
        }
    }
    shards
}

fn parse(status: &str) -> Option<Switches> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Some(Switches { voluntary: field("voluntary_ctxt_switches:")?, involuntary: field("nonvoluntary_ctxt_switches:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let status = "Name:\tshard-0\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t345\n";
        assert_eq!(parse(status), Some(Switches { voluntary: 12, involuntary: 345 }));
        assert_eq!(parse("Name:\tshard-0\n"), None);
        assert_eq!(parse(""), None);
    }
}
