//! After an erasure no file has the key, nor does the store; and a copy from before opens only where the caller kept the
//! master key.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use diatreme_keys::{Error, KeyState, KeyStore, MasterSource, NewMaster, OldMaster};
use harness::{ACME, BOLT, ENGINE, Place, copy_directory, says};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A store with keys, and a copy of it and of its master key from before whatever comes.
fn with_backup() -> Place {
    let place = Place::with_keys();
    copy_directory(&place.store(), &place.path("backup.keys"));
    fs::copy(place.path("master.key"), place.path("backup.key")).unwrap();
    place
}

/// The backup, under a master key.
fn backup(place: &Place, master: &MasterSource) -> Result<KeyStore, Error> {
    KeyStore::open(&place.path("backup.keys"), &ENGINE, master)
}

fn states(store: &KeyStore) -> Vec<(u64, u32, KeyState, bool)> {
    store.keys().map(|info| (info.tenant, info.key_id, info.state, info.key.is_some())).collect()
}

#[test]
fn a_tenant_is_erased_with_its_streams_and_the_others_stay() {
    let place = with_backup();
    let mut store = place.open().unwrap();
    let survivor = *store.key(BOLT, 1).unwrap().expose();
    let commitment = store.keys().next().unwrap().commitment;
    let erased = store.erase(ACME, None, NewMaster::InPlace).unwrap();
    assert_eq!((erased.keys, erased.old_master), (2, OldMaster::Destroyed));
    let gone = KeyState::Erased;
    let expected =
        [(ACME, 1, gone, false), (ACME, 2, gone, false), (BOLT, 1, KeyState::Current, true), (BOLT, 2, gone, false)];
    assert_eq!(states(&store), expected);
    assert!(matches!(store.retire(ACME, 2), Err(Error::NotThere { .. })));
    drop(store);
    let mut store = place.open().unwrap();
    assert_eq!(states(&store), expected);
    assert_eq!(store.key(BOLT, 1).unwrap().expose(), &survivor);
    let first = store.keys().next().unwrap();
    assert!(first.commitment == commitment && first.erased_ns >= first.retired_ns && first.retired_ns > 0);
    // Again: nothing is left to destroy, and the master key is another one again.
    let master = fs::read(place.path("master.key")).unwrap();
    assert_eq!(store.erase(ACME, None, NewMaster::InPlace).unwrap().keys, 0);
    assert_ne!(fs::read(place.path("master.key")).unwrap(), master);
    // The backup opens with its own master key, and with none that exists where nobody kept that.
    assert!(matches!(backup(&place, &place.source("master.key")), Err(Error::DoesNotOpen { .. })));
    assert!(backup(&place, &place.source("backup.key")).unwrap().key(ACME, 1).is_some());
}

#[test]
fn a_stream_is_erased_alone() {
    let place = Place::with_keys();
    let mut store = place.open().unwrap();
    says(&store.erase(ACME, Some(8), NewMaster::InPlace).unwrap_err(), &["stream 8", "ac3e", "no key of its own"]);
    says(&store.erase(99, None, NewMaster::InPlace).unwrap_err(), &["0000000000000063", "has no key"]);
    assert_eq!(store.erase(ACME, Some(3), NewMaster::InPlace).unwrap().keys, 1);
    assert!(store.key(ACME, 1).is_some() && store.key(ACME, 2).is_none());
    assert_eq!(store.erase(ACME, Some(0), NewMaster::InPlace).unwrap().keys, 1, "stream 0 is the tenant");
}

