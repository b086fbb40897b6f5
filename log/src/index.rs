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
    /// Its salt, unless its header cannot be read.
    pub salt: Option<[u8; 32]>,
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
    pub(crate) salt: Option<[u8; 32]>,
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
    let position = u64::from(find(&run.segment.index, run.newest, offset)?) * crate::format::BLOCK_BYTES as u64;
    let SealedSegment { id: segment, incarnation, salt, end, .. } = *run.segment;
    (position < end).then_some(Place { segment, incarnation, salt, position, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Streams write in turns; each gets an entry now and then, as the spacing has it. The block to begin with for an
        /// offset is that of the newest entry that is not above it, as a plain map finds it.
        #[test]
        fn finding_agrees_with_a_map(writes in prop::collection::vec((0..4_usize, 1..5_u64, any::<bool>()), 1..200)) {
            let mut pool = Vec::new();
            let mut newest = [NO_ENTRY; 4];
            let mut next = [0; 4];
            let mut maps: [BTreeMap<u64, u32>; 4] = Default::default();
            for (block, (stream, records, indexed)) in writes.into_iter().enumerate() {
                if indexed || newest[stream] == NO_ENTRY {
                    let entry = IndexEntry { first_offset: next[stream], block: block as u32, previous: newest[stream] };
                    newest[stream] = pool.len() as u32;
                    pool.push(entry);
                    maps[stream].insert(next[stream], block as u32);
                }
                next[stream] += records;
            }
            for stream in 0..4 {
                for offset in 0..next[stream] + 2 {
                    let expected = maps[stream].range(..=offset).next_back().map(|(_, block)| *block);
                    prop_assert_eq!(find(&pool, newest[stream], offset), expected);
                }
            }
        }

        /// The same over runs in several segments, some of which lost their beginning.
        #[test]
        fn finding_a_run_agrees_with_a_map(lengths in prop::collection::vec((1..9_u64, 0..3_u64), 1..20)) {
            let mut runs = Vec::new();
            let mut map = BTreeMap::new();
            let mut next = 0;
            for (number, (records, lost)) in lengths.into_iter().enumerate() {
                let first_offset = next + lost;
                let id = SegmentId { log: 0, number: number as u32 + 1 };
                let index = vec![IndexEntry { first_offset, block: 1, previous: NO_ENTRY }];
                let segment = SealedSegment { id, incarnation: [0; 16], salt: None, end: 8192, index: index.into_boxed_slice() };
                runs.push(Run { segment: Arc::new(segment), first_offset, newest: 0 });
                map.insert(first_offset, id);
                next = first_offset + records;
            }
            for offset in 0..next + 2 {
                let expected = map.range(..=offset).next_back().map(|(_, id)| *id);
                prop_assert_eq!(find_run(&runs, offset).map(|place| place.segment), expected);
            }
        }
    }
}
