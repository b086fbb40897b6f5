//! A benchmark's document for people: tables of at most about a hundred columns.

mod floors;
mod points;
mod queue;
#[cfg(test)]
mod tests;

use super::compare::settings::describe;
use super::document::{Document, Part, Run, ShardCounts, Stage};
use super::figures::{OF_PART, RATIO_TO_FLOOR, digits, us};
use crate::names::shown;
use crate::table::{Table, count, grouped};
use std::fmt::Write;

/// Text goes on in the next line after so many characters.
const COLUMNS: usize = 100;
/// What a line is about stands before it, in so many.
const LABEL: usize = 12;
/// More shards than this are not listed.
const SHARDS_LISTED: usize = 16;

/// The final table.
pub(crate) fn table(document: &Document) -> String {
    let mut page = Page::default();
    setup(&mut page, document);
    let Some(run) = document.median_run() else {
        page.line("runs", "none: the benchmark was stopped before there was a figure");
        return page.0;
    };
    if document.runs.len() > 1 {
        page.line("runs", &format!("{}; what follows is the one of the median throughput", document.runs.len()));
    }
    parts(&mut page, &run.parts);
    queue::queues(&mut page, &run.parts);
    commits(&mut page, run);
    shards(&mut page, document, &run.shards);
    stages(&mut page, &run.shards);
    floors::floors(&mut page, &run.floors);
    run.ratio.iter().for_each(|ratio| floors::ratio(&mut page, ratio));
    repeats(&mut page, &document.runs);
    document.sweep.iter().for_each(|sweep| points::sweep(&mut page, sweep));
    page.0
}

/// What was written so far.
#[derive(Default)]
struct Page(String);

impl Page {
    /// A text about something, in as many lines as it takes.
    fn line(&mut self, label: &str, text: &str) {
        let (mut line, mut empty) = (format!("{label:<LABEL$}"), true);
        for word in text.split(' ') {
            if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
                self.end(&line);
                (line, empty) = (" ".repeat(LABEL), true);
            }
            line.push_str(if empty { "  " } else { " " });
            line.push_str(word);
            empty = false;
        }
        self.end(&line);
    }

    /// A table with an empty line before it.
    fn table(&mut self, table: &Table) {
        let mut text = Vec::new();
        let _memory_takes_all = table.write(&mut text);
        self.0.push('\n');
        self.0.push_str(&String::from_utf8_lossy(&text));
    }

    /// An empty line.
    fn gap(&mut self) {
        self.0.push('\n');
    }

    fn end(&mut self, line: &str) {
        let _a_string_takes_all = writeln!(self.0, "{}", line.trim_end());
    }
}

