//! A copy of the manifest: what is accepted encodes to the same bytes, and takes no memory out of proportion.
#![no_main]
#![allow(missing_docs, reason = "the macro makes the entry point")]

use diatreme_fuzz::{allocations, both, same_outside, sums};
use libfuzzer_sys::fuzz_target;
use log::format::manifest::{LOGS_MAX, Manifest, OVERRIDES_MAX};
use log::format::{BLOCK_BYTES, SEQUENCE_MAX};

/// Bytes before the frontiers, of a frontier, and of an override, of which the last six are zero.
const FIXED_BYTES: usize = 56;
const FRONTIER_BYTES: usize = 24;
const OVERRIDE_BYTES: usize = 16;

fuzz_target!(|input: &[u8]| both(input, sums::manifest, check));

fn check(bytes: &[u8]) {
    let Ok(manifest) = allocations::at_most(2 * bytes.len() + 1024, || Manifest::decode(bytes)) else {
        return;
    };
    assert!(manifest.frontiers.len() <= LOGS_MAX && manifest.overrides.len() <= OVERRIDES_MAX);
    assert!(manifest.frontiers.iter().all(|frontier| frontier.sequence <= SEQUENCE_MAX));
    let length = manifest.encoded_bytes();
    assert!(length.is_multiple_of(BLOCK_BYTES) && length <= bytes.len());

    let mut again = vec![0xAA; length];
    manifest.encode(&mut again);
    assert_eq!(Manifest::decode(&again).as_ref(), Ok(&manifest));
    // The zeros of each override, flags that have no meaning yet, and the checksum over them.
    let overrides = FIXED_BYTES + manifest.frontiers.len() * FRONTIER_BYTES;
    let sum = overrides + manifest.overrides.len() * OVERRIDE_BYTES;
    let zeros = |start: usize| start + 10..start + OVERRIDE_BYTES;
    let mut loose: Vec<_> = (overrides..sum).step_by(OVERRIDE_BYTES).map(zeros).collect();
    loose.extend([10..12, sum..sum + 4]);
    assert!(same_outside(&loose, &again, &bytes[..length]), "another manifest than was read");
}
