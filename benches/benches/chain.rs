//! What a link costs, alone and in lanes, beside a plain copy of the same bytes.
//!
//! Record sizes are payloads of 100, 256 and 1,024 bytes behind the log's header. The throughput
//! column counts records, so that lanes and single links compare directly.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crypto::{LANES, Link};

const RECORD_BYTES: [usize; 3] = [134, 290, 1058];

/// Records in the working set: enough that no branch predictor learns one, few enough for L2.
const RECORDS: usize = 64;

/// Distinct records, one after the other as in a frame.
fn records(bytes: usize) -> Vec<u8> {
    (0..RECORDS * bytes).map(|i| (i % 251) as u8).collect()
}

fn copy(c: &mut Criterion) {
    let mut group = c.benchmark_group("chain/copy");
    for bytes in RECORD_BYTES {
        let records = records(bytes);
        let mut cycle = records.chunks_exact(bytes).cycle();
        let mut frame = vec![0; bytes];
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| {
                if let Some(record) = cycle.next() {
                    black_box(&mut frame).copy_from_slice(record);
                }
            });
        });
    }
}

fn next(c: &mut Criterion) {
    let mut group = c.benchmark_group("chain/next");
    for bytes in RECORD_BYTES {
        let records = records(bytes);
        let mut cycle = records.chunks_exact(bytes).cycle();
        let mut link = crypto::genesis(1, 1);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| {
                if let Some(record) = cycle.next() {
                    link = crypto::next(&link, black_box(record));
                }
            });
        });
        black_box(link);
    }
}

fn lanes<const N: usize>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("chain/next_lanes {N}"));
    for bytes in RECORD_BYTES {
        let records = records(bytes);
        let records: Vec<&[u8]> = records.chunks_exact(bytes).collect();
        let mut cycle = records.chunks_exact(N).cycle();
        let mut links: [Link; N] = std::array::from_fn(|lane| crypto::genesis(1, lane as u32));
        group.throughput(Throughput::Elements(N as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| {
                if let Some(records) = cycle.next() {
                    crypto::next_lanes(&mut links, black_box(records));
                }
            });
        });
        black_box(links);
    }
}

criterion_group!(chain, copy, next, lanes::<2>, lanes::<LANES>);
criterion_main!(chain);
