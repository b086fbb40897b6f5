//! A shard that is stepped by hand: its clients, its disk's faults, and its time are the test's.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

mod faulty;

pub use faulty::{Faults, Faulty, Outcome};

use diatreme_shard::limits::{REQUEST_PAYLOAD_MAX, REQUEST_RECORDS_MAX};
use diatreme_shard::wire::{Done, Failure, ReadRecords, Reply, Request};
use diatreme_shard::{ClientPort, Control, Progress, Shard, ShardPort, port};
use iobackend::{Arena, BackendConfig, IoBackend, Mode};
use kernel::{Durability, Kernel, Level, Limits, RecordKind, ReplayedRecord, StreamId, StreamSummary, TenantId};
use log::format::segment::{Base, log_directory};
use log::limits::{ARENA_BYTES, SEGMENT_BYTES_MIN};
use log::{Log, LogBuffers, LogConfig, SCAN_BUFFER_BYTES, StreamStart, scan_buffer};
use spsc::{Doorbell, Producer};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tempfile::TempDir;

pub const ENGINE: [u8; 16] = [0xE5; 16];
pub const TENANT: &str = "tenant";

/// How a rig is opened.
#[derive(Clone, Copy)]
pub struct Options {
    pub durability: Durability,
    pub frame_cap: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { durability: Durability::NATURAL, frame_cap: 1 << 20 }
    }
}

/// In memory where there is such a place.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    tempfile::tempdir_in(place).unwrap()
}

pub struct Rig {
    pub shard: Shard<Faulty>,
    pub faults: Rc<RefCell<Faults>>,
    pub inbox: Producer<Control>,
    pub now: u64,
}

impl Rig {
    pub fn open(root: &Path) -> Rig {
        Rig::open_with(root, Options::default())
    }

    /// Recovers what the directory holds, and begins a new incarnation on it.
    pub fn open_with(root: &Path, options: Options) -> Rig {
        static INCARNATION: AtomicU8 = AtomicU8::new(1);
        let mut arena = Arena::new(ARENA_BYTES + SCAN_BUFFER_BYTES).unwrap();
        let mut config = BackendConfig::new(root);
        config.mode = Mode::Sync;
        let mut backend = iobackend::open(&config, &arena).unwrap();
        backend.create_directory(&log_directory(0)).unwrap();
        let mut buffer = scan_buffer(&mut arena);
        let recovered = log::recover(&mut backend, &mut buffer, 0, ENGINE, Base::default(), &mut |_| {}).unwrap();
        assert_eq!(recovered.damage, []);
        let limits = Limits {
            record_bytes_max: REQUEST_PAYLOAD_MAX,
            batch_bytes_max: REQUEST_PAYLOAD_MAX,
            batch_records_max: REQUEST_RECORDS_MAX,
            ..Limits::default()
        };
        let mut kernel = Kernel::new(limits);
        for record in &recovered.catalog {
            let replayed = ReplayedRecord {
                tenant: TenantId(record.tenant),
                stream: kernel::CATALOG,
                kind: RecordKind::try_from(record.kind).unwrap(),
                offset: record.offset,
                position: record.position,
                timestamp: record.timestamp,
                payload: &record.payload,
            };
            kernel.replay(&replayed).unwrap();
        }
        for ((tenant, stream), start) in &recovered.streams {
            let summary = StreamSummary {
                tenant: TenantId(*tenant),
                stream: StreamId(*stream),
                next: start.next_offset,
                position: start.position,
                timestamp: start.timestamp,
            };
            kernel.restore_stream(&summary).unwrap();
        }
        let log_config = LogConfig {
            log: 0,
            engine: ENGINE,
            incarnation: [INCARNATION.fetch_add(1, Ordering::Relaxed); 16],
            segment_bytes: SEGMENT_BYTES_MIN,
            frame_cap: options.frame_cap,
        };
        let faults = Rc::default();
        let backend = Faulty::new(backend, Rc::clone(&faults));
        let now = 1_000_000_000 * u64::from(recovered.start.segment + 1);
        let buffers = LogBuffers::take(&mut arena).unwrap();
        let mut log = Log::open(backend, buffers, log_config, recovered.start, now).unwrap();
        for slot in 0..kernel.slots() as u32 {
            let view = kernel.stream(kernel::StreamSlot(slot));
            let key = (view.tenant.0, view.stream.0);
            let start = recovered.streams.get(&key).cloned();
            log.add_stream(slot, start.unwrap_or_else(|| StreamStart::new(key.0, key.1)));
        }
        let (inbox, messages) = spsc::ring(2048);
        Rig { shard: Shard::new(kernel, log, messages, options.durability), faults, inbox, now }
    }

