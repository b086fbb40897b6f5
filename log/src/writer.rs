//! The log of one shard: the open frame, the frames in flight, the marks, the segments.
//!
//! What must stay true:
//! - a frame's bytes are written once, in a place that was never written but with zeros;
//! - `settled` rises in the order of sequences, whatever the order of completions;
//! - after a failed or short write nothing more is written, and `settled` never rises again;
//! - nothing here blocks, but [`Log::open`] and [`Log::close`], which run before and after the loop.
//!
//! Deliberately absent: who may write what (the kernel), and who is told (the shard).

use crate::LogError;
use crate::files::Files;
use crate::format::footer::{FooterHeader, IndexEntry, NO_ENTRY, footer_bytes};
use crate::format::frame::{FrameHeader, RecordHeader, frame_bytes};
use crate::format::segment::{Base, SegmentHeader, SegmentId};
use crate::format::{BLOCK_BYTES, blocks_up};
use crate::index::{Run, SealedSegment};
use crate::limits::{
    FILE_SLOTS, FOOTER_SLICE_BYTES, FRAME_BUFFERS, FRAME_BYTES_MAX, FRAME_CAP_MIN, FRAMES_IN_FLIGHT, INDEX_ENTRIES_MAX,
    INDEX_SPACING_BYTES, IO_DEPTH, QUIET_NS, READS_IN_FLIGHT, SEALING_MAX, SEGMENT_BYTES_FIRST, SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN, ZERO_SLICE_BYTES,
};
use crate::open_frame::OpenFrame;
use crate::prepare::Preparation;
use crate::read::{READ_TOKEN, Reads};
use crate::seal::{Listed, Sealing};
use crate::stream::{ActiveRun, Stream, StreamStart};
use iobackend::{Arena, Buffer, Completion, FileSlot, IoBackend, IoError, Op, OpKind};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a log is to be.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The log's number.
    pub log: u16,
    /// The data directory's id.
    pub engine: [u8; 16],
    /// This opening's id.
    pub incarnation: [u8; 16],
    /// The largest segment, in bytes.
    pub segment_bytes: u64,
    /// A frame closes when it has reached this many bytes.
    pub frame_cap: usize,
    /// Whether a frame is flushed before it counts as settled.
    pub durable: bool,
}

impl LogConfig {
    /// Says what is wrong with the sizes, if anything is.
    ///
    /// # Errors
    /// A sentence that names the limit.
    pub fn check(&self) -> Result<(), String> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(format!(
                "a segment of {} bytes: choose {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            ));
        }
        if !(FRAME_CAP_MIN..=FRAME_BYTES_MAX).contains(&self.frame_cap) {
            return Err(format!(
                "a frame cap of {} bytes: choose {FRAME_CAP_MIN} to {FRAME_BYTES_MAX}",
                self.frame_cap
            ));
        }
        Ok(())
    }
}

/// Where a log goes on: the result of recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStart {
    /// Where the adopted part ends.
    pub base: Base,
    /// The number of the first segment to be written.
    pub segment: u32,
}

/// The log's memory, carved from the arena that the backend registers.
#[derive(Debug)]
pub struct LogBuffers {
    pub(crate) frames: Vec<Buffer>,
    pub(crate) reads: Vec<Buffer>,
    pub(crate) seals: Vec<Buffer>,
    zeros: Buffer,
    block: Buffer,
}

impl LogBuffers {
    /// Carves the buffers; `None` if the arena has less than [`ARENA_BYTES`](crate::limits::ARENA_BYTES) left.
    #[must_use]
    pub fn take(arena: &mut Arena) -> Option<LogBuffers> {
        let mut many = |count: usize, bytes: usize| (0..count).map(|_| arena.take(bytes)).collect::<Option<Vec<_>>>();
        Some(LogBuffers {
            frames: many(FRAME_BUFFERS, FRAME_BYTES_MAX)?,
            reads: many(READS_IN_FLIGHT, FRAME_BYTES_MAX)?,
            seals: many(SEALING_MAX, FOOTER_SLICE_BYTES)?,
            zeros: arena.take(ZERO_SLICE_BYTES)?,
            block: arena.take(BLOCK_BYTES)?,
        })
    }
}

