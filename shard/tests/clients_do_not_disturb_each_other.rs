//! Many clients on one shard: each has its turn, and what one does, or leaves behind, is its own loss.

mod harness;

use diatreme_shard::limits::{BATCH_BYTES, BATCH_REQUESTS, HELD_TURNS_MAX, HOLD_MAX_NS, TURN_BYTES, TURN_REQUESTS};
use diatreme_shard::port;
use diatreme_shard::wire::{Done, Failure, HEADER_BYTES, Request};
use harness::{Client, Rig, TENANT, append, appended, bell, directory, read, tenant};
use kernel::StreamId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn head(stream: StreamId) -> Request<'static> {
    Request::Head { tenant: tenant(), stream }
}

#[test]
fn full_rings_are_drained_in_turn_a_bounded_number_of_requests_at_a_time() {
    const CLIENTS: usize = 40;
    const EACH: usize = 600;
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| rig.client(EACH)).collect();
    rig.turn();
    for client in &mut clients {
        for _ in 0..EACH {
            client.send(&head(stream));
        }
    }
    let mut answered = [0; CLIENTS];
    let mut turns = 0;
    while answered.iter().any(|answered| *answered < EACH) {
        let before = rig.shard.stats().requests;
        rig.turn();
        turns += 1;
        let taken = (rig.shard.stats().requests - before) as usize;
        assert!(taken <= TURN_REQUESTS + BATCH_REQUESTS, "{taken} requests in one turn");
        for (client, answered) in clients.iter_mut().zip(&mut answered) {
            *answered += client.take().len();
        }
        let (least, most) = (answered.iter().min().unwrap(), answered.iter().max().unwrap());
        assert!(most - least <= BATCH_REQUESTS, "{answered:?}");
        assert!(turns < 2 * CLIENTS * EACH / TURN_REQUESTS, "the turns are not used");
    }
}

/// Requests that write nothing can keep the rings from ever being empty. A frame closes when they are, or when it is full: an
/// append beside them waited for ever.
#[test]
fn an_append_is_not_kept_waiting_by_requests_that_write_nothing() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let streams = rig.streams(2);
    let mut asking = rig.client(5000);
    let mut writing = rig.client(1);
    rig.turn();
    writing.append(streams[0], b"record");
    let mut in_flight = 0;
    for turn in 0..=HELD_TURNS_MAX + 1 {
        while in_flight < 5000 && asking.try_send(&head(streams[1])).is_some() {
            in_flight += 1;
        }
        rig.turn();
        in_flight -= asking.take().len();
        assert!(in_flight > 0, "the ring was empty, so this shows nothing");
        if let [answer] = &writing.take()[..] {
            appended(answer);
            return;
        }
        assert!(turn <= HELD_TURNS_MAX, "the append waits");
    }
}

/// The open frame is held for a moment after requests and answers. A client that asks, is answered, and asks again, once a
/// turn, held it open for ever: the rings were empty in every turn, and every turn had a request.
#[test]
fn an_append_is_not_held_by_answers_that_bring_requests() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let streams = rig.streams(2);
    let mut asking = rig.client(1);
    let mut writing = rig.client(1);
    rig.run();
    writing.append(streams[0], b"record");
    let deadline = rig.now + 2 * HOLD_MAX_NS;
    loop {
        asking.send(&head(streams[1]));
        rig.turn();
        asking.take_one();
        if let [answer] = &writing.take()[..] {
            appended(answer);
            return;
        }
        assert!(rig.now < deadline, "the append waits");
    }
}

/// Reads were begun from the first port on: a client with many reads took every place in the log as it became free.
#[test]
fn a_client_with_many_reads_leaves_places_to_others() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut many = rig.client(200);
    let mut one = rig.client(1);
    many.append(stream, &[7; 1000]);
    rig.run();
    many.take_one();
    for _ in 0..200 {
        many.read(stream, 0, 1);
    }
    rig.turn();
    one.read(stream, 0, 1);
    let mut answered = 0;
    while one.take().is_empty() {
        rig.turn();
        answered += many.take().len();
        assert!(answered < 20, "{answered} reads of another client came first");
    }
}

/// A turn's share was counted in requests alone: 256 long ones kept the shard from its completions for a tenth of a second.
#[test]
fn long_requests_make_no_long_turn() {
    const BYTES: usize = 60_000;
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut clients: Vec<Client> = (0..20).map(|_| rig.client(8)).collect();
    rig.turn();
    for client in &mut clients {
        for _ in 0..4 {
            client.append(stream, &[7; BYTES]);
        }
    }
    let before = rig.shard.stats().requests;
    rig.turn();
    let taken = (rig.shard.stats().requests - before) as usize * BYTES;
    assert!((TURN_BYTES / 2..=TURN_BYTES + BATCH_BYTES + BYTES).contains(&taken), "{taken} bytes in one turn");
    rig.run();
    assert!(clients.iter_mut().all(|client| client.take().len() == 4));
}

