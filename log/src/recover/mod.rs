//! Opening a log: what is part of it, what was torn, what is damaged, and where it goes on.
//!
//! Read everything, judge it ([`history`](crate::history)), adopt what is part of the log, and only then change
//! anything: so an opening that is interrupted leaves what the next one judges the same.

mod adopt;
mod catalog;
mod finalize;

use crate::error::{Cause, Damage, Loss};
use crate::format::footer::Footer;
use crate::format::frame::{FrameHeader, TableEntry};
use crate::format::segment::{Base, SegmentHeader, SegmentId, log_directory, parse_segment_name};
use crate::format::{BLOCK_BYTES, Fault};
use crate::history::{Line, Outline, Verdict, judge, pinned_within};
use crate::scan::{Found, SCAN_BUFFER_BYTES, Seal, SegmentFile};
use crate::{LogError, LogStart, StreamStart};
use adopt::Adoption;
pub(crate) use adopt::loss;
use hashbrown::HashMap;
use iobackend::{Arena, Buffer, FileSlot, IoBackend, OpenMode};
use planted::Bug;

/// The one slot that recovery uses.
const SLOT: FileSlot = FileSlot(0);

/// Progress is told in steps of so many bytes.
const STEP_BYTES: u64 = 1 << 20;

/// Segments that can be missing. More were never written by anybody: a file so far off was not made by this engine.
const SEGMENTS_MISSING_MAX: usize = 1 << 20;

/// What opening a log found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Where the log goes on.
    pub start: LogStart,
    /// The streams that have records here, by tenant and stream.
    pub streams: HashMap<(u64, u32), StreamStart, foldhash::fast::RandomState>,
    /// Records of the tenants' catalogs, by tenant and offset.
    pub catalog: Vec<CatalogRecord>,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// Of the streams that this log has, those that it does not show after a [`Blind`] loss, if it has one: they may have
    /// lost records at their end here.
    pub frozen: Vec<(u64, u32)>,
    /// What was lost with nothing intact to tell which streams it held. It may have been any, also of those that this log
    /// does not show at all.
    pub blind: Option<Blind>,
    /// Offsets below a stream's end here that this log does not show. Another may have them.
    pub holes: Vec<Loss>,
    /// The openings that wrote to the log, in order.
    pub incarnations: Vec<[u8; 16]>,
    /// The tail that was never acknowledged and was cut.
    pub torn: Option<Torn>,
    /// Segments that the log has.
    pub segments: usize,
    /// Segments that had to be read frame by frame.
    pub scanned: usize,
    /// Bytes of the segments' files.
    pub bytes: u64,
}

/// How far [`recover`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// So many bytes more are to be dealt with. All are found before the first is done.
    Found(u64),
    /// So many bytes more are done.
    Done(u64),
}

/// Frames that were acknowledged and are lost, and nothing intact tells what they held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// The sequence of the newest of them.
    pub sequence: u64,
    /// Which [`damage`](Recovered::damage) it is.
    pub damage: usize,
    /// The opening that wrote all of them, if it was one and is known.
    pub incarnation: Option<[u8; 16]>,
    /// Openings that began when all of them had been written.
    pub later: Vec<[u8; 16]>,
    /// By tenant the first offset of its catalog that this log shows after them.
    pub catalogs: HashMap<u64, u64, foldhash::fast::RandomState>,
}

/// A tail that was never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment in which it began.
    pub segment: SegmentId,
    /// Where it began.
    pub at: u64,
    /// The first frame that is not part of the log.
    pub sequence: u64,
}

/// A record of a tenant's catalog stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CatalogRecord {
    /// The tenant's id.
    pub tenant: u64,
    /// Offset in the catalog.
    pub offset: u64,
    /// The tenant's position.
    pub position: u64,
    /// Nanoseconds since 1970.
    pub timestamp: u64,
    /// The kernel's kind.
    pub kind: u8,
    /// The kernel's payload.
    pub payload: Vec<u8>,
}

/// The buffer that [`recover`] needs, carved from an arena of [`SCAN_BUFFER_BYTES`] or more.
#[must_use]
pub fn scan_buffer(arena: &mut Arena) -> Option<Buffer> {
    arena.take(SCAN_BUFFER_BYTES)
}

