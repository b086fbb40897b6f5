//! The machine stops after every single operation on a file, in each way that a crash may take what was not flushed; and
//! then the store opens, as the old or as the new one.

mod model;

use crate::contents::KeyState;
use crate::erase::{NewMaster, OldMaster};
use crate::error::Error;
use crate::lock::Lock;
use crate::signed::SignedState;
use crate::source::MasterSource;
use crate::store::{KeyInfo, KeyStore};
use crypto::secret::MasterKey;
use model::{Failing, Model, Taken};
use std::path::Path;
use std::sync::Arc;

const ENGINE: [u8; 16] = [9; 16];
const DIRECTORY: &str = "/store";
const MASTER: &str = "/secret/master.key";
const OTHER: &str = "/secret/other.key";
const ACME: u64 = 11;
const BOLT: u64 = 12;

fn source(path: &str) -> MasterSource {
    MasterSource::File(path.into())
}

fn open_under(files: &Arc<Model>, master: &str) -> Result<KeyStore, Error> {
    KeyStore::open_with(files.clone(), Lock::none(), Path::new(DIRECTORY), &ENGINE, source(master))
}

fn open(files: &Arc<Model>) -> Result<KeyStore, Error> {
    open_under(files, MASTER)
}

fn create(files: &Arc<Model>) -> Result<KeyStore, Error> {
    let key = source(MASTER).read_with(&**files)?;
    KeyStore::create_with(files.clone(), Lock::none(), Path::new(DIRECTORY), &ENGINE, source(MASTER), &key)
}

/// The master keys' files, and nothing else.
fn empty() -> Arc<Model> {
    let files = Model::new();
    files.put(MASTER.as_ref(), &[1; 32]);
    files.put(OTHER.as_ref(), &[2; 32]);
    files
}

/// A store of two tenants' keys, and one of a stream of its own.
fn three_keys() -> Arc<Model> {
    let files = empty();
    create(&files).unwrap().add_many(&[(ACME, 0), (ACME, 3), (BOLT, 0)]).unwrap();
    // Whatever was not flushed is not part of what the tests begin with.
    files.crashed(Taken::Unflushed)
}

/// What a store knows of a key: tenant, id, stream; and the key in the clear.
type Fact = ((u64, u32, u32), KeyState, Option<[u8; 32]>);

fn facts(store: &KeyStore) -> Vec<Fact> {
    let key = |info: KeyInfo<'_>| info.key.map(|key| *key.expose());
    store.keys().map(|info| ((info.tenant, info.key_id, info.stream), info.state, key(info))).collect()
}

/// Runs `act` on copies of `start`, stopped after every number of operations, and gives each crash's files to `judge`, with
/// whether `act` had succeeded.
fn at_every_stop(
    start: &Arc<Model>,
    act: impl Fn(&Arc<Model>) -> Result<(), Error>,
    judge: impl Fn(&Arc<Model>, bool),
) {
    let whole = start.copy();
    act(&whole).unwrap();
    let operations = whole.done();
    assert!(operations >= 5, "it writes and flushes");
    for stop in 0..=operations {
        for taken in Taken::ALL {
            let files = start.copy();
            files.stop_after(stop);
            let acted = act(&files).is_ok();
            assert!(acted || stop < operations, "nothing stopped it");
            judge(&files.crashed(taken), acted);
        }
    }
}

/// The same, where the files are those of one store that opens before and after.
fn old_or_new(start: &Arc<Model>, act: impl Fn(&mut KeyStore) -> Result<(), Error>) {
    let before = facts(&open(&start.copy()).unwrap());
    let seen = std::cell::Cell::new((0, 0));
    at_every_stop(
        start,
        |files| act(&mut open(files)?),
        |files, acted| {
            let store = open(files).unwrap();
            let after = facts(&store);
            let (old, new) = seen.get();
            if after == before {
                assert!(!acted, "what was done is gone");
                seen.set((old + 1, new));
            } else {
                seen.set((old, new + 1));
            }
            // It is a store like any other, and opens again with what was done to it since.
            drop(store);
            let mut store = open(files).unwrap();
            let (id, _) = store.add(77, 0).unwrap();
            assert_eq!(id, 1);
            let known = facts(&store);
            drop(store);
            assert_eq!(facts(&open(files).unwrap()), known);
            let leftovers = files.named().into_keys().filter(|path| !KNOWN.contains(&path.to_str().unwrap()));
            assert_eq!(leftovers.count(), 0, "nothing lies about");
        },
    );
    let (old, new) = seen.get();
    assert!(old > 0 && new > 0, "both were seen: {old} {new}");
}