/// Why a log writes no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFailure {
    /// What was being done.
    pub doing: &'static str,
    /// In which segment.
    pub segment: SegmentId,
    /// What the system said.
    pub source: IoError,
}

impl std::fmt::Display for LogFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cannot {} in {}: {}; this shard writes no more until the directory is opened again",
            self.doing, self.segment, self.source
        )
    }
}

/// Whether records can be appended now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Ready,
    /// Not yet: writes are in flight, or the next segment is being prepared. Ask again next turn.
    Busy,
    /// The next segment could not be made: the disk is full, or refuses.
    NoSpace,
    /// The log has failed and writes no more.
    Failed,
}

/// What the log did so far in this incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Frames with records that were written.
    pub frames: u64,
    /// Mark frames that were written.
    pub marks: u64,
    /// Records in them.
    pub records: u64,
    /// Payload bytes in them.
    pub payload_bytes: u64,
    /// Bytes of the frames, headers, tables and padding included.
    pub frame_bytes: u64,
    /// Segments that were filled and left.
    pub rotations: u64,
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) header: SegmentHeader,
    slot: FileSlot,
    /// Where the next frame goes.
    cursor: u64,
    pub(crate) index: Vec<IndexEntry>,
    listed: Vec<Listed>,
    first_sequence: u64,
    records: u64,
    payload_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    sequence: u64,
    segment: SegmentId,
    end: u64,
    durable_mark: u64,
    done: bool,
}

/// What an operation's token stands for: the kind in the upper half, a number in the lower.
mod token {
    pub(super) const FRAME: u64 = 1 << 56;
    pub(super) const PREPARE: u64 = 2 << 56;
    pub(super) const SEAL: u64 = 3 << 56;
    pub(super) const KIND: u64 = 0xff << 56;
}

/// The log of one shard.
#[derive(Debug)]
pub struct Log<B> {
    pub(crate) backend: B,
    pub(crate) config: LogConfig,
    base: Base,
    completions: Vec<Completion>,
    pub(crate) files: Files,
    pub(crate) streams: Vec<Stream>,
    pub(crate) active: Active,
    next: Preparation,
    sealing: VecDeque<Sealing>,
    seal_buffers: Vec<Buffer>,
    spare_list: Vec<Listed>,
    sealed: Vec<Arc<SealedSegment>>,
    open: Option<OpenFrame>,
    free: Vec<Buffer>,
    spare_table: Vec<(u32, crate::format::frame::TableEntry)>,
    in_flight: VecDeque<InFlight>,
    next_sequence: u64,
    last_crc: u32,
    settled: u64,
    pub(crate) settled_end: (SegmentId, u64),
    settled_at: u64,
    /// After the newest frame with records.
    records_until: u64,
    /// The highest durable mark that a settled frame carries.
    marked: u64,
    failure: Option<LogFailure>,
    hurry: bool,
    closing: bool,
    pub(crate) reads: Reads,
    stats: LogStats,
}

