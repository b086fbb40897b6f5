//! The figures of a run, as a table and as JSON.

use super::{Args, Floors};
use crate::bench::load::Outcomes;
use crate::engine_args::DurabilityArg;
use diatreme::{ShardStats, StartReport};
use serde::Serialize;

/// Everything that a run found.
pub(crate) struct Report {
    pub(crate) args: Args,
    pub(crate) cpus: Vec<usize>,
    pub(crate) start: StartReport,
    pub(crate) outcomes: Outcomes,
    pub(crate) stats: Vec<ShardStats>,
    pub(crate) floor: Floors,
}

/// The JSON form. Names carry their units; new fields may be added, none changes its meaning.
#[derive(Serialize)]
pub(crate) struct Figures {
    records: u64,
    payload_bytes: u32,
    tenants: u32,
    streams_per_tenant: u32,
    shards: u16,
    clients: u32,
    window: u32,
    durability: &'static str,
    frame_cap_bytes: usize,
    backend: String,
    backend_notes: Vec<String>,
    direct_io: bool,
    shard_cpus: Vec<Option<usize>>,
    client_cpus: Vec<usize>,
    chain: &'static str,
    elapsed_sec: f64,
    records_per_sec: f64,
    payload_bytes_per_sec: f64,
    log_bytes_per_sec: f64,
    latency_ns: Latency,
    queue_full: u64,
    /// Throughput times mean latency (Little's law).
    in_flight_mean: f64,
    commits: u64,
    records_per_commit: f64,
    frame_bytes_mean: f64,
    floor: FloorJson,
    ratio_to_floor: f64,
}

#[derive(Serialize)]
struct Latency {
    mean: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Serialize)]
struct FloorJson {
    frame_bytes: usize,
    depth: usize,
    backend: String,
    device_commits_per_sec: f64,
    device_p50_ns: u64,
    device_p99_ns: u64,
    cpu_ns_per_record: f64,
    device_records_per_sec: f64,
    cpu_records_per_sec: f64,
    /// Which of the two is the tighter one: `device` or `cpu`.
    tighter: &'static str,
}

impl Report {
    pub(crate) fn figures(&self) -> Figures {
        let Report { args, outcomes, start, .. } = self;
        let seconds = outcomes.elapsed.as_secs_f64().max(1e-9);
        let records_per_sec = args.records as f64 / seconds;
        let frames: u64 = self.stats.iter().map(|shard| shard.log.frames).sum();
        let frame_bytes: u64 = self.stats.iter().map(|shard| shard.log.frame_bytes).sum();
        let commits = frames.max(1) as f64;
        let records_per_commit = args.records as f64 / commits;
        let floor = self.floor_json(records_per_commit);
        let tighter = if floor.tighter == "cpu" { floor.cpu_records_per_sec } else { floor.device_records_per_sec };
        let first = &start.shards[0].backend;
        Figures {
            records: args.records,
            payload_bytes: args.payload,
            tenants: args.tenants,
            streams_per_tenant: args.streams,
            shards: args.shards,
            clients: args.clients,
            window: args.window,
            durability: args.durability.name(),
            frame_cap_bytes: args.frame_cap,
            backend: first.kind.to_string(),
            backend_notes: first.notes.clone(),
            direct_io: first.direct,
            shard_cpus: start.shards.iter().map(|shard| shard.cpu).collect(),
            client_cpus: self.cpus.clone(),
            chain: crypto::implementation(),
            elapsed_sec: seconds,
            records_per_sec,
            payload_bytes_per_sec: records_per_sec * f64::from(args.payload),
            log_bytes_per_sec: frame_bytes as f64 / seconds,
            latency_ns: self.latency(),
            queue_full: outcomes.queue_full,
            in_flight_mean: outcomes.in_flight(args.records),
            commits: frames,
            records_per_commit,
            frame_bytes_mean: frame_bytes as f64 / commits,
            floor,
            ratio_to_floor: records_per_sec / tighter,
        }
    }

    fn latency(&self) -> Latency {
        let latency = &self.outcomes.latency_ns;
        Latency {
            mean: latency.mean(),
            p50: latency.value_at_quantile(0.5),
            p90: latency.value_at_quantile(0.9),
            p99: latency.value_at_quantile(0.99),
            p999: latency.value_at_quantile(0.999),
            max: latency.max(),
        }
    }

