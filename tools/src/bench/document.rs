//! What a benchmark found, as one document: the form that `--json` writes, that `bench compare` reads, and from which table and page
//! are drawn. Names carry their units. New fields may be added; none changes its meaning without a new [`FORMAT`].

use crate::floor::chain::ChainFloor;
use crate::floor::device::DeviceFloor;
use crate::floor::memory::MemoryFloor;
use crate::floor::pauses::PausesFloor;
use crate::floor::reading::ReadingFloor;
use crate::floor::ring::RingFloor;
use crate::machine;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The version of this form.
pub(crate) const FORMAT: u32 = 1;

/// One call of the command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) format: u32,
    /// `bench` or `bench sweep`.
    pub(crate) command: String,
    /// The version of the program.
    pub(crate) version: String,
    /// Seconds since 1970.
    pub(crate) started_at: u64,
    /// Stopped by its user before its end: the figures are of the part that ran.
    pub(crate) interrupted: bool,
    pub(crate) setup: Setup,
    pub(crate) config: Config,
    /// One of a plain benchmark, `--repeat` of them; of a sweep the run that looked for the capacity, in a closed loop.
    pub(crate) runs: Vec<Run>,
    pub(crate) sweep: Option<Sweep>,
}

/// On what it ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) machine: machine::Setup,
    /// `io_uring`, `io_uring with SQPOLL` or `synchronous`.
    pub(crate) backend: String,
    /// Why it is that one.
    pub(crate) backend_notes: Vec<String>,
    pub(crate) direct_io: bool,
    /// The implementation of the hash chain.
    pub(crate) chain: String,
    /// The CPU of each shard; none: not pinned.
    pub(crate) shard_cpus: Vec<Option<usize>>,
    /// The CPUs that clients are pinned to, in turn; empty: not pinned.
    pub(crate) client_cpus: Vec<usize>,
    /// Built without optimisation: the figures are of no use.
    pub(crate) debug_build: bool,
    /// What was typed after the program's name.
    pub(crate) arguments: Vec<String>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) scenario: String,
    pub(crate) arrivals: Arrivals,
    pub(crate) records: Option<u64>,
    pub(crate) duration_sec: Option<f64>,
    pub(crate) warm_up_sec: f64,
    /// Bytes of each record; none if they come from a file.
    pub(crate) payload_bytes: Option<u32>,
    pub(crate) input: Option<String>,
    /// Records a request.
    pub(crate) batch: u32,
    pub(crate) tenants: u32,
    pub(crate) streams_per_tenant: u32,
    /// The exponent of the zipfian choice of tenants; none: all in turn.
    pub(crate) zipf: Option<f64>,
    /// Percent of the requests that are reads.
    pub(crate) read_percent: u32,
    pub(crate) shards: u16,
    pub(crate) clients: u32,
    /// Requests in flight of each client, at most.
    pub(crate) window: u32,
    /// The clients run in the shards' own threads.
    pub(crate) inside: bool,
    /// A policy, as `--durability` takes it: `strict`, `memory`, `buffered:10ms,65536`, … (`none` in reports of old).
    pub(crate) durability: String,
    /// `aes-256-gcm` or `none`, which reports from before there was any do not say.
    #[serde(default = "no_encryption")]
    pub(crate) encryption: String,
    /// Seconds between checkpoints, if any were signed.
    #[serde(default)]
    pub(crate) checkpoints_sec: Option<f64>,
    /// `dsync` or `linked`.
    pub(crate) durable_write: String,
    /// `awake` or `asleep`.
    pub(crate) waiting: String,
    pub(crate) frame_cap_bytes: usize,
}

fn no_encryption() -> String {
    "none".into()
}

/// When requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "loop", rename_all = "snake_case")]
pub(crate) enum Arrivals {
    /// The next one when one is answered: a slow answer delays those that follow, and their wait is not seen.
    Closed,
    /// At times that do not depend on answers; latency counts from them.
    Open {
        /// Over all clients.
        requests_per_sec: f64,
        /// Exponential gaps; else equal ones.
        poisson: bool,
        /// Requests that are due at the same moment.
        burst: u32,
    },
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// From the first request that counts to the last answer.
    pub(crate) elapsed_sec: f64,
    /// The kinds of requests, or the phases, each apart. The first is what the run is about.
    pub(crate) parts: Vec<Part>,
    /// Over all parts, at equal distances.
    pub(crate) timeline: Vec<Interval>,
    pub(crate) commits: Commits,
    /// One of each shard.
    pub(crate) shards: Vec<ShardCounts>,
    pub(crate) floors: Floors,
    /// The first part beside the floors; none where they say nothing of it.
    pub(crate) ratio: Option<Ratio>,
}

