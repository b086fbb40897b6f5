//! Power goes, the process is killed, or an operation fails at each I/O of an opening: the next one finds the same.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

extern crate log as diatreme_log;

mod harness;
/// The disk of the log's own tests.
#[allow(dead_code, unreachable_pub, reason = "one disk for all tests, of which each uses its part")]
#[path = "../../log/tests/harness/memory.rs"]
mod memory;

use diatreme::{Damage, Engine, Torn};
use harness::{builder, fill, in_memory};
use iobackend::{Arena, IoBackend};
use kernel::{Limits, StreamSlot};
use log::format::manifest::Identity;
use memory::{Bytes, Disk, Memory, MemoryBackend, Plan};
use parking_lot::Mutex;
use recovery::{Cold, Opened, Opening, Progress};
use std::fs;
use std::path::Path;

/// What the disk asks of those who use it.
#[allow(dead_code, reason = "only the log's tests make a backend by it")]
trait Place: Sync {
    type Backend: IoBackend;
    fn backend(&self, arena: &Arena) -> Self::Backend;
    fn scan_bytes(&self) -> usize {
        log::SCAN_BUFFER_BYTES
    }
}

struct Machine {
    memory: Memory,
    threads: usize,
}

impl recovery::Place for Machine {
    type Backend = MemoryBackend;

    fn cold(&self) -> Result<Cold<MemoryBackend>, recovery::Error> {
        let bytes = self.memory.scan_bytes();
        let buffer = Arena::new(bytes).unwrap().take(bytes).unwrap();
        Ok(Cold::new(self.memory.attach(), buffer))
    }

    fn identity(&self) -> Identity {
        Identity { device: 1, inode: 1 }
    }

    fn threads(&self) -> usize {
        self.threads
    }
}

fn opening(memory: &Memory, shards: u16) -> Result<Opened, recovery::Error> {
    let opening = Opening { shards, places: &[], at_least: 0, limits: Limits::default(), watch: &|_| {} };
    recovery::open(&Machine { memory: memory.clone(), threads: 1 }, &opening)
}

/// What an opening comes to, but for what an earlier one may have cut and sealed already.
#[derive(Debug, PartialEq)]
struct Found {
    state_hashes: Vec<[u8; 32]>,
    /// Of each stream where it ends, and where its parts lie.
    streams: Vec<String>,
    /// Streams that take no appends.
    refused: Vec<(u64, u32)>,
    starts: Vec<log::LogStart>,
    frontiers: Vec<log::format::segment::Base>,
    damage: Vec<Damage>,
    frozen: usize,
    segments: usize,
}

fn found(opened: &Opened) -> (Found, Vec<Torn>) {
    let (mut state_hashes, mut streams, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (shard, _) in &opened.shards {
        state_hashes.push(shard.kernel.state_hash());
        for (slot, start) in shard.streams.iter().enumerate() {
            let runs: Vec<_> =
                start.runs.iter().map(|run| (run.segment.id, run.segment.end, run.first_offset)).collect();
            let log::StreamStart { tenant, stream, next_offset, timestamp, position, link, .. } = start;
            streams.push(format!("{tenant} {stream}: {next_offset} {timestamp} {position} {link:?} {runs:?}"));
            let view = shard.kernel.stream(StreamSlot(slot as u32));
            refused.extend(view.frozen.then_some((view.tenant.0, view.stream.0)));
        }
    }
    streams.sort();
    refused.sort();
    let recovery::RecoveryReport { damage, frozen, segments, torn, .. } = opened.report.clone();
    let starts = opened.shards.iter().map(|(_, start)| *start).collect();
    let frontiers = opened.manifest.frontiers.clone();
    (Found { state_hashes, streams, refused, starts, frontiers, damage, frozen, segments }, torn)
}

/// Three logs of a directory that had three shards, then two, and crashed with those: one log torn, one in order, and, if it is
/// wished, one damaged.
fn crashed(damaged: bool) -> Disk {
    let root = in_memory();
    let use_it = |engine: &Engine, from: u64, count: u64| {
        let mut client = engine.client();
        for tenant in ["acme", "bolt", "crux", "dyne", "echo"] {
            for stream in ["events", "audit"] {
                let stream_ref = client.ensure_stream(tenant, stream).unwrap();
                fill(&mut client, &stream_ref, &format!("{tenant} {stream}"), from, count);
            }
        }
    };
    let engine = builder(root.path(), 3).open().unwrap();
    use_it(&engine, 0, 20);
    engine.close().unwrap();
    let engine = builder(root.path(), 2).open().unwrap();
    use_it(&engine, 20, 20);
    use_it(&engine, 40, 1);
    // As a crash would leave it: the files, in the middle of the life of the engine.
    let mut disk = Disk::default();
    put(root.path(), "", &mut disk);
    drop(engine);

    let newest = disk.segments().into_iter().filter(|name| name.ends_with("00000002.seg")).collect::<Vec<_>>();
    assert_eq!(newest, ["shard-0000/00000002.seg", "shard-0001/00000002.seg"]);
    let torn = disk.file(&newest[0]);
    let end = torn.data.len().next_multiple_of(4096) as u64;
    torn.flip(end + 100, 0xA5);
    if damaged {
        // In the first frame after the header, which later ones vouch for.
        disk.file(&newest[1]).flip(4096 + 140, 1);
    }
    disk.stabilize();
    disk
}

/// Loads files. Most of what was never written goes, or each opening would read megabytes of zeros.
fn put(directory: &Path, prefix: &str, disk: &mut Disk) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            put(&entry.path(), &format!("{name}/"), disk);
            continue;
        }
        let mut data = fs::read(entry.path()).unwrap();
        let used = data.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let length = data.len().min(used.next_multiple_of(4096) + (32 << 10)) as u64;
        data.truncate(used);
        disk.put(&name, Bytes { data, length });
    }
}

