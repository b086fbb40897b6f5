//! Reads by offset: find the frame, read it, verify it, hand its records out. Asynchronous, a few at a time.
//!
//! A record is handed out only if its frame's checksums fit and its stream's chain leads, in that frame, from the
//! link before to the link after. That the links of all frames join is what `verify` shows.

use crate::config::LogFailure;
use crate::error::{Cause, Damage, Loss};
use crate::files::Pinned;
use crate::format::frame::{FrameHeader, Record, TableEntry};
use crate::format::segment::SegmentId;
use crate::format::{BLOCK_BYTES, Fault};
use crate::index::{Place, find, find_run};
use crate::keyring::Keyring;
use crate::limits::{FRAME_BYTES_MAX, INDEX_SPACING_BYTES, READ_BYTES_FIRST, READS_IN_FLIGHT};
use crate::unseal::{Unopened, Wanted, open_records};
use crate::writer::Log;
use crypto::Link;
use iobackend::{Buffer, FileSlot, IoBackend, IoError, Op, OpKind, OpenMode};
use planted::Bug;
use std::ops::Range;

/// The kind of token that reads use, with the read's place in the lower half.
pub(crate) const READ_TOKEN: u64 = 4 << 56;

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// The caller's own number for it.
    pub ticket: u64,
    /// The stream, by its number in the log.
    pub index: u32,
    /// The first offset.
    pub from: u64,
    /// Records at the most; at least one is given.
    pub records_max: u32,
    /// Bytes at the most, payload and `record_overhead` counted; one record is given even if it has more.
    pub bytes_max: u64,
    /// Bytes that the caller adds to each record.
    pub record_overhead: u32,
    /// Records whose position is this or higher are sealed: one in the clear is damage. `u64::MAX` if none need be.
    pub sealed_from: u64,
}

/// Why a read found nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The records were acknowledged and are damaged.
    Damaged(Box<Damage>),
    /// The records are sealed with a key that the log was not given, or has forgotten.
    NoKey {
        /// The key's number in the tenant.
        key_id: u32,
    },
    /// The system refused.
    Io(LogFailure),
}

/// What a read found, in its buffer: from which byte on, how many records, how many bytes as the request counts them.
#[derive(Clone, Copy, Debug)]
struct Found {
    at: usize,
    records: u32,
    bytes: u64,
}

#[derive(Debug)]
enum Step {
    /// The file is to be opened, or somebody else is opening it.
    Pin,
    Opening(FileSlot),
    Submit(FileSlot),
    Reading(FileSlot),
    Ready(Result<Found, ReadError>),
}

#[derive(Debug)]
struct Read {
    request: ReadRequest,
    tenant: u64,
    stream: u32,
    place: Place,
    /// The index has it that no frame from here on begins with the offset, or before it.
    until: u64,
    /// Something before this cannot be read: up to here, blocks and frames are read one by one.
    careful_until: u64,
    /// The frame that is read alone.
    alone: Option<FrameHeader>,
    /// Bytes to read next.
    want: usize,
    step: Step,
    /// The first damaged place on the way, and what is wrong there.
    skipped: Option<(Range<u64>, Cause)>,
    /// The buffer holds what was sealed in the file.
    opened: bool,
    buffer: Option<Buffer>,
}

/// The reads in flight, each in a place of its own.
#[derive(Debug)]
pub(crate) struct Reads {
    places: [Option<Read>; READS_IN_FLIGHT],
    buffers: Vec<Buffer>,
}

impl Reads {
    pub(crate) fn new(buffers: Vec<Buffer>) -> Reads {
        debug_assert_eq!(buffers.len(), READS_IN_FLIGHT);
        Reads { places: [const { None }; READS_IN_FLIGHT], buffers }
    }
}

/// A read that is done: its records, or why there are none.
#[derive(Debug)]
pub struct ReadyRead<'a> {
    /// Which of the reads in flight; for [`Log::finish_read`].
    pub place: usize,
    /// What was asked.
    pub request: ReadRequest,
    outcome: Result<(Found, &'a [u8]), &'a ReadError>,
    tenant: u64,
    stream: u32,
}

