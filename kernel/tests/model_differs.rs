//! Guards against a kernel that answers or records anything but what an ordinary map would.

mod history;

use std::collections::BTreeMap;

use history::{LIMITS, Listed, Logged, Op, Session, Told, damaged_history, history};
use kernel::{
    CATALOG, Durability, Encryption, LISTING_BYTES_MIN, NAME_BYTES_MAX, NewKey, RecordKind, Refusal, Reply, StreamId,
    StreamSlot, TenantId,
};
use proptest::prelude::*;

/// The naive kernel: maps, owned names, every record kept.
#[derive(Default)]
struct Model {
    tenants: BTreeMap<TenantId, Tenant>,
    log: Vec<Logged>,
}

struct Tenant {
    name: String,
    deleted: bool,
    durability: Option<Durability>,
    /// All that it and its streams ever had, in order: whose, and the number.
    keys: Vec<(StreamId, u32)>,
    erased: bool,
    streams: BTreeMap<StreamId, Stream>,
}

#[derive(Default)]
struct Stream {
    name: String,
    deleted: bool,
    frozen: bool,
    erased: bool,
}

impl Tenant {
    /// The newest key of a stream, or with [`CATALOG`] the tenant's.
    fn key(&self, of: StreamId) -> Option<u32> {
        self.keys.iter().rev().find(|(stream, _)| *stream == of).map(|(_, key_id)| *key_id)
    }

    fn is_erased(&self, stream: StreamId) -> bool {
        stream != CATALOG && (self.erased || self.streams.get(&stream).is_some_and(|stream| stream.erased))
    }

    /// The number of the key that seals a stream's records; 0 if none does.
    fn sealed_by(&self, stream: StreamId) -> u32 {
        self.key(stream).or(self.key(CATALOG)).unwrap_or(0)
    }

    fn encryption(erased: bool, key_id: u32) -> Encryption {
        match key_id {
            _ if erased => Encryption::Erased,
            0 => Encryption::None,
            key_id => Encryption::Aes256Gcm { key_id },
        }
    }
}

impl Model {
    fn records(&self, tenant: TenantId, stream: StreamId) -> impl Iterator<Item = &Logged> {
        self.log.iter().filter(move |record| (record.tenant, record.stream) == (tenant, stream))
    }

    fn next(&self, tenant: TenantId, stream: StreamId) -> u64 {
        self.records(tenant, stream).count() as u64
    }

    /// Where the newest record is that shows that the stream is there and where it ends.
    fn newest(&self, tenant: TenantId, stream: StreamId) -> Option<usize> {
        let shows = |record: &Logged| {
            record.tenant == tenant
                && (record.stream == stream
                    || record.kind == RecordKind::StreamCreated && record.payload[..4] == stream.0.to_le_bytes())
        };
        self.log.iter().rposition(shows)
    }

    fn write(&mut self, tenant: TenantId, stream: StreamId, kind: RecordKind, payload: Vec<u8>, now: u64) -> u64 {
        let of_tenant = || self.log.iter().filter(|record| record.tenant == tenant);
        let record = Logged {
            tenant,
            stream,
            kind,
            offset: self.next(tenant, stream),
            position: of_tenant().count() as u64,
            timestamp: of_tenant().map(|record| record.timestamp).max().unwrap_or(0).max(now),
            payload,
        };
        self.log.push(record);
        self.log[self.log.len() - 1].timestamp
    }

