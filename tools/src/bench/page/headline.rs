//! What a reader sees first: what was measured, what is to be known before believing it, and the figures that count.

use super::rate_unit;
use super::text::{bytes_per_sec, date, escaped, latency, number, percent, seconds, times};
use crate::bench::document::{Arrivals, Config, Document, Part, Queue, Run, Sweep};
use crate::durability::is_strict;
use crate::table::{count, grouped};
use std::fmt::Write;

/// Title, and the load in a sentence.
pub(super) fn header(document: &Document) -> String {
    let Document { command, config, version, started_at, .. } = document;
    let (name, load) =
        (escaped(&format!("{command} · {}", config.scenario)), escaped(&load(config, document.sweep.is_some())));
    let (version, date) = (escaped(version), date(*started_at));
    format!("<header>\n<p class=\"meta\">diatreme {version} · {date}</p>\n<h1>{name}</h1>\n<p>{load}</p>\n</header>\n")
}

fn load(config: &Config, rising: bool) -> String {
    let shards = count(config.shards.into(), "shard");
    let clients = count(config.clients.into(), "client");
    let place = if config.inside { " inside the shards' threads" } else { "" };
    let arrivals = match config.arrivals {
        _ if rising => "open loop at rising rates".into(),
        Arrivals::Closed => format!("closed loop, {} in flight each", grouped(config.window.into())),
        Arrivals::Open { requests_per_sec, poisson, burst } => {
            let gaps = if poisson { "Poisson" } else { "constant" };
            let burst = if burst > 1 { format!(" in bursts of {burst}") } else { String::new() };
            format!("open loop, {} requests/s, {gaps} arrivals{burst}", number(requests_per_sec))
        }
    };
    let records = match (&config.input, config.payload_bytes) {
        (Some(input), _) => format!("records of {input}"),
        (None, Some(payload)) => format!("records of {}", count(payload.into(), "byte")),
        (None, None) => "records".into(),
    };
    let batch = if config.batch > 1 { format!(", {} a request", grouped(config.batch.into())) } else { String::new() };
    let durability = &config.durability;
    format!(
        "{shards}; {clients}{place}; {arrivals}; {records}{batch}; durability {durability}; encryption {}.",
        config.encryption
    )
}

/// What spoils the figures, the worst first.
pub(super) fn warnings(document: &Document) -> String {
    let mut warnings: Vec<(&str, &str, String)> = Vec::new();
    if document.setup.debug_build {
        let text = "The program was built without optimisation: no figure here says anything. Build with --release.";
        warnings.push(("bad", "Debug build.", text.into()));
    }
    if document.interrupted {
        let text = "It was stopped before its end; the figures are of the part that ran.";
        warnings.push(("warn", "Interrupted.", text.into()));
    }
    match &document.sweep {
        Some(sweep) if sweep.knee_per_sec.is_none() && !sweep.points.is_empty() => {
            let text = "Not even the lowest rate was kept up; there is no knee.";
            warnings.push(("bad", "Not sustained.", text.into()));
        }
        Some(_) => {}
        None => {
            let text = document.median_run().and_then(queue_warning);
            warnings.extend(text.map(|text| ("bad", "Not sustained.", text)));
        }
    }
    warnings.extend(unpinned(document).map(|text| ("warn", "Not pinned.", text)));
    warnings.extend(no_floor(document).map(|text| ("warn", "No floor.", text)));
    warnings.iter().fold(String::new(), |mut html, (class, name, text)| {
        let _infallible =
            writeln!(html, "<p class=\"warning {class}\" role=\"note\"><b>{name}</b> {}</p>", escaped(text));
        html
    })
}

/// Whether the queue grew: then latency says how long the run was, not how good the engine is.
fn queue_warning(run: &Run) -> Option<String> {
    run.parts.iter().enumerate().find_map(|(at, part)| {
        let queue = part.queue.as_ref()?;
        let Queue { offered_per_sec, behind_end, behind_growth_per_sec, .. } = queue;
        let offered = (*offered_per_sec)?;
        let served: f64 = Part::sharing(&run.parts[at..]).iter().map(|part| part.requests_per_sec).sum();
        (!queue.is_sustained(served)).then(|| {
            let (served, offered) = (number(served), number(offered));
            let (growth, end) = (number(*behind_growth_per_sec), grouped(*behind_end));
            format!(
                "{}: {served} of {offered} requests/s were served. The queue of those that were due and could not be \
                 sent grew by {growth} a second, to {end} at the end. Latency counts from when they were due, and \
                 rises with the length of the run.",
                part.name
            )
        })
    })
}