impl ReadyRead<'_> {
    /// The number of records, and their bytes as the request counts them.
    ///
    /// # Errors
    /// Why there are none.
    pub fn size(&self) -> Result<(u32, u64), &ReadError> {
        self.outcome.as_ref().map(|(found, _)| (found.records, found.bytes)).map_err(|error| *error)
    }

    /// Gives the records to `visit`, in order of offset.
    pub fn for_each(&self, mut visit: impl FnMut(&Record<'_>)) {
        let Ok((found, bytes)) = self.outcome else {
            return;
        };
        let (mut at, mut left) = (found.at, found.records);
        while left > 0 {
            let frame = &bytes[at..];
            let Ok(header) = FrameHeader::decode(frame) else {
                return;
            };
            for record in stream_records(&header, frame, self.tenant, self.stream).into_iter().flatten().flatten() {
                if left > 0 && record.header.offset >= self.request.from {
                    visit(&record);
                    left -= 1;
                }
            }
            at += header.length as usize;
        }
    }
}

impl<B: IoBackend> Log<B> {
    /// Whether another read can begin.
    #[must_use]
    pub fn can_read(&self) -> bool {
        !self.reads.buffers.is_empty()
    }

    /// Begins a read; its result comes with [`ready_read`](Self::ready_read). The records asked for must be written.
    ///
    /// # Panics
    /// If no read [can](Self::can_read) begin, or the log does not know the stream.
    pub fn read(&mut self, request: ReadRequest) {
        let stream = &self.streams[request.index as usize];
        let (tenant, id) = (stream.tenant, stream.id);
        let place = self.locate(request.index, request.from);
        let buffer = self.reads.buffers.pop().expect("can_read was asked");
        let free = self.reads.places.iter_mut().find(|place| place.is_none()).expect("a buffer for each place");
        let (step, place) = match place {
            Some(place) => (Step::Pin, place),
            None => {
                let end = SegmentId { log: self.config.log, number: 0 };
                let place = Place { segment: end, incarnation: [0; 16], salt: None, position: 0, end: 0 };
                (Step::Ready(Err(damaged(tenant, id, request.from, end, 0..0, Cause::Gap))), place)
            }
        };
        *free = Some(Read {
            request,
            tenant,
            stream: id,
            until: place.end.min(place.position + INDEX_SPACING_BYTES),
            careful_until: 0,
            alone: None,
            want: READ_BYTES_FIRST,
            place,
            step,
            skipped: None,
            opened: false,
            buffer: Some(buffer),
        });
        self.advance_reads();
    }

    /// Where to begin looking.
    fn locate(&self, index: u32, from: u64) -> Option<Place> {
        let stream = &self.streams[index as usize];
        let run = &stream.active;
        if run.segment == 0 || from < run.first_offset {
            return find_run(&stream.runs, from);
        }
        let segment = SegmentId { log: self.config.log, number: run.segment };
        let (pool, end, salt) = if run.segment == self.active.header.id.number {
            let end = if self.written_end.0 == segment { self.written_end.1 } else { 0 };
            (&self.active.index[..], end, Some(self.active.header.salt))
        } else {
            let sealed = self.sealed_segment(run.segment)?;
            (&sealed.index[..], sealed.end, sealed.salt)
        };
        let position = u64::from(find(pool, run.newest, from)?) * BLOCK_BYTES as u64;
        (position < end).then_some(Place { segment, incarnation: self.config.incarnation, salt, position, end })
    }

    pub(crate) fn advance_reads(&mut self) {
        for at in 0..READS_IN_FLIGHT {
            let Some(read) = &mut self.reads.places[at] else {
                continue;
            };
            if matches!(read.step, Step::Pin) {
                match self.files.pin(read.place.segment) {
                    Pinned::Open(slot) => read.step = Step::Submit(slot),
                    Pinned::ToOpen(file) => {
                        let name = read.place.segment.file_name();
                        let kind = OpKind::Open { file, name, mode: OpenMode::ReadOnly };
                        match self.backend.submit(Op { token: READ_TOKEN | at as u64, kind }) {
                            Ok(()) => read.step = Step::Opening(file),
                            Err(_) => self.files.forget(file),
                        }
                    }
                    Pinned::Wait => {}
                }
            }
            if let Step::Submit(file) = read.step {
                let len = (read.place.end - read.place.position).min(read.want as u64) as usize;
                let Some(buffer) = read.buffer.take() else { continue };
                let kind = OpKind::Read { file, at: read.place.position, buffer, len };
                read.want = len;
                match self.backend.submit(Op { token: READ_TOKEN | at as u64, kind }) {
                    Ok(()) => read.step = Step::Reading(file),
                    Err(op) => read.buffer = op.kind.into_buffer(),
                }
            }
        }
    }

