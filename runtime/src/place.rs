//! A data directory of this machine.

use crate::lock::DirectoryLock;
use iobackend::{Arena, Backend, BackendConfig, Buffer, Mode};
use log::SCAN_BUFFER_BYTES;
use log::format::manifest::Identity;
use recovery::{Cold, Error, Place};
use std::path::Path;

/// A data directory, by its path, that this process has locked.
pub(crate) struct Root<'a> {
    path: &'a Path,
    identity: Identity,
}

impl<'a> Root<'a> {
    pub(crate) fn new(path: &'a Path, lock: &DirectoryLock) -> Root<'a> {
        Root { path, identity: lock.identity() }
    }
}

impl Place for Root<'_> {
    type Backend = Backend;

    fn cold(&self) -> Result<Cold<Backend>, Error> {
        let (backend, buffer) = cold_backend(self.path)?;
        Ok(Cold::new(backend, buffer))
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn threads(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}

/// A backend for reading in order, with a buffer of [`SCAN_BUFFER_BYTES`].
pub(crate) fn cold_backend(path: &Path) -> Result<(Backend, Buffer), Error> {
    let mut arena = Arena::new(SCAN_BUFFER_BYTES).map_err(Error::Memory)?;
    let Some(buffer) = arena.take(SCAN_BUFFER_BYTES) else {
        unreachable!("the arena is as large as the buffer");
    };
    let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(path) };
    Ok((iobackend::open(&config, &arena)?, buffer))
}
