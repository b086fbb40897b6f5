//! What only a try can tell: ticks and pauses of busy CPUs, time that the host takes, and the disk's durable write.

use crate::failure::Failure;
use crate::floor::pauses::{PausesFloor, pauses};
use crate::machine::{CpuTimes, Root, interrupts, running_tasks};
use diatreme::{BackendInfo, cores};
use hdrhistogram::Histogram;
use iobackend::{Arena, Backend, BackendConfig, Buffer, FileName, FileSlot, IoBackend, IoError, OpKind, OpenMode};
use log::limits::{ARENA_BYTES, FILE_SLOTS, IO_DEPTH};
use std::path::Path;
use std::time::{Duration, Instant};

/// For how long a CPU is kept busy and its ticks are counted.
const BUSY: Duration = Duration::from_millis(250);
/// For how long pauses are looked for, and on how many CPUs at most: it is to be over soon, and to leave the others their peace.
const PAUSES: Duration = Duration::from_millis(300);
const PAUSES_CPUS_MAX: usize = 4;
/// For how long durable writes are timed.
const WRITE: Duration = Duration::from_millis(300);
/// Zeroed before, as the engine does: a write into a block that was never written costs the file system's own, too.
const FILE_BYTES: u64 = 4 << 20;
/// The smallest frame.
const WRITE_BYTES: usize = 4096;
const FILE: FileSlot = FileSlot(0);

/// What was measured.
pub(super) struct Measured {
    pub(super) ticks: Option<Ticks>,
    pub(super) pauses: Option<PausesFloor>,
    /// The part of a busy CPU's time that the host took meanwhile.
    pub(super) stolen: Option<f64>,
    /// Tasks on the machine that were ready to run before or after, this one included.
    pub(super) running: Option<u32>,
    pub(super) disk: Option<Disk>,
    /// Which SHA-256 extends chains.
    pub(super) crypto: &'static str,
}

/// Timer interrupts of a busy CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ticks {
    pub(super) cpu: usize,
    pub(super) per_second: f64,
}

/// The backend that an engine would get, and durable writes of 4 KiB through it, one at a time.
pub(super) struct Disk {
    pub(super) backend: BackendInfo,
    pub(super) writes: u64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
}

impl Measured {
    /// Measures on this machine, ticks and pauses on those of the shards' CPUs that this process may run on.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(super) fn now(data_dir: &Path, cpus: &[usize]) -> Result<Measured, Failure> {
        let root = Root::system();
        let (before, running) = (CpuTimes::read(&root), running_tasks(&root));
        let ticks = ticks(cpus);
        let disk = durable_writes(data_dir)?;
        let pauses = pauses(&busy(cpus, &cores::available()), PAUSES).ok();
        let stolen = before.zip(CpuTimes::read(&root)).map(|(before, after)| after.since(before).stolen_part());
        let running = running.max(running_tasks(&root));
        Ok(Measured { ticks, pauses, stolen, running, disk: Some(disk), crypto: crypto::implementation() })
    }
}

/// The CPUs that a load keeps busy, a client's among them: a host may give one of its guest's all that it wants, and not two.
fn busy(shards: &[usize], allowed: &[usize]) -> Vec<usize> {
    let own = shards.iter().copied().filter(|cpu| allowed.contains(cpu)).take(PAUSES_CPUS_MAX - 1);
    let mut cpus: Vec<usize> = own.collect();
    let most = if cpus.is_empty() { PAUSES_CPUS_MAX } else { cpus.len() + 1 };
    let others = allowed.iter().copied().filter(|cpu| !shards.contains(cpu));
    cpus.extend(others.take(most - cpus.len()));
    cpus
}