/// How an opening was ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Power,
    Kill,
    Eio,
}

#[test]
fn an_opening_that_is_interrupted_anywhere_changes_nothing_for_the_next() {
    let mut interrupted = 0;
    for damaged in [false, true] {
        let disk = crashed(damaged);
        for shards in [2, 1, 4] {
            let whole = Memory::of(disk.clone());
            let (expected, torn) = found(&opening(&whole, shards).unwrap());
            assert_eq!((expected.damage.is_empty(), torn.len()), (!damaged, 1), "{expected:?} {torn:?}");
            let ends = [0, 1, 0x5555_5555_5555_5555, u64::MAX].map(|mask| (End::Power, mask));
            for (end, mask) in ends.into_iter().chain([(End::Kill, 0), (End::Kill, 0xFF), (End::Eio, 0)]) {
                for at in 0.. {
                    let memory = Memory::of(disk.clone());
                    let plan = if let End::Eio = end { Plan::Eio(at) } else { Plan::Cut(at, mask) };
                    memory.disk().plan = Some(plan);
                    let ended = opening(&memory, shards);
                    if memory.disk().failed.is_empty() {
                        break;
                    }
                    match end {
                        // A block that cannot be read is judged as a bad one, and no interruption.
                        End::Eio if ended.is_ok() => continue,
                        End::Power => memory.disk().lose_power(),
                        End::Kill | End::Eio => memory.disk().revive(),
                    }
                    interrupted += 1;
                    let what = format!("damaged: {damaged}, {shards} shards, {end:?} at {at}, {mask:x}");
                    let again = opening(&memory, shards).unwrap_or_else(|error| panic!("{what}: {error}"));
                    let (again, torn_again) = found(&again);
                    assert_eq!(again, expected, "{what}");
                    assert!(torn_again.iter().all(|again| torn.contains(again)), "{what}: {torn_again:?}");
                }
            }
        }
    }
    assert!(interrupted > 1000, "{interrupted}");
}

/// Logs are taken from a queue: however many threads do it, the result is the same, and the progress ends with the last byte.
#[test]
fn threads_share_the_logs_and_come_to_the_same() {
    let disk = crashed(true);
    let (expected, _) = found(&opening(&Memory::of(disk.clone()), 2).unwrap());
    for threads in [2, 3, 8] {
        let last = Mutex::new(Progress::default());
        let watch = |now: Progress| {
            let mut last = last.lock();
            last.done = last.done.max(now.done);
            last.total = last.total.max(now.total);
        };
        let opening = Opening { shards: 2, places: &[], at_least: 0, limits: Limits::default(), watch: &watch };
        let machine = Machine { memory: Memory::of(disk.clone()), threads };
        let opened = recovery::open(&machine, &opening).unwrap();
        assert_eq!(found(&opened).0, expected, "{threads} threads");
        let bytes = opened.report.bytes;
        assert_eq!(*last.lock(), Progress { done: bytes, total: bytes }, "{threads} threads");
    }
}
