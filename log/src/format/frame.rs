//! A frame: what one commit writes. Header, records, stream table, zero up to the end of a block.

use super::{
    Fault, SEQUENCE_MAX, VERSION, array_at, blocks_up, crc, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at,
};
use crypto::Link;
use planted::Bug;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 128;
/// Bytes of an entry in the stream table.
pub const ENTRY_BYTES: usize = 112;
/// Bytes of a record before its payload.
pub const RECORD_HEADER_BYTES: usize = 36;
/// Where the hashed part of a record begins: after the slot, which belongs to the frame.
pub const RECORD_HASHED_FROM: usize = 2;

const MAGIC: &[u8; 4] = b"DtFr";
const FLAG_MARK: u16 = 1;
/// Set in a record whose payload is ciphertext, followed by its tag.
pub(crate) const FLAG_SEALED: u8 = 1;
/// Bytes of the tag behind the ciphertext of a sealed record.
pub const TAG_BYTES: usize = crypto::seal::TAG_BYTES;

/// Bytes that a record takes in a frame, padding included; `payload` counts the tag of a sealed one.
#[inline]
#[must_use]
pub const fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(8)
}

/// Bytes that a frame with so many bytes of records and entries takes in its segment.
#[inline]
#[must_use]
pub const fn frame_bytes(records_bytes: usize, entries: usize) -> usize {
    blocks_up(HEADER_BYTES + records_bytes + entries * ENTRY_BYTES)
}

/// The decoded header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// A mark: no records, only the durable mark.
    pub mark: bool,
    /// The log it belongs to.
    pub log: u16,
    /// Entries in its stream table.
    pub entries: u16,
    /// The segment it belongs to.
    pub segment: u32,
    /// The incarnation that wrote it.
    pub incarnation: [u8; 16],
    /// Its number in the log.
    pub sequence: u64,
    /// Every frame with a lower sequence was durable when this one was sealed.
    pub durable_mark: u64,
    /// Its first byte in the segment.
    pub position: u64,
    /// Its length in bytes, in whole blocks.
    pub length: u32,
    /// Bytes of its records.
    pub records_bytes: u32,
    /// Its records.
    pub records: u32,
    /// Body checksum of the frame before it.
    pub previous_crc: u32,
    /// When it was sealed, nanoseconds since 1970.
    pub sealed_at: u64,
    /// Checksum of its stream table.
    pub table_crc: u32,
    /// Checksum of everything after its header.
    pub body_crc: u32,
}

impl FrameHeader {
    /// Writes the header into the first 128 bytes of `out`, checksum and all.
    pub fn encode(&self, out: &mut [u8]) {
        out[..HEADER_BYTES].fill(0);
        out[0..4].copy_from_slice(MAGIC);
        put_u16(out, 4, VERSION);
        put_u16(out, 6, if self.mark { FLAG_MARK } else { 0 });
        put_u16(out, 8, self.log);
        put_u16(out, 10, self.entries);
        put_u32(out, 12, self.segment);
        out[16..32].copy_from_slice(&self.incarnation);
        put_u64(out, 32, self.sequence);
        put_u64(out, 40, self.durable_mark);
        put_u64(out, 48, self.position);
        put_u32(out, 56, self.length);
        put_u32(out, 60, self.records_bytes);
        put_u32(out, 64, self.records);
        put_u32(out, 68, self.previous_crc);
        put_u64(out, 72, self.sealed_at);
        put_u32(out, 80, self.table_crc);
        put_u32(out, 84, self.body_crc);
        let sum = crc(&out[..124]);
        put_u32(out, 124, sum);
    }

