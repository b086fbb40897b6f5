//! What this process may have at most: its own limits, and those of its control group.

use super::cgroup::Group;
use super::root::Root;

#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Soft limits; `u64::MAX` for none.
    pub(crate) locked_memory_bytes: Option<u64>,
    pub(crate) open_files: Option<u64>,
    pub(crate) group: Group,
}

impl Limits {
    pub(crate) fn read(root: &Root) -> Limits {
        let limits = root.text("/proc/self/limits").unwrap_or_default();
        Limits {
            locked_memory_bytes: soft_limit(&limits, "Max locked memory"),
            open_files: soft_limit(&limits, "Max open files"),
            group: Group::read(root),
        }
    }
}

/// `Max locked memory  8388608  8388608  bytes`: the soft limit, which is the one that holds.
fn soft_limit(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limits_are_those_that_hold() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n\
                    Max locked memory         unlimited            unlimited            bytes     \n";
        assert_eq!(soft_limit(text, "Max open files"), Some(1024));
        assert_eq!(soft_limit(text, "Max locked memory"), Some(u64::MAX));
        for text in ["", "Max open files", "Max open files  many", "Max open files 99999999999999999999999 1"] {
            assert_eq!(soft_limit(text, "Max open files"), None, "{text:?}");
        }
    }
}
