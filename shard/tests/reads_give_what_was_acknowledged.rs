//! Reads: what they see, when they wait, and that replies and their data stay together.

mod harness;

use diatreme_shard::limits::REQUEST_PAYLOAD_MAX;
use diatreme_shard::wire::{Done, Failure, Request};
use harness::{Rig, TENANT, append, appended, directory, read, tenant};
use kernel::{Listing, Refusal};
use log::limits::READS_IN_FLIGHT;

fn payload(number: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number as usize * 31 + at) as u8).collect()
}

#[test]
fn from_the_start_from_the_middle_at_the_end_and_beyond() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(64);
    for number in 0..10 {
        client.append(stream, &payload(number, 100));
        rig.run();
        assert_eq!(appended(&client.take_one()), number);
    }
    for (from, records_max, expected) in [(0, 100, 0..10), (3, 4, 3..7), (9, 1, 9..10), (10, 5, 10..10), (2, 0, 2..2)] {
        client.read(stream, from, records_max);
        rig.run();
        let answer = client.take_one();
        let expected: Vec<_> = expected.map(|number| (number, payload(number, 100))).collect();
        assert_eq!(answer.records(), expected, "{records_max} from {from}");
        assert!(matches!(answer.outcome, Ok(Done::Read { records, next: 10 }) if records as usize == expected.len()));
    }
    client.read(stream, 11, 1);
    rig.run();
    let beyond = Refusal::OffsetBeyondEnd { from: 11, next: 10 };
    assert_eq!(client.take_one().outcome, Err(Failure::Refused(beyond)));
    // One record is given even if it is longer than was asked for.
    client.send(&Request::Read { tenant: tenant(), stream, from: 0, records_max: 9, bytes_max: 0 });
    rig.run();
    assert_eq!(client.take_one().records(), [(0, payload(0, 100))]);
}

#[test]
fn a_read_behind_an_append_sees_it_and_none_that_comes_later() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(64);
    rig.faults.borrow_mut().hold_frames = true;
    client.append(stream, b"first");
    let asked = client.read(stream, 0, 10);
    rig.turn();
    client.append(stream, b"second");
    rig.run();
    assert_eq!(client.take(), [], "not durable yet");
    // Both frames settle before the read is handed out; it was asked before the second.
    rig.faults.borrow_mut().release_all();
    rig.run();
    let answers = client.take();
    let answer = answers.iter().find(|answer| answer.token == asked).unwrap();
    assert_eq!(answer.records(), [(0, b"first".to_vec())]);
    assert!(matches!(answer.outcome, Ok(Done::Read { records: 1, next: 1 })));
}

/// A full read's bytes were promised from half a ring that held three: whatever a client asked for together was read one after
/// the other.
#[test]
fn reads_of_one_client_are_in_the_log_together() {
    const READS: u64 = 3 * READS_IN_FLIGHT as u64;
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(64);
    for number in 0..READS {
        client.append(stream, &payload(number, 1000));
        rig.run();
        appended(&client.take_one());
    }
    rig.faults.borrow_mut().hold_reads = true;
    let first = client.next_token;
    for number in 0..READS {
        client.read(stream, number, 1);
    }
    rig.run();
    assert_eq!(rig.faults.borrow().held(), READS_IN_FLIGHT);
    rig.faults.borrow_mut().release_all();
    rig.run();
    let answers = client.take();
    assert_eq!(answers.len() as u64, READS);
    for answer in answers {
        let number = answer.token - first;
        assert_eq!(answer.records(), [(number, payload(number, 1000))]);
    }
}

/// The longest records: the data ring holds a few of them, and the rest wait.
#[test]
fn more_than_the_data_ring_holds_comes_in_parts_whole_and_in_order() {
    const RECORDS: u64 = 12;
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(64);
    let len = REQUEST_PAYLOAD_MAX as usize;
    for number in 0..RECORDS {
        client.append(stream, &payload(number, len));
        rig.run();
        appended(&client.take_one());
    }
    let first = client.next_token;
    for number in 0..RECORDS {
        client.read(stream, number, 1);
    }
    let mut seen = Vec::new();
    while seen.len() < RECORDS as usize {
        rig.run();
        let answers = client.take();
        assert!((1..=3).contains(&answers.len()), "{}", answers.len());
        for answer in answers {
            let number = answer.token - first;
            assert_eq!(answer.records(), [(number, payload(number, len))]);
            seen.push(number);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..RECORDS).collect::<Vec<_>>());
}

/// Pages of names and records go through one ring of data: each reply finds its own, however they are taken.
#[test]
fn lists_and_reads_interleaved_keep_their_data() {
    const ROUNDS: u64 = 200;
    let root = directory();
    let mut rig = Rig::open(root.path());
    let streams = rig.streams(300);
    let mut client = rig.client(4096);
    for number in 0..20 {
        client.append(streams[0], &payload(number, 20_000));
        rig.run();
        client.take();
    }
    let first = client.next_token;
    let mut sent = 0;
    let mut taken = 0;
    while taken < 3 * ROUNDS {
        for _ in 0..7 {
            if sent < ROUNDS {
                client.send(&Request::ListStreams { tenant: TENANT, after: kernel::CATALOG });
                client.read(streams[0], sent % 20, 1);
                client.append(streams[1], b"small");
                sent += 1;
            }
        }
        rig.turn();
        if sent % 3 == 0 || sent == ROUNDS {
            let answers = client.take();
            taken += answers.len() as u64;
            for answer in answers {
                let number = answer.token - first;
                match number % 3 {
                    0 => assert_eq!(Listing::new(&answer.data).count(), 300, "{:?}", answer.outcome),
                    1 => {
                        let offset = number / 3 % 20;
                        assert_eq!(answer.records(), [(offset, payload(offset, 20_000))]);
                    }
                    _ => drop(appended(&answer)),
                }
            }
        }
    }
}