/// Each record of some clients is a frame of its own. The same port was the first in every turn, and took the only frame that
/// had become free: the small append of another client found no room, for as long as the stream went on.
#[test]
fn room_in_the_log_goes_around() {
    const STREAMING: usize = 3;
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut streaming: Vec<Client> = (0..STREAMING).map(|_| rig.client(64)).collect();
    let mut small = rig.client(1);
    rig.turn();
    rig.faults.borrow_mut().hold_frames = true;
    let mut sent = [0; STREAMING];
    let mut answered = [0; STREAMING];
    let mut first = 0;
    let mut small_after = None;
    for completions in 0..40 {
        for (client, sent) in streaming.iter_mut().zip(&mut sent) {
            *sent += usize::from(client.try_send(&append(stream, &[&[7; 1 << 20]])).is_some());
        }
        // The log has no room left, and nothing moves until a frame is written.
        rig.run();
        if completions == 8 {
            small.append(stream, b"small");
            rig.run();
            first = completions;
        }
        rig.faults.borrow_mut().release(0);
        rig.run();
        for (client, answered) in streaming.iter_mut().zip(&mut answered) {
            *answered += client.take().len();
        }
        if let [answer] = &small.take()[..] {
            appended(answer);
            small_after = Some(completions - first);
        }
    }
    assert!(small_after.is_some_and(|after| after <= 4 + STREAMING + 1), "{small_after:?}");
    let (least, most) = (answered.iter().min().unwrap(), answered.iter().max().unwrap());
    assert!(*least > 0 && most - least <= 2, "{answered:?}");
    rig.faults.borrow_mut().release_all();
}

#[test]
fn a_client_that_leaves_with_requests_in_flight_leaves_nothing_behind() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut other = rig.client(8);
    rig.turn();
    for hold_reads in [false, true] {
        let mut leaving = rig.client(8);
        rig.run();
        rig.faults.borrow_mut().hold_frames = true;
        rig.faults.borrow_mut().hold_reads = hold_reads;
        leaving.append(stream, b"in flight");
        leaving.read(stream, 0, 1);
        rig.turn();
        // Sent before it left, so it is taken.
        leaving.append(stream, b"in the ring");
        drop(leaving);
        rig.run();
        // It counted as input until the device had answered: the shard went round without a rest.
        assert!(!rig.shard.has_input(), "the shard would spin");
        assert_eq!(other.take(), []);
        rig.faults.borrow_mut().release_all();
        rig.run();
        assert!(!rig.shard.has_input(), "nothing is left of the client");
    }
    other.read(stream, 0, 10);
    rig.run();
    assert_eq!(other.take_one().records().len(), 4, "all its records were taken");
}

/// A client that does not take its data is waited for without spinning, and without missing what others send.
#[test]
fn a_slow_reader_is_waited_for_asleep() {
    const READS: usize = 12;
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut slow = rig.client(READS);
    slow.append(stream, &[7; 1 << 20]);
    rig.run();
    slow.take_one();
    for _ in 0..READS {
        slow.read(stream, 0, 1);
    }
    let progress = rig.run();
    assert!(!progress.in_flight && !progress.blocked);
    assert!(!rig.shard.has_input(), "the shard would spin");
    let mut other = rig.client(1);
    assert!(rig.shard.has_input());
    rig.run();
    assert!(!rig.shard.has_input());
    other.send(&head(stream));
    assert!(rig.shard.has_input(), "the request would lie there while the shard sleeps");
    rig.run();
    other.take_one();

    let mut taken = 0;
    while taken < READS {
        let answers = slow.take();
        assert!(!answers.is_empty(), "{taken} of {READS}");
        for answer in &answers {
            assert_eq!(answer.records(), [(0, vec![7; 1 << 20])]);
        }
        taken += answers.len();
        assert!(taken == READS || rig.shard.has_input(), "there is room again");
        rig.run();
    }
}

/// The same of a list, whose page goes into the data ring when it is taken. The shard said of itself that it waits for the log,
/// and slept without looking at the other clients.
#[test]
fn a_slow_lister_is_waited_for_asleep() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(2000)[0];
    let list = Request::ListStreams { tenant: TENANT, after: kernel::CATALOG };
    let mut slow = rig.client(1000);
    for _ in 0..1000 {
        slow.send(&list);
    }
    let progress = rig.run();
    assert!(!progress.blocked && !rig.shard.has_input());
    let mut other = rig.client(1);
    rig.run();
    other.send(&head(stream));
    assert!(rig.shard.has_input());
    rig.run();
    other.take_one();
    let mut taken = 0;
    while taken < 1000 {
        let answers = slow.take();
        assert!(!answers.is_empty(), "{taken}");
        for answer in &answers {
            assert!(matches!(answer.outcome, Ok(Done::Listed { bytes, .. }) if answer.data.len() == bytes as usize));
        }
        taken += answers.len();
        rig.run();
    }
}