/// Requests of one kind or phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// `append`, `read`, `random reads, cold`, …
    pub(crate) name: String,
    pub(crate) requests: u64,
    pub(crate) records: u64,
    /// Of payload.
    pub(crate) bytes: u64,
    pub(crate) elapsed_sec: f64,
    pub(crate) requests_per_sec: f64,
    pub(crate) records_per_sec: f64,
    pub(crate) bytes_per_sec: f64,
    /// None where no single request was timed.
    pub(crate) latency: Option<Latency>,
    pub(crate) queue: Option<Queue>,
}

/// Latency, in nanoseconds, from the moment when a request was due to the moment when its answer was taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) mean_ns: f64,
    pub(crate) min_ns: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p90_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) p9999_ns: u64,
    pub(crate) max_ns: u64,
    /// Pairs of nanoseconds and the fraction of requests that took no longer; ascending, denser towards the tail.
    pub(crate) ecdf: Vec<(u64, f64)>,
}

/// What waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Queue {
    /// Requests that were due and not answered, averaged over the time.
    pub(crate) mean: f64,
    /// Throughput times mean latency: by Little's law the same.
    pub(crate) by_littles_law: f64,
    /// Times that a client found the engine's queue full.
    pub(crate) full: u64,
    /// What was asked for; none in a closed loop.
    pub(crate) offered_per_sec: Option<f64>,
    /// Requests that were due and could not be sent: the most at one time, and when sending ended.
    pub(crate) behind_max: u64,
    pub(crate) behind_end: u64,
    /// By how much that number grew, by a straight line through its history; of a run with fewer than three ticks, by its end.
    pub(crate) behind_growth_per_sec: f64,
}

/// A piece of the timeline. A long run has more ticks than points: then a point is of several intervals, with their records over
/// their time, the mean of their medians by time, and the highest of their p99 and maxima.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// Its end, since the first request that counts.
    pub(crate) at_sec: f64,
    pub(crate) records_per_sec: f64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
    /// Due and not answered, at its end.
    pub(crate) queue: u64,
}

/// What the log did, over all shards.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Commits {
    pub(crate) commits: u64,
    pub(crate) records_per_commit: f64,
    pub(crate) frame_bytes_mean: f64,
    /// Frames, paddings and headers included.
    pub(crate) log_bytes_per_sec: f64,
    /// Flushes of frames that were written without one.
    #[serde(default)]
    pub(crate) flushes: u64,
    /// The loss window: the most records of a shard that were answered and not flushed, and the longest that one was not.
    #[serde(default)]
    pub(crate) unflushed_records_max: u64,
    #[serde(default)]
    pub(crate) unflushed_ns_max: u64,
}

/// What one shard did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShardCounts {
    pub(crate) requests: u64,
    pub(crate) records: u64,
    /// Of its thread, while requests counted; none where the system does not say.
    pub(crate) voluntary_switches_per_sec: Option<f64>,
    pub(crate) involuntary_switches_per_sec: Option<f64>,
    /// Where its time and its records' latency went; none without the feature `timing`.
    pub(crate) stages: Option<Stages>,
}

/// The stages of a shard's loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stages {
    /// Where a record's latency goes, stage by stage in the order in which it passes them.
    pub(crate) latency: Vec<Stage>,
    /// Where the shard's processor time goes.
    pub(crate) processor: Vec<Stage>,
}

/// A stage, and nanoseconds a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) ns_per_record: f64,
}

/// What the machine does without the engine, measured in the same run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Floors {
    /// At the run's own frame size and depth, each way of writing durably; empty where nothing is written durably.
    pub(crate) device: Vec<DeviceFloor>,
    /// Ways that are not to be had here, and why.
    pub(crate) device_missing: Vec<String>,
    pub(crate) chain: Option<ChainFloor>,
    pub(crate) ring: Option<RingFloor>,
    pub(crate) memory: Option<MemoryFloor>,
    /// Of the CPUs that the run kept busy.
    #[serde(default)]
    pub(crate) pauses: Option<PausesFloor>,
    /// Of an opening: the same files, read and checksummed.
    #[serde(default)]
    pub(crate) reading: Option<ReadingFloor>,
}

