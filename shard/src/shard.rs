//! The event loop of one core, a turn at a time.
//!
//! Data goes one way through six steps: drain the rings, apply to the kernel, seal into the open frame, submit the
//! frame, reap completions, answer what its frame allows. `turn` never blocks, takes no lock, and allocates nothing in steady
//! state. Time comes in as an argument; so does everything else that is not the shard's own.
//!
//! Deliberately absent: threads, clocks, and waiting. Who calls `turn`, and what it does between turns, is the host's choice.
//! (The observer that [`log::timing`] may be reads a clock, and decides nothing.)

use crate::answer::{Answer, Pending};
use crate::drain::Page;
use crate::group::Grouping;
use crate::limits::{DATA_BYTES_MAX, PLACES_MAX, PORTS_MAX};
use crate::port::{ClientBell, ShardPort, framed};
use crate::read::QueuedRead;
use crate::wire::Reply;
use crypto::secret::DataKey;
use iobackend::IoBackend;
use kernel::{Durability, Effects, Kernel};
use log::format::segment::Base;
use log::limits::{PREPARE_RETRY_NS, READS_IN_FLIGHT};
use log::timing::StageStats;
use log::{Leave, Log, LogError, LogFailure, LogStats};
use planted::Bug;
use spsc::{ByteConsumer, ByteProducer, Consumer, Producer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What comes to a shard other than requests.
#[derive(Debug)]
pub enum Control {
    /// A client attaches.
    Attach(Box<ShardPort>),
    /// A tenant's data key. It is there before any request that came after this message.
    AddKey {
        /// The tenant's id.
        tenant: u64,
        /// The key's number in the tenant.
        key_id: u32,
        /// The key.
        key: DataKey,
    },
    /// A data key is to be destroyed: every copy and every cipher made of it goes.
    ForgetKey {
        /// The tenant's id.
        tenant: u64,
        /// The key's number in the tenant.
        key_id: u32,
        /// Counted down when the shard has forgotten it, or is no more.
        done: Countdown,
    },
}

/// Counts down when it is dropped, wherever that is: who waits for all of several shards to have dropped theirs, waits for zero.
#[derive(Debug)]
pub struct Countdown(Arc<AtomicUsize>);

impl Countdown {
    /// One more to be waited for.
    #[must_use]
    pub fn of(outstanding: &Arc<AtomicUsize>) -> Countdown {
        outstanding.fetch_add(1, Ordering::Relaxed);
        Countdown(Arc::clone(outstanding))
    }
}

impl Drop for Countdown {
    fn drop(&mut self) {
        // Release: who reads zero sees that what was to be forgotten is gone.
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// What a turn did, for whoever decides what to do until the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Something was done; there may be more.
    pub worked: bool,
    /// Operations are in flight, so completions will come.
    pub in_flight: bool,
    /// Requests wait that the log has no room for: nothing but a completion helps, new requests do not. Then operations
    /// are in flight.
    pub blocked: bool,
    /// Even if nothing comes, a turn is due at this time (nanoseconds, on the clock that `turn` is told).
    pub wake_at: Option<u64>,
}

/// Messages to the shard. Those that it did not take go when it goes, or when it never comes: their clients must learn of it.
#[derive(Debug)]
pub struct Inbox(Consumer<Control>);

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Consumer<Control>> for Inbox {
    fn from(messages: Consumer<Control>) -> Inbox {
        Inbox(messages)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
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
    /// Where time went, with the feature `timing`.
    pub stages: Option<StageStats>,
}

/// A client's place in the shard: what it asks, and apart from it, since requests are used where they lie while they are
/// answered, all else. Fields are dropped in order: the client's bell, which is in the last one, rings after its rings are gone.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) requests: ByteConsumer,
    pub(crate) client: Client,
}

/// What a client is owed, and the rings that it goes into.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its place in [`Shard::ports`].
    pub(crate) at: u32,
    pub(crate) replies: Producer<Reply>,
    pub(crate) data: ByteProducer,
    /// Answers that wait for a frame, or for a read that is in flight: the place is kept until there are none.
    pub(crate) owed: usize,
    /// Replies or data are staged and not published.
    pub(crate) dirty: bool,
    pub(crate) reads: VecDeque<QueuedRead>,
    /// Bytes of the data ring that reads in flight may take.
    pub(crate) promised: usize,
    /// The next request waits until the data ring has room for so many bytes; 0 if it does not.
    pub(crate) wants: usize,
    /// The page that the next request, a list, brings.
    pub(crate) page: Option<Page>,
    pub(crate) bell: ClientBell,
}

impl Attached {
    fn new(port: ShardPort, at: usize) -> Attached {
        let ShardPort { requests, replies, data, client: bell } = port;
        let (at, reads) = (at as u32, VecDeque::new());
        let client =
            Client { at, replies, data, owed: 0, dirty: false, reads, promised: 0, wants: 0, page: None, bell };
        Attached { requests, client }
    }

    /// Whether a turn could do something for this client now.
    fn has_input(&self, can_read: bool) -> bool {
        let Attached { requests, client } = self;
        let next = || client.places() > 0 && (client.wants == 0 || client.has_room(client.wants));
        let read = || can_read && client.reads.front().is_some_and(|read| client.has_room(read.want));
        // Who left is detached once nothing is owed; until then only the log goes on.
        requests.is_disconnected() && client.owed == 0 || !requests.is_empty() && next() || read()
    }
}

impl Client {
    /// Requests that may be taken: no more are open than the client may have in flight. One that keeps its word
    /// never finds this 0; one that does not cannot make the shard's queues grow.
    #[inline]
    pub(crate) fn places(&self) -> usize {
        self.replies.capacity().saturating_sub(self.owed + self.reads.len())
    }

    /// Whether the data ring surely takes a message of so many bytes besides what is promised: since a message lies in one piece,
    /// as many bytes as the longest may be left empty at the end of the memory.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let used = self.data.used() + self.promised;
        used == 0 || used + framed(bytes) + framed(DATA_BYTES_MAX) <= self.data.window()
    }
}

