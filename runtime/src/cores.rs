//! Which cores there are, which suit a shard, and pinning to them.

use std::fs;

/// The CPUs that this thread may run on, ascending. Ask before pinning: a pinned thread may run on one only.
#[must_use]
pub fn available() -> Vec<usize> {
    let mut cpus: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    cpus.sort_unstable();
    cpus
}

/// Pins the calling thread to a CPU, then asks the system whether it is so.
///
/// # Errors
/// The CPUs that the thread may run on instead.
pub fn pin(cpu: usize) -> Result<(), Vec<usize>> {
    let before = available();
    if !before.contains(&cpu) {
        return Err(before);
    }
    core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    let now = available();
    if now == [cpu] { Ok(()) } else { Err(now) }
}

/// The given CPUs, those that suit a shard best first: one thread of each physical core before its siblings, and a core
/// that takes no interrupts of a disk before one that does. A shard that shares its core with the device's
/// completions waits for itself.
#[must_use]
pub fn by_fitness(cpus: &[usize]) -> Vec<usize> {
    let interrupts = fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let mut ranked = cpus.to_vec();
    ranked.sort_by_key(|&cpu| (is_sibling(cpu), disk_interrupts(&interrupts, cpu), cpu));
    ranked
}

/// Whether a CPU is a second hardware thread of a core that has a lower-numbered one.
fn is_sibling(cpu: usize) -> bool {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    let first = fs::read_to_string(path).ok().and_then(|list| {
        let end = list.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(list.len());
        list[..end].parse::<usize>().ok()
    });
    first.is_some_and(|first| first != cpu)
}

/// How many interrupts of disks a CPU has taken since the start, from the text of `/proc/interrupts`.
///
/// A device with a queue a CPU spreads them evenly, and then they tell nothing, which is right: no core is worse.
fn disk_interrupts(table: &str, cpu: usize) -> u64 {
    let mut lines = table.lines();
    let Some(column) =
        lines.next().and_then(|head| head.split_whitespace().position(|name| name == format!("CPU{cpu}")))
    else {
        return 0;
    };
    let is_disk = |line: &&str| {
        ["-req.", "nvme", "ahci", "virtio_scsi", "mpt3sas", "megasas"].iter().any(|name| line.contains(name))
    };
    let count = |line: &str| line.split_whitespace().nth(column + 1).and_then(|count| count.parse::<u64>().ok());
    // In powers of two: a few interrupts at boot make no difference.
    let total: u64 = lines.filter(is_disk).filter_map(count).sum();
    u64::from(total.checked_ilog2().unwrap_or(0)) / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "           CPU0       CPU1
 36:          3      47340   PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
 41:      99999          0   PCI-MSIX-0000:00:04.0   1-edge      virtio3-rx
NMI:          0          0   Non-maskable interrupts
";

    #[test]
    fn the_core_that_takes_the_disks_interrupts_is_told_from_the_other() {
        assert_eq!(disk_interrupts(TABLE, 0), 0);
        assert!(disk_interrupts(TABLE, 1) > 0);
        assert_eq!(disk_interrupts(TABLE, 7), 0, "no such column");
        assert_eq!(disk_interrupts("", 0), 0);
    }

    #[test]
    fn pinning_is_verified() {
        let cpus = available();
        let cpu = *cpus.first().unwrap();
        std::thread::spawn(move || {
            pin(cpu).unwrap();
            assert_eq!(available(), [cpu]);
            assert!(pin(4095).is_err(), "no such CPU");
        })
        .join()
        .unwrap();
        assert_eq!(available(), cpus, "only that thread was pinned");
    }
}
