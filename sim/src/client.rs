//! A client in the simulation: it sends what its plan says, takes answers, and holds them against the model.

use crate::coverage::Coverage;
use crate::engine::{Engine, Rung};
use crate::keys::{Keys, UNASSIGNED};
use crate::model::{Life, Model};
use crate::payload::{self, Identity, PAYLOAD_MIN};
use crate::plan::{Action, Expected, Place};
use crate::sent::{Allowed, Sent, What, stream_name};
use kernel::{NewKey, StreamId, TenantId};
use shard::limits::READ_BYTES_MAX;
use shard::wire::{Reply, Request};
use shard::{ClientPort, port};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A thread's way to the shards, with what it is owed.
pub(crate) struct SimClient {
    ports: Vec<Option<ClientPort>>,
    rung: Rung,
    window: usize,
    pub(crate) pending: BTreeMap<u64, Sent>,
    pub(crate) steps: VecDeque<Action>,
    next_token: u64,
    /// It does nothing before this time.
    pub(crate) pause_until: u64,
    parked: bool,
}

/// What came of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// A request was sent.
    Sent,
    /// The step needed none, or was put off: go on with the next.
    Skipped,
    /// There is no room; try again later.
    Full,
}

impl SimClient {
    pub(crate) fn new(shards: u16, window: u16) -> SimClient {
        SimClient {
            ports: (0..shards).map(|_| None).collect(),
            rung: Rung::new(),
            window: window.into(),
            pending: BTreeMap::new(),
            steps: VecDeque::new(),
            next_token: 1,
            pause_until: 0,
            parked: false,
        }
    }

    pub(crate) fn port(&mut self, shard: u16) -> Option<&mut ClientPort> {
        self.ports[usize::from(shard)].as_mut()
    }

    pub(crate) fn ports_mut(&mut self) -> impl Iterator<Item = &mut ClientPort> {
        self.ports.iter_mut().flatten()
    }

    pub(crate) fn has_replies(&self) -> bool {
        self.ports.iter().flatten().any(|port| !port.replies.is_empty())
    }

    /// Whether and when it does something: sends, takes, or finds that it can sleep.
    pub(crate) fn due(&self, now: u64) -> Option<u64> {
        if self.parked {
            return self.rung.is_rung().then_some(now);
        }
        if self.pending.is_empty() && self.steps.is_empty() {
            return None;
        }
        Some(now.max(self.pause_until))
    }

    /// Takes what was answered; `told` gets each answer with its request.
    pub(crate) fn take(
        &mut self,
        allowed: Allowed,
        keys: &mut Keys,
        model: &mut Model,
        coverage: &mut Coverage,
        mut told: impl FnMut(u64, &Sent, &Reply),
    ) {
        if std::mem::take(&mut self.parked) {
            self.rung.wake();
        }
        let SimClient { ports, pending, .. } = self;
        for port in ports.iter_mut().flatten() {
            let (_, with_data) = port.take(|reply: Reply, data| match pending.remove(&reply.token) {
                Some(sent) => {
                    told(reply.token, &sent, &reply);
                    coverage.answer(sent.answered(&reply, data, allowed, keys, model));
                }
                None => model.violate(format!("an answer to token {}, which was answered or never sent", reply.token)),
            });
            if with_data {
                port.shard.ring();
            }
        }
    }

    /// The token of the request that was sent last.
    pub(crate) fn last_token(&self) -> u64 {
        self.next_token - 1
    }

    /// Sleeps if it has nothing to do but wait, as a waiting client does.
    pub(crate) fn rest(&mut self) {
        let waits = !self.pending.is_empty() && (self.steps.is_empty() || self.pending.len() >= self.window);
        if waits {
            self.rung.park();
            self.parked = !self.has_replies();
            if !self.parked {
                self.rung.wake();
            }
        }
    }

