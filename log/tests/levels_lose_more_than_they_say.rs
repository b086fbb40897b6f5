//! Records that ask for less than a flush, among others that ask for one: nothing that counts as durable is lost with the
//! power, nothing that counts as written with the process, and what is lost lay in the window that was said.

mod harness;

use diatreme_log::{Leave, Wish};
use harness::memory::{Memory, MemoryBackend};
use harness::{Key, Model, Place, Session, open, payload};

const KEYS: [Key; 3] = [(1, 1), (1, 2), (7, 1)];
const INTERVAL_NS: u64 = 2_000_000;
const LIMIT: u32 = 40;

/// Numbers drawn from a seed.
struct Draws(u64);

impl Draws {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn append(session: &mut Session<MemoryBackend>, key: Key, bytes: usize, wish: Option<Wish>) {
    let offset = session.model.streams.get(&key).map_or(0, Vec::len) as u64;
    session.wish = wish;
    session.append(key, &payload(key, offset, bytes));
}

fn buffered(now: u64) -> Wish {
    Wish::Written { flush_by: now + INTERVAL_NS, records: LIMIT }
}

fn append_buffered(session: &mut Session<MemoryBackend>, key: Key) {
    let wish = buffered(session.now);
    append(session, key, 10, Some(wish));
}

/// Everything in `acknowledged` is there; what was sent besides may be, as it was sent, and in order.
fn check_after(memory: &Memory, acknowledged: &Model, sent: &Model, what: &str) {
    assert_eq!(memory.verify().damage, [], "{what}");
    let mut session = open(memory, sent);
    assert_eq!(session.recovered.damage, [], "{what}");
    for (key, sent) in &mut session.model.streams {
        let found = session.recovered.streams.get(key).map_or(0, |start| start.next_offset as usize);
        let acknowledged = acknowledged.streams.get(key).map_or(0, Vec::len);
        assert!((acknowledged..=sent.len()).contains(&found), "{what}: {key:?} {acknowledged} {found} {}", sent.len());
        sent.truncate(found);
    }
    session.model.streams.retain(|_, sent| !sent.is_empty());
    session.check_recovered();
    session.check_all();
}

/// A random workload, stopped in the middle.
fn run(seed: u64, bytes_max: u64) -> (Session<MemoryBackend>, Memory) {
    let memory = Memory { shuffle: seed | 1, ..Memory::default() };
    let mut session = open(&memory, &Model::default());
    let mut draws = Draws(seed);
    // Of sixteen records so many are strict.
    let strict = [0, 1, 1, 8][draws.below(4) as usize];
    for _ in 0..draws.below(120) {
        for _ in 0..draws.below(8) {
            let wish = match draws.below(16) {
                kind if kind < strict / 2 => Some(Wish::Flushed(Leave::At(session.now + draws.below(9_000)))),
                kind if kind < strict => None,
                8..12 => Some(Wish::Written { flush_by: session.now + draws.below(60) * 1_000_000, records: 200 }),
                _ => Some(Wish::Nothing),
            };
            let key = KEYS[draws.below(3) as usize];
            let bytes = draws.below(bytes_max) as usize;
            append(&mut session, key, bytes, wish);
        }
        if draws.below(3) > 0 {
            session.log.submit(session.now);
        }
        if draws.below(40) == 0
            && let Some(newest) = session.log.newest_undurable()
        {
            session.log.want_durable(newest);
        }
        session.now += draws.below(2) * draws.below(1_000_000);
        for _ in 0..draws.below(6) {
            session.turn();
        }
        assert_eq!(session.log.failure(), None);
    }
    (session, memory)
}

/// A durable write says nothing of the writes before it: taken for more, a strict append behind unflushed frames was
/// acknowledged, and the power took what it stands on.
#[test]
fn what_counts_as_durable_outlives_the_power() {
    let (mut rotations, mut flushes, mut partly) = (0, 0, 0);
    for seed in 0..200 {
        let (session, memory) = run(seed, if seed % 5 == 0 { 300_000 } else { 3_000 });
        let stats = session.log.stats();
        (rotations, flushes) = (rotations + stats.rotations, flushes + stats.flushes);
        partly += u64::from((1..session.log.written()).contains(&session.log.durable()));
        let sent = session.model.clone();
        let acknowledged = session.crash();
        memory.disk().lose_power_partly(seed ^ 0x5EED);
        check_after(&Memory { shuffle: 0, ..memory }, &acknowledged, &sent, &format!("seed {seed}"));
    }
    // The cases that it is about came up.
    assert!(rotations > 50 && flushes > 200 && partly > 30, "{rotations} {flushes} {partly}");
}

#[test]
fn what_counts_as_written_outlives_the_process() {
    for seed in 1000..1100 {
        let (session, memory) = run(seed, 10_000);
        let sent = session.model.clone();
        let acknowledged = session.kill();
        memory.disk().revive();
        check_after(&Memory { shuffle: 0, ..memory }, &acknowledged, &sent, &format!("seed {seed}"));
    }
}

/// However frames, flushes and rotations fall: whatever asked for a flush gets it, without any help of time or of others.
#[test]
fn whoever_waits_for_a_flush_gets_it() {
    for seed in 2000..2100 {
        let (mut session, _memory) = run(seed, if seed % 5 == 0 { 300_000 } else { 3_000 });
        append(&mut session, KEYS[0], 100, Some(Wish::Nothing));
        append(&mut session, KEYS[1], 100, None);
        let frame = session.log.sequence();
        for _ in 0..2_000 {
            session.log.submit(session.now);
            session.turn();
        }
        assert!(session.log.durable() > frame, "seed {seed}: {:?}", session.log);
        assert!(!session.log.has_work());
        session.sync();
        let stats = session.log.stats();
        assert!(stats.unflushed_records_max > 0 && stats.unflushed_ns_max > 0, "seed {seed}: {stats:?}");
    }
}

/// What strict appends cost is what they cost without the other levels: a durable write each, and no flush.
#[test]
fn strict_appends_alone_are_never_flushed_again() {
    let memory = Memory { shuffle: 9, ..Memory::default() };
    let mut session = open(&memory, &Model::default());
    while session.log.stats().rotations < 2 {
        append(&mut session, KEYS[0], 90_000, None);
        session.log.submit(session.now);
    }
    session.settle();
    let stats = session.log.stats();
    assert_eq!((stats.flushes, stats.unflushed_records_max, stats.unflushed_ns_max), (0, 0, 0));
    assert_eq!((session.log.durable(), session.log.flush_due_at()), (session.log.written(), None));
}

/// The window of records that are written and not flushed: nothing flushes them before its end, and its end does.
#[test]
fn a_flush_begins_when_the_window_ends_and_not_before() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    append_buffered(&mut session, KEYS[0]);
    let due = session.now + INTERVAL_NS;
    assert!(session.write_out());
    session.now += 700;
    append_buffered(&mut session, KEYS[0]);
    assert!(session.write_out());
    assert_eq!((session.log.flush_due_at(), session.log.durable(), session.log.written()), (Some(due), 0, 2));
    assert!(session.now < due - 1_000);
    session.now = due - 1_001;
    session.turn();
    assert_eq!((session.log.durable(), session.log.stats().flushes), (0, 0));
    session.turn();
    session.turn();
    assert_eq!((session.log.durable(), session.log.stats().flushes), (2, 1), "at {}", session.now);
    assert_eq!(session.log.flush_due_at(), None);
    let stats = session.log.stats();
    assert_eq!(stats.unflushed_records_max, 2);
    assert!((INTERVAL_NS - 10_000..=INTERVAL_NS + 10_000).contains(&stats.unflushed_ns_max), "{stats:?}");

