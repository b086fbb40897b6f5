//! Looking ahead: what vouches for the next frame, and where the log goes on when that is not where it should be.

use super::{AHEAD_BYTES, BLOCK, Followed, Follower, SLOT, Segment, header_at};
use crate::error::{Cause, Damage, LogError};
use crate::format::Fault;
use crate::format::segment::{Base, SegmentId};
use crate::recover::check_header;
use crate::scan::{Seal, SegmentFile};
use iobackend::{Buffer, IoBackend, OpenMode};

/// Where the log's incarnations begin. A directory that is open has its newest one already, so what is learnt stays true.
#[derive(Debug, Default)]
pub(super) struct Openings {
    /// The first segment seen of each, in order.
    firsts: Vec<(u32, [u8; 16], Base)>,
    /// Segments up to this number were looked at.
    known: u32,
}

impl Openings {
    /// Looks at the headers of segments that were not seen yet.
    pub(super) fn learn<B: IoBackend>(
        &mut self,
        backend: &mut B,
        buffer: &mut Option<Buffer>,
        (log, engine): (u16, [u8; 16]),
        numbers: impl Iterator<Item = u32>,
    ) -> Result<(), LogError> {
        let mut numbers = numbers.filter(|number| *number > self.known).collect::<Vec<_>>().into_iter().peekable();
        while let Some(number) = numbers.next() {
            let id = SegmentId { log, number };
            let mut file = match SegmentFile::open(backend, id, SLOT, OpenMode::ReadOnly, buffer) {
                Err(LogError::Io { source, .. }) if source.is_not_found() => break,
                file => file?,
            };
            let header = file.header()?;
            check_header(id, Some(engine), header)?;
            match header {
                Ok(header) if self.firsts.last().is_none_or(|(_, last, _)| *last != header.incarnation) => {
                    self.firsts.push((number, header.incarnation, header.base));
                }
                // The newest one may be in the making; of any other it is damaged.
                Err(_) if numbers.peek().is_none() => break,
                _ => {}
            }
            self.known = number;
        }
        Ok(())
    }

    /// What the first incarnation after segment `number` adopted, other than the one that wrote it.
    pub(super) fn after(&self, number: u32, incarnation: Option<[u8; 16]>) -> Option<Base> {
        let later = self.firsts.iter().find(|(first, other, _)| *first > number && Some(*other) != incarnation);
        later.map(|(_, _, base)| *base)
    }

    /// Whether segment `number` is of another incarnation than this.
    pub(super) fn begins_at(&self, number: u32, incarnation: Option<[u8; 16]>) -> bool {
        let own = self.firsts.iter().rev().find(|(first, _, _)| *first <= number);
        own.is_some_and(|(_, other, _)| Some(*other) != incarnation)
    }
}

/// What the next segment shows at its beginning.
#[derive(Default)]
struct Glimpse {
    first: Option<u64>,
    mark: u64,
}

impl Follower {
    /// Looks at the headers of the frames ahead, until one vouches for the next frame.
    pub(super) fn look_ahead<B: IoBackend>(
        &mut self,
        file: &mut SegmentFile<'_, B>,
        segment: &Segment,
    ) -> Result<(), LogError> {
        let limit = segment.limit.map_or(u64::MAX, |base| base.sequence);
        let mut at = self.looked.max(self.at);
        // Frames that are being written may come to the disk in any order; what lies further ahead than this comes later.
        let mut end = at + AHEAD_BYTES;
        while segment.footer.is_none() && at < end.min(segment.until) && self.claim <= self.expected {
            file.read_ahead((at + AHEAD_BYTES).min(segment.until));
            match header_at(file, segment.id, at, segment.incarnation)? {
                Ok(header) if (self.expected..limit).contains(&header.sequence) => {
                    self.claim = self.claim.max(header.durable_mark);
                    at += u64::from(header.length);
                    end = at + AHEAD_BYTES;
                    if self.looked.max(self.at) + u64::from(header.length) == at {
                        self.looked = at;
                    }
                }
                _ => at += BLOCK,
            }
        }
        Ok(())
    }

