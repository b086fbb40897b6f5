//! Random histories: commands in an owned form, and a kernel that keeps a log of what it decided.
//!
//! Ids, names and limits are few and small, so that a history of a hundred commands meets
//! collisions, deletions and every limit.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use kernel::{
    Command, Durability, Effects, Encryption, Kernel, Limits, Listing, NewKey, Payload, RecordKind, Records, Refusal,
    ReplayedRecord, Reply, StreamId, StreamSlot, SyncPolicy, TenantId,
};
use proptest::prelude::*;

pub(crate) const LIMITS: Limits = Limits {
    record_bytes_max: 8,
    batch_bytes_max: 14,
    batch_records_max: 4,
    tenants_max: 3,
    streams_per_tenant_max: 6,
    streams_max: 12,
};

/// A command that owns its bytes, or damage found by the log.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    CreateTenant { tenant: TenantId, name: String, key: Option<NewKey> },
    CreateStream { tenant: TenantId, name: String, key: Option<NewKey> },
    IntroduceKey { tenant: TenantId, stream: Option<StreamId>, key: NewKey },
    Erase { tenant: TenantId, stream: Option<StreamId> },
    Append { tenant: TenantId, stream: StreamId, expected: Option<u64>, payloads: Vec<Vec<u8>> },
    Head { tenant: TenantId, stream: StreamId },
    Read { tenant: TenantId, stream: StreamId, from: u64 },
    Resolve { tenant: TenantId, name: String },
    ListTenants { after: Option<TenantId>, bytes_max: u32 },
    ListStreams { tenant: TenantId, after: StreamId, bytes_max: u32 },
    DeleteStream { tenant: TenantId, stream: StreamId },
    DeleteTenant { tenant: TenantId },
    SetDurability { tenant: TenantId, durability: Durability },
    Freeze { tenant: TenantId, stream: StreamId },
}

/// A record as the log would hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) tenant: TenantId,
    pub(crate) stream: StreamId,
    pub(crate) kind: RecordKind,
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) timestamp: u64,
    pub(crate) payload: Vec<u8>,
}

impl Logged {
    pub(crate) fn replayed(&self) -> ReplayedRecord<'_> {
        ReplayedRecord {
            tenant: self.tenant,
            stream: self.stream,
            kind: self.kind,
            offset: self.offset,
            position: self.position,
            timestamp: self.timestamp,
            payload: &self.payload,
        }
    }
}

/// An entry of a page: id, name, deleted, frozen, encryption.
pub(crate) type Listed = (u64, String, bool, bool, Encryption);

/// What a client was told, without what differs from kernel to kernel: the slot of a granted read
/// is checked and set to 0, and so is the place of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) outcome: Result<Reply, Refusal>,
    pub(crate) page: Vec<Listed>,
    pub(crate) records: Vec<Logged>,
}

/// A kernel, and the log of its records.
pub(crate) struct Session {
    pub(crate) kernel: Kernel,
    pub(crate) log: Vec<Logged>,
    /// Where in the log each stream's newest record is.
    newest: BTreeMap<(TenantId, StreamId), usize>,
    effects: Effects,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self::of(Kernel::new(LIMITS))
    }

    pub(crate) fn of(kernel: Kernel) -> Self {
        Self { kernel, log: Vec::new(), newest: BTreeMap::new(), effects: Effects::new(0) }
    }

    /// Applies an operation. Gives what was told, and the place in the log of the record that the
    /// reply waits for. Nothing for damage, which no client asks for.
    pub(crate) fn step(&mut self, op: &Op, now: u64) -> Option<(Told, Option<usize>)> {
        let mut body = b"head".to_vec();
        if let Op::Append { payloads, .. } = op {
            for payload in payloads {
                body.extend_from_slice(&(payload.len() as u32).to_le_bytes());
                body.extend_from_slice(payload);
            }
        }
        if let Op::Freeze { tenant, stream } = *op {
            if let Some(slot) = self.kernel.slot(tenant, stream) {
                self.kernel.freeze(slot);
            }
            return None;
        }
        self.effects.clear();
        self.kernel.apply(7, &command(op, &body), now, &mut self.effects);

        let records: Vec<Logged> = self.effects.records.iter().map(|effect| self.logged(effect, &body)).collect();
        for record in &records {
            self.newest.insert((record.tenant, record.stream), self.log.len());
            self.log.push(record.clone());
        }
        assert_eq!(self.effects.replies.len(), 1, "one command, one reply");
        let reply = self.effects.replies[0];
        assert_eq!(reply.request, 7);
        let waits = reply.slot.and_then(|slot| {
            let stream = self.kernel.stream(slot);
            self.newest.get(&(stream.tenant, stream.stream)).copied()
        });
        let (outcome, page) = self.normalized(op, reply.outcome);
        Some((Told { outcome, page, records }, waits))
    }

    fn logged(&self, effect: &kernel::RecordEffect, body: &[u8]) -> Logged {
        assert_eq!(effect.request, 7);
        let (bytes, start, len) = match effect.payload {
            Payload::Request { start, len } => (body, start, len),
            Payload::Scratch { start, len } => (&self.effects.scratch[..], start, len),
        };
        let stream = self.kernel.stream(effect.slot);
        Logged {
            tenant: stream.tenant,
            stream: stream.stream,
            kind: effect.kind,
            offset: effect.offset,
            position: effect.position,
            timestamp: effect.timestamp,
            payload: bytes[start as usize..(start + len) as usize].to_vec(),
        }
    }

    fn normalized(&self, op: &Op, outcome: Result<Reply, Refusal>) -> (Result<Reply, Refusal>, Vec<Listed>) {
        match (op, outcome) {
            (&Op::Read { tenant, stream, .. }, Ok(Reply::Read { slot, from, next, records_max, bytes_max })) => {
                assert_eq!(self.kernel.slot(tenant, stream), Some(slot));
                (Ok(Reply::Read { slot: StreamSlot(0), from, next, records_max, bytes_max }), Vec::new())
            }
            (_, Ok(Reply::Listed { start, len, more })) => {
                let page = &self.effects.scratch[start as usize..(start + len) as usize];
                let entries = Listing::new(page)
                    .map(|entry| (entry.id, entry.name.to_owned(), entry.deleted, entry.frozen, entry.encryption))
                    .collect();
                (Ok(Reply::Listed { start: 0, len: 0, more }), entries)
            }
            (_, outcome) => (outcome, Vec::new()),
        }
    }
}

