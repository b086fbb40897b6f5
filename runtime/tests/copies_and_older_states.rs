//! Copies, clones and older states of a directory, on real files: each that `docs/durability.md` says is recognized.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme::{CallError, Client, Engine, Failure, OpenError, StreamRef};
use harness::{builder, check, copy, fill, in_memory, open, payload};
use iobackend::{Arena, BackendConfig, Mode};
use std::fs;
use tempfile::TempDir;

fn copy_of(root: &TempDir) -> TempDir {
    let other = in_memory();
    copy(root.path(), other.path());
    other
}

fn copy_manifest(from: &TempDir, to: &TempDir) {
    for name in ["manifest.a", "manifest.b"] {
        fs::copy(from.path().join(name), to.path().join(name)).unwrap();
    }
}

/// A tenant on each shard.
const TENANTS: [&str; 2] = ["acme", "bolt"];

fn two_shards(root: &TempDir) -> Engine {
    builder(root.path(), 2).place("acme", 0).place("bolt", 1).open().unwrap()
}

/// Appends to both tenants, up to offset `until`, and closes cleanly; `mark` tells the records of one history from another's.
fn write(root: &TempDir, mark: &str, until: u64) {
    let engine = two_shards(root);
    let mut client = engine.client();
    for tenant in TENANTS {
        let stream = client.ensure_stream(tenant, "events").unwrap();
        let next = client.head(&stream).unwrap().next;
        fill(&mut client, &stream, &format!("{mark} {tenant}"), next, until - next);
    }
    drop(client);
    engine.close().unwrap();
}

/// Reads every record that a stream has. Each is as one of `marks` wrote it, or refused as damaged; gives how many there are,
/// and how many are refused.
fn read_all(client: &mut Client, stream: &StreamRef, marks: &[String]) -> (u64, u64) {
    let mut damaged = 0;
    let next = client.head(stream).unwrap().next;
    for offset in 0..next {
        match client.read(stream, offset, 1) {
            Ok(found) => {
                let found = &found[0].payload;
                assert!(
                    marks.iter().any(|mark| *found == payload(mark, offset)),
                    "offset {offset} is of another history"
                );
            }
            Err(CallError::Failed(Failure::Damaged { .. })) => damaged += 1,
            Err(error) => panic!("offset {offset}: {error}"),
        }
    }
    (next, damaged)
}

fn verify(root: &TempDir) -> Vec<log::Damage> {
    let open = || {
        let mut arena = Arena::new(log::SCAN_BUFFER_BYTES).unwrap();
        let buffer = log::scan_buffer(&mut arena).unwrap();
        let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(root.path()) };
        Ok((iobackend::open(&config, &arena).unwrap(), buffer))
    };
    log::verify(open, 1, |_, _| {}).unwrap().damage
}

#[test]
fn a_copy_made_by_copying_files_is_reported_once() {
    for with_lock in [true, false] {
        let root = in_memory();
        write(&root, "first", 10);
        let other = copy_of(&root);
        if !with_lock {
            fs::remove_file(other.path().join("LOCK")).unwrap();
        }
        let moved = |root: &TempDir| open(root.path(), 2).report().recovery.moved;
        assert!(moved(&other), "the copy");
        assert!(!moved(&root), "the original");
        assert!(!moved(&other), "the copy is at home now");
        // A directory that is renamed is the same.
        let parent = in_memory();
        let renamed = parent.path().join("renamed");
        fs::rename(root.keep(), &renamed).unwrap();
        assert!(!open(&renamed, 2).report().recovery.moved);
    }
    let new = in_memory();
    assert!(!open(new.path(), 1).report().recovery.moved);
}

#[test]
fn two_engines_on_clones_never_write_the_same_incarnation() {
    let root = in_memory();
    write(&root, "common", 10);
    let clone = copy_of(&root);
    write(&root, "one", 20);
    write(&clone, "other", 20);
    for log in ["shard-0000", "shard-0001"] {
        let header = |root: &TempDir| fs::read(root.path().join(log).join("00000002.seg")).unwrap()[..4096].to_vec();
        let (one, other) = (header(&root), header(&clone));
        // Engine and log are the same; incarnation and salt are not.
        assert_eq!(one[..32], other[..32]);
        assert_ne!(one[32..48], other[32..48]);
        assert_ne!(one[48..80], other[48..80]);
    }
}

