//! Steps 1 to 3: take requests where they lie, apply them to the kernel, seal their records into the open frame.

use crate::answer::Answer;
use crate::limits::{BATCH_BYTES, BATCH_REQUESTS, READ_BYTES_MAX, TURN_BYTES, TURN_REQUESTS};
use crate::read::QueuedRead;
use crate::shard::{Attached, Client, Shard};
use crate::wire::{
    Append, Decoded, Done, Failure, Named, Reply, append_bytes, decode, decode_append, is_append, log_bytes, stamp,
    token,
};
use iobackend::IoBackend;
use kernel::{
    Admitted, Command, Extent, Level, Payload, RecordEffect, RecordKind, Records, Refusal, ReplyEffect, Seen,
    StreamSlot,
};
use log::format::frame::RecordHeader;
use log::limits::REQUEST_RECORDS_BYTES_MAX;
use log::timing::Awaits;
use log::{Room, StreamStart};
use spsc::{ByteProducer, ReserveError};

/// What a drain came to.
pub(crate) struct Drained {
    pub(crate) requests: usize,
    /// Their bytes.
    bytes: usize,
    /// Every ring was seen empty, or cannot go on until the log or its client does.
    pub(crate) rings_empty: bool,
    /// Some ring cannot go on until the log does.
    pub(crate) blocked: bool,
}

/// How a port's batch ended.
pub(crate) enum End {
    Empty,
    Limit,
    /// The log has no room now.
    Blocked,
    /// A list's page waits for its frame.
    Waiting,
    /// The client has to take data, or answers, first.
    Full,
}

impl End {
    fn waits(&self) -> bool {
        matches!(self, End::Blocked)
    }
}

/// The ports, lent out by their shard, so that one is drained where it lies while the rest of the shard works for it. However the
/// drain ends they are given back: dropped by a panic's way through it, they would tell clients that their ports are gone before
/// the shard's host has closed the door, and a client that was served would take itself for one that was not let in.
struct Lent<'a, B: IoBackend> {
    shard: &'a mut Shard<B>,
    ports: Vec<Option<Attached>>,
}

impl<B: IoBackend> Drop for Lent<'_, B> {
    #[inline]
    fn drop(&mut self) {
        std::mem::swap(&mut self.shard.ports, &mut self.ports);
    }
}

impl<B: IoBackend> Shard<B> {
    /// Takes requests from all ports in turn, a batch each, until all are empty or the turn's share is taken. The port
    /// that waits for the log's room is asked before: what room there is, is not taken by the same one every time.
    pub(crate) fn drain(&mut self, now: u64) -> Drained {
        let ports = std::mem::take(&mut self.ports);
        let mut lent = Lent { shard: self, ports };
        let drained = lent.shard.drain_ports(&mut lent.ports, now);
        drop(lent);
        self.log.stages().drained();
        self.requests += drained.requests as u64;
        drained
    }

    fn drain_ports(&mut self, ports: &mut [Option<Attached>], now: u64) -> Drained {
        let mut drained = Drained { requests: 0, bytes: 0, rings_empty: true, blocked: false };
        let count = ports.len();
        let first = self.waiting.take().filter(|&at| at < count);
        let still = first.is_some_and(|at| self.drain_next(ports, at, now, &mut drained).waits());
        let mut idle = 0;
        let mut at = self.last_drained;
        while idle < count && drained.requests < TURN_REQUESTS && drained.bytes < TURN_BYTES {
            at = if at + 1 < count { at + 1 } else { 0 };
            if still && first == Some(at) {
                idle += 1;
                continue;
            }
            let end = self.drain_next(ports, at, now, &mut drained);
            idle = if matches!(end, End::Limit) { 0 } else { idle + 1 };
        }
        self.last_drained = at;
        if still {
            self.waiting = first;
        }
        if let Some(at) = self.waiting {
            self.last_waiting = at;
        }
        drained.rings_empty = idle >= count;
        drained
    }

    /// Drains a port, and notes whether it is to be the first of the next turn: of those that got nothing, the next one
    /// behind the port that was the first before.
    fn drain_next(&mut self, ports: &mut [Option<Attached>], at: usize, now: u64, drained: &mut Drained) -> End {
        let before = drained.requests;
        let end = self.drain_port(&mut ports[at], now, drained);
        drained.blocked |= matches!(end, End::Blocked | End::Waiting);
        if drained.requests == before && end.waits() {
            let count = ports.len();
            let behind = |at: usize| (at + 2 * count - self.last_waiting.min(count) - 1) % count;
            self.waiting = self.waiting.filter(|&other| behind(other) <= behind(at)).or(Some(at));
        }
        end
    }

