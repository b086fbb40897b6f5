//! Requests as the model knows them, and what may be answered to each.

use crate::keys::Keys;
use crate::level::Policy;
use crate::model::{Life, Model, Shown};
use crate::payload;
use crate::plan::Place;
use crate::secrecy::Erased;
use kernel::{Level, Listing, Refusal, StreamId};
use shard::wire::{Done, Failure, ReadRecords, Reply};

/// A request that was sent, and what was certain then: an answer may know more, never less.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) what: What,
    pub(crate) shard: u16,
    /// The stream's certain end; of a creation, an id that is certainly free, with all above it.
    certain: u64,
    /// The tenant, and the stream if there is one, were surely there.
    was_here: bool,
    /// One of them was surely deleted.
    was_deleted: bool,
    /// Its data was surely erased, or its tenant's.
    was_erased: bool,
    /// The key that it introduces; 0 if none.
    key_id: u32,
    /// The moment, as the model counts them.
    tick: u64,
    /// The tenant's policy, if that was certain, and how often it was to be changed before.
    policy: (Option<Policy>, u32),
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Append { append: u32, tenant: u8, stream: u32, expected: Option<u64>, level: Option<Level> },
    Read { tenant: u8, stream: u32, from: u64, max: u32 },
    Head { tenant: u8, stream: u32 },
    Resolve(Place),
    ListTenants,
    ListStreams(u8),
    CreateTenant(u8),
    CreateStream(Place),
    DeleteStream { tenant: u8, stream: u32 },
    DeleteTenant(u8),
    SetPolicy(u8, Policy),
    IntroduceKey { tenant: u8, stream: Option<u32> },
    Erase { tenant: u8, stream: Option<u32> },
    Sync,
}

/// What the faults so far allow the engine to answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// A write or a flush failed in this opening.
    pub(crate) failure: bool,
    /// A segment could not be made.
    pub(crate) no_segment: bool,
    /// Reads failed, or gave wrong bytes.
    pub(crate) bad_reads: bool,
    /// Bytes were spoilt, in this opening or before.
    pub(crate) damage: bool,
}

/// Names of commands and outcomes, for the coverage.
pub(crate) type Outcome = (&'static str, &'static str);

impl What {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            What::Append { expected: None, .. } => "append",
            What::Append { expected: Some(_), .. } => "append at an offset",
            What::Read { .. } => "read",
            What::Head { .. } => "head",
            What::Resolve(_) => "resolve",
            What::ListTenants => "list tenants",
            What::ListStreams(_) => "list streams",
            What::CreateTenant(_) => "create a tenant",
            What::CreateStream(_) => "create a stream",
            What::DeleteStream { .. } => "delete a stream",
            What::DeleteTenant(_) => "delete a tenant",
            What::SetPolicy(..) => "set a policy",
            What::IntroduceKey { stream: None, .. } => "change a tenant's key",
            What::IntroduceKey { .. } => "change a stream's key",
            What::Erase { stream: None, .. } => "erase a tenant",
            What::Erase { .. } => "erase a stream",
            What::Sync => "sync",
        }
    }

    pub(crate) fn tenant(&self) -> Option<u8> {
        match *self {
            What::Append { tenant, .. }
            | What::Read { tenant, .. }
            | What::Head { tenant, .. }
            | What::DeleteStream { tenant, .. }
            | What::IntroduceKey { tenant, .. }
            | What::Erase { tenant, .. }
            | What::ListStreams(tenant)
            | What::CreateTenant(tenant)
            | What::DeleteTenant(tenant)
            | What::SetPolicy(tenant, _) => Some(tenant),
            What::Resolve(place) | What::CreateStream(place) => Some(place.tenant),
            What::ListTenants | What::Sync => None,
        }
    }

    fn stream(&self) -> Option<u32> {
        match *self {
            What::Append { stream, .. }
            | What::Read { stream, .. }
            | What::Head { stream, .. }
            | What::DeleteStream { stream, .. } => Some(stream),
            What::IntroduceKey { stream, .. } | What::Erase { stream, .. } => stream,
            _ => None,
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        match *self {
            What::Append { append, tenant, stream, expected, level } => {
                write!(f, " {append} to {tenant}/{stream}")?;
                expected.map_or(Ok(()), |expected| write!(f, " at {expected}"))?;
                level.map_or(Ok(()), |level| write!(f, ", {level:?}"))
            }
            What::Read { tenant, stream, from, max } => write!(f, " {tenant}/{stream} from {from}, {max} at most"),
            What::Head { tenant, stream } | What::DeleteStream { tenant, stream } => write!(f, " {tenant}/{stream}"),
            What::Resolve(Place { tenant, stream }) | What::CreateStream(Place { tenant, stream }) => {
                write!(f, " stream-{stream} of {tenant}")
            }
            What::ListStreams(tenant) | What::CreateTenant(tenant) | What::DeleteTenant(tenant) => {
                write!(f, " {tenant}")
            }
            What::SetPolicy(tenant, policy) => write!(f, " of {tenant}: {policy:?}"),
            What::IntroduceKey { tenant, stream } | What::Erase { tenant, stream } => {
                write!(f, " of {tenant}")?;
                stream.map_or(Ok(()), |stream| write!(f, "/{stream}"))
            }
            What::ListTenants | What::Sync => Ok(()),
        }
    }
}