/// The manifest's frontier pins what a clean end left, and the next opening's base what it adopted.
#[test]
fn a_segment_of_a_clone_is_damage_and_nothing_of_it_is_adopted() {
    // The clone's segment goes as far as the one in its place, farther, and less far.
    for (later, clone_end) in [(false, 20), (true, 20), (false, 300), (true, 300), (false, 11), (true, 11)] {
        let root = in_memory();
        write(&root, "common", 10);
        let clone = copy_of(&root);
        write(&root, "one", 20);
        write(&clone, "other", clone_end);
        if later {
            write(&root, "one", 30);
        }
        let foreign = clone.path().join("shard-0000/00000002.seg");
        fs::copy(foreign, root.path().join("shard-0000/00000002.seg")).unwrap();
        let of_the_clone = |damage: &log::Damage| (damage.segment.log, damage.segment.number) == (0, 2);
        assert!(verify(&root).iter().any(of_the_clone), "{:?}", verify(&root));
        let engine = two_shards(&root);
        let recovery = &engine.report().recovery;
        assert!(recovery.damage.iter().any(of_the_clone), "{recovery:?}");
        let mut client = engine.client();
        let acme = client.stream("acme", "events").unwrap();
        let marks = ["common", "one"].map(|mark| format!("{mark} acme"));
        assert_eq!(read_all(&mut client, &acme, &marks), if later { (30, 10) } else { (10, 0) });
        // Where the end is lost, nothing is appended: offsets would be given out again.
        assert_eq!(client.append(&acme, b"more").is_ok(), later);
        let bolt = client.stream("bolt", "events").unwrap();
        let marks = ["common", "one"].map(|mark| format!("{mark} bolt"));
        assert_eq!(read_all(&mut client, &bolt, &marks), (if later { 30 } else { 20 }, 0));
    }
}

#[test]
fn one_log_that_was_put_back_to_an_older_state_is_damage() {
    let root = in_memory();
    write(&root, "first", 10);
    let older = copy_of(&root);
    write(&root, "first", 20);
    fs::remove_dir_all(root.path().join("shard-0000")).unwrap();
    fs::create_dir(root.path().join("shard-0000")).unwrap();
    copy(&older.path().join("shard-0000"), &root.path().join("shard-0000"));
    let engine = two_shards(&root);
    let recovery = &engine.report().recovery;
    assert!(recovery.damage.iter().any(|damage| damage.segment.log == 0), "{recovery:?}");
    assert!(recovery.damage.iter().all(|damage| damage.segment.log == 0), "{recovery:?}");
    let mut client = engine.client();
    let bolt = client.stream("bolt", "events").unwrap();
    check(&mut client, &bolt, "first bolt", 20);
    let acme = client.stream("acme", "events").unwrap();
    assert_eq!(client.read(&acme, 0, 1).unwrap()[0].payload, payload("first acme", 0));
    assert!(client.append(&acme, b"at an offset that was given out").is_err());
}

/// All logs were put back, and the manifest was not: its frontiers claim more than there is.
#[test]
fn a_manifest_that_is_newer_than_the_logs_names_what_is_missing() {
    let root = in_memory();
    write(&root, "first", 10);
    let older = copy_of(&root);
    write(&root, "first", 20);
    copy_manifest(&root, &older);
    let engine = two_shards(&older);
    let logs: Vec<u16> = engine.report().recovery.damage.iter().map(|damage| damage.segment.log).collect();
    assert!(logs.contains(&0) && logs.contains(&1), "{logs:?}");
}

/// The logs know more than an older manifest, and lose nothing by it; its generation shows its age to who kept a newer one.
#[test]
fn a_manifest_that_is_older_than_the_logs_takes_nothing_from_them() {
    let root = in_memory();
    write(&root, "first", 10);
    let older = copy_of(&root);
    let kept = two_shards(&root).generation();
    write(&root, "first", 20);
    copy_manifest(&older, &root);
    assert!(matches!(builder(root.path(), 2).at_least(kept).open(), Err(OpenError::Older { .. })));
    let engine = two_shards(&root);
    assert!(engine.report().recovery.damage.is_empty(), "{:?}", engine.report().recovery);
    let mut client = engine.client();
    for tenant in TENANTS {
        let stream = client.stream(tenant, "events").unwrap();
        assert_eq!(read_all(&mut client, &stream, &[format!("first {tenant}")]), (20, 0));
    }
}

/// Nothing inside an older state shows that it is one: who keeps the generation elsewhere has it refused.
#[test]
fn an_older_state_is_refused_by_the_generation_that_was_kept() {
    let root = in_memory();
    write(&root, "first", 10);
    let older = copy_of(&root);
    let engine = two_shards(&root);
    let opened = engine.generation();
    assert_eq!(engine.report().recovery.generation + 1, opened);
    engine.close().unwrap();
    let closed = opened + 1;
    drop(builder(root.path(), 2).at_least(closed).open().unwrap());

    let before = fs::read(older.path().join("manifest.a")).unwrap();
    let refused = builder(older.path(), 2).at_least(closed).open().unwrap_err();
    let (path, found) = (older.path().display().to_string(), opened - 1);
    assert!(matches!(refused, OpenError::Older { found: at, at_least, .. } if (at, at_least) == (found, closed)));
    let text = refused.to_string();
    for word in [&path, &format!("generation {found}"), &format!("{closed} at least"), "restore the newest"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(fs::read(older.path().join("manifest.a")).unwrap(), before, "a refusal writes nothing");
    assert!(!two_shards(&older).report().recovery.created);

    // Nothing at all is older than anything.
    let new = in_memory();
    assert!(matches!(builder(new.path(), 1).at_least(1).open(), Err(OpenError::Older { found: 0, .. })));
    assert!(builder(new.path(), 1).at_least(0).open().unwrap().report().recovery.created);
}