fn command<'a>(op: &'a Op, body: &'a [u8]) -> Command<'a> {
    match *op {
        Op::CreateTenant { tenant, ref name, key } => Command::CreateTenant { tenant, name, key },
        Op::CreateStream { tenant, ref name, key } => Command::CreateStream { tenant, name, key },
        Op::IntroduceKey { tenant, stream, key } => Command::IntroduceKey { tenant, stream, key },
        Op::Erase { tenant, stream } => Command::Erase { tenant, stream },
        Op::Append { tenant, stream, expected, ref payloads } => {
            let records = Records::parse(body, 4, payloads.len() as u32).expect("a whole region");
            Command::Append { tenant, stream, expected, records }
        }
        Op::Head { tenant, stream } => Command::Head { tenant, stream },
        Op::Read { tenant, stream, from } => Command::Read { tenant, stream, from, records_max: 3, bytes_max: 5 },
        Op::Resolve { tenant, ref name } => Command::Resolve { tenant, name },
        Op::ListTenants { after, bytes_max } => Command::ListTenants { after, bytes_max },
        Op::ListStreams { tenant, after, bytes_max } => Command::ListStreams { tenant, after, bytes_max },
        Op::DeleteStream { tenant, stream } => Command::DeleteStream { tenant, stream },
        Op::DeleteTenant { tenant } => Command::DeleteTenant { tenant },
        Op::SetDurability { tenant, durability } => Command::SetDurability { tenant, durability },
        Op::Freeze { .. } => unreachable!("damage is no command"),
    }
}

/// The first ones often, so that histories go deep.
fn tenant() -> impl Strategy<Value = TenantId> {
    prop_oneof![8 => Just(1), 4 => Just(9), 1 => 0..6_u64].prop_map(TenantId)
}

fn stream() -> impl Strategy<Value = StreamId> {
    prop_oneof![9 => 1..4_u32, 1 => 0..8_u32].prop_map(StreamId)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => "[a-e]",
        2 => "[xyz]{200}",
        1 => prop_oneof![Just(String::new()), Just("n".repeat(256))],
    ]
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    prop_oneof![6 => prop::collection::vec(bytes(5), 1..4), 1 => prop::collection::vec(bytes(10), 0..6)]
}

/// Numbers that mostly ascend with the history's length, none too.
fn key() -> impl Strategy<Value = NewKey> {
    (0..12_u32, any::<u8>()).prop_map(|(key_id, byte)| NewKey { key_id, commitment: [byte; 32] })
}

fn create_tenant() -> impl Strategy<Value = Op> {
    (tenant(), name(), prop::option::of(key())).prop_map(|(tenant, name, key)| Op::CreateTenant { tenant, name, key })
}

fn create_stream() -> impl Strategy<Value = Op> {
    (tenant(), name(), prop::option::weighted(0.3, key())).prop_map(|(tenant, name, key)| Op::CreateStream {
        tenant,
        name,
        key,
    })
}