const KNOWN: [&str; 4] = [MASTER, OTHER, "/store/keys", "/store/signer"];

#[test]
fn a_making_that_stops_can_be_made_again() {
    at_every_stop(
        &empty(),
        |files| create(files).map(drop),
        |files, acted| match open(files) {
            Ok(mut store) => assert_eq!(store.signed_state().unwrap().iter().len(), 0),
            Err(error) => {
                assert!(matches!(error, Error::Missing { .. }), "{error}");
                assert!(!acted);
                create(files).unwrap();
            }
        },
    );
}

#[test]
fn an_adding_that_stops_leaves_the_old_or_the_new_keys() {
    old_or_new(&three_keys(), |store| store.add_many(&[(ACME, 0), (BOLT, 5)]).map(drop));
}

#[test]
fn a_retiring_that_stops_leaves_the_old_or_the_new_state() {
    old_or_new(&three_keys(), |store| store.retire(BOLT, 1));
}

#[test]
fn an_erasure_in_place_that_stops_is_undone_or_finished() {
    old_or_new(&three_keys(), |store| store.erase(ACME, None, NewMaster::InPlace).map(drop));
}

#[test]
fn an_erasure_that_keeps_the_master_stops_as_well() {
    old_or_new(&three_keys(), |store| store.erase(ACME, Some(3), NewMaster::KeepMaster).map(drop));
}

#[test]
fn a_rotation_that_stops_opens_with_one_of_the_two() {
    let start = three_keys();
    let before = facts(&open(&start.copy()).unwrap());
    at_every_stop(
        &start,
        |files| open(files)?.rotate_master(&source(OTHER)),
        |files, acted| {
            let (old, new) = (open(&files.copy()), open_under(&files.copy(), OTHER));
            assert!(old.is_ok() != new.is_ok() && (new.is_ok() || !acted));
            assert_eq!(facts(&old.or(new).unwrap()), before);
        },
    );
}

#[test]
fn an_erasure_under_another_source_stops_as_well() {
    let start = three_keys();
    at_every_stop(
        &start,
        |files| open(files)?.erase(ACME, None, NewMaster::From(source(OTHER))).map(drop),
        |files, acted| {
            let (old, new) = (open(&files.copy()), open_under(&files.copy(), OTHER));
            assert!(old.is_ok() != new.is_ok() && (new.is_ok() || !acted));
            match new {
                Ok(store) => assert!(store.key(ACME, 1).is_none() && store.key(BOLT, 1).is_some()),
                Err(_) => assert!(old.unwrap().key(ACME, 1).is_some()),
            }
            assert!(!acted || !files.named().contains_key(Path::new(MASTER)), "the old master is destroyed");
        },
    );
}

/// The promise itself: after an erasure, no file has the key under any master key that exists, and a backup from before does
/// not open.
#[test]
fn after_an_erasure_nothing_that_exists_opens_the_key() {
    let start = three_keys();
    let backup = start.copy();
    let files = start.copy();
    let mut store = open(&files).unwrap();
    let (doomed, survivor) = (*store.key(ACME, 1).unwrap().expose(), *store.key(BOLT, 1).unwrap().expose());
    let erased = store.erase(ACME, None, NewMaster::InPlace).unwrap();
    assert_eq!((erased.keys, erased.old_master), (2, OldMaster::Destroyed));
    assert!(store.key(ACME, 1).is_none() && store.key(ACME, 2).is_none());
    drop(store);
    // Bytes that no name leads to are counted too: they are what a disk keeps.
    for bytes in files.all_bytes() {
        for old in [[1_u8; 32], doomed] {
            assert!(!bytes.windows(32).any(|window| window == old), "key material is left");
        }
        if let Some(mut opened) = opened_by_any(&files, &bytes) {
            assert!(opened.data.remove(&(ACME, 1)).is_none(), "a file opens that has the key");
        }
    }
    let store = open(&files).unwrap();
    assert_eq!(store.key(BOLT, 1).unwrap().expose(), &survivor);
    // The backup of the store, with the master key that exists now.
    let restored = backup.copy();
    let now = files.named()[Path::new(MASTER)].clone();
    restored.put(MASTER.as_ref(), &now);
    assert!(matches!(open(&restored), Err(Error::DoesNotOpen { .. })));
    assert!(open(&backup).is_ok(), "it is the master key that does it");
}

