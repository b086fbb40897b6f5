//! The scenarios: what is run, in which order, and what of it is the figure.

use super::args::{PRELOAD_WINDOW, Scenario};
use super::document::{Arrivals, Commits, Floors, Part, Ratio, Run};
use super::load::{BenchStream, Load};
use super::run::{Bench, Loaded};
use super::sender::Work;
use crate::directory::{Caching, Reader};
use crate::failure::Failure;
use crate::floor::reading::{ReadingFloor, reading};
use crate::interrupt;
use diatreme::Engine;
use log::format::BLOCK_BYTES;
use log::format::footer::Trailer;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

impl Bench<'_> {
    /// One run of a scenario in a fresh directory.
    pub(crate) fn scenario(&mut self, scenario: Scenario, directory: &Path) -> Result<Run, Failure> {
        match scenario {
            Scenario::Append | Scenario::Mixed | Scenario::Tenants => self.plain(scenario, directory),
            Scenario::Noisy => self.noisy(directory),
            Scenario::Audit => self.audit(directory),
            Scenario::Recovery => self.recovery(directory),
            Scenario::Verify => self.verify(directory),
        }
    }

    fn plain(&mut self, scenario: Scenario, directory: &Path) -> Result<Run, Failure> {
        let streams = self.streams(directory)?;
        let load = self.load(streams);
        let loaded = self.run(directory, load, scenario.name())?;
        self.complete(directory, loaded)
    }

    /// The others alone, then the same beside one tenant that floods: a closed loop with the whole window, by a client of its own.
    fn noisy(&mut self, directory: &Path) -> Result<Run, Failure> {
        let streams = self.streams(directory)?;
        let (loud, others): (Vec<BenchStream>, Vec<BenchStream>) =
            streams.into_iter().partition(|stream| stream.stream.tenant() == diatreme::TenantId::of_name("bench-0"));
        let mut alone = self.load(others);
        let quiet = &mut alone.groups[0];
        quiet.names = ["others, alone", "others, alone"];
        let mut beside = alone.clone();
        beside.groups[0].names = ["others, beside the flood", "others, beside the flood"];
        let mut flood = self.load(loud).groups.remove(0);
        (flood.names, flood.arrivals) = (["the flood", "the flood"], Arrivals::Closed);
        beside.groups.push(flood);
        let first = self.run(directory, alone, "others, alone")?;
        if interrupt::requested() {
            return self.complete(directory, first);
        }
        let mut second = self.run(directory, beside, "others, beside the flood")?;
        // What is asked is what the flood does to the others; next to it, how they are without.
        let after = second.parts.len().min(1);
        second.parts.splice(after..after, first.parts);
        self.complete(directory, second)
    }

    /// Reads of what was written before: each way first after an opening, and then again.
    fn audit(&mut self, directory: &Path) -> Result<Run, Failure> {
        let (_, mut streams) = self.preload(directory, false)?;
        streams.retain(|stream| stream.head > 0);
        let mut random = self.load(streams.clone());
        random.groups[0].records = None;
        random.warm_up = Duration::ZERO;
        let mut scan = random.clone();
        scan.duration = None;
        (scan.groups[0].work, scan.groups[0].clients, scan.groups[0].arrivals) = (Work::Scan, 1, Arrivals::Closed);
        let mut runs: Vec<Loaded> = Vec::new();
        let phases = [
            (&random, "random reads, cold"),
            (&random, "random reads, again"),
            (&scan, "scan, cold"),
            (&scan, "scan, again"),
        ];
        for (load, name) in phases {
            if interrupt::requested() {
                break;
            }
            let mut load = load.clone();
            load.groups[0].names = [name, name];
            runs.push(self.run(directory, load, name)?);
        }
        let mut phases = runs.into_iter();
        let Some(mut all) = phases.next() else {
            return Err(Failure::failed("stopped before anything was read"));
        };
        all.parts.extend(phases.flat_map(|phase| phase.parts));
        self.complete(directory, all)
    }

    /// Opens what a crash left, and what a clean end left: shards that are dropped leave what a killed process would. Both are
    /// short, since what is sealed is not read. So the figure is of a third opening, of which no segment is sealed: it reads
    /// all that there is, and stands beside reading and checksumming the same files.
    fn recovery(&mut self, directory: &Path) -> Result<Run, Failure> {
        let (loaded, _) = self.preload(directory, true)?;
        let bytes: u64 = loaded.stats.iter().map(|shard| shard.log.frame_bytes).sum();
        let records: u64 = loaded.stats.iter().map(|shard| shard.log.records).sum();
        let mut parts = Vec::new();
        for name in ["opening after a crash", "opening after a clean end"] {
            crate::output::progress(name);
            parts.push(Part::counted(name, 1, records, bytes, self.opening(directory)?));
        }
        let (mut opening_sec, mut floor) = (f64::INFINITY, None::<ReadingFloor>);
        crate::output::progress(NOTHING_SEALED);
        // In turn, so that both have the same neighbours; the fastest of each is what the machine can do.
        for _ in 0..ROUNDS {
            let logs = unseal(directory)?;
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let pass = reading(directory, &logs, threads).map_err(Failure::failed)?;
            floor = floor.filter(|best| best.elapsed_sec <= pass.elapsed_sec).or(Some(pass));
            opening_sec = opening_sec.min(self.opening(directory)?);
        }
        let opening = Part::counted(NOTHING_SEALED, 1, records, bytes, opening_sec);
        let ratio = floor.as_ref().map(|floor| Ratio::of_reading(opening.records_per_sec, records, floor.elapsed_sec));
        parts.insert(0, opening);
        let floors = Floors { reading: floor, ..Floors::default() };
        Ok(Run { floors, ratio, ..Run::of_parts(parts) })
    }

    /// Opens the engine and closes it; gives the seconds that the recovery took.
    fn opening(&self, directory: &Path) -> Result<f64, Failure> {
        let engine = self.args.builder(directory, &self.config)?.open()?;
        let time = engine.report().recovery_time;
        no_damage(&engine)?;
        engine.close()?;
        Ok(time.as_secs_f64())
    }

    /// Verifies everything on all cores, and on one.
    fn verify(&mut self, directory: &Path) -> Result<Run, Failure> {
        let (loaded, _) = self.preload(directory, false)?;
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let mut parts = Vec::new();
        for threads in [all, 1] {
            let name = format!("verification, {}", crate::table::count(threads as u64, "core"));
            crate::output::progress(&name);
            let open = || {
                let Reader { backend, buffer } = Reader::open(directory, Caching::Direct)?;
                Ok((backend, buffer.expect("the reader has just carved its buffer")))
            };
            let since = Instant::now();
            let verified = log::verify(open, threads, |_, _| {}).map_err(Failure::at(directory))?;
            let elapsed_sec = since.elapsed().as_secs_f64();
            if let Some(damage) = verified.damage.first() {
                return Err(Failure::failed(format!("{}: damaged: {damage}", directory.display())));
            }
            parts.push(Part::counted(&name, 1, verified.records, verified.bytes, elapsed_sec));
            if all == 1 {
                break;
            }
        }
        let commits = loaded.commits();
        let floors = Floors { device: Vec::new(), ..self.floors(directory, &loaded, &commits)? };
        let processor = floors.chain.as_ref().map(|floor| all as f64 * 1e9 / floor.ns_per_record);
        let ratio = parts.first().and_then(|part| Ratio::of(part.records_per_sec, None, processor));
        Ok(Run { commits, floors, ratio, ..Run::of_parts(parts) })
    }

    /// Writes the records that are to be read later; gives how it went, and the streams as they are then.
    fn preload(&mut self, directory: &Path, crash: bool) -> Result<(Loaded, Vec<BenchStream>), Failure> {
        let streams = self.streams(directory)?;
        let mut load: Load = self.load(streams);
        let group = &mut load.groups[0];
        (group.work, group.arrivals, group.window) =
            (Work::Mix { read_percent: 0 }, Arrivals::Closed, PRELOAD_WINDOW as usize);
        group.records = self.config.records;
        (load.warm_up, load.duration, load.crash) = (Duration::ZERO, None, crash);
        let inside = self.config.inside;
        // Only a shard whose host is this program can be dropped as a crash would.
        self.config.inside |= crash;
        let loaded = self.run(directory, load, "writing what is to be read");
        self.config.inside = inside;
        self.recorded.clear();
        let loaded = loaded?;
        if loaded.parts.is_empty() {
            return Err(Failure::failed("stopped before anything was written"));
        }
        // After a crash the opening is what is measured, so nobody opens it before.
        let streams = if crash { Vec::new() } else { self.streams(directory)? };
        Ok((loaded, streams))
    }
}

