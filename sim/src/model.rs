//! What the engine was asked and what it answered: the plain account that everything it says is held against.
//!
//! The model shares no code with what it judges but the requests' and answers' types. It knows tenants and streams by name, every
//! append that was sent with what became of it, and at which offset which record lies. What was not answered is unknown
//! until a survey finds it there or not; from then on that is so for good.
//!
//! Laws (docs/architecture.md, "Invariants"): nothing acknowledged or shown is lost or altered; nothing refused or never sent
//! appears; nothing appears twice; offsets have no gaps; positions ascend and timestamps do not go back; a tenant never sees
//! another's bytes.

use crate::level::{Policy, Taken};
use crate::payload::{self, Identity};
use crate::plan::Plan;
use crate::secrecy::{Erased, Secrecy};
use kernel::{Level, StreamId, TenantId};
use std::collections::BTreeMap;

/// Whether something exists, as far as the answers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// Its creation was asked for, and not answered.
    Asked,
    /// It is there.
    Here,
    /// Its deletion was asked for, and not answered.
    Dying,
    /// It is deleted.
    Deleted,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not answered yet, or never.
    Open,
    /// Acknowledged, or seen.
    There {
        /// The offset of its first record.
        first: u64,
    },
    /// Refused, or found not to be there: no record of it may appear any more.
    Void,
}

#[derive(Clone, Debug)]
pub(crate) struct Append {
    tenant: u8,
    stream: u32,
    count: u16,
    fate: Fate,
}

/// A record at its offset.
#[derive(Clone, Copy, Debug)]
struct Entry {
    identity: Identity,
    /// Timestamp and position, once they were seen.
    stamp: Option<(u64, u64)>,
    /// When it was acknowledged or shown, in virtual time.
    since: u64,
    /// Damage took it, and the engine said so.
    lost: bool,
    /// What its answer promised, or what reading it showed.
    promise: Level,
    /// From when on even a loss of power must leave it, though it was not promised at once.
    safe_from: u64,
    /// The moment of the answer.
    tick: u64,
    /// The end of the opening may have taken it.
    maybe: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: u8,
    pub(crate) life: Life,
    /// When that was last said, in virtual time.
    pub(crate) since: u64,
    records: BTreeMap<u64, Entry>,
    /// Every offset below is taken for certain.
    pub(crate) certain: u64,
    /// Some of it was lost to damage, or cannot be read any more.
    pub(crate) impaired: bool,
    /// Of the key of its own, if it was made with one.
    pub(crate) secrecy: Secrecy,
}

#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) id: TenantId,
    pub(crate) life: Option<Life>,
    /// When that was last said, in virtual time.
    pub(crate) since: u64,
    pub(crate) streams: BTreeMap<u32, Stream>,
    /// Streams whose creation was asked for and not answered, by name.
    pub(crate) asked: Vec<u8>,
    /// Its policy, if that is certain: the inner `None` is the engine's default.
    policy: Option<Option<Policy>>,
    /// How often the policy was to be changed, and was.
    changes: u32,
    /// Changes of it that were asked for in this opening, and not answered.
    pub(crate) changing: u32,
    /// Of the key of its streams that have none of their own.
    pub(crate) secrecy: Secrecy,
}

impl Tenant {
    /// Who asked before is gone.
    pub(crate) fn forgotten(&mut self) {
        self.changing = 0;
        self.secrecy.opened();
        self.streams.values_mut().for_each(|stream| stream.secrecy.opened());
    }

    /// A change of the policy was asked for, or done: then it is this one, if that is certain.
    pub(crate) fn change_policy(&mut self, policy: Option<Policy>) {
        self.changes += 1;
        self.policy = policy.map(Some);
    }
}

/// A record as a read gave it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) offset: u64,
    pub(crate) timestamp: u64,
    pub(crate) position: u64,
    pub(crate) payload: &'a [u8],
}

/// The account.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) tenants: Vec<Tenant>,
    appends: Vec<Append>,
    /// What the engine did that it must not.
    pub(crate) violations: Vec<String>,
    /// The virtual time.
    pub(crate) now: u64,
    /// Counts answers, to tell what was before what.
    pub(crate) tick: u64,
    /// What the answer that is being taken promises, and how long until that is more.
    pub(crate) promise: (Level, Option<u64>),
    /// The policy of tenants that were given none.
    pub(crate) default_policy: Policy,
    /// Which shard owns each tenant.
    pub(crate) owners: Vec<u16>,
    /// Tenants that are made without a key.
    clear: Vec<u8>,
    /// Names of streams that are made with a key of their own.
    own_keys: Vec<u8>,
}

