//! A disk in memory that can be copied, spoilt byte by byte, made to fail, and cut off from its power.

use super::Place;
use diatreme_log::SCAN_BUFFER_BYTES;
use iobackend::{
    Arena, BackendConfig, BackendInfo, Completion, FileSlot, IoBackend, IoError, Mode, Op, OpKind, OpenMode, Operation,
    Parker, Waker,
};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const SECTOR: usize = 512;
const EIO: i32 = 5;
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;

/// A file's bytes; beyond them it is zero up to its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    pub data: Vec<u8>,
    pub length: u64,
}

impl Bytes {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let end = at as usize + bytes.len();
        self.length = self.length.max(end as u64);
        if end > self.data.len() {
            if bytes.iter().all(|&byte| byte == 0) && at as usize >= self.data.len() {
                return;
            }
            self.data.resize(end, 0);
        }
        self.data[at as usize..end].copy_from_slice(bytes);
    }

    fn read(&self, at: u64, out: &mut [u8]) -> usize {
        let got = self.length.saturating_sub(at).min(out.len() as u64) as usize;
        let data = self.data.get(at as usize..).unwrap_or(&[]);
        let have = data.len().min(got);
        out[..have].copy_from_slice(&data[..have]);
        out[have..got].fill(0);
        got
    }

    pub fn truncate(&mut self, length: u64) {
        self.data.truncate(length as usize);
        self.length = length;
    }

    /// Changes one byte, also one that is zero and not stored.
    pub fn flip(&mut self, at: u64, mask: u8) {
        if at as usize >= self.data.len() {
            self.data.resize(at as usize + 1, 0);
        }
        self.data[at as usize] ^= mask;
    }
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Bytes,
    /// What a power cut leaves.
    stable: Bytes,
}

/// What goes wrong, and at which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The operation fails once.
    Eio(u64),
    /// Half of a write is done, once; other operations fail with EIO.
    Short(u64),
    /// From this operation on whatever takes space fails, until the plan is taken back.
    Full(u64),
    /// Power goes with this operation: sectors of a write whose bit is set in the mask were written. Nothing works after.
    Cut(u64, u64),
}

#[derive(Clone, Debug, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    stable_names: BTreeMap<String, usize>,
    pub plan: Option<Plan>,
    pub operations: u64,
    /// Sectors that the device does not give back, by file, until they are written again.
    bad_sectors: BTreeSet<(usize, u64)>,
    /// The kinds of operations that a plan made fail.
    pub failed: Vec<Operation>,
    dark: bool,
}

enum Outcome {
    Go,
    Half,
    Sectors(u64),
    Fail(io::ErrorKind, i32),
}

impl Disk {
    pub fn file(&mut self, name: &str) -> &mut Bytes {
        let inode = self.names[name];
        &mut self.inodes[inode].now
    }

    /// From now on a read of the sector at `at` fails.
    pub fn add_bad_sector(&mut self, name: &str, at: u64) {
        self.bad_sectors.insert((self.names[name], at / SECTOR as u64));
    }

    /// Takes over the bad sectors of another disk's files, which have the same names here.
    pub fn copy_bad_sectors(&mut self, other: &Disk) {
        self.bad_sectors.clear();
        for (name, inode) in &other.names {
            let sectors = other.bad_sectors.iter().filter(|(of, _)| of == inode);
            if let Some(&here) = self.names.get(name) {
                self.bad_sectors.extend(sectors.map(|(_, sector)| (here, *sector)));
            }
        }
    }

    fn is_bad(&self, inode: usize, at: u64, len: usize) -> bool {
        let sectors = at / SECTOR as u64..(at + len as u64).div_ceil(SECTOR as u64);
        self.bad_sectors.range((inode, sectors.start)..(inode, sectors.end)).next().is_some()
    }

    /// What a power cut leaves of a file.
    pub fn stable_file(&mut self, name: &str) -> &mut Bytes {
        let inode = self.names[name];
        &mut self.inodes[inode].stable
    }

    pub fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub fn segments(&self) -> Vec<String> {
        self.names().into_iter().filter(|name| name.ends_with(".seg")).collect()
    }

    pub fn remove_file(&mut self, name: &str) {
        self.names.remove(name).unwrap();
    }

