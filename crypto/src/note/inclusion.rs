//! The proof that one record is in a checkpoint's tree: C2SP's tlog-proof, with the record as its extra data.

use super::lines::{Lines, decimal};
use super::{Checkpoint, NoteError, PROOF_BYTES_MAX, Verifier, base64_of, from_base64};
use crate::Link;
use crate::merkle::{self, Hash};
use std::fmt::Write;

/// The first line.
const HEADING: &str = "c2sp.org/tlog-proof@v1";

/// Lines before the first hash: heading, extra data, index.
const LINES_BEFORE_HASHES: usize = 3;

/// Bytes of the extra data before the record: stream, link before.
const EXTRA_BYTES: usize = 4 + 32;

/// Bytes of a record before its payload, without the slot, which is not hashed.
const HEADER_BYTES: usize = 34;

/// Bytes of a sealed record's tag.
const TAG_BYTES: usize = 16;

/// Bit 0 of a record's flags: sealed.
const SEALED: u8 = 1;

/// A record, the way from it to a root, and the checkpoint that signs the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The record's position.
    pub index: u64,
    /// Its stream.
    pub stream: u32,
    /// The stream's link before it.
    pub link_before: Link,
    /// Its bytes as they are hashed: header without slot, payload or ciphertext, tag if it is sealed.
    pub record: Vec<u8>,
    /// From the bottom up.
    pub hashes: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

/// What an inclusion proof proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included<'a> {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The record's stream.
    pub stream: u32,
    /// The record.
    pub record: ProvenRecord<'a>,
}

/// A record as a proof has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenRecord<'a> {
    /// 1 is data; the others are the tenant's catalog.
    pub kind: u8,
    /// Its offset in the stream.
    pub offset: u64,
    /// Its position in the tenant: the proof's index.
    pub position: u64,
    /// Nanoseconds since 1970.
    pub timestamp: u64,
    /// Which key sealed it; 0 if none did.
    pub key_id: u32,
    /// The payload; ciphertext if it is sealed.
    pub payload: &'a [u8],
    /// The tag, if it is sealed.
    pub tag: Option<&'a [u8; TAG_BYTES]>,
}

impl InclusionProof {
    /// Whether a text is meant to be one, by its first line.
    #[must_use]
    pub fn is_meant(text: &[u8]) -> bool {
        text.starts_with(HEADING.as_bytes())
    }

    /// The proof as text.
    #[must_use]
    pub fn encode(&self) -> String {
        let extra = [&self.stream.to_le_bytes(), self.link_before.as_bytes().as_slice(), &self.record].concat();
        let mut text = format!("{HEADING}\nextra {}\nindex {}\n", base64_of(extra), self.index);
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
        lines.parsed(HEADING, |line| (line == HEADING).then_some(()))?;
        let extra = lines.parsed("extra, a space, and base64 of stream, link before, and record", |line| {
            from_base64(line.strip_prefix("extra ")?).filter(|extra| is_whole(extra))
        })?;
        let index = lines.parsed("index, a space, and a decimal number without leading zeros", |line| {
            decimal(line.strip_prefix("index ")?)
        })?;
        let hashes = lines.hashes()?;
        let (stream, rest) = extra.split_first_chunk().expect("the extra data is whole");
        let (link, record) = rest.split_first_chunk().expect("the extra data is whole");
        Ok(Self {
            index,
            stream: u32::from_le_bytes(*stream),
            link_before: Link::from_bytes(*link),
            record: record.to_vec(),
            hashes,
            checkpoint: lines.rest().into(),
        })
    }

    /// Checks that the pinned key signed a tree in which the record has this index.
    ///
    /// # Errors
    ///
    /// What is wrong with the proof, or with its checkpoint.
    pub fn verify(&self, key: &Verifier) -> Result<Included<'_>, NoteError> {
        let lines = Lines::new(self.checkpoint.as_bytes(), PROOF_BYTES_MAX)?;
        let checkpoint = Checkpoint::open_rest(lines.from(LINES_BEFORE_HASHES + self.hashes.len() + 2), key)?;
        let (index, size) = (self.index, checkpoint.size);
        let expected = "extra data whose record has the length that it says";
        let record = ProvenRecord::decode(&self.record).ok_or(NoteError::Malformed { line: 2, expected })?;
        if index >= size {
            return Err(NoteError::OutsideTree { index, size });
        }
        if record.position != index {
            return Err(NoteError::OtherPosition { index, position: record.position });
        }
        let link = crate::next(&self.link_before, &self.record);
        let leaf = merkle::leaf(checkpoint.origin.tenant, self.stream, &link);
        if !merkle::is_included(index, size, &leaf, &self.hashes, &checkpoint.root) {
            return Err(NoteError::NotIncluded { index, size });
        }
        Ok(Included { checkpoint, stream: self.stream, record })
    }
}

/// Whether extra data ends where its record does.
fn is_whole(extra: &[u8]) -> bool {
    extra.get(EXTRA_BYTES..).is_some_and(|record| ProvenRecord::decode(record).is_some())
}

impl<'a> ProvenRecord<'a> {
    /// None if the record does not end where it says.
    fn decode(record: &'a [u8]) -> Option<Self> {
        let (header, rest) = record.split_first_chunk::<HEADER_BYTES>()?;
        let number = |at: usize| header[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        let word = |at: usize| header[at..].first_chunk().copied().map_or(0, u32::from_le_bytes);
        let (payload, tag) = rest.split_at_checked(word(2) as usize)?;
        let tag = if header[1] & SEALED != 0 { Some(tag.try_into().ok()?) } else { tag.is_empty().then_some(None)? };
        Some(Self {
            kind: header[0],
            offset: number(6),
            position: number(14),
            timestamp: number(22),
            key_id: word(30),
            payload,
            tag,
        })
    }
}
