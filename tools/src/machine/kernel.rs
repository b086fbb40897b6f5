//! The kernel: its version and settings, what it forbids, and what it runs on.

use super::processor::field;
use super::root::Root;

#[derive(Clone, Debug, Default)]
pub(crate) struct Kernel {
    /// As `uname -r`.
    pub(crate) release: Option<String>,
    /// 0: anybody may have a ring; 1: a group and the privileged; 2: nobody. `None` also before Linux 6.6.
    pub(crate) io_uring_disabled: Option<u32>,
    /// Whether a filter decides on the system calls of this process.
    pub(crate) seccomp: Option<bool>,
    pub(crate) clock_source: Option<String>,
    pub(crate) clock_sources: Vec<String>,
    /// Ticks a second of a busy CPU, by the kernel's configuration where it lies in `/boot`.
    pub(crate) tick_hz: Option<u32>,
    pub(crate) machine: Option<Virtual>,
    /// What this process is confined in, such as `docker`.
    pub(crate) container: Option<String>,
    pub(crate) times: Option<CpuTimes>,
    pub(crate) boot_loader: BootLoader,
}

/// Whether a hypervisor is below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Virtual {
    No,
    /// By name, or `unnamed`.
    Yes(String),
}

/// What CPUs did since the start, in ticks: the first line of `/proc/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuTimes {
    /// Not idle, stolen time included.
    busy: u64,
    /// Ready to run while the host ran something else.
    stolen: u64,
}

impl Kernel {
    pub(crate) fn read(root: &Root) -> Kernel {
        let release = root.word("/proc/sys/kernel/osrelease");
        let configuration = release.as_ref().and_then(|release| root.text(&format!("/boot/config-{release}")));
        let status = root.text("/proc/self/status").unwrap_or_default();
        let clock = "/sys/devices/system/clocksource/clocksource0";
        let clocks = root.text(&format!("{clock}/available_clocksource")).unwrap_or_default();
        Kernel {
            io_uring_disabled: root.number("/proc/sys/kernel/io_uring_disabled"),
            seccomp: field(&status, "Seccomp").and_then(|mode| mode.parse::<u32>().ok()).map(|mode| mode == 2),
            clock_source: root.word(&format!("{clock}/current_clocksource")),
            clock_sources: clocks.split_whitespace().map(str::to_owned).collect(),
            tick_hz: configuration.and_then(|text| {
                text.lines().find_map(|line| line.strip_prefix("CONFIG_HZ=")).and_then(|hz| hz.trim().parse().ok())
            }),
            machine: hypervisor(root, &clocks),
            container: container(root),
            times: CpuTimes::read(root),
            boot_loader: BootLoader::read(root),
            release,
        }
    }

