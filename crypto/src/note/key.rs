//! Keys of notes: the signer's, and the text that an auditor pins.

use super::{KEY_ID_BYTES, NoteError, SIGNATURE_MARK, base64_of, from_base64};
use crate::sha256;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use std::fmt;
use std::str::FromStr;

/// What a note's specification calls Ed25519.
const ED25519: u8 = 1;

/// Bytes of a signature.
pub(super) const SIGNATURE_BYTES: usize = 64;

/// The secret half. One key signs under many names; names and ids keep its signatures apart.
pub struct Signer(Box<SigningKey>);

impl Signer {
    /// The key of a seed, of which it keeps a copy that is wiped when it goes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        // On the heap from the start, so that moving the signer leaves no copy behind.
        Self(Box::new(SigningKey::from_bytes(seed)))
    }

    /// The public half, under a name.
    ///
    /// # Errors
    ///
    /// That it is none: empty, or with spaces or a plus sign.
    pub fn verifier(&self, name: &str) -> Result<Verifier, NoteError> {
        Verifier::new(name, self.0.verifying_key())
    }

    /// The note of `text`, signed under the name of `key`.
    ///
    /// # Panics
    ///
    /// If `key` is not of this signer, or the text not a note's: it ends with a newline and has no other control
    /// characters.
    #[must_use]
    pub fn sign(&self, key: &Verifier, text: &str) -> String {
        assert_eq!(key.public, self.0.verifying_key(), "a signature under the name of another key");
        let is_text = text.ends_with('\n') && !text.bytes().any(|byte| byte < b' ' && byte != b'\n');
        assert!(is_text, "a note's text is of whole lines");
        let signature = self.0.sign(text.as_bytes()).to_bytes();
        let signature = base64_of([key.id().as_slice(), &signature].concat());
        format!("{text}\n{SIGNATURE_MARK}{} {signature}\n", key.name)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

/// The public half of a key, with the name it signs under: what an auditor pins.
///
/// As text `name+id+base64(01 ‖ public key)`, where the id, eight hexadecimal digits, is of the name and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    public: VerifyingKey,
}

impl Verifier {
    pub(super) fn new(name: &str, public: VerifyingKey) -> Result<Self, NoteError> {
        let fault = if !is_name(name) {
            "its name is empty, or has a space or a plus sign"
        } else if public.is_weak() {
            "its public key is one that many signatures fit"
        } else {
            return Ok(Self { name: name.into(), public });
        };
        Err(NoteError::Key { fault })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id: a short hash of name and key, to find signatures by, not to trust them.
    pub(super) fn id(&self) -> [u8; KEY_ID_BYTES] {
        let hash = sha256(&[self.name.as_bytes(), b"\n", &[ED25519], self.public.as_bytes()]);
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// Whether the key signed this message. Signatures that RFC 8032 leaves to taste are refused, so that no other
    /// verifier differs.
    pub(super) fn fits(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.public.verify_strict(message, &signature.into()).is_ok()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base64_of([&[ED25519], self.public.as_bytes().as_slice()].concat());
        write!(f, "{}+{:08x}+{key}", self.name, u32::from_be_bytes(self.id()))
    }
}

impl FromStr for Verifier {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let fault = |fault| NoteError::Key { fault };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(fault("it has not three parts"));
        };
        let key = from_base64(key).ok_or(fault("its third part is not base64"))?;
        let (&[ED25519], public) = key.split_at_checked(1).ok_or(fault("its third part is empty"))? else {
            return Err(fault("it is not an Ed25519 key"));
        };
        let public: &[u8; 32] = public.try_into().map_err(|_| fault("its public key has not 32 bytes"))?;
        let public = VerifyingKey::from_bytes(public).map_err(|_| fault("its public key is no point of the curve"))?;
        let verifier = Self::new(name, public)?;
        let same = id == format!("{:08x}", u32::from_be_bytes(verifier.id()));
        if same { Ok(verifier) } else { Err(fault("its id is not the hash of name and public key")) }
    }
}

/// What may be a key's name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}
