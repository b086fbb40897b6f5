//! The device's floor: durable writes of frames, and nothing else.

use super::latencies;
use diatreme::{DurableWrite, Mode};
use hdrhistogram::Histogram;
use iobackend::limits::{ARENA_BYTES_MAX, DEPTH_MAX};
use iobackend::{
    Arena, Backend, BackendConfig, Buffer, Completion, FileName, FileSlot, IoBackend, IoError, Op, OpKind, OpenMode,
};
use log::format::BLOCK_BYTES;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// The part of a file that is written over and over; zeroed before, as the engine does.
const FILE_BYTES: u64 = 128 << 20;
const ZEROS_BYTES: usize = 1 << 20;
const FILE: FileSlot = FileSlot(0);

/// A way to make a write durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// io_uring: one write with `RWF_DSYNC`.
    Dsync,
    /// io_uring: a write, and a flush linked to it.
    Linked,
    /// System calls: a write, then a flush; a thread for each of them in flight.
    Plain,
}

impl How {
    /// As reports name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            How::Dsync => "dsync",
            How::Linked => "linked",
            How::Plain => "plain",
        }
    }

    fn config(self, directory: &Path, depth: usize) -> BackendConfig {
        let (mode, durable_write) = match self {
            How::Dsync => (Mode::Uring, DurableWrite::Dsync),
            How::Linked => (Mode::Uring, DurableWrite::LinkedFlush),
            How::Plain => (Mode::Sync, DurableWrite::Dsync),
        };
        BackendConfig { mode, durable_write, depth, file_slots: 1, ..BackendConfig::new(directory) }
    }
}

/// The device's own durable writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeviceFloor {
    pub(crate) how: How,
    /// What made them.
    pub(crate) backend: String,
    pub(crate) frame_bytes: usize,
    /// Writes in flight.
    pub(crate) depth: usize,
    pub(crate) commits_per_sec: f64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
    pub(crate) commits: u64,
}

