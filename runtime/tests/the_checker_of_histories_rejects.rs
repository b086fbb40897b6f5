//! A checker that rejects nothing proves nothing: this one is given histories whose verdict is known, its own and some of streams.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod linear;

use linear::known::{Strings, register, strings};
use linear::{Answer, Ask, Exchange, Maybe, StreamOp, Streams, accepts};
use porcupine_rs::Model;
use std::collections::HashMap;

#[test]
fn its_own_histories_get_their_verdicts() {
    for (name, verdict) in [("c01-ok", true), ("c01-bad", false), ("c10-ok", true), ("c10-bad", false)] {
        assert_eq!(accepts(&Strings::partition_operations(&strings(&format!("{name}.txt")))), verdict, "{name}");
    }
    for (name, verdict) in [("etcd_000", false), ("etcd_001", false), ("etcd_002", true), ("etcd_005", true)] {
        assert_eq!(accepts(&[register(&format!("{name}.log"))]), verdict, "{name}");
    }
}

/// The verdict, which is the same without hints.
fn is_linearizable(history: &[StreamOp]) -> bool {
    let verdict = linear::is_linearizable(history);
    assert_eq!(accepts(&Streams::partition_operations(history)), verdict, "{history:?}");
    verdict
}

fn op(client: u32, times: (i64, i64), ask: Ask, answer: Answer) -> StreamOp {
    let (call_time, return_time) = times;
    StreamOp { client_id: Some(client), call_time, return_time, op: Exchange::new(0, ask, answer), metadata: None }
}

fn append(client: u32, times: (i64, i64), record: u64, first: u64) -> StreamOp {
    op(client, times, Ask::Append { expected: None, records: vec![record] }, Answer::Appended { first })
}

fn append_at(client: u32, times: (i64, i64), record: u64, expected: u64, answer: Answer) -> StreamOp {
    op(client, times, Ask::Append { expected: Some(expected), records: vec![record] }, answer)
}

fn head(client: u32, times: (i64, i64), next: u64) -> StreamOp {
    op(client, times, Ask::Head, Answer::Head { next })
}

/// A read of up to ten records.
fn read(client: u32, times: (i64, i64), from: u64, records: &[u64], next: Option<u64>) -> StreamOp {
    let records = (from..).zip(records.iter().copied()).collect();
    op(client, times, Ask::Read { from, max: 10 }, Answer::Records { records, next })
}

#[test]
fn of_streams_what_one_thread_could_have_seen_is_accepted() {
    let wrong = |actual| Answer::WrongOffset { actual };
    let good: [(&str, Vec<StreamOp>); 7] = [
        ("nothing", vec![]),
        ("one after the other", vec![append(1, (0, 1), 7, 0), head(1, (2, 3), 1), read(2, (4, 5), 0, &[7], Some(1))]),
        // Herlihy and Wing 1990, section 1: what overlaps may take effect in any order.
        ("the later call was first", vec![append(1, (0, 9), 7, 1), append(2, (1, 8), 8, 0)]),
        (
            "seen before it was answered",
            vec![append(1, (0, 9), 7, 0), read(2, (1, 2), 0, &[7], Some(1)), head(2, (3, 4), 1)],
        ),
        ("not seen until it was answered", vec![append(1, (0, 9), 7, 0), head(2, (1, 2), 0), head(2, (3, 4), 1)]),
        (
            "one of two is refused",
            vec![append_at(1, (0, 9), 7, 0, wrong(1)), append_at(2, (0, 9), 8, 0, Answer::Appended { first: 0 })],
        ),
        (
            "fewer than asked for",
            vec![
                append(1, (0, 1), 7, 0),
                append(1, (2, 3), 8, 1),
                read(1, (4, 5), 0, &[7], Some(2)),
                read(1, (6, 7), 2, &[], None),
            ],
        ),
    ];
    for (what, history) in good {
        assert!(is_linearizable(&history), "{what}");
    }
}

