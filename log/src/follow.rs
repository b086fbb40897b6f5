//! Following a log from outside while it is written: what is durable of it, frame by frame, once and in order.
//!
//! A follower reads files and talks to no writer, so it may run in the writer's process or without one. What must stay true:
//! - a frame is shown only when something intact vouches for it (`docs/format.md`, "Opening"): a durable mark behind it, a
//!   footer, the base of a later opening, the manifest's frontier. So what an opening may still cut is never shown;
//! - whatever is not as it should be is read again before it is called damage: its writer may have been at work;
//! - what is damaged is named and passed over, and the frames behind it are shown;
//! - of each frame every link is computed again. That the links of frames join is for whoever follows: it needs memory of
//!   every stream, and this has only a buffer and a place.
//!
//! Deliberately absent: judging a whole log (`history`), and changing anything.

mod ahead;

use crate::error::{Cause, Damage, LogError};
use crate::format::footer::FooterHeader;
use crate::format::frame::{FrameHeader, TableEntry};
use crate::format::segment::{Base, SegmentHeader, SegmentId};
use crate::format::{BLOCK_BYTES, Fault};
use crate::links::{Chain, Linked, compute_links};
use crate::recover::{check_header, loss, segment_numbers};
use crate::scan::{Seal, SegmentFile, belongs};
use ahead::Openings;
use crypto::Link;
use iobackend::{Buffer, FileSlot, IoBackend, IoError, OpenMode};

const SLOT: FileSlot = FileSlot(0);
const BLOCK: u64 = BLOCK_BYTES as u64;
/// How far reading goes ahead in a segment that may still be written: what lies further is likely to be zero.
const AHEAD_BYTES: u64 = 512 << 10;

/// How far a log was followed: up to the end of a frame. The default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The segment of the last frame that was taken; 0: none was.
    pub segment: u32,
    /// Where that frame begins.
    pub frame: u64,
    /// Where it ends.
    pub end: u64,
    /// The sequence after it.
    pub sequence: u64,
    /// Its body checksum.
    pub body_crc: u32,
}

/// What a follower comes across.
#[derive(Debug)]
#[non_exhaustive]
pub enum Followed<'a> {
    /// A durable frame.
    Frame(FollowedFrame<'a>),
    /// Something is damaged. The records of the streams that it names as losses are not to be believed where a frame shows them
    /// all the same; where it names none, what was lost shows as a gap in what follows, if anything does.
    Damaged(Damage),
}

/// A durable frame whose checksums fit.
#[derive(Clone, Copy, Debug)]
pub struct FollowedFrame<'a> {
    /// Where it lies.
    pub segment: SegmentId,
    /// Its header.
    pub header: &'a FrameHeader,
    /// Its stream table.
    pub table: &'a [TableEntry],
    /// Its records, in the order of the frame.
    pub records: &'a [FollowedRecord],
}

/// A record, as its links have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowedRecord {
    /// Which entry of the table.
    pub slot: u16,
    /// The tenant's number for it.
    pub position: u64,
    /// Its link, as computed.
    pub link: Link,
}

/// Why a follower stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// Nothing more is durable.
    End,
    /// So much was to be read and no more.
    Budget,
    /// A frame was not taken. It comes again.
    Held,
}

/// A reader of one log that remembers how far it came.
#[derive(Debug)]
pub struct Follower {
    log: u16,
    engine: [u8; 16],
    frontier: u64,
    taken: Cursor,
    /// Where the next frame is expected; 0: no segment was entered.
    segment: u32,
    at: u64,
    expected: u64,
    /// Body checksum of the frame before; none where that is lost.
    last_crc: Option<u32>,
    /// Every frame of this incarnation with a lower sequence is durable.
    claim: u64,
    incarnation: Option<[u8; 16]>,
    /// Headers of this segment were looked at up to here.
    looked: u64,
    openings: Openings,
    table: Vec<TableEntry>,
    records: Vec<FollowedRecord>,
}

