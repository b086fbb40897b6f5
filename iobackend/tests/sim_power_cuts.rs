//! What a simulated power cut, and the end of a process, leave behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeSet;

use common::BLOCK;
use common::rig::{FILE, Rig, sectors};
use iobackend::sim::{Crash, Extent, FaultKind, Script, SimConfig, SimDisk};
use iobackend::{IoBackend, OpKind, OpenMode};

const SEEDS: std::ops::Range<u64> = 0..200;

/// A device on which no sector is torn at a byte.
fn whole_sectors() -> SimConfig {
    SimConfig { torn_in_sector: 0, ..SimConfig::default() }
}

#[test]
fn what_was_flushed_survives() {
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 8);
        rig.write(0, 4, 1, false).unwrap();
        rig.flush().unwrap();
        rig.write(4, 4, 2, true).unwrap();
        rig.disk.power_cut();
        let bytes = rig.disk.contents("data").unwrap();
        assert!(bytes[..4 * BLOCK].iter().all(|&byte| byte == 1), "seed {seed}");
        assert!(bytes[4 * BLOCK..].iter().all(|&byte| byte == 2), "seed {seed}");
    }
}

#[test]
fn an_unflushed_write_ends_old_new_or_in_part() {
    let (mut old, mut new, mut mixed) = (0, 0, 0);
    for seed in SEEDS {
        let mut rig = Rig::with_file_on(seed, whole_sectors(), "data", 1);
        rig.write(0, 1, 1, true).unwrap();
        rig.write(0, 1, 2, false).unwrap();
        rig.disk.power_cut();
        let found: BTreeSet<u8> = sectors(&rig.block("data", 0)).into_iter().map(Option::unwrap).collect();
        match found.into_iter().collect::<Vec<_>>()[..] {
            [1] => old += 1,
            [2] => new += 1,
            [1, 2] => mixed += 1,
            ref other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(old > 20 && new > 20 && mixed > 20, "{old} old, {new} new, {mixed} mixed");
}

#[test]
fn a_write_in_flight_ends_the_same_ways_and_its_buffer_comes_back() {
    let mut seen = BTreeSet::new();
    for seed in SEEDS {
        let mut rig = Rig::with_file_on(seed, whole_sectors(), "data", 1);
        rig.leave(0, 7, true);
        rig.disk.power_cut();
        assert!(rig.backend.is_dead());
        let mut done = Vec::new();
        rig.backend.poll(&mut done);
        assert!(done[0].result.is_err() && done[0].buffer.is_some());
        seen.extend(sectors(&rig.block("data", 0)).into_iter().map(Option::unwrap));
    }
    assert_eq!(seen, BTreeSet::from([0, 7]));
}

#[test]
fn of_several_unflushed_versions_any_may_be_the_one() {
    let mut seen = BTreeSet::new();
    for seed in SEEDS {
        let mut rig = Rig::with_file_on(seed, whole_sectors(), "data", 1);
        rig.write(0, 1, 1, true).unwrap();
        for version in 2..=4 {
            rig.write(0, 1, version, false).unwrap();
        }
        rig.disk.power_cut();
        seen.extend(sectors(&rig.block("data", 0)).into_iter().map(Option::unwrap));
    }
    assert_eq!(seen, BTreeSet::from([1, 2, 3, 4]));
}

/// `RWF_DSYNC` on a device with FUA: the one write is on the medium, its neighbours are where they were.
#[test]
fn a_durable_write_does_not_carry_earlier_ones() {
    let (mut kept, mut lost) = (0, 0);
    for seed in SEEDS {
        let mut rig = Rig::with_file_on(seed, whole_sectors(), "data", 2);
        rig.write(0, 1, 1, false).unwrap();
        rig.write(1, 1, 2, true).unwrap();
        rig.disk.power_cut();
        assert!(rig.block("data", 1).iter().all(|&byte| byte == 2));
        let first = rig.block("data", 0);
        kept += u32::from(first.iter().all(|&byte| byte == 1));
        lost += u32::from(first.iter().all(|&byte| byte == 0));
    }
    assert!(kept > 20 && lost > 20, "{kept} kept, {lost} lost");
}

#[test]
fn a_durable_write_carries_the_length_of_its_file() {
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 1);
        rig.run(OpKind::Allocate { file: FILE, len: 8 * BLOCK as u64 }).unwrap();
        rig.write(2, 1, 3, true).unwrap();
        rig.disk.power_cut();
        assert_eq!(rig.disk.file_len("data"), Some(8 * BLOCK as u64));
    }
}

#[test]
fn an_unflushed_length_may_be_lost() {
    let mut lengths = BTreeSet::new();
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 1);
        for blocks in [2, 3] {
            rig.run(OpKind::Allocate { file: FILE, len: blocks * BLOCK as u64 }).unwrap();
        }
        rig.disk.power_cut();
        lengths.insert(rig.disk.file_len("data").unwrap() / BLOCK as u64);
    }
    assert_eq!(lengths, BTreeSet::from([1, 2, 3]));
}

