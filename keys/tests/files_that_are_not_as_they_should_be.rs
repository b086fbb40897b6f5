//! Whatever lies where the store should: an error that helps where anybody can see what is wrong, one single error where it
//! takes the key, and never a panic or a store.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use diatreme_keys::{Error, Fault, KeyStore};
use harness::{ACME, BOLT, ENGINE, Place, copy_directory, says};
use std::fs;
use std::path::Path;

/// The checksum that `bytes` should have, in its place: what an attacker writes, who has no key.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 4;
    let sum = crc_fast::crc32_iscsi(&bytes[..at]);
    bytes[at..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Tries the file `name` with other bytes in it: the store, and what was signed.
fn with_bytes(place: &Place, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = place.store().join(name);
    let aside = place.path("aside");
    // Renamed, not written over: some file systems flush a file that is cut and written again.
    fs::rename(&path, &aside).unwrap();
    fs::write(&path, bytes).unwrap();
    let tried = place.open().and_then(|mut store| store.signed_state().map(drop));
    fs::remove_file(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    tried
}

fn good(place: &Place, name: &str) -> Vec<u8> {
    fs::read(place.store().join(name)).unwrap()
}

#[test]
fn every_flipped_byte_and_every_cut_is_found() {
    let place = Place::with_keys();
    for name in ["keys", "signer"] {
        let bytes = good(&place, name);
        assert!(bytes.len() < 1000, "it is small");
        for at in 0..bytes.len() {
            for bit in [0x01, 0x80] {
                let mut flipped = bytes.clone();
                flipped[at] ^= bit;
                let error = with_bytes(&place, name, &flipped).unwrap_err();
                assert!(matches!(error, Error::Damaged { .. }), "{name} byte {at}: {error}");
            }
            let error = with_bytes(&place, name, &bytes[..at]).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{name} cut at {at}: {error}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(with_bytes(&place, name, &longer), Err(Error::Damaged { fault: Fault::Length, .. })));
        with_bytes(&place, name, &bytes).unwrap();
    }
}

/// The same by somebody who can compute a checksum. What anybody can see may be told apart; all else is one error.
#[test]
fn every_altered_byte_under_a_good_checksum_is_found() {
    let place = Place::with_keys();
    for name in ["keys", "signer"] {
        let bytes = good(&place, name);
        for at in 0..bytes.len() - 4 {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            let error = with_bytes(&place, name, &with_checksum(altered)).unwrap_err();
            let as_it_should = match at {
                0..8 => matches!(error, Error::Damaged { fault: Fault::Magic, .. }),
                8..10 => matches!(error, Error::Damaged { fault: Fault::Version(_), .. }),
                12..16 | 72..76 => matches!(error, Error::Damaged { fault: Fault::Length, .. }),
                16..32 => matches!(error, Error::Foreign { .. }),
                _ => matches!(error, Error::DoesNotOpen { .. }),
            };
            assert!(as_it_should, "{name} byte {at}: {error}");
        }
    }
}

/// Lengths under good checksums too: what is between cannot be cut out.
#[test]
fn entries_that_are_cut_out_or_swapped_are_found() {
    let place = Place::with_keys();
    for (name, fixed, entry) in [("keys", 192, 128), ("signer", 80, 64)] {
        let bytes = good(&place, name);
        let without = |from: usize, to: usize, entries: u32| {
            let mut cut = [&bytes[..from], &bytes[to..]].concat();
            let length = cut.len() as u32;
            cut[12..16].copy_from_slice(&length.to_le_bytes());
            cut[72..76].copy_from_slice(&entries.to_le_bytes());
            with_checksum(cut)
        };
        let entries = (bytes.len() - fixed - 36) / entry;
        for at in 0..entries {
            let cut = without(fixed + at * entry, fixed + (at + 1) * entry, entries as u32 - 1);
            assert!(matches!(with_bytes(&place, name, &cut), Err(Error::DoesNotOpen { .. })));
        }
        let mut swapped = bytes.clone();
        swapped[fixed..fixed + 2 * entry].rotate_left(entry);
        let error = with_bytes(&place, name, &with_checksum(swapped)).unwrap_err();
        assert!(matches!(error, Error::DoesNotOpen { .. }), "{error}");
        // Every length that can be claimed, with the bytes that it takes.
        for length in (0..bytes.len()).chain([1 << 24, u32::MAX as usize]) {
            let mut cut = bytes[..length.clamp(4, bytes.len())].to_vec();
            if cut.len() >= 16 {
                cut[12..16].copy_from_slice(&(length as u32).to_le_bytes());
            }
            with_bytes(&place, name, &with_checksum(cut)).unwrap_err();
        }
    }
}

#[test]
fn a_later_version_is_told_by_its_version_whatever_its_shape() {
    let place = Place::with_keys();
    let mut later = good(&place, "keys");
    later.splice(192..192, [1; 40]);
    let length = later.len() as u32;
    later[8..10].copy_from_slice(&2_u16.to_le_bytes());
    later[12..16].copy_from_slice(&length.to_le_bytes());
    let error = with_bytes(&place, "keys", &with_checksum(later)).unwrap_err();
    says(&error, &["data.keys/keys", "version 2", "reads version 1", "program that wrote it"]);
}

#[test]
fn the_store_of_another_engine_is_named() {
    let place = Place::with_keys();
    let error = KeyStore::open(&place.store(), &[8; 16], &place.source("master.key")).unwrap_err();
    says(&error, &["engine 07070707070707070707070707070707", "not of 08080808", "data.keys/keys"]);
    assert_eq!(KeyStore::engine_of(&place.store()).unwrap(), ENGINE);
}

/// Under the same master key, and with the same engine id as far as can be seen: the keys are derived with it.
#[test]
fn files_swapped_between_engines_do_not_open() {
    let place = Place::with_keys();
    let other = place.path("other.keys");
    let master = place.source("master.key");
    let mut store = KeyStore::create(&other, &[8; 16], &master).unwrap();
    store.add(ACME, 0).unwrap();
    store.signed_state().unwrap().advance(ACME, 1, [1; 32]).unwrap();
    drop(store);
    for name in ["keys", "signer"] {
        let theirs = fs::read(other.join(name)).unwrap();
        assert!(matches!(with_bytes(&place, name, &theirs), Err(Error::Foreign { .. })));
        let mut renamed = theirs;
        renamed[16..32].copy_from_slice(&ENGINE);
        assert!(matches!(with_bytes(&place, name, &with_checksum(renamed)), Err(Error::DoesNotOpen { .. })));
    }
    // What was signed is bound to its own store, not to the master key alone.
    let second = place.path("second.keys");
    drop(KeyStore::create(&second, &ENGINE, &master).unwrap());
    let theirs = fs::read(second.join("signer")).unwrap();
    assert!(matches!(with_bytes(&place, "signer", &theirs), Err(Error::DoesNotOpen { .. })));
    // One of the two files is not the other.
    let keys = good(&place, "keys");
    assert!(matches!(with_bytes(&place, "signer", &keys), Err(Error::Damaged { fault: Fault::Magic, .. })));
}

#[test]
fn a_wrong_master_key_is_told_before_anything_is_touched() {
    let place = Place::with_keys();
    let wrong = place.another("wrong.key");
    // What a crash left would be cleared away by an opening.
    fs::copy(place.store().join("keys"), place.store().join("keys.new")).unwrap();
    let before = snapshot(&place.store());
    let error = KeyStore::open(&place.store(), &ENGINE, &wrong).unwrap_err();
    says(&error, &["data.keys/keys", "another key, or the store was altered"]);
    assert_eq!(snapshot(&place.store()), before);
    place.open().unwrap();
    assert!(!place.store().join("keys.new").exists());
}

fn snapshot(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Every cause that needs the key has the same words, and names nothing but the file.
#[test]
fn all_causes_that_need_the_key_look_alike() {
    let place = Place::with_keys();
    let wrong = place.another("wrong.key");
    let mut texts = vec![KeyStore::open(&place.store(), &ENGINE, &wrong).unwrap_err().to_string()];
    // In turn: the generation, the salt, the seed, an entry's state, its commitment, its wrapped key, the code.
    let bytes = good(&place, "keys");
    for at in [32, 40, 88, 192 + 16, 192 + 48, 192 + 80, bytes.len() - 36] {
        let mut altered = bytes.clone();
        altered[at] ^= 0xff;
        texts.push(with_bytes(&place, "keys", &with_checksum(altered)).unwrap_err().to_string());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
}

#[test]
fn something_else_of_that_name_is_said() {
    let place = Place::with_keys();
    for name in ["signer", "keys"] {
        let path = place.store().join(name);
        fs::rename(&path, place.path("aside")).unwrap();
        fs::create_dir(&path).unwrap();
        let error = place.open().and_then(|mut store| store.signed_state().map(drop)).unwrap_err();
        says(&error, &[name, "not a file"]);
        fs::remove_dir(&path).unwrap();
        fs::rename(place.path("aside"), &path).unwrap();
    }
    // A file longer than any store, of which no memory is taken.
    let path = place.store().join("keys");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    says(&place.open().unwrap_err(), &["data.keys/keys", "backup"]);
    fs::remove_file(&path).unwrap();
    says(&place.open().unwrap_err(), &["data.keys/keys", "no key store here", "backup", "sealed"]);
    let empty = place.path("empty");
    fs::create_dir(&empty).unwrap();
    assert!(matches!(KeyStore::open(&empty, &ENGINE, &place.source("master.key")), Err(Error::Missing { .. })));
    assert_eq!(place.names(&empty).len(), 0, "a directory of something else stays as it is");
}

#[test]
fn what_was_signed_may_not_just_be_missing() {
    let place = Place::with_keys();
    fs::remove_file(place.store().join("signer")).unwrap();
    let mut store = place.open().unwrap();
    let error = store.signed_state().unwrap_err();
    says(&error, &["data.keys/signer", "nothing is signed", "re-anchor"]);
    let signed = store.replace_signed_state(&[(ACME, 7, [3; 32])]).unwrap();
    let last = signed.last(ACME).unwrap();
    assert!((last.size, last.re_anchors) == (7, 1) && last.re_anchored_ns > 0 && signed.last(BOLT).is_none());
}

#[test]
fn a_copy_of_the_store_opens_as_the_store_does() {
    let place = Place::with_keys();
    let copy = place.path("copy.keys");
    copy_directory(&place.store(), &copy);
    let store = KeyStore::open(&copy, &ENGINE, &place.source("master.key")).unwrap();
    assert_eq!(store.keys().len(), 4);
}