    /// Major and minor version.
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        version(self.release.as_deref()?)
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl CpuTimes {
    pub(crate) fn read(root: &Root) -> Option<CpuTimes> {
        CpuTimes::parse(&root.text("/proc/stat")?)
    }

    /// `cpu user nice system idle iowait irq softirq steal guest guest_nice`: the last two are in the first two.
    fn parse(text: &str) -> Option<CpuTimes> {
        let times = text.lines().next()?.strip_prefix("cpu ")?;
        let times: Vec<u64> = times.split_whitespace().map_while(|ticks| ticks.parse().ok()).take(8).collect();
        let &[user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen] = times.as_slice() else {
            return None;
        };
        let busy = [user, nice, system, interrupts, soft_interrupts, stolen];
        let busy = busy.iter().try_fold(0_u64, |busy, ticks| busy.checked_add(*ticks))?;
        Some(CpuTimes { busy, stolen })
    }

    /// From an earlier time to this one.
    pub(crate) fn since(self, earlier: CpuTimes) -> CpuTimes {
        CpuTimes { busy: self.busy.saturating_sub(earlier.busy), stolen: self.stolen.saturating_sub(earlier.stolen) }
    }

    /// The stolen part of the time in which there was something to run.
    pub(crate) fn stolen_part(self) -> f64 {
        if self.busy == 0 { 0.0 } else { self.stolen as f64 / self.busy as f64 }
    }
}

/// Tasks of the whole machine that run or are ready to: the fourth word of `/proc/loadavg`, `3/512`.
pub(crate) fn running_tasks(root: &Root) -> Option<u32> {
    let text = root.text("/proc/loadavg")?;
    let (running, _) = text.split_whitespace().nth(3)?.split_once('/')?;
    running.parse().ok()
}

/// By the processor's own flag, by what the firmware says of the machine, and by clocks that only a guest has.
fn hypervisor(root: &Root, clocks: &str) -> Option<Virtual> {
    const MAKERS: [(&str, &str); 8] = [
        ("Amazon EC2", "Amazon EC2"),
        ("Google", "Google Compute Engine"),
        ("VMware", "VMware"),
        ("innotek", "VirtualBox"),
        ("Xen", "Xen"),
        ("Microsoft Corporation Virtual", "Hyper-V"),
        ("QEMU", "KVM"),
        ("KVM", "KVM"),
    ];
    const CLOCKS: [(&str, &str); 3] = [("kvm-clock", "KVM"), ("hyperv", "Hyper-V"), ("xen", "Xen")];
    let named = |text: &str, names: &[(&str, &str)]| {
        names.iter().find(|(part, _)| text.contains(part)).map(|(_, name)| (*name).to_owned())
    };
    let firmware = ["sys_vendor", "product_name"].map(|name| root.word(&format!("/sys/class/dmi/id/{name}")));
    let firmware = firmware.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let name = named(&firmware, &MAKERS).or_else(|| named(clocks, &CLOCKS));
    match field(&root.text("/proc/cpuinfo")?, "flags") {
        // Every x86 hypervisor sets it, and no processor does. Its makers' own boxes without it are real ones.
        Some(flags) if !flags.split_whitespace().any(|flag| flag == "hypervisor") => Some(Virtual::No),
        Some(_) => Some(Virtual::Yes(name.unwrap_or_else(|| "unnamed".into()))),
        None => name.map(Virtual::Yes),
    }
}

/// By the control groups that its manager makes, or by what it leaves in the file system: those files are also in a
/// machine that was started from a container's image, but there the kernel's own threads can be seen.
fn container(root: &Root) -> Option<String> {
    const MANAGERS: [&str; 5] = ["docker", "kubepods", "libpod", "lxc", "containerd"];
    let groups = root.text("/proc/self/cgroup").unwrap_or_default();
    if let Some(manager) = MANAGERS.iter().find(|name| groups.contains(**name)) {
        return Some((*manager).to_owned());
    }
    if root.word("/proc/2/comm").is_some_and(|name| name == "kthreadd") {
        return None;
    }
    let left = [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")];
    let left = left.into_iter().find(|(file, _)| root.exists(file)).map(|(_, name)| name.to_owned());
    left.or_else(|| root.word("/run/systemd/container"))
}

/// How parameters get on the kernel's command line here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BootLoader {
    /// With `grubby`, as on Fedora and its relatives.
    Grubby,
    /// With a file in `/etc/default/grub.d` and `update-grub`, as on Debian and its relatives.
    UpdateGrub,
    #[default]
    Other,
}

impl BootLoader {
    fn read(root: &Root) -> BootLoader {
        let is_there = |name: &str| ["/usr/sbin", "/sbin"].iter().any(|place| root.exists(&format!("{place}/{name}")));
        if is_there("grubby") {
            BootLoader::Grubby
        } else if is_there("update-grub") {
            BootLoader::UpdateGrub
        } else {
            BootLoader::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_distributions_make_of_them() {
        for (release, numbers) in [
            ("6.18.44-fc-v657", Some((6, 18))),
            ("5.15.0-1051-aws", Some((5, 15))),
            ("4.18.0-553.el8_10.x86_64", Some((4, 18))),
            ("6.1-rc1", Some((6, 1))),
            ("", None),
            ("linux", None),
            ("6", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(version(release), numbers, "{release:?}");
        }
    }

    #[test]
    fn stolen_time_is_the_eighth() {
        let text = "cpu  1305060 0 325580 569115 17194 0 5772 1878 9 9\ncpu0 1 2 3\n";
        let busy = 1_305_060 + 325_580 + 5772 + 1878;
        assert_eq!(CpuTimes::parse(text), Some(CpuTimes { busy, stolen: 1878 }));
        let (before, after) = (CpuTimes { busy: 100, stolen: 1 }, CpuTimes { busy: 300, stolen: 51 });
        assert_eq!((after.since(before).stolen_part(), before.since(after).stolen_part()), (0.25, 0.0));
        for text in ["", "cpu", "cpu  1 2 3\n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu  a b c d e f g h\n"] {
            assert_eq!(CpuTimes::parse(text), None, "{text:?}");
        }
        assert_eq!(CpuTimes::parse(&format!("cpu  {max} {max} 1 1 1 1 1 1", max = u64::MAX)), None);
    }
}
