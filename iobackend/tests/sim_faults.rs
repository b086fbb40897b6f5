//! Each fault of the simulated disk does what it says, is counted, and names the bytes that it hit.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::BLOCK;
use common::rig::{FILE, Rig, SECTOR, sectors};
use iobackend::sim::{Crash, FaultKind, FaultRates, Injury, Script, ScriptState, SimConfig, Zone, ZoneSet};
use iobackend::{IoBackend, IoError, OpKind, OpenMode, Operation};

const SEEDS: std::ops::Range<u64> = 0..50;
const MILLION: u32 = 1_000_000;

/// Two blocks of ones in a file of four, flushed, and the fault on the next operation.
fn rig(seed: u64, fault: FaultKind) -> Rig {
    let mut rig = Rig::with_file(seed, "data", 4);
    rig.write(0, 2, 1, true).unwrap();
    rig.disk.script(Script { at: 0, fault });
    rig
}

fn fired(rig: &Rig, fault: FaultKind) {
    assert!(rig.disk.script_fired(), "{fault}");
    assert_eq!(rig.disk.fired_of(fault), 1, "{fault}");
}

fn only_injury(rig: &Rig) -> Injury {
    let injuries = rig.disk.injuries();
    assert_eq!(injuries.len(), 1, "{injuries:?}");
    injuries[0]
}

#[test]
fn a_lost_write_completes_and_is_not_there() {
    let mut rig = rig(1, FaultKind::LostWrite);
    rig.write(1, 1, 2, true).unwrap();
    fired(&rig, FaultKind::LostWrite);
    assert_eq!(rig.read(0, 2).unwrap(), [1; 2 * BLOCK]);
    let injury = only_injury(&rig);
    assert_eq!((injury.bytes(), injury.persistent), (BLOCK as u64..2 * BLOCK as u64, true));
    // The next one is not struck.
    rig.write(1, 1, 3, true).unwrap();
    assert_eq!(rig.read(1, 1).unwrap(), [3; BLOCK]);
}

#[test]
fn a_misdirected_write_lands_elsewhere() {
    let mut other_file = 0;
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 4);
        rig.disk.put("other", &[8; 2 * BLOCK]).unwrap();
        rig.write(0, 2, 1, true).unwrap();
        rig.disk.script(Script { at: 0, fault: FaultKind::MisdirectedWrite });
        rig.write(2, 1, 2, true).unwrap();
        fired(&rig, FaultKind::MisdirectedWrite);
        assert_eq!(rig.block("data", 2), [0; BLOCK], "seed {seed}");
        let [missing, hit] = rig.disk.injuries()[..] else { panic!("two ranges are hit") };
        assert_eq!(missing.bytes(), 2 * BLOCK as u64..3 * BLOCK as u64);
        let there = rig.disk.contents(hit.file.as_str()).unwrap();
        assert!(there[hit.start as usize..hit.end as usize].iter().all(|&byte| byte == 2));
        assert_eq!(rig.disk.file_len("data"), Some(4 * BLOCK as u64));
        other_file += u32::from(hit.file.as_str() == "other");
    }
    assert!((1..50).contains(&other_file), "{other_file} of 50 in the other file");
}

#[test]
fn a_duplicated_write_comes_again_over_a_newer_one() {
    let config = SimConfig { duplicate_operations_max: 1, ..SimConfig::default() };
    let mut rig = Rig::with_file_on(1, config, "manifest.a", 1);
    rig.disk.script(Script { at: 0, fault: FaultKind::DuplicatedWrite });
    rig.write(0, 1, 1, true).unwrap();
    fired(&rig, FaultKind::DuplicatedWrite);
    rig.write(0, 1, 2, true).unwrap();
    rig.flush().unwrap();
    assert_eq!(rig.read(0, 1).unwrap(), [1; BLOCK]);
    assert_eq!(only_injury(&rig).bytes(), 0..BLOCK as u64);
}

#[test]
fn a_duplicated_write_over_itself_changes_nothing() {
    let mut rig = rig(1, FaultKind::DuplicatedWrite);
    rig.write(2, 1, 7, true).unwrap();
    for _ in 0..30 {
        rig.flush().unwrap();
    }
    assert_eq!(rig.read(2, 1).unwrap(), [7; BLOCK]);
    assert!(rig.disk.injuries().is_empty());
}

