//! What a record costs on its way into a frame: copied there, sealed in place, chained. A bare loop, without the engine around it.
//!
//! - `alone`: sealing, and nothing else.
//! - `plain`: copy, seal and chain a record, then the next.
//! - `lagging`: copy and seal a record, chain the one before it: nothing of the chain waits for the cipher.
//! - `four streams`: copy and seal a record of each, chain the four before them side by side.
//!
//! Sizes are payloads behind the log's header. The throughput column counts records. The library is the one that was compiled
//! in, so two runs compare them: with the default features, and with `--no-default-features`.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crypto::seal::{self, HASHED_HEADER_BYTES, SegmentKey, TAG_BYTES};
use crypto::secret::DataKey;
use crypto::{LANES, Link};

const PAYLOAD_BYTES: [usize; 3] = [100, 256, 1024];

/// What the chain leaves out of a record: its slot.
const SLOT_BYTES: usize = 2;
const HEADER_BYTES: usize = SLOT_BYTES + HASHED_HEADER_BYTES;

/// Records in the working set: enough that no branch predictor learns one, few enough for L2.
const RECORDS: usize = 64;

/// What is copied, where it is copied to, and the key.
struct Loop {
    key: SegmentKey,
    source: Vec<u8>,
    frame: Vec<u8>,
    /// Bytes of a record before it is sealed, and from one to the next in the frame.
    record_bytes: usize,
    stride: usize,
    sequence: u64,
}

impl Loop {
    fn new(payload_bytes: usize) -> Self {
        let record_bytes = HEADER_BYTES + payload_bytes;
        let stride = (record_bytes + TAG_BYTES).next_multiple_of(8);
        let key = DataKey::generate().expect("the system has randomness");
        Self {
            key: SegmentKey::derive(&key, &[7; 32], 1, 1),
            source: (0..RECORDS * record_bytes).map(|i| (i % 251) as u8).collect(),
            frame: vec![0; RECORDS * stride],
            record_bytes,
            stride,
            sequence: 0,
        }
    }

    /// Copies a record and seals it. Each time around is another frame, so no nonce comes again.
    #[inline]
    fn seal(&mut self, record: usize) {
        self.sequence += u64::from(record == 0);
        let source = &self.source[record * self.record_bytes..][..self.record_bytes];
        let (copy, tag) =
            self.frame[record * self.stride..][..self.record_bytes + TAG_BYTES].split_at_mut(self.record_bytes);
        copy.copy_from_slice(black_box(source));
        let (header, payload) = copy.split_at_mut(HEADER_BYTES);
        let Some((_, hashed)) = header.split_last_chunk::<HASHED_HEADER_BYTES>() else {
            unreachable!("the header is longer than what is hashed of it");
        };
        let associated = seal::associated_data(1, 1, hashed);
        tag.copy_from_slice(&self.key.seal(self.sequence, record as u32, &associated, payload));
    }

    /// What the chain hashes of a record.
    #[inline]
    fn hashed(&self, record: usize) -> &[u8] {
        &self.frame[record * self.stride..][SLOT_BYTES..self.record_bytes + TAG_BYTES]
    }
}

/// A group whose iterations each take `records` records through `step`, which is told the first of them.
fn group<const N: usize>(c: &mut Criterion, name: &str, step: impl Fn(&mut Loop, &mut [Link; N], usize)) {
    let mut group: BenchmarkGroup<'_, WallTime> = c.benchmark_group(format!("{}/{name}", seal::implementation()));
    for bytes in PAYLOAD_BYTES {
        let mut state = Loop::new(bytes);
        let mut links: [Link; N] = std::array::from_fn(|stream| crypto::genesis(1, stream as u32));
        let mut first = 0;
        group.throughput(Throughput::Elements(N as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| {
                step(&mut state, &mut links, first);
                first = (first + N) % RECORDS;
            });
        });
        black_box(links);
    }
    group.finish();
}

/// The `n` records before `first`, around the frame's end.
fn before(first: usize, n: usize) -> usize {
    (first + RECORDS - n) % RECORDS
}

fn alone(c: &mut Criterion) {
    let associated = seal::associated_data(1, 1, &[7; HASHED_HEADER_BYTES]);
    group::<1>(c, "alone", |state, _, record| {
        state.sequence += 1;
        let payload = &mut state.frame[record * state.stride..][HEADER_BYTES..state.record_bytes];
        black_box(state.key.seal(state.sequence, 0, &associated, payload));
    });
}

fn plain(c: &mut Criterion) {
    group::<1>(c, "plain", |state, [link], record| {
        state.seal(record);
        *link = crypto::next(link, state.hashed(record));
    });
}

fn lagging(c: &mut Criterion) {
    group::<1>(c, "lagging", |state, [link], record| {
        state.seal(record);
        *link = crypto::next(link, state.hashed(before(record, 1)));
    });
}

fn four_streams(c: &mut Criterion) {
    group::<LANES>(c, "four streams", |state, links, first| {
        for record in first..first + LANES {
            state.seal(record);
        }
        let first = before(first, LANES);
        let records: [&[u8]; LANES] = std::array::from_fn(|stream| state.hashed(first + stream));
        crypto::next_lanes(links, &records);
    });
}

criterion_group!(suite, alone, plain, lagging, four_streams);
criterion_main!(suite);
