//! Keys, and where they are kept.
//!
//! A [`Secret`] is 32 bytes in memory that is wiped when the secret is dropped and, where the host allows, neither swapped
//! nor written into core dumps. Secrets are many, and what a process may lock is little (8 MiB is a usual limit), so they lie
//! side by side in shared pages: 65,536 of them lock 2 MiB.
//!
//! ```
//! use diatreme_crypto::secret::DataKey;
//!
//! let key = DataKey::generate()?;
//! let commitment = key.commitment(7, 1);
//! assert!(key.fits(7, 1, &commitment));
//! assert_eq!(format!("{key:?}"), "DataKey(..)");
//! # Ok::<(), getrandom::Error>(())
//! ```
//!
//! What must stay true:
//!
//! - A secret is not copied by accident: it is neither `Clone` nor `Copy`, moving it moves a reference, and it prints as its
//!   kind alone.
//! - What is computed from a secret leaves nothing of it behind on the stack; `derive` sees to that.
//! - A host that refuses to lock is no error. It can be asked for: [`locked`], [`undumped`].
//!
//! Not here: where keys come from and are stored (the key store's business), and the decision whether the whole process may be
//! dumped or traced (its owner's, with [`undump_process`]).

mod pool;
#[expect(unsafe_code, reason = "mlock, madvise, setrlimit and prctl")]
mod protect;

use std::fmt;
use std::marker::PhantomData;

use ctutils::CtEq;
use zeroize::Zeroize;

use crate::derive::derive;
use pool::Slot;
pub use pool::{locked, undumped};
pub use protect::undump_process;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// Bytes of a key's commitment.
pub const COMMITMENT_BYTES: usize = 32;

/// The zero byte ends the name, so that no longer name continues into the numbers.
const COMMIT_DOMAIN: &[u8] = b"diatreme/commit/v1\0";

/// What a secret is for. Keeps one kind from being taken for another.
pub trait Kind {
    /// What a secret of this kind prints as.
    const NAME: &'static str;
}

/// Of a [`DataKey`].
pub enum Data {}

/// Of a [`MasterKey`].
pub enum Master {}

/// Of a [`Seed`].
pub enum Signing {}

impl Kind for Data {
    const NAME: &'static str = "DataKey";
}

impl Kind for Master {
    const NAME: &'static str = "MasterKey";
}

impl Kind for Signing {
    const NAME: &'static str = "Seed";
}

/// What a tenant's, or a stream's, records are sealed with, by way of a key for each segment.
pub type DataKey = Secret<Data>;

/// What the keys in a key store are wrapped with.
pub type MasterKey = Secret<Master>;

/// What the Ed25519 key of an engine is made of.
pub type Seed = Secret<Signing>;

/// 32 secret bytes.
pub struct Secret<K> {
    slot: Slot,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Secret<K> {
    /// A new secret, from the system's source of randomness.
    ///
    /// # Errors
    ///
    /// If the system has none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Self::filled_by(|bytes| getrandom::fill(bytes))
    }

    /// Takes the bytes, and wipes them where they were.
    #[must_use]
    pub fn from_bytes(bytes: &mut [u8; SECRET_BYTES]) -> Self {
        let mut secret = Self { slot: Slot::take(), kind: PhantomData };
        secret.slot.bytes_mut().copy_from_slice(bytes);
        bytes.zeroize();
        secret
    }

    /// A secret that is written where it stays. If that fails, nothing of it stays.
    pub(crate) fn filled_by<E>(fill: impl FnOnce(&mut [u8; SECRET_BYTES]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self { slot: Slot::take(), kind: PhantomData };
        fill(secret.slot.bytes_mut())?;
        Ok(secret)
    }

    /// The same secret once more, for another owner.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let mut secret = Self { slot: Slot::take(), kind: PhantomData };
        secret.slot.bytes_mut().copy_from_slice(self.expose());
        secret
    }

    /// The bytes themselves. Whoever copies them has to wipe the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        self.slot.bytes()
    }
}

impl DataKey {
    /// Says which key this is and tells nothing about it. AES-GCM does not: a ciphertext can be made that opens under two
    /// keys. With the commitment in the chain, a key id stands for one key.
    ///
    /// HKDF-SHA-256 of the key with no salt and `"diatreme/commit/v1" 00 tenant:u64-LE key_id:u32-LE`.
    #[must_use]
    pub fn commitment(&self, tenant: u64, key_id: u32) -> [u8; COMMITMENT_BYTES] {
        let mut commitment = [0; COMMITMENT_BYTES];
        derive(self.expose(), &[], &[COMMIT_DOMAIN, &tenant.to_le_bytes(), &key_id.to_le_bytes()], &mut commitment);
        commitment
    }

    /// Whether the commitment is this key's, in a time that tells nothing about either.
    #[must_use]
    pub fn fits(&self, tenant: u64, key_id: u32, commitment: &[u8; COMMITMENT_BYTES]) -> bool {
        same(&self.commitment(tenant, key_id), commitment)
    }
}

/// Whether two values are equal, in a time that tells nothing about them.
#[must_use]
pub fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).to_bool()
}

impl<K: Kind> fmt::Debug for Secret<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(..)", K::NAME)
    }
}

#[cfg(test)]
mod tests;
