//! Tenants with keys: read back after every opening, by nobody without the key store, and by nobody at all once erased.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use diatreme::{
    CallError, Cores, Encryption, Engine, EraseError, Failure, KeyError, MasterSource, NewMaster, OldMaster, OpenError,
    Refusal, generate_master_file,
};
use harness::copy;
use std::path::Path;

/// A data directory, its key store beside it, and the file of the master key.
struct Site {
    root: tempfile::TempDir,
    master: MasterSource,
}

impl Site {
    fn new() -> Site {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("master.key");
        generate_master_file(&file).unwrap();
        Site { root, master: format!("file:{}", file.display()).parse().unwrap() }
    }

    fn builder(&self, shards: u16) -> diatreme::Builder {
        let engine = Engine::builder(self.root.path().join("data")).shards(shards).cores(Cores::Unpinned);
        engine.segment_bytes(4 << 20)
    }

    fn open(&self, shards: u16) -> Engine {
        self.builder(shards).keys(self.root.path().join("keys"), self.master.clone()).open().unwrap()
    }
}

fn refused(error: &CallError) -> Option<Refusal> {
    match error {
        CallError::Failed(Failure::Refused(refusal)) => Some(*refusal),
        _ => None,
    }
}

#[test]
fn what_is_sealed_is_read_back_whatever_the_number_of_shards() {
    let site = Site::new();
    let payload = |tenant: &str, round: u32, number: u32| format!("{tenant} {round} {number}").into_bytes();
    let tenants = ["a", "b", "c", "d"];
    for (round, shards) in [(0, 1), (1, 3), (2, 2)] {
        let engine = site.open(shards);
        assert_eq!((engine.report().keys.missing.len(), engine.report().keys.unfinished.len()), (0, 0));
        let mut client = engine.client();
        for tenant in tenants {
            let stream = client.ensure_stream(tenant, "events").unwrap();
            if round == 1 {
                client.rotate_key(tenant).unwrap();
            }
            for number in 0..100 {
                client.append(&stream, &payload(tenant, round, number)).unwrap();
            }
            let mut expected = (0..=round).flat_map(|round| (0..100).map(move |number| (round, number)));
            let mut from = 0;
            while from < u64::from(round + 1) * 100 {
                for record in client.read(&stream, from, 1000).unwrap() {
                    let (round, number) = expected.next().unwrap();
                    assert_eq!(record.payload, payload(tenant, round, number));
                    from = record.offset + 1;
                }
            }
        }
        for tenant in client.tenants().unwrap() {
            assert_eq!(tenant.encryption, Encryption::Aes256Gcm { key_id: if round == 0 { 1 } else { 2 } });
        }
        drop(client);
        engine.close().unwrap();
    }
}

