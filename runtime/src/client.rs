//! A client: one thread's way to the shards.
//!
//! Calls come in two forms. `submit_*` sends a request and returns its token; [`poll`](Client::poll) takes what was answered: many
//! requests can be in flight. The others send and wait. Both may be mixed: answers that a waiting call meets on its way are
//! kept for the next poll. Data that they bring is copied, so a waiting call with many reads in flight may keep as many times a
//! mebibyte as the window has requests: who pipelines reads takes them with polls, or with a client of its own.

use crate::engine::Shared;
use crate::wait::{Bell, Patience};
use crate::{CallError, OpenError};
use kernel::{Durability, Encryption, Level, Listing, StreamId, TenantId};
use router::Placement;
use shard::wire::{Done, ReadRecord, ReadRecords, Reply, Request};
use shard::{ClientPort, Control};
use spsc::ReserveError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Requests that are sent before the shard is told, unless [`Client::flush`] or a poll comes first.
const UNTOLD_MAX: usize = 32;
/// A shard's inbox may be full for a moment: how often to try, and how long to wait between.
const ATTACH_TRIES: usize = 10_000;
const ATTACH_PAUSE: Duration = Duration::from_micros(100);

/// The number of a request; its answer carries the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A stream, found by name once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamRef {
    tenant: TenantId,
    stream: StreamId,
    shard: u16,
    /// The version of the placement that says so.
    placed: u64,
}

impl StreamRef {
    /// The tenant's id.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The stream's id in the tenant.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        self.stream
    }
}

/// Records that were appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first.
    pub first: u64,
    /// How many.
    pub count: u32,
    /// Their timestamp, nanoseconds since 1970.
    pub timestamp: u64,
    /// The level that was reached when the answer left: what was asked for, or more.
    pub level: Level,
}

impl Appended {
    /// Whether they were flushed before the answer left.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.level == Level::Strict
    }
}

/// What an append asks for besides being appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendOptions {
    /// The offset that its first record is to have; `None`: whichever is next.
    pub expected: Option<u64>,
    /// The level that the answer is to promise, which is not below the tenant's; `None`: the tenant's.
    pub level: Option<Level>,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Offset in the stream.
    pub offset: u64,
    /// The tenant's number for it, over all its streams.
    pub position: u64,
    /// Nanoseconds since 1970.
    pub timestamp: u64,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// The end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The offset after the last record.
    pub next: u64,
    /// Timestamp of the last record; 0 if there is none.
    pub timestamp: u64,
}

/// A tenant or a stream of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The id.
    pub id: u64,
    /// The name; empty if the record of its creation is lost.
    pub name: String,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Whether it is damaged.
    pub damaged: bool,
    /// How its new records are kept; of a tenant: those of its streams that have no key of their own.
    pub encryption: Encryption,
}

/// An answer that a poll takes.
#[derive(Debug)]
pub struct Completion<'a> {
    /// The token that the submission returned.
    pub token: Token,
    /// What came of it.
    pub result: Result<Outcome<'a>, CallError>,
}

/// What came of a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// Of an append.
    Appended(Appended),
    /// Of a question for a stream's end.
    Head(Head),
    /// Of a read: the records where they lie, and the stream's end.
    Records {
        /// The records.
        records: ReadRecords<'a>,
        /// The offset after the stream's last record.
        next: u64,
    },
    /// Of anything else that a waiting call was made for.
    Other,
}

/// An answer that a waiting call met on its way, or its own.
#[derive(Debug)]
struct Kept {
    token: u64,
    outcome: Result<Done, CallError>,
    data: Copied,
}

/// Data that was copied out of a ring; wiped when it is dropped, for its key may be destroyed next.
pub(crate) struct Copied(Vec<u8>);

impl std::ops::Deref for Copied {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Copied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.0.fill(0);
        // Zeros that nobody reads could be left out.
        std::hint::black_box(&self.0);
    }
}

