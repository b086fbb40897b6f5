//! What the kernel knows of tenants and streams, and the only functions that change it.
//!
//! Commands and replay both end here, so a record does the same to the state on the day it is
//! written and on the day it is read back. What must stay true:
//!
//! - A slot, once given, belongs to its stream for ever; so does an index into `tenants`.
//! - Every tenant has a catalog slot from the moment it is known.
//! - Nothing here depends on the order in which streams became known, except the slots.

use std::collections::BTreeMap;

use crate::catalog::CatalogRecord;
use crate::durability::{Durability, Level};
use crate::ids::{CATALOG, StreamId, StreamSlot, TenantId};
use crate::index::StreamIndex;
use crate::keys::{Key, NewKey};
use planted::Bug;

/// A tenant's place in [`Tables::tenants`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TenantSlot(u32);

/// What appending touches of a stream: 32 bytes, two to a cache line. The rest is in [`Label`].
#[derive(Debug)]
pub(crate) struct Stream {
    /// The offset after the last record.
    pub(crate) next: u64,
    /// Position of the last record; 0 if there is none.
    pub(crate) position: u64,
    /// Timestamp of the last record; 0 if there is none.
    pub(crate) timestamp: u64,
    pub(crate) tenant: TenantSlot,
    pub(crate) closed: Closed,
    /// It was created with a key of its own: [`Label::key`] seals it, not the tenant's.
    pub(crate) own_key: bool,
}

const _: () = assert!(size_of::<Stream>() == 32);

/// Why a stream takes no appends: a set of reasons, in one byte, so that the hot path asks for all
/// of them with one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed(u8);

impl Closed {
    /// It takes appends.
    pub(crate) const OPEN: Self = Self(0);
    /// It is a catalog.
    pub(crate) const CATALOG: Self = Self(1);
    /// Its creation was not seen: not replayed yet, or lost.
    pub(crate) const UNNAMED: Self = Self(2);
    /// It is deleted.
    pub(crate) const DELETED: Self = Self(4);
    /// It is damaged.
    pub(crate) const FROZEN: Self = Self(8);
    /// It is erased, and not its whole tenant.
    pub(crate) const ERASED: Self = Self(16);

    pub(crate) const fn has(self, reason: Self) -> bool {
        self.0 & reason.0 != 0
    }

    const fn add(&mut self, reason: Self) {
        self.0 |= reason.0;
    }

    const fn remove(&mut self, reason: Self) {
        self.0 &= !reason.0;
    }
}

/// What only catalog commands and reports need of a stream.
#[derive(Debug)]
pub(crate) struct Label {
    pub(crate) id: StreamId,
    /// `None` for a catalog, and as long as the creation was not seen.
    pub(crate) name: Option<Box<str>>,
    /// The newest key of its own; 0 if it has none.
    pub(crate) key: u32,
}

#[derive(Debug)]
pub(crate) struct Tenant {
    /// The position of its next record.
    pub(crate) position_next: u64,
    /// The highest timestamp of its records.
    pub(crate) timestamp: u64,
    pub(crate) catalog: StreamSlot,
    /// The key that seals the data of its streams without one of their own; 0 if it has none.
    pub(crate) key: u32,
    /// Position of the record that introduces the first such key; `u64::MAX` if there is none.
    pub(crate) sealed_from: u64,
    /// None of its streams takes appends, for a reason that is not theirs: one look for the hot path.
    pub(crate) shut: bool,
    pub(crate) deleted: bool,
    pub(crate) erased: bool,
    /// Its policy is [`Durability::NATURAL`], as nearly every tenant's: one look tells the hot path.
    pub(crate) natural: bool,
    pub(crate) id: TenantId,
    /// `None` as long as the creation was not seen.
    pub(crate) name: Option<Box<str>>,
    /// All its streams, the catalog and the deleted ones too.
    pub(crate) streams: BTreeMap<StreamId, StreamSlot>,
    /// Its streams that are not deleted, by name.
    pub(crate) names: BTreeMap<Box<str>, StreamSlot>,
    /// Its policy, if it has one of its own.
    pub(crate) policy: Option<Durability>,
    /// The offset in its catalog of the record that says so.
    policy_offset: u64,
    /// Every key that its catalog names, by number.
    pub(crate) keys: BTreeMap<u32, Key>,
    /// Its catalog lost records: it is under [`Level::Strict`] at the least, and sealed or not appended to.
    doubtful: bool,
    /// Somebody who knows every key knows none of it.
    vouched: bool,
}

