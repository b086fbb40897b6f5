//! An embedder steps shards in threads of its own: what is promised is the same, and nothing hangs when the two part.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

use diatreme::{Cores, Engine, HostedShard, OpenError, Outcome, ShardSeat};
use std::path::Path;
use std::thread;

fn open(root: &Path, shards: u16) -> (Engine, Vec<ShardSeat>) {
    let builder = Engine::builder(root).shards(shards).cores(Cores::Unpinned).segment_bytes(4 << 20);
    builder.place("a", 0).place("b", shards - 1).open_hosted().unwrap()
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

    let engine = Engine::builder(root.path()).shards(2).cores(Cores::Unpinned).open().unwrap();
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
    let stream = {
        let engine = Engine::builder(root.path()).shards(1).cores(Cores::Unpinned).open().unwrap();
        engine.client().ensure_stream("a", "events").unwrap()
    };
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
                assert!(appended.durable);
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

    let engine = Engine::builder(root.path()).shards(2).cores(Cores::Unpinned).open().unwrap();
    let mut client = engine.client();
    let records = client.read(&stream, 0, 10).unwrap();
    assert_eq!(records.iter().map(|record| record.payload.as_slice()).collect::<Vec<_>>(), [b"kept"]);
}

/// Its clients' threads borrow an engine, however its shards live.
#[test]
fn an_engine_is_shared_among_threads() {
    fn is_sync<T: Sync + Send>() {}
    is_sync::<Engine>();
    fn is_send<T: Send>() {}
    is_send::<ShardSeat>();
}