/// A list that could have seen a creation waits for it.
#[test]
fn a_list_waits_for_the_names_in_it() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    rig.streams(1);
    let mut client = rig.client(8);
    rig.faults.borrow_mut().hold_frames = true;
    client.send(&Request::CreateStream { tenant: TENANT, name: "new", key: None });
    client.send(&Request::ListStreams { tenant: TENANT, after: kernel::CATALOG });
    rig.run();
    assert_eq!(client.take(), []);
    rig.faults.borrow_mut().release_all();
    rig.run();
    let answers = client.take();
    assert_eq!(answers.len(), 2);
    let names: Vec<_> = Listing::new(&answers[1].data).map(|entry| entry.name.to_owned()).collect();
    assert_eq!(names, ["stream 0", "new"]);
}

/// A list waited in the ring for the newest creation, and looked anew in each turn what that was: while others went on to create
/// streams, it was never answered, nor was what stood behind it.
#[test]
fn a_list_waits_for_no_name_that_comes_later() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut creating = rig.client(8);
    let mut listing = rig.client(8);
    let mut create = |rig: &mut Rig, name: &str| {
        creating.send(&Request::CreateStream { tenant: TENANT, name, key: None });
        rig.run();
    };
    rig.faults.borrow_mut().hold_frames = true;
    create(&mut rig, "before");
    listing.send(&Request::ListStreams { tenant: TENANT, after: kernel::CATALOG });
    listing.append(stream, b"behind");
    rig.run();
    create(&mut rig, "after");
    assert_eq!(listing.take(), []);
    rig.faults.borrow_mut().release(0);
    rig.run();
    let answer = listing.take_one();
    let names: Vec<_> = Listing::new(&answer.data).map(|entry| entry.name.to_owned()).collect();
    assert_eq!(names, ["stream 0", "before"]);
    rig.faults.borrow_mut().release_all();
    rig.run();
    appended(&listing.take_one());
}

/// A shard that closed answered the appends that it had taken and dropped the reads, though it promised to answer both. What it
/// does not wait for is a client that takes no data.
#[test]
fn a_shard_that_closes_answers_the_reads_that_it_took() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(64);
    let mut deaf = rig.client(64);
    client.append(stream, &payload(0, 1 << 20));
    rig.run();
    client.take_one();
    for _ in 0..20 {
        deaf.read(stream, 0, 1);
    }
    rig.run();
    // One waits for its frame, the others for places in the log.
    let appended_last = client.append(stream, b"newest");
    let mut reads = Vec::new();
    for _ in 0..10 {
        reads.push(client.read(stream, 1, 1));
    }
    rig.turn();
    assert_eq!(client.take(), []);
    rig.shard.close(rig.now).unwrap();
    let mut answers = client.take();
    answers.sort_by_key(|answer| answer.token);
    assert_eq!((answers.len(), answers[0].token), (11, appended_last));
    assert_eq!(appended(&answers[0]), 1);
    for answer in &answers[1..] {
        assert_eq!(answer.records(), [(1, b"newest".to_vec())]);
    }
    let heard = deaf.take().len();
    assert!((1..20).contains(&heard), "{heard}");
}

#[test]
fn a_read_that_the_system_refuses_is_told_and_the_next_one_is_served() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(8);
    client.append(stream, b"record");
    rig.run();
    client.take_one();
    rig.faults.borrow_mut().fail_read = true;
    client.read(stream, 0, 1);
    rig.run();
    assert!(matches!(client.take_one().outcome, Err(Failure::ReadFailed { .. })));
    client.read(stream, 0, 1);
    rig.run();
    assert_eq!(client.take_one().records(), [(0, b"record".to_vec())]);
}

/// Over many segments, after reopening too: records of all sizes, each at its offset.
#[test]
fn every_record_is_found_over_many_segments_and_openings() {
    let root = directory();
    let mut expected: Vec<Vec<u8>> = Vec::new();
    let mut streams = Vec::new();
    for opening in 0..3_u64 {
        let mut rig = Rig::open(root.path());
        if opening == 0 {
            streams = rig.streams(2);
        }
        let mut client = rig.client(4096);
        for number in 0..150 {
            let record = payload(opening * 1000 + number, 1 + (number as usize * 7919) % 120_000);
            client.send(&append(streams[0], &[&record]));
            client.append(streams[1], b"between");
            expected.push(record);
            while rig.run().in_flight {}
            for answer in client.take() {
                appended(&answer);
            }
        }
        assert!(opening > 0 || rig.shard.stats().log.rotations > 0);
        let mut next = 0;
        while next < expected.len() {
            client.send(&read(streams[0], next as u64, 1000));
            rig.run();
            let answer = client.take_one();
            let records = answer.records();
            assert!(!records.is_empty(), "{:?} at {next}", answer.outcome);
            for (offset, record) in records {
                assert_eq!((offset, &record), (next as u64, &expected[next]));
                next += 1;
            }
        }
        // Closed, then killed, then closed.
        if opening != 1 {
            rig.shard.close(rig.now).unwrap();
        }
    }
}
