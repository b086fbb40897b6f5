//! The hand-over's floor: the rings between a client's thread and a shard's, with nothing behind them.

use super::{fastest_ns, latencies, until};
use diatreme::cores;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use shard::limits::{REQUEST_BYTES_MAX, REQUEST_WINDOW_BYTES};
use shard::wire::{Done, Reply};
use spsc::{ByteConsumer, ByteProducer, Producer, ReserveError};
use std::hint::black_box;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

/// As large as a client's ring of requests: the longest must pass from any position in it.
const RING_BYTES: usize = 2 * (REQUEST_BYTES_MAX + 16);

/// Items between two looks at the clock, at least.
const ITEMS_A_LOOK: u64 = 256;

const LINE_BYTES: usize = 64;

/// What it costs to bring an item from one core to another, and to hear of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RingFloor {
    pub(crate) item_bytes: usize,
    /// Each item published, and its room given back, on its own.
    pub(crate) single_ns_per_item: f64,
    /// How many items are published together.
    pub(crate) batch: usize,
    pub(crate) batched_ns_per_item: f64,
    /// An item there, an answer back, nothing else on the way.
    pub(crate) round_trip_p50_ns: u64,
    pub(crate) round_trip_p99_ns: u64,
    pub(crate) producer_cpu: usize,
    pub(crate) consumer_cpu: usize,
}

/// Measures the project's own rings, of the sizes that a client and a shard have between them, each thread on its CPU, a third
/// of `duration` for each way. The producer writes each item in place; the consumer reads a byte of each of its cache lines.
///
/// No engine with a client thread and a shard thread moves more items than the faster of the two ways, and none answers before a
/// round trip: the lines that hold an item must pass from core to core.
///
/// To be called from a thread that is not pinned: the two that it starts may run where it may.
///
/// # Errors
/// When the CPUs are not two that this thread may use, or an item is longer than a request.
pub(crate) fn ring(
    item_bytes: usize,
    batch: usize,
    producer_cpu: usize,
    consumer_cpu: usize,
    duration: Duration,
) -> Result<RingFloor, String> {
    if item_bytes > REQUEST_BYTES_MAX {
        return Err(format!("items of {item_bytes} bytes: a ring takes {REQUEST_BYTES_MAX} at most"));
    }
    if producer_cpu == consumer_cpu {
        return Err(format!("two CPUs are needed, and both are CPU {producer_cpu}"));
    }
    let cpus = [producer_cpu, consumer_cpu];
    let (batch, part) = (batch.max(1), duration / 3);
    let single_ns_per_item = stream(item_bytes, 1, cpus, part)?;
    let batched_ns_per_item = stream(item_bytes, batch, cpus, part)?;
    let round_trips = round_trips(item_bytes, cpus, part)?;
    Ok(RingFloor {
        item_bytes,
        single_ns_per_item,
        batch,
        batched_ns_per_item,
        round_trip_p50_ns: round_trips.value_at_quantile(0.5),
        round_trip_p99_ns: round_trips.value_at_quantile(0.99),
        producer_cpu,
        consumer_cpu,
    })
}

/// Nanoseconds an item while one side only sends and the other only receives, at the receiver.
fn stream(item_bytes: usize, batch: usize, cpus: [usize; 2], duration: Duration) -> Result<f64, String> {
    let (mut tx, mut rx) = spsc::byte_ring(RING_BYTES, REQUEST_WINDOW_BYTES);
    let item = vec![0x5a; item_bytes];
    let produce = move || while send(&mut tx, &item, batch) {};
    let items_max = if batch == 1 { 1 } else { u64::MAX };
    // Its end of the ring goes with it: that is what ends the other side.
    let consume = move || {
        fastest_ns(duration, || {
            let mut received = 0;
            while received < ITEMS_A_LOOK {
                match receive(&mut rx, items_max) {
                    0 => break,
                    items => received += items,
                }
            }
            received
        })
    };
    side_by_side(cpus, produce, consume)
}

/// Sends `batch` items and publishes them together, or earlier where there is no room for all. False if nobody receives.
fn send(tx: &mut ByteProducer, item: &[u8], batch: usize) -> bool {
    for _ in 0..batch {
        let sent = until(|| match tx.reserve(item.len()) {
            Ok(room) => {
                room.copy_from_slice(item);
                tx.commit();
                Some(true)
            }
            Err(ReserveError::Full { .. }) => {
                tx.publish();
                None
            }
            Err(ReserveError::Disconnected | ReserveError::TooLong { .. }) => Some(false),
        });
        if !sent {
            return false;
        }
    }
    tx.publish();
    true
}