    fn drain_port(&mut self, place: &mut Option<Attached>, now: u64, drained: &mut Drained) -> End {
        let Some(attached) = place else {
            return End::Empty;
        };
        // Asked before the ring is found empty: what was sent before leaving is still taken.
        let gone = attached.requests.is_disconnected();
        if gone {
            // Nobody takes their data.
            self.queued_reads -= attached.client.reads.len();
            attached.client.reads.clear();
        }
        let end = self.drain_attached(attached, now, drained);
        if gone && matches!(end, End::Empty) {
            self.detach(place);
        }
        end
    }

    fn drain_attached(&mut self, attached: &mut Attached, now: u64, drained: &mut Drained) -> End {
        let Attached { requests, client } = attached;
        let limit = client.places().min(BATCH_REQUESTS);
        let (requests_end, bytes_end) = (drained.requests + limit, drained.bytes + BATCH_BYTES);
        client.wants = 0;
        let batch = requests.batch();
        while drained.requests < requests_end && drained.bytes < bytes_end {
            let Some(message) = batch.peek() else {
                return End::Empty;
            };
            self.log.stages().request();
            if let Err(end) = self.take(client, message, now) {
                return end;
            }
            drained.bytes += message.len();
            drained.requests += 1;
            batch.advance();
        }
        if limit == BATCH_REQUESTS || drained.bytes >= bytes_end { End::Limit } else { End::Full }
    }

    /// Takes one request. If it has to wait, it stays where it is.
    #[inline]
    fn take(&mut self, client: &mut Client, message: &[u8], now: u64) -> Result<(), End> {
        if client.page.is_some() {
            return self.take_page(client, message);
        }
        if !is_append(message) {
            return self.take_other(client, message, now);
        }
        match decode_append(message) {
            Ok(append) => self.append(client, append, message, now),
            Err(refusal) => {
                self.reply(client, message, None, Err(Failure::Refused(refusal)));
                Ok(())
            }
        }
    }

    fn take_other(&mut self, client: &mut Client, message: &[u8], now: u64) -> Result<(), End> {
        match decode(message) {
            Ok(Decoded::Command(command, named)) => self.apply(client, &command, named, message, now),
            Ok(Decoded::Sync) => {
                self.sync(client, message);
                Ok(())
            }
            Err(refusal) => {
                self.reply(client, message, None, Err(Failure::Refused(refusal)));
                Ok(())
            }
        }
    }

    /// Appends records to a stream, if the log has room for them: from where they lie into the open frame.
    #[inline]
    fn append(&mut self, client: &mut Client, append: Append<'_>, message: &[u8], now: u64) -> Result<(), End> {
        let Append { tenant, stream, expected, asked, records } = append;
        // What is longer than any frame is longer than the kernel's limits too: it is refused.
        let bytes = append_bytes(&records);
        if bytes <= REQUEST_RECORDS_BYTES_MAX {
            match self.log.room(bytes, 1, now) {
                Room::Ready => {}
                lacking => return self.without_room(lacking, client, message),
            }
        }
        let Admitted { slot, natural } = match self.kernel.admit(tenant, stream, expected, asked, &records) {
            Ok(admitted) => admitted,
            Err(Seen { slot, answer }) => {
                self.log.stages().applied();
                self.log.stages().sealed();
                let after = self.after_seen(slot);
                self.refuse(client, message, after, answer);
                return Ok(());
            }
        };
        let key_id = self.kernel.seal_key(slot);
        if !self.log.can_seal(slot.0, key_id) {
            return self.without_key(key_id, client, message);
        }
        if !natural || asked.is_some() {
            return self.append_under_policy(client, asked, records, (slot, key_id), message, now);
        }
        let first = self.seal_append(slot, key_id, &records, now);
        let (first, count, timestamp) = (first.offset, records.count(), first.timestamp);
        let after = Some(self.log.sequence());
        self.reply(client, message, after, Ok(Done::Appended { first, count, timestamp, level: Level::Strict }));
        Ok(())
    }

    /// What becomes of an append that is to be sealed with a key that the log does not have.
    #[cold]
    fn without_key(&mut self, key_id: u32, client: &mut Client, message: &[u8]) -> Result<(), End> {
        if !self.inbox.is_empty() {
            // It was sent before the request that made it the key to use, and is there at the next turn.
            return Err(End::Blocked);
        }
        self.reply(client, message, None, Err(Failure::NoKey { key_id }));
        Ok(())
    }

