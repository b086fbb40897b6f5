//! `diatreme bench`: what this machine does with this load, beside what it could do at best.

mod floor;
mod load;
mod report;

use crate::engine_args::{BackendArg, CoresArg, DurabilityArg};
use crate::failure::Failure;
use crate::report as json;
use crate::scratch::Scratch;
use clap::Args as ClapArgs;
use diatreme::{Cores, Engine, FRAME_CAP_DEFAULT, ShardReport, ShardStats, StartReport, cores};
use indicatif::{ProgressBar, ProgressStyle};
use load::{Load, Outcomes};
use report::Report;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// How often the progress is drawn: seldom, for it takes time on a core that is being measured.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Measures durable appends, and the machine's own floor beside them.
#[derive(ClapArgs, Clone, Debug)]
#[command(after_help = "Example:
  diatreme bench --records 5000000 --payload 100 --json bench.json

Clients append records and keep a window of them in flight (a closed loop). Then frames of the same size
are written to the bare device, as many at a time as were in flight, and the same records are copied and
chained in a bare loop: no engine that keeps the promise with such frames is faster than the slower of
the two. Each floor is one sample of about a second: repeat the run to see the spread. Without
--data-dir, a fresh directory in the current one is used and removed.")]
pub(crate) struct Args {
    /// Records to append, over all clients.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,

    /// Bytes of each record.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    payload: u32,

    /// Tenants.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: u32,

    /// Streams in each tenant; records go to all streams in turn.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    streams: u32,

    /// Shards.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: u16,

    /// Client threads.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    clients: u32,

    /// Requests in flight of each client.
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    window: u32,

    /// What an acknowledgement promises.
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = DurabilityArg::Strict)]
    durability: DurabilityArg,

    /// How shards do I/O; `auto` takes the best that the system allows.
    #[arg(long, value_name = "KIND", value_enum, default_value_t = BackendArg::Auto)]
    backend: BackendArg,

    /// The CPUs that shards are pinned to: a list such as 0,2-3, `auto` to let the engine choose, `none` not to pin.
    /// Clients are pinned to the CPUs that are left, if any are.
    #[arg(long, value_name = "LIST", default_value = "auto")]
    cores: CoresArg,

    /// A frame closes at so many bytes.
    #[arg(long, value_name = "BYTES", default_value_t = FRAME_CAP_DEFAULT)]
    frame_cap: usize,

    /// The data directory; it must be empty or not exist, and is kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Streams over all tenants: each is a chain, and each has a place in the kernel and the log.
const STREAMS_MAX: u64 = 1 << 20;
/// Requests in flight over all clients: each has a place in a ring and in the shard.
const IN_FLIGHT_MAX: u64 = 1 << 22;

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    check(args)?;
    let json = json::Report::open(args.json.as_deref())?;
    let scratch = Scratch::make(args.data_dir.as_deref(), "bench")?;
    let report = measure(args, &scratch.path)?;
    if let Some(json) = json {
        json.write(&report.figures())?;
    }
    let text = report.figures().table();
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::output("standard output", &error))
}

fn check(args: &Args) -> Result<(), Failure> {
    let (streams, in_flight) =
        (u64::from(args.tenants) * u64::from(args.streams), u64::from(args.clients) * u64::from(args.window));
    if streams > STREAMS_MAX {
        return Err(Failure::usage(format!(
            "--tenants times --streams is {streams}: at most {STREAMS_MAX} are measured"
        )));
    }
    if in_flight > IN_FLIGHT_MAX {
        return Err(Failure::usage(format!(
            "--clients times --window is {in_flight}: at most {IN_FLIGHT_MAX} are measured"
        )));
    }
    Ok(())
}