#[test]
fn a_master_key_that_lies_elsewhere_the_caller_replaces() {
    let place = Place::with_keys();
    let command =
        |name: &str| -> MasterSource { format!("command:cat {}", place.path(name).display()).parse().unwrap() };
    let mut store = place.open().unwrap();
    place.another("second.key");
    // From a file to elsewhere: the file is ours to destroy.
    let erased = store.erase(ACME, Some(3), NewMaster::From(command("second.key"))).unwrap();
    assert_eq!(erased.old_master, OldMaster::Destroyed);
    assert!(!place.path("master.key").exists());
    // From elsewhere: it is not.
    says(&store.erase(ACME, None, NewMaster::InPlace).unwrap_err(), &["command:cat …", "name the source of a new one"]);
    says(&store.erase(ACME, None, NewMaster::From(command("second.key"))).unwrap_err(), &["already", "give a new one"]);
    assert!(store.key(ACME, 1).is_some(), "what was refused is not done");
    let third = place.another("third.key");
    let erased = store.erase(ACME, None, NewMaster::From(third.clone())).unwrap();
    assert_eq!((erased.keys, erased.old_master), (1, OldMaster::ToDestroy(command("second.key"))));
    assert_eq!(store.master(), &third);
    drop(store);
    assert!(KeyStore::open(&place.store(), &ENGINE, &command("second.key")).is_err());
    assert_eq!(KeyStore::open(&place.store(), &ENGINE, &third).unwrap().keys().len(), 4);
}

#[test]
fn who_keeps_the_master_key_keeps_the_backups_readable() {
    let place = with_backup();
    let mut store = place.open().unwrap();
    let erased = store.erase(ACME, None, NewMaster::KeepMaster).unwrap();
    assert_eq!((erased.keys, erased.old_master), (2, OldMaster::Kept));
    drop(store);
    assert!(place.open().unwrap().key(ACME, 1).is_none());
    assert!(backup(&place, &place.source("master.key")).unwrap().key(ACME, 1).is_some(), "as documented");
    // That can be made good.
    place.open().unwrap().erase(ACME, None, NewMaster::InPlace).unwrap();
    assert!(backup(&place, &place.source("master.key")).is_err());
}

#[test]
fn a_link_to_the_master_key_is_followed() {
    let place = Place::with_keys();
    fs::create_dir(place.path("secret")).unwrap();
    fs::rename(place.path("master.key"), place.path("secret").join("real.key")).unwrap();
    symlink(place.path("secret").join("real.key"), place.path("master.key")).unwrap();
    let before = fs::read(place.path("secret").join("real.key")).unwrap();
    place.open().unwrap().erase(ACME, None, NewMaster::InPlace).unwrap();
    assert!(fs::symlink_metadata(place.path("master.key")).unwrap().is_symlink());
    assert_eq!(place.names(&place.path("secret")), ["real.key"]);
    assert_ne!(fs::read(place.path("secret").join("real.key")).unwrap(), before);
    place.open().unwrap();
}

/// A second name of the old file sees what becomes of its bytes.
#[test]
fn the_old_bytes_are_overwritten_where_they_lie() {
    let place = Place::with_keys();
    fs::set_permissions(place.path("master.key"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::hard_link(place.path("master.key"), place.path("old.key")).unwrap();
    fs::hard_link(place.store().join("keys"), place.path("old.keys")).unwrap();
    place.open().unwrap().erase(ACME, None, NewMaster::InPlace).unwrap();
    for name in ["old.key", "old.keys"] {
        let bytes = fs::read(place.path(name)).unwrap();
        assert!(bytes.len() >= 65 && bytes.iter().all(|&byte| byte == 0), "{name}");
    }
    assert_eq!(place.names(&place.store()), ["LOCK", "keys", "signer"]);
}

/// The directory of the master key cannot be written: nothing is erased, and nothing is lost.
#[test]
fn what_cannot_be_replaced_is_not_erased() {
    let place = Place::with_keys();
    let mut store = place.open().unwrap();
    let name = format!("master.key.next-{}", "07".repeat(16));
    fs::create_dir(place.path(&name)).unwrap();
    let error = store.erase(ACME, None, NewMaster::InPlace).unwrap_err();
    says(&error, &["clear away", &name]);
    assert!(store.key(ACME, 1).is_some());
    fs::remove_dir(place.path(&name)).unwrap();
    store.erase(ACME, None, NewMaster::InPlace).unwrap();
    drop(store);
    assert!(place.open().unwrap().key(ACME, 1).is_none());
}
