//! A bad frame is a torn tail only where nothing says that it was acknowledged; and what an opening cut or passed over
//! stays so, however often it is interrupted.

mod harness;

use diatreme_log::Cause;
use harness::matrix::{KEYS, Reader, Subject, bytes_to_try, crashed, frames, names, recover_spoilt};
use harness::memory::{Bytes, Disk, Memory, Plan};
use harness::{Model, Place, config, open, payload, try_open};
use iobackend::IoBackend;
use std::ops::Range;

const LAST: &str = "shard-0000/00000002.seg";

/// What a flipped byte of the newest segment of a crashed log should come to.
fn flip_every_byte(subject: &Subject, frame: &harness::matrix::FramePlace, acknowledged: bool) {
    let mut reader = Reader::default();
    let data = subject.disk.clone().file(LAST).data.clone();
    let Range { start, end } = frame.bytes;
    for at in bytes_to_try(&data[start as usize..end as usize], 509) {
        let at = at as u64 + start;
        let mut disk = subject.disk.clone();
        disk.file(LAST).flip(at, 1 << (at % 8));
        let verified = Memory::of(disk.clone()).verify();
        let outcome = recover_spoilt(&mut reader, &disk, &subject.model).expect("opens");
        let recovered = &outcome.recovered;
        if acknowledged {
            assert!(
                verified.damage.iter().any(|damage| damage.bytes.start <= at && at < damage.bytes.end),
                "byte {at}"
            );
            assert!(
                recovered.damage.iter().any(|damage| damage.bytes.start <= at && at < damage.bytes.end),
                "byte {at}"
            );
            assert_eq!((verified.torn, &recovered.torn), (0, &None), "byte {at}");
            for (key, offsets) in &outcome.lost {
                assert!(
                    offsets
                        .iter()
                        .all(|&offset| names(&recovered.damage, *key, offset) || recovered.frozen.contains(key)),
                    "byte {at}: {key:?} {offsets:?} {:?}",
                    recovered.damage
                );
            }
            let before = subject.disk.clone().file(LAST).data.len();
            assert_eq!(outcome.disk.clone().file(LAST).data.len(), before, "byte {at}: damage was cut");
        } else {
            assert_eq!((verified.damage.len(), verified.torn), (0, 1), "byte {at}");
            assert_eq!(recovered.damage, [], "byte {at}");
            let torn = recovered.torn.as_ref().expect("torn");
            assert_eq!((torn.at, torn.sequence), (start, frame.sequence));
        }
    }
}

#[test]
fn frames_below_a_later_mark_are_damaged() {
    for marked in [true, false] {
        let subject = crashed(marked);
        let mut all = frames(&subject.disk.clone().file(LAST).data);
        let last = all.pop().unwrap();
        assert_eq!(last.records.is_empty(), marked);
        all.iter().for_each(|frame| flip_every_byte(&subject, frame, true));
    }
}

#[test]
fn the_last_frame_without_a_mark_after_it_is_torn() {
    for marked in [true, false] {
        let subject = crashed(marked);
        let last = frames(&subject.disk.clone().file(LAST).data).pop().unwrap();
        flip_every_byte(&subject, &last, false);
    }
}

/// A crashed log with four frames in flight behind its settled ones.
fn with_frames_in_flight() -> (Disk, Model) {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    harness::matrix::write_rounds(&mut session, 5);
    for round in 0..4 {
        let offset = session.model.streams[&KEYS[1]].len() as u64;
        session.append(KEYS[1], &payload(KEYS[1], offset, 100 + round));
        session.log.submit(session.now);
    }
    // They reach the disk, and nobody learns of it.
    session.log.backend_mut().poll(&mut Vec::new());
    let sent = session.model.clone();
    let acknowledged = session.crash();
    assert_eq!(sent.records(), acknowledged.records() + 4);
    let disk = memory.disk().clone();
    (disk, sent)
}