/// What is known of the segment that is read.
struct Segment {
    id: SegmentId,
    header: Result<SegmentHeader, Fault>,
    incarnation: Option<[u8; 16]>,
    footer: Option<FooterHeader>,
    /// Where its frames end at the latest.
    until: u64,
    /// What the next incarnation adopted: frames from its sequence on are not part of the log.
    limit: Option<Base>,
    /// The segment after it.
    next: Option<u32>,
}

/// How reading a segment ended.
enum Stop {
    Pause(Paused),
    /// All frames of it that are part of the log were passed.
    Passed,
    /// There is no frame where one is expected.
    NoFrame(Fault),
    /// The next frame is there, and nothing in the segment vouches for it.
    Unvouched,
}

impl Follower {
    /// A follower of the log with the number `log` in the directory `engine`, from `cursor` on. Everything below the
    /// `frontier` of a manifest is durable.
    #[must_use]
    pub fn new(log: u16, engine: [u8; 16], frontier: Base, cursor: Cursor) -> Follower {
        Follower {
            log,
            engine,
            frontier: frontier.sequence,
            taken: cursor,
            segment: cursor.segment,
            at: cursor.end,
            expected: cursor.sequence,
            last_crc: Some(cursor.body_crc),
            claim: 0,
            incarnation: None,
            looked: 0,
            openings: Openings::default(),
            table: Vec::new(),
            records: Vec::new(),
        }
    }

    /// The log's number.
    #[must_use]
    pub fn log(&self) -> u16 {
        self.log
    }

