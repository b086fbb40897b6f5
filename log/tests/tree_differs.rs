//! The trees that verification computes are those of RFC 6962 over what was appended, at every size, however the records came to
//! lie; and a position that is missing, or there twice, is not passed over.

#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use crypto::merkle::{Hash, leaf, node};
use diatreme_log::{Cause, Tree, verify_roots};
use harness::{Directory, Model, Place, Session, open, payload};
use iobackend::{IoBackend, Mode};

const KEYS: [(u64, u32); 5] = [(11, 0), (11, 1), (11, 2), (12, 0), (12, 7)];
const TENANTS: [u64; 2] = [11, 12];

/// Frames of several records and tenants.
fn write_some(session: &mut Session<impl IoBackend>, rounds: usize) {
    for round in 0..rounds {
        for (at, key) in KEYS.into_iter().enumerate().cycle().take(3 + round * 4) {
            let offset = session.model.streams.get(&key).map_or(0, Vec::len) as u64;
            session.append(key, &payload(key, offset, (round * 37 + at * 101) % 700));
        }
        session.settle();
    }
}

/// A tenant's leaves by position, computed from what was told.
fn leaves(model: &Model, tenant: u64) -> Vec<Hash> {
    let mut leaves = Vec::new();
    for (key, sent) in model.streams.range((tenant, 0)..=(tenant, u32::MAX)) {
        for (at, sent) in sent.iter().enumerate() {
            leaves.push((sent.told.position, leaf(tenant, key.1, &model.link(*key, at + 1))));
        }
    }
    leaves.sort_unstable_by_key(|(position, _)| *position);
    let gapless = leaves.iter().enumerate().all(|(at, (position, _))| at as u64 == *position);
    assert!(gapless, "the test gives positions without gaps");
    leaves.into_iter().map(|(_, leaf)| leaf).collect()
}

/// MTH of RFC 6962, section 2.1.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_TREE,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node(&mth(left), &mth(right))
        }
    }
}

/// Asks for the root at every size at once, which ends rows within every frame, and for none, which ends them nowhere.
fn check(place: &impl Place, model: &Model) {
    let expected = |asked: bool| {
        TENANTS.map(|tenant| {
            let leaves = leaves(model, tenant);
            let size = leaves.len() as u64;
            let roots = (0..=size).filter(|_| asked).map(|size| (size, mth(&leaves[..size as usize]))).collect();
            Tree { tenant, size, root: mth(&leaves), broken: false, roots }
        })
    };
    let sizes: Vec<_> = (0..1_000).flat_map(|size| TENANTS.map(|tenant| (tenant, size))).collect();
    for asked in [true, false] {
        let sizes = if asked { sizes.as_slice() } else { &[] };
        let verified = verify_roots(|| Ok(place.scan_buffer()), 2, sizes, |_, _| {}).unwrap();
        assert_eq!((verified.damage, verified.trees), (vec![], expected(asked).to_vec()), "asked: {asked}");
    }
}

#[test]
fn over_segments_that_were_closed_and_such_as_crashed() {
    let place = Directory::new(Mode::Sync);
    let mut model = Model::default();
    for incarnation in 0..4 {
        let mut session = open(&place, &model);
        write_some(&mut session, 4);
        model = if incarnation % 2 == 0 {
            session.crash()
        } else {
            let (model, base) = session.close();
            place.write_manifest(base, true);
            model
        };
        check(&place, &model);
    }
    assert!(model.records() > 100, "{} records are few", model.records());
}

/// The next record's position is `by` from what it should be.
fn shifted(by: i64) -> (Directory, u64) {
    let place = Directory::new(Mode::Sync);
    let mut session = open(&place, &Model::default());
    write_some(&mut session, 2);
    let next = session.model.next_position(11);
    let newest = session.model.streams.get_mut(&(11, 1)).unwrap().last_mut().unwrap();
    newest.told.position = (next as i64 - 1 + by) as u64;
    session.append((11, 1), b"its checksums and its chain are right");
    session.settle();
    let (_, base) = session.close();
    place.write_manifest(base, true);
    (place, next)
}

#[test]
fn a_position_that_is_missing_is_damage_and_ends_the_tree() {
    let (place, next) = shifted(2);
    let verified = place.verify();
    let causes: Vec<_> = verified.damage.iter().map(|damage| damage.cause).collect();
    assert_eq!(causes, [Cause::Position { tenant: 11, position: next }]);
    assert!(verified.damage[0].bytes.start > 4096, "the frame is named: {:?}", verified.damage);
    let text = verified.damage[0].to_string();
    assert!(
        text.ends_with(&format!("position {next} of tenant 000000000000000b is missing, or there twice")),
        "{text}"
    );
    assert_eq!((verified.trees[0].size, verified.trees[0].broken), (next, true));
    assert!(!verified.trees[1].broken, "another tenant's is whole");
}

#[test]
fn a_position_beyond_all_is_damage() {
    for by in [1 << 62, i64::MAX - 1_000] {
        let (place, next) = shifted(by);
        let verified = place.verify();
        let causes: Vec<_> = verified.damage.iter().map(|damage| damage.cause).collect();
        assert_eq!(causes, [Cause::Position { tenant: 11, position: next }]);
    }
}

/// Of another stream, since a stream's own positions ascend.
#[test]
fn a_position_that_is_there_twice_is_damage() {
    let place = Directory::new(Mode::Sync);
    let mut session = open(&place, &Model::default());
    write_some(&mut session, 2);
    let next = session.model.next_position(11);
    for key in [(11, 1), (11, 2), (11, 0)] {
        session.model.streams.get_mut(&key).unwrap().last_mut().unwrap().told.position = next - 2;
    }
    session.append((11, 2), b"a second one with the newest position");
    session.settle();
    let (_, base) = session.close();
    place.write_manifest(base, true);
    let verified = place.verify();
    let causes: Vec<_> = verified.damage.iter().map(|damage| damage.cause).collect();
    assert_eq!(causes, [Cause::Position { tenant: 11, position: next }]);
}