    pub(crate) fn read_done(&mut self, at: usize, result: Result<(), IoError>, buffer: Option<Buffer>) {
        let read = self.reads.places[at].as_mut().expect("a place is kept while its read is in flight");
        if buffer.is_some() {
            read.buffer = buffer;
        }
        let segment = read.place.segment;
        read.step = match (&read.step, result) {
            (Step::Opening(file), Ok(())) => {
                self.files.opened(*file);
                Step::Submit(*file)
            }
            (Step::Opening(file), Err(source)) => {
                self.files.forget(*file);
                Step::Ready(Err(read.failed("open a segment", segment, source)))
            }
            (Step::Reading(file), result) => {
                let file = *file;
                let step = match result {
                    Ok(()) => read.examine(file),
                    Err(IoError::Short { got, .. }) => read.examine_cut(file, got),
                    Err(source) if source.is_bad_sector() => read.narrow(file),
                    Err(source) => Step::Ready(Err(read.failed("read", segment, source))),
                };
                if matches!(step, Step::Ready(_)) {
                    self.files.unpin(file);
                }
                match step {
                    Step::Ready(Ok(found)) => Step::Ready(read.open(found, &mut self.keyring)),
                    step => step,
                }
            }
            (step, _) => unreachable!("nothing is in flight in {step:?}"),
        };
    }

    /// A read that is done, if there is one.
    #[must_use]
    pub fn ready_read(&self) -> Option<ReadyRead<'_>> {
        self.reads.places.iter().enumerate().find_map(|(place, read)| {
            let read = read.as_ref()?;
            let Step::Ready(outcome) = &read.step else {
                return None;
            };
            let outcome = match (outcome, &read.buffer) {
                (Ok(found), Some(buffer)) => Ok((*found, &buffer[..read.want])),
                (Err(error), _) => Err(error),
                (Ok(_), None) => unreachable!("a read that is done has its buffer back"),
            };
            Some(ReadyRead { place, request: read.request, outcome, tenant: read.tenant, stream: read.stream })
        })
    }

    /// Ends a read that was taken, and frees its place.
    pub fn finish_read(&mut self, place: usize) {
        if let Some(mut read) = self.reads.places[place].take() {
            if let Some(buffer) = read.buffer.as_mut().filter(|_| read.opened) {
                // No plaintext outlives the answer: its key may be destroyed next.
                buffer[..read.want].fill(0);
            }
            self.reads.buffers.extend(read.buffer);
        }
    }
}

/// What a frame has to do with the offset that is read.
enum Look {
    /// It holds it, intact.
    Here,
    /// It holds nothing of the stream, or only older records.
    Before,
    /// It holds newer records only.
    Past,
    /// It holds it, and is bad.
    Bad(Fault),
    /// Its table is bad: it may or may not hold it.
    Unknown(Fault),
}

impl Read {
    fn failed(&self, doing: &'static str, segment: SegmentId, source: IoError) -> ReadError {
        if source.is_not_found() {
            return self.damaged(self.place.position..self.place.end, Cause::MissingSegment);
        }
        ReadError::Io(LogFailure { doing, segment, source })
    }

    /// The file ends too early: what there is of it may still hold the record.
    fn examine_cut(&mut self, file: FileSlot, got: usize) -> Step {
        self.want = got / BLOCK_BYTES * BLOCK_BYTES;
        let end = self.place.position + self.want as u64;
        self.skip(end..self.place.end, 0, Fault::Cut);
        self.place.end = end;
        self.until = self.until.min(end);
        self.examine(file)
    }

    /// Something in what was to be read cannot be: reads it again in pieces, or passes over what was such a piece.
    #[cold]
    fn narrow(&mut self, file: FileSlot) -> Step {
        let position = self.place.position;
        let whole = self.want as u64;
        match self.alone.take() {
            None if position >= self.careful_until => self.careful_until = position + whole,
            piece => {
                self.skip(position..position + whole, piece.map_or(0, |header| header.sequence), Fault::Unreadable);
                self.place.position += whole;
            }
        }
        self.go_on(file)
    }

