//! AES-256-GCM by AWS-LC. It looks for the processor's instructions at run time, also for those of AVX-512.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce as UsedOnce, UnboundKey};

use super::{Broken, Nonce, Tag};

pub(super) const NAME: &str = "AES-256-GCM by aws-lc-rs";

/// The library keeps the expanded key on its heap, and wipes what it frees. "Less safe" is its name for a key that takes
/// the nonce from its caller.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        match UnboundKey::new(&AES_256_GCM, key) {
            Ok(key) => Self(LessSafeKey::new(key)),
            // Of the key it refuses only a wrong length.
            Err(_) => panic!("aws-lc-rs has no memory for a cipher"),
        }
    }

    #[inline]
    pub(super) fn seal(&self, nonce: Nonce, associated: &[u8], payload: &mut [u8]) -> Tag {
        let nonce = UsedOnce::assume_unique_for_key(nonce);
        let Ok(tag) = self.0.seal_in_place_separate_tag(nonce, Aad::from(associated), payload) else {
            panic!("{} bytes are more than AES-GCM seals under one nonce", payload.len());
        };
        let Ok(tag) = tag.as_ref().try_into() else {
            unreachable!("a tag of AES-256-GCM has 16 bytes");
        };
        tag
    }

    #[inline]
    pub(super) fn open(&self, nonce: Nonce, associated: &[u8], payload: &mut [u8], tag: &Tag) -> Result<(), Broken> {
        let nonce = UsedOnce::assume_unique_for_key(nonce);
        match self.0.open_in_place_separate_tag(nonce, Aad::from(associated), tag, payload) {
            Ok(_) => Ok(()),
            Err(_) => Err(Broken),
        }
    }
}
