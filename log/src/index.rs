//! The sparse index from a stream's offset to the frame that holds it.
//!
//! Each segment has one pool of entries, in the order of its frames; the entries of one stream are linked
//! from newest to oldest. Appending is a push; finding walks back from the newest. Nothing is ever sorted,
//! so sealing a segment costs no more than writing its pool out.

use crate::format::footer::{IndexEntry, NO_ENTRY};
use crate::format::segment::SegmentId;
use std::sync::Arc;

/// A segment that is no longer written, as far as reading needs to know it.
#[derive(Debug)]
pub struct SealedSegment {
    /// Which segment.
    pub id: SegmentId,
    /// The incarnation that wrote it.
    pub incarnation: [u8; 16],
    /// The byte after its last frame.
    pub end: u64,
    /// Its pool of index entries.
    pub index: Box<[IndexEntry]>,
}

/// The part of a stream's history that lies in one sealed segment.
#[derive(Clone, Debug)]
pub struct Run {
    /// The segment; shared, since any shard may read sealed bytes.
    pub segment: Arc<SealedSegment>,
    /// Offset of the stream's first record in it.
    pub first_offset: u64,
    /// The stream's newest entry in the segment's pool.
    pub newest: u32,
}

/// Where to begin looking for an offset.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) segment: SegmentId,
    pub(crate) incarnation: [u8; 16],
    /// The frame to begin with.
    pub(crate) position: u64,
    /// Where the segment's frames end.
    pub(crate) end: u64,
}

/// The block to begin with for `offset`: of the newest entry that is not above it.
pub(crate) fn find(pool: &[IndexEntry], newest: u32, offset: u64) -> Option<u32> {
    let mut at = newest;
    while at != NO_ENTRY {
        let entry = pool.get(at as usize)?;
        if entry.first_offset <= offset {
            return Some(entry.block);
        }
        at = entry.previous;
    }
    None
}

/// Finds `offset` among sealed runs, which are in ascending order of first offset.
pub(crate) fn find_run(runs: &[Run], offset: u64) -> Option<Place> {
    let after = runs.partition_point(|run| run.first_offset <= offset);
    let run = runs.get(after.checked_sub(1)?)?;
    let block = find(&run.segment.index, run.newest, offset)?;
    Some(Place {
        segment: run.segment.id,
        incarnation: run.segment.incarnation,
        position: u64::from(block) * crate::format::BLOCK_BYTES as u64,
        end: run.segment.end,
    })
}
