//! A directory in memory, with nothing but its bytes: it never fails, and forgets nothing.

use iobackend::{
    BackendInfo, BackendKind, Completion, FileSlot, IoBackend, IoError, Op, OpKind, OpenMode, Operation, Parker, Waker,
};
use log::limits::FILE_SLOTS;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Files by their paths. Zeros at a file's end need not be stored: they are there up to its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk(pub BTreeMap<String, File>);

/// A file's bytes, as far as they are not zero to its end, and its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The bytes.
    pub data: Vec<u8>,
    /// The length.
    pub length: u64,
}

impl From<Vec<u8>> for File {
    fn from(data: Vec<u8>) -> File {
        File { length: data.len() as u64, data }
    }
}

impl File {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let end = at as usize + bytes.len();
        self.length = self.length.max(end as u64);
        if end > self.data.len() {
            if at as usize >= self.data.len() && bytes.iter().all(|&byte| byte == 0) {
                return;
            }
            self.data.resize(end, 0);
        }
        self.data[at as usize..end].copy_from_slice(bytes);
    }

    fn read(&self, at: u64, out: &mut [u8]) -> usize {
        let got = self.length.saturating_sub(at).min(out.len() as u64) as usize;
        let stored = self.data.get(at as usize..).unwrap_or(&[]);
        let stored = &stored[..stored.len().min(got)];
        out[..stored.len()].copy_from_slice(stored);
        out[stored.len()..got].fill(0);
        got
    }

    fn resize(&mut self, length: u64) {
        self.data.truncate(length as usize);
        self.length = length;
    }
}

/// A disk that several backends look at.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<Disk>>);

impl Shared {
    /// Over a disk.
    #[must_use]
    pub fn new(disk: Disk) -> Shared {
        Shared(Arc::new(Mutex::new(disk)))
    }

    /// The disk itself.
    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A backend on it.
    #[must_use]
    pub fn attach(&self) -> Attached {
        Attached { shared: self.clone(), slots: vec![None; FILE_SLOTS], queue: Vec::new(), parker: Parker::new() }
    }
}

/// A backend on a [`Shared`] disk. A slot holds a name and not a file, so that the file may be replaced by another.
#[derive(Debug)]
pub struct Attached {
    shared: Shared,
    slots: Vec<Option<String>>,
    queue: Vec<Op>,
    parker: Parker,
}

static INFO: LazyLock<BackendInfo> = LazyLock::new(|| BackendInfo {
    kind: BackendKind::Sync,
    direct: false,
    alignment: log::format::BLOCK_BYTES,
    fixed_buffers: false,
    notes: Vec::new(),
});

const ENOENT: i32 = 2;
const EEXIST: i32 = 17;

impl Attached {
    /// Does something to the file in a slot.
    fn with<T>(&self, slot: FileSlot, act: impl FnOnce(&mut File) -> T) -> Option<T> {
        let name = self.slots[slot.index()].as_ref()?;
        self.shared.disk().0.get_mut(name).map(act)
    }

    fn open(&mut self, slot: FileSlot, name: &str, mode: OpenMode) -> Result<(), i32> {
        let mut disk = self.shared.disk();
        match (disk.0.contains_key(name), mode) {
            (true, OpenMode::CreateNew) => return Err(EEXIST),
            (false, OpenMode::CreateNew) => _ = disk.0.insert(name.to_owned(), File::default()),
            (true, _) => {}
            (false, _) => return Err(ENOENT),
        }
        drop(disk);
        self.slots[slot.index()] = Some(name.to_owned());
        Ok(())
    }

    fn execute(&mut self, op: Op) -> Completion {
        let operation = op.kind.operation();
        let missing = || IoError::from_errno(operation, ENOENT);
        let (result, buffer) = match op.kind {
            OpKind::Write { file, at, buffer, len, .. } => {
                (self.with(file, |file| file.write(at, &buffer[..len])).ok_or_else(missing), Some(buffer))
            }
            OpKind::Read { file, at, mut buffer, len } => {
                let got = self.with(file, |file| file.read(at, &mut buffer[..len]));
                let result = match got {
                    Some(got) if got == len => Ok(()),
                    Some(got) => Err(IoError::Short { operation: Operation::Read, wanted: len, got }),
                    None => Err(missing()),
                };
                (result, Some(buffer))
            }
            OpKind::Open { file, name, mode } => {
                (self.open(file, name.as_str(), mode).map_err(|errno| IoError::from_errno(operation, errno)), None)
            }
            OpKind::Allocate { file, len } => {
                (self.with(file, |file| file.length = file.length.max(len)).ok_or_else(missing), None)
            }
            OpKind::Flush { .. } | OpKind::FlushDirectory { .. } => (Ok(()), None),
        };
        Completion { token: op.token, result, buffer }
    }
}

impl IoBackend for Attached {
    fn submit(&mut self, op: Op) -> Result<(), Op> {
        self.queue.push(op);
        Ok(())
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        for op in std::mem::take(&mut self.queue) {
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
        log::limits::IO_DEPTH
    }

    fn info(&self) -> &BackendInfo {
        &INFO
    }

    fn list(&mut self, directory: &str) -> io::Result<Vec<String>> {
        let disk = self.shared.disk();
        let names = disk.0.keys();
        if directory == "." {
            let mut top: Vec<String> = names.filter_map(|name| name.split('/').next()).map(str::to_owned).collect();
            top.dedup();
            return Ok(top);
        }
        let inside = |name: &String| name.strip_prefix(directory)?.strip_prefix('/').map(str::to_owned);
        Ok(names.filter_map(inside).collect())
    }

    fn create_directory(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn length(&mut self, file: FileSlot) -> io::Result<u64> {
        self.with(file, |file| file.length).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn truncate(&mut self, file: FileSlot, len: u64) -> io::Result<()> {
        self.with(file, |file| file.resize(len)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.shared.disk().0.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
