//! A segment that was cut, is missing, or is another: found, named, and never swept away.

mod harness;

use diatreme_log::format::manifest::Manifest;
use diatreme_log::format::{BLOCK_BYTES, crc};
use diatreme_log::{Cause, LogError};
use harness::matrix::{KEYS, Reader, Subject, closed, crashed, frames, names, recover_spoilt, segment_id};
use harness::memory::{Disk, Memory};
use harness::{Model, Place, open};

const FIRST: &str = "shard-0000/00000001.seg";
const LAST: &str = "shard-0000/00000002.seg";

/// Cuts of a segment: around every place where something begins or ends, and in strides.
fn cuts(length: u64) -> impl Iterator<Item = u64> {
    (0..length).filter(|cut| (cut + 3) % 4096 < 6 || cut % 613 == 0)
}

/// Whatever a spoilt log lost must be said by recovery, stream by stream: named with its offset, or by a stream that is
/// frozen or unknown beside a damage.
fn check(reader: &mut Reader, disk: &Disk, model: &Model, what: &str) -> Option<harness::matrix::Outcome> {
    let verified = Memory::of(disk.clone()).try_verify();
    let outcome = match recover_spoilt(reader, disk, model) {
        Ok(outcome) => outcome,
        Err(LogError::Version { .. } | LogError::ForeignSegment { .. } | LogError::Foreign { .. }) => {
            assert!(verified.is_err(), "{what}: opening refuses, verifying does not");
            return None;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let verified = verified.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        outcome.lost.is_empty() || !outcome.recovered.damage.is_empty(),
        "{what}: lost {:?} silently",
        outcome.lost
    );
    assert!(outcome.lost.is_empty() || !verified.damage.is_empty(), "{what}: verified {verified:?}");
    for (key, offsets) in &outcome.lost {
        let unknown = !outcome.recovered.streams.contains_key(key);
        let frozen = outcome.recovered.frozen.contains(key);
        let named = |offset| names(&outcome.recovered.damage, *key, offset);
        assert!(unknown || frozen || offsets.iter().all(|&offset| named(offset)), "{what}: {key:?} {offsets:?}");
    }
    Some(outcome)
}

fn cut_everywhere(name: &str, with_frontier: bool) {
    let Subject { mut disk, model } = closed();
    if !with_frontier {
        forget_frontier(&mut disk);
    }
    let mut reader = Reader::default();
    let length = disk.clone().file(name).length;
    for cut in cuts(length) {
        let mut disk = disk.clone();
        disk.file(name).truncate(cut);
        let verified = Memory::of(disk.clone()).verify();
        let named = |damage: &diatreme_log::Damage| damage.segment == segment_id(name) && damage.bytes.start <= cut;
        assert!(verified.damage.iter().any(named), "cut at {cut}: {:?}", verified.damage);
        check(&mut reader, &disk, &model, &format!("{name} cut at {cut}"));
    }
}

#[test]
fn the_first_segment_cut_anywhere() {
    cut_everywhere(FIRST, true);
}

/// What a later opening adopted, its segments' headers tell too.
#[test]
fn the_first_segment_cut_anywhere_beside_a_manifest_that_knows_nothing() {
    cut_everywhere(FIRST, false);
}

#[test]
fn the_last_segment_cut_anywhere() {
    cut_everywhere(LAST, true);
}

#[test]
fn a_missing_segment() {
    for name in [FIRST, LAST] {
        let Subject { mut disk, model } = closed();
        disk.remove_file(name);
        let verified = Memory::of(disk.clone()).verify();
        let missing = |damage: &&diatreme_log::Damage| damage.cause == Cause::MissingSegment;
        assert_eq!(verified.damage.iter().find(missing).map(|damage| damage.segment), Some(segment_id(name)));
        let outcome = check(&mut Reader::default(), &disk, &model, name).unwrap();
        assert!(outcome.recovered.damage.iter().any(|damage| missing(&damage)), "{:?}", outcome.recovered.damage);
        assert!(!outcome.lost.is_empty());
        assert!(outcome.recovered.start.segment > 2, "a number that a backup may bring back is not used again");
    }
}

#[test]
fn both_segments_missing() {
    let Subject { mut disk, model } = closed();
    disk.remove_file(FIRST);
    disk.remove_file(LAST);
    let outcome = check(&mut Reader::default(), &disk, &model, "both missing").unwrap();
    assert_eq!(outcome.lost.len(), KEYS.len());
    let damage = Memory::of(disk).verify().damage;
    assert_eq!(damage.iter().map(|damage| damage.cause).collect::<Vec<_>>(), [Cause::MissingSegments { last: 2 }]);
}

/// The files of a log must survive whatever recovery makes of them: an opening that finds them in a strange place, or
/// does not understand them, must not remove or change what an operator could still put right.
fn untouched(before: &Disk, after: &Disk) {
    for name in before.clone().segments() {
        assert_eq!(before.clone().file(&name), after.clone().file(&name), "{name} was changed");
    }
}

#[test]
fn two_segments_swapped() {
    for with_manifest in [true, false] {
        let Subject { mut disk, model } = closed();
        disk.swap(FIRST, LAST);
        if !with_manifest {
            forget_frontier(&mut disk);
        }
        assert!(Memory::of(disk.clone()).verify().damage.len() >= 2);
        let outcome = check(&mut Reader::default(), &disk, &model, "swapped").unwrap();
        assert_eq!(outcome.lost.len(), KEYS.len());
        untouched(&disk, &outcome.disk);
    }
}

/// Gives the directory a manifest that vouches for nothing, as an older copy of it may.
fn forget_frontier(disk: &mut Disk) {
    for name in ["manifest.a", "manifest.b"] {
        let file = disk.file(name);
        let mut block = file.data.clone();
        block.resize(BLOCK_BYTES, 0);
        let manifest = Manifest { frontiers: Vec::new(), clean: false, ..Manifest::decode(&block).expect("intact") };
        manifest.encode(&mut block);
        file.data = block;
    }
}

/// The newest segment of a crashed log, its header spoilt, looked like one that had been prepared and never used where
/// the manifest did not reach: its frames were acknowledged, and it was removed.
#[test]
fn a_spoilt_header_does_not_get_a_segment_removed() {
    for fill in [0, 0xAA] {
        for spoil in [4096_usize, 3 * 4096, usize::MAX] {
            let Subject { mut disk, model } = crashed(true);
            let data = &mut disk.file(LAST).data;
            let spoil = spoil.min(data.len());
            if fill == 0 && spoil == data.len() {
                continue; // It cannot be told from one that was never used.
            }
            data[..spoil].fill(fill);
            let outcome = check(&mut Reader::default(), &disk, &model, "header gone").unwrap();
            assert!(!outcome.recovered.damage.is_empty());
            assert!(spoil <= 3 * 4096 || outcome.recovered.frozen == KEYS, "what was in it nobody can tell");
            untouched(&only(&disk, &[FIRST, LAST]), &outcome.disk);
        }
    }
}

fn only(disk: &Disk, names: &[&str]) -> Disk {
    let mut disk = disk.clone();
    for name in disk.segments() {
        if !names.contains(&name.as_str()) {
            disk.remove_file(&name);
        }
    }
    disk
}

#[test]
fn a_segment_of_another_log_or_of_another_number() {
    for (at, value) in [(10_usize, 3_u8), (12, 9)] {
        for name in [FIRST, LAST] {
            let Subject { mut disk, model } = closed();
            let data = &mut disk.file(name).data;
            data[at] = value;
            let sum = crc(&data[..4092]).to_le_bytes();
            data[4092..4096].copy_from_slice(&sum);
            let verified = Memory::of(disk.clone()).verify();
            let named = |damage: &diatreme_log::Damage| {
                damage.segment == segment_id(name) && matches!(damage.cause, Cause::SegmentHeader(_))
            };
            assert!(verified.damage.iter().any(named), "{:?}", verified.damage);
            let outcome = check(&mut Reader::default(), &disk, &model, name).unwrap();
            assert!(outcome.recovered.damage.iter().any(named), "{:?}", outcome.recovered.damage);
        }
    }
}

#[test]
fn a_segment_of_another_directory_is_refused() {
    let Subject { mut disk, .. } = closed();
    let data = &mut disk.file(LAST).data;
    data[16] ^= 1;
    let sum = crc(&data[..4092]).to_le_bytes();
    data[4092..4096].copy_from_slice(&sum);
    let memory = Memory::of(disk);
    assert!(matches!(memory.recover(), Err(LogError::ForeignSegment { .. })));
    assert!(matches!(memory.try_verify(), Err(LogError::ForeignSegment { .. })));
}

/// A clone of the directory went its own way from the first segment on; its second segment is put in this one's place.
#[test]
fn a_segment_of_another_history() {
    for third in [false, true] {
        let memory = Memory::default();
        let mut session = open(&memory, &Model::default());
        harness::matrix::write_rounds(&mut session, 4);
        let (model, base) = session.close();
        memory.write_manifest(base, true);
        let clone = Memory::of(memory.disk().clone());
        let mut session = open(&clone, &model);
        harness::matrix::write_rounds(&mut session, 5);
        session.append(KEYS[1], b"only in the clone");
        session.settle();
        let (_, other) = session.close();
        clone.write_manifest(other, true);

        let mut session = open(&memory, &model);
        harness::matrix::write_rounds(&mut session, 6);
        let (mut model, base) = session.close();
        memory.write_manifest(base, true);
        if third {
            let mut session = open(&memory, &model);
            harness::matrix::write_rounds(&mut session, 2);
            let (newer, base) = session.close();
            memory.write_manifest(base, true);
            model = newer;
        }
        let stray = clone.disk().file(LAST).clone();
        *memory.disk().file(LAST) = stray;
        let disk = memory.disk().clone();
        let verified = memory.verify();
        assert!(verified.damage.iter().any(|damage| damage.segment == segment_id(LAST)), "{:?}", verified.damage);
        let outcome = check(&mut Reader::default(), &disk, &model, "another history").unwrap();
        untouched(&disk, &outcome.disk);
    }
}

#[test]
fn a_foreign_file_is_refused() {
    for name in ["shard-0000/notes.txt", "shard-0000/00000001.seg.bak", "stray"] {
        let Subject { mut disk, .. } = closed();
        disk.put(name, harness::memory::Bytes::default());
        let memory = Memory::of(disk);
        assert!(matches!(memory.try_verify(), Err(LogError::Foreign { path }) if path == name));
        // The root is looked at by whoever opens all of it.
        assert_eq!(matches!(memory.recover(), Err(LogError::Foreign { path }) if path == name), name.contains('/'));
    }
}

/// A version under an intact checksum is no damage, and nothing that such a program wrote may be cut.
#[test]
fn a_future_version_is_refused() {
    for in_frame in [false, true] {
        let Subject { mut disk, .. } = crashed(true);
        let data = &mut disk.file(LAST).data;
        if in_frame {
            let last = frames(data).pop().unwrap().bytes.start as usize;
            data[last + 4] = 2;
            let sum = crc(&data[last..last + 124]).to_le_bytes();
            data[last + 124..last + 128].copy_from_slice(&sum);
        } else {
            data[8] = 2;
            let sum = crc(&data[..4092]).to_le_bytes();
            data[4092..4096].copy_from_slice(&sum);
        }
        let memory = Memory::of(disk.clone());
        assert!(matches!(memory.recover(), Err(LogError::Version { found: 2, .. })));
        assert!(matches!(memory.try_verify(), Err(LogError::Version { found: 2, .. })));
        untouched(&disk, &memory.disk());
    }
}
