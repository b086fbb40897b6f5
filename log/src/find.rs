//! Finding one record by its offset, without an engine: for proofs.
//!
//! Sealed segments are asked by their footers, unsealed ones frame by frame. Whether what is found is part of the log is not
//! told here (a torn frame may lie where it could not be cut): whoever asks knows the record's leaf, and says.

use crate::LogError;
use crate::follow::header_at;
use crate::format::BLOCK_BYTES;
use crate::format::footer::Footer;
use crate::format::frame::{FrameHeader, TableEntry};
use crate::format::segment::SegmentId;
use crate::index::find;
use crate::recover::segment_numbers;
use crate::scan::{Seal, SegmentFile};
use crypto::Link;
use iobackend::{Buffer, FileSlot, IoBackend, OpenMode};

const SLOT: FileSlot = FileSlot(0);
const BLOCK: u64 = BLOCK_BYTES as u64;

/// A record where it lies, with its place in its stream's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// The segment.
    pub segment: SegmentId,
    /// The tenant's number for it.
    pub position: u64,
    /// The link before it, as computed from the frame's table on.
    pub link_before: Link,
    /// Its bytes as they are hashed: header without slot, payload or ciphertext, tag if it is sealed.
    pub hashed: Vec<u8>,
}

/// Which record is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordName {
    /// The tenant's id.
    pub tenant: u64,
    /// The stream's id in the tenant.
    pub stream: u32,
    /// The offset in the stream.
    pub offset: u64,
}

/// Looks for a record in a log, in the newest segments first. What is found goes to `accept`, until it takes one. `buffer` has
/// [`SCAN_BUFFER_BYTES`](crate::SCAN_BUFFER_BYTES).
///
/// # Errors
/// What the system refuses, foreign files and other versions. Damage is passed over.
pub fn find_record<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    log: u16,
    name: RecordName,
    accept: &mut dyn FnMut(&FoundRecord) -> bool,
) -> Result<Option<FoundRecord>, LogError> {
    for number in segment_numbers(backend, log)?.into_iter().rev() {
        let id = SegmentId { log, number };
        let mut file = match SegmentFile::open(backend, id, SLOT, OpenMode::ReadOnly, buffer) {
            Err(LogError::Io { source, .. }) if source.is_not_found() => continue,
            file => file?,
        };
        let incarnation = file.header()?.ok().map(|header| header.incarnation);
        let (from, until) = match file.seal(incarnation)? {
            Seal::Sealed(footer) => match begin(&footer, name) {
                Some(from) => (from, footer.header.position),
                None => continue,
            },
            Seal::Unsealed | Seal::Bad(_) => (BLOCK, file.end),
        };
        let found = find_from(&mut file, id, (incarnation, from, until), name, accept)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Where in a sealed segment to begin, if it holds the record.
fn begin(footer: &Footer, name: RecordName) -> Option<u64> {
    let is_it = |line: &&crate::format::footer::StreamEntry| (line.tenant, line.stream) == (name.tenant, name.stream);
    let line = footer.streams.iter().find(is_it)?;
    let holds = (line.first_offset..line.next_offset).contains(&name.offset);
    let block = find(&footer.index, line.newest, name.offset).filter(|_| holds)?;
    Some(u64::from(block) * BLOCK)
}

fn find_from<B: IoBackend>(
    file: &mut SegmentFile<'_, B>,
    id: SegmentId,
    (incarnation, mut at, until): (Option<[u8; 16]>, u64, u64),
    name: RecordName,
    accept: &mut dyn FnMut(&FoundRecord) -> bool,
) -> Result<Option<FoundRecord>, LogError> {
    while at < until {
        let Ok(header) = header_at(file, id, at, incarnation)? else {
            at += BLOCK;
            continue;
        };
        let frame = file.bytes(at, header.length as usize)?;
        at += u64::from(header.length);
        let entry = header.table(frame).ok().and_then(|table| {
            let holds = |entry: &TableEntry| (entry.first_offset..entry.next_offset()).contains(&name.offset);
            table
                .iter()
                .enumerate()
                .find(|(_, entry)| (entry.tenant, entry.stream) == (name.tenant, name.stream) && holds(entry))
        });
        let Some((slot, entry)) = entry else { continue };
        // What is not as it was written proves nothing: the record's leaf tells.
        let found = in_frame(id, &header, frame, (slot, &entry), name.offset);
        if let Some(found) = found.filter(|found| accept(found)) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The record in its frame, with the link before it.
fn in_frame(
    segment: SegmentId,
    header: &FrameHeader,
    frame: &[u8],
    (slot, entry): (usize, &TableEntry),
    offset: u64,
) -> Option<FoundRecord> {
    let mut link_before = entry.link_before;
    for record in header.records(frame).from(entry.first_at) {
        let record = record.ok()?;
        if usize::from(record.header.slot) != slot {
            continue;
        }
        if record.header.offset == offset {
            let (position, hashed) = (record.header.position, record.hashed.to_vec());
            return Some(FoundRecord { segment, position, link_before, hashed });
        }
        link_before = crypto::next(&link_before, record.hashed);
    }
    None
}
