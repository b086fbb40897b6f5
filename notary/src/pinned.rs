//! A client that remembers: the last checkpoint of an origin that was accepted, in a file of whoever holds the log to account.
//!
//! What must stay true: what is accepted is signed by the pinned key, and extends what was accepted before; it is durable when
//! it is said to be accepted. A file that is there and cannot be read is never taken for the beginning. Removing the file is
//! forgetting, and nothing here can notice.

use crate::files;
use crypto::merkle;
use crypto::note::{Checkpoint, ConsistencyProof, NOTE_BYTES_MAX, NoteError, Verifier};
use std::fmt;
use std::path::{Path, PathBuf};

/// The longest file: a key's line and a note.
const BYTES_MAX: u64 = NOTE_BYTES_MAX as u64 + 4096;

/// The memory of one origin.
#[derive(Debug)]
pub struct Pinned {
    path: PathBuf,
    key: Verifier,
    last: Option<Checkpoint>,
}

/// What was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The first checkpoint: nothing was there to compare it with.
    First,
    /// The tree that was accepted last.
    Same,
    /// A tree that begins with the one that was accepted last.
    Extended {
        /// So many records are new.
        records: u64,
    },
}

/// Why a checkpoint is not accepted, or the memory of the last one cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum PinnedError {
    /// The checkpoint, or its proof, is not what it has to be: another origin, no signature by the pinned key, no text of
    /// this kind.
    Note(NoteError),
    /// It has fewer records than the one that was accepted.
    Rollback {
        /// Records of the one that was accepted.
        kept: u64,
        /// Records of this.
        found: u64,
    },
    /// It is signed and does not extend the one that was accepted: the signer shows two histories.
    Fork {
        /// Records of the one that was accepted.
        kept: u64,
        /// Records of this.
        found: u64,
    },
    /// It has more records, and no proof that they follow on the ones before came with it.
    NeedsProof {
        /// Records of the one that was accepted.
        kept: u64,
        /// Records of this.
        found: u64,
    },
    /// The file is of another key.
    OtherKey {
        /// The file.
        path: PathBuf,
        /// The key in it.
        found: String,
    },
    /// The file is not what was written.
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    File(crate::Error),
}

impl Pinned {
    /// Opens the memory at `path` for the key of an origin. Without a file there, nothing was accepted yet.
    ///
    /// # Errors
    /// If the file is of another key, is damaged, or cannot be read.
    pub fn open(path: &Path, key: Verifier) -> Result<Pinned, PinnedError> {
        let damaged = || PinnedError::Damaged { path: path.into() };
        let bytes = files::read(path, BYTES_MAX).map_err(PinnedError::File)?;
        let last = match bytes {
            None => None,
            Some(bytes) => {
                let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
                let (name, note) = (&bytes[..end], &bytes[end + 1..]);
                if name != key.to_string().as_bytes() {
                    let found = String::from_utf8_lossy(name).chars().take(300).collect();
                    return Err(PinnedError::OtherKey { path: path.into(), found });
                }
                Some(Checkpoint::open(note, &key).map_err(|_| damaged())?)
            }
        };
        Ok(Pinned { path: path.into(), key, last })
    }

    /// What was accepted last.
    #[must_use]
    pub fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// Accepts a signed checkpoint, with the proof that it extends the last one where it is larger. It is durable when this
    /// returns.
    ///
    /// # Errors
    /// If it is not to be believed, or cannot be remembered. Then the last one stays.
    pub fn accept(&mut self, note: &[u8], proof: Option<&ConsistencyProof>) -> Result<Accepted, PinnedError> {
        let new = Checkpoint::open(note, &self.key).map_err(PinnedError::Note)?;
        let accepted = match &self.last {
            None => Accepted::First,
            Some(kept) => extends(kept, &new, proof)?,
        };
        if accepted != Accepted::Same {
            let text = [self.key.to_string().as_bytes(), b"\n", note].concat();
            files::replace(&self.path, &text).map_err(PinnedError::File)?;
            self.last = Some(new);
        }
        Ok(accepted)
    }
}

fn extends(kept: &Checkpoint, new: &Checkpoint, proof: Option<&ConsistencyProof>) -> Result<Accepted, PinnedError> {
    let sizes = (kept.size, new.size);
    let (kept_size, found) = sizes;
    if found < kept_size {
        return Err(PinnedError::Rollback { kept: kept_size, found });
    }
    if found == kept_size {
        let same = kept.root == new.root;
        return if same { Ok(Accepted::Same) } else { Err(PinnedError::Fork { kept: kept_size, found }) };
    }
    let proof = proof.ok_or(PinnedError::NeedsProof { kept: kept_size, found })?;
    if proof.old != kept_size {
        return Err(PinnedError::Note(NoteError::OtherOldSize { found: proof.old, kept: kept_size }));
    }
    match merkle::is_consistent(kept_size, found, &proof.hashes, &kept.root, &new.root) {
        true => Ok(Accepted::Extended { records: found - kept_size }),
        false => Err(PinnedError::Fork { kept: kept_size, found }),
    }
}

impl fmt::Display for PinnedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinnedError::Note(error) => error.fmt(f),
            PinnedError::Rollback { kept, found } => write!(
                f,
                "the checkpoint has {found} records, the one that was accepted {kept}: it is an older one, or the log lost \
                 records; the one that was accepted stays"
            ),
            PinnedError::Fork { kept, found } => write!(
                f,
                "the tree of {found} records is not shown to begin with the tree of {kept} that was accepted, under the same \
                 key: the proof was altered, or the signer shows two histories; keep both checkpoints, they are the evidence"
            ),
            PinnedError::NeedsProof { kept, found } => write!(
                f,
                "the checkpoint has {found} records, the one that was accepted {kept}: ask for the proof from {kept} on, as \
                 `diatreme prove consistency` gives it"
            ),
            PinnedError::OtherKey { path, found } => {
                write!(f, "{} remembers checkpoints of the key {}", path.display(), found.escape_debug())
            }
            PinnedError::Damaged { path } => write!(
                f,
                "{} is not as it was written: put it back from a backup; without it nothing tells what was accepted",
                path.display()
            ),
            PinnedError::File(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PinnedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PinnedError::Note(error) => Some(error),
            PinnedError::File(error) => Some(error),
            _ => None,
        }
    }
}
