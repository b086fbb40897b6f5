//! An embedder steps shards in threads of its own: what is promised is the same, and nothing hangs when the two part.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

use diatreme::{CallError, Cores, Engine, HostedShard, OpenError, Outcome, ShardSeat, StreamRef};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn open(root: &Path, shards: u16) -> (Engine, Vec<ShardSeat>) {
    let builder = Engine::builder(root).unencrypted().shards(shards).cores(Cores::Unpinned).segment_bytes(4 << 20);
    builder.place("a", 0).place("b", shards - 1).open_hosted().unwrap()
}

/// A stream that an earlier opening made.
fn made(root: &Path) -> StreamRef {
    let engine =
        Engine::builder(root).unencrypted().shards(1).cores(Cores::Unpinned).segment_bytes(4 << 20).open().unwrap();
    engine.client().ensure_stream("a", "events").unwrap()
}

/// Steps a shard until the engine closes.
fn host(mut shard: HostedShard) {
    while !shard.is_stopping() {
        let progress = shard.turn();
        shard.rest(progress, None).unwrap();
    }
    shard.close();
}

#[test]
fn other_threads_are_served_and_the_log_is_whole() {
    let root = tempfile::tempdir().unwrap();
    let (engine, seats) = open(root.path(), 2);
    assert_eq!(seats.iter().map(ShardSeat::shard).collect::<Vec<_>>(), [0, 1]);
    let hosts: Vec<_> = seats.into_iter().map(|seat| thread::spawn(move || host(seat.start().unwrap()))).collect();
    let mut client = engine.client();
    for tenant in ["a", "b"] {
        let stream = client.ensure_stream(tenant, "events").unwrap();
        for record in 0..100_u64 {
            assert_eq!(client.append(&stream, &record.to_le_bytes()).unwrap().first, record);
        }
    }
    let stats = engine.close().unwrap();
    hosts.into_iter().for_each(|host| host.join().unwrap());
    assert!(stats.iter().all(|shard| shard.log.records >= 100), "{stats:?}");

    let engine = Engine::builder(root.path()).unencrypted().shards(2).cores(Cores::Unpinned).open().unwrap();
    assert!(engine.report().recovery.torn.is_empty() && engine.report().recovery.damage.is_empty());
    let mut client = engine.client();
    for tenant in ["a", "b"] {
        let stream = client.stream(tenant, "events").unwrap();
        assert_eq!(client.read(&stream, 99, 10).unwrap()[0].payload, 99_u64.to_le_bytes());
    }
}

/// The way of a front-end: the client and the shard take turns in one thread.
#[test]
fn a_client_in_the_shards_own_thread_is_served_between_turns() {
    let root = tempfile::tempdir().unwrap();
    let stream = made(root.path());
    let (engine, mut seats) = open(root.path(), 1);
    let mut shard = seats.remove(0).start().unwrap();
    let mut client = engine.client();
    let (mut sent, mut next) = (0_u64, 0_u64);
    while next < 1000 {
        while sent < 1000 && client.submit_append(&stream, None, &[&sent.to_le_bytes()]).is_ok() {
            sent += 1;
        }
        let progress = shard.turn();
        let taken = client.poll(|answer| match answer.result.unwrap() {
            Outcome::Appended(appended) => {
                assert!(appended.is_durable());
                assert_eq!(appended.first, next);
                next += 1;
            }
            other => panic!("{other:?} to an append"),
        });
        if taken.unwrap() == 0 {
            shard.rest(progress, None).unwrap();
        }
    }
    drop(client);
    shard.close();
    assert_eq!(engine.close().unwrap()[0].log.records, 1000);
}

#[test]
fn a_shard_that_is_dropped_is_missed_and_what_was_acknowledged_is_there() {
    let root = tempfile::tempdir().unwrap();
    let (engine, seats) = open(root.path(), 2);
    let mut seats = seats.into_iter();
    let (first, second) = (seats.next().unwrap(), seats.next().unwrap());
    drop(second);
    let host = thread::spawn(move || {
        let mut shard = first.start().unwrap();
        while !shard.is_stopping() {
            let progress = shard.turn();
            shard.rest(progress, None).unwrap();
        }
    });
    let mut client = engine.client();
    let stream = client.ensure_stream("a", "events").unwrap();
    client.append(&stream, b"kept").unwrap();
    let ended = engine.close();
    assert!(matches!(ended, Err(OpenError::ShardDropped { shard: 0 })), "{ended:?}");
    host.join().unwrap();
    client.append(&stream, b"refused").unwrap_err();

    let engine = Engine::builder(root.path()).unencrypted().shards(2).cores(Cores::Unpinned).open().unwrap();
    let mut client = engine.client();
    let records = client.read(&stream, 0, 10).unwrap();
    assert_eq!(records.iter().map(|record| record.payload.as_slice()).collect::<Vec<_>>(), [b"kept"]);
}

