//! What the kernel costs a command, in batches of 128 as a shard drains them.
//!
//! The throughput column counts records for appends and replay, commands for the rest. Payloads
//! have 100 bytes; the kernel says where they lie and does not read them.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernel::{Command, Effects, Kernel, Limits, RecordKind, Records, ReplayedRecord, StreamId, TenantId};

const BATCH: usize = 128;
const PAYLOAD_BYTES: u32 = 100;

/// One stream, which the look-up's one-entry cache always hits, and so many that it never does.
const STREAMS: [u32; 2] = [1, 10_000];

/// Streams of one tenant in these suites; with 10,000 streams there are 100 tenants.
const STREAMS_PER_TENANT: u32 = 100;

fn stream(number: u32) -> (TenantId, StreamId) {
    let tenant = TenantId::of_name(&format!("tenant {}", number / STREAMS_PER_TENANT));
    (tenant, StreamId(1 + number % STREAMS_PER_TENANT))
}

fn kernel(streams: u32) -> Kernel {
    let mut kernel = Kernel::new(Limits::default());
    let mut effects = Effects::default();
    for number in 0..streams {
        let (tenant, _) = stream(number);
        let name = format!("tenant {}", number / STREAMS_PER_TENANT);
        if number % STREAMS_PER_TENANT == 0 {
            kernel.apply(0, &Command::CreateTenant { tenant, name: &name, key: None }, 0, &mut effects);
        }
        let name = format!("stream {number}");
        kernel.apply(0, &Command::CreateStream { tenant, name: &name, key: None }, 0, &mut effects);
    }
    assert!(effects.replies.iter().all(|reply| reply.outcome.is_ok()));
    kernel
}

/// Streams in an order that no prefetcher follows: steps of a prime through all of them.
fn scattered(streams: u32) -> Vec<(TenantId, StreamId)> {
    (0..64 * BATCH as u64).map(|i| stream((i * 7_919 % u64::from(streams)) as u32)).collect()
}

/// A request's body: records of zeros.
fn body(records: u32) -> Vec<u8> {
    let mut record = PAYLOAD_BYTES.to_le_bytes().to_vec();
    record.resize(4 + PAYLOAD_BYTES as usize, 0);
    record.repeat(records as usize)
}

/// Applies batches of commands; each answers for `records` elements of the throughput.
fn bench_batches<'a>(c: &mut Criterion, name: &str, records: u64, command: impl Fn(TenantId, StreamId) -> Command<'a>) {
    let mut group = c.benchmark_group(name);
    for streams in STREAMS {
        let mut kernel = kernel(streams);
        let targets = scattered(streams);
        let mut batches = targets.chunks_exact(BATCH).cycle();
        let mut effects = Effects::new(BATCH * records as usize);
        let mut now = 0;
        group.throughput(Throughput::Elements(BATCH as u64 * records));
        group.bench_function(BenchmarkId::new("streams", streams), |b| {
            b.iter(|| {
                effects.clear();
                now += 1;
                for (request, &(tenant, stream)) in batches.next().into_iter().flatten().enumerate() {
                    let command = command(tenant, stream);
                    kernel.apply(request as u32, black_box(&command), now, &mut effects);
                }
                black_box(&mut effects);
            });
        });
        assert!(effects.replies.iter().all(|reply| reply.outcome.is_ok()));
    }
}

/// Decoded beforehand: what `apply` alone costs.
fn append(c: &mut Criterion) {
    let body = body(1);
    let records = Records::parse(&body, 0, 1).expect("one record");
    bench_batches(c, "kernel/append", 1, |tenant, stream| Command::Append { tenant, stream, expected: None, records });
}

/// With the walk over the request's bytes, as in the shard.
fn parse_and_append(c: &mut Criterion) {
    for count in [1, 32] {
        let body = body(count);
        let name = format!("kernel/parse and append {count}");
        bench_batches(c, &name, count.into(), |tenant, stream| Command::Append {
            tenant,
            stream,
            expected: None,
            records: Records::parse(black_box(&body), 0, count).expect("whole records"),
        });
    }
}

fn ask(c: &mut Criterion) {
    bench_batches(c, "kernel/head", 1, |tenant, stream| Command::Head { tenant, stream });
    bench_batches(c, "kernel/read", 1, |tenant, stream| Command::Read {
        tenant,
        stream,
        from: 0,
        records_max: 100,
        bytes_max: 10_000,
    });
}

fn replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("kernel/replay");
    for streams in STREAMS {
        let mut kernel = kernel(streams);
        let targets = scattered(streams);
        let mut batches = targets.chunks_exact(BATCH).cycle();
        let mut number = 1 << 32;
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("streams", streams), |b| {
            b.iter(|| {
                for &(tenant, stream) in batches.next().into_iter().flatten() {
                    number += 1;
                    let record = ReplayedRecord {
                        tenant,
                        stream,
                        kind: RecordKind::Data,
                        offset: number,
                        position: number,
                        timestamp: number,
                        payload: &[],
                    };
                    kernel.replay(black_box(&record)).expect("an ascending record");
                }
            });
        });
    }
}

criterion_group!(benches, append, parse_and_append, ask, replay);
criterion_main!(benches);
