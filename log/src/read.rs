//! Reads by offset: find the frame, read it, verify it, hand its records out. Asynchronous, a few at a time.
//!
//! A record is handed out only if its frame's checksums fit and its stream's chain leads, in that frame, from the
//! link before to the link after. That the links of all frames join is what `verify` shows.

use crate::error::{Cause, Damage, Loss};
use crate::files::Pinned;
use crate::format::Fault;
use crate::format::frame::{FrameHeader, Record, TableEntry};
use crate::format::segment::SegmentId;
use crate::index::{Place, find, find_run};
use crate::limits::{READ_BYTES_FIRST, READS_IN_FLIGHT};
use crate::writer::{Log, LogFailure};
use iobackend::{Buffer, FileSlot, IoBackend, IoError, Op, OpKind, OpenMode};

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
}

/// Why a read found nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The records were acknowledged and are damaged.
    Damaged(Box<Damage>),
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
    /// Bytes to read next.
    want: usize,
    step: Step,
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

    /// Begins a read; its result comes with [`ready_read`](Self::ready_read). The records asked for must be settled.
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
                let place = Place { segment: end, incarnation: [0; 16], position: 0, end: 0 };
                (Step::Ready(Err(damaged(tenant, id, request.from, &place, Cause::Gap))), place)
            }
        };
        let want = READ_BYTES_FIRST;
        *free = Some(Read { request, tenant, stream: id, place, want, step, buffer: Some(buffer) });
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
        let (pool, end) = if run.segment == self.active.header.id.number {
            let end = if self.settled_end.0 == segment { self.settled_end.1 } else { 0 };
            (&self.active.index[..], end)
        } else {
            let sealed = self.sealed_segment(run.segment)?;
            (&sealed.index[..], sealed.end)
        };
        let position = u64::from(find(pool, run.newest, from)?) * crate::format::BLOCK_BYTES as u64;
        (position < end).then_some(Place { segment, incarnation: self.config.incarnation, position, end })
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
            (Step::Reading(file), Ok(())) => {
                let file = *file;
                let step = read.examine(file);
                if matches!(step, Step::Ready(_)) {
                    self.files.unpin(file);
                }
                step
            }
            (Step::Reading(file), Err(source)) => {
                self.files.unpin(*file);
                Step::Ready(Err(read.failed("read", segment, source)))
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
        if let Some(read) = self.reads.places[place].take() {
            self.reads.buffers.extend(read.buffer);
        }
    }
}

impl Read {
    fn failed(&self, doing: &'static str, segment: SegmentId, source: IoError) -> ReadError {
        if source.is_not_found() {
            return damaged(self.tenant, self.stream, self.request.from, &self.place, Cause::MissingSegment);
        }
        if matches!(source, IoError::Short { .. }) {
            let cause = Cause::Frame { sequence: 0, fault: Fault::Cut };
            return damaged(self.tenant, self.stream, self.request.from, &self.place, cause);
        }
        ReadError::Io(LogFailure { doing, segment, source })
    }

    /// Looks at what was read: goes on reading, or is done.
    fn examine(&mut self, file: FileSlot) -> Step {
        let Some(buffer) = &self.buffer else { unreachable!("a read's buffer comes back with its completion") };
        let bytes = &buffer[..self.want];
        let mut at = 0;
        while at < bytes.len() {
            let position = self.place.position + at as u64;
            let header = match self.header_at(&bytes[at..], position) {
                Ok(header) => header,
                Err(fault) => return self.damaged_at(position, 0, fault),
            };
            if bytes.len() - at < header.length as usize {
                self.place.position = position;
                self.want = (header.length as usize).max(READ_BYTES_FIRST);
                if position + u64::from(header.length) > self.place.end {
                    return self.damaged_at(position, header.sequence, Fault::Shape);
                }
                return Step::Submit(file);
            }
            match self.find_in(&header, &bytes[at..]) {
                Ok(Some(_)) => return Step::Ready(Ok(self.gather(bytes, at))),
                Ok(None) => at += header.length as usize,
                Err(fault) => return self.damaged_at(position, header.sequence, fault),
            }
        }
        self.place.position += at as u64;
        self.want = READ_BYTES_FIRST;
        if self.place.position < self.place.end {
            return Step::Submit(file);
        }
        Step::Ready(Err(damaged(self.tenant, self.stream, self.request.from, &self.place, Cause::Gap)))
    }

