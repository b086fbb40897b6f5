//! Why a command was refused.

use std::fmt;

use crate::durability::{Level, PolicyFault};
use crate::ids::StreamId;

/// Why a command was refused. A refused command changes nothing.
///
/// It does not repeat the tenant and the stream: the client knows what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No tenant has the id.
    UnknownTenant,
    /// No stream of the tenant has the id or the name.
    UnknownStream,
    /// The tenant is there already, under the same name.
    TenantExists,
    /// A stream of the tenant has the name.
    StreamExists {
        /// That stream.
        stream: StreamId,
    },
    /// A tenant with another name has the same id.
    TenantNameCollision,
    /// The stream does not end where the client expected.
    WrongExpectedOffset {
        /// The offset that the client expected next.
        expected: u64,
        /// The offset that is next.
        actual: u64,
    },
    /// The name is empty.
    EmptyName,
    /// The name has too many bytes.
    NameTooLong {
        /// Its bytes.
        len: u64,
        /// Bytes at most.
        max: u64,
    },
    /// The name is not UTF-8.
    NameNotUtf8 {
        /// The first bytes of it that are.
        valid: u64,
    },
    /// A record of the append has too many payload bytes.
    RecordTooLarge {
        /// Bytes of the longest.
        len: u32,
        /// Bytes at most.
        max: u32,
    },
    /// The records of the append have too many payload bytes together.
    BatchTooLarge {
        /// Bytes of all.
        len: u32,
        /// Bytes at most.
        max: u32,
    },
    /// The append has too many records.
    TooManyRecords {
        /// How many.
        count: u32,
        /// Records at most.
        max: u32,
    },
    /// The append has no record.
    EmptyBatch,
    /// The stream is deleted.
    StreamDeleted,
    /// The tenant is deleted.
    TenantDeleted,
    /// The tenant, or the shard, has created all the streams that it may.
    TooManyStreams {
        /// Streams at most.
        max: u32,
    },
    /// The shard has created all the tenants that it may.
    TooManyTenants {
        /// Tenants at most.
        max: u32,
    },
    /// The read begins after the end of the stream. One that begins at the end is granted and
    /// finds nothing.
    OffsetBeyondEnd {
        /// Where the read begins.
        from: u64,
        /// The offset after the stream's last record.
        next: u64,
    },
    /// The page is too small for the longest entry.
    ListingTooSmall {
        /// Bytes asked for.
        bytes_max: u32,
        /// Bytes at least.
        min: u32,
    },
    /// The request's bytes make no command.
    Malformed {
        /// What is wrong with them.
        what: Malformed,
        /// Where, in bytes from the start of the request's body.
        at: u32,
    },
    /// The stream is damaged, or the record of its creation is lost, or one is that may have said to encrypt its tenant: it can be
    /// read and deleted, not appended to. If it is a catalog, nothing can be created or deleted in its tenant. A tenant
    /// cannot be created where records were lost that may have created it before.
    Frozen,
    /// The stream is the tenant's catalog, which only creations, deletions, policies, keys and erasures write.
    CatalogIsReadOnly,
    /// The append asks for a lower level than its tenant's.
    BelowDefault {
        /// The level that it asks for.
        asked: Level,
        /// The tenant's.
        default: Level,
    },
    /// No tenant can have the policy.
    ImpossiblePolicy(PolicyFault),
    /// The number of the key is not above those that the tenant's keys had.
    KeyIdNotAscending {
        /// The number.
        key_id: u32,
        /// The highest that was given.
        last: u32,
    },
    /// The data of the stream, or of its whole tenant, is erased.
    Erased,
    /// The stream was created without a key of its own: its records are sealed with its tenant's, if at all.
    StreamHasNoKey,
    /// The tenant is not encrypted.
    TenantHasNoKey,
}

