//! A forger who knows the format and has no key. All that a checksum or the frame's own links would tell is mended.
//!
//! Two streams' records in one frame change places: each gets the other's numbers and is given to the other's stream, where it fits without
//! a gap. Only the seal tells that it is not the record that was written there. Or a stream's records are replaced by others in the
//! clear, and only that they are not sealed tells. Nothing here is the engine's code: frames are changed at the bytes that docs/format.md
//! names.

use crate::payload::{self, Identity};
use iobackend::sim::{FaultKind, Rng, SimDisk};
use kernel::RecordKind;
use log::format::frame::{ENTRY_BYTES, FrameHeader, RECORD_HASHED_FROM, TAG_BYTES, TableEntry, record_bytes};
use log::format::{BLOCK_BYTES, crc};
use std::ops::Range;

/// A frame's header from the sequence to the sum over it, at the bytes of docs/format.md.
const PREVIOUS_CRC: usize = 68;
const TABLE_CRC: usize = 80;
const BODY_CRC: usize = 84;
const HEADER_CRC: usize = 124;
const HEADER_BYTES: usize = 128;
/// Of an entry: whose it is; its first offset; the links; timestamp and position.
const ENTRY_SWAPPED: [Range<usize>; 4] = [0..12, 16..24, 32..64, 96..112];
const LINK_BEFORE: Range<usize> = 32..64;
const LINK_AFTER: Range<usize> = 64..96;
/// Of a record: offset, position, timestamp, key id.
const RECORD_SWAPPED: Range<usize> = 8..36;
const RECORD_FLAGS: usize = 3;
const RECORD_PAYLOAD_BYTES: Range<usize> = 4..8;
const RECORD_KEY: Range<usize> = 32..36;
const RECORD_PAYLOAD: usize = 36;

/// Two entries of a frame that can change places, and where the frame lies.
#[derive(Clone, Debug)]
struct Pair {
    file: String,
    at: u64,
    header: FrameHeader,
    slots: [usize; 2],
    /// Both are streams of one tenant: the same key opens their records.
    kin: bool,
}

/// Forges a frame, if one is there that lends itself to it; which one is drawn from the number.
pub(crate) fn forge(disk: &SimDisk, pick: u64) {
    let mut rng = Rng::new(pick);
    let mut pairs: Vec<Pair> = disk.files().into_iter().flat_map(|file| pairs_of(disk, &file)).collect();
    if pairs.iter().any(|pair| pair.kin) && rng.chance(700_000) {
        pairs.retain(|pair| pair.kin);
    }
    if pairs.is_empty() {
        return;
    }
    let Pair { file, at, header, slots, .. } = pairs.swap_remove(rng.below(pairs.len() as u64) as usize);
    let Some(mut frame) = disk.peek(&file, at, header.length as usize) else { return };
    let next_at = at + u64::from(header.length);
    let Some(mut next) = disk.peek(&file, next_at, BLOCK_BYTES) else { return };
    if rng.chance(700_000) {
        swap(&header, &mut frame, slots);
    } else {
        replace(&header, &mut frame, slots[0]);
    }
    mend(&header, &mut frame, slots);
    next[PREVIOUS_CRC..PREVIOUS_CRC + 4].copy_from_slice(&frame[BODY_CRC..BODY_CRC + 4]);
    mend_header(&mut next);
    // One injury: what lies between is the same as before.
    frame.extend(next);
    let _there = disk.overwrite(&file, at, &frame, FaultKind::Forged);
}

/// The pairs in a file: of frames that another frame follows, so that nothing but that one names their checksum.
fn pairs_of(disk: &SimDisk, file: &str) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut at = BLOCK_BYTES as u64;
    let header_at = |at| disk.peek(file, at, HEADER_BYTES).and_then(|bytes| FrameHeader::decode(&bytes).ok());
    while let Some(header) = header_at(at).filter(|_| file.ends_with(".seg")) {
        let next = at + u64::from(header.length);
        if header.entries > 1
            && header_at(next).is_some_and(|next| next.incarnation == header.incarnation)
            && let Some(frame) = disk.peek(file, at, header.length as usize)
            && let Ok(table) = header.table(&frame)
        {
            let table: Vec<TableEntry> = table.iter().collect();
            for (one, other) in (0..table.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
                let fits = table[one].records == table[other].records && all_sealed(&header, &frame, [one, other]);
                let kin = table[one].tenant == table[other].tenant;
                pairs.extend(fits.then(|| Pair { file: file.into(), at, header, slots: [one, other], kin }));
            }
        }
        at = next;
    }
    pairs
}

