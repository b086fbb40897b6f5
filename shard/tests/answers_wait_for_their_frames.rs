//! No answer leaves before the frame that it waits for is durable; and with a failed frame, none at all.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme_shard::limits::PIPELINE_BYTES;
use diatreme_shard::wire::{Done, Failure, Request};
use harness::{Answer, Client, Options, Outcome, Rig, TENANT, append, appended, directory, tenant};
use kernel::{Durability, Level, StreamId};

/// Four frames in flight, each with one append of each client: large enough not to wait for one another.
fn four_frames(rig: &mut Rig, clients: &mut [Client], stream: StreamId) {
    rig.faults.borrow_mut().hold_frames = true;
    for round in 0..4_u8 {
        for client in clients.iter_mut() {
            client.append(stream, &[round; PIPELINE_BYTES]);
        }
        rig.turn();
    }
    rig.run();
    assert_eq!(rig.faults.borrow().held(), 4);
}

#[test]
fn completions_in_any_order_and_answers_in_the_order_of_frames() {
    // Which of the held completions to let go first, second, third, fourth; and how many frames are then settled.
    let orders: [([usize; 4], [usize; 4]); 5] = [
        ([0, 0, 0, 0], [1, 2, 3, 4]),
        ([3, 2, 1, 0], [0, 0, 0, 4]),
        ([1, 0, 1, 0], [0, 2, 2, 4]),
        ([2, 0, 0, 0], [0, 1, 3, 4]),
        ([3, 0, 0, 0], [0, 1, 2, 4]),
    ];
    for (order, settled) in orders {
        let root = directory();
        let mut rig = Rig::open(root.path());
        let stream = rig.streams(1)[0];
        let mut clients = [rig.client(8), rig.client(8)];
        four_frames(&mut rig, &mut clients, stream);
        let mut offsets = [vec![], vec![]];
        for (release, settled) in order.into_iter().zip(settled) {
            rig.faults.borrow_mut().release(release);
            rig.run();
            for (client, offsets) in clients.iter_mut().zip(&mut offsets) {
                offsets.extend(client.take().iter().map(appended));
                assert_eq!(offsets.len(), settled, "{order:?}");
            }
        }
        // Two clients, in turn: each has every other offset, ascending.
        let mut all: Vec<u64> = offsets.concat();
        assert!(offsets.iter().all(|offsets| offsets.is_sorted()), "{offsets:?}");
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
    }
}

/// What could have seen a record waits for it: the end of its stream, a refusal by its offset, a read. What could not, does not.
#[test]
fn whoever_could_have_seen_a_record_waits_for_it() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let streams = rig.streams(2);
    let (busy, still) = (streams[0], streams[1]);
    let mut writer = rig.client(8);
    let mut reader = rig.client(8);
    writer.append(still, b"settled");
    rig.run();
    writer.take_one();
    rig.faults.borrow_mut().hold_frames = true;
    writer.append(busy, b"on its way");
    rig.run();
    let head = reader.send(&Request::Head { tenant: tenant(), stream: busy });
    let wrong = reader.send(&Request::Append {
        tenant: tenant(),
        stream: busy,
        expected: Some(7),
        level: None,
        records: &[b"x"],
    });
    let read = reader.read(busy, 0, 10);
    rig.run();
    assert_eq!(reader.take(), []);
    let other = reader.send(&Request::Head { tenant: tenant(), stream: still });
    let other_read = reader.read(still, 0, 10);
    rig.run();
    let answers = reader.take();
    assert_eq!(answers.iter().map(|answer| answer.token).collect::<Vec<_>>(), [other, other_read]);
    assert_eq!(answers[1].records(), [(0, b"settled".to_vec())]);

    rig.faults.borrow_mut().release(0);
    rig.run();
    let answers = reader.take();
    assert_eq!(answers.iter().map(|answer| answer.token).collect::<Vec<_>>(), [head, wrong, read]);
    assert!(matches!(answers[0].outcome, Ok(Done::Head { next: 1, .. })));
    assert!(matches!(answers[1].outcome, Err(Failure::Refused(kernel::Refusal::WrongExpectedOffset { .. }))));
    assert_eq!(answers[2].records(), [(0, b"on its way".to_vec())]);
}

