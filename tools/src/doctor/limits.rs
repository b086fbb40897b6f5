//! Lines about what the process may have.

use super::Facts;
use super::line::{Heading, Line, Subject};
use crate::machine::cpus;
use crate::table::grouped;
use log::limits::{ARENA_BYTES, FILE_SLOTS};

const fn subject(id: &'static str, name: &'static str) -> Subject {
    Subject { heading: Heading::Limits, id, name }
}

/// Descriptors of a process beside its shards': standard ones, the lock, rings, clients' own.
const OTHER_FILES: u64 = 256;

pub(super) fn lines(facts: &Facts) -> Vec<Line> {
    vec![locked_memory(facts), open_files(facts), quota(facts), cpuset(facts), memory(facts)]
}

fn shards(facts: &Facts) -> u64 {
    facts.shards.cpus.len().max(1) as u64
}

/// Bytes as people read them; `u64::MAX` is no limit.
fn amount(bytes: u64) -> String {
    match bytes {
        u64::MAX => "unlimited".into(),
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", grouped(bytes >> 20)),
    }
}

fn locked_memory(facts: &Facts) -> Line {
    let subject = subject("locked_memory", "locked memory");
    let Some(limit) = facts.machine.limits.locked_memory_bytes else { return subject.unread() };
    let wanted = shards(facts) * ARENA_BYTES as u64;
    if limit >= wanted {
        return subject.good(amount(limit), format!("{} of buffers can be registered", amount(wanted)));
    }
    if facts.measured.disk.as_ref().is_some_and(|disk| disk.backend.fixed_buffers) && shards(facts) == 1 {
        return subject.good(amount(limit), "a shard's buffers were registered all the same");
    }
    let why = format!("without a privilege, {} of buffers are not registered", amount(wanted));
    subject.fair(amount(limit), why).change("sudo prlimit --pid $$ --memlock=unlimited:unlimited")
}

fn open_files(facts: &Facts) -> Line {
    let subject = subject("open_files", "open files");
    let Some(limit) = facts.machine.limits.open_files else { return subject.unread() };
    let wanted = shards(facts) * FILE_SLOTS as u64 + OTHER_FILES;
    let found = if limit == u64::MAX { "unlimited".into() } else { grouped(limit) };
    if limit >= wanted {
        return subject.good(found, format!("{} are enough", grouped(wanted)));
    }
    let why = format!("{} are wanted: a shard has up to {FILE_SLOTS}", grouped(wanted));
    subject.bad(found, why).change(format!("sudo prlimit --pid $$ --nofile={wanted}:{}", wanted.max(65_536)))
}

fn quota(facts: &Facts) -> Line {
    let subject = subject("cpu_quota", "CPU quota");
    let group = &facts.machine.limits.group;
    match &group.quota {
        Some(quota) if quota.cpus.is_finite() => {
            let unlimited = if quota.file.ends_with("cpu.max") { "max" } else { "-1" };
            let why = "a group that has used it up stands still until the period ends";
            let change = format!("echo {unlimited} | sudo tee {}", quota.file);
            subject.bad(format!("{:.1} CPUs", quota.cpus), why).change(change)
        }
        // The topmost group has none to set.
        _ if group.present => subject.good("none", "the group is never stopped"),
        _ => subject.unread(),
    }
}

fn cpuset(facts: &Facts) -> Line {
    let subject = subject("cpuset", "cpuset");
    let group = &facts.machine.limits.group;
    let Some(set) = group.cpus.as_ref().filter(|set| !set.is_empty()) else {
        return if group.present { subject.good("none", "no CPU is withheld") } else { subject.unread() };
    };
    let outside = facts.shards.outside(set);
    if facts.shards.named && !outside.is_empty() {
        return subject.bad(cpus::list(set), format!("{} of --cores is not in it", cpus::list(&outside)));
    }
    if group.cpus_are_its_own {
        return subject.good(cpus::list(set), "no other group has them");
    }
    let online = facts.machine.processor.online.as_ref().map_or(0, Vec::len);
    if set.len() >= online {
        return subject.good(cpus::list(set), "no CPU is withheld");
    }
    subject.fair(cpus::list(set), "other groups may run there too, unless cpuset.cpus.partition is set")
}

fn memory(facts: &Facts) -> Line {
    let subject = subject("group_memory", "memory of the group");
    let group = &facts.machine.limits.group;
    let wanted = shards(facts) * ARENA_BYTES as u64;
    match &group.memory {
        Some(limit) if limit.bytes == u64::MAX => subject.good("unlimited", "no limit to be stopped at"),
        Some(limit) if limit.bytes / 4 >= wanted => {
            subject.good(amount(limit.bytes), format!("the shards' buffers take {}", amount(wanted)))
        }
        Some(limit) => {
            let why = format!("the shards' buffers take {}: near the limit the kernel stops or kills", amount(wanted));
            let change = format!("echo {} | sudo tee {}", wanted * 8, limit.file);
            subject.bad(amount(limit.bytes), why).change(change)
        }
        None if group.present => subject.good("unlimited", "no limit to be stopped at"),
        None => subject.unread(),
    }
}