    /// Numbers the records of an append that is accepted, and copies them into the open frame. The log has the key, if they are to
    /// be sealed.
    #[inline(always)]
    pub(crate) fn seal_append(&mut self, slot: StreamSlot, key_id: u32, records: &Records<'_>, now: u64) -> Extent {
        let first = self.kernel.extend(slot, records, now);
        self.log.stages().applied();
        for (number, record) in (0..).zip(records) {
            let header = RecordHeader {
                slot: 0,
                kind: RecordKind::Data as u8,
                flags: 0,
                payload_bytes: record.len,
                offset: first.offset + number,
                position: first.position + number,
                timestamp: first.timestamp,
                key_id,
            };
            self.log.append(slot.0, header, record.bytes);
        }
        self.log.stages().sealed();
        first
    }

    /// Applies any other command, if the log has room for what it may write.
    fn apply(
        &mut self,
        client: &mut Client,
        command: &Command<'_>,
        named: Named<'_>,
        message: &[u8],
        now: u64,
    ) -> Result<(), End> {
        if let Some(bytes) = log_bytes(command) {
            match self.log.room(bytes, 1, now) {
                Room::Ready => {}
                lacking => return self.without_room(lacking, client, message),
            }
        }
        self.effects.clear();
        match named {
            None => self.kernel.apply(0, command, now, &mut self.effects),
            Some(tenant) => self.kernel.apply_named(0, tenant, command, now, &mut self.effects),
        }
        self.log.stages().applied();
        self.seal(message);
        self.log.stages().sealed();
        let Some(&ReplyEffect { slot, outcome, .. }) = self.effects.replies.first() else {
            unreachable!("the kernel gives one reply for each command");
        };
        if let Ok(kernel::Reply::Read { slot, from, next, records_max, bytes_max }) = outcome
            && from < next
            && records_max > 0
        {
            let want = bytes_max.min(READ_BYTES_MAX) as usize;
            self.owe_read(client, message, QueuedRead { token: token(message), slot, from, next, records_max, want });
            return Ok(());
        }
        let after = if self.effects.records.is_empty() { self.after_seen(slot) } else { Some(self.log.sequence()) };
        let done = match outcome {
            Err(refusal) => {
                self.refuse(client, message, after, refusal);
                return Ok(());
            }
            Ok(kernel::Reply::Listed { start, len, more }) => {
                let page = &self.effects.scratch[start as usize..][..len as usize];
                if after.is_some() || !put_page(&mut client.data, page) {
                    client.page = Some(Page { after, more, bytes: page.to_vec() });
                    return self.take_page(client, message);
                }
                Done::Listed { bytes: len, more }
            }
            Ok(reply) => done(reply),
        };
        self.reply(client, message, after, Ok(done));
        Ok(())
    }

    /// What becomes of a request that the log has no room for.
    #[cold]
    pub(crate) fn without_room(&mut self, room: Room, client: &mut Client, message: &[u8]) -> Result<(), End> {
        let failure = match room {
            Room::Ready => unreachable!("there is room"),
            Room::Busy => return Err(End::Blocked),
            Room::NoSpace => self.no_segment(),
            Room::Failed => Failure::ShardFailed,
        };
        self.reply(client, message, None, Err(failure));
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, client: &mut Client, message: &[u8], after: Option<u64>, refusal: Refusal) {
        self.refused += 1;
        self.reply(client, message, after, Err(Failure::Refused(refusal)));
    }

    #[inline(always)]
    pub(crate) fn reply(
        &mut self,
        client: &mut Client,
        message: &[u8],
        after: Option<u64>,
        outcome: Result<Done, Failure>,
    ) {
        self.owe(client, message, after, Answer::Reply(Reply { token: token(message), outcome }));
    }

    /// Answers a request as soon as the frame is durable that the answer waits for. Out of line it would copy the answer
    /// twice.
    #[inline(always)]
    pub(crate) fn owe(&mut self, client: &mut Client, message: &[u8], after: Option<u64>, answer: Answer) {
        let awaits = awaits(after, self.log.sequence());
        self.log.stages().taken(stamp(message), awaits);
        match after {
            Some(sequence) => {
                client.owed += 1;
                self.push_pending(sequence, client.at, answer);
            }
            None => client.hand_out(answer, &mut self.staged, &mut self.queued_reads),
        }
    }

