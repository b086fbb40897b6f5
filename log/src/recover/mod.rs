//! Opening a log: what is part of it, what was torn, what is damaged, and where it goes on.
//!
//! The rules stand in `docs/format.md`, "Opening". Nothing is decided while reading: all frames of the unsealed segments are
//! collected first, then the claim is known, then frames are adopted in order of sequence.

use crate::error::{Cause, Damage, Loss};
use crate::format::footer::{Footer, FooterHeader, IndexEntry, NO_ENTRY, StreamEntry, Trailer, put_index, put_stream};
use crate::format::frame::{FrameHeader, TableEntry};
use crate::format::segment::{Base, SegmentHeader, SegmentId, log_directory, parse_segment_name};
use crate::format::{BLOCK_BYTES, Fault};
use crate::index::{Run, SealedSegment};
use crate::limits::INDEX_SPACING_BYTES;
use crate::scan::{Found, SCAN_BUFFER_BYTES, SegmentFile};
use crate::{LogError, LogStart, StreamStart};
use hashbrown::HashMap;
use iobackend::{Arena, Buffer, FileSlot, IoBackend, OpKind, OpenMode};
use std::ops::Range;
use std::sync::Arc;

/// The one slot that recovery uses.
const SLOT: FileSlot = FileSlot(0);

/// What opening a log found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Where the log goes on.
    pub start: LogStart,
    /// The streams that have records here, by tenant and stream.
    pub streams: HashMap<(u64, u32), StreamStart, foldhash::fast::RandomState>,
    /// Records of the tenants' catalogs, in no order.
    pub catalog: Vec<CatalogRecord>,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// Streams that may have lost records at their end, with nothing intact to tell how many: not to be appended to.
    pub frozen: Vec<(u64, u32)>,
    /// The tail that was never acknowledged and was cut.
    pub torn: Option<Torn>,
    /// Segments that the log has.
    pub segments: usize,
    /// Segments that had to be read frame by frame.
    pub scanned: usize,
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

/// A frame of an unsealed segment.
struct Frame {
    header: FrameHeader,
    body: Result<(), Fault>,
    table: Option<Vec<TableEntry>>,
    payload_bytes: u64,
}

/// A segment as it was read.
struct Segment {
    id: SegmentId,
    header: Result<SegmentHeader, Fault>,
    /// Absent also where it is bad: the frames tell the same, and it is written again.
    footer: Option<Footer>,
    frames: Vec<Frame>,
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
    progress: &mut dyn FnMut(SegmentId),
) -> Result<Recovered, LogError> {
    let numbers = segment_numbers(backend, log)?;
    let mut segments = Vec::new();
    for number in numbers {
        let id = SegmentId { log, number };
        progress(id);
        segments.push(read_segment(backend, buffer, id, engine)?);
    }
    let mut adoption = Adoption::new(log, claim(&segments, frontier));
    for segment in &segments {
        adoption.take(segment);
    }
    adoption.finish(frontier);
    let Adoption { mut recovered, kept, .. } = adoption;
    recovered.segments = kept.len();
    recovered.scanned = segments.iter().filter(|segment| segment.footer.is_none()).count();
    for segment in segments.iter().rev() {
        match kept.iter().find(|kept| kept.segment.id == segment.id) {
            Some(kept) if segment.footer.is_none() && !kept.damaged => seal(backend, buffer, segment, kept)?,
            Some(_) => {}
            None => remove(backend, segment.id)?,
        }
    }
    let last = kept.last().map_or(0, |kept| kept.segment.id.number);
    recovered.start.segment = last.max(recovered.start.base.segment) + 1;
    for kept in &kept {
        read_catalog(backend, buffer, kept, &mut recovered.catalog)?;
    }
    recovered.catalog.sort_unstable();
    recovered.catalog.dedup_by_key(|record| (record.tenant, record.offset));
    Ok(recovered)
}

/// The numbers of a log's segments, ascending; an unknown name is refused.
pub(crate) fn segment_numbers<B: IoBackend>(backend: &mut B, log: u16) -> Result<Vec<u32>, LogError> {
    let directory = log_directory(log);
    let names = match backend.list(&directory) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(LogError::System { doing: "list", path: directory, source }),
    };
    let number = |name: &String| {
        let foreign = || LogError::Foreign { path: format!("{directory}/{name}") };
        parse_segment_name(name).ok_or_else(foreign)
    };
    let mut numbers = names.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    numbers.sort_unstable();
    Ok(numbers)
}

