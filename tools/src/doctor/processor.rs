//! Lines about the processors.

use super::Facts;
use super::line::{Heading, Line, Subject};
use crate::floor::pauses::LONG_NS;
use crate::machine::{Virtual, cpus};
use crate::table::{count, grouped};

const fn subject(id: &'static str, name: &'static str) -> Subject {
    Subject { heading: Heading::Processor, id, name }
}

pub(super) fn lines(facts: &Facts) -> Vec<Line> {
    vec![
        cores(facts),
        siblings(facts),
        nodes(facts),
        isolated(facts),
        ticks_stopped(facts),
        callbacks(facts),
        ticks(facts),
        pauses(facts),
        governor(facts),
        instructions(facts),
    ]
}

fn cores(facts: &Facts) -> Line {
    let subject = subject("cores", "cores available");
    let processor = &facts.machine.processor;
    let (Some(online), Some(allowed)) = (&processor.online, &processor.allowed) else { return subject.unread() };
    let found = format!("{} of {} online: {}", allowed.len(), online.len(), cpus::list(allowed));
    let absent = facts.shards.outside(online);
    if !absent.is_empty() {
        return subject.bad(found, format!("--cores names {}, not online", cpus::list(&absent)));
    }
    let barred = facts.shards.outside(allowed);
    if !barred.is_empty() {
        // Isolated CPUs are in nobody's mask until somebody asks for them.
        let why = format!("{} not in this process's mask: no shard can be pinned there", cpus::list(&barred));
        let all = cpus::list(online);
        return subject.bad(found, why).change(format!("sudo taskset -cp {all} $$"));
    }
    match allowed.len() {
        0 | 1 => subject.bad(found, "shards, clients and the kernel share one"),
        _ => subject.good(found, "shards need not share theirs with clients"),
    }
}

fn siblings(facts: &Facts) -> Line {
    let subject = subject("smt", "SMT siblings");
    let processor = &facts.machine.processor;
    match processor.threads_per_core() {
        None => return subject.unread(),
        Some(0 | 1) if matches!(facts.machine.kernel.machine, Some(Virtual::Yes(_))) => {
            return subject.unknown("none shown", "a host may run two of its guests' CPUs on one core");
        }
        Some(0 | 1) => return subject.good("none", "every CPU is a core"),
        Some(_) => {}
    }
    let shards = &facts.shards.cpus;
    let others =
        |cpu: usize| processor.siblings.get(&cpu).into_iter().flatten().copied().filter(move |other| *other != cpu);
    let mut beside: Vec<usize> = shards.iter().copied().flat_map(others).collect();
    beside.sort_unstable();
    beside.dedup();
    let found = format!("{} threads a core", processor.threads_per_core().unwrap_or(0));
    let shared: Vec<usize> = beside.iter().copied().filter(|cpu| shards.contains(cpu)).collect();
    if !shared.is_empty() {
        let why = format!("two shards share a core, of {}: name one thread of each", cpus::list(&shared));
        return subject.bad(found, why);
    }
    if shards.is_empty() {
        return subject.fair(found, "all CPUs are of one core");
    }
    if beside.is_empty() {
        return subject.good(found, "those of the shards are offline");
    }
    let files = beside.iter().map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/online")).collect::<Vec<_>>();
    let why = format!("what runs on {} slows the shards on {}", cpus::list(&beside), facts.shards.list());
    subject.fair(found, why).change(format!("echo 0 | sudo tee {}", files.join(" ")))
}

