//! Chooses and opens a backend, and says why it is the one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::IoBackend;
use crate::arena::Arena;
use crate::config::{BackendConfig, BackendInfo, Mode};
use crate::direct::DirectIo;
use crate::error::{OpenError, RingError};
use crate::files::Files;
use crate::limits::{DEPTH_MAX, FILE_SLOTS_MAX};
use crate::op::{Completion, FileSlot, Op};
use crate::sync::SyncBackend;
#[cfg(target_os = "linux")]
use crate::uring::{self, UringBackend};
use crate::waker::Waker;

/// One of the real backends. An enum and not a trait object: the shard's loop
/// calls it every turn.
#[allow(clippy::large_enum_variant, reason = "one a shard, moved once")]
pub enum Backend {
    /// io_uring.
    #[cfg(target_os = "linux")]
    Uring(UringBackend),
    /// Ordinary system calls.
    Sync(SyncBackend),
}

/// Opens the backend that `config` asks for. All buffers of its operations must
/// come from `arena`, which a ring registers with the kernel as a whole; more
/// may be carved from it afterwards.
///
/// # Errors
///
/// When the configuration is out of range, the root cannot be used, or a ring
/// that was asked for by name cannot be had. [`Mode::Auto`] falls back instead.
pub fn open(config: &BackendConfig, arena: &Arena) -> Result<Backend, OpenError> {
    let &BackendConfig { depth, file_slots, mode, .. } = config;
    if depth == 0 || depth > DEPTH_MAX {
        return Err(OpenError::Depth { depth });
    }
    if file_slots == 0 || file_slots > FILE_SLOTS_MAX {
        return Err(OpenError::FileSlots { file_slots });
    }
    let bad_root = |error| OpenError::Root { path: config.root.clone(), error };
    // Absolute, so that a later change of the working directory is no concern.
    let root = config.root.canonicalize().map_err(bad_root)?;
    if !root.is_dir() {
        return Err(bad_root(io::Error::from_raw_os_error(libc::ENOTDIR)));
    }
    let direct = DirectIo::probe(&root, config.direct);
    let files = Files::new(root, file_slots, direct, Arc::clone(arena.region()));
    if mode == Mode::Sync {
        let notes = vec!["synchronous backend: as configured".to_owned()];
        return Ok(Backend::Sync(SyncBackend::new(files, depth, notes)));
    }
    match open_ring(config, files, Vec::new()) {
        Ok(ring) => Ok(ring),
        Err((reason, files)) if mode == Mode::Auto => Ok(without_ring(depth, files, &reason, Vec::new())),
        Err((reason, files)) if mode == Mode::Sqpoll && config.or_auto => {
            let notes = vec![format!("no submission polling: {reason}")];
            let entered = BackendConfig { mode: Mode::Auto, ..config.clone() };
            open_ring(&entered, files, notes.clone())
                .or_else(|(reason, files)| Ok(without_ring(depth, files, &reason, notes)))
        }
        Err((reason, _)) => Err(OpenError::RingUnavailable { mode, reason }),
    }
}

fn without_ring(depth: usize, files: Files, reason: &RingError, mut notes: Vec<String>) -> Backend {
    notes.push(format!("synchronous backend: {reason}"));
    Backend::Sync(SyncBackend::new(files, depth, notes))
}

/// Opens a ring, or says why not and gives the files back.
#[cfg(target_os = "linux")]
fn open_ring(config: &BackendConfig, files: Files, notes: Vec<String>) -> Result<Backend, (RingError, Files)> {
    match uring::set_up(config, &files, notes) {
        Ok(setup) => Ok(Backend::Uring(UringBackend::new(setup, files, config.depth))),
        Err(reason) => Err((reason, files)),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_ring(_: &BackendConfig, files: Files, _: Vec<String>) -> Result<Backend, (RingError, Files)> {
    Err((RingError::NotLinux, files))
}

#[cfg(target_os = "linux")]
impl Backend {
    /// The ring's descriptor, for [`BackendConfig::sqpoll_attach`] of the next
    /// one; `None` without a ring. Valid as long as the backend lives.
    #[must_use]
    pub fn ring_fd(&self) -> Option<std::os::fd::RawFd> {
        match self {
            Self::Uring(ring) => Some(ring.ring_fd()),
            Self::Sync(_) => None,
        }
    }
}

/// Runs an expression on whichever backend it is.
macro_rules! each {
    ($self:expr, $backend:ident => $call:expr) => {
        match $self {
            #[cfg(target_os = "linux")]
            Backend::Uring($backend) => $call,
            Backend::Sync($backend) => $call,
        }
    };
}

impl IoBackend for Backend {
    #[inline]
    fn submit(&mut self, op: Op) -> Result<(), Op> {
        each!(self, backend => backend.submit(op))
    }

    #[inline]
    fn poll(&mut self, done: &mut Vec<Completion>) {
        each!(self, backend => backend.poll(done));
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        each!(self, backend => backend.wait(timeout))
    }

    fn waker(&self) -> Waker {
        each!(self, backend => backend.waker())
    }

    #[inline]
    fn in_flight(&self) -> usize {
        each!(self, backend => backend.in_flight())
    }

    #[inline]
    fn depth(&self) -> usize {
        each!(self, backend => backend.depth())
    }

    fn info(&self) -> &BackendInfo {
        each!(self, backend => backend.info())
    }

    fn list(&mut self, directory: &str) -> io::Result<Vec<String>> {
        each!(self, backend => backend.list(directory))
    }

    fn create_directory(&mut self, directory: &str) -> io::Result<()> {
        each!(self, backend => backend.create_directory(directory))
    }

    fn length(&mut self, file: FileSlot) -> io::Result<u64> {
        each!(self, backend => backend.length(file))
    }

    fn truncate(&mut self, file: FileSlot, len: u64) -> io::Result<()> {
        each!(self, backend => backend.truncate(file, len))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        each!(self, backend => backend.remove(name))
    }
}
