//! Where the suites' files go.

use iobackend::{Arena, Backend, BackendConfig, Mode};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Names a directory on the device that is to be measured.
const DIRECTORY: &str = "DIATREME_BENCH_DIR";

/// A new directory that goes away when it is dropped: in the one that `DIATREME_BENCH_DIR` names, else in `default`, which is
/// to be `env!("CARGO_TARGET_TMPDIR")`. Not in the system's temporary directory: it is often in memory, where a durable
/// write costs nothing.
///
/// # Panics
/// If none can be made there.
#[must_use]
pub fn directory(default: &str) -> TempDir {
    let parent = std::env::var_os(DIRECTORY).map_or_else(|| PathBuf::from(default), PathBuf::from);
    tempfile::tempdir_in(&parent).unwrap_or_else(|error| {
        panic!("{}: {error}; name a directory that can be written in {DIRECTORY}", parent.display())
    })
}

/// Opens a real backend on `root`; `None`, with a line that says why, where there is none of this mode.
#[must_use]
pub fn open_backend(root: &Path, mode: Mode, arena: &Arena) -> Option<Backend> {
    let config = BackendConfig { mode, ..BackendConfig::new(root) };
    iobackend::open(&config, arena).map_err(|error| eprintln!("skipped, no backend of mode {mode}: {error}")).ok()
}
