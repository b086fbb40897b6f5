//! Clients on real threads: they come and go, meet full queues and closed engines, and never hang, lose or double anything.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme::{CallError, Client, Completion, Failure, Outcome, Refusal, StreamRef, Token};
use harness::{builder, check, fill, in_memory, modes, open, payload};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::thread;

fn appended(completion: &Completion<'_>) -> u64 {
    match &completion.result {
        Ok(Outcome::Appended(appended)) => appended.first,
        other => panic!("{other:?}"),
    }
}

#[test]
fn concurrent_appends_get_distinct_gapless_offsets_and_each_client_ascending_ones() {
    const CLIENTS: usize = 6;
    const EACH: usize = 2000;
    for mode in modes() {
        let root = in_memory();
        let engine = builder(root.path(), 2).backend(mode).open().unwrap();
        let stream = engine.client().ensure_stream("acme", "shared").unwrap();
        let all: Vec<Vec<u64>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let mut client = engine.client();
                    scope.spawn(move || append_pipelined(&mut client, &stream, number, EACH))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let distinct: BTreeSet<u64> = all.iter().flatten().copied().collect();
        assert_eq!(distinct, (0..(CLIENTS * EACH) as u64).collect());
        assert!(all.iter().all(|offsets| offsets.is_sorted()));
        // What lies at each offset is what was sent by the client that was given it.
        let mut client = engine.client();
        let mut next = 0;
        while next < (CLIENTS * EACH) as u64 {
            for record in client.read(&stream, next, 4096).unwrap() {
                assert_eq!(record.offset, next);
                let (number, at) =
                    (record.payload[0] as usize, u32::from_le_bytes(record.payload[1..5].try_into().unwrap()));
                assert_eq!(all[number][at as usize], next);
                next += 1;
            }
        }
        engine.close().unwrap();
    }
}

/// A hundred in flight, and a question for the end now and then: it is never before what was acknowledged.
fn append_pipelined(client: &mut Client, stream: &StreamRef, number: usize, count: usize) -> Vec<u64> {
    let mut offsets = Vec::with_capacity(count);
    for at in 0..count {
        let mut payload = vec![number as u8];
        payload.extend_from_slice(&(at as u32).to_le_bytes());
        client.submit_append(stream, None, &[&payload]).unwrap();
        if at % 100 == 99 {
            client.poll(|completion| offsets.push(appended(&completion))).unwrap();
            let known = offsets.last().copied();
            let head = client.head(stream).unwrap();
            assert!(known.is_none_or(|known| known < head.next));
        }
    }
    while client.in_flight() > 0 {
        client.wait(|completion| offsets.push(appended(&completion))).unwrap();
    }
    assert_eq!(offsets.len(), count);
    offsets
}

/// Reads of different records in flight together, and lists between them: every answer has the data that was asked for.
#[test]
fn pipelined_reads_get_what_they_asked_for() {
    let root = in_memory();
    let engine = open(root.path(), 2);
    let mut client = engine.client();
    let stream = client.ensure_stream("acme", "events").unwrap();
    fill(&mut client, &stream, "events", 0, 500);
    let mut asked: BTreeMap<Token, u64> = BTreeMap::new();
    let mut answered = 0;
    for round in 0..6000_u64 {
        let offset = round * 7919 % 500;
        asked.insert(client.submit_read(&stream, offset, 1).unwrap(), offset);
        if round % 50 == 0 {
            assert_eq!(client.streams("acme").unwrap().len(), 1);
        }
        let mut take = |completion: Completion<'_>| {
            let offset = asked.remove(&completion.token).expect("an answer to what was asked");
            let Ok(Outcome::Records { mut records, next: 500 }) = completion.result else { panic!("{completion:?}") };
            let record = records.next().expect("a record");
            assert_eq!((record.offset, record.payload), (offset, &payload("events", offset)[..]));
            answered += 1;
        };
        if round % 3 == 0 {
            client.poll(&mut take).unwrap();
        }
        if client.in_flight() > 500 {
            client.wait(&mut take).unwrap();
        }
    }
    while client.in_flight() > 0 {
        client
            .wait(|completion| {
                assert!(asked.remove(&completion.token).is_some());
                answered += 1;
            })
            .unwrap();
    }
    assert_eq!((answered, asked.len()), (6000, 0));
}