/// What opens as a store with one of the master keys that lie in the files.
fn opened_by_any(files: &Arc<Model>, bytes: &[u8]) -> Option<crate::contents::Opened> {
    let head = crate::format::check(&crate::format::KEYS, bytes).ok()?;
    let masters = [MASTER, OTHER].into_iter().filter_map(|path| source(path).read_with(&**files).ok());
    masters.into_iter().find_map(|key: MasterKey| crate::contents::Contents::open(&head, bytes, &key))
}

/// A file of the operator's beside the master key is not ours to take away; and one that waits for another engine is not.
#[test]
fn only_the_file_that_waits_for_this_store_is_taken() {
    let files = three_keys();
    let others = ["/secret/master.key.new", "/secret/master.key.old", "/secret/master.key.next-07"];
    others.iter().for_each(|path| files.put(path.as_ref(), b"somebody's"));
    open(&files).unwrap().erase(BOLT, None, NewMaster::InPlace).unwrap();
    open(&files).unwrap();
    for path in others {
        assert_eq!(files.named()[Path::new(path)], b"somebody's", "{path}");
    }
}

/// One operation fails, and the machine goes on: what is done then to clean up must not take what is needed.
#[test]
fn a_single_operation_that_fails_costs_nothing() {
    type Act = fn(&mut KeyStore) -> Result<(), Error>;
    let acts: [Act; 5] = [
        |store| store.add(ACME, 0).map(drop),
        |store| store.retire(BOLT, 1),
        |store| store.rotate_master(&source(OTHER)),
        |store| store.erase(ACME, None, NewMaster::InPlace).map(drop),
        |store| store.erase(ACME, None, NewMaster::From(source(OTHER))).map(drop),
    ];
    let start = three_keys();
    for act in acts {
        for failing in 0..operations_of(&start, act) {
            for (how, taken) in
                [Failing::Undone, Failing::Done].into_iter().flat_map(|how| Taken::ALL.map(|taken| (how, taken)))
            {
                let files = start.copy();
                let mut store = open(&files).unwrap();
                files.fail_after(failing, how);
                act(&mut store).unwrap_err();
                let erased = store.key(ACME, 1).is_none();
                drop(store);
                let files = files.crashed(taken);
                let mut store = open(&files).or_else(|_| open_under(&files, OTHER)).unwrap();
                assert!(store.key(BOLT, 1).is_some(), "whatever became of the others");
                assert!(!erased || store.key(ACME, 1).is_none(), "what is gone from memory is gone");
                let again = act(&mut store);
                assert!(matches!(again, Ok(()) | Err(Error::SameMaster { .. })), "{again:?}");
            }
        }
    }
}

/// How many operations an act takes, the opening before it not counted.
fn operations_of(start: &Arc<Model>, act: impl Fn(&mut KeyStore) -> Result<(), Error>) -> usize {
    let files = start.copy();
    let mut store = open(&files).unwrap();
    let before = files.done();
    act(&mut store).unwrap();
    files.done() - before
}

/// The master key's file has another key by now: another store's, or the operator's. It is not ours to destroy.
#[test]
fn a_master_key_that_is_not_the_stores_is_not_touched() {
    let files = three_keys();
    let mut store = open(&files).unwrap();
    files.put(MASTER.as_ref(), &[3; 32]);
    let error = store.erase(ACME, None, NewMaster::InPlace).unwrap_err();
    assert!(matches!(error, Error::OtherMaster { .. }), "{error}");
    assert!(store.key(ACME, 1).is_some());
    // It may be the very one that is to be used.
    let erased = store.erase(ACME, None, NewMaster::From(source(MASTER))).unwrap();
    assert_eq!((erased.keys, erased.old_master), (2, OldMaster::ToDestroy(source(MASTER))));
    assert_eq!(files.named()[Path::new(MASTER)], [3; 32]);
    drop(store);
    assert!(open(&files).unwrap().key(BOLT, 1).is_some());
}

