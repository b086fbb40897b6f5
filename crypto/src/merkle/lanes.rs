//! Short messages of one length, hashed several in step.
//!
//! A leaf fills one block of SHA-256, a node two, so the padding of both is known to the compiler, and the kernel needs no more
//! than blocks: it knows nothing of trees.

use super::{Hash, LANES};
#[cfg(target_arch = "x86_64")]
use crate::sha_ni::ShaNi;

const BLOCK_BYTES: usize = 64;
type Block = [u8; BLOCK_BYTES];

/// FIPS 180-4, section 5.3.3.
const INITIAL_STATE: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The message of a prefix and its parts, padded to `B` blocks.
///
/// # Panics
///
/// If it is not a message of `B` blocks.
#[inline]
pub(super) fn padded<const B: usize>(prefix: u8, parts: &[&[u8]]) -> [Block; B] {
    let mut blocks = [[0; BLOCK_BYTES]; B];
    let bytes = blocks.as_flattened_mut();
    bytes[0] = prefix;
    let mut end = 1;
    for part in parts {
        bytes[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    bytes[end] = 0x80;
    let (rest, length) = bytes.split_at_mut(B * BLOCK_BYTES - size_of::<u64>());
    assert!(end < rest.len() && end + 1 + size_of::<u64>() > (B - 1) * BLOCK_BYTES, "{end} bytes in {B} blocks");
    length.copy_from_slice(&(end as u64 * 8).to_be_bytes());
    blocks
}

/// Appends the hash of each item's message to `hashes`.
pub(super) fn hash_each<T, const B: usize>(items: &[T], message: impl Fn(&T) -> [Block; B], hashes: &mut Vec<Hash>) {
    hashes.reserve(items.len());
    let (lanes, rest) = items.as_chunks::<LANES>();
    for items in lanes {
        hashes.extend(digest(&items.each_ref().map(&message)).map(Hash));
    }
    match rest {
        [a, b, c] => hashes.extend(digest(&[a, b, c].map(message)).map(Hash)),
        [a, b] => hashes.extend(digest(&[a, b].map(message)).map(Hash)),
        [a] => hashes.extend(digest(&[a].map(message)).map(Hash)),
        _ => {}
    }
}

/// SHA-256 of padded messages.
#[inline]
fn digest<const N: usize, const B: usize>(messages: &[[Block; B]; N]) -> [[u8; 32]; N] {
    #[cfg(target_arch = "x86_64")]
    if let Some(sha_ni) = ShaNi::detect() {
        return sha_ni.digest(messages);
    }
    messages.each_ref().map(|blocks| digest_portable(blocks))
}

/// [`digest`] by `sha2` alone.
pub(super) fn digest_portable(blocks: &[Block]) -> [u8; 32] {
    let mut state = INITIAL_STATE;
    sha2::block_api::compress256(&mut state, blocks);
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}