/// Reads of a client that sends more than it may, and takes nothing, piled up without bound.
#[test]
fn a_client_that_breaks_its_word_makes_no_queue_grow() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut greedy = rig.client(4);
    let mut other = rig.client(4);
    greedy.append(stream, &[7; 1 << 20]);
    rig.run();
    let before = rig.shard.stats().requests;
    for _ in 0..1000 {
        greedy.send(&read(stream, 0, 1));
    }
    rig.run();
    let taken = rig.shard.stats().requests - before;
    assert!(taken < 20, "{taken} requests were taken of a client that may have 4 in flight");
    assert!(!rig.shard.has_input());
    other.append(stream, b"another's");
    rig.run();
    appended(&other.take_one());
    drop(greedy);
    rig.run();
    assert!(!rig.shard.has_input(), "its port is freed");
}

#[test]
fn a_client_that_never_takes_answers_loses_its_own() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut deaf = rig.client(4);
    let mut other = rig.client(4);
    for _ in 0..4 {
        while deaf.try_send(&append(stream, &[b"deaf"])).is_some() {}
        other.append(stream, b"heard");
        rig.run();
        appended(&other.take_one());
    }
    assert_eq!(deaf.take().len(), 4, "as many as it may have in flight");
}

#[test]
fn hostile_bytes_are_answered_with_refusals() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut hostile = rig.client(1);
    let mut other = rig.client(1);
    let mut seed = 0x9E37_79B9_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let valid: Vec<Vec<u8>> = [
        append(stream, &[b"one", b"two"]),
        read(stream, 0, 10),
        head(stream),
        Request::ListStreams { tenant: TENANT, after: kernel::CATALOG },
        Request::CreateStream { tenant: TENANT, name: "name", key: None },
        Request::Resolve { tenant: TENANT, name: "name" },
    ]
    .iter()
    .map(|request| {
        let mut bytes = vec![0; request.encoded_bytes()];
        request.encode(9, &mut bytes);
        bytes
    })
    .collect();
    for round in 0..2_000 {
        let mut message = valid[random() % valid.len()].clone();
        match round % 3 {
            0 => message.truncate(random() % (message.len() + 1)),
            1 => (0..=random() % 3).for_each(|_| {
                let at = 8 + random() % (message.len() - 8);
                message[at] = [0, 1, 0x7f, 0xff, random() as u8][random() % 5];
            }),
            _ => message = (0..random() % 300).map(|_| random() as u8).collect(),
        }
        let place = hostile.port.requests.reserve(message.len()).unwrap();
        place.copy_from_slice(&message);
        hostile.port.requests.commit();
        hostile.port.requests.publish();
        rig.run();
        hostile.take_one();
    }
    // The longest message that the ring takes, and one of very many records.
    let max = hostile.port.requests.message_bytes_max();
    for records in [1_u32, 4096, u32::MAX, ((max - HEADER_BYTES) / 4) as u32] {
        let mut message = vec![0; max];
        append(stream, &[]).encode(1, &mut message[..HEADER_BYTES]);
        message[32..36].copy_from_slice(&records.to_le_bytes());
        message[HEADER_BYTES..][..4].copy_from_slice(&((max - HEADER_BYTES - 4) as u32).to_le_bytes());
        if records > 4096 {
            message[HEADER_BYTES..].fill(0);
        }
        hostile.port.requests.reserve(max).unwrap().copy_from_slice(&message);
        hostile.port.requests.commit();
        hostile.port.requests.publish();
        rig.run();
        assert!(matches!(hostile.take_one().outcome, Err(Failure::Refused(_))));
    }
    other.append(stream, b"fine");
    rig.run();
    appended(&other.take_one());
}

/// Ids derive from names and can be shared: a name that leads to another tenant's id must not lead to that tenant.
#[test]
fn a_name_that_shares_an_id_is_refused() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    rig.streams(1);
    let mut client = rig.client(8);
    let requests = [
        Request::CreateStream { tenant: "colliding", name: "new", key: None },
        Request::Resolve { tenant: "colliding", name: "stream 0" },
        Request::ListStreams { tenant: "colliding", after: kernel::CATALOG },
        Request::DeleteTenant { tenant: "colliding" },
    ];
    for request in requests {
        let place = client.port.requests.reserve(request.encoded_bytes()).unwrap();
        request.encode(1, place);
        place[8..16].copy_from_slice(&tenant().0.to_le_bytes());
        client.port.requests.commit();
        client.port.requests.publish();
        rig.run();
        let refused = Failure::Refused(kernel::Refusal::TenantNameCollision);
        assert_eq!(client.take_one().outcome, Err(refused), "{request:?}");
    }
}

/// What a shard did not take when it went lay in its inbox: the client waited for a port that nobody held, or would drop.
#[test]
fn a_client_that_attaches_as_its_shard_goes_learns_of_it() {
    for close in [true, false] {
        let root = directory();
        let mut rig = Rig::open(root.path());
        let rung = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&rung);
        let own = Arc::new(spsc::Doorbell::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let (client, other) = port(1, bell(), Arc::clone(&own));
        own.prepare_park();
        rig.attach(other);
        let Rig { shard, inbox, now, .. } = rig;
        if close {
            shard.close(now).unwrap();
        } else {
            drop(shard);
        }
        assert!(client.replies.is_disconnected());
        assert_eq!(rung.load(Ordering::Relaxed), 1, "and it is woken");
        drop(inbox);
    }
}
