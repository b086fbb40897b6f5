//! Whether two documents tell of the same experiment. What makes it another one forbids a comparison; what may well be the
//! reason for the comparison, or weakens it, is noted.

use crate::bench::document::{Arrivals, Config, Document, Setup};
use crate::names::shown;
use crate::table::grouped;
use serde_json::Value;

/// The settings in which the experiments differ, each with both values; none if they can be compared.
pub(super) fn differences(a: &Document, b: &Document) -> Vec<String> {
    let mut differing = pairs(vec![("command", kind(a))], vec![("command", kind(b))]);
    differing.extend(pairs(fixed(&a.config), fixed(&b.config)));
    differing
}

/// What is different otherwise.
pub(super) fn notes(a: &Document, b: &Document) -> Vec<String> {
    let mut differing = pairs(loose(a), loose(b));
    differing.extend(pairs(machine(a), machine(b)));
    let mut notes: Vec<String> = differing.into_iter().map(|text| format!("they differ in {text}")).collect();
    if lengths(&a.config) != lengths(&b.config) {
        notes.push("the longer a run, the higher its maximum: do not compare that".into());
    }
    for (name, document) in [("A", a), ("B", b)] {
        if document.interrupted {
            notes.push(format!("{name} was interrupted: its figures are of the part that ran"));
        }
        if document.setup.debug_build {
            notes.push(format!("{name} is of a build without optimisation: its figures are of no use"));
        }
    }
    notes
}

type Named = (&'static str, String);

fn kind(document: &Document) -> String {
    if document.sweep.is_some() { "sweep".into() } else { shown(&document.command) }
}

/// The settings that make the experiment.
fn fixed(config: &Config) -> Vec<Named> {
    // All fields by name: one that is added has to be put somewhere.
    let Config {
        scenario,
        arrivals,
        records: _,
        duration_sec: _,
        warm_up_sec: _,
        payload_bytes,
        input,
        batch,
        tenants,
        streams_per_tenant,
        zipf,
        read_percent,
        shards,
        clients,
        window,
        inside,
        durability,
        encryption,
        checkpoints_sec,
        durable_write,
        waiting,
        frame_cap_bytes,
    } = config;
    vec![
        ("scenario", shown(scenario)),
        ("arrivals", describe(arrivals)),
        ("payload bytes", optional(payload_bytes.map(|bytes| bytes.to_string()))),
        ("input", optional(input.as_deref().map(shown))),
        ("batch", batch.to_string()),
        ("tenants", tenants.to_string()),
        ("streams a tenant", streams_per_tenant.to_string()),
        ("zipf", optional(zipf.map(|exponent| exponent.to_string()))),
        ("read percent", read_percent.to_string()),
        ("shards", shards.to_string()),
        ("clients", clients.to_string()),
        ("window", window.to_string()),
        ("clients inside the shards", if *inside { "yes" } else { "no" }.into()),
        ("durability", shown(durability)),
        ("encryption", shown(encryption)),
        ("checkpoints, seconds apart", optional(checkpoints_sec.map(|sec| sec.to_string()))),
        ("durable write", shown(durable_write)),
        ("waiting", shown(waiting)),
        ("frame cap", frame_cap_bytes.to_string()),
    ]
}

/// When requests are sent, in words.
pub(crate) fn describe(arrivals: &Arrivals) -> String {
    match arrivals {
        Arrivals::Closed => "closed loop".into(),
        Arrivals::Open { requests_per_sec, poisson, burst } => {
            let gaps = if *poisson { "Poisson" } else { "constant" };
            let rate = if requests_per_sec.fract() == 0.0 && *requests_per_sec < 1e15 {
                grouped(*requests_per_sec as u64)
            } else {
                requests_per_sec.to_string()
            };
            let bursts = if *burst > 1 { format!(", bursts of {burst}") } else { String::new() };
            format!("open loop, {rate} requests/s, {gaps}{bursts}")
        }
    }
}

/// Settings and circumstances that leave the experiment what it is.
fn loose(document: &Document) -> Vec<Named> {
    let Setup {
        machine: _,
        backend,
        backend_notes: _,
        direct_io,
        chain,
        shard_cpus,
        client_cpus,
        debug_build,
        arguments: _,
    } = &document.setup;
    let mut all = vec![
        ("version", shown(&document.version)),
        ("backend", shown(backend)),
        ("direct I/O", direct_io.to_string()),
        ("chain", shown(chain)),
        ("CPUs of the shards", format!("{shard_cpus:?}")),
        ("CPUs of the clients", format!("{client_cpus:?}")),
        ("debug build", debug_build.to_string()),
    ];
    all.extend(lengths(&document.config));
    all
}

fn lengths(config: &Config) -> [Named; 3] {
    [
        ("records", optional(config.records.map(grouped))),
        ("duration in seconds", optional(config.duration_sec.map(|seconds| seconds.to_string()))),
        ("warm-up in seconds", config.warm_up_sec.to_string()),
    ]
}

/// The machine, as it is written down.
fn machine(document: &Document) -> Vec<(String, String)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(&document.setup.machine) else { return Vec::new() };
    let text = |value: Value| match value {
        Value::String(text) => shown(&text),
        Value::Null => "nothing".into(),
        other => other.to_string(),
    };
    fields.into_iter().map(|(name, value)| (format!("machine: {}", name.replace('_', " ")), text(value))).collect()
}

fn optional(value: Option<String>) -> String {
    value.unwrap_or_else(|| "none".into())
}

/// Of two equal lists of names, those whose values differ.
fn pairs<N: AsRef<str>>(a: Vec<(N, String)>, b: Vec<(N, String)>) -> Vec<String> {
    let differing = a.into_iter().zip(b).filter(|((_, a), (_, b))| a != b);
    differing.map(|((name, a), (_, b))| format!("{} ({a} against {b})", name.as_ref())).collect()
}
