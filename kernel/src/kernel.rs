//! The kernel itself, and the commands of the hot path.

use crate::command::Command;
use crate::durability::Level;
use crate::effects::{Effects, Payload, RecordEffect, Reply, ReplyEffect};
use crate::ids::{RecordKind, StreamId, StreamSlot, TenantId};
use crate::limits::Limits;
use crate::records::Records;
use crate::refusal::Refusal;
use crate::tables::{Closed, Extent, Tables};
use planted::Bug;

/// The state machine of one shard: its tenants and their streams.
///
/// Commands go through [`apply`](Self::apply), which answers them and says what to log; what the
/// log holds comes back through [`replay`](Self::replay).
#[derive(Debug)]
pub struct Kernel {
    pub(crate) limits: Limits,
    pub(crate) tables: Tables,
}

/// What a command comes to.
pub(crate) type Outcome = Result<Seen<Reply>, Seen<Refusal>>;

/// An answer, and the stream whose newest record it could have seen: as [`ReplyEffect::slot`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// The stream.
    pub slot: Option<StreamSlot>,
    /// The answer.
    pub answer: T,
}

/// An append that can be accepted, and nothing was changed for it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The stream.
    pub slot: StreamSlot,
    /// Strict with natural group commit, which asks for nothing special; of all others
    /// [`Kernel::durability`] tells the policy.
    pub natural: bool,
}

/// An append that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The stream.
    pub slot: StreamSlot,
    /// The numbers of the first record. In the others offset and position go up by one, the timestamp is the same.
    pub first: Extent,
}

impl<T> Seen<T> {
    /// An answer that follows from no record.
    pub(crate) const fn nothing(answer: T) -> Self {
        Self { slot: None, answer }
    }

    pub(crate) const fn stream(slot: StreamSlot, answer: T) -> Self {
        Self { slot: Some(slot), answer }
    }
}

/// What every command is applied with.
pub(crate) struct Turn<'e> {
    pub(crate) request: u32,
    pub(crate) now: u64,
    pub(crate) effects: &'e mut Effects,
}

