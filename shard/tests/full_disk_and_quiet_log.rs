//! A full disk is an answer, not a stall; and a log that falls quiet is turned once more, for its mark.

mod harness;

use diatreme_shard::wire::Failure;
use harness::{Answer, Client, Rig, appended, directory};
use iobackend::IoError;
use kernel::StreamId;
use log::limits::PREPARE_RETRY_NS;

/// The failure names the segment that the disk has no room for, which is never the one that is written.
fn is_full(answer: &Answer) -> bool {
    matches!(answer.outcome, Err(Failure::NoSegment { segment, error: IoError::NoSpace { .. } }) if segment.number > 1)
}

/// Appends until the shard says that there is no space; returns how many were acknowledged.
fn fill(rig: &mut Rig, client: &mut Client, stream: StreamId) -> u64 {
    rig.faults.borrow_mut().full = true;
    for count in 0..1000 {
        client.append(stream, &[count as u8; 100_000]);
        rig.run();
        let answer = client.take_one();
        if is_full(&answer) {
            return count;
        }
        assert_eq!(appended(&answer), count);
    }
    panic!("a segment takes no end of records");
}

#[test]
fn a_full_disk_refuses_appends_serves_reads_and_goes_on_when_there_is_room() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(8);
    let count = fill(&mut rig, &mut client, stream);
    assert!(count > 10);
    for _ in 0..5 {
        client.append(stream, &[0; 100_000]);
        rig.run();
        assert!(is_full(&client.take_one()));
    }
    assert_eq!(rig.shard.failure(), None, "nothing is lost, so the log has not failed");
    client.read(stream, count - 1, 1);
    rig.run();
    assert_eq!(client.take_one().records(), [(count - 1, vec![(count - 1) as u8; 100_000])]);

    rig.faults.borrow_mut().full = false;
    rig.now += PREPARE_RETRY_NS;
    rig.run();
    client.append(stream, b"room again");
    rig.run();
    assert_eq!(appended(&client.take_one()), count);
    rig.shard.close(rig.now).unwrap();
    let mut rig = Rig::open(root.path());
    let mut client = rig.client(8);
    client.read(stream, count, 1);
    rig.run();
    assert_eq!(client.take_one().records(), [(count, b"room again".to_vec())]);
}

/// A mark is due and finds no room: the time to wake up was in the past, for as long as the disk was full, and the shard spun.
#[test]
fn a_quiet_shard_on_a_full_disk_sleeps() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(8);
    // Smaller and smaller ones, until not even a mark has room.
    for bytes in [100_000, 1000, 1] {
        rig.faults.borrow_mut().full = true;
        loop {
            client.append(stream, &vec![1; bytes]);
            rig.run();
            if is_full(&client.take_one()) {
                break;
            }
        }
    }
    for _ in 0..10 {
        let progress = rig.run();
        let Some(at) = progress.wake_at else { break };
        assert!(at > rig.now, "the shard would spin");
        rig.now = at;
    }
    rig.shard.close(rig.now).unwrap();
}

/// The disk was full, and still is when the engine closes: there is nothing to remove of a segment that was never made.
#[test]
fn a_shard_closes_on_a_full_disk() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    rig.faults.borrow_mut().full = true;
    let stream = rig.streams(1)[0];
    let mut client = rig.client(8);
    let count = fill(&mut rig, &mut client, stream);
    rig.shard.close(rig.now).unwrap();
    let mut rig = Rig::open(root.path());
    let mut client = rig.client(8);
    client.read(stream, count - 1, 1);
    rig.run();
    assert_eq!(client.take_one().records().len(), 1);
}

#[test]
fn the_mark_is_due_after_a_while_and_written_once() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(8);
    client.append(stream, b"record");
    let progress = rig.run();
    let due = progress.wake_at.expect("a mark is due");
    assert!(due > rig.now);
    let marks = rig.shard.stats().log.marks;
    rig.now = due - 2_000;
    rig.run();
    assert_eq!(rig.shard.stats().log.marks, marks, "not before its time");
    rig.now = due;
    let progress = rig.run();
    assert_eq!(rig.shard.stats().log.marks, marks + 1);
    assert_eq!(progress.wake_at, None, "and then the shard may sleep for ever");
    rig.now += 1_000_000_000_000;
    rig.run();
    assert_eq!(rig.shard.stats().log.marks, marks + 1);
}
