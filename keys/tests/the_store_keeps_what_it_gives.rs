//! Keys that were given out are there after every opening, under ids that are never given again.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use diatreme_keys::limits::KEYS_MAX;
use diatreme_keys::{Error, KeyState, KeyStore, NewMaster};
use harness::{ACME, BOLT, ENGINE, Place, says};
use std::os::unix::fs::PermissionsExt;

#[test]
fn keys_are_the_same_after_an_opening() {
    let place = Place::new();
    let mut store = place.create();
    let (id, commitment) = store.add(ACME, 0).unwrap();
    let many = store.add_many(&[(ACME, 0), (BOLT, 0), (ACME, 9)]).unwrap();
    assert_eq!((id, many.iter().map(|(id, _)| *id).collect::<Vec<_>>()), (1, vec![2, 1, 3]));
    let (key, seed) = (*store.key(ACME, 1).unwrap().expose(), *store.signer_seed().expose());
    assert_eq!(store.key(ACME, 1).unwrap().commitment(ACME, 1), commitment);
    let generation = store.generation();
    drop(store);
    let store = place.open().unwrap();
    assert_eq!((store.key(ACME, 1).unwrap().expose(), store.signer_seed().expose()), (&key, &seed));
    assert_eq!((store.generation(), store.engine(), store.keys().len()), (generation, &ENGINE, 4));
    let listed: Vec<_> = store.keys().map(|info| (info.tenant, info.key_id, info.stream, info.state)).collect();
    let current = KeyState::Current;
    let expected = [(ACME, 1, 0, current), (ACME, 2, 0, current), (ACME, 3, 9, current), (BOLT, 1, 0, current)];
    assert_eq!(listed, expected);
    for (info, (_, commitment)) in store.keys().filter(|info| info.key_id > 1).zip([many[0], many[2]]) {
        assert!(info.key.unwrap().fits(info.tenant, info.key_id, &commitment));
        assert!(info.created_ns > store.created_ns() && (info.retired_ns, info.erased_ns) == (0, 0));
    }
    let distinct: std::collections::BTreeSet<_> = store.keys().map(|info| *info.key.unwrap().expose()).collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn an_id_is_not_given_again_after_an_erasure() {
    let place = Place::new();
    let mut store = place.create();
    store.add_many(&[(ACME, 0), (ACME, 0)]).unwrap();
    store.erase(ACME, None, NewMaster::KeepMaster).unwrap();
    drop(store);
    let mut store = place.open().unwrap();
    assert_eq!(store.add(ACME, 0).unwrap().0, 3);
}

#[test]
fn a_retired_key_still_opens() {
    let place = Place::new();
    let mut store = place.create();
    store.add(ACME, 0).unwrap();
    store.retire(ACME, 1).unwrap();
    let generation = store.generation();
    store.retire(ACME, 1).unwrap();
    assert_eq!(store.generation(), generation, "it was retired already");
    says(&store.retire(ACME, 2).unwrap_err(), &["000000000000ac3e", "no key 2"]);
    drop(store);
    let store = place.open().unwrap();
    let info = store.keys().next().unwrap();
    assert!(info.state == KeyState::Retired && info.retired_ns >= info.created_ns && info.key.is_some());
}

/// A stream's key is made before the stream, which gets its number with its creation.
#[test]
fn a_key_is_assigned_to_its_stream_once() {
    let place = Place::new();
    let mut store = place.create();
    store.add_many(&[(ACME, KeyStore::UNASSIGNED), (ACME, 0)]).unwrap();
    store.assign(ACME, 1, 4).unwrap();
    let generation = store.generation();
    store.assign(ACME, 1, 4).unwrap();
    assert_eq!(store.generation(), generation, "it was assigned already");
    for (key_id, stream) in [(1, 5), (2, 4), (3, 4)] {
        let refused = store.assign(ACME, key_id, stream);
        assert!(matches!(refused, Err(Error::NotThere { .. })), "{key_id} {stream}: {refused:?}");
    }
    drop(store);
    let mut store = place.open().unwrap();
    assert_eq!(store.keys().map(|info| info.stream).collect::<Vec<_>>(), [4, 0]);
    assert_eq!(store.erase(ACME, Some(4), NewMaster::KeepMaster).unwrap().keys, 1);
}

#[test]
fn more_keys_than_the_limit_are_refused_and_nothing_is_changed() {
    let place = Place::new();
    let mut store = place.create();
    store.add_many(&vec![(ACME, 0); KEYS_MAX - 1]).unwrap();
    says(&store.add_many(&[(BOLT, 0), (BOLT, 0)]).unwrap_err(), &["data.keys/keys", "65536 keys", "full"]);
    store.add(BOLT, 0).unwrap();
    assert!(matches!(store.add(BOLT, 0), Err(Error::Full { .. })));
    drop(store);
    assert_eq!(place.open().unwrap().keys().len(), KEYS_MAX);
}

#[test]
fn one_process_at_a_time_has_it() {
    let place = Place::new();
    let mut store = place.create();
    says(&place.open().unwrap_err(), &["LOCK", "another process", "close it there"]);
    let signed = store.signed_state().unwrap();
    drop(store);
    assert!(matches!(place.open(), Err(Error::Locked { .. })), "what was signed is of the store");
    drop(signed);
    let mut store = place.open().unwrap();
    let first = store.signed_state().unwrap();
    assert!(matches!(store.signed_state(), Err(Error::SignedInUse { .. })));
    drop(first);
    store.signed_state().unwrap();
}

#[test]
fn only_the_owner_can_read_what_is_written() {
    let place = Place::with_keys();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.store()), 0o700);
    assert_eq!(place.names(&place.store()), ["LOCK", "keys", "signer"]);
    for name in ["LOCK", "keys", "signer"] {
        assert_eq!(mode(&place.store().join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&place.path("master.key")), 0o600, "the one that an erasure put there");
}

