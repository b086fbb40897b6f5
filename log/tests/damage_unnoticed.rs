//! A flipped byte anywhere in a finished log is found and named, and never costs a record silently (R4).

mod harness;

use diatreme_log::{Cause, Verified};
use harness::Place;
use harness::matrix::{KEYS, Reader, Subject, bytes_to_try, closed, frames, names, recover_spoilt, segment_id};
use harness::memory::Memory;

/// How far apart the bytes are that are tried where there is nothing but zeros.
const STRIDE: usize = 127;

#[test]
fn the_log_as_it_is_has_no_damage() {
    let Subject { disk, model } = closed();
    let memory = Memory::of(disk.clone());
    let verified = memory.verify();
    assert_eq!(verified.damage, []);
    assert_eq!((verified.segments, verified.records), (2, model.records() as u64));
    assert_eq!(verified.streams, KEYS.len());
    let outcome = recover_spoilt(&mut Reader::default(), &disk, &model).unwrap();
    assert_eq!(outcome.recovered.damage, []);
    assert!(outcome.lost.is_empty() && outcome.recovered.scanned == 0);
}

/// The damage must be named in the segment, and begin at the flipped byte or closely before.
fn assert_named(verified: &Verified, name: &str, at: usize) {
    let near = |damage: &diatreme_log::Damage| {
        let (start, end) = (damage.bytes.start as usize, damage.bytes.end as usize);
        damage.segment == segment_id(name) && start <= at && at < end.max(start + 1).next_multiple_of(4096)
    };
    assert!(verified.damage.iter().any(near), "byte {at} of {name}: {:?}", verified.damage);
}

fn flip_every_byte(name: &str) {
    let subject = closed();
    let mut reader = Reader::default();
    let data = subject.disk.clone().file(name).data.clone();
    let records: Vec<_> = frames(&data).into_iter().flat_map(|frame| frame.records).collect();
    let bytes = bytes_to_try(&data, STRIDE);
    assert!(bytes.len() > 4_000, "{} bytes are no matrix", bytes.len());
    for at in bytes {
        let mut disk = subject.disk.clone();
        disk.file(name).flip(at as u64, 1 << (at % 8));
        let verified = Memory::of(disk.clone()).verify();
        assert_named(&verified, name, at);
        let record = records.iter().find(|(bytes, ..)| bytes.contains(&(at as u64)));
        if let Some(&(_, key, offset)) = record {
            assert!(
                names(&verified.damage, key, offset),
                "byte {at} of {name}, {key:?} {offset}: {:?}",
                verified.damage
            );
        }
        let outcome = recover_spoilt(&mut reader, &disk, &subject.model).unwrap_or_else(|e| panic!("byte {at}: {e}"));
        for (key, offsets) in &outcome.lost {
            for offset in offsets {
                assert!(names(&verified.damage, *key, *offset), "byte {at}: {key:?} {offset}: {:?}", verified.damage);
            }
        }
        // What recovery did not read, it need not report; but the catalogs it did.
        for (key, offsets) in outcome.lost.iter().filter(|(key, _)| key.1 == 0) {
            for offset in offsets {
                assert!(names(&outcome.recovered.damage, *key, *offset), "byte {at}: {key:?} {offset}");
            }
        }
        if let Some(&(_, key, offset)) = record {
            assert_eq!(
                outcome.lost.get(&key).map(|lost| lost.contains(&offset)),
                Some(true),
                "byte {at}: was not read"
            );
        }
    }
}

#[test]
fn a_flipped_byte_in_the_first_segment() {
    flip_every_byte("shard-0000/00000001.seg");
}

#[test]
fn a_flipped_byte_in_the_last_segment() {
    flip_every_byte("shard-0000/00000002.seg");
}

#[test]
fn a_flipped_byte_in_a_manifest() {
    let subject = closed();
    for name in ["manifest.a", "manifest.b"] {
        let data = subject.disk.clone().file(name).data.clone();
        for at in 0..data.len() {
            let mut disk = subject.disk.clone();
            disk.file(name).flip(at as u64, 1 << (at % 8));
            let verified = Memory::of(disk).verify();
            assert_eq!(verified.damage.len(), 1, "byte {at} of {name}");
            assert!(matches!(verified.damage[0].cause, Cause::Manifest(_)), "byte {at} of {name}");
        }
    }
}
