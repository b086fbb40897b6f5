//! What crosses the rings between a client and a shard: requests, replies, read data.
//!
//! A request lies in the client's byte ring as a fixed header and a body, and is used where it lies. All integers
//! are little-endian. Both ends are of one build, but the shard takes nothing for granted: what does not decode is refused.

use crate::limits::RECORD_OVERHEAD_BYTES_MAX;
use iobackend::IoError;
use kernel::{Command, Durability, Level, Malformed, NAME_BYTES_MAX, NewKey, Records, Refusal, StreamId, TenantId};
use log::SegmentId;
use log::format::frame::RECORD_HEADER_BYTES;
use log::timing::{self, STAMP_BYTES};

/// Bytes of a request before its body: the fixed part, and the time of sending if stages are timed.
pub const HEADER_BYTES: usize = FIXED_BYTES + STAMP_BYTES;
const FIXED_BYTES: usize = 40;
/// Bytes of a record in read data before its payload.
pub const RECORD_BYTES: usize = 32;

/// What a request asks for, by its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Code {
    CreateTenant = 1,
    CreateStream,
    Append,
    Head,
    Read,
    Resolve,
    ListTenants,
    ListStreams,
    DeleteStream,
    DeleteTenant,
    SetDurability,
    Sync,
    IntroduceKey,
    Erase,
}

const CODES: [Code; 14] = [
    Code::CreateTenant,
    Code::CreateStream,
    Code::Append,
    Code::Head,
    Code::Read,
    Code::Resolve,
    Code::ListTenants,
    Code::ListStreams,
    Code::DeleteStream,
    Code::DeleteTenant,
    Code::SetDurability,
    Code::Sync,
    Code::IntroduceKey,
    Code::Erase,
];

/// A request as a client makes it.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Make a tenant.
    CreateTenant {
        /// Its name, from which its id derives.
        name: &'a str,
        /// The key that seals its data, if it is to be encrypted.
        key: Option<NewKey>,
    },
    /// Make a stream.
    CreateStream {
        /// In which tenant, by name.
        tenant: &'a str,
        /// Its name.
        name: &'a str,
        /// The key of its own, if it is not to be sealed with its tenant's.
        key: Option<NewKey>,
    },
    /// Append records, all or none.
    Append {
        /// In which tenant.
        tenant: TenantId,
        /// To which stream.
        stream: StreamId,
        /// The offset that the first is to have.
        expected: Option<u64>,
        /// The level that the answer is to promise, if not the tenant's; not below it.
        level: Option<Level>,
        /// Their payloads.
        records: &'a [&'a [u8]],
    },
    /// Ask for a stream's end.
    Head {
        /// In which tenant.
        tenant: TenantId,
        /// Of which stream.
        stream: StreamId,
    },
    /// Read records.
    Read {
        /// In which tenant.
        tenant: TenantId,
        /// Of which stream.
        stream: StreamId,
        /// From this offset on.
        from: u64,
        /// Records at the most.
        records_max: u32,
        /// Bytes at the most; one record is given even if it has more.
        bytes_max: u32,
    },
    /// Ask for a stream's id by its name.
    Resolve {
        /// In which tenant, by name.
        tenant: &'a str,
        /// The stream's name.
        name: &'a str,
    },
    /// List the tenants of a shard, in order of id.
    ListTenants {
        /// Those after this one.
        after: Option<TenantId>,
    },
    /// List a tenant's streams, in order of id.
    ListStreams {
        /// Which tenant, by name.
        tenant: &'a str,
        /// Those after this one.
        after: StreamId,
    },
    /// Delete a stream (softly: its records stay in the log).
    DeleteStream {
        /// In which tenant.
        tenant: TenantId,
        /// Which stream.
        stream: StreamId,
    },
    /// Delete a tenant (softly).
    DeleteTenant {
        /// Which tenant, by name.
        tenant: &'a str,
    },
    /// Give a tenant a policy of its own.
    SetDurability {
        /// Which tenant, by name.
        tenant: &'a str,
        /// The policy.
        durability: Durability,
    },
    /// Flush everything that was answered before.
    Sync,
    /// Seal with another key from here on.
    IntroduceKey {
        /// Which tenant, by name.
        tenant: &'a str,
        /// A stream of it that has a key of its own; `None`: the tenant's key.
        stream: Option<StreamId>,
        /// The key.
        key: NewKey,
    },
    /// Serve the data of a tenant, or of a stream with a key of its own, no more: its key is to be destroyed.
    Erase {
        /// Which tenant, by name.
        tenant: &'a str,
        /// Which stream; `None`: the whole tenant.
        stream: Option<StreamId>,
    },
}

