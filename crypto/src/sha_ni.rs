//! Chains extended, and short messages hashed, with the SHA instructions of x86-64, up to [`LANES`] in step.
//!
//! Each of a block's 32 `sha256rnds2` waits for the one before it, so a single chain leaves the
//! unit idle more than half of the time. Here the blocks of independent chains pass through the
//! rounds together, four rounds of each in turn, and fill one another's waits.
//!
//! Measured on Zen 5, nanoseconds a record of 134 / 290 / 1058 bytes, generic build:
//!
//! | | 1 lane | 2 lanes | 3 lanes | 4 lanes |
//! | --- | --- | --- | --- | --- |
//! | `sha2::Sha256` | 118 / 205 / 552 | | | |
//! | `sha2`'s block function on padded blocks, a block of each lane in turn | 111 / 197 / 543 | 90 / 154 / 407 | 81 / 144 / 397 | 79 / 143 / 391 |
//! | this | 98 / 184 / 532 | 64 / 126 / 372 | 56 / 107 / 313 | 55 / 104 / 300 |
//!
//! The second row needs no unsafe code and leans on out-of-order execution alone, but a block of
//! one lane nearly fills the reorder window, so little of the next lane's is in sight.
//!
//! What must stay true: nothing here runs unless [`ShaNi::detect`] found the instructions, and
//! memory is touched only through references to arrays of exactly the bytes read or written.

use std::arch::x86_64::*;
use std::cmp::Reverse;
use std::ops::Range;

use crate::{CHAIN_PREFIX, LANES, LINK_BYTES, Link};

const BLOCK_BYTES: usize = 64;
type Block = [u8; BLOCK_BYTES];

/// Bytes that a SIMD register holds.
const REGISTER_BYTES: usize = 16;

/// Bytes of the record that the first block has room for, after prefix and previous link.
const FIRST_BYTES: usize = BLOCK_BYTES - 1 - LINK_BYTES;

/// SHA-256's padding at its shortest: an end marker and the message's length in bits.
const PADDING_BYTES_MIN: usize = 1 + size_of::<u64>();

/// A SHA-256 state as the instructions want it: words A B E F and C D G H, highest word first.
type State = [__m128i; 2];

/// FIPS 180-4, section 4.2.2, four rounds a row.
static ROUND_CONSTANTS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// Proof that this machine has the instructions: only [`ShaNi::detect`] makes one.
#[derive(Clone, Copy)]
pub(crate) struct ShaNi(());

impl ShaNi {
    /// Asks the processor once; later calls read the cached answer.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3"))
            .then_some(Self(()))
    }

    /// Makes each of the `N` links the link of its record. Returns false, with the links as they
    /// were, if a record does not fill its first block: no record of the log is that short (its
    /// header alone is longer), so the layout of such a message is left to the portable path.
    ///
    /// # Panics
    ///
    /// If there are fewer than `N` links or records.
    #[inline]
    pub(crate) fn extend<const N: usize>(self, links: &mut [Link], records: &[&[u8]]) -> bool {
        const { assert!(1 <= N && N <= LANES) };
        let filled = records.iter().all(|record| record.len() >= FIRST_BYTES);
        if filled {
            // SAFETY: the caller holds a `ShaNi`, so `detect` found sha, sse4.1 and ssse3.
            unsafe { extend::<N>(links, records) };
        }
        filled
    }

    /// The hashes of `N` messages of `B` blocks, padding included.
    #[inline]
    pub(crate) fn digest<const N: usize, const B: usize>(self, messages: &[[Block; B]; N]) -> [[u8; 32]; N] {
        // SAFETY: the caller holds a `ShaNi`, so `detect` found sha, sse4.1 and ssse3.
        unsafe { digest(messages) }
    }
}

/// Messages of one length need no order, and their blocks stay where they are.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn digest<const N: usize, const B: usize>(messages: &[[Block; B]; N]) -> [[u8; 32]; N] {
    let mut states = [initial_state(); N];
    for block in 0..B {
        let mut words = [[_mm_setzero_si128(); N]; 4];
        for (i, message) in messages.iter().enumerate() {
            for (row, quarter) in words.iter_mut().zip(words_of(&message[block])) {
                row[i] = quarter;
            }
        }
        compress(&mut states, words);
    }
    let mut hashes = [[0; 32]; N];
    for (hash, state) in hashes.iter_mut().zip(states) {
        store_hash(state, hash);
    }
    hashes
}