impl Sent {
    /// Notes a request as it is sent; what it may change is not certain from now on.
    pub(crate) fn new(what: What, shard: u16, key_id: u32, model: &mut Model) -> Sent {
        let (tenant, stream) = (what.tenant(), what.stream());
        let tenant_life = tenant.and_then(|tenant| model.tenant(tenant).life);
        let known = tenant.zip(stream).and_then(|(tenant, stream)| model.stream(tenant, stream));
        let stream_life = known.map(|stream| stream.life);
        let certain = match what {
            // Ids are not given again: the next one is above all that are known.
            What::CreateStream(place) => {
                model.tenant(place.tenant).streams.keys().next_back().map_or(1, |id| u64::from(*id) + 1)
            }
            _ => known.map_or(0, |stream| stream.certain),
        };
        let here = |life: Option<Life>| life == Some(Life::Here);
        let named = match what {
            What::Resolve(place) => model.stream_named(place.tenant, place.stream).is_some(),
            _ => stream.is_none() || here(stream_life),
        };
        let was_here = here(tenant_life) && named;
        let was_deleted = tenant_life == Some(Life::Deleted) || stream_life == Some(Life::Deleted);
        let was_erased = tenant.is_some_and(|tenant| model.erased(tenant, stream) == Erased::Yes);
        let policy = tenant.map_or((None, 0), |tenant| model.policy(tenant));
        match what {
            What::Erase { tenant, stream } => {
                if let Some(secrecy) = model.secrecy(tenant, stream) {
                    secrecy.erasure_asked();
                }
            }
            What::SetPolicy(tenant, _) => {
                model.tenant(tenant).change_policy(None);
                model.tenant(tenant).changing += 1;
            }
            What::CreateTenant(tenant) => {
                model.tenant(tenant).life.get_or_insert(Life::Asked);
            }
            What::CreateStream(Place { tenant, stream }) => model.tenant(tenant).asked.push(stream),
            What::DeleteStream { tenant, stream } => {
                if let Some(stream) = model.tenant(tenant).streams.get_mut(&stream) {
                    stream.life = stream.life.max(Life::Dying);
                }
            }
            What::DeleteTenant(tenant) => {
                let life = &mut model.tenant(tenant).life;
                *life = life.map(|life| life.max(Life::Dying)).or(Some(Life::Dying));
            }
            _ => {}
        }
        Sent { what, shard, certain, was_here, was_deleted, was_erased, key_id, tick: model.tick, policy }
    }

    /// Holds an answer against the model, and takes it into it.
    pub(crate) fn answered(
        self,
        reply: &Reply,
        data: &[u8],
        allowed: Allowed,
        keys: &mut Keys,
        model: &mut Model,
    ) -> Outcome {
        let name = self.what.name();
        if let What::SetPolicy(tenant, _) = self.what {
            model.tenant(tenant).changing -= 1;
        }
        match &reply.outcome {
            Ok(done) => {
                self.done(done, data, allowed, keys, model);
                (name, "done")
            }
            Err(Failure::Refused(refusal)) => {
                self.refused(refusal, allowed, keys, model);
                (name, if *refusal == Refusal::Erased { "refused: erased" } else { "refused" })
            }
            Err(failure) => {
                let (label, fits) = match failure {
                    Failure::ShardFailed => ("shard failed", allowed.failure),
                    Failure::NoSegment { .. } => ("no segment", allowed.no_segment),
                    Failure::Damaged { .. } => ("damaged", allowed.damage || allowed.bad_reads),
                    Failure::ReadFailed { .. } => ("read failed", allowed.bad_reads || allowed.damage),
                    // What an erasure destroyed, an older copy of the directory names again.
                    Failure::NoKey { .. } => ("no key", allowed.damage || self.may_lack_a_key(keys, model)),
                    _ => ("unknown failure", false),
                };
                if !fits {
                    model.violate(format!("{self:?} was answered \"{failure}\", without any cause"));
                }
                if matches!(failure, Failure::NoSegment { .. } | Failure::NoKey { .. }) {
                    self.nothing_changed(keys, model);
                }
                (name, label)
            }
        }
    }