/// A page that survived beyond a length that did not must not come back when the file grows again.
#[test]
fn nothing_lies_beyond_the_end() {
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 1);
        rig.write(1, 2, 5, false).unwrap();
        rig.disk.power_cut();
        let len = rig.disk.file_len("data").unwrap();
        rig.reconnect();
        rig.open("data", OpenMode::ReadWrite).unwrap();
        rig.run(OpKind::Allocate { file: FILE, len: 3 * BLOCK as u64 }).unwrap();
        let bytes = rig.disk.contents("data").unwrap();
        assert!(bytes[len as usize..].iter().all(|&byte| byte == 0), "seed {seed}");
    }
}

#[test]
fn a_name_survives_for_certain_only_when_its_directory_was_flushed() {
    let mut kept = 0;
    for seed in SEEDS {
        let mut rig = Rig::new(seed);
        rig.backend.create_directory("shard-0000").unwrap();
        rig.open("shard-0000/flushed", OpenMode::CreateNew).unwrap();
        rig.flush_directory("shard-0000").unwrap();
        rig.open("shard-0000/new", OpenMode::CreateNew).unwrap();
        rig.write(0, 1, 1, true).unwrap(); // of the file, not of its name
        rig.disk.power_cut();
        rig.reconnect();
        let names = rig.backend.list("shard-0000").unwrap();
        assert!(names.contains(&"flushed".to_owned()));
        kept += names.len() - 1;
    }
    assert!((20..180).contains(&kept), "{kept} of 200 new names");
}

#[test]
fn a_removed_name_stays_away_and_a_cut_file_stays_cut() {
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 4);
        rig.write(0, 4, 9, false).unwrap();
        rig.backend.truncate(FILE, 2 * BLOCK as u64).unwrap();
        rig.open("other", OpenMode::CreateNew).unwrap();
        rig.flush_directory(".").unwrap();
        rig.backend.remove("other").unwrap();
        rig.disk.power_cut();
        assert_eq!(rig.disk.files(), ["data"]);
        // Cutting flushes what is left, as `fsync` after it does.
        let bytes = rig.disk.contents("data").unwrap();
        assert!(bytes.len() == 2 * BLOCK && bytes.iter().all(|&byte| byte == 9));
    }
}

#[test]
fn a_killed_process_leaves_its_completed_writes_in_the_cache() {
    let (mut happened, mut lost_later) = (0, 0);
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 2);
        rig.write(0, 1, 1, false).unwrap();
        rig.leave(1, 2, false);
        rig.disk.kill();
        assert!(rig.block("data", 0).iter().all(|&byte| byte == 1));
        let other = rig.block("data", 1);
        assert!(other.iter().all(|&byte| byte == other[0]));
        happened += u32::from(other[0] == 2);
        // Still volatile: a power cut after it may take all of it.
        rig.disk.power_cut();
        lost_later += u32::from(rig.block("data", 0).iter().all(|&byte| byte == 0));
    }
    assert!((20..180).contains(&happened) && lost_later > 20, "{happened}, {lost_later}");
}

#[test]
fn a_scripted_crash_takes_everything_down_until_power_is_on_again() {
    for (fault, crash) in [(FaultKind::PowerCut, Crash::PowerCut), (FaultKind::Kill, Crash::Kill)] {
        let mut rig = Rig::with_file(3, "data", 4);
        rig.disk.script(Script { at: 1, fault });
        rig.write(0, 1, 1, true).unwrap();
        assert_eq!(rig.disk.is_down(), None);
        rig.write(1, 1, 2, true).unwrap_err();
        assert_eq!(rig.disk.is_down(), Some(crash));
        assert!(rig.disk.script_fired());
        rig.flush().unwrap_err();
        assert!(rig.backend.list(".").is_err() && rig.backend.truncate(FILE, 0).is_err());
        rig.disk.power_on();
        assert_eq!(rig.disk.is_down(), None);
        rig.flush().unwrap_err(); // this backend stays dead
        rig.reconnect();
        rig.open("data", OpenMode::ReadWrite).unwrap();
        assert!(rig.read(0, 1).unwrap().iter().all(|&byte| byte == 1));
        assert_eq!(rig.disk.fired_of(fault), 1);
    }
}

#[test]
fn a_scripted_crash_can_strike_control_calls() {
    let mut removed = 0;
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 1);
        rig.disk.script(Script { at: 0, fault: FaultKind::PowerCut });
        assert!(rig.backend.remove("data").is_err());
        removed += u32::from(rig.disk.files().is_empty());
    }
    assert!((20..180).contains(&removed), "{removed}");
}