/// A new client that has sent a request, and waits for its answer in a thread of its own; what came of it is received.
fn waits(engine: &Engine, stream: &StreamRef) -> mpsc::Receiver<Result<usize, CallError>> {
    let mut client = engine.client();
    client.submit_append(stream, None, &[b"record"]).unwrap();
    let (answered, answer) = mpsc::channel();
    thread::spawn(move || answered.send(client.wait(|_| {})));
    answer
}

/// Only what would never come fails by this.
const AT_MOST: Duration = Duration::from_secs(60);

/// What clients had sent to a seat lay in its inbox when it was dropped, and its door was never closed: they slept for ever, and
/// those that came later were told, after two seconds, that the shard had too many clients.
#[test]
fn clients_of_a_seat_that_is_dropped_are_told() {
    let root = tempfile::tempdir().unwrap();
    let stream = made(root.path());
    let (engine, seats) = open(root.path(), 1);
    let waiting: Vec<_> = (0..3).map(|_| waits(&engine, &stream)).collect();
    drop(seats);
    for answer in waiting {
        assert_eq!(answer.recv_timeout(AT_MOST), Ok(Err(CallError::Closed)));
    }
    assert_eq!(engine.client().head(&stream), Err(CallError::Closed));
    assert!(matches!(engine.close(), Err(OpenError::ShardDropped { shard: 0 })));
}

/// As a seat that is dropped; and the engine, which knew no more than that the shard was gone, now says why.
#[test]
fn clients_of_a_seat_that_cannot_be_started_are_told() {
    let root = tempfile::tempdir().unwrap();
    let stream = made(root.path());
    let nowhere =
        Engine::builder(root.path()).unencrypted().shards(1).cores(Cores::List(vec![4095])).segment_bytes(4 << 20);
    let (engine, mut seats) = nowhere.open_hosted().unwrap();
    let waiting: Vec<_> = (0..3).map(|_| waits(&engine, &stream)).collect();
    let started = seats.remove(0).start();
    assert!(matches!(started, Err(OpenError::Pin { shard: 0, cpu: 4095, .. })), "{started:?}");
    for answer in waiting {
        assert_eq!(answer.recv_timeout(AT_MOST), Ok(Err(CallError::Closed)));
    }
    let ended = engine.close().unwrap_err();
    assert!(matches!(ended, OpenError::ShardNotStarted { shard: 0, .. }), "{ended:?}");
    assert!(ended.to_string().contains("cannot be pinned to CPU 4095"), "{ended}");
}

/// A struct of an engine and a shard is dropped in this order, and the engine waited for the shard, which its own thread was to
/// drop next. It does not, and the directory stays locked for as long as the shard may write.
#[test]
fn an_engine_that_goes_before_a_shard_of_its_own_thread_does_not_wait_for_it() {
    let (done, ended) = mpsc::channel();
    let both = thread::spawn(move || {
        let root = tempfile::tempdir().unwrap();
        let stream = made(root.path());
        let (engine, mut seats) = open(root.path(), 1);
        let mut shard = seats.remove(0).start().unwrap();
        let mut client = engine.client();
        client.submit_append(&stream, None, &[b"record"]).unwrap();
        while client.poll(|answer| assert!(answer.result.is_ok())).unwrap() == 0 {
            shard.turn();
        }
        let closed = engine.close();
        assert!(matches!(closed, Err(OpenError::ShardOpen { shard: 0 })), "{closed:?}");
        let builder = || Engine::builder(root.path()).unencrypted().shards(1).cores(Cores::Unpinned);
        assert!(matches!(builder().open(), Err(OpenError::Locked { .. })));
        assert!(shard.is_stopping());
        shard.close();

        let (engine, mut seats) = builder().open_hosted().unwrap();
        struct Server(
            #[expect(dead_code, reason = "dropped")] Engine,
            #[expect(dead_code, reason = "dropped")] HostedShard,
        );
        drop(Server(engine, seats.remove(0).start().unwrap()));
        let engine = builder().open().unwrap();
        assert!(!engine.report().recovery.clean);
        assert_eq!(engine.client().head(&stream).unwrap().next, 1);
        done.send(()).unwrap();
    });
    assert_eq!(ended.recv_timeout(AT_MOST), Ok(()));
    both.join().unwrap();
}

/// Its clients' threads borrow an engine, however its shards live.
#[test]
fn an_engine_is_shared_among_threads() {
    fn is_sync<T: Sync + Send>() {}
    is_sync::<Engine>();
    fn is_send<T: Send>() {}
    is_send::<ShardSeat>();
}