fn read_segment<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    id: SegmentId,
    engine: [u8; 16],
) -> Result<Segment, LogError> {
    let mut file = SegmentFile::open(backend, id, SLOT, OpenMode::ReadOnly, buffer)?;
    let header = file.header()?;
    check_header(id, engine, header)?;
    let footer = file.footer()?.ok().flatten();
    let mut segment = Segment { id, header, footer, frames: Vec::new() };
    if segment.footer.is_some() || file.end <= BLOCK_BYTES as u64 {
        return Ok(segment);
    }
    let incarnation = header.ok().map(|header| header.incarnation);
    let end = file.end;
    file.walk(incarnation, BLOCK_BYTES as u64, end, |found| {
        if let Found::Frame { header, bytes, body } = found {
            let table = header.table(bytes).ok().map(|table| table.iter().collect());
            let payload_bytes = header.records(bytes).flatten().map(|record| record.payload.len() as u64).sum();
            segment.frames.push(Frame { header: *header, body, table, payload_bytes });
        }
    })?;
    Ok(segment)
}

/// Refuses what is intact but not ours.
pub(crate) fn check_header(
    id: SegmentId,
    engine: [u8; 16],
    header: Result<SegmentHeader, Fault>,
) -> Result<(), LogError> {
    match header {
        Ok(header) if header.engine != engine => Err(LogError::ForeignSegment { segment: id }),
        Err(Fault::Version(found)) => Err(LogError::Version { path: id.to_string(), found }),
        _ => Ok(()),
    }
}

/// The highest sequence that anything intact vouches for.
fn claim(segments: &[Segment], frontier: Base) -> u64 {
    let mut claim = frontier.sequence;
    for segment in segments {
        let base = segment.header.map_or(0, |header| header.base.sequence);
        let sealed = segment.footer.as_ref().map_or(0, |footer| footer.header.next_sequence);
        let marks = segment.frames.iter().map(|frame| frame.header.durable_mark).max().unwrap_or(0);
        claim = claim.max(base).max(sealed).max(marks);
    }
    claim
}

/// A segment that is part of the log.
struct Kept {
    segment: Arc<SealedSegment>,
    footer: Footer,
    damaged: bool,
}

/// Adopts frames in order of sequence.
struct Adoption {
    log: u16,
    claim: u64,
    recovered: Recovered,
    kept: Vec<Kept>,
    /// The next sequence, and the body checksum of the frame before.
    expected: u64,
    last_crc: u32,
    /// Where the newest frame ends.
    end: (u32, u64),
    /// Sequence of the newest frame of each stream that was seen frame by frame, for freezing.
    newest: HashMap<(u64, u32), u64, foldhash::fast::RandomState>,
    /// The newest gap about which no intact table tells.
    blind_gap: Option<u64>,
    torn: bool,
}

impl Adoption {
    fn new(log: u16, claim: u64) -> Adoption {
        Adoption {
            log,
            claim,
            recovered: Recovered::default(),
            kept: Vec::new(),
            expected: 0,
            last_crc: 0,
            end: (0, 0),
            newest: HashMap::default(),
            blind_gap: None,
            torn: false,
        }
    }

    fn take(&mut self, segment: &Segment) {
        let number = segment.id.number;
        let before = self.kept.last().map_or(0, |kept| kept.segment.id.number);
        for missing in before + 1..number {
            let segment = SegmentId { log: self.log, number: missing };
            self.damage(segment, 0..0, Cause::MissingSegment, Vec::new());
        }
        if self.torn {
            return;
        }
        match &segment.footer {
            Some(footer) => self.take_sealed(segment, footer),
            None => self.take_unsealed(segment),
        }
    }

    fn take_sealed(&mut self, segment: &Segment, footer: &Footer) {
        self.check_gap(segment.id, BLOCK_BYTES as u64, footer.header.first_sequence);
        self.expected = footer.header.next_sequence;
        self.last_crc = footer.header.last_crc;
        self.end = (segment.id.number, footer.header.position);
        let damaged = segment.header.is_err();
        if let Err(fault) = segment.header {
            self.damage(segment.id, 0..BLOCK_BYTES as u64, Cause::SegmentHeader(fault), Vec::new());
        }
        let sequence = footer.header.next_sequence;
        self.keep(segment.id, footer.clone(), sequence, damaged);
    }