#[test]
fn a_short_write_says_how_far_it_came() {
    for seed in SEEDS {
        let mut rig = rig(seed, FaultKind::ShortWrite);
        let error = rig.write(1, 2, 2, true).unwrap_err();
        fired(&rig, FaultKind::ShortWrite);
        let IoError::Short { operation: Operation::Write, wanted, got } = error else { panic!("{error}") };
        assert!(wanted == 2 * BLOCK && got < wanted);
        let bytes = rig.read(1, 2).unwrap();
        assert!(bytes[..got].iter().all(|&byte| byte == 2));
        let after = sectors(&bytes[got..]);
        let old = BLOCK.saturating_sub(got) / SECTOR;
        assert!(after[..old].iter().all(|&byte| byte == Some(1)) && after[old..].iter().all(|&byte| byte == Some(0)));
    }
}

#[test]
fn a_failed_write_leaves_any_of_its_sectors() {
    let mut kept = 0;
    for seed in SEEDS {
        let mut rig = rig(seed, FaultKind::WriteError);
        let error = rig.write(0, 1, 2, true).unwrap_err();
        assert_eq!(error, IoError::from_errno(Operation::Write, libc::EIO));
        fired(&rig, FaultKind::WriteError);
        kept += sectors(&rig.block("data", 0)).into_iter().filter(|&byte| byte == Some(2)).count();
    }
    assert!((100..300).contains(&kept), "{kept} of 400");
}

#[test]
fn a_full_device_stays_full_for_a_while_and_lets_what_exists_be_written() {
    let config = SimConfig { no_space_operations_max: 8, ..SimConfig::default() };
    let mut longest = 0;
    for seed in SEEDS {
        let mut rig = Rig::with_file_on(seed, config, "data", 4);
        rig.disk.script(Script { at: 0, fault: FaultKind::NoSpace });
        let len = 8 * BLOCK as u64;
        let error = rig.run(OpKind::Allocate { file: FILE, len }).unwrap_err();
        assert!(error.is_no_space());
        rig.write(0, 1, 1, true).unwrap(); // of a block that has its place
        let refused = (0..).find(|_| rig.run(OpKind::Allocate { file: FILE, len }).is_ok()).unwrap();
        fired(&rig, FaultKind::NoSpace);
        longest = longest.max(refused);
        assert!(refused <= 8);
    }
    assert!(longest > 2, "{longest}");
}

#[test]
fn slow_operations_take_long_and_the_others_overtake_them() {
    let mut rig = rig(1, FaultKind::SlowIo);
    let start = rig.disk.now();
    rig.leave(2, 2, false);
    rig.leave(3, 3, false);
    fired(&rig, FaultKind::SlowIo);
    let mut done = Vec::new();
    rig.backend.wait(None).unwrap();
    rig.backend.poll(&mut done);
    assert_eq!(done.iter().map(|done| done.token).collect::<Vec<_>>(), [3]);
    assert!(rig.disk.now() - start <= SimConfig::default().write_ns.1);
    rig.backend.wait(None).unwrap();
    assert!(rig.disk.now() - start >= SimConfig::default().slow_ns.0);
}

#[test]
fn a_flipped_bit_stays_flipped() {
    let mut rig = rig(1, FaultKind::BitFlip);
    let bytes = rig.read(0, 2).unwrap();
    fired(&rig, FaultKind::BitFlip);
    let wrong: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 1).collect();
    let injury = only_injury(&rig);
    assert_eq!(wrong, [injury.start as usize]);
    assert_eq!((bytes[wrong[0]] ^ 1).count_ones(), 1);
    assert_eq!(rig.read(0, 2).unwrap(), bytes);
    rig.disk.power_cut();
    assert_eq!(rig.disk.contents("data").unwrap()[..bytes.len()], bytes);
}

#[test]
fn a_misdirected_read_lies_once() {
    let mut rig = Rig::with_file(1, "data", 4);
    rig.disk.put("other", &[8; BLOCK]).unwrap();
    rig.write(0, 1, 1, true).unwrap();
    rig.disk.script(Script { at: 0, fault: FaultKind::MisdirectedRead });
    let bytes = rig.read(0, 1).unwrap();
    fired(&rig, FaultKind::MisdirectedRead);
    let injury = only_injury(&rig);
    assert!(!injury.persistent);
    assert!((0..BLOCK).all(|at| bytes[at] == if injury.bytes().contains(&(at as u64)) { 8 } else { 1 }));
    assert_eq!(rig.read(0, 1).unwrap(), [1; BLOCK]);
}