    pub fn put(&mut self, name: &str, bytes: Bytes) {
        self.inodes.push(Inode { stable: bytes.clone(), now: bytes });
        self.names.insert(name.into(), self.inodes.len() - 1);
        self.stable_names.insert(name.into(), self.inodes.len() - 1);
    }

    pub fn swap(&mut self, a: &str, b: &str) {
        let (one, other) = (self.names[a], self.names[b]);
        self.names.insert(a.into(), other);
        self.names.insert(b.into(), one);
    }

    /// What a power cut leaves: names and bytes that were flushed.
    pub fn lose_power(&mut self) {
        self.names = self.stable_names.clone();
        for inode in &mut self.inodes {
            inode.now = inode.stable.clone();
        }
        self.revive();
    }

    /// The same, but the device had got to some of the sectors that were not flushed, as the seed has it.
    pub fn lose_power_partly(&mut self, mut seed: u64) {
        for Inode { now, stable } in &mut self.inodes {
            stable.length = stable.length.max(now.length);
            for at in (0..now.data.len()).step_by(SECTOR) {
                let end = now.data.len().min(at + SECTOR);
                let written = &now.data[at..end];
                if stable.data.get(at..end) == Some(written) {
                    continue;
                }
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if seed >> 63 != 0 {
                    stable.write(at as u64, written);
                }
            }
        }
        self.lose_power();
    }

    /// What is there now is what a power cut leaves.
    pub fn stabilize(&mut self) {
        self.stable_names = self.names.clone();
        for inode in &mut self.inodes {
            inode.stable = inode.now.clone();
        }
    }

    /// The process is gone and the machine lives on: everything written is there.
    pub fn revive(&mut self) {
        self.plan = None;
        self.dark = false;
        self.operations = 0;
    }

    fn next(&mut self, operation: Operation) -> Outcome {
        let number = self.operations;
        self.operations += 1;
        let eio = Outcome::Fail(io::ErrorKind::Other, EIO);
        if self.dark {
            return eio;
        }
        let outcome = match self.plan {
            Some(Plan::Eio(at)) if at == number => eio,
            Some(Plan::Short(at)) if at == number => Outcome::Half,
            Some(Plan::Full(at)) if at <= number && operation == Operation::Allocate => {
                Outcome::Fail(io::ErrorKind::StorageFull, 28)
            }
            Some(Plan::Cut(at, mask)) if at == number => {
                self.dark = true;
                Outcome::Sectors(mask)
            }
            _ => return Outcome::Go,
        };
        self.failed.push(operation);
        outcome
    }

    /// For what is not an operation of the queue.
    fn control(&mut self) -> io::Result<()> {
        match self.next(Operation::FlushDirectory) {
            Outcome::Go => Ok(()),
            Outcome::Half | Outcome::Sectors(_) => Err(io::Error::from_raw_os_error(EIO)),
            Outcome::Fail(_, errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn write(&mut self, inode: usize, at: u64, bytes: &[u8], durable: bool) -> Result<(), IoError> {
        let operation = Operation::Write;
        let Inode { now, stable } = match self.next(operation) {
            Outcome::Go => &mut self.inodes[inode],
            Outcome::Half => {
                let got = bytes.len() / 2 / SECTOR * SECTOR;
                self.inodes[inode].now.write(at, &bytes[..got]);
                return Err(IoError::Short { operation, wanted: bytes.len(), got });
            }
            Outcome::Sectors(mask) => {
                for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                    if mask >> (number % 64) & 1 != 0 {
                        let Inode { now, stable } = &mut self.inodes[inode];
                        now.write(at + (number * SECTOR) as u64, sector);
                        stable.write(at + (number * SECTOR) as u64, sector);
                    }
                }
                return Err(IoError::from_errno(operation, EIO));
            }
            Outcome::Fail(_, errno) => return Err(IoError::from_errno(operation, errno)),
        };
        let sectors = at / SECTOR as u64..(at + bytes.len() as u64) / SECTOR as u64;
        self.bad_sectors.retain(|(of, sector)| *of != inode || !sectors.contains(sector));
        now.write(at, bytes);
        if durable {
            stable.write(at, bytes);
            stable.length = stable.length.max(now.length);
        }
        Ok(())
    }

    fn go(&mut self, operation: Operation) -> Result<(), IoError> {
        match self.next(operation) {
            Outcome::Go => Ok(()),
            Outcome::Half | Outcome::Sectors(_) => Err(IoError::from_errno(operation, EIO)),
            Outcome::Fail(_, errno) => Err(IoError::from_errno(operation, errno)),
        }
    }

    fn open(&mut self, name: &str, mode: OpenMode) -> Result<usize, IoError> {
        self.go(Operation::Open)?;
        match (self.names.get(name), mode) {
            (Some(_), OpenMode::CreateNew) => Err(IoError::from_errno(Operation::Open, EEXIST)),
            (Some(&inode), _) => Ok(inode),
            (None, OpenMode::CreateNew) => {
                self.inodes.push(Inode::default());
                self.names.insert(name.into(), self.inodes.len() - 1);
                Ok(self.inodes.len() - 1)
            }
            (None, _) => Err(IoError::from_errno(Operation::Open, ENOENT)),
        }
    }
}

/// The disk; copies of the handle share it.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub shared: Arc<Mutex<Disk>>,
    /// If not 0, operations in flight complete in an order drawn from this, some of them later than others.
    pub shuffle: u64,
}

impl Memory {
    pub fn of(mut disk: Disk) -> Memory {
        disk.revive();
        Memory { shared: Arc::new(Mutex::new(disk)), shuffle: 0 }
    }

    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.shared.lock()
    }

