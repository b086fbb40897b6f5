//! The frame that fills: records are copied in once, chained where they lie, and closed with table and header.

use crate::format::frame::{
    ENTRY_BYTES, FLAG_SEALED, FrameHeader, HEADER_BYTES, RECORD_HASHED_FROM, RECORD_HEADER_BYTES, RecordHeader,
    TAG_BYTES, TableEntry, frame_bytes, record_bytes,
};
use crate::format::{BLOCK_BYTES, crc};
use crate::keyring;
use crate::limits::FRAME_STREAMS_MAX;
use crate::stream::Stream;
use crate::wish::Wishes;
use crypto::seal::SegmentKey;
use crypto::{LANES, Link};
use iobackend::Buffer;
use planted::Bug;

/// Records copied and not yet chained, each of another stream: chains of different streams are independent,
/// and hashing several at once hides the latency of the hash instructions.
#[derive(Debug, Default)]
struct Lanes {
    waiting: usize,
    stream: [u32; LANES],
    at: [u32; LANES],
    end: [u32; LANES],
}

/// How far ahead of what is written lines are asked for: a microsecond of small records.
const PREFETCH_BYTES: usize = 1024;
/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// A frame under construction in its buffer.
#[derive(Debug)]
pub(crate) struct OpenFrame {
    pub(crate) buffer: Buffer,
    /// The frame's number, known from the start: streams note which frame they are in.
    pub(crate) sequence: u64,
    /// Bytes used: header and records.
    used: usize,
    pub(crate) records: u32,
    pub(crate) payload_bytes: u64,
    /// The stream table, with the stream's index beside each entry.
    pub(crate) table: Vec<(u32, TableEntry)>,
    lanes: Lanes,
    /// Up to here lines were asked for.
    asked: usize,
    pub(crate) wishes: Wishes,
}

impl OpenFrame {
    pub(crate) fn new(buffer: Buffer, table: Vec<(u32, TableEntry)>, sequence: u64) -> OpenFrame {
        debug_assert!(table.is_empty());
        let lanes = Lanes::default();
        let (used, wishes) = (HEADER_BYTES, Wishes::NONE);
        OpenFrame { buffer, sequence, used, records: 0, payload_bytes: 0, table, lanes, asked: 0, wishes }
    }

