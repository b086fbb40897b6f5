//! Machines that are not this one, as trees of files.

use super::measure::{Disk, Measured, Ticks};
use super::*;
use crate::floor::pauses::PausesFloor;
use diatreme::{BackendInfo, BackendKind, Cores};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A tree with what `/proc` and `/sys` tell of a machine.
struct Tree(TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Tree {
        let tree = Tree(tempfile::tempdir().unwrap());
        for (path, text) in files {
            tree.put(path, text);
        }
        tree
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, to: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn judge(&self, data_dir: &str, cores: &Cores, measured: &Measured) -> Judged {
        let machine = Machine::read(&Root::at(self.0.path()), Path::new(data_dir));
        let shards = Shards::new(&machine, cores);
        let facts = Facts { data_dir: data_dir.into(), machine: &machine, measured, shards };
        Judged(Findings::new(&facts))
    }
}

struct Judged(Findings);

impl Judged {
    #[track_caller]
    fn line(&self, id: &str) -> &Line {
        let line = self.0.lines.iter().find(|line| line.id == id);
        line.unwrap_or_else(|| panic!("no line {id}"))
    }

    #[track_caller]
    fn is(&self, id: &str, verdict: Verdict, found: &str) {
        let line = self.line(id);
        assert_eq!((line.verdict, line.found.as_str()), (verdict, found), "{line:?}");
    }

    fn text(&self) -> String {
        let mut out = Vec::new();
        self.0.print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}

fn ring() -> BackendInfo {
    let notes = vec!["io_uring: set up with SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG (flags of Linux 6.1)".into()];
    BackendInfo { kind: BackendKind::Uring, direct: true, alignment: 512, fixed_buffers: true, notes }
}

fn no_ring(note: &str) -> BackendInfo {
    let notes = vec![format!("synchronous backend: {note}"), "buffered I/O: the file system has no direct I/O".into()];
    BackendInfo { kind: BackendKind::Sync, direct: false, alignment: 4096, fixed_buffers: false, notes }
}

fn measured(backend: BackendInfo, p99_ns: u64, ticks: f64) -> Measured {
    Measured {
        ticks: Some(Ticks { cpu: 2, per_second: ticks }),
        pauses: Some(pauses(31_000)),
        stolen: Some(0.0),
        running: Some(1),
        disk: Some(Disk { backend, writes: 10_000, p50_ns: 12_000, p99_ns }),
        crypto: "SHA-NI, up to 4 lanes",
    }
}

fn pauses(max_ns: u64) -> PausesFloor {
    let (cpus, over_100us_per_sec) = (vec![0, 1], if max_ns > 100_000 { 23.6 } else { 0.0 });
    PausesFloor { cpus, seconds: 0.3, lost_percent: 1.0, over_100us_per_sec, max_ns, p99_ns: 0, p999_ns: max_ns / 2 }
}

/// A server that was set up for the engine: two nodes of four cores with two threads each, an NVMe disk on the second
/// node under a logical volume.
fn appliance() -> Tree {
    let tree = Tree::new(&[
        ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu sha_ni aes\n"),
        ("proc/self/status", "Name:\tdiatreme\nCpus_allowed_list:\t0-15\nSeccomp:\t0\n"),
        ("proc/cmdline", "BOOT_IMAGE=/vmlinuz ro isolcpus=managed_irq,domain,4-7 nohz_full=4-7 rcu_nocbs=4-7\n"),
        ("proc/sys/kernel/osrelease", "6.17.0-8-generic\n"),
        ("proc/sys/kernel/numa_balancing", "1\n"),
        ("proc/swaps", "Filename Type Size Used Priority\n/dev/dm-1 partition 8388604 0 -2\n"),
        ("proc/sys/vm/swappiness", "60\n"),
        ("proc/meminfo", "MemTotal:       263927444 kB\nMemFree: 1 kB\n"),
        ("proc/self/limits", "Max open files 1024 524288 files\nMax locked memory 8388608 8388608 bytes\n"),
        ("proc/self/cgroup", "0::/system.slice/front.service\n"),
        ("proc/stat", "cpu  100 0 100 100000 0 0 0 0 0 0\n"),
        ("proc/self/mountinfo", "27 1 253:0 / / rw,relatime - ext4 /dev/mapper/vg-root rw\n"),
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory\n"),
        ("sys/fs/cgroup/system.slice/front.service/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/system.slice/front.service/cpuset.cpus.effective", "4-7\n"),
        ("sys/fs/cgroup/system.slice/front.service/cpuset.cpus.partition", "isolated\n"),
        ("sys/fs/cgroup/system.slice/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/system.slice/memory.max", "max\n"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
        ("sys/devices/system/clocksource/clocksource0/available_clocksource", "hpet tsc acpi_pm\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
        ("sys/kernel/mm/transparent_hugepage/defrag", "always defer defer+madvise [madvise] never\n"),
        ("sys/devices/system/cpu/online", "0-15\n"),
        ("sys/devices/system/cpu/isolated", "4-7\n"),
        ("sys/devices/system/cpu/nohz_full", "4-7\n"),
        ("sys/devices/system/node/has_memory", "0-1\n"),
        ("sys/devices/system/node/node0/cpulist", "0-3,8-11\n"),
        ("sys/devices/system/node/node1/cpulist", "4-7,12-15\n"),
    ]);
    for cpu in 0..16 {
        let cpu_dir = format!("sys/devices/system/cpu/cpu{cpu}");
        tree.put(&format!("{cpu_dir}/topology/thread_siblings_list"), &format!("{},{}\n", cpu % 8, cpu % 8 + 8));
        tree.put(&format!("{cpu_dir}/cpufreq/scaling_governor"), "powersave\n");
        tree.put(&format!("{cpu_dir}/cpufreq/scaling_driver"), "intel_pstate\n");
    }
    put_disk(&tree);
    tree
}

fn put_disk(tree: &Tree) {
    let controller = "sys/devices/pci0000:80/0000:81:00.0";
    let disk = format!("{controller}/nvme/nvme0/nvme0n1");
    for (file, text) in [
        ("queue/rotational", "0\n"),
        ("queue/write_cache", "write back\n"),
        ("queue/fua", "1\n"),
        ("queue/scheduler", "[none] mq-deadline kyber\n"),
        ("queue/nr_requests", "1023\n"),
        ("queue/io_poll", "0\n"),
        ("nvme0n1p2/partition", "2\n"),
        ("device/model", "SAMSUNG MZQL23T8HCLS-00A07                \n"),
    ] {
        tree.put(&format!("{disk}/{file}"), text);
    }
    tree.put(&format!("{controller}/numa_node"), "1\n");
    tree.put("sys/devices/virtual/block/dm-0/queue/rotational", "0\n");
    tree.link(
        "sys/devices/virtual/block/dm-0/slaves/nvme0n1p2",
        "../../../../pci0000:80/0000:81:00.0/nvme/nvme0/nvme0n1/nvme0n1p2",
    );
    tree.link("sys/dev/block/253:0", "../../devices/virtual/block/dm-0");
    let mut table = "     CPU0 CPU4\n 90: 5 0 IR-PCI-MSIX 0-edge nvme0q0\n".to_owned();
    for queue in 1..=16 {
        let (number, cpu) = (90 + queue, queue - 1);
        tree.put(&format!("{controller}/msi_irqs/{number}"), "msix\n");
        tree.put(&format!("proc/irq/{number}/effective_affinity_list"), &format!("{cpu}\n"));
        table += &format!(" {number}: 9 9 IR-PCI-MSIX {queue}-edge nvme0q{queue}\n");
    }
    tree.put(&format!("{controller}/msi_irqs/90"), "msix\n");
    tree.put("proc/interrupts", &table);
}

#[test]
fn a_server_that_was_set_up_is_told_what_is_left_to_do() {
    let tree = appliance();
    let judged = tree.judge("/srv/data", &Cores::List(vec![4, 5, 6, 7]), &measured(ring(), 40_000, 1.0));
    judged.is("cores", Verdict::Good, "16 of 16 online: 0-15");
    judged.is("numa", Verdict::Good, "0: 0-3,8-11; 1: 4-7,12-15");
    for id in ["isolated", "nohz_full", "rcu_nocbs"] {
        judged.is(id, Verdict::Good, "4-7");
    }
    judged.is("ticks", Verdict::Good, "1/s on busy CPU 2");
    judged.is("smt", Verdict::Fair, "2 threads a core");
    let offline = "echo 0 | sudo tee /sys/devices/system/cpu/cpu12/online /sys/devices/system/cpu/cpu13/online";
    assert!(judged.line("smt").change.starts_with(offline), "{:?}", judged.line("smt"));
    judged.is("governor", Verdict::Fair, "powersave");
    judged.is("huge_pages", Verdict::Fair, "always, defrag madvise");
    judged.is("swap", Verdict::Fair, "/dev/dm-1, swappiness 60");
    judged.is("numa_balancing", Verdict::Fair, "on");
    judged.is("clock", Verdict::Bad, "hpet");
    assert!(judged.line("clock").change.starts_with("echo tsc | sudo tee "));
    judged.is("hypervisor", Verdict::Good, "none");
    judged.is("container", Verdict::Good, "none seen");
    judged.is("device", Verdict::Good, "nvme0n1 through dm-0 (SAMSUNG MZQL23T8HCLS-00A07)");
    judged.is("write_cache", Verdict::Good, "write back, FUA");
    judged.is("scheduler", Verdict::Good, "none");
    judged.is("interrupts", Verdict::Good, "16 queues on CPUs 0-15");
    judged.is("open_files", Verdict::Good, "1,024");
    judged.is("locked_memory", Verdict::Fair, "8 MiB");
    judged.is("cpu_quota", Verdict::Good, "none");
    judged.is("cpuset", Verdict::Good, "4-7");
    assert_eq!((judged.0.summary.bad, judged.0.summary.unknown), (1, 0), "{}", judged.text());
    let setup = &judged.0.setup;
    assert_eq!((setup.smt, setup.numa_nodes, setup.memory_bytes), (2, 2, 263_927_444 * 1024));
    assert_eq!(setup.isolated_cpus, [4, 5, 6, 7]);
    let (written, device) = (serde_json::to_string(setup).unwrap(), setup.device.as_deref());
    assert_eq!(serde_json::from_str::<Setup>(&written).unwrap(), *setup);
    assert_eq!(device, Some("nvme0n1 through dm-0"));
}

#[test]
fn shards_on_the_wrong_cores_of_it_are_named() {
    let tree = appliance();
    let judge = |cpus: &[usize]| tree.judge("/srv", &Cores::List(cpus.to_vec()), &measured(ring(), 40_000, 250.0));
    let judged = judge(&[0, 1]);
    judged.is("isolated", Verdict::Fair, "4-7");
    assert!(judged.line("isolated").change.contains("isolcpus=managed_irq,domain,0-1 nohz_full=0-1"));
    assert!(
        judged.line("numa").why.contains("node 1: run shards with --cores of 4-7,12-15"),
        "{:?}",
        judged.line("numa")
    );
    assert!(judged.text().contains("isolated cores, nohz_full cores, rcu_nocbs cores, timer ticks, after a reboot:\n"));
    assert!(judge(&[4, 12]).line("smt").why.contains("two shards share a core, of 4,12"));
    assert!(judge(&[4, 99]).line("cores").why.contains("99, not online"));
    // As the kernel starts everything once CPUs are isolated.
    tree.put("proc/self/status", "Cpus_allowed_list:\t0-3,8-15\n");
    let judged = judge(&[4, 5]);
    judged.is("cores", Verdict::Bad, "12 of 16 online: 0-3,8-15");
    assert_eq!(judged.line("cores").change, "sudo taskset -cp 0-15 $$");
}

/// A guest with two cores and a disk with one queue, whose interrupts may go anywhere and do go to CPU 1.
fn guest() -> Tree {
    let tree = Tree::new(&[
        ("proc/cpuinfo", "model name\t: EPYC\nflags\t\t: fpu sha_ni aes hypervisor\n"),
        ("proc/self/status", "Cpus_allowed_list:\t0-1\n"),
        ("proc/cmdline", "console=ttyS0\n"),
        ("proc/self/mountinfo", "27 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw,discard\n"),
        ("proc/irq/36/smp_affinity_list", "0-1\n"),
        ("proc/irq/36/effective_affinity_list", "1\n"),
        ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc kvm-clock\n"),
        ("sys/devices/system/cpu/online", "0-1\n"),
        ("sys/devices/system/cpu/isolated", "\n"),
        ("sys/devices/pci0/00:02.0/numa_node", "-1\n"),
        ("sys/devices/pci0/00:02.0/msi_irqs/35", "msix\n"),
        ("sys/devices/pci0/00:02.0/msi_irqs/36", "msix\n"),
        ("sys/devices/pci0/00:02.0/virtio1/block/vda/queue/rotational", "1\n"),
        ("sys/devices/pci0/00:02.0/virtio1/block/vda/queue/scheduler", "none [mq-deadline] kyber\n"),
        ("sys/devices/pci0/00:02.0/virtio1/block/vda/queue/write_cache", "write back\n"),
        ("sys/devices/pci0/00:02.0/virtio1/block/vda/queue/fua", "0\n"),
        ("sys/devices/pci0/00:02.0/virtio1/block/vda/vda1/partition", "1\n"),
        (
            "proc/interrupts",
            "      CPU0  CPU1\n 35: 0 1 PCI-MSIX 0-edge virtio1-config\n 36: 3 47340 PCI-MSIX 1-edge virtio1-req.0\n",
        ),
    ]);
    tree.link("sys/dev/block/254:1", "../../devices/pci0/00:02.0/virtio1/block/vda/vda1");
    tree
}

#[test]
fn a_shard_that_takes_the_disks_interrupts_is_told_where_to_send_them() {
    let tree = guest();
    let judge = |cores| tree.judge("/srv", &cores, &measured(ring(), 200_000, 250.0));
    let judged = judge(Cores::List(vec![1]));
    judged.is("interrupts", Verdict::Fair, "irq 36, virtio1-req.0: CPU 1");
    assert_eq!(judged.line("interrupts").change, "echo 0 | sudo tee /proc/irq/36/smp_affinity_list");
    assert_eq!(judged.0.setup.disk_interrupt_cpus, [1]);
    judge(Cores::List(vec![0])).is("interrupts", Verdict::Good, "irq 36, virtio1-req.0: CPU 1");
    assert_eq!(judge(Cores::List(vec![0, 1])).line("interrupts").change, "", "there is nowhere to send them");
    judged.is("hypervisor", Verdict::Fair, "KVM");
    judged.is("device", Verdict::Unknown, "vda");
    judged.is("write_cache", Verdict::Fair, "write back, no FUA");
    judged.is("scheduler", Verdict::Fair, "mq-deadline");
    assert_eq!(judged.line("scheduler").change, "echo none | sudo tee /sys/block/vda/queue/scheduler");
    judged.is("mount_options", Verdict::Fair, "discard");
    judged.is("nohz_full", Verdict::Fair, "not in this kernel");
    assert!(judged.line("isolated").change.starts_with("# add to the kernel's command line: isolcpus="));
}

/// A container with half a CPU, no ring, and its data in its own layer.
fn container() -> Tree {
    Tree::new(&[
        ("proc/cpuinfo", "model name\t: EPYC\nflags\t\t: fpu aes hypervisor\n"),
        ("proc/self/status", "Cpus_allowed_list:\t3\nSeccomp:\t2\n"),
        ("proc/cmdline", "quiet\n"),
        ("proc/sys/kernel/osrelease", "6.8.0-1021-aws\n"),
        ("proc/sys/kernel/io_uring_disabled", "2\n"),
        ("proc/self/cgroup", "0::/\n"),
        ("proc/2/comm", "sh\n"),
        (".dockerenv", ""),
        ("proc/stat", "cpu  700 0 200 5000 0 0 0 100 0 0\n"),
        ("proc/self/limits", "Max open files 128 128 files\nMax locked memory 65536 65536 bytes\n"),
        ("proc/self/mountinfo", "1 2 0:66 / / rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/b\n"),
        ("sys/class/dmi/id/sys_vendor", "Amazon EC2\n"),
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory\n"),
        ("sys/fs/cgroup/cpu.max", "50000 100000\n"),
        ("sys/fs/cgroup/memory.max", "67108864\n"),
        ("sys/fs/cgroup/cpuset.cpus.effective", "3\n"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "xen\n"),
        ("sys/devices/system/clocksource/clocksource0/available_clocksource", "xen acpi_pm\n"),
        ("sys/devices/system/cpu/online", "0-3\n"),
        ("sys/devices/system/cpu/isolated", "\n"),
        ("sys/devices/system/cpu/nohz_full", "(null)\n"),
        ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3\n"),
    ])
}

#[test]
fn a_container_is_told_what_holds_it_back() {
    let tree = container();
    let slow = measured(no_ring("io_uring: setup: Operation not permitted (seccomp)"), 9_000_000, 1000.0);
    let judged = tree.judge("/data", &Cores::Auto, &slow);
    judged.is("cores", Verdict::Bad, "1 of 4 online: 3");
    judged.is("isolated", Verdict::Fair, "none");
    assert_eq!(judged.line("isolated").change, "", "there is no CPU to set apart");
    judged.is("container", Verdict::Fair, "docker");
    judged.is("hypervisor", Verdict::Fair, "Amazon EC2");
    judged.is("smt", Verdict::Unknown, "none shown");
    judged.is("io_uring", Verdict::Bad, "forbidden: io_uring_disabled=2");
    assert_eq!(judged.line("io_uring").change, "sudo sysctl -w kernel.io_uring_disabled=0");
    judged.is("stolen", Verdict::Bad, "10.00 % of busy time, 0.0 % just now");
    judged.is("clock", Verdict::Bad, "xen");
    assert_eq!(judged.line("clock").change, "", "there is no better one");
    judged.is("cpu_quota", Verdict::Bad, "0.5 CPUs");
    assert_eq!(judged.line("cpu_quota").change, "echo max | sudo tee /sys/fs/cgroup/cpu.max");
    judged.is("group_memory", Verdict::Bad, "64 MiB");
    judged.is("open_files", Verdict::Bad, "128");
    judged.is("locked_memory", Verdict::Fair, "64 KiB");
    judged.is("file_system", Verdict::Bad, "overlay at /");
    judged.is("direct_io", Verdict::Bad, "no");
    judged.is("device", Verdict::Unknown, "overlay");
    judged.is("durable_write", Verdict::Bad, "p50 12 µs, p99 9,000 µs, 10,000 writes");
    let crowded = Measured { running: Some(9), ..slow };
    let judged = tree.judge("/data", &Cores::Auto, &crowded);
    assert_eq!(judged.line("durable_write").verdict, Verdict::Unknown, "others' work was measured too");
    let taken = Measured { stolen: Some(0.3), ..crowded };
    tree.put("proc/stat", "cpu  700 0 200 5000 0 0 0 0 0 0\n");
    let judged = tree.judge("/data", &Cores::Auto, &taken);
    judged.is("stolen", Verdict::Bad, "0.00 % of busy time, 30.0 % just now");
    // The next thing that forbids it, once the first is out of the way.
    tree.put("proc/sys/kernel/io_uring_disabled", "0\n");
    let judged = tree.judge("/data", &Cores::Auto, &taken);
    judged.is("io_uring", Verdict::Bad, "forbidden by a seccomp filter");
    assert!(judged.line("io_uring").change.starts_with("docker run --security-opt seccomp="));
}

#[test]
fn pauses_are_judged_and_whoever_may_take_the_core_is_named() {
    let judge = |tree: &Tree, max_ns, running| {
        let quiet = measured(ring(), 1, 1.0);
        tree.judge("/srv", &Cores::List(vec![1]), &Measured { pauses: Some(pauses(max_ns)), running, ..quiet })
    };
    let tree = guest();
    judge(&tree, 100_000, Some(9)).is("pauses", Verdict::Good, "longest 100 µs, 0/s above 100 µs, CPUs 0-1");
    judge(&tree, 101_000, Some(3)).is("pauses", Verdict::Unknown, "longest 101 µs, 24/s above 100 µs, CPUs 0-1");
    judge(&tree, 999_000, Some(2)).is("pauses", Verdict::Fair, "longest 999 µs, 24/s above 100 µs, CPUs 0-1");
    let judged = judge(&tree, 8_512_000, None);
    judged.is("pauses", Verdict::Bad, "longest 8,512 µs, 24/s above 100 µs, CPUs 0-1");
    assert!(judged.line("pauses").why.ends_with("the host: ask for dedicated CPUs"));
    assert!(judged.line("pauses").change.contains("isolcpus="));
    tree.put("sys/module/damon_reclaim/parameters/enabled", "N\n");
    tree.put("sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds", "1\n");
    tree.put("sys/kernel/mm/damon/admin/kdamonds/0/state", "on\n");
    let judged = judge(&tree, 8_512_000, None);
    assert!(judged.line("pauses").why.contains("kdamond; or the host"), "{:?}", judged.line("pauses"));
    assert_eq!(judged.line("pauses").change, "echo off | sudo tee /sys/kernel/mm/damon/admin/kdamonds/0/state");
    tree.put("sys/module/damon_reclaim/parameters/enabled", "Y\n");
    let change = "echo N | sudo tee /sys/module/damon_reclaim/parameters/enabled";
    assert_eq!(judge(&tree, 8_512_000, None).line("pauses").change, change);
    let judged = judge(&container(), 60_000_000, None);
    assert!(judged.line("pauses").why.contains("the group's CPU quota; or the host"), "{:?}", judged.line("pauses"));
}

#[test]
fn the_first_version_of_control_groups_is_read_too() {
    let tree = container();
    fs::remove_dir_all(tree.0.path().join("sys/fs/cgroup")).unwrap();
    tree.put("proc/self/cgroup", "4:memory:/kubepods/x\n3:cpuset:/kubepods/x\n2:cpu,cpuacct:/kubepods/x\n");
    tree.put("sys/fs/cgroup/cpu/kubepods/x/cpu.cfs_quota_us", "-1\n");
    tree.put("sys/fs/cgroup/cpu/kubepods/x/cpu.cfs_period_us", "100000\n");
    tree.put("sys/fs/cgroup/cpu/kubepods/cpu.cfs_quota_us", "250000\n");
    tree.put("sys/fs/cgroup/cpu/kubepods/cpu.cfs_period_us", "100000\n");
    tree.put("sys/fs/cgroup/memory/kubepods/x/memory.limit_in_bytes", "9223372036854771712\n");
    tree.put("sys/fs/cgroup/cpuset/kubepods/x/cpuset.effective_cpus", "0-3\n");
    let judged = tree.judge("/data", &Cores::Auto, &measured(ring(), 1, 1.0));
    judged.is("container", Verdict::Fair, "kubepods");
    judged.is("cpu_quota", Verdict::Bad, "2.5 CPUs");
    let change = "echo -1 | sudo tee /sys/fs/cgroup/cpu/kubepods/cpu.cfs_quota_us";
    assert_eq!(judged.line("cpu_quota").change, change);
    judged.is("group_memory", Verdict::Good, "unlimited");
    judged.is("cpuset", Verdict::Good, "0-3");
}

#[test]
fn a_machine_that_tells_nothing_is_unknown_and_no_error() {
    let nothing = Measured { ticks: None, pauses: None, stolen: None, running: None, disk: None, crypto: "sha2" };
    let judged = Tree::new(&[]).judge("/data", &Cores::Auto, &nothing);
    let summary = &judged.0.summary;
    assert_eq!((summary.lines, summary.unknown), (summary.lines, summary.lines), "{}", judged.text());
    assert!(judged.0.lines.iter().all(|line| line.change.is_empty()));
    assert!(!judged.text().contains("to change"));
    // The same where every file is there and holds nothing of use.
    let tree = appliance();
    overwrite(tree.0.path(), b"\xff\xfe: [ 99999999999999999999 - - -\n\n");
    let judged = tree.judge("/data", &Cores::Auto, &nothing);
    let good: BTreeMap<_, _> =
        judged.0.lines.iter().filter(|line| line.verdict == Verdict::Good).map(|line| (line.id, &line.found)).collect();
    assert!(good.keys().all(|id| ["container", "cpu_quota", "cpuset", "group_memory"].contains(id)), "{good:?}");
}

fn overwrite(directory: &Path, text: &[u8]) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => overwrite(&entry.path(), text),
            kind if kind.is_file() => fs::write(entry.path(), text).unwrap(),
            _ => {}
        }
    }
}

#[test]
fn ids_are_each_of_one_line() {
    let nothing = Measured { ticks: None, pauses: None, stolen: None, running: None, disk: None, crypto: "sha2" };
    let judged = Tree::new(&[]).judge("/data", &Cores::Auto, &nothing);
    let mut ids: Vec<_> = judged.0.lines.iter().map(|line| line.id).collect();
    let lines = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), lines);
}
