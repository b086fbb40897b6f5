//! Documents to draw: made up, but as real runs look.

use crate::bench::document::*;
use crate::floor::chain::ChainFloor;
use crate::floor::device::{DeviceFloor, How};
use crate::floor::memory::MemoryFloor;
use crate::floor::pauses::PausesFloor;
use crate::floor::ring::RingFloor;
use crate::machine;
use hdrhistogram::Histogram;

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The sum of twelve has a bell's shape and a variance of one.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Latencies around a median, and one in a thousand that waited for something else.
fn latency(median_ns: f64, spread: f64, requests: u64) -> Latency {
    let mut ns = Histogram::<u64>::new(3).unwrap();
    let mut random = Random(median_ns as u64);
    for _ in 0..requests {
        let stall = if random.unit() < 0.001 { median_ns * 8.0 * (1.0 + random.unit()) } else { 0.0 };
        ns.record((median_ns * (spread * random.normal()).exp() + stall) as u64).unwrap();
    }
    Latency::of(&ns).unwrap()
}

pub(super) fn part(name: &str, records_per_sec: f64, median_ns: f64) -> Part {
    let latency = latency(median_ns, 0.22, 200_000);
    let waiting = records_per_sec * latency.mean_ns / 1e9;
    Part {
        name: name.into(),
        requests: 200_000,
        records: 200_000,
        bytes: 20_000_000,
        elapsed_sec: 200_000.0 / records_per_sec,
        requests_per_sec: records_per_sec,
        records_per_sec,
        bytes_per_sec: records_per_sec * 100.0,
        latency: Some(latency),
        queue: Some(Queue {
            mean: waiting * 1.004,
            by_littles_law: waiting,
            full: 12,
            offered_per_sec: None,
            behind_max: 0,
            behind_end: 0,
            behind_growth_per_sec: 0.0,
        }),
    }
}

fn timeline(records_per_sec: f64, median_ns: f64, growth: f64) -> Vec<Interval> {
    let mut random = Random(7);
    let interval = |at: u32| {
        let hiccup = if at == 17 { 0.55 } else { 1.0 };
        let later = 1.0 + growth * f64::from(at);
        Interval {
            at_sec: f64::from(at + 1) * 0.25,
            records_per_sec: records_per_sec * hiccup * (1.0 + 0.025 * random.normal()),
            p50_ns: (median_ns * later * (1.0 + 0.03 * random.normal())) as u64,
            p99_ns: (median_ns * 1.9 * later / hiccup * (1.0 + 0.05 * random.normal())) as u64,
            max_ns: (median_ns * 6.0 * later * (1.0 + random.unit() / hiccup)) as u64,
            queue: (records_per_sec * median_ns / 1e9 * later * (1.0 + 0.03 * random.normal())) as u64,
        }
    };
    (0..40).map(interval).collect()
}

pub(super) fn device(how: How, commits_per_sec: f64, p50_ns: u64) -> DeviceFloor {
    DeviceFloor {
        how,
        backend: "io_uring".into(),
        frame_bytes: 69_632,
        depth: 2,
        commits_per_sec,
        p50_ns,
        p99_ns: p50_ns * 21 / 10,
        p999_ns: p50_ns * 46 / 10,
        max_ns: p50_ns * 31,
        commits: commits_per_sec as u64,
    }
}

fn stages(slower: f64) -> Stages {
    let stage = |(name, ns): (&str, f64)| Stage { name: name.into(), ns_per_record: ns * slower };
    let latency = [
        ("queue wait", 61_300.0),
        ("apply", 2_150.0),
        ("seal", 18_400.0),
        ("submit", 4_310.0),
        ("device", 118_600.0),
        ("answer", 12_700.0),
    ];
    let processor = [("apply", 19.2), ("seal", 108.1), ("submit", 9.4), ("answer", 14.8), ("idle", 31.0)];
    Stages { latency: latency.map(stage).into(), processor: processor.map(stage).into() }
}