impl Model {
    pub(crate) fn new(plan: &Plan) -> Model {
        let tenant = |number: u8| {
            let name = format!("tenant-{number}");
            let id = TenantId::of_name(&name);
            Tenant {
                name,
                id,
                life: None,
                since: 0,
                streams: BTreeMap::new(),
                asked: Vec::new(),
                policy: Some(None),
                changes: 0,
                changing: 0,
                secrecy: Secrecy::default(),
            }
        };
        Model {
            tenants: (0..=u8::MAX).take(TENANTS).map(tenant).collect(),
            appends: Vec::new(),
            violations: Vec::new(),
            now: 0,
            tick: 0,
            promise: (Level::Strict, None),
            default_policy: plan.policy,
            owners: vec![0; TENANTS],
            clear: plan.clear.clone(),
            own_keys: plan.own_keys.clone(),
        }
    }

    /// Whether a tenant is made with a key.
    pub(crate) fn is_sealed(&self, tenant: u8) -> bool {
        !self.clear.contains(&tenant)
    }

    /// Whether a stream of this name is made with a key of its own.
    pub(crate) fn has_own_key(&self, name: u8) -> bool {
        self.own_keys.contains(&name)
    }

    /// Whether a stream is erased, or its tenant.
    pub(crate) fn erased(&self, tenant: u8, stream: Option<u32>) -> Erased {
        let stream = stream.and_then(|stream| self.stream(tenant, stream));
        let own = stream.map_or(Erased::No, |stream| stream.secrecy.erased());
        own.max(self.tenants[usize::from(tenant)].secrecy.erased())
    }

    /// What is known of a tenant's keys, or of those of a stream of it.
    pub(crate) fn secrecy(&mut self, tenant: u8, stream: Option<u32>) -> Option<&mut Secrecy> {
        let tenant = self.tenant(tenant);
        match stream {
            None => Some(&mut tenant.secrecy),
            Some(stream) => tenant.streams.get_mut(&stream).map(|stream| &mut stream.secrecy),
        }
    }

    /// A tenant's policy, if that is certain, and how often it was to be changed.
    pub(crate) fn policy(&self, tenant: u8) -> (Option<Policy>, u32) {
        let Tenant { policy, changes, .. } = &self.tenants[usize::from(tenant)];
        (policy.map(|policy| policy.unwrap_or(self.default_policy)), *changes)
    }

    fn entries(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.tenants
            .iter_mut()
            .flat_map(|tenant| tenant.streams.values_mut())
            .flat_map(|stream| stream.records.values_mut())
    }

    /// A shard flushed everything that was answered before a moment.
    pub(crate) fn synced(&mut self, shard: u16, tick: u64) {
        let tenants = self.tenants.iter_mut().zip(&self.owners).filter(|(_, owner)| **owner == shard);
        let streams = tenants.flat_map(|(tenant, _)| tenant.streams.values_mut());
        for entry in streams.flat_map(|stream| stream.records.values_mut()).filter(|entry| entry.tick <= tick) {
            entry.promise = Level::Strict;
        }
    }

    /// An opening ended: what it may have taken is no longer certain. `punctual` says that the disk and the shards kept their
    /// times, so that what was to be flushed by now is.
    pub(crate) fn end(&mut self, taken: Taken, punctual: bool) {
        let now = self.now;
        for entry in self.entries() {
            if punctual && entry.promise == Level::Buffered && entry.safe_from <= now {
                entry.promise = Level::Strict;
            }
            entry.maybe |= matches!(taken, Taken::Below(level) if entry.promise < level);
        }
    }

    /// An older state of the account, with everything since then void: a copy of the directory was put back.
    pub(crate) fn put_back(&mut self, older: &Model) {
        let (appends, violations) = (std::mem::take(&mut self.appends), std::mem::take(&mut self.violations));
        let kept = older.appends.len();
        *self = Model { violations, ..older.clone() };
        self.appends.extend(appends.into_iter().skip(kept).map(|append| Append { fate: Fate::Void, ..append }));
    }

    pub(crate) fn violate(&mut self, text: String) {
        self.violations.push(text);
    }

    pub(crate) fn tenant(&mut self, tenant: u8) -> &mut Tenant {
        &mut self.tenants[usize::from(tenant)]
    }

    pub(crate) fn tenant_of_id(&self, id: u64) -> Option<u8> {
        self.tenants.iter().position(|tenant| tenant.id.0 == id).map(|at| at as u8)
    }

    pub(crate) fn stream(&self, tenant: u8, stream: u32) -> Option<&Stream> {
        self.tenants[usize::from(tenant)].streams.get(&stream)
    }

