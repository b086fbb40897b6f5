//! A signature under a tree that does not contain what was signed before: after a restore, a cut, a rewriting.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use crypto::note::Checkpoint;
use diatreme_notary::{Error, Rebuilt, Refused};
use harness::{Place, assert_sound, assert_trees, copy, finish, plain, root_of, tenant, verifier, write};
use std::fs;

/// What lies in the data directory is replaced by an older copy, but for what has this name; the key store stays.
fn put_back(place: &Place, older: &Place, but: &str) {
    for entry in fs::read_dir(place.data()).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != but) {
        match entry.path().is_dir() {
            true => fs::remove_dir_all(entry.path()).unwrap(),
            false => fs::remove_file(entry.path()).unwrap(),
        }
    }
    for entry in fs::read_dir(older.data()).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != but) {
        let to = place.data().join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// A directory with a checkpoint of 202 records of acme, and a copy of it from when there were 102.
fn with_older_copy() -> (Place, Place) {
    let place = Place::new();
    write(&place, 1, &[("acme", "a", 100), ("bolt", "b", 10)]);
    assert_sound(&finish(&mut place.signer(), 1));
    let older = place.copy();
    write(&place, 1, &[("acme", "a", 100)]);
    let step = finish(&mut place.signer(), 2);
    assert_sound(&step);
    assert_eq!(step.signed.iter().map(|checkpoint| checkpoint.size).collect::<Vec<_>>(), [202]);
    (place, older)
}

#[test]
fn a_restored_older_copy_is_refused() {
    for but in ["", "notary"] {
        let (place, older) = with_older_copy();
        put_back(&place, &older, but);
        let acme = tenant("acme");
        let mut notary = place.signer();
        // Newer trees beside an older log are not taken for its trees.
        assert_eq!(notary.rebuilt(), (but == "notary").then_some(Rebuilt::Log));
        let step = finish(&mut notary, 3);
        let [(refused, error)] = &step.refused[..] else { panic!("{step:?}") };
        let smaller = Refused::Smaller { tenant: acme, signed: 202, size: 102 };
        assert!(*refused == acme && matches!(error, Error::Refused(found) if *found == smaller), "{error}");
        assert!(step.signed.iter().all(|checkpoint| checkpoint.origin.tenant != acme), "{step:?}");
        assert!(matches!(notary.checkpoint(acme, 4), Err(Error::Refused(found)) if found == smaller));
    }
}

#[test]
fn a_restored_older_copy_that_was_written_on_is_refused() {
    let (place, older) = with_older_copy();
    put_back(&place, &older, "");
    write(&place, 1, &[("acme", "other", 500)]);
    let acme = tenant("acme");
    let mut notary = place.signer();
    let step = finish(&mut notary, 3);
    let other = Refused::OtherRoot { tenant: acme, signed: 202 };
    assert!(
        matches!(step.refused[..], [(refused, Error::Refused(found))] if refused == acme && found == other),
        "{step:?}"
    );
    assert!(step.signed.is_empty(), "{step:?}");
    // The text says what happened and what is to be done.
    let said = step.refused[0].1.to_string();
    assert!(said.contains("restored") && said.contains("re-anchor"), "{said}");
}

#[test]
fn steps_tell_of_a_refusal_once_and_sign_the_others() {
    let (place, older) = with_older_copy();
    put_back(&place, &older, "");
    write(&place, 1, &[("bolt", "b", 5)]);
    let mut notary = place.signer();
    let step = notary.step(1 << 60).unwrap();
    assert_eq!((step.refused.len(), step.signed.len()), (1, 1), "{step:?}");
    let step = notary.step(2 << 60).unwrap();
    assert_eq!((step.refused.len(), step.signed.len()), (0, 0), "{step:?}");
}

#[test]
fn re_anchoring_is_recorded_and_goes_on_from_what_is_there() {
    let (place, older) = with_older_copy();
    put_back(&place, &older, "");
    let (acme, bolt) = (tenant("acme"), tenant("bolt"));
    let mut notary = place.signer();
    assert_eq!(finish(&mut notary, 3).refused.len(), 1);
    let checkpoint = notary.re_anchor(acme, 4).unwrap();
    assert_eq!((checkpoint.size, checkpoint.time), (102, 4));
    drop(notary);
    write(&place, 1, &[("acme", "a", 50)]);
    let mut notary = place.signer();
    let signing = notary.signing().unwrap();
    let (anchored, other) = (signing.last(acme).unwrap(), signing.last(bolt).unwrap());
    assert_eq!((anchored.size, anchored.re_anchors), (102, 1));
    assert!(anchored.re_anchored_ns > 0);
    assert_eq!(other.re_anchors, 0);
    let step = finish(&mut notary, 5);
    assert_sound(&step);
    assert_eq!(step.signed.iter().map(|checkpoint| checkpoint.size).collect::<Vec<_>>(), [152]);
    assert_eq!(notary.signing().unwrap().last(acme).unwrap().re_anchors, 1);
}

#[test]
fn a_lost_memory_of_what_was_signed_is_made_anew_for_all() {
    let (place, _) = with_older_copy();
    fs::remove_file(place.keys().join("signer")).unwrap();
    let mut notary = place.notary();
    finish(&mut notary, 3);
    let mut store = place.store(notary.engine());
    assert!(diatreme_notary::Signing::new(&mut store).is_err());
    notary.re_anchor_all(&mut store).unwrap();
    let signing = notary.signing().unwrap();
    for (name, size) in [("acme", 202), ("bolt", 12)] {
        let last = signing.last(tenant(name)).unwrap();
        assert_eq!((last.size, last.re_anchors), (size, 1), "{name}");
    }
    assert_eq!(notary.checkpoint(tenant("acme"), 4).unwrap().size, 202);
}

/// The writes of a finish, in order: trees, what was signed, checkpoints, state. A process may end between any two of them,
/// and files without a flush may have less than was written.
#[test]
fn a_crash_between_any_two_writes() {
    let place = Place::new();
    write(&place, 1, &[("acme", "a", 300), ("bolt", "b", 10)]);
    assert_sound(&finish(&mut place.signer(), 1));
    let before = place.copy();
    write(&place, 1, &[("acme", "a", 900), ("core", "c", 10)]);
    let log_written = place.copy();
    assert_sound(&finish(&mut place.signer(), 2));
    let after = place;
    let acme = tenant("acme");
    let tree = |level: &str| format!("data/notary/{acme:016x}/{level}");
    let checkpoint = format!("data/notary/{acme:016x}/checkpoint");
    let new_tenant = format!("data/notary/{:016x}", tenant("core"));
    let trees = [tree("level-00"), tree("level-08")];
    let order = [trees[0].as_str(), &trees[1], &new_tenant, "data.keys/signer", &checkpoint, "data/notary/state"];
    for done in 0..=order.len() {
        for torn in [false, true] {
            let crashed = log_written.copy();
            for name in &order[..done] {
                let (from, to) = (after.root.path().join(name), crashed.root.path().join(name));
                match from.is_dir() {
                    true => copy(&from, &to),
                    false => drop(fs::copy(from, to).unwrap()),
                }
            }
            if torn && done == 2 {
                // The second one was not flushed; the first has a part of a hash at its end.
                fs::copy(before.root.path().join(&trees[1]), crashed.root.path().join(&trees[1])).unwrap();
                let level = fs::OpenOptions::new().write(true).open(crashed.root.path().join(&trees[0])).unwrap();
                level.set_len(302 * 32 + 17).unwrap();
            }
            if torn {
                // What was to replace a file was cut.
                fs::write(crashed.data().join("notary/state.new"), b"DIATNOTA").unwrap();
                fs::write(crashed.root.path().join(format!("{checkpoint}.new")), b"diatreme/").unwrap();
            }
            let mut notary = crashed.signer();
            assert_eq!(notary.rebuilt(), None, "after {done} writes");
            let signed_before = notary.signing().unwrap().last(acme).unwrap().size;
            assert_sound(&finish(&mut notary, 3));
            assert_trees(&notary, &crashed.data());
            let note = notary.checkpoint_on_file(acme).unwrap();
            let newest = Checkpoint::open(note.as_bytes(), &verifier(&notary, acme)).unwrap();
            let leaves = harness::leaves(&plain(&crashed.data())[&acme]);
            assert_eq!((newest.size, newest.root), (1202, root_of(&leaves)), "after {done} writes");
            assert!(newest.size >= signed_before);
        }
    }
}

#[test]
fn what_is_missing_or_damaged_is_made_anew() {
    let place = Place::new();
    write(&place, 2, &[("acme", "a", 600), ("bolt", "b", 10)]);
    assert_sound(&finish(&mut place.signer(), 1));
    let acme = format!("notary/{:016x}", tenant("acme"));
    type Spoil = fn(&std::path::Path);
    let flip: Spoil = |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cut: Spoil = |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 32]).unwrap();
    };
    let remove: Spoil = |path| fs::remove_file(path).unwrap();
    let cases = [
        ("notary/state".to_owned(), remove, Rebuilt::State),
        ("notary/state".to_owned(), flip, Rebuilt::State),
        ("notary/state".to_owned(), cut, Rebuilt::State),
        (format!("{acme}/level-00"), cut, Rebuilt::Tiles),
        (format!("{acme}/level-00"), remove, Rebuilt::Tiles),
        (format!("{acme}/level-08"), flip, Rebuilt::Tiles),
    ];
    for (name, spoil, expected) in cases {
        let spoilt = place.copy();
        spoil(&spoilt.data().join(&name));
        let mut notary = spoilt.signer();
        assert_eq!(notary.rebuilt(), Some(expected), "{name}");
        let step = finish(&mut notary, 2);
        assert_sound(&step);
        assert_eq!(step.signed, [], "what is on file is of this tree");
        assert_trees(&notary, &spoilt.data());
        notary.inclusion(tenant("acme"), 1, 5).unwrap();
    }
    // Not part of the root's way: no opening reads it. A proof that needs it is not given out.
    let spoilt = place.copy();
    let path = spoilt.data().join(format!("{acme}/level-00"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[32 * 100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut notary = spoilt.signer();
    let errors: Vec<_> = (0..600).filter_map(|offset| notary.inclusion(tenant("acme"), 1, offset).err()).collect();
    assert!(!errors.is_empty());
    for error in errors {
        assert!(matches!(error, Error::Tiles { .. } | Error::NoRecord { .. }), "{error}");
    }
}