/// One core's share of the engine.
#[derive(Debug)]
pub struct Shard<B> {
    pub(crate) kernel: Kernel,
    pub(crate) log: Log<B>,
    pub(crate) inbox: Inbox,
    pub(crate) ports: Vec<Option<Attached>>,
    attached: usize,
    /// Answers that all clients together may be owed.
    places: usize,
    /// The port that had the last turn to be drained, and the one that had the last turn to read.
    pub(crate) last_drained: usize,
    pub(crate) last_read: usize,
    /// The port that is drained first in the next turn, since the log had no room for it, and the last one that was.
    pub(crate) waiting: Option<usize>,
    pub(crate) last_waiting: usize,
    /// When the open frame is closed.
    grouping: Grouping,
    pub(crate) effects: Effects,
    /// Answers that wait for the flush of their frames, in order of frames.
    pub(crate) pending: VecDeque<Pending>,
    /// The newest frame that one of them ever waited for.
    awaited: u64,
    /// Answers that wait until their frames are written, in order of frames.
    pub(crate) pending_written: VecDeque<Pending>,
    /// The newest frame that one of those ever waited for.
    pub(crate) awaited_written: u64,
    /// The reads that the log has in flight, by ticket.
    pub(crate) reading: [Option<(usize, QueuedRead)>; READS_IN_FLIGHT],
    pub(crate) queued_reads: usize,
    /// Something is staged in some port's rings and not published.
    pub(crate) staged: bool,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
}