impl Kernel {
    /// A kernel that knows no tenant.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, tables: Tables::new() }
    }

    /// Applies one command: adds one reply to `effects`, and the records to log.
    ///
    /// `request` is the caller's number for the command and comes back in its effects. `now` is
    /// in nanoseconds since 1970; it may go back, timestamps do not. The caller logs the records
    /// in the order of the effects.
    pub fn apply(&mut self, request: u32, command: &Command<'_>, now: u64, effects: &mut Effects) {
        let mut turn = Turn { request, now, effects };
        let outcome = match *command {
            Command::Append { tenant, stream, expected, ref records } => {
                let appended = self.append(tenant, stream, expected, None, records, now);
                appended.map(|appended| appended.tell(records, &mut turn))
            }
            Command::Head { tenant, stream } => self.head(tenant, stream),
            Command::Read { tenant, stream, from, records_max, bytes_max } => {
                self.read(tenant, stream, from, (records_max, bytes_max))
            }
            Command::Resolve { tenant, name } => self.resolve(tenant, name),
            Command::CreateTenant { tenant, name, key } => self.create_tenant(tenant, name, key, &mut turn),
            Command::CreateStream { tenant, name, key } => self.create_stream(tenant, name, key, &mut turn),
            Command::SetDurability { tenant, durability } => self.set_durability(tenant, durability, &mut turn),
            Command::IntroduceKey { tenant, stream, key } => self.introduce_key(tenant, stream, key, &mut turn),
            Command::Erase { tenant, stream } => self.erase(tenant, stream, &mut turn),
            Command::DeleteStream { tenant, stream } => self.delete_stream(tenant, stream, &mut turn),
            Command::DeleteTenant { tenant } => self.delete_tenant(tenant, &mut turn),
            Command::ListTenants { after, bytes_max } => self.list_tenants(after, bytes_max, effects),
            Command::ListStreams { tenant, after, bytes_max } => self.list_streams(tenant, after, bytes_max, effects),
        };
        let (slot, outcome) = match outcome {
            Ok(Seen { slot, answer }) => (slot, Ok(answer)),
            Err(Seen { slot, answer }) => (slot, Err(answer)),
        };
        effects.replies.push(ReplyEffect { request, slot, outcome });
    }

    /// Applies a command that goes by its tenant's name, as [`apply`](Self::apply) does: refused if the id is that of a tenant
    /// with another name. Commands that go by ids alone need no name: whoever has a stream's id got it by such a command.
    pub fn apply_named(
        &mut self,
        request: u32,
        (name, tenant): (&str, TenantId),
        command: &Command<'_>,
        now: u64,
        effects: &mut Effects,
    ) {
        let known = self.tables.tenant_slot(tenant).map(|tenant| self.tables.tenant(tenant));
        // Without the record of its creation nobody knows the tenant's name.
        let other = known.filter(|known| known.name.as_deref().is_some_and(|taken| taken != name));
        match other.map(|other| other.catalog) {
            Some(seen) => {
                let outcome = Err(Refusal::TenantNameCollision);
                effects.replies.push(ReplyEffect { request, slot: Some(seen), outcome });
            }
            None => self.apply(request, command, now, effects),
        }
    }

    /// What [`apply`](Self::apply) does for an append, told in numbers and not in effects: for a caller that logs the
    /// records from where they lie in the request. A record effect each would be written only to be read once.
    ///
    /// # Errors
    /// Why it is refused, and what that was seen from.
    #[inline]
    pub fn append(
        &mut self,
        tenant: TenantId,
        stream: StreamId,
        expected: Option<u64>,
        asked: Option<Level>,
        records: &Records<'_>,
        now: u64,
    ) -> Result<Appended, Seen<Refusal>> {
        let Admitted { slot, .. } = self.admit(tenant, stream, expected, asked, records)?;
        Ok(Appended { slot, first: self.extend(slot, records, now) })
    }

    /// Checks an append whole, and changes nothing: its policy may ask for more room in the log than it has.
    ///
    /// # Errors
    /// Why it is refused, and what that was seen from.
    #[inline(always)]
    pub fn admit(
        &mut self,
        tenant: TenantId,
        stream: StreamId,
        expected: Option<u64>,
        asked: Option<Level>,
        records: &Records<'_>,
    ) -> Result<Admitted, Seen<Refusal>> {
        // Before the look-up: what is wrong with the request itself shows nothing of the state.
        self.check_size(records).map_err(Seen::nothing)?;
        let Some(slot) = self.tables.index.find(tenant, stream) else {
            return Err(self.unknown(tenant));
        };
        let head = self.tables.stream(slot);
        let owner = self.tables.tenant(head.tenant);
        let ignored = head.closed.has(Closed::DELETED) && planted::is(Bug::DeletedTakesAppends);
        if head.closed != Closed::OPEN && !ignored || owner.shut {
            return Err(self.closed(slot));
        }
        if let Some(asked) = asked
            && !planted::is(Bug::BelowDefaultTaken)
        {
            self.check_level(slot, asked)?;
        }
        if let Some(expected) = expected
            && expected != head.next
            && !planted::is(Bug::ExpectedNotCompared)
        {
            let actual = head.next;
            return Err(Seen::stream(self.witness(slot), Refusal::WrongExpectedOffset { expected, actual }));
        }
        Ok(Admitted { slot, natural: owner.natural })
    }

    /// Numbers the records of an append that was [admitted](Self::admit) last. Nothing fails any more.
    #[inline(always)]
    pub fn extend(&mut self, slot: StreamSlot, records: &Records<'_>, now: u64) -> Extent {
        self.tables.extend(slot, records.count(), now)
    }

    #[cold]
    fn check_level(&self, slot: StreamSlot, asked: Level) -> Result<(), Seen<Refusal>> {
        let (durability, catalog) = self.durability(slot);
        let default = durability.level();
        if asked < default { Err(Seen::stream(catalog, Refusal::BelowDefault { asked, default })) } else { Ok(()) }
    }

    #[inline]
    fn check_size(&self, records: &Records<'_>) -> Result<(), Refusal> {
        let Limits { record_bytes_max, batch_bytes_max, batch_records_max, .. } = self.limits;
        if records.count() == 0 {
            return Err(Refusal::EmptyBatch);
        }
        if records.count() > batch_records_max {
            return Err(Refusal::TooManyRecords { count: records.count(), max: batch_records_max });
        }
        if records.longest() > record_bytes_max {
            return Err(Refusal::RecordTooLarge { len: records.longest(), max: record_bytes_max });
        }
        if records.bytes() > batch_bytes_max {
            return Err(Refusal::BatchTooLarge { len: records.bytes(), max: batch_bytes_max });
        }
        Ok(())
    }

    fn head(&mut self, tenant: TenantId, stream: StreamId) -> Outcome {
        let slot = self.readable(tenant, stream)?;
        let head = self.tables.stream(slot);
        let reply = Reply::Head { next: head.next, timestamp: head.timestamp };
        Ok(Seen::stream(self.witness(slot), reply))
    }

    fn read(&mut self, tenant: TenantId, stream: StreamId, from: u64, (records_max, bytes_max): (u32, u32)) -> Outcome {
        let slot = self.readable(tenant, stream)?;
        if self.is_erased(self.tables.stream(slot)) && !planted::is(Bug::ErasedStillRead) {
            return Err(self.closed(slot));
        }
        let next = self.tables.stream(slot).next;
        let witness = self.witness(slot);
        if from > next {
            return Err(Seen::stream(witness, Refusal::OffsetBeyondEnd { from, next }));
        }
        Ok(Seen::stream(witness, Reply::Read { slot, from, next, records_max, bytes_max }))
    }

    /// The slot of a stream that may be read, if it is not erased. Catalogs and damaged streams may.
    pub(crate) fn readable(&mut self, tenant: TenantId, stream: StreamId) -> Result<StreamSlot, Seen<Refusal>> {
        let Some(slot) = self.tables.index.find(tenant, stream) else {
            return Err(self.unknown(tenant));
        };
        let head = self.tables.stream(slot);
        if head.closed.has(Closed::DELETED) || self.tables.tenant(head.tenant).deleted {
            return Err(self.closed(slot));
        }
        Ok(slot)
    }

    /// The stream whose newest record tells that `slot` is there and where it ends: its own, but
    /// for an empty stream the catalog, which has the record of its creation.
    pub(crate) fn witness(&self, slot: StreamSlot) -> StreamSlot {
        let head = self.tables.stream(slot);
        if head.next == 0 { self.tables.tenant(head.tenant).catalog } else { slot }
    }

    /// Why there is no such stream.
    #[cold]
    fn unknown(&self, tenant: TenantId) -> Seen<Refusal> {
        match self.tables.tenant_slot(tenant).map(|tenant| self.tables.tenant(tenant)) {
            None => Seen::nothing(Refusal::UnknownTenant),
            Some(tenant) if tenant.deleted => Seen::stream(tenant.catalog, Refusal::TenantDeleted),
            // The tenant's own record may still be on its way to the disk.
            Some(tenant) => Seen::stream(tenant.catalog, Refusal::UnknownStream),
        }
    }

    /// Why the stream takes no appends, or may not be read.
    #[cold]
    fn closed(&self, slot: StreamSlot) -> Seen<Refusal> {
        let head = self.tables.stream(slot);
        let tenant = self.tables.tenant(head.tenant);
        if tenant.deleted {
            Seen::stream(tenant.catalog, Refusal::TenantDeleted)
        } else if head.closed.has(Closed::CATALOG) {
            Seen::stream(tenant.catalog, Refusal::CatalogIsReadOnly)
        } else if head.closed.has(Closed::DELETED) {
            Seen::stream(tenant.catalog, Refusal::StreamDeleted)
        } else if self.is_erased(head) {
            Seen::stream(tenant.catalog, Refusal::Erased)
        } else {
            Seen::stream(self.witness(slot), Refusal::Frozen)
        }
    }
}