    fn go_on(&mut self, file: FileSlot) -> Step {
        let position = self.place.position;
        self.want = if position < self.careful_until { BLOCK_BYTES } else { READ_BYTES_FIRST };
        if position < self.until { Step::Submit(file) } else { Step::Ready(Err(self.lost())) }
    }

    /// Looks at what was read: goes on reading, or is done.
    fn examine(&mut self, file: FileSlot) -> Step {
        let Some(buffer) = self.buffer.take() else { unreachable!("a read's buffer comes back with its completion") };
        let step = self.look(&buffer[..self.want], file);
        self.buffer = Some(buffer);
        step
    }

    fn look(&mut self, bytes: &[u8], file: FileSlot) -> Step {
        self.alone = None;
        let mut at = 0;
        while at < bytes.len() && self.place.position + (at as u64) < self.until {
            let position = self.place.position + at as u64;
            let header = match self.header_at(&bytes[at..], position) {
                Ok(header) => header,
                // What lies behind what is damaged is still served.
                Err(fault) => {
                    self.skip(position..position + BLOCK_BYTES as u64, 0, fault);
                    at += BLOCK_BYTES;
                    continue;
                }
            };
            let length = header.length as usize;
            if bytes.len() - at < length {
                self.place.position = position;
                if position < self.careful_until {
                    self.alone = Some(header);
                    self.want = length;
                } else {
                    self.want = length.max(READ_BYTES_FIRST);
                }
                return Step::Submit(file);
            }
            let place = position..position + u64::from(header.length);
            match self.look_into(&header, &bytes[at..]) {
                Look::Here => return Step::Ready(Ok(self.gather(bytes, at))),
                Look::Before => {}
                Look::Past => return Step::Ready(Err(self.lost())),
                Look::Bad(fault) => {
                    let cause = Cause::Frame { sequence: header.sequence, fault };
                    return Step::Ready(Err(self.damaged(place, cause)));
                }
                Look::Unknown(fault) => self.skip(place, header.sequence, fault),
            }
            at += length;
        }
        self.place.position += at as u64;
        self.go_on(file)
    }

    fn header_at(&self, bytes: &[u8], position: u64) -> Result<FrameHeader, Fault> {
        let header = FrameHeader::decode(bytes)?;
        let SegmentId { log, number } = self.place.segment;
        let here = header.log == log
            && header.segment == number
            && header.incarnation == self.place.incarnation
            && header.position == position;
        if !here {
            return Err(Fault::Misplaced);
        }
        let fits = header.length as usize <= FRAME_BYTES_MAX && position + u64::from(header.length) <= self.place.end;
        if fits { Ok(header) } else { Err(Fault::Cut) }
    }

    /// The frame is verified only if it holds the offset.
    fn look_into(&self, header: &FrameHeader, frame: &[u8]) -> Look {
        let table = match header.table(frame) {
            Ok(table) => table,
            Err(fault) => return Look::Unknown(fault),
        };
        let entry = table.iter().find(|entry| entry.tenant == self.tenant && entry.stream == self.stream);
        match entry {
            None => Look::Before,
            Some(entry) if entry.next_offset() <= self.request.from => Look::Before,
            Some(entry) if entry.first_offset > self.request.from => Look::Past,
            Some(_) if planted::is(Bug::ReadNotVerified) => Look::Here,
            Some(entry) => match check(header, frame, &entry) {
                Ok(()) => Look::Here,
                Err(fault) => Look::Bad(fault),
            },
        }
    }

    /// Opens what was found, in its buffer, where it is sealed.
    fn open(&mut self, found: Found, keyring: &mut Keyring) -> Result<Found, ReadError> {
        let Some(mut buffer) = self.buffer.take() else {
            unreachable!("a read's buffer comes back with its completion")
        };
        let ReadRequest { from, sealed_from, .. } = self.request;
        let wanted = Wanted { tenant: self.tenant, stream: self.stream, from, records: found.records, sealed_from };
        let opened = open_records(&mut buffer[found.at..self.want], wanted, self.place.salt.as_ref(), keyring);
        // Also what was opened before something did not open.
        self.opened = opened != Ok(false);
        self.buffer = Some(buffer);
        match opened {
            Ok(_) => Ok(found),
            Err(Unopened::NoKey(key_id)) => Err(ReadError::NoKey { key_id }),
            Err(Unopened::Broken { sequence }) => {
                let cause = Cause::Frame { sequence, fault: Fault::Seal };
                Err(self.damaged(self.place.position..self.place.end, cause))
            }
        }
    }