#[derive(Debug)]
struct Port {
    ends: ClientPort,
    in_flight: usize,
    /// The shard has answered: it took this client.
    answered: bool,
    /// Requests published since the shard was last told.
    untold: usize,
}

/// One thread's way to the shards of an engine. It may be sent to another thread, not shared.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    placement: Arc<Placement>,
    ports: Vec<Option<Port>>,
    window: usize,
    bell: Arc<Bell>,
    next_token: u64,
    kept: VecDeque<Kept>,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>, window: usize) -> Client {
        let placement = Arc::clone(&shared.placement);
        let ports = (0..placement.shards()).map(|_| None).collect();
        Client { shared, placement, ports, window, bell: Bell::new(), next_token: 1, kept: VecDeque::new() }
    }

    /// Makes a stream.
    ///
    /// # Errors
    /// If there is no such tenant, or the name is taken or cannot be one.
    pub fn create_stream(&mut self, tenant: &str, name: &str) -> Result<StreamRef, CallError> {
        let id = TenantId::of_name(tenant);
        let stream = match self.call(id, &Request::CreateStream { tenant, name, key: None })?.0 {
            Done::StreamCreated { stream } => stream,
            other => unreachable!("{other:?} to the creation of a stream"),
        };
        Ok(self.stream_ref(id, stream))
    }

    /// Finds a stream by its name.
    ///
    /// # Errors
    /// If there is none of the name, or no such tenant.
    pub fn stream(&mut self, tenant: &str, name: &str) -> Result<StreamRef, CallError> {
        let id = TenantId::of_name(tenant);
        let stream = match self.call(id, &Request::Resolve { tenant, name })?.0 {
            Done::Resolved { stream, .. } => stream,
            other => unreachable!("{other:?} to a question for a stream's id"),
        };
        Ok(self.stream_ref(id, stream))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn shards(&self) -> u16 {
        self.placement.shards()
    }

    pub(crate) fn shard_of_tenant(&self, tenant: TenantId) -> u16 {
        self.placement.shard_of(tenant.0)
    }

    pub(crate) fn stream_ref(&self, tenant: TenantId, stream: StreamId) -> StreamRef {
        StreamRef { tenant, stream, shard: self.placement.shard_of(tenant.0), placed: self.placement.version() }
    }

    /// Where a stream lives. A handle may be older than this opening, which may have another number of shards.
    #[inline]
    fn shard_of(&self, stream: &StreamRef) -> u16 {
        let known = stream.placed == self.placement.version() && usize::from(stream.shard) < self.ports.len();
        if known { stream.shard } else { self.placement.shard_of(stream.tenant.0) }
    }

    /// Gives a tenant a policy of its own, from its next append on. It is kept over openings.
    ///
    /// # Errors
    /// If there is no such tenant or the policy is impossible, and as any call.
    pub fn set_durability(&mut self, tenant: &str, durability: Durability) -> Result<(), CallError> {
        let id = TenantId::of_name(tenant);
        self.call(id, &Request::SetDurability { tenant, durability }).map(|_| ())
    }

    /// Appends a record and waits until it is as durable as its tenant's policy promises.
    ///
    /// # Errors
    /// If the record is too large, the stream is deleted, and as any call.
    pub fn append(&mut self, stream: &StreamRef, payload: &[u8]) -> Result<Appended, CallError> {
        self.append_batch(stream, None, &[payload])
    }

    /// Appends records, all or none, and waits. With `expected`, only if the first gets that offset.
    ///
    /// # Errors
    /// If the offset is another, the batch is empty or too large, and as any call.
    pub fn append_batch(
        &mut self,
        stream: &StreamRef,
        expected: Option<u64>,
        records: &[&[u8]],
    ) -> Result<Appended, CallError> {
        self.append_with(stream, AppendOptions { expected, level: None }, records)
    }

    /// Appends records, all or none, with options, and waits until they are as durable as was asked.
    ///
    /// # Errors
    /// If the level is below the tenant's, and as [`append_batch`](Self::append_batch).
    pub fn append_with(
        &mut self,
        stream: &StreamRef,
        options: AppendOptions,
        records: &[&[u8]],
    ) -> Result<Appended, CallError> {
        match self.call(stream.tenant, &append_request(stream, options, records))?.0 {
            Done::Appended { first, count, timestamp, level } => Ok(Appended { first, count, timestamp, level }),
            other => unreachable!("{other:?} to an append"),
        }
    }

    /// Waits until everything is flushed that was answered before, to whomever, by any shard.
    ///
    /// # Errors
    /// [`Failure::ShardFailed`](crate::Failure::ShardFailed) if a log has failed before it was, and as any call.
    pub fn sync(&mut self) -> Result<(), CallError> {
        // All at once where there is room: they flush side by side.
        let shards = 0..self.placement.shards();
        let sent: Vec<_> = shards.map(|shard| (shard, self.submit(shard, &Request::Sync))).collect();
        let mut outcome = Ok(());
        for (shard, token) in sent {
            let synced = match token {
                Ok(token) => self.take_kept(token).unwrap_or_else(|| self.wait_for(token, shard)),
                Err(CallError::QueueFull { .. }) => self.call_shard(shard, &Request::Sync),
                Err(error) => Err(error),
            };
            outcome = outcome.and(synced.map(|_| ()));
        }
        outcome
    }

    /// Asks where a stream ends.
    ///
    /// # Errors
    /// If there is no such stream, and as any call.
    pub fn head(&mut self, stream: &StreamRef) -> Result<Head, CallError> {
        let request = Request::Head { tenant: stream.tenant, stream: stream.stream };
        match self.call(stream.tenant, &request)?.0 {
            Done::Head { next, timestamp } => Ok(Head { next, timestamp }),
            other => unreachable!("{other:?} to a question for a stream's end"),
        }
    }

    /// Reads records from an offset on, verified: at most `records_max`, and no more than a mebibyte together unless the
    /// first has more. There may be fewer, since a read ends with what lies together; none are given only at the
    /// stream's end.
    ///
    /// # Errors
    /// If the offset is beyond the end, or what lies there is damaged; and as any call.
    pub fn read(&mut self, stream: &StreamRef, from: u64, records_max: u32) -> Result<Vec<Record>, CallError> {
        let (_, data) = self.call(stream.tenant, &read_request(stream, from, records_max))?;
        let owned = |record: ReadRecord<'_>| Record {
            offset: record.offset,
            position: record.position,
            timestamp: record.timestamp,
            payload: record.payload.to_vec(),
        };
        Ok(ReadRecords::new(&data).map(owned).collect())
    }

    /// All tenants, deleted ones too.
    ///
    /// # Errors
    /// As any call.
    pub fn tenants(&mut self) -> Result<Vec<Named>, CallError> {
        let mut all = Vec::new();
        for shard in 0..self.placement.shards() {
            let mut after = None;
            loop {
                let page = self.call_shard(shard, &Request::ListTenants { after })?;
                let more = take_page(page, &mut all);
                after = all.last().map(|last: &Named| TenantId(last.id));
                if !more {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// All streams of a tenant, deleted ones too.
    ///
    /// # Errors
    /// If there is no such tenant, and as any call.
    pub fn streams(&mut self, tenant: &str) -> Result<Vec<Named>, CallError> {
        let id = TenantId::of_name(tenant);
        let mut all = Vec::new();
        let mut after = kernel::CATALOG;
        loop {
            let page = self.call(id, &Request::ListStreams { tenant, after })?;
            if !take_page(page, &mut all) {
                return Ok(all);
            }
            after = all.last().map_or(after, |last| StreamId(last.id as u32));
        }
    }

    /// Deletes a stream: it is no longer served; its records stay in the log.
    ///
    /// # Errors
    /// If there is no such stream, and as any call.
    pub fn delete_stream(&mut self, stream: &StreamRef) -> Result<(), CallError> {
        let request = Request::DeleteStream { tenant: stream.tenant, stream: stream.stream };
        self.call(stream.tenant, &request).map(|_| ())
    }

    /// Deletes a tenant: it is no longer served; its records stay in the log, and its name stays taken.
    ///
    /// # Errors
    /// If there is no such tenant, and as any call.
    pub fn delete_tenant(&mut self, tenant: &str) -> Result<(), CallError> {
        let id = TenantId::of_name(tenant);
        self.call(id, &Request::DeleteTenant { tenant }).map(|_| ())
    }

    /// Sends an append without waiting for its answer; [`poll`](Self::poll) brings it. The first request to a shard attaches the
    /// client to it, which takes memory for its rings and may wait, up to a second, while many attach at once.
    ///
    /// # Errors
    /// [`CallError::QueueFull`], and then nothing was sent; or what makes any request impossible. [`CallError::TooManyClients`] of
    /// a first request also if the shard took no new clients for a second: nothing was sent, and it may be tried again.
    #[inline]
    pub fn submit_append(
        &mut self,
        stream: &StreamRef,
        expected: Option<u64>,
        records: &[&[u8]],
    ) -> Result<Token, CallError> {
        self.submit_append_with(stream, AppendOptions { expected, level: None }, records)
    }

    /// Sends an append with options, without waiting.
    ///
    /// # Errors
    /// As [`submit_append`](Self::submit_append).
    #[inline]
    pub fn submit_append_with(
        &mut self,
        stream: &StreamRef,
        options: AppendOptions,
        records: &[&[u8]],
    ) -> Result<Token, CallError> {
        self.send(stream, &append_request(stream, options, records))
    }

    /// Sends a wish to have everything flushed that was answered before by the shard where a stream lives, without waiting.
    ///
    /// # Errors
    /// As [`submit_append`](Self::submit_append).
    pub fn submit_sync(&mut self, stream: &StreamRef) -> Result<Token, CallError> {
        self.send(stream, &Request::Sync)
    }

    /// Sends a read without waiting.
    ///
    /// # Errors
    /// As [`submit_append`](Self::submit_append).
    pub fn submit_read(&mut self, stream: &StreamRef, from: u64, records_max: u32) -> Result<Token, CallError> {
        self.send(stream, &read_request(stream, from, records_max))
    }

    /// Sends a question for a stream's end without waiting.
    ///
    /// # Errors
    /// As [`submit_append`](Self::submit_append).
    pub fn submit_head(&mut self, stream: &StreamRef) -> Result<Token, CallError> {
        self.send(stream, &Request::Head { tenant: stream.tenant, stream: stream.stream })
    }

    /// Sends a request whose answer a poll takes, unless so many wait to be taken already.
    #[inline]
    fn send(&mut self, stream: &StreamRef, request: &Request<'_>) -> Result<Token, CallError> {
        if self.kept.len() >= self.window {
            return Err(self.too_many_kept());
        }
        self.submit(self.shard_of(stream), request)
    }

    #[cold]
    fn too_many_kept(&self) -> CallError {
        let bytes_capacity = shard::limits::REQUEST_WINDOW_BYTES;
        CallError::QueueFull { depth: self.kept.len(), capacity: self.window, bytes: 0, bytes_capacity }
    }

    #[inline]
    fn submit(&mut self, shard: u16, request: &Request<'_>) -> Result<Token, CallError> {
        if self.ports[usize::from(shard)].is_none() {
            self.attach(shard)?;
        }
        let Some(port) = &mut self.ports[usize::from(shard)] else {
            return Err(CallError::Closed);
        };
        let token = self.next_token;
        let full = port.in_flight >= self.window;
        let len = request.encoded_bytes();
        match if full { Err(None) } else { port.ends.requests.reserve(len).map_err(Some) } {
            Ok(out) => request.encode(token, out),
            Err(Some(ReserveError::TooLong { len, max })) => return Err(CallError::RequestTooLarge { len, max }),
            Err(Some(ReserveError::Disconnected)) => return Err(self.loss(usize::from(shard))),
            Err(None | Some(ReserveError::Full { .. })) => return Err(port.queue_full(self.window)),
        }
        port.ends.requests.commit();
        port.ends.requests.publish();
        port.in_flight += 1;
        port.untold += 1;
        if port.untold >= UNTOLD_MAX {
            port.tell();
        }
        self.next_token += 1;
        Ok(Token(token))
    }

    #[cold]
    fn attach(&mut self, shard: u16) -> Result<(), CallError> {
        // What rings carry is not to outlive its key.
        let port = if self.shared.keys.is_some() { shard::wiped_port } else { shard::port };
        let (ends, other) = port(self.window, self.shared.doorbell(shard), self.bell.doorbell());
        let mut message = Control::Attach(Box::new(other));
        for _ in 0..ATTACH_TRIES {
            match self.shared.send(shard, message)? {
                None => {
                    self.ports[usize::from(shard)] = Some(Port { ends, in_flight: 0, answered: false, untold: 0 });
                    return Ok(());
                }
                // Many attach at once: the shard takes some every turn.
                Some(back) => message = back,
            }
            std::thread::sleep(ATTACH_PAUSE);
        }
        Err(CallError::TooManyClients)
    }

    /// Why a shard's port is gone. One that was refused is forgotten once nothing is in flight on it, so that the
    /// next request tries again.
    #[cold]
    fn loss(&mut self, shard: usize) -> CallError {
        let port = self.ports[shard].as_ref();
        // What a shard took that answered before may be in its log, whatever its door says.
        if self.shared.is_closed(shard) || port.is_some_and(|port| port.answered) {
            return CallError::Closed;
        }
        if port.is_some_and(|port| port.in_flight == 0) {
            self.ports[shard] = None;
        }
        CallError::TooManyClients
    }

    /// Makes sure that the shards know of all that was submitted. A poll does it too.
    pub fn flush(&mut self) {
        self.ports.iter_mut().flatten().filter(|port| port.untold > 0).for_each(Port::tell);
    }

    /// Requests whose answers were not taken yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.kept.len() + self.ports.iter().flatten().map(|port| port.in_flight).sum::<usize>()
    }

    /// Gives what was answered to `take`; returns how many. Does not wait.
    ///
    /// # Errors
    /// [`CallError::Closed`] if a shard with requests in flight is gone: they will not be answered, and count as in
    /// flight no more. [`CallError::TooManyClients`] if it did not take this client, and none of them. What was
    /// answered by others was given to `take`.
    pub fn poll(&mut self, mut take: impl FnMut(Completion<'_>)) -> Result<usize, CallError> {
        self.flush();
        let mut taken = 0;
        while let Some(kept) = self.kept.pop_front() {
            take(completion(kept.token, kept.outcome, &kept.data));
            taken += 1;
        }
        let mut lost = None;
        for (shard, port) in self.ports.iter_mut().enumerate() {
            let Some(port) = port else { continue };
            let before = taken;
            // Asked before the ring is found empty: what was answered before the shard left is still taken.
            let gone = port.ends.replies.is_disconnected();
            taken += port.take_replies(&mut take);
            if gone && port.in_flight > 0 && taken == before {
                port.in_flight = 0;
                lost = Some(shard);
            }
        }
        lost.map_or(Ok(taken), |shard| Err(self.loss(shard)))
    }

    /// Waits until something is answered, then does as [`poll`](Self::poll); with nothing in flight it returns at once.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn wait(&mut self, mut take: impl FnMut(Completion<'_>)) -> Result<usize, CallError> {
        let mut patience = Patience::new();
        loop {
            let taken = self.poll(&mut take)?;
            if taken > 0 || self.in_flight() == 0 {
                return Ok(taken);
            }
            let ports = &self.ports;
            patience.rest(&self.bell, || ports.iter().flatten().any(|port| port.has_replies() || port.is_lost()));
        }
    }

    pub(crate) fn call(&mut self, tenant: TenantId, request: &Request<'_>) -> Result<(Done, Copied), CallError> {
        self.call_shard(self.placement.shard_of(tenant.0), request)
    }

    /// Sends a request and waits for its answer; if the queue is full, for room in it first.
    fn call_shard(&mut self, shard: u16, request: &Request<'_>) -> Result<(Done, Copied), CallError> {
        let mut patience = Patience::new();
        loop {
            match self.submit(shard, request) {
                Ok(token) => return self.wait_for(token, shard),
                Err(CallError::QueueFull { .. }) => {}
                Err(error) => return Err(error),
            }
            // If the shard is gone, the next try to send says so.
            self.keep_answers(None, shard);
            patience.rest_awake();
        }
    }

    /// An answer that another waiting call met on its way.
    fn take_kept(&mut self, token: Token) -> Option<Result<(Done, Copied), CallError>> {
        let at = self.kept.iter().position(|kept| kept.token == token.0)?;
        let Kept { outcome, data, .. } = self.kept.remove(at)?;
        Some(outcome.map(|done| (done, data)))
    }

    /// Waits for one answer, of one shard; keeps the others.
    fn wait_for(&mut self, token: Token, shard: u16) -> Result<(Done, Copied), CallError> {
        self.flush();
        let mut patience = Patience::new();
        loop {
            let (own, lost) = self.keep_answers(Some(token), shard);
            if let Some(Kept { outcome, data, .. }) = own {
                return outcome.map(|done| (done, data));
            }
            let shard = usize::from(shard);
            if lost {
                // The others that are lost with it are for the next poll to report.
                self.ports[shard].iter_mut().for_each(|port| port.in_flight -= 1);
                return Err(self.loss(shard));
            }
            let ports = &self.ports;
            patience.rest(&self.bell, || {
                ports.iter().flatten().any(Port::has_replies) || ports[shard].as_ref().is_some_and(Port::is_lost)
            });
        }
    }

    /// Takes what was answered: gives the answer that is waited for, keeps the others for the next poll. Says also
    /// whether `shard` is gone and owes answers; of the others the next poll tells.
    fn keep_answers(&mut self, token: Option<Token>, shard: u16) -> (Option<Kept>, bool) {
        let (mut own, mut lost) = (None, false);
        for (at, port) in self.ports.iter_mut().enumerate() {
            let Some(port) = port else { continue };
            let gone = port.ends.replies.is_disconnected();
            let mut any = false;
            port.take_raw(|reply, data| {
                any = true;
                let outcome = reply.outcome.map_err(CallError::Failed);
                let kept = Kept { token: reply.token, outcome, data: Copied(data.to_vec()) };
                if token.is_some_and(|token| token.0 == reply.token) {
                    own = Some(kept);
                } else {
                    self.kept.push_back(kept);
                }
            });
            lost |= at == usize::from(shard) && gone && !any && port.in_flight > 0;
        }
        (own, lost)
    }
}

#[inline]
fn append_request<'a>(stream: &StreamRef, options: AppendOptions, records: &'a [&'a [u8]]) -> Request<'a> {
    let AppendOptions { expected, level } = options;
    Request::Append { tenant: stream.tenant, stream: stream.stream, expected, level, records }
}

fn read_request(stream: &StreamRef, from: u64, records_max: u32) -> Request<'static> {
    let bytes_max = shard::limits::READ_BYTES_MAX;
    Request::Read { tenant: stream.tenant, stream: stream.stream, from, records_max, bytes_max }
}

/// Adds a page of names to a list; says whether there are more.
fn take_page((done, data): (Done, Copied), all: &mut Vec<Named>) -> bool {
    all.extend(Listing::new(&data).map(|entry| Named {
        id: entry.id,
        name: entry.name.to_owned(),
        deleted: entry.deleted,
        damaged: entry.frozen,
        encryption: entry.encryption,
    }));
    matches!(done, Done::Listed { more: true, .. })
}

impl Drop for Client {
    fn drop(&mut self) {
        for port in self.ports.drain(..).flatten() {
            let shard = Arc::clone(&port.ends.shard);
            drop(port);
            // So that a sleeping shard sees that its client has left.
            shard.ring();
        }
    }
}

impl Port {
    fn tell(&mut self) {
        self.untold = 0;
        self.ends.shard.ring();
    }

    fn has_replies(&self) -> bool {
        !self.ends.replies.is_empty()
    }

    /// Whether the shard is gone and owes answers.
    fn is_lost(&self) -> bool {
        self.in_flight > 0 && self.ends.replies.is_disconnected()
    }

    #[cold]
    fn queue_full(&mut self, capacity: usize) -> CallError {
        self.tell();
        CallError::QueueFull {
            depth: self.in_flight,
            capacity,
            bytes: self.ends.requests.used(),
            bytes_capacity: self.ends.requests.window(),
        }
    }

    fn take_replies(&mut self, take: &mut impl FnMut(Completion<'_>)) -> usize {
        let mut taken = 0;
        self.take_raw(|reply, data| {
            take(completion(reply.token, reply.outcome.map_err(CallError::Failed), data));
            taken += 1;
        });
        taken
    }

    /// Takes every reply that is there, with its data.
    #[inline]
    fn take_raw(&mut self, mut take: impl FnMut(Reply, &[u8])) {
        let Port { ends, in_flight, answered, .. } = self;
        let (taken, with_data) = ends.take(|reply, data| {
            *in_flight -= 1;
            take(reply, data);
        });
        *answered |= taken > 0;
        if with_data {
            // The shard may be waiting for the room that is free now.
            self.tell();
        }
    }
}

#[inline]
fn completion(token: u64, outcome: Result<Done, CallError>, data: &[u8]) -> Completion<'_> {
    let result = outcome.map(|done| match done {
        Done::Appended { first, count, timestamp, level } => {
            Outcome::Appended(Appended { first, count, timestamp, level })
        }
        Done::Head { next, timestamp } => Outcome::Head(Head { next, timestamp }),
        Done::Read { next, .. } => Outcome::Records { records: ReadRecords::new(data), next },
        _ => Outcome::Other,
    });
    Completion { token: Token(token), result }
}

/// A stream's name that exists already, or is made: what tools and first starts want.
impl Client {
    /// The stream of the name; it and its tenant are made if they do not exist.
    ///
    /// # Errors
    /// If a name cannot be one, or is a deleted tenant's; and as any call.
    pub fn ensure_stream(&mut self, tenant: &str, name: &str) -> Result<StreamRef, CallError> {
        use kernel::Refusal::{StreamExists, TenantExists, UnknownStream, UnknownTenant};
        use shard::wire::Failure::Refused;
        // Asked first: to try to make what is there would draw a key for it.
        match self.stream(tenant, name) {
            Err(CallError::Failed(Refused(UnknownTenant))) => match self.create_tenant(tenant) {
                Ok(_) | Err(CallError::Failed(Refused(TenantExists))) => {}
                Err(error) => return Err(error),
            },
            Err(CallError::Failed(Refused(UnknownStream))) => {}
            found => return found,
        }
        match self.create_stream(tenant, name) {
            Err(CallError::Failed(Refused(StreamExists { .. }))) => self.stream(tenant, name),
            other => other,
        }
    }
}

const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Client>();
    is_send::<OpenError>();
};