#[test]
fn a_scripted_tear_is_certain() {
    for seed in SEEDS {
        let mut rig = Rig::with_file_on(seed, whole_sectors(), "data", 2);
        rig.write(0, 2, 1, true).unwrap();
        rig.disk.script(Script { at: 0, fault: FaultKind::TornAtSector });
        rig.write(0, 2, 2, true).unwrap_err();
        let bytes = rig.disk.contents("data").unwrap();
        let found: BTreeSet<_> = sectors(&bytes).into_iter().map(Option::unwrap).collect();
        assert_eq!(found, BTreeSet::from([1, 2]), "seed {seed}");
        assert_eq!(rig.disk.fired_of(FaultKind::TornAtSector), 1);

        let mut rig = Rig::with_file_on(seed, whole_sectors(), "data", 1);
        rig.write(0, 1, 1, true).unwrap();
        rig.disk.script(Script { at: 0, fault: FaultKind::TornInSector });
        rig.write(0, 1, 2, true).unwrap_err();
        let torn = sectors(&rig.block("data", 0)).into_iter().filter(Option::is_none).count();
        assert_eq!((torn, rig.disk.fired_of(FaultKind::TornInSector)), (1, 1), "seed {seed}");
    }
}

#[test]
fn a_scripted_reordering_leaves_the_later_write_and_not_the_earlier() {
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 2);
        rig.write(0, 1, 1, false).unwrap();
        rig.disk.script(Script { at: 0, fault: FaultKind::Reordered });
        rig.write(1, 1, 2, false).unwrap_err();
        assert!(rig.block("data", 0).iter().all(|&byte| byte == 0), "seed {seed}");
        assert!(rig.block("data", 1).iter().all(|&byte| byte == 2), "seed {seed}");
        assert_eq!(rig.disk.fired_of(FaultKind::Reordered), 1);
    }
    // There is no order in one write.
    let mut rig = Rig::with_file(0, "data", 2);
    rig.disk.script(Script { at: 0, fault: FaultKind::Reordered });
    rig.write(0, 1, 1, false).unwrap();
    assert!(!rig.disk.script_fired() && rig.disk.fired_of(FaultKind::Reordered) == 0);
}

#[test]
fn lost_files_and_entries() {
    let mut rig = Rig::with_file(1, "data", 1);
    rig.disk.script(Script { at: 0, fault: FaultKind::EntryLost });
    rig.flush().unwrap();
    assert!(!rig.disk.script_fired(), "all entries were flushed");
    rig.disk.clear_scripts();
    rig.open("new", OpenMode::CreateNew).unwrap();
    rig.disk.script(Script { at: 0, fault: FaultKind::EntryLost });
    rig.flush().unwrap_err();
    assert_eq!(rig.disk.files(), ["data"]);
    assert_eq!(rig.disk.fired_of(FaultKind::EntryLost), 1);
    rig.reconnect();
    rig.disk.script(Script { at: 0, fault: FaultKind::FileLost });
    rig.open("data", OpenMode::ReadWrite).unwrap_err();
    assert!(rig.disk.files().is_empty() && rig.disk.script_fired());
    let injury = rig.disk.injuries()[0];
    assert_eq!((injury.kind, injury.file.as_str(), injury.persistent), (FaultKind::FileLost, "data", true));
}

#[test]
fn an_image_is_what_was_flushed_or_what_is_seen() {
    let mut rig = Rig::with_file(1, "data", 1);
    rig.write(0, 1, 1, true).unwrap();
    rig.write(0, 1, 2, false).unwrap();
    rig.open("new", OpenMode::CreateNew).unwrap();
    let (durable, visible) = (rig.disk.snapshot(Extent::Durable), rig.disk.snapshot(Extent::Visible));
    assert_eq!(durable.files(), ["data"]);
    assert_eq!(visible.files(), ["data", "new"]);

    let clone = SimDisk::from_image(2, SimConfig::default(), &visible);
    clone.power_cut(); // in a copy everything is on the medium
    assert_eq!(clone.contents("data").unwrap(), [2; BLOCK]);
    assert_eq!(clone.files(), ["data", "new"]);
    assert_eq!(clone.fired_of(FaultKind::Clone), 1);

    rig.disk.restore(&durable);
    assert!(rig.backend.is_dead());
    assert_eq!(rig.disk.contents("data").unwrap(), [1; BLOCK]);
    assert_eq!(rig.disk.files(), ["data"]);
    assert_eq!(rig.disk.fired_of(FaultKind::OlderCopy), 1);
}

#[test]
fn what_a_dropped_backend_left_in_flight_has_happened_or_never_will() {
    let mut happened = 0;
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 1);
        rig.leave(0, 6, true);
        rig.reconnect();
        let now = rig.block("data", 0);
        assert!(now == [0; BLOCK] || now == [6; BLOCK]);
        assert_eq!(rig.disk.next_due(), None);
        rig.disk.advance_to(10_000_000_000);
        assert_eq!(rig.block("data", 0), now, "it came later");
        happened += u32::from(now[0] == 6);
    }
    assert!((20..180).contains(&happened), "{happened} of 200");
}
