//! A log that is written to without a shard: the caller says what is appended and when a frame is closed.

use crate::PAYLOAD_BYTES;
use crypto::secret::DataKey;
use iobackend::{Arena, Backend, BackendConfig, IoBackend};
use kernel::RecordKind;
use log::format::frame::{RecordHeader, TAG_BYTES, record_bytes};
use log::format::manifest::Manifest;
use log::format::segment::log_directory;
use log::limits::{ARENA_BYTES, SEGMENT_BYTES_DEFAULT};
use log::{Log, LogBuffers, LogConfig, LogStart, Room, SCAN_BUFFER_BYTES, StreamStart};
use std::path::Path;

/// The only log of the directories that suites make.
pub const LOG: u16 = 0;
/// Their id.
pub const ENGINE: [u8; 16] = [1; 16];
const TENANT: u64 = 1;
/// When the made-up time begins.
pub(crate) const START_NS: u64 = 1_000_000_000;
/// Nanoseconds that pass at each look at the backend. Time is made up, so that every run is told the same; it goes slowly enough
/// that the log is never quiet for long and writes no mark frame into a measurement.
const TURN_NS: u64 = 1_000;

/// An arena with room for a log and for a scan of one, and the log's part of it.
///
/// # Panics
/// If the system has not that much memory.
#[must_use]
pub fn log_buffers() -> (Arena, LogBuffers) {
    let mut arena = Arena::new(ARENA_BYTES + SCAN_BUFFER_BYTES).expect("memory for a log");
    let buffers = LogBuffers::take(&mut arena).expect("the arena has room for a log");
    (arena, buffers)
}

/// Begins a log as an engine does: strict durability, the default sizes.
///
/// # Panics
/// If it cannot be made there.
pub(crate) fn begin_log<B: IoBackend>(backend: B, buffers: LogBuffers) -> Log<B> {
    let config = LogConfig {
        log: LOG,
        engine: ENGINE,
        incarnation: [2; 16],
        segment_bytes: SEGMENT_BYTES_DEFAULT,
        frame_cap: 1 << 20,
    };
    let start = LogStart { segment: 1, ..LogStart::default() };
    Log::open(backend, buffers, config, start, START_NS).unwrap_or_else(|error| panic!("{error}"))
}

/// A log, its streams' next offsets, and made-up time.
#[derive(Debug)]
pub struct Writer<B> {
    /// The log itself.
    pub log: Log<B>,
    offsets: Vec<u64>,
    position: u64,
    key_id: u32,
    now: u64,
    payload: [u8; PAYLOAD_BYTES],
}

impl<B: IoBackend> Writer<B> {
    /// Begins a log of `streams` streams on a backend whose arena `buffers` come from.
    ///
    /// # Panics
    /// If the log cannot be made there.
    #[must_use]
    pub fn new(backend: B, buffers: LogBuffers, streams: u32) -> Writer<B> {
        let mut log = begin_log(backend, buffers);
        for index in 0..streams {
            log.add_stream(index, StreamStart::new(TENANT, 1 + index));
        }
        let (offsets, payload) = (vec![0; streams as usize], [0x5a; PAYLOAD_BYTES]);
        Writer { log, offsets, position: 0, key_id: 0, now: START_NS, payload }
    }

    /// From now on records are sealed.
    ///
    /// # Panics
    /// If the log does not take the key that it is given.
    pub fn seal(&mut self) {
        self.key_id = 1;
        self.log.add_key(TENANT, self.key_id, DataKey::from_bytes(&mut [9; 32]));
        for index in 0..self.offsets.len() as u32 {
            assert!(self.log.can_seal(index, self.key_id), "the key is there");
        }
    }

    /// Appends a record to a stream; waits for room if there is none.
    ///
    /// # Panics
    /// If the log has failed.
    #[inline]
    pub fn append(&mut self, index: u32) {
        while self.log.room(record_bytes(PAYLOAD_BYTES + TAG_BYTES), 1, self.now) != Room::Ready {
            self.turn();
        }
        let offset = &mut self.offsets[index as usize];
        let header = RecordHeader {
            slot: 0,
            kind: RecordKind::Data as u8,
            flags: 0,
            payload_bytes: PAYLOAD_BYTES as u32,
            offset: *offset,
            position: self.position,
            timestamp: self.now,
            key_id: self.key_id,
        };
        *offset += 1;
        self.position += 1;
        self.log.append(index, header, &self.payload);
    }

    /// Closes the open frame and submits it.
    #[inline]
    pub fn submit(&mut self) {
        self.log.submit(self.now);
    }

    /// Takes in what completed, and waits if there is nothing else to do.
    ///
    /// # Panics
    /// If the log has failed.
    pub fn turn(&mut self) {
        self.now += TURN_NS;
        if !self.log.reap(self.now) && self.log.in_flight() > 0 && !self.log.has_work() {
            self.log.backend_mut().wait(None).expect("the backend waits");
        }
        if let Some(failure) = self.log.failure() {
            panic!("{failure}");
        }
    }

    /// Submits what was appended, and waits until all of it is durable.
    ///
    /// # Panics
    /// If the log has failed.
    pub fn settle(&mut self) {
        while self.log.open_bytes() > 0 || self.log.frames_in_flight() > 0 {
            self.submit();
            self.turn();
        }
    }
}

impl Writer<Backend> {
    /// Begins a log in an empty directory, on the best backend that there is, with the manifest that verification and opening
    /// look for.
    ///
    /// # Panics
    /// If it cannot be made there.
    #[must_use]
    pub fn create(root: &Path, streams: u32) -> Writer<Backend> {
        let (mut arena, buffers) = log_buffers();
        let mut backend = iobackend::open(&BackendConfig::new(root), &arena).unwrap_or_else(|error| panic!("{error}"));
        backend.create_directory(&log_directory(LOG)).expect("a directory for the log");
        let manifest = Manifest { generation: 1, engine: ENGINE, shards: 1, ..Manifest::default() };
        let mut buffer = log::scan_buffer(&mut arena);
        log::write_manifest(&mut backend, &mut buffer, &manifest).unwrap_or_else(|error| panic!("{error}"));
        Writer::new(backend, buffers, streams)
    }

    /// Closes the log cleanly.
    ///
    /// # Panics
    /// If it has failed.
    pub fn close(self) {
        self.log.close(self.now).unwrap_or_else(|error| panic!("{error}"));
    }
}