/// Opens the log with the number `log` of the directory `engine`, whose manifest has `frontier` for it.
/// Cuts a torn tail and seals what was left unsealed, durably; leaves what is damaged as it is.
///
/// # Errors
/// Foreign files, other versions, and what the system refuses. Damage is not an error: it is part of the result.
pub fn recover<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    log: u16,
    engine: [u8; 16],
    frontier: Base,
    progress: &mut dyn FnMut(Reading),
) -> Result<Recovered, LogError> {
    let (mut outlines, mut contents) = (Vec::new(), Vec::new());
    let numbers = segment_numbers(backend, log)?;
    check_numbers(log, frontier.segment, numbers.len())?;
    let mut bytes = 0;
    for &number in &numbers {
        let id = SegmentId { log, number };
        let length = SegmentFile::open(backend, id, SLOT, OpenMode::ReadOnly, buffer)?.length;
        progress(Reading::Found(length));
        bytes += length;
    }
    for number in numbers {
        let id = SegmentId { log, number };
        let read = read_segment(backend, buffer, id, engine, progress);
        if read.is_err() && planted::is(Bug::UnreadTakenForMissing) {
            continue;
        }
        let (outline, content) = read?;
        outlines.push(outline);
        contents.push(content);
    }
    let pinned = pinned_within(&outlines.iter().collect::<Vec<_>>(), frontier);
    for (outline, pinned) in outlines.iter_mut().zip(pinned) {
        show(backend, buffer, outline, &pinned)?;
    }
    let judgement = judge(log, &outlines, frontier);
    let mut adoption = Adoption::default();
    for ((outline, content), judged) in outlines.iter().zip(contents).zip(&judgement.segments) {
        adoption.take(outline, content, judged);
    }
    let Adoption { mut recovered, kept, .. } = adoption.finish(&judgement.end);
    let mut order: Vec<_> = outlines.iter().zip(&judgement.segments).rev().collect();
    if planted::is(Bug::RemovedFromTheFirst) {
        order.reverse();
    }
    for (outline, judged) in order {
        let kept = kept.iter().find(|kept| kept.segment.id == outline.id);
        finalize::segment(backend, buffer, outline, judged, kept)?;
    }
    for kept in &kept {
        catalog::read(backend, buffer, kept, &mut recovered)?;
    }
    recovered.catalog.sort_unstable();
    recovered.catalog.dedup_by_key(|record| (record.tenant, record.offset));
    recovered.segments = kept.len();
    recovered.bytes = bytes;
    recovered.scanned = outlines.iter().filter(|outline| outline.footer.is_none()).count();
    recovered.torn = judgement.torn;
    let stays = outlines.iter().zip(&judgement.segments).rev().find(|(_, judged)| judged.verdict != Verdict::Unused);
    let last = stays.map_or(0, |(outline, _)| outline.id.number);
    let last = last.max(judgement.base.segment).max(frontier.segment);
    recovered.start = LogStart { base: judgement.base, segment: last + 1 };
    Ok(recovered)
}

/// The numbers of a log's segments, ascending; an unknown name is refused.
pub(crate) fn segment_numbers<B: IoBackend>(backend: &mut B, log: u16) -> Result<Vec<u32>, LogError> {
    let directory = log_directory(log);
    let names = match backend.list(&directory) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(LogError::Foreign { path: directory });
        }
        Err(source) => return Err(LogError::System { doing: "list", path: directory, source }),
    };
    let number = |name: &String| {
        let foreign = || LogError::Foreign { path: format!("{directory}/{name}") };
        parse_segment_name(name).ok_or_else(foreign)
    };
    let mut numbers = names.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    numbers.sort_unstable();
    check_numbers(log, numbers.last().copied().unwrap_or(0), numbers.len())?;
    Ok(numbers)
}

/// Refuses a segment's number that no history can have led to: numbers have no gaps but for what is lost.
pub(crate) fn check_numbers(log: u16, last: u32, count: usize) -> Result<(), LogError> {
    if last as usize > count + SEGMENTS_MISSING_MAX {
        return Err(LogError::Foreign { path: SegmentId { log, number: last }.to_string() });
    }
    Ok(())
}