    /// A backend that no arena bounds.
    pub fn attach(&self) -> MemoryBackend {
        let parker = Parker::new();
        MemoryBackend { memory: self.clone(), slots: vec![None; 64], queue: Vec::new(), draws: self.shuffle, parker }
    }
}

impl Place for Memory {
    type Backend = MemoryBackend;

    fn backend(&self, _: &Arena) -> MemoryBackend {
        self.attach()
    }

    /// Not much more than the longest file, which may get a footer: the matrix scans some ten thousand times.
    fn scan_bytes(&self) -> usize {
        let disk = self.disk();
        let longest = disk.names.values().map(|&inode| disk.inodes[inode].now.length as usize).max().unwrap_or(0);
        (longest.next_multiple_of(4096) + (16 << 10)).min(SCAN_BUFFER_BYTES)
    }
}

#[derive(Debug)]
pub struct MemoryBackend {
    memory: Memory,
    slots: Vec<Option<(usize, String)>>,
    queue: Vec<Op>,
    draws: u64,
    parker: Parker,
}

static INFO: LazyLock<BackendInfo> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let arena = Arena::new(4096).unwrap();
    let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(directory.path()) };
    iobackend::open(&config, &arena).unwrap().info().clone()
});

impl MemoryBackend {
    fn slot(&self, slot: FileSlot) -> Result<&(usize, String), i32> {
        self.slots[slot.index()].as_ref().ok_or(9)
    }

    fn execute(&mut self, op: Op) -> Completion {
        let operation = op.kind.operation();
        let (result, buffer) = match op.kind {
            OpKind::Write { file, at, buffer, len, durable } => {
                (self.write(file, at, &buffer[..len], durable), Some(buffer))
            }
            OpKind::Read { file, at, mut buffer, len } => (self.read(file, at, &mut buffer[..len]), Some(buffer)),
            OpKind::Open { file, name, mode } => {
                let opened = self.memory.disk().open(name.as_str(), mode);
                let opened = opened.map(|inode| self.slots[file.index()] = Some((inode, name.as_str().to_owned())));
                (opened, None)
            }
            OpKind::Flush { file } => (
                self.inode(file, operation).and_then(|inode| {
                    let mut disk = self.memory.disk();
                    disk.go(operation)?;
                    let Inode { now, stable } = &mut disk.inodes[inode];
                    stable.clone_from(now);
                    Ok(())
                }),
                None,
            ),
            OpKind::Allocate { file, len } => (
                self.inode(file, operation).and_then(|inode| {
                    let mut disk = self.memory.disk();
                    disk.go(operation)?;
                    let now = &mut disk.inodes[inode].now;
                    now.length = now.length.max(len);
                    Ok(())
                }),
                None,
            ),
            OpKind::FlushDirectory { name } => (self.flush_directory(name.as_str()), None),
        };
        Completion { token: op.token, result, buffer }
    }

    fn inode(&self, file: FileSlot, operation: Operation) -> Result<usize, IoError> {
        self.slot(file).map(|(inode, _)| *inode).map_err(|errno| IoError::from_errno(operation, errno))
    }