    /// Bytes that the frame would take with more records and entries.
    #[inline]
    pub(crate) fn length_with(&self, records_bytes: usize, entries: usize) -> usize {
        frame_bytes(self.used - HEADER_BYTES + records_bytes, self.table.len() + entries)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(crate) fn has_table_room(&self, entries: usize) -> bool {
        self.table.len() + entries <= FRAME_STREAMS_MAX
    }

    /// Copies a record in, and seals it if there is a cipher. The caller has made sure that it fits.
    ///
    /// A record is sealed before the one before it is chained: neither waits for the other, so the processor does both at once.
    #[inline]
    pub(crate) fn push(
        &mut self,
        index: u32,
        streams: &mut [Stream],
        mut header: RecordHeader,
        payload: &[u8],
        cipher: Option<&SegmentKey>,
    ) {
        let stream = &mut streams[index as usize];
        if stream.frame != self.sequence {
            self.begin_stream(index, stream, &header);
        }
        header.slot = stream.frame_slot;
        stream.next_offset = header.offset + 1;
        stream.timestamp = header.timestamp;
        stream.position = header.position;

        let (start, payload_end) = (self.used, RECORD_HEADER_BYTES + payload.len());
        let tag_bytes = if cipher.is_some() { TAG_BYTES } else { 0 };
        let end = start + payload_end + tag_bytes;
        self.ask_ahead(end);
        let area = &mut self.buffer[start..start + record_bytes(payload.len()) + tag_bytes];
        // Padding is at most 7 bytes. So many zeros, their number known only here, are a call; the last 8 are one store.
        if let Some(last) = area.last_chunk_mut::<8>() {
            *last = [0; 8];
        }
        if cipher.is_some() {
            header.flags |= FLAG_SEALED;
        }
        header.encode(area);
        area[RECORD_HEADER_BYTES..payload_end].copy_from_slice(payload);
        if let Some(cipher) = cipher {
            let (tenant, stream) = (stream.tenant, stream.id);
            seal(cipher, area, payload.len(), (tenant, stream), (self.sequence, start as u32, header.offset));
        }
        self.used += area.len();
        self.records += 1;
        self.payload_bytes += payload.len() as u64;
        self.chain_later(index, streams, start + RECORD_HASHED_FROM, end);
    }

    /// Asks for the lines that are to be written next; of a long record, for those behind it only.
    #[inline]
    fn ask_ahead(&mut self, end: usize) {
        let to = (end + PREFETCH_BYTES).next_multiple_of(LINE_BYTES);
        let from = self.asked.max(to - PREFETCH_BYTES);
        self.buffer.prefetch_write(from, to - from);
        self.asked = to;
    }

    #[inline]
    fn begin_stream(&mut self, index: u32, stream: &mut Stream, header: &RecordHeader) {
        stream.frame = self.sequence;
        stream.frame_slot = self.table.len() as u16;
        let entry = TableEntry {
            tenant: stream.tenant,
            stream: stream.id,
            records: 0,
            first_offset: header.offset,
            first_at: self.used as u32,
            link_before: stream.link,
            link_after: stream.link,
            timestamp: 0,
            position: 0,
        };
        self.table.push((index, entry));
    }

    #[inline]
    fn chain_later(&mut self, index: u32, streams: &mut [Stream], at: usize, end: usize) {
        let lanes = &mut self.lanes;
        if lanes.waiting == LANES || lanes.stream[..lanes.waiting].contains(&index) && !planted::is(Bug::LinkForked) {
            self.chain(streams);
        }
        let lanes = &mut self.lanes;
        lanes.stream[lanes.waiting] = index;
        lanes.at[lanes.waiting] = at as u32;
        lanes.end[lanes.waiting] = end as u32;
        lanes.waiting += 1;
    }

    /// Chains what was copied and not yet chained.
    fn chain(&mut self, streams: &mut [Stream]) {
        let lanes = &mut self.lanes;
        let count = std::mem::take(&mut lanes.waiting);
        if count == 0 {
            return;
        }
        let mut links = [Link::from_bytes([0; 32]); LANES];
        let mut records: [&[u8]; LANES] = [&[]; LANES];
        for lane in 0..count {
            links[lane] = streams[lanes.stream[lane] as usize].link;
            records[lane] = &self.buffer[lanes.at[lane] as usize..lanes.end[lane] as usize];
        }
        crypto::next_lanes(&mut links[..count], &records[..count]);
        for lane in 0..count {
            streams[lanes.stream[lane] as usize].link = links[lane];
        }
    }

    /// Completes the frame in its buffer; returns the header that was written.
    pub(crate) fn close(&mut self, streams: &mut [Stream], mut header: FrameHeader) -> FrameHeader {
        self.chain(streams);
        let table_at = self.used;
        let mut at = table_at;
        for (index, entry) in &mut self.table {
            let stream = &streams[*index as usize];
            entry.records = (stream.next_offset - entry.first_offset) as u32;
            entry.link_after = stream.link;
            entry.timestamp = stream.timestamp;
            entry.position = stream.position;
            entry.encode(&mut self.buffer[at..at + ENTRY_BYTES]);
            at += ENTRY_BYTES;
        }
        let length = at.next_multiple_of(BLOCK_BYTES);
        self.buffer[at..length].fill(0);
        header.mark = self.records == 0;
        if header.mark {
            // What pins a frame pins its body's checksum: empty ones would all be alike, those of other histories too.
            self.buffer[HEADER_BYTES..HEADER_BYTES + header.incarnation.len()].copy_from_slice(&header.incarnation);
        }
        header.sequence = self.sequence;
        header.entries = self.table.len() as u16;
        header.length = length as u32;
        header.records_bytes = (table_at - HEADER_BYTES) as u32;
        header.records = self.records;
        header.table_crc = crc(&self.buffer[table_at..at]);
        header.body_crc = crc(&self.buffer[HEADER_BYTES..length]);
        header.encode(&mut self.buffer);
        header
    }
}

/// Seals a record in place. What it says of itself, and whose it is, is authenticated with it; where it lies is in key and nonce:
/// the frame's sequence, and the byte of the frame at which it begins.
#[inline]
fn seal(
    cipher: &SegmentKey,
    area: &mut [u8],
    payload_bytes: usize,
    (tenant, stream): (u64, u32),
    (sequence, at, offset): (u64, u32, u64),
) {
    let (header, body) = area.split_at_mut(RECORD_HEADER_BYTES);
    let (payload, rest) = body.split_at_mut(payload_bytes);
    let hashed =
        header[RECORD_HASHED_FROM..].first_chunk().expect("a header is longer than what is before its hashed part");
    let (sequence, at) = keyring::nonce(sequence, at, offset);
    let tag = cipher.seal(sequence, at, &keyring::identity(tenant, stream, hashed), payload);
    rest[..TAG_BYTES].copy_from_slice(&tag);
}