    fn done(&self, done: &Done, data: &[u8], allowed: Allowed, keys: &mut Keys, model: &mut Model) {
        // What is deleted is still in the log, and can be erased.
        if self.was_deleted && !matches!(self.what, What::Erase { .. }) {
            model.violate(format!("{self:?} was answered {done:?} after a deletion"));
        }
        let about_data = matches!(
            self.what,
            What::Append { .. } | What::Read { .. } | What::CreateStream(_) | What::IntroduceKey { .. }
        );
        if self.was_erased && about_data {
            model.violate(format!("{self:?} was answered {done:?} after an erasure"));
        }
        self.tenant_is_there(model);
        match (&self.what, done) {
            (
                &What::Append { append, tenant, expected, level: asked, .. },
                &Done::Appended { first, count, timestamp, level },
            ) => {
                let policy = self.certain_policy(tenant, model);
                let least = policy.map(|policy| asked.unwrap_or(policy.level()).max(policy.level()));
                if least.is_some_and(|least| level < least) || asked < policy.map(Policy::level) && asked.is_some() {
                    model.violate(format!("{self:?} reached {level:?}"));
                }
                let interval =
                    policy.map(|policy| if asked.is_some() { Policy::NATURAL } else { policy }.interval_ns());
                model.promise = (level, interval);
                if first < self.certain || expected.is_some_and(|expected| expected != first) {
                    model.violate(format!("{self:?} was put at offset {first}"));
                }
                model.acknowledge(append, first, count, timestamp);
            }
            (&What::Read { tenant, stream, from, max }, &Done::Read { records, next }) => {
                self.check_end(next, model);
                let forgeable = allowed.damage && keys.has_unnamed(model.tenant(tenant).id.0);
                self.records(tenant, stream, from, (records, max), next, data, forgeable, model);
            }
            (What::Head { .. }, &Done::Head { next, .. }) => self.check_end(next, model),
            (&What::Resolve(place), &Done::Resolved { stream, .. }) => self.found(place, stream, allowed.damage, model),
            (What::ListTenants, Done::Listed { .. }) => {
                for entry in Listing::new(data) {
                    if model.tenant_of_id(entry.id).is_none_or(|tenant| model.tenant(tenant).life.is_none()) {
                        model.violate(format!("a list has tenant {:?}, which nobody made", entry.name));
                    }
                }
            }
            (&What::ListStreams(tenant), Done::Listed { .. }) => {
                for entry in Listing::new(data) {
                    let known = model.stream(tenant, entry.id as u32);
                    let fits =
                        known.is_none_or(|stream| stream_name(stream.name) == entry.name || entry.name.is_empty());
                    if !fits {
                        model.violate(format!("a list has stream {} under the name {:?}", entry.id, entry.name));
                    }
                }
            }
            (&What::CreateTenant(tenant), Done::TenantCreated) => {
                model.tenant(tenant).since = model.now;
                let life = &mut model.tenant(tenant).life;
                *life = life.map(|life| life.max(Life::Here));
                self.introduced(tenant, None, model);
            }
            (&What::CreateStream(place), &Done::StreamCreated { stream }) => {
                self.not_asked_any_more(model);
                if u64::from(stream.0) < self.certain {
                    model.violate(format!("{self:?} was given the id {}, which another stream has", stream.0));
                }
                model.make_stream(place.tenant, stream, place.stream);
                keys.assign((model.tenant(place.tenant).id.0, self.key_id), stream.0);
                self.introduced(place.tenant, Some(stream.0), model);
            }
            (&What::IntroduceKey { tenant, stream }, Done::KeyIntroduced) => self.introduced(tenant, stream, model),
            (&What::Erase { tenant, stream }, Done::Erased) => {
                let now = model.now;
                if let Some(secrecy) = model.secrecy(tenant, stream) {
                    secrecy.erasure_done(now);
                }
                keys.destroy(model.tenant(tenant).id.0, stream);
            }
            (&What::DeleteStream { tenant, stream }, Done::Deleted) => {
                let now = model.now;
                if let Some(stream) = model.tenant(tenant).streams.get_mut(&stream) {
                    (stream.life, stream.since) = (Life::Deleted, now);
                }
            }
            (&What::SetPolicy(tenant, policy), Done::DurabilitySet) => {
                // If others were asked for meanwhile, or before and are still on their way, nobody knows which was the last.
                let alone = self.policy.1 + 1 == model.policy(tenant).1 && model.tenant(tenant).changing == 0;
                model.tenant(tenant).change_policy(alone.then_some(policy));
            }
            (What::Sync, Done::Synced) => model.synced(self.shard, self.tick),
            (&What::DeleteTenant(tenant), Done::Deleted) => {
                model.tenant(tenant).since = model.now;
                model.tenant(tenant).life = Some(Life::Deleted);
            }
            (what, done) => model.violate(format!("{what:?} was answered {done:?}")),
        }
    }