/// The fixed part of a request.
#[derive(Clone, Copy, Default)]
struct Fixed {
    code: u8,
    /// Of an append: the level that it asks for, 0 for the tenant's. Of a policy: its level.
    level: u8,
    /// Of a policy.
    sync: u8,
    tenant: u64,
    stream: u32,
    present: bool,
    a: u64,
    b: u32,
    c: u32,
}

impl Request<'_> {
    /// Bytes of the request in the ring.
    #[inline]
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        HEADER_BYTES
            + match self {
                Request::Append { records, .. } => records.iter().map(|record| 4 + record.len()).sum(),
                _ => {
                    let key = self.key().map_or(0, |key| key.commitment.len());
                    self.names().map_or(0, |(tenant, name)| tenant.len() + name.len() + key)
                }
            }
    }

    /// Writes the request into `out`, which has [`encoded_bytes`](Self::encoded_bytes).
    #[inline]
    pub fn encode(&self, token: u64, out: &mut [u8]) {
        let fixed = self.fixed();
        out[0..8].copy_from_slice(&token.to_le_bytes());
        out[8..16].copy_from_slice(&fixed.tenant.to_le_bytes());
        out[16..20].copy_from_slice(&fixed.stream.to_le_bytes());
        out[20..24].copy_from_slice(&[fixed.code, u8::from(fixed.present), fixed.level, fixed.sync]);
        out[24..32].copy_from_slice(&fixed.a.to_le_bytes());
        out[32..36].copy_from_slice(&fixed.b.to_le_bytes());
        out[36..40].copy_from_slice(&fixed.c.to_le_bytes());
        timing::stamp(&mut out[FIXED_BYTES..HEADER_BYTES]);
        match self {
            Request::Append { records, .. } => {
                let mut at = HEADER_BYTES;
                for record in *records {
                    out[at..at + 4].copy_from_slice(&(record.len() as u32).to_le_bytes());
                    out[at + 4..at + 4 + record.len()].copy_from_slice(record);
                    at += 4 + record.len();
                }
            }
            _ => {
                if let Some((tenant, name)) = self.names() {
                    let mut at = HEADER_BYTES;
                    let commitment = self.key().map_or(&[][..], |key| &key.commitment);
                    for part in [commitment, tenant.as_bytes(), name.as_bytes()] {
                        out[at..at + part.len()].copy_from_slice(part);
                        at += part.len();
                    }
                }
            }
        }
    }

    /// The names that make up the body, behind the commitment of a key: the tenant's, and what is asked for by name in it. Ids
    /// derive from names, and names may share one: so the name goes with the id.
    fn names(&self) -> Option<(&str, &str)> {
        match *self {
            Request::CreateTenant { name, .. } => Some((name, "")),
            Request::CreateStream { tenant, name, .. } | Request::Resolve { tenant, name } => Some((tenant, name)),
            Request::ListStreams { tenant, .. }
            | Request::DeleteTenant { tenant }
            | Request::SetDurability { tenant, .. }
            | Request::IntroduceKey { tenant, .. }
            | Request::Erase { tenant, .. } => Some((tenant, "")),
            _ => None,
        }
    }

    /// The key that is introduced. Its commitment is what the body begins with.
    fn key(&self) -> Option<&NewKey> {
        match self {
            Request::CreateTenant { key, .. } | Request::CreateStream { key, .. } => key.as_ref(),
            Request::IntroduceKey { key, .. } => Some(key),
            _ => None,
        }
    }

    #[inline]
    fn fixed(&self) -> Fixed {
        let of = |code: Code, tenant: TenantId, stream: StreamId| Fixed {
            code: code as u8,
            tenant: tenant.0,
            stream: stream.0,
            ..Fixed::default()
        };
        let named = |code: Code, tenant: &str, stream: StreamId| Fixed {
            b: tenant.len() as u32,
            ..of(code, TenantId::of_name(tenant), stream)
        };
        // Of a creation that comes without a key nothing but the flag is other.
        let keyed = |fixed: Fixed| match self.key() {
            Some(key) => Fixed { present: true, c: key.key_id, ..fixed },
            None => fixed,
        };
        let catalog = kernel::CATALOG;
        match *self {
            Request::CreateTenant { name, .. } => keyed(named(Code::CreateTenant, name, catalog)),
            Request::CreateStream { tenant, .. } => keyed(named(Code::CreateStream, tenant, catalog)),
            Request::IntroduceKey { tenant, stream, .. } => {
                keyed(named(Code::IntroduceKey, tenant, stream.unwrap_or(catalog)))
            }
            Request::Erase { tenant, stream } => named(Code::Erase, tenant, stream.unwrap_or(catalog)),
            Request::Append { tenant, stream, expected, level, records } => Fixed {
                level: level.map_or(0, |level| level as u8),
                present: expected.is_some(),
                a: expected.unwrap_or(0),
                b: records.len() as u32,
                ..of(Code::Append, tenant, stream)
            },
            Request::Head { tenant, stream } => of(Code::Head, tenant, stream),
            Request::Read { tenant, stream, from, records_max, bytes_max } => {
                Fixed { a: from, b: records_max, c: bytes_max, ..of(Code::Read, tenant, stream) }
            }
            Request::Resolve { tenant, .. } => named(Code::Resolve, tenant, catalog),
            Request::ListTenants { after } => Fixed {
                present: after.is_some(),
                a: after.map_or(0, |tenant| tenant.0),
                ..of(Code::ListTenants, TenantId(0), catalog)
            },
            Request::ListStreams { tenant, after } => named(Code::ListStreams, tenant, after),
            Request::DeleteStream { tenant, stream } => of(Code::DeleteStream, tenant, stream),
            Request::DeleteTenant { tenant } => named(Code::DeleteTenant, tenant, catalog),
            Request::SetDurability { tenant, durability } => {
                let bytes = durability.encode();
                Fixed {
                    level: bytes[0],
                    sync: bytes[1],
                    a: u64::from_le_bytes(std::array::from_fn(|at| bytes[8 + at])),
                    c: u32::from_le_bytes(std::array::from_fn(|at| bytes[4 + at])),
                    ..named(Code::SetDurability, tenant, catalog)
                }
            }
            Request::Sync => of(Code::Sync, TenantId(0), catalog),
        }
    }
}

