//! What can be asked of a kernel without a command: for the shard's own tables, for reports, and
//! to compare two states.

use blake3::Hasher;

use crate::durability::Durability;
use crate::ids::{StreamId, StreamSlot, TenantId};
use crate::kernel::Kernel;
use crate::tables::Closed;

/// What the state hash is for: no other use of BLAKE3 gives the same hash.
const STATE_DOMAIN: &str = "diatreme kernel state v1";

/// A stream, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamView<'a> {
    /// Its slot.
    pub slot: StreamSlot,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its id.
    pub stream: StreamId,
    /// Its name; `None` for a catalog, and if the record of its creation was not replayed.
    pub name: Option<&'a str>,
    /// The offset after its last record.
    pub next: u64,
    /// Position of its last record; 0 if it never had one.
    pub position: u64,
    /// Timestamp of its last record, nanoseconds since 1970; 0 if it never had one.
    pub timestamp: u64,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Whether it is damaged.
    pub frozen: bool,
}

impl Kernel {
    /// The stream's slot, if the stream is known.
    #[must_use]
    pub fn slot(&self, tenant: TenantId, stream: StreamId) -> Option<StreamSlot> {
        self.tables.index.get(tenant, stream)
    }

    /// How many slots were given: they are numbered from 0 to this.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.tables.slots()
    }

    /// The stream in a slot.
    ///
    /// # Panics
    ///
    /// If this kernel did not give the slot.
    #[must_use]
    pub fn stream(&self, slot: StreamSlot) -> StreamView<'_> {
        let head = self.tables.stream(slot);
        let label = self.tables.label(slot);
        StreamView {
            slot,
            tenant: self.tables.tenant(head.tenant).id,
            stream: label.id,
            name: label.name.as_deref(),
            next: head.next,
            position: head.position,
            timestamp: head.timestamp,
            deleted: head.closed.has(Closed::DELETED),
            frozen: head.closed.has(Closed::FROZEN),
        }
    }

    /// The policy that appends to the stream are under, if they ask for no higher level; and the catalog of its tenant.
    ///
    /// # Panics
    ///
    /// If this kernel did not give the slot.
    #[must_use]
    pub fn durability(&self, slot: StreamSlot) -> (Durability, StreamSlot) {
        let tenant = self.tables.tenant(self.tables.stream(slot).tenant);
        (self.tables.policy(tenant), tenant.catalog)
    }

    /// The policy of tenants that have none of their own, from now on. No record says it: it is the opening's.
    pub fn set_default_durability(&mut self, durability: Durability) {
        self.tables.set_default_policy(durability);
    }

    /// Takes no more appends to the stream, because the log found it damaged. If it is a catalog,
    /// nothing can be created or deleted in its tenant.
    ///
    /// # Panics
    ///
    /// If this kernel did not give the slot.
    pub fn freeze(&mut self, slot: StreamSlot) {
        self.tables.freeze(slot);
    }

    /// The BLAKE3 of everything that the log determines: the same log gives the same hash, in
    /// whichever order of streams it was replayed. It is compared within one build, and is in no file and no proof.
    ///
    /// Slots are left out, which depend on that order, and so is damage, which is what an opening
    /// found and not what a record said.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        let mut hash = Hasher::new_derive_key(STATE_DOMAIN);
        for tenant in self.tables.tenants_after(None) {
            hash.update(&tenant.id.0.to_le_bytes());
            hash_name(&mut hash, tenant.name.as_deref());
            hash.update(&[u8::from(tenant.deleted), u8::from(tenant.erased)]);
            hash.update(&(tenant.keys.len() as u64).to_le_bytes());
            for (key_id, key) in &tenant.keys {
                hash.update(&key_id.to_le_bytes());
                hash.update(&key.stream.0.to_le_bytes());
                hash.update(&key.commitment);
            }
            // A tenant without a policy of its own has the opening's, which no record says.
            hash.update(&tenant.policy.map_or([0; Durability::BYTES], Durability::encode));
            hash.update(&tenant.position_next.to_le_bytes());
            hash.update(&tenant.timestamp.to_le_bytes());
            // How many streams follow: it keeps the next tenant apart from a further stream.
            hash.update(&(tenant.streams.len() as u64).to_le_bytes());
            for &slot in tenant.streams.values() {
                let stream = self.stream(slot);
                hash.update(&stream.stream.0.to_le_bytes());
                hash_name(&mut hash, stream.name);
                let erased = self.tables.stream(slot).closed.has(Closed::ERASED);
                hash.update(&[u8::from(stream.deleted), u8::from(erased)]);
                hash.update(&stream.next.to_le_bytes());
                hash.update(&stream.position.to_le_bytes());
                hash.update(&stream.timestamp.to_le_bytes());
            }
        }
        hash.finalize().into()
    }
}

