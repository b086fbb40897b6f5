//! The on-disk structures, as `docs/format.md` lays them down: encoding and decoding, nothing else.
//!
//! Each structure is read and written through the little-endian accessors below and not through a cast,
//! so there is no padding to prove absent and no byte order to forget. Decoding never panics on hostile bytes.

pub mod footer;
pub mod frame;
pub mod manifest;
pub mod segment;

/// The unit of alignment of every structure that begins on its own: 4 KiB, what direct I/O accepts everywhere.
pub const BLOCK_BYTES: usize = 4096;
/// The format version that this crate writes, and the only one that it reads.
pub const VERSION: u16 = 1;

/// CRC-32C of `bytes`.
#[inline]
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// No frame has this sequence or a higher one. A writer's operations carry it in 56 bits, and a log that was opened just
/// below goes on for as long again: a thousand years at a million frames a second.
pub const SEQUENCE_MAX: u64 = 1 << 55;

/// Rounds up to whole blocks.
#[inline]
#[must_use]
pub const fn blocks_up(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK_BYTES)
}

macro_rules! accessors {
    ($($get:ident, $put:ident, $type:ty;)*) => { $(
        #[inline]
        pub(crate) fn $get(bytes: &[u8], at: usize) -> $type {
            const N: usize = size_of::<$type>();
            let mut raw = [0; N];
            raw.copy_from_slice(&bytes[at..at + N]);
            <$type>::from_le_bytes(raw)
        }

        #[inline]
        pub(crate) fn $put(bytes: &mut [u8], at: usize, value: $type) {
            bytes[at..at + size_of::<$type>()].copy_from_slice(&value.to_le_bytes());
        }
    )* };
}

accessors! {
    u16_at, put_u16, u16;
    u32_at, put_u32, u32;
    u64_at, put_u64, u64;
}

/// The `N` bytes at `at`.
#[inline]
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut raw = [0; N];
    raw.copy_from_slice(&bytes[at..at + N]);
    raw
}

/// What a name in the data directory stands for (`docs/format.md`, "Directory").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootName {
    /// The directory of a log.
    Log(u16),
    /// A copy of the manifest.
    Manifest,
    /// The lock, what the notary derives from the logs, or what a file system keeps at its root: none is looked into.
    Ignored,
}

/// The name of the lock's file.
pub const LOCK: &str = "LOCK";
/// The name of the directory with what the notary derives from the logs.
pub const NOTARY: &str = "notary";

/// What a name in the data directory stands for; `None` if it is none of ours.
#[must_use]
pub fn root_name(name: &str) -> Option<RootName> {
    match name {
        LOCK | NOTARY | "lost+found" => Some(RootName::Ignored),
        name if manifest::COPIES.contains(&name) => Some(RootName::Manifest),
        name => segment::parse_log_directory(name).map(RootName::Log),
    }
}

/// Why bytes are not the structure that was expected in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The file ends before the structure does.
    Cut,
    /// The device does not give it back.
    Unreadable,
    /// All zero: never written.
    Unwritten,
    /// Another magic number.
    Magic,
    /// Another format version, under an intact checksum.
    Version(u16),
    /// The header's checksum does not fit.
    HeaderChecksum,
    /// The stream table's checksum does not fit.
    TableChecksum,
    /// The body's checksum does not fit.
    BodyChecksum,
    /// A length or count that contradicts another.
    Shape,
    /// Intact, but written for another place: log, segment, incarnation or position differ.
    Misplaced,
    /// Intact, but its link to the frame before does not fit.
    Order,
    /// A record's chain does not lead from the table's link before to its link after.
    Chain,
    /// A sealed record does not open, or one that should be sealed is not. Which of the causes it is, is not told apart.
    Seal,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Cut => "the file ends here",
            Fault::Unreadable => "the device reports a read error",
            Fault::Unwritten => "nothing is written here",
            Fault::Magic => "not the expected structure",
            Fault::Version(found) => {
                return write!(f, "format version {found}; this program reads version {VERSION}");
            }
            Fault::HeaderChecksum => "header checksum mismatch",
            Fault::TableChecksum => "stream table checksum mismatch",
            Fault::BodyChecksum => "body checksum mismatch",
            Fault::Shape => "lengths contradict each other",
            Fault::Misplaced => "written for another place",
            Fault::Order => "does not follow the frame before it",
            Fault::Chain => "chain link mismatch",
            Fault::Seal => "the seal does not open",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine opened a directory at the root of a file system, with `lost+found` in it, and `verify` refused it.
    #[test]
    fn every_name_is_ours_or_is_not_for_whoever_asks() {
        assert_eq!(root_name("shard-0012"), Some(RootName::Log(12)));
        assert_eq!(root_name("manifest.b"), Some(RootName::Manifest));
        assert_eq!(root_name("LOCK"), Some(RootName::Ignored));
        assert_eq!(root_name("lost+found"), Some(RootName::Ignored));
        assert_eq!(root_name("notary"), Some(RootName::Ignored));
        for name in ["", ".", "lock", "manifest.c", "manifest", "shard-1024", "shard-12", "notes.txt"] {
            assert_eq!(root_name(name), None, "{name}");
        }
    }

    #[test]
    fn crc_is_castagnoli() {
        assert_eq!(crc(b"123456789"), 0xE306_9283);
    }
}
