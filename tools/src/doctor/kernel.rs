//! Lines about the kernel and what it runs on.

use super::Facts;
use super::line::{Heading, Line, Subject};
use crate::machine::{CpuTimes, Virtual};
use diatreme::{BackendInfo, BackendKind};

const fn subject(id: &'static str, name: &'static str) -> Subject {
    Subject { heading: Heading::Kernel, id, name }
}

pub(super) fn lines(facts: &Facts) -> Vec<Line> {
    vec![release(facts), io_uring(facts), clock(facts), hypervisor(facts), stolen(facts), container(facts)]
}

fn release(facts: &Facts) -> Line {
    let subject = subject("kernel", "kernel");
    let kernel = &facts.machine.kernel;
    let (Some(release), Some(version)) = (&kernel.release, kernel.version()) else { return subject.unread() };
    match version {
        // What a ring can do came with these.
        (6, 15..) | (7.., _) => subject.good(release, "has all that the engine uses"),
        (6, 1..) => subject.good(release, "has what the engine needs; before 6.15 a waiting shard shows as iowait"),
        (5, 15..) | (6, 0) => subject.fair(release, "before 6.1, completions interrupt a shard wherever it is"),
        _ => subject.bad(release, "before 5.15 io_uring lacks what is needed: no ring"),
    }
}

fn io_uring(facts: &Facts) -> Line {
    let subject = subject("io_uring", "io_uring");
    let Some(disk) = &facts.measured.disk else { return subject.unread() };
    let info = &disk.backend;
    if info.kind == BackendKind::Sync {
        return without_ring(facts, subject, info);
    }
    let flags = info.notes.iter().find_map(|note| note.strip_prefix("io_uring: set up with ")).unwrap_or_default();
    let flag = ["DEFER_TASKRUN", "COOP_TASKRUN"].into_iter().find(|flag| flags.contains(flag));
    let found = format!("a ring, {}", flag.unwrap_or("no flags"));
    if !info.fixed_buffers {
        // The remedy is that of the limit.
        return subject.fair(found, "buffers are not registered, each transfer pins its pages: see locked memory");
    }
    if flag == Some("DEFER_TASKRUN") {
        return subject.good(found, "completions are taken when the shard asks for them");
    }
    subject.fair(found, "completions interrupt a shard wherever it is; Linux 6.1 has better")
}

/// Why there is no ring. What the kernel says of itself tells more than the error, which is the same for all.
fn without_ring(facts: &Facts, subject: Subject, info: &BackendInfo) -> Line {
    const SLOWER: &str = "each write is a system call that a shard waits in";
    let kernel = &facts.machine.kernel;
    if kernel.release.is_none() {
        return subject.unknown("none", "exists on Linux only");
    }
    match kernel.io_uring_disabled {
        Some(1) => {
            let found = "forbidden: io_uring_disabled=1";
            return subject.bad(found, SLOWER).change("sudo sysctl -w kernel.io_uring_group=$(id -g)");
        }
        Some(2..) => {
            let found = "forbidden: io_uring_disabled=2";
            return subject.bad(found, SLOWER).change("sudo sysctl -w kernel.io_uring_disabled=0");
        }
        _ => {}
    }
    let note = info.notes.iter().find_map(|note| note.strip_prefix("synchronous backend: "));
    let note = note.unwrap_or("no reason was given");
    if kernel.seccomp == Some(true) && (note.contains("seccomp") || note.contains("no io_uring")) {
        let line = subject.bad("forbidden by a seccomp filter", SLOWER);
        return match kernel.container.as_deref() {
            Some(manager @ ("docker" | "podman")) => {
                line.change(format!("{manager} run --security-opt seccomp=unconfined ..."))
            }
            _ => line,
        };
    }
    subject.bad("none", format!("{note}: {SLOWER}"))
}

fn clock(facts: &Facts) -> Line {
    let subject = subject("clock", "clock source");
    let kernel = &facts.machine.kernel;
    let Some(source) = &kernel.clock_source else { return subject.unread() };
    match source.as_str() {
        "tsc" | "arch_sys_counter" => return subject.good(source, "read without a system call, in 20 ns"),
        "kvm-clock" | "hyperv_clocksource_tsc_page" => {
            return subject.good(source, "read without a system call, through the host's page");
        }
        _ => {}
    }
    let line = subject.bad(source, "each reading is a system call, or a slow device's register");
    if kernel.clock_sources.iter().any(|source| source == "tsc") {
        return line.change("echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource");
    }
    line
}

fn hypervisor(facts: &Facts) -> Line {
    let subject = subject("hypervisor", "hypervisor");
    match &facts.machine.kernel.machine {
        None => subject.unread(),
        Some(Virtual::No) => subject.good("none", "nobody else takes the cores"),
        Some(Virtual::Yes(name)) => subject.fair(name, "the host may take a core at any time; see stolen time"),
    }
}

fn stolen(facts: &Facts) -> Line {
    /// In parts of busy time: of 1 in 200, p99 sees nothing; of 1 in 50, it does.
    const LITTLE: f64 = 0.005;
    const MUCH: f64 = 0.02;
    /// Half a second has too few ticks to count parts of a hundred.
    const MUCH_NOW: f64 = 0.05;
    let subject = subject("stolen", "stolen time");
    let kernel = &facts.machine.kernel;
    if kernel.machine == Some(Virtual::No) {
        return subject.good("none", "not virtual");
    }
    let Some(since_boot) = kernel.times.map(CpuTimes::stolen_part) else { return subject.unread() };
    let now = facts.measured.stolen.map_or_else(String::new, |part| format!(", {:.1} % just now", part * 100.0));
    let found = format!("{:.2} % of busy time{now}", since_boot * 100.0);
    if since_boot > MUCH || facts.measured.stolen.is_some_and(|part| part > MUCH_NOW) {
        subject.bad(found, "the host is overcommitted: ask it for dedicated CPUs")
    } else if since_boot > LITTLE {
        subject.fair(found, "the host stops a shard now and then")
    } else {
        subject.good(found, "the host gives what it promised")
    }
}

fn container(facts: &Facts) -> Line {
    let subject = subject("container", "container");
    let kernel = &facts.machine.kernel;
    match &kernel.container {
        Some(name) => subject.fair(name, "the kernel's settings, and commands for them, are its host's"),
        None if kernel.release.is_some() => subject.good("none seen", "the kernel's settings can be changed from here"),
        None => subject.unread(),
    }
}
