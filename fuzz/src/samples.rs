//! Small logs of three kinds, written by the log itself, and what was written to them. The same at every run.

use crate::disk::{Attached, Disk, Shared};
use crate::sums;
use iobackend::Arena;
use log::format::BLOCK_BYTES;
use log::format::frame::{RecordHeader, record_bytes};
use log::format::manifest::Manifest;
use log::format::segment::{Base, log_directory};
use log::limits::{ARENA_BYTES, SEGMENT_BYTES_MIN};
use log::{
    Log, LogBuffers, LogConfig, Room, SCAN_BUFFER_BYTES, StreamStart, read_manifest, recover, scan_buffer,
    write_manifest,
};
use std::collections::{BTreeMap, HashMap};

/// The directory's id.
pub const ENGINE: [u8; 16] = [0xE5; 16];
/// A tenant and a stream of it; stream 0 is a catalog.
pub type Key = (u64, u32);
const KEYS: [Key; 4] = [(11, 0), (11, 1), (11, 2), (12, 0)];
/// Blocks that stay behind the last frame of a segment that was not sealed.
const TAIL_BLOCKS: u64 = 2;

/// A record as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its fixed part, but for the slot, which belongs to the frame.
    pub header: RecordHeader,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// What was written, stream by stream, in order of offset.
pub type Model = BTreeMap<Key, Vec<Written>>;

/// A log and what was written to it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What kind it is.
    pub name: &'static str,
    /// The directory.
    pub disk: Disk,
    /// Everything that was acknowledged.
    pub model: Model,
}

/// How a log was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    /// After a mark covered the last frame.
    CrashedQuiet,
    Crashed,
}

/// Two incarnations each: the first was closed, the second too, or it crashed.
#[must_use]
pub fn all() -> Vec<Sample> {
    let ends = [("closed", End::Closed), ("marked", End::CrashedQuiet), ("crashed", End::Crashed)];
    ends.into_iter().map(|(name, end)| sample(name, end)).collect()
}

fn sample(name: &'static str, end: End) -> Sample {
    let shared = Shared::default();
    let mut model = Model::new();
    for (incarnation, end) in [(1, End::Closed), (2, end)] {
        let mut session = Session::open(&shared, [incarnation; 16], model);
        for round in 0..3 {
            session.round(round);
        }
        model = session.end(&shared, end);
    }
    let mut disk = shared.disk().clone();
    if end != End::Closed {
        // It was made for later use. What was never written of the one before may go, or each try would read megabytes.
        disk.0.remove(&segment_name(3));
        let file = disk.0.get_mut(&segment_name(2)).expect("the second incarnation wrote it");
        file.length = (file.data.len() + TAIL_BLOCKS as usize * BLOCK_BYTES) as u64;
    }
    for (path, file) in &mut disk.0 {
        if path.ends_with(".seg") {
            file.data.resize(file.length as usize, 0);
            // The salt is random, and nothing reads it yet.
            file.data[48..80].fill(0x5A);
            sums::block(&mut file.data);
        }
    }
    Sample { name, disk, model }
}

/// The path of a segment of log 0.
#[must_use]
pub fn segment_name(number: u32) -> String {
    format!("{}/{number:08}.seg", log_directory(0))
}

/// Writes both copies of a manifest with log 0's frontier.
pub fn put_manifest(disk: &Shared, engine: [u8; 16], frontier: Base, clean: bool) {
    let mut arena = Arena::new(SCAN_BUFFER_BYTES).expect("memory for a buffer");
    let mut buffer = scan_buffer(&mut arena);
    let mut backend = disk.attach();
    let read = read_manifest(&mut backend, &mut buffer).expect("the manifest is ours");
    let manifest = Manifest {
        clean,
        generation: read.manifest.map_or(0, |manifest| manifest.generation) + 1,
        engine,
        shards: 1,
        frontiers: vec![frontier],
        ..Manifest::default()
    };
    write_manifest(&mut backend, &mut buffer, &manifest).expect("nothing fails here");
}

/// An open log.
struct Session {
    log: Log<Attached>,
    model: Model,
    numbers: HashMap<Key, u32>,
    now: u64,
}

impl Session {
    fn open(disk: &Shared, incarnation: [u8; 16], model: Model) -> Session {
        let mut arena = Arena::new(ARENA_BYTES + SCAN_BUFFER_BYTES).expect("memory for a log");
        let mut buffer = scan_buffer(&mut arena);
        let mut backend = disk.attach();
        let read = read_manifest(&mut backend, &mut buffer).expect("the manifest is ours");
        let frontier = read.manifest.map_or_else(Base::default, |manifest| manifest.frontiers[0]);
        let recovered = recover(&mut backend, &mut buffer, 0, ENGINE, frontier, &mut |_| {}).expect("a sound log");
        put_manifest(disk, ENGINE, recovered.start.base, false);
        let segment_bytes = SEGMENT_BYTES_MIN;
        let config = LogConfig { log: 0, engine: ENGINE, incarnation, segment_bytes, frame_cap: 1 << 20 };
        let now = u64::from(recovered.start.segment) << 30;
        let buffers = LogBuffers::take(&mut arena).expect("the arena holds a log's buffers");
        let mut log = Log::open(backend, buffers, config, recovered.start, now).expect("nothing fails here");
        let mut numbers = HashMap::new();
        for (number, key) in (0..).zip(KEYS) {
            let start = recovered.streams.get(&key).cloned();
            log.add_stream(number, start.unwrap_or_else(|| StreamStart::new(key.0, key.1)));
            numbers.insert(key, number);
        }
        Session { log, model, numbers, now }
    }

    /// A record in most streams, in a frame of their own.
    fn round(&mut self, round: usize) {
        for (at, key) in KEYS.into_iter().enumerate() {
            if (round + at) % 3 == 2 {
                continue;
            }
            let payload = vec![b'a' + (round * KEYS.len() + at) as u8; (round * 31 + at * 17) % 60];
            self.append(key, &payload);
        }
        let frame = self.log.sequence();
        while self.log.durable() <= frame {
            self.log.submit(self.now);
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now += 1_000;
        self.log.reap(self.now);
        assert_eq!(self.log.failure(), None);
    }

    fn append(&mut self, key: Key, payload: &[u8]) {
        while self.log.room(record_bytes(payload.len()), 1, self.now) != Room::Ready {
            self.turn();
        }
        let position = self.model.range((key.0, 0)..=(key.0, u32::MAX)).map(|(_, sent)| sent.len() as u64).sum();
        let sent = self.model.entry(key).or_default();
        let header = RecordHeader {
            slot: 0,
            kind: 1,
            flags: 0,
            payload_bytes: payload.len() as u32,
            offset: sent.len() as u64,
            position,
            timestamp: self.now,
            key_id: 0,
        };
        sent.push(Written { header, payload: payload.to_vec() });
        self.log.append(self.numbers[&key], header, payload);
    }

    fn end(mut self, disk: &Shared, end: End) -> Model {
        match end {
            End::Closed => {
                let base = self.log.close(self.now).expect("nothing fails here");
                put_manifest(disk, ENGINE, base, true);
            }
            End::CrashedQuiet => {
                while let Some(at) = self.log.mark_at() {
                    self.now = self.now.max(at);
                    self.turn();
                    while self.log.in_flight() > 0 {
                        self.turn();
                    }
                }
            }
            End::Crashed => {}
        }
        self.model
    }
}
