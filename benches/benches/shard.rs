//! A shard's turn: requests of a batch taken from their ring, applied, chained into the frame, and answered.
//!
//! The backend does nothing, at once, so what is left is the shard's own work: with a device, its processor time. An iteration
//! is one batch. Timed are the turns alone, not the sending and the taking of answers, which another thread does: two
//! looks at the clock are part of each iteration, which with a single request is a few percent of it.
//!
//! The throughput counts requests, each an append of 100 bytes or a question for a stream's end, to eight streams in turn
//! (four chains are hashed side by side) or to one.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use diatreme_benches::ShardLoad;

const BATCHES: [usize; 3] = [1, 64, 256];

fn bench_turns(criterion: &mut Criterion, name: &str, streams: u32, send: fn(&mut ShardLoad, usize)) {
    let mut group = criterion.benchmark_group(name);
    for batch in BATCHES {
        let mut load = ShardLoad::new(streams, false);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter_custom(|count| {
                let mut elapsed = Duration::ZERO;
                for _ in 0..count {
                    send(&mut load, batch);
                    let start = Instant::now();
                    load.round();
                    elapsed += start.elapsed();
                    assert_eq!(load.take(), batch);
                }
                elapsed
            });
        });
    }
    group.finish();
}

fn append(criterion: &mut Criterion) {
    bench_turns(criterion, "shard/append to 1 stream", 1, ShardLoad::send_appends);
    bench_turns(criterion, "shard/append to 8 streams", 8, ShardLoad::send_appends);
}

fn head(criterion: &mut Criterion) {
    bench_turns(criterion, "shard/head", 8, ShardLoad::send_heads);
}

/// What a busy loop pays while it has nothing to do.
fn idle(criterion: &mut Criterion) {
    let mut load = ShardLoad::new(1, false);
    criterion.bench_function("shard/idle", |bencher| bencher.iter(|| load.turn()));
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = append, head, idle
}
criterion_main!(benches);
