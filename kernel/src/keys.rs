//! Which data key seals what, and what is erased, as far as the log says it.
//!
//! The kernel knows a key by its number and its commitment. The key itself never comes here: whoever holds it seals with the key
//! that [`Kernel::seal_key`] names. What must stay true:
//!
//! - The numbers of a tenant's keys ascend, over its own and those of its streams; none is given twice.
//! - A stream that was created with a key of its own is sealed with no key of its tenant's, and the other way round.
//! - Where a lost record may have introduced the first key of a tenant, nothing is appended in the clear.
//! - What is erased stays erased, and its name and its end are still told.
//!
//! Not here: the destruction of a key, which is the key store's. The record of it says that data must not be served any more.

use std::fmt;

use crate::catalog::CatalogRecord;
use crate::effects::Reply;
use crate::ids::{CATALOG, StreamId, StreamSlot, TenantId};
use crate::kernel::{Kernel, Outcome, Seen, Turn};
use crate::refusal::Refusal;
use crate::replay::{Place, ReplayError};
use crate::tables::{Closed, Stream, Tenant};
use planted::Bug;

/// A data key that is to seal from here on, as the log is to name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Its number in the tenant, above those of all keys before; not 0, which means "not sealed".
    pub key_id: u32,
    /// What the key is checked against. It tells nothing of the key.
    pub commitment: [u8; NewKey::COMMITMENT_BYTES],
}

impl NewKey {
    /// Bytes of a commitment.
    pub const COMMITMENT_BYTES: usize = 32;
}

/// A data key that a catalog names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// The tenant.
    pub tenant: TenantId,
    /// The stream that was created with a key of its own; `None`: the key is the tenant's.
    pub stream: Option<StreamId>,
    /// Its number.
    pub key_id: u32,
    /// What the key is checked against.
    pub commitment: [u8; NewKey::COMMITMENT_BYTES],
    /// Whether it is, or is to be, destroyed.
    pub erased: bool,
}

/// How the records are kept that a tenant or a stream gets now. Displays as reports say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encryption {
    /// In the clear.
    None,
    /// Sealed with AES-256-GCM.
    Aes256Gcm {
        /// The number of the data key in the tenant.
        key_id: u32,
    },
    /// There will be none, and those that were there cannot be read.
    Erased,
}

impl Encryption {
    /// How it is kept whose newest key has this number (0: it never had one), unless it is erased.
    #[must_use]
    pub const fn new(erased: bool, key_id: u32) -> Self {
        match (erased, key_id) {
            (true, _) => Self::Erased,
            (false, 0) => Self::None,
            (false, key_id) => Self::Aes256Gcm { key_id },
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => f.write_str("none"),
            Self::Aes256Gcm { key_id } => write!(f, "aes-256-gcm, key {key_id}"),
            Self::Erased => f.write_str("erased"),
        }
    }
}

/// What a tenant keeps of one of its keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The stream whose own it is; [`CATALOG`] for the tenant's.
    pub(crate) stream: StreamId,
    pub(crate) commitment: [u8; NewKey::COMMITMENT_BYTES],
}

impl Kernel {
    /// The number of the key that seals the stream's next data records; 0 if they stay in the clear, as all of a catalog do.
    ///
    /// # Panics
    ///
    /// If this kernel did not give the slot.
    #[inline]
    #[must_use]
    pub fn seal_key(&self, slot: StreamSlot) -> u32 {
        let stream = self.tables.stream(slot);
        let rotated = self.tables.tenant(stream.tenant).key > 1;
        if stream.closed.has(Closed::CATALOG) || rotated && planted::is(Bug::ClearAfterRotation) {
            0
        } else if stream.own_key {
            self.tables.label(slot).key
        } else {
            self.tables.tenant(stream.tenant).key
        }
    }

    /// The position from which on the stream's data is sealed: a record in the clear there was not written by an engine. `u64::MAX`
    /// if it need not be.
    ///
    /// # Panics
    ///
    /// If this kernel did not give the slot.
    #[must_use]
    pub fn sealed_from(&self, slot: StreamSlot) -> u64 {
        let stream = self.tables.stream(slot);
        if stream.closed.has(Closed::CATALOG) {
            u64::MAX
        } else if stream.own_key {
            0
        } else {
            self.tables.tenant(stream.tenant).sealed_from
        }
    }

    /// Says which tenants have no key, whatever their catalogs lost: who opens a directory with a key store that knows none of a
    /// tenant, or without keys, says so. Otherwise a tenant whose catalog may have lost the record of its first key takes no appends,
    /// since they might be in the clear that must not be.
    pub fn vouch_unsealed(&mut self, is_unsealed: impl FnMut(TenantId) -> bool) {
        self.tables.vouch_unsealed(is_unsealed);
    }

