//! One chain message as 64-byte blocks.
//!
//! Only the ends are assembled: the first block (prefix, previous link, start of the record) and
//! the last one or two (end of the record, padding). What lies between is hashed where it is, so
//! a large record is never copied.

use sha2::block_api::compress256;

use crate::LINK_BYTES;

/// Bytes of a SHA-256 block.
pub(crate) const BLOCK_BYTES: usize = 64;

pub(crate) type Block = [u8; BLOCK_BYTES];

/// Keeps chain messages apart from RFC 6962 leaves (0) and nodes (1).
const CHAIN_PREFIX: u8 = 2;

/// Where the record starts in the first block.
const RECORD_START: usize = 1 + LINK_BYTES;

/// Bytes of the record that the first block has room for.
const FIRST_BYTES: usize = BLOCK_BYTES - RECORD_START;

/// SHA-256's padding at its shortest: one end marker and a 64-bit length.
const PADDING_BYTES_MIN: usize = 1 + LENGTH_BYTES;
const LENGTH_BYTES: usize = 8;

/// FIPS 180-4, section 5.3.3.
pub(crate) const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The padded message of one link.
pub(crate) struct Message<'a> {
    first: Block,
    middle: &'a [Block],
    last: [Block; 2],
    /// How many of `last` are in use: none only where a short record leaves the first block room
    /// for all of the padding.
    last_blocks: usize,
}

impl<'a> Message<'a> {
    pub(crate) fn new(previous: &[u8; LINK_BYTES], record: &'a [u8]) -> Self {
        let mut first = [0; BLOCK_BYTES];
        first[0] = CHAIN_PREFIX;
        first[1..RECORD_START].copy_from_slice(previous);
        let mut last = [[0; BLOCK_BYTES]; 2];
        let bits = (RECORD_START + record.len()) as u64 * 8;

        let Some((start, rest)) = record.split_first_chunk::<FIRST_BYTES>() else {
            let end = RECORD_START + record.len();
            first[RECORD_START..end].copy_from_slice(record);
            first[end] = 0x80;
            let fits = end + PADDING_BYTES_MIN <= BLOCK_BYTES;
            put_length(if fits { &mut first } else { &mut last[0] }, bits);
            return Self {
                first,
                middle: &[],
                last,
                last_blocks: usize::from(!fits),
            };
        };
        first[RECORD_START..].copy_from_slice(start);
        let (middle, end) = rest.as_chunks::<BLOCK_BYTES>();
        last[0][..end.len()].copy_from_slice(end);
        last[0][end.len()] = 0x80;
        let last_blocks = if end.len() + PADDING_BYTES_MIN <= BLOCK_BYTES {
            1
        } else {
            2
        };
        put_length(&mut last[last_blocks - 1], bits);
        Self {
            first,
            middle,
            last,
            last_blocks,
        }
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut state = INITIAL_STATE;
        compress256(&mut state, std::slice::from_ref(&self.first));
        compress256(&mut state, self.middle);
        compress256(&mut state, &self.last[..self.last_blocks]);
        digest(&state)
    }
}

/// Ends `block` with the message's length in bits.
fn put_length(block: &mut Block, bits: u64) {
    block[BLOCK_BYTES - LENGTH_BYTES..].copy_from_slice(&bits.to_be_bytes());
}

/// A final state as bytes.
pub(crate) fn digest(state: &[u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    bytes
}