/// The figure beside the floors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// What the floors allow, records a second. A floor that says nothing here is none.
    pub(crate) device_records_per_sec: Option<f64>,
    pub(crate) processor_records_per_sec: Option<f64>,
    /// What reading and checksumming the same bytes allows.
    #[serde(default)]
    pub(crate) reading_records_per_sec: Option<f64>,
    /// The lowest of them: `device`, `processor` or `reading`.
    pub(crate) tighter: String,
    /// Throughput over that of the tighter floor.
    pub(crate) of_floor: f64,
    /// The run's p50 and p99 over the lowest that the device has at its frames; none without a device floor.
    pub(crate) p50_of_device: Option<f64>,
    pub(crate) p99_of_device: Option<f64>,
}

/// Open-loop runs at rising rates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// What the closed loop reached: rates are parts of it.
    pub(crate) capacity_per_sec: f64,
    pub(crate) points: Vec<Point>,
    /// The highest rate that was sustained; none if not even the lowest was.
    pub(crate) knee_per_sec: Option<f64>,
    /// The device's durable write at the frames of the point at half of the knee.
    pub(crate) device_at_half: Option<DeviceFloor>,
    /// That point's p99 over the device's.
    pub(crate) p99_at_half_of_device: Option<f64>,
    /// Of the CPUs that it kept busy, right after that point.
    #[serde(default)]
    pub(crate) pauses: Option<PausesFloor>,
}

/// A rate of a sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) offered_per_sec: f64,
    pub(crate) achieved_per_sec: f64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
    pub(crate) queue_mean: f64,
    pub(crate) behind_end: u64,
    pub(crate) records_per_commit: f64,
    pub(crate) frame_bytes_mean: f64,
    /// It kept up: what was offered was served, and the queue did not grow.
    pub(crate) sustained: bool,
}

/// Points of a distribution for each halving of the distance to 1: enough for a smooth curve.
const ECDF_TICKS: u32 = 24;

impl Latency {
    /// None of an empty histogram.
    pub(crate) fn of(ns: &Histogram<u64>) -> Option<Latency> {
        if ns.is_empty() {
            return None;
        }
        let mut ecdf: Vec<(u64, f64)> = vec![(ns.min(), 0.0)];
        for point in ns.iter_quantiles(ECDF_TICKS) {
            let (at, fraction) = (point.value_iterated_to(), point.quantile());
            match ecdf.last_mut() {
                Some(last) if last.0 == at => last.1 = fraction,
                _ => ecdf.push((at, fraction)),
            }
        }
        Some(Latency {
            mean_ns: ns.mean(),
            min_ns: ns.min(),
            p50_ns: ns.value_at_quantile(0.5),
            p90_ns: ns.value_at_quantile(0.9),
            p99_ns: ns.value_at_quantile(0.99),
            p999_ns: ns.value_at_quantile(0.999),
            p9999_ns: ns.value_at_quantile(0.9999),
            max_ns: ns.max(),
            ecdf,
        })
    }
}

/// A rate is sustained if so much of it was served…
const SERVED_MIN: f64 = 0.98;
/// …and what is behind at the end is less than the rest of a second's.
const BEHIND_SEC_MAX: f64 = 1.0 - SERVED_MIN;

impl Part {
    /// The parts that share the queue of the first: those behind it that have none of their own.
    pub(crate) fn sharing(parts: &[Part]) -> &[Part] {
        let more = parts.iter().skip(1).take_while(|part| part.queue.is_none()).count();
        &parts[..parts.len().min(more + 1)]
    }
}

impl Queue {
    /// Whether what was offered was served, and left no queue; a closed loop offers what is served.
    pub(crate) fn is_sustained(&self, served_per_sec: f64) -> bool {
        self.offered_per_sec.is_none_or(|offered| {
            served_per_sec >= SERVED_MIN * offered && (self.behind_end as f64) < (BEHIND_SEC_MAX * offered).max(1.0)
        })
    }
}

impl Document {
    /// The run whose throughput is the median: what tables show of several.
    pub(crate) fn median_run(&self) -> Option<&Run> {
        let mut runs: Vec<&Run> = self.runs.iter().collect();
        runs.sort_by(|a, b| a.headline_per_sec().total_cmp(&b.headline_per_sec()));
        runs.get(runs.len().saturating_sub(1) / 2).copied()
    }
}

impl Run {
    /// Records a second of the first part.
    pub(crate) fn headline_per_sec(&self) -> f64 {
        self.parts.first().map_or(0.0, |part| part.records_per_sec)
    }
}
