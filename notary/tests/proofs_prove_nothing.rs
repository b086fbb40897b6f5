//! Proofs that do not verify, or that are too long; and a client that forgets.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use crypto::note::{Checkpoint, ConsistencyProof, InclusionProof, Verifier};
use diatreme_notary::{Accepted, Error, Pinned, PinnedError};
use harness::{Place, assert_sound, finish, plain, tenant, verifier, write};
use std::fs;

#[test]
fn every_record_is_proven_by_a_notary_without_keys() {
    let place = Place::new();
    write(&place, 2, &[("acme", "a", 500), ("acme", "b", 40), ("bolt", "c", 30)]);
    write(&place, 1, &[("acme", "a", 90)]);
    let mut notary = place.signer();
    assert_sound(&finish(&mut notary, 1));
    let keys = ["acme", "bolt"].map(|name| verifier(&notary, tenant(name)));
    drop(notary);
    let mut notary = place.notary();
    for (name, key) in ["acme", "bolt"].into_iter().zip(&keys) {
        let records = &plain(&place.data())[&tenant(name)];
        for (position, record) in records.iter().enumerate().filter(|(position, _)| position % 7 == 0 || *position < 3)
        {
            let proof = notary.inclusion(tenant(name), record.stream, record.offset).unwrap().encode();
            let proof = InclusionProof::decode(proof.as_bytes()).unwrap();
            let included = proof.verify(key).unwrap();
            assert_eq!(included.checkpoint.size, records.len() as u64);
            let found = (included.stream, included.record.offset, included.record.position, included.record.payload);
            assert_eq!(found, (record.stream, record.offset, position as u64, &record.payload[..]));
        }
        assert!(
            keys.iter()
                .filter(|other| *other != key)
                .all(|other| { notary.inclusion(tenant(name), 1, 0).unwrap().verify(other).is_err() })
        );
    }
    assert!(matches!(notary.inclusion(tenant("acme"), 1, 10_000), Err(Error::NoRecord { .. })));
    assert!(matches!(notary.inclusion(tenant("nobody"), 1, 0), Err(Error::NoCheckpoint { .. })));
}

#[test]
fn a_record_after_the_checkpoint_is_not_proven_and_one_before_it_is() {
    let place = Place::new();
    write(&place, 1, &[("acme", "a", 100)]);
    assert_sound(&finish(&mut place.signer(), 1));
    write(&place, 1, &[("acme", "a", 100)]);
    let mut notary = place.notary();
    let key = verifier(&place.signer(), tenant("acme"));
    assert!(matches!(notary.inclusion(tenant("acme"), 1, 100), Err(Error::NotCovered { size: 102, .. })));
    assert_eq!(notary.inclusion(tenant("acme"), 1, 99).unwrap().verify(&key).unwrap().record.offset, 99);
    assert!(matches!(notary.consistency(tenant("acme"), 103), Err(Error::OldIsNewer { old: 103, size: 102 })));
}

#[test]
fn trees_that_are_behind_the_checkpoint_are_followed_first() {
    let place = Place::new();
    write(&place, 1, &[("acme", "a", 100)]);
    let mut notary = place.signer();
    assert_sound(&finish(&mut notary, 1));
    let key = verifier(&notary, tenant("acme"));
    // As after a crash: the checkpoint is there, the state is not.
    fs::remove_file(place.data().join("notary/state")).unwrap();
    drop(notary);
    let mut notary = place.notary();
    assert!(notary.inclusion(tenant("acme"), 1, 50).unwrap().verify(&key).is_ok());
}

#[test]
fn a_checkpoint_on_file_that_is_of_something_else_is_not_proven_against() {
    let place = Place::new();
    write(&place, 1, &[("acme", "a", 100), ("bolt", "b", 100)]);
    assert_sound(&finish(&mut place.signer(), 1));
    let path = |name: &str| place.data().join(format!("notary/{:016x}/checkpoint", tenant(name)));
    let note = fs::read_to_string(path("acme")).unwrap();
    let lines: Vec<&str> = note.lines().collect();
    let altered = |line: usize, text: &str| {
        let mut lines = lines.clone();
        lines[line] = text;
        lines.join("\n") + "\n"
    };
    let other = fs::read_to_string(path("bolt")).unwrap();
    for text in [altered(1, "101"), altered(1, "103"), altered(2, "AAAA"), altered(0, "x"), String::new(), other] {
        fs::write(path("acme"), &text).unwrap();
        let error = place.notary().inclusion(tenant("acme"), 1, 5).unwrap_err();
        assert!(matches!(error, Error::BadCheckpoint { .. }), "{text}: {error}");
    }
}