    /// Whether the segment after this one, of the same incarnation, vouches for the next frame.
    pub(super) fn vouched_for_by_next<B: IoBackend>(
        &mut self,
        backend: &mut B,
        buffer: &mut Option<Buffer>,
        segment: &Segment,
    ) -> Result<bool, LogError> {
        let glimpse = self.glimpse(backend, buffer, segment)?;
        self.claim = self.claim.max(glimpse.mark);
        Ok(self.claim > self.expected)
    }

    /// No frame lies where the next is expected: whether the log goes on in the next segment. None if it may end here.
    pub(super) fn goes_on_in_next<B: IoBackend>(
        &mut self,
        backend: &mut B,
        buffer: &mut Option<Buffer>,
        segment: &Segment,
    ) -> Result<Option<bool>, LogError> {
        if segment.footer.is_some() || self.limit_is_next(segment) {
            return Ok(Some(false));
        }
        let glimpse = self.glimpse(backend, buffer, segment)?;
        if glimpse.first == Some(self.expected) {
            return Ok(Some(true));
        }
        self.claim = self.claim.max(glimpse.mark);
        Ok((self.claim > self.expected).then_some(false))
    }

    /// The next frame is vouched for, and is not there: names that, and goes on behind it.
    pub(super) fn pass_damage<B: IoBackend>(
        &mut self,
        backend: &mut B,
        buffer: &mut Option<Buffer>,
        (segment, fault): (&Segment, Fault),
        visit: &mut dyn FnMut(Followed<'_>) -> bool,
    ) -> Result<(), LogError> {
        let limit = segment.limit.map_or(u64::MAX, |base| base.sequence);
        let mut file = SegmentFile::open(backend, segment.id, SLOT, OpenMode::ReadOnly, buffer)?;
        if header_at(&mut file, segment.id, self.at, segment.incarnation)?.is_ok() {
            // It came between the first look and what vouches for it.
            return Ok(());
        }
        let mut at = self.at + BLOCK;
        let mut found = None;
        while at < segment.until && found.is_none() {
            file.read_ahead(segment.until);
            let header = header_at(&mut file, segment.id, at, segment.incarnation)?;
            found = header.ok().filter(|header| (self.expected..limit).contains(&header.sequence));
            at += if found.is_some() { 0 } else { BLOCK };
        }
        drop(file);
        let cause = Cause::Frame { sequence: self.expected, fault };
        let bytes = self.at..at;
        visit(Followed::Damaged(Damage { segment: segment.id, bytes, cause, losses: Vec::new() }));
        self.at = at;
        self.last_crc = None;
        self.expected = match (found, segment.footer) {
            (Some(header), _) => header.sequence,
            (None, Some(footer)) => footer.next_sequence.min(limit),
            (None, None) if self.limit_is_next(segment) => limit,
            (None, None) => {
                let first = self.glimpse(backend, buffer, segment)?.first;
                first.filter(|first| *first > self.expected).unwrap_or(self.claim)
            }
        };
        Ok(())
    }

    /// Looks at the beginning of the next segment, if it is of the same incarnation.
    fn glimpse<B: IoBackend>(
        &self,
        backend: &mut B,
        buffer: &mut Option<Buffer>,
        segment: &Segment,
    ) -> Result<Glimpse, LogError> {
        let mut glimpse = Glimpse::default();
        let Some(number) = segment.next else { return Ok(glimpse) };
        let id = SegmentId { log: self.log, number };
        let mut file = match SegmentFile::open(backend, id, SLOT, OpenMode::ReadOnly, buffer) {
            Err(LogError::Io { source, .. }) if source.is_not_found() => return Ok(glimpse),
            file => file?,
        };
        let header = file.header()?;
        check_header(id, Some(self.engine), header)?;
        if header.is_ok_and(|header| Some(header.incarnation) != segment.incarnation) {
            return Ok(glimpse);
        }
        if let Seal::Sealed(footer) = file.seal(segment.incarnation)? {
            glimpse.mark = footer.header.next_sequence;
        }
        let mut at = BLOCK;
        while at < file.end && (glimpse.first.is_none() || glimpse.mark <= self.expected) {
            file.read_ahead(at + AHEAD_BYTES);
            let Ok(header) = header_at(&mut file, id, at, segment.incarnation)? else { break };
            glimpse.first.get_or_insert(header.sequence);
            glimpse.mark = glimpse.mark.max(header.durable_mark);
            at += u64::from(header.length);
        }
        Ok(glimpse)
    }
}
