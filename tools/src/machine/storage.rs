//! The file system and the device below a directory.

use super::interrupts::{self, DiskInterrupt};
use super::memory::chosen;
use super::mounts::{self, Mount};
use super::root::Root;
use std::path::Path;

#[derive(Clone, Debug, Default)]
pub(crate) struct Storage {
    pub(crate) mount: Option<Mount>,
    pub(crate) device: Option<Device>,
}

/// A block device with a queue: a disk. What cannot be read is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Device {
    /// Such as `nvme0n1`.
    pub(crate) name: String,
    /// The devices through which the file system reaches it, topmost first: a partition is not among them.
    pub(crate) through: Vec<String>,
    /// How many other disks share its work, as in an array.
    pub(crate) others: usize,
    pub(crate) model: Option<String>,
    pub(crate) rotational: Option<bool>,
    /// `write back` or `write through`.
    pub(crate) write_cache: Option<String>,
    /// Whether a single write can be made durable without flushing the whole cache.
    pub(crate) fua: Option<bool>,
    pub(crate) scheduler: Option<String>,
    pub(crate) requests_max: Option<u32>,
    /// Whether it has queues that are polled and not waited for.
    pub(crate) poll_queues: Option<bool>,
    /// `None` also for a device that belongs to no node.
    pub(crate) node: Option<usize>,
    pub(crate) interrupts: Vec<DiskInterrupt>,
}

impl Storage {
    /// Of a directory, as an absolute path without links.
    pub(crate) fn read(root: &Root, directory: &Path, table: &interrupts::Table) -> Storage {
        let mount = root.text("/proc/self/mountinfo").and_then(|text| mounts::holding(&text, directory));
        let device =
            mount.as_ref().and_then(|mount| device_path(root, mount)).map(|path| Device::read(root, &path, table));
        Storage { mount, device }
    }
}

/// The device's directory below `/sys/devices`.
fn device_path(root: &Root, mount: &Mount) -> Option<String> {
    // File systems that span devices, as btrfs does, have a number of their own and tell the device as their source.
    root.resolve(&format!("/sys/dev/block/{}", mount.device_number))
        .or_else(|| root.resolve(&format!("/sys/class/block/{}", mount.source.strip_prefix("/dev/")?)))
}

impl Device {
    fn read(root: &Root, path: &str, table: &interrupts::Table) -> Device {
        let mut path = whole(root, path);
        let (mut through, mut others) = (Vec::new(), 0);
        // Volumes and arrays lie on other devices, and those do the work. Of several, the first stands for all.
        while let Some((first, more)) = root.names(&format!("{path}/slaves")).split_first()
            && let Some(below) = root.resolve(&format!("{path}/slaves/{first}"))
            && through.len() < DEEPEST
        {
            through.push(name_of(&path).to_owned());
            others += more.len();
            path = whole(root, &below);
        }
        let queue = |name: &str| root.word(&format!("{path}/queue/{name}"));
        let flag = |name: &str| root.number::<u32>(&format!("{path}/queue/{name}")).map(|flag| flag != 0);
        // -1 on machines with one node, and where the firmware does not tell.
        let node = parents(&path).find_map(|path| root.number::<i64>(&format!("{path}/numa_node")));
        Device {
            name: name_of(&path).to_owned(),
            through,
            others,
            model: root.word(&format!("{path}/device/model")),
            rotational: flag("rotational"),
            write_cache: queue("write_cache"),
            fua: flag("fua"),
            scheduler: queue("scheduler").map(|text| chosen(&text).unwrap_or(text)),
            requests_max: root.number(&format!("{path}/queue/nr_requests")),
            poll_queues: flag("io_poll"),
            node: node.and_then(|node| usize::try_from(node).ok()),
            interrupts: interrupts::of_device(root, table, &path),
        }
    }

    /// The CPUs that take its interrupts.
    pub(crate) fn interrupt_cpus(&self) -> Vec<usize> {
        let mut cpus: Vec<usize> =
            self.interrupts.iter().flat_map(|interrupt| interrupt.cpus.iter().copied()).collect();
        cpus.sort_unstable();
        cpus.dedup();
        cpus
    }

    /// The device and what it is reached through: `nvme0n1 through dm-0`.
    pub(crate) fn place(&self) -> String {
        let through =
            if self.through.is_empty() { String::new() } else { format!(" through {}", self.through.join(", ")) };
        let others = if self.others == 0 { String::new() } else { format!(" and {} more", self.others) };
        format!("{}{others}{through}", self.name)
    }
}

/// Volumes on volumes on volumes: a tree of devices is no deeper, and one with a loop in it ends.
const DEEPEST: usize = 8;

/// A path and the directories above it, nearest first.
pub(super) fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(parent, _)| parent))
        .take_while(|path| !path.is_empty())
}

/// A partition has no queue; the disk that it is a part of has.
fn whole(root: &Root, path: &str) -> String {
    let partition = root.exists(&format!("{path}/partition"));
    partition.then(|| path.rsplit_once('/')).flatten().map_or(path, |(disk, _)| disk).to_owned()
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