/// Where the records of some entries are sealed data, all of them.
fn all_sealed(header: &FrameHeader, frame: &[u8], slots: [usize; 2]) -> bool {
    header
        .records(frame)
        .flatten()
        .filter(|record| slots.contains(&record.header.slot.into()))
        .all(|record| record.header.kind == RecordKind::Data as u8 && record.is_sealed())
}

/// Where each record of an entry begins in the frame, and how long it is without padding.
fn records_of(header: &FrameHeader, frame: &[u8], slot: usize) -> Vec<(usize, usize)> {
    let mut at = HEADER_BYTES;
    let mut places = Vec::new();
    for record in header.records(frame).flatten() {
        let tag = if record.is_sealed() { TAG_BYTES } else { 0 };
        if usize::from(record.header.slot) == slot {
            places.push((at, RECORD_HASHED_FROM + record.hashed.len()));
        }
        at += record_bytes(record.payload.len() + tag);
    }
    places
}

/// Has the records of two entries change places.
fn swap(header: &FrameHeader, frame: &mut [u8], slots: [usize; 2]) {
    let [one, other] = slots.map(|slot| records_of(header, frame, slot));
    for (&(one, _), &(other, _)) in one.iter().zip(&other) {
        swap_bytes(frame, one, other, RECORD_SWAPPED);
    }
    let [one, other] = slots.map(|slot| header.table_at() + slot * ENTRY_BYTES);
    for part in ENTRY_SWAPPED {
        swap_bytes(frame, one, other, part);
    }
}

/// Puts records in the clear in the place of an entry's, with payloads as somebody might have sent them.
fn replace(header: &FrameHeader, frame: &mut [u8], slot: usize) {
    for (index, (at, len)) in (0..).zip(records_of(header, frame, slot)) {
        let record = &mut frame[at..at + len];
        record[RECORD_FLAGS] = 0;
        record[RECORD_PAYLOAD_BYTES].copy_from_slice(&((len - RECORD_PAYLOAD) as u32).to_le_bytes());
        record[RECORD_KEY].fill(0);
        payload::write(Identity { append: payload::FORGED, index }, &mut record[RECORD_PAYLOAD..]);
    }
}

/// Mends the links of two entries, and the frame's checksums.
fn mend(header: &FrameHeader, frame: &mut [u8], slots: [usize; 2]) {
    let table_at = header.table_at();
    for slot in slots {
        let (entry, records) = (table_at + slot * ENTRY_BYTES, records_of(header, frame, slot));
        let before = frame[entry..][LINK_BEFORE].try_into().map(crypto::Link::from_bytes);
        let Ok(mut link) = before else { unreachable!("a link has 32 bytes") };
        for (at, len) in records {
            link = crypto::next(&link, &frame[at + RECORD_HASHED_FROM..at + len]);
        }
        frame[entry..][LINK_AFTER].copy_from_slice(link.as_bytes());
    }
    let table = crc(&frame[table_at..table_at + usize::from(header.entries) * ENTRY_BYTES]);
    let body = crc(&frame[HEADER_BYTES..]);
    frame[TABLE_CRC..TABLE_CRC + 4].copy_from_slice(&table.to_le_bytes());
    frame[BODY_CRC..BODY_CRC + 4].copy_from_slice(&body.to_le_bytes());
    mend_header(frame);
}

fn mend_header(frame: &mut [u8]) {
    let sum = crc(&frame[..HEADER_CRC]);
    frame[HEADER_CRC..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
}

fn swap_bytes(frame: &mut [u8], one: usize, other: usize, part: Range<usize>) {
    part.for_each(|at| frame.swap(one + at, other + at));
}