    fn apply(&mut self, op: &Op, now: u64) -> Result<(Reply, Vec<Listed>), Refusal> {
        let reply = match *op {
            Op::CreateTenant { tenant, ref name, key } => {
                let reply = self.create_tenant(tenant, name, key, now)?;
                self.write_key(tenant, CATALOG, key, now);
                reply
            }
            Op::CreateStream { tenant, ref name, key } => {
                let (stream, timestamp) = self.create_stream(tenant, name, key, now)?;
                self.write_key(tenant, stream, key, now);
                Reply::StreamCreated { stream, timestamp }
            }
            Op::IntroduceKey { tenant, stream, key } => {
                self.introduce_key(tenant, stream, key)?;
                self.write_key(tenant, stream.unwrap_or(CATALOG), Some(key), now);
                Reply::KeyIntroduced { timestamp: self.newest_timestamp(tenant) }
            }
            Op::Erase { tenant, stream } => {
                if self.erase(tenant, stream)? {
                    let stream = stream.unwrap_or(CATALOG).0;
                    let payload = u64::from(stream).to_le_bytes().to_vec();
                    self.write(tenant, CATALOG, RecordKind::Erased, payload, now);
                }
                Reply::Erased { timestamp: self.newest_timestamp(tenant) }
            }
            Op::Append { tenant, stream, expected, ref payloads } => {
                self.append(tenant, stream, expected, payloads, now)?
            }
            Op::Head { tenant, stream } => {
                self.live_stream(tenant, stream)?;
                let timestamp = self.records(tenant, stream).last().map_or(0, |record| record.timestamp);
                Reply::Head { next: self.next(tenant, stream), timestamp }
            }
            Op::Read { tenant, stream, from } => {
                self.live_stream(tenant, stream)?;
                if self.tenants[&tenant].is_erased(stream) {
                    return Err(Refusal::Erased);
                }
                let next = self.next(tenant, stream);
                if from > next {
                    return Err(Refusal::OffsetBeyondEnd { from, next });
                }
                Reply::Read { slot: StreamSlot(0), from, next, records_max: 3, bytes_max: 5 }
            }
            Op::Resolve { tenant, ref name } => {
                check_name(name)?;
                let stream = self.named(tenant, name)?.ok_or(Refusal::UnknownStream)?;
                Reply::Resolved { stream, next: self.next(tenant, stream) }
            }
            Op::DeleteStream { tenant, stream } => self.delete_stream(tenant, stream, now)?,
            Op::DeleteTenant { tenant } => {
                self.writable_tenant(tenant)?.deleted = true;
                let timestamp = self.write(tenant, CATALOG, RecordKind::TenantDeleted, vec![], now);
                Reply::Deleted { timestamp }
            }
            Op::SetDurability { tenant, durability } => {
                durability.check().map_err(Refusal::ImpossiblePolicy)?;
                let before = self.writable_tenant(tenant)?.durability.replace(durability);
                let timestamp = if before == Some(durability) {
                    self.records(tenant, CATALOG).last().map_or(0, |record| record.timestamp)
                } else {
                    let payload = durability.encode().to_vec();
                    self.write(tenant, CATALOG, RecordKind::TenantPolicy, payload, now)
                };
                Reply::DurabilitySet { timestamp }
            }
            Op::ListTenants { after, bytes_max } => {
                let all = self.tenants.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
                let entry = |(id, tenant): (&TenantId, &Tenant)| {
                    let encryption = Tenant::encryption(tenant.erased, tenant.key(CATALOG).unwrap_or(0));
                    (id.0, tenant.name.clone(), tenant.deleted, tenant.streams[&CATALOG].frozen, encryption)
                };
                return page(all.map(entry), bytes_max);
            }
            Op::ListStreams { tenant, after, bytes_max } => {
                let tenant = self.live_tenant(tenant)?;
                let all = tenant.streams.iter().filter(|(id, _)| **id > after);
                let entry = |(id, stream): (&StreamId, &Stream)| {
                    let encryption = Tenant::encryption(tenant.is_erased(*id), tenant.sealed_by(*id));
                    (id.0.into(), stream.name.clone(), stream.deleted, stream.frozen, encryption)
                };
                return page(all.map(entry), bytes_max);
            }
            Op::Freeze { .. } => unreachable!("damage is no command"),
        };
        Ok((reply, Vec::new()))
    }

    fn newest_timestamp(&self, tenant: TenantId) -> u64 {
        self.records(tenant, CATALOG).last().map_or(0, |record| record.timestamp)
    }

    fn write_key(&mut self, tenant: TenantId, stream: StreamId, key: Option<NewKey>, now: u64) {
        let Some(NewKey { key_id, commitment }) = key else { return };
        let payload = [&key_id.to_le_bytes()[..], &stream.0.to_le_bytes(), &commitment].concat();
        self.write(tenant, CATALOG, RecordKind::DataKey, payload, now);
        self.tenants.entry(tenant).and_modify(|tenant| tenant.keys.push((stream, key_id)));
    }

    fn check_key(&self, tenant: TenantId, key: Option<NewKey>) -> Result<(), Refusal> {
        let keys = self.tenants.get(&tenant).into_iter().flat_map(|tenant| &tenant.keys);
        let last = keys.map(|(_, key_id)| *key_id).max().unwrap_or(0);
        match key {
            Some(NewKey { key_id, .. }) if key_id <= last => Err(Refusal::KeyIdNotAscending { key_id, last }),
            _ => Ok(()),
        }
    }

    fn introduce_key(&mut self, tenant: TenantId, stream: Option<StreamId>, key: NewKey) -> Result<(), Refusal> {
        self.writable_tenant(tenant)?;
        if let Some(stream) = stream {
            self.live_stream(tenant, stream)?;
            if stream == CATALOG || self.tenants[&tenant].key(stream).is_none() {
                return Err(Refusal::StreamHasNoKey);
            }
        }
        let erased = self.tenants[&tenant].erased;
        if erased || stream.is_some_and(|stream| self.tenants[&tenant].is_erased(stream)) {
            return Err(Refusal::Erased);
        }
        self.check_key(tenant, Some(key))
    }

