//! What concurrent clients are answered is what one thread could have seen, in an order that keeps with real time: also over
//! crashes, with requests that nobody answered. The checker is shown to reject in `the_checker_of_histories_rejects.rs`.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;
mod linear;

use diatreme::{Builder, Engine, HostedShard, Mode, OpenError, ShardSeat, StreamRef};
use harness::{builder, in_memory, modes, on_disk};
use linear::clients::{Load, Recorder, Shared};
use linear::{Answer, Ask, Maybe, StreamOp, check, is_linearizable};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;

const CLIENTS: u32 = 4;
/// A tenant on the first shard, and one on the last.
const STREAMS: [(&str, &str); 3] = [("acme", "orders"), ("acme", "audit"), ("bolt", "orders")];

fn placed(root: &Path, mode: Mode, shards: u16) -> Builder {
    builder(root, shards).backend(mode).place("acme", 0).place("bolt", shards - 1)
}

fn streams(engine: &Engine) -> Vec<StreamRef> {
    let mut client = engine.client();
    STREAMS.iter().map(|(tenant, name)| client.ensure_stream(tenant, name).unwrap()).collect()
}

/// Runs the clients, each in a thread, until all are done; numbers them from `first` on.
fn run(engine: &Engine, shared: &Shared, first: u32, load: Load) -> (Vec<StreamOp>, Vec<Maybe>) {
    let parts: Vec<_> = thread::scope(|scope| {
        let start = |number: u32| {
            let mut client = engine.client();
            // One of them deletes.
            let load = Load { deletes: load.deletes.filter(|_| number == first), ..load };
            scope.spawn(move || {
                let mut recorder = Recorder::new(shared, number);
                recorder.run(&mut client, load);
                (recorder.history, recorder.unanswered)
            })
        };
        let threads: Vec<_> = (first..first + CLIENTS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (histories, unanswered): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    (histories.concat(), unanswered.concat())
}

/// A history of clients of one opening, with all that the streams hold in the end.
fn history(root: &Path, mode: Mode, shards: u16, load: Load) -> Vec<StreamOp> {
    let engine = placed(root, mode, shards).open().unwrap();
    let shared = Shared::new(streams(&engine));
    let (mut history, unanswered) = run(&engine, &shared, 1, load);
    assert!(unanswered.is_empty());
    let mut last = Recorder::new(&shared, 0);
    last.read_out(&mut engine.client());
    history.append(&mut last.history);
    engine.close().unwrap();
    history
}

fn count(history: &[StreamOp], of: impl Fn(&Ask, &Answer) -> bool) -> usize {
    history.iter().filter(|op| of(&op.op.ask, &op.op.answer)).count()
}

/// Every kind of answer is among them, or the history shows less than it says.
fn has_all_answers(history: &[StreamOp]) {
    type Kind = fn(&Ask, &Answer) -> bool;
    let kinds: [(&str, Kind); 7] = [
        ("appended", |ask, answer| {
            matches!((ask, answer), (Ask::Append { expected: None, .. }, Answer::Appended { .. }))
        }),
        ("as expected", |ask, answer| {
            matches!((ask, answer), (Ask::Append { expected: Some(_), .. }, Answer::Appended { .. }))
        }),
        ("not as expected", |_, answer| matches!(answer, Answer::WrongOffset { .. })),
        ("head", |_, answer| matches!(answer, Answer::Head { .. })),
        ("records", |_, answer| matches!(answer, Answer::Records { records, .. } if !records.is_empty())),
        ("beyond the end", |_, answer| matches!(answer, Answer::BeyondEnd { .. })),
        ("gone", |_, answer| matches!(answer, Answer::Gone)),
    ];
    for (name, kind) in kinds {
        assert!(count(history, kind) > 0, "no answer of {} is {name}", history.len());
    }
}

#[test]
fn of_clients_that_wait_for_each_answer() {
    for mode in modes() {
        for shards in [1, 2] {
            let load = Load { operations: 1000, window: 1, deletes: Some(1) };
            let history = history(in_memory().path(), mode, shards, load);
            has_all_answers(&history);
            check(&history, &format!("{mode:?}, {shards} shards, waiting"));
        }
    }
}

#[test]
fn of_clients_that_pipeline() {
    for mode in modes() {
        for shards in [1, 2] {
            for root in [in_memory(), on_disk()] {
                let load = Load { operations: 1000, window: 8, deletes: Some(1) };
                let history = history(root.path(), mode, shards, load);
                check(&history, &format!("{mode:?}, {shards} shards, pipelining"));
            }
        }
    }
}

/// Steps a shard until so many requests are answered, or nobody asks any more; then it is gone as in a crash.
fn host(seat: ShardSeat, shared: &Shared, answers: u64) {
    let mut shard: HostedShard = seat.start().unwrap();
    while shared.answered.load(Ordering::Relaxed) < answers && !shard.is_stopping() {
        let progress = shard.turn();
        shard.rest(progress, None).unwrap();
    }
}

/// One opening that crashes with requests in flight.
fn until_the_crash(settings: Builder, shared: &Shared, first: u32, load: Load) -> (Vec<StreamOp>, Vec<Maybe>) {
    let (engine, seats) = settings.open_hosted().unwrap();
    let answers = shared.answered.load(Ordering::Relaxed) + load.operations as u64;
    let (history, mut unanswered) = thread::scope(|scope| {
        let hosts: Vec<_> = seats.into_iter().map(|seat| scope.spawn(move || host(seat, shared, answers))).collect();
        let parts = run(&engine, shared, first, load);
        // A shard that nobody asks sleeps: the engine wakes it, and misses it.
        assert!(matches!(engine.close(), Err(OpenError::ShardDropped { .. })));
        hosts.into_iter().for_each(|host| host.join().unwrap());
        parts
    });
    let gone_time = shared.now();
    unanswered.iter_mut().for_each(|maybe| maybe.gone_time = gone_time);
    (history, unanswered)
}

#[test]
fn over_crashes_with_requests_in_flight() {
    const CRASHES: u32 = 4;
    for mode in modes() {
        // Pipelines share flushes; a thousand flushes of single requests would measure the disk.
        for (window, root) in [(1, in_memory()), (16, on_disk())] {
            let shared = {
                let engine = placed(root.path(), mode, 2).open().unwrap();
                Shared::new(streams(&engine))
            };
            let (mut history, mut unanswered) = (Vec::new(), Vec::new());
            for crash in 0..CRASHES {
                // A crash comes at so many answers of all together, when each client has some requests to go.
                let load = Load { operations: 1000, window, deletes: None };
                let settings = placed(root.path(), mode, 1 + (crash % 2) as u16);
                let (mut seen, mut missed) = until_the_crash(settings, &shared, 1 + crash * CLIENTS, load);
                history.append(&mut seen);
                unanswered.append(&mut missed);
            }
            let engine = placed(root.path(), mode, 2).open().unwrap();
            assert!(!engine.report().recovery.clean, "{:?}", engine.report().recovery);
            let mut last = Recorder::new(&shared, 0);
            let found = last.read_out(&mut engine.client());
            history.append(&mut last.history);
            let (asked, answered) = (unanswered.len(), history.len());
            history.extend(unanswered.into_iter().filter_map(|maybe| maybe.settle(&found)));
            let happened = history.len() - answered;
            println!(
                "{mode:?}, window {window}: {answered} answered, {asked} appends not, of which {happened} are there"
            );
            assert!(asked > 0, "no crash left an append without its answer");
            check(&history, &format!("{mode:?}, window {window}, over crashes"));
        }
    }
}

/// A true history, falsified in one place: each is rejected.
#[test]
fn and_a_history_that_was_tampered_with_is_not() {
    let load = Load { operations: 150, window: 3, deletes: None };
    let history = history(in_memory().path(), Mode::Sync, 2, load);
    check(&history, "before it is tampered with");
    let appends = |history: &[StreamOp]| -> Vec<usize> {
        let is_append = |at: &usize| matches!(history[*at].op.answer, Answer::Appended { .. });
        (0..history.len()).filter(is_append).collect()
    };
    let appends = appends(&history);
    let mut rejected = 0;
    let mut reject = |what: &str, tampered: &[StreamOp]| {
        assert!(!is_linearizable(tampered), "{what}");
        rejected += 1;
    };
    for &at in appends.iter().step_by(17) {
        let op = &history[at];
        let later = appends.iter().copied().find(|later| {
            let later = &history[*later];
            later.op.stream == op.op.stream && later.call_time > op.return_time
        });
        let Some(later) = later else { continue };

        let mut tampered = history.clone();
        tampered.remove(at);
        reject("an append is missing", &tampered);

        let mut tampered = history.clone();
        tampered[at].op.answer = history[later].op.answer.clone();
        reject("two appends have one offset", &tampered);

        tampered[later].op.answer = op.op.answer.clone();
        reject("two answers are swapped", &tampered);

        let mut tampered = history.clone();
        let (early, late) = (&history[at], &history[later]);
        (tampered[at].call_time, tampered[at].return_time) = (late.call_time, late.return_time);
        (tampered[later].call_time, tampered[later].return_time) = (early.call_time, early.return_time);
        reject("two returns are swapped", &tampered);
    }
    for (at, op) in history.iter().enumerate().rev().step_by(5).take(40) {
        let mut tampered = history.clone();
        match &mut tampered[at].op.answer {
            Answer::Head { next } => *next += 1_000,
            Answer::Records { records, .. } if !records.is_empty() => records[0].1 += 1,
            Answer::WrongOffset { actual } | Answer::BeyondEnd { next: actual } => *actual += 1_000,
            _ => continue,
        }
        reject(&format!("what was seen was not there: {:?}", op.op.answer), &tampered);
    }
    assert!(rejected > 50, "{rejected} tampered with");
}