    /// After the last frame that was taken.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.taken
    }

    /// Whether the frame before the cursor is the one that was taken. If not, the log is another than was followed.
    ///
    /// # Errors
    /// What the system refuses, and a segment of another directory.
    pub fn fits<B: IoBackend>(&self, backend: &mut B, buffer: &mut Option<Buffer>) -> Result<bool, LogError> {
        let Cursor { segment: number, frame, end, sequence, body_crc } = self.taken;
        if number == 0 {
            return Ok(true);
        }
        let id = SegmentId { log: self.log, number };
        let mut file = match SegmentFile::open(backend, id, SLOT, OpenMode::ReadOnly, buffer) {
            Err(LogError::Io { source, .. }) if source.is_not_found() => return Ok(false),
            file => file?,
        };
        let header = file.header()?;
        check_header(id, Some(self.engine), header)?;
        let incarnation = header.ok().map(|header| header.incarnation);
        let found = header_at(&mut file, id, frame, incarnation)?;
        let is_it = |header: FrameHeader| {
            header.position + u64::from(header.length) == end
                && header.sequence.checked_add(1) == Some(sequence)
                && header.body_crc == body_crc
        };
        Ok(found.is_ok_and(is_it))
    }

    /// Shows what is durable to `visit`, up to about `budget` bytes of it. A frame that `visit` answers with `false` is not
    /// taken, and the log pauses there. `buffer` has [`SCAN_BUFFER_BYTES`](crate::SCAN_BUFFER_BYTES).
    ///
    /// # Errors
    /// What the system refuses, foreign files and other versions. What was taken stays taken.
    pub fn advance<B: IoBackend>(
        &mut self,
        backend: &mut B,
        buffer: &mut Option<Buffer>,
        budget: u64,
        visit: &mut dyn FnMut(Followed<'_>) -> bool,
    ) -> Result<Paused, LogError> {
        match self.go(backend, buffer, budget, visit) {
            // The file became shorter since it was opened: its writer is just closing it.
            Err(LogError::Io { source: IoError::Short { .. }, .. }) => Ok(Paused::End),
            paused => paused,
        }
    }

    fn go<B: IoBackend>(
        &mut self,
        backend: &mut B,
        buffer: &mut Option<Buffer>,
        budget: u64,
        visit: &mut dyn FnMut(Followed<'_>) -> bool,
    ) -> Result<Paused, LogError> {
        let numbers = segment_numbers(backend, self.log)?;
        self.openings.learn(
            backend,
            buffer,
            (self.log, self.engine),
            numbers.iter().copied().filter(|n| *n > self.segment),
        )?;
        let mut left = budget;
        if self.segment == 0 {
            let Some(&first) = numbers.first() else { return Ok(Paused::End) };
            self.enter(first, visit);
        }
        loop {
            let next = numbers.iter().copied().find(|number| *number > self.segment);
            let Some((mut file, segment)) = self.open(backend, buffer, next)? else {
                return Ok(Paused::End);
            };
            let stop = self.frames(&mut file, &segment, &mut left, visit)?;
            drop(file);
            let passed = match stop {
                Stop::Pause(paused) => return Ok(paused),
                Stop::Passed => true,
                Stop::Unvouched => {
                    if !self.vouched_for_by_next(backend, buffer, &segment)? {
                        return Ok(Paused::End);
                    }
                    false
                }
                Stop::NoFrame(fault) => match self.goes_on_in_next(backend, buffer, &segment)? {
                    Some(true) => true,
                    Some(false) => {
                        self.pass_damage(backend, buffer, (&segment, fault), visit)?;
                        false
                    }
                    None => return Ok(Paused::End),
                },
            };
            match next {
                Some(next) if passed => {
                    self.pass_missing(&segment, visit);
                    self.enter(next, visit);
                }
                None if passed => return Ok(Paused::End),
                _ => {}
            }
        }
    }

    /// Opens the segment that is read; none if it was removed just now, as an unused one is.
    fn open<'a, B: IoBackend>(
        &mut self,
        backend: &'a mut B,
        buffer: &'a mut Option<Buffer>,
        next: Option<u32>,
    ) -> Result<Option<(SegmentFile<'a, B>, Segment)>, LogError> {
        let id = SegmentId { log: self.log, number: self.segment };
        let mut file = match SegmentFile::open(backend, id, SLOT, OpenMode::ReadOnly, buffer) {
            Err(LogError::Io { source, .. }) if source.is_not_found() => return Ok(None),
            file => file?,
        };
        let header = file.header()?;
        check_header(id, Some(self.engine), header)?;
        let mut incarnation = header.ok().map(|header| header.incarnation);
        let footer = match file.seal(incarnation)? {
            Seal::Sealed(footer) => Some(footer.header),
            Seal::Unsealed | Seal::Bad(_) => None,
        };
        incarnation = incarnation.or(footer.map(|footer| footer.incarnation));
        if incarnation.is_none() {
            incarnation = header_at(&mut file, id, BLOCK, None)?.ok().map(|header| header.incarnation);
        }
        if incarnation.is_some() && incarnation != self.incarnation {
            self.incarnation = incarnation;
            self.claim = header.map_or(0, |header| header.base.sequence);
        }
        let limit = self.openings.after(id.number, incarnation);
        let vouched =
            [self.frontier, footer.map_or(0, |footer| footer.next_sequence), limit.map_or(0, |base| base.sequence)];
        self.claim = vouched.into_iter().fold(self.claim, u64::max);
        let until = footer.map_or(file.end, |footer| footer.position);
        Ok(Some((file, Segment { id, header, incarnation, footer, until, limit, next })))
    }

    /// Shows the frames of a segment from `at` on, as far as they are vouched for.
    fn frames<B: IoBackend>(
        &mut self,
        file: &mut SegmentFile<'_, B>,
        segment: &Segment,
        left: &mut u64,
        visit: &mut dyn FnMut(Followed<'_>) -> bool,
    ) -> Result<Stop, LogError> {
        let limit = segment.limit.map_or(u64::MAX, |base| base.sequence);
        loop {
            if self.at >= segment.until || self.expected >= limit {
                return Ok(Stop::Passed);
            }
            if *left == 0 {
                return Ok(Stop::Pause(Paused::Budget));
            }
            let ahead = if segment.footer.is_some() { segment.until } else { self.at + AHEAD_BYTES };
            file.read_ahead(ahead.min(segment.until));
            let found = twice(file, |file| header_at(file, segment.id, self.at, segment.incarnation))?;
            let header = match found {
                Ok(header) if header.sequence >= limit => return Ok(Stop::Passed),
                Ok(header) => header,
                Err(Fault::Version(found)) => {
                    return Err(LogError::Version { path: segment.id.to_string(), found });
                }
                Err(fault) => {
                    self.look_ahead(file, segment)?;
                    return Ok(Stop::NoFrame(fault));
                }
            };
            if header.sequence >= self.claim {
                self.look_ahead(file, segment)?;
                if header.sequence >= self.claim {
                    return Ok(Stop::Unvouched);
                }
            }
            if !self.frame(file, segment, &header, visit)? {
                return Ok(Stop::Pause(Paused::Held));
            }
            *left = left.saturating_sub(u64::from(header.length));
        }
    }

    /// Shows one frame that is vouched for, with all that is wrong about it. Returns whether it was taken.
    fn frame<B: IoBackend>(
        &mut self,
        file: &mut SegmentFile<'_, B>,
        segment: &Segment,
        header: &FrameHeader,
        visit: &mut dyn FnMut(Followed<'_>) -> bool,
    ) -> Result<bool, LogError> {
        let end = header.position + u64::from(header.length);
        let damage = |sequence, fault, losses| {
            let cause = Cause::Frame { sequence, fault };
            Followed::Damaged(Damage { segment: segment.id, bytes: header.position..end, cause, losses })
        };
        if header.sequence < self.expected {
            visit(damage(header.sequence, Fault::Order, Vec::new()));
            self.at = end;
            return Ok(true);
        }
        if header.sequence > self.expected {
            visit(damage(self.expected, Fault::Order, Vec::new()));
            (self.expected, self.last_crc) = (header.sequence, None);
        }
        let read = twice(file, |file| self.read(file, header))?;
        let suspects = match read {
            Ok(suspects) => suspects,
            Err(fault) => {
                let losses = self.table.iter().map(loss).collect();
                visit(damage(header.sequence, fault, losses));
                self.step_over(header);
                return Ok(true);
            }
        };
        if !suspects.is_empty() {
            visit(damage(header.sequence, Fault::Chain, suspects.iter().map(loss).collect()));
        }
        let unknown = segment.header.is_ok_and(|own| own.base.sequence == header.sequence && own.base.body_crc == 0);
        if !unknown && self.last_crc.is_some_and(|crc| crc != header.previous_crc) {
            // No record of it is lost: whether it goes on from where its streams were, their links tell.
            visit(damage(header.sequence, Fault::Order, Vec::new()));
        }
        let frame = FollowedFrame { segment: segment.id, header, table: &self.table, records: &self.records };
        if !visit(Followed::Frame(frame)) {
            return Ok(false);
        }
        let (sequence, body_crc) = (header.sequence + 1, header.body_crc);
        self.taken = Cursor { segment: segment.id.number, frame: header.position, end, sequence, body_crc };
        self.step_over(header);
        Ok(true)
    }

    fn step_over(&mut self, header: &FrameHeader) {
        self.at = header.position + u64::from(header.length);
        self.expected = header.sequence + 1;
        self.last_crc = Some(header.body_crc);
    }

    /// Reads a frame, checks it, and computes its links. Returns the entries of its table that the links do not lead to. The
    /// table is there, if it is intact, also of a frame that is not.
    fn read<B: IoBackend>(
        &mut self,
        file: &mut SegmentFile<'_, B>,
        header: &FrameHeader,
    ) -> Result<Result<Vec<TableEntry>, Fault>, LogError> {
        let (at, length) = (header.position, header.length as usize);
        self.table.clear();
        self.records.clear();
        file.bytes(at, length)?;
        let unreadable = file.is_unreadable(at..at + length as u64);
        let frame = file.bytes(at, length)?;
        if let Ok(table) = header.table(frame) {
            self.table.extend(table.iter());
        }
        if unreadable {
            return Ok(Err(Fault::Unreadable));
        }
        if let Err(fault) = header.check_body(frame).and_then(|()| header.table(frame).map(|_| ())) {
            return Ok(Err(fault));
        }
        let records = &mut self.records;
        let chains = compute_links(header, frame, &self.table, |Linked { slot, position, link }| {
            records.push(FollowedRecord { slot: slot as u16, position, link });
        });
        let differs = |(entry, chain): &(&TableEntry, Chain)| !chain.ends(entry);
        let suspects = |chains| self.table.iter().zip(chains).filter(differs).map(|(entry, _)| *entry).collect();
        Ok(chains.map(suspects))
    }

    /// What is missing at the end of a segment that was passed is lost.
    fn pass_missing(&mut self, segment: &Segment, visit: &mut dyn FnMut(Followed<'_>) -> bool) {
        let limit = segment.limit.unwrap_or(Base { sequence: u64::MAX, ..Base::default() });
        let (end, crc) = match segment.footer {
            Some(footer) if footer.next_sequence <= limit.sequence => (footer.next_sequence, footer.last_crc),
            _ if segment.limit.is_some() && self.limit_is_next(segment) => (limit.sequence, limit.body_crc),
            _ => return,
        };
        if self.expected < end {
            let cause = Cause::Frame { sequence: self.expected, fault: Fault::Unwritten };
            let bytes = self.at..segment.until.max(self.at);
            visit(Followed::Damaged(Damage { segment: segment.id, bytes, cause, losses: Vec::new() }));
            (self.expected, self.last_crc) = (end, (crc != 0).then_some(crc));
        }
    }

    /// Whether the incarnation that wrote the next segment is another.
    fn limit_is_next(&self, segment: &Segment) -> bool {
        segment.next.is_some_and(|next| self.openings.begins_at(next, segment.incarnation))
    }

    fn enter(&mut self, number: u32, visit: &mut dyn FnMut(Followed<'_>) -> bool) {
        let missing = self.segment + 1..number;
        if !missing.is_empty() {
            let segment = SegmentId { log: self.log, number: missing.start };
            let last = missing.end - 1;
            let cause = if last == missing.start { Cause::MissingSegment } else { Cause::MissingSegments { last } };
            visit(Followed::Damaged(Damage { segment, bytes: 0..0, cause, losses: Vec::new() }));
            self.last_crc = None;
        }
        (self.segment, self.at, self.looked) = (number, BLOCK, 0);
    }
}

/// Reads again what is not as it should be, since what was read may have been just written. What vouches for it was read before.
fn twice<B: IoBackend, T>(
    file: &mut SegmentFile<'_, B>,
    mut read: impl FnMut(&mut SegmentFile<'_, B>) -> Result<Result<T, Fault>, LogError>,
) -> Result<Result<T, Fault>, LogError> {
    match read(file)? {
        Err(_) => {
            file.forget();
            read(file)
        }
        good => Ok(good),
    }
}

/// The header of the frame at `at`, if one begins there that was written for this place.
pub(crate) fn header_at<B: IoBackend>(
    file: &mut SegmentFile<'_, B>,
    id: SegmentId,
    at: u64,
    incarnation: Option<[u8; 16]>,
) -> Result<Result<FrameHeader, Fault>, LogError> {
    file.bytes(at, BLOCK_BYTES)?;
    if file.is_unreadable(at..at + BLOCK) {
        return Ok(Err(Fault::Unreadable));
    }
    let block = file.bytes(at, BLOCK_BYTES)?;
    Ok(FrameHeader::decode(block).and_then(|header| belongs(header, id, at, incarnation)))
}