impl<B: IoBackend> Log<B> {
    /// Begins a new incarnation of a log: makes its first segment, and returns when it can be written.
    /// `backend` must have [`FILE_SLOTS`] slots, a depth of [`IO_DEPTH`], and the arena of `buffers`. Blocks.
    ///
    /// # Errors
    /// What kept the segment from being made.
    ///
    /// # Panics
    /// If the backend is smaller than that, or the configuration fails [`LogConfig::check`].
    pub fn open(
        mut backend: B,
        buffers: LogBuffers,
        config: LogConfig,
        start: LogStart,
        now: u64,
    ) -> Result<Log<B>, LogError> {
        assert!(backend.depth() >= IO_DEPTH, "the backend's depth is below {IO_DEPTH}");
        assert_eq!(config.check(), Ok(()));
        let LogBuffers { frames, reads, seals, zeros, block } = buffers;
        let mut files = Files::new(FILE_SLOTS);
        let mut completions = Vec::with_capacity(IO_DEPTH + 1);
        let capacity = SEGMENT_BYTES_FIRST.min(config.segment_bytes);
        let header = new_header(&config, start.base, start.segment, capacity, now)?;
        let mut first = Preparation::new(header, (zeros, block));
        while !first.is_ready() {
            first.advance(&mut backend, &mut files, token::PREPARE, now, (0, 1), true);
            backend.poll(&mut completions);
            for Completion { result, buffer, .. } in completions.drain(..) {
                let completed = first.complete(&mut files, result, buffer, 0);
                if let Some(source) = completed.err().or(first.failure) {
                    return Err(LogError::Io { doing: "make a new segment", segment: header.id, source });
                }
            }
            if first.is_waiting() {
                wait(&mut backend, header.id)?;
            }
        }
        let slot = first.slot.expect("a ready segment has its slot");
        let prepare_buffers = first.take_buffers();
        let next_capacity = grown(capacity).min(config.segment_bytes);
        let next = new_header(&config, start.base, start.segment + 1, next_capacity, now)?;
        let sequence = start.base.sequence;
        Ok(Log {
            active: Active::new(header, slot, sequence, Vec::with_capacity(1024)),
            next: Preparation::new(next, prepare_buffers),
            backend,
            config,
            base: start.base,
            completions,
            files,
            streams: Vec::new(),
            sealing: VecDeque::with_capacity(SEALING_MAX),
            seal_buffers: seals,
            spare_list: Vec::with_capacity(1024),
            sealed: Vec::new(),
            open: None,
            free: frames,
            spare_table: Vec::with_capacity(64),
            in_flight: VecDeque::with_capacity(FRAMES_IN_FLIGHT),
            next_sequence: sequence,
            last_crc: start.base.body_crc,
            settled: sequence,
            settled_end: (header.id, BLOCK_BYTES as u64),
            settled_at: now,
            records_until: sequence,
            marked: sequence,
            failure: None,
            hurry: false,
            closing: false,
            reads: Reads::new(reads),
            stats: LogStats::default(),
        })
    }

    /// Tells the log of a stream. Streams are numbered from 0 in the order in which they are told.
    ///
    /// # Panics
    /// If `index` is not the next number: the kernel gives its slots in the same order.
    pub fn add_stream(&mut self, index: u32, start: StreamStart) {
        assert_eq!(index as usize, self.streams.len(), "streams are numbered in order");
        self.streams.push(start.into());
    }

    /// Streams that the log knows.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Makes room in the open frame for `records` of one request, which take `records_bytes` as
    /// [`record_bytes`](crate::format::frame::record_bytes) counts, in at most `entries` streams. Closes the frame
    /// and goes over to the next segment as needed.
    #[inline]
    pub fn room(&mut self, records_bytes: usize, entries: usize, now: u64) -> Room {
        if let Some(open) = &self.open
            && self.failure.is_none()
        {
            let length = open.length_with(records_bytes, entries);
            let capped = length > self.config.frame_cap && !open.is_empty();
            if !capped && open.has_table_room(entries) && self.segment_has(length, open.table.len() + entries) {
                return Room::Ready;
            }
        }
        self.make_room(records_bytes, entries, now)
    }

    #[cold]
    fn make_room(&mut self, records_bytes: usize, entries: usize, now: u64) -> Room {
        if self.failure.is_some() {
            return Room::Failed;
        }
        let length = frame_bytes(records_bytes, entries);
        assert!(length <= FRAME_BYTES_MAX, "a request of {length} bytes is longer than any frame");
        if self.open.is_some() {
            if self.in_flight.len() == FRAMES_IN_FLIGHT {
                return Room::Busy;
            }
            self.submit(now);
            if self.open.as_ref().is_some_and(|open| !open.is_empty()) {
                return Room::Busy;
            }
        }
        if !self.segment_has(length, entries) && !self.rotate(now) {
            self.hurry = true;
            return if self.next.failure.is_some() { Room::NoSpace } else { Room::Busy };
        }
        if self.open.is_none() {
            let Some(buffer) = self.free.pop() else {
                return Room::Busy;
            };
            let table = std::mem::take(&mut self.spare_table);
            self.open = Some(OpenFrame::new(buffer, table, self.next_sequence));
        }
        Room::Ready
    }

    /// Whether the active segment can take a frame of `length` with `entries`, and still its footer and trailer.
    #[inline]
    fn segment_has(&self, length: usize, entries: usize) -> bool {
        let (streams, index) = (self.active.listed.len() + entries, self.active.index.len() + entries);
        let footer = footer_bytes(streams, index);
        index <= INDEX_ENTRIES_MAX
            && self.active.cursor + (length + footer + BLOCK_BYTES) as u64 <= self.active.header.capacity
    }

