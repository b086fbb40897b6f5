//! Records sealed with AES-256-GCM, each under its own nonce, in place.
//!
//! ```text
//! segment key     = HKDF-SHA-256( key = data key, salt = the segment's,
//!                                 info = "diatreme/seal/v1" 00 tenant:u64-LE key_id:u32-LE )
//! nonce           = frame sequence:u64-LE index of the record in its frame:u32-LE
//! associated data = tenant:u64-LE stream:u32-LE the record's hashed header[34]
//! ```
//!
//! ```
//! use diatreme_crypto::seal::{SegmentKey, associated_data};
//! use diatreme_crypto::secret::DataKey;
//!
//! let key = SegmentKey::derive(&DataKey::generate()?, &[7; 32], 1, 1);
//! let associated = associated_data(1, 2, &[0; 34]);
//! let mut payload = *b"in place";
//! let tag = key.seal(10, 0, &associated, &mut payload);
//! assert!(key.open(10, 0, &associated, &mut payload, &tag).is_ok());
//! assert_eq!(&payload, b"in place");
//! # Ok::<(), getrandom::Error>(())
//! ```
//!
//! What must stay true:
//!
//! - **No nonce twice under one key.** Two payloads under one nonce give away their difference and the key that
//!   authenticates. Here nothing counts: the caller seals a frame sequence and index once in a segment, and a segment has a
//!   salt of its own that was durable before, so what is written again after a crash, a restore or in a copy of the directory
//!   is sealed with another key.
//! - A record opens only as what it was written as: tenant, stream, kind, length, offset, position, timestamp and key id are
//!   all associated data.
//! - To fail has one outcome. Whether key, nonce, tag or data did not fit is not told, and no plaintext comes out.
//! - Sealing and opening do not allocate, whatever the library.
//!
//! Two libraries, same bytes: `aws-lc-rs` with the feature `aws-lc`, `aes-gcm` (no C compiler needed) without. Which of them,
//! and why: docs/dependencies.md.
//!
//! Not here: who owns a data key, and where the ciphertext and its tag are put (the log's). Ciphers are not in the locked
//! memory of [`secret`](crate::secret): the libraries expand a key into memory of their own, and wipe it. Drop them on the
//! thread that used them: what is left on its stack is wiped then.

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg_attr(feature = "aws-lc", cfg_attr(not(test), expect(dead_code, reason = "the other library seals")))]
mod portable;

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

#[cfg(feature = "aws-lc")]
use self::aws_lc as library;
#[cfg(not(feature = "aws-lc"))]
use self::portable as library;
use crate::derive::{derive, without_trace};
use crate::secret::DataKey;

/// Bytes of the tag that follows a ciphertext.
pub const TAG_BYTES: usize = 16;

/// Bytes of a segment's salt.
pub const SALT_BYTES: usize = 32;

/// Bytes of a record's header that the chain hashes, and sealing authenticates.
pub const HASHED_HEADER_BYTES: usize = 34;

/// Bytes of [`associated_data`].
pub const ASSOCIATED_BYTES: usize = size_of::<u64>() + size_of::<u32>() + HASHED_HEADER_BYTES;

const NONCE_BYTES: usize = 12;

type Nonce = [u8; NONCE_BYTES];
type Tag = [u8; TAG_BYTES];

/// The zero byte ends the name, so that no longer name continues into the numbers.
const SEAL_DOMAIN: &[u8] = b"diatreme/seal/v1\0";

/// Not opened: what was sealed was altered, or it was sealed as something else or with another key. One error for all of it,
/// so that it tells a forger nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("does not open: altered, or sealed with another key")
    }
}

impl std::error::Error for Broken {}

/// The cipher of one key's records in one segment.
pub struct SegmentKey(library::Cipher);

impl SegmentKey {
    /// Derives the segment's key and expands it: about a microsecond, so whoever seals keeps the result.
    #[must_use]
    pub fn derive(key: &DataKey, salt: &[u8; SALT_BYTES], tenant: u64, key_id: u32) -> Self {
        let mut segment_key = Zeroizing::new([0; 32]);
        let info = [SEAL_DOMAIN, &tenant.to_le_bytes(), &key_id.to_le_bytes()];
        derive(key.expose(), salt, &info, &mut segment_key);
        Self(without_trace(|| library::Cipher::new(&segment_key)))
    }

    /// Turns the payload into ciphertext. A sequence and index are sealed once in a segment, and never again.
    ///
    /// # Panics
    ///
    /// If the payload is longer than 64 GiB.
    #[inline]
    #[must_use = "what was sealed does not open without its tag"]
    pub fn seal(&self, sequence: u64, index: u32, associated: &[u8], payload: &mut [u8]) -> [u8; TAG_BYTES] {
        self.0.seal(nonce(sequence, index), associated, payload)
    }

    /// Turns ciphertext back into the payload.
    ///
    /// # Errors
    ///
    /// If it was not sealed with this key, as this record, and left as it was. The payload is zeros then.
    #[inline]
    pub fn open(
        &self,
        sequence: u64,
        index: u32,
        associated: &[u8],
        payload: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Broken> {
        let opened = self.0.open(nonce(sequence, index), associated, payload, tag);
        if opened.is_err() {
            payload.zeroize();
        }
        opened
    }
}

impl Drop for SegmentKey {
    /// `aes-gcm` leaves round keys on the stack of whoever seals or opens. To wipe them each time would cost as much as
    /// sealing; it is done when a cipher goes, and before the library wipes the cipher itself.
    fn drop(&mut self) {
        without_trace(|| ());
    }
}

impl fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentKey(..)")
    }
}

/// What a sealed record is bound to: its owner, and its header as it is stored.
#[inline]
#[must_use]
pub fn associated_data(tenant: u64, stream: u32, hashed_header: &[u8; HASHED_HEADER_BYTES]) -> [u8; ASSOCIATED_BYTES] {
    let mut associated = [0; ASSOCIATED_BYTES];
    associated[..8].copy_from_slice(&tenant.to_le_bytes());
    associated[8..12].copy_from_slice(&stream.to_le_bytes());
    associated[12..].copy_from_slice(hashed_header);
    associated
}

/// Which library seals, for the start-up report.
#[must_use]
pub fn implementation() -> &'static str {
    library::NAME
}

#[inline]
fn nonce(sequence: u64, index: u32) -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&sequence.to_le_bytes());
    nonce[8..].copy_from_slice(&index.to_le_bytes());
    nonce
}

#[cfg(test)]
mod known_answers;
#[cfg(test)]
mod tests;
