//! What both real backends know about their files: the root directory, which
//! name each slot holds, how files are opened, and the cold control operations,
//! which go by name and through the standard library.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
#[cfg(target_os = "linux")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::arena::{Buffer, Region};
use crate::direct::{DirectIo, PROBE_PREFIX};
use crate::op::{FileName, FileSlot, OpKind};
#[cfg(target_os = "linux")]
use crate::sys;

/// New files belong to the engine's user alone, and so do directories.
pub(crate) const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

#[derive(Clone, Copy, Default)]
struct Slot {
    name: Option<FileName>,
    opening: bool,
}

pub(crate) struct Files {
    root: PathBuf,
    slots: Box<[Slot]>,
    pub(crate) direct: DirectIo,
    region: Arc<Region>,
}

impl Files {
    pub(crate) fn new(root: PathBuf, slots: usize, direct: DirectIo, region: Arc<Region>) -> Self {
        Self { root, slots: vec![Slot::default(); slots].into(), direct, region }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Checks what an operation asks against what its caller promised, and
    /// notes the start of an open.
    ///
    /// # Panics
    ///
    /// As [`IoBackend::submit`](crate::IoBackend::submit) says.
    pub(crate) fn begin(&mut self, kind: &OpKind) {
        match kind {
            OpKind::Write { file, at, buffer, len, .. } | OpKind::Read { file, at, buffer, len } => {
                self.check_idle(*file);
                self.check_transfer(*at, buffer, *len);
            }
            OpKind::Flush { file } => self.check_idle(*file),
            OpKind::Allocate { file, len } => {
                self.check_idle(*file);
                assert!(*len > 0, "allocating zero bytes");
            }
            OpKind::Open { file, .. } => {
                self.check_idle(*file);
                self.slots[file.index()].opening = true;
            }
            OpKind::FlushDirectory { .. } => {}
        }
    }

    /// Notes the end of an open: the slot's new name, or none if it failed.
    pub(crate) fn end_open(&mut self, file: FileSlot, opened: Option<FileName>) {
        let slot = &mut self.slots[file.index()];
        slot.opening = false;
        if opened.is_some() {
            slot.name = opened;
        }
    }

    // An operation that overtakes the open it was meant for would reach the
    // file that the slot held before, perhaps over acknowledged data.
    fn check_idle(&self, file: FileSlot) {
        let count = self.slots.len();
        assert!(file.index() < count, "{file:?} of {count} slots");
        assert!(!self.slots[file.index()].opening, "{file:?} is being opened");
    }

    fn check_transfer(&self, at: u64, buffer: &Buffer, len: usize) {
        let size = buffer.len();
        assert!(len > 0 && len <= size, "{len} bytes of a buffer of {size}");
        assert!(buffer.is_of(&self.region), "the buffer is not of the arena that the backend was opened with");
        // The file's end as the kernel counts it is signed.
        assert!(
            at.checked_add(len as u64).is_some_and(|end| end <= i64::MAX as u64),
            "{len} bytes at byte {at} end beyond the largest file"
        );
        let block = self.direct.alignment;
        assert!(
            !self.direct.on || (len.is_multiple_of(block) && at.is_multiple_of(block as u64)),
            "direct I/O of {len} bytes at byte {at} is not in blocks of {block}"
        );
    }

    fn name_in(&self, file: FileSlot) -> io::Result<FileName> {
        let name = self.slots.get(file.index()).and_then(|slot| slot.name);
        name.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("file slot {} holds no file", file.0)))
    }

    pub(crate) fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let directory = FileName::new(directory)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(directory.as_str()))? {
            // The engine makes no name that is not UTF-8; a stranger's is shown as well as can be.
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.starts_with(PROBE_PREFIX) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn create_directory(&self, directory: &str) -> io::Result<()> {
        let directory = FileName::new(directory)?;
        let path = self.path(directory.as_str());
        match DirBuilder::new().mode(DIRECTORY_MODE).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            other => other?,
        }
        // Also when it was there: whoever made it may have crashed before this flush.
        self.flush_directory(directory.parent())
    }

    pub(crate) fn flush_directory(&self, directory: &str) -> io::Result<()> {
        let mut as_directory = OpenOptions::new();
        as_directory.read(true).custom_flags(libc::O_DIRECTORY);
        as_directory.open(self.path(directory))?.sync_all()
    }

    pub(crate) fn length(&self, file: FileSlot) -> io::Result<u64> {
        let name = self.name_in(file)?;
        Ok(fs::metadata(self.path(name.as_str()))?.len())
    }

    pub(crate) fn truncate(&self, file: FileSlot, len: u64) -> io::Result<()> {
        let file = self.writable(file)?;
        file.set_len(len)?;
        file.sync_all()
    }

    /// Stands in for `fallocate` where the file system has none.
    #[cfg(target_os = "linux")]
    pub(crate) fn extend(&self, file: FileSlot, len: u64) -> io::Result<()> {
        sys::extend(&self.writable(file)?, len)
    }

    fn writable(&self, file: FileSlot) -> io::Result<File> {
        let name = self.name_in(file)?;
        OpenOptions::new().write(true).open(self.path(name.as_str()))
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let name = FileName::new(name)?;
        fs::remove_file(self.path(name.as_str()))?;
        self.flush_directory(name.parent())
    }
}
