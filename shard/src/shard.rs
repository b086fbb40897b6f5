//! The event loop of one core, a turn at a time.
//!
//! Data goes one way through six steps: drain the rings, apply to the kernel, seal into the open frame, submit the
//! frame, reap completions, answer up to the settled mark. `turn` never blocks, takes no lock, and allocates nothing in steady
//! state. Time comes in as an argument; so does everything else that is not the shard's own.
//!
//! Deliberately absent: threads, clocks, and waiting. Who calls `turn`, and what it does between turns, is the host's choice.

use crate::answer::{Answer, Pending};
use crate::limits::PORTS_MAX;
use crate::port::ShardPort;
use crate::read::QueuedRead;
use iobackend::IoBackend;
use kernel::{Effects, Kernel};
use log::format::segment::Base;
use log::limits::READS_IN_FLIGHT;
use log::{Log, LogError, LogFailure, LogStats};
use spsc::Consumer;
use std::collections::VecDeque;

/// What comes to a shard other than requests.
#[derive(Debug)]
pub enum Control {
    /// A client attaches.
    Attach(Box<ShardPort>),
}

/// What a turn did, for whoever decides what to do until the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Something was done; there may be more.
    pub worked: bool,
    /// Operations are in flight, so completions will come.
    pub in_flight: bool,
    /// Requests wait that the log has no room for: nothing but a completion helps, new requests do not.
    pub blocked: bool,
    /// Even if nothing comes, a turn is due at this time (nanoseconds, on the clock that `turn` is told).
    pub wake_at: Option<u64>,
}

/// Counts of what a shard did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Requests taken.
    pub requests: u64,
    /// Requests that the kernel refused.
    pub refused: u64,
    /// What the log did.
    pub log: LogStats,
}

/// A client's place in the shard.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) port: ShardPort,
    /// Answers that are not staged yet: the place is kept until there are none.
    pub(crate) owed: usize,
    /// Replies or data are staged and not published.
    pub(crate) dirty: bool,
    pub(crate) reads: VecDeque<QueuedRead>,
    /// Bytes of data that reads in flight may bring.
    pub(crate) promised: usize,
}

/// One core's share of the engine.
#[derive(Debug)]
pub struct Shard<B> {
    pub(crate) kernel: Kernel,
    pub(crate) log: Log<B>,
    pub(crate) inbox: Consumer<Control>,
    pub(crate) ports: Vec<Option<Attached>>,
    pub(crate) attached: usize,
    /// The port whose turn is next.
    pub(crate) next_port: usize,
    pub(crate) effects: Effects,
    /// Answers that wait for their frames, in order of frames.
    pub(crate) pending: VecDeque<Pending>,
    /// The reads that the log has in flight, by ticket.
    pub(crate) reading: [Option<(usize, QueuedRead)>; READS_IN_FLIGHT],
    pub(crate) queued_reads: usize,
    /// Something is staged in some port's rings and not published.
    pub(crate) staged: bool,
    /// Whether answers wait for the flush of their frame.
    pub(crate) durable: bool,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
}

impl<B: IoBackend> Shard<B> {
    /// A shard over a log and a kernel that know the same streams. `durable` is what the log was configured with.
    ///
    /// # Panics
    /// If the log and the kernel know different numbers of streams.
    #[must_use]
    pub fn new(kernel: Kernel, log: Log<B>, inbox: Consumer<Control>, durable: bool) -> Shard<B> {
        assert_eq!(kernel.slots(), log.streams(), "the log knows every stream of the kernel");
        Shard {
            kernel,
            log,
            inbox,
            ports: Vec::new(),
            attached: 0,
            next_port: 0,
            effects: Effects::new(crate::limits::REQUEST_RECORDS_MAX as usize),
            pending: VecDeque::new(),
            reading: [const { None }; READS_IN_FLIGHT],
            queued_reads: 0,
            staged: false,
            durable,
            requests: 0,
            refused: 0,
        }
    }

    /// One round of the six steps.
    pub fn turn(&mut self, now: u64) -> Progress {
        self.attach();
        let drained = self.drain(now);
        // A frame closes when the rings are empty, or at its cap (in `drain`); never just because a place in flight is free.
        if drained.rings_empty {
            self.log.submit(now);
        }
        let reaped = self.log.reap(now);
        let answered = self.answer();
        let read = self.read();
        Progress {
            worked: drained.requests > 0 || reaped || answered || read || self.log.has_work(),
            in_flight: self.log.in_flight() > 0,
            blocked: drained.blocked,
            wake_at: self.log.mark_at(),
        }
    }

    /// Whether a request or a message waits: asked once more between announcing to sleep and sleeping.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.inbox.is_empty()
            || self.ports.iter().flatten().any(|attached| {
                !attached.port.requests.is_empty()
                    || attached.port.requests.is_disconnected()
                    || !attached.reads.is_empty()
            })
    }

    /// The backend, to wait on.
    pub fn backend_mut(&mut self) -> &mut B {
        self.log.backend_mut()
    }

    /// The kernel, for reports.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Why the shard answers no more appends, if so.
    #[must_use]
    pub fn failure(&self) -> Option<&LogFailure> {
        self.log.failure()
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        ShardStats { requests: self.requests, refused: self.refused, log: self.log.stats() }
    }

    /// Answers what was taken, then closes the log. Requests still in the rings are not taken: their clients find
    /// the port gone. Blocks.
    ///
    /// # Errors
    /// The log's failure.
    pub fn close(mut self, now: u64) -> Result<Base, LogError> {
        while !self.pending.is_empty() {
            self.log.submit(now);
            let reaped = self.log.reap(now);
            if !self.answer() && !reaped && self.log.in_flight() > 0 {
                self.log.backend_mut().wait(None).map_err(|source| LogError::System {
                    doing: "wait for the last writes in",
                    path: "the log".into(),
                    source,
                })?;
            }
        }
        let clients: Vec<_> = self.ports.drain(..).flatten().map(|attached| attached.port).collect();
        let closed = self.log.close(now);
        for ShardPort { requests, replies, data, client } in clients {
            drop((requests, replies, data));
            client.ring();
        }
        closed
    }

    fn attach(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        self.attach_waiting();
    }

    #[cold]
    fn attach_waiting(&mut self) {
        while let Some(Control::Attach(port)) = self.inbox.pop() {
            if self.attached == PORTS_MAX {
                // Dropped: the client finds its port gone, and reports that the shard took no more clients.
                port.client.ring();
                continue;
            }
            self.pending.reserve(port.replies.capacity());
            let reads = VecDeque::new();
            let attached = Attached { port: *port, owed: 0, dirty: false, reads, promised: 0 };
            match self.ports.iter().position(Option::is_none) {
                Some(at) => self.ports[at] = Some(attached),
                None => self.ports.push(Some(attached)),
            }
            self.attached += 1;
        }
    }

    /// Frees the place of a client that is gone, once nothing refers to it.
    #[cold]
    pub(crate) fn detach(&mut self, at: usize) {
        if let Some(attached) = &self.ports[at]
            && attached.owed == 0
        {
            self.queued_reads -= attached.reads.len();
            self.ports[at] = None;
            self.attached -= 1;
        }
    }

    pub(crate) fn push_pending(&mut self, sequence: u64, port: usize, answer: Answer) {
        // The queue is in order of frames: an answer that waits for an older one waits for its neighbour's too.
        let sequence = self.pending.back().map_or(sequence, |last| last.sequence.max(sequence));
        self.pending.push_back(Pending { sequence, port: port as u32, answer });
    }
}