/// Counts on a CPU that does nothing but count: an idle one has no ticks, and tells nothing.
fn ticks(cpus: &[usize]) -> Option<Ticks> {
    let allowed = cores::available();
    let cpu = cpus.iter().chain(&allowed).copied().find(|cpu| allowed.contains(cpu))?;
    let count = || {
        let table = interrupts::Table::parse(&Root::system().text("/proc/interrupts")?);
        interrupts::timer_interrupts(&table, cpu)
    };
    let busy = move || {
        cores::pin(cpu).ok()?;
        let (before, start) = (count()?, Instant::now());
        while start.elapsed() < BUSY {
            std::hint::spin_loop();
        }
        let seconds = start.elapsed().as_secs_f64();
        Some(Ticks { cpu, per_second: count()?.saturating_sub(before) as f64 / seconds })
    };
    // A thread of its own, for it is pinned.
    std::thread::scope(|scope| scope.spawn(busy).join().ok().flatten())
}

/// Writes into a file that has no name any more: whatever ends this process leaves nothing behind.
fn durable_writes(data_dir: &Path) -> Result<Disk, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {error}; name a directory that can be written", data_dir.display()))
    };
    // As large, and with as many slots, as an engine's shard has: the limits that forbid those are to show here.
    let mut arena = Arena::new(ARENA_BYTES).map_err(|error| Failure::failed(format!("memory: {error}")))?;
    let config = BackendConfig { depth: IO_DEPTH, file_slots: FILE_SLOTS, ..BackendConfig::new(data_dir) };
    let mut backend = iobackend::open(&config, &arena).map_err(|error| Failure::usage(error.to_string()))?;
    let buffer = arena.take(1 << 20).expect("the arena of a shard has room for a frame");
    let latency = time_writes(&mut backend, buffer).map_err(|error| unusable(&error))?;
    Ok(Disk {
        backend: backend.info().clone(),
        writes: latency.len(),
        p50_ns: latency.value_at_quantile(0.5),
        p99_ns: latency.value_at_quantile(0.99),
    })
}

fn time_writes(backend: &mut Backend, mut buffer: Buffer) -> Result<Histogram<u64>, std::io::Error> {
    // An engine's listing leaves out names that begin so, should this end between making the file and removing its name.
    let name = format!(".diatreme-probe-doctor-{}", std::process::id());
    backend.run(OpKind::Open { file: FILE, name: FileName::new(&name)?, mode: OpenMode::CreateNew }).0?;
    backend.remove(&name)?;
    backend.run(OpKind::Allocate { file: FILE, len: FILE_BYTES }).0?;
    let len = buffer.len();
    for at in (0..FILE_BYTES).step_by(len) {
        (_, buffer) = write(backend, buffer, at, len, false)?;
    }
    backend.run(OpKind::Flush { file: FILE }).0?;
    let mut latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order");
    let start = Instant::now();
    let mut at = 0;
    while start.elapsed() < WRITE {
        let took;
        (took, buffer) = write(backend, buffer, at, WRITE_BYTES, true)?;
        latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        at = (at + WRITE_BYTES as u64) % FILE_BYTES;
    }
    Ok(latency)
}

/// One write. Waiting for it and not yielding meanwhile, as a shard would, costs a wake-up; but whoever yields on a busy
/// machine measures the time slices of others.
fn write(
    backend: &mut Backend,
    buffer: Buffer,
    at: u64,
    len: usize,
    durable: bool,
) -> Result<(Duration, Buffer), IoError> {
    let start = Instant::now();
    let (written, buffer) = backend.run(OpKind::Write { file: FILE, at, buffer, len, durable });
    written?;
    Ok((start.elapsed(), buffer.expect("a write gives its buffer back")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_and_a_client_are_busy() {
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(busy(&[1], &[0, 1]), [1, 0]);
        assert_eq!(busy(&[2, 3, 4, 5, 6], &all), [2, 3, 4, 0], "the first of many");
        assert_eq!(busy(&[], &all), [0, 1, 2, 3], "no shard has a place");
        assert_eq!(busy(&[4095], &[0, 1]), [0, 1], "none that this process has");
        assert_eq!(busy(&[0, 1], &[0, 1]), [0, 1], "no other is left for a client");
        assert!(busy(&[0], &[]).is_empty());
    }
}
