//! One process at a time has a data directory open.

use crate::OpenError;
use log::format::LOCK;
use log::format::manifest::Identity;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// The directory is locked for as long as this lives, and released by the system if the process dies.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
}

/// Closing the file would not do: a child that this process starts meanwhile has the file too, until it executes its program.
impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // If that fails, closing it is all that there is.
        let _closed_next = self.file.unlock();
    }
}

impl DirectoryLock {
    /// For writing: no other process may have the directory open.
    ///
    /// # Errors
    /// If another process has it, or it cannot be locked.
    pub fn exclusive(directory: &Path) -> Result<DirectoryLock, OpenError> {
        let path = directory.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| OpenError::Directory { doing: "write in", path: directory.into(), source })?;
        Self::hold(file.try_lock(), file, &path)
    }

    /// For reading: no process may be writing. A directory that was never opened has nothing to lock.
    ///
    /// # Errors
    /// If another process has it open, or it cannot be read.
    pub fn shared(directory: &Path) -> Result<Option<DirectoryLock>, OpenError> {
        let path = directory.join(LOCK);
        match File::open(&path) {
            Ok(file) => Self::hold(file.try_lock_shared(), file, &path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && directory.is_dir() => Ok(None),
            Err(source) => Err(OpenError::Directory { doing: "read", path: directory.into(), source }),
        }
    }

    /// Which file the lock is: a copy of the directory has another.
    #[cfg(unix)]
    pub(crate) fn identity(&self) -> Identity {
        use std::os::unix::fs::MetadataExt;
        let known = |found: std::fs::Metadata| Identity { device: found.dev(), inode: found.ino() };
        self.file.metadata().map_or(Identity::UNKNOWN, known)
    }

    /// The platform does not say.
    #[cfg(not(unix))]
    pub(crate) fn identity(&self) -> Identity {
        Identity::UNKNOWN
    }

    fn hold(locked: Result<(), TryLockError>, file: File, path: &Path) -> Result<DirectoryLock, OpenError> {
        match locked {
            Ok(()) => Ok(DirectoryLock { file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: PathBuf::from(path) }),
            Err(TryLockError::Error(source)) => Err(OpenError::Directory { doing: "lock", path: path.into(), source }),
        }
    }
}
