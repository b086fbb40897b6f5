//! A log in a directory or in memory, beside a model of what it was told.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

pub mod matrix;
pub mod memory;

use diatreme_log::format::frame::{RecordHeader, TAG_BYTES, record_bytes};
use diatreme_log::format::manifest::Manifest;
use diatreme_log::format::segment::{Base, log_directory};
use diatreme_log::limits::{ARENA_BYTES, SEGMENT_BYTES_MIN};
use diatreme_log::{
    Log, LogBuffers, LogConfig, LogError, ManifestRead, ReadError, ReadRequest, Recovered, Room, SCAN_BUFFER_BYTES,
    StreamStart, Verified, Wish, read_manifest, recover, scan_buffer, verify, write_manifest,
};
use iobackend::{Arena, Backend, BackendConfig, Buffer, IoBackend, Mode};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub const ENGINE: [u8; 16] = [0xE5; 16];

/// A tenant and a stream of it.
pub type Key = (u64, u32);

/// A record as it was appended, and as it must come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub kind: u8,
    pub position: u64,
    pub timestamp: u64,
    pub payload: Vec<u8>,
}

/// A record and the frame it went into.
#[derive(Clone, Debug)]
pub struct Sent {
    pub told: Told,
    pub sequence: u64,
}

/// Everything that was appended, stream by stream, in order of offset.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub streams: BTreeMap<Key, Vec<Sent>>,
}

impl Model {
    /// Forgets what was never acknowledged: frames from `settled` on.
    pub fn forget_from(&mut self, settled: u64) {
        self.streams.values_mut().for_each(|sent| sent.retain(|sent| sent.sequence < settled));
        self.streams.retain(|_, sent| !sent.is_empty());
    }

    /// The position of the tenant's next record: after a crash that of the first one that was cut.
    pub fn next_position(&self, tenant: u64) -> u64 {
        let of_tenant = self.streams.range((tenant, 0)..=(tenant, u32::MAX));
        of_tenant.filter_map(|(_, sent)| sent.last()).map(|sent| sent.told.position + 1).max().unwrap_or(0)
    }

    pub fn records(&self) -> usize {
        self.streams.values().map(Vec::len).sum()
    }

    /// The chain's link after the first `count` records of a stream, computed from what was told.
    pub fn link(&self, key: Key, count: usize) -> crypto::Link {
        let mut link = crypto::genesis(key.0, key.1);
        for (offset, Sent { told, .. }) in self.streams[&key][..count].iter().enumerate() {
            let header = RecordHeader {
                slot: 0,
                kind: told.kind,
                flags: 0,
                payload_bytes: told.payload.len() as u32,
                offset: offset as u64,
                position: told.position,
                timestamp: told.timestamp,
                key_id: 0,
            };
            let mut bytes = vec![0; 36];
            header.encode(&mut bytes);
            bytes.extend_from_slice(&told.payload);
            link = crypto::next(&link, &bytes[2..]);
        }
        link
    }
}

/// Where a log lies.
pub trait Place: Sync {
    type Backend: IoBackend;
    fn backend(&self, arena: &Arena) -> Self::Backend;

    /// Bytes of a buffer to scan with.
    fn scan_bytes(&self) -> usize {
        SCAN_BUFFER_BYTES
    }

    fn scan_buffer(&self) -> (Self::Backend, Buffer) {
        let mut arena = Arena::new(self.scan_bytes()).unwrap();
        (self.backend(&arena), arena.take(self.scan_bytes()).unwrap())
    }

    /// Recovers with a buffer of its own; the manifest gives the frontier.
    fn recover(&self) -> Result<Recovered, LogError> {
        let (mut backend, buffer) = self.scan_buffer();
        let mut buffer = Some(buffer);
        let read = read_manifest(&mut backend, &mut buffer)?;
        let frontier = read.manifest.and_then(|manifest| manifest.frontiers.first().copied()).unwrap_or_default();
        recover(&mut backend, &mut buffer, 0, ENGINE, frontier, &mut |_| {})
    }

    fn verify(&self) -> Verified {
        self.try_verify().unwrap()
    }

    fn try_verify(&self) -> Result<Verified, LogError> {
        verify(|| Ok(self.scan_buffer()), 1, |_, _| {})
    }

    /// Writes both copies of the manifest, with `frontier` for log 0.
    fn write_manifest(&self, frontier: Base, clean: bool) {
        let (mut backend, buffer) = self.scan_buffer();
        let mut buffer = Some(buffer);
        let read = read_manifest(&mut backend, &mut buffer).unwrap();
        let manifest = next_manifest(&read, frontier, clean);
        write_manifest(&mut backend, &mut buffer, &manifest).unwrap();
    }
}

