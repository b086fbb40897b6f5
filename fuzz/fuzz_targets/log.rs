//! A real log with a few changes: bytes set, blocks zeroed, copied and swapped, files cut and removed; with its checksums
//! as they then are, or made to fit. What is then still called sound is what was written, or the beginning of it.
//!
//! The input: which log, and in the highest bit whether checksums are to fit (1 byte); then changes of 12 bytes each: what to do (1), in which file (1), at which of the bytes
//! that are not zero, or in which block (2), the value, or which other block (8).
#![no_main]
#![allow(missing_docs, reason = "the macro makes the entry point")]

use diatreme_fuzz::disk::{Disk, File};
use diatreme_fuzz::oracle::{self, Origin};
use diatreme_fuzz::samples::{self, ENGINE, Sample};
use diatreme_fuzz::sums;
use libfuzzer_sys::fuzz_target;
use log::format::BLOCK_BYTES;
use std::sync::LazyLock;

/// In the first byte: checksums are made to fit.
const FIT: u8 = 0x80;
const CHANGE_BYTES: usize = 12;
const CHANGES_MAX: usize = 16;

/// A log, and by file the places worth a change: its bytes that are not zero, and those around them.
struct Subject {
    sample: Sample,
    places: Vec<(String, Vec<usize>)>,
}

static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| samples::all().into_iter().map(Subject::new).collect());

impl Subject {
    fn new(sample: Sample) -> Subject {
        let places = sample.disk.0.iter().map(|(path, file)| {
            let near = |at: &usize| {
                let around = at.saturating_sub(7)..(at + 8).min(file.data.len());
                at.is_multiple_of(BLOCK_BYTES) || file.data[around].iter().any(|&byte| byte != 0)
            };
            (path.clone(), (0..file.data.len()).filter(near).collect())
        });
        Subject { places: places.collect(), sample }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, changes)) = input.split_first() else {
        return;
    };
    let subject = &SUBJECTS[usize::from(first & !FIT) % SUBJECTS.len()];
    let mut disk = subject.sample.disk.clone();
    for change in changes.chunks_exact(CHANGE_BYTES).take(CHANGES_MAX) {
        apply(subject, &mut disk, change);
    }
    let mut origin = Origin::Damaged(&subject.sample.model);
    if first & FIT != 0 {
        origin = Origin::Forged(&subject.sample.model);
        for (path, file) in &mut disk.0 {
            let fit = if path.ends_with(".seg") { sums::segment } else { sums::manifest };
            fit(&mut file.data);
        }
    }
    let sound = oracle::check(&disk, ENGINE, origin);
    assert!(sound || disk != subject.sample.disk, "nothing was changed, and it is not sound");
});

fn apply(subject: &Subject, disk: &mut Disk, change: &[u8]) {
    let (path, places) = &subject.places[usize::from(change[1]) % subject.places.len()];
    let number = usize::from(u16::from_le_bytes([change[2], change[3]]));
    let value = &change[4..CHANGE_BYTES];
    let Some(file) = disk.0.get_mut(path) else {
        return;
    };
    let blocks = (file.data.len() / BLOCK_BYTES).max(1);
    let block = number % blocks * BLOCK_BYTES;
    let other = usize::from(value[0]) % blocks * BLOCK_BYTES;
    match change[0] % 9 {
        bytes @ 0..4 => set(file, places[number % places.len()], &value[..1 << bytes]),
        4 => set(file, block, &[0; BLOCK_BYTES]),
        5 => copy(file, block, other),
        6 => {
            let kept = file.data.get(other..other + BLOCK_BYTES).map(<[u8]>::to_vec);
            copy(file, other, block);
            set(file, block, &kept.unwrap_or_default());
        }
        7 => *file = File::from(file.data[..number.min(file.data.len())].to_vec()),
        _ => _ = disk.0.remove(path),
    }
}

/// Writes as much of `bytes` as there is room for.
fn set(file: &mut File, at: usize, bytes: &[u8]) {
    if let Some(room) = file.data.get_mut(at..) {
        let fit = room.len().min(bytes.len());
        room[..fit].copy_from_slice(&bytes[..fit]);
    }
}

fn copy(file: &mut File, from: usize, to: usize) {
    if let Some(block) = file.data.get(from..from + BLOCK_BYTES).map(<[u8]>::to_vec) {
        set(file, to, &block);
    }
}
