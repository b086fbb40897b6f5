//! One measured load on one engine, with the machine's floors beside it.

use super::acknowledged::Acknowledged;
use super::args::{LoadArgs, Scenario, stream_name, tenant_name};
use super::document::{Arrivals, Commits, Config, Floors, Interval, Part, Ratio, Run, ShardCounts};
use super::files::HdrLog;
use super::load::{self, BenchStream, Group, Load};
use super::payload::Payloads;
use super::sender::Work;
use super::stages;
use super::watch::Watcher;
use crate::durability::is_strict;
use crate::failure::Failure;
use crate::floor::chain::chain;
use crate::floor::device::{DeviceFloor, How, device};
use crate::floor::memory::memory;
use crate::floor::pauses::{PausesFloor, pauses};
use crate::floor::ring::ring;
use diatreme::{CallError, Engine, OpenError, ShardReport, ShardStats, StreamRef, cores};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// For how long each floor is measured.
const FLOOR: Duration = Duration::from_millis(500);
/// Pauses are rarer than what the others time.
const PAUSES: Duration = Duration::from_secs(1);
/// Requests that a client publishes before it tells the shard: the batch of the ring's floor.
const RING_BATCH: usize = 32;

/// What every run of a call has in common.
pub(crate) struct Bench<'a> {
    pub(crate) args: &'a LoadArgs,
    pub(crate) config: Config,
    pub(crate) payloads: Arc<Payloads>,
    /// Where intervals are logged.
    pub(crate) log: Option<HdrLog>,
    /// Latencies of every part of every run, for whoever wants them all.
    pub(crate) recorded: Vec<super::files::Recorded>,
    /// Whether to keep them.
    pub(crate) records_all: bool,
    /// Where clients tell how far records are acknowledged.
    pub(crate) acknowledged: Option<Arc<Acknowledged>>,
    /// What the last run found of its set-up.
    pub(crate) seen: Option<Seen>,
    pub(crate) interrupted: bool,
}

/// The set-up as the engine reported it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) shards: Vec<ShardReport>,
    pub(crate) client_cpus: Vec<usize>,
    /// The CPUs that shards and clients kept busy; of those that are not pinned, as many as there are threads.
    pub(crate) busy_cpus: Vec<usize>,
}

/// What a load came to, before the floors.
pub(crate) struct Loaded {
    pub(crate) parts: Vec<Part>,
    pub(crate) timeline: Vec<Interval>,
    pub(crate) stats: Vec<ShardStats>,
    pub(crate) shards: Vec<ShardReport>,
    pub(crate) switches_per_sec: BTreeMap<u16, (f64, f64)>,
}