/// What is wrong with a request's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// No command has the code.
    UnknownCommand,
    /// The body ends within its fixed part.
    BodyTruncated,
    /// The body has 4 GiB or more.
    BodyTooLong,
    /// A record does not end within the body.
    RecordTruncated,
    /// The body goes on after the last record.
    BytesAfterRecords,
    /// No level has the number.
    UnknownLevel,
    /// The bytes are no policy.
    UnknownPolicy,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownTenant => f.write_str("no such tenant: create it first"),
            Self::UnknownStream => {
                f.write_str("no such stream in the tenant: create it, or resolve its name to the id")
            }
            Self::TenantExists => f.write_str("the tenant exists already: use it"),
            Self::StreamExists { stream } => write!(f, "the name is taken by stream {stream}: use it, or another name"),
            Self::TenantNameCollision => f.write_str("a tenant with another name has the same id: choose another name"),
            Self::WrongExpectedOffset { expected, actual } => {
                write!(
                    f,
                    "expected offset {expected}, but {actual} is next: read what was appended, then try again at {actual}"
                )
            }
            Self::EmptyName => f.write_str("the name is empty: give at least one byte"),
            Self::NameTooLong { len, max } => write!(f, "the name has {len} bytes: shorten it to {max}"),
            Self::NameNotUtf8 { valid } => write!(f, "the name is not UTF-8 from byte {valid} on: encode it as UTF-8"),
            Self::RecordTooLarge { len, max } => {
                write!(f, "a record has {len} bytes: split it into records of at most {max}")
            }
            Self::BatchTooLarge { len, max } => {
                write!(f, "the append has {len} bytes: split it into appends of at most {max}")
            }
            Self::TooManyRecords { count, max } => {
                write!(f, "the append has {count} records: split it into appends of at most {max}")
            }
            Self::EmptyBatch => f.write_str("the append has no record: give at least one"),
            Self::StreamDeleted => f.write_str("the stream is deleted: create one, which gets a new id"),
            Self::TenantDeleted => f.write_str("the tenant is deleted, and its name stays taken: use another name"),
            Self::TooManyStreams { max } => {
                write!(f, "all {max} streams are in use, deleted ones included: raise the limit, or use another tenant")
            }
            Self::TooManyTenants { max } => {
                write!(f, "all {max} tenants are in use, deleted ones included: raise the limit")
            }
            Self::OffsetBeyondEnd { from, next } => {
                write!(f, "offset {from} is beyond the end: {next} is next; read from there or below")
            }
            Self::ListingTooSmall { bytes_max, min } => {
                write!(f, "a page of {bytes_max} bytes may not hold one entry: ask for {min} or more")
            }
            Self::Malformed { what, at } => {
                write!(f, "malformed request at byte {at}: {what}; use a client of the engine's version")
            }
            Self::Frozen => f.write_str(
                "the stream is damaged and takes no appends: run `diatreme verify`; read it, and go on in a new stream",
            ),
            Self::CatalogIsReadOnly => {
                f.write_str("stream 0 is the tenant's catalog, which only the engine writes: append to another stream")
            }
            Self::BelowDefault { asked, default } => write!(
                f,
                "the append asks for {asked}, and its tenant is under {default}: ask for {default} or more, or for nothing"
            ),
            Self::ImpossiblePolicy(fault) => write!(f, "impossible policy: {fault}"),
            Self::KeyIdNotAscending { key_id, last } => write!(
                f,
                "key {key_id} of the tenant is not above {last}, its last one: give the key store that belongs to this directory"
            ),
            Self::Erased => {
                f.write_str("the data is erased and nobody can read it any more: use another stream, or another tenant")
            }
            Self::StreamHasNoKey => f.write_str(
                "the stream has no key of its own, with which alone it could be erased: erase its tenant, or create streams with keys",
            ),
            Self::TenantHasNoKey => {
                f.write_str("the tenant is not encrypted, so no key's destruction erases its data: delete it instead")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownCommand => "no command has this code",
            Self::BodyTruncated => "the body ends within its fixed part",
            Self::BodyTooLong => "the body has 4 GiB or more",
            Self::RecordTruncated => "a record does not end within the body",
            Self::BytesAfterRecords => "the body goes on after the last record",
            Self::UnknownLevel => "no level has this number",
            Self::UnknownPolicy => "the bytes are no policy",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALFORMED: [Malformed; 7] = [
        Malformed::UnknownCommand,
        Malformed::BodyTruncated,
        Malformed::BodyTooLong,
        Malformed::RecordTruncated,
        Malformed::BytesAfterRecords,
        Malformed::UnknownLevel,
        Malformed::UnknownPolicy,
    ];

    /// One of each, with fields that are distinct and as wide as their type.
    fn every_refusal() -> Vec<Refusal> {
        const WIDE: u64 = u64::MAX - 1;
        const NARROW: u32 = u32::MAX - 1;
        let mut all = vec![
            Refusal::UnknownTenant,
            Refusal::UnknownStream,
            Refusal::TenantExists,
            Refusal::StreamExists { stream: StreamId(NARROW) },
            Refusal::TenantNameCollision,
            Refusal::WrongExpectedOffset { expected: WIDE, actual: 1 },
            Refusal::EmptyName,
            Refusal::NameTooLong { len: WIDE, max: 255 },
            Refusal::NameNotUtf8 { valid: WIDE },
            Refusal::RecordTooLarge { len: NARROW, max: 2 },
            Refusal::BatchTooLarge { len: NARROW, max: 3 },
            Refusal::TooManyRecords { count: NARROW, max: 4 },
            Refusal::EmptyBatch,
            Refusal::StreamDeleted,
            Refusal::TenantDeleted,
            Refusal::TooManyStreams { max: NARROW },
            Refusal::TooManyTenants { max: NARROW },
            Refusal::OffsetBeyondEnd { from: WIDE, next: 5 },
            Refusal::ListingTooSmall { bytes_max: NARROW, min: 6 },
            Refusal::Frozen,
            Refusal::CatalogIsReadOnly,
            Refusal::BelowDefault { asked: Level::Buffered, default: Level::Strict },
            Refusal::ImpossiblePolicy(PolicyFault::ManyRecords { records: NARROW }),
            Refusal::KeyIdNotAscending { key_id: NARROW, last: u32::MAX },
            Refusal::Erased,
            Refusal::StreamHasNoKey,
            Refusal::TenantHasNoKey,
        ];
        all.extend(MALFORMED.map(|what| Refusal::Malformed { what, at: u32::MAX }));
        all
    }

    #[test]
    fn every_text_says_what_to_do() {
        for refusal in every_refusal() {
            let text = refusal.to_string();
            assert!(text.contains(": "), "no advice in {text:?}");
        }
    }
}
