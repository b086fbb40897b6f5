//! Looking for something in all memory of this process and in files, without holding it.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "only a test uses this")]

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Bytes that are looked for at once. Half of a key is found, too.
const PIECE_BYTES: usize = 16;
const CHUNK_BYTES: usize = 1 << 20;

/// Something that may have left a trace: its pieces, with all bits flipped.
pub struct Trace {
    pub name: &'static str,
    pieces: Vec<[u8; PIECE_BYTES]>,
}

impl Trace {
    pub fn new(name: &'static str, flipped: &[u8]) -> Trace {
        let mut trace = Trace { name, pieces: Vec::new() };
        trace.add(flipped);
        trace
    }

    /// Another form of the same.
    pub fn add(&mut self, flipped: &[u8]) {
        assert!(flipped.len() >= PIECE_BYTES);
        self.pieces
            .extend(flipped.chunks_exact(PIECE_BYTES).map(|piece| <[u8; PIECE_BYTES]>::try_from(piece).unwrap()));
    }

    /// Where a piece begins in the bytes. They are flipped one by one where no compiler sees it, which could flip the pieces.
    fn places(&self, bytes: &[u8]) -> Vec<usize> {
        let starts_here = |at: &usize| {
            let window = &bytes[*at..*at + PIECE_BYTES];
            let first = black_box(!window[0]);
            let fits = |piece: &[u8; PIECE_BYTES]| {
                piece[0] == first && window.iter().zip(piece).all(|(byte, flipped)| black_box(!byte) == *flipped)
            };
            self.pieces.iter().any(fits)
        };
        (0..(bytes.len() + 1).saturating_sub(PIECE_BYTES)).filter(starts_here).collect()
    }
}

/// Bytes with all bits flipped.
pub fn flipped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !black_box(*byte)).collect()
}

/// So many times what these are with all bits flipped, in one place and no other.
pub fn unflipped(flipped: &[u8], times: usize) -> Vec<u8> {
    let mut bytes = vec![0; flipped.len() * times];
    for (byte, flipped) in bytes.iter_mut().zip(flipped.iter().cycle()) {
        *byte = !*black_box(flipped);
    }
    bytes
}

/// Overwrites what the caller of the engine holds.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}

/// In which mappings of this process a piece stands, at whatever place.
pub fn in_memory(trace: &Trace) -> Vec<String> {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES + PIECE_BYTES];
    for mapping in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut words = mapping.split_whitespace();
        let (start, end) = words.next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        if !words.next().unwrap().starts_with("rw") {
            continue;
        }
        let own = chunk.as_ptr() as u64..chunk.as_ptr() as u64 + chunk.len() as u64;
        for at in (start..end).step_by(CHUNK_BYTES) {
            let bytes = (end - at).min(chunk.len() as u64) as usize;
            // Of what the kernel keeps for itself nothing can be read.
            if memory.read_exact_at(&mut chunk[..bytes], at).is_err() {
                continue;
            }
            // Most of it was never written.
            if chunk[..bytes].iter().all(|byte| *byte == 0) {
                continue;
            }
            let places = trace.places(&chunk[..bytes]).into_iter().map(|place| at + place as u64);
            found.extend(places.filter(|at| !own.contains(at)).map(|at| format!("{at:x}: {mapping}")));
        }
        wipe(&mut chunk);
    }
    found
}

/// Which files have a piece.
pub fn in_files(trace: &Trace, files: &[PathBuf]) -> Vec<PathBuf> {
    let has = |path: &&PathBuf| {
        let mut bytes = fs::read(path).unwrap();
        let has = !trace.places(&bytes).is_empty();
        wipe(&mut bytes);
        has
    };
    files.iter().filter(has).cloned().collect()
}
