//! The log on the device: records made durable, read back, verified, and found again at an opening.
//!
//! - `append`: an iteration is one batch of 100-byte records of one stream, from the first copy to the mark that says that all
//!   of it is on stable storage. Nothing else is in flight, so small batches cost a device write each, and large ones the
//!   processor; the engine writes several frames at once and is faster.
//! - `read`: an iteration is one read of the log. `sequential` takes what one read gives and goes on behind it; its throughput
//!   counts the records of a full read. `random` takes one record at a time.
//! - `verify`: every byte read, every checksum and link computed again, by one thread; the throughput counts payload.
//! - `recover`: what an opening does with a log. `closed` reads footers; `crashed` reads the last segment frame by frame and
//!   seals it, each time on a new copy of the same files, which is cached.
//!
//! Files go where `DIATREME_BENCH_DIR` says, else into the target directory, and take some gigabytes while a suite runs: a log
//! removes nothing. The figures are the device's as much as ours, so compare within one run only.

use std::fs;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diatreme_benches::{ENGINE, LOG, PAYLOAD_BYTES, Writer, directory, open_backend};
use iobackend::{Arena, Backend, Buffer, Mode};
use log::format::segment::{Base, log_directory};
use log::{LogError, ReadRequest, Recovered, SCAN_BUFFER_BYTES};
use tempfile::TempDir;

const APPEND_RECORDS: [u32; 5] = [1, 10, 100, 1_000, 8_000];
/// Records of the log that is read: with headers some 27 MB, one segment.
const READ_RECORDS: u64 = 200_000;
/// Records in each of its frames.
const FRAME_RECORDS: u64 = 1_000;
/// Steps between random reads: a prime, so that they go through all records.
const READ_STRIDE: u64 = 104_729;

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/append");
    for records in APPEND_RECORDS {
        let root = directory(env!("CARGO_TARGET_TMPDIR"));
        let mut writer = Writer::create(root.path(), 1);
        group.throughput(Throughput::Elements(records.into()));
        group.bench_function(BenchmarkId::from_parameter(records), |bencher| {
            bencher.iter(|| {
                for _ in 0..records {
                    writer.append(0);
                }
                writer.settle();
            });
        });
    }
    group.finish();
}

/// A log with [`READ_RECORDS`] records of one stream, all durable.
fn filled() -> (TempDir, Writer<Backend>) {
    let root = directory(env!("CARGO_TARGET_TMPDIR"));
    let mut writer = Writer::create(root.path(), 1);
    for _ in 0..READ_RECORDS / FRAME_RECORDS {
        for _ in 0..FRAME_RECORDS {
            writer.append(0);
        }
        writer.settle();
    }
    (root, writer)
}

/// Reads from an offset on; returns how many records there were.
fn read_once(writer: &mut Writer<Backend>, from: u64, records_max: u32) -> u64 {
    let request = ReadRequest {
        ticket: 0,
        index: 0,
        from,
        records_max,
        bytes_max: 1 << 20,
        record_overhead: 0,
        sealed_from: u64::MAX,
    };
    writer.log.read(request);
    loop {
        if let Some(ready) = writer.log.ready_read() {
            let place = ready.place;
            let (records, _) = ready.size().unwrap_or_else(|error| panic!("offset {from}: {error:?}"));
            let mut bytes = 0;
            ready.for_each(|record| bytes += record.payload.len());
            assert_eq!(bytes, records as usize * PAYLOAD_BYTES);
            writer.log.finish_read(place);
            return records.into();
        }
        writer.turn();
    }
}

fn read(criterion: &mut Criterion) {
    let (_root, mut writer) = filled();
    let mut group = criterion.benchmark_group("log/read");
    let mut next = 0;
    group.throughput(Throughput::Elements(read_once(&mut writer, 0, u32::MAX)));
    group.bench_function("sequential", |bencher| {
        bencher.iter(|| {
            next += read_once(&mut writer, next, u32::MAX);
            next = if next < READ_RECORDS { next } else { 0 };
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("random", |bencher| {
        bencher.iter(|| {
            next = (next + READ_STRIDE) % READ_RECORDS;
            assert_eq!(read_once(&mut writer, next, 1), 1);
        });
    });
    group.finish();
}

/// A backend to scan with. Openings and verification use the synchronous one.
fn scanner(root: &Path) -> (Backend, Buffer) {
    let mut arena = Arena::new(SCAN_BUFFER_BYTES).expect("memory for a scan");
    let backend = open_backend(root, Mode::Sync, &arena).expect("the synchronous backend is always there");
    (backend, arena.take(SCAN_BUFFER_BYTES).expect("the arena has room"))
}

fn verify(criterion: &mut Criterion) {
    let (root, writer) = filled();
    writer.close();
    let mut group = criterion.benchmark_group("log/verify");
    group.throughput(Throughput::Bytes(READ_RECORDS * PAYLOAD_BYTES as u64));
    group.bench_function("one thread", |bencher| {
        bencher.iter(|| {
            let open = || Ok::<_, LogError>(scanner(root.path()));
            let verified = log::verify(open, 1, |_, _| {}).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((verified.records, verified.damage.len()), (READ_RECORDS, 0));
        });
    });
    group.finish();
}

fn recover_from(root: &Path) -> Recovered {
    let (mut backend, buffer) = scanner(root);
    let recovered = log::recover(&mut backend, &mut Some(buffer), LOG, ENGINE, Base::default(), &mut |_| {});
    let recovered = recovered.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((recovered.streams.len(), recovered.damage.len()), (1, 0));
    recovered
}

/// A copy of a log that nobody closed.
fn copy_of(root: &Path) -> TempDir {
    let copy = directory(env!("CARGO_TARGET_TMPDIR"));
    let (from, to) = (root.join(log_directory(LOG)), copy.path().join(log_directory(LOG)));
    fs::create_dir(&to).expect("a directory for the copy");
    for entry in fs::read_dir(&from).expect("the log's directory") {
        let entry = entry.expect("an entry of it");
        let copied = to.join(entry.file_name());
        fs::copy(entry.path(), &copied).expect("a segment is copied");
        // Or the opening's own flush would write the copy out.
        fs::File::open(&copied).and_then(|file| file.sync_all()).expect("a segment is flushed");
    }
    copy
}

fn recover(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/recover");
    group.throughput(Throughput::Bytes(READ_RECORDS * PAYLOAD_BYTES as u64));
    let (crashed, writer) = filled();
    drop(writer);
    group.bench_function("crashed", |bencher| {
        bencher.iter_batched(
            || copy_of(crashed.path()),
            |copy| {
                assert!(recover_from(copy.path()).scanned > 0);
                copy
            },
            BatchSize::PerIteration,
        );
    });
    let (closed, writer) = filled();
    writer.close();
    group.bench_function("closed", |bencher| {
        bencher.iter(|| assert_eq!(recover_from(closed.path()).scanned, 0));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = append, read, verify, recover
}
criterion_main!(benches);
