//! Which CPUs the shards run on, or had best run on: most advice depends on it.

use crate::machine::{BootLoader, Machine, cpus};
use diatreme::Cores;

/// The CPUs of the shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shards {
    /// Ascending; none on a machine that has no CPU to set apart.
    pub(super) cpus: Vec<usize>,
    /// Whether the user named them.
    pub(super) named: bool,
    /// The CPUs for all else.
    pub(super) rest: Vec<usize>,
}

impl Shards {
    pub(super) fn new(machine: &Machine, cores: &Cores) -> Shards {
        let online = machine.processor.online.clone().unwrap_or_default();
        let named = matches!(cores, Cores::List(_));
        let mut cpus = match cores {
            Cores::List(cpus) => cpus.clone(),
            Cores::Auto | Cores::Unpinned => suggested(machine),
        };
        cpus.sort_unstable();
        cpus.dedup();
        let rest = online.into_iter().filter(|cpu| !cpus.contains(cpu)).collect();
        Shards { cpus, named, rest }
    }

    /// As the kernel writes it.
    pub(super) fn list(&self) -> String {
        cpus::list(&self.cpus)
    }

    /// Those that are not in a set.
    pub(super) fn outside(&self, set: &[usize]) -> Vec<usize> {
        self.cpus.iter().copied().filter(|cpu| !set.contains(cpu)).collect()
    }

    /// The command that keeps other tasks, ticks and deferred work of the kernel off these CPUs, after a reboot. Empty
    /// if no CPU would be left for those.
    pub(super) fn isolate(&self, machine: &Machine) -> String {
        if self.cpus.is_empty() || self.rest.is_empty() {
            return String::new();
        }
        let (own, rest) = (self.list(), cpus::list(&self.rest));
        // A kernel without it does not know the parameter either.
        let ticks = if machine.processor.nohz_full.is_some() { format!("nohz_full={own} ") } else { String::new() };
        let all = format!("isolcpus=managed_irq,domain,{own} {ticks}rcu_nocbs={own} irqaffinity={rest}");
        match machine.kernel.boot_loader {
            BootLoader::Grubby => format!("sudo grubby --update-kernel=ALL --args='{all}'"),
            BootLoader::UpdateGrub => format!(
                "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {all}\"' | sudo tee /etc/default/grub.d/diatreme.cfg \
                 && sudo update-grub"
            ),
            BootLoader::Other => format!("# add to the kernel's command line: {all}"),
        }
    }
}

/// Isolated CPUs if there are any; else all but the first core, which the kernel cannot do without, on the node of the
/// disk. One hardware thread of each core.
fn suggested(machine: &Machine) -> Vec<usize> {
    let processor = &machine.processor;
    let first_thread = |cpu: &usize| processor.siblings.get(cpu).is_none_or(|threads| threads.first() == Some(cpu));
    let online = processor.online.clone().unwrap_or_default();
    let isolated: Vec<usize> =
        processor.isolated.iter().flatten().copied().filter(|cpu| online.contains(cpu)).collect();
    if !isolated.is_empty() {
        return isolated.into_iter().filter(first_thread).collect();
    }
    let usable = processor.allowed.as_ref().unwrap_or(&online);
    let Some(first) = usable.first() else { return Vec::new() };
    let kept = |cpu: &usize| processor.siblings.get(first).map_or(cpu != first, |threads| !threads.contains(cpu));
    let cores: Vec<usize> = usable.iter().copied().filter(kept).filter(first_thread).collect();
    let near: Vec<usize> = match machine.storage.device.as_ref().and_then(|device| device.node) {
        Some(node) => cores.iter().copied().filter(|cpu| processor.node_of(*cpu) == Some(node)).collect(),
        None => Vec::new(),
    };
    if near.is_empty() { cores } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Device, Processor, Storage};

    /// Two nodes of four cores with two threads each; the disk is on the second node.
    fn machine() -> Machine {
        let processor = Processor {
            online: Some((0..16).collect()),
            allowed: Some((0..16).collect()),
            siblings: (0..16).map(|cpu| (cpu, vec![cpu % 8, cpu % 8 + 8])).collect(),
            nodes: [(0, vec![0, 1, 2, 3, 8, 9, 10, 11]), (1, vec![4, 5, 6, 7, 12, 13, 14, 15])].into(),
            ..Processor::default()
        };
        let device = Device { node: Some(1), ..Device::default() };
        Machine { processor, storage: Storage { device: Some(device), mount: None }, ..Machine::default() }
    }

    #[test]
    fn a_thread_of_each_core_near_the_disk_is_suggested() {
        let mut machine = machine();
        assert_eq!(Shards::new(&machine, &Cores::Auto).cpus, [4, 5, 6, 7]);
        machine.storage.device = None;
        assert_eq!(Shards::new(&machine, &Cores::Auto).cpus, [1, 2, 3, 4, 5, 6, 7], "all but the first core");
        machine.processor.isolated = Some(vec![2, 3, 10, 11]);
        assert_eq!(Shards::new(&machine, &Cores::Auto).cpus, [2, 3], "what was set apart for it");
    }

    #[test]
    fn the_rest_is_left_to_the_rest() {
        let mut machine = machine();
        machine.processor.nohz_full = Some(Vec::new());
        machine.kernel.boot_loader = BootLoader::Grubby;
        let named = Shards::new(&machine, &Cores::List(vec![2, 1]));
        assert!(named.named);
        let command = named.isolate(&machine);
        for part in ["isolcpus=managed_irq,domain,1-2 ", "nohz_full=1-2 ", "rcu_nocbs=1-2 ", "irqaffinity=0,3-15'"] {
            assert!(command.contains(part), "{part} {command}");
        }
        let all = Shards::new(&machine, &Cores::List((0..16).collect()));
        assert_eq!(all.isolate(&machine), "", "nothing is left for the system");
        machine.processor.nohz_full = None;
        machine.kernel.boot_loader = BootLoader::UpdateGrub;
        let command = named.isolate(&machine);
        assert!(!command.contains("nohz_full") && command.contains("irqaffinity=0,3-15\"' | sudo tee"), "{command}");
        let nothing = Machine::default();
        assert_eq!(Shards::new(&nothing, &Cores::Auto).isolate(&nothing), "", "a machine that tells nothing");
    }
}