#[test]
fn without_its_keys_an_engine_does_not_open_or_reads_nothing() {
    let site = Site::new();
    let engine = site.open(1);
    let mut client = engine.client();
    let sealed = client.ensure_stream("sealed", "events").unwrap();
    client.append(&sealed, b"secret").unwrap();
    client.create_tenant_unencrypted("clear").unwrap();
    let clear = client.create_stream("clear", "events").unwrap();
    client.append(&clear, b"public").unwrap();
    drop(client);
    engine.close().unwrap();
    let data = site.root.path().join("data");
    let generation = |path: &Path| std::fs::read(path.join("manifest.a")).unwrap();
    let before = generation(&data);

    // Nobody said how records are to be kept.
    assert!(matches!(site.builder(1).open(), Err(OpenError::Config(text)) if text.contains("unencrypted")));
    // Another master key, and a store of another engine.
    let other = Site::new();
    let wrong = site.builder(1).keys(site.root.path().join("keys"), other.master.clone()).open().unwrap_err();
    assert!(matches!(wrong, OpenError::Keys(KeyError::DoesNotOpen { .. })), "{wrong}");
    other.open(1).close().unwrap();
    let foreign = site.builder(1).keys(other.root.path().join("keys"), other.master.clone()).open().unwrap_err();
    assert!(matches!(foreign, OpenError::Keys(KeyError::Foreign { .. })), "{foreign}");
    let new = Engine::builder(site.root.path().join("new")).keys(site.root.path().join("keys"), site.master.clone());
    assert!(matches!(new.open(), Err(OpenError::ForeignKeys { .. })));
    assert_eq!(generation(&data), before, "the data directory was touched");
    let missing = site.builder(1).keys(site.root.path().join("none"), site.master.clone()).open().unwrap_err();
    assert!(matches!(missing, OpenError::KeysMissing { key_id: 1, .. }), "{missing}");

    let engine = site.builder(1).unencrypted().open().unwrap();
    assert_eq!(engine.report().keys.missing, [(sealed.tenant(), 1)]);
    let mut client = engine.client();
    assert_eq!(client.read(&clear, 0, 1).unwrap()[0].payload, b"public");
    client.append(&clear, b"more").unwrap();
    let no_key = Err(CallError::Failed(Failure::NoKey { key_id: 1 }));
    assert_eq!(client.read(&sealed, 0, 1).map(|_| ()), no_key);
    assert_eq!(client.append(&sealed, b"in the clear?").map(|_| ()), no_key);
    assert_eq!(client.head(&sealed).unwrap().next, 1);
    assert_eq!(client.rotate_key("clear"), Err(CallError::Unencrypted));
    drop(client);
    engine.close().unwrap();

    // A tenant that was in the clear is sealed from here on, and what was written before is still read.
    let engine = site.open(1);
    let mut client = engine.client();
    client.rotate_key("clear").unwrap();
    client.append(&clear, b"sealed now").unwrap();
    for (offset, payload) in (0..).zip([&b"public"[..], b"more", b"sealed now"]) {
        assert_eq!(client.read(&clear, offset, 1).unwrap()[0].payload, payload);
    }
    drop(client);
    engine.close().unwrap();
}

#[test]
fn what_is_erased_is_read_by_nobody_and_the_rest_stays() {
    let site = Site::new();
    let engine = site.open(2);
    let mut client = engine.client();
    let mut streams = Vec::new();
    for tenant in ["gone", "stays"] {
        client.create_tenant(tenant).unwrap();
        let plain = client.create_stream(tenant, "plain").unwrap();
        let own = client.create_erasable_stream(tenant, "own").unwrap();
        for stream in [plain, own] {
            client.append(&stream, b"before").unwrap();
            streams.push(stream);
        }
    }
    let [gone_plain, gone_own, stays_plain, stays_own] = streams[..] else { unreachable!() };
    copy(&site.root.path().join("keys"), &site.root.path().join("old-keys"));
    let old_master = std::fs::read(site.root.path().join("master.key")).unwrap();

    let not_alone = client.erase_stream("stays", "plain", NewMaster::InPlace).unwrap_err();
    let EraseError::Call(not_alone) = not_alone else { panic!("{not_alone}") };
    assert_eq!(refused(&not_alone), Some(Refusal::StreamHasNoKey));

    let erased = client.erase_tenant("gone", NewMaster::InPlace).unwrap();
    assert_eq!((erased.keys, erased.old_master), (2, OldMaster::Destroyed));
    assert_ne!(std::fs::read(site.root.path().join("master.key")).unwrap(), old_master);
    let erased = client.erase_stream("stays", "own", NewMaster::InPlace).unwrap();
    assert_eq!(erased.keys, 1);
    // Again, as after an interruption.
    assert_eq!(client.erase_tenant("gone", NewMaster::InPlace).unwrap().keys, 0);

    let check = |client: &mut diatreme::Client| {
        for stream in [gone_plain, gone_own, stays_own] {
            let read = client.read(&stream, 0, 1).unwrap_err();
            assert_eq!(refused(&read), Some(Refusal::Erased));
            let append = client.append(&stream, b"after").unwrap_err();
            assert_eq!(refused(&append), Some(Refusal::Erased));
            assert_eq!(client.head(&stream).unwrap().next, 1, "how many there were is still told");
        }
        assert_eq!(client.read(&stays_plain, 0, 1).unwrap()[0].payload, b"before");
        let encryption = |name: &str, client: &mut diatreme::Client| {
            client.tenants().unwrap().into_iter().find(|tenant| tenant.name == name).unwrap().encryption
        };
        assert_eq!(encryption("gone", client), Encryption::Erased);
        assert_eq!(encryption("stays", client), Encryption::Aes256Gcm { key_id: 1 });
    };
    check(&mut client);
    drop(client);
    engine.close().unwrap();
    let engine = site.open(1);
    assert_eq!((engine.report().keys.missing.len(), engine.report().keys.unfinished.len()), (0, 0));
    check(&mut engine.client());
    engine.close().unwrap();

    // A backup of the key store from before: the master key that opens it is no more.
    let backup = site.builder(1).keys(site.root.path().join("old-keys"), site.master.clone()).open().unwrap_err();
    assert!(matches!(backup, OpenError::Keys(KeyError::DoesNotOpen { .. })), "{backup}");
}