    /// Whether there is something to record.
    fn erase(&mut self, tenant: TenantId, stream: Option<StreamId>) -> Result<bool, Refusal> {
        let owner = self.tenants.get_mut(&tenant).ok_or(Refusal::UnknownTenant)?;
        if owner.streams[&CATALOG].frozen {
            return Err(Refusal::Frozen);
        }
        let Some(stream) = stream else {
            owner.key(CATALOG).ok_or(Refusal::TenantHasNoKey)?;
            return Ok(!std::mem::replace(&mut owner.erased, true));
        };
        if !owner.streams.contains_key(&stream) {
            return Err(Refusal::UnknownStream);
        }
        if stream == CATALOG || owner.key(stream).is_none() {
            return Err(Refusal::StreamHasNoKey);
        }
        if owner.is_erased(stream) {
            return Ok(false);
        }
        owner.streams.entry(stream).and_modify(|stream| stream.erased = true);
        Ok(true)
    }

    fn create_tenant(&mut self, tenant: TenantId, name: &str, key: Option<NewKey>, now: u64) -> Result<Reply, Refusal> {
        check_name(name)?;
        match self.tenants.get(&tenant) {
            Some(known) if known.name != name => return Err(Refusal::TenantNameCollision),
            Some(known) if known.deleted => return Err(Refusal::TenantDeleted),
            Some(_) => return Err(Refusal::TenantExists),
            None => {}
        }
        if self.tenants.len() as u32 == LIMITS.tenants_max {
            return Err(Refusal::TooManyTenants { max: LIMITS.tenants_max });
        }
        self.check_room()?;
        self.check_key(tenant, key)?;
        let streams = BTreeMap::from([(CATALOG, Stream::default())]);
        let new =
            Tenant { name: name.to_owned(), deleted: false, durability: None, keys: vec![], erased: false, streams };
        self.tenants.insert(tenant, new);
        let timestamp = self.write(tenant, CATALOG, RecordKind::TenantCreated, name.into(), now);
        Ok(Reply::TenantCreated { timestamp })
    }

    fn create_stream(
        &mut self,
        tenant: TenantId,
        name: &str,
        key: Option<NewKey>,
        now: u64,
    ) -> Result<(StreamId, u64), Refusal> {
        check_name(name)?;
        if self.writable_tenant(tenant)?.erased {
            return Err(Refusal::Erased);
        }
        if let Some(stream) = self.named(tenant, name)? {
            return Err(Refusal::StreamExists { stream });
        }
        let stream = StreamId(self.tenants[&tenant].streams.len() as u32);
        if stream.0 > LIMITS.streams_per_tenant_max {
            return Err(Refusal::TooManyStreams { max: LIMITS.streams_per_tenant_max });
        }
        self.check_room()?;
        self.check_key(tenant, key)?;
        let new = Stream { name: name.to_owned(), ..Stream::default() };
        self.writable_tenant(tenant)?.streams.insert(stream, new);
        let payload = [&stream.0.to_le_bytes()[..], name.as_bytes()].concat();
        let timestamp = self.write(tenant, CATALOG, RecordKind::StreamCreated, payload, now);
        Ok((stream, timestamp))
    }

    fn delete_stream(&mut self, tenant: TenantId, stream: StreamId, now: u64) -> Result<Reply, Refusal> {
        self.writable_tenant(tenant)?;
        self.live_stream(tenant, stream)?;
        if stream == CATALOG {
            return Err(Refusal::CatalogIsReadOnly);
        }
        self.writable_tenant(tenant)?.streams.entry(stream).and_modify(|stream| stream.deleted = true);
        let payload = stream.0.to_le_bytes().to_vec();
        let timestamp = self.write(tenant, CATALOG, RecordKind::StreamDeleted, payload, now);
        Ok(Reply::Deleted { timestamp })
    }