fn cut_to(model: &Model, sequence: u64) -> Model {
    let mut model = model.clone();
    model.forget_from(sequence);
    model
}

const FIRST: &str = "shard-0000/00000001.seg";

#[test]
fn each_of_the_frames_in_flight_torn() {
    let (disk, sent) = with_frames_in_flight();
    let all = frames(&disk.clone().file(FIRST).data);
    for back in 1..=4 {
        let bad = &all[all.len() - back];
        let mut disk = disk.clone();
        disk.file(FIRST).flip(bad.bytes.start + 200, 1);
        let memory = Memory::of(disk);
        assert_eq!(memory.verify().torn, 1);
        let model = cut_to(&sent, bad.sequence);
        let mut session = open(&memory, &model);
        session.check_recovered();
        let torn = session.recovered.torn.clone().unwrap();
        assert_eq!((torn.at, torn.sequence), (bad.bytes.start, bad.sequence));
        session.check_all();
        harness::matrix::write_rounds(&mut session, 3);
        session.check_all();
        let (model, base) = session.close();
        memory.write_manifest(base, true);
        assert_eq!(memory.verify().damage, []);
        let mut session = open(&memory, &model);
        session.check_recovered();
        session.check_all();
    }
}

/// A segment with damage is left as it is, torn tail and all. The next incarnation used the sequences of the torn frames
/// again, and its marks then vouched for them: at the opening after that the old torn frames were adopted, and the
/// acknowledged ones with the same sequences were passed over.
#[test]
fn a_torn_tail_in_a_damaged_segment_stays_torn() {
    let (mut disk, sent) = with_frames_in_flight();
    let all = frames(&disk.file(FIRST).data);
    let (damaged, torn) = (&all[2], &all[all.len() - 3]);
    disk.file(FIRST).flip(damaged.bytes.start + 200, 1);
    disk.file(FIRST).flip(torn.bytes.start + 200, 1);
    let memory = Memory::of(disk);
    let mut model = cut_to(&sent, torn.sequence);
    for opening in 0..3 {
        let mut session = open(&memory, &model);
        assert_eq!(session.recovered.damage.len(), 1, "opening {opening}: {:?}", session.recovered.damage);
        let Cause::Frame { sequence, .. } = session.recovered.damage[0].cause else { panic!("a frame") };
        assert_eq!(sequence, damaged.sequence);
        assert_eq!(session.recovered.frozen, []);
        for (key, sent) in &session.model.streams {
            assert_eq!(session.recovered.streams[key].next_offset, sent.len() as u64, "opening {opening}: {key:?}");
        }
        harness::matrix::write_rounds(&mut session, 6);
        session.quiet();
        model = session.crash();
        assert_eq!(memory.verify().damage.len(), 1);
    }
}

/// Both the active segment and the one being prepared were made and not used. The first of them, not being part of the
/// log, was then told to be missing because of the second.
#[test]
fn unused_segments_are_not_missing_ones() {
    let memory = Memory::default();
    let mut model = Model::default();
    for opening in 0..4 {
        let mut session = open(&memory, &model);
        assert_eq!(session.recovered.damage, []);
        if opening == 2 {
            session.append(KEYS[1], b"record");
            session.settle();
        }
        for _ in 0..5 {
            session.turn();
        }
        model = session.crash();
        assert_eq!(memory.disk().segments().len(), 2 + usize::from(opening == 3));
        assert_eq!(memory.verify().damage, []);
    }
}

/// Two frames in flight, the second in the next segment, and the segment after that being made.
fn with_frames_in_flight_over_a_rotation() -> (Disk, Model) {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    session.append(KEYS[0], b"so that it is the second of two that goes over");
    session.settle();
    let bytes = vec![5; 750_000];
    loop {
        session.append(KEYS[1], &bytes);
        session.log.submit(session.now);
        assert_eq!(session.log.stats().rotations, 0, "the first of two goes over: choose other sizes");
        session.append(KEYS[1], &bytes);
        session.log.submit(session.now);
        if session.log.stats().rotations == 1 {
            break;
        }
        session.settle();
        // The next segment is made meanwhile, so that going over needs no wait.
        (0..100).for_each(|_| session.turn());
    }
    session.log.backend_mut().poll(&mut Vec::new());
    let sent = session.model.clone();
    let acknowledged = session.crash();
    assert_eq!(sent.records(), acknowledged.records() + 2);
    let mut disk = memory.disk().clone();
    disk.put("shard-0000/00000003.seg", Bytes::default());
    (disk, sent)
}