pub(super) fn run(parts: Vec<Part>, median_ns: f64, growth: f64) -> Run {
    let rate = parts.iter().map(|part| part.records_per_sec).sum::<f64>();
    let shard = |slower: f64| ShardCounts {
        requests: 100_000,
        records: 100_000,
        voluntary_switches_per_sec: Some(3.2),
        involuntary_switches_per_sec: Some(41.0),
        stages: Some(stages(slower)),
    };
    Run {
        elapsed_sec: 10.0,
        timeline: timeline(rate, median_ns, growth),
        commits: Commits {
            commits: 78_321,
            records_per_commit: 512.4,
            frame_bytes_mean: 69_017.0,
            log_bytes_per_sec: 541e6,
            flushes: 0,
            unflushed_records_max: 0,
            unflushed_ns_max: 0,
        },
        shards: vec![shard(1.0), shard(1.13)],
        floors: Floors {
            device: vec![device(How::Dsync, 19_900.0, 96_000), device(How::Linked, 11_300.0, 171_000)],
            device_missing: vec!["plain: no thread could be started for it".into()],
            chain: Some(ChainFloor { payload_bytes: 100, lanes: 1, sealed: true, ns_per_record: 108.4 }),
            ring: Some(RingFloor {
                item_bytes: 64,
                single_ns_per_item: 5.1,
                batch: 32,
                batched_ns_per_item: 2.3,
                round_trip_p50_ns: 88,
                round_trip_p99_ns: 131,
                producer_cpu: 0,
                consumer_cpu: 1,
            }),
            memory: Some(MemoryFloor {
                small_bytes: 16 << 10,
                small_gb_per_sec: 91.4,
                large_bytes: 64 << 20,
                large_gb_per_sec: 14.2,
            }),
            pauses: Some(pauses()),
            reading: None,
        },
        ratio: Some(Ratio {
            device_records_per_sec: Some(19_900.0 * 512.4),
            processor_records_per_sec: Some(9.22e6),
            reading_records_per_sec: None,
            tighter: "processor".into(),
            of_floor: rate / 9.22e6,
            p50_of_device: Some(median_ns / 96_000.0),
            p99_of_device: Some(1.37),
        }),
        parts,
    }
}

fn pauses() -> PausesFloor {
    PausesFloor {
        cpus: vec![0, 1],
        seconds: 1.0,
        lost_percent: 1.24,
        over_100us_per_sec: 24.0,
        max_ns: 8_512_000,
        p99_ns: 312_000,
        p999_ns: 6_420_000,
    }
}

/// One run of appends in a closed loop.
pub(super) fn append() -> Document {
    Document {
        format: FORMAT,
        command: "bench".into(),
        version: "0.1.0".into(),
        started_at: 1_795_159_502,
        interrupted: false,
        setup: Setup {
            machine: machine::Setup {
                cpu_model: Some("AMD EPYC 9B45 Processor".into()),
                cpus_online: 4,
                cpus_available: vec![0, 1, 2, 3],
                smt: 2,
                numa_nodes: 1,
                memory_bytes: 24 << 30,
                kernel: Some("6.18.5".into()),
                hypervisor: Some("KVM".into()),
                clock_source: Some("tsc".into()),
                transparent_huge_pages: Some("madvise".into()),
                disk_interrupt_cpus: vec![0],
                file_system: Some("ext4".into()),
                mount_options: Some("rw,noatime,data=ordered".into()),
                device: Some("vda1 on vda".into()),
                device_write_cache: Some("write back".into()),
                ..machine::Setup::default()
            },
            backend: "io_uring".into(),
            backend_notes: vec!["SQPOLL is not used: it needs a core of its own".into()],
            direct_io: true,
            chain: "SHA-256 (SHA instructions)".into(),
            shard_cpus: vec![Some(1), Some(2)],
            client_cpus: vec![0, 3],
            debug_build: false,
            arguments: ["bench", "append", "--shards", "2", "--window", "1024", "--html", "append run.html"]
                .map(String::from)
                .into(),
        },
        config: Config {
            scenario: "append".into(),
            arrivals: Arrivals::Closed,
            records: None,
            duration_sec: Some(10.0),
            warm_up_sec: 1.0,
            payload_bytes: Some(100),
            input: None,
            batch: 1,
            tenants: 8,
            streams_per_tenant: 1,
            zipf: None,
            read_percent: 0,
            shards: 2,
            clients: 2,
            window: 1024,
            inside: false,
            durability: "strict".into(),
            encryption: "aes-256-gcm".into(),
            checkpoints_sec: None,
            durable_write: "dsync".into(),
            waiting: "awake".into(),
            frame_cap_bytes: 1 << 20,
        },
        runs: vec![run(vec![part("append", 6.62e6, 229_000.0)], 229_000.0, 0.0)],
        sweep: None,
    }
}

