//! A client and an engine of one shard: what an embedder sees.
//!
//! - `head`: a question for a stream's end, nothing else in flight: two rings, two threads, no disk.
//! - `append`: one record of 100 bytes, nothing else in flight; the answer comes when it is on stable storage, so the device's
//!   own write is most of it (`iobackend/durable_write`, 4096 bytes).
//! - `append, window 64`: as many in flight, sent as answers come; the throughput counts records, and an iteration is one.
//!
//! Durability is strict, the backend the best that there is, the shard pinned where the engine chooses, the client not. Files go
//! where `DIATREME_BENCH_DIR` says, else into the target directory. Compare within one run only.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use diatreme::{CallError, Client, Engine, StreamRef};
use diatreme_benches::{PAYLOAD_BYTES, directory};

const WINDOW: usize = 64;
const PAYLOAD: [u8; PAYLOAD_BYTES] = [0x5a; PAYLOAD_BYTES];

/// Sends `count` appends with a full window, and takes all answers.
fn pipeline(client: &mut Client, stream: &StreamRef, count: u64) -> Duration {
    let (mut sent, mut answered) = (0, 0);
    let start = Instant::now();
    while answered < count {
        while sent < count && client.in_flight() < WINDOW {
            match client.submit_append(stream, None, &[&PAYLOAD]) {
                Ok(_) => sent += 1,
                Err(CallError::QueueFull { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let taken = client.wait(|completion| assert!(completion.result.is_ok(), "{:?}", completion.result));
        answered += taken.unwrap_or_else(|error| panic!("{error}")) as u64;
    }
    start.elapsed()
}

fn round_trip(criterion: &mut Criterion) {
    let root = directory(env!("CARGO_TARGET_TMPDIR"));
    let engine = Engine::builder(root.path()).unencrypted().shards(1).open().unwrap_or_else(|error| panic!("{error}"));
    let mut client = engine.client();
    let stream = client.ensure_stream("tenant", "stream").unwrap_or_else(|error| panic!("{error}"));
    let mut group = criterion.benchmark_group("client");
    group.bench_function("head", |bencher| {
        bencher.iter(|| client.head(&stream).unwrap_or_else(|error| panic!("{error}")));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("append", |bencher| {
        bencher.iter(|| {
            let appended = client.append(&stream, &PAYLOAD).unwrap_or_else(|error| panic!("{error}"));
            assert!(appended.is_durable());
        });
    });
    group.bench_function(format!("append, window {WINDOW}"), |bencher| {
        bencher.iter_custom(|count| pipeline(&mut client, &stream, count));
    });
    group.finish();
    drop(client);
    engine.close().unwrap_or_else(|error| panic!("{error}"));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = round_trip
}
criterion_main!(benches);
