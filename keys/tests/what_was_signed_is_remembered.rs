//! The signer's memory: a tenant's tree only grows, whatever comes between, but by an operator's recorded act.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use diatreme_keys::{Error, Regress, SignedState};
use harness::{ACME, BOLT, Place, says};
use std::fs;

fn state(place: &Place) -> SignedState {
    place.open().unwrap().signed_state().unwrap()
}

fn regress(result: Result<(), Error>) -> Regress {
    match result {
        Err(Error::Regress(regress)) => regress,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tree_only_grows() {
    let place = Place::new();
    drop(place.create());
    let mut signed = state(&place);
    assert!(signed.last(ACME).is_none());
    signed.advance(ACME, 10, [1; 32]).unwrap();
    signed.advance(ACME, 10, [1; 32]).unwrap();
    let other_root = Regress::OtherRoot { tenant: ACME, size: 10 };
    let smaller = Regress::Smaller { tenant: ACME, signed: 10, asked: 9 };
    assert_eq!(regress(signed.advance(ACME, 10, [2; 32])), other_root);
    assert_eq!(regress(signed.advance(ACME, 9, [1; 32])), smaller);
    signed.advance(BOLT, 1, [9; 32]).unwrap();
    drop(signed);
    let mut signed = state(&place);
    assert_eq!(regress(signed.advance(ACME, 10, [2; 32])), other_root);
    assert_eq!(regress(signed.advance(ACME, 9, [1; 32])), smaller);
    signed.advance(ACME, 11, [2; 32]).unwrap();
    let all: Vec<_> = signed.iter().map(|(tenant, last)| (tenant, last.size, last.root, last.re_anchors)).collect();
    assert_eq!(all, [(ACME, 11, [2; 32], 0), (BOLT, 1, [9; 32], 0)]);
    says(&smaller, &["000000000000ac3e", "10 records was signed", "has 9", "restore", "re-anchor"]);
    says(&other_root, &["another tree of 10 records", "re-anchor"]);
}

/// What is repeated costs no write, or a quiet engine would write at every checkpoint.
#[test]
fn what_is_signed_again_is_not_written_again() {
    let place = Place::with_keys();
    let mut signed = state(&place);
    let path = place.store().join("signer");
    let before = fs::read(&path).unwrap();
    signed.advance_many(&[(ACME, 10, [1; 32]), (BOLT, 3, [2; 32])]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    signed.advance(ACME, 11, [1; 32]).unwrap();
    assert_ne!(fs::read(&path).unwrap(), before);
}

#[test]
fn of_a_batch_all_are_taken_or_none() {
    let place = Place::with_keys();
    let mut signed = state(&place);
    let refused = signed.advance_many(&[(BOLT, 4, [4; 32]), (ACME, 9, [1; 32])]);
    assert_eq!(regress(refused), Regress::Smaller { tenant: ACME, signed: 10, asked: 9 });
    assert_eq!(signed.last(BOLT).unwrap().size, 3);
    // One tenant twice is in order, or is refused.
    signed.advance_many(&[(BOLT, 4, [4; 32]), (BOLT, 5, [5; 32])]).unwrap();
    let refused = signed.advance_many(&[(BOLT, 7, [7; 32]), (BOLT, 6, [6; 32])]);
    assert_eq!(regress(refused), Regress::Smaller { tenant: BOLT, signed: 7, asked: 6 });
    drop(signed);
    assert_eq!(state(&place).last(BOLT).unwrap().size, 5);
}

#[test]
fn who_re_anchors_leaves_a_trace_for_good() {
    let place = Place::with_keys();
    let mut signed = state(&place);
    signed.re_anchor(ACME, 4, [4; 32]).unwrap();
    let first = *signed.last(ACME).unwrap();
    assert!((first.size, first.re_anchors) == (4, 1) && first.re_anchored_ns > 0);
    signed.advance(ACME, 20, [5; 32]).unwrap();
    signed.re_anchor(ACME, 20, [6; 32]).unwrap();
    drop(signed);
    let signed = state(&place);
    let last = signed.last(ACME).unwrap();
    assert_eq!((last.size, last.root, last.re_anchors), (20, [6; 32], 2));
    assert!(last.re_anchored_ns >= first.re_anchored_ns);
    assert_eq!(signed.last(BOLT).unwrap().re_anchors, 0);
}

/// The case that it is there for: the data directory comes back from a backup, and the key store does not.
#[test]
fn data_that_was_restored_alone_is_not_signed() {
    let place = Place::with_keys();
    let mut signed = state(&place);
    // The restored log has 8 records, and grows again to 10 other ones.
    for size in 8..10 {
        assert!(matches!(regress(signed.advance(ACME, size, [8; 32])), Regress::Smaller { .. }));
    }
    assert!(matches!(regress(signed.advance(ACME, 10, [8; 32])), Regress::OtherRoot { .. }));
}
