//! Guards against an erasure that leaves something: a key or a payload in a file, in this process's memory, or behind an old backup
//! that still opens. All memory that can be written is searched, and every file beside and below the data directory.
//!
//! The test must not hold what it looks for, so it knows keys and payloads only with all bits flipped, and wipes what it was given
//! as their caller. What the search finds while a key or a payload lives shows that it can find them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
#[path = "harness/traces.rs"]
mod traces;

use diatreme::{
    CallError, Client, Cores, Engine, Failure, KeyError, MasterSource, NewMaster, OldMaster, OpenError, Outcome,
    Record, Refusal, StreamRef, TenantId, generate_master_file,
};
use harness::copy;
use iobackend::{Arena, BackendConfig, Mode};
use keys::KeyStore;
use std::fs;
use std::path::PathBuf;
use traces::{Trace, flipped, in_files, in_memory, unflipped, wipe};

/// What payloads are called where they are found.
const PAYLOADS: [&str; 5] = ["payload 1", "payload 2", "payload 3", "payload 4", "payload 5"];

/// Bytes of the pattern that a payload repeats.
const PATTERN_BYTES: usize = 48;

/// What a stream's payloads consist of, with all bits flipped.
fn pattern(stream: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (stream << 32);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..PATTERN_BYTES).map(|_| next()).collect()
}

/// A data directory, its key store beside it, and the file of the master key.
struct Site {
    root: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let site = Site { root: tempfile::tempdir().unwrap() };
        generate_master_file(&site.path("master.key")).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn master(&self) -> MasterSource {
        MasterSource::File(self.path("master.key"))
    }

    /// Opens the engine of the directory with this name's beginning.
    fn try_open(&self, prefix: &str, shards: u16) -> Result<Engine, OpenError> {
        let engine = Engine::builder(self.path(&format!("{prefix}data"))).shards(shards).cores(Cores::Unpinned);
        engine.segment_bytes(4 << 20).keys(self.path(&format!("{prefix}keys")), self.master()).open()
    }

    fn open(&self, shards: u16) -> Engine {
        self.try_open("", shards).unwrap()
    }

    fn store(&self, prefix: &str, master: &MasterSource) -> Result<KeyStore, KeyError> {
        let directory = self.path(&format!("{prefix}keys"));
        KeyStore::open(&directory, &KeyStore::engine_of(&directory)?, master)
    }

    fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut directories) = (Vec::new(), vec![self.root.path().to_owned()]);
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        files
    }

    fn back_up(&self, prefix: &str) {
        for name in ["data", "keys"] {
            copy(&self.path(name), &self.path(&format!("{prefix}{name}")));
        }
    }

    fn verify(&self) {
        let open = || {
            let mut arena = Arena::new(log::SCAN_BUFFER_BYTES).unwrap();
            let buffer = arena.take(log::SCAN_BUFFER_BYTES).unwrap();
            let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(self.path("data")) };
            Ok((iobackend::open(&config, &arena).unwrap(), buffer))
        };
        let verified = log::verify(open, 2, |_, _| {}).unwrap();
        assert!(verified.damage.is_empty() && verified.records > 0, "{:?}", verified.damage);
    }
}

/// The streams of the test, each with payloads of its own.
#[derive(Clone, Copy)]
struct Streams {
    gone: StreamRef,
    gone_own: StreamRef,
    stays: StreamRef,
    stays_own: StreamRef,
    clear: StreamRef,
}

impl Streams {
    fn make(client: &mut Client) -> Streams {
        for tenant in ["gone", "stays"] {
            client.create_tenant(tenant).unwrap();
        }
        client.create_tenant_unencrypted("clear").unwrap();
        Streams {
            gone: client.create_stream("gone", "all").unwrap(),
            gone_own: client.create_erasable_stream("gone", "own").unwrap(),
            stays: client.create_stream("stays", "all").unwrap(),
            stays_own: client.create_erasable_stream("stays", "own").unwrap(),
            clear: client.create_stream("clear", "all").unwrap(),
        }
    }

    fn all(&self) -> [(u64, StreamRef); 5] {
        [(1, self.gone), (2, self.gone_own), (3, self.stays), (4, self.stays_own), (5, self.clear)]
    }

    fn append(&self, client: &mut Client) {
        for (number, stream) in self.all() {
            append(client, &stream, number);
        }
    }
}

/// Appends records in each way there is: by a waiting call, several in flight, many in one request; short ones, and a long one.
fn append(client: &mut Client, stream: &StreamRef, number: u64) {
    let mut short = unflipped(&pattern(number), 1);
    let mut long = unflipped(&pattern(number), 2000);
    client.append(stream, &short).unwrap();
    client.append_batch(stream, None, &[&short, &long, &short]).unwrap();
    for _ in 0..100 {
        client.submit_append(stream, None, &[&short]).unwrap();
    }
    while client.in_flight() > 0 {
        client.wait(|completion| assert!(completion.result.is_ok())).unwrap();
    }
    wipe(&mut short);
    wipe(&mut long);
}