    /// Appends a record to the open frame.
    ///
    /// # Panics
    /// If no [`room`](Self::room) was made for it.
    #[inline]
    pub fn append(&mut self, index: u32, header: RecordHeader, payload: &[u8]) {
        let open = self.open.as_mut().expect("room was made");
        let stream = &mut self.streams[index as usize];
        debug_assert_eq!(stream.next_offset, header.offset, "offsets of a stream are gapless");
        if stream.active.segment != self.active.header.id.number {
            leave_segment(stream, &mut self.sealing, &self.sealed);
            stream.active = ActiveRun {
                segment: self.active.header.id.number,
                first_offset: header.offset,
                listed: self.active.listed.len() as u32,
                ..ActiveRun::NONE
            };
            self.active.listed.push(Listed { index, entry: None });
        }
        open.push(index, &mut self.streams, header, payload);
    }

    /// The sequence that the records appended now will be in.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Frames with a lower sequence are settled: durable, or merely written if the log is not durable.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// What has to be settled before the newest record of a stream is.
    #[inline]
    #[must_use]
    pub fn newest_frame(&self, index: u32) -> Option<u64> {
        self.streams.get(index as usize).map(|stream| stream.frame).filter(|&frame| frame != crate::stream::NO_FRAME)
    }

    /// Bytes that the open frame would take if it were closed now; 0 if it holds no record.
    #[inline]
    #[must_use]
    pub fn open_bytes(&self) -> usize {
        self.open.as_ref().filter(|open| !open.is_empty()).map_or(0, |open| open.length_with(0, 0))
    }

    /// Frames that are written and not settled yet.
    #[inline]
    #[must_use]
    pub fn frames_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Closes the open frame and submits it, if it holds anything and a place in flight is free.
    pub fn submit(&mut self, now: u64) {
        if self.in_flight.len() == FRAMES_IN_FLIGHT || self.failure.is_some() {
            return;
        }
        if self.open.as_ref().is_some_and(|open| !open.is_empty()) {
            self.write_frame(now);
        }
    }