/// A frame reached the device's cache, was seen by an opening, and was not flushed: the next incarnation is built on it, so
/// it must be durable before that begins, also in a segment that is left as it is.
#[test]
fn what_an_opening_adopts_is_durable() {
    for damage in [false, true] {
        let (mut disk, sent) = with_frames_in_flight();
        let all = frames(&disk.file(FIRST).data);
        if damage {
            disk.file(FIRST).flip(all[2].bytes.start + 200, 1);
        }
        let unflushed = all[all.len() - 3].bytes.start;
        *disk.stable_file(FIRST) = disk.file(FIRST).clone();
        disk.stable_file(FIRST).data.truncate(unflushed as usize);
        let memory = Memory::of(disk);
        let mut session = open(&memory, &sent);
        assert_eq!(session.recovered.damage.len(), usize::from(damage));
        session.append(KEYS[2], b"built on it");
        session.settle();
        let model = session.crash();
        memory.disk().lose_power();
        let session = open(&memory, &model);
        assert_eq!(session.recovered.damage.len(), usize::from(damage), "{:?}", session.recovered.damage);
        for (key, sent) in &model.streams {
            assert_eq!(session.recovered.streams[key].next_offset, sent.len() as u64, "{key:?}");
        }
    }
}

/// An opening that is interrupted anywhere, and one that fails anywhere, changes nothing that the next one finds.
#[test]
fn an_interrupted_opening_changes_nothing() {
    let (disk, sent) = with_frames_in_flight();
    let all = frames(&disk.clone().file(FIRST).data);
    let torn = &all[all.len() - 2];
    let (mut rotated, went_over) = with_frames_in_flight_over_a_rotation();
    let last = frames(&rotated.file(FIRST).data).pop().expect("it is full of them");
    rotated.file(FIRST).flip(last.bytes.start + 200, 1);
    let mut disks = [
        (disk.clone(), sent.clone()),
        (disk.clone(), cut_to(&sent, torn.sequence)),
        (disk, sent),
        (rotated, cut_to(&went_over, last.sequence)),
    ];
    disks[1].0.file(FIRST).flip(torn.bytes.start + 200, 1);
    disks[2].0.file(FIRST).flip(all[2].bytes.start + 200, 1);
    for (number, (disk, model)) in disks.iter_mut().enumerate() {
        disk.stabilize();
        let expected = Memory::of(disk.clone()).recover().unwrap();
        let mut at = 0;
        loop {
            let mut done = false;
            for plan in [Plan::Eio(at), Plan::Short(at), Plan::Cut(at, 0x0F), Plan::Cut(at, u64::MAX)] {
                for lose_power in [true, false] {
                    let memory = Memory::of(disk.clone());
                    memory.disk().plan = Some(plan);
                    done = memory.recover().is_ok() && memory.disk().failed.is_empty();
                    if lose_power {
                        memory.disk().lose_power();
                    } else {
                        memory.disk().revive();
                    }
                    let again = memory.recover().unwrap();
                    assert_eq!(again.damage, expected.damage, "{number}, {plan:?}, {lose_power}");
                    assert_eq!(again.start.base, expected.start.base, "{number}, {plan:?}, {lose_power}");
                    for (key, start) in &expected.streams {
                        let found = &again.streams[key];
                        assert_eq!((found.next_offset, found.link), (start.next_offset, start.link));
                    }
                    if expected.damage.is_empty() {
                        let session = open(&memory, model);
                        session.check_recovered();
                    }
                }
            }
            if done {
                break;
            }
            at += 1;
        }
        assert!(at > 5, "{at} operations are too few for an opening");
    }
}