/// An open loop beyond the knee, without pinning.
pub(super) fn beyond_the_knee() -> Document {
    let mut document = append();
    document.config.arrivals = Arrivals::Open { requests_per_sec: 8e6, poisson: true, burst: 4 };
    document.setup.shard_cpus = vec![None, Some(2)];
    document.setup.client_cpus.clear();
    let mut overloaded = run(vec![part("append", 6.7e6, 310e6)], 310e6, 0.2);
    for interval in &mut overloaded.timeline {
        interval.queue = (1.3e6 * interval.at_sec) as u64;
    }
    if let Some(queue) = &mut overloaded.parts[0].queue {
        queue.offered_per_sec = Some(8e6);
        (queue.behind_max, queue.behind_end, queue.behind_growth_per_sec) = (13_100_000, 13_000_000, 1.3e6);
    }
    document.runs = vec![overloaded];
    document
}

/// The same three times.
pub(super) fn repeated() -> Document {
    let mut document = append();
    document.runs =
        [6.62e6, 5.91e6, 6.70e6].map(|rate| run(vec![part("append", rate, 1.5e12 / rate)], 1.5e12 / rate, 0.0)).into();
    document
}

/// Twelve rates, the last three beyond the knee.
pub(super) fn rising() -> Document {
    let mut document = append();
    document.command = "bench sweep".into();
    let points = (1..=12_u32).map(|at| {
        let offered = f64::from(at) * 0.6e6;
        let load: f64 = offered / 6e6;
        let sustained = at < 10;
        let p50_ns = if sustained { 88_000.0 / (1.0 - load.min(0.93)).powf(0.6) } else { 4e6 * f64::from(at) };
        Point {
            offered_per_sec: offered,
            achieved_per_sec: if sustained { offered * 0.9995 } else { 5.75e6 - f64::from(at) * 1e4 },
            p50_ns: p50_ns as u64,
            p99_ns: (p50_ns * 1.9) as u64,
            p999_ns: (p50_ns * 4.4) as u64,
            max_ns: (p50_ns * 14.0) as u64,
            queue_mean: offered * p50_ns / 1e9,
            behind_end: if sustained { 0 } else { u64::from(at) * 100_000 },
            records_per_commit: 40.0 * f64::from(at),
            frame_bytes_mean: 6_000.0 * f64::from(at),
            sustained,
        }
    });
    document.sweep = Some(Sweep {
        capacity_per_sec: 6.62e6,
        points: points.collect(),
        knee_per_sec: Some(5.4e6),
        device_at_half: Some(device(How::Dsync, 21_000.0, 88_000)),
        p99_at_half_of_device: Some(1.37),
        pauses: Some(pauses()),
    });
    document
}

/// One tenant floods, the others' latency is shown apart; stopped by its user.
pub(super) fn noisy() -> Document {
    let mut document = append();
    document.config.scenario = "noisy".into();
    document.interrupted = true;
    let parts = vec![
        part("quiet tenants", 2.1e5, 190_000.0),
        part("flooding tenant", 4.4e6, 900_000.0),
        part("reads, cold", 3.1e4, 240_000.0),
    ];
    document.runs = vec![run(parts, 800_000.0, 0.0)];
    document.runs[0].ratio = None;
    document
}

/// Reads and appends in one open loop: they have one queue.
pub(super) fn mixed() -> Document {
    let mut document = append();
    document.config.scenario = "mixed".into();
    document.config.read_percent = 30;
    document.config.arrivals = Arrivals::Open { requests_per_sec: 1e6, poisson: true, burst: 1 };
    let (mut appends, mut reads) = (part("append", 0.7e6, 190_000.0), part("read", 0.3e6, 140_000.0));
    appends.queue.as_mut().unwrap().offered_per_sec = Some(1e6);
    reads.queue = None;
    document.runs = vec![Run { ratio: None, ..run(vec![appends, reads], 190_000.0, 0.0) }];
    document
}

