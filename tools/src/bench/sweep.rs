//! `diatreme bench sweep`: open-loop runs at rising rates, up to where the engine no longer keeps up.

use super::args::{LoadArgs, Scenario};
use super::document::{Arrivals, Document, Point, Sweep};
use super::outputs::{OutputArgs, Outputs};
use super::run::Bench;
use crate::durability::is_strict;
use crate::failure::Failure;
use crate::floor::device::{How, device};
use crate::interrupt;
use crate::output::remark;
use crate::scratch::Scratch;
use clap::Args as ClapArgs;
use std::path::Path;
use std::time::Duration;

/// Parts of the capacity that are offered.
const FRACTIONS: [f64; 14] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1];
/// If even the last was sustained, rates go on rising by this, so many times at most.
const BEYOND: (f64, usize) = (1.1, 8);
/// Rates that are not sustained, one after the other, before it is believed: the machine may have had a bad moment.
const GIVE_UP_AFTER: usize = 2;
/// Seconds of each rate, and of the closed loop before, unless it is said.
const SECONDS_DEFAULT: f64 = 2.0;

/// Rises through rates to the knee: throughput against latency, counted from when each request was due.
#[derive(ClapArgs, Clone, Debug)]
#[command(after_help = "Example:
  diatreme bench sweep --duration 3 --html sweep.html --json sweep.json

First a closed loop shows what the engine can take. Then each rate, a part of that, is offered for
--duration seconds, whether or not answers come; a request that is late counts from when it was due. The
knee is the highest rate that was sustained: 98 % of it served, and less than the rest of a second's
requests behind at the end. At half of the knee the p99 is set beside that of the bare device.")]
pub(crate) struct Args {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    outputs: OutputArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let LoadArgs { rate, records, poisson, .. } = args.load;
    if rate.is_some() || records.is_some() {
        return Err(Failure::usage(
            "a sweep chooses its rates, and each runs for --duration: leave --rate and --records out",
        ));
    }
    let mut load = args.load.clone();
    load.duration = Some(load.duration.unwrap_or(SECONDS_DEFAULT));
    let outputs = Outputs::open(&args.outputs)?;
    interrupt::watch()?;
    let scratch = Scratch::make(load.data_dir.as_deref(), "sweep")?;
    let mut bench = Bench::new(&load, Scenario::Append, None)?;
    let machine = crate::machine::Setup::of(&existing(&scratch.path));
    let mut sweep = Sweeping { bench: &mut bench, directory: &scratch.path, number: 0, poisson };
    let first = sweep.capacity()?;
    let mut swept = Sweep {
        capacity_per_sec: first.parts.first().map_or(0.0, |part| part.requests_per_sec),
        points: Vec::new(),
        knee_per_sec: None,
        device_at_half: None,
        p99_at_half_of_device: None,
        pauses: None,
    };
    let ended = sweep.rise(&mut swept).and_then(|()| sweep.half(&mut swept));
    let document = Document { sweep: Some(swept), ..bench.document("bench sweep", machine, vec![first]) };
    // Whatever ended it, what was measured before that is told: it took minutes.
    let written = outputs.write(&document, &[]);
    Failure::join([ended, written, super::verdict(&document)])
}

/// The directory itself, or the one that it will be made in.
pub(crate) fn existing(path: &Path) -> std::path::PathBuf {
    path.ancestors().find(|path| path.exists()).map_or_else(|| ".".into(), Path::to_path_buf)
}

struct Sweeping<'a, 'b> {
    bench: &'a mut Bench<'b>,
    directory: &'a Path,
    number: usize,
    poisson: bool,
}

impl Sweeping<'_, '_> {
    /// What a closed loop reaches.
    fn capacity(&mut self) -> Result<super::document::Run, Failure> {
        let directory = self.directory.join("capacity");
        let run = self.bench.scenario(Scenario::Append, &directory)?;
        remove(&directory)?;
        Ok(run)
    }