fn next_manifest(read: &ManifestRead, frontier: Base, clean: bool) -> Manifest {
    Manifest {
        clean,
        generation: read.manifest.as_ref().map_or(0, |manifest| manifest.generation) + 1,
        engine: ENGINE,
        placement_version: 0,
        shards: 1,
        frontiers: vec![frontier],
        ..Manifest::default()
    }
}

/// A directory on a disk or in memory, removed in the end.
pub struct Directory {
    pub root: tempfile::TempDir,
    pub mode: Mode,
}

impl Directory {
    /// In memory where there is such a place: the tests are then bound by the processor alone.
    pub fn new(mode: Mode) -> Directory {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_path_buf() } else { PathBuf::from(env!("CARGO_TARGET_TMPDIR")) };
        Directory { root: tempfile::tempdir_in(place).unwrap(), mode }
    }

    /// On the disk that builds go to.
    pub fn on_disk(mode: Mode) -> Directory {
        Directory { root: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), mode }
    }
}

impl Place for Directory {
    type Backend = Backend;

    fn backend(&self, arena: &Arena) -> Backend {
        let mut config = BackendConfig::new(self.root.path());
        config.mode = self.mode;
        iobackend::open(&config, arena).unwrap()
    }
}

/// The configuration that most tests use: the smallest segments.
pub fn config() -> LogConfig {
    LogConfig { log: 0, engine: ENGINE, incarnation: [0; 16], segment_bytes: SEGMENT_BYTES_MIN, frame_cap: 1 << 20 }
}

/// An open log and what it was told.
pub struct Session<B: IoBackend> {
    pub log: Log<B>,
    pub model: Model,
    pub recovered: Recovered,
    pub numbers: BTreeMap<Key, u32>,
    pub now: u64,
    /// What each record asks for, if it is not a flush.
    pub wish: Option<Wish>,
    /// The key that data is sealed with; 0: none. The log was given it.
    pub key_id: u32,
}

/// Recovers and begins a new incarnation. The streams that recovery found are told to the log in order of their keys.
pub fn try_open<P: Place>(place: &P, model: &Model, mut config: LogConfig) -> Result<Session<P::Backend>, LogError> {
    let mut arena = Arena::new(ARENA_BYTES + SCAN_BUFFER_BYTES).unwrap();
    let mut backend = place.backend(&arena);
    let mut buffer = scan_buffer(&mut arena);
    let directory = log_directory(config.log);
    backend.create_directory(&directory).map_err(|source| LogError::System {
        doing: "make",
        path: directory,
        source,
    })?;
    let read = read_manifest(&mut backend, &mut buffer)?;
    let frontier = read.manifest.as_ref().and_then(|manifest| manifest.frontiers.first().copied()).unwrap_or_default();
    let mut recovered = recover(&mut backend, &mut buffer, config.log, ENGINE, frontier, &mut |_| {})?;
    write_manifest(&mut backend, &mut buffer, &next_manifest(&read, recovered.start.base, false))?;
    if config.incarnation == [0; 16] {
        getrandom::fill(&mut config.incarnation).unwrap();
    }
    let now = 1_000_000_000 * u64::from(recovered.start.segment);
    let buffers = LogBuffers::take(&mut arena).unwrap();
    let mut log = Log::open(backend, buffers, config, recovered.start, now)?;
    let mut numbers = BTreeMap::new();
    let mut streams: Vec<(Key, StreamStart)> = recovered.streams.drain().collect();
    streams.sort_unstable_by_key(|(key, _)| *key);
    for (number, (key, start)) in streams.iter().enumerate() {
        log.add_stream(number as u32, start.clone());
        numbers.insert(*key, number as u32);
    }
    recovered.streams.extend(streams);
    Ok(Session { log, model: model.clone(), recovered, numbers, now, wish: None, key_id: 0 })
}

pub fn open<P: Place>(place: &P, model: &Model) -> Session<P::Backend> {
    try_open(place, model, config()).unwrap()
}

impl<B: IoBackend> Session<B> {
    /// One turn of the loop; waits if there is nothing to do but wait.
    pub fn turn(&mut self) {
        self.now += 1_000;
        let progress = self.log.reap(self.now);
        if !progress && self.log.in_flight() > 0 && !self.log.has_work() {
            self.log.backend_mut().wait(Some(std::time::Duration::from_millis(10))).unwrap();
        }
    }