    fn write(&self, file: FileSlot, at: u64, bytes: &[u8], durable: bool) -> Result<(), IoError> {
        assert!(bytes.len().is_multiple_of(4096) && at.is_multiple_of(4096), "direct I/O is done in blocks");
        let inode = self.inode(file, Operation::Write)?;
        self.memory.disk().write(inode, at, bytes, durable)
    }

    fn read(&self, file: FileSlot, at: u64, out: &mut [u8]) -> Result<(), IoError> {
        assert!(out.len().is_multiple_of(4096) && at.is_multiple_of(4096), "direct I/O is done in blocks");
        let operation = Operation::Read;
        let inode = self.inode(file, operation)?;
        let mut disk = self.memory.disk();
        disk.go(operation)?;
        let wanted = out.len();
        if disk.is_bad(inode, at, wanted) {
            return Err(IoError::from_errno(operation, EIO));
        }
        let got = disk.inodes[inode].now.read(at, out);
        if got == wanted { Ok(()) } else { Err(IoError::Short { operation, wanted, got }) }
    }

    fn flush_directory(&self, directory: &str) -> Result<(), IoError> {
        let mut disk = self.memory.disk();
        disk.go(Operation::FlushDirectory)?;
        disk.publish(directory);
        Ok(())
    }

    fn draw(&mut self, below: usize) -> usize {
        self.draws ^= self.draws << 13;
        self.draws ^= self.draws >> 7;
        self.draws ^= self.draws << 17;
        (self.draws % below as u64) as usize
    }
}

impl Disk {
    fn publish(&mut self, directory: &str) {
        let prefix = if directory == "." { String::new() } else { format!("{directory}/") };
        let inside = |name: &str| name.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
        self.stable_names.retain(|name, _| !inside(name));
        self.stable_names
            .extend(self.names.iter().filter(|(name, _)| inside(name)).map(|(name, at)| (name.clone(), *at)));
    }
}

impl IoBackend for MemoryBackend {
    fn submit(&mut self, op: Op) -> Result<(), Op> {
        self.queue.push(op);
        Ok(())
    }

    /// Carries out what is queued, in order; or, shuffled, a part of it in an order of its own.
    fn poll(&mut self, done: &mut Vec<Completion>) {
        let mut left = self.queue.len();
        if self.draws != 0 && left > 1 {
            left = 1 + self.draw(left);
        }
        for _ in 0..left {
            let at = if self.draws == 0 { 0 } else { self.draw(self.queue.len()) };
            let op = self.queue.remove(at);
            done.push(self.execute(op));
        }
    }

    fn wait(&mut self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.parker.waker()
    }

    fn in_flight(&self) -> usize {
        self.queue.len()
    }

    fn depth(&self) -> usize {
        32
    }

    fn info(&self) -> &BackendInfo {
        &INFO
    }

    fn list(&mut self, directory: &str) -> io::Result<Vec<String>> {
        let mut disk = self.memory.disk();
        disk.control()?;
        let names = disk.names.keys();
        if directory == "." {
            let mut top: Vec<String> = names.filter_map(|name| name.split('/').next()).map(str::to_owned).collect();
            top.dedup();
            return Ok(top);
        }
        let inside = |name: &String| name.strip_prefix(directory)?.strip_prefix('/').map(str::to_owned);
        Ok(names.filter_map(inside).collect())
    }

    fn create_directory(&mut self, _: &str) -> io::Result<()> {
        self.memory.disk().control()
    }

    fn length(&mut self, file: FileSlot) -> io::Result<u64> {
        let mut disk = self.memory.disk();
        disk.control()?;
        let (inode, _) = self.slots[file.index()].as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(disk.inodes[*inode].now.length)
    }

    fn truncate(&mut self, file: FileSlot, len: u64) -> io::Result<()> {
        let mut disk = self.memory.disk();
        disk.control()?;
        let (inode, _) = self.slots[file.index()].as_ref().ok_or(io::ErrorKind::NotFound)?;
        let Inode { now, stable } = &mut disk.inodes[*inode];
        now.truncate(len);
        stable.clone_from(now);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.memory.disk();
        disk.control()?;
        disk.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let directory = name.rsplit_once('/').map_or(".", |(directory, _)| directory).to_owned();
        disk.publish(&directory);
        Ok(())
    }
}
