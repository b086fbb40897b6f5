//! Checkpoints: how many records a tenant has, and the root of their tree, signed.

use super::lines::{Lines, decimal, hash};
use super::{NOTE_BYTES_MAX, NoteError, SignedNote, Signer, Verifier};
use crate::merkle::Hash;
use std::fmt;
use std::str::FromStr;

/// Whose tree it is: an engine's tenant. The name of the key that signs for it.
///
/// As text `diatreme/<engine id, 32 hexadecimal digits>/<tenant id, 16>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The engine's id, as the manifest has it.
    pub engine: [u8; 16],
    /// The tenant's id.
    pub tenant: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "diatreme/{:032x}/{:016x}", u128::from_be_bytes(self.engine), self.tenant)
    }
}

impl FromStr for Origin {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let origin = text.strip_prefix("diatreme/").and_then(|rest| rest.split_once('/'));
        let origin = origin.and_then(|(engine, tenant)| {
            let engine = u128::from_str_radix(engine, 16).ok()?.to_be_bytes();
            Some(Self { engine, tenant: u64::from_str_radix(tenant, 16).ok()? })
        });
        // What is written back differs in letter case, signs and missing zeros.
        let fault = "its name is not an origin as diatreme/<engine>/<tenant>";
        origin.filter(|origin| origin.to_string() == text).ok_or(NoteError::Key { fault })
    }
}

/// A tenant's tree at one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub origin: Origin,
    /// Records of the tenant: the positions below this one.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// When it was signed, nanoseconds since 1970.
    pub time: u64,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { origin, size, root, time } = self;
        format!("{origin}\n{size}\n{}\ntime {time}\n", root.to_base64())
    }

    /// The signed note.
    #[must_use]
    pub fn sign(&self, signer: &Signer) -> String {
        let key = signer.verifier(&self.origin.to_string()).expect("an origin is a name, and a seed gives no weak key");
        signer.sign(&key, &self.text())
    }

    /// Reads a signed note, and believes it if the pinned key signed it.
    ///
    /// # Errors
    ///
    /// That it is no checkpoint, not of the key's origin, or not signed by the key.
    pub fn open(note: &[u8], key: &Verifier) -> Result<Self, NoteError> {
        Self::open_rest(Lines::new(note, NOTE_BYTES_MAX)?, key)
    }

    /// The same for one that stands at the end of a proof.
    pub(super) fn open_rest(lines: Lines<'_>, key: &Verifier) -> Result<Self, NoteError> {
        let origin = Origin::from_str(key.name())?;
        let note = SignedNote::parse_rest(lines.clone())?;
        // Before the signature: a key of another name has none there, and this says why.
        let (line, found) = (lines.number(), lines.clone().next("the origin")?);
        if found != key.name() {
            return Err(NoteError::OtherOrigin { line, found: found.into(), pinned: key.name().into() });
        }
        let text = note.verify(key)?;
        let mut lines = lines.upto(text.len());
        lines.next("the origin")?;
        let size = lines.parsed("the size, a decimal number without leading zeros", decimal)?;
        let root = lines.parsed("the root, base64 of 32 bytes", hash)?;
        let time =
            lines.parsed("time, a space, and nanoseconds since 1970", |line| decimal(line.strip_prefix("time ")?))?;
        // Extensions of later writers.
        while !lines.rest().is_empty() {
            lines.parsed("an extension line that is not empty", |line| (!line.is_empty()).then_some(()))?;
        }
        Ok(Self { origin, size, root, time })
    }
}
