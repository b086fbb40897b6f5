//! The backends against the device: what a durable write and a read cost with nothing of the engine around them.
//!
//! One file of 64 MiB, zeroed before, is written or read in a row and begun again at its end, so no metadata changes, as in
//! the log. An iteration is one operation; with a depth of four, so many are in flight, and the time is that between
//! completions. The synchronous backend carries operations out one after the other whatever the depth.
//!
//! The figures are the device's first and the backend's second, so compare within one run only. Files go where
//! `DIATREME_BENCH_DIR` says, else into the target directory.

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diatreme_benches::{directory, open_backend};
use iobackend::{Arena, Backend, Buffer, Completion, FileName, FileSlot, IoBackend, Mode, Op, OpKind, OpenMode};

const FILE: FileSlot = FileSlot(0);
const FILE_BYTES: u64 = 64 << 20;
const ZERO_BYTES: usize = 1 << 20;
const DEPTHS: [usize; 2] = [1, 4];
const WRITE_BYTES: [usize; 3] = [4 << 10, 64 << 10, 256 << 10];
const READ_BYTES: usize = 4 << 10;
/// Steps between two reads, in their own length: a prime that leads through the whole file and that no read-ahead follows.
const READ_STRIDE: u64 = 7_919;

/// A backend with its file open, and buffers for as many operations as are to be in flight.
struct Device {
    backend: Backend,
    free: Vec<Buffer>,
    done: Vec<Completion>,
    next: u64,
}

impl Device {
    /// `None`, with a line that says why, where there is no such backend.
    fn open(root: &Path, mode: Mode, depth: usize, bytes: usize) -> Option<Device> {
        let mut arena = Arena::new(ZERO_BYTES + depth * bytes).expect("memory for the buffers");
        let mut backend = open_backend(root, mode, &arena)?;
        let name = FileName::new("file").expect("a short name");
        let opened = backend.run(OpKind::Open { file: FILE, name, mode: OpenMode::CreateNew }).0;
        opened.expect("a new file");
        let mut zeros = arena.take(ZERO_BYTES);
        for at in (0..FILE_BYTES).step_by(ZERO_BYTES) {
            let buffer = zeros.take().expect("a write gives its buffer back");
            let (written, back) =
                backend.run(OpKind::Write { file: FILE, at, buffer, len: ZERO_BYTES, durable: false });
            written.expect("zeros are written");
            zeros = back;
        }
        backend.run(OpKind::Flush { file: FILE }).0.expect("the file is flushed");
        let free = (0..depth).map(|_| arena.take(bytes).expect("the arena has room")).collect();
        Some(Device { backend, free, done: Vec::with_capacity(depth), next: 0 })
    }

    /// Keeps every buffer in flight until `count` operations are done.
    fn run(&mut self, count: u64, kind: impl Fn(u64, Buffer) -> OpKind) -> Duration {
        let Device { backend, free, done, next } = self;
        let (mut submitted, mut completed) = (0, 0);
        let start = Instant::now();
        while completed < count {
            while submitted < count
                && let Some(buffer) = free.pop()
            {
                let op = Op { token: *next, kind: kind(*next, buffer) };
                assert!(backend.submit(op).is_ok(), "the backend has room for every buffer");
                *next += 1;
                submitted += 1;
            }
            backend.poll(done);
            if done.is_empty() {
                backend.wait(None).expect("the backend waits");
            }
            for Completion { result, buffer, .. } in done.drain(..) {
                result.expect("the device does as it is told");
                free.extend(buffer);
                completed += 1;
            }
        }
        start.elapsed()
    }
}

fn write(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("iobackend/durable_write");
    for bytes in WRITE_BYTES {
        group.throughput(Throughput::Bytes(bytes as u64));
        for (mode, depth) in [Mode::Sync, Mode::Uring].into_iter().flat_map(|mode| DEPTHS.map(|depth| (mode, depth))) {
            let root = directory(env!("CARGO_TARGET_TMPDIR"));
            let Some(mut device) = Device::open(root.path(), mode, depth, bytes) else { continue };
            let places = FILE_BYTES / bytes as u64;
            let kind = |number, buffer| {
                let at = number % places * bytes as u64;
                OpKind::Write { file: FILE, at, buffer, len: bytes, durable: true }
            };
            let id = BenchmarkId::new(format!("{mode}, depth {depth}"), bytes);
            group.bench_function(id, |bencher| bencher.iter_custom(|count| device.run(count, kind)));
        }
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("iobackend/read");
    group.throughput(Throughput::Bytes(READ_BYTES as u64));
    for (mode, depth) in [Mode::Sync, Mode::Uring].into_iter().flat_map(|mode| DEPTHS.map(|depth| (mode, depth))) {
        let root = directory(env!("CARGO_TARGET_TMPDIR"));
        let Some(mut device) = Device::open(root.path(), mode, depth, READ_BYTES) else { continue };
        let places = FILE_BYTES / READ_BYTES as u64;
        let kind = |number, buffer| {
            let at = number * READ_STRIDE % places * READ_BYTES as u64;
            OpKind::Read { file: FILE, at, buffer, len: READ_BYTES }
        };
        let id = BenchmarkId::new(format!("{mode}, depth {depth}"), READ_BYTES);
        group.bench_function(id, |bencher| bencher.iter_custom(|count| device.run(count, kind)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = write, read
}
criterion_main!(benches);
