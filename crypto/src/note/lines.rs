//! A text from outside, taken line by line, each with its number for whoever has to look at it.

use super::{NoteError, PROOF_HASHES_MAX};
use crate::merkle::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What is left of a text.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    /// A text that is short enough, UTF-8, and has no control characters but newlines.
    pub(super) fn new(bytes: &'a [u8], limit: usize) -> Result<Self, NoteError> {
        if bytes.len() > limit {
            return Err(NoteError::TooLong { bytes: bytes.len(), limit });
        }
        let line_of = |at: usize| 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        let expected = "a text: UTF-8, and no control characters but newlines (no carriage returns either)";
        let text = str::from_utf8(bytes)
            .map_err(|error| NoteError::Malformed { line: line_of(error.valid_up_to()), expected })?;
        match text.bytes().position(|byte| byte < b' ' && byte != b'\n') {
            Some(at) => Err(NoteError::Malformed { line: line_of(at), expected }),
            None => Ok(Self { rest: text, number: 1 }),
        }
    }

    /// The text from the next line on.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    /// The number of the next line.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The text `bytes` further on, where a line begins.
    pub(super) fn skip(self, bytes: usize) -> Self {
        let (before, rest) = self.rest.split_at(bytes);
        Self { rest, number: self.number + before.matches('\n').count() }
    }

    /// The first `bytes` of it.
    pub(super) fn upto(self, bytes: usize) -> Self {
        Self { rest: &self.rest[..bytes], ..self }
    }

    /// The same, counted as if it stood further down.
    pub(super) fn from(self, line: usize) -> Self {
        Self { number: line, ..self }
    }

    /// The next line, without its newline, which has to be there.
    pub(super) fn next(&mut self, expected: &'static str) -> Result<&'a str, NoteError> {
        let malformed = NoteError::Malformed { line: self.number, expected };
        let (line, rest) = self.rest.split_once('\n').ok_or(malformed)?;
        self.rest = rest;
        self.number += 1;
        Ok(line)
    }

    /// The next line, as `parse` reads it.
    pub(super) fn parsed<T>(
        &mut self,
        expected: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, NoteError> {
        let line = self.number;
        parse(self.next(expected)?).ok_or(NoteError::Malformed { line, expected })
    }

    /// A proof's hashes, up to the empty line behind them.
    pub(super) fn hashes(&mut self) -> Result<Vec<Hash>, NoteError> {
        let mut hashes = Vec::new();
        loop {
            let line = self.parsed("a hash, base64 of 32 bytes, or an empty line after the last", |line| {
                if line.is_empty() { Some(None) } else { hash(line).map(Some) }
            })?;
            let Some(hash) = line else { return Ok(hashes) };
            if hashes.len() == PROOF_HASHES_MAX {
                return Err(NoteError::Malformed { line: self.number - 1, expected: "no more than 63 hashes" });
            }
            hashes.push(hash);
        }
    }
}

/// A decimal number as there is one way to write it.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

/// A hash in base64.
pub(super) fn hash(text: &str) -> Option<Hash> {
    from_base64(text)?.try_into().ok().map(Hash::from_bytes)
}

/// The bytes of a text in base64 (RFC 4648, section 4), with all of its padding and no bits set that stand for nothing.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) fn base64_of(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}
