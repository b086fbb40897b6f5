//! From the log back to the state.
//!
//! Records are applied unconditionally: what is in the log was validated when it was written. An
//! order is needed only within a stream; between streams and tenants, any will do, and a record
//! or a summary that comes again changes nothing. That makes it safe to start from a summary that
//! is newer than some of the records that follow.
//!
//! A catalog record does what it says even if the catalog's end is past it already, because a
//! summary moves the end and says no names.

use std::fmt;

use crate::catalog::{CatalogFault, CatalogRecord};
use crate::ids::{CATALOG, RecordKind, StreamId, StreamSlot, TenantId};
use crate::kernel::Kernel;
use crate::tables::{Extent, Tables};
use planted::Bug;

/// Offsets and positions of the log stay below this, so that counting on from them never
/// overflows: at 10^9 records a second half of 64 bits lasts 292 years.
const NUMBER_END: u64 = 1 << 63;

/// One record as it stands in the log.
#[derive(Clone, Copy, Debug)]
pub struct ReplayedRecord<'a> {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its stream.
    pub stream: StreamId,
    /// What it says.
    pub kind: RecordKind,
    /// Its offset in the stream.
    pub offset: u64,
    /// Its number in the tenant.
    pub position: u64,
    /// Nanoseconds since 1970.
    pub timestamp: u64,
    /// Its payload in the clear. Of a data record the kernel looks at none of it.
    pub payload: &'a [u8],
}

/// Where a stream ended at some time, as the footer of a segment tells it.
#[derive(Clone, Copy, Debug)]
pub struct StreamSummary {
    /// The tenant.
    pub tenant: TenantId,
    /// The stream.
    pub stream: StreamId,
    /// The offset after its last record.
    pub next: u64,
    /// Position of its last record.
    pub position: u64,
    /// Timestamp of its last record.
    pub timestamp: u64,
}

impl Kernel {
    /// Takes a record that is in the log.
    ///
    /// A data record of a stream that is not known yet makes the stream known without a name,
    /// until the record of its creation comes. If none comes, it was lost: the stream can be read
    /// by its id, is listed with an empty name, and takes no appends ([`Refusal::Frozen`]),
    /// because it may have been deleted as well.
    ///
    /// A gap in a stream's offsets is taken as it is. Whether records are missing is for the log
    /// to say, which then has the stream [frozen](Self::freeze).
    ///
    /// # Errors
    ///
    /// [`ReplayError`] if no kernel can have written the record. Nothing is changed then.
    ///
    /// [`Refusal::Frozen`]: crate::Refusal::Frozen
    pub fn replay(&mut self, record: &ReplayedRecord<'_>) -> Result<StreamSlot, ReplayError> {
        let ReplayedRecord { tenant, stream, offset, position, timestamp, .. } = *record;
        let last = Extent { offset, position, timestamp };
        let place = Place { tenant, stream, offset };
        let change = record.change(place)?;
        self.check_order(place, last)?;
        if let Some(change) = &change {
            self.check_change(place, change)?;
        }
        // The tenant's catalog, the stream, and the stream that a catalog record names.
        self.check_room(place, 3)?;

        let owner = self.tables.tenant_or_new(tenant);
        let slot = self.tables.stream_or_new(owner, stream);
        let forgotten = record.kind == RecordKind::Erased && planted::is(Bug::ErasureNotReplayed);
        if let Some(change) = change.filter(|_| !forgotten) {
            self.tables.change(owner, last, &change);
        }
        self.tables.advance(slot, last);
        Ok(slot)
    }

    /// Takes a stream's end from a footer, in place of the records before it. An older end than
    /// the one known changes nothing. A stream that is not known yet becomes known without a
    /// name, as in [`replay`](Self::replay); the records of catalogs must be replayed all the
    /// same.
    ///
    /// # Errors
    ///
    /// [`ReplayError`] if no kernel can have written the stream. Nothing is changed then.
    pub fn restore_stream(&mut self, summary: &StreamSummary) -> Result<StreamSlot, ReplayError> {
        let StreamSummary { tenant, stream, next, position, timestamp } = *summary;
        let last = next.checked_sub(1).map(|offset| Extent { offset, position, timestamp });
        let place = Place { tenant, stream, offset: last.map_or(0, |last| last.offset) };
        if let Some(last) = last {
            self.check_order(place, last)?;
        }
        self.check_room(place, 2)?;

        let owner = self.tables.tenant_or_new(tenant);
        let slot = self.tables.stream_or_new(owner, stream);
        if let Some(last) = last {
            self.tables.advance(slot, last);
        }
        Ok(slot)
    }

    /// From now on no tenant can be created: records were lost, and nothing tells whether they created it.
    pub fn freeze_creation(&mut self) {
        self.tables.creation_frozen = true;
    }