    /// Reads a header and checks all of it that can be checked without its body.
    ///
    /// # Errors
    /// The first thing about it that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<FrameHeader, Fault> {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else {
            return Err(Fault::Cut);
        };
        if &bytes[0..4] != MAGIC {
            let unwritten = bytes.iter().all(|&byte| byte == 0);
            return Err(if unwritten { Fault::Unwritten } else { Fault::Magic });
        }
        if u32_at(bytes, 124) != crc(&bytes[..124]) {
            return Err(Fault::HeaderChecksum);
        }
        if u16_at(bytes, 4) != VERSION {
            return Err(Fault::Version(u16_at(bytes, 4)));
        }
        let header = FrameHeader {
            mark: u16_at(bytes, 6) & FLAG_MARK != 0,
            log: u16_at(bytes, 8),
            entries: u16_at(bytes, 10),
            segment: u32_at(bytes, 12),
            incarnation: array_at(bytes, 16),
            sequence: u64_at(bytes, 32),
            durable_mark: u64_at(bytes, 40),
            position: u64_at(bytes, 48),
            length: u32_at(bytes, 56),
            records_bytes: u32_at(bytes, 60),
            records: u32_at(bytes, 64),
            previous_crc: u32_at(bytes, 68),
            sealed_at: u64_at(bytes, 72),
            table_crc: u32_at(bytes, 80),
            body_crc: u32_at(bytes, 84),
        };
        let shape = (header.records_bytes as usize)
            .checked_add(HEADER_BYTES + usize::from(header.entries) * ENTRY_BYTES)
            .is_some_and(|used| blocks_up(used) == header.length as usize)
            && header.sequence < SEQUENCE_MAX
            && header.durable_mark <= header.sequence;
        if shape { Ok(header) } else { Err(Fault::Shape) }
    }

    /// Where the stream table begins in the frame.
    #[must_use]
    pub fn table_at(&self) -> usize {
        HEADER_BYTES + self.records_bytes as usize
    }

    /// The stream table, if its checksum fits; `frame` begins with this header and may be longer than the frame.
    ///
    /// # Errors
    /// [`Fault::Cut`] or [`Fault::TableChecksum`].
    pub fn table<'a>(&self, frame: &'a [u8]) -> Result<Table<'a>, Fault> {
        let at = self.table_at();
        let end = at + usize::from(self.entries) * ENTRY_BYTES;
        let bytes = frame.get(at..end).ok_or(Fault::Cut)?;
        if crc(bytes) == self.table_crc || planted::is(Bug::TableNotChecked) {
            Ok(Table(bytes))
        } else {
            Err(Fault::TableChecksum)
        }
    }

    /// Checks the body's checksum; `frame` begins with this header and may be longer than the frame.
    ///
    /// # Errors
    /// [`Fault::Cut`] or [`Fault::BodyChecksum`].
    pub fn check_body(&self, frame: &[u8]) -> Result<(), Fault> {
        let body = frame.get(HEADER_BYTES..self.length as usize).ok_or(Fault::Cut)?;
        if crc(body) == self.body_crc { Ok(()) } else { Err(Fault::BodyChecksum) }
    }

    /// The records, in the order of the frame.
    #[must_use]
    pub fn records<'a>(&self, frame: &'a [u8]) -> Records<'a> {
        Records { frame, at: HEADER_BYTES, end: self.table_at(), left: self.records }
    }
}

/// What a frame holds of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// The tenant's id.
    pub tenant: u64,
    /// The stream's id in the tenant.
    pub stream: u32,
    /// Records of the stream in the frame.
    pub records: u32,
    /// Offset of the first.
    pub first_offset: u64,
    /// Where the first begins, in bytes from the start of the frame.
    pub first_at: u32,
    /// The chain's link before the first.
    pub link_before: Link,
    /// The chain's link after the last.
    pub link_after: Link,
    /// Timestamp of the last.
    pub timestamp: u64,
    /// The tenant's position of the last.
    pub position: u64,
}

impl TableEntry {
    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.first_offset.saturating_add(u64::from(self.records))
    }

    pub(crate) fn encode(&self, out: &mut [u8]) {
        put_u64(out, 0, self.tenant);
        put_u32(out, 8, self.stream);
        put_u32(out, 12, self.records);
        put_u64(out, 16, self.first_offset);
        put_u32(out, 24, self.first_at);
        put_u32(out, 28, 0);
        out[32..64].copy_from_slice(self.link_before.as_bytes());
        out[64..96].copy_from_slice(self.link_after.as_bytes());
        put_u64(out, 96, self.timestamp);
        put_u64(out, 104, self.position);
    }

    fn decode(bytes: &[u8]) -> TableEntry {
        TableEntry {
            tenant: u64_at(bytes, 0),
            stream: u32_at(bytes, 8),
            records: u32_at(bytes, 12),
            first_offset: u64_at(bytes, 16),
            first_at: u32_at(bytes, 24),
            link_before: Link::from_bytes(array_at(bytes, 32)),
            link_after: Link::from_bytes(array_at(bytes, 64)),
            timestamp: u64_at(bytes, 96),
            position: u64_at(bytes, 104),
        }
    }
}

