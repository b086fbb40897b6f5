//! AES-256-GCM by `aes-gcm`, in Rust alone. It looks for AES and carry-less multiplication at run time, and has a slow,
//! constant-time way without them.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, aead};

use super::{Broken, Nonce, Tag};

#[cfg_attr(feature = "aws-lc", cfg_attr(test, expect(dead_code, reason = "the other library is reported")))]
pub(super) const NAME: &str = "AES-256-GCM by aes-gcm";

/// In a box, so that moving a cipher leaves no round keys behind. The library wipes them when it is dropped.
pub(super) struct Cipher(Box<Aes256Gcm>);

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Box::new(Aes256Gcm::new(key.into())))
    }

    #[inline]
    pub(super) fn seal(&self, nonce: Nonce, associated: &[u8], payload: &mut [u8]) -> Tag {
        let bytes = payload.len();
        match self.0.encrypt_inout_detached(&nonce.into(), associated, payload.into()) {
            Ok(tag) => tag.into(),
            Err(aead::Error) => panic!("{bytes} bytes are more than AES-GCM seals under one nonce"),
        }
    }

    #[inline]
    pub(super) fn open(&self, nonce: Nonce, associated: &[u8], payload: &mut [u8], tag: &Tag) -> Result<(), Broken> {
        self.0
            .decrypt_inout_detached(&nonce.into(), associated, payload.into(), tag.into())
            .map_err(|aead::Error| Broken)
    }
}