/// Longest message first, so that the lanes still running are always a prefix: all of them up to
/// the end of the shortest, then all but that one, and so on.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn extend<const N: usize>(links: &mut [Link], records: &[&[u8]]) {
    // Filled in place: returning lanes by value made the compiler copy each of them twice.
    let mut lanes = [const { Lane::empty() }; N];
    for (i, lane) in lanes.iter_mut().enumerate() {
        lane.start(&links[i], records[i]);
    }
    let mut longest_first = lanes.each_mut();
    longest_first.sort_unstable_by_key(|lane| Reverse(lane.blocks));
    let mut done = 0;
    for running in (1..=N).rev() {
        let end = longest_first[running - 1].blocks;
        match running {
            _ if end == done => {}
            1 => compress_lanes::<1>(&mut longest_first, done..end),
            2 => compress_lanes::<2>(&mut longest_first, done..end),
            3 => compress_lanes::<3>(&mut longest_first, done..end),
            _ => compress_lanes::<LANES>(&mut longest_first, done..end),
        }
        done = end;
    }
    for (lane, link) in lanes.iter().zip(links) {
        lane.finish(link);
    }
}

/// Takes the first `N` lanes through a range of their blocks.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn compress_lanes<const N: usize>(lanes: &mut [&mut Lane<'_>], blocks: Range<usize>) {
    let Some(lanes) = lanes.first_chunk_mut::<N>() else {
        unreachable!("{N} lanes run, of fewer");
    };
    let mut states: [State; N] = std::array::from_fn(|i| lanes[i].state);
    for block in blocks {
        let mut words = [[_mm_setzero_si128(); N]; 4];
        for (i, lane) in lanes.iter().enumerate() {
            for (row, quarter) in words.iter_mut().zip(lane.words(block)) {
                row[i] = quarter;
            }
        }
        compress(&mut states, words);
    }
    for (lane, state) in lanes.iter_mut().zip(states) {
        lane.state = state;
    }
}

/// One chain's message, and how far its hash has come.
struct Lane<'a> {
    state: State,
    /// The first block, put together in registers. Written to memory and read back in other
    /// pieces it would miss store forwarding, and cost 5 ns on the way from link to link.
    first: [__m128i; 4],
    /// The record's whole blocks, hashed where they are.
    middle: &'a [Block],
    /// The record's end, and padding. One block, or two where padding leaves the first.
    last: [Block; 2],
    /// Blocks of the whole message.
    blocks: usize,
}

impl<'a> Lane<'a> {
    const fn empty() -> Self {
        // SAFETY: all-zero bytes are a valid __m128i, an integer type.
        let zero: __m128i = unsafe { std::mem::zeroed() };
        Self { state: [zero; 2], first: [zero; 4], middle: &[], last: [[0; BLOCK_BYTES]; 2], blocks: 0 }
    }

    /// Sets an empty lane to the message of the link after `previous`.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn start(&mut self, previous: &Link, record: &'a [u8]) {
        let Some((start, rest)) = record.split_first_chunk::<FIRST_BYTES>() else {
            unreachable!("{} bytes do not fill the first block", record.len());
        };
        self.state = initial_state();
        self.first = first_words(previous, start);
        let (middle, end) = rest.as_chunks::<BLOCK_BYTES>();
        self.middle = middle;
        self.last[0][..end.len()].copy_from_slice(end);
        self.last[0][end.len()] = 0x80;
        let length_in = usize::from(end.len() + PADDING_BYTES_MIN > BLOCK_BYTES);
        let bits = (1 + LINK_BYTES + record.len()) as u64 * 8;
        self.last[length_in][BLOCK_BYTES - size_of::<u64>()..].copy_from_slice(&bits.to_be_bytes());
        self.blocks = 1 + middle.len() + length_in + 1;
    }

    /// The sixteen words of a block of the message.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn words(&self, block: usize) -> [__m128i; 4] {
        let Some(after_first) = block.checked_sub(1) else {
            return self.first;
        };
        let bytes = match self.middle.get(after_first) {
            Some(bytes) => bytes,
            None => &self.last[after_first - self.middle.len()],
        };
        words_of(bytes)
    }

    /// Writes the hash of the message, once all blocks are through.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn finish(&self, link: &mut Link) {
        store_hash(self.state, &mut link.0);
    }
}

/// Writes the hash that a state stands for, once all blocks are through.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn store_hash([abef, cdgh]: State, hash: &mut [u8; 32]) {
    let reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let abcd = _mm_shuffle_epi8(_mm_unpackhi_epi64(cdgh, abef), reverse);
    let efgh = _mm_shuffle_epi8(_mm_unpacklo_epi64(cdgh, abef), reverse);
    let (halves, _) = hash.as_chunks_mut::<REGISTER_BYTES>();
    store(&mut halves[0], abcd);
    store(&mut halves[1], efgh);
}

/// The sixteen words of a block in memory.
#[inline]
#[target_feature(enable = "ssse3")]
fn words_of(block: &Block) -> [__m128i; 4] {
    let (quarters, _) = block.as_chunks::<REGISTER_BYTES>();
    std::array::from_fn(|i| big_endian(load(&quarters[i])))
}

