//! What this process may have at most: its own limits, and those of its control group in both versions.

use super::cpus;
use super::root::Root;

#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Soft limits; `u64::MAX` for none.
    pub(crate) locked_memory_bytes: Option<u64>,
    pub(crate) open_files: Option<u64>,
    pub(crate) group: Group,
}

/// The limits that control groups set, which may be none. What cannot be read is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// Whether control groups are there at all.
    pub(crate) present: bool,
    pub(crate) quota: Option<Quota>,
    pub(crate) memory_bytes: Option<Limited>,
    pub(crate) cpus: Option<Vec<usize>>,
    /// Whether those CPUs are this group's alone: `root` or `isolated` in version 2, exclusive in version 1.
    pub(crate) cpus_are_its_own: bool,
}

/// A limit, and the file that sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limited {
    /// `u64::MAX` for none.
    pub(crate) bytes: u64,
    pub(crate) file: String,
}

/// How much processor time the group gets in each period.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quota {
    /// CPUs' worth; `None` for no limit.
    pub(crate) cpus: Option<f64>,
    pub(crate) file: String,
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

const MOUNTED: &str = "/sys/fs/cgroup";

impl Group {
    fn read(root: &Root) -> Group {
        let Some(membership) = root.text("/proc/self/cgroup") else { return Group::default() };
        let second = |controller: &str| {
            let unified = root.exists(&format!("{MOUNTED}/cgroup.controllers"));
            unified.then(|| path_of(&membership, "")).flatten().map(|path| chain(MOUNTED, path)).unwrap_or_else(|| {
                let own = path_of(&membership, controller);
                own.map(|path| chain(&format!("{MOUNTED}/{controller}"), path)).unwrap_or_default()
            })
        };
        let (cpu, cpuset, memory) = (second("cpu"), second("cpuset"), second("memory"));
        let nearest = |directories: &[String], names: &[&str]| {
            directories.iter().find_map(|at| names.iter().find_map(|name| root.text(&format!("{at}/{name}"))))
        };
        let own_cpus = |directory: &String| {
            let partition = root.word(&format!("{directory}/cpuset.cpus.partition"));
            partition.is_some_and(|kind| kind == "root" || kind == "isolated")
                // That of the topmost group is always set, and says nothing.
                || directories_differ(directory, &cpuset) && root.number(&format!("{directory}/cpuset.cpu_exclusive")) == Some(1)
        };
        Group {
            present: !(cpu.is_empty() && cpuset.is_empty() && memory.is_empty()),
            quota: tightest_quota(root, &cpu),
            memory_bytes: smallest_memory(root, &memory),
            cpus: nearest(&cpuset, &["cpuset.cpus.effective", "cpuset.effective_cpus"])
                .and_then(|text| cpus::parse(&text)),
            cpus_are_its_own: cpuset.iter().any(own_cpus),
        }
    }
}

/// Whether a directory of a chain is not its topmost.
fn directories_differ(directory: &String, chain: &[String]) -> bool {
    chain.last() != Some(directory)
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
fn chain(mounted: &str, path: &str) -> Vec<String> {
    let mut directories = Vec::new();
    let mut rest = path.trim_matches('/');
    while !rest.is_empty() {
        directories.push(format!("{mounted}/{rest}"));
        rest = rest.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    directories.push(mounted.to_owned());
    directories
}

fn tightest_quota(root: &Root, directories: &[String]) -> Option<Quota> {
    let quota = |directory: &String| {
        let file = format!("{directory}/cpu.max");
        if let Some(text) = root.text(&file) {
            return Some(Quota { cpus: quota(&text)?, file });
        }
        let file = format!("{directory}/cpu.cfs_quota_us");
        let text = format!("{} {}", root.word(&file)?, root.word(&format!("{directory}/cpu.cfs_period_us"))?);
        Some(Quota { cpus: quota(&text)?, file })
    };
    let loose = |quota: &Quota| quota.cpus.unwrap_or(f64::INFINITY);
    directories.iter().filter_map(quota).min_by(|a, b| loose(a).total_cmp(&loose(b)))
}

/// `150000 100000` is a CPU and a half; `max 100000` and, in version 1, `-1 100000` are no limit.
#[expect(clippy::option_option, reason = "no quota, and no text of one, are two things")]
fn quota(text: &str) -> Option<Option<f64>> {
    let mut words = text.split_whitespace();
    let (quota, period) = (words.next()?, words.next()?.parse::<u32>().ok().filter(|period| *period > 0)?);
    match quota {
        "max" | "-1" => Some(None),
        number => Some(Some(number.parse::<u64>().ok()? as f64 / f64::from(period))),
    }
}

fn smallest_memory(root: &Root, directories: &[String]) -> Option<Limited> {
    /// Version 1 has a number for no limit: the largest that is a multiple of a page.
    const NONE_FROM: u64 = i64::MAX as u64 & !0xffff;
    let limit = |directory: &String, name: &str| {
        let file = format!("{directory}/{name}");
        let bytes = match root.word(&file)?.as_str() {
            "max" => u64::MAX,
            number => number.parse().ok().map(|bytes: u64| if bytes >= NONE_FROM { u64::MAX } else { bytes })?,
        };
        Some(Limited { bytes, file })
    };
    let limits = directories
        .iter()
        .filter_map(|directory| limit(directory, "memory.max").or_else(|| limit(directory, "memory.limit_in_bytes")));
    limits.min_by_key(|limit| limit.bytes)
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

    #[test]
    fn quotas_are_cpus() {
        assert_eq!(quota("max 100000\n"), Some(None));
        assert_eq!(quota("-1 100000"), Some(None));
        assert_eq!(quota("150000 100000"), Some(Some(1.5)));
        for text in ["", "max", "5 0", "x 100000", "-2 100000"] {
            assert_eq!(quota(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_groups_above_limit_too() {
        assert_eq!(chain("/m", "/a/b.service"), ["/m/a/b.service", "/m/a", "/m"]);
        assert_eq!(chain("/m", "/"), ["/m"]);
        let membership = "4:memory:/pods/x\n2:cpu,cpuacct:/y:z\n0::/unified\nbroken\n";
        assert_eq!(path_of(membership, "memory"), Some("/pods/x"));
        assert_eq!(path_of(membership, "cpu"), Some("/y:z"));
        assert_eq!(path_of(membership, ""), Some("/unified"));
        assert_eq!(path_of(membership, "cpuset"), None);
    }
}
