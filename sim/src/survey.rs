//! Reading everything back after an opening: what is there is held against what must be there, and what was open is settled.

use crate::client::{Sending, SimClient};
use crate::engine::Engine;
use crate::level::Asked;
use crate::memory;
use crate::model::{Life, Shown, Survey};
use crate::payload;
use crate::plan::Action;
use crate::secrecy::Erased;
use crate::sent::{stream_name, stream_number};
use crate::trace::Lane;
use crate::world::{Moved, World};
use iobackend::sim::{FaultKind, FaultRates};
use kernel::{Encryption, Listing, Refusal, StreamId};
use shard::limits::READ_BYTES_MAX;
use shard::wire::{Done, Failure, ReadRecord, ReadRecords, Reply, Request};
use std::collections::BTreeMap;

/// A mark frame vouches for the newest frames when the log has been quiet for 5 ms. So long before the end of an opening
/// something else vouches for every frame, if the disk was not slow.
pub(crate) const VOUCHED_NS: u64 = 50_000_000;

/// An answer with its data, copied.
type Answer = (Result<Done, Failure>, Vec<u8>);

impl World<'_> {
    /// Surveys every tenant. Faults are held back meanwhile; the machine may still go down by a script.
    pub(crate) fn survey(&mut self, engine: &mut Engine) -> Moved {
        self.disk.set_rates(FaultRates::none());
        if self.excused() {
            // The record of a policy may be among what is lost.
            self.model.tenants.iter_mut().for_each(|tenant| tenant.change_policy(None));
        }
        let mut surveyor = SimClient::new(engine.placement.shards(), 1);
        let moved = self.survey_tenants(engine, &mut surveyor);
        surveyor.detach();
        if moved == Some(()) {
            let excused = self.excused();
            self.model.settle(excused);
            self.coverage.records += self.model.records() as u64;
            return Moved::Done;
        }
        if self.disk.is_down().is_some() { Moved::Down } else { Moved::Done }
    }

    fn survey_tenants(&mut self, engine: &mut Engine, surveyor: &mut SimClient) -> Option<()> {
        let mut listed: BTreeMap<u64, (bool, Encryption)> = BTreeMap::new();
        for shard in 0..engine.placement.shards() {
            let (done, data) = self.ask(engine, surveyor, shard, &Request::ListTenants { after: None })?;
            self.expect(&done, "a list of tenants");
            for entry in Listing::new(&data) {
                if engine.placement.shard_of(entry.id) != shard {
                    self.model
                        .violate(format!("tenant {:?} is listed by shard {shard}, which does not own it", entry.name));
                }
                listed.insert(entry.id, (entry.deleted, entry.encryption));
            }
        }
        for id in listed.keys() {
            if self.model.tenant_of_id(*id).is_none() {
                self.model.violate(format!("tenant {id:016x} is listed, and nobody made it"));
            }
        }
        for tenant in 0..self.model.tenants.len() as u8 {
            let found = listed.get(&self.model.tenant(tenant).id.0).copied();
            self.settle_tenant(engine, tenant, found.map(|(deleted, _)| deleted));
            if let (Some(Life::Here), Some((_, encryption))) = (self.model.tenant(tenant).life, found) {
                self.settle_secrecy(engine, tenant, None, encryption);
                self.survey_streams(engine, surveyor, tenant)?;
            }
        }
        Some(())
    }

    /// What a list says of a tenant, against what is known: there or not, deleted or not.
    fn settle_tenant(&mut self, engine: &Engine, tenant: u8, found: Option<bool>) {
        let life = self.model.tenant(tenant).life;
        let now = match (life, found) {
            (None, None) | (Some(Life::Asked), None) => None,
            (Some(Life::Asked | Life::Here), Some(false)) | (Some(Life::Dying), Some(false)) => Some(Life::Here),
            (Some(Life::Dying | Life::Deleted), Some(true)) => Some(Life::Deleted),
            (life, found) => {
                let text = format!("tenant {tenant} was known as {life:?}, and is listed as {found:?}");
                // What is there again was hidden by damage before, and that was told.
                let since = if found.is_some() { u64::MAX } else { self.model.tenant(tenant).since };
                self.lost_or_wrong(engine, since, text);
                match found {
                    None => {
                        self.model.lose_streams(tenant, None);
                        None
                    }
                    Some(deleted) => Some(if deleted { Life::Deleted } else { Life::Here }),
                }
            }
        };
        self.model.tenant(tenant).life = now;
        if now.is_none() {
            self.model.tenant(tenant).asked.clear();
        }
    }

    /// What a list says of how a tenant or a stream is kept, against what is known.
    fn settle_secrecy(&mut self, engine: &Engine, tenant: u8, stream: Option<u32>, found: Encryption) {
        let sealed = stream.is_some() || self.model.is_sealed(tenant);
        let id = self.model.tenant(tenant).id.0;
        let drawn = self.keys.last(id);
        // Without the record of its creation a stream is taken for one that is kept as its tenant is.
        let own = |key_id| self.keys.stream_of((id, key_id)) == Some(stream.unwrap_or(0));
        let found = match found {
            Encryption::Aes256Gcm { key_id } if key_id <= drawn && !own(key_id) => Encryption::None,
            found => found,
        };
        let Some(secrecy) = self.model.secrecy(tenant, stream) else { return };
        let before = *secrecy;
        if let Some(since) = secrecy.settle(found, sealed) {
            let text = format!("tenant {tenant}, stream {stream:?}: known as {before:?}, and listed as {found}");
            self.lost_or_wrong(engine, since, text);
        }
        if matches!(found, Encryption::Aes256Gcm { key_id } if key_id > drawn) {
            self.model.violate(format!("tenant {tenant}, stream {stream:?} has {found}, which nobody drew"));
        }
    }

    /// A stream without a key of its own is kept as its tenant is.
    fn settle_stream_secrecy(&mut self, engine: &Engine, tenant: u8, stream: u32, found: Encryption) {
        let name = self.model.stream(tenant, stream).map(|stream| stream.name);
        let whole = self.model.tenant(tenant).secrecy;
        if whole.erased() == Erased::Yes || !name.is_some_and(|name| self.model.has_own_key(name)) {
            let as_tenant = Encryption::new(whole.erased() == Erased::Yes, whole.key());
            if found != as_tenant && !self.excused() {
                self.model.violate(format!("stream {tenant}/{stream} is listed as {found}, its tenant as {as_tenant}"));
            }
        } else {
            self.settle_secrecy(engine, tenant, Some(stream), found);
        }
    }

    /// A contradiction to what is known since some time, which damage may excuse, if the opening named it.
    fn lost_or_wrong(&mut self, engine: &Engine, since: u64, text: String) {
        if !self.excused() {
            self.model.violate(text);
        } else if !self.named(engine) && since < self.vouched_before() {
            self.model.violate(format!("{text}; bytes were spoilt, and nothing says so"));
        }
    }

    /// Whether the opening said that something is lost. To cut a torn tail says nothing of the kind.
    fn named(&self, engine: &Engine) -> bool {
        let report = &engine.report;
        !report.damage.is_empty() || report.frozen > 0
    }

    /// Since when it must have been known for something else to vouch for it: after a closing the manifest vouches for all;
    /// else a mark or a later frame, but never, if a flush lied, two faults met, or a shard could not write its marks.
    fn vouched_before(&self) -> u64 {
        let mut persistent = self.disk.injuries().iter().filter(|injury| injury.persistent).count();
        match self.since_swap {
            // Two files, and one accident: the first opening after it tells.
            Some(1) => persistent -= 1,
            // The next one judges anew what it finds, and streams may take appends again (docs/durability.md).
            Some(_) => return 0,
            None => {}
        }
        let fired = |kind| self.disk.fired_of(kind) > 0;
        let quiet = !fired(FaultKind::LyingFlush) && !fired(FaultKind::SlowIo);
        let wrote = !fired(FaultKind::WriteError) && !fired(FaultKind::ShortWrite) && !fired(FaultKind::NoSpace);
        if self.closed && persistent <= 1 && !self.spoilt && !fired(FaultKind::LyingFlush) {
            return self.last_end;
        }
        let vouched =
            quiet && wrote && !fired(FaultKind::FlushErrorOnce) && persistent <= 1 && !fired(FaultKind::FileLost);
        if vouched && (!self.spoilt || self.fresh) { self.last_end.saturating_sub(VOUCHED_NS) } else { 0 }
    }

    fn survey_streams(&mut self, engine: &mut Engine, surveyor: &mut SimClient, tenant: u8) -> Option<()> {
        let (name, id) = (self.model.tenant(tenant).name.clone(), self.model.tenant(tenant).id);
        let shard = engine.placement.shard_of(id.0);
        let request = Request::ListStreams { tenant: &name, after: kernel::CATALOG };
        let (done, data) = self.ask(engine, surveyor, shard, &request)?;
        self.expect(&done, "a list of streams");
        let mut listed: BTreeMap<u32, (bool, bool)> = BTreeMap::new();
        let mut kept: BTreeMap<u32, Encryption> = BTreeMap::new();
        for entry in Listing::new(&data) {
            let stream = entry.id as u32;
            listed.insert(stream, (entry.deleted, entry.frozen));
            kept.insert(stream, entry.encryption);
            if self.model.stream(tenant, stream).is_none() {
                self.adopt_stream(engine, tenant, stream, entry.name);
            }
        }
        self.model.tenant(tenant).asked.clear();
        let known: Vec<u32> = self.model.tenant(tenant).streams.keys().copied().collect();
        for stream in known {
            let found = listed.get(&stream).copied();
            self.settle_stream(engine, tenant, stream, found.map(|(deleted, _)| deleted));
            let here = self.model.stream(tenant, stream).is_some_and(|stream| stream.life == Life::Here);
            if let (true, Some((_, frozen))) = (here, found) {
                self.settle_stream_secrecy(engine, tenant, stream, kept[&stream]);
                self.survey_name(engine, surveyor, tenant, stream)?;
                self.survey_stream(engine, surveyor, tenant, stream, frozen)?;
            }
        }
        Some(())
    }

    /// A stream is listed that the model does not know: somebody asked for it and was not told.
    fn adopt_stream(&mut self, engine: &Engine, tenant: u8, stream: u32, name: &str) {
        let asked = stream_number(name).filter(|number| self.model.tenant(tenant).asked.contains(number));
        match asked {
            Some(number) => {
                let asked = &mut self.model.tenant(tenant).asked;
                if let Some(at) = asked.iter().position(|name| *name == number) {
                    asked.swap_remove(at);
                }
                self.model.make_stream(tenant, StreamId(stream), number);
            }
            // What damage took, it may give back.
            None => self.lost_or_wrong(
                engine,
                u64::MAX,
                format!("stream {stream} ({name:?}) of tenant {tenant} is listed, and nobody made it"),
            ),
        }
    }

    fn settle_stream(&mut self, engine: &Engine, tenant: u8, stream: u32, found: Option<bool>) {
        let Some((life, since)) = self.model.stream(tenant, stream).map(|stream| (stream.life, stream.since)) else {
            return;
        };
        let now = match (life, found) {
            (Life::Asked | Life::Here | Life::Dying, Some(false)) => Life::Here,
            (Life::Dying | Life::Deleted, Some(true)) => Life::Deleted,
            (life, found) => {
                let text = format!("stream {tenant}/{stream} was known as {life:?}, and is listed as {found:?}");
                self.lost_or_wrong(engine, if found.is_some() { u64::MAX } else { since }, text);
                match found {
                    None => {
                        self.model.lose_streams(tenant, Some(stream));
                        return;
                    }
                    Some(deleted) => {
                        if deleted {
                            Life::Deleted
                        } else {
                            Life::Here
                        }
                    }
                }
            }
        };
        if let Some(stream) = self.model.tenant(tenant).streams.get_mut(&stream) {
            stream.life = now;
        }
    }

    /// A stream that is there is found by its name, unless the records that say so were spoilt.
    fn survey_name(&mut self, engine: &mut Engine, surveyor: &mut SimClient, tenant: u8, stream: u32) -> Option<()> {
        let Some(number) = self.model.stream(tenant, stream).map(|stream| stream.name) else { return Some(()) };
        let (tenant_name, name) = (self.model.tenant(tenant).name.clone(), stream_name(number));
        let shard = engine.placement.shard_of(self.model.tenant(tenant).id.0);
        let resolve = Request::Resolve { tenant: &tenant_name, name: &name };
        let (done, _) = self.ask(engine, surveyor, shard, &resolve)?;
        let found = matches!(done, Ok(Done::Resolved { stream: found, .. }) if found.0 == stream);
        if !found && !self.excused() {
            self.model.violate(format!("stream {tenant}/{stream} is there, and {name:?} leads to {done:?}"));
        }
        Some(())
    }

    /// Reads a stream from its beginning to its end.
    fn survey_stream(
        &mut self,
        engine: &mut Engine,
        surveyor: &mut SimClient,
        tenant: u8,
        stream: u32,
        frozen: bool,
    ) -> Option<()> {
        let id = self.model.tenant(tenant).id;
        let shard = engine.placement.shard_of(id.0);
        let ask = Request::Head { tenant: id, stream: StreamId(stream) };
        let (done, _) = self.ask(engine, surveyor, shard, &ask)?;
        let Ok(Done::Head { next, .. }) = done else {
            self.model.violate(format!("the end of {tenant}/{stream} was answered {done:?}"));
            return Some(());
        };
        let mut survey = Survey { next, frozen, excused: self.excused(), ..Survey::default() };
        survey.named = self.named(engine);
        survey.vouched_before = self.vouched_before();
        survey.hidden = self.model.erased(tenant, Some(stream)) == Erased::Yes;
        let (mut from, mut again) = (0, 0);
        while from < next {
            let (records_max, bytes_max) = (u32::MAX, READ_BYTES_MAX);
            let read = Request::Read { tenant: id, stream: StreamId(stream), from, records_max, bytes_max };
            let (done, data) = self.ask(engine, surveyor, shard, &read)?;
            match done {
                Err(Failure::Refused(Refusal::Erased)) if survey.hidden => break,
                // What an erasure destroyed, an older copy of the directory names again.
                Err(Failure::NoKey { .. }) if self.excused() || self.keys.has_lost(id.0, stream) => {
                    survey.hidden = true;
                    break;
                }
                Ok(Done::Read { .. }) if !survey.hidden => {
                    let before = from;
                    for ReadRecord { offset, timestamp, position, payload, .. } in ReadRecords::new(&data) {
                        if payload::is_forged(payload) && self.excused() && self.keys.has_unnamed(id.0) {
                            survey.unreadable.push(offset..offset + 1);
                        } else {
                            self.model.show(tenant, stream, &Shown { offset, timestamp, position, payload });
                        }
                        from = offset + 1;
                    }
                    if from == before {
                        self.model.violate(format!("a read of {tenant}/{stream} from {from} of {next} gave nothing"));
                        return Some(());
                    }
                }
                Err(Failure::Damaged { .. } | Failure::ReadFailed { .. }) if self.may_fail_to_read() && again < 3 => {
                    // What failed once may succeed.
                    again += 1;
                    continue;
                }
                Err(Failure::Damaged { .. } | Failure::ReadFailed { .. }) if self.excused() => {
                    survey.unreadable.push(from..from + 1);
                    from += 1;
                }
                other => {
                    self.model
                        .violate(format!("a read of {tenant}/{stream} from {from} of {next} was answered {other:?}"));
                    return Some(());
                }
            }
        }
        survey.excused = self.excused();
        self.model.survey(tenant, stream, &survey);
        Some(())
    }

    fn may_fail_to_read(&self) -> bool {
        let allowed = self.allowed();
        allowed.bad_reads || allowed.damage
    }

    fn expect(&mut self, done: &Result<Done, Failure>, what: &str) {
        if let Err(failure) = done {
            self.model.violate(format!("{what} came to nothing: {failure}"));
        }
    }

    /// Sends one request and lets the engine run until it is answered. `None` if the machine went down.
    pub(crate) fn ask(
        &mut self,
        engine: &mut Engine,
        surveyor: &mut SimClient,
        shard: u16,
        request: &Request<'_>,
    ) -> Option<Answer> {
        if self.stopped() || surveyor.send_raw(engine, shard, request) != Sending::Sent {
            return None;
        }
        for _ in 0..1_000 {
            // The surveyor only waits, so the engine alone moves.
            let moved = self.move_until(engine, &mut [], |_| surveyor.has_answer());
            if let Some(answer) = surveyor.take_raw() {
                return Some(answer);
            }
            match moved {
                Moved::Down => return None,
                Moved::Stalled => {
                    self.model.violate(format!("nothing moves, and {request:?} is unanswered"));
                    return None;
                }
                Moved::Done if self.stopped() => return None,
                Moved::Done => {}
            }
        }
        None
    }

    /// Faults over, everything that is still possible must complete: a record more for every stream that is not damaged, read
    /// back, and a clean closing.
    pub(crate) fn last_opening(&mut self) {
        self.disk.set_rates(FaultRates::none());
        self.disk.clear_scripts();
        let shards = 1 + self.rng.below(3) as u16;
        let Some(first) = self.open(shards) else { return };
        // Where damage was found, the opening itself is news to the next one: what it pinned.
        let whole = first.report.damage.is_empty();
        let (hashes, found) = (first.state_hashes.clone(), first.found());
        drop(first);
        self.disk.kill();
        self.note(Lane::World, "crash", 0, || "Kill".into());
        // The same log gives the same state.
        let Some(mut engine) = self.open(shards) else { return };
        if whole && engine.state_hashes != hashes {
            let text = format!("two openings of one log came to two states: {found}, then {}", engine.found());
            self.model.violate(text);
        }
        if self.survey(&mut engine) != Moved::Done || self.stopped() {
            return;
        }
        self.append_everywhere(&mut engine);
        if self.stopped() {
            return;
        }
        let clock = self.clock();
        if let Err(error) = engine.close(clock) {
            self.model.violate(format!("the engine does not close, without faults: {error}"));
        }
        self.note(Lane::World, "closed", 0, || "closed".into());
        self.verify();
    }

    fn append_everywhere(&mut self, engine: &mut Engine) {
        let mut client = SimClient::new(engine.placement.shards(), 4);
        for tenant in 0..self.model.tenants.len() as u8 {
            if self.model.tenant(tenant).life != Some(Life::Here) {
                continue;
            }
            let streams = self.model.tenant(tenant).streams.iter();
            let whole: Vec<u8> = streams
                .filter(|(_, stream)| stream.life == Life::Here && !stream.impaired)
                .map(|(_, stream)| stream.name)
                .collect();
            for stream in whole {
                let place = crate::plan::Place { tenant, stream };
                let expected = crate::plan::Expected::Next;
                client.steps.push_back(Action::Append { place, count: 2, bytes: 64, expected, level: Asked::Tenants });
                client.steps.push_back(Action::Read { place, back: 3, max: 9 });
            }
        }
        let mut clients = [client];
        let moved = self.move_until(engine, &mut clients, |clients| clients[0].is_done());
        if moved != Moved::Done {
            self.model.violate("without faults, the engine did not come to an end".into());
        }
    }

    /// Every byte and link on the disk, by the verifier; it must find damage only where there may be some.
    pub(crate) fn verify(&mut self) {
        let disk = self.disk.clone();
        let open = || {
            let buffer = memory::carve(log::SCAN_BUFFER_BYTES, log::scan_buffer);
            let no_memory = |source| log::LogError::System { doing: "take memory to verify", path: ".".into(), source };
            let buffer = buffer.map_err(no_memory)?;
            Ok((disk.backend(crate::engine::COLD_LANE), buffer))
        };
        match log::verify(open, 1, |_, _| {}) {
            Err(error) => self.model.violate(format!("verification comes to nothing: {error}")),
            Ok(verified) => {
                if let Some(damage) = verified.damage.first()
                    && !self.excused()
                {
                    self.model.violate(format!("verification finds damage without a cause: {damage}"));
                }
            }
        }
    }
}

impl SimClient {
    /// Sends a request that the model is not told of.
    fn send_raw(&mut self, engine: &mut Engine, shard: u16, request: &Request<'_>) -> Sending {
        if !self.attach(shard, engine) {
            return Sending::Full;
        }
        let Some(port) = self.port(shard) else { return Sending::Full };
        let Ok(out) = port.requests.reserve(request.encoded_bytes()) else {
            return Sending::Full;
        };
        request.encode(u64::MAX, out);
        port.requests.commit();
        port.requests.publish();
        port.shard.ring();
        Sending::Sent
    }

    fn has_answer(&self) -> bool {
        self.has_replies()
    }

    fn take_raw(&mut self) -> Option<Answer> {
        let mut answer = None;
        for port in self.ports_mut() {
            let (_, with_data) = port.take(|reply: Reply, data| answer = Some((reply.outcome, data.to_vec())));
            if with_data {
                port.shard.ring();
            }
        }
        answer
    }
}
