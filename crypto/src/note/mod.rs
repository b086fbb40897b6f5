//! Signed notes, checkpoints, and proofs: texts that an auditor keeps, and that anyone can check without our code.
//!
//! The formats are C2SP's: signed-note, tlog-checkpoint, tlog-proof, and the body of tlog-witness' add-checkpoint;
//! `docs/format.md` has them with what is our own. Signatures are Ed25519 (RFC 8032).
//!
//! What must stay true:
//!
//! - Nothing of a text is believed before the signature under the pinned key is: a [`Checkpoint`] comes from outside only
//!   through [`Checkpoint::open`].
//! - There is one way to write what is signed: numbers without leading zeros, base64 with its padding and no stray bits,
//!   lines that end in a newline. Whatever else is refused, with the number of its line.
//! - Texts from outside have limits, and nothing in them makes anything here panic.
//! - Signatures of other keys are skipped, as the specification wants it: witnesses may add theirs.
//!
//! Not here: which checkpoints may be signed. That takes memory that outlives a crash, and so files.

mod checkpoint;
mod consistency;
mod error;
mod inclusion;
mod key;
mod lines;

pub use checkpoint::{Checkpoint, Origin};
pub use consistency::ConsistencyProof;
pub use error::NoteError;
pub use inclusion::{Included, InclusionProof, ProvenRecord};
pub use key::{Signer, Verifier};

use key::{SIGNATURE_BYTES, is_name};
use lines::{Lines, base64_of, from_base64};

/// Bytes of a signed note, at most: twice sixteen post-quantum signatures.
pub const NOTE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a proof, at most. Base64 takes four bytes for three, and a record has less than 2 MiB.
pub const PROOF_BYTES_MAX: usize = 4 << 20;

/// Signatures of a note, at most; the specification asks for 16.
pub const SIGNATURES_MAX: usize = 64;

/// Hashes of a proof, at most: one for each level of the highest tree.
pub const PROOF_HASHES_MAX: usize = 63;

/// What every signature line begins with.
const SIGNATURE_MARK: &str = "— ";

/// Bytes of the key's id before the signature itself.
const KEY_ID_BYTES: usize = 4;

/// A note's text and the signatures under it, of which none is believed yet.
#[derive(Clone, Debug)]
pub struct SignedNote<'a> {
    text: &'a str,
    signatures: Vec<Signature<'a>>,
}

#[derive(Clone, Debug)]
struct Signature<'a> {
    line: usize,
    name: &'a str,
    id: [u8; KEY_ID_BYTES],
    bytes: Vec<u8>,
}

impl<'a> SignedNote<'a> {
    /// Takes a note apart.
    ///
    /// # Errors
    ///
    /// What keeps it from being one, and in which line.
    pub fn parse(note: &'a [u8]) -> Result<Self, NoteError> {
        Self::parse_rest(Lines::new(note, NOTE_BYTES_MAX)?)
    }

    /// The same for one that stands at the end of another text.
    fn parse_rest(lines: Lines<'a>) -> Result<Self, NoteError> {
        let (note, first_line) = (lines.rest(), lines.number());
        let unsigned = |line| NoteError::Malformed { line, expected: "an empty line and then signatures" };
        let Some(split) = note.rfind("\n\n") else {
            return Err(unsigned(first_line + note.lines().count()));
        };
        let text = &note[..=split];
        let mut lines = lines.skip(split + 2);
        let mut signatures = Vec::new();
        while !lines.rest().is_empty() {
            if signatures.len() == SIGNATURES_MAX {
                return Err(NoteError::Malformed { line: lines.number(), expected: "no more than 64 signatures" });
            }
            signatures.push(Signature::parse(&mut lines)?);
        }
        if signatures.is_empty() { Err(unsigned(lines.number())) } else { Ok(Self { text, signatures }) }
    }

    /// The text, if a signature of `key` stands under it, and each one that does fits.
    ///
    /// # Errors
    ///
    /// That there is none, or one that does not fit.
    pub fn verify(&self, key: &Verifier) -> Result<&'a str, NoteError> {
        let by_key = |signature: &&Signature<'_>| signature.name == key.name() && signature.id == key.id();
        let mut signatures = self.signatures.iter().filter(by_key).peekable();
        if signatures.peek().is_none() {
            return Err(NoteError::NotSigned { key: key.to_string() });
        }
        for signature in signatures {
            let bytes: Option<&[u8; SIGNATURE_BYTES]> = signature.bytes.as_slice().try_into().ok();
            if !bytes.is_some_and(|bytes| key.fits(self.text.as_bytes(), bytes)) {
                return Err(NoteError::Forged { line: signature.line, key: key.to_string() });
            }
        }
        Ok(self.text)
    }
}

impl<'a> Signature<'a> {
    fn parse(lines: &mut Lines<'a>) -> Result<Self, NoteError> {
        let line = lines.number();
        let expected = "a signature: an em dash, a key's name, base64 of the key's id and the signature";
        let signature = lines.next(expected)?;
        let parsed = signature.strip_prefix(SIGNATURE_MARK).and_then(|rest| rest.split_once(' '));
        let parsed = parsed.filter(|(name, _)| is_name(name)).and_then(|(name, base64)| {
            let bytes = from_base64(base64)?;
            let (id, bytes) = bytes.split_first_chunk::<KEY_ID_BYTES>()?;
            (!bytes.is_empty()).then(|| Self { line, name, id: *id, bytes: bytes.to_vec() })
        });
        parsed.ok_or(NoteError::Malformed { line, expected })
    }
}

#[cfg(test)]
mod tests;