impl Fixed {
    #[inline]
    fn asked(&self) -> Result<Option<Level>, Refusal> {
        let asked = Level::from_number(self.level);
        if asked.is_none() && self.level != 0 {
            return Err(Refusal::Malformed { what: Malformed::UnknownLevel, at: 22 });
        }
        Ok(asked)
    }

    /// The key that a request introduces, and what its body is without it.
    fn key<'a>(&self, body: &'a [u8]) -> Result<(Option<NewKey>, &'a [u8]), Refusal> {
        if !self.present {
            return Ok((None, body));
        }
        let Some((&commitment, names)) = body.split_first_chunk() else {
            return Err(body_truncated(body));
        };
        Ok((Some(NewKey { key_id: self.c, commitment }), names))
    }

    fn durability(&self) -> Result<Durability, Refusal> {
        let mut bytes = [self.level, self.sync, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[4..8].copy_from_slice(&self.c.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.a.to_le_bytes());
        Durability::decode(bytes).ok_or(Refusal::Malformed { what: Malformed::UnknownPolicy, at: 22 })
    }
}

/// The token of a request; 0 if it is too short to have one.
#[inline]
pub(crate) fn token(message: &[u8]) -> u64 {
    message.first_chunk().map_or(0, |raw| u64::from_le_bytes(*raw))
}