    /// Offers rising rates until they are no longer sustained, or one has no figure.
    fn rise(&mut self, sweep: &mut Sweep) -> Result<(), Failure> {
        let beyond = (1..=BEYOND.1).map(|times| FRACTIONS[FRACTIONS.len() - 1] * BEYOND.0.powi(times as i32));
        let mut missed = 0;
        for fraction in FRACTIONS.into_iter().chain(beyond) {
            if interrupt::requested() || missed == GIVE_UP_AFTER || sweep.capacity_per_sec <= 0.0 {
                break;
            }
            let Some(point) = self.point(fraction * sweep.capacity_per_sec)? else { break };
            missed = if point.sustained { 0 } else { missed + 1 };
            if point.sustained {
                sweep.knee_per_sec = Some(point.offered_per_sec);
            }
            sweep.points.push(point);
        }
        Ok(())
    }

    /// A point at half of the knee, beside the device at the frames that it had, and the pauses of the CPUs.
    fn half(&mut self, sweep: &mut Sweep) -> Result<(), Failure> {
        let Some(knee) = sweep.knee_per_sec.filter(|_| !interrupt::requested()) else { return Ok(()) };
        let Some(point) = self.point(knee / 2.0)? else { return Ok(()) };
        let block = log::format::BLOCK_BYTES;
        let frame_bytes = (point.frame_bytes_mean as usize).next_multiple_of(block).max(block);
        // Without io_uring the engine writes plainly; and where nothing can be measured, nothing is said.
        let floors =
            [How::Dsync, How::Plain].map(|how| device(self.directory, how, frame_bytes, 1, Duration::from_secs(1)));
        let floor = floors.into_iter().find_map(Result::ok).filter(|_| is_strict(&self.bench.config.durability));
        sweep.p99_at_half_of_device = floor.as_ref().map(|floor| point.p99_ns as f64 / floor.p99_ns.max(1) as f64);
        sweep.device_at_half = floor;
        sweep.pauses = self.bench.pauses()?;
        let at = sweep.points.partition_point(|other| other.offered_per_sec < point.offered_per_sec);
        sweep.points.insert(at, point);
        Ok(())
    }

    /// Offers one rate. None if it was cut short, since it might have failed a moment later, or if nothing was answered.
    fn point(&mut self, requests_per_sec: f64) -> Result<Option<Point>, Failure> {
        self.number += 1;
        let directory = self.directory.join(format!("rate-{}", self.number));
        let streams = self.bench.streams(&directory)?;
        let mut load = self.bench.load(streams);
        load.groups[0].arrivals = Arrivals::Open { requests_per_sec, poisson: self.poisson, burst: 1 };
        let title = format!("{requests_per_sec:.0} requests/s");
        let loaded = self.bench.run(&directory, load, &title)?;
        remove(&directory)?;
        if self.bench.interrupted {
            return Ok(None);
        }
        let commits = loaded.commits();
        let Some(part) = loaded.parts.into_iter().next() else {
            remark(&format!(
                "note: {title}: nothing was answered, and the sweep ends here; choose a longer --duration"
            ));
            return Ok(None);
        };
        let (Some(latency), Some(queue)) = (part.latency, part.queue) else {
            unreachable!("requests were timed and queued");
        };
        Ok(Some(Point {
            offered_per_sec: requests_per_sec,
            achieved_per_sec: part.requests_per_sec,
            p50_ns: latency.p50_ns,
            p99_ns: latency.p99_ns,
            p999_ns: latency.p999_ns,
            max_ns: latency.max_ns,
            queue_mean: queue.mean,
            behind_end: queue.behind_end,
            records_per_commit: commits.records_per_commit,
            frame_bytes_mean: commits.frame_bytes_mean,
            sustained: queue.is_sustained(part.requests_per_sec),
        }))
    }
}

/// Each rate writes gigabytes: they go before the next one comes.
fn remove(directory: &Path) -> Result<(), Failure> {
    std::fs::remove_dir_all(directory)
        .map_err(|error| Failure::failed(format!("cannot remove {}: {error}", directory.display())))
}
