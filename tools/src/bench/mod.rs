//! `diatreme bench`: what this machine does with this load, beside what it could do at best.

mod floor;
mod load;
mod report;

use crate::engine_args::{BackendArg, CoresArg, DurabilityArg};
use crate::failure::Failure;
use crate::scratch::Scratch;
use clap::Args as ClapArgs;
use diatreme::{Cores, Engine, FRAME_CAP_DEFAULT, cores};
use indicatif::{ProgressBar, ProgressStyle};
use load::Load;
use report::Report;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often the progress is drawn: seldom, for it takes time on a core that is being measured.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Measures durable appends, and the machine's own floor beside them.
#[derive(ClapArgs, Clone, Debug)]
#[command(after_help = "Example:
  diatreme bench --records 5000000 --payload 100 --json bench.json

Clients append records and keep a window of them in flight (a closed loop). Then the same frames are
written to the bare device, and the same records are copied and chained in a bare loop: no engine that
keeps the promise is faster than the slower of the two. Without --data-dir, a fresh directory in the
current one is used and removed.")]
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

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(path) = &args.json {
        // Before the work, so that an hour's figures are not lost to a slip in a name.
        std::fs::write(path, "")
            .map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
    }
    let directory = Scratch::make(args.data_dir.as_deref(), "bench")?;
    let report = measure(args, &directory.path)?;
    report.print();
    if let Some(path) = &args.json {
        let text = report.to_json();
        std::fs::write(path, text).map_err(|error| Failure::output(&path.display().to_string(), &error))?;
    }
    Ok(())
}

fn measure(args: &Args, directory: &Path) -> Result<Report, Failure> {
    let engine = Engine::builder(directory)
        .shards(args.shards)
        .cores(args.cores.0.clone())
        .backend(args.backend.into())
        .durability(args.durability.into())
        .frame_cap(args.frame_cap)
        .open()?;
    let start = engine.report().clone();
    let shard_cpus: Vec<Option<usize>> = start.shards.iter().map(|shard| shard.cpu).collect();
    let load = Load {
        records: args.records,
        payload: args.payload as usize,
        tenants: args.tenants as usize,
        streams: args.streams as usize,
        clients: args.clients as usize,
        window: args.window as usize,
        cpus: client_cpus(&args.cores.0, &shard_cpus),
    };
    let outcomes = with_progress(args.records, |done| load::run(&engine, &load, done))?;
    let stats = engine.close()?;
    eprintln!("measuring the floors of the device and the processor");
    let floor = floors(args, directory, &load, &stats, shard_cpus.first().copied().flatten())?;
    Ok(Report { args: args.clone(), cpus: load.cpus.clone(), start, outcomes, stats, floor })
}

/// The machine's own limits at this run's frames.
struct Floors {
    device: floor::DeviceFloor,
    cpu_ns_per_record: f64,
}

fn floors(
    args: &Args,
    directory: &Path,
    load: &Load,
    stats: &[diatreme::ShardStats],
    cpu: Option<usize>,
) -> Result<Floors, Failure> {
    let frames: u64 = stats.iter().map(|shard| shard.log.frames).sum();
    let bytes: u64 = stats.iter().map(|shard| shard.log.frame_bytes).sum();
    let block = log::format::BLOCK_BYTES;
    let frame_bytes =
        ((bytes / frames.max(1)) as usize).next_multiple_of(block).clamp(block, log::limits::FRAME_BYTES_MAX);
    // As many commits at once as the window fills, and no more than the engine has in flight.
    let in_flight = (load.clients * load.window) as f64 / f64::from(args.shards);
    let records_per_commit = (load.records as f64 / frames.max(1) as f64).max(1.0);
    let depth = ((in_flight / records_per_commit).round() as usize).clamp(1, log::limits::FRAMES_IN_FLIGHT);
    let (mode, chains) = (args.backend.into(), (args.tenants * args.streams) as usize);
    let measured = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Some(cpu) = cpu {
                // On the core that the shard had; if that fails, the floor is only noisier.
                let _pinned = cores::pin(cpu);
            }
            let device = floor::device(directory, mode, frame_bytes, depth)?;
            Ok(Floors { device, cpu_ns_per_record: floor::copy_and_chain(load.payload, chains) })
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
        let result = work(&done);
        over.store(true, Ordering::Relaxed);
        drawer.thread().unpark();
        bar.finish_and_clear();
        result
    })
}
