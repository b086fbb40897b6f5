//! A segment's footer, which holds its index, and the trailer that points at the footer.

use super::segment::SegmentId;
use super::{
    BLOCK_BYTES, Fault, SEQUENCE_MAX, VERSION, array_at, blocks_up, crc, put_u16, put_u32, put_u64, u16_at, u32_at,
    u64_at,
};
use crypto::Link;
use planted::Bug;

/// Bytes of a footer's header.
pub const FOOTER_HEADER_BYTES: usize = 128;
/// Bytes of a stream entry.
pub const STREAM_ENTRY_BYTES: usize = 80;
/// Bytes of an index entry.
pub const INDEX_ENTRY_BYTES: usize = 16;
/// The value of [`IndexEntry::previous`] that ends a walk.
pub const NO_ENTRY: u32 = u32::MAX;

const FOOTER_MAGIC: &[u8; 4] = b"DtFt";
const TRAILER_MAGIC: &[u8; 8] = b"DIATTAIL";

/// Bytes of a footer with so many entries, in whole blocks.
#[must_use]
pub const fn footer_bytes(streams: usize, index: usize) -> usize {
    blocks_up(FOOTER_HEADER_BYTES + streams * STREAM_ENTRY_BYTES + index * INDEX_ENTRY_BYTES)
}

/// One point of the sparse index of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Offset of the stream's first record in the frame.
    pub first_offset: u64,
    /// The frame's position in the segment, in blocks.
    pub block: u32,
    /// The stream's entry before this one, or [`NO_ENTRY`].
    pub previous: u32,
}

/// What a segment holds of one stream, and the stream's state at the segment's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// The tenant's id.
    pub tenant: u64,
    /// The stream's id in the tenant.
    pub stream: u32,
    /// Its newest index entry.
    pub newest: u32,
    /// Offset of its first record in the segment.
    pub first_offset: u64,
    /// Offset after its last.
    pub next_offset: u64,
    /// Timestamp of its last.
    pub timestamp: u64,
    /// The tenant's position of its last.
    pub position: u64,
    /// Chain link after its last.
    pub link: Link,
}

/// What a footer says of its segment as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FooterHeader {
    /// Which segment.
    pub id: SegmentId,
    /// The incarnation that wrote the segment.
    pub incarnation: [u8; 16],
    /// Sequence of the first frame.
    pub first_sequence: u64,
    /// Sequence after the last.
    pub next_sequence: u64,
    /// Where the footer begins: the byte after the last frame.
    pub position: u64,
    /// Records in the segment.
    pub records: u64,
    /// Payload bytes in the segment.
    pub payload_bytes: u64,
    /// Body checksum of the last frame.
    pub last_crc: u32,
    /// Stream entries.
    pub streams: u32,
    /// Index entries.
    pub index: u32,
}

impl FooterHeader {
    /// The footer's length in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        footer_bytes(self.streams as usize, self.index as usize)
    }

    /// Writes the header into `out`, which holds the whole footer with its body already in place.
    pub fn encode(&self, out: &mut [u8]) {
        let length = self.length();
        let body_crc = crc(&out[FOOTER_HEADER_BYTES..length]);
        out[..FOOTER_HEADER_BYTES].fill(0);
        out[0..4].copy_from_slice(FOOTER_MAGIC);
        put_u16(out, 4, VERSION);
        put_u16(out, 6, self.id.log);
        put_u32(out, 8, self.id.number);
        put_u32(out, 12, u32::try_from(length).expect("limits::FOOTER_BYTES_MAX fits 32 bits"));
        out[16..32].copy_from_slice(&self.incarnation);
        put_u64(out, 32, self.first_sequence);
        put_u64(out, 40, self.next_sequence);
        put_u64(out, 48, self.position);
        put_u64(out, 56, self.records);
        put_u64(out, 64, self.payload_bytes);
        put_u32(out, 72, self.streams);
        put_u32(out, 76, self.index);
        put_u32(out, 80, self.last_crc);
        put_u32(out, 84, body_crc);
        let sum = crc(&out[..124]);
        put_u32(out, 124, sum);
    }

    /// Reads and checks a footer's header; the body comes with [`Footer::decode`].
    ///
    /// # Errors
    /// The first thing about it that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<FooterHeader, Fault> {
        let bytes = bytes.get(..FOOTER_HEADER_BYTES).ok_or(Fault::Cut)?;
        if &bytes[0..4] != FOOTER_MAGIC {
            return Err(Fault::Magic);
        }
        if u32_at(bytes, 124) != crc(&bytes[..124]) {
            return Err(Fault::HeaderChecksum);
        }
        if u16_at(bytes, 4) != VERSION {
            return Err(Fault::Version(u16_at(bytes, 4)));
        }
        let header = FooterHeader {
            id: SegmentId { log: u16_at(bytes, 6), number: u32_at(bytes, 8) },
            incarnation: array_at(bytes, 16),
            first_sequence: u64_at(bytes, 32),
            next_sequence: u64_at(bytes, 40),
            position: u64_at(bytes, 48),
            records: u64_at(bytes, 56),
            payload_bytes: u64_at(bytes, 64),
            streams: u32_at(bytes, 72),
            index: u32_at(bytes, 76),
            last_crc: u32_at(bytes, 80),
        };
        let shape = header.first_sequence <= header.next_sequence
            && header.next_sequence <= SEQUENCE_MAX
            && header.position.is_multiple_of(BLOCK_BYTES as u64)
            && header.streams.max(header.index) <= u32::MAX / STREAM_ENTRY_BYTES as u32 / 2
            && header.length() == u32_at(bytes, 12) as usize;
        if shape { Ok(header) } else { Err(Fault::Shape) }
    }
}

