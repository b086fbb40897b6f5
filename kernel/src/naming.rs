//! The commands that create, find and delete tenants and streams, and give tenants their policies.
//!
//! Each one validates first and then writes a record to the tenant's catalog; what the record
//! does to the state is done by [`Tables::change`](crate::tables::Tables::change), as in replay.

use crate::catalog::CatalogRecord;
use crate::durability::Durability;
use crate::effects::{Payload, RecordEffect, Reply};
use crate::ids::{CATALOG, StreamId, TenantId};
use crate::kernel::{Kernel, Outcome, Seen, Turn};
use crate::keys::{NewKey, check_new};
use crate::limits::NAME_BYTES_MAX;
use crate::refusal::Refusal;
use crate::tables::{Closed, Tenant, TenantSlot};

impl Kernel {
    #[cold]
    pub(crate) fn create_tenant(
        &mut self,
        id: TenantId,
        name: &str,
        key: Option<NewKey>,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        check_name(name)?;
        if let Some(known) = self.tables.tenant_slot(id) {
            let known = self.tables.tenant(known);
            let refusal = match known.name.as_deref() {
                Some(taken) if taken != name => Refusal::TenantNameCollision,
                // A deleted tenant keeps its name: the id derives from it, and under the id lie
                // the old history, its chains and the keys it was sealed with. A new tenant of
                // the name would go on with them.
                _ if known.deleted => Refusal::TenantDeleted,
                _ => Refusal::TenantExists,
            };
            return Err(Seen::stream(known.catalog, refusal));
        }
        let refusal = if self.tables.creation_frozen {
            Some(Refusal::Frozen)
        } else if self.tables.tenant_count() >= self.limits.tenants_max as usize {
            Some(Refusal::TooManyTenants { max: self.limits.tenants_max })
        } else if !self.tables.has_room(1, self.limits.streams_max) {
            Some(Refusal::TooManyStreams { max: self.limits.streams_max })
        } else if key.is_some_and(|key| key.key_id == 0) {
            Some(Refusal::KeyIdNotAscending { key_id: 0, last: 0 })
        } else {
            None
        };
        if let Some(answer) = refusal {
            return Err(Seen { slot: self.tables.tenant_newest, answer });
        }

        let tenant = self.tables.tenant_or_new(id);
        let record = CatalogRecord::TenantCreated { name };
        let created = self.write(tenant, &record, turn, |timestamp| Reply::TenantCreated { timestamp });
        self.write_key(tenant, CATALOG, key, turn);
        Ok(created)
    }

    #[cold]
    pub(crate) fn create_stream(
        &mut self,
        id: TenantId,
        name: &str,
        key: Option<NewKey>,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        check_name(name)?;
        let tenant = self.writable_tenant(id)?;
        let owner = self.tables.tenant(tenant);
        if owner.erased {
            return Err(Seen::stream(owner.catalog, Refusal::Erased));
        }
        if let Some(&slot) = owner.names.get(name) {
            let stream = self.tables.label(slot).id;
            return Err(Seen::stream(owner.catalog, Refusal::StreamExists { stream }));
        }
        let last = owner.stream_last();
        let max = if last.0 >= self.limits.streams_per_tenant_max {
            Some(self.limits.streams_per_tenant_max)
        } else if !self.tables.has_room(1, self.limits.streams_max) {
            Some(self.limits.streams_max)
        } else {
            None
        };
        if let Some(max) = max {
            return Err(Seen::stream(owner.catalog, Refusal::TooManyStreams { max }));
        }

        key.map_or(Ok(()), |key| check_new(owner, key))?;

        let stream = StreamId(last.0 + 1);
        let record = CatalogRecord::StreamCreated { stream, name };
        let created = self.write(tenant, &record, turn, |timestamp| Reply::StreamCreated { stream, timestamp });
        self.write_key(tenant, stream, key, turn);
        Ok(created)
    }

    #[cold]
    pub(crate) fn delete_stream(&mut self, id: TenantId, stream: StreamId, turn: &mut Turn<'_>) -> Outcome {
        let tenant = self.writable_tenant(id)?;
        self.readable(id, stream)?;
        if stream == CATALOG {
            return Err(Seen::stream(self.tables.tenant(tenant).catalog, Refusal::CatalogIsReadOnly));
        }
        Ok(self.write(tenant, &CatalogRecord::StreamDeleted { stream }, turn, |timestamp| Reply::Deleted { timestamp }))
    }

    #[cold]
    pub(crate) fn delete_tenant(&mut self, id: TenantId, turn: &mut Turn<'_>) -> Outcome {
        let tenant = self.writable_tenant(id)?;
        Ok(self.write(tenant, &CatalogRecord::TenantDeleted, turn, |timestamp| Reply::Deleted { timestamp }))
    }