/// Without a new master key that can be had, nothing is erased: the log must not say for good what the key store cannot do.
#[test]
fn an_erasure_that_cannot_be_does_not_begin() {
    let site = Site::new();
    let engine = site.open(1);
    let mut client = engine.client();
    let stream = client.ensure_stream("stays", "events").unwrap();
    client.append(&stream, b"before").unwrap();
    let nowhere = MasterSource::File(site.root.path().join("nowhere"));
    for new_master in [NewMaster::From(nowhere), NewMaster::From(site.master.clone())] {
        let refused = client.erase_tenant("stays", new_master).unwrap_err();
        assert!(matches!(refused, EraseError::Refused(_)), "{refused}");
    }
    // One that came there behind the engine's back, and would be lost.
    generate_master_file(&site.root.path().join("other.key")).unwrap();
    std::fs::rename(site.root.path().join("other.key"), site.root.path().join("master.key")).unwrap();
    let refused = client.erase_tenant("stays", NewMaster::InPlace).unwrap_err();
    assert!(matches!(refused, EraseError::Refused(KeyError::OtherMaster { .. })), "{refused}");
    assert_eq!(client.read(&stream, 0, 1).unwrap()[0].payload, b"before");
}

/// A tool that looks for its stream at each start drew a key for it each time, and the key store filled.
#[test]
fn who_looks_for_what_is_there_draws_no_key() {
    let site = Site::new();
    for _ in 0..3 {
        let engine = site.open(1);
        let mut client = engine.client();
        client.ensure_stream("tenant", "events").unwrap();
        assert!(matches!(client.create_erasable_stream("tenant", "own"), Ok(_) | Err(CallError::Failed(_))));
        drop(client);
        engine.close().unwrap();
    }
    let path = site.root.path().join("keys");
    let store = keys::KeyStore::open(&path, &keys::KeyStore::engine_of(&path).unwrap(), &site.master).unwrap();
    assert_eq!(store.keys().len(), 2 + 1, "the tenant's, the stream's, and the one that waits for the next stream");
}

/// The log says first that something is erased, then the key store destroys its keys. Stopped in between, nothing is served, the next
/// opening tells of it, and the same call goes on from there.
#[test]
fn an_erasure_that_was_interrupted_is_repeated() {
    let site = Site::new();
    let engine = site.open(1);
    let mut client = engine.client();
    let own = {
        client.create_tenant("tenant").unwrap();
        client.create_erasable_stream("tenant", "own").unwrap()
    };
    client.append(&own, b"before").unwrap();
    let (keys, before) = (site.root.path().join("keys"), site.root.path().join("before"));
    copy(&keys, &before);
    client.erase_stream("tenant", "own", NewMaster::KeepMaster).unwrap();
    drop(client);
    engine.close().unwrap();
    // As if it had been stopped before the store was written.
    std::fs::remove_dir_all(&keys).unwrap();
    copy(&before, &keys);

    let engine = site.open(2);
    assert_eq!(engine.report().keys.unfinished, [(own.tenant(), 2)]);
    let mut client = engine.client();
    assert_eq!(refused(&client.read(&own, 0, 1).unwrap_err()), Some(Refusal::Erased));
    let erased = client.erase_stream("tenant", "own", NewMaster::InPlace).unwrap();
    assert_eq!((erased.keys, erased.old_master), (1, OldMaster::Destroyed));
    drop(client);
    engine.close().unwrap();
    let engine = site.open(1);
    assert!(engine.report().keys.unfinished.is_empty());
    engine.close().unwrap();
}
