//! Steps 1 to 3: take requests where they lie, apply them to the kernel, seal their records into the open frame.

use crate::answer::{Answer, stage};
use crate::limits::{BATCH_REQUESTS, READ_BYTES_MAX, TURN_REQUESTS};
use crate::read::QueuedRead;
use crate::shard::{Attached, Shard};
use crate::wire::{Done, Failure, Reply, decode, demand, token};
use iobackend::IoBackend;
use kernel::{Command, Payload, RecordEffect, ReplyEffect, StreamSlot};
use log::format::frame::RecordHeader;
use log::limits::REQUEST_RECORDS_BYTES_MAX;
use log::{Room, StreamStart};
use spsc::{ByteProducer, ReserveError};

/// What a drain came to.
pub(crate) struct Drained {
    pub(crate) requests: usize,
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
        let mut drained = Drained { requests: 0, rings_empty: true, blocked: false };
        let count = self.ports.len();
        let first = self.waiting.take().filter(|&at| at < count);
        let still = first.is_some_and(|at| self.drain_next(at, now, &mut drained).waits());
        let mut idle = 0;
        let mut at = self.last_drained;
        while idle < count && drained.requests < TURN_REQUESTS {
            at = if at + 1 < count { at + 1 } else { 0 };
            if still && first == Some(at) {
                idle += 1;
                continue;
            }
            let end = self.drain_next(at, now, &mut drained);
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
        self.requests += drained.requests as u64;
        drained
    }

    /// Drains a port, and notes whether it is to be the first of the next turn: of those that got nothing, the next one
    /// behind the port that was the first before.
    fn drain_next(&mut self, at: usize, now: u64, drained: &mut Drained) -> End {
        let (taken, end) = self.drain_port(at, now);
        drained.requests += taken;
        drained.blocked |= end.waits();
        if taken == 0 && end.waits() {
            let count = self.ports.len();
            let behind = |at: usize| (at + 2 * count - self.last_waiting.min(count) - 1) % count;
            self.waiting = self.waiting.filter(|&other| behind(other) <= behind(at)).or(Some(at));
        }
        end
    }

    fn drain_port(&mut self, at: usize, now: u64) -> (usize, End) {
        let Some(Some(mut attached)) = self.ports.get_mut(at).map(Option::take) else {
            return (0, End::Empty);
        };
        // Asked before the ring is found empty: what was sent before leaving is still taken.
        let gone = attached.port.requests.is_disconnected();
        if gone {
            // Nobody takes their data.
            self.queued_reads -= attached.reads.len();
            attached.reads.clear();
        }
        let (taken, end) = self.drain_attached(&mut attached, at, now);
        self.ports[at] = Some(attached);
        if gone && matches!(end, End::Empty) {
            self.detach(at);
        }
        (taken, end)
    }

    fn drain_attached(&mut self, attached: &mut Attached, at: usize, now: u64) -> (usize, End) {
        let limit = attached.places().min(BATCH_REQUESTS);
        let Attached { port, owed, dirty, reads, wants, .. } = attached;
        *wants = 0;
        let batch = port.requests.batch();
        let mut taken = 0;
        while taken < limit {
            let Some(message) = batch.peek() else {
                return (taken, End::Empty);
            };
            let outcome = match decode(message) {
                Ok(command) => match self.take(&command, message, now, &mut port.data) {
                    Taken::Outcome(outcome) => outcome,
                    Taken::Blocked => return (taken, End::Blocked),
                    Taken::NoRoom(bytes) => {
                        *wants = bytes;
                        return (taken, End::Full);
                    }
                },
                Err(refusal) => Outcome::now(Err(Failure::Refused(refusal))),
            };
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
            batch.advance();
            taken += 1;
        }
        (taken, if limit == BATCH_REQUESTS { End::Limit } else { End::Full })
    }

    /// Applies one command, if the log has room for what it may write.
    #[inline]
    fn take(&mut self, command: &Command<'_>, message: &[u8], now: u64, data: &mut ByteProducer) -> Taken {
        // What is longer than any frame is longer than the kernel's limits too: it is applied, and refused.
        if let Some((bytes, entries)) = demand(command).filter(|(bytes, _)| *bytes <= REQUEST_RECORDS_BYTES_MAX) {
            // A log that has failed may still have room in its open frame, but no frame will be written any more.
            let room = if self.log.failure().is_some() { Room::Failed } else { self.log.room(bytes, entries, now) };
            match room {
                Room::Ready => {}
                Room::Busy => return Taken::Blocked,
                Room::NoSpace => return Taken::Outcome(Outcome::now(Err(Failure::NoSpace))),
                Room::Failed => return Taken::Outcome(Outcome::now(Err(Failure::ShardFailed))),
            }
        }
        self.effects.clear();
        self.kernel.apply(0, command, now, &mut self.effects);
        self.seal(message);
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
                // Its page goes into the data ring at once, so its reply must too: the two rings keep one order.
                if after.is_some() {
                    // What it waits for would never come from a log that has failed.
                    let failed = self.log.failure().is_some();
                    let refused = Outcome::now(Err(Failure::ShardFailed));
                    return if failed { Taken::Outcome(refused) } else { Taken::Blocked };
                }
                if !put_page(data, &self.effects.scratch[start as usize..][..len as usize]) {
                    return Taken::NoRoom(len as usize);
                }
                Ok(Done::Listed { bytes: len, more })
            }
            Ok(reply) => Ok(self.done(reply)),
        };
        Taken::Outcome(Outcome { after, answer: Prepared::Reply(done) })
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
    /// The data ring has no room for so many bytes.
    NoRoom(usize),
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