/// How often the opening that reads everything is measured.
const ROUNDS: usize = 5;
/// Its name.
const NOTHING_SEALED: &str = "opening, nothing sealed";

/// Cuts every segment to its last frame, as if the process had ended before it was sealed; gives the segments' names, of each
/// log that has any.
fn unseal(directory: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let mut reader = Reader::open(directory, Caching::Cached).map_err(Failure::at(directory))?;
    let mut logs = Vec::new();
    for log in crate::directory::survey(directory)?.logs {
        let ids = log::log_segments(&mut reader.backend, log).map_err(Failure::at(directory))?;
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        for name in &names {
            let path = directory.join(name);
            let cut = || -> std::io::Result<()> {
                let mut file = std::fs::File::options().read(true).write(true).open(&path)?;
                let mut block = [0; BLOCK_BYTES];
                file.seek(SeekFrom::End(-(BLOCK_BYTES as i64)))?;
                file.read_exact(&mut block)?;
                if let Ok(trailer) = Trailer::decode(&block) {
                    file.set_len(trailer.footer)?;
                }
                file.sync_all()
            };
            cut().map_err(|error| Failure::failed(format!("cannot cut {}: {error}", path.display())))?;
        }
        logs.extend((!names.is_empty()).then_some(names));
    }
    Ok(logs)
}

impl Run {
    /// Of operations that are no requests.
    fn of_parts(parts: Vec<Part>) -> Run {
        Run {
            elapsed_sec: parts.iter().map(|part| part.elapsed_sec).sum(),
            parts,
            timeline: Vec::new(),
            commits: Commits::default(),
            shards: Vec::new(),
            floors: Floors::default(),
            ratio: None,
        }
    }
}

fn no_damage(engine: &Engine) -> Result<(), Failure> {
    match engine.report().recovery.damage.first() {
        None => Ok(()),
        Some(damage) => Err(Failure::failed(format!("what was written is damaged: {damage}"))),
    }
}
