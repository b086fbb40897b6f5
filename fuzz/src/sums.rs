//! Makes the checksums of spoilt bytes fit, as somebody would who can write whatever he likes to the disk. The hash chain
//! is not computed again: that takes SHA-256 over the records, and verification is to notice it.

use log::format::footer::{FOOTER_HEADER_BYTES, FooterHeader, INDEX_ENTRY_BYTES, STREAM_ENTRY_BYTES};
use log::format::frame::{ENTRY_BYTES, FrameHeader, HEADER_BYTES};
use log::format::{BLOCK_BYTES, crc};
use std::ops::Range;

fn u32_at(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).and_then(|raw| raw.try_into().ok()).map_or(0, u32::from_le_bytes) as usize
}

/// Puts the checksum of `range` at `at`, if the bytes reach so far.
fn put(bytes: &mut [u8], range: Range<usize>, at: usize) {
    if let Some(sum) = bytes.get(range).map(crc)
        && let Some(out) = bytes.get_mut(at..at + 4)
    {
        out.copy_from_slice(&sum.to_le_bytes());
    }
}

/// A frame that begins the bytes: table, body, header.
pub fn frame(bytes: &mut [u8]) {
    let entries = u32_at(bytes, 8) >> 16;
    let table = HEADER_BYTES + u32_at(bytes, 60);
    let length = u32_at(bytes, 56);
    put(bytes, table..table + entries * ENTRY_BYTES, 80);
    put(bytes, HEADER_BYTES..length, 84);
    put(bytes, 0..124, 124);
}

/// A footer that begins the bytes: body, header.
pub fn footer(bytes: &mut [u8]) {
    let used = FOOTER_HEADER_BYTES + u32_at(bytes, 72) * STREAM_ENTRY_BYTES + u32_at(bytes, 76) * INDEX_ENTRY_BYTES;
    put(bytes, FOOTER_HEADER_BYTES..used.next_multiple_of(BLOCK_BYTES), 84);
    put(bytes, 0..124, 124);
}

/// A segment's header, or a trailer: whatever has its checksum at the end of a block.
pub fn block(bytes: &mut [u8]) {
    put(bytes, 0..BLOCK_BYTES - 4, BLOCK_BYTES - 4);
}

/// A copy of the manifest, as long as it says that it is.
pub fn manifest(bytes: &mut [u8]) {
    if let Some(at) = u32_at(bytes, 12).checked_sub(4) {
        put(bytes, 0..at, at);
    }
}

/// A whole segment: its header, every frame up to the first block in which none begins, footer, trailer.
pub fn segment(bytes: &mut [u8]) {
    block(bytes);
    let mut at = BLOCK_BYTES;
    while let Some(rest) = bytes.get_mut(at..)
        && rest.starts_with(b"DtFr")
    {
        frame(rest);
        // A frame that is not accepted may hide others: the next block may be one.
        at += FrameHeader::decode(rest).map_or(BLOCK_BYTES, |header| header.length as usize);
    }
    if let Some(rest) = bytes.get_mut(at..)
        && rest.starts_with(b"DtFt")
    {
        footer(rest);
        if let Ok(header) = FooterHeader::decode(rest) {
            let header_crc = [rest[124], rest[125], rest[126], rest[127]];
            let whole = bytes.len() / BLOCK_BYTES * BLOCK_BYTES;
            let trailer = whole.saturating_sub(BLOCK_BYTES);
            if trailer >= at + header.length() {
                bytes[trailer + 16..trailer + 20].copy_from_slice(&header_crc);
                block(&mut bytes[trailer..]);
            }
        }
    }
}
