//! Engines on real threads and real files, in places of their own.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

use diatreme::{Builder, Client, Cores, Engine, Mode, StreamRef};
use std::path::Path;
use tempfile::TempDir;

/// A directory on the disk that builds go to.
pub fn on_disk() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A directory in memory, where there is such a place.
pub fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { on_disk() }
}

/// Copies files and directories, over those that are there.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Small segments, anywhere: the tests share few cores with others.
pub fn builder(root: &Path, shards: u16) -> Builder {
    Engine::builder(root).unencrypted().shards(shards).cores(Cores::Unpinned).segment_bytes(4 << 20)
}

pub fn open(root: &Path, shards: u16) -> Engine {
    builder(root, shards).open().unwrap()
}

/// The backends that this system allows.
pub fn modes() -> Vec<Mode> {
    let root = in_memory();
    let allowed =
        |mode: &Mode| builder(root.path(), 1).backend(*mode).open().is_ok_and(|engine| engine.close().is_ok());
    let modes: Vec<Mode> = [Mode::Sync, Mode::Uring].into_iter().filter(allowed).collect();
    assert!(modes.contains(&Mode::Sync));
    modes
}

/// What the record at an offset of a stream holds: different everywhere, and of different lengths.
pub fn payload(stream: &str, offset: u64) -> Vec<u8> {
    let mut payload = format!("{stream} {offset} ").into_bytes();
    payload.resize(payload.len() + (offset as usize * 37) % 500, offset as u8);
    payload
}

/// Appends `count` records after `from`, a few in flight.
pub fn fill(client: &mut Client, stream: &StreamRef, name: &str, from: u64, count: u64) {
    let mut acknowledged = 0;
    for offset in from..from + count {
        client.submit_append(stream, Some(offset), &[&payload(name, offset)]).unwrap();
        if offset % 16 == 0 {
            client.wait(|completion| assert!(completion.result.is_ok(), "{completion:?}")).unwrap();
        }
    }
    while client.in_flight() > 0 {
        acknowledged += client.wait(|completion| assert!(completion.result.is_ok(), "{completion:?}")).unwrap();
    }
    assert!(acknowledged > 0 || count == 0);
}

/// Reads a whole stream and checks every record.
pub fn check(client: &mut Client, stream: &StreamRef, name: &str, count: u64) {
    assert_eq!(client.head(stream).unwrap().next, count, "{name}");
    let mut next = 0;
    while next < count {
        let records = client.read(stream, next, 1000).unwrap();
        assert!(!records.is_empty(), "{name} at {next}");
        for record in records {
            assert_eq!(record.offset, next, "{name}");
            assert_eq!(record.payload, payload(name, next), "{name} at {next}");
            next += 1;
        }
    }
}
