//! The payloads of catalog records (`docs/format.md`, "Names, and the catalog stream").

use std::fmt;

use crate::durability::Durability;
use crate::ids::{CATALOG, RecordKind, StreamId};
use crate::keys::NewKey;
use crate::limits::NAME_BYTES_MAX;

/// What a catalog record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogRecord<'a> {
    /// The tenant exists.
    TenantCreated {
        /// Its name.
        name: &'a str,
    },
    /// A stream exists.
    StreamCreated {
        /// Its id.
        stream: StreamId,
        /// Its name.
        name: &'a str,
    },
    /// A stream is deleted.
    StreamDeleted {
        /// Its id.
        stream: StreamId,
    },
    /// The tenant is deleted.
    TenantDeleted,
    /// The tenant has this policy from here on.
    TenantPolicy(Durability),
    /// A key seals from here on.
    DataKey {
        /// The stream whose own it is; [`CATALOG`](crate::CATALOG): the tenant's.
        stream: StreamId,
        /// The key.
        key: NewKey,
    },
    /// The data is erased.
    Erased {
        /// Of which stream; [`CATALOG`](crate::CATALOG): of the whole tenant.
        stream: StreamId,
    },
}

impl<'a> CatalogRecord<'a> {
    pub(crate) const fn kind(&self) -> RecordKind {
        match self {
            Self::TenantCreated { .. } => RecordKind::TenantCreated,
            Self::StreamCreated { .. } => RecordKind::StreamCreated,
            Self::StreamDeleted { .. } => RecordKind::StreamDeleted,
            Self::TenantDeleted => RecordKind::TenantDeleted,
            Self::TenantPolicy(_) => RecordKind::TenantPolicy,
            Self::DataKey { .. } => RecordKind::DataKey,
            Self::Erased { .. } => RecordKind::Erased,
        }
    }

    /// Adds the payload to `bytes`.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        match *self {
            Self::TenantCreated { name } => bytes.extend_from_slice(name.as_bytes()),
            Self::StreamCreated { stream, name } => {
                bytes.extend_from_slice(&stream.0.to_le_bytes());
                bytes.extend_from_slice(name.as_bytes());
            }
            Self::StreamDeleted { stream } => bytes.extend_from_slice(&stream.0.to_le_bytes()),
            Self::TenantDeleted => {}
            Self::TenantPolicy(durability) => bytes.extend_from_slice(&durability.encode()),
            Self::DataKey { stream, key } => {
                bytes.extend_from_slice(&key.key_id.to_le_bytes());
                bytes.extend_from_slice(&stream.0.to_le_bytes());
                bytes.extend_from_slice(&key.commitment);
            }
            Self::Erased { stream } => {
                bytes.extend_from_slice(&stream.0.to_le_bytes());
                bytes.extend_from_slice(&[0; 4]);
            }
        }
    }

    /// Reads the payload of a record of `kind`; `None` if the kind is none of the catalog's.
    ///
    /// # Errors
    /// The first thing about the payload that is wrong.
    pub fn decode(kind: RecordKind, payload: &'a [u8]) -> Option<Result<Self, CatalogFault>> {
        Some(match kind {
            RecordKind::Data => return None,
            RecordKind::TenantCreated => decode_name(payload).map(|name| Self::TenantCreated { name }),
            RecordKind::StreamCreated => decode_stream(payload)
                .and_then(|(stream, name)| Ok(Self::StreamCreated { stream, name: decode_name(name)? })),
            RecordKind::StreamDeleted => match decode_stream(payload) {
                Ok((stream, [])) => Ok(Self::StreamDeleted { stream }),
                Ok(_) => Err(CatalogFault::Length),
                Err(fault) => Err(fault),
            },
            RecordKind::TenantDeleted if payload.is_empty() => Ok(Self::TenantDeleted),
            RecordKind::TenantDeleted => Err(CatalogFault::Length),
            RecordKind::TenantPolicy => decode_policy(payload).map(Self::TenantPolicy),
            RecordKind::DataKey => decode_key(payload),
            RecordKind::Erased => decode_erased(payload),
        })
    }
}

fn decode_name(bytes: &[u8]) -> Result<&str, CatalogFault> {
    if bytes.is_empty() || bytes.len() > NAME_BYTES_MAX {
        return Err(CatalogFault::Length);
    }
    std::str::from_utf8(bytes).map_err(|_| CatalogFault::Name)
}

fn decode_policy(payload: &[u8]) -> Result<Durability, CatalogFault> {
    let bytes = payload.try_into().map_err(|_| CatalogFault::Length)?;
    Durability::decode(bytes).ok_or(CatalogFault::Policy)
}

fn decode_key(payload: &[u8]) -> Result<CatalogRecord<'_>, CatalogFault> {
    let (key_id, rest) = payload.split_first_chunk().ok_or(CatalogFault::Length)?;
    let (stream, commitment) = rest.split_first_chunk().ok_or(CatalogFault::Length)?;
    let commitment = commitment.try_into().map_err(|_| CatalogFault::Length)?;
    let key = NewKey { key_id: u32::from_le_bytes(*key_id), commitment };
    if key.key_id == 0 {
        return Err(CatalogFault::Key);
    }
    Ok(CatalogRecord::DataKey { stream: StreamId(u32::from_le_bytes(*stream)), key })
}

