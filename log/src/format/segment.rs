//! A segment's header block, and the names of segment files.

use super::manifest::LOGS_MAX;
use super::{
    BLOCK_BYTES, Fault, SEQUENCE_MAX, VERSION, array_at, crc, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at,
};
use iobackend::FileName;

const MAGIC: &[u8; 8] = b"DIATSEGM";
/// No segment has a higher number: eight digits, so that names sort as numbers do.
pub const SEGMENT_NUMBER_MAX: u32 = 99_999_999;

/// Which segment: the log, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The log's number, from 0.
    pub log: u16,
    /// The segment's number in the log, from 1.
    pub number: u32,
}

impl SegmentId {
    /// The file's path below the data directory.
    #[must_use]
    pub fn file_name(self) -> FileName {
        let name = format!("{}/{:08}.seg", log_directory(self.log), self.number);
        FileName::new(&name).expect("a segment's name is shorter than a file name may be")
    }
}

impl std::fmt::Display for SegmentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:08}.seg", log_directory(self.log), self.number)
    }
}

/// The directory of a log below the data directory.
#[must_use]
pub fn log_directory(log: u16) -> String {
    format!("shard-{log:04}")
}

/// The log that a directory of this name holds, if the name is one that [`log_directory`] gives for a log that may be.
#[must_use]
pub fn parse_log_directory(name: &str) -> Option<u16> {
    let log = name.strip_prefix("shard-")?.parse().ok()?;
    (usize::from(log) < LOGS_MAX && log_directory(log) == name).then_some(log)
}

/// The number of the segment in a file of this name, if the name is a segment's.
#[must_use]
pub fn parse_segment_name(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".seg")?.parse().ok()?;
    ((1..=SEGMENT_NUMBER_MAX).contains(&number) && format!("{number:08}.seg") == name).then_some(number)
}

/// The decoded header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Which segment it is.
    pub id: SegmentId,
    /// The data directory it was made in.
    pub engine: [u8; 16],
    /// The opening that wrote it.
    pub incarnation: [u8; 16],
    /// Random; sealing keys will be derived from it.
    pub salt: [u8; 32],
    /// Bytes of the file until it is sealed.
    pub capacity: u64,
    /// Nanoseconds since 1970.
    pub created_at: u64,
    /// What the opening adopted.
    pub base: Base,
}

/// Where a log ended when an incarnation began: everything below is part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The sequence of the next frame.
    pub sequence: u64,
    /// Where the last frame ends in its segment.
    pub end: u64,
    /// The segment of the last frame; 0: none.
    pub segment: u32,
    /// The body checksum of the last frame; 0: none.
    pub body_crc: u32,
}

impl Base {
    /// Whether a log can go on from here: there is room for sequences and segments after it.
    pub(crate) fn is_sound(&self) -> bool {
        self.sequence <= SEQUENCE_MAX && self.segment <= SEGMENT_NUMBER_MAX
    }
}

impl SegmentHeader {
    /// Writes the header into the first block of `out`, checksum and all.
    pub fn encode(&self, out: &mut [u8]) {
        let out = &mut out[..BLOCK_BYTES];
        out.fill(0);
        out[0..8].copy_from_slice(MAGIC);
        put_u16(out, 8, VERSION);
        put_u16(out, 10, self.id.log);
        put_u32(out, 12, self.id.number);
        out[16..32].copy_from_slice(&self.engine);
        out[32..48].copy_from_slice(&self.incarnation);
        out[48..80].copy_from_slice(&self.salt);
        put_u64(out, 80, self.capacity);
        put_u64(out, 88, self.created_at);
        put_u64(out, 96, self.base.sequence);
        put_u64(out, 104, self.base.end);
        put_u32(out, 112, self.base.segment);
        put_u32(out, 116, self.base.body_crc);
        let sum = crc(&out[..4092]);
        put_u32(out, 4092, sum);
    }

    /// Reads and checks a header block.
    ///
    /// # Errors
    /// The first thing about it that is wrong; [`Fault::Unwritten`] if the block is all zero.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, Fault> {
        let bytes = bytes.get(..BLOCK_BYTES).ok_or(Fault::Cut)?;
        if &bytes[0..8] != MAGIC {
            let unwritten = bytes.iter().all(|&byte| byte == 0);
            return Err(if unwritten { Fault::Unwritten } else { Fault::Magic });
        }
        if u32_at(bytes, 4092) != crc(&bytes[..4092]) {
            return Err(Fault::HeaderChecksum);
        }
        if u16_at(bytes, 8) != VERSION {
            return Err(Fault::Version(u16_at(bytes, 8)));
        }
        let header = SegmentHeader {
            id: SegmentId { log: u16_at(bytes, 10), number: u32_at(bytes, 12) },
            engine: array_at(bytes, 16),
            incarnation: array_at(bytes, 32),
            salt: array_at(bytes, 48),
            capacity: u64_at(bytes, 80),
            created_at: u64_at(bytes, 88),
            base: Base {
                sequence: u64_at(bytes, 96),
                end: u64_at(bytes, 104),
                segment: u32_at(bytes, 112),
                body_crc: u32_at(bytes, 116),
            },
        };
        if header.base.is_sound() { Ok(header) } else { Err(Fault::Shape) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_only_in_their_one_spelling() {
        let id = SegmentId { log: 3, number: 12 };
        assert_eq!(id.file_name().as_str(), "shard-0003/00000012.seg");
        assert_eq!(parse_segment_name("00000012.seg"), Some(12));
        assert_eq!(parse_log_directory("shard-0003"), Some(3));
        for name in ["12.seg", "00000000.seg", "0000001x.seg", "00000012.seg.bak", "+0000012.seg", ""] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
        assert_eq!(parse_log_directory("shard-1023"), Some(1023));
        // No log has such a number: an opening made directories up to it, and then panicked.
        for name in ["shard-1024", "shard-65535"] {
            assert_eq!(parse_log_directory(name), None, "{name}");
        }
        for name in ["shard-3", "shard-00003", "shard-70000", "shards-0003"] {
            assert_eq!(parse_log_directory(name), None, "{name}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_found() {
        let header = SegmentHeader {
            id: SegmentId { log: 1, number: 2 },
            engine: [3; 16],
            incarnation: [4; 16],
            salt: [5; 32],
            capacity: 1 << 20,
            created_at: 6,
            base: Base { sequence: 7, end: 8, segment: 1, body_crc: 9 },
        };
        let mut block = vec![0; BLOCK_BYTES];
        header.encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Ok(header));
        for at in 0..BLOCK_BYTES {
            block[at] ^= 0x10;
            assert!(SegmentHeader::decode(&block).is_err(), "byte {at}");
            block[at] ^= 0x10;
        }
    }
}
