//! Where a data directory lies.

use crate::Error;
use iobackend::{Buffer, IoBackend};
use log::LogError;
use log::format::manifest::{Identity, Manifest};

/// A data directory, and how to reach it for opening and closing: sequential, blocking, so the simplest backend will do.
pub trait Place: Sync {
    /// What reads and writes it.
    type Backend: IoBackend;

    /// A backend of its own for one thread, with a buffer of [`SCAN_BUFFER_BYTES`](log::SCAN_BUFFER_BYTES).
    ///
    /// # Errors
    /// What keeps it from being opened.
    fn cold(&self) -> Result<Cold<Self::Backend>, Error>;

    /// Which directory this is, so that a copy of it is told from it; [`Identity::UNKNOWN`] where nothing says so.
    fn identity(&self) -> Identity;

    /// Logs that are recovered at a time, each by a thread; with 1, the calling thread recovers them in turn.
    fn threads(&self) -> usize;
}

/// A backend for opening and closing, and what it reads into.
#[derive(Debug)]
pub struct Cold<B> {
    pub(crate) backend: B,
    pub(crate) buffer: Option<Buffer>,
}

impl<B: IoBackend> Cold<B> {
    /// Takes the backend, and a buffer that it accepts, of [`SCAN_BUFFER_BYTES`](log::SCAN_BUFFER_BYTES).
    pub fn new(backend: B, buffer: Buffer) -> Cold<B> {
        Cold { backend, buffer: Some(buffer) }
    }

    pub(crate) fn write(&mut self, manifest: &Manifest) -> Result<(), Error> {
        Ok(log::write_manifest(&mut self.backend, &mut self.buffer, manifest)?)
    }

    /// Random bytes for an identity.
    pub(crate) fn random<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        let drawn = self.backend.random(&mut bytes);
        let path = "the manifest".into();
        drawn.map_err(|source| LogError::System { doing: "draw random bytes for", path, source })?;
        Ok(bytes)
    }
}