#[test]
fn a_store_whose_write_failed_halfway_asks_to_be_opened_again() {
    let start = three_keys();
    let mut unsure = 0;
    let operations = operations_of(&start, |store| store.add(ACME, 0).map(drop));
    for stop in 0..operations {
        let files = start.copy();
        let mut store = open(&files).unwrap();
        files.stop_after(stop);
        let error = store.add(ACME, 0).unwrap_err();
        assert!(matches!(error, Error::System { .. }), "{error}");
        let known = facts(&store);
        assert_eq!(known.len(), 3, "what failed is not in memory");
        files.stop_after(usize::MAX);
        match store.add(ACME, 0) {
            Ok((id, _)) => assert_eq!(id, 3),
            Err(Error::Interrupted { .. }) => unsure += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(unsure > 0 && unsure < operations);
}

/// The same process goes on after a failure, and then the machine stops.
#[test]
fn a_failure_and_a_crash_after_it_cost_nothing() {
    let start = three_keys();
    let add = |store: &mut KeyStore| store.add(ACME, 0).map(drop);
    let operations = operations_of(&start, add);
    for (failing, how) in (0..operations).flat_map(|failing| [(failing, Failing::Undone), (failing, Failing::Done)]) {
        for (stop, taken) in (0..operations + 4).flat_map(|stop| Taken::ALL.map(|taken| (stop, taken))) {
            let files = start.copy();
            let mut store = open(&files).unwrap();
            files.fail_after(failing, how);
            add(&mut store).unwrap_err();
            files.stop_after(stop);
            let again = add(&mut store);
            drop(store);
            let known = facts(&open(&files.crashed(taken)).unwrap());
            assert!(known.len() == 4 || (known.len() == 3 && again.is_err()), "{failing} {how:?} {stop} {taken:?}");
        }
    }
}

/// The new master key waits in its file and the store is under it: another erasure must not take its place.
#[test]
fn an_erasure_that_could_not_finish_is_finished_before_the_next() {
    let files = three_keys();
    let operations = operations_of(&files, |store| store.erase(ACME, None, NewMaster::InPlace).map(drop));
    let mut left = 0;
    for stop in 0..operations {
        let files = files.copy();
        let mut store = open(&files).unwrap();
        files.stop_after(stop);
        let error = store.erase(ACME, None, NewMaster::InPlace).unwrap_err();
        files.stop_after(usize::MAX);
        if let Error::MasterLeft { .. } = error {
            left += 1;
            assert!(store.key(ACME, 1).is_none(), "it is gone from memory");
            let again = store.erase(BOLT, None, NewMaster::InPlace);
            assert!(matches!(again, Err(Error::Interrupted { .. })));
        }
        drop(store);
        let mut store = open(&files).unwrap();
        store.erase(ACME, None, NewMaster::InPlace).unwrap();
        drop(store);
        assert!(open(&files).unwrap().key(BOLT, 1).is_some());
    }
    assert!(left > 0);
}

#[test]
fn what_is_signed_is_durable_before_the_signature() {
    let start = three_keys();
    open(&start).unwrap().signed_state().unwrap().advance_many(&[(ACME, 5, [5; 32]), (BOLT, 1, [1; 32])]).unwrap();
    let act = |files: &Arc<Model>| {
        let mut signed: SignedState = open(files)?.signed_state()?;
        signed.advance_many(&[(ACME, 6, [6; 32]), (BOLT, 2, [2; 32])])
    };
    at_every_stop(&start.crashed(Taken::Unflushed), act, |files, acted| {
        let mut signed = open(files).unwrap().signed_state().unwrap();
        let sizes = (signed.last(ACME).unwrap().size, signed.last(BOLT).unwrap().size);
        assert!(sizes == (6, 2) || (sizes == (5, 1) && !acted), "{sizes:?}");
        signed.advance(ACME, 7, [7; 32]).unwrap();
    });
}