    fn number(&mut self, key: Key) -> u32 {
        let next = self.log.streams() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.log.add_stream(number, StreamStart::new(key.0, key.1));
        }
        number
    }

    /// Asks for room until there is some, or never will be.
    pub fn room(&mut self, records_bytes: usize, entries: usize) -> Room {
        loop {
            match self.log.room(records_bytes, entries, self.now) {
                Room::Busy => self.turn(),
                room => return room,
            }
        }
    }

    pub fn try_append(&mut self, key: Key, kind: u8, payload: &[u8]) -> Room {
        let number = self.number(key);
        let key_id = if kind == 1 { self.key_id } else { 0 };
        let tag_bytes = if key_id == 0 { 0 } else { TAG_BYTES };
        let room = self.room(record_bytes(payload.len() + tag_bytes), 1);
        if room != Room::Ready {
            return room;
        }
        let position = self.model.next_position(key.0);
        let sent = self.model.streams.entry(key).or_default();
        let header = RecordHeader {
            slot: 0,
            kind,
            flags: 0,
            payload_bytes: payload.len() as u32,
            offset: sent.len() as u64,
            position,
            timestamp: self.now,
            key_id,
        };
        let told = Told { kind, position: header.position, timestamp: header.timestamp, payload: payload.to_vec() };
        sent.push(Sent { told, sequence: self.log.sequence() });
        assert!(self.log.can_seal(number, key_id), "key {key_id} of tenant {}", key.0);
        self.log.append(number, header, payload);
        if let Some(wish) = self.wish {
            self.log.wish(1, wish, self.now);
        }
        room
    }

    pub fn append(&mut self, key: Key, payload: &[u8]) {
        assert_eq!(self.try_append(key, 1, payload), Room::Ready, "{:?}", self.log.failure());
    }

    /// Closes the open frame and waits until everything is durable.
    pub fn settle(&mut self) {
        while self.log.durable() < self.newest() {
            self.log.submit(self.now);
            self.turn();
            assert_eq!(self.log.failure(), None);
        }
    }

    /// Closes the open frame and waits until everything is written, or the log fails.
    pub fn write_out(&mut self) -> bool {
        while self.log.written() < self.newest() && self.log.failure().is_none() {
            self.log.submit(self.now);
            self.turn();
        }
        self.log.failure().is_none()
    }

    /// Waits until everything is durable, whatever it asked for.
    pub fn sync(&mut self) {
        while let Some(newest) = self.log.newest_undurable() {
            self.log.want_durable(newest);
            self.log.submit(self.now);
            self.turn();
            assert_eq!(self.log.failure(), None);
        }
    }

    /// Closes the open frame and waits until everything is durable, or the log fails.
    pub fn settle_or_fail(&mut self) -> bool {
        while self.log.durable() < self.newest() && self.log.failure().is_none() {
            self.log.submit(self.now);
            self.turn();
        }
        self.log.failure().is_none()
    }

    /// The sequence after the newest frame that holds a record.
    pub fn newest(&self) -> u64 {
        self.model.streams.values().flatten().map(|sent| sent.sequence + 1).max().unwrap_or(0)
    }

    /// Lets the log fall quiet until it has nothing more to do.
    pub fn quiet(&mut self) {
        while let Some(at) = self.log.mark_at() {
            self.now = self.now.max(at);
            self.turn();
            while self.log.in_flight() > 0 {
                self.turn();
            }
        }
    }

    /// Reads records of a stream from an offset on.
    pub fn read(&mut self, key: Key, from: u64, records_max: u32) -> Result<Vec<(u64, Told)>, ReadError> {
        let index = self.numbers[&key];
        read(&mut self.log, index, from, records_max, &mut self.now)
    }

    /// Reads every stream from its first record to its last, and compares with the model.
    pub fn check_all(&mut self) {
        let keys: Vec<Key> = self.model.streams.keys().copied().collect();
        for key in keys {
            self.check(key);
        }
    }

    pub fn check(&mut self, key: Key) {
        let sent = self.model.streams[&key].clone();
        let mut next = 0;
        while next < sent.len() {
            let records =
                self.read(key, next as u64, u32::MAX).unwrap_or_else(|error| panic!("{key:?} {next}: {error:?}"));
            assert!(!records.is_empty());
            for (offset, told) in records {
                assert_eq!(offset, next as u64, "{key:?}");
                assert_eq!(told, sent[next].told, "{key:?} offset {next}");
                next += 1;
            }
        }
    }

    /// What recovery found is what the model says, streams, offsets, links and all.
    pub fn check_recovered(&self) {
        assert_eq!(self.recovered.damage, []);
        assert_eq!(self.recovered.frozen, []);
        let mut found: Vec<Key> = self.recovered.streams.keys().copied().collect();
        found.sort_unstable();
        assert_eq!(found, self.model.streams.keys().copied().collect::<Vec<_>>());
        for (key, sent) in &self.model.streams {
            let start = &self.recovered.streams[key];
            assert_eq!(start.next_offset, sent.len() as u64, "{key:?}");
            assert_eq!(start.link, self.model.link(*key, sent.len()), "{key:?}");
            let last = &sent[sent.len() - 1].told;
            assert_eq!((start.timestamp, start.position), (last.timestamp, last.position), "{key:?}");
        }
        let catalog = self.model.streams.iter().filter(|(key, _)| key.1 == 0);
        let expected: Vec<_> = catalog
            .flat_map(|(key, sent)| sent.iter().enumerate().map(|(offset, sent)| (key.0, offset as u64, &sent.told)))
            .collect();
        let found = self.recovered.catalog.iter();
        let found: Vec<_> = found.map(|record| (record.tenant, record.offset, record)).collect();
        assert_eq!(found.len(), expected.len());
        for ((tenant, offset, record), (key, at, told)) in found.iter().zip(&expected) {
            assert_eq!((tenant, offset), (key, at));
            assert_eq!(
                (record.kind, record.position, record.timestamp, &record.payload),
                (told.kind, told.position, told.timestamp, &told.payload)
            );
        }
    }

    /// Closes cleanly; gives what it was told and where the log ends.
    pub fn close(self) -> (Model, Base) {
        let base = self.log.close(self.now + 1).unwrap();
        (self.model, base)
    }

    /// Drops the log as a loss of power would; what was acknowledged as flushed must survive.
    pub fn crash(mut self) -> Model {
        self.model.forget_from(self.log.durable());
        self.model
    }

    /// Drops the log as the end of the process would; what was written must survive.
    pub fn kill(mut self) -> Model {
        self.model.forget_from(self.log.written());
        self.model
    }
}

