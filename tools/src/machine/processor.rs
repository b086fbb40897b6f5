//! The processors: which there are, how they hang together, and what else the kernel runs on them.

use super::cpus;
use super::root::Root;
use std::collections::BTreeMap;

const CPU: &str = "/sys/devices/system/cpu";
const NODE: &str = "/sys/devices/system/node";

#[derive(Clone, Debug, Default)]
pub(crate) struct Processor {
    pub(crate) model: Option<String>,
    /// What it can do, as `/proc/cpuinfo` calls it, of the first CPU.
    pub(crate) flags: Vec<String>,
    pub(crate) online: Option<Vec<usize>>,
    /// Those that this process may run on.
    pub(crate) allowed: Option<Vec<usize>>,
    /// The hardware threads of each physical core, by each of their CPUs.
    pub(crate) siblings: BTreeMap<usize, Vec<usize>>,
    /// The CPUs of each NUMA node.
    pub(crate) nodes: BTreeMap<usize, Vec<usize>>,
    /// The nodes that have memory.
    pub(crate) memory_nodes: Option<Vec<usize>>,
    /// CPUs that the scheduler keeps other tasks away from.
    pub(crate) isolated: Option<Vec<usize>>,
    /// CPUs without a timer tick while one task runs. A kernel that was built without that does not tell.
    pub(crate) nohz_full: Option<Vec<usize>>,
    /// CPUs whose deferred kernel work is done elsewhere.
    pub(crate) rcu_nocbs: Option<Vec<usize>>,
    /// The frequency governor of each CPU that has one.
    pub(crate) governors: BTreeMap<usize, String>,
    /// What chooses the frequency under the governor, such as `amd-pstate-epp`.
    pub(crate) frequency_driver: Option<String>,
}

impl Processor {
    pub(crate) fn read(root: &Root) -> Processor {
        let info = root.text("/proc/cpuinfo").unwrap_or_default();
        let list = |path: &str| root.text(path).and_then(|text| cpus::parse(&text));
        let online = list(&format!("{CPU}/online"));
        let each = || online.iter().flatten().copied();
        let siblings = |cpu| Some((cpu, list(&format!("{CPU}/cpu{cpu}/topology/thread_siblings_list"))?));
        let governor = |cpu| Some((cpu, root.word(&format!("{CPU}/cpu{cpu}/cpufreq/scaling_governor"))?));
        let driver = |cpu| root.word(&format!("{CPU}/cpu{cpu}/cpufreq/scaling_driver"));
        Processor {
            model: cpuinfo(&info, &["model name", "Model", "cpu model"]).map(str::to_owned),
            flags: cpuinfo(&info, &["flags", "Features"])
                .map(|flags| flags.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            allowed: root.text("/proc/self/status").and_then(|text| cpus::parse(field(&text, "Cpus_allowed_list")?)),
            siblings: each().filter_map(siblings).collect(),
            nodes: nodes(root),
            memory_nodes: list(&format!("{NODE}/has_memory")),
            isolated: list(&format!("{CPU}/isolated")),
            nohz_full: list(&format!("{CPU}/nohz_full")),
            rcu_nocbs: root.text("/proc/cmdline").map(|line| rcu_nocbs(&line, online.as_deref().unwrap_or_default())),
            governors: each().filter_map(governor).collect(),
            frequency_driver: each().find_map(driver),
            online,
        }
    }

    /// Hardware threads of the core that has most.
    pub(crate) fn threads_per_core(&self) -> Option<usize> {
        self.siblings.values().map(Vec::len).max()
    }

    /// The governors in use, with commas.
    pub(crate) fn governor(&self) -> Option<String> {
        let mut names: Vec<&str> = self.governors.values().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// The node of a CPU.
    pub(crate) fn node_of(&self, cpu: usize) -> Option<usize> {
        self.nodes.iter().find(|(_, cpus)| cpus.contains(&cpu)).map(|(node, _)| *node)
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|has| has == flag)
    }
}

fn nodes(root: &Root) -> BTreeMap<usize, Vec<usize>> {
    let node = |name: &String| {
        let number = name.strip_prefix("node")?.parse().ok()?;
        let cpus = cpus::parse(&root.text(&format!("{NODE}/{name}/cpulist"))?)?;
        // A node of memory alone.
        (!cpus.is_empty()).then_some((number, cpus))
    };
    root.names(NODE).iter().filter_map(node).collect()
}

/// The first value under any of these names.
fn cpuinfo<'a>(text: &'a str, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| field(text, name)).filter(|value| !value.is_empty())
}

/// The value of the first line `name: value`.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))
        .map(|(_, value)| value.trim())
}

/// The value of a parameter of the kernel's command line; the last one counts.
pub(crate) fn parameter<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    // What comes after is for the first process.
    let own = line.split_whitespace().take_while(|word| *word != "--");
    own.filter_map(|word| word.split_once('=')).filter(|(key, _)| *key == name).last().map(|(_, value)| value)
}

/// `nohz_full` offloads its CPUs too.
fn rcu_nocbs(line: &str, online: &[usize]) -> Vec<usize> {
    let listed = |name| {
        parameter(line, name).and_then(|list| if list == "all" { Some(online.to_vec()) } else { cpus::parse(list) })
    };
    let mut all: Vec<usize> = ["rcu_nocbs", "nohz_full"].into_iter().filter_map(listed).flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_by_their_whole_name() {
        let text = "processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD EPYC\nflags\t\t: fpu sha_ni\n\nprocessor\t: 1\nmodel name\t: x\n";
        assert_eq!(field(text, "model name"), Some("AMD EPYC"));
        assert_eq!(cpuinfo(text, &["flags", "Features"]), Some("fpu sha_ni"));
        assert_eq!((field("", "flags"), field("flags", "flags"), cpuinfo("flags:", &["flags"])), (None, None, None));
    }

    #[test]
    fn parameters_are_the_kernels_and_the_last_counts() {
        let line =
            "BOOT_IMAGE=/vmlinuz isolcpus=1 rcu_nocbs=2-3 isolcpus=managed_irq,domain,2-3 quiet -- rcu_nocbs=7\n";
        assert_eq!(parameter(line, "isolcpus"), Some("managed_irq,domain,2-3"));
        assert_eq!(parameter(line, "quiet"), None);
        assert_eq!(rcu_nocbs(line, &[0, 1, 2, 3]), [2, 3]);
        assert_eq!(rcu_nocbs("nohz_full=1-2 rcu_nocbs=3", &[]), [1, 2, 3]);
        assert_eq!(rcu_nocbs("rcu_nocbs=all", &[0, 1]), [0, 1]);
        assert_eq!(rcu_nocbs("rcu_nocbs=none nohz_full", &[0, 1]), [0_usize; 0]);
    }
}