/// A whole footer, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// What it says of the segment.
    pub header: FooterHeader,
    /// Its streams, in order of first appearance.
    pub streams: Vec<StreamEntry>,
    /// The sparse index, in order of frames.
    pub index: Vec<IndexEntry>,
}

impl Footer {
    /// Reads and checks a footer.
    ///
    /// # Errors
    /// The first thing about it that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Footer, Fault> {
        let header = FooterHeader::decode(bytes)?;
        let body = bytes.get(FOOTER_HEADER_BYTES..header.length()).ok_or(Fault::Cut)?;
        if u32_at(bytes, 84) != crc(body) && !planted::is(Bug::FooterNotChecked) {
            return Err(Fault::BodyChecksum);
        }
        let (streams, rest) = body.split_at(header.streams as usize * STREAM_ENTRY_BYTES);
        let index = &rest[..header.index as usize * INDEX_ENTRY_BYTES];
        let footer = Footer {
            header,
            streams: streams.chunks_exact(STREAM_ENTRY_BYTES).map(decode_stream).collect(),
            index: index.chunks_exact(INDEX_ENTRY_BYTES).map(decode_index).collect(),
        };
        if footer.is_sound() { Ok(footer) } else { Err(Fault::Shape) }
    }

    /// Whether it does not contradict itself: another is refused, and must not be written.
    pub(crate) fn is_sound(&self) -> bool {
        self.links_are_sound() && self.offsets_are_sound()
    }

    /// Every walk over the index ends: an entry points only at one before it.
    fn links_are_sound(&self) -> bool {
        let descends = |(at, entry): (usize, &IndexEntry)| entry.previous == NO_ENTRY || (entry.previous as usize) < at;
        self.index.iter().enumerate().all(descends)
            && self.streams.iter().all(|stream| (stream.newest as usize) < self.index.len())
    }

    /// No stream has more records than the segment.
    fn offsets_are_sound(&self) -> bool {
        let records = |stream: &StreamEntry| stream.next_offset.checked_sub(stream.first_offset);
        self.streams.iter().all(|stream| records(stream).is_some_and(|records| records <= self.header.records))
    }
}

/// Writes stream entry number `at` of a footer whose first byte is `out[0]`.
pub fn put_stream(out: &mut [u8], at: usize, entry: &StreamEntry) {
    let start = FOOTER_HEADER_BYTES + at * STREAM_ENTRY_BYTES;
    let out = &mut out[start..start + STREAM_ENTRY_BYTES];
    put_u64(out, 0, entry.tenant);
    put_u32(out, 8, entry.stream);
    put_u32(out, 12, entry.newest);
    put_u64(out, 16, entry.first_offset);
    put_u64(out, 24, entry.next_offset);
    put_u64(out, 32, entry.timestamp);
    put_u64(out, 40, entry.position);
    out[48..80].copy_from_slice(entry.link.as_bytes());
}

/// Writes index entry number `at` of a footer with `streams` stream entries whose first byte is `out[0]`.
pub fn put_index(out: &mut [u8], streams: usize, at: usize, entry: &IndexEntry) {
    let start = FOOTER_HEADER_BYTES + streams * STREAM_ENTRY_BYTES + at * INDEX_ENTRY_BYTES;
    put_u64(out, start, entry.first_offset);
    put_u32(out, start + 8, entry.block);
    put_u32(out, start + 12, entry.previous);
}

fn decode_stream(bytes: &[u8]) -> StreamEntry {
    StreamEntry {
        tenant: u64_at(bytes, 0),
        stream: u32_at(bytes, 8),
        newest: u32_at(bytes, 12),
        first_offset: u64_at(bytes, 16),
        next_offset: u64_at(bytes, 24),
        timestamp: u64_at(bytes, 32),
        position: u64_at(bytes, 40),
        link: Link::from_bytes(array_at(bytes, 48)),
    }
}

fn decode_index(bytes: &[u8]) -> IndexEntry {
    IndexEntry { first_offset: u64_at(bytes, 0), block: u32_at(bytes, 8), previous: u32_at(bytes, 12) }
}

/// The last block of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Where the footer begins.
    pub footer: u64,
    /// The footer's header checksum, repeated.
    pub footer_crc: u32,
}

impl Trailer {
    /// The trailer of the footer that begins `footer`, which lies at `position`.
    #[must_use]
    pub fn of(position: u64, footer: &[u8]) -> Trailer {
        Trailer { footer: position, footer_crc: u32_at(footer, 124) }
    }

    /// Writes the trailer into the first block of `out`.
    pub fn encode(&self, out: &mut [u8]) {
        let out = &mut out[..BLOCK_BYTES];
        out.fill(0);
        out[0..8].copy_from_slice(TRAILER_MAGIC);
        put_u64(out, 8, self.footer);
        put_u32(out, 16, self.footer_crc);
        let sum = crc(&out[..4092]);
        put_u32(out, 4092, sum);
    }

    /// Reads and checks a trailer.
    ///
    /// # Errors
    /// [`Fault::Unwritten`] for a block of zeros, else the first thing that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Trailer, Fault> {
        let bytes = bytes.get(..BLOCK_BYTES).ok_or(Fault::Cut)?;
        if &bytes[0..8] != TRAILER_MAGIC {
            let unwritten = bytes.iter().all(|&byte| byte == 0);
            return Err(if unwritten { Fault::Unwritten } else { Fault::Magic });
        }
        if u32_at(bytes, 4092) != crc(&bytes[..4092]) {
            return Err(Fault::HeaderChecksum);
        }
        Ok(Trailer { footer: u64_at(bytes, 8), footer_crc: u32_at(bytes, 16) })
    }
}