impl Bench<'_> {
    /// The load of the settings, over these streams.
    pub(crate) fn load(&self, streams: Vec<BenchStream>) -> Load {
        let config = &self.config;
        let group = Group {
            names: ["append", "read"],
            work: Work::Mix { read_percent: config.read_percent },
            clients: config.clients as usize,
            window: config.window as usize,
            arrivals: config.arrivals.clone(),
            zipf: config.zipf,
            streams,
            payloads: Arc::clone(&self.payloads),
            batch: config.batch,
            records: config.records.filter(|_| config.duration_sec.is_none()),
        };
        Load {
            groups: vec![group],
            warm_up: Duration::from_secs_f64(config.warm_up_sec),
            duration: config.duration_sec.map(Duration::from_secs_f64),
            cpus: Vec::new(),
            crash: false,
            acknowledged: self.acknowledged.clone(),
        }
    }

    /// Makes the tenants and streams, or finds them. In an opening of its own, so that a run counts the load and nothing else.
    pub(crate) fn streams(&self, directory: &Path) -> Result<Vec<BenchStream>, Failure> {
        let engine = self.args.builder(directory, &self.config)?.open()?;
        let mut client = engine.client();
        let mut streams = Vec::new();
        // Neighbours are of different tenants: the mix that a shard gets from many clients.
        for number in 0..self.config.streams_per_tenant {
            for tenant in 0..self.config.tenants {
                let found = client.ensure_stream(&tenant_name(tenant), &stream_name(number))?;
                let (shard, head) = (engine.placement().shard_of(found.tenant().0), head(&mut client, &found)?);
                streams.push(BenchStream { stream: found, tenant, number, shard, head });
            }
        }
        drop(client);
        engine.close()?;
        Ok(streams)
    }

    /// Opens the engine, runs a load, and closes it.
    pub(crate) fn run(&mut self, directory: &Path, mut load: Load, title: &str) -> Result<Loaded, Failure> {
        let builder = self.args.builder(directory, &self.config)?;
        let (engine, seats) = match self.config.inside {
            true => builder.open_hosted()?,
            false => (builder.open()?, Vec::new()),
        };
        let mut shards = engine.report().shards.clone();
        if seats.is_empty() {
            load.cpus = self.client_cpus(&shards);
        }
        let mut watcher = Watcher::new(&load, title, self.args.every(), self.log.as_mut());
        let ran = load::run(&engine, &load, seats, self.args.every(), |watched| watcher.watch(watched));
        let closed = close(engine, load.crash);
        let outcome = ran?;
        let mut stats = closed?;
        shards.extend(outcome.hosted.iter().map(|(report, _)| report.clone()));
        if load.crash {
            stats = outcome.hosted.iter().map(|(_, stats)| *stats).collect();
        }
        self.interrupted |= outcome.interrupted;
        let parts = watcher.finish(&load, &outcome)?;
        let Watcher { counted, timeline, switches_per_sec, .. } = watcher;
        if self.records_all {
            let counted = counted.into_iter().filter(|counted| counted.count.requests > 0);
            self.recorded.extend(counted.map(|part| super::files::Recorded::new(part.name, part.latency_ns)));
        }
        let busy_cpus = busy_cpus(&load, &shards, self.config.inside);
        self.seen = Some(Seen { shards: shards.clone(), client_cpus: load.cpus, busy_cpus });
        Ok(Loaded { parts, timeline, stats, shards, switches_per_sec })
    }

    /// The CPUs that no shard has; none if shards are not pinned or have them all.
    fn client_cpus(&self, shards: &[ShardReport]) -> Vec<usize> {
        if self.args.is_unpinned() {
            return Vec::new();
        }
        cores::available().into_iter().filter(|cpu| shards.iter().all(|shard| shard.cpu != Some(*cpu))).collect()
    }

    /// A load's figures, with floors measured now.
    pub(crate) fn complete(&self, directory: &Path, loaded: Loaded) -> Result<Run, Failure> {
        let commits = loaded.commits();
        let floors = self.floors(directory, &loaded, &commits)?;
        let ratio = self.ratio(&loaded, &commits, &floors);
        Ok(Run {
            elapsed_sec: loaded.parts.iter().map(|part| part.elapsed_sec).fold(0.0, f64::max),
            shards: loaded.shard_counts(),
            parts: loaded.parts,
            timeline: loaded.timeline,
            commits,
            floors,
            ratio,
        })
    }

    /// Each floor on the core that it is of: if that cannot be had, the floor is only noisier.
    pub(crate) fn floors(&self, directory: &Path, loaded: &Loaded, commits: &Commits) -> Result<Floors, Failure> {
        crate::output::progress("measuring the machine's own floors");
        let shard_cpu = loaded.shards.first().and_then(|shard| shard.cpu);
        let mut floors = pinned(shard_cpu, || self.floors_of_a_core(directory, loaded, commits))?;
        let cpus = cores::available();
        let consumer = shard_cpu.or_else(|| cpus.first().copied());
        let producer = cpus.iter().copied().find(|cpu| Some(*cpu) != consumer);
        if let (Some(producer), Some(consumer)) = (producer, consumer) {
            let item_bytes = self.payloads.bytes_mean().next_multiple_of(8).clamp(8, 4096);
            let measured = ring(item_bytes, RING_BATCH, producer, consumer, FLOOR);
            floors.ring = Some(measured.map_err(|why| Failure::failed(format!("cannot measure the ring: {why}")))?);
        }
        floors.pauses = self.pauses()?;
        Ok(floors)
    }

    /// The pauses of the CPUs that the last run kept busy; none where the system does not tell CPUs apart.
    pub(crate) fn pauses(&self) -> Result<Option<PausesFloor>, Failure> {
        let cpus = self.seen.as_ref().map(|seen| seen.busy_cpus.as_slice()).filter(|cpus| !cpus.is_empty());
        let measured = cpus.map(|cpus| pauses(cpus, PAUSES)).transpose();
        measured.map_err(|why| Failure::failed(format!("cannot measure the pauses: {why}")))
    }

    fn floors_of_a_core(&self, directory: &Path, loaded: &Loaded, commits: &Commits) -> Result<Floors, Failure> {
        let mut floors = Floors::default();
        if is_strict(&self.config.durability) && commits.commits > 0 {
            let (frame_bytes, depth) = (loaded.frame_bytes(), self.depth(loaded, commits));
            // Alone in the device a write is fastest: what latency is set beside must not be slower for the company that it had.
            let alone = (depth > 1).then_some((How::Dsync, 1));
            let ways = [How::Dsync, How::Linked, How::Plain].map(|how| (how, depth));
            for (how, depth) in ways.into_iter().chain(alone) {
                match device(directory, how, frame_bytes, depth, FLOOR) {
                    Ok(floor) => floors.device.push(floor),
                    Err(why) => floors.device_missing.push(format!("{}: {why}", how.name())),
                }
            }
        }
        let streams = self.config.tenants as usize * self.config.streams_per_tenant as usize;
        // Verification needs no key: beside a floor that seals it would look better than it is.
        let seals = self.config.encryption != "none" && self.config.scenario != Scenario::Verify.name();
        floors.chain = Some(chain(self.payloads.bytes_mean(), streams, seals, FLOOR));
        floors.memory = Some(memory(FLOOR).map_err(|why| Failure::failed(format!("cannot measure memory: {why}")))?);
        Ok(floors)
    }

    /// Commits in flight on the average (Little's law), and no more than the shards have places for.
    fn depth(&self, loaded: &Loaded, commits: &Commits) -> usize {
        let in_flight = loaded.parts.first().and_then(|part| part.queue.as_ref()).map_or(1.0, |queue| queue.mean);
        let records = in_flight * f64::from(self.config.batch);
        let most = log::limits::FRAMES_IN_FLIGHT * usize::from(self.config.shards);
        ((records / commits.records_per_commit.max(1.0)).round() as usize).clamp(1, most)
    }

    /// The first part beside the floors, where it appends and nothing else does: the throughput beside the fastest of the device's
    /// ways, the latency beside the lowest of each quantile.
    fn ratio(&self, loaded: &Loaded, commits: &Commits, floors: &Floors) -> Option<Ratio> {
        let part = loaded.parts.first().filter(|_| loaded.parts.len() == 1 && self.config.read_percent == 0)?;
        if floors.device.is_empty() && is_strict(&self.config.durability) {
            // The tighter floor may be the one that could not be measured.
            return None;
        }
        let fastest = floors.device.iter().map(|floor| floor.commits_per_sec).reduce(f64::max);
        let device = fastest.map(|commits_per_sec| commits_per_sec * commits.records_per_commit);
        let lowest = |of: fn(&DeviceFloor) -> u64| floors.device.iter().map(of).min();
        let chain_ns = floors.chain.as_ref().map(|floor| floor.ns_per_record);
        let processor = chain_ns.map(|ns| f64::from(self.config.shards) * 1e9 / ns);
        let over = |ns: Option<u64>, floor: Option<u64>| Some(ns? as f64 / floor? as f64);
        Ratio::of(part.records_per_sec, device, processor).map(|ratio| Ratio {
            p50_of_device: over(part.latency.as_ref().map(|latency| latency.p50_ns), lowest(|floor| floor.p50_ns)),
            p99_of_device: over(part.latency.as_ref().map(|latency| latency.p99_ns), lowest(|floor| floor.p99_ns)),
            ..ratio
        })
    }
}