/// Parts of which no single request was timed.
pub(super) fn verification() -> Document {
    let mut document = append();
    document.config.scenario = "verify".into();
    let counted = |name: &str, elapsed_sec: f64| Part {
        latency: None,
        queue: None,
        requests: 1,
        records: 5_000_000,
        bytes: 700_000_000,
        elapsed_sec,
        requests_per_sec: 1.0 / elapsed_sec,
        bytes_per_sec: 7e8 / elapsed_sec,
        ..part(name, 5e6 / elapsed_sec, 1.0)
    };
    let verified = run(vec![counted("verification, 4 cores", 0.26), counted("verification, 1 core", 0.97)], 1.0, 0.0);
    let floors = Floors { device: Vec::new(), device_missing: Vec::new(), ..verified.floors };
    let ratio = verified.ratio.map(|ratio| Ratio {
        device_records_per_sec: None,
        processor_records_per_sec: Some(36.9e6),
        reading_records_per_sec: None,
        of_floor: 0.52,
        p50_of_device: None,
        p99_of_device: None,
        ..ratio
    });
    document.runs = vec![Run { timeline: Vec::new(), shards: Vec::new(), floors, ratio, ..verified }];
    document
}

/// Nothing was measured: no figure, no floor, no name is there.
pub(super) fn empty() -> Document {
    let mut document = append();
    document.setup.machine = machine::Setup::default();
    document.setup.debug_build = true;
    let bare = Part {
        requests: 0,
        records: 0,
        bytes: 0,
        elapsed_sec: 0.0,
        requests_per_sec: 0.0,
        records_per_sec: 0.0,
        bytes_per_sec: 0.0,
        latency: None,
        queue: None,
        ..part("append", 1.0, 1.0)
    };
    document.runs = vec![Run {
        timeline: Vec::new(),
        shards: Vec::new(),
        commits: Commits::default(),
        floors: Floors::default(),
        ratio: None,
        ..run(vec![bare], 1.0, 0.0)
    }];
    document
}

/// The ends of every number's range, and what is none.
pub(super) fn extreme() -> Document {
    let mut document = append();
    let mut zero = part("no time at all", f64::INFINITY, 5.0);
    zero.requests = 1;
    zero.latency = Some(Latency {
        mean_ns: 0.0,
        min_ns: 0,
        p50_ns: 0,
        p90_ns: 0,
        p99_ns: 0,
        p999_ns: 0,
        p9999_ns: 0,
        max_ns: 0,
        ecdf: vec![(0, 1.0)],
    });
    let mut long = part("for ever", f64::NAN, 5.0);
    long.requests = u64::MAX;
    if let (Some(latency), Some(queue)) = (&mut long.latency, &mut long.queue) {
        (latency.p9999_ns, latency.max_ns) = (u64::MAX / 2, u64::MAX);
        latency.ecdf.push((u64::MAX, 1.0));
        (queue.mean, queue.by_littles_law, queue.behind_growth_per_sec) = (f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
        queue.offered_per_sec = Some(f64::INFINITY);
    }
    let mut run = run(vec![zero, long], f64::MAX, 0.0);
    run.timeline = vec![Interval {
        at_sec: 0.0,
        records_per_sec: f64::NAN,
        p50_ns: 0,
        p99_ns: 0,
        max_ns: u64::MAX,
        queue: u64::MAX,
    }];
    run.shards[0].stages =
        Some(Stages { latency: vec![Stage { name: "device".into(), ns_per_record: f64::NAN }], processor: Vec::new() });
    run.ratio = Some(Ratio {
        device_records_per_sec: Some(f64::INFINITY),
        processor_records_per_sec: Some(0.0),
        reading_records_per_sec: None,
        tighter: "processor".into(),
        of_floor: f64::NAN,
        p50_of_device: Some(f64::INFINITY),
        p99_of_device: None,
    });
    document.runs = vec![run];
    document.sweep = Some(Sweep {
        capacity_per_sec: 0.0,
        points: vec![Point {
            offered_per_sec: 0.0,
            achieved_per_sec: f64::NAN,
            p50_ns: 0,
            p99_ns: 0,
            p999_ns: 0,
            max_ns: 0,
            queue_mean: f64::NAN,
            behind_end: 0,
            records_per_commit: f64::NAN,
            frame_bytes_mean: 0.0,
            sustained: false,
        }],
        knee_per_sec: None,
        device_at_half: None,
        p99_at_half_of_device: None,
        pauses: None,
    });
    document
}

/// All of them, by name.
pub(super) fn all() -> Vec<(&'static str, Document)> {
    vec![
        ("append", append()),
        ("beyond-the-knee", beyond_the_knee()),
        ("repeated", repeated()),
        ("rising", rising()),
        ("noisy", noisy()),
        ("mixed", mixed()),
        ("verification", verification()),
        ("empty", empty()),
        ("extreme", extreme()),
    ]
}