    fn write_frame(&mut self, now: u64) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        let active = &mut self.active;
        // Every frame below the settled mark is durable only where frames are flushed as they are written.
        let durable_mark = if self.config.durable { self.settled } else { self.base.sequence };
        let header = open.close(
            &mut self.streams,
            FrameHeader {
                mark: false,
                log: self.config.log,
                entries: 0,
                segment: active.header.id.number,
                incarnation: self.config.incarnation,
                sequence: 0,
                durable_mark,
                position: active.cursor,
                length: 0,
                records_bytes: 0,
                records: 0,
                previous_crc: self.last_crc,
                sealed_at: now,
                table_crc: 0,
                body_crc: 0,
            },
        );
        index_frame(active, &mut self.streams, &open, header.position);
        let (at, len) = (active.cursor, header.length as usize);
        active.cursor += u64::from(header.length);
        active.records += u64::from(header.records);
        active.payload_bytes += open.payload_bytes;
        self.last_crc = header.body_crc;
        self.next_sequence += 1;
        let (file, segment, end) = (active.slot, active.header.id, active.cursor);
        self.count(&open, &header);
        self.in_flight.push_back(InFlight { sequence: header.sequence, segment, end, durable_mark, done: false });
        let OpenFrame { buffer, mut table, .. } = open;
        table.clear();
        self.spare_table = table;
        let kind = OpKind::Write { file, at, buffer, len, durable: self.config.durable };
        let refused = self.backend.submit(Op { token: token::FRAME | header.sequence, kind }).is_err();
        assert!(!refused, "IO_DEPTH has room for every frame in flight");
    }

    fn count(&mut self, open: &OpenFrame, header: &FrameHeader) {
        let stats = &mut self.stats;
        if header.mark {
            stats.marks += 1;
        } else {
            stats.frames += 1;
            self.records_until = header.sequence + 1;
        }
        stats.records += u64::from(header.records);
        stats.payload_bytes += open.payload_bytes;
        stats.frame_bytes += u64::from(header.length);
    }

    /// Goes over to the next segment, if it is ready; the open frame must be empty.
    fn rotate(&mut self, now: u64) -> bool {
        let ready = self.next.is_ready() && self.sealing.len() < SEALING_MAX && !self.seal_buffers.is_empty();
        if !ready {
            return false;
        }
        let used = self.active.cursor;
        let capacity = grown(used).clamp(SEGMENT_BYTES_FIRST.min(self.config.segment_bytes), self.config.segment_bytes);
        let number = self.next.header.id.number + 1;
        let Ok(header) = new_header(&self.config, self.base, number, capacity, now) else {
            return false;
        };
        let slot = self.next.slot.expect("a ready segment has its slot");
        let next_header = self.next.header;
        let list = std::mem::take(&mut self.spare_list);
        let old = std::mem::replace(&mut self.active, Active::new(next_header, slot, self.next_sequence, list));
        let buffers = self.next.take_buffers();
        self.next = Preparation::new(header, buffers);
        self.hurry = false;
        self.stats.rotations += 1;
        self.begin_sealing(old);
        true
    }

    fn begin_sealing(&mut self, old: Active) {
        let trailer_at = old.header.capacity - BLOCK_BYTES as u64;
        let header = FooterHeader {
            id: old.header.id,
            incarnation: old.header.incarnation,
            first_sequence: old.first_sequence,
            next_sequence: self.next_sequence,
            position: old.cursor,
            records: old.records,
            payload_bytes: old.payload_bytes,
            last_crc: self.last_crc,
            streams: old.listed.len() as u32,
            index: old.index.len() as u32,
        };
        let segment = Arc::new(SealedSegment {
            id: old.header.id,
            incarnation: old.header.incarnation,
            end: old.cursor,
            index: old.index.into_boxed_slice(),
        });
        self.sealed.push(Arc::clone(&segment));
        let buffer = self.seal_buffers.pop().expect("rotate made sure of a buffer");
        self.sealing.push_back(Sealing::new(segment, old.slot, header, trailer_at, old.listed, buffer));
    }

    /// Polls the backend, takes in what completed, raises the mark, and does a turn of the background work.
    /// Returns whether anything happened.
    pub fn reap(&mut self, now: u64) -> bool {
        let mut completions = std::mem::take(&mut self.completions);
        self.backend.poll(&mut completions);
        let progress = !completions.is_empty();
        for completion in completions.drain(..) {
            self.take_in(completion, now);
        }
        self.completions = completions;
        self.work_in_background(now);
        progress
    }

    fn take_in(&mut self, completion: Completion, now: u64) {
        let Completion { token, result, buffer } = completion;
        match token & token::KIND {
            token::FRAME => {
                self.free.extend(buffer);
                self.frame_done(token & !token::KIND, result, now);
            }
            token::PREPARE => {
                if let Err(source) = self.next.complete(&mut self.files, result, buffer, now) {
                    self.fail(LogFailure { doing: "make a new segment", segment: self.next.header.id, source });
                }
            }
            token::SEAL => {
                let number = (token & !token::KIND) as u32;
                let job = self.sealing.iter_mut().find(|job| job.header.id.number == number);
                let job = job.expect("a job stays listed while it has an operation in flight");
                let id = job.header.id;
                if let Err(source) = job.complete(result, buffer) {
                    self.fail(LogFailure { doing: "write a footer", segment: id, source });
                }
            }
            READ_TOKEN => self.read_done((token & !token::KIND) as usize, result, buffer),
            _ => unreachable!("no operation has the token {token:#x}"),
        }
    }

    fn frame_done(&mut self, sequence: u64, result: Result<(), IoError>, now: u64) {
        let frame = self.in_flight.iter_mut().find(|frame| frame.sequence == sequence);
        let frame = frame.expect("a frame stays listed until it is settled");
        if let Err(source) = result {
            let segment = frame.segment;
            self.fail(LogFailure { doing: "write a frame", segment, source });
            return;
        }
        frame.done = true;
        while self.failure.is_none() {
            let Some(frame) = self.in_flight.front().filter(|frame| frame.done) else {
                break;
            };
            self.settled = frame.sequence + 1;
            self.settled_end = (frame.segment, frame.end);
            self.settled_at = now;
            self.marked = self.marked.max(frame.durable_mark);
            self.in_flight.pop_front();
        }
    }

    #[cold]
    fn fail(&mut self, failure: LogFailure) {
        self.failure.get_or_insert(failure);
    }

    /// Why the log writes no more, if it has failed.
    #[must_use]
    pub fn failure(&self) -> Option<&LogFailure> {
        self.failure.as_ref()
    }

    /// What stands in the way of the next segment, if anything does.
    #[must_use]
    pub fn no_space(&self) -> Option<(SegmentId, &IoError)> {
        self.next.failure.as_ref().map(|error| (self.next.header.id, error))
    }

    fn work_in_background(&mut self, now: u64) {
        if self.failure.is_none() {
            let progress = (self.active.cursor, self.active.header.capacity);
            if !self.closing {
                self.next.advance(&mut self.backend, &mut self.files, token::PREPARE, now, progress, self.hurry);
            }
            self.advance_sealing();
            if self.mark_at().is_some_and(|at| at <= now) {
                self.write_mark(now);
            }
        }
        if !self.closing {
            self.advance_reads();
        }
    }

    fn advance_sealing(&mut self) {
        let Some(job) = self.sealing.front_mut() else {
            return;
        };
        if job.is_done() {
            self.files.unpin(job.slot);
            if let Some(job) = self.sealing.pop_front() {
                let (mut list, buffer) = job.into_parts();
                list.clear();
                self.spare_list = list;
                self.seal_buffers.push(buffer);
            }
        } else if job.header.next_sequence <= self.settled {
            let token = token::SEAL | u64::from(job.header.id.number);
            job.advance(&mut self.backend, &self.streams, token);
        }
    }

    /// When a mark frame is due, if the log stays as quiet as it is.
    #[must_use]
    pub fn mark_at(&self) -> Option<u64> {
        let quiet = self.in_flight.is_empty() && self.open.as_ref().is_none_or(OpenFrame::is_empty);
        let due = self.config.durable && self.records_until > self.marked && quiet && self.failure.is_none();
        due.then(|| self.settled_at.saturating_add(QUIET_NS))
    }

    fn write_mark(&mut self, now: u64) {
        if self.room(0, 0, now) == Room::Ready && self.open.as_ref().is_some_and(OpenFrame::is_empty) {
            self.write_frame(now);
        }
    }

    /// Operations in flight, all kinds.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.backend.in_flight()
    }

    /// Whether background work or a read could go on without anything completing first.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let sealing = |job: &Sealing| !job.is_waiting() && job.header.next_sequence <= self.settled;
        self.failure.is_none() && self.sealing.front().is_some_and(sealing)
    }

    /// The backend, to wait on.
    pub fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.stats
    }

    /// Writes and flushes everything, seals the active segment at its true length, removes what was prepared and
    /// not used. Blocks. Returns where the log ends.
    ///
    /// # Errors
    /// The log's failure, now or before: what was settled stays settled, and the next opening reads the log frame by frame.
    pub fn close(mut self, now: u64) -> Result<Base, LogError> {
        self.closing = true;
        loop {
            self.submit(now);
            self.reap(now);
            if let Some(LogFailure { doing, segment, source }) = self.failure.take() {
                return Err(LogError::Io { doing, segment, source });
            }
            let unsent = self.open.as_ref().is_some_and(|open| !open.is_empty());
            if !unsent && self.sealing.is_empty() && self.backend.in_flight() == 0 {
                break;
            }
            if self.backend.in_flight() > 0 && !self.has_work() {
                wait(&mut self.backend, self.active.header.id)?;
            }
        }
        if !self.config.durable {
            let segment = self.active.header.id;
            let (flushed, _) = self.backend.run(OpKind::Flush { file: self.active.slot });
            flushed.map_err(|source| LogError::Io { doing: "flush", segment, source })?;
        }
        self.seal_last()
    }

    fn seal_last(&mut self) -> Result<Base, LogError> {
        let Active { header, cursor, .. } = self.active;
        let SegmentHeader { id, .. } = header;
        let system = |doing, id: SegmentId| move |source| LogError::System { doing, path: id.to_string(), source };
        let next = self.next.header.id;
        if self.next.is_begun() {
            self.backend.remove(next.file_name().as_str()).map_err(system("remove the unused segment", next))?;
        }
        if cursor == BLOCK_BYTES as u64 {
            self.backend.remove(id.file_name().as_str()).map_err(system("remove the unused segment", id))?;
            return Ok(self.base_now());
        }
        let slot = self.active.slot;
        self.backend.truncate(slot, cursor).map_err(system("cut", id))?;
        let footer = footer_bytes(self.active.listed.len(), self.active.index.len()) as u64;
        let list = std::mem::take(&mut self.spare_list);
        let nothing = Active::new(header, slot, self.next_sequence, list);
        let mut old = std::mem::replace(&mut self.active, nothing);
        old.header.capacity = cursor + footer + BLOCK_BYTES as u64;
        self.begin_sealing(old);
        while let Some(job) = self.sealing.front_mut() {
            if job.is_done() {
                break;
            }
            job.advance(&mut self.backend, &self.streams, token::SEAL);
            self.backend.poll(&mut self.completions);
            for Completion { result, buffer, .. } in self.completions.drain(..) {
                job.complete(result, buffer).map_err(|source| LogError::Io {
                    doing: "write a footer",
                    segment: id,
                    source,
                })?;
            }
            if job.is_waiting() {
                wait(&mut self.backend, id)?;
            }
        }
        Ok(self.base_now())
    }

    /// A segment that this incarnation has left.
    pub(crate) fn sealed_segment(&self, number: u32) -> Option<&SealedSegment> {
        let at = self.sealed.binary_search_by_key(&number, |segment| segment.id.number).ok()?;
        Some(&self.sealed[at])
    }

    /// Where the settled part of the log ends.
    fn base_now(&self) -> Base {
        if self.settled == self.base.sequence {
            return self.base;
        }
        let (segment, end) = self.settled_end;
        Base { sequence: self.settled, end, segment: segment.number, body_crc: self.last_crc }
    }
}

