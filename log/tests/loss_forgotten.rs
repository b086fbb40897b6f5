//! An opening takes away what was torn. If that is the only trace of a loss, and the opening is interrupted before the
//! manifest tells of it, the next one must not find a log in which nothing was ever lost.

mod harness;

use harness::matrix::frames;
use harness::memory::{Disk, Memory, MemoryBackend, Plan};
use harness::{Key, Model, Place, Session, open, payload};
use iobackend::IoBackend;

const KEY: Key = (1, 1);
const FIRST: &str = "shard-0000/00000001.seg";
const SECOND: &str = "shard-0000/00000002.seg";
/// What is there of a frame that was torn: a few sectors, its header among them.
const WRITTEN: u64 = 4 * 512;

fn send(session: &mut Session<MemoryBackend>) {
    let offset = session.model.streams.get(&KEY).map_or(0, Vec::len) as u64;
    session.append(KEY, &payload(KEY, offset, 750_000));
    session.log.submit(session.now);
}

/// Fills segment 1, so many frames at once, until the last of them is sent to segment 2.
fn go_over(memory: &Memory, at_once: usize) -> Session<MemoryBackend> {
    let mut session = open(memory, &Model::default());
    while session.log.stats().rotations == 0 {
        session.settle();
        // The next segment is made meanwhile, so that going over needs no wait.
        (0..100).for_each(|_| session.turn());
        for _ in 0..at_once {
            assert_eq!(session.log.stats().rotations, 0, "not the last goes over: choose other sizes");
            send(&mut session);
        }
    }
    session
}

/// The power goes while the newest frame is being written; and the last acknowledged frame of segment 1 goes bad.
fn tear_and_spoil(memory: &Memory, mut session: Session<MemoryBackend>) -> Disk {
    session.log.backend_mut().poll(&mut Vec::new());
    let acknowledged = session.log.durable();
    session.crash();
    let mut disk = memory.disk().clone();
    let torn = frames(&disk.file(SECOND).data).pop().expect("the log went over");
    disk.file(SECOND).data.truncate((torn.bytes.start + WRITTEN) as usize);
    let bad = frames(&disk.file(FIRST).data).pop().expect("it is full of them");
    assert!(bad.sequence < acknowledged && acknowledged <= torn.sequence);
    disk.file(FIRST).flip(bad.bytes.start + 200, 1);
    disk.stabilize();
    disk
}

/// What vouches for the bad frame is the mark of the torn one, the first of segment 2, which goes as unused.
fn vouched_for_by_an_unused_segment() -> Disk {
    let memory = Memory::default();
    let session = go_over(&memory, 1);
    tear_and_spoil(&memory, session)
}

/// The same, but there is a frame before the torn one in segment 2, in flight with the bad one, so that its mark is too low:
/// segment 2 is cut before it is sealed.
fn vouched_for_by_a_torn_tail() -> Disk {
    let memory = Memory::default();
    let mut session = go_over(&memory, 2);
    session.turn();
    send(&mut session);
    tear_and_spoil(&memory, session)
}

fn both() -> [Disk; 2] {
    [vouched_for_by_an_unused_segment(), vouched_for_by_a_torn_tail()]
}

#[test]
fn an_interrupted_opening_keeps_what_vouches_for_a_loss() {
    for (number, disk) in both().into_iter().enumerate() {
        let expected = Memory::of(disk.clone()).recover().expect("opens");
        assert_eq!(expected.damage.len(), 1, "{number}: {:?}", expected.damage);
        assert!(expected.torn.is_some(), "{number}");
        let mut done = false;
        let mut at = 0;
        while !done {
            for (plan, lose_power) in [(Plan::Eio(at), true), (Plan::Eio(at), false), (Plan::Cut(at, 0x0F), true)] {
                let memory = Memory::of(disk.clone());
                memory.disk().plan = Some(plan);
                done = memory.recover().is_ok() && memory.disk().failed.is_empty();
                if lose_power {
                    memory.disk().lose_power();
                } else {
                    memory.disk().revive();
                }
                let again = memory.recover().expect("opens");
                assert_eq!(again.damage, expected.damage, "{number}, {plan:?}, {lose_power}");
                assert_eq!(again.start.base, expected.start.base, "{number}, {plan:?}, {lose_power}");
            }
            at += 1;
        }
        assert!(at > 5, "{at} operations are too few for an opening");
    }
}

/// Once the manifest tells of the loss, the torn frames are not needed any more, and what was left because of them is no
/// damage of its own.
#[test]
fn a_loss_stays_the_same_opening_after_opening() {
    for (number, disk) in both().into_iter().enumerate() {
        let memory = Memory::of(disk);
        let mut model = Model::default();
        let mut expected = None;
        for opening in 0..5 {
            let mut session = open(&memory, &model);
            let damage = session.recovered.damage.clone();
            assert_eq!(damage.len(), 1, "{number}, opening {opening}: {damage:?}");
            assert_eq!(*expected.get_or_insert(damage.clone()), damage, "{number}, opening {opening}");
            let verified = memory.verify();
            assert_eq!(verified.damage, damage, "{number}, opening {opening}");
            assert_eq!(verified.torn, 0, "{number}, opening {opening}");
            if opening > 0 {
                session.append((7, opening), b"a stream of its own");
                session.settle();
            }
            model = session.crash();
        }
        assert!(memory.disk().segments().len() <= 7, "{number}: {:?}", memory.disk().segments());
    }
}
