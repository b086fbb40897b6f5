//! Opening the sealed records that a read found, where they lie in its buffer.
//!
//! Checksums and chain were verified before, over the ciphertext; after this the buffer is good for handing out, not for verifying.

use crate::format::frame::{FrameHeader, RECORD_HASHED_FROM, RECORD_HEADER_BYTES, RecordHeader};
use crate::keyring::{self, Keyring};
use planted::Bug;

/// What keeps a sealed record from being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// The key is not there.
    NoKey(u32),
    /// It does not open: another key, or not as it was sealed.
    Broken {
        /// The frame it is in.
        sequence: u64,
    },
}

/// Which records to open: the first `records` of a stream from the offset `from` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) tenant: u64,
    pub(crate) stream: u32,
    pub(crate) from: u64,
    pub(crate) records: u32,
    /// Records with this position, and later ones, are sealed.
    pub(crate) sealed_from: u64,
}

/// Opens the wanted records in the frames that `bytes` begins with. Returns whether any was sealed. `salt` is the segment's, `None`
/// if its header cannot be read.
pub(crate) fn open_records(
    bytes: &mut [u8],
    wanted: Wanted,
    salt: Option<&[u8; 32]>,
    keyring: &mut Keyring,
) -> Result<bool, Unopened> {
    let (mut at, mut left, mut any) = (0, wanted.records, false);
    while left > 0 {
        let frame = &mut bytes[at..];
        let Ok(header) = FrameHeader::decode(frame) else {
            break;
        };
        at += header.length as usize;
        let table = header.table(frame).ok();
        let entry = table.and_then(|table| {
            table.iter().enumerate().find(|(_, entry)| entry.tenant == wanted.tenant && entry.stream == wanted.stream)
        });
        let Some((slot, entry)) = entry else {
            continue;
        };
        let mut record_at = entry.first_at as usize;
        while left > 0 {
            let mut records = header.records(frame).from(record_at as u32);
            let Some(Ok(record)) = records.next() else {
                break;
            };
            let next = records.position();
            let (fixed, sealed) = (record.header, record.is_sealed());
            if usize::from(fixed.slot) == slot && fixed.offset >= wanted.from {
                left -= 1;
                if sealed {
                    open_record(&mut frame[record_at..], &fixed, wanted, (header.sequence, record_at), salt, keyring)?;
                    any = true;
                } else if fixed.position >= wanted.sealed_from && !planted::is(Bug::ClearTakenForSealed) {
                    // In the clear where it cannot be: not written by this engine.
                    return Err(Unopened::Broken { sequence: header.sequence });
                }
            }
            record_at = next;
        }
    }
    Ok(any)
}

/// Opens the record that `bytes` begins with, in the frame `sequence` at the byte `at`.
fn open_record(
    bytes: &mut [u8],
    fixed: &RecordHeader,
    wanted: Wanted,
    (sequence, at): (u64, usize),
    salt: Option<&[u8; 32]>,
    keyring: &mut Keyring,
) -> Result<(), Unopened> {
    let broken = Unopened::Broken { sequence };
    let (header, body) = bytes.split_at_mut(RECORD_HEADER_BYTES);
    let (payload, rest) = body.split_at_mut(fixed.payload_bytes as usize);
    let (Some(hashed), Some(tag)) = (header[RECORD_HASHED_FROM..].first_chunk(), rest.first_chunk()) else {
        return Err(broken);
    };
    let cipher = keyring.opener(wanted.tenant, fixed.key_id, salt.ok_or(broken)?);
    let cipher = cipher.ok_or(Unopened::NoKey(fixed.key_id))?;
    let identity = keyring::identity(wanted.tenant, wanted.stream, hashed);
    let (sequence, at) = keyring::nonce(sequence, at as u32, fixed.offset);
    cipher.open(sequence, at, &identity, payload, tag).map_err(|_| broken)
}