impl Ratio {
    /// An opening that reads everything, beside reading and checksumming the same files in `floor_sec`.
    pub(crate) fn of_reading(records_per_sec: f64, records: u64, floor_sec: f64) -> Ratio {
        let allowed = records as f64 / floor_sec.max(f64::MIN_POSITIVE);
        Ratio {
            device_records_per_sec: None,
            processor_records_per_sec: None,
            reading_records_per_sec: Some(allowed),
            tighter: "reading".into(),
            of_floor: records_per_sec / allowed,
            p50_of_device: None,
            p99_of_device: None,
        }
    }

    /// A throughput beside what two floors allow.
    pub(crate) fn of(records_per_sec: f64, device: Option<f64>, processor: Option<f64>) -> Option<Ratio> {
        let allowed = [("device", device), ("processor", processor)];
        let known = allowed.into_iter().filter_map(|(name, rate)| Some((name, rate?)));
        let (tighter, lowest) = known.min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(Ratio {
            device_records_per_sec: device,
            processor_records_per_sec: processor,
            reading_records_per_sec: None,
            tighter: tighter.into(),
            of_floor: records_per_sec / lowest,
            p50_of_device: None,
            p99_of_device: None,
        })
    }
}

impl Loaded {
    /// Over the whole opening, the warm-up included.
    pub(crate) fn commits(&self) -> Commits {
        let sum = |of: fn(&ShardStats) -> u64| self.stats.iter().map(of).sum::<u64>();
        let most = |of: fn(&ShardStats) -> u64| self.stats.iter().map(of).max().unwrap_or(0);
        let (frames, records) = (sum(|shard| shard.log.frames), sum(|shard| shard.log.records));
        let bytes = sum(|shard| shard.log.frame_bytes);
        let appended: f64 = self.parts.iter().filter(|part| part.name != "read").map(|part| part.records_per_sec).sum();
        Commits {
            commits: frames,
            records_per_commit: records as f64 / frames.max(1) as f64,
            frame_bytes_mean: bytes as f64 / frames.max(1) as f64,
            log_bytes_per_sec: bytes as f64 / records.max(1) as f64 * appended,
            flushes: sum(|shard| shard.log.flushes),
            unflushed_records_max: most(|shard| shard.log.unflushed_records_max),
            unflushed_ns_max: most(|shard| shard.log.unflushed_ns_max),
        }
    }