impl<B: IoBackend> Shard<B> {
    /// A shard over a log and a kernel that know the same streams. `durability` is the policy of tenants that have none of
    /// their own.
    ///
    /// # Panics
    /// If the log and the kernel know different numbers of streams.
    #[must_use]
    pub fn new(mut kernel: Kernel, log: Log<B>, inbox: impl Into<Inbox>, durability: Durability) -> Shard<B> {
        assert_eq!(kernel.slots(), log.streams(), "the log knows every stream of the kernel");
        kernel.set_default_durability(durability);
        Shard {
            kernel,
            log,
            inbox: inbox.into(),
            ports: Vec::new(),
            attached: 0,
            places: 0,
            last_drained: 0,
            last_read: 0,
            waiting: None,
            last_waiting: 0,
            grouping: Grouping::default(),
            effects: Effects::new(crate::limits::REQUEST_RECORDS_MAX as usize),
            pending: VecDeque::new(),
            awaited: 0,
            pending_written: VecDeque::new(),
            awaited_written: 0,
            reading: [const { None }; READS_IN_FLIGHT],
            queued_reads: 0,
            staged: false,
            requests: 0,
            refused: 0,
        }
    }

    /// One round of the six steps.
    pub fn turn(&mut self, now: u64) -> Progress {
        self.log.stages().turn();
        self.take_messages();
        let drained = self.drain(now);
        self.grouping.drained(drained.requests, drained.rings_empty, now);
        let open_bytes = self.log.open_bytes();
        if open_bytes > 0 && self.grouping.closes(open_bytes, self.log.leave(), self.log.frames_in_flight(), now) {
            self.log.submit(now);
        }
        let reaped = self.log.reap(now);
        let answered = self.answer();
        if answered {
            self.grouping.answered(now);
        }
        let read = self.read();
        self.log.stages().read(read);
        let in_flight = self.log.in_flight() > 0;
        // Held open for a moment, with nothing in flight that would end a sleep.
        let holds = self.log.open_bytes() > 0 && !planted::is(Bug::HeldFrameForgotten);
        let waits = holds && self.log.frames_in_flight() == 0 && self.log.failure().is_none();
        let leave_at = if waits { self.leave_at(now) } else { None };
        let held = leave_at.is_some_and(|at| at <= now);
        Progress {
            worked: drained.requests > 0 || reaped || answered || read || held || self.log.has_work(),
            in_flight,
            blocked: drained.blocked && in_flight,
            wake_at: if leave_at.is_none() && !self.log.has_unflushed() {
                self.mark_at(now)
            } else {
                self.wake_at(leave_at.filter(|_| !held), now)
            },
        }
    }

    #[inline]
    fn mark_at(&self, now: u64) -> Option<u64> {
        // One that is due and was not written found no room: a full disk is asked again at the log's own pace.
        self.log.mark_at().map(|at| if at <= now { now.saturating_add(PREPARE_RETRY_NS) } else { at })
    }

    /// When a turn is due if nothing comes, where other things than a mark are.
    #[cold]
    fn wake_at(&self, leave_at: Option<u64>, now: u64) -> Option<u64> {
        [self.mark_at(now), self.log.flush_due_at(), leave_at].into_iter().flatten().min()
    }

    /// When the open frame may leave, as far as nothing but time keeps it; `None` if nobody asks for it to.
    #[inline]
    fn leave_at(&self, now: u64) -> Option<u64> {
        match self.log.leave() {
            Leave::Now | Leave::Grouped => Some(now),
            Leave::At(at) => Some(at),
            Leave::Never => None,
        }
    }

    /// Whether a message, or a request that can go on, waits: asked once more between announcing to sleep and sleeping.
    /// What waits for its client to take data is none: the client rings when it has.
    #[must_use]
    pub fn has_input(&self) -> bool {
        // A read that waits for one of the log's places goes on when another completes.
        let (can_read, looks) = (self.log.can_read(), !planted::is(Bug::NoSecondLook));
        let waits = || self.ports.iter().flatten().any(|attached| attached.has_input(can_read));
        looks && (!self.inbox.0.is_empty() || waits())
    }

    /// The backend, to wait on.
    pub fn backend_mut(&mut self) -> &mut B {
        self.log.backend_mut()
    }

