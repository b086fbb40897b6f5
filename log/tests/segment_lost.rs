//! A segment's file is gone: that is told at every opening, what it may have held stays closed, its number and its sequences
//! are not used again, and it can be put back.

mod harness;

use diatreme_log::format::segment::Base;
use diatreme_log::{Cause, LogError};
use harness::matrix::{KEYS, closed, frames, in_log, write_rounds};
use harness::memory::{Bytes, Disk, Memory};
use harness::{Model, Place, open};

const MISSING: &str = "shard-0000/00000002.seg";

/// An incarnation that was closed, and one that crashed with its active segment full of acknowledged frames and the next one
/// being prepared.
fn crashed_with_the_next_prepared() -> Disk {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    write_rounds(&mut session, 3);
    let (model, base) = session.close();
    memory.write_manifest(base, true);
    let mut session = open(&memory, &model);
    write_rounds(&mut session, 4);
    session.crash();
    let mut disk = memory.disk().clone();
    assert_eq!(disk.segments().len(), 3, "the next one is there");
    disk.stabilize();
    disk
}

/// The active segment was lost in a crash. The next one, made and not used yet, was the only trace of it, and was removed as
/// unused: the loss was told once, or not at all, nothing was frozen, and its number and sequences were given out again.
#[test]
fn an_active_segment_is_lost_and_the_prepared_one_tells_of_it() {
    let mut disk = crashed_with_the_next_prepared();
    disk.remove_file(MISSING);
    let memory = Memory::of(disk);
    let damage = memory.verify().damage;
    assert_eq!(damage.len(), 1, "{damage:?}");
    let mut newest = 0;
    for opening in 0..4 {
        let mut session = open(&memory, &Model::default());
        let damage = &session.recovered.damage;
        assert_eq!(damage.len(), 1, "opening {opening}: {damage:?}");
        assert_eq!((damage[0].segment.number, damage[0].cause), (2, Cause::MissingSegment));
        assert_eq!(session.recovered.frozen, KEYS, "opening {opening}");
        assert!(session.recovered.start.segment > 3 && session.recovered.start.base.sequence > newest);
        newest = session.recovered.start.base.sequence - 1;
        if opening > 0 {
            session.append((77, opening), b"a new stream");
            session.settle();
        }
        session.crash();
        assert_eq!(memory.verify().damage.len(), 1);
        assert!(memory.disk().segments().len() <= 4 + opening as usize, "unused segments pile up");
    }
}

/// The file is found again, after openings that went on without it. Its first frames fit below what they pinned; the others
/// had sequences that were used again, and are named.
#[test]
fn an_active_segment_comes_back_after_its_sequences_were_used() {
    let mut disk = crashed_with_the_next_prepared();
    let file = disk.file(MISSING).clone();
    let held = frames(&file.data);
    disk.remove_file(MISSING);
    let memory = Memory::of(disk);
    let mut session = open(&memory, &Model::default());
    session.append((77, 1), b"a new stream");
    session.settle();
    session.crash();
    memory.disk().put(MISSING, file);
    for _ in 0..2 {
        let session = open(&memory, &Model::default());
        let damage = &session.recovered.damage;
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert_eq!((damage[0].segment.number, damage[0].bytes.start), (2, held[1].bytes.start));
        assert_eq!(session.recovered.streams[&(77, 1)].next_offset, 1);
        assert_eq!(memory.verify().damage.len(), 1);
    }
}

/// An opening that goes on without a lost end does not know the frame before its first, and says 0. When the end came back,
/// that first frame was told to follow the wrong one: it was damaged for ever, or cut as torn.
#[test]
fn a_lost_end_comes_back() {
    for clean in [true, false] {
        let subject = closed();
        let mut disk = subject.disk.clone();
        let file = disk.file(MISSING).clone();
        disk.remove_file(MISSING);
        let memory = Memory::of(disk);
        let mut session = open(&memory, &Model::default());
        assert_eq!(session.recovered.start.base.body_crc, 0);
        session.append((77, 1), b"a new stream");
        session.settle();
        if clean {
            let (_, base) = session.close();
            memory.write_manifest(base, true);
        } else {
            session.crash();
        }
        memory.disk().put(MISSING, file);
        for opening in 0..3 {
            assert_eq!(memory.verify().damage, [], "opening {opening}, {clean}");
            let session = open(&memory, &subject.model);
            assert_eq!((&session.recovered.damage[..], &session.recovered.torn), (&[][..], &None));
            assert_eq!(session.recovered.frozen, []);
            assert_eq!(session.recovered.streams[&(77, 1)].next_offset, 1);
            for (key, sent) in &subject.model.streams {
                assert_eq!(session.recovered.streams[key].next_offset, sent.len() as u64);
            }
        }
    }
}

/// One stray file, or a frontier, with a number near the last made an item for each number below it: billions.
#[test]
fn a_number_out_of_all_proportion_is_refused_and_a_range_is_told_as_one() {
    for stray in ["4294967295.seg", "4294967294.seg", "02000000.seg"] {
        let mut disk = closed().disk;
        disk.put(&in_log(stray), Bytes::default());
        let memory = Memory::of(disk);
        assert!(matches!(memory.recover(), Err(LogError::Foreign { path }) if path.ends_with(stray)));
        assert!(matches!(memory.try_verify(), Err(LogError::Foreign { path }) if path.ends_with(stray)));
    }
    let frontier = |segment| Base { sequence: 100, end: 8192, segment, body_crc: 1 };
    let memory = Memory::of(closed().disk);
    memory.write_manifest(frontier(2_000_000), true);
    assert!(matches!(memory.recover(), Err(LogError::Foreign { .. })));
    memory.write_manifest(frontier(5000), true);
    let damage = memory.recover().unwrap().damage;
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!((damage[0].segment.number, damage[0].cause), (3, Cause::MissingSegments { last: 5000 }));
}
