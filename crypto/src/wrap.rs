//! Secrets wrapped under the master key, and the code that authenticates a store of them.
//!
//! ```text
//! wrapping key = HKDF-SHA-256( key = master key, salt = the store's, info = "diatreme/wrap/v1"  00 engine[16] )
//! code's key   = HKDF-SHA-256( key = master key, salt = the store's, info = "diatreme/store/v1" 00 engine[16] )
//! wrapped      = AES-256 key wrap (RFC 3394) of 32 bytes: 40
//! code         = HMAC-SHA-256
//! ```
//!
//! Key wrap needs no nonce, so a store that is restored from an older copy and wrapped again repeats none. It is
//! deterministic: the same secret under the same keys wraps to the same bytes, and a store has a new salt each time.
//!
//! Not here: the layout of a store, and where the master key comes from.

use aes_kw::KwAes256;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::derive::{derive, without_trace};
pub use crate::seal::Broken;
use crate::secret::{Kind, MasterKey, SECRET_BYTES, Secret};

/// Bytes of a wrapped secret.
pub const WRAPPED_BYTES: usize = SECRET_BYTES + aes_kw::IV_LEN;

/// Bytes of a store's salt.
pub const SALT_BYTES: usize = 32;

/// Bytes of an engine's id.
pub const ENGINE_BYTES: usize = 16;

/// Bytes of [`StoreKeys::mac`].
pub const MAC_BYTES: usize = 32;

// The zero byte ends each name, so that no longer name continues into the engine's id.
const WRAP_DOMAIN: &[u8] = b"diatreme/wrap/v1\0";
const STORE_DOMAIN: &[u8] = b"diatreme/store/v1\0";

enum Wrapping {}
enum Authenticating {}

impl Kind for Wrapping {
    const NAME: &'static str = "WrappingKey";
}

impl Kind for Authenticating {
    const NAME: &'static str = "AuthenticatingKey";
}

/// What a master key gives for one writing of one engine's key store.
#[derive(Debug)]
pub struct StoreKeys {
    wrapping: Secret<Wrapping>,
    authenticating: Secret<Authenticating>,
}

impl StoreKeys {
    /// The salt is new each time that the store is written under new wrappings.
    #[must_use]
    pub fn derive(master: &MasterKey, salt: &[u8; SALT_BYTES], engine: &[u8; ENGINE_BYTES]) -> Self {
        Self {
            wrapping: derived(master, salt, WRAP_DOMAIN, engine),
            authenticating: derived(master, salt, STORE_DOMAIN, engine),
        }
    }

    /// The secret as it may be stored.
    #[must_use]
    pub fn wrap<K: Kind>(&self, secret: &Secret<K>) -> [u8; WRAPPED_BYTES] {
        wrap(self.wrapping.expose(), secret.expose())
    }

    /// The secret that was wrapped.
    ///
    /// # Errors
    ///
    /// If it was wrapped under another master key, salt or engine, or altered since.
    pub fn unwrap<K: Kind>(&self, wrapped: &[u8; WRAPPED_BYTES]) -> Result<Secret<K>, Broken> {
        Secret::filled_by(|secret| unwrap(self.wrapping.expose(), wrapped, secret))
    }

    /// The code that authenticates the parts, one after the other. Where one ends and the next begins is not part of it.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        without_trace(|| hmac(self.authenticating.expose(), parts).finalize().into_bytes().into())
    }

    /// Whether `mac` is the code of the parts, in a time that tells nothing about it.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn check(&self, parts: &[&[u8]], mac: &[u8; MAC_BYTES]) -> Result<(), Broken> {
        if crate::secret::same(&self.mac(parts), mac) { Ok(()) } else { Err(Broken) }
    }
}

fn derived<K: Kind>(
    master: &MasterKey,
    salt: &[u8; SALT_BYTES],
    domain: &[u8],
    engine: &[u8; ENGINE_BYTES],
) -> Secret<K> {
    let derived = Secret::filled_by(|key| {
        derive(master.expose(), salt, &[domain, engine], key);
        Ok(())
    });
    match derived {
        Ok(secret) => secret,
        Err::<_, std::convert::Infallible>(never) => match never {},
    }
}

fn wrap(key: &[u8; SECRET_BYTES], secret: &[u8; SECRET_BYTES]) -> [u8; WRAPPED_BYTES] {
    let mut wrapped = [0; WRAPPED_BYTES];
    let done = without_trace(|| KwAes256::new(key.into()).wrap_key(secret, &mut wrapped).is_ok());
    assert!(done, "32 bytes wrap to 40");
    wrapped
}

fn unwrap(
    key: &[u8; SECRET_BYTES],
    wrapped: &[u8; WRAPPED_BYTES],
    secret: &mut [u8; SECRET_BYTES],
) -> Result<(), Broken> {
    without_trace(|| KwAes256::new(key.into()).unwrap_key(wrapped, secret).map(|_| ()).map_err(|_| Broken))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length");
    };
    for part in parts {
        hmac.update(part);
    }
    hmac
}

#[cfg(test)]
mod tests;
