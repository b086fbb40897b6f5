//! Steps 1 to 3: take requests where they lie, apply them to the kernel, seal their records into the open frame.

use crate::answer::{Answer, stage};
use crate::limits::{BATCH_BYTES, BATCH_REQUESTS, READ_BYTES_MAX, TURN_BYTES, TURN_REQUESTS};
use crate::read::QueuedRead;
use crate::shard::{Attached, Shard};
use crate::wire::{Done, Failure, Reply, decode, demand, stamp, token};
use iobackend::IoBackend;
use kernel::{Command, Payload, RecordEffect, ReplyEffect, StreamSlot, TenantId};
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
enum End {
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

impl<B: IoBackend> Shard<B> {
    /// Takes requests from all ports in turn, a batch each, until all are empty or the turn's share is taken. The port
    /// that waits for the log's room is asked before: what room there is, is not taken by the same one every time.
    pub(crate) fn drain(&mut self, now: u64) -> Drained {
        // Lent out, so that a port is drained where it lies while the rest of the shard works for it.
        let mut ports = std::mem::take(&mut self.ports);
        let drained = self.drain_ports(&mut ports, now);
        self.ports = ports;
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
        let end = self.drain_port(&mut ports[at], at, now, drained);
        drained.blocked |= matches!(end, End::Blocked | End::Waiting);
        if drained.requests == before && end.waits() {
            let count = ports.len();
            let behind = |at: usize| (at + 2 * count - self.last_waiting.min(count) - 1) % count;
            self.waiting = self.waiting.filter(|&other| behind(other) <= behind(at)).or(Some(at));
        }
        end
    }

    fn drain_port(&mut self, place: &mut Option<Attached>, at: usize, now: u64, drained: &mut Drained) -> End {
        let Some(attached) = place else {
            return End::Empty;
        };
        // Asked before the ring is found empty: what was sent before leaving is still taken.
        let gone = attached.port.requests.is_disconnected();
        if gone {
            // Nobody takes their data.
            self.queued_reads -= attached.reads.len();
            attached.reads.clear();
        }
        let end = self.drain_attached(attached, at, now, drained);
        if gone && matches!(end, End::Empty) {
            self.detach(place);
        }
        end
    }

    fn drain_attached(&mut self, attached: &mut Attached, at: usize, now: u64, drained: &mut Drained) -> End {
        let limit = attached.places().min(BATCH_REQUESTS);
        let Attached { port, owed, dirty, reads, wants, page, .. } = attached;
        *wants = 0;
        let batch = port.requests.batch();
        let (mut taken, mut bytes) = (0, 0);
        while taken < limit && bytes < BATCH_BYTES {
            let Some(message) = batch.peek() else {
                return End::Empty;
            };
            self.log.stages().request();
            let tried = match page.take() {
                None => match decode(message) {
                    Ok((command, named)) => self.take(&command, named, message, now, &mut port.data),
                    Err(refusal) => Taken::Outcome(Outcome::now(Err(Failure::Refused(refusal)))),
                },
                Some(kept) => self.take_page(kept, &mut port.data),
            };
            let outcome = match tried {
                Taken::Outcome(outcome) => outcome,
                Taken::Blocked => return End::Blocked,
                Taken::Page(kept) => {
                    let end = if kept.after.is_some() { End::Waiting } else { End::Full };
                    *wants = if kept.after.is_some() { 0 } else { kept.bytes.len() };
                    *page = Some(kept);
                    return end;
                }
            };
            let awaits = awaits(outcome.after, self.log.sequence());
            self.log.stages().taken(stamp(message), awaits);
            let answer = outcome.answer.into_answer(token(message));
            match (outcome.after, answer) {
                (Some(sequence), answer) => {
                    *owed += 1;
                    self.push_pending(sequence, at, answer);
                }
                (None, Answer::Reply(reply)) => {
                    stage(&mut port.replies, reply);
                    *dirty = true;
                    self.staged = true;
                }
                (None, Answer::Read(read)) => {
                    reads.push_back(read);
                    self.queued_reads += 1;
                }
            }
            bytes += message.len();
            drained.bytes += message.len();
            drained.requests += 1;
            batch.advance();
            taken += 1;
        }
        if limit == BATCH_REQUESTS || bytes >= BATCH_BYTES { End::Limit } else { End::Full }
    }