fn decode_erased(payload: &[u8]) -> Result<CatalogRecord<'_>, CatalogFault> {
    let (stream, zero) = payload.split_first_chunk().ok_or(CatalogFault::Length)?;
    let zero: [u8; 4] = zero.try_into().map_err(|_| CatalogFault::Length)?;
    if zero != [0; 4] {
        return Err(CatalogFault::NotZero);
    }
    Ok(CatalogRecord::Erased { stream: StreamId(u32::from_le_bytes(*stream)) })
}

fn decode_stream(payload: &[u8]) -> Result<(StreamId, &[u8]), CatalogFault> {
    let (id, rest) = payload.split_first_chunk().ok_or(CatalogFault::Length)?;
    let stream = StreamId(u32::from_le_bytes(*id));
    if stream == CATALOG { Err(CatalogFault::Stream) } else { Ok((stream, rest)) }
}

/// What is wrong with a catalog record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatalogFault {
    /// It has too few or too many bytes.
    Length,
    /// The name is not UTF-8.
    Name,
    /// It names stream 0, the catalog itself.
    Stream,
    /// It is no policy that this version knows.
    Policy,
    /// It gives a key the number 0, which means none.
    Key,
    /// Bytes that are zero in this version are not.
    NotZero,
}

impl fmt::Display for CatalogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the payload has too few or too many bytes",
            Self::Name => "the name is not UTF-8",
            Self::Stream => "the payload names stream 0, the catalog itself",
            Self::Policy => "the payload is no policy that this version knows",
            Self::Key => "the payload gives a key the number 0, which means none",
            Self::NotZero => "bytes of the payload that are zero in this version are not",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_back() {
        let longest = "n".repeat(NAME_BYTES_MAX);
        for record in [
            CatalogRecord::TenantCreated { name: &longest },
            CatalogRecord::StreamCreated { stream: StreamId(0x0102_0304), name: "é" },
            CatalogRecord::StreamDeleted { stream: StreamId(u32::MAX) },
            CatalogRecord::TenantDeleted,
            CatalogRecord::TenantPolicy(Durability::BUFFERED),
            CatalogRecord::DataKey { stream: CATALOG, key: NewKey { key_id: u32::MAX, commitment: [7; 32] } },
            CatalogRecord::DataKey { stream: StreamId(9), key: NewKey { key_id: 1, commitment: [0; 32] } },
            CatalogRecord::Erased { stream: CATALOG },
            CatalogRecord::Erased { stream: StreamId(u32::MAX) },
        ] {
            let mut payload = Vec::new();
            record.encode(&mut payload);
            assert_eq!(CatalogRecord::decode(record.kind(), &payload), Some(Ok(record)));
        }
    }

    #[test]
    fn a_stream_id_lies_in_front_of_its_name_little_endian() {
        let mut payload = Vec::new();
        CatalogRecord::StreamCreated { stream: StreamId(0x0102_0304), name: "ab" }.encode(&mut payload);
        assert_eq!(payload, [4, 3, 2, 1, b'a', b'b']);
    }

    #[test]
    fn a_key_lies_as_the_format_says() {
        let mut payload = Vec::new();
        let key = NewKey { key_id: 0x0102_0304, commitment: [0xcc; 32] };
        CatalogRecord::DataKey { stream: StreamId(5), key }.encode(&mut payload);
        assert_eq!(payload[..8], [4, 3, 2, 1, 5, 0, 0, 0]);
        assert_eq!(payload[8..], [0xcc; 32]);
        payload.clear();
        CatalogRecord::Erased { stream: StreamId(5) }.encode(&mut payload);
        assert_eq!(payload, [5, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn hostile_payloads_are_named() {
        use CatalogFault::{Key, Length, Name, NotZero, Policy, Stream};
        use RecordKind::{DataKey, Erased, StreamCreated, StreamDeleted, TenantCreated, TenantDeleted, TenantPolicy};
        let long = [b'n'; NAME_BYTES_MAX + 1];
        for (kind, payload, fault) in [
            (TenantCreated, &b""[..], Length),
            (TenantCreated, &long, Length),
            (TenantCreated, b"\xff", Name),
            (StreamCreated, b"\x01\0\0", Length),
            (StreamCreated, b"\x01\0\0\0", Length),
            (StreamCreated, b"\x01\0\0\0\xff", Name),
            (StreamCreated, b"\0\0\0\0a", Stream),
            (StreamDeleted, b"\x01\0\0\0a", Length),
            (StreamDeleted, b"", Length),
            (StreamDeleted, b"\0\0\0\0", Stream),
            (TenantDeleted, b"a", Length),
            (TenantPolicy, b"", Length),
            (TenantPolicy, &[0; 17], Length),
            (TenantPolicy, &[0; 16], Policy),
            (DataKey, b"", Length),
            (DataKey, &[1; 39], Length),
            (DataKey, &[1; 41], Length),
            (DataKey, &[0; 40], Key),
            (Erased, b"\x01\0\0\0", Length),
            (Erased, &[0; 9], Length),
            (Erased, b"\x01\0\0\0\0\0\0\x01", NotZero),
        ] {
            assert_eq!(CatalogRecord::decode(kind, payload), Some(Err(fault)), "{kind:?} {payload:?}");
        }
        assert_eq!(CatalogRecord::decode(RecordKind::Data, b""), None);
    }
}