    /// The stream that surely has a name now.
    pub(crate) fn stream_named(&self, tenant: u8, name: u8) -> Option<u32> {
        let tenant = &self.tenants[usize::from(tenant)];
        let here = tenant.life == Some(Life::Here);
        let named = |(_, stream): &(&u32, &Stream)| here && stream.name == name && stream.life == Life::Here;
        tenant.streams.iter().find(named).map(|(id, _)| *id)
    }

    /// A stream that had a name and is surely deleted.
    pub(crate) fn stream_deleted(&self, tenant: u8, name: u8) -> Option<u32> {
        let streams = &self.tenants[usize::from(tenant)].streams;
        let deleted = |(_, stream): &(&u32, &Stream)| stream.name == name && stream.life == Life::Deleted;
        streams.iter().find(deleted).map(|(id, _)| *id)
    }

    /// Notes that an append is sent; gives its number.
    pub(crate) fn send(&mut self, tenant: u8, stream: u32, count: u16) -> u32 {
        self.appends.push(Append { tenant, stream, count, fate: Fate::Open });
        (self.appends.len() - 1) as u32
    }

    /// The append was refused, or came to nothing for sure.
    pub(crate) fn void(&mut self, append: u32) {
        let Append { tenant, stream, fate, .. } = self.appends[append as usize];
        if let Fate::There { first } = fate {
            self.violate(format!(
                "append {append} to {tenant}/{stream} was refused, and its records are at offset {first}"
            ));
        }
        self.appends[append as usize].fate = Fate::Void;
    }

    /// The append was acknowledged.
    pub(crate) fn acknowledge(&mut self, append: u32, first: u64, count: u32, timestamp: u64) {
        let sent = self.appends[append as usize].clone();
        let name = format!("append {append} to {}/{}", sent.tenant, sent.stream);
        if count != u32::from(sent.count) {
            self.violate(format!("{name} of {} records was acknowledged as one of {count}", sent.count));
        }
        match sent.fate {
            Fate::There { first: seen } if seen != first => {
                self.violate(format!("{name} was acknowledged at offset {first}, and seen at {seen}"));
            }
            Fate::Void => self.violate(format!("{name} was acknowledged after it had come to nothing")),
            _ => {}
        }
        self.place(append, first, Some(timestamp));
    }

    /// Puts an append's records at their offsets.
    fn place(&mut self, append: u32, first: u64, timestamp: Option<u64>) {
        self.appends[append as usize].fate = Fate::There { first };
        let Append { tenant, stream, count, .. } = self.appends[append as usize];
        let since = self.now;
        self.tick += 1;
        let (tick, (promise, interval)) = (self.tick, self.promise);
        let safe_from = interval.map_or(u64::MAX, |interval| since.saturating_add(interval + PUNCTUAL_NS));
        let Some(stream_model) = self.tenants[usize::from(tenant)].streams.get_mut(&stream) else {
            return self.violate(format!("append {append} is in stream {tenant}/{stream}, which never was"));
        };
        let mut wrong = None;
        for index in 0..count {
            let (offset, identity) = (first + u64::from(index), Identity { append, index });
            let stamp = None;
            let entry = stream_model.records.entry(offset).or_insert(Entry {
                identity,
                stamp,
                since,
                lost: false,
                promise,
                safe_from,
                tick,
                maybe: false,
            });
            if entry.identity != identity {
                wrong = Some((offset, entry.identity));
            }
            (entry.promise, entry.safe_from) = (entry.promise.max(promise), entry.safe_from.min(safe_from));
            if let (Some((seen, _)), Some(told)) = (entry.stamp, timestamp)
                && seen != told
            {
                wrong = Some((offset, entry.identity));
            }
        }
        stream_model.certain = stream_model.certain.max(first + u64::from(count));
        if let Some((offset, other)) = wrong {
            self.violate(format!(
                "offset {offset} of {tenant}/{stream} was given to append {append} and to append {}, or with two timestamps",
                other.append
            ));
        }
    }