/// Reads from a stream, by its number in the log.
pub fn read<B: IoBackend>(
    log: &mut Log<B>,
    index: u32,
    from: u64,
    records_max: u32,
    now: &mut u64,
) -> Result<Vec<(u64, Told)>, ReadError> {
    read_sealed(log, index, from, records_max, u64::MAX, now)
}

/// Reads from a stream whose records from the position `sealed_from` on are sealed.
pub fn read_sealed<B: IoBackend>(
    log: &mut Log<B>,
    index: u32,
    from: u64,
    records_max: u32,
    sealed_from: u64,
    now: &mut u64,
) -> Result<Vec<(u64, Told)>, ReadError> {
    let (bytes_max, record_overhead) = (1 << 20, 16);
    log.read(ReadRequest { ticket: from, index, from, records_max, bytes_max, record_overhead, sealed_from });
    loop {
        if let Some(ready) = log.ready_read() {
            let place = ready.place;
            assert_eq!((ready.request.ticket, ready.request.index), (from, index));
            let size = ready.size().map_err(Clone::clone);
            let mut records = Vec::new();
            ready.for_each(|record| {
                let header = record.header;
                assert_eq!(header.payload_bytes as usize, record.payload.len());
                let told = Told {
                    kind: header.kind,
                    position: header.position,
                    timestamp: header.timestamp,
                    payload: record.payload.to_vec(),
                };
                records.push((header.offset, told));
            });
            log.finish_read(place);
            let (count, bytes) = size?;
            assert_eq!(count as usize, records.len());
            assert_eq!(bytes, records.iter().map(|(_, told)| told.payload.len() as u64 + 16).sum::<u64>());
            return Ok(records);
        }
        *now += 1_000;
        if !log.reap(*now) && log.in_flight() > 0 {
            log.backend_mut().wait(Some(std::time::Duration::from_millis(10))).unwrap();
        }
    }
}

/// A payload that no other offset of any stream has.
pub fn payload(key: Key, offset: u64, bytes: usize) -> Vec<u8> {
    let mut state = key.0 ^ u64::from(key.1).rotate_left(20) ^ offset.rotate_left(40);
    let mut bytes = vec![0; bytes];
    for byte in &mut bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    bytes
}

/// A buffer of its own.
pub fn buffer(bytes: usize) -> Buffer {
    Arena::new(bytes).unwrap().take(bytes).unwrap()
}