    fn take_unsealed(&mut self, segment: &Segment) {
        let mut draft = Draft::new(segment.id, segment.header.ok(), self.expected);
        let mut damaged = false;
        for frame in &segment.frames {
            let header = &frame.header;
            let (sequence, position) = (header.sequence, header.position);
            if sequence < self.expected {
                continue;
            }
            damaged |= self.check_gap(segment.id, draft.footer.header.position, sequence.min(self.claim));
            let bad = frame.body.err().or_else(|| self.order_fault(header));
            if sequence > self.expected || bad.is_some() && self.claim <= sequence {
                self.tear(segment.id, position);
                break;
            }
            if let Some(fault) = bad {
                damaged = true;
                self.take_bad_frame(segment.id, frame, fault);
            }
            // A bad frame with an intact table is indexed like a good one: a read that comes to it names the damage.
            if let Some(table) = &frame.table {
                draft.add(frame, table);
                self.newest.extend(table.iter().map(|entry| ((entry.tenant, entry.stream), sequence)));
            }
            self.expected = sequence + 1;
            self.last_crc = header.body_crc;
            self.end = (segment.id.number, position + u64::from(header.length));
        }
        let unused = draft.footer.header.next_sequence == draft.footer.header.first_sequence;
        if unused && !damaged && (self.torn || self.claim <= self.expected) {
            return;
        }
        if let Err(fault) = segment.header {
            damaged = true;
            self.damage(segment.id, 0..BLOCK_BYTES as u64, Cause::SegmentHeader(fault), Vec::new());
        }
        draft.footer.header.last_crc = self.last_crc;
        let sequence = self.expected;
        self.keep(segment.id, draft.footer, sequence, damaged);
    }

    fn order_fault(&self, header: &FrameHeader) -> Option<Fault> {
        // After a gap nothing tells what the frame before was.
        let known = self.blind_gap.is_none_or(|gap| gap + 1 != self.expected);
        (known && header.sequence == self.expected && header.previous_crc != self.last_crc).then_some(Fault::Order)
    }

    /// A frame that was acknowledged and is bad: its table, if intact, says what is lost.
    fn take_bad_frame(&mut self, id: SegmentId, frame: &Frame, fault: Fault) {
        let FrameHeader { sequence, position, length, .. } = frame.header;
        let losses = match &frame.table {
            Some(table) => table.iter().map(loss).collect(),
            None => {
                self.blind_gap = Some(sequence);
                Vec::new()
            }
        };
        let bytes = position..position + u64::from(length);
        self.damage(id, bytes, Cause::Frame { sequence, fault }, losses);
    }

    /// Frames between the expected one and `next` are missing, and something vouches for them.
    fn check_gap(&mut self, id: SegmentId, at: u64, next: u64) -> bool {
        if next <= self.expected {
            return false;
        }
        self.blind_gap = Some(next - 1);
        let cause = Cause::Frame { sequence: self.expected, fault: Fault::Unwritten };
        self.damage(id, at..at, cause, Vec::new());
        self.expected = next;
        true
    }

    fn tear(&mut self, segment: SegmentId, at: u64) {
        self.torn = true;
        self.recovered.torn = Some(Torn { segment, at, sequence: self.expected });
    }

    fn damage(&mut self, segment: SegmentId, bytes: Range<u64>, cause: Cause, losses: Vec<Loss>) {
        self.recovered.damage.push(Damage { segment, bytes, cause, losses });
    }

    /// Adds a segment's streams to the log's.
    fn keep(&mut self, id: SegmentId, footer: Footer, sequence: u64, damaged: bool) {
        let segment = Arc::new(SealedSegment {
            id,
            incarnation: footer.header.incarnation,
            end: footer.header.position,
            index: footer.index.clone().into_boxed_slice(),
        });
        for entry in &footer.streams {
            let key = (entry.tenant, entry.stream);
            let stream = self.recovered.streams.entry(key).or_insert_with(|| StreamStart::new(key.0, key.1));
            stream.runs.push(Run {
                segment: Arc::clone(&segment),
                first_offset: entry.first_offset,
                newest: entry.newest,
            });
            stream.next_offset = entry.next_offset;
            stream.link = entry.link;
            stream.timestamp = entry.timestamp;
            stream.position = entry.position;
            if self.blind_gap.is_none() || footer.header.first_sequence > self.blind_gap.unwrap_or(0) {
                self.newest.insert(key, sequence);
            }
        }
        self.kept.push(Kept { segment, footer, damaged });
    }