    /// Law 3: within a stream positions ascend and timestamps do not go back.
    fn check_order(&self, place: Place, record: Extent) -> Result<(), ReplayError> {
        let Extent { offset, position, timestamp } = record;
        if offset >= NUMBER_END || position >= NUMBER_END {
            return Err(ReplayError::NumberTooLarge { place, position });
        }
        let Some(slot) = self.tables.index.get(place.tenant, place.stream) else {
            return Ok(());
        };
        let last = self.tables.stream(slot);
        let new = last.next > 0 && offset >= last.next;
        if new && (position <= last.position || timestamp < last.timestamp) {
            return Err(ReplayError::OutOfOrder { place, position, timestamp });
        }
        Ok(())
    }

    /// A name, once given, stays; so does a key's number.
    fn check_change(&self, place: Place, change: &CatalogRecord<'_>) -> Result<(), ReplayError> {
        let (known, name) = match *change {
            CatalogRecord::TenantCreated { name } => {
                let tenant = self.tables.tenant_slot(place.tenant);
                (tenant.and_then(|tenant| self.tables.tenant(tenant).name.as_deref()), name)
            }
            CatalogRecord::StreamCreated { stream, name } => {
                let slot = self.tables.index.get(place.tenant, stream);
                (slot.and_then(|slot| self.tables.label(slot).name.as_deref()), name)
            }
            CatalogRecord::DataKey { stream, key } => return self.check_key(place, stream, key),
            CatalogRecord::StreamDeleted { .. }
            | CatalogRecord::TenantDeleted
            | CatalogRecord::TenantPolicy(_)
            | CatalogRecord::Erased { .. } => return Ok(()),
        };
        if known.is_some_and(|known| known != name) {
            return Err(ReplayError::Renamed { place });
        }
        Ok(())
    }

    fn check_room(&self, place: Place, slots: usize) -> Result<(), ReplayError> {
        if self.tables.has_room(slots, Tables::SLOTS_MAX) {
            Ok(())
        } else {
            Err(ReplayError::TooManyStreams { place, max: Tables::SLOTS_MAX })
        }
    }
}

impl<'a> ReplayedRecord<'a> {
    /// What the record says if it is a catalog's, checked against where it stands.
    fn change(&self, place: Place) -> Result<Option<CatalogRecord<'a>>, ReplayError> {
        let kind = self.kind;
        let change = CatalogRecord::decode(kind, self.payload);
        // A tenant's very first record, and no other, says that it was created.
        let first = kind == RecordKind::TenantCreated;
        let at_start = self.offset == 0 && self.position == 0;
        if change.is_some() != (self.stream == CATALOG) || first != at_start {
            return Err(ReplayError::Misplaced { place, kind });
        }
        change.transpose().map_err(|fault| ReplayError::Payload { place, kind, fault })
    }
}

/// Where in a tenant a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The tenant.
    pub tenant: TenantId,
    /// The stream.
    pub stream: StreamId,
    /// The offset.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {} stream {} offset {}", self.tenant, self.stream, self.offset)
    }
}

/// The log holds what no kernel can have written. Its checksums passed, so this is a fault of the
/// engine that wrote it, or forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// The kind does not belong into this stream or at this offset.
    Misplaced {
        /// The record.
        place: Place,
        /// Its kind.
        kind: RecordKind,
    },
    /// The payload of a catalog record cannot be read.
    Payload {
        /// The record.
        place: Place,
        /// Its kind.
        kind: RecordKind,
        /// What is wrong with the payload.
        fault: CatalogFault,
    },
    /// A tenant or a stream that has a name is given another.
    Renamed {
        /// The record.
        place: Place,
    },
    /// A key is given a number that another has, or that is below another's.
    Rekeyed {
        /// The record.
        place: Place,
        /// The number.
        key_id: u32,
    },
    /// The position does not ascend, or the timestamp goes back.
    OutOfOrder {
        /// The record.
        place: Place,
        /// Its position.
        position: u64,
        /// Its timestamp.
        timestamp: u64,
    },
    /// The offset or the position is 2^63 or more.
    NumberTooLarge {
        /// The record.
        place: Place,
        /// Its position.
        position: u64,
    },
    /// There are more streams than slots.
    TooManyStreams {
        /// The record.
        place: Place,
        /// Slots.
        max: u32,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = "run `diatreme verify`";
        match *self {
            Self::Misplaced { place, kind } => {
                write!(f, "{place}: a record of kind {kind:?} cannot stand here; {advice}")
            }
            Self::Payload { place, kind, fault } => {
                write!(f, "{place}: {kind:?}: {fault}; {advice}")
            }
            Self::Renamed { place } => {
                write!(f, "{place}: gives another name to what has one; {advice}")
            }
            Self::Rekeyed { place, key_id } => {
                write!(
                    f,
                    "{place}: gives a key the number {key_id}, which another has or which is below another's; {advice}"
                )
            }
            Self::OutOfOrder { place, position, timestamp } => {
                write!(f, "{place}: position {position} or timestamp {timestamp} goes back in the stream; {advice}")
            }
            Self::NumberTooLarge { place, position } => {
                write!(f, "{place}: offset or position {position} is 2^63 or more; {advice}")
            }
            Self::TooManyStreams { place, max } => {
                write!(f, "{place}: more than {max} streams in one shard; open the directory with more shards")
            }
        }
    }
}

impl std::error::Error for ReplayError {}

#[cfg(test)]
mod tests;