fn measure(args: &Args, directory: &Path) -> Result<Report, Failure> {
    let builder = Engine::builder(directory)
        .shards(args.shards)
        .cores(args.cores.0.clone())
        .backend(args.backend.into())
        .durability(args.durability.into())
        .frame_cap(args.frame_cap);
    let mut load = Load {
        records: args.records,
        payload: args.payload as usize,
        tenants: args.tenants as usize,
        streams: args.streams as usize,
        clients: args.clients as usize,
        window: args.window as usize,
        cpus: Vec::new(),
    };
    let engine = builder.clone().open()?;
    load::make_streams(&engine, &load)?;
    engine.close()?;
    let engine = builder.open()?;
    let start = engine.report().clone();
    let shard_cpus: Vec<Option<usize>> = start.shards.iter().map(|shard| shard.cpu).collect();
    load.cpus = client_cpus(&args.cores.0, &shard_cpus);
    let outcomes = with_progress(args.records, |done| load::run(&engine, &load, done))?;
    let stats = engine.close()?;
    let _nobody_listens = std::io::stderr().write_all(b"measuring the floors of the device and the processor\n");
    let floor = floors(args, directory, &outcomes, &stats, &start)?;
    Ok(Report { args: args.clone(), cpus: load.cpus, start, outcomes, stats, floor })
}

/// The machine's own limits at this run's frames.
struct Floors {
    device: floor::DeviceFloor,
    cpu_ns_per_record: f64,
}

fn floors(
    args: &Args,
    directory: &Path,
    outcomes: &Outcomes,
    stats: &[ShardStats],
    start: &StartReport,
) -> Result<Floors, Failure> {
    let frames: u64 = stats.iter().map(|shard| shard.log.frames).sum();
    let bytes: u64 = stats.iter().map(|shard| shard.log.frame_bytes).sum();
    let block = log::format::BLOCK_BYTES;
    let frame_bytes =
        ((bytes / frames.max(1)) as usize).next_multiple_of(block).clamp(block, log::limits::FRAME_BYTES_MAX);
    // As many commits at once as were in flight on the average (Little's law), and no more than the shards have places for.
    let commits = outcomes.in_flight(args.records) * frames as f64 / args.records as f64;
    let depth = (commits.round() as usize).clamp(1, log::limits::FRAMES_IN_FLIGHT * usize::from(args.shards));
    let Some(ShardReport { cpu, backend }) = start.shards.first() else {
        unreachable!("an engine has a shard");
    };
    let (mode, chains) = (floor::mode(backend.kind), args.tenants as usize * args.streams as usize);
    let measured = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Some(cpu) = *cpu {
                // On the core that the shard had; if that fails, the floor is only noisier.
                let _pinned = cores::pin(cpu);
            }
            let device = floor::device(directory, mode, frame_bytes, depth)?;
            Ok(Floors { device, cpu_ns_per_record: floor::copy_and_chain(args.payload as usize, chains) })
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    measured.map_err(|error: String| Failure::failed(format!("cannot measure the device: {error}")))
}

/// The CPUs that no shard has; none if shards are not pinned or have them all.
fn client_cpus(cores: &Cores, shards: &[Option<usize>]) -> Vec<usize> {
    if *cores == Cores::Unpinned {
        return Vec::new();
    }
    cores::available().into_iter().filter(|cpu| !shards.contains(&Some(*cpu))).collect()
}

fn with_progress<T>(records: u64, work: impl FnOnce(&AtomicU64) -> T) -> T {
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let bar = ProgressBar::new(records);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} records, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    std::thread::scope(|scope| {
        let drawer = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                bar.set_position(done.load(Ordering::Relaxed));
                std::thread::park_timeout(DRAW_EVERY);
            }
        });
        // At the end of the work, also if that is a panic: the drawer must not be waited for in vain.
        let ending = Ending { over: &over, drawer: drawer.thread() };
        let result = work(&done);
        drop(ending);
        bar.finish_and_clear();
        result
    })
}

/// Tells the drawer of a progress bar that the work is over.
struct Ending<'a> {
    over: &'a AtomicBool,
    drawer: &'a Thread,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.drawer.unpark();
    }
}
