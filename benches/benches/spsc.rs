//! The rings against their peers: 64-byte items from one core to another.
//!
//! Each side is pinned to a CPU of its own (`sched_setaffinity`, the first two that the process
//! may use) and spins when there is nothing to do. All queues hold 1024 items. What comes out
//! depends on how far apart a host places its CPUs, so compare within one run only.
//!
//! - `single`: each item is published, and its room given back, by itself.
//! - `batch_32`: up to 32 at a time, by the queues that can.
//! - `round_trip`: one item through a pair of queues and back, nothing else in flight.
//!
//! An iteration is one item, or one round trip.

use std::hint::{black_box, spin_loop};
use std::ops::Range;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use rtrb::chunks::ChunkError;

type Item = [u64; 8];

const CAPACITY: usize = 1024;
const BATCH: usize = 32;
/// Memory for as many items as the other queues hold: 64 bytes and a header each.
const CAPACITY_BYTES: usize = CAPACITY * 72;

fn item(number: u64) -> Item {
    [number; 8]
}

/// A way in and a way out that may be called from two threads. `None`: full, or empty.
type Ends<S, R> = (S, R);

fn ours() -> Ends<impl FnMut(Item) -> Option<()> + Send, impl FnMut() -> Option<Item> + Send> {
    let (mut tx, mut rx) = spsc::ring(CAPACITY);
    (move |item| tx.try_push(item).ok(), move || rx.pop())
}

fn ours_bytes() -> Ends<impl FnMut(Item) -> Option<()> + Send, impl FnMut() -> Option<Item> + Send> {
    let (mut tx, mut rx) = spsc::byte_ring(CAPACITY_BYTES, CAPACITY_BYTES);
    let send = move |item: Item| {
        write_item(tx.reserve(size_of::<Item>()).ok()?, item);
        tx.commit();
        tx.publish();
        Some(())
    };
    (send, move || rx.batch().next().map(read_item))
}

fn rtrb() -> Ends<impl FnMut(Item) -> Option<()> + Send, impl FnMut() -> Option<Item> + Send> {
    let (mut tx, mut rx) = rtrb::RingBuffer::new(CAPACITY);
    (move |item| tx.push(item).ok(), move || rx.pop().ok())
}

fn array_queue() -> Ends<impl FnMut(Item) -> Option<()> + Send, impl FnMut() -> Option<Item> + Send> {
    let tx = Arc::new(ArrayQueue::new(CAPACITY));
    let rx = Arc::clone(&tx);
    (move |item| tx.push(item).ok(), move || rx.pop())
}

fn sync_channel() -> Ends<impl FnMut(Item) -> Option<()> + Send, impl FnMut() -> Option<Item> + Send> {
    let (tx, rx) = mpsc::sync_channel(CAPACITY);
    (move |item| tx.try_send(item).ok(), move || rx.try_recv().ok())
}

fn write_item(bytes: &mut [u8], item: Item) {
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(item) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
}

fn read_item(bytes: &[u8]) -> Item {
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|word| u64::from_ne_bytes(words[word]))
}

/// As [`Ends`], several items a call: the way in is given a range of items and takes a part of it,
/// the way out is given a number. Both tell how many went.
fn ours_batch() -> Ends<impl FnMut(Range<u64>) -> usize + Send, impl FnMut(usize) -> usize + Send> {
    let (mut tx, mut rx) = spsc::ring(CAPACITY);
    (move |numbers: Range<u64>| tx.push_batch(numbers.map(item)), move |max| rx.drain(max).map(black_box).count())
}

fn ours_bytes_batch() -> Ends<impl FnMut(Range<u64>) -> usize + Send, impl FnMut(usize) -> usize + Send> {
    let (mut tx, mut rx) = spsc::byte_ring(CAPACITY_BYTES, CAPACITY_BYTES);
    let send = move |numbers: Range<u64>| {
        let mut sent = 0;
        for number in numbers {
            let Ok(bytes) = tx.reserve(size_of::<Item>()) else {
                break;
            };
            write_item(bytes, item(number));
            tx.commit();
            sent += 1;
        }
        tx.publish();
        sent
    };
    let receive = move |max| {
        let batch = rx.batch();
        let mut received = 0;
        while received < max {
            let Some(message) = batch.next() else { break };
            black_box(read_item(message));
            received += 1;
        }
        received
    };
    (send, receive)
}

fn rtrb_batch() -> Ends<impl FnMut(Range<u64>) -> usize + Send, impl FnMut(usize) -> usize + Send> {
    let (mut tx, mut rx) = rtrb::RingBuffer::new(CAPACITY);
    let send = move |numbers: Range<u64>| {
        let slots = match tx.write_chunk_uninit((numbers.end - numbers.start) as usize) {
            Ok(chunk) => return chunk.fill_from_iter(numbers.map(item)),
            Err(ChunkError::TooFewSlots(slots)) => slots,
        };
        let chunk = tx.write_chunk_uninit(slots).expect("as many slots as it said");
        chunk.fill_from_iter(numbers.map(item))
    };
    let receive = move |max| {
        let slots = match rx.read_chunk(max) {
            Ok(chunk) => return chunk.into_iter().map(black_box).count(),
            Err(ChunkError::TooFewSlots(slots)) => slots,
        };
        let chunk = rx.read_chunk(slots).expect("as many slots as it said");
        chunk.into_iter().map(black_box).count()
    };
    (send, receive)
}

