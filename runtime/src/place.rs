//! A data directory of this machine.

use iobackend::{Arena, Backend, BackendConfig, Mode};
use log::SCAN_BUFFER_BYTES;
use recovery::{Cold, Error, Place};
use std::path::Path;

/// A data directory, by its path.
pub(crate) struct Root<'a>(&'a Path);

impl<'a> Root<'a> {
    pub(crate) fn new(path: &'a Path) -> Root<'a> {
        Root(path)
    }
}

impl Place for Root<'_> {
    type Backend = Backend;

    fn cold(&self) -> Result<Cold<Backend>, Error> {
        let mut arena = Arena::new(SCAN_BUFFER_BYTES).map_err(Error::Memory)?;
        let Some(buffer) = arena.take(SCAN_BUFFER_BYTES) else {
            unreachable!("the arena is as large as the buffer");
        };
        let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(self.0) };
        Ok(Cold::new(iobackend::open(&config, &arena)?, buffer))
    }

    fn threads(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