#[test]
fn a_stale_read_gives_the_version_before() {
    let mut rig = Rig::with_file(1, "manifest.a", 1);
    for version in [1, 2, 3] {
        rig.write(0, 1, version, true).unwrap();
    }
    rig.disk.script(Script { at: 0, fault: FaultKind::StaleRead });
    let bytes = rig.read(0, 1).unwrap();
    fired(&rig, FaultKind::StaleRead);
    assert!(sectors(&bytes).contains(&Some(2)) && !only_injury(&rig).persistent);
    assert_eq!(rig.read(0, 1).unwrap(), [3; BLOCK]);
}

#[test]
fn a_latent_sector_is_unreadable_until_it_is_written() {
    let mut rig = rig(1, FaultKind::LatentSector);
    let error = rig.read(0, 1).unwrap_err();
    assert!(error.is_bad_sector());
    fired(&rig, FaultKind::LatentSector);
    assert_eq!(only_injury(&rig).bytes().count(), SECTOR);
    rig.read(0, 1).unwrap_err();
    rig.read(1, 1).unwrap();
    rig.write(0, 1, 2, true).unwrap();
    assert_eq!(rig.read(0, 1).unwrap(), [2; BLOCK]);
    // Also by zeros, which are not kept.
    assert!(rig.disk.spoil_sector("data", 3 * BLOCK as u64 + 513));
    rig.read(3, 1).unwrap_err();
    rig.write(3, 1, 0, true).unwrap();
    rig.read(3, 1).unwrap();
}

#[test]
fn a_short_read_is_so_once() {
    let mut rig = rig(1, FaultKind::ShortRead);
    let error = rig.read(0, 2).unwrap_err();
    assert!(matches!(error, IoError::Short { operation: Operation::Read, got, .. } if got < 2 * BLOCK), "{error}");
    fired(&rig, FaultKind::ShortRead);
    assert!(!only_injury(&rig).persistent);
    rig.read(0, 2).unwrap();
}

/// The trap of fsync: the second flush succeeds, and what the first one dropped stays dropped.
#[test]
fn a_failed_flush_drops_some_and_the_next_one_succeeds() {
    let (mut seen, mut gone) = (0, 0);
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 1);
        rig.write(0, 1, 1, true).unwrap();
        rig.write(0, 1, 2, false).unwrap();
        rig.disk.script(Script { at: 0, fault: FaultKind::FlushErrorOnce });
        rig.flush().unwrap_err();
        fired(&rig, FaultKind::FlushErrorOnce);
        rig.flush().unwrap();
        let before = sectors(&rig.block("data", 0));
        rig.disk.power_cut();
        let after = sectors(&rig.block("data", 0));
        seen += before.iter().filter(|&&byte| byte == Some(2)).count();
        gone += before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert!(after.iter().all(|&byte| byte == Some(1) || byte == Some(2)));
    }
    // Half of the sectors are durable, a quarter is seen and is not.
    assert!((240..360).contains(&seen) && (60..140).contains(&gone), "{seen} seen, {gone} gone of 400");
}

#[test]
fn a_failed_flush_of_a_directory_leaves_the_name_in_doubt() {
    let mut kept = 0;
    for seed in SEEDS {
        let mut rig = Rig::new(seed);
        rig.open("data", OpenMode::CreateNew).unwrap();
        rig.disk.script(Script { at: 0, fault: FaultKind::FlushErrorOnce });
        rig.flush_directory(".").unwrap_err();
        fired(&rig, FaultKind::FlushErrorOnce);
        rig.disk.power_cut();
        kept += rig.disk.files().len();
    }
    assert!((10..40).contains(&kept), "{kept} of 50");
}

#[test]
fn a_control_call_whose_flush_fails_has_happened_for_now() {
    let mut back = 0;
    for seed in SEEDS {
        let mut rig = rig(seed, FaultKind::FlushErrorOnce);
        assert!(rig.backend.remove("data").is_err());
        fired(&rig, FaultKind::FlushErrorOnce);
        assert!(rig.disk.files().is_empty());
        rig.disk.power_cut();
        back += rig.disk.files().len();
    }
    assert!((10..40).contains(&back), "{back} of 50");
}