    /// The mean frame, in whole blocks.
    fn frame_bytes(&self) -> usize {
        let block = log::format::BLOCK_BYTES;
        (self.commits().frame_bytes_mean as usize).next_multiple_of(block).clamp(block, log::limits::FRAME_BYTES_MAX)
    }

    fn shard_counts(&self) -> Vec<ShardCounts> {
        let counts = |(at, stats): (usize, &ShardStats)| {
            let switches = self.switches_per_sec.get(&(at as u16));
            ShardCounts {
                requests: stats.requests,
                records: stats.log.records,
                voluntary_switches_per_sec: switches.map(|rates| rates.0),
                involuntary_switches_per_sec: switches.map(|rates| rates.1),
                stages: stages::of(stats),
            }
        };
        self.stats.iter().enumerate().map(counts).collect()
    }
}

impl Group {
    /// None in a closed loop.
    pub(crate) fn offered_per_sec(&self) -> Option<f64> {
        match self.arrivals {
            Arrivals::Closed => None,
            Arrivals::Open { requests_per_sec, .. } => Some(requests_per_sec),
        }
    }
}

fn head(client: &mut diatreme::Client, stream: &StreamRef) -> Result<u64, CallError> {
    client.head(stream).map(|head| head.next)
}

/// The CPUs that a load keeps busy.
fn busy_cpus(load: &Load, shards: &[ShardReport], inside: bool) -> Vec<usize> {
    let clients = if inside { 0 } else { load.groups.iter().map(|group| group.clients).sum() };
    let pinned: Vec<usize> = shards.iter().filter_map(|shard| shard.cpu).collect();
    if pinned.len() < shards.len() {
        return cores::available().into_iter().take(shards.len() + clients).collect();
    }
    pinned.into_iter().chain(load.cpus.iter().copied().take(clients)).collect()
}

/// Closes an engine; one whose shards were dropped on purpose says so.
fn close(engine: Engine, crash: bool) -> Result<Vec<ShardStats>, Failure> {
    match engine.close() {
        Err(OpenError::ShardDropped { .. }) if crash => Ok(Vec::new()),
        closed => Ok(closed?),
    }
}

/// Runs `work` in a thread that is pinned to a CPU, if one is named.
fn pinned<T: Send>(cpu: Option<usize>, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _pinned = cpu.map(cores::pin);
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
