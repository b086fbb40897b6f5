//! Going over to the next segment.

use super::Log;
use crate::LogError;
use crate::config::LogConfig;
use crate::format::footer::{FooterHeader, IndexEntry, NO_ENTRY, footer_bytes};
use crate::format::segment::{Base, SegmentHeader, SegmentId};
use crate::format::{BLOCK_BYTES, blocks_up};
use crate::index::{Run, SealedSegment};
use crate::limits::{INDEX_ENTRIES_MAX, INDEX_SPACING_BYTES, SEALING_MAX, SEGMENT_BYTES_FIRST};
use crate::open_frame::OpenFrame;
use crate::prepare::Preparation;
use crate::seal::{Listed, Sealing};
use crate::stream::{ActiveRun, Stream};
use iobackend::{FileSlot, IoBackend};
use planted::Bug;
use std::collections::VecDeque;
use std::sync::Arc;

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) header: SegmentHeader,
    pub(super) slot: FileSlot,
    /// Where the next frame goes.
    pub(super) cursor: u64,
    pub(crate) index: Vec<IndexEntry>,
    pub(super) listed: Vec<Listed>,
    pub(super) first_sequence: u64,
    pub(super) records: u64,
    pub(super) payload_bytes: u64,
}

impl Active {
    pub(super) fn new(header: SegmentHeader, slot: FileSlot, first_sequence: u64, listed: Vec<Listed>) -> Active {
        let index = Vec::with_capacity(listed.capacity().max(4096));
        Active { header, slot, cursor: BLOCK_BYTES as u64, index, listed, first_sequence, records: 0, payload_bytes: 0 }
    }
}

impl<B: IoBackend> Log<B> {
    /// Whether the active segment can take a frame of `length` with `entries`, and still its footer and trailer.
    #[inline]
    pub(super) fn segment_has(&self, length: usize, entries: usize) -> bool {
        let (streams, index) = (self.active.listed.len() + entries, self.active.index.len() + entries);
        let footer = footer_bytes(streams, index);
        index <= INDEX_ENTRIES_MAX
            && self.active.cursor + (length + footer + BLOCK_BYTES) as u64 <= self.active.header.capacity
    }

    /// Goes over to the next segment, if it is ready; the open frame must be empty.
    pub(super) fn rotate(&mut self, now: u64) -> bool {
        let ready = self.next.is_ready() && self.sealing.len() < SEALING_MAX && !self.seal_buffers.is_empty();
        if !ready {
            return false;
        }
        let used = self.active.cursor;
        let capacity = grown(used).clamp(SEGMENT_BYTES_FIRST.min(self.config.segment_bytes), self.config.segment_bytes);
        let number = self.next.header.id.number + 1;
        let Ok(header) = new_header(&mut self.backend, &self.config, self.base, number, capacity, now) else {
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

    pub(super) fn begin_sealing(&mut self, old: Active) {
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
            salt: Some(old.header.salt),
            end: old.cursor,
            index: old.index.into_boxed_slice(),
        });
        self.sealed.push(Arc::clone(&segment));
        let buffer = self.seal_buffers.pop().expect("rotate made sure of a buffer");
        self.sealing.push_back(Sealing::new(segment, old.slot, header, trailer_at, old.listed, buffer));
    }
}

/// Notes in the index where the streams of a frame begin.
pub(super) fn index_frame(active: &mut Active, streams: &mut [Stream], open: &OpenFrame, position: u64) {
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
pub(super) fn leave_segment(stream: &mut Stream, sealing: &mut VecDeque<Sealing>, sealed: &[Arc<SealedSegment>]) {
    let number = stream.active.segment;
    if number == 0 {
        return;
    }
    if let Some(job) = sealing.iter_mut().find(|job| job.header.id.number == number)
        && !planted::is(Bug::FooterLineLate)
    {
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
pub(super) fn grown(used: u64) -> u64 {
    blocks_up((used + used / 4) as usize) as u64
}

pub(super) fn new_header(
    backend: &mut impl IoBackend,
    config: &LogConfig,
    base: Base,
    number: u32,
    capacity: u64,
    now: u64,
) -> Result<SegmentHeader, LogError> {
    let id = SegmentId { log: config.log, number };
    let mut salt = [0; 32];
    backend.random(&mut salt).map_err(|source| LogError::System {
        doing: "draw a random salt for",
        path: id.to_string(),
        source,
    })?;
    let LogConfig { engine, incarnation, .. } = *config;
    if planted::is(Bug::SaltUsedAgain) {
        salt = [incarnation[0]; 32];
    }
    if planted::is(Bug::SaltOfEngineAndNumber) {
        salt[..16].copy_from_slice(&engine);
        salt[16..].fill(id.number as u8);
    }
    Ok(SegmentHeader { id, engine, incarnation, salt, capacity, created_at: now, base })
}
