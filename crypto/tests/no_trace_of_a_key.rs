//! Guards against a key that outlives its owner: in a slot that was given back, in a cipher that was dropped, or on the stack
//! of what derived it. Searches all memory of this process that can be written.
//!
//! The test must not hold what it looks for, so it knows keys only with all bits flipped.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "only tests are here")]

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use diatreme_crypto::seal::{SegmentKey, associated_data};
use diatreme_crypto::secret::{DataKey, MasterKey};
use diatreme_crypto::wrap::StoreKeys;

/// Bytes of a key that are looked for. Half of it is found, too.
const PIECE_BYTES: usize = 16;
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes that were chosen for the test, and stand nowhere else.
fn flipped(seed: u8) -> [u8; 32] {
    std::array::from_fn(|i| !(seed.wrapping_mul(17) ^ (i as u8).wrapping_mul(71)))
}

/// Writes the key where it says, without a copy elsewhere.
#[inline(never)]
fn unflip(flipped: &[u8; 32], key: &mut [u8; 32]) {
    for (byte, flipped) in key.iter_mut().zip(flipped) {
        *byte = !*black_box(flipped);
    }
}

/// In which mappings of this process a piece of the key stands, at whatever place.
fn places(flipped: &[u8; 32]) -> Vec<String> {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    // Read with the flipped bytes beside it, so that the buffer does not hold what it is searched for.
    let mut chunk = vec![0; CHUNK_BYTES + PIECE_BYTES];
    for mapping in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut words = mapping.split_whitespace();
        let (start, end) = words.next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        if !words.next().unwrap().starts_with("rw") {
            continue;
        }
        let own = chunk.as_ptr() as u64..chunk.as_ptr() as u64 + chunk.len() as u64;
        for at in (start..end).step_by(CHUNK_BYTES) {
            let bytes = (end - at).min(chunk.len() as u64) as usize;
            // Of what the kernel keeps for itself nothing can be read.
            if memory.read_exact_at(&mut chunk[..bytes], at).is_err() {
                continue;
            }
            for (i, window) in chunk[..bytes].windows(PIECE_BYTES).enumerate() {
                let is = |piece: &[u8]| window.iter().zip(piece).all(|(byte, flipped)| *byte == !flipped);
                let (low, high) = flipped.split_at(PIECE_BYTES);
                if (is(low) || is(high)) && !own.contains(&(at + i as u64)) {
                    found.push(format!("{:x}: {mapping}", at + i as u64));
                }
            }
        }
        chunk.fill(0);
    }
    found
}

/// Everything that is done with a data key, in a frame of its own.
#[inline(never)]
fn use_keys([master, data, segment_key]: [&[u8; 32]; 3]) {
    let mut bytes = [0; 32];
    unflip(master, &mut bytes);
    let master_key = MasterKey::from_bytes(&mut bytes);
    unflip(data, &mut bytes);
    let data_key = DataKey::from_bytes(&mut bytes);
    // What a search finds while they live: the slot, in one mapping, and nothing on the stack.
    for flipped in [master, data] {
        let found = places(flipped);
        assert_eq!(found.len(), 2, "the slot's halves: {found:#?}");
    }

    let store = StoreKeys::derive(&master_key, &[1; 32], &[2; 16]);
    let wrapped = store.wrap(&data_key);
    let unwrapped: DataKey = store.unwrap(&wrapped).unwrap();
    let commitment = unwrapped.commitment(3, 4);
    assert!(data_key.fits(3, 4, &commitment));
    black_box(store.mac(&[&wrapped]));

    let segment = SegmentKey::derive(&unwrapped, &[5; 32], 3, 4);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("aes") {
        // The instructions want the first round key as it is, and that is the key: the search finds ciphers, too.
        assert!(!places(segment_key).is_empty());
    }
    let associated = associated_data(3, 1, &[6; 34]);
    let mut payload = *b"a payload of some 40 bytes, sealed once.";
    let tag = segment.seal(1, 0, &associated, &mut payload);
    segment.open(1, 0, &associated, &mut payload, &tag).unwrap();
    black_box(format!("{data_key:?} {segment:?}"));
    let moved = Box::new((master_key, data_key, segment));
    black_box(&moved);
}

/// HKDF-SHA-256 of the data key below for the segment in `use_keys`, with all bits flipped. By Python, as in `seal/tests.rs`:
///
/// ```python
/// data = bytes((2 * 17 % 256) ^ (i * 71 % 256) for i in range(32))
/// key = hkdf(data, bytes([5] * 32), b"diatreme/seal/v1\0" + le(3, 8) + le(4, 4))
/// bytes(255 - byte for byte in key).hex()
/// ```
const FLIPPED_SEGMENT_KEY: &str = "afeec1162456b5db95a220e66297e62a03bb84a1076a9fd83ac6faac41e5f10e";

#[test]
fn no_trace_of_a_key() {
    let (master, data) = (flipped(1), flipped(2));
    let segment: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&FLIPPED_SEGMENT_KEY[at..at + 2], 16).unwrap()).collect();
    let segment = segment.try_into().unwrap();
    use_keys([&master, &data, &segment]);
    for (name, flipped) in [("master", master), ("data", data), ("segment", segment)] {
        let found = places(&flipped);
        assert!(found.is_empty(), "the {name} key is still there: {found:#?}");
    }
}