fn setup(page: &mut Page, document: &Document) {
    let Document { setup, config, .. } = document;
    let machine = &setup.machine;
    let known = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}{}", shown(value)));
    let facts = [
        known("", &machine.cpu_model),
        Some(count(machine.cpus_online as u64, "CPU")),
        known("kernel ", &machine.kernel),
        known("on ", &machine.hypervisor),
        known("", &machine.file_system),
        known("on ", &machine.device),
    ];
    page.line("machine", &facts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let io = if setup.direct_io { "direct" } else { "buffered" };
    let cpu = |cpu: &Option<usize>| cpu.map_or_else(|| "none".into(), |cpu| cpu.to_string());
    let shards = match setup.shard_cpus.iter().any(Option::is_some) {
        true => format!("on CPU {}", setup.shard_cpus.iter().map(cpu).collect::<Vec<_>>().join(", ")),
        false => "not pinned".into(),
    };
    let clients = match &setup.client_cpus {
        _ if config.inside => "in the shards' threads".into(),
        cpus if cpus.is_empty() => "not pinned".into(),
        cpus => format!("on CPU {}", cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    page.line(
        "set-up",
        &format!(
            "{}, {io} I/O; {} {shards}; {} {clients}, window {} each; {}, {}, {}; chain by {}",
            shown(&setup.backend),
            count(config.shards.into(), "shard"),
            count(config.clients.into(), "client"),
            grouped(config.window.into()),
            shown(&config.durability),
            shown(&config.durable_write),
            shown(&config.waiting),
            shown(&setup.chain),
        ),
    );
    setup.backend_notes.iter().for_each(|note| page.line("", &shown(note)));
    page.line("load", &load(document));
    if setup.debug_build {
        page.line("warning", "built without optimisation: the figures are of no use");
    }
    if document.interrupted {
        page.line("warning", "interrupted: the figures are of the part that ran");
    }
}

fn load(document: &Document) -> String {
    let config = &document.config;
    let records = match (&config.input, config.payload_bytes) {
        (Some(input), _) => format!("records from {}", shown(input)),
        (None, Some(bytes)) => format!("{} a record", count(bytes.into(), "byte")),
        (None, None) => "records of several sizes".into(),
    };
    let mut parts = vec![shown(&config.scenario), describe(&config.arrivals), records];
    parts.push(format!("{} a request", count(config.batch.into(), "record")));
    let streams = count(config.streams_per_tenant.into(), "stream");
    parts.push(format!("{} × {streams}", count(config.tenants.into(), "tenant")));
    parts.extend(config.zipf.map(|exponent| format!("zipfian with {exponent}")));
    parts.extend((config.read_percent > 0).then(|| format!("{} % reads", config.read_percent)));
    parts.join("; ")
}

fn parts(page: &mut Page, parts: &[Part]) {
    let titles = ["part", ">records/s", ">MB/s", ">p50 µs", ">p90 µs", ">p99 µs", ">p99.9 µs", ">p99.99 µs", ">max µs"];
    let mut table = Table::new(&titles);
    for part in parts {
        let mut cells = vec![shown(&part.name), digits(part.records_per_sec), digits(part.bytes_per_sec / 1e6)];
        match &part.latency {
            Some(latency) => {
                let tail =
                    [latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.p999_ns, latency.p9999_ns, latency.max_ns];
                cells.extend(tail.map(|ns| us(ns as f64)));
            }
            None => cells.extend((0..6).map(|_| "-".to_owned())),
        }
        table.row(cells);
    }
    page.table(&table);
    page.gap();
}

fn commits(page: &mut Page, run: &Run) {
    let commits = &run.commits;
    if commits.commits > 0 {
        page.line(
            "commits",
            &format!(
                "{}, {} records and {} KiB each; {} MB/s of log",
                grouped(commits.commits),
                digits(commits.records_per_commit),
                digits(commits.frame_bytes_mean / 1024.0),
                digits(commits.log_bytes_per_sec / 1e6)
            ),
        );
    }
    if commits.unflushed_records_max > 0 {
        page.line(
            "at stake",
            &format!(
                "at most {} records, and for {} ms, that were answered and not flushed; {} flushes",
                grouped(commits.unflushed_records_max),
                digits(commits.unflushed_ns_max as f64 / 1e6),
                grouped(commits.flushes)
            ),
        );
    }
}

fn shards(page: &mut Page, document: &Document, shards: &[ShardCounts]) {
    let mut table = Table::new(&["shard", ">CPU", ">requests", ">records", ">voluntary switches/s", ">involuntary/s"]);
    let rate = |rate: Option<f64>| rate.map_or_else(|| "-".into(), digits);
    for (at, shard) in shards.iter().enumerate().take(SHARDS_LISTED) {
        let cpu = document.setup.shard_cpus.get(at).copied().flatten();
        table.row(vec![
            at.to_string(),
            cpu.map_or_else(|| "-".into(), |cpu| cpu.to_string()),
            grouped(shard.requests),
            grouped(shard.records),
            rate(shard.voluntary_switches_per_sec),
            rate(shard.involuntary_switches_per_sec),
        ]);
    }
    if !shards.is_empty() {
        page.table(&table);
    }
    if shards.len() > SHARDS_LISTED {
        page.line("", &format!("and {} more, in the JSON report", shards.len() - SHARDS_LISTED));
    }
}

/// The stages, of which each shard has its own: by the records of the shards, and the shards' extremes.
fn stages(page: &mut Page, shards: &[ShardCounts]) {
    let of = |shard: &ShardCounts| shard.stages.as_ref().map(|stages| (stages.clone(), shard.records));
    let all: Vec<_> = shards.iter().filter_map(of).collect();
    for (title, processor) in [("latency, by stage", false), ("processor, by stage", true)] {
        let lists = all.iter().map(|(stages, records)| {
            (if processor { stages.processor.as_slice() } else { stages.latency.as_slice() }, *records as f64)
        });
        let lists: Vec<(&[Stage], f64)> = lists.collect();
        let Some((first, _)) = lists.first().filter(|(stages, _)| !stages.is_empty()) else { continue };
        let mut table = Table::new(&[title, ">ns a record", ">share", ">least", ">most"]);
        let rows: Vec<_> = first.iter().map(|stage| (shown(&stage.name), over_shards(&lists, &stage.name))).collect();
        let sum: f64 = rows.iter().map(|(_, [mean, ..])| mean).sum();
        for (name, [mean, least, most]) in rows {
            let share = if sum > 0.0 { format!("{:.1} %", mean / sum * 100.0) } else { "-".into() };
            table.row(vec![name, digits(mean), share, digits(least), digits(most)]);
        }
        page.table(&table);
    }
}

/// Mean, lowest and highest of a stage; the mean is over records.
fn over_shards(lists: &[(&[Stage], f64)], name: &str) -> [f64; 3] {
    let of = |(stages, records): &(&[Stage], f64)| {
        let stage = stages.iter().find(|stage| stage.name == name)?;
        Some((stage.ns_per_record, *records))
    };
    let all: Vec<(f64, f64)> = lists.iter().filter_map(of).collect();
    let records: f64 = all.iter().map(|(_, records)| records).sum();
    let weighted: f64 = all.iter().map(|(ns, records)| ns * records).sum();
    let ns = || all.iter().map(|(ns, _)| *ns);
    [weighted / records.max(1.0), ns().fold(f64::INFINITY, f64::min), ns().fold(0.0, f64::max)]
}

/// The spread over the runs, of the first part and the ratio.
fn repeats(page: &mut Page, runs: &[Run]) {
    if runs.len() < 2 {
        return;
    }
    let title = "over all runs";
    let mut table = Table::new(&[title, ">median", ">min", ">max", ">max/min"]);
    let first = || runs.iter().filter_map(|run| run.parts.first());
    let of_part = OF_PART.iter().map(|figure| (figure.name, figure.unit, figure.spread(first())));
    let ratio = (RATIO_TO_FLOOR.name, RATIO_TO_FLOOR.unit, RATIO_TO_FLOOR.spread(runs));
    for (name, unit, spread) in of_part.chain([ratio]) {
        let Some(spread) = spread else { continue };
        let (divisor, suffix) = unit.scale(spread.median);
        let mut cells = vec![format!("{name}{suffix}")];
        cells.extend([spread.median, spread.min, spread.max].map(|number| digits(number / divisor)));
        cells.push(if spread.min > 0.0 { digits(spread.max / spread.min) } else { "-".into() });
        table.row(cells);
    }
    page.table(&table);
}
