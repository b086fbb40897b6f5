//! One process at a time has a key store open.

use crate::error::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// The name of the file that is locked, in the store's directory.
const NAME: &str = "LOCK";

/// The store is locked for as long as this lives, and released by the system if the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Option<File>,
}

/// Closing the file would not do: a child that this process starts meanwhile has the file too, until it executes its program.
impl Drop for Lock {
    fn drop(&mut self) {
        // If that fails, closing it is all that there is.
        let _closed_next = self.file.as_ref().map(File::unlock);
    }
}

impl Lock {
    /// Locks a directory that is there.
    pub(crate) fn hold(directory: &Path) -> Result<Lock, Error> {
        let path = directory.join(NAME);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(Error::system("lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
            Err(TryLockError::Error(error)) => Err(Error::system("lock", &path)(error)),
        }
    }

    /// For tests whose files are not the machine's.
    #[cfg(test)]
    pub(crate) fn none() -> Lock {
        Lock { file: None }
    }
}