/// Whether a payload is one of the stream's.
fn fits(payload: &[u8], number: u64) -> bool {
    let pattern = pattern(number);
    !payload.is_empty() && payload.iter().zip(pattern.iter().cycle()).all(|(byte, flipped)| *byte == !flipped)
}

/// Reads a stream by waiting calls. The records are the caller's, to wipe.
fn read(client: &mut Client, stream: &StreamRef, number: u64) -> Vec<Record> {
    let mut all = Vec::new();
    let next = client.head(stream).unwrap().next;
    while (all.len() as u64) < next {
        let records = client.read(stream, all.len() as u64, 1000).unwrap();
        assert!(records.iter().all(|record| fits(&record.payload, number)), "another stream's payload");
        all.extend(records);
    }
    all
}

fn read_and_wipe(client: &mut Client, stream: &StreamRef, number: u64) {
    read(client, stream, number).iter_mut().for_each(|record| wipe(&mut record.payload));
}

/// Reads by polls, some of it kept by a waiting call in between, and looks into memory while it is kept.
fn read_kept(client: &mut Client, streams: Streams, trace: &Trace) {
    for _ in 0..4 {
        client.submit_read(&streams.gone, 0, 1000).unwrap();
    }
    // Which turn brings the answers is the shard's affair.
    let kept = (0..100).any(|_| {
        read_and_wipe(client, &streams.stays, 3);
        !in_memory(trace).is_empty()
    });
    assert!(kept, "an answer that waits to be taken is not found in memory");
    let mut taken = 0;
    while client.in_flight() > 0 {
        let take = |completion: diatreme::Completion<'_>| {
            let Ok(Outcome::Records { records, .. }) = completion.result else { panic!("{completion:?}") };
            assert!(records.into_iter().all(|record| fits(record.payload, 1)));
            taken += 1;
        };
        client.wait(take).unwrap();
    }
    assert_eq!(taken, 4);
}

fn is_erased<T: std::fmt::Debug>(result: Result<T, CallError>) {
    assert_eq!(result.unwrap_err(), CallError::Failed(Failure::Refused(Refusal::Erased)));
}

/// What the site's secrets look like, with all bits flipped.
struct Secrets {
    gone: Trace,
    gone_own: Trace,
    stays: Trace,
    stays_own: Trace,
    master: Trace,
    payloads: [Trace; 5],
}

impl Secrets {
    /// Of a site that no engine has open.
    fn of(site: &Site) -> Secrets {
        let store = site.store("", &site.master()).unwrap();
        let key = |name, tenant: &str, own: bool| {
            let tenant = TenantId::of_name(tenant).0;
            let info = store.keys().find(|key| key.tenant == tenant && (key.stream > 0) == own).unwrap();
            Trace::new(name, &flipped(info.key.unwrap().expose()))
        };
        let mut text = fs::read(site.path("master.key")).unwrap();
        let digits: Vec<u8> = flipped(&text);
        let number = |at: usize| (text[at] as char).to_digit(16).unwrap() as u8;
        let bytes: Vec<u8> = (0..64).step_by(2).map(|at| !(number(at) << 4 | number(at + 1))).collect();
        wipe(&mut text);
        let mut master = Trace::new("the old master key", &bytes);
        master.add(&digits[..64]);
        let payload = |number: u64| Trace::new(PAYLOADS[number as usize - 1], &pattern(number));
        Secrets {
            gone: key("the erased tenant's key", "gone", false),
            gone_own: key("the key of the erased tenant's stream", "gone", true),
            stays: key("the other tenant's key", "stays", false),
            stays_own: key("the key of the erased stream", "stays", true),
            master,
            payloads: [1, 2, 3, 4, 5].map(payload),
        }
    }

    fn found(&self, trace: &Trace) {
        assert!(!in_memory(trace).is_empty(), "{} is not found where it has to be", trace.name);
    }

    fn gone(&self, trace: &Trace) {
        let found = in_memory(trace);
        let some = &found[..found.len().min(8)];
        assert!(found.is_empty(), "{} is still in memory, at {} places: {some:#?}", trace.name, found.len());
    }

    /// But those of the tenant in the clear: its frames are what they are.
    fn no_payload(&self) {
        let [sealed @ .., _] = &self.payloads;
        sealed.iter().for_each(|trace| self.gone(trace));
    }

    /// That no file has what is erased, nor any plaintext but that of a tenant in the clear.
    fn in_no_file(&self, site: &Site) {
        let files = site.files();
        let [sealed @ .., clear] = &self.payloads;
        assert!(!in_files(clear, &files).is_empty(), "a payload in the clear is not found");
        let keys = [&self.gone, &self.gone_own, &self.stays, &self.stays_own, &self.master];
        for trace in keys.into_iter().chain(sealed) {
            let found = in_files(trace, &files);
            assert!(found.is_empty(), "{} is in {found:?}", trace.name);
        }
    }
}