    /// Sends the next step of the plan.
    pub(crate) fn send_next(&mut self, engine: &mut Engine, keys: &mut Keys, model: &mut Model, now: u64) -> Sending {
        let Some(&action) = self.steps.front() else {
            return Sending::Full;
        };
        match action {
            Action::Pause(ns) => self.pause_until = now + ns,
            Action::Detach => self.detach(),
            _ => {
                let (what, done) = resolve(action, model, engine.placement.shards());
                let sending = match what {
                    Some(what) => self.send(what, action, engine, keys, model),
                    None => Sending::Skipped,
                };
                if sending == Sending::Full || !done && sending == Sending::Sent {
                    return sending;
                }
                self.steps.pop_front();
                return sending;
            }
        }
        self.steps.pop_front();
        Sending::Skipped
    }

    /// Sends a request, if its shard has room for it.
    fn send(&mut self, what: What, action: Action, engine: &mut Engine, keys: &mut Keys, model: &mut Model) -> Sending {
        let shard = shard_of(&what, action, engine, model);
        let in_flight = self.pending.values().filter(|sent| sent.shard == shard).count();
        if in_flight >= self.window || !self.attach(shard, engine) {
            return Sending::Full;
        }
        let key = draw_key(&what, keys, model);
        // There before the request is, as a client's is.
        let given = key.is_none_or(|(tenant, key)| engine.add_key(shard, (tenant, key.key_id), keys));
        let Some(port) = self.ports[usize::from(shard)].as_mut().filter(|_| given) else {
            return nothing_sent(&what, key, keys, model);
        };
        let (names, payloads) = (Names::of(&what, model), payloads(&what, action));
        let records: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let request = request(&what, &names, key.map(|(_, key)| key), &records);
        let Ok(out) = port.requests.reserve(request.encoded_bytes()) else {
            return nothing_sent(&what, key, keys, model);
        };
        request.encode(self.next_token, out);
        port.requests.commit();
        port.requests.publish();
        port.shard.ring();
        let key_id = key.map_or(0, |(_, key)| key.key_id);
        self.pending.insert(self.next_token, Sent::new(what, shard, key_id, model));
        self.next_token += 1;
        Sending::Sent
    }

    pub(crate) fn attach(&mut self, shard: u16, engine: &mut Engine) -> bool {
        let place = &mut self.ports[usize::from(shard)];
        if place.is_none() {
            let (ours, theirs) = port(self.window, engine.doorbell(shard), Arc::clone(&self.rung.bell));
            if !engine.attach(shard, theirs) {
                return false;
            }
            *place = Some(ours);
        }
        true
    }

    /// Leaves all shards, whatever they owe: nobody will ever know what became of that.
    pub(crate) fn detach(&mut self) {
        self.pending.clear();
        for port in self.ports.iter_mut().filter_map(Option::take) {
            let bell = Arc::clone(&port.shard);
            drop(port);
            bell.ring();
        }
    }
}

/// Draws the key that a request introduces, if it does; with its tenant's id.
fn draw_key(what: &What, keys: &mut Keys, model: &Model) -> Option<(u64, NewKey)> {
    let (tenant, stream) = match *what {
        What::CreateTenant(tenant) if model.is_sealed(tenant) => (tenant, 0),
        What::CreateStream(place) if model.has_own_key(place.stream) => (place.tenant, UNASSIGNED),
        What::IntroduceKey { tenant, stream } => (tenant, stream.unwrap_or(0)),
        _ => return None,
    };
    let tenant = model.tenants[usize::from(tenant)].id.0;
    Some((tenant, keys.draw(tenant, stream)))
}

/// There was no room for a request: what was prepared for it is for the next one.
fn nothing_sent(what: &What, key: Option<(u64, NewKey)>, keys: &mut Keys, model: &mut Model) -> Sending {
    if let Some((tenant, key)) = key {
        keys.put_back((tenant, key.key_id));
    }
    if let What::Append { append, .. } = *what {
        model.void(append);
    }
    Sending::Full
}

