//! What policies other than natural group commit ask for: of appends, and of what reads them.
//!
//! The common case is not here: it is decided with one look (`Admitted::natural`), and costs no more.

use crate::answer::{Answer, Pending};
use crate::drain::{End, awaits};
use crate::read::QueuedRead;
use crate::shard::{Client, Shard};
use crate::wire::{Done, Reply, append_bytes, stamp, token};
use iobackend::IoBackend;
use kernel::{Durability, Level, Records, StreamSlot, SyncPolicy};
use log::{Leave, Room, Wish};
use planted::Bug;

impl<B: IoBackend> Shard<B> {
    /// Appends records that were admitted, as the tenant's policy has it, or as the operation asks. All is given by value: what it
    /// would refer to had to be in memory on the common way too.
    #[cold]
    pub(crate) fn append_under_policy(
        &mut self,
        client: &mut Client,
        asked: Option<Level>,
        records: Records<'_>,
        (slot, key_id): (StreamSlot, u32),
        message: &[u8],
        now: u64,
    ) -> Result<(), End> {
        let (durability, _) = self.kernel.durability(slot);
        let durability = asked.map_or(durability, |asked| durability.raised(asked));
        let alone = durability == Durability::Strict(SyncPolicy::EveryRecord);
        if alone {
            match self.log.room_alone(append_bytes(&records), 1, now) {
                Room::Ready => {}
                lacking => return self.without_room(lacking, client, message),
            }
        }
        let first = self.seal_append(slot, key_id, &records, now);
        let frame = self.log.sequence();
        if let Some(wish) = wish(durability, now) {
            self.log.wish(records.count(), wish, now);
        }
        let level = durability.level();
        let (first, count, timestamp) = (first.offset, records.count(), first.timestamp);
        let outcome = Ok(Done::Appended { first, count, timestamp, level });
        match level {
            Level::Memory => self.reply(client, message, None, outcome),
            Level::Buffered => {
                self.owe_written(client, message, frame, Answer::Reply(Reply { token: token(message), outcome }));
            }
            Level::Strict => self.reply(client, message, Some(frame), outcome),
        }
        if alone {
            self.log.shut(now);
        }
        Ok(())
    }

    /// Answers when everything that was answered before is flushed.
    #[cold]
    pub(crate) fn sync(&mut self, client: &mut Client, message: &[u8]) {
        self.log.promise_durable();
        let after = self.log.newest_undurable().inspect(|&frame| {
            self.log.want_durable(frame);
            // Not later than anybody else: who syncs waits for no group.
            self.log.want_written(frame);
        });
        let after = after.filter(|_| !planted::is(Bug::SyncNotWaitedFor));
        self.reply(client, message, after, Ok(Done::Synced));
    }

    /// The frame that has to be durable before an answer may leave that saw a stream's newest record.
    #[inline]
    pub(crate) fn after_seen(&mut self, slot: Option<StreamSlot>) -> Option<u64> {
        let slot = slot?;
        let frame = self.undurable(slot)?;
        self.after_undurable(slot, frame)
    }

    /// The frame of a stream's newest record, if it is not durable yet.
    #[inline]
    fn undurable(&self, slot: StreamSlot) -> Option<u64> {
        let durable = self.log.durable();
        self.log.newest_frame(slot.0).filter(|&frame| frame >= durable && !planted::is(Bug::ReadSeesUnsettled))
    }

    #[inline(never)]
    fn after_undurable(&mut self, slot: StreamSlot, frame: u64) -> Option<u64> {
        let (durability, catalog) = self.kernel.durability(slot);
        if durability.level() == Level::Strict || slot == catalog {
            // Its records may have been appended under another policy, and ask for no flush.
            self.log.want_durable(frame);
            return Some(frame);
        }
        // What a loss of power may take back may be told; that the stream is there, only for good.
        self.undurable(catalog)
    }

    /// Begins a read as soon as what it gives may be shown, and lies in the file.
    #[inline(never)]
    pub(crate) fn owe_read(&mut self, client: &mut Client, message: &[u8], read: QueuedRead) {
        let (slot, answer) = (read.slot, Answer::Read(read));
        let Some(frame) = self.undurable(slot) else {
            return self.owe(client, message, None, answer);
        };
        let (durability, catalog) = self.kernel.durability(slot);
        if durability.level() == Level::Strict || slot == catalog {
            self.log.want_durable(frame);
            return self.owe(client, message, Some(frame), answer);
        }
        if self.undurable(catalog).is_some() {
            // That the stream is there may be shown only for good.
            self.log.want_durable(frame);
            return self.owe(client, message, Some(frame), answer);
        }
        self.log.want_written(frame);
        if frame < self.log.written() {
            return self.owe(client, message, None, answer);
        }
        self.owe_written(client, message, frame, answer);
    }

    /// Answers a request as soon as a frame is written.
    #[inline(never)]
    fn owe_written(&mut self, client: &mut Client, message: &[u8], sequence: u64, answer: Answer) {
        let awaits = awaits(Some(sequence), self.log.sequence());
        self.log.stages().taken(stamp(message), awaits);
        client.owed += 1;
        // In order of frames, as the queue of those that wait for a flush.
        self.awaited_written = self.awaited_written.max(sequence);
        self.pending_written.push_back(Pending { sequence: self.awaited_written, port: client.at, answer });
    }
}

/// What records under a policy ask of their frame; `None` if it is what records ask that say nothing.
fn wish(durability: Durability, now: u64) -> Option<Wish> {
    Some(match durability {
        Durability::Memory => Wish::Nothing,
        Durability::Buffered { interval_ns, records } => {
            Wish::Written { flush_by: now.saturating_add(interval_ns), records }
        }
        Durability::Strict(SyncPolicy::EveryRecord | SyncPolicy::EveryBatch) => Wish::Flushed(Leave::Now),
        Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: 0 }) => return None,
        Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns }) => {
            Wish::Flushed(Leave::At(now.saturating_add(max_delay_ns)))
        }
    })
}