    /// A new client, attached with the next turn.
    pub fn client(&mut self, window: usize) -> Client {
        let (client, shard) = port(window, bell(), bell());
        self.attach(shard);
        Client { port: client, next_token: 1, answers: Vec::new() }
    }

    pub fn attach(&mut self, port: ShardPort) {
        assert!(self.inbox.try_push(Control::Attach(Box::new(port))).is_ok(), "the inbox has room");
    }

    pub fn turn(&mut self) -> Progress {
        self.now += 1_000;
        self.shard.turn(self.now)
    }

    /// Turns until nothing goes on without the client, the disk, or time.
    pub fn run(&mut self) -> Progress {
        for _ in 0..100_000 {
            let progress = self.turn();
            let held = self.faults.borrow().held();
            if !progress.worked && self.shard.backend_mut().in_flight() == held {
                return progress;
            }
        }
        panic!("the shard works for ever");
    }

    /// Makes the tenant and streams of it; gives the streams' ids.
    pub fn streams(&mut self, count: u32) -> Vec<StreamId> {
        let mut client = self.client(count as usize + 1);
        client.send(&Request::CreateTenant { name: TENANT, key: None });
        for number in 0..count {
            client.send(&Request::CreateStream { tenant: TENANT, name: &format!("stream {number}"), key: None });
        }
        self.run();
        let answers = client.take();
        assert_eq!(answers.len(), count as usize + 1);
        let id = |answer: &Answer| match answer.outcome {
            Ok(Done::StreamCreated { stream }) => stream,
            other => panic!("{other:?}"),
        };
        answers[1..].iter().map(id).collect()
    }
}

pub fn tenant() -> TenantId {
    TenantId::of_name(TENANT)
}

pub fn bell() -> Arc<Doorbell> {
    Arc::new(Doorbell::new(|| {}))
}

/// An answer as a client took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub token: u64,
    pub outcome: Result<Done, Failure>,
    pub data: Vec<u8>,
}

impl Answer {
    /// The records of a read: offsets and payloads.
    pub fn records(&self) -> Vec<(u64, Vec<u8>)> {
        ReadRecords::new(&self.data).map(|record| (record.offset, record.payload.to_vec())).collect()
    }
}

pub struct Client {
    pub port: ClientPort,
    pub next_token: u64,
    pub answers: Vec<Answer>,
}

impl Client {
    pub fn try_send(&mut self, request: &Request<'_>) -> Option<u64> {
        let token = self.next_token;
        let place = self.port.requests.reserve(request.encoded_bytes()).ok()?;
        request.encode(token, place);
        self.port.requests.commit();
        self.port.requests.publish();
        self.next_token += 1;
        Some(token)
    }

    pub fn send(&mut self, request: &Request<'_>) -> u64 {
        self.try_send(request).expect("the ring has room")
    }

    pub fn append(&mut self, stream: StreamId, payload: &[u8]) -> u64 {
        self.send(&append(stream, &[payload]))
    }

    pub fn read(&mut self, stream: StreamId, from: u64, records_max: u32) -> u64 {
        self.send(&read(stream, from, records_max))
    }

    /// Takes the answers that are there.
    pub fn take(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.port.take(|Reply { token, outcome }, data| {
            answers.push(Answer { token, outcome, data: data.to_vec() });
        });
        answers
    }

    /// Takes the only answer that is there.
    pub fn take_one(&mut self) -> Answer {
        let mut answers = self.take();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }
}

pub fn append<'a>(stream: StreamId, records: &'a [&'a [u8]]) -> Request<'a> {
    append_at(stream, None, records)
}

/// An append that asks for a level.
pub fn append_at<'a>(stream: StreamId, level: Option<Level>, records: &'a [&'a [u8]]) -> Request<'a> {
    Request::Append { tenant: tenant(), stream, expected: None, level, records }
}

pub fn read(stream: StreamId, from: u64, records_max: u32) -> Request<'static> {
    Request::Read { tenant: tenant(), stream, from, records_max, bytes_max: 1 << 20 }
}

/// The offset that an append was given, durably.
pub fn appended(answer: &Answer) -> u64 {
    match answer.outcome {
        Ok(Done::Appended { first, level: Level::Strict, .. }) => first,
        other => panic!("{other:?} to an append"),
    }
}
