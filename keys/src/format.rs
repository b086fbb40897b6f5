//! The layout of `keys` and `signer`, as docs/format.md has it ("Key store").
//!
//! Both have one shape: a head, entries of one length, a code over all of it, a checksum over that. [`check`] is all that
//! can be said without a key; what is behind it is believed only when the code fits.

use crypto::wrap::{ENGINE_BYTES, MAC_BYTES, SALT_BYTES, StoreKeys};
use std::fmt;
use std::path::Path;

/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u16 = 1;
/// Bytes of what both files begin with.
pub(crate) const HEAD_BYTES: usize = 80;
/// Bytes of the code and the checksum.
pub(crate) const TRAILER_BYTES: usize = MAC_BYTES + CRC_BYTES;
/// Bytes of `keys` before its entries.
pub(crate) const KEYS_FIXED_BYTES: usize = HEAD_BYTES + 112;
/// Bytes of an entry of `keys`.
pub(crate) const KEY_ENTRY_BYTES: usize = 128;
/// Bytes of `signer` before its entries.
pub(crate) const SIGNED_FIXED_BYTES: usize = HEAD_BYTES;
/// Bytes of an entry of `signer`.
pub(crate) const SIGNED_ENTRY_BYTES: usize = 64;

const CRC_BYTES: usize = 4;

/// What one of the two files is made of.
pub(crate) struct Shape {
    pub(crate) magic: [u8; 8],
    /// Bytes before the entries.
    pub(crate) fixed: usize,
    /// Bytes of an entry.
    pub(crate) entry: usize,
    pub(crate) entries_max: usize,
}

/// The file `keys`.
pub(crate) const KEYS: Shape = Shape {
    magic: *b"DIATKEYS",
    fixed: KEYS_FIXED_BYTES,
    entry: KEY_ENTRY_BYTES,
    entries_max: crate::limits::KEYS_MAX,
};

/// The file `signer`.
pub(crate) const SIGNED: Shape = Shape {
    magic: *b"DIATSIGN",
    fixed: SIGNED_FIXED_BYTES,
    entry: SIGNED_ENTRY_BYTES,
    entries_max: crate::limits::SIGNED_MAX,
};

impl Shape {
    /// Bytes of a file with so many entries.
    pub(crate) const fn bytes(&self, entries: usize) -> usize {
        self.fixed + entries * self.entry + TRAILER_BYTES
    }
}

/// What both files begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) engine: [u8; ENGINE_BYTES],
    /// One more at each writing.
    pub(crate) generation: u64,
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) entries: usize,
}

/// What is wrong with a file, as far as can be seen without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is a directory, or a device.
    NotAFile,
    /// It does not begin as such a file does.
    Magic,
    /// It is shorter or longer than it says, or than any can be.
    Length,
    /// The checksum does not fit.
    Checksum,
    /// It was written by a later program.
    Version(u16),
}

impl Fault {
    pub(crate) fn describe(self, f: &mut fmt::Formatter<'_>, path: &Path) -> fmt::Result {
        let path = path.display();
        match self {
            Fault::NotAFile => write!(f, "{path}: it is not a file; put the file of the key store back"),
            Fault::Magic => write!(f, "{path}: it is no file of a key store; name the right directory"),
            Fault::Length => {
                write!(f, "{path}: it is cut, or something is behind it; put the copy of a backup in its place")
            }
            Fault::Checksum => write!(f, "{path}: its checksum does not fit; put the copy of a backup in its place"),
            Fault::Version(found) => write!(
                f,
                "{path}: format version {found}, this program reads version {VERSION}; open it with the program that wrote it"
            ),
        }
    }
}

/// All that can be checked without a key. A later version is told by its version, whatever its shape: up to the length, and
/// at the very end, all versions are alike.
pub(crate) fn check(shape: &Shape, bytes: &[u8]) -> Result<Head, Fault> {
    let head = bytes.get(..HEAD_BYTES).ok_or(Fault::Length)?;
    if head[..8] != shape.magic {
        return Err(Fault::Magic);
    }
    if bytes.len() < HEAD_BYTES + TRAILER_BYTES || u32_at(head, 12) as usize != bytes.len() {
        return Err(Fault::Length);
    }
    let (summed, sum) = bytes.split_at(bytes.len() - CRC_BYTES);
    if u32_at(sum, 0) != crc_fast::crc32_iscsi(summed) {
        return Err(Fault::Checksum);
    }
    let version = u16::from_le_bytes(array_at(head, 8));
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    let entries = u32_at(head, 72) as usize;
    if entries > shape.entries_max || shape.bytes(entries) != bytes.len() {
        return Err(Fault::Length);
    }
    Ok(Head { engine: array_at(head, 16), generation: u64_at(head, 32), salt: array_at(head, 40), entries })
}

/// What the code covers, and the code, of a file that was [`check`]ed.
pub(crate) fn authenticated(bytes: &[u8]) -> (&[u8], [u8; MAC_BYTES]) {
    let (covered, trailer) = bytes.split_at(bytes.len() - TRAILER_BYTES);
    (covered, array_at(trailer, 0))
}

/// The entries of a file that was [`check`]ed.
pub(crate) fn entries<'a>(shape: &Shape, bytes: &'a [u8]) -> std::slice::ChunksExact<'a, u8> {
    bytes[shape.fixed..bytes.len() - TRAILER_BYTES].chunks_exact(shape.entry)
}

/// A file with its head, and zeros for the rest.
pub(crate) fn begin(shape: &Shape, head: &Head) -> Vec<u8> {
    assert!(head.entries <= shape.entries_max, "the limits are checked where entries are added");
    let mut out = vec![0; shape.bytes(head.entries)];
    let length = out.len() as u32;
    out[..8].copy_from_slice(&shape.magic);
    put(&mut out, 8, &VERSION.to_le_bytes());
    put(&mut out, 12, &length.to_le_bytes());
    put(&mut out, 16, &head.engine);
    put(&mut out, 32, &head.generation.to_le_bytes());
    put(&mut out, 40, &head.salt);
    put(&mut out, 72, &(head.entries as u32).to_le_bytes());
    out
}

/// Puts the code and the checksum behind a file that is complete.
pub(crate) fn end(out: &mut [u8], keys: &StoreKeys) {
    let at = out.len() - TRAILER_BYTES;
    let mac = keys.mac(&[&out[..at]]);
    put(out, at, &mac);
    let at = at + MAC_BYTES;
    let sum = crc_fast::crc32_iscsi(&out[..at]);
    put(out, at, &sum.to_le_bytes());
}

pub(crate) fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}