/// When a request was sent, as the client stamped it; empty if it is too short for that.
#[inline]
pub(crate) fn stamp(message: &[u8]) -> &[u8] {
    message.get(FIXED_BYTES..HEADER_BYTES).unwrap_or(&[])
}

/// Any request but an append, decoded where it lies.
pub(crate) enum Decoded<'a> {
    /// A command, and the name and id of its tenant if it goes by the name.
    Command(Command<'a>, Named<'a>),
    /// A wish to have all flushed, which is no business of the kernel's.
    Sync,
}

/// [`Command::Append`], which is what a shard is there for, apart from all others.
#[derive(Clone, Copy)]
pub(crate) struct Append<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) stream: StreamId,
    pub(crate) expected: Option<u64>,
    pub(crate) asked: Option<Level>,
    pub(crate) records: Records<'a>,
}

pub(crate) type Named<'a> = Option<(&'a str, TenantId)>;

/// Whether a request is an append, to be decoded as such.
#[inline]
pub(crate) fn is_append(message: &[u8]) -> bool {
    message.get(20) == Some(&(Code::Append as u8))
}

/// Decodes an append where it lies.
#[inline]
pub(crate) fn decode_append(message: &[u8]) -> Result<Append<'_>, Refusal> {
    let (fixed, _) = split(message)?;
    let asked = fixed.asked()?;
    let expected = fixed.present.then_some(fixed.a);
    let records = Records::parse(message, HEADER_BYTES as u32, fixed.b)?;
    Ok(Append { tenant: TenantId(fixed.tenant), stream: StreamId(fixed.stream), expected, asked, records })
}

/// Decodes any other request where it lies.
#[inline]
pub(crate) fn decode<'a>(message: &'a [u8]) -> Result<Decoded<'a>, Refusal> {
    let (fixed, body) = split(message)?;
    let (tenant, stream) = (TenantId(fixed.tenant), StreamId(fixed.stream));
    let unknown = Refusal::Malformed { what: Malformed::UnknownCommand, at: 20 };
    let code = CODES.get(usize::from(fixed.code).wrapping_sub(1)).ok_or(unknown)?;
    let mut tenant_name = None;
    let mut named = |names: &'a [u8]| {
        let Some((first, second)) = names.split_at_checked(fixed.b as usize) else {
            return Err(body_truncated(body));
        };
        tenant_name = Some((name(first)?, tenant));
        name(second)
    };
    let command = match code {
        Code::Append => return Err(unknown),
        Code::Head => Command::Head { tenant, stream },
        Code::Read => Command::Read { tenant, stream, from: fixed.a, records_max: fixed.b, bytes_max: fixed.c },
        Code::CreateTenant => {
            let (key, names) = fixed.key(body)?;
            Command::CreateTenant { tenant, name: name(names)?, key }
        }
        Code::CreateStream => {
            let (key, names) = fixed.key(body)?;
            Command::CreateStream { tenant, name: named(names)?, key }
        }
        Code::Resolve => Command::Resolve { tenant, name: named(body)? },
        Code::ListTenants => Command::ListTenants {
            after: fixed.present.then_some(TenantId(fixed.a)),
            bytes_max: kernel::LISTING_BYTES_MAX,
        },
        Code::ListStreams => {
            named(body)?;
            Command::ListStreams { tenant, after: stream, bytes_max: kernel::LISTING_BYTES_MAX }
        }
        Code::DeleteStream => Command::DeleteStream { tenant, stream },
        Code::DeleteTenant => {
            named(body)?;
            Command::DeleteTenant { tenant }
        }
        Code::SetDurability => {
            named(body)?;
            Command::SetDurability { tenant, durability: fixed.durability()? }
        }
        Code::IntroduceKey => {
            let (Some(key), names) = fixed.key(body)? else {
                return Err(body_truncated(body));
            };
            named(names)?;
            Command::IntroduceKey { tenant, stream: not_catalog(stream), key }
        }
        Code::Erase => {
            named(body)?;
            Command::Erase { tenant, stream: not_catalog(stream) }
        }
        Code::Sync => return Ok(Decoded::Sync),
    };
    Ok(Decoded::Command(command, tenant_name))
}

