//! Step 6: answers leave once the frame that they wait for is durable, or written if they promise no more.

use crate::read::QueuedRead;
use crate::shard::{Attached, Client, Shard};
use crate::wire::{Done, Failure, Reply};
use iobackend::IoBackend;
use kernel::Level;
use planted::Bug;

/// What is owed for a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    /// The log is to be read first.
    Read(QueuedRead),
}

/// An answer that waits for a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// The frame.
    pub(crate) sequence: u64,
    pub(crate) port: u32,
    pub(crate) answer: Answer,
}

impl Client {
    /// Puts a reply into the client's ring; it is published at the end of the turn.
    #[inline]
    pub(crate) fn stage(&mut self, reply: Reply) {
        // The ring has a place for every request that its client may have in flight. It is full only if the client broke
        // its word, and then the loss is its own; or nobody is there any more to read it.
        let _lost = self.replies.stage(reply);
        self.dirty = true;
    }

    /// Hands an answer out that waits for no frame any more; says to the shard what is to be done next.
    #[inline]
    pub(crate) fn hand_out(&mut self, answer: Answer, staged: &mut bool, queued_reads: &mut usize) {
        match answer {
            Answer::Reply(reply) => {
                self.stage(reply);
                *staged = true;
            }
            Answer::Read(read) => {
                self.reads.push_back(read);
                *queued_reads += 1;
            }
        }
    }
}

impl<B: IoBackend> Shard<B> {
    /// Hands out what may leave, then publishes to every port that got something. Returns whether one did.
    pub(crate) fn answer(&mut self) -> bool {
        let durable = self.log.durable();
        let failed = self.log.failure().is_some();
        while let Some(&Pending { sequence, port, answer }) = self.pending.front() {
            let answer = if sequence < durable {
                answer
            } else if failed {
                answer.failed()
            } else {
                break;
            };
            self.pending.pop_front();
            self.hand_out(port, answer);
        }
        if !self.pending_written.is_empty() {
            self.answer_written(failed);
        }
        self.log.stages().publishing(self.staged);
        let published = self.publish();
        self.log.stages().published(published);
        published
    }

    /// The same for those that wait only until their frame is written.
    #[cold]
    fn answer_written(&mut self, failed: bool) {
        let (written, durable) = (self.log.written(), self.log.durable());
        while let Some(&Pending { sequence, port, answer }) = self.pending_written.front() {
            let answer = if sequence < durable || planted::is(Bug::LevelToldTooHigh) && sequence < written {
                answer.flushed()
            } else if sequence < written || planted::is(Bug::BufferedNotWritten) {
                answer
            } else if failed {
                answer.failed()
            } else {
                break;
            };
            self.pending_written.pop_front();
            self.hand_out(port, answer);
        }
    }

    #[inline(always)]
    fn hand_out(&mut self, port: u32, answer: Answer) {
        let Some(Some(Attached { client, .. })) = self.ports.get_mut(port as usize) else {
            unreachable!("a port is kept while answers are owed to it");
        };
        client.owed -= 1;
        client.hand_out(answer, &mut self.staged, &mut self.queued_reads);
    }

    /// Shows clients what is staged for them, and wakes those that sleep.
    pub(crate) fn publish(&mut self) -> bool {
        if !std::mem::take(&mut self.staged) {
            return false;
        }
        for Attached { client, .. } in self.ports.iter_mut().flatten() {
            if std::mem::take(&mut client.dirty) {
                // Data first: a client that sees a reply finds its data.
                client.data.publish();
                client.replies.publish();
                client.bell.ring();
            }
        }
        true
    }
}

impl Answer {
    /// The frame happens to be flushed already.
    fn flushed(mut self) -> Answer {
        if let Answer::Reply(Reply { outcome: Ok(Done::Appended { level, .. }), .. }) = &mut self {
            *level = Level::Strict;
        }
        self
    }

    #[cold]
    fn failed(self) -> Answer {
        let token = match self {
            Answer::Reply(Reply { token, .. }) | Answer::Read(QueuedRead { token, .. }) => token,
        };
        Answer::Reply(Reply { token, outcome: Err(Failure::ShardFailed) })
    }
}
