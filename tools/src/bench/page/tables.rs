//! The figures as tables: what the charts show, to the digit, and what they do not show.

use super::text::{NONE, bytes, bytes_per_sec, escaped, latency, number, percent, seconds};
use super::{best_device, rate_unit};
use crate::bench::document::{Config, Part, Queue, Run, ShardCounts, Sweep};
use crate::floor::device::DeviceFloor;
use crate::floor::pauses::PausesFloor;
use crate::floor::reading::ReadingFloor;
use crate::machine;
use crate::table::{count, grouped};
use std::fmt::Write;

/// Rows under titles; the first column names its row, the others hold numbers. Nothing without rows.
fn table(caption: &str, note: &str, titles: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let (caption, note) = (escaped(caption), escaped(note));
    let note = if note.is_empty() { note } else { format!("<small>{note}</small>") };
    let mut html = format!("<div class=\"scroll\"><table><caption>{caption}{note}</caption>\n<thead><tr>");
    for title in titles {
        let _infallible = write!(html, "<th scope=\"col\">{}</th>", escaped(title));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let (open, close) = if at == 0 { ("<th scope=\"row\">", "</th>") } else { ("<td>", "</td>") };
            let _infallible = write!(html, "{open}{}{close}", escaped(cell));
        }
        html.push_str("</tr>\n");
    }
    html + "</tbody></table></div>\n"
}

fn time(ns: u64) -> String {
    latency(ns as f64)
}

/// All tables of one run.
pub(super) fn run(run: &Run, config: &Config) -> String {
    throughput(&run.parts) + &latencies(&run.parts) + &queues(&run.parts) + &log(run) + &shards(&run.shards, config)
}

fn throughput(parts: &[Part]) -> String {
    let row = |part: &Part| {
        vec![
            part.name.clone(),
            grouped(part.requests),
            grouped(part.records),
            seconds(part.elapsed_sec),
            number(part.requests_per_sec),
            number(part.records_per_sec),
            bytes_per_sec(part.bytes_per_sec),
        ]
    };
    let titles = ["part", "requests", "records", "time", "requests/s", "records/s", "bytes/s"];
    table("Throughput", "", &titles, &parts.iter().map(row).collect::<Vec<_>>())
}

fn latencies(parts: &[Part]) -> String {
    let row = |part: &Part| {
        let found = part.latency.as_ref()?;
        let percentiles = [found.p50_ns, found.p90_ns, found.p99_ns, found.p999_ns, found.p9999_ns, found.max_ns];
        let own = [part.name.clone(), latency(found.mean_ns), time(found.min_ns)];
        Some(own.into_iter().chain(percentiles.map(time)).collect())
    };
    let titles = ["part", "mean", "fastest", "p50", "p90", "p99", "p99.9", "p99.99", "slowest"];
    table(
        "Latency",
        "From when a request was due to when its answer was taken.",
        &titles,
        &parts.iter().filter_map(row).collect::<Vec<_>>(),
    )
}

fn queues(parts: &[Part]) -> String {
    let row = |(at, part): (usize, &Part)| {
        let queue = part.queue.as_ref()?;
        let shared: Vec<&str> = Part::sharing(&parts[at..]).iter().map(|part| part.name.as_str()).collect();
        let Queue { mean, by_littles_law, full, offered_per_sec, behind_max, behind_end, behind_growth_per_sec } =
            queue;
        let off = (by_littles_law / mean - 1.0) * 100.0;
        let off = if off.is_finite() { format!("{off:+.1} %") } else { NONE.into() };
        Some(vec![
            shared.join(" and "),
            number(*mean),
            number(*by_littles_law),
            off,
            grouped(*full),
            offered_per_sec.map_or(NONE.into(), number),
            grouped(*behind_max),
            grouped(*behind_end),
            format!("{}/s", number(*behind_growth_per_sec)),
        ])
    };
    let titles = [
        "part",
        "mean",
        "by Little's law",
        "differs by",
        "ring full",
        "requests/s asked",
        "behind, most",
        "at the end",
        "growth",
    ];
    let note = "By Little's law, throughput times mean latency is the mean number of those that wait.";
    table("Queue", note, &titles, &parts.iter().enumerate().filter_map(row).collect::<Vec<_>>())
}

