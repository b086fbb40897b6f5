//! The floor of an opening: the same files read and checksummed, and nothing else done with them.

use iobackend::{Arena, BackendConfig, FileName, FileSlot, IoBackend, Mode, OpKind, OpenMode};
use log::SCAN_BUFFER_BYTES;
use log::format::crc;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

/// How fast files are read, with every byte checksummed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReadingFloor {
    pub(crate) threads: usize,
    pub(crate) bytes: u64,
    /// Of the fastest pass, where there were several.
    pub(crate) elapsed_sec: f64,
}

/// Reads `logs`, each a list of files below `root` and the work of one thread, as an opening does: with the same backend,
/// in pieces of the same size, and computes the checksum over all of them.
///
/// # Errors
/// What the system refuses.
pub(crate) fn reading(root: &Path, logs: &[Vec<String>], threads: usize) -> Result<ReadingFloor, String> {
    let threads = threads.clamp(1, logs.len().max(1));
    let since = Instant::now();
    let bytes = pass(root, logs, threads)?;
    Ok(ReadingFloor { threads, bytes, elapsed_sec: since.elapsed().as_secs_f64() })
}

fn pass(root: &Path, logs: &[Vec<String>], threads: usize) -> Result<u64, String> {
    let queue = Mutex::new(logs.iter());
    let work = || {
        let mut bytes = 0;
        loop {
            let log = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
            let Some(log) = log else { return Ok(bytes) };
            bytes += read(root, log)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|bytes| bytes.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).sum()
    })
}

/// Reads the files of a log; gives their bytes, in whole blocks.
fn read(root: &Path, files: &[String]) -> Result<u64, String> {
    let refused = |error: &dyn std::fmt::Display| format!("reading and checksumming {}: {error}", root.display());
    let mut arena = Arena::new(SCAN_BUFFER_BYTES).map_err(|error| refused(&error))?;
    let mut buffer = arena.take(SCAN_BUFFER_BYTES).ok_or_else(|| refused(&"no memory"))?;
    let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(root) };
    let mut backend = iobackend::open(&config, &arena).map_err(|error| refused(&error))?;
    let (file, mut all) = (FileSlot(0), 0);
    for name in files {
        let name = FileName::new(name).map_err(|error| refused(&error))?;
        let opened = backend.run(OpKind::Open { file, name, mode: OpenMode::ReadOnly }).0;
        opened.map_err(|error| refused(&error))?;
        let length = backend.length(file).map_err(|error| refused(&error))?;
        let end = length / log::format::BLOCK_BYTES as u64 * log::format::BLOCK_BYTES as u64;
        for at in (0..end).step_by(SCAN_BUFFER_BYTES) {
            let len = (end - at).min(SCAN_BUFFER_BYTES as u64) as usize;
            let (done, back) = backend.run(OpKind::Read { file, at, buffer, len });
            buffer = back.ok_or_else(|| refused(&"the buffer is gone"))?;
            done.map_err(|error| refused(&error))?;
            black_box(crc(&buffer[..len]));
        }
        all += end;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_block_is_read_once_and_what_is_missing_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("log")).unwrap();
        for (name, bytes) in [("log/a", 3 * 4096), ("log/b", SCAN_BUFFER_BYTES + 4096 + 100), ("c", 0)] {
            fs::write(root.path().join(name), vec![7; bytes]).unwrap();
        }
        let logs = [vec!["log/a".to_owned(), "log/b".into()], vec!["c".into()]];
        let floor = reading(root.path(), &logs, 7).unwrap();
        assert_eq!((floor.threads, floor.bytes), (2, (SCAN_BUFFER_BYTES + 4 * 4096) as u64));
        assert!(floor.elapsed_sec > 0.0);
        let missing = reading(root.path(), &[vec!["d".into()]], 1).unwrap_err();
        assert!(missing.contains(&root.path().display().to_string()), "{missing}");
    }
}