    #[cold]
    fn no_segment(&self) -> Failure {
        let Some((segment, &error)) = self.log.no_space() else {
            unreachable!("the log has no room for a segment, and knows why");
        };
        Failure::NoSegment { segment, error }
    }

    /// Hands the client's page out, if the frame that it waits for is durable and the data ring has room. Page and reply go
    /// together: the two rings keep one order.
    #[cold]
    fn take_page(&mut self, client: &mut Client, message: &[u8]) -> Result<(), End> {
        let Some(mut page) = client.page.take() else {
            unreachable!("there is a page");
        };
        page.after = page.after.filter(|&frame| frame >= self.log.durable());
        if page.after.is_some() && self.log.failure().is_none() {
            client.page = Some(page);
            return Err(End::Waiting);
        }
        if page.after.is_some() {
            // What it waits for would never come from a log that has failed.
            self.reply(client, message, None, Err(Failure::ShardFailed));
            return Ok(());
        }
        if !put_page(&mut client.data, &page.bytes) {
            client.wants = page.bytes.len();
            client.page = Some(page);
            return Err(End::Full);
        }
        self.reply(client, message, None, Ok(Done::Listed { bytes: page.bytes.len() as u32, more: page.more }));
        Ok(())
    }

    /// Copies the records of the effects into the open frame.
    #[inline]
    fn seal(&mut self, message: &[u8]) {
        while self.log.streams() < self.kernel.slots() {
            self.tell_log_of_stream();
        }
        for effect in &self.effects.records {
            let RecordEffect { slot, kind, offset, position, timestamp, payload, .. } = *effect;
            let payload = match payload {
                Payload::Request { start, len } => &message[start as usize..][..len as usize],
                Payload::Scratch { start, len } => &self.effects.scratch[start as usize..][..len as usize],
            };
            let header = RecordHeader {
                slot: 0,
                kind: kind as u8,
                flags: 0,
                payload_bytes: payload.len() as u32,
                offset,
                position,
                timestamp,
                key_id: 0,
            };
            self.log.append(slot.0, header, payload);
        }
    }

    #[cold]
    fn tell_log_of_stream(&mut self) {
        let slot = StreamSlot(self.log.streams() as u32);
        let view = self.kernel.stream(slot);
        self.log.add_stream(slot.0, StreamStart::new(view.tenant.0, view.stream.0));
    }
}

fn done(reply: kernel::Reply) -> Done {
    match reply {
        kernel::Reply::Appended { .. } => unreachable!("appends go another way"),
        kernel::Reply::TenantCreated { .. } => Done::TenantCreated,
        kernel::Reply::StreamCreated { stream, .. } => Done::StreamCreated { stream },
        kernel::Reply::Head { next, timestamp } => Done::Head { next, timestamp },
        kernel::Reply::Read { next, .. } => Done::Read { records: 0, next },
        kernel::Reply::Resolved { stream, next } => Done::Resolved { stream, next },
        kernel::Reply::Listed { len, more, .. } => Done::Listed { bytes: len, more },
        kernel::Reply::DurabilitySet { .. } => Done::DurabilitySet,
        kernel::Reply::KeyIntroduced { .. } => Done::KeyIntroduced,
        kernel::Reply::Erased { .. } => Done::Erased,
        kernel::Reply::Deleted { .. } => Done::Deleted,
    }
}

/// A page of names that could not be handed out at once. It is kept as it was written: written anew in each turn it would cost
/// its work again, and would wait for the frame of whatever was created meanwhile, without an end.
#[derive(Debug)]
pub(crate) struct Page {
    /// The frame that it waits for.
    after: Option<u64>,
    more: bool,
    bytes: Vec<u8>,
}

/// What an answer waits for, as far as it is timed.
#[inline]
pub(crate) fn awaits(after: Option<u64>, open_frame: u64) -> Awaits {
    match after {
        Some(frame) if frame == open_frame => Awaits::OpenFrame,
        Some(_) => Awaits::OlderFrame,
        None => Awaits::Publishing,
    }
}

/// Puts a page of names into the data ring, if it fits.
fn put_page(data: &mut ByteProducer, page: &[u8]) -> bool {
    if page.is_empty() {
        return true;
    }
    match data.reserve(page.len()) {
        Ok(place) => {
            place.copy_from_slice(page);
            data.commit();
            true
        }
        // A client that is gone takes no page; its request is passed over.
        Err(error) => matches!(error, ReserveError::Disconnected),
    }
}
