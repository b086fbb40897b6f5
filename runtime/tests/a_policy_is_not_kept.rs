//! Policies of tenants, from a client's side: kept over openings and numbers of shards, raised by an operation or by `sync`, and
//! refused where they are impossible.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme::{
    AppendOptions, CallError, Durability, Engine, Failure, Level, OpenError, Outcome, PolicyFault, Refusal, SyncPolicy,
};

const BUFFERED: Durability = Durability::Buffered { interval_ns: 3_000_000, records: 1000 };
const POLICIES: [(&str, Durability); 5] = [
    ("memory", Durability::Memory),
    ("buffered", BUFFERED),
    ("record", Durability::Strict(SyncPolicy::EveryRecord)),
    ("batch", Durability::Strict(SyncPolicy::EveryBatch)),
    ("group", Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: 1_000_000 })),
];

fn close(engine: Engine) {
    engine.close().unwrap();
}

#[test]
fn policies_hold_over_openings_and_whatever_the_number_of_shards() {
    let root = harness::in_memory();
    let open = |shards| harness::builder(root.path(), shards).open().unwrap();
    let engine = open(2);
    let mut client = engine.client();
    for (name, policy) in POLICIES {
        let stream = client.ensure_stream(name, "stream").unwrap();
        assert_eq!(client.append(&stream, b"before").unwrap().level, Level::Strict, "{name}");
        client.set_durability(name, policy).unwrap();
    }
    drop(client);
    close(engine);
    for shards in [3, 1, 2] {
        let engine = open(shards);
        let mut client = engine.client();
        for (name, policy) in POLICIES {
            let stream = client.stream(name, "stream").unwrap();
            let appended = client.append(&stream, b"under the policy").unwrap();
            assert!(appended.level == policy.level() || appended.is_durable(), "{name}: {appended:?}");
            if policy == Durability::Memory {
                assert_eq!(appended.level, Level::Memory);
            }
            let asked = AppendOptions { level: Some(Level::Strict), ..AppendOptions::default() };
            assert!(client.append_with(&stream, asked, &[b"strict"]).unwrap().is_durable(), "{name}");
        }
        drop(client);
        close(engine);
    }
    let engine = open(1);
    let mut client = engine.client();
    for (name, _) in POLICIES {
        let stream = client.stream(name, "stream").unwrap();
        assert_eq!(client.head(&stream).unwrap().next, 7, "{name}");
        let mut next = 0;
        while next < 7 {
            // A read ends with what lies together.
            next += client.read(&stream, next, 100).unwrap().len() as u64;
        }
        assert_eq!(next, 7, "{name}");
    }
}

#[test]
fn sync_is_answered_by_every_shard_and_a_sleeping_one_flushes_by_itself() {
    let root = harness::in_memory();
    let engine = harness::builder(root.path(), 2).durability(Durability::Memory).open().unwrap();
    let mut client = engine.client();
    let names: Vec<String> = (0..8).map(|number| format!("tenant {number}")).collect();
    let streams: Vec<_> = names.iter().map(|name| client.ensure_stream(name, "stream").unwrap()).collect();
    for stream in &streams {
        assert_eq!(client.append(stream, b"record").unwrap().level, Level::Memory);
    }
    client.sync().unwrap();
    let token = client.submit_sync(&streams[0]).unwrap();
    let mut synced = 0;
    while synced == 0 {
        client
            .wait(|completion| {
                assert_eq!(completion.token, token);
                assert!(matches!(completion.result, Ok(Outcome::Other)));
                synced += 1;
            })
            .unwrap();
    }
    // Nobody asks for this flush but the clock.
    client.set_durability(&names[0], BUFFERED).unwrap();
    client.append(&streams[0], b"record").unwrap();
    let flushes = || engine.stats().iter().map(|shard| shard.log.flushes).sum::<u64>();
    while flushes() == 0 {
        std::thread::yield_now();
    }
    drop(client);
    close(engine);
}

#[test]
fn what_is_impossible_or_too_little_is_refused() {
    let root = harness::in_memory();
    let impossible = Durability::Buffered { interval_ns: 1, records: 0 };
    match harness::builder(root.path(), 1).durability(impossible).open() {
        Err(OpenError::Config(text)) => assert_eq!(text, PolicyFault::NoRecords.to_string()),
        other => panic!("{other:?}"),
    }
    let engine = harness::builder(root.path(), 1).open().unwrap();
    let mut client = engine.client();
    let stream = client.ensure_stream("tenant", "stream").unwrap();
    let refused = |outcome: Result<(), CallError>| match outcome {
        Err(CallError::Failed(Failure::Refused(refusal))) => refusal,
        other => panic!("{other:?}"),
    };
    let refusal = refused(client.set_durability("tenant", impossible));
    assert_eq!(refusal, Refusal::ImpossiblePolicy(PolicyFault::NoRecords));
    assert_eq!(refused(client.set_durability("nobody", BUFFERED)), Refusal::UnknownTenant);
    let asked = AppendOptions { level: Some(Level::Buffered), ..AppendOptions::default() };
    let refusal = refused(client.append_with(&stream, asked, &[b"record"]).map(|_| ()));
    assert_eq!(refusal, Refusal::BelowDefault { asked: Level::Buffered, default: Level::Strict });
    let text = refusal.to_string();
    assert!(text.contains("buffered") && text.contains("strict"), "{text}");
    assert_eq!(client.head(&stream).unwrap().next, 0);
}