    /// Why the shard answers no more appends, if so.
    #[must_use]
    pub fn failure(&self) -> Option<&LogFailure> {
        self.log.failure()
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let (log, stages) = (self.log.stats(), self.log.stage_stats());
        ShardStats { requests: self.requests, refused: self.refused, log, stages }
    }

    /// Answers what was taken, reads too, then closes the log. Not answered are requests still in the rings, lists that wait,
    /// and reads whose data finds no room, since their client takes none: those clients find the port gone. Blocks. Gives where the
    /// log ends, and what was done, the last frames included.
    ///
    /// # Errors
    /// The log's failure.
    pub fn close(mut self, now: u64) -> Result<(Base, ShardStats), LogError> {
        if let Some(newest) = self.log.newest_undurable() {
            self.log.want_durable(newest);
        }
        loop {
            self.log.submit(now);
            let reaped = self.log.reap(now);
            let answered = self.answer();
            // Begins every read that there is room for; so if none is in flight after it, none is left that could be.
            let read = self.read();
            // A log that has failed writes nothing more, and a frame that failed stays in flight.
            let writing = self.log.failure().is_none() && self.log.newest_undurable().is_some();
            let owed = !self.pending.is_empty() || !self.pending_written.is_empty();
            if !writing && !owed && self.reading.iter().all(Option::is_none) {
                break;
            }
            if !(answered || read || reaped) && self.log.in_flight() > 0 {
                self.log.backend_mut().wait(None).map_err(|source| LogError::System {
                    doing: "wait for the last writes in",
                    path: "the log".into(),
                    source,
                })?;
            }
        }
        let stats = self.stats();
        let Shard { log, ports, inbox, .. } = self;
        let closed = log.close(now);
        drop((ports, inbox));
        Ok((closed?, stats))
    }

    /// Takes the messages that wait.
    #[inline]
    fn take_messages(&mut self) {
        if !self.inbox.0.is_empty() {
            self.take_waiting_messages();
        }
    }

    #[cold]
    fn take_waiting_messages(&mut self) {
        while let Some(message) = self.inbox.0.pop() {
            match message {
                Control::Attach(port) => self.attach(*port),
                Control::AddKey { tenant, key_id, key } => self.log.add_key(tenant, key_id, key),
                Control::ForgetKey { tenant, key_id, done } => {
                    self.log.forget_key(tenant, key_id);
                    drop(done);
                }
            }
        }
    }

    fn attach(&mut self, port: ShardPort) {
        if self.attached == PORTS_MAX || self.places + port.replies.capacity() > PLACES_MAX {
            // Dropped: the client finds its port gone, and reports that the shard took no more clients.
            return;
        }
        self.places += port.replies.capacity();
        self.pending.reserve(self.places - self.pending.len());
        self.pending_written.reserve(self.places - self.pending_written.len());
        let at = self.ports.iter().position(Option::is_none).unwrap_or(self.ports.len());
        let attached = Some(Attached::new(port, at));
        match self.ports.get_mut(at) {
            Some(place) => *place = attached,
            None => self.ports.push(attached),
        }
        self.attached += 1;
        if planted::is(Bug::HandoverDropped) {
            let _dropped = self.inbox.0.pop();
        }
    }

    /// Frees the place of a client that is gone, once nothing refers to it.
    #[cold]
    pub(crate) fn detach(&mut self, place: &mut Option<Attached>) {
        if let Some(Attached { client, .. }) =
            place.take_if(|attached| attached.client.owed == 0 || planted::is(Bug::PlaceGivenAway))
        {
            self.queued_reads -= client.reads.len();
            self.places -= client.replies.capacity();
            self.attached -= 1;
        }
    }

    #[inline]
    pub(crate) fn push_pending(&mut self, sequence: u64, port: u32, answer: Answer) {
        // The queue is in order of frames: an answer that waits for an older one waits for its neighbour's too.
        self.awaited = self.awaited.max(sequence);
        self.pending.push_back(Pending { sequence: self.awaited, port, answer });
    }
}
