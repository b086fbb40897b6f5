//! Control groups, in both versions: what the group of this process, and those above it, allow it.

use super::cpus;
use super::root::Root;

/// The limits that hold, which may be none. What cannot be read is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// Whether control groups are there at all.
    pub(crate) present: bool,
    pub(crate) quota: Option<Quota>,
    pub(crate) memory: Option<MemoryLimit>,
    pub(crate) cpus: Option<Vec<usize>>,
    /// Whether those CPUs are this group's alone: a partition in version 2, exclusive in version 1.
    pub(crate) cpus_are_its_own: bool,
}

/// How much processor time the group gets in each period.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quota {
    /// As many CPUs' time; infinite for no limit.
    pub(crate) cpus: f64,
    /// The file that sets it.
    pub(crate) file: String,
}

/// How much memory the group may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    /// `u64::MAX` for no limit.
    pub(crate) bytes: u64,
    /// The file that sets it.
    pub(crate) file: String,
}

const MOUNTED: &str = "/sys/fs/cgroup";

impl Group {
    pub(super) fn read(root: &Root) -> Group {
        let Some(membership) = root.text("/proc/self/cgroup") else { return Group::default() };
        let second = root.exists(&format!("{MOUNTED}/cgroup.controllers"));
        let directories = |controller: &str| {
            let (mounted, controller) =
                if second { (MOUNTED.to_owned(), "") } else { (format!("{MOUNTED}/{controller}"), controller) };
            path_of(&membership, controller).map(|path| upwards(&mounted, path)).unwrap_or_default()
        };
        let cpuset = directories("cpuset");
        Group {
            present: !(cpuset.is_empty() && directories("cpu").is_empty() && directories("memory").is_empty()),
            quota: directories("cpu")
                .iter()
                .filter_map(|directory| Quota::read(root, directory))
                .min_by(|a, b| a.cpus.total_cmp(&b.cpus)),
            memory: directories("memory")
                .iter()
                .filter_map(|directory| MemoryLimit::read(root, directory))
                .min_by_key(|limit| limit.bytes),
            cpus: cpuset.iter().find_map(|directory| cpus_of(root, directory)),
            // That of the topmost group is always set, and says nothing.
            cpus_are_its_own: cpuset.iter().rev().skip(1).any(|directory| has_its_own_cpus(root, directory)),
        }
    }
}

/// Where a controller of version 1 has put this process; version 2 is the controller without a name.
fn path_of<'a>(membership: &'a str, controller: &str) -> Option<&'a str> {
    let group = |line: &'a str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    };
    membership.lines().find_map(group)
}

/// A group's directory and those above it, which limit it too, nearest first. In a container the path may be that of
/// the host, and then only the top of it is there.
fn upwards(mounted: &str, path: &str) -> Vec<String> {
    let mut directories = Vec::new();
    let mut rest = path.trim_matches('/');
    while !rest.is_empty() {
        directories.push(format!("{mounted}/{rest}"));
        rest = rest.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    directories.push(mounted.to_owned());
    directories
}

impl Quota {
    fn read(root: &Root, directory: &str) -> Option<Quota> {
        let file = format!("{directory}/cpu.max");
        if let Some(text) = root.text(&file) {
            return Some(Quota { cpus: quota(&text)?, file });
        }
        let file = format!("{directory}/cpu.cfs_quota_us");
        let text = format!("{} {}", root.word(&file)?, root.word(&format!("{directory}/cpu.cfs_period_us"))?);
        Some(Quota { cpus: quota(&text)?, file })
    }
}

/// `150000 100000` is a CPU and a half; `max 100000` and, in version 1, `-1 100000` are no limit.
fn quota(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let (quota, period) = (words.next()?, words.next()?.parse::<u32>().ok().filter(|period| *period > 0)?);
    match quota {
        "max" | "-1" => Some(f64::INFINITY),
        number => Some(number.parse::<u64>().ok()? as f64 / f64::from(period)),
    }
}

impl MemoryLimit {
    fn read(root: &Root, directory: &str) -> Option<MemoryLimit> {
        let limit = |name: &str| {
            let file = format!("{directory}/{name}");
            Some(MemoryLimit { bytes: bytes(&root.word(&file)?)?, file })
        };
        limit("memory.max").or_else(|| limit("memory.limit_in_bytes"))
    }
}

fn bytes(text: &str) -> Option<u64> {
    /// Version 1 has a number for no limit: the largest that is a multiple of a page, of whatever size.
    const NONE_FROM: u64 = i64::MAX as u64 & !0xffff;
    match text {
        "max" => Some(u64::MAX),
        number => number.parse().ok().map(|bytes| if bytes >= NONE_FROM { u64::MAX } else { bytes }),
    }
}

fn cpus_of(root: &Root, directory: &str) -> Option<Vec<usize>> {
    let list = |name: &str| root.text(&format!("{directory}/{name}"));
    cpus::parse(&list("cpuset.cpus.effective").or_else(|| list("cpuset.effective_cpus"))?)
}

fn has_its_own_cpus(root: &Root, directory: &str) -> bool {
    let partition = root.word(&format!("{directory}/cpuset.cpus.partition"));
    partition.is_some_and(|kind| kind == "root" || kind == "isolated")
        || root.number(&format!("{directory}/cpuset.cpu_exclusive")) == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_cpus() {
        assert_eq!(quota("max 100000\n"), Some(f64::INFINITY));
        assert_eq!(quota("-1 100000"), Some(f64::INFINITY));
        assert_eq!(quota("150000 100000"), Some(1.5));
        for text in ["", "max", "5 0", "x 100000", "-2 100000"] {
            assert_eq!(quota(text), None, "{text:?}");
        }
    }

    #[test]
    fn memory_without_a_limit_has_many_spellings() {
        for text in ["max", "9223372036854771712", "9223372036854710272", "18446744073709551615"] {
            assert_eq!(bytes(text), Some(u64::MAX), "{text}");
        }
        assert_eq!((bytes("67108864"), bytes("-1"), bytes("64M")), (Some(64 << 20), None, None));
    }

    #[test]
    fn the_groups_above_limit_too() {
        assert_eq!(upwards("/m", "/a/b.service"), ["/m/a/b.service", "/m/a", "/m"]);
        assert_eq!(upwards("/m", "/"), ["/m"]);
        let membership = "4:memory:/pods/x\n2:cpu,cpuacct:/y:z\n0::/unified\nbroken\n";
        assert_eq!(path_of(membership, "memory"), Some("/pods/x"));
        assert_eq!(path_of(membership, "cpu"), Some("/y:z"));
        assert_eq!(path_of(membership, ""), Some("/unified"));
        assert_eq!(path_of(membership, "cpuset"), None);
    }
}
