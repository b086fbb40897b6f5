//! On what it ran and how it was called: enough to do it again.

use super::text::{bytes, escaped, seconds, trimmed};
use crate::bench::document::{Arrivals, Config, Document};
use crate::machine::cpus;
use crate::table::grouped;
use std::fmt::Write;

/// Names and what is said of them.
type Facts = Vec<(&'static str, String)>;

/// Command line, machine, engine and load.
pub(super) fn lists(document: &Document) -> String {
    let mut command = vec!["diatreme".to_owned()];
    command.extend(document.setup.arguments.iter().map(|argument| quoted(argument)));
    let lists = [("Machine", machine(document)), ("Engine", engine(document)), ("Load", load(&document.config))];
    let mut html = format!("<pre><code>{}</code></pre>\n<div class=\"facts\">\n", escaped(&command.join(" ")));
    for (heading, facts) in lists {
        let _infallible = write!(html, "<div><h3>{heading}</h3>\n<dl>\n");
        for (name, fact) in facts {
            let _infallible = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(&fact));
        }
        html.push_str("</dl></div>\n");
    }
    html + "</div>\n"
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(plain) {
        argument.into()
    } else {
        format!("'{}'", argument.replace('\'', "'\\''"))
    }
}

fn cpu_list(list: &[usize], none: &str) -> String {
    if list.is_empty() { none.into() } else { cpus::list(list) }
}

/// The CPUs where something is.
fn cpus_named(list: &[usize], none: &str) -> String {
    if list.is_empty() { none.into() } else { format!("CPU {}", cpus::list(list)) }
}

fn machine(document: &Document) -> Facts {
    let machine = &document.setup.machine;
    let known = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "not known".into());
    let mut facts = vec![("CPU", known(&machine.cpu_model))];
    let threads = if machine.smt > 0 { format!(", {} to a core", machine.smt) } else { String::new() };
    facts.push(("hardware threads", format!("{} online{threads}", machine.cpus_online)));
    facts.push(("available CPUs", cpu_list(&machine.cpus_available, "not known")));
    facts.push(("isolated CPUs", cpu_list(&machine.isolated_cpus, "none")));
    if machine.numa_nodes > 0 {
        facts.push(("NUMA nodes", machine.numa_nodes.to_string()));
    }
    if machine.memory_bytes > 0 {
        facts.push(("memory", bytes(machine.memory_bytes as f64)));
    }
    facts.push(("governor", machine.governor.clone().unwrap_or_else(|| "none".into())));
    facts.push(("kernel", known(&machine.kernel)));
    facts.push(("hypervisor", machine.hypervisor.clone().unwrap_or_else(|| "none, or not known".into())));
    facts.push(("clock source", known(&machine.clock_source)));
    facts.push(("huge pages", known(&machine.transparent_huge_pages)));
    facts.push(("file system", known(&machine.file_system)));
    facts.push(("mounted with", known(&machine.mount_options)));
    facts.push(("device", known(&machine.device)));
    facts.push(("its write cache", known(&machine.device_write_cache)));
    facts.push(("its interrupts", cpus_named(&machine.disk_interrupt_cpus, "not known")));
    facts
}

fn engine(document: &Document) -> Facts {
    let (setup, config) = (&document.setup, &document.config);
    let mut facts = vec![("backend", setup.backend.clone())];
    facts.extend(setup.backend_notes.iter().map(|note| ("because", note.clone())));
    facts.push(("file access", if setup.direct_io { "direct".into() } else { "through the page cache".into() }));
    facts.push(("durability", config.durability.clone()));
    facts.push(("encryption", config.encryption.clone()));
    facts.push(("durable write", config.durable_write.clone()));
    facts.push(("waiting", config.waiting.clone()));
    facts.push(("frame, at most", bytes(config.frame_cap_bytes as f64)));
    facts.push(("hash chain", setup.chain.clone()));
    let cpu = |cpu: &Option<usize>| cpu.map_or("not pinned".into(), |cpu| format!("CPU {cpu}"));
    facts.push(("shards, in order", setup.shard_cpus.iter().map(cpu).collect::<Vec<_>>().join("; ")));
    let clients = if config.inside { "in the shards' threads" } else { "not pinned" };
    facts.push(("clients", cpus_named(&setup.client_cpus, clients)));
    facts.push(("build", if setup.debug_build { "debug".into() } else { "release".into() }));
    facts.push(("version", document.version.clone()));
    facts
}

fn load(config: &Config) -> Facts {
    let mut facts = vec![("scenario", config.scenario.clone())];
    match config.arrivals {
        Arrivals::Closed => facts.push(("arrivals", "closed loop: the next when one is answered".into())),
        Arrivals::Open { requests_per_sec, poisson, burst } => {
            let gaps = if poisson { "exponential gaps (Poisson)" } else { "equal gaps" };
            facts.push(("arrivals", format!("open loop, {gaps}")));
            facts.push(("rate", format!("{} requests/s", trimmed(requests_per_sec))));
            facts.push(("at a time", grouped(burst.into())));
        }
    }
    if let Some(records) = config.records {
        facts.push(("records", grouped(records)));
    }
    if let Some(duration_sec) = config.duration_sec {
        facts.push(("duration", seconds(duration_sec)));
    }
    facts.push(("warm-up", seconds(config.warm_up_sec)));
    if let Some(payload) = config.payload_bytes {
        facts.push(("record", bytes(payload.into())));
    }
    if let Some(input) = &config.input {
        facts.push(("records from", input.clone()));
    }
    facts.push(("records a request", grouped(config.batch.into())));
    facts.push(("reads", format!("{} % of the requests", config.read_percent)));
    facts.push(("tenants", grouped(config.tenants.into())));
    facts.push(("streams of each", grouped(config.streams_per_tenant.into())));
    let choice = config.zipf.map_or("in turn".into(), |exponent| format!("zipfian, exponent {}", trimmed(exponent)));
    facts.push(("choice of tenants", choice));
    facts.push(("shards", config.shards.to_string()));
    facts.push(("clients", config.clients.to_string()));
    facts.push(("in flight of each", format!("{} at most", grouped(config.window.into()))));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_as_a_shell_needs_it() {
        for (argument, text) in [("--window", "--window"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''")] {
            assert_eq!(quoted(argument), text);
        }
    }
}