    /// Applies one command, if the log has room for what it may write.
    #[inline]
    fn take(
        &mut self,
        command: &Command<'_>,
        named: Option<(&str, TenantId)>,
        message: &[u8],
        now: u64,
        data: &mut ByteProducer,
    ) -> Taken {
        // What is longer than any frame is longer than the kernel's limits too: it is applied, and refused.
        if let Some((bytes, entries)) = demand(command).filter(|(bytes, _)| *bytes <= REQUEST_RECORDS_BYTES_MAX) {
            // A log that has failed may still have room in its open frame, but no frame will be written any more.
            let room = if self.log.failure().is_some() { Room::Failed } else { self.log.room(bytes, entries, now) };
            match room {
                Room::Ready => {}
                Room::Busy => return Taken::Blocked,
                Room::NoSpace => return Taken::Outcome(Outcome::now(Err(self.no_segment()))),
                Room::Failed => return Taken::Outcome(Outcome::now(Err(Failure::ShardFailed))),
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
        let after = self.wait_for(slot);
        let done = match outcome {
            Err(refusal) => {
                self.refused += 1;
                Err(Failure::Refused(refusal))
            }
            Ok(kernel::Reply::Read { slot, from, next, records_max, bytes_max }) if from < next && records_max > 0 => {
                let want = bytes_max.min(READ_BYTES_MAX) as usize;
                let read = QueuedRead { token: 0, slot, from, next, records_max, want };
                return Taken::Outcome(Outcome { after, answer: Prepared::Read(read) });
            }
            Ok(kernel::Reply::Listed { start, len, more }) => {
                let page = &self.effects.scratch[start as usize..][..len as usize];
                if after.is_some() || !put_page(data, page) {
                    let kept = Page { after, more, bytes: page.to_vec() };
                    return self.take_page(kept, data);
                }
                Ok(Done::Listed { bytes: len, more })
            }
            Ok(reply) => Ok(self.done(reply)),
        };
        Taken::Outcome(Outcome { after, answer: Prepared::Reply(done) })
    }

    #[cold]
    fn no_segment(&self) -> Failure {
        let Some((segment, &error)) = self.log.no_space() else {
            unreachable!("the log has no room for a segment, and knows why");
        };
        Failure::NoSegment { segment, error }
    }

    /// Hands a page out, if the frame that it waits for is settled and the data ring has room. Page and reply go together:
    /// the two rings keep one order.
    #[cold]
    fn take_page(&mut self, mut page: Page, data: &mut ByteProducer) -> Taken {
        page.after = page.after.filter(|&frame| frame >= self.log.settled());
        if page.after.is_some() {
            // What it waits for would never come from a log that has failed.
            let failed = self.log.failure().is_some();
            return if failed { Taken::Outcome(Outcome::now(Err(Failure::ShardFailed))) } else { Taken::Page(page) };
        }
        if !put_page(data, &page.bytes) {
            return Taken::Page(page);
        }
        Taken::Outcome(Outcome::now(Ok(Done::Listed { bytes: page.bytes.len() as u32, more: page.more })))
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

    /// Which frame has to be settled before the answer may leave, if it is not yet.
    #[inline]
    fn wait_for(&self, slot: Option<StreamSlot>) -> Option<u64> {
        if !self.effects.records.is_empty() {
            return self.durable.then(|| self.log.sequence());
        }
        let settled = self.log.settled();
        self.log.newest_frame(slot?.0).filter(|&frame| frame >= settled)
    }

    fn done(&self, reply: kernel::Reply) -> Done {
        match reply {
            kernel::Reply::Appended { first, count, timestamp } => {
                Done::Appended { first, count, timestamp, durable: self.durable }
            }
            kernel::Reply::TenantCreated { .. } => Done::TenantCreated,
            kernel::Reply::StreamCreated { stream, .. } => Done::StreamCreated { stream },
            kernel::Reply::Head { next, timestamp } => Done::Head { next, timestamp },
            kernel::Reply::Read { next, .. } => Done::Read { records: 0, next },
            kernel::Reply::Resolved { stream, next } => Done::Resolved { stream, next },
            kernel::Reply::Listed { len, more, .. } => Done::Listed { bytes: len, more },
            kernel::Reply::Deleted { .. } => Done::Deleted,
        }
    }
}

/// What taking a request came to.
enum Taken {
    Outcome(Outcome),
    /// The log has no room now.
    Blocked,
    /// A list's page, which waits for its frame or for room in the data ring.
    Page(Page),
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

/// An answer, and the frame that it waits for.
struct Outcome {
    after: Option<u64>,
    answer: Prepared,
}

/// An answer that lacks its token.
enum Prepared {
    Reply(Result<Done, Failure>),
    Read(QueuedRead),
}

impl Outcome {
    fn now(outcome: Result<Done, Failure>) -> Outcome {
        Outcome { after: None, answer: Prepared::Reply(outcome) }
    }
}

impl Prepared {
    #[inline]
    fn into_answer(self, token: u64) -> Answer {
        match self {
            Prepared::Reply(outcome) => Answer::Reply(Reply { token, outcome }),
            Prepared::Read(read) => Answer::Read(QueuedRead { token, ..read }),
        }
    }
}

/// What an answer waits for, as far as it is timed.
#[inline]
fn awaits(after: Option<u64>, open_frame: u64) -> Awaits {
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