/// Stream 0, the catalog, stands for the whole tenant.
fn not_catalog(stream: StreamId) -> Option<StreamId> {
    (stream != kernel::CATALOG).then_some(stream)
}

/// The body ends before what it should hold does.
#[cold]
fn body_truncated(body: &[u8]) -> Refusal {
    Refusal::Malformed { what: Malformed::BodyTruncated, at: (HEADER_BYTES + body.len()) as u32 }
}

#[inline]
fn split(message: &[u8]) -> Result<(Fixed, &[u8]), Refusal> {
    let Some((raw, body)) = message.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Refusal::Malformed { what: Malformed::BodyTruncated, at: message.len() as u32 });
    };
    let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| raw[at + i]));
    let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| raw[at + i]));
    let fixed = Fixed {
        code: raw[20],
        level: raw[22],
        sync: raw[23],
        tenant: u64_at(8),
        stream: u32_at(16),
        present: raw[21] & 1 != 0,
        a: u64_at(24),
        b: u32_at(32),
        c: u32_at(36),
    };
    Ok((fixed, body))
}

fn name(body: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(body).map_err(|error| Refusal::NameNotUtf8 { valid: error.valid_up_to() as u64 })
}

/// Bytes that an append's records take in the log at the most: a record's padding is at most 7 bytes.
#[inline]
pub(crate) fn append_bytes(records: &Records<'_>) -> usize {
    records.bytes() as usize + records.count() as usize * RECORD_OVERHEAD_BYTES_MAX
}

/// Bytes that the records of any other command take in the log at the most. `None` if it only reads.
#[inline]
pub(crate) fn log_bytes(command: &Command<'_>) -> Option<usize> {
    const CATALOG: usize = RECORD_HEADER_BYTES + 7 + size_of::<StreamId>() + NAME_BYTES_MAX;
    const KEY: usize = RECORD_HEADER_BYTES + 7 + size_of::<NewKey>() + size_of::<StreamId>();
    match command {
        // Both records lie in one frame: room is asked for once, and a frame that has it takes them all.
        Command::CreateTenant { key: Some(_), .. } | Command::CreateStream { key: Some(_), .. } => Some(CATALOG + KEY),
        Command::CreateTenant { .. }
        | Command::CreateStream { .. }
        | Command::DeleteStream { .. }
        | Command::DeleteTenant { .. }
        | Command::SetDurability { .. }
        | Command::IntroduceKey { .. }
        | Command::Erase { .. } => Some(CATALOG),
        _ => None,
    }
}

/// A shard's answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The token that the client gave the request.
    pub token: u64,
    /// What came of it.
    pub outcome: Result<Done, Failure>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Done {
    /// The tenant is made.
    TenantCreated,
    /// The stream is made.
    StreamCreated {
        /// Its id.
        stream: StreamId,
    },
    /// The records are in the log.
    Appended {
        /// Offset of the first.
        first: u64,
        /// How many.
        count: u32,
        /// Their timestamp, nanoseconds since 1970.
        timestamp: u64,
        /// The level that was reached when this answer left: what was asked for, or more.
        level: Level,
    },
    /// The stream's end.
    Head {
        /// The offset after the last record.
        next: u64,
        /// Timestamp of the last record; 0 if there is none.
        timestamp: u64,
    },
    /// Records; they are the next message of the data ring, if there are any.
    Read {
        /// How many.
        records: u32,
        /// The offset after the stream's last record when the request was taken.
        next: u64,
    },
    /// The stream's id.
    Resolved {
        /// Its id.
        stream: StreamId,
        /// The offset after its last record.
        next: u64,
    },
    /// A page of names; it is the next message of the data ring, if it has any.
    Listed {
        /// Bytes of the page.
        bytes: u32,
        /// Whether there are more after it.
        more: bool,
    },
    /// The stream or tenant is deleted.
    Deleted,
    /// The tenant has the policy.
    DurabilitySet,
    /// Everything that was answered before is flushed.
    Synced,
    /// The key seals from here on.
    KeyIntroduced,
    /// The data is served no more.
    Erased,
}

