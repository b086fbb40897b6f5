//! The proof that a log only grew: that the tree of a checkpoint begins with the tree of one that was kept. The text is
//! what C2SP's tlog-witness sends to a witness.

use super::lines::{Lines, decimal};
use super::{Checkpoint, NoteError, PROOF_BYTES_MAX, Verifier};
use crate::merkle::{self, Hash};
use std::fmt::Write;

/// What the first line begins with.
const HEADING: &str = "old ";

/// A size, the way from its root to a newer one, and the checkpoint that signs that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The size of the checkpoint that was kept.
    pub old: u64,
    /// From the bottom up.
    pub hashes: Vec<Hash>,
    /// The newer one, the signed note.
    pub checkpoint: String,
}

impl ConsistencyProof {
    /// Whether a text is meant to be one, by its first line.
    #[must_use]
    pub fn is_meant(text: &[u8]) -> bool {
        text.starts_with(HEADING.as_bytes())
    }

    /// The proof as text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{HEADING}{}\n", self.old);
        for hash in &self.hashes {
            writeln!(text, "{}", hash.to_base64()).expect("a string takes all");
        }
        text + "\n" + &self.checkpoint
    }

    /// Takes a text apart, and believes nothing of it.
    ///
    /// # Errors
    ///
    /// What keeps it from being a proof, and in which line.
    pub fn decode(text: &[u8]) -> Result<Self, NoteError> {
        let mut lines = Lines::new(text, PROOF_BYTES_MAX)?;
        let old = lines.parsed("old, a space, and a decimal number without leading zeros", |line| {
            decimal(line.strip_prefix(HEADING)?)
        })?;
        let hashes = lines.hashes()?;
        Ok(Self { old, hashes, checkpoint: lines.rest().into() })
    }

    /// Checks that the pinned key signed a tree that begins with the one of `kept`, and gives that newer checkpoint.
    ///
    /// # Errors
    ///
    /// What is wrong with the proof, or with its checkpoint.
    pub fn verify(&self, kept: &Checkpoint, key: &Verifier) -> Result<Checkpoint, NoteError> {
        let lines = Lines::new(self.checkpoint.as_bytes(), PROOF_BYTES_MAX)?;
        let first_line = 1 + self.hashes.len() + 2;
        let new = Checkpoint::open_rest(lines.from(first_line), key)?;
        if kept.origin != new.origin {
            let (found, pinned) = (new.origin.to_string(), kept.origin.to_string());
            return Err(NoteError::OtherOrigin { line: first_line, found, pinned });
        }
        if self.old != kept.size {
            return Err(NoteError::OtherOldSize { found: self.old, kept: kept.size });
        }
        if !merkle::is_consistent(kept.size, new.size, &self.hashes, &kept.root, &new.root) {
            return Err(NoteError::NotConsistent { old: kept.size, new: new.size });
        }
        Ok(new)
    }
}