/// A stream table under an intact checksum.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(&'a [u8]);

impl Table<'_> {
    /// Its entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TableEntry> + '_ {
        self.0.chunks_exact(ENTRY_BYTES).map(TableEntry::decode)
    }
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Which entry of the frame's stream table.
    pub slot: u16,
    /// What it is: the kernel's kinds.
    pub kind: u8,
    /// Bit 0: sealed.
    pub flags: u8,
    /// Payload bytes.
    pub payload_bytes: u32,
    /// Offset in the stream.
    pub offset: u64,
    /// The tenant's number for it.
    pub position: u64,
    /// Nanoseconds since 1970.
    pub timestamp: u64,
    /// Which key sealed it; 0: none.
    pub key_id: u32,
}

impl RecordHeader {
    /// Writes the header into the first 36 bytes of `out`.
    #[inline]
    pub fn encode(&self, out: &mut [u8]) {
        let out = &mut out[..RECORD_HEADER_BYTES];
        put_u16(out, 0, self.slot);
        out[2] = self.kind;
        out[3] = self.flags;
        put_u32(out, 4, self.payload_bytes);
        put_u64(out, 8, self.offset);
        put_u64(out, 16, self.position);
        put_u64(out, 24, self.timestamp);
        put_u32(out, 32, self.key_id);
    }

    #[inline]
    fn decode(bytes: &[u8]) -> RecordHeader {
        RecordHeader {
            slot: u16_at(bytes, 0),
            kind: bytes[2],
            flags: bytes[3],
            payload_bytes: u32_at(bytes, 4),
            offset: u64_at(bytes, 8),
            position: u64_at(bytes, 16),
            timestamp: u64_at(bytes, 24),
            key_id: u32_at(bytes, 32),
        }
    }
}

/// A record where it lies in a frame.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its fixed part.
    pub header: RecordHeader,
    /// Its payload.
    pub payload: &'a [u8],
    /// What its link covers: header without slot, payload, and the tag of a sealed one.
    pub hashed: &'a [u8],
}

impl Record<'_> {
    /// Whether the payload is ciphertext.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.header.flags & FLAG_SEALED != 0
    }
}

/// Walks over a frame's records; a record that does not fit the frame ends the walk with [`Fault::Shape`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    frame: &'a [u8],
    at: usize,
    end: usize,
    left: u32,
}

impl<'a> Records<'a> {
    /// The same walk, begun at the byte `at` of the frame, which must be where a record begins.
    #[must_use]
    pub fn from(self, at: u32) -> Records<'a> {
        Records { at: at as usize, left: u32::MAX, ..self }
    }

    /// Where in the frame the next record begins.
    pub(crate) fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let area = self.frame.get(self.at..self.end).unwrap_or(&[]);
        let Some(fixed) = area.get(..RECORD_HEADER_BYTES) else {
            self.left = 0;
            return Some(Err(Fault::Shape));
        };
        let header = RecordHeader::decode(fixed);
        let tag = if header.flags & FLAG_SEALED != 0 { TAG_BYTES } else { 0 };
        let payload_end = RECORD_HEADER_BYTES + header.payload_bytes as usize;
        let Some(hashed) = area.get(RECORD_HASHED_FROM..payload_end + tag) else {
            self.left = 0;
            return Some(Err(Fault::Shape));
        };
        self.at += record_bytes(header.payload_bytes as usize + tag);
        let payload = &area[RECORD_HEADER_BYTES..payload_end];
        Some(Ok(Record { header, payload, hashed }))
    }
}