    /// The key that the request came with seals from here on.
    fn introduced(&self, tenant: u8, stream: Option<u32>, model: &mut Model) {
        let now = model.now;
        if let Some(secrecy) = model.secrecy(tenant, stream) {
            secrecy.introduced(self.key_id, now);
        }
    }

    fn may_lack_a_key(&self, keys: &Keys, model: &Model) -> bool {
        let (What::Append { tenant, stream, .. } | What::Read { tenant, stream, .. }) = self.what else {
            return false;
        };
        // What is erased is refused as that, whoever has the key.
        !self.was_erased && keys.has_lost(model.tenants[usize::from(tenant)].id.0, stream)
    }

    /// The policy that the tenant surely had from the request to its answer.
    fn certain_policy(&self, tenant: u8, model: &Model) -> Option<Policy> {
        self.policy.0.filter(|_| self.policy == model.policy(tenant))
    }

    /// Whatever is answered of a tenant shows that it was made, also to who was not told yet.
    fn tenant_is_there(&self, model: &mut Model) {
        let now = model.now;
        if let Some(tenant) = self.what.tenant()
            && model.tenant(tenant).life.is_none_or(|life| life == Life::Asked)
        {
            (model.tenant(tenant).life, model.tenant(tenant).since) = (Some(Life::Here), now);
        }
    }