    /// Counts what can be given out of the frames in the buffer, from the one at `start`, which is verified: as far as
    /// the stream goes on without a break.
    fn gather(&self, bytes: &[u8], start: usize) -> Found {
        let request = &self.request;
        let mut found = Found { at: start, records: 0, bytes: 0 };
        let mut joint: Option<(u64, Link)> = None;
        let mut at = start;
        while at < bytes.len() {
            let Ok(header) = self.header_at(&bytes[at..], self.place.position + at as u64) else {
                break;
            };
            let Some(frame) = bytes.get(at..at + header.length as usize) else {
                break;
            };
            let Ok(table) = header.table(frame) else {
                break;
            };
            at += header.length as usize;
            let entry = table.iter().find(|entry| entry.tenant == self.tenant && entry.stream == self.stream);
            let Some(entry) = entry else {
                continue;
            };
            if joint.is_some_and(|joint| joint != (entry.first_offset, entry.link_before))
                || joint.is_some() && check(&header, frame, &entry).is_err()
            {
                break;
            }
            joint = Some((entry.next_offset(), entry.link_after));
            let records = stream_records(&header, frame, self.tenant, self.stream).into_iter().flatten().flatten();
            for record in records.filter(|record| record.header.offset >= request.from) {
                let bytes = record.payload.len() as u64 + u64::from(request.record_overhead);
                let full = found.records == request.records_max || found.bytes + bytes > request.bytes_max;
                if full && found.records > 0 {
                    return found;
                }
                found.records += 1;
                found.bytes += bytes;
            }
        }
        found
    }

    /// Notes the first place that had to be passed over.
    fn skip(&mut self, bytes: Range<u64>, sequence: u64, fault: Fault) {
        self.skipped.get_or_insert((bytes, Cause::Frame { sequence, fault }));
    }

    /// The offset is not where it should be: it was in what was passed over, if anything was.
    fn lost(&mut self) -> ReadError {
        let whole = self.place.position.min(self.until)..self.until;
        let (bytes, cause) = self.skipped.take().unwrap_or((whole, Cause::Gap));
        self.damaged(bytes, cause)
    }

    fn damaged(&self, bytes: Range<u64>, cause: Cause) -> ReadError {
        damaged(self.tenant, self.stream, self.request.from, self.place.segment, bytes, cause)
    }
}

fn damaged(tenant: u64, stream: u32, from: u64, segment: SegmentId, bytes: Range<u64>, cause: Cause) -> ReadError {
    let losses = vec![Loss { tenant, stream, offsets: from..from.saturating_add(1) }];
    ReadError::Damaged(Box::new(Damage { segment, bytes, cause, losses }))
}

fn check(header: &FrameHeader, frame: &[u8], entry: &TableEntry) -> Result<(), Fault> {
    header.check_body(frame)?;
    check_chain(header, frame, entry)
}

/// The records of one stream in a frame, if it has any there.
fn stream_records<'a>(
    header: &FrameHeader,
    frame: &'a [u8],
    tenant: u64,
    stream: u32,
) -> Option<impl Iterator<Item = Result<Record<'a>, Fault>>> {
    let table = header.table(frame).ok()?;
    let (slot, entry) = table.iter().enumerate().find(|(_, entry)| entry.tenant == tenant && entry.stream == stream)?;
    let of_stream = move |record: &Result<Record<'_>, Fault>| {
        record.as_ref().map_or(true, |record| usize::from(record.header.slot) == slot)
    };
    Some(header.records(frame).from(entry.first_at).filter(of_stream).take(entry.records as usize))
}

/// Whether a stream's records in a frame have the offsets and the chain that the table says.
pub(crate) fn check_chain(header: &FrameHeader, frame: &[u8], entry: &TableEntry) -> Result<(), Fault> {
    let records = stream_records(header, frame, entry.tenant, entry.stream).ok_or(Fault::Shape)?;
    let mut link = entry.link_before;
    let mut offset = entry.first_offset;
    for record in records {
        let record = record?;
        if record.header.offset != offset {
            return Err(Fault::Chain);
        }
        link = crypto::next(&link, record.hashed);
        offset = offset.saturating_add(1);
    }
    if link == entry.link_after && offset == entry.next_offset() { Ok(()) } else { Err(Fault::Chain) }
}
