//! What tenants, streams and records are called.

use std::fmt;

use sha2::{Digest, Sha256};

/// What a tenant's name is hashed behind. The zero byte ends the domain, so that no name can
/// continue it.
const TENANT_DOMAIN: &[u8] = b"diatreme/tenant/v1\0";

/// A tenant's id, derived from its name. Displays as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u64);

impl TenantId {
    /// The id of the tenant called `name`: the first 8 bytes, little-endian, of
    /// SHA-256(`"diatreme/tenant/v1"` ‖ 0x00 ‖ name).
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let digest = Sha256::new().chain_update(TENANT_DOMAIN).chain_update(name).finalize();
        let mut head = [0; 8];
        head.copy_from_slice(&digest[..8]);
        Self(u64::from_le_bytes(head))
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A stream's id in its tenant. The tenant gives them from 1 up and never gives one twice; 0 is
/// its [`CATALOG`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// The stream of every tenant that records its own and its streams' creation and deletion, its policy, and its keys.
pub const CATALOG: StreamId = StreamId(0);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number that this kernel gave a (tenant, stream) when it first heard of it: dense from 0,
/// never given again, so that tables can be vectors.
///
/// It depends on the order in which streams became known. It is not written to the log and means
/// nothing to another kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamSlot(pub u32);

impl StreamSlot {
    /// The slot as an index into a table by slot.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a record says, numbered as in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A client's record.
    Data = 1,
    /// The tenant exists from here on: the first record of its catalog.
    TenantCreated = 2,
    /// A stream of the tenant exists from here on.
    StreamCreated = 3,
    /// A stream of the tenant is deleted.
    StreamDeleted = 4,
    /// The tenant is deleted.
    TenantDeleted = 5,
    /// The tenant has a policy of its own.
    TenantPolicy = 6,
    /// A data key seals from here on.
    DataKey = 7,
    /// The data of the tenant, or of a stream, is erased.
    Erased = 8,
}

impl TryFrom<u8> for RecordKind {
    type Error = UnknownKind;

    fn try_from(kind: u8) -> Result<Self, UnknownKind> {
        Ok(match kind {
            1 => Self::Data,
            2 => Self::TenantCreated,
            3 => Self::StreamCreated,
            4 => Self::StreamDeleted,
            5 => Self::TenantDeleted,
            6 => Self::TenantPolicy,
            7 => Self::DataKey,
            8 => Self::Erased,
            _ => return Err(UnknownKind(kind)),
        })
    }
}

/// The byte is no [`RecordKind`] that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKind(pub u8);

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record kind {} is not known: the log was written by a newer version; open it with that one", self.0)
    }
}

impl std::error::Error for UnknownKind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_ids_are_those_of_the_format() {
        // printf 'diatreme/tenant/v1\0acme' | sha256sum
        assert_eq!(TenantId::of_name("acme").to_string(), "c164dcd00b430377");
        assert_ne!(TenantId::of_name("acme"), TenantId::of_name("acme "));
    }

    #[test]
    fn kinds_keep_their_number() {
        for byte in 0..=u8::MAX {
            match RecordKind::try_from(byte) {
                Ok(kind) => assert_eq!(kind as u8, byte),
                Err(unknown) => assert!(unknown.0 == byte && !(1..=8).contains(&byte)),
            }
        }
    }
}
