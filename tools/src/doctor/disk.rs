//! Lines about the data directory's file system and the device below it.

use super::Facts;
use super::line::{Heading, Line, Subject};
use crate::machine::{Device, Virtual, cpus};
use crate::table::{count, grouped};
use log::limits::IO_DEPTH;

const fn subject(id: &'static str, name: &'static str) -> Subject {
    Subject { heading: Heading::Disk, id, name }
}

pub(super) fn lines(facts: &Facts) -> Vec<Line> {
    vec![
        file_system(facts),
        mount_options(facts),
        direct(facts),
        device(facts),
        write_cache(facts),
        scheduler(facts),
        requests(facts),
        poll_queues(facts),
        interrupts(facts),
        durable_write(facts),
    ]
}

fn found_device<'a>(facts: &Facts<'a>) -> Option<&'a Device> {
    facts.machine.storage.device.as_ref()
}

fn file_system(facts: &Facts) -> Line {
    let subject = subject("file_system", "file system");
    let Some(mount) = &facts.machine.storage.mount else { return subject.unread() };
    let kind = mount.file_system.as_str();
    let found = format!("{kind} at {}", mount.point.display());
    match kind {
        "ext4" | "xfs" => subject.good(found, "writes into zeroed blocks in place"),
        "tmpfs" | "ramfs" => subject.bad(found, "memory: nothing outlives a restart"),
        "overlay" => subject.bad(found, "a container's layer, lost with it: put the data on a volume"),
        "btrfs" => {
            let change = format!("chattr +C {}", quoted(&facts.data_dir));
            subject
                .fair(found, "copies on write: each durable write moves blocks; off for new files with +C")
                .change(change)
        }
        "zfs" | "bcachefs" | "f2fs" => subject.fair(found, "never writes in place: each durable write moves blocks"),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "virtiofs" | "ceph" => {
            subject.bad(found, "each durable write is a network's or a host's round trip")
        }
        fuse if fuse.starts_with("fuse") => subject.bad(found, "another process stands between engine and disk"),
        _ => subject.unknown(found, "not one that was tried; ext4 and xfs were"),
    }
}

fn mount_options(facts: &Facts) -> Line {
    let subject = subject("mount_options", "mount options");
    let Some(mount) = &facts.machine.storage.mount else { return subject.unread() };
    let point = quoted(&mount.point);
    for option in ["nobarrier", "barrier=0"] {
        if mount.has(option) {
            let why = "flushes are left out: what was acknowledged is lost with the power";
            return subject.bad(option, why).change(format!("sudo mount -o remount,barrier=1 {point}"));
        }
    }
    if mount.has("data=journal") {
        return subject.bad("data=journal", "everything is written twice, and never directly; change it in fstab");
    }
    for (option, remount, why) in [
        ("sync", "async", "every write of everybody waits for the disk"),
        ("strictatime", "relatime", "reading writes"),
    ] {
        if mount.has(option) {
            return subject.fair(option, why).change(format!("sudo mount -o remount,{remount} {point}"));
        }
    }
    if mount.has("discard") {
        let why = "blocks that anybody frees are discarded at once, and writes wait for that";
        let change = format!("sudo mount -o remount,nodiscard {point} && sudo systemctl enable --now fstrim.timer");
        return subject.fair("discard", why).change(change);
    }
    subject.good(mount.options.first().map_or("-", String::as_str), "none that costs anything")
}

fn direct(facts: &Facts) -> Line {
    let subject = subject("direct_io", "direct I/O");
    let Some(disk) = &facts.measured.disk else { return subject.unread() };
    let info = &disk.backend;
    if info.direct {
        return subject
            .good(format!("yes, blocks of {} bytes", info.alignment), "no page cache between engine and disk");
    }
    let note = info.notes.iter().find_map(|note| note.strip_prefix("buffered I/O: ")).unwrap_or("not to be had");
    subject.bad("no", format!("{note}: writes go through the page cache"))
}

fn device(facts: &Facts) -> Line {
    let subject = subject("device", "device");
    let Some(device) = found_device(facts) else {
        return match &facts.machine.storage.mount {
            Some(mount) => subject.unknown(&mount.source, "no block device that could be found"),
            None => subject.unread(),
        };
    };
    let model = device.model.as_ref().map_or_else(String::new, |model| format!(" ({model})"));
    let found = format!("{}{model}", device.place());
    if device.name.starts_with("loop") || device.name.starts_with("nbd") {
        return subject.bad(found, "a file or a server behind the file system: two layers to flush");
    }
    if device.name.starts_with("zram") || device.name.starts_with("ram") {
        return subject.bad(found, "memory: nothing outlives a restart");
    }
    let is_virtual = device.name.starts_with("vd") || device.name.starts_with("xvd");
    match device.rotational {
        Some(false) => subject.good(found, "no moving parts"),
        Some(true) if is_virtual || matches!(facts.machine.kernel.machine, Some(Virtual::Yes(_))) => {
            subject.unknown(found, "says that it rotates, as virtual disks do; see durable write")
        }
        Some(true) => subject.bad(found, "rotates: each durable write takes milliseconds"),
        None => subject.unknown(found, "does not say whether it rotates"),
    }
}

fn write_cache(facts: &Facts) -> Line {
    let subject = subject("write_cache", "write cache");
    let Some(device) = found_device(facts) else { return subject.unread() };
    match (device.write_cache.as_deref(), device.fua) {
        (Some("write through"), _) => subject.good("write through", "a finished write is durable: no flush"),
        (Some("write back"), Some(true)) => {
            subject.good("write back, FUA", "a durable write needs no flush of the whole cache")
        }
        // No command: telling the kernel that a volatile cache is none loses data.
        (Some("write back"), _) => subject.fair("write back, no FUA", "each durable write flushes the whole cache"),
        (Some(other), _) => subject.unknown(other, "not a kind that is known"),
        (None, _) => subject.unread(),
    }
}