    /// The log ends here. If something vouches for more, the end itself is damaged.
    fn finish(&mut self, frontier: Base) {
        if self.claim > self.expected {
            let number = self.end.0.max(frontier.segment).max(1);
            let segment = SegmentId { log: self.log, number };
            let present = self.kept.iter().any(|kept| kept.segment.id.number == number);
            let cause = if present {
                Cause::Frame { sequence: self.expected, fault: Fault::Unwritten }
            } else {
                Cause::MissingSegment
            };
            let at = if self.end.0 == number { self.end.1 } else { 0 };
            self.damage(segment, at..frontier.end.max(at), cause, Vec::new());
            self.blind_gap = Some(self.claim - 1);
            if let Some(kept) = self.kept.iter_mut().find(|kept| kept.segment.id.number == self.end.0) {
                kept.damaged = true;
            }
            self.expected = self.claim;
            self.last_crc = 0;
        }
        if let Some(gap) = self.blind_gap {
            let lost = |key: &&(u64, u32)| self.newest.get(*key).is_none_or(|&newest| newest <= gap);
            self.recovered.frozen = self.recovered.streams.keys().filter(lost).copied().collect();
        }
        let (segment, end) = self.end;
        self.recovered.start.base = Base { sequence: self.expected, end, segment, body_crc: self.last_crc };
    }
}

fn loss(entry: &TableEntry) -> Loss {
    Loss { tenant: entry.tenant, stream: entry.stream, offsets: entry.first_offset..entry.next_offset() }
}

/// The footer of a segment that was left without one, from its frames' tables.
struct Draft {
    footer: Footer,
    lines: HashMap<(u64, u32), u32, foldhash::fast::RandomState>,
    newest_position: Vec<u64>,
}

impl Draft {
    fn new(id: SegmentId, header: Option<SegmentHeader>, sequence: u64) -> Draft {
        let header = FooterHeader {
            id,
            incarnation: header.map_or([0; 16], |header| header.incarnation),
            first_sequence: sequence,
            next_sequence: sequence,
            position: BLOCK_BYTES as u64,
            records: 0,
            payload_bytes: 0,
            last_crc: 0,
            streams: 0,
            index: 0,
        };
        let footer = Footer { header, streams: Vec::new(), index: Vec::new() };
        Draft { footer, lines: HashMap::default(), newest_position: Vec::new() }
    }

    fn add(&mut self, Frame { header: frame, payload_bytes, .. }: &Frame, table: &[TableEntry]) {
        let Footer { header, streams, index } = &mut self.footer;
        header.incarnation = frame.incarnation;
        header.next_sequence = frame.sequence + 1;
        header.position = frame.position + u64::from(frame.length);
        header.records += u64::from(frame.records);
        header.payload_bytes += payload_bytes;
        for entry in table {
            let line = *self.lines.entry((entry.tenant, entry.stream)).or_insert_with(|| {
                streams.push(StreamEntry {
                    tenant: entry.tenant,
                    stream: entry.stream,
                    newest: NO_ENTRY,
                    first_offset: entry.first_offset,
                    next_offset: 0,
                    timestamp: 0,
                    position: 0,
                    link: entry.link_before,
                });
                self.newest_position.push(0);
                (streams.len() - 1) as u32
            });
            let (line, newest_position) = (&mut streams[line as usize], &mut self.newest_position[line as usize]);
            if line.newest == NO_ENTRY || frame.position - *newest_position >= INDEX_SPACING_BYTES {
                let block = (frame.position / BLOCK_BYTES as u64) as u32;
                index.push(IndexEntry { first_offset: entry.first_offset, block, previous: line.newest });
                line.newest = (index.len() - 1) as u32;
                *newest_position = frame.position;
            }
            line.next_offset = entry.next_offset();
            line.timestamp = entry.timestamp;
            line.position = entry.position;
            line.link = entry.link_after;
        }
        header.streams = streams.len() as u32;
        header.index = index.len() as u32;
    }
}