impl Done {
    /// Whether a message in the data ring belongs to this.
    #[must_use]
    pub fn has_data(&self) -> bool {
        matches!(self, Done::Read { records: 1.., .. } | Done::Listed { bytes: 1.., .. })
    }
}

/// Why a request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The kernel refused it; nothing has changed.
    Refused(Refusal),
    /// The log has no room left, and its next segment cannot be made; nothing has changed. The shard goes on trying.
    NoSegment {
        /// The segment that cannot be made.
        segment: SegmentId,
        /// What the system said.
        error: IoError,
    },
    /// The shard's log has failed. If the request was an append, whether it is in the log is not known until the
    /// directory is opened again; it was never acknowledged.
    ShardFailed,
    /// The records asked for are damaged.
    Damaged {
        /// In which segment.
        segment: SegmentId,
        /// At which byte.
        byte: u64,
        /// The first offset that cannot be given.
        offset: u64,
    },
    /// The system refused to read.
    ReadFailed {
        /// In which segment.
        segment: SegmentId,
        /// What the system said.
        error: IoError,
    },
    /// The records are sealed, or are to be, with a key that the engine was not given.
    NoKey {
        /// The key's number in the tenant.
        key_id: u32,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(refusal) => refusal.fmt(f),
            Failure::NoSegment { segment, error: error @ IoError::NoSpace { .. } } => {
                write!(f, "cannot make {segment}: {error}, then try again")
            }
            Failure::NoSegment { segment, error } => {
                write!(f, "cannot make {segment}: {error}; see to the data directory and its disk, then try again")
            }
            Failure::ShardFailed => f.write_str(
                "the shard's log has failed, and what was not acknowledged may or may not be in it: open the directory again",
            ),
            Failure::Damaged { segment, byte, offset } => write!(
                f,
                "offset {offset} is damaged ({segment} at byte {byte}): run `diatreme verify`, and restore it from a backup"
            ),
            Failure::ReadFailed { segment, error } => write!(f, "cannot read {segment}: {error}"),
            Failure::NoKey { key_id } => {
                write!(f, "data key {key_id} of the tenant is not there: open the directory with its key store")
            }
        }
    }
}

impl std::error::Error for Failure {}

/// A record of read data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRecord<'a> {
    /// Offset in the stream.
    pub offset: u64,
    /// The tenant's number for it.
    pub position: u64,
    /// Nanoseconds since 1970.
    pub timestamp: u64,
    /// The kernel's kind.
    pub kind: u8,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Writes a record of read data; returns the bytes used.
pub(crate) fn put_record(out: &mut [u8], record: &log::format::frame::Record<'_>) -> usize {
    let header = &record.header;
    let used = RECORD_BYTES + record.payload.len();
    out[0..8].copy_from_slice(&header.offset.to_le_bytes());
    out[8..16].copy_from_slice(&header.position.to_le_bytes());
    out[16..24].copy_from_slice(&header.timestamp.to_le_bytes());
    out[24..28].copy_from_slice(&header.payload_bytes.to_le_bytes());
    out[28..32].copy_from_slice(&[header.kind, 0, 0, 0]);
    out[RECORD_BYTES..used].copy_from_slice(record.payload);
    used
}

/// Walks over read data.
#[derive(Clone, Debug)]
pub struct ReadRecords<'a>(&'a [u8]);

impl<'a> ReadRecords<'a> {
    /// Takes a message of the data ring.
    #[must_use]
    pub fn new(message: &'a [u8]) -> ReadRecords<'a> {
        ReadRecords(message)
    }
}

impl<'a> Iterator for ReadRecords<'a> {
    type Item = ReadRecord<'a>;

    fn next(&mut self) -> Option<ReadRecord<'a>> {
        let (raw, rest) = self.0.split_first_chunk::<RECORD_BYTES>()?;
        let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| raw[at + i]));
        let len = u32::from_le_bytes(std::array::from_fn(|i| raw[24 + i])) as usize;
        let (payload, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(ReadRecord { offset: u64_at(0), position: u64_at(8), timestamp: u64_at(16), kind: raw[28], payload })
    }
}

#[cfg(test)]
mod tests;