/// A stream that may have lost its newest records stays closed to new ones, opening after opening, until it is known how
/// far it went; one that shows itself after the gap does not.
#[test]
fn a_stream_with_an_unknown_end_stays_frozen() {
    let Subject { mut disk, model } = crashed(true);
    let all = frames(&disk.file(LAST).data);
    let bad = all.iter().rev().find(|frame| !frame.records.is_empty()).unwrap();
    disk.file(LAST).flip(bad.bytes.start + 8, 1);
    let memory = Memory::of(disk);
    let mut frozen = Vec::new();
    for opening in 0..4 {
        let mut session = open(&memory, &model);
        if opening == 0 {
            frozen.clone_from(&session.recovered.frozen);
            assert_eq!(frozen, KEYS, "nothing tells which of them were in the last frame");
        }
        assert_eq!(session.recovered.frozen, frozen, "opening {opening}");
        assert_eq!(session.recovered.damage.len(), 1, "opening {opening}: {:?}", session.recovered.damage);
        // A stream that nothing is known of may be new.
        let key = (77, opening + 1);
        session.append(key, b"a new stream");
        session.settle();
        session.crash();
    }
}

/// The end of a log that was closed is gone, segment and all: the manifest knows of it.
#[test]
fn a_lost_end_stays_lost() {
    let Subject { mut disk, model } = harness::matrix::closed();
    disk.file(LAST).truncate(4096);
    let memory = Memory::of(disk);
    let mut newest = 0;
    for opening in 0..3 {
        let mut session = open(&memory, &model);
        assert_eq!(session.recovered.damage.len(), 1, "opening {opening}: {:?}", session.recovered.damage);
        assert_eq!(session.recovered.frozen, KEYS);
        assert!(session.recovered.start.base.sequence >= newest, "a sequence is used twice");
        session.append((77, opening + 1), b"a new stream");
        session.settle();
        newest = session.log.durable();
        if opening == 1 {
            let (_, base) = session.close();
            memory.write_manifest(base, true);
        } else {
            session.crash();
        }
    }
}

/// An incarnation that wrote nothing leaves nothing.
#[test]
fn an_incarnation_that_wrote_nothing() {
    let memory = Memory::default();
    let mut model = Model::default();
    for opening in 0..6 {
        let mut session = try_open(&memory, &model, config()).unwrap();
        session.check_recovered();
        if opening == 3 {
            session.append(KEYS[1], b"record");
            session.settle();
        }
        let base;
        (model, base) = session.close();
        memory.write_manifest(base, true);
        assert_eq!(memory.disk().segments().len(), usize::from(opening >= 3));
        assert_eq!(memory.verify().damage, []);
    }
}

/// An opening pinned what it adopted in the header of its first segment, and nothing else knows of it: the manifest is an
/// older one, and the new segment has no frame.
#[test]
fn what_an_opening_adopted_is_not_torn_later() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    let manifests: Vec<_> = ["manifest.a", "manifest.b"].map(|name| (name, memory.disk().file(name).clone())).into();
    harness::matrix::write_rounds(&mut session, 4);
    let model = session.crash();
    open(&memory, &model).crash();
    let last = frames(&memory.disk().file(FIRST).data).pop().expect("there are frames");
    memory.disk().file(FIRST).truncate(last.bytes.start);
    for (name, old) in manifests {
        *memory.disk().file(name) = old;
    }
    assert!(!memory.verify().damage.is_empty());
    let session = open(&memory, &model);
    let damage = &session.recovered.damage;
    assert!(damage.iter().any(|damage| damage.bytes.start <= last.bytes.start), "{damage:?}");
    assert_eq!((session.recovered.torn.clone(), session.recovered.frozen.len()), (None, KEYS.len()));
}