    fn header_at(&self, bytes: &[u8], position: u64) -> Result<FrameHeader, Fault> {
        let header = FrameHeader::decode(bytes)?;
        let SegmentId { log, number } = self.place.segment;
        let here = header.log == log
            && header.segment == number
            && header.incarnation == self.place.incarnation
            && header.position == position;
        if here { Ok(header) } else { Err(Fault::Misplaced) }
    }

    /// The stream's entry, if the frame holds the offset; the frame is verified only then.
    fn find_in(&self, header: &FrameHeader, frame: &[u8]) -> Result<Option<TableEntry>, Fault> {
        let table = header.table(frame)?;
        let entry = table.iter().find(|entry| entry.tenant == self.tenant && entry.stream == self.stream);
        let Some(entry) = entry.filter(|entry| entry.next_offset() > self.request.from) else {
            return Ok(None);
        };
        if entry.first_offset > self.request.from {
            return Err(Fault::Order);
        }
        header.check_body(frame)?;
        check_chain(header, frame, &entry)?;
        Ok(Some(entry))
    }

    /// Counts what can be given out of the frames in the buffer, from the one at `start`, which is verified.
    fn gather(&self, bytes: &[u8], start: usize) -> Found {
        let request = &self.request;
        let mut found = Found { at: start, records: 0, bytes: 0 };
        let mut at = start;
        while at < bytes.len() {
            let Ok(header) = self.header_at(&bytes[at..], self.place.position + at as u64) else {
                break;
            };
            let Some(frame) = bytes.get(at..at + header.length as usize) else {
                break;
            };
            let Some(records) = stream_records(&header, frame, self.tenant, self.stream) else {
                at += header.length as usize;
                continue;
            };
            if at != start && !self.is_sound(&header, frame) {
                break;
            }
            for record in records.flatten().filter(|record| record.header.offset >= request.from) {
                let bytes = record.payload.len() as u64 + u64::from(request.record_overhead);
                let full = found.records == request.records_max || found.bytes + bytes > request.bytes_max;
                if full && found.records > 0 {
                    return found;
                }
                found.records += 1;
                found.bytes += bytes;
            }
            at += header.length as usize;
        }
        found
    }

    fn is_sound(&self, header: &FrameHeader, frame: &[u8]) -> bool {
        let entry = header
            .table(frame)
            .ok()
            .and_then(|table| table.iter().find(|entry| entry.tenant == self.tenant && entry.stream == self.stream));
        header.check_body(frame).is_ok() && entry.is_some_and(|entry| check_chain(header, frame, &entry).is_ok())
    }

    fn damaged_at(&self, position: u64, sequence: u64, fault: Fault) -> Step {
        let place = Place { position, ..self.place.clone() };
        let cause = Cause::Frame { sequence, fault };
        Step::Ready(Err(damaged(self.tenant, self.stream, self.request.from, &place, cause)))
    }
}

fn damaged(tenant: u64, stream: u32, from: u64, place: &Place, cause: Cause) -> ReadError {
    ReadError::Damaged(Box::new(Damage {
        segment: place.segment,
        bytes: place.position..place.end.max(place.position),
        cause,
        losses: vec![Loss { tenant, stream, offsets: from..from + 1 }],
    }))
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
        offset += 1;
    }
    if link == entry.link_after && offset == entry.next_offset() { Ok(()) } else { Err(Fault::Chain) }
}
