//! The log of one shard: the open frame, the frames in flight, the marks, the segments.
//!
//! What must stay true:
//! - a frame's bytes are written once, in a place that was never written but with zeros;
//! - `written` and `durable` rise in the order of sequences, whatever the order of completions; `durable` never passes
//!   `written`, nor a frame that no flush covered which began after the frame was written;
//! - after a failed or short write, or a failed flush, nothing more is written, and neither mark ever rises again;
//! - nothing here blocks, but [`Log::open`] and [`Log::close`], which run before and after the loop.
//!
//! Deliberately absent: who may write what (the kernel), and who is told (the shard).

mod close;
mod flush;
mod mark;
mod rotate;

use flush::{Flushing, SEGMENTS_UNFLUSHED_MAX, Unflushed};
pub(crate) use rotate::Active;
use rotate::{grown, index_frame, leave_segment, new_header};

use crate::LogError;
use crate::config::{LogBuffers, LogConfig, LogFailure, LogStart, LogStats, Room};
use crate::files::Files;
use crate::format::BLOCK_BYTES;
use crate::format::frame::{FrameHeader, RecordHeader, frame_bytes};
use crate::format::segment::{Base, SegmentId};
use crate::index::SealedSegment;
use crate::keyring::Keyring;
use crate::limits::{
    FILE_SLOTS, FRAME_BYTES_MAX, FRAMES_IN_FLIGHT, IO_DEPTH, QUIET_NS, SEALING_MAX, SEGMENT_BYTES_FIRST,
};
use crate::open_frame::OpenFrame;
use crate::prepare::Preparation;
use crate::read::{READ_TOKEN, Reads};
use crate::seal::{Listed, Sealing};
use crate::stream::{ActiveRun, Stream, StreamStart};
use crate::timing::{FrameStages, StageStats, Stages};
use crate::wish::{Leave, Stake, Wish};
use crypto::secret::DataKey;
use iobackend::{Buffer, Completion, IoBackend, IoError, Op, OpKind};
use planted::Bug;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
struct InFlight {
    sequence: u64,
    segment: SegmentId,
    end: u64,
    durable_mark: u64,
    done: bool,
    /// It was submitted as a durable write; then all before it are durable, or were too.
    durable: bool,
    /// Somebody waits for a flush of it.
    wanted: bool,
    stake: Stake,
    stages: FrameStages,
}

