//! What is written: noise, or records of the user.

use super::arrivals::Random;
use crate::failure::Failure;
use crate::input::{self, Line, Lines};
use std::path::Path;

/// Bytes of records that a file may have, four for each line's end counted in: all are held in memory, so that reading them is no part of what is measured.
const INPUT_BYTES_MAX: usize = 1 << 30;
/// Noise beyond a record's length: each record is another window on it.
const NOISE_BYTES: usize = 4096;

/// Where records come from.
#[derive(Debug)]
pub(crate) enum Payloads {
    /// Bytes that do not compress.
    Noise {
        /// Longer than a record.
        bytes: Vec<u8>,
        /// Of a record.
        len: usize,
    },
    /// The lines of a file, over and over.
    Lines {
        /// All of them.
        bytes: Vec<u8>,
        /// Where each ends.
        ends: Vec<u32>,
    },
}

impl Payloads {
    pub(crate) fn noise(len: usize) -> Payloads {
        let mut random = Random::new(7);
        Payloads::Noise { bytes: (0..len + NOISE_BYTES).map(|_| random.next() as u8).collect(), len }
    }

    /// Reads a file, a record a line. Lines without a byte are records too.
    pub(crate) fn read(path: &Path, record_bytes_max: usize) -> Result<Payloads, Failure> {
        let name = input::name(path);
        let unreadable = |error: &std::io::Error| Failure::usage(format!("cannot read {name}: {error}"));
        let (mut lines, _) = Lines::open(path, record_bytes_max).map_err(|error| unreadable(&error))?;
        let (mut bytes, mut ends, mut line) = (Vec::new(), Vec::<u32>::new(), Vec::new());
        loop {
            match lines.next(&mut line).map_err(|error| unreadable(&error))? {
                Line::End => break,
                Line::Whole => {}
                Line::TooLong { len } => {
                    let number = ends.len() + 1;
                    let text =
                        format!("{name}: line {number} has {len} bytes: a record has {record_bytes_max} at most");
                    return Err(Failure::usage(text));
                }
            }
            if bytes.len() + line.len() + size_of_val(ends.as_slice()) > INPUT_BYTES_MAX {
                return Err(Failure::usage(format!("{name}: more than {INPUT_BYTES_MAX} bytes: take a part of it")));
            }
            bytes.extend_from_slice(&line);
            ends.push(bytes.len() as u32);
        }
        if ends.is_empty() {
            return Err(Failure::usage(format!("{name}: no line in it, so there is no record to replay")));
        }
        Ok(Payloads::Lines { bytes, ends })
    }

    /// Record number `at`.
    #[inline]
    pub(crate) fn record(&self, at: u64) -> &[u8] {
        match self {
            Payloads::Noise { bytes, len } => {
                let from = at as usize % NOISE_BYTES;
                &bytes[from..from + len]
            }
            Payloads::Lines { bytes, ends } => {
                let line = (at % ends.len() as u64) as usize;
                let start = if line == 0 { 0 } else { ends[line - 1] as usize };
                &bytes[start..ends[line] as usize]
            }
        }
    }

    /// The mean length of a record, rounded.
    pub(crate) fn bytes_mean(&self) -> usize {
        match self {
            Payloads::Noise { len, .. } => *len,
            Payloads::Lines { bytes, ends } => (bytes.len() + ends.len() / 2) / ends.len(),
        }
    }

    /// The longest record.
    pub(crate) fn bytes_max(&self) -> usize {
        match self {
            Payloads::Noise { len, .. } => *len,
            Payloads::Lines { ends, .. } => {
                let starts = std::iter::once(&0).chain(ends);
                ends.iter().zip(starts).map(|(end, start)| (end - start) as usize).max().unwrap_or(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_order_and_over_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\n\nthree").unwrap();
        let payloads = Payloads::read(file.path(), 5).unwrap();
        let records: Vec<&[u8]> = (0..4).map(|at| payloads.record(at)).collect();
        assert_eq!(records, [&b"one"[..], b"", b"three", b"one"]);
        assert_eq!((payloads.bytes_mean(), payloads.bytes_max()), (3, 5));
        let refused = |max| Payloads::read(file.path(), max).unwrap_err();
        assert!(refused(4).message().unwrap().contains("line 3 has 5 bytes"));
        std::fs::write(file.path(), "").unwrap();
        assert!(refused(4).message().unwrap().contains("no record"));
    }

    #[test]
    fn noise_has_the_length_and_does_not_repeat_at_once() {
        let noise = Payloads::noise(100);
        assert!((0..10_000).all(|at| noise.record(at).len() == 100));
        assert_ne!(noise.record(0), noise.record(1));
        assert_eq!(Payloads::noise(0).record(5), b"");
    }
}
