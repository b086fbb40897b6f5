//! Reads: begun when the log and the client's data ring have room, handed out when the log has the records.

use crate::limits::{DATA_BYTES_MAX, READ_BYTES_MAX};
use crate::port::framed;
use crate::shard::{Attached, Shard};
use crate::wire::{Done, Failure, RECORD_BYTES, Reply, put_record};
use iobackend::IoBackend;
use kernel::StreamSlot;
use log::{ReadError, ReadRequest, ReadyRead};
use spsc::{ByteProducer, ReserveError};

/// A read that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedRead {
    pub(crate) token: u64,
    pub(crate) slot: StreamSlot,
    pub(crate) from: u64,
    /// The stream's end when it was asked.
    pub(crate) next: u64,
    pub(crate) records_max: u32,
    /// Bytes of data that it may bring.
    pub(crate) want: usize,
}

/// What handing a read out came to.
enum Handed {
    Reply(Result<Done, Failure>),
    /// The data ring has no room for so many bytes: to be read again when it has.
    NoRoom(usize),
}

impl<B: IoBackend> Shard<B> {
    /// Hands out the reads that are done, then begins waiting ones.
    pub(crate) fn read(&mut self) -> bool {
        let mut worked = false;
        while self.hand_out_read() {
            worked = true;
        }
        if self.queued_reads > 0 {
            worked |= self.begin_reads();
        }
        self.publish() || worked
    }

    /// Gives the log's places to the ports in turn, one a port.
    fn begin_reads(&mut self) -> bool {
        let count = self.ports.len();
        let mut begun = false;
        let mut idle = 0;
        while idle < count && self.log.can_read() {
            self.last_read = if self.last_read + 1 < count { self.last_read + 1 } else { 0 };
            if self.begin_read(self.last_read) {
                (idle, begun) = (0, true);
            } else {
                idle += 1;
            }
        }
        begun
    }

    fn begin_read(&mut self, at: usize) -> bool {
        let Some(Attached { client, .. }) = &mut self.ports[at] else {
            return false;
        };
        let Some(&read) = client.reads.front().filter(|read| client.has_room(read.want)) else {
            return false;
        };
        client.reads.pop_front();
        self.queued_reads -= 1;
        client.owed += 1;
        client.promised += framed(read.want);
        let ticket = self.reading.iter().position(Option::is_none);
        let ticket = ticket.expect("the log has as many places for reads");
        self.reading[ticket] = Some((at, read));
        self.log.read(ReadRequest {
            ticket: ticket as u64,
            index: read.slot.0,
            from: read.from,
            // Not beyond the end as it was when the read was asked: what came later may not be settled.
            records_max: u64::from(read.records_max).min(read.next - read.from) as u32,
            bytes_max: (read.want as u64).min(u64::from(READ_BYTES_MAX)),
            record_overhead: RECORD_BYTES as u32,
            sealed_from: self.kernel.sealed_from(read.slot),
        });
        true
    }

    /// Hands out one read that is done, if there is one.
    fn hand_out_read(&mut self) -> bool {
        let Some(ready) = self.log.ready_read() else {
            return false;
        };
        let (place, ticket) = (ready.place, ready.request.ticket as usize);
        let Some((at, read)) = self.reading[ticket].take() else {
            unreachable!("a ticket is kept while its read is in flight");
        };
        let Some(Some(Attached { client, .. })) = self.ports.get_mut(at) else {
            unreachable!("a port is kept while answers are owed to it");
        };
        client.owed -= 1;
        client.promised -= framed(read.want);
        match hand_out(&mut client.data, &ready, &read) {
            Handed::Reply(outcome) => {
                client.stage(Reply { token: read.token, outcome });
                self.staged = true;
            }
            Handed::NoRoom(want) => {
                client.reads.push_front(QueuedRead { want, ..read });
                self.queued_reads += 1;
            }
        }
        self.log.finish_read(place);
        true
    }
}

fn hand_out(data: &mut ByteProducer, ready: &ReadyRead<'_>, read: &QueuedRead) -> Handed {
    let (records, bytes) = match ready.size() {
        Ok(size) => size,
        Err(ReadError::Damaged(damage)) => {
            let (segment, byte) = (damage.segment, damage.bytes.start);
            return Handed::Reply(Err(Failure::Damaged { segment, byte, offset: read.from }));
        }
        Err(ReadError::NoKey { key_id }) => return Handed::Reply(Err(Failure::NoKey { key_id: *key_id })),
        Err(ReadError::Io(failure)) => {
            return Handed::Reply(Err(Failure::ReadFailed { segment: failure.segment, error: failure.source }));
        }
        Err(_) => return Handed::Reply(Err(Failure::ShardFailed)),
    };
    let bytes = bytes as usize;
    debug_assert!(bytes <= DATA_BYTES_MAX);
    match data.reserve(bytes) {
        Ok(out) => {
            let mut at = 0;
            ready.for_each(|record| at += put_record(&mut out[at..], record));
            data.commit();
        }
        Err(ReserveError::Full { .. }) => return Handed::NoRoom(bytes),
        // Nobody is there to read it, or a record is longer than this build takes: neither can be waited for.
        Err(_) => return Handed::Reply(Err(Failure::ShardFailed)),
    }
    Handed::Reply(Ok(Done::Read { records, next: read.next }))
}