    #[cold]
    pub(crate) fn set_durability(&mut self, id: TenantId, durability: Durability, turn: &mut Turn<'_>) -> Outcome {
        durability.check().map_err(|fault| Seen::nothing(Refusal::ImpossiblePolicy(fault)))?;
        let tenant = self.writable_tenant(id)?;
        let owner = self.tables.tenant(tenant);
        if owner.policy == Some(durability) {
            // Whoever says it at every start does not make the catalog grow.
            let timestamp = self.tables.stream(owner.catalog).timestamp;
            return Ok(Seen::stream(owner.catalog, Reply::DurabilitySet { timestamp }));
        }
        let record = CatalogRecord::TenantPolicy(durability);
        Ok(self.write(tenant, &record, turn, |timestamp| Reply::DurabilitySet { timestamp }))
    }

    #[cold]
    pub(crate) fn resolve(&self, id: TenantId, name: &str) -> Outcome {
        check_name(name)?;
        let tenant = self.tables.tenant(self.live_tenant(id)?);
        let Some(&slot) = tenant.names.get(name) else {
            return Err(Seen::stream(tenant.catalog, Refusal::UnknownStream));
        };
        let head = self.tables.stream(slot);
        // The reply saw the name in the catalog and the end in the stream. Positions run over all
        // of a tenant's streams, so they tell which of the two records is newer.
        let newer = head.position > self.tables.stream(tenant.catalog).position;
        let seen = if newer { slot } else { tenant.catalog };
        let reply = Reply::Resolved { stream: self.tables.label(slot).id, next: head.next };
        Ok(Seen::stream(seen, reply))
    }

    /// A tenant that is there.
    pub(crate) fn live_tenant(&self, id: TenantId) -> Result<TenantSlot, Seen<Refusal>> {
        let slot = self.tables.tenant_slot(id).ok_or(Seen::nothing(Refusal::UnknownTenant))?;
        let tenant = self.tables.tenant(slot);
        if tenant.deleted {
            return Err(Seen::stream(tenant.catalog, Refusal::TenantDeleted));
        }
        Ok(slot)
    }

    /// A tenant whose catalog takes records.
    pub(crate) fn writable_tenant(&self, id: TenantId) -> Result<TenantSlot, Seen<Refusal>> {
        self.live_tenant(id)?;
        self.intact_tenant(id)
    }

    /// A tenant, maybe a deleted one, of whose catalog nothing is lost.
    pub(crate) fn intact_tenant(&self, id: TenantId) -> Result<TenantSlot, Seen<Refusal>> {
        let slot = self.tables.tenant_slot(id).ok_or(Seen::nothing(Refusal::UnknownTenant))?;
        let Tenant { catalog, ref name, .. } = *self.tables.tenant(slot);
        // Without a name the catalog's first record is lost, and what else it said is not known.
        if name.is_none() || self.tables.stream(catalog).closed.has(Closed::FROZEN) {
            return Err(Seen::stream(catalog, Refusal::Frozen));
        }
        Ok(slot)
    }

    /// Writes the key that a creation comes with, behind the creation's record and in the same effects: a frame that has the one
    /// has the other, so that no crash leaves a tenant or a stream in the clear which was to be sealed.
    fn write_key(&mut self, tenant: TenantSlot, stream: StreamId, key: Option<NewKey>, turn: &mut Turn<'_>) {
        if let Some(key) = key {
            self.write(tenant, &CatalogRecord::DataKey { stream, key }, turn, |timestamp| Reply::KeyIntroduced {
                timestamp,
            });
        }
    }

    /// Writes a record to the tenant's catalog and does what it says.
    pub(crate) fn write(
        &mut self,
        tenant: TenantSlot,
        record: &CatalogRecord<'_>,
        turn: &mut Turn<'_>,
        reply: impl FnOnce(u64) -> Reply,
    ) -> Seen<Reply> {
        // A batch's scratch stays far below 4 GiB: names and pages are bounded.
        let start = turn.effects.scratch.len() as u32;
        record.encode(&mut turn.effects.scratch);
        let len = turn.effects.scratch.len() as u32 - start;

        let catalog = self.tables.tenant(tenant).catalog;
        let at = self.tables.extend(catalog, 1, turn.now);
        turn.effects.records.push(RecordEffect {
            request: turn.request,
            slot: catalog,
            kind: record.kind(),
            offset: at.offset,
            position: at.position,
            timestamp: at.timestamp,
            payload: Payload::Scratch { start, len },
        });
        self.tables.change(tenant, at, record);
        Seen::stream(catalog, reply(at.timestamp))
    }
}

fn check_name(name: &str) -> Result<(), Seen<Refusal>> {
    let refusal = match name.len() {
        0 => Refusal::EmptyName,
        1..=NAME_BYTES_MAX => return Ok(()),
        len => Refusal::NameTooLong { len: len as u64, max: NAME_BYTES_MAX as u64 },
    };
    Err(Seen::nothing(refusal))
}