#[test]
fn a_store_is_made_only_where_none_is_or_was() {
    let place = Place::with_keys();
    let master = place.source("master.key");
    let create = || KeyStore::create(&place.store(), &ENGINE, &master);
    says(&create().unwrap_err(), &["data.keys/keys", "never made where one is"]);
    // Keys that are lost are not made anew beside what was signed with them.
    std::fs::remove_file(place.store().join("keys")).unwrap();
    says(&create().unwrap_err(), &["data.keys/signer", "put its other files back"]);
    says(&place.open().unwrap_err(), &["no key store", "from its backup"]);
    // A master key that cannot be had leaves no directory behind.
    let fresh = place.path("fresh");
    assert!(KeyStore::create(&fresh, &ENGINE, &place.source("nowhere")).is_err() && !fresh.exists());
    assert!(KeyStore::open(&fresh, &ENGINE, &master).is_err() && !fresh.exists());
}

#[test]
fn another_master_key_opens_the_same_keys() {
    let place = Place::with_keys();
    let mut store = place.open().unwrap();
    let before: Vec<_> = store.keys().map(|info| info.key.map(|key| *key.expose())).collect();
    let (old, new) = (place.source("master.key"), place.another("new.key"));
    says(&store.rotate_master(&old).unwrap_err(), &["master.key", "already"]);
    store.rotate_master(&new).unwrap();
    store.add(BOLT, 0).unwrap();
    drop(store);
    assert!(matches!(place.open(), Err(Error::DoesNotOpen { .. })));
    let mut store = KeyStore::open(&place.store(), &ENGINE, &new).unwrap();
    let after: Vec<_> = store.keys().map(|info| info.key.map(|key| *key.expose())).collect();
    assert_eq!(after[..before.len()], before);
    assert_eq!(store.signed_state().unwrap().last(ACME).unwrap().size, 10, "what was signed needs no rewriting");
    assert!(place.path("master.key").exists(), "a rotation is no erasure");
}

#[test]
fn nothing_that_is_shown_holds_a_key() {
    let place = Place::with_keys();
    let mut store = place.open().unwrap();
    let mut shown = format!("{store:?} {:?}", store.keys().collect::<Vec<_>>());
    shown += &format!("{:?}", store.signed_state().unwrap());
    let secrets =
        store.keys().filter_map(|info| info.key.map(|key| *key.expose())).chain([*store.signer_seed().expose()]);
    for secret in secrets {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{secret:?}");
        assert!(!shown.contains(&hex[..16]) && !shown.contains(&list[1..20]), "{shown}");
    }
}