    fn append(
        &mut self,
        tenant: TenantId,
        stream: StreamId,
        expected: Option<u64>,
        payloads: &[Vec<u8>],
        now: u64,
    ) -> Result<Reply, Refusal> {
        check_payloads(payloads)?;
        if self.live_tenant(tenant).is_ok() && stream == CATALOG {
            return Err(Refusal::CatalogIsReadOnly);
        }
        let frozen = self.live_stream(tenant, stream)?.frozen;
        let owner = &self.tenants[&tenant];
        if owner.is_erased(stream) {
            return Err(Refusal::Erased);
        }
        // Whether the tenant is encrypted may have been said by a record that is lost.
        if frozen || owner.streams[&CATALOG].frozen && owner.key(CATALOG).is_none() {
            return Err(Refusal::Frozen);
        }
        let first = self.next(tenant, stream);
        if let Some(expected) = expected.filter(|expected| *expected != first) {
            return Err(Refusal::WrongExpectedOffset { expected, actual: first });
        }
        let write = |payload: &Vec<u8>| self.write(tenant, stream, RecordKind::Data, payload.clone(), now);
        let timestamp = payloads.iter().map(write).max().unwrap_or(0);
        Ok(Reply::Appended { first, count: payloads.len() as u32, timestamp })
    }

    fn live_tenant(&self, tenant: TenantId) -> Result<&Tenant, Refusal> {
        match self.tenants.get(&tenant) {
            None => Err(Refusal::UnknownTenant),
            Some(tenant) if tenant.deleted => Err(Refusal::TenantDeleted),
            Some(tenant) => Ok(tenant),
        }
    }

    fn writable_tenant(&mut self, tenant: TenantId) -> Result<&mut Tenant, Refusal> {
        if self.live_tenant(tenant)?.streams[&CATALOG].frozen {
            return Err(Refusal::Frozen);
        }
        self.tenants.get_mut(&tenant).ok_or(Refusal::UnknownTenant)
    }

    fn live_stream(&self, tenant: TenantId, stream: StreamId) -> Result<&Stream, Refusal> {
        match self.live_tenant(tenant)?.streams.get(&stream) {
            None => Err(Refusal::UnknownStream),
            Some(stream) if stream.deleted => Err(Refusal::StreamDeleted),
            Some(stream) => Ok(stream),
        }
    }

    fn named(&self, tenant: TenantId, name: &str) -> Result<Option<StreamId>, Refusal> {
        let streams = &self.live_tenant(tenant)?.streams;
        Ok(streams.iter().find(|(_, stream)| !stream.deleted && stream.name == name).map(|(id, _)| *id))
    }

    fn check_room(&self) -> Result<(), Refusal> {
        let streams: usize = self.tenants.values().map(|tenant| tenant.streams.len()).sum();
        let max = LIMITS.streams_max;
        if streams as u32 == max { Err(Refusal::TooManyStreams { max }) } else { Ok(()) }
    }

    fn freeze(&mut self, tenant: TenantId, stream: StreamId) {
        if let Some(tenant) = self.tenants.get_mut(&tenant) {
            tenant.streams.entry(stream).and_modify(|stream| stream.frozen = true);
        }
    }