    for _ in 0..LIMIT {
        append_buffered(&mut session, KEYS[1]);
    }
    assert!(session.write_out());
    session.turn();
    session.turn();
    assert_eq!((session.log.durable(), session.log.stats().flushes), (3, 2), "so many are enough");
}

/// A power cut takes what the window says, and no more: all that was answered before the last flush began is there.
#[test]
fn power_takes_the_window_and_no_more() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    for round in 0..100_u64 {
        append_buffered(&mut session, KEYS[0]);
        assert!(session.write_out());
        session.now += 300_000;
        session.turn();
        session.turn();
        let lost = session.model.records() as u64 - session.log.durable();
        assert!(lost <= INTERVAL_NS / 300_000 + 1, "round {round}: {lost}");
    }
    let sent = session.model.clone();
    let acknowledged = session.crash();
    assert!(acknowledged.records() > 90 && acknowledged.records() < 100);
    memory.disk().lose_power();
    check_after(&memory, &acknowledged, &sent, "strictly what was flushed");
}

/// Records that ask for nothing lie in the open frame; durable ones before them were vouched for by no mark until somebody
/// else came.
#[test]
fn records_that_ask_for_nothing_do_not_keep_the_mark_from_being_written() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    append(&mut session, KEYS[0], 10, None);
    session.settle();
    append(&mut session, KEYS[0], 10, Some(Wish::Nothing));
    session.quiet();
    assert_eq!(
        (session.log.durable(), session.log.mark_at()),
        (2, None),
        "they leave with the mark, and need none of their own"
    );
    assert_eq!(session.log.stats().marks, 0);
    // Unflushed frames before the mark: it is flushed with them.
    append(&mut session, KEYS[0], 10, None);
    session.settle();
    append(&mut session, KEYS[1], 10, Some(Wish::Written { flush_by: u64::MAX, records: u32::MAX }));
    assert!(session.write_out());
    session.quiet();
    assert_eq!((session.log.durable(), session.log.written()), (session.log.sequence(), session.log.sequence()));
    assert!(session.log.stats().marks >= 1 && session.log.stats().flushes == 1, "{:?}", session.log.stats());
    let model = session.crash();
    memory.disk().lose_power();
    open(&memory, &model).check_recovered();
}

/// A frame that one request is to have for itself.
#[test]
fn a_frame_that_was_shut_takes_no_more() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    let mut frames = Vec::new();
    append(&mut session, KEYS[1], 100, Some(Wish::Nothing));
    for _ in 0..20 {
        while session.log.room_alone(200, 1, session.now) != diatreme_log::Room::Ready {
            session.turn();
        }
        append(&mut session, KEYS[0], 100, Some(Wish::Flushed(Leave::Now)));
        frames.push(session.model.streams[&KEYS[0]].last().expect("appended").sequence);
        session.log.shut(session.now);
    }
    frames.dedup();
    assert_eq!(frames.len(), 20);
    assert!(!frames.contains(&session.model.streams[&KEYS[1]][0].sequence));
    session.settle();
    session.check_all();
}