/// What a step comes to now: a request, or none; and whether the step is done with it, or waits for what the request makes.
fn resolve(action: Action, model: &mut Model, shards: u16) -> (Option<What>, bool) {
    let made = |model: &mut Model, place: Place| match model.tenant(place.tenant).life {
        None | Some(Life::Asked) => Err(What::CreateTenant(place.tenant)),
        Some(Life::Here) => match model.stream_named(place.tenant, place.stream) {
            Some(stream) => Ok(stream),
            None => Err(What::CreateStream(place)),
        },
        // Its name stays taken: the step goes to nobody.
        Some(Life::Dying | Life::Deleted) => Err(What::Head { tenant: place.tenant, stream: 1 }),
    };
    let with = |model: &mut Model, place: Place, what: &dyn Fn(&mut Model, u32) -> What| match made(model, place) {
        Ok(stream) => (Some(what(model, stream)), true),
        // Asked for once, and the step is over if it would wait: others may follow that find it made.
        Err(other) => (Some(other), true),
    };
    match action {
        Action::Append { place, count, expected, level, .. } => with(model, place, &|model, stream| {
            let certain = model.stream(place.tenant, stream).map_or(0, |stream| stream.certain);
            let expected = match expected {
                Expected::Any => None,
                Expected::Next => Some(certain),
                Expected::Wrong => Some(certain + 1_000_000),
            };
            let (append, level) = (model.send(place.tenant, stream, count), level.level());
            What::Append { append, tenant: place.tenant, stream, expected, level }
        }),
        Action::Read { place, back, max } => with(model, place, &|model, stream| {
            let certain = model.stream(place.tenant, stream).map_or(0, |stream| stream.certain);
            What::Read { tenant: place.tenant, stream, from: certain.saturating_sub(back.into()), max: max.into() }
        }),
        Action::Head(place) => with(model, place, &|_, stream| What::Head { tenant: place.tenant, stream }),
        Action::DeleteStream(place) => {
            with(model, place, &|_, stream| What::DeleteStream { tenant: place.tenant, stream })
        }
        Action::AppendToDeleted(place) => {
            let deleted = model.stream_deleted(place.tenant, place.stream);
            let append = |stream| What::Append {
                append: model.send(place.tenant, stream, 1),
                tenant: place.tenant,
                stream,
                expected: None,
                level: None,
            };
            (deleted.map(append), true)
        }
        Action::Resolve(place) => (Some(What::Resolve(place)), true),
        Action::ListTenants(shard) => ((shard < shards).then_some(What::ListTenants), true),
        Action::ListStreams(tenant) => (Some(What::ListStreams(tenant)), true),
        Action::CreateTenant(tenant) => (Some(What::CreateTenant(tenant)), true),
        Action::CreateStream(place) => (Some(What::CreateStream(place)), true),
        Action::DeleteTenant(tenant) => {
            let here = model.tenant(tenant).life == Some(Life::Here);
            (here.then_some(What::DeleteTenant(tenant)), true)
        }
        Action::SetPolicy(tenant, policy) => {
            let here = model.tenant(tenant).life == Some(Life::Here);
            (here.then_some(What::SetPolicy(tenant, policy)), true)
        }
        Action::ChangeKey(tenant) | Action::Erase(tenant) if model.tenant(tenant).life != Some(Life::Here) => {
            (None, true)
        }
        Action::ChangeKey(tenant) => (Some(What::IntroduceKey { tenant, stream: None }), true),
        Action::Erase(tenant) => (Some(What::Erase { tenant, stream: None }), true),
        Action::ChangeStreamKey(place) => {
            with(model, place, &|_, stream| What::IntroduceKey { tenant: place.tenant, stream: Some(stream) })
        }
        Action::EraseStream(place) => {
            with(model, place, &|_, stream| What::Erase { tenant: place.tenant, stream: Some(stream) })
        }
        Action::Sync(shard) => ((shard < shards).then_some(What::Sync), true),
        Action::Detach | Action::Pause(_) => (None, true),
    }
}

fn shard_of(what: &What, action: Action, engine: &Engine, model: &Model) -> u16 {
    let owner = |tenant: u8| engine.placement.shard_of(model.tenants[usize::from(tenant)].id.0);
    match (what, action) {
        (What::ListTenants, Action::ListTenants(shard)) | (What::Sync, Action::Sync(shard)) => shard,
        (What::ListTenants | What::Sync, _) => 0,
        (&What::Append { tenant, .. }, _)
        | (&What::Read { tenant, .. }, _)
        | (&What::Head { tenant, .. }, _)
        | (&What::DeleteStream { tenant, .. }, _)
        | (&What::IntroduceKey { tenant, .. } | &What::Erase { tenant, .. }, _)
        | (&What::ListStreams(tenant) | &What::CreateTenant(tenant) | &What::DeleteTenant(tenant), _)
        | (&What::SetPolicy(tenant, _), _) => owner(tenant),
        (&What::Resolve(place) | &What::CreateStream(place), _) => owner(place.tenant),
    }
}