    /// The newest record that an answer shows, with which it must not leave before.
    fn seen(&self, op: &Op, outcome: Result<Reply, Refusal>) -> Option<usize> {
        let catalog = |tenant| self.newest(tenant, CATALOG);
        let tenant_kinds = [RecordKind::TenantCreated, RecordKind::TenantDeleted];
        match (op, outcome) {
            (Op::ListTenants { .. }, Ok(_)) | (_, Err(Refusal::TooManyTenants { .. })) => {
                self.log.iter().rposition(|record| tenant_kinds.contains(&record.kind))
            }
            (
                &Op::Append { tenant, stream, .. } | &Op::Head { tenant, stream } | &Op::Read { tenant, stream, .. },
                Ok(_) | Err(Refusal::WrongExpectedOffset { .. } | Refusal::OffsetBeyondEnd { .. } | Refusal::Frozen),
            ) => self.newest(tenant, stream),
            (&Op::Resolve { tenant, .. }, Ok(Reply::Resolved { stream, .. })) => {
                self.newest(tenant, stream).max(catalog(tenant))
            }
            (
                &Op::CreateTenant { tenant, .. }
                | &Op::CreateStream { tenant, .. }
                | &Op::DeleteStream { tenant, .. }
                | &Op::DeleteTenant { tenant }
                | &Op::SetDurability { tenant, .. }
                | &Op::IntroduceKey { tenant, .. }
                | &Op::Erase { tenant, .. }
                | &Op::ListStreams { tenant, .. },
                Ok(_),
            ) => catalog(tenant),
            (
                &Op::CreateTenant { tenant, .. },
                Err(Refusal::TenantExists | Refusal::TenantNameCollision | Refusal::TenantDeleted),
            )
            | (&Op::CreateStream { tenant, .. }, Err(Refusal::StreamExists { .. }))
            | (
                &Op::Append { tenant, .. }
                | &Op::Head { tenant, .. }
                | &Op::Read { tenant, .. }
                | &Op::Resolve { tenant, .. }
                | &Op::ListStreams { tenant, .. }
                | &Op::CreateStream { tenant, .. }
                | &Op::DeleteTenant { tenant }
                | &Op::SetDurability { tenant, .. }
                | &Op::IntroduceKey { tenant, .. }
                | &Op::Erase { tenant, .. }
                | &Op::DeleteStream { tenant, .. },
                Err(
                    Refusal::TenantDeleted
                    | Refusal::StreamDeleted
                    | Refusal::UnknownStream
                    | Refusal::Erased
                    | Refusal::StreamHasNoKey
                    | Refusal::TenantHasNoKey
                    | Refusal::KeyIdNotAscending { .. },
                ),
            ) => catalog(tenant),
            _ => None,
        }
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    match name.len() {
        0 => Err(Refusal::EmptyName),
        len if len > NAME_BYTES_MAX => Err(Refusal::NameTooLong { len: len as u64, max: NAME_BYTES_MAX as u64 }),
        _ => Ok(()),
    }
}

fn check_payloads(payloads: &[Vec<u8>]) -> Result<(), Refusal> {
    let longest = payloads.iter().map(Vec::len).max().ok_or(Refusal::EmptyBatch)? as u32;
    let count = payloads.len() as u32;
    let len = payloads.concat().len() as u32;
    if count > LIMITS.batch_records_max {
        return Err(Refusal::TooManyRecords { count, max: LIMITS.batch_records_max });
    }
    if longest > LIMITS.record_bytes_max {
        return Err(Refusal::RecordTooLarge { len: longest, max: LIMITS.record_bytes_max });
    }
    if len > LIMITS.batch_bytes_max {
        return Err(Refusal::BatchTooLarge { len, max: LIMITS.batch_bytes_max });
    }
    Ok(())
}

fn page(all: impl Iterator<Item = Listed>, bytes_max: u32) -> Result<(Reply, Vec<Listed>), Refusal> {
    if bytes_max < LISTING_BYTES_MIN {
        return Err(Refusal::ListingTooSmall { bytes_max, min: LISTING_BYTES_MIN });
    }
    let mut room = bytes_max as usize;
    let all: Vec<Listed> = all.collect();
    let fits = |entry: &&Listed| match room.checked_sub(14 + entry.1.len()) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    let page: Vec<Listed> = all.iter().take_while(fits).cloned().collect();
    let more = page.len() < all.len();
    Ok((Reply::Listed { start: 0, len: 0, more }, page))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn answers_and_records_are_those_of_the_model(history in damaged_history()) {
        let mut model = Model::default();
        let mut session = Session::new();
        for (op, now) in &history {
            let hash_before = session.kernel.state_hash();
            let Some((told, waits)) = session.step(op, *now) else {
                if let Op::Freeze { tenant, stream } = *op {
                    model.freeze(tenant, stream);
                }
                continue;
            };
            let logged_before = model.log.len();
            let (outcome, page) = match model.apply(op, *now) {
                Ok((reply, page)) => (Ok(reply), page),
                Err(refusal) => (Err(refusal), Vec::new()),
            };
            let records = model.log[logged_before..].to_vec();
            for (&id, tenant) in &model.tenants {
                for &stream in tenant.streams.keys() {
                    let slot = session.kernel.slot(id, stream).expect("a stream of the model");
                    let expected = if stream == CATALOG { 0 } else { tenant.sealed_by(stream) };
                    prop_assert_eq!(session.kernel.seal_key(slot), expected, "{:?}", op);
                }
            }
            prop_assert_eq!(&told, &Told { outcome, page, records }, "{:?}", op);
            prop_assert!(waits >= model.seen(op, outcome), "{:?} {:?} leaves too early", op, told);
            if told.outcome.is_err() {
                prop_assert_eq!(session.kernel.state_hash(), hash_before, "{:?} was refused", op);
            }
        }
    }

    #[test]
    fn numbers_have_no_gap_and_time_does_not_go_back(history in history()) {
        let mut session = Session::new();
        for (op, now) in &history {
            session.step(op, *now);
        }
        let mut next = BTreeMap::new();
        let mut tenants = BTreeMap::new();
        for record in &session.log {
            let offset = next.entry((record.tenant, record.stream)).or_insert(0);
            prop_assert_eq!(record.offset, *offset);
            *offset += 1;
            let (position, timestamp) = tenants.entry(record.tenant).or_insert((0, 0));
            prop_assert_eq!(record.position, *position);
            prop_assert!(record.timestamp >= *timestamp);
            (*position, *timestamp) = (*position + 1, record.timestamp);
        }
    }
}
