//! A bad copy of the manifest, and a crash while both are written again: one intact copy is there at every moment.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme_log::format::manifest::Manifest;
use diatreme_log::{Fault, read_manifest, write_manifest};
use harness::memory::{Disk, Memory, Plan};
use harness::{ENGINE, Place};

fn manifest(generation: u64) -> Manifest {
    Manifest { generation, engine: ENGINE, shards: 1, ..Manifest::default() }
}

fn write(memory: &Memory, generation: u64) -> bool {
    let (mut backend, buffer) = memory.scan_buffer();
    write_manifest(&mut backend, &mut Some(buffer), &manifest(generation)).is_ok()
}

fn generation(memory: &Memory) -> Option<u64> {
    let (mut backend, buffer) = memory.scan_buffer();
    read_manifest(&mut backend, &mut Some(buffer)).unwrap().manifest.map(|manifest| manifest.generation)
}

fn two_copies() -> Disk {
    let memory = Memory::default();
    assert!(write(&memory, 1));
    memory.disk().clone()
}

/// Copy `a` was always written first. With `b` rotten, `a` was the only intact one, and power that went while it was
/// written took the directory with it: its id, its frontiers, its placement.
#[test]
fn a_crash_while_the_manifest_is_written_leaves_an_intact_copy_whichever_was_bad() {
    let mut cuts = 0;
    for bad in [None, Some("manifest.a"), Some("manifest.b")] {
        for at in 0..40 {
            for mask in [0, 1, 0b1010_1010] {
                let mut disk = two_copies();
                if let Some(bad) = bad {
                    disk.file(bad).flip(20, 1);
                    disk.stabilize();
                }
                let memory = Memory::of(disk);
                memory.disk().plan = Some(Plan::Cut(at, mask));
                let done = write(&memory, 2);
                cuts += u32::from(!done);
                memory.disk().lose_power();
                let found = generation(&memory);
                assert!(found == Some(2) || !done && found == Some(1), "{bad:?} bad, cut at {at}: {found:?}");
            }
        }
    }
    assert!(cuts > 50, "{cuts}");
}

/// Of several sectors and blocks, as with many tenants placed by hand; each generation of another length.
fn long(generation: u64) -> Manifest {
    let overrides = (0..[40, 700, 300][generation as usize % 3]).map(|tenant| (tenant, 0)).collect();
    Manifest { overrides, ..manifest(generation) }
}

fn write_long(memory: &Memory, generation: u64) -> bool {
    let (mut backend, buffer) = memory.scan_buffer();
    write_manifest(&mut backend, &mut Some(buffer), &long(generation)).is_ok()
}

/// What is on the disk is one generation or the other as it was written, and never of both a part.
fn is_whole(memory: &Memory, generations: std::ops::RangeInclusive<u64>) -> bool {
    let (mut backend, buffer) = memory.scan_buffer();
    let found = read_manifest(&mut backend, &mut Some(buffer)).unwrap().manifest;
    found.is_some_and(|found| generations.contains(&found.generation) && found == long(found.generation))
}

/// A manifest longer than a block is torn between its blocks and within them, when it grows and when it shrinks.
#[test]
fn a_long_manifest_that_is_torn_anywhere_leaves_the_other_copy() {
    let mut cuts = 0;
    for before in 3..6 {
        for at in 0..40 {
            for mask in [0, 1, 0xFF, 0xFF00, u64::MAX << 8, 0x5555_5555_5555_5555, u64::MAX >> 44] {
                let memory = Memory::default();
                assert!(write_long(&memory, before));
                memory.disk().plan = Some(Plan::Cut(at, mask));
                let done = write_long(&memory, before + 1);
                cuts += u32::from(!done);
                memory.disk().lose_power();
                assert!(is_whole(&memory, before + u64::from(done)..=before + 1), "{before} cut at {at}, {mask:x}");
            }
        }
    }
    assert!(cuts > 100, "{cuts}");
}

/// The process was killed when it had made copy `b`, and before the name was durable. The next one found the file, flushed
/// what it wrote into it, and not the name; power that went while `a` was written again took `b` away.
#[test]
fn a_copy_that_a_killed_process_made_is_there_when_the_other_is_torn() {
    let (mut kills, mut cuts) = (0, 0);
    for killed_at in 0..40 {
        let killed = Memory::default();
        killed.disk().plan = Some(Plan::Cut(killed_at, 0));
        kills += u32::from(!write_long(&killed, 3));
        killed.disk().revive();
        assert!(write_long(&killed, 4));
        for at in 0..40 {
            for mask in [0, 1, 0xFF] {
                let memory = Memory::of(killed.disk().clone());
                memory.disk().plan = Some(Plan::Cut(at, mask));
                let done = write_long(&memory, 5);
                cuts += u32::from(!done);
                memory.disk().lose_power();
                assert!(is_whole(&memory, 4 + u64::from(done)..=5), "killed at {killed_at}, cut at {at}, {mask:x}");
            }
        }
    }
    assert!(kills > 5 && cuts > 100, "{kills} {cuts}");
}

/// A sector of copy `a` that the device does not give back kept the directory from being opened, though `b` was whole.
#[test]
fn a_copy_that_cannot_be_read_is_a_bad_copy_and_is_written_first() {
    for (bad, good) in [("manifest.a", 1), ("manifest.b", 0)] {
        let mut disk = two_copies();
        disk.add_bad_sector(bad, 0);
        let memory = Memory::of(disk);
        let (mut backend, buffer) = memory.scan_buffer();
        let read = read_manifest(&mut backend, &mut Some(buffer)).unwrap();
        assert_eq!(read.manifest, Some(manifest(1)));
        assert_eq!(read.faults[1 - good], Some(Fault::Unreadable));
        assert_eq!(read.bad_copies().len(), 1);
        assert_eq!(read.bad_copies()[0].to_string(), format!("{bad}: {}", Fault::Unreadable));
        assert!(write(&memory, 2));
        assert_eq!(generation(&memory), Some(2));
    }
}
