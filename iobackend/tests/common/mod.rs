//! Backends to test, in the places to test them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

pub mod rig;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use iobackend::sim::{SimConfig, SimDisk};
use iobackend::{
    Arena, BackendConfig, Buffer, Completion, DurableWrite, FileName, FileSlot, IoBackend, IoError, Mode, Op, OpKind,
    OpenMode, open,
};

/// Bytes of one transfer: a multiple of every alignment that the crate accepts.
pub const BLOCK: usize = 4096;

const DEPTH: usize = 8;
const BUFFERS: usize = 64;
pub const ARENA_BYTES: usize = BUFFERS * BLOCK;

/// A backend on a directory of its own. Fields are dropped in this order.
pub struct Bench {
    pub backend: Box<dyn IoBackend + Send>,
    arena: Arena,
    spare: Vec<Buffer>,
    pub directory: tempfile::TempDir,
}

impl Bench {
    pub fn buffer(&mut self) -> Buffer {
        let spare = self.spare.pop();
        spare.unwrap_or_else(|| self.buffers(1))
    }

    pub fn buffers(&mut self, blocks: usize) -> Buffer {
        self.arena.take(blocks * BLOCK).unwrap()
    }

    pub fn give_back(&mut self, buffer: Option<Buffer>) {
        self.spare.push(buffer.unwrap());
    }

    pub fn open(&mut self, file: FileSlot, name: &str, mode: OpenMode) -> Result<(), IoError> {
        let name = FileName::new(name).unwrap();
        self.backend.run(OpKind::Open { file, name, mode }).0
    }

    pub fn create(&mut self, file: FileSlot, name: &str) {
        self.open(file, name, OpenMode::CreateNew).unwrap();
    }
}

/// Where to test: on the disk that builds go to, and in memory.
pub fn places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from(env!("CARGO_TARGET_TMPDIR"))];
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        places.push(memory);
    } else {
        println!("skipped: in memory, for want of /dev/shm");
    }
    places
}

/// A backend, and how it makes a durable write.
pub type Kind = (Mode, DurableWrite);

pub const KINDS: [Kind; 4] = [
    (Mode::Uring, DurableWrite::Dsync),
    (Mode::Uring, DurableWrite::LinkedFlush),
    (Mode::Sqpoll, DurableWrite::Dsync),
    (Mode::Sync, DurableWrite::Dsync),
];

pub fn bench((mode, durable_write): Kind, direct: bool, place: &Path) -> Option<Bench> {
    let directory = tempfile::tempdir_in(place).unwrap();
    let arena = Arena::new(ARENA_BYTES).unwrap();
    let mut config = BackendConfig::new(directory.path());
    config.depth = DEPTH;
    config.file_slots = 4;
    config.mode = mode;
    config.durable_write = durable_write;
    config.direct = direct;
    match open(&config, &arena) {
        Ok(backend) => Some(Bench { backend: Box::new(backend), arena, spare: Vec::new(), directory }),
        Err(error) if mode == Mode::Sync => panic!("{error}"),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

/// A simulated one, without faults; the directory stays empty.
pub fn simulated() -> Bench {
    let config = SimConfig { depth: DEPTH, file_slots: 4, ..SimConfig::default() };
    let backend = SimDisk::new(1, config).backend(0);
    let arena = Arena::new(ARENA_BYTES).unwrap();
    Bench { backend: Box::new(backend), arena, spare: Vec::new(), directory: tempfile::tempdir().unwrap() }
}

/// Runs a test on a fresh backend of every kind: the real ones, and the simulated one.
pub fn every_backend(test: impl Fn(&mut Bench)) {
    every_real_backend(&test);
    let mut bench = simulated();
    println!("{}", bench.backend.info());
    test(&mut bench);
}

/// Runs a test on a fresh backend of every real kind, direct and buffered, in every place.
pub fn every_real_backend(test: impl Fn(&mut Bench)) {
    for place in places() {
        for kind in KINDS {
            for direct in [true, false] {
                let Some(mut bench) = bench(kind, direct, &place) else {
                    continue;
                };
                println!("in {}: {}", place.display(), bench.backend.info());
                test(&mut bench);
            }
        }
    }
}

/// One block of a file.
pub fn write(file: FileSlot, block: u64, buffer: Buffer, durable: bool) -> OpKind {
    let (at, len) = (block * BLOCK as u64, BLOCK);
    OpKind::Write { file, at, buffer, len, durable }
}

/// One block of a file.
pub fn read(file: FileSlot, block: u64, buffer: Buffer) -> OpKind {
    let (at, len) = (block * BLOCK as u64, BLOCK);
    OpKind::Read { file, at, buffer, len }
}

pub fn submit(backend: &mut Box<dyn IoBackend + Send>, token: u64, kind: OpKind) {
    assert!(backend.submit(Op { token, kind }).is_ok(), "the backend is full");
}

/// Waits for everything in flight.
pub fn drain(backend: &mut Box<dyn IoBackend + Send>) -> Vec<Completion> {
    let mut done = Vec::new();
    loop {
        backend.poll(&mut done);
        if backend.in_flight() == 0 {
            return done;
        }
        backend.wait(None).unwrap();
    }
}

pub fn assert_panics(backend: &mut Box<dyn IoBackend + Send>, kind: OpKind) {
    let shown = format!("{kind:?}");
    let submitted = AssertUnwindSafe(|| backend.submit(Op { token: 0, kind }).is_ok());
    assert!(catch_unwind(submitted).is_err(), "{shown} was taken");
}
