//! Documents of benchmarks that never ran, for tests.

use super::document::{
    Arrivals, Commits, Config, Document, FORMAT, Floors, Latency, Part, Point, Queue, Ratio, Run, Setup, ShardCounts,
    Stage, Stages, Sweep,
};
use crate::floor::chain::ChainFloor;
use crate::floor::device::{DeviceFloor, How};
use crate::machine;

/// A document with a run for each throughput; its latencies are the inverse.
pub(crate) fn document(records_per_sec: &[f64]) -> Document {
    Document {
        format: FORMAT,
        command: "bench".into(),
        version: "0.1.0".into(),
        started_at: 1_700_000_000,
        interrupted: false,
        setup: Setup {
            machine: machine::Setup { kernel: Some("6.1.0".into()), ..machine::Setup::default() },
            backend: "io_uring".into(),
            backend_notes: vec!["SQPOLL was not asked for".into()],
            direct_io: true,
            chain: "SHA-NI".into(),
            shard_cpus: vec![Some(0)],
            client_cpus: vec![1],
            debug_build: false,
            arguments: vec!["bench".into()],
        },
        config: config(),
        runs: records_per_sec.iter().copied().map(run).collect(),
        sweep: None,
    }
}

fn config() -> Config {
    Config {
        scenario: "append".into(),
        arrivals: Arrivals::Closed,
        records: None,
        duration_sec: Some(10.0),
        warm_up_sec: 1.0,
        payload_bytes: Some(100),
        input: None,
        batch: 1,
        tenants: 1,
        streams_per_tenant: 1,
        zipf: None,
        read_percent: 0,
        shards: 1,
        clients: 1,
        window: 8192,
        inside: false,
        durability: "strict".into(),
        encryption: "aes-256-gcm".into(),
        checkpoints_sec: None,
        durable_write: "dsync".into(),
        waiting: "awake".into(),
        frame_cap_bytes: 1 << 20,
    }
}

pub(crate) fn run(records_per_sec: f64) -> Run {
    let mean_ns = 1e9 / records_per_sec.max(1.0) * 1000.0;
    let stage = |name: &str, ns_per_record| Stage { name: name.into(), ns_per_record };
    Run {
        elapsed_sec: 10.0,
        parts: vec![part("append", records_per_sec, mean_ns)],
        timeline: Vec::new(),
        commits: Commits {
            commits: 10_000,
            records_per_commit: 400.0,
            frame_bytes_mean: 61_440.0,
            log_bytes_per_sec: 6e8,
            flushes: 0,
            unflushed_records_max: 0,
            unflushed_ns_max: 0,
        },
        shards: vec![ShardCounts {
            requests: 1000,
            records: 1000,
            voluntary_switches_per_sec: Some(3.5),
            involuntary_switches_per_sec: None,
            stages: Some(Stages {
                latency: vec![stage("queue wait", 300.0), stage("device", 100.0)],
                processor: vec![stage("apply", 75.0), stage("seal", 25.0)],
            }),
        }],
        floors: Floors {
            device: vec![DeviceFloor {
                how: How::Dsync,
                backend: "io_uring".into(),
                frame_bytes: 61_440,
                depth: 3,
                commits_per_sec: 12_000.0,
                p50_ns: 80_000,
                p99_ns: 200_000,
                p999_ns: 300_000,
                max_ns: 1_000_000,
                commits: 12_000,
            }],
            device_missing: vec!["linked: the kernel is too old".into()],
            chain: Some(ChainFloor { payload_bytes: 100, lanes: 4, sealed: true, ns_per_record: 125.0 }),
            ring: None,
            memory: None,
            pauses: None,
            reading: None,
        },
        ratio: Some(Ratio {
            device_records_per_sec: Some(4.8e6),
            processor_records_per_sec: Some(8e6),
            reading_records_per_sec: None,
            tighter: "device".into(),
            of_floor: records_per_sec / 4.8e6,
            p50_of_device: Some(2.0),
            p99_of_device: Some(3.0),
        }),
    }
}

fn part(name: &str, records_per_sec: f64, mean_ns: f64) -> Part {
    let ns = |factor: f64| (mean_ns * factor) as u64;
    Part {
        name: name.into(),
        requests: (records_per_sec * 10.0) as u64,
        records: (records_per_sec * 10.0) as u64,
        bytes: (records_per_sec * 1000.0) as u64,
        elapsed_sec: 10.0,
        requests_per_sec: records_per_sec,
        records_per_sec,
        bytes_per_sec: records_per_sec * 100.0,
        latency: Some(Latency {
            mean_ns,
            min_ns: ns(0.5),
            p50_ns: ns(1.0),
            p90_ns: ns(1.5),
            p99_ns: ns(2.0),
            p999_ns: ns(3.0),
            p9999_ns: ns(5.0),
            max_ns: ns(9.0),
            ecdf: vec![(ns(0.5), 0.0), (ns(9.0), 1.0)],
        }),
        queue: Some(Queue {
            mean: 1001.0,
            by_littles_law: records_per_sec * mean_ns / 1e9,
            full: 0,
            offered_per_sec: None,
            behind_max: 0,
            behind_end: 0,
            behind_growth_per_sec: 0.0,
        }),
    }
}

/// A sweep of a capacity: points at these parts of it, of which those below the knee were sustained.
pub(crate) fn sweep(capacity_per_sec: f64, parts: &[f64], knee: f64) -> Document {
    let point = |part: &f64| Point {
        offered_per_sec: part * capacity_per_sec,
        achieved_per_sec: part.min(knee) * capacity_per_sec,
        p50_ns: 50_000,
        p99_ns: (part * 1e6) as u64,
        p999_ns: 2_000_000,
        max_ns: 3_000_000,
        queue_mean: 100.0,
        behind_end: if *part > knee { 4321 } else { 0 },
        records_per_commit: 20.0,
        frame_bytes_mean: 4096.0,
        sustained: *part <= knee,
    };
    let sustained = parts.iter().copied().filter(|part| *part <= knee).reduce(f64::max);
    let sweep = Sweep {
        capacity_per_sec,
        points: parts.iter().map(point).collect(),
        knee_per_sec: sustained.map(|part| part * capacity_per_sec),
        device_at_half: run(1.0).floors.device.first().cloned(),
        p99_at_half_of_device: Some(2.5),
        pauses: None,
    };
    Document { command: "bench sweep".into(), sweep: Some(sweep), ..document(&[capacity_per_sec]) }
}