/// Each with the name that the literature has for it: Herlihy and Wing 1990 for what real time forbids, Jepsen's for the others.
#[test]
fn of_streams_what_no_thread_could_have_seen_is_rejected() {
    let (appended, wrong) = (|first| Answer::Appended { first }, |actual| Answer::WrongOffset { actual });
    let deleted = |times| op(1, times, Ask::Delete, Answer::Deleted);
    let bad: [(&str, Vec<StreamOp>); 16] = [
        ("stale read", vec![append(1, (0, 1), 7, 0), read(2, (2, 3), 0, &[], Some(0))]),
        ("stale read of another's sight", vec![append(1, (0, 9), 7, 0), head(2, (1, 2), 1), head(3, (3, 4), 0)]),
        (
            "a read that shows nothing where there is a record",
            vec![append(1, (0, 1), 7, 0), read(2, (2, 3), 0, &[], None)],
        ),
        ("lost update", vec![append(1, (0, 1), 7, 0), append(2, (2, 3), 8, 0), read(1, (4, 5), 0, &[8], Some(1))]),
        (
            "lost update under an expected offset",
            vec![append_at(1, (0, 9), 7, 0, appended(0)), append_at(2, (0, 9), 8, 0, appended(0))],
        ),
        ("two appends at one offset", vec![append(1, (0, 9), 7, 0), append(2, (0, 9), 8, 0)]),
        ("duplicate append", vec![append(1, (0, 1), 7, 0), read(1, (2, 3), 0, &[7, 7], Some(2))]),
        ("a gap", vec![append(1, (0, 1), 7, 0), append(1, (2, 3), 8, 2)]),
        ("a record that nobody appended", vec![append(1, (0, 1), 7, 0), read(2, (2, 3), 0, &[9], Some(1))]),
        ("a record from the future", vec![read(2, (0, 1), 0, &[7], Some(1)), append(1, (2, 3), 7, 0)]),
        ("offsets against real time", vec![append(1, (0, 1), 7, 1), append(2, (2, 3), 8, 0)]),
        (
            "records that change places",
            vec![append(1, (0, 9), 7, 0), append(2, (0, 9), 8, 1), read(3, (10, 11), 0, &[8, 7], Some(2))],
        ),
        (
            "a batch seen in part",
            vec![
                op(1, (0, 9), Ask::Append { expected: None, records: vec![7, 8] }, appended(0)),
                read(2, (1, 2), 0, &[7], Some(1)),
            ],
        ),
        ("refused, though nothing was there", vec![append_at(1, (0, 1), 7, 0, wrong(1)), append(1, (2, 3), 8, 0)]),
        (
            "refused, and done",
            vec![append(1, (0, 1), 7, 0), append_at(2, (2, 3), 8, 0, wrong(1)), read(2, (4, 5), 0, &[7, 8], Some(2))],
        ),
        ("served after its deletion", vec![append(1, (0, 1), 7, 0), deleted((2, 3)), head(2, (4, 5), 1)]),
    ];
    for (what, history) in bad {
        assert!(!is_linearizable(&history), "{what}");
        // Of two streams, the other one without a fault.
        let mut other = append(9, (0, 1), 90, 0);
        other.op.stream = 1;
        assert!(!is_linearizable(&[history, vec![other]].concat()), "{what}, beside another stream");
    }
}

/// An append that nobody answered happened or did not, at one time before the engine was gone.
#[test]
fn what_was_not_answered_is_settled_by_what_is_there() {
    let maybe = Maybe { client: 3, stream: 0, call_time: 5, gone_time: 20, expected: None, records: vec![7, 8] };
    let settled = |there: &[(u64, u64)]| {
        let found: HashMap<u64, (usize, u64)> = there.iter().map(|(record, offset)| (*record, (0, *offset))).collect();
        Vec::from_iter(maybe.clone().settle(&found))
    };
    let with = |mut history: Vec<StreamOp>, there: &[(u64, u64)]| {
        history.extend(settled(there));
        is_linearizable(&history)
    };
    assert!(settled(&[]).is_empty());
    assert!(with(vec![head(1, (30, 31), 0)], &[]), "it did not happen");
    assert!(with(vec![head(1, (6, 7), 0), read(1, (30, 31), 0, &[7, 8], Some(2))], &[(7, 0), (8, 1)]), "it did");

    assert!(!with(vec![head(1, (6, 7), 2), head(1, (30, 31), 0)], &[]), "seen, then lost");
    assert!(!with(vec![read(1, (2, 3), 0, &[7, 8], None)], &[(7, 0), (8, 1)]), "seen before it was asked for");
    assert!(!with(vec![read(1, (30, 31), 0, &[7], Some(1))], &[(7, 0)]), "half of it happened");
    assert!(!with(vec![read(1, (30, 31), 0, &[8], Some(1))], &[(8, 0)]), "the other half");
    let late = [head(1, (21, 22), 0), read(1, (30, 31), 0, &[7, 8], Some(2))];
    assert!(!with(late.to_vec(), &[(7, 0), (8, 1)]), "it took effect after the engine was gone");
}