impl Active {
    fn new(header: SegmentHeader, slot: FileSlot, first_sequence: u64, listed: Vec<Listed>) -> Active {
        let index = Vec::with_capacity(listed.capacity().max(4096));
        Active { header, slot, cursor: BLOCK_BYTES as u64, index, listed, first_sequence, records: 0, payload_bytes: 0 }
    }
}

/// Notes in the index where the streams of a frame begin.
fn index_frame(active: &mut Active, streams: &mut [Stream], open: &OpenFrame, position: u64) {
    for (index, entry) in &open.table {
        let run = &mut streams[*index as usize].active;
        if run.newest == NO_ENTRY || position - run.newest_position >= INDEX_SPACING_BYTES {
            let block = (position / BLOCK_BYTES as u64) as u32;
            active.index.push(IndexEntry { first_offset: entry.first_offset, block, previous: run.newest });
            run.newest = (active.index.len() - 1) as u32;
            run.newest_position = position;
        }
    }
}

/// The stream is written in a newer segment than before: what lies in the older one becomes a sealed run.
#[cold]
pub(crate) fn leave_segment(stream: &mut Stream, sealing: &mut VecDeque<Sealing>, sealed: &[Arc<SealedSegment>]) {
    let number = stream.active.segment;
    if number == 0 {
        return;
    }
    if let Some(job) = sealing.iter_mut().find(|job| job.header.id.number == number) {
        job.capture(stream);
    }
    let at = sealed.binary_search_by_key(&number, |segment| segment.id.number);
    let at = at.expect("every segment that was left is listed");
    let ActiveRun { first_offset, newest, .. } = stream.active;
    stream.runs.push(Run { segment: Arc::clone(&sealed[at]), first_offset, newest });
    stream.active = ActiveRun::NONE;
}

/// The capacity of the segment after one of which so much was used. By half as much again the zeroing fell behind a busy
/// log, and each rotation waited 10 ms for it; by a quarter, none does.
fn grown(used: u64) -> u64 {
    blocks_up((used + used / 4) as usize) as u64
}

fn new_header(config: &LogConfig, base: Base, number: u32, capacity: u64, now: u64) -> Result<SegmentHeader, LogError> {
    let id = SegmentId { log: config.log, number };
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|error| LogError::System {
        doing: "draw a random salt for",
        path: id.to_string(),
        source: std::io::Error::other(error.to_string()),
    })?;
    let LogConfig { engine, incarnation, .. } = *config;
    Ok(SegmentHeader { id, engine, incarnation, salt, capacity, created_at: now, base })
}

fn wait(backend: &mut impl IoBackend, segment: SegmentId) -> Result<(), LogError> {
    let path = segment.to_string();
    backend.wait(None).map_err(|source| LogError::System { doing: "wait for an operation on", path, source })
}