/// Writes frames of `frame_bytes` durably, `depth` at a time, into a zeroed file on the file system of `data_dir`, each as soon
/// as a place is free. The file has no name while it is measured, so nothing is left behind, whatever happens.
///
/// No engine that keeps its promise commits more frames of this size with so many in flight, nor acknowledges one sooner: the
/// bytes must be on the device before the answer.
///
/// # Errors
/// What the system refuses: io_uring, space, memory. One way that is refused says nothing of the others.
pub(crate) fn device(
    data_dir: &Path,
    how: How,
    frame_bytes: usize,
    depth: usize,
    duration: Duration,
) -> Result<DeviceFloor, String> {
    let (whole, in_flight_bytes) = (frame_bytes.is_multiple_of(BLOCK_BYTES), depth.saturating_mul(frame_bytes));
    if !whole || !(1..=DEPTH_MAX).contains(&depth) || !(1..=ARENA_BYTES_MAX).contains(&in_flight_bytes) {
        return Err(format!(
            "frames of {frame_bytes} bytes, {depth} at a time: choose blocks of {BLOCK_BYTES} bytes, at most {DEPTH_MAX} at a \
             time and {ARENA_BYTES_MAX} bytes in flight"
        ));
    }
    let file = ZeroedFile::make(data_dir, FILE_BYTES.max(2 * in_flight_bytes as u64))?;
    // Each writer has a part of the file: a ring has all of it.
    let (writers, depth_each) = if how == How::Plain { (depth, 1) } else { (1, depth) };
    let part_bytes = file.bytes / writers as u64 / frame_bytes as u64 * frame_bytes as u64;
    let opened = Barrier::new(writers + 1);
    let writers: Vec<Result<Written, String>> = thread::scope(|scope| {
        let writer = |at: usize| {
            let frames = Frames { bytes: frame_bytes, from: at as u64 * part_bytes, to: (at as u64 + 1) * part_bytes };
            let (file, opened) = (&file, &opened);
            scope.spawn(move || {
                let writer = Writer::open(file, how, &frames, depth_each);
                opened.wait();
                writer?.write(&frames, duration).map_err(|error| file.failed(&error))
            })
        };
        let threads: Vec<_> = (0..writers).map(writer).collect();
        opened.wait();
        file.remove();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut latency_ns = latencies();
    let (mut commits_per_sec, mut backend) = (0.0, String::new());
    for written in writers {
        let written = written?;
        commits_per_sec += written.latency_ns.len() as f64 / written.elapsed.as_secs_f64();
        latency_ns.add(&written.latency_ns).expect("histograms of the same bounds");
        backend = written.backend;
    }
    let at = |quantile| latency_ns.value_at_quantile(quantile);
    Ok(DeviceFloor {
        how,
        backend,
        frame_bytes,
        depth,
        commits_per_sec,
        p50_ns: at(0.5),
        p99_ns: at(0.99),
        p999_ns: at(0.999),
        max_ns: latency_ns.max(),
        commits: latency_ns.len(),
    })
}

/// A file of zeros that were written, in blocks that the file system has to change no more metadata for.
struct ZeroedFile {
    directory: PathBuf,
    name: String,
    bytes: u64,
}

impl ZeroedFile {
    /// Makes it beside the data directory, since an engine refuses a directory with a file that it does not know; or in it, if
    /// another file system begins there, or nothing may be made beside it.
    fn make(data_dir: &Path, bytes: u64) -> Result<ZeroedFile, String> {
        let error = |error: std::io::Error| format!("{}: {error}", data_dir.display());
        let data_dir = data_dir.canonicalize().map_err(error)?;
        let device = |directory: &Path| directory.metadata().map(|metadata| metadata.dev()).ok();
        let beside = data_dir.parent().filter(|parent| device(parent) == device(&data_dir));
        beside.and_then(|parent| Self::make_in(parent, bytes).ok()).map_or_else(|| Self::make_in(&data_dir, bytes), Ok)
    }

    fn make_in(directory: &Path, bytes: u64) -> Result<ZeroedFile, String> {
        let bytes = bytes.next_multiple_of(ZEROS_BYTES as u64);
        let name = format!("diatreme-floor-{}.tmp", std::process::id());
        let file = ZeroedFile { directory: directory.to_owned(), name, bytes };
        let (mut backend, mut buffers) = file.backend(&How::Plain.config(&file.directory, 1), ZEROS_BYTES)?;
        file.fill(&mut backend, buffers.remove(0)).map_err(|error| file.failed(&error))?;
        Ok(file)
    }

    fn fill(&self, backend: &mut Backend, mut zeros: Buffer) -> Result<(), IoError> {
        backend.run(self.open(OpenMode::CreateNew)).0?;
        backend.run(OpKind::Allocate { file: FILE, len: self.bytes }).0?;
        let len = zeros.len();
        for at in (0..self.bytes).step_by(len) {
            let (written, back) = backend.run(OpKind::Write { file: FILE, at, buffer: zeros, len, durable: false });
            written?;
            let Some(back) = back else { unreachable!("a write gives its buffer back") };
            zeros = back;
        }
        backend.run(OpKind::Flush { file: FILE }).0
    }

    /// A backend on the file's directory, and as many buffers as it has depth.
    fn backend(&self, config: &BackendConfig, buffer_bytes: usize) -> Result<(Backend, Vec<Buffer>), String> {
        let no_memory = || format!("no memory for {} buffers of {buffer_bytes} bytes", config.depth);
        let mut arena = Arena::new(config.depth * buffer_bytes).map_err(|error| format!("{}: {error}", no_memory()))?;
        let buffers: Option<Vec<Buffer>> = (0..config.depth).map(|_| arena.take(buffer_bytes)).collect();
        let backend = iobackend::open(config, &arena).map_err(|error| error.to_string())?;
        Ok((backend, buffers.ok_or_else(no_memory)?))
    }

    fn open(&self, mode: OpenMode) -> OpKind {
        OpKind::Open { file: FILE, name: FileName::new(&self.name).expect("a short name"), mode }
    }

    /// Takes its name away: who has it open keeps it. What is not there any more needs no removal.
    fn remove(&self) {
        let _gone_before = std::fs::remove_file(self.directory.join(&self.name));
    }

    fn failed(&self, error: &dyn fmt::Display) -> String {
        format!("{}: {error}", self.directory.join(&self.name).display())
    }
}

impl Drop for ZeroedFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The frames that one writer writes, one behind the other, again and again.
struct Frames {
    bytes: usize,
    from: u64,
    to: u64,
}

struct Writer {
    backend: Backend,
    free: Vec<Buffer>,
}

struct Written {
    backend: String,
    elapsed: Duration,
    latency_ns: Histogram<u64>,
}

impl Writer {
    fn open(file: &ZeroedFile, how: How, frames: &Frames, depth: usize) -> Result<Writer, String> {
        let (mut backend, free) = file.backend(&how.config(&file.directory, depth), frames.bytes)?;
        backend.run(file.open(OpenMode::ReadWrite)).0.map_err(|error| file.failed(&error))?;
        Ok(Writer { backend, free })
    }

    fn write(self, frames: &Frames, duration: Duration) -> Result<Written, IoError> {
        let Writer { mut backend, mut free } = self;
        let mut latency_ns = latencies();
        let mut done: Vec<Completion> = Vec::with_capacity(free.len());
        let (mut at, len) = (frames.from, frames.bytes);
        let start = Instant::now();
        let mut elapsed = Duration::ZERO;
        while elapsed < duration || backend.in_flight() > 0 {
            while elapsed < duration
                && let Some(buffer) = free.pop()
            {
                let token = start.elapsed().as_nanos() as u64;
                let kind = OpKind::Write { file: FILE, at, buffer, len, durable: true };
                assert!(backend.submit(Op { token, kind }).is_ok(), "the depth has room for every buffer");
                at = if at + 2 * len as u64 <= frames.to { at + len as u64 } else { frames.from };
            }
            backend.poll(&mut done);
            elapsed = start.elapsed();
            if done.is_empty() {
                // As the engine waits: see its idle strategy.
                thread::yield_now();
            }
            for Completion { token, result, buffer } in done.drain(..) {
                result?;
                latency_ns.saturating_record((elapsed.as_nanos() as u64).saturating_sub(token));
                free.extend(buffer);
            }
        }
        Ok(Written { backend: backend.info().kind.to_string(), elapsed, latency_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn every_way_is_measured_or_says_why_not_and_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = root.path().join("data");
        fs::create_dir(&data_dir).unwrap();
        for (how, backend) in [(How::Dsync, "io_uring"), (How::Linked, "io_uring"), (How::Plain, "synchronous")] {
            for (frame_bytes, depth) in [(4096, 1), (1 << 20, 3)] {
                match device(&data_dir, how, frame_bytes, depth, SHORT) {
                    Ok(floor) => {
                        assert_eq!((floor.how, &floor.backend[..], floor.depth), (how, backend, depth));
                        assert!(floor.commits >= depth as u64 && floor.commits_per_sec > 0.0, "{floor:?}");
                        let ascending = [1, floor.p50_ns, floor.p99_ns, floor.p999_ns, floor.max_ns];
                        assert!(ascending.is_sorted(), "{floor:?}");
                    }
                    Err(why) => {
                        assert_ne!(how, How::Plain, "{why}");
                        println!("skipped: {}: {why}", how.name());
                        assert!(why.contains("io_uring"), "{why}");
                    }
                }
            }
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_measured_is_an_error_with_its_name() {
        let root = tempfile::tempdir().unwrap();
        let refused =
            |data_dir: &Path, frame_bytes, depth| device(data_dir, How::Plain, frame_bytes, depth, SHORT).unwrap_err();
        assert!(refused(&root.path().join("absent"), 4096, 1).contains("absent"));
        for (frame_bytes, depth) in [(0, 1), (100, 1), (4096, 0), (4096, DEPTH_MAX + 1), (2 << 20, 513)] {
            assert!(refused(root.path(), frame_bytes, depth).contains("choose"));
        }
    }
}