#[test]
fn a_lying_flush_makes_nothing_durable() {
    let mut lost = 0;
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "data", 1);
        rig.write(0, 1, 1, false).unwrap();
        rig.disk.script(Script { at: 0, fault: FaultKind::LyingFlush });
        rig.flush().unwrap();
        fired(&rig, FaultKind::LyingFlush);
        assert_eq!(only_injury(&rig).bytes(), 0..BLOCK as u64);
        rig.disk.power_cut();
        lost += usize::from(rig.block("data", 0) != [1; BLOCK]);
    }
    assert!(lost > 10, "{lost} of 50");
    // A durable write is a write and a flush.
    let lost = SEEDS.filter(|&seed| {
        let mut rig = rig(seed, FaultKind::LyingFlush);
        rig.write(0, 1, 2, true).unwrap();
        fired(&rig, FaultKind::LyingFlush);
        rig.disk.power_cut();
        rig.block("data", 0) != [2; BLOCK]
    });
    assert!(lost.count() > 10);
}

#[test]
fn an_open_fails_in_either_way() {
    let errors = SEEDS.map(|seed| {
        let mut rig = rig(seed, FaultKind::OpenError);
        let error = rig.open("data", OpenMode::ReadOnly).unwrap_err();
        fired(&rig, FaultKind::OpenError);
        rig.open("data", OpenMode::ReadOnly).unwrap();
        error
    });
    let errors: Vec<_> = errors.collect();
    for errno in [libc::EIO, libc::EMFILE] {
        assert!(errors.contains(&IoError::from_errno(Operation::Open, errno)), "{errno}");
    }
}

#[test]
fn a_script_that_cannot_strike_its_operation_has_missed_it() {
    let mut rig = rig(1, FaultKind::BitFlip);
    rig.write(0, 1, 1, true).unwrap();
    assert!(!rig.disk.script_fired());
    assert_eq!(rig.disk.scripts()[0].1, ScriptState::Missed);
    rig.read(0, 1).unwrap();
    assert_eq!(rig.disk.fired_of(FaultKind::BitFlip), 0, "it was moved to a later operation");
    // Nor is there a fault where there is no file.
    rig.disk.script(Script { at: 0, fault: FaultKind::WriteError });
    let buffer = common::rig::buffer(1);
    rig.backend.run(common::write(iobackend::FileSlot(9), 0, buffer, true)).0.unwrap_err();
    assert_eq!(rig.disk.scripts()[1].1, ScriptState::Missed);
}

#[test]
fn rates_strike_as_often_as_they_say_and_stop() {
    let mut rig = Rig::with_file(1, "data", 4);
    rig.disk.set_rates(FaultRates::none().with(FaultKind::WriteError, 250_000));
    let failed = (0..400).filter(|_| rig.write(0, 1, 1, true).is_err()).count();
    assert!((60..140).contains(&failed), "{failed} of 400");
    assert_eq!(rig.disk.fired_of(FaultKind::WriteError), failed as u64);
    rig.disk.set_rates(FaultRates::none());
    assert!((0..400).all(|_| rig.write(0, 1, 1, true).is_ok()));
}

#[test]
fn a_rate_keeps_to_its_zones() {
    let zones = ZoneSet::of(&[Zone::Tail]);
    let rates = FaultRates::none().with(FaultKind::BitFlip, MILLION).only_in(FaultKind::BitFlip, zones);
    for seed in SEEDS {
        let mut rig = Rig::with_file(seed, "00000001.seg", 8);
        let mut footer = vec![4; 8 * BLOCK];
        footer[5 * BLOCK..][..4].copy_from_slice(b"DtFt");
        rig.disk.put("00000001.seg", &footer).unwrap();
        rig.open("00000001.seg", OpenMode::ReadWrite).unwrap();
        rig.disk.set_rates(rates);
        rig.read(0, 8).unwrap();
        assert!(only_injury(&rig).start >= 5 * BLOCK as u64);
    }
}

#[test]
fn no_more_is_corrupted_than_the_budget_allows() {
    let config = SimConfig { injuries_max: 1, ..SimConfig::default() };
    let mut rig = Rig::with_file_on(1, config, "data", 4);
    rig.write(0, 4, 1, true).unwrap();
    let rates = FaultRates::none().with(FaultKind::BitFlip, MILLION).with(FaultKind::LostWrite, MILLION);
    rig.disk.set_rates(rates);
    for _ in 0..20 {
        rig.read(0, 4).unwrap();
        rig.write(0, 1, 2, true).unwrap();
    }
    assert_eq!(rig.disk.injuries().len(), 1);
}

#[test]
fn a_crash_by_rate_takes_the_machine_down() {
    for (fault, crash) in [(FaultKind::PowerCut, Crash::PowerCut), (FaultKind::Kill, Crash::Kill)] {
        let mut rig = Rig::with_file(5, "data", 4);
        rig.disk.set_rates(FaultRates::none().with(fault, 100_000).with(FaultKind::FileLost, MILLION));
        let done = (0..1000).take_while(|_| rig.flush().is_ok()).count();
        assert!(done < 1000);
        assert_eq!(rig.disk.is_down(), Some(crash));
        // A file is lost in a power cut only.
        assert_eq!(rig.disk.files().is_empty(), crash == Crash::PowerCut);
    }
}

