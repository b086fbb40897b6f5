//! Policies, seen from the rings: when frames leave, when answers do, and what they say was reached.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme_shard::Progress;
use diatreme_shard::wire::{Done, Failure, Request};
use harness::{Answer, Client, Options, Rig, TENANT, append_at, directory, tenant};
use kernel::{Durability, Level, PolicyFault, Refusal, StreamId, SyncPolicy};
use log::limits::{FRAMES_IN_FLIGHT, QUIET_NS};
use tempfile::TempDir;

const WINDOW: Durability = Durability::Buffered { interval_ns: 700_000, records: 5 };
const GROUP: Durability = Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: 300_000 });

/// A shard with one stream, whose tenant has a policy.
struct Set {
    _root: TempDir,
    rig: Rig,
    client: Client,
    stream: StreamId,
}

fn set(durability: Durability) -> Set {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = rig.streams(1)[0];
    let mut client = rig.client(64);
    assert_eq!(policy(&mut rig, &mut client, durability), Ok(Done::DurabilitySet));
    // The marks of what was done so far.
    rig.now += QUIET_NS;
    rig.run();
    Set { _root: root, rig, client, stream }
}

fn policy(rig: &mut Rig, client: &mut Client, durability: Durability) -> Result<Done, Failure> {
    client.send(&Request::SetDurability { tenant: TENANT, durability });
    rig.run();
    client.take_one().outcome
}

fn level(answer: &Answer) -> Level {
    match answer.outcome {
        Ok(Done::Appended { level, .. }) => level,
        other => panic!("{other:?} to an append"),
    }
}

impl Set {
    fn frames(&self) -> u64 {
        self.rig.shard.stats().log.frames
    }

    fn flushes(&self) -> u64 {
        self.rig.shard.stats().log.flushes
    }

    fn append(&mut self, level: Option<Level>) {
        self.client.send(&append_at(self.stream, level, &[b"record"]));
    }

    /// Stops just before a time.
    fn until(&mut self, at: u64) -> Progress {
        self.rig.now = at - 2_000;
        self.rig.turn()
    }
}

#[test]
fn memory_asks_nothing_of_the_log_and_goes_along_with_what_does() {
    let mut set = set(Durability::Memory);
    let frames = set.frames();
    for _ in 0..10 {
        set.append(None);
        set.rig.turn();
        assert_eq!(level(&set.client.take_one()), Level::Memory);
    }
    let progress = set.rig.run();
    assert_eq!((set.frames(), progress.wake_at, progress.worked), (frames, None, false), "the shard sleeps");
    // The end of the stream is told at once; what a read gives is written first.
    set.client.send(&Request::Head { tenant: tenant(), stream: set.stream });
    set.rig.turn();
    assert!(matches!(set.client.take_one().outcome, Ok(Done::Head { next: 10, .. })));
    assert_eq!(set.frames(), frames);
    set.client.read(set.stream, 0, 100);
    set.rig.run();
    assert_eq!(set.client.take_one().records().len(), 10);
    assert_eq!((set.frames(), set.flushes()), (frames + 1, 0));
    // A strict one behind them: they are flushed before it is answered.
    set.append(None);
    set.append(Some(Level::Strict));
    set.rig.faults.borrow_mut().hold_flushes = true;
    set.rig.run();
    assert_eq!(level(&set.client.take_one()), Level::Memory);
    set.rig.faults.borrow_mut().release_all();
    set.rig.run();
    assert_eq!(level(&set.client.take_one()), Level::Strict);
    assert_eq!((set.frames(), set.flushes()), (frames + 2, 1));
    let stats = set.rig.shard.stats().log;
    assert_eq!(stats.unflushed_records_max, 11);
    assert!(stats.unflushed_ns_max > 0);
}

#[test]
fn buffered_is_answered_when_written_and_flushed_when_its_window_ends() {
    let mut set = set(WINDOW);
    set.rig.faults.borrow_mut().hold_frames = true;
    set.append(None);
    set.rig.run();
    assert_eq!(set.client.take(), [], "not written yet");
    let due = set.rig.now;
    set.rig.faults.borrow_mut().release_all();
    let progress = set.rig.run();
    assert_eq!(level(&set.client.take_one()), Level::Buffered);
    // A parked shard wakes for it.
    let wake_at = progress.wake_at.unwrap();
    assert!(wake_at < due + 700_000 && wake_at > set.rig.now + 600_000, "{wake_at} {due}");
    set.until(wake_at);
    assert_eq!(set.flushes(), 0);
    set.rig.turn();
    assert_eq!(set.flushes(), 1);
    set.rig.run();
    let stats = set.rig.shard.stats().log;
    assert_eq!(stats.unflushed_records_max, 1);
    assert!((600_000..800_000).contains(&stats.unflushed_ns_max), "{stats:?}");
    // As many records as it may have end it too, whatever the time.
    for _ in 0..5 {
        set.append(None);
        set.rig.run();
    }
    assert_eq!(set.client.take().iter().map(level).collect::<Vec<_>>(), [Level::Buffered; 5]);
    assert_eq!(set.flushes(), 2);
    // In a frame that is flushed for another reason more was reached than was promised.
    set.append(None);
    set.append(Some(Level::Strict));
    set.rig.run();
    let answers = set.client.take();
    assert_eq!(answers.iter().map(level).collect::<Vec<_>>(), [Level::Strict; 2]);
    assert_eq!(set.flushes(), 2, "a durable write, since nothing before it was unflushed");
}