fn accept(pinned: &mut Pinned, proof: &ConsistencyProof) -> Result<Accepted, PinnedError> {
    pinned.accept(proof.checkpoint.as_bytes(), Some(proof))
}

#[test]
fn a_client_that_remembers() {
    let (place, auditor) = (Place::new(), Place::new());
    let acme = tenant("acme");
    write(&place, 1, &[("acme", "a", 100), ("bolt", "b", 3)]);
    let mut notary = place.signer();
    assert_sound(&finish(&mut notary, 1));
    let key = verifier(&notary, acme);
    let first = notary.checkpoint_on_file(acme).unwrap();
    let of_other = notary.checkpoint_on_file(tenant("bolt")).unwrap();
    drop(notary);
    let forked = place.copy();
    let path = auditor.root.path().join("pinned");
    let open = || Pinned::open(&path, key.clone());

    let mut pinned = open().unwrap();
    assert!(pinned.last().is_none());
    assert!(matches!(pinned.accept(of_other.as_bytes(), None), Err(PinnedError::Note(_))), "another origin");
    let bad = first.replacen("\n102\n", "\n103\n", 1);
    assert_ne!(bad, first);
    assert!(matches!(pinned.accept(bad.as_bytes(), None), Err(PinnedError::Note(_))), "a bad signature");
    assert!(!path.exists(), "nothing was accepted");
    assert_eq!(pinned.accept(first.as_bytes(), None).unwrap(), Accepted::First);
    assert_eq!(pinned.accept(first.as_bytes(), None).unwrap(), Accepted::Same);

    write(&place, 1, &[("acme", "a", 70)]);
    let mut notary = place.signer();
    assert_sound(&finish(&mut notary, 2));
    let grown = notary.checkpoint_on_file(acme).unwrap();
    let proof = notary.consistency(acme, 102).unwrap();
    // What was accepted outlives the process.
    let mut pinned = open().unwrap();
    assert_eq!(pinned.last().map(|last| last.size), Some(102));
    assert!(matches!(pinned.accept(grown.as_bytes(), None), Err(PinnedError::NeedsProof { kept: 102, found: 172 })));
    let from_elsewhere = notary.consistency(acme, 101).unwrap();
    assert!(matches!(accept(&mut pinned, &from_elsewhere), Err(PinnedError::Note(_))));
    assert_eq!(accept(&mut pinned, &proof).unwrap(), Accepted::Extended { records: 70 });
    assert!(matches!(pinned.accept(first.as_bytes(), None), Err(PinnedError::Rollback { kept: 172, found: 102 })));
    drop(notary);

    // Another history under the same key.
    for (records, larger) in [(70, false), (200, true)] {
        let forked = forked.copy();
        write(&forked, 1, &[("acme", "other", records - 1)]);
        let mut notary = forked.signer();
        assert_sound(&finish(&mut notary, 3));
        let proof = notary.consistency(acme, if larger { 172 } else { 102 }).unwrap();
        let error = accept(&mut open().unwrap(), &proof).unwrap_err();
        assert!(matches!(error, PinnedError::Fork { kept: 172, .. }), "{error}");
    }
    assert_eq!(open().unwrap().last().map(|last| last.size), Some(172), "what was accepted stays");
}

#[test]
fn a_memory_that_is_spoilt_or_of_another_key_is_not_a_beginning() {
    let place = Place::new();
    write(&place, 1, &[("acme", "a", 5), ("bolt", "b", 5)]);
    let mut notary = place.signer();
    assert_sound(&finish(&mut notary, 1));
    let [key, other]: [Verifier; 2] = ["acme", "bolt"].map(|name| verifier(&notary, tenant(name)));
    let note = notary.checkpoint_on_file(tenant("acme")).unwrap();
    Checkpoint::open(note.as_bytes(), &key).unwrap();
    let path = place.root.path().join("pinned");
    Pinned::open(&path, key.clone()).unwrap().accept(note.as_bytes(), None).unwrap();
    assert!(matches!(Pinned::open(&path, other), Err(PinnedError::OtherKey { .. })));
    let whole = fs::read(&path).unwrap();
    for length in [0, 10, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = Pinned::open(&path, key.clone()).unwrap_err();
        assert!(matches!(error, PinnedError::Damaged { .. }), "{length} bytes: {error}");
    }
}