impl Appended {
    /// Adds an effect for each record.
    fn tell(self, records: &Records<'_>, turn: &mut Turn<'_>) -> Seen<Reply> {
        let Appended { slot, first } = self;
        turn.effects.records.extend((0..).zip(records).map(|(index, record)| RecordEffect {
            request: turn.request,
            slot,
            kind: RecordKind::Data,
            offset: first.offset + index,
            position: first.position + index,
            timestamp: first.timestamp,
            payload: Payload::Request { start: record.start, len: record.len },
        }));
        let reply = Reply::Appended { first: first.offset, count: records.count(), timestamp: first.timestamp };
        Seen::stream(slot, reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the creation of a tenant compared names. Another name with the same id led to its streams, and could delete it.
    #[test]
    fn a_name_whose_id_is_another_tenants_leads_nowhere() {
        let tenant = TenantId(7);
        let mut kernel = Kernel::new(Limits::default());
        let mut effects = Effects::new(1);
        kernel.apply(0, &Command::CreateTenant { tenant, name: "one", key: None }, 0, &mut effects);
        kernel.apply(0, &Command::CreateStream { tenant, name: "stream", key: None }, 0, &mut effects);
        let before = kernel.state_hash();
        let commands = [
            Command::CreateStream { tenant, name: "another", key: None },
            Command::Resolve { tenant, name: "stream" },
            Command::ListStreams { tenant, after: crate::CATALOG, bytes_max: 1000 },
            Command::DeleteTenant { tenant },
        ];
        let catalog = kernel.slot(tenant, crate::CATALOG);
        for command in &commands {
            effects.clear();
            kernel.apply_named(3, ("other", tenant), command, 0, &mut effects);
            let refused = ReplyEffect { request: 3, slot: catalog, outcome: Err(Refusal::TenantNameCollision) };
            assert_eq!(effects.replies, [refused], "{command:?}");
        }
        assert_eq!(kernel.state_hash(), before);
        for command in &commands {
            effects.clear();
            kernel.apply_named(0, ("one", tenant), command, 0, &mut effects);
            assert!(effects.replies[0].outcome.is_ok(), "{command:?}");
        }
    }
}