#[test]
fn a_strict_answer_waits_for_the_flush_of_all_before_it() {
    let mut set = set(WINDOW);
    set.append(None);
    set.rig.run();
    set.client.take_one();
    set.rig.faults.borrow_mut().hold_flushes = true;
    set.append(Some(Level::Strict));
    set.rig.run();
    assert_eq!(set.client.take(), [], "its frame is written, and the one before it is not flushed");
    set.rig.faults.borrow_mut().release_all();
    set.rig.run();
    assert_eq!(level(&set.client.take_one()), Level::Strict);
}

/// A flush that fails is as final as a write that does.
#[test]
fn nothing_strict_is_answered_after_a_failed_flush() {
    let mut set = set(WINDOW);
    set.append(None);
    set.rig.run();
    assert_eq!(level(&set.client.take_one()), Level::Buffered);
    set.rig.faults.borrow_mut().fail_flush = true;
    set.append(Some(Level::Strict));
    set.client.send(&Request::Sync);
    set.rig.run();
    let failed: Vec<_> = set.client.take().into_iter().map(|answer| answer.outcome).collect();
    assert_eq!(failed, [Err(Failure::ShardFailed), Err(Failure::ShardFailed)]);
    set.append(None);
    set.client.send(&Request::Sync);
    set.client.read(set.stream, 0, 1);
    set.rig.run();
    let answers = set.client.take();
    assert_eq!([answers[0].outcome, answers[1].outcome], [Err(Failure::ShardFailed); 2]);
    assert_eq!(answers[2].records().len(), 1, "what was written is read");
    assert!(set.rig.shard.close(set.rig.now).is_err());
}

#[test]
fn sync_raises_everything_before_it() {
    for durability in [Durability::Memory, WINDOW] {
        let mut set = set(durability);
        set.client.send(&Request::Sync);
        set.rig.turn();
        assert_eq!(set.client.take_one().outcome, Ok(Done::Synced), "nothing is unflushed");
        let frames = set.frames();
        set.append(None);
        set.rig.run();
        set.client.take_one();
        set.append(None);
        set.client.send(&Request::Sync);
        set.rig.faults.borrow_mut().hold_flushes = true;
        set.rig.run();
        let early = set.client.take();
        if durability == Durability::Memory {
            // All in the open frame, with nothing unflushed before it: one durable write.
            assert_eq!((early.len(), set.frames(), set.flushes()), (2, frames + 1, 0));
            assert_eq!(early[1].outcome, Ok(Done::Synced));
        } else {
            assert_eq!((early.len(), set.frames(), set.flushes()), (1, frames + 2, 1));
            set.rig.faults.borrow_mut().release_all();
            set.rig.run();
            assert_eq!(set.client.take_one().outcome, Ok(Done::Synced));
        }
        // What was promised by it is vouched for like what is strict.
        assert!(set.rig.run().wake_at.is_some_and(|at| at <= set.rig.now + QUIET_NS));
    }
}

#[test]
fn every_record_has_a_frame_of_its_own() {
    let mut set = set(Durability::Strict(SyncPolicy::EveryRecord));
    let other = "another";
    set.client.send(&Request::CreateTenant { name: other, key: None });
    set.client.send(&Request::CreateStream { tenant: other, name: "stream", key: None });
    set.client.send(&Request::SetDurability { tenant: other, durability: Durability::Memory });
    set.rig.run();
    assert_eq!(set.client.take().len(), 3);
    let frames = set.frames();
    set.rig.faults.borrow_mut().hold_frames = true;
    for _ in 0..8 {
        set.append(None);
    }
    let progress = set.rig.run();
    assert_eq!((set.client.take().len(), set.rig.faults.borrow().held()), (0, FRAMES_IN_FLIGHT));
    assert!(progress.blocked, "the others wait in their ring");
    set.rig.faults.borrow_mut().release_all();
    set.rig.run();
    assert_eq!(set.client.take().iter().map(level).collect::<Vec<_>>(), [Level::Strict; 8]);
    assert_eq!(set.frames(), frames + 8);
    // Others' records do not share it, neither before nor after.
    let tenant = kernel::TenantId::of_name(other);
    let memory =
        Request::Append { tenant, stream: StreamId(1), expected: None, level: None, records: &[b"memory", b"memory"] };
    for _ in 0..3 {
        set.client.send(&memory);
        set.append(None);
    }
    set.rig.run();
    assert_eq!(set.client.take().len(), 6);
    assert_eq!((set.frames(), set.flushes()), (frames + 14, 0));
}