    /// Every data key that a catalog names, by tenant and number: retired and erased ones too.
    pub fn keys(&self) -> impl Iterator<Item = KeyView> {
        self.tables.tenants_after(None).flat_map(|tenant| {
            tenant.keys.iter().map(|(&key_id, key)| {
                let stream = (key.stream != CATALOG).then_some(key.stream);
                let own = stream.and_then(|stream| tenant.streams.get(&stream));
                let erased =
                    tenant.erased || own.is_some_and(|&own| self.tables.stream(own).closed.has(Closed::ERASED));
                KeyView { tenant: tenant.id, stream, key_id, commitment: key.commitment, erased }
            })
        })
    }

    /// How a tenant's streams without a key of their own are kept.
    pub(crate) fn tenant_encryption(tenant: &Tenant) -> Encryption {
        Encryption::new(tenant.erased, tenant.key)
    }

    /// How a stream is kept.
    pub(crate) fn stream_encryption(&self, slot: StreamSlot) -> Encryption {
        Encryption::new(self.is_erased(self.tables.stream(slot)), self.seal_key(slot))
    }

    /// Whether a stream's data is erased. A catalog has none.
    pub(crate) fn is_erased(&self, stream: &Stream) -> bool {
        let erased = stream.closed.has(Closed::ERASED) || self.tables.tenant(stream.tenant).erased;
        erased && !stream.closed.has(Closed::CATALOG)
    }

    #[cold]
    pub(crate) fn introduce_key(
        &mut self,
        id: TenantId,
        stream: Option<StreamId>,
        key: NewKey,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        let tenant = self.writable_tenant(id)?;
        let owner = self.tables.tenant(tenant);
        let catalog = owner.catalog;
        let mut erased = owner.erased;
        if let Some(stream) = stream {
            let slot = self.readable(id, stream)?;
            let own = self.tables.stream(slot);
            erased |= own.closed.has(Closed::ERASED);
            if !own.own_key {
                return Err(Seen::stream(catalog, Refusal::StreamHasNoKey));
            }
        }
        if erased {
            return Err(Seen::stream(catalog, Refusal::Erased));
        }
        check_new(self.tables.tenant(tenant), key)?;
        let record = CatalogRecord::DataKey { stream: stream.unwrap_or(CATALOG), key };
        Ok(self.write(tenant, &record, turn, |timestamp| Reply::KeyIntroduced { timestamp }))
    }

    /// Deleted ones may be erased too: what is deleted is still in the log.
    #[cold]
    pub(crate) fn erase(&mut self, id: TenantId, stream: Option<StreamId>, turn: &mut Turn<'_>) -> Outcome {
        let tenant = self.intact_tenant(id)?;
        let owner = self.tables.tenant(tenant);
        let catalog = owner.catalog;
        let refused = |refusal| Err(Seen::stream(catalog, refusal));
        let erased = match stream {
            None if owner.key == 0 => return refused(Refusal::TenantHasNoKey),
            None => owner.erased,
            Some(stream) => {
                let Some(slot) = self.tables.index.get(id, stream) else {
                    return refused(Refusal::UnknownStream);
                };
                let own = self.tables.stream(slot);
                if !own.own_key {
                    return refused(Refusal::StreamHasNoKey);
                }
                self.is_erased(own)
            }
        };
        if erased {
            // An erasure that was interrupted is asked for again, and goes on from here.
            let timestamp = self.tables.stream(catalog).timestamp;
            return Ok(Seen::stream(catalog, Reply::Erased { timestamp }));
        }
        let record = CatalogRecord::Erased { stream: stream.unwrap_or(CATALOG) };
        Ok(self.write(tenant, &record, turn, |timestamp| Reply::Erased { timestamp }))
    }

    /// A number means one key for ever, and the numbers ascend.
    pub(crate) fn check_key(&self, place: Place, stream: StreamId, new: NewKey) -> Result<(), ReplayError> {
        let Some(tenant) = self.tables.tenant_slot(place.tenant) else { return Ok(()) };
        let owner = self.tables.tenant(tenant);
        let fits = match owner.keys.get(&new.key_id) {
            Some(known) => *known == Key { stream, commitment: new.commitment },
            None => new.key_id > owner.key_last(),
        };
        if fits { Ok(()) } else { Err(ReplayError::Rekeyed { place, key_id: new.key_id }) }
    }
}

/// Whether a tenant that is there can get a key.
pub(crate) fn check_new(tenant: &Tenant, key: NewKey) -> Result<(), Seen<Refusal>> {
    let last = tenant.key_last();
    if key.key_id > last {
        Ok(())
    } else {
        Err(Seen::stream(tenant.catalog, Refusal::KeyIdNotAscending { key_id: key.key_id, last }))
    }
}