fn is_shard_failed(answer: &Answer) -> bool {
    answer.outcome == Err(Failure::ShardFailed)
}

#[test]
fn after_a_failed_or_short_write_nothing_is_acknowledged_and_nothing_acknowledged_is_lost() {
    for outcome in [Outcome::Lost, Outcome::WrittenButError, Outcome::Short] {
        for nth in 0..6 {
            fail_nth_frame(nth, outcome);
        }
    }
}

fn fail_nth_frame(nth: u64, outcome: Outcome) {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let streams = rig.streams(2);
    let (settled, failing) = (streams[0], streams[1]);
    let mut client = rig.client(64);
    client.append(settled, b"before");
    rig.run();
    assert_eq!(appended(&client.take_one()), 0);

    let first = rig.faults.borrow().frames;
    rig.faults.borrow_mut().fail_frame = Some((first + nth, outcome));
    let mut acknowledged = 0;
    for round in 0..6_u8 {
        client.append(failing, &[round; 50]);
        // Each in a frame of its own.
        rig.run();
    }
    for answer in client.take() {
        match answer.outcome {
            Ok(_) => {
                assert_eq!(appended(&answer), acknowledged, "in order, and none after the failure");
                acknowledged += 1;
            }
            _ => assert!(is_shard_failed(&answer), "{answer:?}"),
        }
    }
    assert_eq!(acknowledged, nth, "{outcome:?}");
    assert!(rig.shard.failure().is_some());

    // From now on: appends are refused, whatever room there is; what is settled is served.
    client.append(settled, b"after");
    client.append(failing, b"after");
    client.send(&Request::CreateStream { tenant: TENANT, name: "after", key: None });
    client.send(&Request::Head { tenant: tenant(), stream: failing });
    rig.run();
    let answers = client.take();
    assert_eq!(answers.len(), 4);
    assert!(answers.iter().all(is_shard_failed), "{answers:?}");
    client.read(settled, 0, 10);
    rig.run();
    assert_eq!(client.take_one().records(), [(0, b"before".to_vec())]);
    assert!(rig.shard.close(rig.now).is_err(), "the failure is told in the end, too");

    let mut rig = Rig::open(root.path());
    let mut client = rig.client(64);
    client.read(settled, 0, 10);
    rig.run();
    assert_eq!(client.take_one().records(), [(0, b"before".to_vec())]);
    client.read(failing, 0, 10);
    rig.run();
    let found = client.take_one().records();
    assert!(found.len() as u64 >= acknowledged, "{outcome:?} at {nth}: {} of {acknowledged}", found.len());
    for (offset, payload) in found {
        assert_eq!(payload, [offset as u8; 50]);
    }
    client.append(settled, b"again");
    rig.run();
    assert_eq!(appended(&client.take_one()), 1);
    rig.shard.close(rig.now).unwrap();
}

/// A frame fails while younger ones are in flight: theirs succeed, and are not acknowledged either.
#[test]
fn frames_after_a_failed_one_are_not_acknowledged_whenever_they_complete() {
    for release in [[0, 0, 0, 0], [3, 2, 1, 0], [1, 2, 1, 0]] {
        let root = directory();
        let mut rig = Rig::open(root.path());
        let stream = rig.streams(1)[0];
        let mut clients = [rig.client(8)];
        let first = rig.faults.borrow().frames;
        rig.faults.borrow_mut().fail_frame = Some((first + 1, Outcome::Lost));
        four_frames(&mut rig, &mut clients, stream);
        for at in release {
            rig.faults.borrow_mut().release(at);
            rig.run();
        }
        let answers = clients[0].take();
        assert_eq!(answers.len(), 4);
        let acknowledged = answers.iter().filter(|answer| answer.outcome.is_ok()).count();
        assert!(acknowledged <= 1, "{answers:?}");
        drop(rig);
        let mut rig = Rig::open(root.path());
        let mut client = rig.client(8);
        client.read(stream, 0, 10);
        rig.run();
        assert!(client.take_one().records().len() >= acknowledged);
    }
}