    fn floor_json(&self, records_per_commit: f64) -> FloorJson {
        let Floors { device, cpu_ns_per_record } = &self.floor;
        // The device is one for all shards; each shard has a processor of its own. What need not be durable does
        // not have to wait for the device.
        let unflushed = self.args.durability == DurabilityArg::None;
        let device_records_per_sec = device.commits_per_sec * records_per_commit;
        let cpu_records_per_sec = 1e9 / cpu_ns_per_record * f64::from(self.args.shards);
        FloorJson {
            frame_bytes: device.frame_bytes,
            depth: device.depth,
            backend: device.backend.kind.to_string(),
            device_commits_per_sec: device.commits_per_sec,
            device_p50_ns: device.latency_ns.value_at_quantile(0.5),
            device_p99_ns: device.latency_ns.value_at_quantile(0.99),
            cpu_ns_per_record: *cpu_ns_per_record,
            device_records_per_sec,
            cpu_records_per_sec,
            tighter: if !unflushed && device_records_per_sec < cpu_records_per_sec { "device" } else { "cpu" },
        }
    }
}

impl Figures {
    /// The figures for a person.
    pub(crate) fn table(&self) -> String {
        let us = |ns: u64| ns as f64 / 1000.0;
        let (latency, floor) = (&self.latency_ns, &self.floor);
        let mut lines = vec![format!("set-up        {}", self.setup())];
        lines.extend(self.backend_notes.iter().map(|note| format!("              {note}")));
        lines.push(format!(
            "throughput    {:.0} records/s, {:.1} MB/s of payload, {:.1} MB/s of log; {} records in {:.2} s",
            self.records_per_sec,
            self.payload_bytes_per_sec / 1e6,
            self.log_bytes_per_sec / 1e6,
            self.records,
            self.elapsed_sec
        ));
        lines.push(format!(
            "latency µs    p50 {:.1}   p90 {:.1}   p99 {:.1}   p99.9 {:.1}   max {:.1}   (mean {:.1}; {:.0} in flight on the average)",
            us(latency.p50),
            us(latency.p90),
            us(latency.p99),
            us(latency.p999),
            us(latency.max),
            latency.mean / 1000.0,
            self.in_flight_mean
        ));
        lines.push(format!(
            "commits       {}, {:.1} records and {:.1} KiB each",
            self.commits,
            self.records_per_commit,
            self.frame_bytes_mean / 1024.0
        ));
        lines.push(format!(
            "floor device  {:.0} commits/s at {} KiB, depth {} ({}): p50 {:.1} µs, p99 {:.1} µs = {:.0} records/s in such frames",
            floor.device_commits_per_sec,
            floor.frame_bytes / 1024,
            floor.depth,
            floor.backend,
            us(floor.device_p50_ns),
            us(floor.device_p99_ns),
            floor.device_records_per_sec
        ));
        lines.push(format!(
            "floor cpu     {:.1} ns to copy and chain a record ({}) = {:.0} records/s",
            floor.cpu_ns_per_record, self.chain, floor.cpu_records_per_sec
        ));
        lines.push(format!(
            "ratio         {:.0} % of the tighter floor, the {}\n",
            self.ratio_to_floor * 100.0,
            floor.tighter
        ));
        lines.join("\n")
    }

    fn setup(&self) -> String {
        let cpu = |cpu: &Option<usize>| cpu.map_or("unpinned".into(), |cpu| format!("CPU {cpu}"));
        let shards: Vec<String> = self.shard_cpus.iter().map(cpu).collect();
        let clients =
            if self.client_cpus.is_empty() { "unpinned".into() } else { format!("CPU {:?}", self.client_cpus) };
        format!(
            "{} shard(s) on {}, {} client(s) {}, window {} each; {} tenants × {} streams; {} bytes a record; {}; {}, {} I/O",
            self.shards,
            shards.join(", "),
            self.clients,
            clients,
            self.window,
            self.tenants,
            self.streams_per_tenant,
            self.payload_bytes,
            self.durability,
            self.backend,
            if self.direct_io { "direct" } else { "buffered" }
        )
    }
}