fn nodes(facts: &Facts) -> Line {
    let subject = subject("numa", "NUMA nodes");
    let processor = &facts.machine.processor;
    let device = facts.machine.storage.device.as_ref();
    match processor.nodes.len() {
        0 => return subject.unread(),
        1 => return subject.good("1", "all memory and the disk are near"),
        _ => {}
    }
    let each = processor.nodes.iter().map(|(node, own)| format!("{node}: {}", cpus::list(own)));
    let found = each.collect::<Vec<_>>().join("; ");
    let mut used: Vec<usize> = facts.shards.cpus.iter().filter_map(|cpu| processor.node_of(*cpu)).collect();
    used.sort_unstable();
    used.dedup();
    let bare = |node: &usize| processor.memory_nodes.as_ref().is_some_and(|with| !with.contains(node));
    if let Some(node) = used.iter().find(|node| bare(node)) {
        return subject.bad(found, format!("node {node} has no memory: its shards' is all on another"));
    }
    match (device.and_then(|device| device.node), used.as_slice()) {
        (Some(node), [own]) if *own == node => {
            subject.good(found, format!("the shards are on the disk's node, {node}"))
        }
        (Some(node), _) => {
            let near = processor.nodes.get(&node).map(|own| cpus::list(own)).unwrap_or_default();
            let why = format!("the disk is on node {node}: run shards with --cores of {near}");
            subject.fair(found, why)
        }
        (None, [_]) => subject.good(found, "the shards are on one; the disk's is not told"),
        (None, _) => subject.fair(found, "run shards with --cores of one node; the disk's is not told"),
    }
}

/// A set of CPUs that something is kept away from: good if all shards are in it.
fn set_apart(facts: &Facts, subject: Subject, set: &[usize], without: &str, with: &str) -> Line {
    let outside = facts.shards.outside(set);
    if set.is_empty() {
        return subject.fair("none", without).change(facts.isolate());
    }
    if !outside.is_empty() {
        let why = format!("{without}: {} not in it", cpus::list(&outside));
        return subject.fair(cpus::list(set), why).change(facts.isolate());
    }
    subject.good(cpus::list(set), with)
}

fn isolated(facts: &Facts) -> Line {
    let subject = subject("isolated", "isolated cores");
    let Some(set) = &facts.machine.processor.isolated else { return subject.unread() };
    set_apart(facts, subject, set, "other tasks may run on a shard's core", "no other task is put on a shard's core")
}

fn ticks_stopped(facts: &Facts) -> Line {
    let subject = subject("nohz_full", "nohz_full cores");
    let processor = &facts.machine.processor;
    match &processor.nohz_full {
        Some(set) => set_apart(facts, subject, set, "the timer interrupts a busy shard", "a busy shard has no ticks"),
        None if processor.online.is_some() => {
            subject.fair("not in this kernel", "the timer interrupts a busy shard; needs CONFIG_NO_HZ_FULL")
        }
        None => subject.unread(),
    }
}

fn callbacks(facts: &Facts) -> Line {
    let subject = subject("rcu_nocbs", "rcu_nocbs cores");
    let Some(set) = &facts.machine.processor.rcu_nocbs else { return subject.unread() };
    set_apart(facts, subject, set, "the kernel frees memory on a shard's core", "the kernel frees memory elsewhere")
}

fn ticks(facts: &Facts) -> Line {
    /// A CPU of `nohz_full` has one a second left.
    const FEW: f64 = 10.0;
    let subject = subject("ticks", "timer ticks");
    let Some(measured) = facts.measured.ticks else {
        return match facts.machine.kernel.tick_hz {
            Some(hz) => subject.unknown(format!("CONFIG_HZ={hz}"), "could not be counted on a busy CPU"),
            None => subject.unread(),
        };
    };
    let found = format!("{:.0}/s on busy CPU {}", measured.per_second, measured.cpu);
    if measured.per_second <= FEW {
        return subject.good(found, "nothing interrupts a busy shard");
    }
    let stoppable = facts.machine.processor.nohz_full.is_some();
    let line = subject.fair(found, "each stops a shard for microseconds");
    if stoppable { line.change(facts.isolate()) } else { line }
}

