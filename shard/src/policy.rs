//! What policies other than natural group commit ask for: of appends, and of what reads them.
//!
//! The common case is not here: it is decided with one look (`Admitted::natural`), and costs no more.

use crate::answer::{After, Answer, Pending};
use crate::drain::End;
use crate::shard::{Client, Shard};
use crate::wire::{Done, append_bytes};
use iobackend::IoBackend;
use kernel::{Durability, Level, Records, Refusal, Reply, StreamSlot, SyncPolicy};
use log::{Leave, Room, Wish};

impl<B: IoBackend> Shard<B> {
    /// Appends records that were admitted, as the tenant's policy has it, or as the operation asks. All is given by value: what it
    /// would refer to had to be in memory on the common way too.
    #[cold]
    pub(crate) fn append_under_policy(
        &mut self,
        client: &mut Client,
        asked: Option<Level>,
        records: Records<'_>,
        slot: StreamSlot,
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
        let first = self.seal_append(slot, &records, now);
        let frame = self.log.sequence();
        if let Some(wish) = wish(durability, now) {
            self.log.wish(records.count(), wish, now);
        }
        let level = durability.level();
        let after = match level {
            Level::Memory => After::Nothing,
            Level::Buffered => After::Written(frame),
            Level::Strict => After::Durable(frame),
        };
        let (first, count, timestamp) = (first.offset, records.count(), first.timestamp);
        self.reply(client, message, after, Ok(Done::Appended { first, count, timestamp, level }));
        if alone {
            self.log.shut(now);
        }
        Ok(())
    }

    /// Answers when everything that was answered before is flushed.
    #[cold]
    pub(crate) fn sync(&mut self, client: &mut Client, message: &[u8]) {
        let after = self.log.newest_undurable().map_or(After::Nothing, |frame| {
            self.log.want_durable(frame);
            // Not later than anybody else: who syncs waits for no group.
            self.log.want_written(frame);
            After::Durable(frame)
        });
        self.reply(client, message, after, Ok(Done::Synced));
    }

    /// What an answer has to wait for that saw a stream's newest record.
    #[inline]
    pub(crate) fn after_seen(&mut self, slot: Option<StreamSlot>, outcome: &Result<Reply, Refusal>) -> After {
        if let Some(slot) = slot
            && let Some(frame) = self.undurable(slot)
        {
            return self.after_undurable(slot, frame, outcome);
        }
        After::Nothing
    }

    /// The frame of a stream's newest record, if it is not durable yet.
    #[inline]
    fn undurable(&self, slot: StreamSlot) -> Option<u64> {
        let durable = self.log.durable();
        self.log.newest_frame(slot.0).filter(|&frame| frame >= durable)
    }

    #[inline(never)]
    fn after_undurable(&mut self, slot: StreamSlot, frame: u64, outcome: &Result<Reply, Refusal>) -> After {
        let (durability, catalog) = self.kernel.durability(slot);
        if durability.level() == Level::Strict || slot == catalog {
            // Its records may have been appended under another policy, and ask for no flush.
            self.log.want_durable(frame);
            return After::Durable(frame);
        }
        if matches!(outcome, Ok(Reply::Read { from, next, .. }) if from < next) {
            // It goes to the file.
            self.log.want_written(frame);
            return if frame < self.log.written() { After::Nothing } else { After::Written(frame) };
        }
        // What a loss of power may take back may be told; that the stream is there, only for good.
        self.undurable(catalog).map_or(After::Nothing, After::Durable)
    }

    #[cold]
    pub(crate) fn push_pending_written(&mut self, sequence: u64, port: u32, answer: Answer) {
        // In order of frames, as the queue of those that wait for a flush.
        self.awaited_written = self.awaited_written.max(sequence);
        self.pending_written.push_back(Pending { sequence: self.awaited_written, port, answer });
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