/// Refuses what is intact but not ours.
pub(crate) fn check_header(
    id: SegmentId,
    engine: Option<[u8; 16]>,
    header: Result<SegmentHeader, Fault>,
) -> Result<(), LogError> {
    match header {
        Ok(header) if engine.is_some_and(|engine| engine != header.engine) => {
            Err(LogError::ForeignSegment { segment: id })
        }
        Err(Fault::Version(found)) => Err(LogError::Version { path: id.to_string(), found }),
        _ => Ok(()),
    }
}

/// What a segment holds, for the log to adopt.
enum Content {
    Sealed(Footer),
    /// Each frame of the outline; and what is wrong with the footer, if there should be one.
    Frames(Vec<Frame>, Option<Damage>),
}

/// A frame of an unsealed segment.
struct Frame {
    header: FrameHeader,
    /// Its table, if that is intact.
    table: Option<Vec<TableEntry>>,
    payload_bytes: u64,
}

fn read_segment<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    id: SegmentId,
    engine: [u8; 16],
    progress: &mut dyn FnMut(Reading),
) -> Result<(Outline, Content), LogError> {
    let mut file = SegmentFile::open(backend, id, SLOT, OpenMode::ReadOnly, buffer)?;
    let header = file.header()?;
    check_header(id, Some(engine), header)?;
    let incarnation = header.ok().map(|header| header.incarnation);
    let mut outline = Outline::new(id, header, file.length);
    let bad_footer = match file.seal(incarnation)? {
        Seal::Sealed(footer) => {
            outline.footer = Some(footer.header);
            outline.incarnation = Some(footer.header.incarnation);
            progress(Reading::Done(outline.length));
            return Ok((outline, Content::Sealed(footer)));
        }
        Seal::Bad(fault) => Some(fault),
        Seal::Unsealed => None,
    };
    let (mut frames, mut told) = (Vec::new(), 0);
    let end = file.end;
    let walked = file.walk(incarnation, BLOCK_BYTES as u64, end, |found| match found {
        Found::Frame { header, bytes, body } => {
            let end = header.position + bytes.len() as u64;
            if end - told >= STEP_BYTES {
                progress(Reading::Done(end - told));
                told = end;
            }
            outline.frames.push(line(header, body.err()));
            frames.push(Frame {
                header: *header,
                table: header.table(bytes).ok().map(|table| table.iter().collect()),
                payload_bytes: header.records(bytes).flatten().map(|record| record.payload.len() as u64).sum(),
            });
        }
        Found::Bad { bytes, fault } => outline.bad.push((bytes, fault)),
    })?;
    progress(Reading::Done(outline.length.saturating_sub(told)));
    outline.incarnation = walked.incarnation;
    let damage = bad_footer.map(|fault| {
        outline.has_trailer = true;
        let bytes = walked.end..outline.length;
        Damage { segment: id, bytes, cause: Cause::Footer(fault), losses: Vec::new() }
    });
    Ok((outline, Content::Frames(frames, damage)))
}

/// Reads frames of a sealed segment, by their sequences, for the history to judge it by.
pub(crate) fn show<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    outline: &mut Outline,
    sequences: &[u64],
) -> Result<(), LogError> {
    let Some(footer) = outline.footer.filter(|_| !sequences.is_empty()) else {
        return Ok(());
    };
    let mut file = SegmentFile::open(backend, outline.id, SLOT, OpenMode::ReadOnly, buffer)?;
    file.walk(outline.incarnation, BLOCK_BYTES as u64, footer.position, |found| {
        if let Found::Frame { header, body, .. } = found
            && sequences.contains(&header.sequence)
        {
            outline.frames.push(line(header, body.err()));
        }
    })?;
    Ok(())
}

/// A frame as the history of the log needs to know it.
pub(crate) fn line(header: &FrameHeader, fault: Option<Fault>) -> Line {
    Line {
        sequence: header.sequence,
        durable_mark: header.durable_mark,
        position: header.position,
        end: header.position + u64::from(header.length),
        previous_crc: header.previous_crc,
        body_crc: header.body_crc,
        fault,
    }
}