/// Length and bytes of a name; none counts as empty, which no name is.
fn hash_name(hash: &mut Hasher, name: Option<&str>) {
    let name = name.unwrap_or_default();
    hash.update(&(name.len() as u64).to_le_bytes());
    hash.update(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{CATALOG, Limits, RecordKind, ReplayedRecord, StreamSummary};

    fn hash(catalog: &[(RecordKind, &[u8])], end: StreamSummary) -> [u8; 32] {
        let mut kernel = Kernel::new(Limits::default());
        for (offset, &(kind, payload)) in (0..).zip(catalog) {
            let tenant = TenantId(1);
            let record =
                ReplayedRecord { tenant, stream: CATALOG, kind, offset, position: offset, timestamp: 0, payload };
            kernel.replay(&record).unwrap();
        }
        kernel.restore_stream(&end).unwrap();
        kernel.state_hash()
    }

    #[test]
    fn states_that_differ_in_anything_have_different_hashes() {
        use RecordKind::{DataKey, Erased, StreamCreated, StreamDeleted, TenantCreated, TenantDeleted, TenantPolicy};
        let key = |key_id: u8, stream: u8, byte: u8| [&[key_id, 0, 0, 0, stream, 0, 0, 0][..], &[byte; 32]].concat();
        let [second, own, other] = [key(2, 0, 7), key(1, 1, 7), key(1, 0, 8)];
        let end = StreamSummary { tenant: TenantId(1), stream: StreamId(1), next: 5, position: 9, timestamp: 7 };
        // The tenant's own end is the same in all, so that only the stream's can tell.
        let later = StreamSummary { tenant: TenantId(1), stream: StreamId(2), next: 1, position: 50, timestamp: 50 };
        let of_stream = |end: StreamSummary| {
            let mut kernel = Kernel::new(Limits::default());
            kernel.restore_stream(&end).unwrap();
            kernel.restore_stream(&later).unwrap();
            kernel.state_hash()
        };
        let created = (TenantCreated, &b"t"[..]);
        let stream = (StreamCreated, &b"\x01\0\0\0s"[..]);
        let hashes = [
            Kernel::new(Limits::default()).state_hash(),
            hash(&[], end),
            hash(&[created], end),
            hash(&[(TenantCreated, b"u")], end),
            hash(&[created, stream], end),
            hash(&[created, (StreamCreated, b"\x01\0\0\0t")], end),
            hash(&[created, stream, (StreamDeleted, b"\x01\0\0\0")], end),
            hash(&[created, stream, (TenantDeleted, b"")], end),
            hash(&[created, stream, (TenantPolicy, &Durability::Memory.encode())], end),
            hash(&[created, stream, (TenantPolicy, &Durability::BUFFERED.encode())], end),
            hash(&[created, stream, (DataKey, &key(1, 0, 7))], end),
            hash(&[created, stream, (DataKey, &second)], end),
            hash(&[created, stream, (DataKey, &own)], end),
            hash(&[created, stream, (DataKey, &other)], end),
            hash(&[created, stream, (Erased, &[0; 8])], end),
            hash(&[created, stream, (Erased, b"\x01\0\0\0\0\0\0\0")], end),
            of_stream(end),
            of_stream(StreamSummary { tenant: TenantId(2), ..end }),
            of_stream(StreamSummary { stream: StreamId(3), ..end }),
            of_stream(StreamSummary { next: 6, ..end }),
            of_stream(StreamSummary { position: 10, ..end }),
            of_stream(StreamSummary { timestamp: 8, ..end }),
        ];
        assert_eq!(HashSet::from(hashes).len(), hashes.len());
    }

    #[test]
    fn damage_is_no_part_of_the_state() {
        let mut kernel = Kernel::new(Limits::default());
        let end = StreamSummary { tenant: TenantId(1), stream: StreamId(1), next: 5, position: 9, timestamp: 7 };
        let slot = kernel.restore_stream(&end).unwrap();
        let before = kernel.state_hash();
        kernel.freeze(slot);
        assert!(kernel.stream(slot).frozen);
        assert_eq!(kernel.state_hash(), before);
    }
}