#[test]
fn a_full_queue_says_how_full_and_loses_nothing() {
    let root = in_memory();
    let engine = open(root.path(), 1);
    let mut client = engine.client_with_window(50).unwrap();
    let stream = client.ensure_stream("acme", "events").unwrap();
    let mut refused = 0;
    let mut answered = 0;
    let mut offset = 0;
    while offset < 3000 {
        match client.submit_append(&stream, Some(offset), &[&payload("events", offset)]) {
            Ok(_) => offset += 1,
            Err(CallError::QueueFull { depth, capacity, .. }) => {
                assert_eq!((depth, capacity), (50, 50));
                refused += 1;
                answered += client.wait(|completion| assert!(appended(&completion) < 3000)).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    while client.in_flight() > 0 {
        answered += client.wait(|completion| assert!(appended(&completion) < 3000)).unwrap();
    }
    assert!(refused > 0 && answered == 3000, "{refused} {answered}");
    check(&mut client, &stream, "events", 3000);

    // By bytes: the window of the ring is full long before that of requests.
    let mut client = engine.client();
    let record = vec![1; 100_000];
    let full = (0..100).find_map(|_| client.submit_append(&stream, None, &[&record]).err());
    if let Some(full) = full {
        let CallError::QueueFull { depth, capacity, bytes_capacity, .. } = full else { panic!("{full}") };
        assert!(depth < capacity && bytes_capacity > 0);
    }
    assert!(engine.client_with_window(0).is_err() && engine.client_with_window(usize::MAX).is_err());
    // A call that waits has room made for it.
    client.append(&stream, &record).unwrap();
    let too_large = client.append_batch(&stream, None, &[&vec![1; 4 << 20]]);
    assert!(matches!(too_large, Err(CallError::RequestTooLarge { .. })), "{too_large:?}");
}

/// Answers that waiting calls keep are counted as in flight, come with the next poll, and are bounded.
#[test]
fn answers_that_a_waiting_call_met_are_kept_for_the_next_poll() {
    let root = in_memory();
    let engine = open(root.path(), 1);
    let mut client = engine.client_with_window(8).unwrap();
    let stream = client.ensure_stream("acme", "events").unwrap();
    let mut tokens = Vec::new();
    let full = loop {
        match client.submit_append(&stream, None, &[b"pipelined"]) {
            Ok(token) => tokens.push(token),
            Err(error) => break error,
        }
        client.append(&stream, b"waited for").unwrap();
        assert_eq!(client.in_flight(), tokens.len());
    };
    assert!(matches!(full, CallError::QueueFull { depth: 8, capacity: 8, .. }), "{full:?}");
    let mut seen = Vec::new();
    client.poll(|completion| seen.push(completion.token)).unwrap();
    assert_eq!((seen, client.in_flight()), (tokens, 0));
}

#[test]
fn of_two_clients_that_expect_the_same_offset_one_wins() {
    let root = in_memory();
    let engine = open(root.path(), 1);
    let stream = engine.client().ensure_stream("acme", "events").unwrap();
    let barrier = Barrier::new(2);
    let wins: Vec<Vec<u64>> = thread::scope(|scope| {
        let race = |number: u8| {
            let mut client = engine.client();
            let barrier = &barrier;
            move || {
                let mut won = Vec::new();
                for offset in 0..300 {
                    barrier.wait();
                    match client.append_batch(&stream, Some(offset), &[&[number]]) {
                        Ok(appended) => {
                            assert_eq!(appended.first, offset);
                            won.push(offset);
                        }
                        Err(CallError::Failed(Failure::Refused(Refusal::WrongExpectedOffset { expected, actual }))) => {
                            assert_eq!((expected, actual), (offset, offset + 1));
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                won
            }
        };
        let threads = [scope.spawn(race(0)), scope.spawn(race(1))];
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut all = wins.concat();
    all.sort_unstable();
    assert_eq!(all, (0..300).collect::<Vec<_>>());
    let mut client = engine.client();
    for record in client.read(&stream, 0, 1000).unwrap() {
        assert!(wins[usize::from(record.payload[0])].contains(&record.offset));
    }
}

/// More clients at once than an inbox has places, some of which leave with requests in flight.
#[test]
fn clients_come_and_go_while_others_run() {
    let root = in_memory();
    let engine = open(root.path(), 2);
    let stream = engine.client().ensure_stream("acme", "steady").unwrap();
    let passing = engine.client().ensure_stream("bolt", "passing").unwrap();
    thread::scope(|scope| {
        let mut steady = engine.client();
        scope.spawn(move || {
            for offset in 0..1000 {
                assert_eq!(steady.append(&stream, &payload("steady", offset)).unwrap().first, offset);
            }
        });
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..60 {
                    let mut client = engine.client_with_window(64).unwrap();
                    for _ in 0..round % 30 {
                        client.submit_append(&passing, None, &[b"passing"]).unwrap();
                        client.submit_read(&stream, 0, 10).unwrap();
                    }
                    if round % 3 == 0 {
                        client.head(&passing).unwrap();
                    }
                }
            });
        }
    });
    let mut client = engine.client();
    check(&mut client, &stream, "steady", 1000);
    // Every request that was sent was taken, though nobody was there for the answer.
    let sent = 3 * (0..60).map(|round| round % 30).sum::<u64>();
    while client.head(&passing).unwrap().next < sent {
        thread::yield_now();
    }
    let many: Vec<Client> = (0..150)
        .map(|_| {
            let mut client = engine.client_with_window(1).unwrap();
            client.submit_head(&stream).unwrap();
            client
        })
        .collect();
    for mut client in many {
        assert_eq!(client.wait(|completion| assert!(completion.result.is_ok())).unwrap(), 1);
    }
    engine.close().unwrap();
}

/// The engine closes under clients that wait, pipeline, and attach: each is told, and what was acknowledged is there.
#[test]
fn closing_under_clients_tells_them_all_and_keeps_what_was_acknowledged() {
    const CLIENTS: u64 = 4;
    for round in 0..8 {
        let root = in_memory();
        let engine = open(root.path(), 2);
        let streams: Vec<StreamRef> = (0..CLIENTS)
            .map(|number| engine.client().ensure_stream(&format!("tenant {number}"), "events").unwrap())
            .collect();
        let mut late: Vec<Client> = (0..8).map(|_| engine.client()).collect();
        let (started, starts) = std::sync::mpsc::channel();
        let threads: Vec<_> = streams
            .iter()
            .enumerate()
            .map(|(number, stream)| {
                let (mut client, stream, started) = (engine.client(), *stream, started.clone());
                thread::spawn(move || {
                    let mut acknowledged = 0;
                    started.send(()).unwrap();
                    loop {
                        let told = if number % 2 == 0 {
                            client.append(&stream, &payload("events", acknowledged)).map(|appended| {
                                assert_eq!(appended.first, acknowledged);
                                acknowledged += 1;
                            })
                        } else {
                            pipeline(&mut client, &stream, &mut acknowledged)
                        };
                        if let Err(error) = told {
                            assert_eq!(error, CallError::Closed);
                            assert_eq!(client.append(&stream, b"late"), Err(CallError::Closed));
                            return acknowledged;
                        }
                    }
                })
            })
            .collect();
        let attaching = thread::spawn(move || {
            starts.iter().take(CLIENTS as usize).for_each(drop);
            for client in &mut late {
                let told = client.ensure_stream("tenant 0", "late").map(drop);
                assert!(matches!(told, Ok(()) | Err(CallError::Closed)), "{told:?}");
            }
        });
        for _ in 0..round * 1000 {
            thread::yield_now();
        }
        engine.close().unwrap();
        attaching.join().unwrap();
        let acknowledged: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let engine = open(root.path(), 2);
        assert!(engine.report().recovery.clean);
        let mut client = engine.client();
        for (stream, acknowledged) in streams.iter().zip(acknowledged) {
            let next = client.head(stream).unwrap().next;
            assert!(next >= acknowledged, "{next} of {acknowledged}");
            check(&mut client, stream, "events", next);
        }
    }
}

/// Ten at a time; counts those that were acknowledged, in order.
fn pipeline(client: &mut Client, stream: &StreamRef, acknowledged: &mut u64) -> Result<(), CallError> {
    let from = *acknowledged;
    for offset in from..from + 10 {
        client.submit_append(stream, Some(offset), &[&payload("events", offset)])?;
    }
    while *acknowledged < from + 10 {
        client.wait(|completion| {
            assert_eq!(appended(&completion), *acknowledged);
            *acknowledged += 1;
        })?;
    }
    Ok(())
}

/// In a process of its own, since the threads of other tests have the same names.
#[test]
fn an_idle_engine_sleeps() {
    const CHILD: &str = "DIATREME_TEST_IDLE";
    if std::env::var_os(CHILD).is_none() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "an_idle_engine_sleeps", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    for mode in modes() {
        let root = in_memory();
        let engine = builder(root.path(), 2).backend(mode).open().unwrap();
        let mut client = engine.client();
        let stream = client.ensure_stream("acme", "events").unwrap();
        client.append(&stream, b"record").unwrap();
        let state = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (name, rest) = stat.split_once(") ")?;
            name.contains("(shard-").then(|| rest.starts_with('S'))
        };
        // Asleep, all of them, at a hundred looks on end: whoever spins is seen running.
        let mut asleep = 0;
        let mut looks = 0;
        while asleep < 100 {
            looks += 1;
            assert!(looks < 100_000, "the shards do not sleep ({mode:?})");
            let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap);
            let states: Vec<bool> = tasks.filter_map(state).collect();
            assert_eq!(states.len(), 2);
            asleep = if states.iter().all(|asleep| *asleep) { asleep + 1 } else { 0 };
            thread::sleep(std::time::Duration::from_micros(200));
        }
        // And they wake up.
        client.append(&stream, b"another").unwrap();
        engine.close().unwrap();
    }
}
