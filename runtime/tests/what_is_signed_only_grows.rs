//! An engine's checkpoints: signed beside the load and at its end, each extending the one before, and never over another history.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use diatreme::{
    Accepted, Checkpoints, Cores, Engine, MasterSource, Pinned, PinnedError, ProofError, SignedCheckpoint, Verifier,
    generate_master_file,
};
use harness::copy;
use std::path::Path;
use std::time::Duration;

fn open(root: &Path) -> Engine {
    let master = root.join("master.key");
    if !master.exists() {
        generate_master_file(&master).unwrap();
    }
    let engine = Engine::builder(root.join("data")).shards(2).cores(Cores::Unpinned).segment_bytes(4 << 20);
    let often = Checkpoints { interval: Duration::from_millis(1), records: 1 };
    engine.keys(root.join("keys"), MasterSource::File(master)).checkpoints(often).open().unwrap()
}

/// A checkpoint of so many records, as soon as there is one.
fn checkpoint(engine: &Engine, records: &str) -> SignedCheckpoint {
    loop {
        let signed = engine.checkpoint("acme").unwrap();
        if signed.note.lines().nth(1) == Some(records) {
            return signed;
        }
    }
}

#[test]
fn checkpoints_extend_each_other_and_records_are_in_them() {
    let root = tempfile::tempdir().unwrap();
    let engine = open(root.path());
    let mut client = engine.client();
    let stream = client.ensure_stream("acme", "audit").unwrap();
    client.append(&stream, b"first").unwrap();
    // The tenant, its key, its stream, and a record.
    let first = checkpoint(&engine, "4");
    let key: Verifier = first.key.parse().unwrap();
    let mut pinned = Pinned::open(&root.path().join("pinned"), key.clone()).unwrap();
    assert_eq!(pinned.accept(first.note.as_bytes(), None).unwrap(), Accepted::First);

    for number in 0..1000_u32 {
        client.append(&stream, &number.to_le_bytes()).unwrap();
    }
    let second = checkpoint(&engine, "1004");
    assert!(matches!(pinned.accept(second.note.as_bytes(), None), Err(PinnedError::NeedsProof { .. })));
    let grown = engine.prove_consistency("acme", &first.note).unwrap();
    assert_eq!(pinned.accept(second.note.as_bytes(), Some(&grown)).unwrap(), Accepted::Extended { records: 1000 });
    assert!(matches!(pinned.accept(first.note.as_bytes(), None), Err(PinnedError::Rollback { .. })));

    let proof = engine.prove_inclusion(&stream, 700).unwrap();
    let included = proof.verify(&key).unwrap();
    assert_eq!((included.stream, included.record.offset), (stream.stream().0, 700));
    assert!(engine.prove_inclusion(&stream, 5000).is_err(), "no such record");
    assert!(matches!(engine.checkpoint("nobody"), Err(ProofError::Notary(_))));
    drop(client);
    engine.close().unwrap();
}

#[test]
fn a_tenant_is_signed_for_without_being_asked_and_at_the_end() {
    let root = tempfile::tempdir().unwrap();
    let engine = open(root.path());
    let mut client = engine.client();
    let stream = client.ensure_stream("acme", "audit").unwrap();
    client.append(&stream, b"a record").unwrap();
    while engine.notary().unwrap().signed == 0 {
        std::thread::yield_now();
    }
    client.append(&stream, b"the last one").unwrap();
    drop(client);
    engine.close().unwrap();
    let path = format!("data/notary/{:016x}/checkpoint", stream.tenant().0);
    let note = std::fs::read_to_string(root.path().join(path)).unwrap();
    // The tenant, its key, its stream, and two records.
    assert_eq!(note.lines().nth(1), Some("5"), "{note}");
}

#[test]
fn after_a_restore_of_an_older_copy_nothing_is_signed() {
    let root = tempfile::tempdir().unwrap();
    let engine = open(root.path());
    let mut client = engine.client();
    let stream = client.ensure_stream("acme", "audit").unwrap();
    client.append(&stream, b"before the copy").unwrap();
    drop(client);
    engine.close().unwrap();
    let (data, old) = (root.path().join("data"), root.path().join("old"));
    copy(&data, &old);

    let engine = open(root.path());
    engine.client().append(&stream, b"after the copy").unwrap();
    let kept = checkpoint(&engine, "5");
    engine.close().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);

    let engine = open(root.path());
    let mut client = engine.client();
    assert_eq!(client.head(&stream).unwrap().next, 1, "the copy is served");
    assert!(matches!(engine.checkpoint("acme"), Err(ProofError::Notary(_))), "smaller than what was signed");
    for _ in 0..10 {
        client.append(&stream, b"another history").unwrap();
    }
    let refused = engine.checkpoint("acme").unwrap_err().to_string();
    assert!(refused.contains("signed"), "{refused}");
    assert!(engine.prove_consistency("acme", &kept.note).is_err());
    drop(client);
    // Closing signs nothing either, and is no failure: the records are safe.
    engine.close().unwrap();
}
