//! After a write or flush that failed nothing more is acknowledged, whatever the disk says later; and at the next opening
//! everything that was is there.

mod harness;

use diatreme_log::{ReadError, Room, Wish};
use harness::memory::{Memory, Plan};
use harness::{Key, Model, Place, open, payload};
use iobackend::{IoError, Operation};

const KEY: Key = (1, 1);

/// Fails the operation that is `after` from now, and goes on as a client would.
fn fail(after: u64, plan: impl Fn(u64) -> Plan, wish: Option<Wish>) -> Option<(Operation, &'static str)> {
    let memory = Memory { shuffle: after, ..Memory::default() };
    let mut session = open(&memory, &Model::default());
    session.wish = wish;
    let at = memory.disk().operations + after;
    memory.disk().plan = Some(plan(at));
    let mut marks = (0, 0);
    for round in 0..60 {
        let bytes = payload(KEY, round, 150_000);
        if session.try_append(KEY, 1, &bytes) != Room::Ready {
            break;
        }
        session.log.submit(session.now);
        if round % 5 == 0 && !session.write_out() {
            break;
        }
        let (durable, written) = (session.log.durable(), session.log.written());
        assert!(durable >= marks.0 && written >= marks.1 && written >= durable);
        marks = (durable, written);
    }
    let Some(failure) = session.log.failure().cloned() else {
        // The next segment could not be made at once, or a read failed: the log went on.
        memory.disk().plan = None;
        session.sync();
        session.check_all();
        let model = session.crash();
        open(&memory, &model).check_recovered();
        return None;
    };
    // The disk is well again, and it does not help.
    memory.disk().plan = None;
    let (durable, written) = (session.log.durable(), session.log.written());
    for _ in 0..100 {
        session.now += 10_000_000;
        session.log.submit(session.now);
        session.turn();
        assert_eq!((session.log.durable(), session.log.written()), (durable, written), "{failure}");
        assert!(!session.log.has_work(), "nothing is left to do: the loop may sleep");
        assert_eq!((session.log.mark_at(), session.log.flush_due_at()), (None, None));
    }
    assert_eq!(session.log.room(100, 1, session.now), Room::Failed);
    let operation = memory.disk().failed[0];
    let all = session.model.clone();
    session.model.forget_from(written);
    session.check_all();
    let model = session.model.clone();
    assert!(session.log.close(session.now).is_err());
    assert_eq!(memory.verify().damage, []);
    let mut session = open(&memory, &all);
    assert_eq!(session.recovered.damage, []);
    let found = session.recovered.streams.get(&KEY).map_or(0, |start| start.next_offset as usize);
    let acknowledged = model.streams.get(&KEY).map_or(0, Vec::len);
    let sent = session.model.streams.get_mut(&KEY).expect("it was written");
    assert!((acknowledged..=sent.len()).contains(&found), "{failure}: {acknowledged} {found} {}", sent.len());
    sent.truncate(found);
    session.model.streams.retain(|_, sent| !sent.is_empty());
    session.check_recovered();
    session.check_all();
    Some((operation, failure.doing))
}

fn fail_each(plan: impl Fn(u64) -> Plan, wish: Option<Wish>) -> Vec<(Operation, &'static str)> {
    let mut failures: Vec<_> = (0..130).filter_map(|after| fail(after, &plan, wish)).collect();
    failures.sort_unstable_by_key(|(operation, doing)| (format!("{operation:?}"), *doing));
    failures.dedup();
    failures
}

#[test]
fn an_operation_that_fails_once() {
    let failures = fail_each(Plan::Eio, None);
    assert!(failures.contains(&(Operation::Write, "write a frame")), "{failures:?}");
    assert!(failures.iter().any(|(_, doing)| *doing != "write a frame"), "{failures:?}");
}

#[test]
fn a_short_write() {
    let failures = fail_each(Plan::Short, None);
    assert!(failures.contains(&(Operation::Write, "write a frame")), "{failures:?}");
}

#[test]
fn without_flushes_too() {
    let failures = fail_each(Plan::Eio, Some(Wish::Nothing));
    assert!(failures.contains(&(Operation::Write, "write a frame")), "{failures:?}");
}

/// A flush of frames that failed may succeed the second time and have saved nothing.
#[test]
fn a_flush_of_frames_that_fails_once() {
    let wish = Wish::Written { flush_by: u64::MAX, records: 7 };
    let failures = fail_each(Plan::Eio, Some(wish));
    assert!(failures.contains(&(Operation::Flush, "flush frames")), "{failures:?}");
}

/// A flush that failed may succeed the second time and have saved nothing: the segment that it was for is not used.
#[test]
fn a_failed_flush_of_a_new_segment_is_final() {
    let mut seen = 0;
    for after in 0..60 {
        let memory = Memory::default();
        let mut session = open(&memory, &Model::default());
        let at = memory.disk().operations + after;
        memory.disk().plan = Some(Plan::Eio(at));
        let mut room = Room::Ready;
        while room == Room::Ready && session.log.stats().rotations == 0 {
            room = session.try_append(KEY, 1, &[1; 200_000]);
        }
        let flush = [Operation::Flush, Operation::FlushDirectory];
        if memory.disk().failed.first().is_some_and(|operation| flush.contains(operation)) {
            seen += 1;
            assert_eq!(room, Room::Failed);
            assert_eq!(session.log.failure().map(|failure| failure.doing), Some("make a new segment"));
        }
    }
    assert_eq!(seen, 2, "the zeros and the directory are flushed once each");
}

/// An operation of a read that fails once: the file is opened again by the next read, and what could not be read is read
/// again at once. One failure was taken for a sector that is lost.
#[test]
fn a_failed_read_is_told_and_tried_again() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    session.append(KEY, b"record");
    session.settle();
    let (model, base) = session.close();
    memory.write_manifest(base, true);
    let mut session = open(&memory, &model);
    // The next operations are those of the read, and of the segment that is being made beside it.
    let mut failed = 0;
    for _ in 0..12 {
        let at = memory.disk().operations;
        memory.disk().plan = Some(Plan::Eio(at));
        match session.read(KEY, 0, 1) {
            Ok(records) => assert_eq!(records[0].1.payload, b"record"),
            Err(ReadError::Io(failure)) => {
                failed += 1;
                assert!(matches!(failure.source, IoError::Os { .. }));
            }
            Err(error) => panic!("{error:?}"),
        }
        memory.disk().plan = None;
    }
    assert!(failed > 0);
    session.check_all();
}