/// Cuts an unsealed segment to its last adopted frame, and seals it.
fn seal<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    segment: &Segment,
    kept: &Kept,
) -> Result<(), LogError> {
    let (id, footer) = (segment.id, &kept.footer);
    let failed = |doing, source| LogError::System { doing, path: id.to_string(), source };
    let io = |doing, source| LogError::Io { doing, segment: id, source };
    let (opened, _) = backend.run(OpKind::Open { file: SLOT, name: id.file_name(), mode: OpenMode::ReadWrite });
    opened.map_err(|source| io("open", source))?;
    let position = footer.header.position;
    backend.truncate(SLOT, position).map_err(|source| failed("cut", source))?;
    let mut bytes = vec![0; footer.header.length()];
    for (at, entry) in footer.streams.iter().enumerate() {
        put_stream(&mut bytes, at, entry);
    }
    for (at, entry) in footer.index.iter().enumerate() {
        put_index(&mut bytes, footer.streams.len(), at, entry);
    }
    footer.header.encode(&mut bytes);
    let trailer = Trailer::of(position, &bytes);
    let at = bytes.len();
    bytes.resize(at + BLOCK_BYTES, 0);
    trailer.encode(&mut bytes[at..]);
    // The trailer goes last and alone: it vouches for the footer.
    let pieces = bytes[..at].chunks(SCAN_BUFFER_BYTES).chain([&bytes[at..]]);
    let mut place = position;
    for piece in pieces {
        let mut block = buffer.take().expect("the buffer is back between operations");
        block[..piece.len()].copy_from_slice(piece);
        let kind = OpKind::Write { file: SLOT, at: place, buffer: block, len: piece.len(), durable: true };
        let (written, block) = backend.run(kind);
        *buffer = block;
        written.map_err(|source| io("write a footer", source))?;
        place += piece.len() as u64;
    }
    Ok(())
}

fn remove<B: IoBackend>(backend: &mut B, id: SegmentId) -> Result<(), LogError> {
    backend.remove(id.file_name().as_str()).map_err(|source| LogError::System {
        doing: "remove the unused segment",
        path: id.to_string(),
        source,
    })
}

/// Reads the records of all catalogs in a segment: from each of their index entries, as far as the index's spacing.
fn read_catalog<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    kept: &Kept,
    catalog: &mut Vec<CatalogRecord>,
) -> Result<(), LogError> {
    let mut blocks = Vec::new();
    for line in kept.footer.streams.iter().filter(|line| line.stream == 0) {
        let mut at = line.newest;
        while let Some(entry) = kept.footer.index.get(at as usize) {
            blocks.push(entry.block);
            at = entry.previous;
        }
    }
    if blocks.is_empty() {
        return Ok(());
    }
    blocks.sort_unstable();
    let mut file = SegmentFile::open(backend, kept.segment.id, SLOT, OpenMode::ReadOnly, buffer)?;
    let incarnation = Some(kept.segment.incarnation);
    let mut done = 0;
    for block in blocks {
        let at = (u64::from(block) * BLOCK_BYTES as u64).max(done);
        let until = (u64::from(block) * BLOCK_BYTES as u64 + INDEX_SPACING_BYTES).min(kept.segment.end);
        if at < until {
            done = file
                .walk(incarnation, at, until, |found| {
                    if let Found::Frame { header, bytes, body: Ok(()) } = found {
                        collect_catalog(header, bytes, catalog);
                    }
                })?
                .end;
        }
    }
    Ok(())
}

fn collect_catalog(header: &FrameHeader, frame: &[u8], catalog: &mut Vec<CatalogRecord>) {
    let Ok(table) = header.table(frame) else { return };
    if table.iter().all(|entry| entry.stream != 0) {
        return;
    }
    let tenants: Vec<Option<u64>> = table.iter().map(|entry| (entry.stream == 0).then_some(entry.tenant)).collect();
    for record in header.records(frame).flatten() {
        if let Some(Some(tenant)) = tenants.get(usize::from(record.header.slot)) {
            catalog.push(CatalogRecord {
                tenant: *tenant,
                offset: record.header.offset,
                position: record.header.position,
                timestamp: record.header.timestamp,
                kind: record.header.kind,
                payload: record.payload.to_vec(),
            });
        }
    }
}
