//! Step 6: answers leave once the frame that they wait for is settled.

use crate::read::QueuedRead;
use crate::shard::{Attached, Shard};
use crate::wire::{Failure, Reply};
use iobackend::IoBackend;
use spsc::Producer;

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

/// Puts a reply into a port's ring; it is published at the end of the turn.
#[inline]
pub(crate) fn stage(replies: &mut Producer<Reply>, reply: Reply) {
    // The ring has a place for every request that its client may have in flight. It is full only if the client broke
    // its word, and then the loss is its own; or nobody is there any more to read it.
    let _lost = replies.stage(reply);
}

impl<B: IoBackend> Shard<B> {
    /// Hands out what is settled, then publishes to every port that got something. Returns whether one did.
    pub(crate) fn answer(&mut self) -> bool {
        let settled = self.log.settled();
        let failed = self.log.failure().is_some();
        while let Some(&Pending { sequence, port, answer }) = self.pending.front() {
            let answer = if sequence < settled {
                answer
            } else if failed {
                answer.failed()
            } else {
                break;
            };
            self.pending.pop_front();
            self.hand_out(port as usize, answer);
        }
        self.log.stages().publishing(self.staged);
        let published = self.publish();
        self.log.stages().published(published);
        published
    }

    #[inline]
    fn hand_out(&mut self, at: usize, answer: Answer) {
        let Some(Some(attached)) = self.ports.get_mut(at) else {
            unreachable!("a port is kept while answers are owed to it");
        };
        attached.owed -= 1;
        match answer {
            Answer::Reply(reply) => {
                stage(&mut attached.port.replies, reply);
                attached.dirty = true;
                self.staged = true;
            }
            Answer::Read(read) => {
                attached.reads.push_back(read);
                self.queued_reads += 1;
            }
        }
    }

    /// Shows clients what is staged for them, and wakes those that sleep.
    pub(crate) fn publish(&mut self) -> bool {
        if !std::mem::take(&mut self.staged) {
            return false;
        }
        for Attached { port, dirty, .. } in self.ports.iter_mut().flatten() {
            if std::mem::take(dirty) {
                // Data first: a client that sees a reply finds its data.
                port.data.publish();
                port.replies.publish();
                port.client.ring();
            }
        }
        true
    }
}

impl Answer {
    #[cold]
    fn failed(self) -> Answer {
        let token = match self {
            Answer::Reply(Reply { token, .. }) | Answer::Read(QueuedRead { token, .. }) => token,
        };
        Answer::Reply(Reply { token, outcome: Err(Failure::ShardFailed) })
    }
}