#[test]
fn what_is_erased_is_in_no_file_nor_in_memory_and_no_backup_opens() {
    let site = Site::new();
    let engine = site.open(1);
    let mut client = engine.client();
    let streams = Streams::make(&mut client);
    streams.append(&mut client);
    drop(client);
    engine.close().unwrap();
    let secrets = Secrets::of(&site);
    site.back_up("old-");
    assert!(site.store("old-", &site.master()).is_ok(), "the backup is good as long as its master key is there");

    let engine = site.open(2);
    let mut client = engine.client();
    streams.append(&mut client);
    while_it_lives(&site, &secrets, &mut client, streams);
    erase(&secrets, &mut client, streams);
    drop(client);
    engine.close().unwrap();

    after_it(&site, &secrets, streams);
}

/// What the search finds before the erasure; and that plaintext is gone as soon as it is taken.
fn while_it_lives(site: &Site, secrets: &Secrets, client: &mut Client, streams: Streams) {
    for key in [&secrets.gone, &secrets.gone_own, &secrets.stays, &secrets.stays_own] {
        secrets.found(key);
    }
    let mut text = fs::read(site.path("master.key")).unwrap();
    secrets.found(&secrets.master);
    wipe(&mut text);
    assert_eq!(in_files(&secrets.master, &site.files()), [site.path("master.key")]);
    secrets.gone(&secrets.master);
    for (number, stream) in streams.all() {
        let payload = &secrets.payloads[number as usize - 1];
        let mut records = read(client, &stream, number);
        secrets.found(payload);
        records.iter_mut().for_each(|record| wipe(&mut record.payload));
    }
    read_kept(client, streams, &secrets.payloads[0]);
    secrets.no_payload();
}

/// A tenant, then a stream of another one: a deleted one, which is in the log still.
fn erase(secrets: &Secrets, client: &mut Client, streams: Streams) {
    let erased = client.erase_tenant("gone", NewMaster::InPlace).unwrap();
    assert_eq!((erased.keys, erased.old_master), (2, OldMaster::Destroyed));
    for trace in [&secrets.gone, &secrets.gone_own, &secrets.master] {
        secrets.gone(trace);
    }
    // Those of others are at work.
    secrets.found(&secrets.stays);
    secrets.found(&secrets.stays_own);

    client.delete_stream(&streams.stays_own).unwrap();
    let erased = client.erase_stream("stays", "own", NewMaster::InPlace).unwrap();
    assert_eq!((erased.keys, erased.old_master), (1, OldMaster::Destroyed));
    secrets.gone(&secrets.stays_own);
    secrets.found(&secrets.stays);
    secrets.no_payload();

    is_erased(client.read(&streams.gone, 0, 1));
    read_and_wipe(client, &streams.stays, 3);
}

/// In files, behind backups, and over new openings.
fn after_it(site: &Site, secrets: &Secrets, streams: Streams) {
    let keys = [&secrets.gone, &secrets.gone_own, &secrets.stays, &secrets.stays_own, &secrets.master];
    keys.into_iter().for_each(|trace| secrets.gone(trace));
    secrets.in_no_file(site);
    site.verify();

    // Every file that there is, taken for a master key.
    let masters = site.files();
    assert!(masters.contains(&site.path("master.key")));
    for master in masters {
        let opened = site.store("old-", &MasterSource::File(master.clone()));
        assert!(opened.is_err(), "the backup opens with {}", master.display());
    }
    let backup = site.try_open("old-", 1).unwrap_err();
    assert!(matches!(backup, OpenError::Keys(KeyError::DoesNotOpen { .. })), "{backup}");

    for shards in [3, 1] {
        let engine = site.open(shards);
        let report = &engine.report().keys;
        assert_eq!((report.missing.len(), report.unfinished.len()), (0, 0));
        let mut client = engine.client();
        for stream in [streams.gone, streams.gone_own] {
            is_erased(client.read(&stream, 0, 1));
            is_erased(client.append(&stream, b"more"));
            assert_eq!(client.head(&stream).unwrap().next, 208, "how many there were is still told");
        }
        assert!(client.read(&streams.stays_own, 0, 1).is_err());
        read_and_wipe(&mut client, &streams.stays, 3);
        read_and_wipe(&mut client, &streams.clear, 5);
        for trace in [&secrets.gone, &secrets.gone_own, &secrets.stays_own, &secrets.master] {
            secrets.gone(trace);
        }
        secrets.found(&secrets.stays);
        secrets.no_payload();
        drop(client);
        engine.close().unwrap();
    }
    site.verify();
}