    /// A record was shown: it must be one that was sent to this stream and not refused, at its place; and it is there from
    /// now on.
    pub(crate) fn show(&mut self, tenant: u8, stream: u32, shown: &Shown<'_>) {
        let offset = shown.offset;
        let place = format!("offset {offset} of {tenant}/{stream}");
        let Some(identity) = payload::read(shown.payload) else {
            return self.violate(format!("{place} has bytes that nobody ever sent"));
        };
        // A read gives what is flushed under a strict policy, and else what is written.
        let strict = self.policy(tenant).0.is_some_and(|policy| policy.level() == Level::Strict);
        self.promise = (if strict { Level::Strict } else { Level::Buffered }, None);
        let Identity { append, index } = identity;
        let Some(sent) = self.appends.get(append as usize).cloned() else {
            return self.violate(format!("{place} has a record of append {append}, which was never sent"));
        };
        if (sent.tenant, sent.stream) != (tenant, stream) {
            return self.violate(format!("{place} has a record that was sent to {}/{}", sent.tenant, sent.stream));
        }
        if sent.fate == Fate::Void {
            return self.violate(format!("{place} has a record of append {append}, which had come to nothing"));
        }
        if index >= sent.count || offset < u64::from(index) {
            return self.violate(format!("{place} has record {index} of append {append}, which has {}", sent.count));
        }
        let first = offset - u64::from(index);
        match sent.fate {
            Fate::There { first: known } if known != first => {
                return self.violate(format!("{place} has a record of append {append}, which lies at {known}"));
            }
            Fate::There { .. } | Fate::Open | Fate::Void => self.place(append, first, None),
        }
        let stamp = (shown.timestamp, shown.position);
        let entry = self.tenant(tenant).streams.get_mut(&stream).and_then(|stream| stream.records.get_mut(&offset));
        let Some(entry) = entry else { return };
        entry.lost = false;
        if *entry.stamp.get_or_insert(stamp) != stamp {
            self.violate(format!("{place} changed its timestamp or position"));
        }
    }

    /// A stream was surveyed from 0 to its end `next`: all that was shown is known. Settles what was open.
    /// `named` says whether the engine named a loss, `excused` whether the disk gave it cause to have one.
    pub(crate) fn survey(&mut self, tenant: u8, stream: u32, survey: &Survey) {
        let Some(model) = self.tenants[usize::from(tenant)].streams.get_mut(&stream) else { return };
        let place = format!("{tenant}/{stream}");
        let mut wrong = Vec::new();
        let taken: Vec<u64> =
            model.records.range(survey.next..).filter(|(_, entry)| entry.maybe).map(|(offset, _)| *offset).collect();
        let gone: Vec<u32> =
            taken.iter().filter_map(|offset| model.records.remove(offset)).map(|entry| entry.identity.append).collect();
        for append in gone {
            self.appends[append as usize].fate = Fate::Void;
            if model.records.values().any(|entry| entry.identity.append == append) {
                wrong.push(format!("of append {append} to {place} a part was lost"));
            }
        }
        for (&offset, entry) in &mut model.records {
            // What is there after an opening was flushed by it.
            (entry.promise, entry.maybe) = (Level::Strict, false);
            let unreadable = |range: &std::ops::Range<u64>| range.contains(&offset);
            let there = offset < survey.next && (survey.hidden || !survey.unreadable.iter().any(unreadable));
            if there || entry.lost {
                continue;
            }
            if survey.excused && offset >= survey.next && entry.since < survey.vouched_before && !survey.frozen {
                wrong.push(format!("offset {offset} of {place} was lost, and will be given again"));
            }
            let named = offset < survey.next || survey.named || entry.since >= survey.vouched_before;
            match (survey.excused, named) {
                (true, true) => (entry.lost, model.impaired) = (true, true),
                (true, false) => wrong.push(format!("offset {offset} of {place} was lost, and nothing says so")),
                (false, _) => wrong.push(format!(
                    "offset {offset} of {place}, a record of append {}, was acknowledged or shown, and is {}",
                    entry.identity.append,
                    if offset < survey.next { "damaged" } else { "lost" }
                )),
            }
        }
        // What could not be read may be readable another time.
        model.impaired |= survey.hidden || !survey.unreadable.is_empty();
        model.certain = model
            .records
            .range(..survey.next)
            .next_back()
            .map_or(0, |(offset, _)| offset + 1)
            .max(if survey.excused { model.certain.min(survey.next) } else { 0 });
        if survey.excused {
            model.certain = model.certain.min(survey.next);
        }
        if survey.excused && !survey.frozen {
            // A tail that was torn and spoilt at once: its offsets are given out again (docs/durability.md).
            let gone = model.records.split_off(&survey.next);
            for entry in gone.values() {
                self.appends[entry.identity.append as usize].fate = Fate::Open;
            }
        }
        let known = model.records.range(..survey.next).count() as u64;
        let unreadable: u64 = survey.unreadable.iter().map(|range| range.end - range.start).sum();
        if known + unreadable < survey.next && !survey.hidden {
            wrong.push(format!("{place} ends at {}, and only {known} records below are known", survey.next));
        }
        self.violations.extend(wrong);
    }

