//! The same seed gives the same run: the same times, the same faults, the same bytes, the same trace.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::BLOCK;
use common::rig::{FILE, Rig};
use iobackend::sim::{Event, EventKind, Extent, FaultKind, FaultRates, Rng, SimConfig, SimDisk};
use iobackend::{FileName, FileSlot, IoBackend, Op, OpKind, OpenMode};

/// A run with every fault at once: random operations, crashes, and openings after them.
fn run(seed: u64, trace: bool) -> (u64, u64, Vec<Event>, Vec<u8>, [u64; iobackend::sim::KINDS]) {
    let mut rig = Rig::with_file(seed, "00000001.seg", 64);
    rig.disk.set_trace(trace);
    let rates = FaultKind::ALL.into_iter().fold(FaultRates::none(), |rates, kind| rates.with(kind, 4_000));
    rig.disk.set_rates(rates);
    let mut rng = Rng::new(seed).fork("workload");
    let mut done = Vec::new();
    for number in 0..600 {
        if rig.backend.is_dead() {
            rig.reconnect();
            // It may fail, or find that the file is gone; then the rest of the run is errors, until the next crash.
            let _opened = rig.open("00000001.seg", OpenMode::ReadWrite);
        }
        if rng.chance(50_000) {
            let name = FileName::new(&format!("manifest.{number}")).unwrap();
            let kind = OpKind::Open { file: FileSlot(1 + number as u16 % 60), name, mode: OpenMode::CreateNew };
            let _full = rig.backend.submit(Op { token: number, kind });
        }
        let mut buffer = common::rig::buffer(1);
        buffer.fill(number as u8);
        let kind = match rng.below(4) {
            0 => OpKind::Flush { file: FILE },
            1 => common::read(FILE, rng.below(64), buffer),
            _ => common::write(FILE, rng.below(64), buffer, rng.coin()),
        };
        let _full = rig.backend.submit(Op { token: number, kind });
        if rng.coin() {
            rig.backend.wait(None).unwrap();
        }
        rig.backend.poll(&mut done);
        let time = rig.disk.now() + rng.below(50_000);
        rig.disk.advance_to(time);
    }
    let bytes = rig.disk.contents("00000001.seg").unwrap_or_default();
    (rig.disk.trace_hash(), rig.disk.now(), rig.disk.take_events(), bytes, rig.disk.fired())
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let mut hashes = std::collections::BTreeSet::new();
    let mut fired = [0; iobackend::sim::KINDS];
    for seed in 0..100 {
        let (one, two) = (run(seed, true), run(seed, true));
        assert!(one == two, "seed {seed}");
        // Whether anybody listens changes nothing.
        let deaf = run(seed, false);
        assert!(deaf.2.is_empty() && (deaf.0, deaf.1, deaf.3) == (one.0, one.1, one.3));
        hashes.insert(one.0);
        fired.iter_mut().zip(one.4).for_each(|(sum, count)| *sum += count);
    }
    assert_eq!(hashes.len(), 100);
    for kind in FaultKind::ALL {
        use FaultKind as F;
        let at_rest = matches!(kind, F::OlderCopy | F::Clone | F::FilesSwapped | F::Forged);
        assert_eq!(fired[kind as usize] == 0, at_rest, "{kind} fired {} times", fired[kind as usize]);
    }
}

/// A number that a build computed once: debug and release builds, and all machines, must come to it.
#[test]
fn the_hash_is_the_same_in_every_build() {
    assert_eq!(run(7, false).0, 8_593_534_501_014_048_886);
}

#[test]
fn time_passes_only_by_waiting_and_by_being_told() {
    let mut rig = Rig::with_file(1, "data", 4);
    let start = rig.disk.now();
    assert_eq!(rig.disk.next_due(), None);
    rig.leave(0, 1, true);
    rig.leave(1, 1, true);
    let mut done = Vec::new();
    rig.backend.poll(&mut done);
    assert!(done.is_empty());
    let due = rig.disk.next_due().unwrap();
    assert_eq!(rig.backend.next_due(), Some(due));
    assert!((start + 20_000..=start + 200_000).contains(&due));
    rig.disk.advance_to(due - 1);
    rig.backend.poll(&mut done);
    assert!(done.is_empty() && rig.block("data", 0) == [0; BLOCK] && rig.block("data", 1) == [0; BLOCK]);
    rig.disk.advance_to(due);
    rig.backend.poll(&mut done);
    assert_eq!(done.len(), 1);
    rig.backend.wait(Some(std::time::Duration::ZERO)).unwrap();
    assert_eq!(rig.disk.now(), due);
    rig.backend.wait(None).unwrap();
    assert_eq!(rig.disk.next_due(), Some(rig.disk.now()), "a completion waits to be polled");
    rig.backend.poll(&mut done);
    assert_eq!((done.len(), rig.disk.next_due()), (2, None));
    let idle = rig.disk.now();
    rig.backend.wait(Some(std::time::Duration::from_micros(5))).unwrap();
    assert_eq!(rig.disk.now(), idle + 5_000);
}

#[test]
fn operations_in_flight_take_effect_in_any_order() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut rig = Rig::with_file(seed, "data", 3);
        for block in 0..3 {
            rig.leave(block, 1, true);
        }
        let mut done = Vec::new();
        while rig.backend.in_flight() > 0 {
            rig.backend.wait(None).unwrap();
            rig.backend.poll(&mut done);
        }
        orders.insert(done.iter().map(|done| done.token).collect::<Vec<_>>());
    }
    assert_eq!(orders.len(), 6);
}

#[test]
fn backends_share_disk_and_clock_and_not_their_slots() {
    let mut rig = Rig::with_file(1, "data", 1);
    let mut other = rig.disk.backend(7);
    rig.disk.set_trace(true);
    rig.write(0, 1, 5, false).unwrap();
    other.run(OpKind::Flush { file: FILE }).0.unwrap_err();
    let name = iobackend::FileName::new("data").unwrap();
    other.run(OpKind::Open { file: FILE, name, mode: OpenMode::ReadOnly }).0.unwrap();
    let (result, buffer) = other.run(common::read(FILE, 0, common::rig::buffer(1)));
    result.unwrap();
    assert_eq!(buffer.unwrap()[..], [5; BLOCK]);
    let events = rig.disk.take_events();
    assert!(events.iter().any(|event| event.lane == 7 && event.kind == EventKind::Failed));
    assert!(events.iter().any(|event| event.lane == 0 && event.kind == EventKind::Completed));
    assert!(rig.disk.take_events().is_empty());
}

#[test]
fn randomness_comes_from_the_seed() {
    let draw = |seed, count: usize| {
        let mut bytes = vec![0; count];
        SimDisk::new(seed, SimConfig::default()).backend(0).random(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(draw(1, 32), draw(1, 32));
    assert_ne!(draw(1, 32), draw(2, 32));
    let disk = SimDisk::new(1, SimConfig::default());
    let (mut one, mut two) = ([0; 32], [0; 32]);
    disk.backend(0).random(&mut one).unwrap();
    disk.backend(1).random(&mut two).unwrap();
    assert_ne!(one, two, "two openings drew the same identity");
    let clone = SimDisk::from_image(2, SimConfig::default(), &disk.snapshot(Extent::Visible));
    clone.backend(0).random(&mut two).unwrap();
    assert_ne!(one, two, "two machines drew the same identity");
}
