//! A copy of the manifest: what is accepted encodes to the same bytes, and takes no memory out of proportion.
#![no_main]
#![allow(missing_docs, reason = "the macro makes the entry point")]

use diatreme_fuzz::{allocations, both, sums};
use libfuzzer_sys::fuzz_target;
use log::format::manifest::{Identity, LOGS_MAX, Manifest, OVERRIDES_MAX};
use log::format::{BLOCK_BYTES, SEQUENCE_MAX};

/// Bytes before the frontiers, of a frontier, of an override, of which the last six are zero, and of the identity.
const FIXED_BYTES: usize = 56;
const FRONTIER_BYTES: usize = 24;
const OVERRIDE_BYTES: usize = 16;
const IDENTITY_BYTES: usize = 16;
/// Flags: closed cleanly, and the identity is there, without which the first builds wrote.
const CLEAN: u8 = 1;
const IDENTITY: u8 = 2;

fuzz_target!(|input: &[u8]| both(input, sums::manifest, check));

fn check(bytes: &[u8]) {
    let Ok(manifest) = allocations::at_most(2 * bytes.len() + 1024, || Manifest::decode(bytes)) else {
        return;
    };
    assert!(manifest.frontiers.len() <= LOGS_MAX && manifest.overrides.len() <= OVERRIDES_MAX);
    assert!(manifest.frontiers.iter().all(|frontier| frontier.sequence <= SEQUENCE_MAX));
    if bytes[10] & IDENTITY == 0 {
        assert_eq!(manifest.identity, Identity::UNKNOWN);
    }

    let mut again = vec![0xAA; manifest.encoded_bytes()];
    manifest.encode(&mut again);
    assert_eq!(Manifest::decode(&again).as_ref(), Ok(&manifest));
    assert!(again == as_written_now(bytes, &manifest), "another manifest than was read");
}

/// What was read, as it is written today: where a reader looks at nothing there are zeros (flags that have no meaning yet,
/// the end of each override), and there is an identity, of zeros if it had none.
fn as_written_now(bytes: &[u8], manifest: &Manifest) -> Vec<u8> {
    let overrides = FIXED_BYTES + manifest.frontiers.len() * FRONTIER_BYTES;
    let identity = overrides + manifest.overrides.len() * OVERRIDE_BYTES;
    let has_identity = bytes[10] & IDENTITY != 0;
    let mut now = bytes[..if has_identity { identity + IDENTITY_BYTES } else { identity }].to_vec();
    now[10..12].copy_from_slice(&[bytes[10] & CLEAN | IDENTITY, 0]);
    for one in now[overrides..identity].chunks_exact_mut(OVERRIDE_BYTES) {
        one[10..].fill(0);
    }
    now.resize(identity + IDENTITY_BYTES + 4, 0);
    let used = now.len() as u32;
    now[12..16].copy_from_slice(&used.to_le_bytes());
    sums::manifest(&mut now);
    now.resize(now.len().next_multiple_of(BLOCK_BYTES), 0);
    now
}
