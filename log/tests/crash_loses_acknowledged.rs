//! Power goes at every operation, in writing, closing and opening: what was acknowledged is there, as it was; and a
//! crash alone never looks like damage.

mod harness;

use diatreme_log::Room;
use harness::memory::{Disk, Memory, MemoryBackend, Plan};
use harness::{Key, Model, Place, Session, config, payload, try_open};

const KEYS: [Key; 4] = [(1, 0), (1, 1), (2, 0), (2, 9)];

/// What a client knows after a crash.
#[derive(Clone, Default)]
struct Known {
    /// What it was told is durable.
    acknowledged: Model,
    /// What it sent.
    sent: Model,
}

/// Opens, writes in several frames at once, falls quiet, closes; as far as the disk lets it.
fn run(memory: &Memory, model: &Model, record_bytes: usize, rounds: usize) -> (Known, bool) {
    let known = Known { acknowledged: model.clone(), sent: model.clone() };
    let Ok(mut session) = try_open(memory, model, config()) else {
        return (known, false);
    };
    let done = write(&mut session, record_bytes, rounds);
    let mut known = Known { acknowledged: session.model.clone(), sent: session.model.clone() };
    if !done {
        known.acknowledged.forget_from(session.log.durable());
        return (known, false);
    }
    let settled = session.log.durable();
    match session.log.close(session.now) {
        Ok(base) => {
            assert!(base.sequence >= settled);
            (known, true)
        }
        Err(_) => {
            known.acknowledged.forget_from(settled);
            (known, false)
        }
    }
}

fn write(session: &mut Session<MemoryBackend>, record_bytes: usize, rounds: usize) -> bool {
    for round in 0..rounds {
        for (at, key) in KEYS.into_iter().enumerate() {
            let offset = session.model.streams.get(&key).map_or(0, Vec::len) as u64;
            let bytes = payload(key, offset, record_bytes / (1 + at));
            if session.try_append(key, 1, &bytes) != Room::Ready {
                return false;
            }
            session.log.submit(session.now);
        }
        if round % 2 == 0 && !session.settle_or_fail() {
            return false;
        }
        if round == 1 {
            let due = session.log.mark_at();
            session.now = due.unwrap_or(session.now);
            session.turn();
        }
    }
    session.settle_or_fail()
}

/// Everything acknowledged is there; what was not may be, but then as it was sent, and in order.
fn check_after_crash(memory: &Memory, known: &Known, what: &str) -> Model {
    assert_eq!(memory.verify().damage, [], "{what}");
    let mut session = try_open(memory, &known.sent, config()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(session.recovered.damage, [], "{what}");
    let mut model = known.sent.clone();
    for (key, sent) in &mut model.streams {
        let found = session.recovered.streams.get(key).map_or(0, |start| start.next_offset as usize);
        let acknowledged = known.acknowledged.streams.get(key).map_or(0, Vec::len);
        assert!((acknowledged..=sent.len()).contains(&found), "{what}: {key:?} {acknowledged} {found} {}", sent.len());
        sent.truncate(found);
    }
    model.streams.retain(|_, sent| !sent.is_empty());
    session.model = model;
    session.check_recovered();
    session.check_all();
    session.append(KEYS[1], b"and the log goes on");
    session.settle();
    let model = session.crash();
    assert_eq!(memory.verify().damage, [], "{what}");
    model
}

/// Cuts the power at each operation of a run. `step` leaves some out.
fn power_goes_at_every_operation(
    start: &Disk,
    model: &Model,
    shuffle: u64,
    record_bytes: usize,
    rounds: usize,
    step: usize,
) {
    let count = {
        let memory = Memory { shuffle, ..Memory::of(start.clone()) };
        let (_, closed) = run(&memory, model, record_bytes, rounds);
        assert!(closed);
        let disk = memory.disk();
        disk.operations
    };
    for at in (shuffle % step as u64..count).step_by(step) {
        for lose_power in [true, false] {
            let memory = Memory { shuffle, ..Memory::of(start.clone()) };
            let torn = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(at + 1) & if at % 3 == 0 { u64::MAX } else { 0xFF };
            memory.disk().plan = Some(Plan::Cut(at, torn));
            let (known, _) = run(&memory, model, record_bytes, rounds);
            if lose_power {
                memory.disk().lose_power();
            } else {
                memory.disk().revive();
            }
            let memory = Memory { shuffle: 0, ..memory };
            check_after_crash(&memory, &known, &format!("operation {at} of {count}, shuffle {shuffle}, {lose_power}"));
        }
    }
}

#[test]
fn a_new_log() {
    power_goes_at_every_operation(&Disk::default(), &Model::default(), 0, 300, 3, 1);
}

#[test]
fn a_log_that_was_closed() {
    let memory = Memory::default();
    let (known, closed) = run(&memory, &Model::default(), 300, 3);
    assert!(closed);
    power_goes_at_every_operation(&memory.disk(), &known.sent, 3, 5_000, 4, 2);
}

#[test]
fn a_log_that_crashed_before() {
    let memory = Memory::default();
    memory.disk().plan = Some(Plan::Cut(50, 0x55));
    let (known, closed) = run(&memory, &Model::default(), 300, 8);
    assert!(!closed);
    memory.disk().lose_power();
    let model = check_after_crash(&memory, &known, "the first crash");
    power_goes_at_every_operation(&memory.disk(), &model, 5, 300, 3, 2);
}

#[test]
fn a_log_that_goes_over_many_segments() {
    for shuffle in [0, 11] {
        power_goes_at_every_operation(&Disk::default(), &Model::default(), shuffle, 700_000, 8, 13);
    }
}