    /// After a survey of everything: appends that were open and did not show are void, and each that did is whole. Where bytes
    /// were spoilt, what did not show may do so another time.
    pub(crate) fn settle(&mut self, excused: bool) {
        let mut wrong = Vec::new();
        for (number, append) in self.appends.iter_mut().enumerate() {
            let tenant = &self.tenants[usize::from(append.tenant)];
            match append.fate {
                Fate::Open if excused => {}
                Fate::Open => {
                    // Of a deleted stream nothing can be known, and nothing will ever be shown.
                    let stream = tenant.streams.get(&append.stream);
                    let shown = |stream: &Stream| stream.life == Life::Here && !stream.impaired;
                    if tenant.life == Some(Life::Here) && stream.is_some_and(shown) {
                        append.fate = Fate::Void;
                    }
                }
                Fate::There { first } => {
                    let Some(stream) = tenant.streams.get(&append.stream) else { continue };
                    let count = stream.records.range(first..first + u64::from(append.count)).count();
                    if count != usize::from(append.count) {
                        wrong.push(format!("of append {number}, {count} of {} records are there", append.count));
                    }
                }
                Fate::Void => {}
            }
        }
        self.violations.extend(wrong);
        self.check_order();
    }

    /// Positions of a tenant are its own and ascend with time.
    fn check_order(&mut self) {
        let mut wrong = Vec::new();
        for tenant in &self.tenants {
            let stamp = |entry: &Entry| entry.stamp.map(|(timestamp, position)| (position, timestamp));
            let mut order: Vec<(u64, u64)> = Vec::new();
            for stream in tenant.streams.values() {
                let in_stream: Vec<_> = stream.records.values().filter_map(stamp).collect();
                if in_stream.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
                    wrong.push(format!("positions of a stream of {} do not ascend", tenant.name));
                }
                order.extend(in_stream);
            }
            order.sort_unstable();
            for pair in order.windows(2) {
                if pair[0].0 == pair[1].0 {
                    wrong.push(format!("position {} of {} is there twice", pair[0].0, tenant.name));
                }
                if pair[0].1 > pair[1].1 {
                    wrong.push(format!("time went back in {} at position {}", tenant.name, pair[1].0));
                }
            }
        }
        self.violations.extend(wrong);
    }

    /// A tenant's streams are lost, with all that was in them: all, or one.
    pub(crate) fn lose_streams(&mut self, tenant: u8, stream: Option<u32>) {
        let lost = |id: u32| stream.is_none_or(|stream| stream == id);
        self.tenant(tenant).streams.retain(|id, _| !lost(*id));
        if stream.is_none() {
            // Its keys were named by the same records; another tenant of the name may be made without one.
            self.tenant(tenant).secrecy = Secrecy::default();
        }
        for append in self.appends.iter_mut().filter(|append| append.tenant == tenant && lost(append.stream)) {
            // What damage took, it may give back.
            append.fate = Fate::Open;
        }
    }

    /// Records that are known to be there.
    pub(crate) fn records(&self) -> usize {
        self.tenants.iter().flat_map(|tenant| tenant.streams.values()).map(|stream| stream.records.len()).sum()
    }

    pub(crate) fn make_stream(&mut self, tenant: u8, id: StreamId, name: u8) {
        let since = self.now;
        let fresh = Stream {
            name,
            life: Life::Here,
            since,
            records: BTreeMap::new(),
            certain: 0,
            impaired: false,
            secrecy: Secrecy::default(),
        };
        let stream = self.tenant(tenant).streams.entry(id.0).or_insert(fresh);
        if stream.name != name {
            self.violate(format!("stream {} of tenant {tenant} has two names", id.0));
        }
    }
}

/// Within so much of its time a flush that is due has ended, on a disk that is not slow, and shards that are stepped.
const PUNCTUAL_NS: u64 = 30_000_000;
/// More tenants than a plan names.
pub(crate) const TENANTS: usize = 16;

/// What the survey of a stream found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// Its end.
    pub(crate) next: u64,
    /// Offsets below the end that were refused as damaged.
    pub(crate) unreadable: Vec<std::ops::Range<u64>>,
    /// The engine says that something is lost here.
    pub(crate) named: bool,
    /// What is older is vouched for by more than itself: its loss must be named.
    pub(crate) vouched_before: u64,
    /// What is below the end cannot be read: it is erased, or a key to it is destroyed.
    pub(crate) hidden: bool,
    /// The stream takes no appends.
    pub(crate) frozen: bool,
    /// The disk was given faults that may cost records.
    pub(crate) excused: bool,
}