fn log(run: &Run) -> String {
    let commits = &run.commits;
    if commits.commits == 0 {
        return String::new();
    }
    let mut row = vec![
        grouped(commits.commits),
        number(commits.records_per_commit),
        bytes(commits.frame_bytes_mean),
        bytes_per_sec(commits.log_bytes_per_sec),
    ];
    let mut titles = vec!["commits", "records a commit", "frame, mean", "log"];
    if commits.unflushed_records_max > 0 {
        titles.extend(["flushes", "unflushed, most records", "unflushed, longest"]);
        row.extend([
            grouped(commits.flushes),
            grouped(commits.unflushed_records_max),
            latency(commits.unflushed_ns_max as f64),
        ]);
    }
    table("Log, over all shards", "", &titles, &[row])
}

fn shards(shards: &[ShardCounts], config: &Config) -> String {
    let per_sec = |rate: Option<f64>| rate.map_or(NONE.into(), |rate| format!("{}/s", number(rate)));
    let row = |(at, shard): (usize, &ShardCounts)| {
        vec![
            at.to_string(),
            grouped(shard.requests),
            grouped(shard.records),
            per_sec(shard.voluntary_switches_per_sec),
            per_sec(shard.involuntary_switches_per_sec),
        ]
    };
    let note = if config.inside { "Clients run in the shards' threads." } else { "" };
    let titles = ["shard", "requests", "records", "voluntary switches", "involuntary switches"];
    table("Shards", note, &titles, &shards.iter().enumerate().map(row).collect::<Vec<_>>())
}

/// The first part of each run, and the spread over all.
pub(super) fn runs(runs: &[Run]) -> String {
    type Column = (&'static str, fn(&Run) -> Option<f64>, fn(f64) -> String);
    const COLUMNS: [Column; 8] = [
        ("records/s", |run| run.parts.first().map(|part| part.records_per_sec), number),
        ("p50", |run| Some(run.parts.first()?.latency.as_ref()?.p50_ns as f64), latency),
        ("p99", |run| Some(run.parts.first()?.latency.as_ref()?.p99_ns as f64), latency),
        ("p99.9", |run| Some(run.parts.first()?.latency.as_ref()?.p999_ns as f64), latency),
        ("slowest", |run| Some(run.parts.first()?.latency.as_ref()?.max_ns as f64), latency),
        ("records a commit", |run| Some(run.commits.records_per_commit), number),
        ("device allows", |run| run.ratio.as_ref()?.device_records_per_sec, number),
        ("of the tighter floor", |run| Some(run.ratio.as_ref()?.of_floor), percent),
    ];
    let cell = |value: Option<f64>, show: fn(f64) -> String| value.map_or(NONE.into(), show);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        let cells = COLUMNS.iter().map(|(_, value, show)| cell(value(run), *show));
        rows.push([(at + 1).to_string()].into_iter().chain(cells).collect());
    }
    for (name, pick) in [("least", 0.0), ("median", 0.5), ("most", 1.0)] {
        let cells = COLUMNS.iter().map(|(_, value, show)| {
            let mut values: Vec<f64> = runs.iter().filter_map(value).collect();
            values.sort_by(f64::total_cmp);
            // The lower of the two in the middle, as with the run that is drawn.
            let at = (values.len().saturating_sub(1) as f64 * pick).floor() as usize;
            cell(values.get(at).copied(), *show)
        });
        rows.push([name.to_owned()].into_iter().chain(cells).collect());
    }
    let titles: Vec<&str> = ["run"].into_iter().chain(COLUMNS.iter().map(|column| column.0)).collect();
    let note = "The first part of each run. The spread is that of each column on its own.";
    format!("<div class=\"spread\">{}</div>\n", table("Spread", note, &titles, &rows))
}

/// Each rate.
pub(super) fn sweep(sweep: &Sweep, config: &Config) -> String {
    let unit = rate_unit(config);
    let titles = ["asked", "achieved", "p50", "p99", "p99.9", "slowest", "waiting", "records a commit", "kept up"];
    let rows: Vec<Vec<String>> = sweep
        .points
        .iter()
        .map(|point| {
            vec![
                number(point.offered_per_sec),
                number(point.achieved_per_sec),
                time(point.p50_ns),
                time(point.p99_ns),
                time(point.p999_ns),
                time(point.max_ns),
                number(point.queue_mean),
                number(point.records_per_commit),
                if point.sustained { "yes".into() } else { "no".into() },
            ]
        })
        .collect();
    table("Each rate", &format!("Asked for and achieved in {unit}."), &titles, &rows)
}