fn pauses(facts: &Facts) -> Line {
    /// Beyond it, not even a slow disk hides them.
    const BAD_NS: u64 = 1_000_000;
    let subject = subject("pauses", "pauses");
    let Some(pauses) = &facts.measured.pauses else { return subject.unread() };
    let found = format!(
        "longest {} µs, {}/s above 100 µs, CPUs {}",
        grouped((pauses.max_ns + 500) / 1000),
        grouped(pauses.over_100us_per_sec.round() as u64),
        cpus::list(&pauses.cpus)
    );
    let online = facts.machine.processor.online.as_ref().map_or(1, Vec::len);
    let running = facts.measured.running.unwrap_or(0);
    if pauses.max_ns <= LONG_NS {
        return subject.good(found, "a busy core is its thread's");
    }
    if running as usize > online {
        let why = format!("{running} tasks wanted {} meanwhile: try again at rest", count(online as u64, "CPU"));
        return subject.unknown(found, why);
    }
    let (cause, change) = taker(facts);
    let why = format!("busy cores stand still: {cause}");
    let line = if pauses.max_ns < BAD_NS { subject.fair(found, why) } else { subject.bad(found, why) };
    line.change(change)
}

/// Who may take a busy core, and the command against it: first what the guest itself can change.
fn taker(facts: &Facts) -> (String, String) {
    let machine = facts.machine;
    let mut takers = Vec::new();
    let mut change = String::new();
    if machine.limits.group.quota.as_ref().is_some_and(|quota| quota.cpus.is_finite()) {
        takers.push("the group's CPU quota");
    }
    if let Some(file) = machine.memory.damon.first() {
        takers.push("the kernel's kdamond");
        change = format!("echo {} | sudo tee {file}", if file.ends_with("state") { "off" } else { "N" });
    }
    match machine.kernel.machine {
        Some(Virtual::Yes(_)) => takers.push("the host: ask for dedicated CPUs"),
        _ => takers.push("other tasks, interrupts, firmware"),
    }
    if change.is_empty() {
        change = facts.isolate();
    }
    (takers.join("; or "), change)
}

fn governor(facts: &Facts) -> Line {
    let subject = subject("governor", "frequency governor");
    let processor = &facts.machine.processor;
    let Some(found) = processor.governor() else {
        return match (&processor.online, &facts.machine.kernel.machine) {
            (None, _) => subject.unread(),
            (_, Some(Virtual::Yes(_))) => subject.unknown("none", "the host decides"),
            _ => subject.unknown("none", "the firmware decides"),
        };
    };
    let slow: Vec<usize> = (processor.governors.iter())
        .filter(|(cpu, name)| {
            *name != "performance" && (facts.shards.cpus.is_empty() || facts.shards.cpus.contains(cpu))
        })
        .map(|(cpu, _)| *cpu)
        .collect();
    if slow.is_empty() {
        return subject.good(found, "shards' cores do not slow down");
    }
    let change = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
    // Under these drivers the governor of that name is a dynamic one; under any other it is the lowest frequency.
    let dynamic = processor.frequency_driver.as_deref().is_some_and(|driver| driver.contains("pstate"));
    let lowest = |cpu: &usize| processor.governors.get(cpu).is_some_and(|name| name == "powersave") && !dynamic;
    if slow.iter().any(lowest) {
        return subject.bad(found, "shards run at the lowest frequency").change(change);
    }
    subject.fair(found, "a core that was idle is slow for milliseconds").change(change)
}

fn instructions(facts: &Facts) -> Line {
    let subject = subject("sha", "SHA instructions");
    let processor = &facts.machine.processor;
    let sha = facts.measured.crypto.contains("SHA-NI") || processor.has("sha2");
    let aes = if processor.flags.is_empty() {
        ""
    } else if processor.has("aes") {
        "; AES"
    } else {
        "; no AES"
    };
    let found = if sha { format!("{}{aes}", facts.measured.crypto) } else { format!("none{aes}") };
    if sha {
        return subject.good(found, "chaining a record takes about 100 ns");
    }
    if processor.flags.is_empty() {
        return subject.unread();
    }
    match facts.machine.kernel.machine {
        Some(Virtual::Yes(_)) => subject.bad(found, "hashing bounds a shard: give the guest its host's CPU model"),
        _ => subject.bad(found, "hashing bounds a shard"),
    }
}