impl Tenant {
    /// The highest id of a stream, which no later stream gets.
    pub(crate) fn stream_last(&self) -> StreamId {
        self.streams.last_key_value().map_or(CATALOG, |(&id, _)| id)
    }

    /// The highest number of a key; 0 if there is none.
    pub(crate) fn key_last(&self) -> u32 {
        self.keys.last_key_value().map_or(0, |(&key_id, _)| key_id)
    }

    /// Whether what was just changed shuts it. The record that introduces its first key may be among those that its catalog
    /// lost, as may be that of its creation with the key that it came with: then appends would be in the clear that must not be.
    fn decide(&mut self) {
        let unsure = (self.doubtful || self.name.is_none()) && !self.vouched;
        self.shut = self.deleted || self.erased || unsure && self.key == 0;
    }
}

/// The numbers of one or more records that follow each other in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset in the stream.
    pub offset: u64,
    /// Number in the tenant, over all streams.
    pub position: u64,
    /// Nanoseconds since 1970.
    pub timestamp: u64,
}

#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) index: StreamIndex,
    streams: Vec<Stream>,
    labels: Vec<Label>,
    tenants: Vec<Tenant>,
    tenant_slots: BTreeMap<TenantId, TenantSlot>,
    /// The catalog of the tenant that was created or deleted last: what a list of tenants saw.
    pub(crate) tenant_newest: Option<StreamSlot>,
    /// A tenant that is not known may have been there all the same.
    pub(crate) creation_frozen: bool,
    default_policy: Durability,
}

impl Tables {
    /// Slots at most: they are 32 bits wide.
    pub(crate) const SLOTS_MAX: u32 = u32::MAX;

    pub(crate) fn new() -> Self {
        Self {
            index: StreamIndex::new(),
            streams: Vec::new(),
            labels: Vec::new(),
            tenants: Vec::new(),
            tenant_slots: BTreeMap::new(),
            tenant_newest: None,
            creation_frozen: false,
            default_policy: Durability::NATURAL,
        }
    }

    #[inline]
    pub(crate) fn stream(&self, slot: StreamSlot) -> &Stream {
        &self.streams[slot.index()]
    }

    pub(crate) fn label(&self, slot: StreamSlot) -> &Label {
        &self.labels[slot.index()]
    }

    #[inline]
    pub(crate) fn tenant(&self, tenant: TenantSlot) -> &Tenant {
        &self.tenants[tenant.0 as usize]
    }

    pub(crate) fn tenant_slot(&self, tenant: TenantId) -> Option<TenantSlot> {
        self.tenant_slots.get(&tenant).copied()
    }