fn scheduler(facts: &Facts) -> Line {
    let subject = subject("scheduler", "I/O scheduler");
    let Some(device) = found_device(facts) else { return subject.unread() };
    let Some(scheduler) = &device.scheduler else { return subject.unread() };
    if scheduler == "none" {
        return subject.good(scheduler, "requests go straight to the device");
    }
    if device.rotational == Some(true) && facts.machine.kernel.machine == Some(Virtual::No) {
        return subject.good(scheduler, "a disk that rotates needs one");
    }
    let change = format!("echo none | sudo tee /sys/block/{}/queue/scheduler", device.name);
    match scheduler.as_str() {
        "mq-deadline" | "kyber" => {
            subject.fair(scheduler, "a lock and a queue more; good only where others flood the disk")
        }
        _ => subject.bad(scheduler, "holds requests back to be fair"),
    }
    .change(change)
}

fn requests(facts: &Facts) -> Line {
    let subject = subject("requests", "queue length");
    let Some(device) = found_device(facts) else { return subject.unread() };
    let Some(most) = device.requests_max else { return subject.unread() };
    let wanted = IO_DEPTH * facts.shards.cpus.len().max(1);
    if most as usize >= IO_DEPTH {
        return subject.good(most.to_string(), format!("a shard has {IO_DEPTH} in flight at most"));
    }
    subject
        .fair(most.to_string(), format!("a shard has {IO_DEPTH} in flight at most, and waits to send more"))
        .change(format!("echo {wanted} | sudo tee /sys/block/{}/queue/nr_requests", device.name))
}

fn poll_queues(facts: &Facts) -> Line {
    let subject = subject("poll_queues", "poll queues");
    let Some(device) = found_device(facts) else { return subject.unread() };
    match device.poll_queues {
        Some(true) => subject.good("yes", "not used: a shard's durable writes complete by interrupt"),
        Some(false) => subject.good("none", "none needed: a shard's durable writes complete by interrupt"),
        None => subject.unread(),
    }
}

fn interrupts(facts: &Facts) -> Line {
    let subject = subject("interrupts", "disk interrupts");
    let Some(device) = found_device(facts) else { return subject.unread() };
    if device.interrupts.is_empty() {
        return subject.unknown("none found", "the device has none of its own, or does not tell");
    }
    let on = device.interrupt_cpus();
    let found = match device.interrupts.as_slice() {
        [one] => format!("irq {}, {}: CPU {}", one.number, one.name, cpus::list(&on)),
        several => format!("{} queues on CPUs {}", several.len(), cpus::list(&on)),
    };
    let online = facts.machine.processor.online.as_ref().map_or(0, Vec::len);
    if device.interrupts.len() > 1 && on.len() >= online {
        return subject.good(found, "each CPU takes those of its own requests");
    }
    if facts.shards.cpus.is_empty() {
        return subject.fair(found, "there is no other core to send them to");
    }
    let stopped: Vec<usize> = on.iter().copied().filter(|cpu| facts.shards.cpus.contains(cpu)).collect();
    if stopped.is_empty() {
        return subject.good(found, "not on a core of a shard");
    }
    let line = subject.fair(found, format!("they stop a shard on CPU {}", cpus::list(&stopped)));
    let stops = |cpus: &[usize]| cpus.iter().any(|cpu| stopped.contains(cpu));
    let (rest, files) = (cpus::list(&facts.shards.rest), device.interrupts.iter().filter(|one| stops(&one.cpus)));
    let files: Vec<String> = files.map(|one| format!("/proc/irq/{}/smp_affinity_list", one.number)).collect();
    if device.name.starts_with("nvme") {
        // The kernel spreads these itself, and takes no other list for them.
        return line.change(facts.isolate());
    }
    if rest.is_empty() { line } else { line.change(format!("echo {rest} | sudo tee {}", files.join(" "))) }
}

fn durable_write(facts: &Facts) -> Line {
    /// What a disk with a cache that outlives the power takes, and what one without takes.
    const FAST_NS: u64 = 500_000;
    const SLOW_NS: u64 = 5_000_000;
    let subject = subject("durable_write", "durable write of 4 KiB");
    let Some(disk) = &facts.measured.disk else { return subject.unread() };
    let micros = |ns: u64| grouped((ns + 500) / 1000);
    let found =
        format!("p50 {} µs, p99 {} µs, {} writes", micros(disk.p50_ns), micros(disk.p99_ns), grouped(disk.writes));
    let cpus = facts.machine.processor.online.as_ref().map_or(1, Vec::len);
    let running = facts.measured.running.unwrap_or(0);
    match disk.p99_ns {
        0..FAST_NS => subject.good(found, "an answer to a durable append takes as long"),
        _ if running as usize > cpus => {
            let why = format!("{running} tasks wanted {} meanwhile: try again at rest", count(cpus as u64, "CPU"));
            subject.unknown(found, why)
        }
        FAST_NS..SLOW_NS => subject.fair(found, "an answer takes as long; less with power-loss protection"),
        _ => subject.bad(found, "an answer takes as long: use a disk with power-loss protection"),
    }
}

/// A path as one word of a shell.
fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: char| byte.is_ascii_alphanumeric() || "/._-".contains(byte);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
