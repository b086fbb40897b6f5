//! Who takes the interrupts: `/proc/interrupts`, and where each may go.

use super::cpus;
use super::root::Root;
use super::storage::parents;

/// `/proc/interrupts`: a row a source, a column a CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// The CPU of each column: offline ones have none.
    cpus: Vec<usize>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// `36`, or `LOC`.
    source: String,
    /// One a column; fewer where a kernel counts for the whole machine.
    counts: Vec<u64>,
    /// What comes after the counts: chip, pin and handlers.
    about: String,
}

impl Table {
    /// Rows that are none are left out.
    pub(crate) fn parse(text: &str) -> Table {
        let mut lines = text.lines();
        let column = |name: &str| name.strip_prefix("CPU").and_then(|cpu| cpu.parse().ok());
        let cpus: Vec<usize> = lines.next().unwrap_or_default().split_whitespace().filter_map(column).collect();
        let row = |line: &str| {
            let (source, rest) = line.split_once(':')?;
            let words = || rest.split_whitespace();
            let counts: Vec<u64> = words().take(cpus.len()).map_while(|word| word.parse().ok()).collect();
            let about = words().skip(counts.len()).collect::<Vec<_>>().join(" ");
            (!counts.is_empty()).then(|| Row { source: source.trim().into(), counts, about })
        };
        let rows = lines.filter_map(row).collect();
        Table { cpus, rows }
    }

    /// How many interrupts of a source a CPU has taken.
    pub(crate) fn count(&self, source: &str, cpu: usize) -> Option<u64> {
        let column = self.cpus.iter().position(|named| *named == cpu)?;
        self.rows.iter().find(|row| row.source == source)?.counts.get(column).copied()
    }

    fn row(&self, number: u32) -> Option<&Row> {
        self.rows.iter().find(|row| row.source.parse() == Ok(number))
    }
}

/// The local timer's row: on x86, and elsewhere.
pub(crate) fn timer_interrupts(table: &Table, cpu: usize) -> Option<u64> {
    let timer = |row: &&Row| row.source == "LOC" || row.about.contains("arch_timer");
    let row = table.rows.iter().find(timer)?;
    table.count(&row.source, cpu)
}

/// An interrupt of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiskInterrupt {
    pub(crate) number: u32,
    /// As its handler is called, such as `nvme0q3`.
    pub(crate) name: String,
    /// Where it goes; where it may go if the kernel does not say.
    pub(crate) cpus: Vec<usize>,
    /// How many there were since the start, over all CPUs.
    pub(crate) count: u64,
}

/// The interrupts of a device's queues: those of the nearest of its parents that has any.
pub(crate) fn of_device(root: &Root, table: &Table, device: &str) -> Vec<DiskInterrupt> {
    let with_interrupts = |path: &str| -> Option<Vec<u32>> {
        let numbers = root.names(&format!("{path}/msi_irqs")).iter().filter_map(|name| name.parse().ok()).collect();
        Some(numbers).filter(|numbers: &Vec<u32>| !numbers.is_empty())
    };
    let line = |path: &str| root.number(&format!("{path}/irq")).filter(|number| *number > 0).map(|number| vec![number]);
    let numbers = parents(device).find_map(|path| with_interrupts(path).or_else(|| line(path)));
    numbers.unwrap_or_default().into_iter().filter_map(|number| disk_interrupt(root, table, number)).collect()
}

fn disk_interrupt(root: &Root, table: &Table, number: u32) -> Option<DiskInterrupt> {
    let row = table.row(number)?;
    let name = row.about.rsplit(' ').next().unwrap_or_default();
    // Changes of a disk's size, and an NVMe controller's administration.
    let of_a_queue = !(name.ends_with("-config") || name.starts_with("nvme") && name.ends_with("q0"));
    let told = |file: &str| {
        let list = root.word(&format!("/proc/irq/{number}/{file}"))?;
        cpus::parse(&list).filter(|cpus| !cpus.is_empty())
    };
    let cpus = told("effective_affinity_list").or_else(|| told("smp_affinity_list"));
    // Of a queue that no CPU has, as of one that is offline, nothing comes.
    let cpus = cpus.unwrap_or_else(|| taken_by(table, row));
    of_a_queue.then(|| DiskInterrupt { number, name: name.into(), cpus, count: row.counts.iter().sum() })
}

/// The CPUs that did take it.
fn taken_by(table: &Table, row: &Row) -> Vec<usize> {
    table.cpus.iter().zip(&row.counts).filter(|(_, count)| **count > 0).map(|(cpu, _)| *cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIRTIO: &str = "           CPU0       CPU1
 35:          0          1  PCI-MSIX-0000:00:02.0   0-edge      virtio1-config
 36:          3      47340  PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
LOC:    2388613    2395200   Local timer interrupts
ERR:          0
";
    /// CPU 1 is offline, and the columns go on at 2.
    const NVME: &str = "            CPU0       CPU2       CPU3
  27:        12          0          0  IR-PCI-MSIX-0000:01:00.0    0-edge      nvme0q0
  28:    904112          0          0  IR-PCI-MSIX-0000:01:00.0    1-edge      nvme0q1
  29:         0     771204          0  IR-PCI-MSIX-0000:01:00.0    2-edge      nvme0q2
";

    #[test]
    fn columns_are_of_the_cpus_that_are_named() {
        let table = Table::parse(NVME);
        assert_eq!(table.count("29", 2), Some(771_204));
        assert_eq!(table.count("29", 1), None, "offline");
        assert_eq!(Table::parse(VIRTIO).count("ERR", 0), Some(0), "one count for the whole machine");
        assert_eq!(Table::parse(VIRTIO).count("ERR", 1), None);
        assert_eq!(timer_interrupts(&Table::parse(VIRTIO), 1), Some(2_395_200));
        let arm = "     CPU0  CPU1\n 11:  5  77  GICv3  27 Level  arch_timer\n";
        assert_eq!(timer_interrupts(&Table::parse(arm), 1), Some(77));
    }

    #[test]
    fn a_table_that_is_none_has_no_rows() {
        for text in ["", "\n\n", "CPU0\n:::\nLOC\nLOC: \nLOC: many\n", "LOC: 1 2 3", "\0\u{fffd}: 1"] {
            let table = Table::parse(text);
            assert_eq!((timer_interrupts(&table, 0), table.rows.len()), (None, 0), "{text:?}");
        }
    }
}