/// A list of names that waits for a frame waits in the ring. After a failure it waited there for ever, with every
/// request behind it.
#[test]
fn a_list_is_answered_also_after_a_failure() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(8);
    client.append(stream, b"settled");
    rig.run();
    client.take_one();
    let next = rig.faults.borrow().frames;
    rig.faults.borrow_mut().fail_frame = Some((next, Outcome::Lost));
    client.send(&Request::CreateStream { tenant: TENANT, name: "lost", key: None });
    client.send(&Request::ListStreams { tenant: TENANT, after: kernel::CATALOG });
    client.read(stream, 0, 1);
    rig.run();
    let answers = client.take();
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(answers[..2].iter().all(is_shard_failed));
    assert_eq!(answers[2].records(), [(0, b"settled".to_vec())]);
}

/// Under `Memory` an answer says so, and leaves at once. After a failed write it must not: the open frame still had
/// room, and appends into it were acknowledged though no frame would ever be written again.
#[test]
fn unflushed_appends_are_answered_at_once_and_not_after_a_failure() {
    let root = directory();
    let options = Options { durability: Durability::Memory, ..Options::default() };
    let mut rig = Rig::open_with(root.path(), options);
    let stream = rig.streams(1)[0];
    let mut client = rig.client(64);
    rig.faults.borrow_mut().hold_frames = true;
    for number in 0..10_u8 {
        client.append(stream, &[number]);
    }
    rig.turn();
    let answers = client.take();
    assert_eq!(answers.len(), 10);
    for (offset, answer) in (0_u64..).zip(&answers) {
        assert!(
            matches!(answer.outcome, Ok(Done::Appended { first, level: Level::Memory, .. }) if first == offset),
            "{answer:?}"
        );
    }
    // A read goes to the file, so it waits until the frame is written.
    client.read(stream, 0, 100);
    rig.run();
    assert_eq!(client.take(), []);
    rig.faults.borrow_mut().release_all();
    rig.run();
    let expected: Vec<_> = (0..10_u8).map(|number| (u64::from(number), vec![number])).collect();
    assert_eq!(client.take_one().records(), expected);

    let next = rig.faults.borrow().frames;
    rig.faults.borrow_mut().fail_frame = Some((next, Outcome::Lost));
    client.append(stream, b"lost");
    rig.run();
    assert!(client.take_one().outcome.is_ok(), "it is answered before it is written");
    client.send(&Request::Sync);
    rig.run();
    assert!(is_shard_failed(&client.take_one()), "what was answered before is lost");
    for _ in 0..3 {
        client.append(stream, b"refused");
        rig.run();
        assert!(is_shard_failed(&client.take_one()));
    }
}

/// Everything unflushed is in the log after an orderly close.
#[test]
fn unflushed_appends_are_there_after_a_close() {
    let root = directory();
    let options = Options { durability: Durability::Memory, ..Options::default() };
    let mut rig = Rig::open_with(root.path(), options);
    let stream = rig.streams(1)[0];
    let mut client = rig.client(64);
    client.send(&append(stream, &[b"one", b"two", b"three"]));
    rig.turn();
    assert_eq!(client.take().len(), 1);
    // The counts were taken before the last frame was written.
    assert_eq!(rig.shard.stats().log.records, 2, "the tenant and the stream");
    let (_, stats) = rig.shard.close(rig.now).unwrap();
    assert_eq!(stats.log.records, 5);
    let mut rig = Rig::open(root.path());
    let mut client = rig.client(64);
    client.read(stream, 1, 10);
    rig.run();
    assert_eq!(client.take_one().records(), [(1, b"two".to_vec()), (2, b"three".to_vec())]);
}
