//! A sector that the device does not give back any more costs what lay in it, and nothing else.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme_log::{Cause, Fault, ReadError};
use harness::matrix::{Reader, closed, crashed, frames, in_log, names, recover_spoilt};
use harness::memory::Memory;
use harness::{Model, Place, open, payload};

/// One bad sector, and the directory did not open, for nobody; `verify` ended without naming anything; and a read of any
/// record within 64 KiB of it failed. Every block of a log, one after the other: what does not lie in it is read, what
/// does is named, on opening, on reading, and by `verify`.
#[test]
fn every_block_in_turn_costs_only_the_frame_that_it_is_of() {
    let mut reader = Reader::default();
    let (mut tried, mut lost) = (0, 0);
    for mut subject in [closed(), crashed(true)] {
        for name in subject.disk.segments() {
            let file = subject.disk.file(&name).clone();
            let frames = frames(&file.data);
            for at in (0..file.length).step_by(4096) {
                let mut disk = subject.disk.clone();
                disk.add_bad_sector(&name, at + 512);
                let verified = Memory::of(disk.clone()).verify();
                let outcome = recover_spoilt(&mut reader, &disk, &subject.model).unwrap();
                tried += 1;
                let frame = frames.iter().find(|frame| frame.bytes.contains(&at));
                for (key, offsets) in &outcome.lost {
                    for offset in offsets {
                        let of_it = frame.is_some_and(|frame| {
                            frame.records.iter().any(|(_, of, number)| (of, number) == (key, offset))
                        });
                        assert!(of_it, "{name} {at}: {key:?} {offset} lay elsewhere");
                        // Of a stream's end in an unsealed segment nothing intact tells: the stream is frozen.
                        let told = names(&verified.damage, *key, *offset) || outcome.recovered.frozen.contains(key);
                        assert!(told, "{name} {at}: {key:?} {offset}: {:?}", verified.damage);
                        lost += 1;
                    }
                }
                let unreadable = |cause: &Cause| {
                    matches!(
                        cause,
                        Cause::SegmentHeader(Fault::Unreadable)
                            | Cause::Footer(Fault::Unreadable | Fault::Cut)
                            | Cause::Frame { fault: Fault::Unreadable, .. }
                    )
                };
                let told = verified.damage.iter().any(|damage| unreadable(&damage.cause));
                assert!(told || verified.torn > 0, "{name} {at}: {:?}", verified.damage);
                let held = frame.is_some_and(|frame| !frame.records.is_empty());
                assert!(!held || !outcome.lost.is_empty(), "{name} {at}: nobody can read it");
            }
        }
    }
    assert!(tried > 30 && lost > 50, "{tried} {lost}");
}

/// A read of a record that is lost went on to the end of its segment, 64 KiB at a time, and held one of four places all
/// the while. The index has it how far the record's frame can lie.
#[test]
fn a_read_of_a_lost_record_ends_where_the_index_has_it() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    session.append((11, 1), b"lost");
    session.settle();
    for offset in 0..30 {
        session.append((11, 2), &payload((11, 2), offset, 100_000));
        session.settle();
    }
    memory.disk().add_bad_sector(&in_log("00000001.seg"), 4096);
    let before = memory.disk().operations;
    match session.read((11, 1), 0, 1) {
        Err(ReadError::Damaged(damage)) => {
            assert_eq!(damage.bytes, 4096..8192);
            assert!(matches!(damage.cause, Cause::Frame { fault: Fault::Unreadable, .. }), "{damage}");
        }
        other => panic!("{other:?}"),
    }
    let operations = memory.disk().operations - before;
    assert!(operations < 8, "{operations}");
    session.check((11, 2));
}
