//! Lines about memory.

use super::Facts;
use super::line::{Heading, Line, Subject};

const fn subject(id: &'static str, name: &'static str) -> Subject {
    Subject { heading: Heading::Memory, id, name }
}

pub(super) fn lines(facts: &Facts) -> Vec<Line> {
    vec![huge_pages(facts), swap(facts), balancing(facts)]
}

fn huge_pages(facts: &Facts) -> Line {
    let subject = subject("huge_pages", "transparent huge pages");
    let memory = &facts.machine.memory;
    let Some(enabled) = &memory.huge_pages else { return subject.unread() };
    let defrag = memory.huge_page_defrag.as_deref();
    let found = defrag.map_or_else(|| enabled.clone(), |defrag| format!("{enabled}, defrag {defrag}"));
    let set = |name: &str, value: &str| format!("echo {value} | sudo tee /sys/kernel/mm/transparent_hugepage/{name}");
    if defrag == Some("always") && enabled != "never" {
        return subject.bad(found, "a page fault waits for memory to be compacted").change(set("defrag", "madvise"));
    }
    match enabled.as_str() {
        "madvise" => subject.good(found, "the engine's buffers ask for them, nothing else"),
        "always" => {
            subject.fair(found, "the kernel merges pages behind everybody's back").change(set("enabled", "madvise"))
        }
        _ => subject.fair(found, "the engine's buffers lie in small pages").change(set("enabled", "madvise")),
    }
}

fn swap(facts: &Facts) -> Line {
    let subject = subject("swap", "swap");
    let memory = &facts.machine.memory;
    let Some(swaps) = &memory.swaps else { return subject.unread() };
    if swaps.is_empty() {
        return subject.good("none", "no memory is taken away");
    }
    let swappiness = memory.swappiness.map_or_else(String::new, |value| format!(", swappiness {value}"));
    subject
        .fair(format!("{}{swappiness}", swaps.join(", ")), "memory that lay idle is read from disk when it is needed")
        .change("sudo swapoff -a")
}

fn balancing(facts: &Facts) -> Line {
    let subject = subject("numa_balancing", "NUMA balancing");
    let nodes = facts.machine.processor.nodes.len();
    match facts.machine.memory.numa_balancing {
        _ if nodes == 1 => subject.good("one node", "nothing to move"),
        Some(false) => subject.good("off", "pages stay where they are"),
        Some(true) => subject
            .fair("on", "pages are unmapped to see who uses them, and moved")
            .change("sudo sysctl -w kernel.numa_balancing=0"),
        None => subject.unread(),
    }
}