/// Waits for items and takes those that are there, at most `max`. 0: there are none, and nobody sends any more.
fn receive(rx: &mut ByteConsumer, max: u64) -> u64 {
    until(|| {
        // In this order: the last item may come between the two questions.
        let gone = rx.is_disconnected();
        let batch = rx.batch();
        let mut received = 0;
        while received < max {
            let Some(item) = batch.next() else { break };
            touch(item);
            received += 1;
        }
        (received > 0 || gone).then_some(received)
    })
}

/// Reads as little as brings all of an item over.
#[inline]
fn touch(item: &[u8]) {
    let sum = item.iter().step_by(LINE_BYTES).fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    black_box(sum);
}

/// How long items take there and their answers back, one at a time.
fn round_trips(item_bytes: usize, cpus: [usize; 2], duration: Duration) -> Result<Histogram<u64>, String> {
    let (mut requests, requests_rx) = spsc::byte_ring(RING_BYTES, REQUEST_WINDOW_BYTES);
    let (replies_tx, mut replies) = spsc::ring::<Reply>(1);
    let item = vec![0x5a; item_bytes];
    let answer = move || answer_each(requests_rx, replies_tx);
    let ask = move || {
        let mut latency_ns = latencies();
        let start = Instant::now();
        let mut asked = start;
        while asked - start < duration && send(&mut requests, &item, 1) {
            black_box(until(|| replies.pop()));
            let answered = Instant::now();
            latency_ns.saturating_record((answered - asked).as_nanos() as u64);
            asked = answered;
        }
        latency_ns
    };
    side_by_side([cpus[1], cpus[0]], answer, ask)
}

/// Answers each item, until nobody asks any more.
fn answer_each(mut requests: ByteConsumer, mut replies: Producer<Reply>) {
    let reply = Reply { token: 0, outcome: Ok(Done::TenantCreated) };
    while receive(&mut requests, 1) > 0 && replies.try_push(reply).is_ok() {}
}

/// Runs both, each on a thread on its CPU, and returns what the second gives. If one cannot be pinned, it drops its ends of the
/// rings, which ends the other.
fn side_by_side<T: Send>(
    [first_cpu, second_cpu]: [usize; 2],
    first: impl FnOnce() + Send,
    second: impl FnOnce() -> T + Send,
) -> Result<T, String> {
    let pin = |cpu| cores::pin(cpu).map_err(|allowed| format!("CPU {cpu}: this thread may run on {allowed:?} only"));
    thread::scope(|scope| {
        let first = scope.spawn(move || pin(first_cpu).map(|()| first()));
        let second = scope.spawn(move || pin(second_cpu).map(|()| second()));
        let first = first.join().unwrap_or_else(|panic| resume_unwind(panic));
        let second = second.join().unwrap_or_else(|panic| resume_unwind(panic));
        first.and(second)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_the_shortest_item_pass_on_two_cpus() {
        let (cpus, duration) = (cores::available(), Duration::from_millis(30));
        let &[first, second, ..] = &cpus[..] else {
            return println!("skipped: two CPUs are needed, and there are {cpus:?}");
        };
        for (item_bytes, batch) in [(0, 128), (100, 0), (1 << 20, 4)] {
            let floor = ring(item_bytes, batch, first, second, duration).unwrap();
            assert_eq!((floor.item_bytes, floor.batch), (item_bytes, batch.max(1)));
            let ns = [floor.single_ns_per_item, floor.batched_ns_per_item, floor.round_trip_p50_ns as f64];
            assert!(ns.iter().all(|ns| (0.1..1e10).contains(ns)), "{floor:?}");
            assert!(floor.round_trip_p50_ns <= floor.round_trip_p99_ns);
        }
        let refused = |item_bytes, producer, consumer| ring(item_bytes, 1, producer, consumer, duration).unwrap_err();
        assert!(refused(0, first, first).starts_with("two CPUs are needed"));
        assert!(refused(REQUEST_BYTES_MAX + 1, first, second).contains("at most"));
        for cpus in [(first, 4095), (4095, second)] {
            assert!(refused(0, cpus.0, cpus.1).starts_with("CPU 4095: this thread may run on"));
        }
    }
}