/// Calls `attempt` until it succeeds.
#[inline(always)]
fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        match attempt() {
            Some(value) => return value,
            None => spin_loop(),
        }
    }
}

/// Calls `step` with what is done so far until `count` are done.
#[inline(always)]
fn until_done(count: u64, mut step: impl FnMut(u64) -> usize) {
    let mut done = 0;
    while done < count {
        match step(done) {
            0 => spin_loop(),
            moved => done += moved as u64,
        }
    }
}

fn stream<S, R>(count: u64, (mut send, mut receive): Ends<S, R>) -> Duration
where
    S: FnMut(Item) -> Option<()> + Send,
    R: FnMut() -> Option<Item> + Send,
{
    let produce = move || (0..count).for_each(|number| until(|| send(item(number))));
    let consume = move || {
        for _ in 0..count {
            black_box(until(&mut receive));
        }
    };
    time(produce, consume)
}

fn stream_batches<S, R>(count: u64, (mut send, mut receive): Ends<S, R>) -> Duration
where
    S: FnMut(Range<u64>) -> usize + Send,
    R: FnMut(usize) -> usize + Send,
{
    let end = move |done: u64| count.min(done + BATCH as u64);
    let produce = move || until_done(count, |done| send(done..end(done)));
    let consume = move || until_done(count, |done| receive((end(done) - done) as usize));
    time(produce, consume)
}

fn round_trips<S, R, S2, R2>(count: u64, there: Ends<S, R>, back: Ends<S2, R2>) -> Duration
where
    S: FnMut(Item) -> Option<()> + Send,
    R: FnMut() -> Option<Item> + Send,
    S2: FnMut(Item) -> Option<()> + Send,
    R2: FnMut() -> Option<Item> + Send,
{
    let (mut ask, mut hear) = there;
    let (mut answer, mut receive) = back;
    let echo = move || {
        for _ in 0..count {
            let item = until(&mut hear);
            until(|| answer(item));
        }
    };
    let client = move || {
        for number in 0..count {
            until(|| ask(item(number)));
            black_box(until(&mut receive));
        }
    };
    time(echo, client)
}

/// Runs both sides at once, each on its own CPU, and times the second: the one that ends last.
fn time(first: impl FnOnce() + Send, second: impl FnOnce() + Send) -> Duration {
    let cpus = cpus();
    let start = &Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(move || {
            pin(cpus[0]);
            start.wait();
            first();
        });
        // Not on the main thread: what it spawns later would inherit the one CPU.
        let second = scope.spawn(move || {
            pin(cpus[1]);
            start.wait();
            let begin = Instant::now();
            second();
            begin.elapsed()
        });
        second.join().expect("the timed side panicked")
    })
}

/// The first two CPUs that this thread may run on.
fn cpus() -> [usize; 2] {
    // SAFETY: a CPU set is plain bits, of which zero is a value; the call writes only to it.
    let (result, set) = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        (libc::sched_getaffinity(0, size_of_val(&set), &raw mut set), set)
    };
    assert_eq!(result, 0, "sched_getaffinity: {}", std::io::Error::last_os_error());
    // SAFETY: the numbers are below the size of the set.
    let allowed = |&cpu: &usize| unsafe { libc::CPU_ISSET(cpu, &set) };
    let mut cpus = (0..libc::CPU_SETSIZE as usize).filter(allowed);
    std::array::from_fn(|_| cpus.next().expect("two CPUs are needed"))
}

/// Keeps the calling thread on `cpu`.
fn pin(cpu: usize) {
    // SAFETY: as in `cpus`; the call only reads the set.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    assert_eq!(result, 0, "sched_setaffinity: {}", std::io::Error::last_os_error());
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, run: impl Fn(u64) -> Duration) {
    group.bench_function(name, |bencher| bencher.iter_custom(&run));
}

fn single(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spsc/single");
    group.throughput(Throughput::Elements(1));
    measure(&mut group, "ours", |count| stream(count, ours()));
    measure(&mut group, "ours_bytes", |count| stream(count, ours_bytes()));
    measure(&mut group, "rtrb", |count| stream(count, rtrb()));
    measure(&mut group, "array_queue", |count| stream(count, array_queue()));
    measure(&mut group, "sync_channel", |count| stream(count, sync_channel()));
    group.finish();
}

fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spsc/batch_32");
    group.throughput(Throughput::Elements(1));
    measure(&mut group, "ours", |count| stream_batches(count, ours_batch()));
    measure(&mut group, "ours_bytes", |count| stream_batches(count, ours_bytes_batch()));
    measure(&mut group, "rtrb", |count| stream_batches(count, rtrb_batch()));
    group.finish();
}

fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spsc/round_trip");
    measure(&mut group, "ours", |count| round_trips(count, ours(), ours()));
    measure(&mut group, "ours_bytes", |count| round_trips(count, ours_bytes(), ours_bytes()));
    measure(&mut group, "rtrb", |count| round_trips(count, rtrb(), rtrb()));
    measure(&mut group, "array_queue", |count| round_trips(count, array_queue(), array_queue()));
    measure(&mut group, "sync_channel", |count| round_trips(count, sync_channel(), sync_channel()));
    group.finish();
}

criterion_group!(benches, single, batch, round_trip);
criterion_main!(benches);