fn unpinned(document: &Document) -> Option<String> {
    // Where no single request was timed, nobody looks for a tail.
    document.median_run()?.parts.iter().find(|part| part.latency.is_some())?;
    let shards = document.setup.shard_cpus.iter().any(Option::is_none);
    let clients = document.setup.client_cpus.is_empty() && !document.config.inside;
    let who = match (shards, clients) {
        (true, true) => "Neither shards nor clients have",
        (true, false) => "Shards do not have",
        (false, true) => "Clients do not have",
        (false, false) => return None,
    };
    Some(format!("{who} a CPU of their own: the system moves them, and the tail shows it."))
}

fn no_floor(document: &Document) -> Option<String> {
    let run = document.median_run()?;
    let durable = is_strict(&document.config.durability);
    let missing = run.floors.device_missing.join("; ");
    match (run.ratio.is_some(), run.floors.device.is_empty()) {
        (false, true) if durable && !missing.is_empty() => {
            Some(format!("The device's could not be measured: {missing}"))
        }
        _ => None,
    }
}

/// A figure of the strip: its name, the figure, and what it means.
struct Tile {
    name: String,
    figure: String,
    note: String,
}

/// The figures that count.
pub(super) fn strip(document: &Document) -> String {
    let Some(run) = document.median_run() else { return String::new() };
    let tiles = match &document.sweep {
        Some(sweep) => sweep_tiles(sweep, run, rate_unit(&document.config)),
        None => run_tiles(run),
    };
    let mut html = String::from("<dl class=\"strip\">\n");
    for Tile { name, figure, note } in &tiles {
        let [name, figure, note] = [name, figure, note].map(|text| escaped(text));
        let _infallible = writeln!(html, "<div><dt>{name}</dt><dd>{figure}<small>{note}</small></dd></div>");
    }
    html + "</dl>\n"
}

fn run_tiles(run: &Run) -> Vec<Tile> {
    let Some(part) = run.parts.first() else { return Vec::new() };
    let tile = |name: &str, figure, note| Tile { name: name.into(), figure, note };
    let name = format!("{}, records/s", part.name);
    let note = match &part.latency {
        Some(_) => format!("{} of payload", bytes_per_sec(part.bytes_per_sec)),
        None => format!("{} in all", grouped(part.records)),
    };
    let mut tiles = vec![tile(&name, number(part.records_per_sec), note)];
    if let Some(found) = &part.latency {
        let ratio = run.ratio.as_ref();
        let of_device = |times_device: Option<f64>| {
            times_device.map_or(String::new(), |ratio| format!("{} the device's", times(ratio)))
        };
        let [p50, p99, p999] = [found.p50_ns, found.p99_ns, found.p999_ns].map(|ns| latency(ns as f64));
        tiles.push(tile("p50", p50, of_device(ratio.and_then(|ratio| ratio.p50_of_device))));
        tiles.push(tile("p99", p99, of_device(ratio.and_then(|ratio| ratio.p99_of_device))));
        tiles.push(tile("p99.9", p999, format!("slowest {}", latency(found.max_ns as f64))));
    } else {
        let gb = part.bytes as f64 / 1e9;
        let per_gb = if gb > 0.0 { format!("{} a GB", seconds(part.elapsed_sec / gb)) } else { String::new() };
        tiles.push(tile("data", bytes_per_sec(part.bytes_per_sec), per_gb));
        tiles.push(tile("time", seconds(part.elapsed_sec), String::new()));
    }
    tiles.extend(floor_tile(run));
    tiles
}

fn floor_tile(run: &Run) -> Option<Tile> {
    let ratio = run.ratio.as_ref()?;
    let allows = match ratio.tighter.as_str() {
        "device" => ratio.device_records_per_sec,
        "reading" => ratio.reading_records_per_sec,
        _ => ratio.processor_records_per_sec,
    };
    let allows = allows.map_or(String::new(), |rate| format!("it allows {} records/s", number(rate)));
    Some(Tile {
        name: format!("of the tighter floor, {}", ratio.tighter),
        figure: percent(ratio.of_floor),
        note: allows,
    })
}

fn sweep_tiles(sweep: &Sweep, run: &Run, unit: &str) -> Vec<Tile> {
    let tile = |name: String, figure, note| Tile { name, figure, note };
    let knee = sweep.knee_per_sec.map_or("none".into(), number);
    let of_capacity = sweep.knee_per_sec.map_or(String::new(), |knee| {
        format!("{} of the capacity", percent(knee / sweep.capacity_per_sec.max(f64::MIN_POSITIVE)))
    });
    let mut tiles = vec![
        tile(format!("knee, {unit}"), knee, of_capacity),
        tile(format!("capacity, {unit}"), number(sweep.capacity_per_sec), "closed loop".into()),
    ];
    if let (Some(device), Some(ratio)) = (&sweep.device_at_half, sweep.p99_at_half_of_device) {
        let note = format!("{} the device's", times(ratio));
        tiles.push(tile("p99 at half the knee".into(), latency(ratio * device.p99_ns as f64), note));
    }
    tiles.extend(floor_tile(run));
    tiles
}