#[test]
fn rot_can_be_asked_for() {
    let rig = Rig::with_file(1, "data", 1);
    assert!(rig.disk.rot_at_rest("data", 17, 0x81));
    assert_eq!(rig.disk.contents("data").unwrap()[17], 0x81);
    assert!(!rig.disk.rot_at_rest("data", BLOCK as u64, 1) && !rig.disk.rot_at_rest("absent", 0, 1));
    assert!(rig.disk.rot_anywhere(ZoneSet::ALL));
    assert!(!rig.disk.rot_anywhere(ZoneSet::of(&[Zone::Frames])));
    assert_eq!(rig.disk.fired_of(FaultKind::BitFlip), 2);
    assert_eq!(rig.disk.injuries().len(), 2);
}

#[test]
fn what_is_forged_or_swapped_at_rest_is_durable_and_told() {
    let mut rig = Rig::with_file(1, "one", 1);
    assert!(rig.disk.overwrite("one", 4090, b"forged", FaultKind::Forged));
    assert!(!rig.disk.overwrite("one", 4091, b"forged", FaultKind::Forged));
    rig.disk.put("two", &[2; BLOCK]).unwrap();
    assert!(rig.disk.swap_files("one", "two") && !rig.disk.swap_files("one", "three"));
    rig.disk.power_cut();
    rig.reconnect();
    assert_eq!((&rig.block("two", 0)[4090..], rig.block("one", 0)[0]), (&b"forged"[..], 2));
    let injuries: Vec<_> = rig.disk.injuries().iter().map(|injury| (injury.kind, injury.file.to_string())).collect();
    let told = |kind, file: &str| (kind, file.to_owned());
    let swapped = FaultKind::FilesSwapped;
    assert_eq!(injuries, [told(FaultKind::Forged, "one"), told(swapped, "one"), told(swapped, "two")]);
    assert_eq!((rig.disk.fired_of(FaultKind::Forged), rig.disk.fired_of(swapped)), (1, 1));
}

/// What is handed to a segment may be on the medium, also if the write fails: it is kept as it was handed over.
#[test]
fn writes_to_segments_are_kept_for_whoever_asks() {
    let mut rig = Rig::with_file(1, "00000001.seg", 4);
    rig.write(0, 1, 7, true).unwrap();
    assert!(rig.disk.take_written().is_empty(), "nobody asked");
    rig.disk.keep_written();
    rig.disk.script(Script { at: 0, fault: FaultKind::WriteError });
    assert!(rig.write(1, 2, 8, true).is_err());
    rig.write(3, 1, 0, true).unwrap();
    let [written] = &rig.disk.take_written()[..] else { panic!("one that is not of zeros") };
    assert_eq!(
        (written.file.as_str(), written.at, &written.bytes[..]),
        ("00000001.seg", BLOCK as u64, &[8; 2 * BLOCK][..])
    );
    rig.open("manifest.a", OpenMode::CreateNew).unwrap();
    rig.write(0, 1, 9, true).unwrap();
    assert!(rig.disk.take_written().is_empty());
}

/// The log's rule, seen from the disk: a sector with data is not written again.
#[test]
fn a_write_over_what_a_segment_holds_is_a_violation() {
    let name = "00000001.seg";
    let mut rig = Rig::with_file(1, name, 8);
    rig.write(0, 8, 0, false).unwrap();
    rig.write(1, 1, 1, true).unwrap();
    rig.write(2, 2, 2, true).unwrap();
    assert!(rig.disk.violations().is_empty());
    rig.write(3, 2, 0, true).unwrap();
    let [violation] = &rig.disk.violations()[..] else { panic!("one violation") };
    assert!(violation.contains(name) && violation.contains("bytes 12288 to 16384"), "{violation}");
    // What was cut off may be written anew, and so may what is no segment.
    rig.backend.truncate(FILE, 2 * BLOCK as u64).unwrap();
    rig.write(2, 2, 5, true).unwrap();
    rig.open("manifest.a", OpenMode::CreateNew).unwrap();
    rig.write(0, 1, 1, true).unwrap();
    rig.write(0, 1, 2, true).unwrap();
    assert_eq!(rig.disk.violations().len(), 1);
}