fn introduce_key() -> impl Strategy<Value = Op> {
    (tenant(), prop::option::of(stream()), key()).prop_map(|(tenant, stream, key)| Op::IntroduceKey {
        tenant,
        stream,
        key,
    })
}

/// Seldom a whole tenant, with which half of a history would be over.
fn erase() -> impl Strategy<Value = Op> {
    (tenant(), prop::option::weighted(0.9, stream())).prop_map(|(tenant, stream)| Op::Erase { tenant, stream })
}

fn append() -> impl Strategy<Value = Op> {
    let expected = prop_oneof![4 => Just(None), 1 => (0..6_u64).prop_map(Some)];
    (tenant(), stream(), expected, payloads()).prop_map(|(tenant, stream, expected, payloads)| Op::Append {
        tenant,
        stream,
        expected,
        payloads,
    })
}

fn ask() -> impl Strategy<Value = Op> {
    prop_oneof![
        (tenant(), stream()).prop_map(|(tenant, stream)| Op::Head { tenant, stream }),
        (tenant(), stream(), 0..5_u64).prop_map(|(tenant, stream, from)| Op::Read { tenant, stream, from }),
        (tenant(), name()).prop_map(|(tenant, name)| Op::Resolve { tenant, name }),
    ]
}

fn list() -> impl Strategy<Value = Op> {
    let page = || prop_oneof![Just(600), 200..1000_u32];
    prop_oneof![
        (prop::option::of(tenant()), page()).prop_map(|(after, bytes_max)| Op::ListTenants { after, bytes_max }),
        (tenant(), 0..8_u32, page())
            .prop_map(|(tenant, after, bytes_max)| { Op::ListStreams { tenant, after: StreamId(after), bytes_max } }),
    ]
}

fn delete_stream() -> impl Strategy<Value = Op> {
    (tenant(), stream()).prop_map(|(tenant, stream)| Op::DeleteStream { tenant, stream })
}

/// Seldom the first tenant, with which half of a history would be over.
fn delete_tenant() -> impl Strategy<Value = Op> {
    prop_oneof![4 => Just(9), 1 => 0..6_u64].prop_map(|id| Op::DeleteTenant { tenant: TenantId(id) })
}

/// The impossible ones too.
fn set_durability() -> impl Strategy<Value = Op> {
    let buffered =
        (0..3_u64, 0..3_u32).prop_map(|(interval_ns, records)| Durability::Buffered { interval_ns, records });
    let group = (0..3_u64).prop_map(|seconds| SyncPolicy::GroupCommit { max_delay_ns: seconds * 600_000_000 });
    let sync = prop_oneof![Just(SyncPolicy::EveryRecord), Just(SyncPolicy::EveryBatch), group];
    let durability = prop_oneof![Just(Durability::Memory), buffered, sync.prop_map(Durability::Strict)];
    (tenant(), durability).prop_map(|(tenant, durability)| Op::SetDurability { tenant, durability })
}

fn freeze() -> impl Strategy<Value = Op> {
    (tenant(), stream()).prop_map(|(tenant, stream)| Op::Freeze { tenant, stream })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => create_tenant(),
        20 => create_stream(),
        60 => append(),
        30 => ask(),
        10 => list(),
        6 => delete_stream(),
        1 => delete_tenant(),
        5 => set_durability(),
        6 => introduce_key(),
        5 => erase(),
    ]
}

/// Two tenants with a stream or two, some with keys: what most histories begin with.
fn settled() -> Vec<(Op, u64)> {
    let (one, nine) = (TenantId(1), TenantId(9));
    let key = |key_id| Some(NewKey { key_id, commitment: [0xcc; 32] });
    vec![
        (Op::CreateTenant { tenant: one, name: "a".into(), key: None }, 10),
        (Op::CreateTenant { tenant: nine, name: "b".into(), key: key(1) }, 10),
        (Op::CreateStream { tenant: one, name: "a".into(), key: key(1) }, 11),
        (Op::CreateStream { tenant: one, name: "b".into(), key: None }, 12),
        (Op::CreateStream { tenant: nine, name: "a".into(), key: None }, 12),
    ]
}

fn timed(op: impl Strategy<Value = Op>) -> impl Strategy<Value = Vec<(Op, u64)>> {
    let ops = prop::collection::vec((op, 0..50_u64), 1..120);
    (prop::bool::weighted(0.8), ops).prop_map(|(is_settled, ops)| {
        let mut history = if is_settled { settled() } else { Vec::new() };
        history.extend(ops);
        history
    })
}

/// Operations with their times, which go back as often as forth.
pub(crate) fn history() -> impl Strategy<Value = Vec<(Op, u64)>> {
    timed(op())
}

/// The same, and damage.
pub(crate) fn damaged_history() -> impl Strategy<Value = Vec<(Op, u64)>> {
    timed(prop_oneof![60 => op(), 1 => freeze()])
}