#[test]
fn every_batch_leaves_at_the_end_of_the_look_that_found_it() {
    let mut set = set(Durability::Strict(SyncPolicy::EveryBatch));
    let frames = set.frames();
    set.rig.faults.borrow_mut().hold_frames = true;
    for turn in 1..=FRAMES_IN_FLIGHT as u64 {
        set.append(None);
        set.append(None);
        set.rig.turn();
        assert_eq!(set.frames(), frames + turn, "whatever is in flight");
    }
    set.append(None);
    set.rig.run();
    assert_eq!(set.frames(), frames + FRAMES_IN_FLIGHT as u64);
    set.rig.faults.borrow_mut().release_all();
    set.rig.run();
    assert_eq!(set.client.take().iter().map(level).collect::<Vec<_>>(), [Level::Strict; 9]);
}

#[test]
fn a_delayed_group_leaves_when_the_delay_is_over_or_somebody_else_wants_it_to() {
    let mut set = set(GROUP);
    let frames = set.frames();
    let first = set.rig.now + 1_000;
    set.append(None);
    set.rig.turn();
    set.rig.now += 100_000;
    set.append(None);
    let progress = set.rig.run();
    assert_eq!((progress.wake_at, progress.worked), (Some(first + 300_000), false), "the shard sleeps meanwhile");
    // Whoever reads in the tenant waits with them.
    set.client.send(&Request::Head { tenant: tenant(), stream: set.stream });
    let progress = set.until(first + 300_000);
    assert_eq!((set.frames(), progress.wake_at), (frames, Some(first + 300_000)));
    set.rig.run();
    assert_eq!((set.frames(), set.client.take().len()), (frames + 1, 3));
    // Natural group commit asks for less delay.
    set.append(None);
    set.rig.run();
    assert_eq!((set.frames(), set.client.take()), (frames + 1, vec![]));
    set.client.send(&Request::CreateTenant { name: "another", key: None });
    set.rig.run();
    assert_eq!((set.frames(), set.client.take().len()), (frames + 2, 2));
    // So does who asks for a flush.
    set.append(None);
    set.client.send(&Request::Sync);
    set.rig.run();
    assert_eq!((set.frames(), set.client.take().len()), (frames + 3, 2));
}

#[test]
fn less_than_the_tenants_level_is_refused_and_so_is_what_is_impossible() {
    let mut set = set(WINDOW);
    set.append(Some(Level::Memory));
    set.rig.turn();
    let refusal = Refusal::BelowDefault { asked: Level::Memory, default: Level::Buffered };
    assert_eq!(set.client.take_one().outcome, Err(Failure::Refused(refusal)));
    let impossible = Durability::Buffered { interval_ns: 0, records: 1 };
    let refusal = Refusal::ImpossiblePolicy(PolicyFault::NoInterval);
    assert_eq!(policy(&mut set.rig, &mut set.client, impossible), Err(Failure::Refused(refusal)));
    set.append(None);
    set.rig.run();
    let answer = set.client.take_one();
    assert!(matches!(answer.outcome, Ok(Done::Appended { first: 0, level: Level::Buffered, .. })), "{answer:?}");
}

/// What was appended under `Memory` is flushed before a reader is told of it whose tenant is strict by now.
#[test]
fn a_tenant_that_became_strict_shows_nothing_unflushed() {
    let mut set = set(Durability::Memory);
    set.append(None);
    set.client.read(set.stream, 0, 1);
    set.rig.run();
    assert_eq!(set.client.take().len(), 2);
    set.rig.faults.borrow_mut().hold_flushes = true;
    set.client.send(&Request::SetDurability { tenant: TENANT, durability: Durability::NATURAL });
    set.client.read(set.stream, 0, 1);
    set.rig.run();
    assert_eq!(set.client.take(), []);
    set.rig.faults.borrow_mut().release_all();
    set.rig.run();
    let answers = set.client.take();
    assert_eq!((answers[0].outcome, answers[1].records().len()), (Ok(Done::DurabilitySet), 1));
}

#[test]
fn a_policy_holds_over_openings_and_the_default_does_not() {
    let root = directory();
    let options = Options { durability: Durability::Memory, ..Options::default() };
    let mut rig = Rig::open_with(root.path(), options);
    let stream = rig.streams(1)[0];
    let mut client = rig.client(8);
    client.append(stream, b"under the default");
    rig.run();
    assert_eq!(level(&client.take_one()), Level::Memory);
    policy(&mut rig, &mut client, WINDOW).unwrap();
    rig.shard.close(rig.now).unwrap();
    for options in [options, Options::default()] {
        let mut rig = Rig::open_with(root.path(), options);
        let mut client = rig.client(8);
        client.append(stream, b"under the policy");
        rig.run();
        assert_eq!(level(&client.take_one()), Level::Buffered);
        client.send(&Request::CreateTenant { name: "another", key: None });
        client.send(&Request::CreateStream { tenant: "another", name: "stream", key: None });
        rig.run();
        client.take();
        rig.shard.close(rig.now).unwrap();
    }
}
