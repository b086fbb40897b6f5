//! A segment's file: its header alone, and all of it through verification, opening and reading, as the one segment of a
//! log of which nothing else is known.
#![no_main]
#![allow(missing_docs, reason = "the macro makes the entry point")]

use diatreme_fuzz::disk::{Disk, File, Shared};
use diatreme_fuzz::oracle::{self, Origin};
use diatreme_fuzz::samples::{ENGINE, put_manifest, segment_name};
use diatreme_fuzz::{allocations, both, same_outside, sums};
use libfuzzer_sys::fuzz_target;
use log::format::BLOCK_BYTES;
use log::format::segment::{Base, SegmentHeader};
use std::sync::LazyLock;

static EMPTY: LazyLock<Disk> = LazyLock::new(|| {
    let shared = Shared::default();
    put_manifest(&shared, ENGINE, Base::default(), false);
    shared.disk().clone()
});

fuzz_target!(|input: &[u8]| both(input, sums::segment, check));

fn check(bytes: &[u8]) {
    let header = allocations::at_most(0, || SegmentHeader::decode(bytes));
    if let Ok(header) = header {
        let mut again = vec![0xAA; BLOCK_BYTES];
        header.encode(&mut again);
        assert_eq!(SegmentHeader::decode(&again), Ok(header));
        assert!(same_outside(&[120..4092, 4092..BLOCK_BYTES], &again, &bytes[..BLOCK_BYTES]), "another header");
    }
    // Under its own number, if that leaves few segments missing before it.
    let number = header.map_or(1, |header| header.id.number.clamp(1, 3));
    let mut disk = EMPTY.clone();
    disk.0.insert(segment_name(number), File::from(bytes.to_vec()));
    oracle::check(&disk, ENGINE, Origin::Unknown);
}