/// The names that a request goes by.
struct Names {
    tenant: String,
    stream: String,
    id: TenantId,
}

impl Names {
    fn of(what: &What, model: &Model) -> Names {
        let (tenant, stream) = match *what {
            What::Resolve(place) | What::CreateStream(place) => (place.tenant, place.stream),
            What::Append { tenant, .. }
            | What::Read { tenant, .. }
            | What::Head { tenant, .. }
            | What::DeleteStream { tenant, .. }
            | What::IntroduceKey { tenant, .. }
            | What::Erase { tenant, .. }
            | What::ListStreams(tenant)
            | What::CreateTenant(tenant)
            | What::DeleteTenant(tenant)
            | What::SetPolicy(tenant, _) => (tenant, 0),
            What::ListTenants | What::Sync => (0, 0),
        };
        let tenant = &model.tenants[usize::from(tenant)];
        Names { tenant: tenant.name.clone(), stream: stream_name(stream), id: tenant.id }
    }
}

fn request<'a>(what: &What, names: &'a Names, key: Option<NewKey>, records: &'a [&'a [u8]]) -> Request<'a> {
    let (tenant, name) = (names.id, names.tenant.as_str());
    match *what {
        What::Append { stream, expected, level, .. } => {
            Request::Append { tenant, stream: StreamId(stream), expected, level, records }
        }
        What::Read { stream, from, max, .. } => {
            Request::Read { tenant, stream: StreamId(stream), from, records_max: max, bytes_max: READ_BYTES_MAX }
        }
        What::Head { stream, .. } => Request::Head { tenant, stream: StreamId(stream) },
        What::Resolve(_) => Request::Resolve { tenant: name, name: &names.stream },
        What::ListTenants => Request::ListTenants { after: None },
        What::ListStreams(_) => Request::ListStreams { tenant: name, after: kernel::CATALOG },
        What::CreateTenant(_) => Request::CreateTenant { name, key },
        What::CreateStream(_) => Request::CreateStream { tenant: name, name: &names.stream, key },
        What::DeleteStream { stream, .. } => Request::DeleteStream { tenant, stream: StreamId(stream) },
        What::DeleteTenant(_) => Request::DeleteTenant { tenant: name },
        What::SetPolicy(_, policy) => Request::SetDurability { tenant: name, durability: policy.durability() },
        What::IntroduceKey { stream, .. } => match key {
            Some(key) => Request::IntroduceKey { tenant: name, stream: stream.map(StreamId), key },
            None => unreachable!("a key was drawn for it"),
        },
        What::Erase { stream, .. } => Request::Erase { tenant: name, stream: stream.map(StreamId) },
        What::Sync => Request::Sync,
    }
}

/// The payloads of an append: of up to the plan's length, each another.
fn payloads(what: &What, action: Action) -> Vec<Vec<u8>> {
    let &What::Append { append, .. } = what else { return Vec::new() };
    let (count, bytes) = match action {
        Action::Append { count, bytes, .. } => (count, bytes),
        _ => (1, PAYLOAD_MIN as u32),
    };
    let payload = |index: u16| {
        let shorter = u32::from(index) * 7 + append % 13;
        let mut payload = vec![0; (bytes.saturating_sub(shorter) as usize).max(PAYLOAD_MIN)];
        payload::write(Identity { append, index }, &mut payload);
        payload
    };
    (0..count).map(payload).collect()
}

impl SimClient {
    /// Whether it has sent everything, and was answered.
    pub(crate) fn is_done(&self) -> bool {
        self.steps.is_empty() && self.pending.is_empty()
    }

    /// Does nothing before a time.
    pub(crate) fn busy(&mut self, until: u64) {
        self.pause_until = self.pause_until.max(until);
    }
}
