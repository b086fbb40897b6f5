//! The one hash table: from (tenant, stream) to the stream's slot.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::ids::{StreamId, StreamSlot, TenantId};

/// Finds a stream's slot.
///
/// Slots are never taken away and never change, so the last one found can be remembered and is
/// never stale: the commands of a batch mostly mean the stream of the one before.
///
/// The hash is keyed at random, because tenant ids derive from names that come from outside. The
/// key decides only where entries lie; no order of the table ever leaves this module.
#[derive(Debug)]
pub(crate) struct StreamIndex {
    last: Option<Entry>,
    entries: HashTable<Entry>,
    hasher: RandomState,
}

/// 16 bytes, so four to a cache line; a map of (tenant, stream) to slot would pad them to 24.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tenant: TenantId,
    stream: StreamId,
    slot: StreamSlot,
}

impl Entry {
    fn is(&self, tenant: TenantId, stream: StreamId) -> bool {
        self.tenant == tenant && self.stream == stream
    }
}

impl StreamIndex {
    pub(crate) fn new() -> Self {
        Self { last: None, entries: HashTable::new(), hasher: RandomState::default() }
    }

    /// The stream's slot, remembered for the next call.
    #[inline]
    pub(crate) fn find(&mut self, tenant: TenantId, stream: StreamId) -> Option<StreamSlot> {
        match self.last {
            Some(last) if last.is(tenant, stream) => Some(last.slot),
            _ => {
                let found = *self.entry(tenant, stream)?;
                self.last = Some(found);
                Some(found.slot)
            }
        }
    }

    /// The stream's slot.
    pub(crate) fn get(&self, tenant: TenantId, stream: StreamId) -> Option<StreamSlot> {
        self.entry(tenant, stream).map(|entry| entry.slot)
    }

    /// Adds a stream that is not in the table.
    pub(crate) fn insert(&mut self, tenant: TenantId, stream: StreamId, slot: StreamSlot) {
        debug_assert!(self.get(tenant, stream).is_none(), "stream {stream} of tenant {tenant} has a slot");
        let hasher = &self.hasher;
        let hash = |entry: &Entry| hasher.hash_one((entry.tenant, entry.stream));
        let entry = Entry { tenant, stream, slot };
        self.entries.insert_unique(hash(&entry), entry, hash);
    }

    #[inline]
    fn entry(&self, tenant: TenantId, stream: StreamId) -> Option<&Entry> {
        let hash = self.hasher.hash_one((tenant, stream));
        self.entries.find(hash, |entry| entry.is(tenant, stream))
    }
}