/// What the machine does without the engine.
pub(super) fn floors(run: &Run) -> String {
    device(run) + &processor(run) + &pauses(run.floors.pauses.as_ref())
}

fn device(run: &Run) -> String {
    let best = best_device(run);
    let row = |floor: &DeviceFloor| {
        let mark = if best.is_some_and(|best| std::ptr::eq(best, floor)) { ", the fastest" } else { "" };
        vec![
            format!("{}{mark}", floor.how.name()),
            floor.backend.clone(),
            bytes(floor.frame_bytes as f64),
            floor.depth.to_string(),
            number(floor.commits_per_sec),
            time(floor.p50_ns),
            time(floor.p99_ns),
            time(floor.p999_ns),
            time(floor.max_ns),
            grouped(floor.commits),
        ]
    };
    let titles =
        ["durable write", "backend", "frame", "depth", "commits/s", "p50", "p99", "p99.9", "slowest", "commits"];
    let rows: Vec<Vec<String>> = run.floors.device.iter().map(row).collect();
    let mut html =
        table("Device", "Durable writes, in frames of this run's size and as many at a time.", &titles, &rows);
    for missing in &run.floors.device_missing {
        let _infallible = writeln!(html, "<p class=\"note\">Not measured: {}</p>", escaped(missing));
    }
    html
}

fn processor(run: &Run) -> String {
    let mut rows = Vec::new();
    let mut row = |name: String, figure: String| rows.push(vec![name, figure]);
    if let Some(chain) = &run.floors.chain {
        let lanes = if chain.lanes > 1 { format!(", {} side by side", chain.lanes) } else { String::new() };
        let work = if chain.sealed { "copy, seal and chain" } else { "copy and chain" };
        let name = format!("{work} a record of {}{lanes}", bytes(chain.payload_bytes as f64));
        row(name, latency(chain.ns_per_record));
    }
    if let Some(ring) = &run.floors.ring {
        let between = format!("CPU {} to {}", ring.producer_cpu, ring.consumer_cpu);
        let item = bytes(ring.item_bytes as f64);
        row(format!("ring, an item of {item}, one by one, {between}"), latency(ring.single_ns_per_item));
        row(format!("ring, an item of {item}, in batches of {}", ring.batch), latency(ring.batched_ns_per_item));
        let round_trip = format!("{} / {}", time(ring.round_trip_p50_ns), time(ring.round_trip_p99_ns));
        row("ring, round trip, p50 / p99".into(), round_trip);
    }
    if let Some(memory) = &run.floors.memory {
        for (size, gb_per_sec) in
            [(memory.small_bytes, memory.small_gb_per_sec), (memory.large_bytes, memory.large_gb_per_sec)]
        {
            row(format!("copy of memory, {}", bytes(size as f64)), bytes_per_sec(gb_per_sec * 1e9));
        }
    }
    if let Some(ReadingFloor { threads, bytes: read, elapsed_sec }) = &run.floors.reading {
        let name = format!("{} read and checksummed by {}", bytes(*read as f64), count(*threads as u64, "thread"));
        row(name, bytes_per_sec(*read as f64 / elapsed_sec.max(f64::MIN_POSITIVE)));
    }
    table("Processor and memory", "", &["what", "floor"], &rows)
}

/// The floor of the tail.
pub(super) fn pauses(found: Option<&PausesFloor>) -> String {
    let row = |floor: &PausesFloor| {
        vec![
            machine::cpus::list(&floor.cpus),
            seconds(floor.seconds),
            percent(floor.lost_percent / 100.0),
            format!("{}/s", number(floor.over_100us_per_sec)),
            time(floor.max_ns),
            time(floor.p99_ns),
            time(floor.p999_ns),
        ]
    };
    let note = "What CPUs lose, all at once, that do nothing but read the clock; and how long a moment at random \
                waits for the end of its pause. A tail as long as that is the machine's, not the engine's.";
    let titles = ["CPUs", "measured for", "time lost", "above 100 µs", "longest", "wait, p99", "wait, p99.9"];
    table("Pauses of the machine", note, &titles, &found.into_iter().map(row).collect::<Vec<_>>())
}
