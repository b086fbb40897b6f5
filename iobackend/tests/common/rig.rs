//! A simulated disk and one backend on it, in few words.

use iobackend::sim::{SimBackend, SimConfig, SimDisk};
use iobackend::{Arena, Buffer, FileName, FileSlot, IoBackend, IoError, Op, OpKind, OpenMode};

use super::BLOCK;

pub const FILE: FileSlot = FileSlot(0);

/// What the simulated device reads and writes as one.
pub const SECTOR: usize = 512;

/// Blocks of a rig's buffer.
const BLOCKS: usize = 64;

pub struct Rig {
    pub disk: SimDisk,
    pub backend: SimBackend,
    buffer: Option<Buffer>,
}

impl Rig {
    pub fn new(seed: u64) -> Rig {
        Rig::with(seed, SimConfig::default())
    }

    pub fn with(seed: u64, config: SimConfig) -> Rig {
        let disk = SimDisk::new(seed, config);
        Rig { backend: disk.backend(0), disk, buffer: Some(buffer(BLOCKS)) }
    }

    /// A rig with one file of `blocks` blocks of zeros, open, and durable with its name.
    pub fn with_file(seed: u64, name: &str, blocks: u64) -> Rig {
        Rig::with_file_on(seed, SimConfig::default(), name, blocks)
    }

    pub fn with_file_on(seed: u64, config: SimConfig, name: &str, blocks: u64) -> Rig {
        let mut rig = Rig::with(seed, config);
        rig.open(name, OpenMode::CreateNew).unwrap();
        rig.run(OpKind::Allocate { file: FILE, len: blocks * BLOCK as u64 }).unwrap();
        rig.flush().unwrap();
        rig.flush_directory(".").unwrap();
        rig
    }

    /// Another backend, where the last one died.
    pub fn reconnect(&mut self) {
        self.disk.power_on();
        self.backend = self.disk.backend(0);
    }

    pub fn open(&mut self, name: &str, mode: OpenMode) -> Result<(), IoError> {
        self.run(OpKind::Open { file: FILE, name: FileName::new(name).unwrap(), mode })
    }

    pub fn run(&mut self, kind: OpKind) -> Result<(), IoError> {
        self.backend.run(kind).0
    }

    /// Fills blocks from `block` on with a byte.
    pub fn write(&mut self, block: u64, blocks: usize, fill: u8, durable: bool) -> Result<(), IoError> {
        let mut buffer = self.buffer.take().unwrap();
        buffer.fill(fill);
        let (at, len) = (block * BLOCK as u64, blocks * BLOCK);
        let (result, buffer) = self.backend.run(OpKind::Write { file: FILE, at, buffer, len, durable });
        self.buffer = buffer;
        result
    }

    pub fn read(&mut self, block: u64, blocks: usize) -> Result<Vec<u8>, IoError> {
        let mut buffer = self.buffer.take().unwrap();
        buffer.fill(0xEE);
        let (at, len) = (block * BLOCK as u64, blocks * BLOCK);
        let (result, buffer) = self.backend.run(OpKind::Read { file: FILE, at, buffer, len });
        let bytes = buffer.as_ref().unwrap()[..len].to_vec();
        self.buffer = buffer;
        result.map(|()| bytes)
    }

    pub fn flush(&mut self) -> Result<(), IoError> {
        self.run(OpKind::Flush { file: FILE })
    }

    pub fn flush_directory(&mut self, name: &str) -> Result<(), IoError> {
        self.run(OpKind::FlushDirectory { name: FileName::new(name).unwrap() })
    }

    /// Leaves a write of one block in flight.
    pub fn leave(&mut self, block: u64, fill: u8, durable: bool) {
        let mut buffer = buffer(1);
        buffer.fill(fill);
        let kind = super::write(FILE, block, buffer, durable);
        assert!(self.backend.submit(Op { token: block, kind }).is_ok());
    }

    /// One block, as a reader sees it.
    pub fn block(&self, name: &str, block: usize) -> Vec<u8> {
        self.disk.contents(name).unwrap()[block * BLOCK..][..BLOCK].to_vec()
    }
}

pub fn buffer(blocks: usize) -> Buffer {
    Arena::new(blocks * BLOCK).unwrap().take(blocks * BLOCK).unwrap()
}

/// The value of each sector, if it has only one.
pub fn sectors(block: &[u8]) -> Vec<Option<u8>> {
    let value = |sector: &[u8]| sector.iter().all(|&byte| byte == sector[0]).then_some(sector[0]);
    block.chunks(SECTOR).map(value).collect()
}