    fn check_end(&self, next: u64, model: &mut Model) {
        if next < self.certain {
            model.violate(format!("{self:?} was told the end {next}"));
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the request's and the answer's fields")]
    fn records(
        &self,
        tenant: u8,
        stream: u32,
        from: u64,
        (records, max): (u32, u32),
        next: u64,
        data: &[u8],
        forgeable: bool,
        model: &mut Model,
    ) {
        let (mut offset, mut count) = (from, 0);
        for record in ReadRecords::new(data) {
            if record.offset != offset {
                model.violate(format!("{self:?} gave offset {} in place of {offset}", record.offset));
            }
            let &shard::wire::ReadRecord { timestamp, position, payload, .. } = &record;
            if !(forgeable && payload::is_forged(payload)) {
                model.show(tenant, stream, &Shown { offset: record.offset, timestamp, position, payload });
            }
            (offset, count) = (record.offset + 1, count + 1);
        }
        let wanting = from < next && max > 0 && count == 0;
        if count != records || count > max || offset > next || wanting {
            model.violate(format!("{self:?} gave {count} records, said {records}, and the end {next}"));
        }
    }

    /// A name led to an id.
    fn found(&self, place: Place, id: StreamId, damaged: bool, model: &mut Model) {
        let Place { tenant, stream: name } = place;
        let asked = model.tenant(tenant).asked.contains(&name);
        match model.stream(tenant, id.0) {
            Some(stream) if stream.name != name => model.violate(format!("{self:?} led to stream {}", id.0)),
            Some(_) => {}
            None if asked => {
                // Made by somebody who has not been told yet.
                model.make_stream(tenant, id, name);
            }
            // The record of a creation that was lost may be back, or the one of a deletion gone.
            None if damaged => model.make_stream(tenant, id, name),
            None => model.violate(format!("{self:?} led to stream {}, which nobody made", id.0)),
        }
    }

    fn refused(&self, refusal: &Refusal, allowed: Allowed, keys: &mut Keys, model: &mut Model) {
        // Of now, since to refuse an erasure changes it.
        let erased = self.what.tenant().map(|tenant| model.erased(tenant, self.what.stream()));
        self.nothing_changed(keys, model);
        if matches!(refusal, Refusal::TenantExists | Refusal::StreamExists { .. } | Refusal::WrongExpectedOffset { .. })
        {
            self.tenant_is_there(model);
        }
        let tenant = self.what.tenant();
        let tenant_life = tenant.and_then(|tenant| model.tenant(tenant).life);
        let stream = tenant.zip(self.what.stream()).and_then(|(tenant, stream)| model.stream(tenant, stream));
        let at_least = |life: Option<Life>, least: Life| life.is_some_and(|life| life >= least);
        let fits = match *refusal {
            Refusal::UnknownTenant => !self.was_here,
            Refusal::UnknownStream => {
                // A name is lost with the record of its stream's creation.
                !self.was_here || self.may_be_missing(model) || allowed.damage && matches!(self.what, What::Resolve(_))
            }
            Refusal::TenantExists => at_least(tenant_life, Life::Asked),
            Refusal::StreamExists { stream } => {
                if let What::CreateStream(place) = self.what {
                    self.found(place, stream, allowed.damage, model);
                }
                true
            }
            Refusal::StreamDeleted => at_least(stream.map(|stream| stream.life), Life::Dying),
            Refusal::TenantDeleted => at_least(tenant_life, Life::Dying),
            Refusal::WrongExpectedOffset { expected, actual } => {
                let asked = matches!(self.what, What::Append { expected: Some(asked), .. } if asked == expected);
                asked && actual != expected && actual >= self.certain
            }
            Refusal::OffsetBeyondEnd { from, next } => from > next && next >= self.certain,
            Refusal::Frozen => allowed.damage,
            // What damage took, it may give back.
            Refusal::Erased => allowed.damage || erased >= Some(Erased::Maybe),
            Refusal::KeyIdNotAscending { key_id, last } => {
                let drawn = tenant.map_or(0, |tenant| keys.last(model.tenant(tenant).id.0));
                key_id == self.key_id && key_id <= last && last <= drawn
            }
            Refusal::StreamHasNoKey => allowed.damage || !stream.is_some_and(|stream| model.has_own_key(stream.name)),
            Refusal::TenantHasNoKey => {
                let sealed = |tenant| model.is_sealed(tenant) || model.tenants[usize::from(tenant)].secrecy.key() > 0;
                allowed.damage || !tenant.is_some_and(sealed)
            }
            Refusal::BelowDefault { asked, default } => {
                let policy = tenant.and_then(|tenant| self.certain_policy(tenant, model));
                asked < default && policy.is_none_or(|policy| policy.level() == default)
            }
            _ => false,
        };
        if !fits {
            model.violate(format!("{self:?} was refused: {refusal}"));
        }
    }

    /// Whether a name that surely led to a stream may lead nowhere now: somebody deletes the stream.
    fn may_be_missing(&self, model: &Model) -> bool {
        let What::Resolve(place) = self.what else { return false };
        let streams = model.tenants[usize::from(place.tenant)].streams.values();
        streams.filter(|stream| stream.name == place.stream).any(|stream| stream.life >= Life::Dying)
    }

    fn nothing_changed(&self, keys: &mut Keys, model: &mut Model) {
        if let Some(tenant) = self.what.tenant().filter(|_| self.key_id > 0) {
            keys.put_back((model.tenant(tenant).id.0, self.key_id));
        }
        match self.what {
            What::Erase { tenant, stream } => {
                if let Some(secrecy) = model.secrecy(tenant, stream) {
                    secrecy.erasure_refused();
                }
            }
            What::Append { append, .. } => model.void(append),
            What::CreateStream(_) => self.not_asked_any_more(model),
            _ => {}
        }
    }

    fn not_asked_any_more(&self, model: &mut Model) {
        if let What::CreateStream(Place { tenant, stream }) = self.what {
            let asked = &mut model.tenant(tenant).asked;
            if let Some(at) = asked.iter().position(|name| *name == stream) {
                asked.swap_remove(at);
            }
        }
    }
}

/// A stream's name by its number.
pub(crate) fn stream_name(number: u8) -> String {
    format!("stream-{number}")
}

/// The number of a stream's name.
pub(crate) fn stream_number(name: &str) -> Option<u8> {
    name.strip_prefix("stream-")?.parse().ok()
}
