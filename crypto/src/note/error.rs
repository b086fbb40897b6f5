//! What is wrong with a note, a checkpoint, a key or a proof.

use std::fmt;

/// Why a text proves nothing. Lines count from 1 over the whole text.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// It is longer than any such text is.
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest that is read.
        limit: usize,
    },
    /// A line is not what belongs there.
    Malformed {
        /// Which one.
        line: usize,
        /// What does.
        expected: &'static str,
    },
    /// The key that was pinned is none.
    Key {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The checkpoint is of another log than the pinned key.
    OtherOrigin {
        /// Which line says so.
        line: usize,
        /// The origin there.
        found: String,
        /// The key's.
        pinned: String,
    },
    /// No signature is by the pinned key.
    NotSigned {
        /// The key.
        key: String,
    },
    /// A signature claims to be by the pinned key, and is not, or not under this text.
    Forged {
        /// Which line.
        line: usize,
        /// The key.
        key: String,
    },
    /// The record is in no tree of that size.
    OutsideTree {
        /// The record's index.
        index: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The record says that it has another index.
    OtherPosition {
        /// The index.
        index: u64,
        /// The record's own position.
        position: u64,
    },
    /// The hashes do not lead from the record to the root.
    NotIncluded {
        /// The record's index.
        index: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The proof is from another checkpoint on than the one that was kept.
    OtherOldSize {
        /// The size in the proof.
        found: u64,
        /// The size of the one that was kept.
        kept: u64,
    },
    /// The new tree does not begin with the old one, or the proof was altered.
    NotConsistent {
        /// The old size.
        old: u64,
        /// The new size.
        new: u64,
    },
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, limit } => write!(f, "{bytes} bytes are more than the {limit} that are read"),
            Self::Malformed { line, expected } => write!(f, "line {line}: expected {expected}"),
            Self::Key { fault } => write!(f, "not a key as name+id+base64: {fault}"),
            Self::OtherOrigin { line, found, pinned } => write!(
                f,
                "line {line}: the origin is {}, the pinned key is of {pinned}: it is of another log, or the wrong key \
                 was given",
                shown(found)
            ),
            Self::NotSigned { key } => write!(f, "no signature is by the pinned key {key}"),
            Self::Forged { line, key } => write!(
                f,
                "line {line}: the signature under the name of {key} does not fit: the text or the signature was \
                 altered, or another key signed it"
            ),
            Self::OutsideTree { index, size } => {
                write!(f, "index {index} is outside of the checkpoint's tree, which has {size} records")
            }
            Self::OtherPosition { index, position } => {
                write!(f, "the record's own position is {position}, the proof's index {index}")
            }
            Self::NotIncluded { index, size } => write!(
                f,
                "the hashes do not lead from the record to the root: what was signed for index {index} of {size} is \
                 not this record, or the proof was altered"
            ),
            Self::OtherOldSize { found, kept } => {
                write!(f, "line 1: the proof is from size {found} on, the checkpoint that was kept has size {kept}")
            }
            Self::NotConsistent { old, new } if old > new => {
                write!(f, "the checkpoint has {new} records, and the one that was kept {old}: the log lost some")
            }
            Self::NotConsistent { old, new } => write!(
                f,
                "the tree of {new} records is not shown to begin with the tree of {old}: the log's history was \
                 rewritten, or the proof altered"
            ),
        }
    }
}

impl std::error::Error for NoteError {}

/// What a file says, as a terminal may see it.
fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 100;
    let more = if text.chars().nth(CHARACTERS_MAX).is_some() { "…" } else { "" };
    text.chars().take(CHARACTERS_MAX).flat_map(char::escape_debug).chain(more.chars()).collect()
}