/// FIPS 180-4, section 5.3.3.
#[inline]
#[target_feature(enable = "sse2")]
fn initial_state() -> State {
    let words = |a: u32, b: u32, c: u32, d: u32| {
        _mm_set_epi32(a.cast_signed(), b.cast_signed(), c.cast_signed(), d.cast_signed())
    };
    [
        words(0x6a09_e667, 0xbb67_ae85, 0x510e_527f, 0x9b05_688c),
        words(0x3c6e_f372, 0xa54f_f53a, 0x1f83_d9ab, 0x5be0_cd19),
    ]
}

/// The words of `02 || previous || start`: a shift by one byte through prefix, link and record.
#[inline]
#[target_feature(enable = "ssse3")]
fn first_words(previous: &Link, start: &[u8; FIRST_BYTES]) -> [__m128i; 4] {
    let (link, _) = previous.0.as_chunks::<REGISTER_BYTES>();
    let (low, high) = (load(&link[0]), load(&link[1]));
    // The record's 31 bytes in two overlapping loads; only 15 bytes of the first are used.
    let (record, _) = start.as_chunks::<REGISTER_BYTES>();
    let (_, end) = start.as_rchunks::<REGISTER_BYTES>();
    let prefix = _mm_set1_epi8(CHAIN_PREFIX.cast_signed());
    [
        big_endian(_mm_alignr_epi8(low, prefix, 15)),
        big_endian(_mm_alignr_epi8(high, low, 15)),
        big_endian(_mm_alignr_epi8(load(&record[0]), high, 15)),
        big_endian(load(&end[0])),
    ]
}

/// One block of each lane; `words[q][lane]` holds words 4q to 4q + 3 of the lane's block.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn compress<const N: usize>(states: &mut [State; N], words: [[__m128i; N]; 4]) {
    let before = *states;
    let [mut w0, mut w1, mut w2, mut w3] = words;
    for (group, words) in words.iter().enumerate() {
        for (state, words) in states.iter_mut().zip(words) {
            four_rounds(state, *words, group);
        }
    }
    // Four names that swap roles, where one array indexed by the group would be shorter: the
    // compiler keeps names in registers, but left the array in memory (a quarter slower).
    for group in [4, 8, 12] {
        schedule_and_round(states, &mut w0, &w1, &w2, &w3, group);
        schedule_and_round(states, &mut w1, &w2, &w3, &w0, group + 1);
        schedule_and_round(states, &mut w2, &w3, &w0, &w1, group + 2);
        schedule_and_round(states, &mut w3, &w0, &w1, &w2, group + 3);
    }
    for (state, before) in states.iter_mut().zip(before) {
        *state = [0, 1].map(|half| _mm_add_epi32(state[half], before[half]));
    }
}

/// The next four words of each lane's schedule, in place of its oldest, and their rounds.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn schedule_and_round<const N: usize>(
    states: &mut [State; N],
    oldest: &mut [__m128i; N],
    second: &[__m128i; N],
    third: &[__m128i; N],
    newest: &[__m128i; N],
    group: usize,
) {
    for i in 0..N {
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(oldest[i], second[i]), _mm_alignr_epi8(newest[i], third[i], 4));
        oldest[i] = _mm_sha256msg2_epu32(sum, newest[i]);
        four_rounds(&mut states[i], oldest[i], group);
    }
}

/// Rounds 4 `group` to 4 `group` + 3.
#[inline]
#[target_feature(enable = "sha,sse4.1")]
fn four_rounds([abef, cdgh]: &mut State, words: __m128i, group: usize) {
    let constants: &[u32; 4] = &ROUND_CONSTANTS[group];
    // SAFETY: the reference covers the 16 bytes read; the load asks for no alignment.
    let constants = unsafe { _mm_loadu_si128(constants.as_ptr().cast()) };
    let sum = _mm_add_epi32(words, constants);
    // Two rounds turn A B E F into the next C D G H, so the halves change places and back.
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

/// Bytes in memory order as four words, each read big-endian.
#[inline]
#[target_feature(enable = "ssse3")]
fn big_endian(bytes: __m128i) -> __m128i {
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    _mm_shuffle_epi8(bytes, order)
}

#[inline]
#[target_feature(enable = "sse2")]
fn load(bytes: &[u8; REGISTER_BYTES]) -> __m128i {
    // SAFETY: the reference covers the 16 bytes read; the load asks for no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn store(bytes: &mut [u8; REGISTER_BYTES], register: __m128i) {
    // SAFETY: the reference covers the 16 bytes written; the store asks for no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), register) };
}

#[cfg(test)]
mod known_answers;