/// What an operation's token stands for: the kind in the upper half, a number in the lower.
mod token {
    pub(super) const FRAME: u64 = 1 << 56;
    pub(super) const PREPARE: u64 = 2 << 56;
    pub(super) const SEAL: u64 = 3 << 56;
    pub(super) const FLUSH: u64 = 5 << 56;
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
    pub(crate) keyring: Keyring,
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
    /// The open frame's bytes at the most; 0 if it takes no more.
    cap: usize,
    /// Frames below this are written.
    written: u64,
    pub(crate) written_end: (SegmentId, u64),
    /// Frames below this are flushed, since this time.
    durable: u64,
    durable_at: u64,
    /// After the newest frame that was not submitted as a durable write.
    plain_until: u64,
    /// What is written and not flushed, by segment, in order; the flush that is in flight covers it no more.
    unflushed: VecDeque<Unflushed>,
    flushing: Option<Flushing>,
    /// When the active segment is to be flushed.
    flush_at: u64,
    /// Answered records that are not flushed.
    at_stake: u64,
    /// After the newest frame that promises to be durable.
    promised_until: u64,
    /// The highest durable mark that a durable frame carries.
    marked: u64,
    failure: Option<LogFailure>,
    hurry: bool,
    closing: bool,
    pub(crate) reads: Reads,
    stats: LogStats,
    stages: Stages,
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
        let header = new_header(&mut backend, &config, start.base, start.segment, capacity, now)?;
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
        let next = new_header(&mut backend, &config, start.base, start.segment + 1, next_capacity, now)?;
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
            keyring: Keyring::default(),
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
            cap: 0,
            written: sequence,
            written_end: (header.id, BLOCK_BYTES as u64),
            durable: sequence,
            durable_at: now,
            plain_until: sequence,
            unflushed: VecDeque::with_capacity(SEGMENTS_UNFLUSHED_MAX),
            flushing: None,
            flush_at: u64::MAX,
            at_stake: 0,
            promised_until: sequence,
            marked: sequence,
            failure: None,
            hurry: false,
            closing: false,
            reads: Reads::new(reads),
            stats: LogStats::default(),
            stages: Stages::new(),
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
            let capped = length > self.cap && !open.is_empty();
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
            self.cap = self.config.frame_cap;
        }
        Room::Ready
    }

    /// Makes room as [`room`](Self::room) does, in a frame that holds nothing yet.
    #[cold]
    pub fn room_alone(&mut self, records_bytes: usize, entries: usize, now: u64) -> Room {
        if self.failure.is_none() && self.open_bytes() > 0 {
            // Flushed with it, it does not cost the frame after it a flush of its own.
            self.want_durable(self.next_sequence);
            self.submit(now);
            if self.open_bytes() > 0 {
                return Room::Busy;
            }
        }
        self.room(records_bytes, entries, now)
    }

    /// The open frame takes no more, and is submitted when a place in flight is free.
    #[cold]
    pub fn shut(&mut self, now: u64) {
        self.cap = 0;
        self.submit(now);
    }

    /// Appends a record to the open frame.
    ///
    /// With a key id in its header it is sealed.
    ///
    /// # Panics
    /// If no [`room`](Self::room) was made for it, or it is to be sealed and the log was not [asked](Self::can_seal) for the key.
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
        let cipher = match header.key_id {
            0 => None,
            _ => Some(self.keyring.sealer(self.streams[index as usize].key_place, &self.active.header)),
        };
        open.push(index, &mut self.streams, header, payload, cipher);
    }

    /// Takes a tenant's data key, to seal with it and to open what was sealed with it.
    pub fn add_key(&mut self, tenant: u64, key_id: u32, key: DataKey) {
        self.keyring.add(tenant, key_id, key);
    }

    /// Drops a data key, and every cipher made of it. What lies opened in a read's buffer stays until the read is
    /// [finished](Self::finish_read), which wipes it.
    pub fn forget_key(&mut self, tenant: u64, key_id: u32) {
        self.keyring.forget(tenant, key_id);
    }

    /// Whether records of a stream can be sealed with a key; with key id 0 they are not sealed.
    #[inline]
    pub fn can_seal(&mut self, index: u32, key_id: u32) -> bool {
        if key_id == 0 {
            return true;
        }
        let stream = &self.streams[index as usize];
        let current = stream.key_id == key_id || planted::is(Bug::OldKeyKept);
        current && self.keyring.holds(stream.key_place) || self.take_up_key(index, key_id)
    }

    #[cold]
    fn take_up_key(&mut self, index: u32, key_id: u32) -> bool {
        let stream = &mut self.streams[index as usize];
        let place = self.keyring.place(stream.tenant, key_id);
        if let Some(place) = place {
            (stream.key_id, stream.key_place) = (key_id, place);
        }
        place.is_some()
    }

    /// Says what the newest `records` of the open frame ask for. Those of which nothing is said ask for a flush.
    ///
    /// # Panics
    /// If there is no open frame.
    #[cold]
    pub fn wish(&mut self, records: u32, wish: Wish, now: u64) {
        let open = self.open.as_mut().expect("records were appended");
        open.wishes.note(records, wish, now);
        if wish == Wish::Nothing {
            self.put_at_stake(u64::from(records));
        }
    }

    /// The sequence that the records appended now will be in.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Frames with a lower sequence are durable: they, and all before them, were flushed.
    #[inline]
    #[must_use]
    pub fn durable(&self) -> u64 {
        if planted::is(Bug::AcknowledgedBeforeFlush) { self.next_sequence } else { self.durable }
    }

    /// Frames with a lower sequence are written, and so are all before them.
    #[inline]
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The frame that holds the newest record of a stream.
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

    /// When the open frame is to leave.
    #[inline]
    #[must_use]
    pub fn leave(&self) -> Leave {
        self.open.as_ref().map_or(Leave::Never, |open| open.wishes.leave(open.records))
    }

    /// Frames that are being written.
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
        self.stages.closing();
        let active = &mut self.active;
        if self.promised_until.min(self.durable) > self.marked && self.durable_at.saturating_add(QUIET_NS) <= now {
            // Under a load that has nothing flushed no quiet comes for a mark frame: this one carries the mark.
            open.wishes.carry_mark();
        }
        let wanted = open.wishes.want_flush(open.records);
        // A durable write vouches for what was written before it in no way: only where all that is flushed, or durable by
        // its own write, does it make this frame durable. Else a flush covers them all once they are written.
        let durable = wanted && (self.durable >= self.plain_until || planted::is(Bug::PlainFramesForgotten));
        if !durable {
            self.plain_until = self.next_sequence + 1;
        }
        let durable_mark = if planted::is(Bug::DurableMarkAhead) { self.next_sequence } else { self.durable };
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
        let over_mark = header.mark && planted::is(Bug::MarkWrittenOver);
        active.cursor += if over_mark { 0 } else { u64::from(header.length) };
        active.records += u64::from(header.records);
        active.payload_bytes += open.payload_bytes;
        self.last_crc = header.body_crc;
        self.next_sequence += 1;
        let (file, segment, end) = (active.slot, active.header.id, active.cursor);
        self.count(&open, &header);
        let (sequence, stages) = (header.sequence, self.stages.closed());
        let stake = open.wishes.stake;
        self.in_flight.push_back(InFlight {
            sequence,
            segment,
            end,
            durable_mark,
            done: false,
            durable,
            wanted,
            stake,
            stages,
        });
        let OpenFrame { buffer, mut table, .. } = open;
        table.clear();
        self.spare_table = table;
        let durable = durable && !planted::is(Bug::FrameNotFlushed);
        let kind = OpKind::Write { file, at, buffer, len, durable };
        let refused = self.backend.submit(Op { token: token::FRAME | sequence, kind }).is_err();
        assert!(!refused, "IO_DEPTH has room for every frame in flight");
        self.stages.submitted();
    }

    fn count(&mut self, open: &OpenFrame, header: &FrameHeader) {
        let stats = &mut self.stats;
        if header.mark {
            stats.marks += 1;
        } else {
            stats.frames += 1;
            if open.wishes.promise(open.records) {
                self.promised_until = header.sequence + 1;
            }
        }
        stats.records += u64::from(header.records);
        stats.payload_bytes += open.payload_bytes;
        stats.frame_bytes += u64::from(header.length);
    }

    /// Polls the backend, takes in what completed, raises the mark, and does a turn of the background work.
    /// Returns whether anything happened.
    pub fn reap(&mut self, now: u64) -> bool {
        let mut completions = std::mem::take(&mut self.completions);
        self.stages.polling(|| self.backend.in_flight());
        self.backend.poll(&mut completions);
        let progress = !completions.is_empty();
        self.stages.polled(|| self.backend.in_flight(), progress);
        for completion in completions.drain(..) {
            self.take_in(completion, now);
        }
        self.completions = completions;
        self.work_in_background(now);
        self.stages.reaped(progress);
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
                let (id, next_sequence) = (job.header.id, job.header.next_sequence);
                let flushed = job.is_flushing();
                let doing = if flushed { "flush frames" } else { "write a footer" };
                match job.complete(result, buffer) {
                    Ok(()) if flushed => self.segment_flushed(number, next_sequence, now),
                    Ok(()) => {}
                    Err(source) => self.fail(LogFailure { doing, segment: id, source }),
                }
            }
            token::FLUSH => self.flush_done(result, now),
            READ_TOKEN => self.read_done((token & !token::KIND) as usize, result, buffer),
            _ => unreachable!("no operation has the token {token:#x}"),
        }
    }

    fn frame_done(&mut self, sequence: u64, result: Result<(), IoError>, now: u64) {
        let frame = self.in_flight.iter_mut().find(|frame| frame.sequence == sequence);
        let frame = frame.expect("a frame stays listed until all before it are written");
        if let Err(source) = result
            && !planted::is(bug_that_ignores(&source))
        {
            let segment = frame.segment;
            self.fail(LogFailure { doing: "write a frame", segment, source });
            return;
        }
        frame.done = true;
        if planted::is(Bug::SettledOutOfOrder) {
            self.durable = self.durable.max(sequence + 1);
        }
        while self.failure.is_none() {
            let Some(frame) = self.in_flight.front().filter(|frame| frame.done) else {
                break;
            };
            self.written = frame.sequence + 1;
            self.written_end = (frame.segment, frame.end);
            self.stages.settled(frame.stages);
            if frame.durable {
                debug_assert_eq!(self.durable, frame.sequence, "all before it are durable");
                self.durable = frame.sequence + 1;
                self.durable_at = now;
                self.marked = self.marked.max(frame.durable_mark);
                if frame.stake.records > 0 {
                    self.relieve(frame.stake, now);
                }
                self.in_flight.pop_front();
            } else {
                self.written_plainly(now);
            }
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
            if self.flush_at <= now {
                self.begin_flush();
            }
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
        } else if job.is_flushing() && self.flushing.is_some() {
            // One flush of a file at a time: of two, the system may tell one alone that it failed.
        } else if job.header.next_sequence <= self.written {
            let token = token::SEAL | u64::from(job.header.id.number);
            job.advance(&mut self.backend, &self.streams, token);
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
        let held = self.flushing.is_some();
        let sealing = |job: &Sealing| {
            !job.is_waiting() && job.header.next_sequence <= self.written && !(held && job.is_flushing())
        };
        self.failure.is_none() && self.sealing.front().is_some_and(sealing)
    }

    /// The backend, to wait on.
    pub fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.stats
    }

    /// The observer of where time goes, for the shard's share of it.
    #[inline]
    pub fn stages(&mut self) -> &mut Stages {
        &mut self.stages
    }

    /// Where time went; nothing without the feature `timing`.
    #[must_use]
    pub fn stage_stats(&self) -> Option<StageStats> {
        self.stages.stats()
    }

    /// A segment that this incarnation has left.
    pub(crate) fn sealed_segment(&self, number: u32) -> Option<&SealedSegment> {
        let at = self.sealed.binary_search_by_key(&number, |segment| segment.id.number).ok()?;
        Some(&self.sealed[at])
    }
}

/// The mistake that would take this error for success.
fn bug_that_ignores(error: &IoError) -> Bug {
    match error {
        IoError::Short { .. } => Bug::ShortWriteIgnored,
        IoError::NoSpace { .. } => Bug::NoSpaceIgnored,
        _ => Bug::WriteErrorIgnored,
    }
}

fn wait(backend: &mut impl IoBackend, segment: SegmentId) -> Result<(), LogError> {
    let path = segment.to_string();
    backend.wait(None).map_err(|source| LogError::System { doing: "wait for an operation on", path, source })
}
