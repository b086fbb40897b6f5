//! Shards in threads of the embedder: a front-end that has an event loop of its own steps its shard there, and no
//! hand-over between cores lies between the two.

use crate::OpenError;
use crate::engine::ShardReport;
use crate::shard_thread::{Host, Plan, Start};
use log::format::segment::Base;
use shard::{Progress, ShardStats};
use std::marker::PhantomData;
use std::sync::mpsc;
use std::time::Duration;

/// The place of a shard in an engine that was opened by [`Builder::open_hosted`](crate::Builder::open_hosted): to be taken to the
/// thread where the shard is to live, and [started](Self::start) there. Until then the shard's clients wait; if it is dropped instead,
/// they get [`CallError::Closed`](crate::CallError::Closed). The engine's close waits for a seat too: whoever does not start one drops
/// it before the engine.
#[must_use = "the engine's tenants on this shard are served by whoever starts it"]
pub struct ShardSeat {
    start: Start,
    ended: mpsc::Sender<Result<Base, OpenError>>,
}

impl std::fmt::Debug for ShardSeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardSeat").field("shard", &self.start.plan.shard).finish_non_exhaustive()
    }
}

impl ShardSeat {
    pub(crate) fn new(start: Start) -> (ShardSeat, mpsc::Receiver<Result<Base, OpenError>>) {
        let (ended, receiver) = mpsc::channel();
        (ShardSeat { start, ended }, receiver)
    }

    /// The shard's number, as [`Placement::shard_of`](crate::Placement::shard_of) gives it.
    #[must_use]
    pub fn shard(&self) -> u16 {
        self.start.plan.shard
    }

    /// Starts the shard in the calling thread, which is pinned first if the builder named a CPU.
    ///
    /// # Errors
    /// If the thread cannot be pinned, or the backend or the log cannot be opened. The shard's clients then get
    /// [`CallError::Closed`](crate::CallError::Closed), and closing the engine [tells](OpenError::ShardNotStarted) why too.
    pub fn start(self) -> Result<HostedShard, OpenError> {
        let ShardSeat { start, ended } = self;
        let Plan { shard, cpu, .. } = start.plan;
        let (host, ready) = Host::start(start).inspect_err(|error| {
            // Of an engine that is gone nobody listens.
            let _nobody_listens = ended.send(Err(OpenError::ShardNotStarted { shard, reason: error.to_string() }));
        })?;
        let report = ShardReport { cpu, backend: ready.info };
        Ok(HostedShard { host, report, ended, _stays: PhantomData })
    }
}

/// A shard that its thread steps. It stays in the thread that started it, since its ring belongs to that.
///
/// The thread calls [`turn`](Self::turn) in its loop, does its own work between turns, and [rests](Self::rest) when neither had any,
/// until [`is_stopping`](Self::is_stopping); then it [closes](Self::close) the shard, and only then, if it has that too, the engine:
/// dropped or closed in this thread while the shard is open, the engine does not wait for it, and closing is an error
/// ([`OpenError::ShardOpen`]); the data directory stays locked until the shard is gone.
///
/// A [`Client`](crate::Client) in the same thread submits and polls. What waits for the shard waits for its next turn, which this thread does
/// not take meanwhile. So here are
///
/// - no waiting calls to this shard, those that make or find a stream among them: they would wait for ever. A host of one thread makes its
///   streams from another, or in an earlier opening by [`Builder::open`](crate::Builder::open);
/// - between two turns no more first requests of new clients than 64, which the shard's inbox holds: the next would be tried for a
///   second, then come to [`CallError::TooManyClients`](crate::CallError::TooManyClients).
pub struct HostedShard {
    host: Host,
    report: ShardReport,
    ended: mpsc::Sender<Result<Base, OpenError>>,
    /// Not `Send`.
    _stays: PhantomData<*const ()>,
}

impl std::fmt::Debug for HostedShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostedShard").field("report", &self.report).finish_non_exhaustive()
    }
}

impl HostedShard {
    /// What it was started with.
    #[must_use]
    pub fn report(&self) -> &ShardReport {
        &self.report
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        self.host.stats()
    }

    /// One round of the loop: takes requests, writes, answers. Never blocks.
    #[inline]
    pub fn turn(&mut self) -> Progress {
        self.host.turn()
    }

    /// Rests as the last turn allows: not at all, for a moment, or asleep until a request, a completion, or `at_most` is over
    /// (`None`: whatever else wakes it).
    ///
    /// # Errors
    /// If the system cannot wait for completions.
    pub fn rest(&mut self, progress: Progress, at_most: Option<Duration>) -> Result<(), OpenError> {
        self.host.rest(progress, at_most)
    }

    /// Whether the engine is being closed, and waits for this shard.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.host.is_stopping()
    }

    /// Answers what was taken, flushes and seals the log. How that went is told by [`Engine::close`](crate::Engine::close), which waits for
    /// it. A shard that is dropped instead leaves its log as a crash would: the next opening recovers it.
    pub fn close(self) {
        let HostedShard { host, ended, .. } = self;
        // Of an engine that is gone nobody listens.
        let _nobody_listens = ended.send(host.close());
    }
}