    /// The tenants with an id above `after`, in ascending order.
    pub(crate) fn tenants_after(&self, after: Option<TenantId>) -> impl Iterator<Item = &Tenant> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.tenant_slots.range((from, Unbounded)).map(|(_, &tenant)| self.tenant(tenant))
    }

    pub(crate) fn slots(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn tenant_count(&self) -> usize {
        self.tenants.len()
    }

    /// Whether `more` slots can be given, if there may be `max` in all.
    pub(crate) fn has_room(&self, more: usize, max: u32) -> bool {
        self.streams.len() + more <= max as usize
    }

    /// The tenant's place; a new one, unnamed, if it was not known.
    pub(crate) fn tenant_or_new(&mut self, id: TenantId) -> TenantSlot {
        if let Some(known) = self.tenant_slot(id) {
            return known;
        }
        let tenant = TenantSlot(self.tenants.len() as u32);
        let catalog = self.add_stream(id, tenant, CATALOG);
        self.tenants.push(Tenant {
            position_next: 0,
            timestamp: 0,
            catalog,
            key: 0,
            sealed_from: u64::MAX,
            shut: true,
            deleted: false,
            erased: false,
            natural: self.default_policy == Durability::NATURAL,
            id,
            name: None,
            streams: BTreeMap::from([(CATALOG, catalog)]),
            names: BTreeMap::new(),
            policy: None,
            policy_offset: 0,
            keys: BTreeMap::new(),
            doubtful: false,
            vouched: false,
        });
        self.tenant_slots.insert(id, tenant);
        tenant
    }

    /// The stream's slot; a new one, unnamed, if it was not known.
    pub(crate) fn stream_or_new(&mut self, tenant: TenantSlot, stream: StreamId) -> StreamSlot {
        let id = self.tenant(tenant).id;
        if let Some(known) = self.index.find(id, stream) {
            return known;
        }
        let slot = self.add_stream(id, tenant, stream);
        self.tenants[tenant.0 as usize].streams.insert(stream, slot);
        slot
    }

    fn add_stream(&mut self, id: TenantId, tenant: TenantSlot, stream: StreamId) -> StreamSlot {
        assert!(self.has_room(1, Self::SLOTS_MAX), "a stream was added without asking for room");
        let slot = StreamSlot(self.streams.len() as u32);
        let closed = if stream == CATALOG { Closed::CATALOG } else { Closed::UNNAMED };
        self.streams.push(Stream { next: 0, position: 0, timestamp: 0, tenant, closed, own_key: false });
        self.labels.push(Label { id: stream, name: None, key: 0 });
        self.index.insert(id, stream, slot);
        slot
    }

    /// Numbers `count` (one or more) new records of a stream at time `now` and counts them in.
    /// Gives the numbers of the first; in the others offset and position go up by one, the
    /// timestamp is the same.
    #[inline]
    pub(crate) fn extend(&mut self, slot: StreamSlot, count: u32, now: u64) -> Extent {
        debug_assert!(count > 0);
        let stream = &mut self.streams[slot.index()];
        let tenant = &mut self.tenants[stream.tenant.0 as usize];
        let mut first =
            Extent { offset: stream.next, position: tenant.position_next, timestamp: now.max(tenant.timestamp) };
        if planted::is(Bug::TimeGoesBack) {
            first.timestamp = now;
        }
        // Neither wraps: replay takes numbers below 2^63 only, and no clock counts that many more.
        tenant.position_next += u64::from(count);
        tenant.timestamp = first.timestamp;
        stream.next += u64::from(count);
        stream.position = tenant.position_next - 1;
        stream.timestamp = first.timestamp;
        first
    }

    /// Moves the ends of a stream and its tenant to a record that is in the log. An older record
    /// than the last changes nothing.
    pub(crate) fn advance(&mut self, slot: StreamSlot, last: Extent) {
        let stream = &mut self.streams[slot.index()];
        let tenant = &mut self.tenants[stream.tenant.0 as usize];
        let after = if planted::is(Bug::PositionGivenAgain) { last.position } else { last.position + 1 };
        tenant.position_next = tenant.position_next.max(after);
        tenant.timestamp = tenant.timestamp.max(last.timestamp);
        if last.offset >= stream.next {
            stream.next = last.offset + 1;
            stream.position = last.position;
            stream.timestamp = last.timestamp;
        }
    }

    /// Does what the catalog's record with these numbers says. Doing it again changes nothing.
    pub(crate) fn change(&mut self, tenant: TenantSlot, at: Extent, record: &CatalogRecord<'_>) {
        let offset = at.offset;
        match *record {
            CatalogRecord::TenantCreated { name } => {
                let owner = &mut self.tenants[tenant.0 as usize];
                owner.name.get_or_insert_with(|| name.into());
                owner.decide();
                self.tenant_newest = Some(owner.catalog);
            }
            CatalogRecord::StreamCreated { stream, name } => self.name_stream(tenant, stream, name),
            CatalogRecord::StreamDeleted { stream } => self.delete_stream(tenant, stream),
            CatalogRecord::TenantDeleted => {
                let owner = &mut self.tenants[tenant.0 as usize];
                owner.deleted = true;
                owner.decide();
                self.tenant_newest = Some(owner.catalog);
            }
            CatalogRecord::TenantPolicy(durability) => {
                let owner = &mut self.tenants[tenant.0 as usize];
                if owner.policy.is_none() || offset >= owner.policy_offset {
                    owner.policy = Some(durability);
                    owner.policy_offset = offset;
                    owner.natural = durability == Durability::NATURAL && !owner.doubtful;
                }
            }
            CatalogRecord::DataKey { stream, key } => self.introduce_key(tenant, stream, key, at.position),
            CatalogRecord::Erased { stream } => self.erase(tenant, stream),
        }
    }

    /// The policy that a tenant is under.
    pub(crate) fn policy(&self, tenant: &Tenant) -> Durability {
        let policy = tenant.policy.unwrap_or(self.default_policy);
        // The record that says otherwise may be among those that its catalog lost.
        if tenant.doubtful && policy.level() < Level::Strict { Durability::NATURAL } else { policy }
    }

    /// The policy of tenants that have none of their own.
    pub(crate) fn set_default_policy(&mut self, durability: Durability) {
        self.default_policy = durability;
        for at in 0..self.tenants.len() {
            self.tenants[at].natural = self.policy(&self.tenants[at]) == Durability::NATURAL;
        }
    }

    fn name_stream(&mut self, tenant: TenantSlot, id: StreamId, name: &str) {
        let slot = self.stream_or_new(tenant, id);
        let label = &mut self.labels[slot.index()];
        if label.name.is_some() {
            return;
        }
        label.name = Some(name.into());
        let closed = &mut self.streams[slot.index()].closed;
        closed.remove(Closed::UNNAMED);
        if closed.has(Closed::DELETED) {
            return;
        }
        // Another stream has the name only if the record of its deletion is lost. It is the older
        // one, since a catalog is replayed in order, and the name means the newer.
        self.tenants[tenant.0 as usize].names.insert(name.into(), slot);
    }

    fn delete_stream(&mut self, tenant: TenantSlot, id: StreamId) {
        let slot = self.stream_or_new(tenant, id);
        self.streams[slot.index()].closed.add(Closed::DELETED);
        if let Some(name) = &self.labels[slot.index()].name {
            let names = &mut self.tenants[tenant.0 as usize].names;
            if names.get(name) == Some(&slot) {
                names.remove(name);
            }
        }
    }

    /// Of two keys the one with the higher number seals, whichever comes last.
    fn introduce_key(&mut self, tenant: TenantSlot, stream: StreamId, new: NewKey, position: u64) {
        let NewKey { key_id, commitment } = new;
        if stream != CATALOG {
            let slot = self.stream_or_new(tenant, stream);
            let label = &mut self.labels[slot.index()];
            label.key = label.key.max(key_id);
            self.streams[slot.index()].own_key = true;
        }
        let owner = &mut self.tenants[tenant.0 as usize];
        owner.keys.insert(key_id, Key { stream, commitment });
        if stream == CATALOG {
            owner.key = owner.key.max(key_id);
            owner.sealed_from = owner.sealed_from.min(position);
            owner.decide();
        }
    }

    fn erase(&mut self, tenant: TenantSlot, stream: StreamId) {
        if stream == CATALOG {
            let owner = &mut self.tenants[tenant.0 as usize];
            owner.erased = true;
            owner.decide();
        } else {
            let slot = self.stream_or_new(tenant, stream);
            self.streams[slot.index()].closed.add(Closed::ERASED);
        }
    }

    /// Takes it that the tenants of which `is_unsealed` says so have no key, whatever their catalogs lost.
    pub(crate) fn vouch_unsealed(&mut self, mut is_unsealed: impl FnMut(TenantId) -> bool) {
        for owner in &mut self.tenants {
            owner.vouched = is_unsealed(owner.id);
            owner.decide();
        }
    }

    pub(crate) fn freeze(&mut self, slot: StreamSlot) {
        let stream = &mut self.streams[slot.index()];
        stream.closed.add(Closed::FROZEN);
        let owner = stream.tenant.0 as usize;
        if self.tenants[owner].catalog == slot {
            self.tenants[owner].doubtful = true;
            self.tenants[owner].decide();
            self.tenants[owner].natural = self.policy(&self.tenants[owner]) == Durability::NATURAL;
        }
    }
}
