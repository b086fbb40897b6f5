//! A segment's footer as its frames give it: written for a segment that was left unsealed, and held against one that is there.

use crate::format::BLOCK_BYTES;
use crate::format::footer::{Footer, FooterHeader, IndexEntry, NO_ENTRY, StreamEntry};
use crate::format::frame::{FrameHeader, TableEntry};
use crate::format::segment::SegmentId;
use crate::limits::INDEX_SPACING_BYTES;
use hashbrown::HashMap;

/// A footer that grows with each frame.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) footer: Footer,
    lines: HashMap<(u64, u32), u32, foldhash::fast::RandomState>,
    newest_position: Vec<u64>,
    /// Frames from here on get index entries of their own.
    broken_at: u64,
}

impl Draft {
    /// The footer of a segment without frames, which follows frame `sequence` − 1.
    pub(crate) fn new(id: SegmentId, incarnation: Option<[u8; 16]>, sequence: u64, last_crc: u32) -> Draft {
        let header = FooterHeader {
            id,
            incarnation: incarnation.unwrap_or_default(),
            first_sequence: sequence,
            next_sequence: sequence,
            position: BLOCK_BYTES as u64,
            records: 0,
            payload_bytes: 0,
            last_crc,
            streams: 0,
            index: 0,
        };
        let footer = Footer { header, streams: Vec::new(), index: Vec::new() };
        Draft { footer, lines: HashMap::default(), newest_position: Vec::new(), broken_at: 0 }
    }

    /// Something is damaged before `position`: reads of what follows should not have to pass it.
    pub(crate) fn break_index(&mut self, position: u64) {
        self.broken_at = position;
    }

    /// Adds a frame, with its payload bytes and its table.
    pub(crate) fn add(&mut self, frame: &FrameHeader, payload_bytes: u64, table: &[TableEntry]) {
        let header = &mut self.footer.header;
        if header.next_sequence == header.first_sequence {
            header.first_sequence = frame.sequence;
        }
        header.incarnation = frame.incarnation;
        header.next_sequence = frame.sequence + 1;
        header.position = frame.position + u64::from(frame.length);
        header.records += u64::from(frame.records);
        header.payload_bytes += payload_bytes;
        header.last_crc = frame.body_crc;
        for entry in table {
            self.add_entry(frame.position, entry);
        }
        let Footer { header, streams, index } = &mut self.footer;
        header.streams = streams.len() as u32;
        header.index = index.len() as u32;
    }

    fn add_entry(&mut self, position: u64, entry: &TableEntry) {
        let Footer { streams, index, .. } = &mut self.footer;
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
        let far = position - *newest_position >= INDEX_SPACING_BYTES || *newest_position < self.broken_at;
        if line.newest == NO_ENTRY || far {
            let block = (position / BLOCK_BYTES as u64) as u32;
            index.push(IndexEntry { first_offset: entry.first_offset, block, previous: line.newest });
            line.newest = (index.len() - 1) as u32;
            *newest_position = position;
        }
        line.next_offset = entry.next_offset();
        line.timestamp = entry.timestamp;
        line.position = entry.position;
        line.link = entry.link_after;
    }
}
