//! One client's side of the load: it sends what is due, takes what is answered, and counts.
//!
//! A sender is stepped, as a shard is, and never waits: one thread may step several, and a shard's host may step one between turns.
//! Latency counts from the moment when a request was *due*: in an open loop that is its place in the schedule, however
//! late it could be sent; in a closed loop the moment when its place in the window was free. Every request that was due in
//! the measured time is sent and counted, also if that takes longer than the time. What a stall delays is thus in
//! the percentiles (the omission that is common is described in Tene, How not to measure latency, 2015).

use super::arrivals::{Pick, Random, Schedule};
use super::payload::Payloads;
use diatreme::{CallError, Client, Outcome, ReadRecords, StreamRef};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests that a step sends at most, so that senders in one thread take turns.
const STEP_REQUESTS: usize = 64;
/// Appends sent, and their answers taken, for each look at the clock, which takes as long as sending one. What is sent gets a
/// time that is too early by some 0.3 µs at most, and so does an answer; a read's answer is timed on its own, after its
/// records were looked at.
const CLOCK_EVERY: usize = 16;
/// Arrivals that a step counts at most: at absurd rates counting must not take longer than what is counted.
const STEP_ARRIVALS: usize = 1 << 16;
/// The largest latency that is told apart from larger ones.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
/// Records that a scan asks for at a time.
const SCAN_RECORDS: u32 = 4096;

/// A histogram of nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are constants that the histogram takes")
}

/// What a sender does.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Appends, and so many reads of single records, at random offsets, in a hundred requests.
    Mix {
        /// 0 to 100.
        read_percent: u32,
    },
    /// Reads every stream from its start to its end.
    Scan,
}

/// The share of the load that one client has.
pub(crate) struct Task<'a> {
    pub(crate) work: Work,
    pub(crate) streams: Vec<StreamRef>,
    /// Records that each stream holds already.
    pub(crate) heads: Vec<u64>,
    pub(crate) pick: Pick,
    pub(crate) payloads: &'a Payloads,
    /// Records a request.
    pub(crate) batch: u32,
    pub(crate) window: usize,
    /// None: a closed loop.
    pub(crate) schedule: Option<Schedule>,
    /// What is due before this is sent and not counted.
    pub(crate) measure_from: Duration,
    /// Nothing is due from then on.
    pub(crate) until: Option<Duration>,
    /// Records that are to be counted.
    pub(crate) quota: Option<u64>,
    pub(crate) seed: u64,
}

impl Task<'_> {
    /// How many requests count, at most.
    fn requests(&self) -> u64 {
        match (self.quota, &self.work) {
            (Some(records), Work::Mix { read_percent: 0 }) => records.div_ceil(u64::from(self.batch)),
            // A read is of one record.
            (Some(records), _) => records,
            (None, _) => u64::MAX,
        }
    }
}

/// Appends and reads, apart.
pub(crate) const KINDS: usize = 2;
const APPEND: usize = 0;
const READ: usize = 1;

/// What was counted of one kind of requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) records: u64,
    /// Of payload.
    pub(crate) bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, other: Count) {
        self.requests += other.requests;
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// What a sender counted since it last handed over.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) latency_ns: [Histogram<u64>; KINDS],
    pub(crate) counts: [Count; KINDS],
    /// When it was left.
    pub(crate) at: Duration,
    /// Requests that are due and not answered, and due and not sent.
    pub(crate) queue: u64,
    pub(crate) behind: u64,
}

impl Tally {
    fn new() -> Tally {
        Tally {
            latency_ns: [histogram(), histogram()],
            counts: Default::default(),
            at: Duration::ZERO,
            queue: 0,
            behind: 0,
        }
    }

    fn clear(&mut self) {
        self.latency_ns.iter_mut().for_each(Histogram::reset);
        self.counts = Default::default();
    }
}

/// Where a sender leaves a tally for whoever collects it.
#[derive(Debug)]
pub(crate) struct Tray(Mutex<(bool, Tally)>);

impl Tray {
    pub(crate) fn new() -> Tray {
        Tray(Mutex::new((false, Tally::new())))
    }

    /// Gives the tally to `take`, if there is one, and clears it for the sender to use again.
    pub(crate) fn collect(&self, take: impl FnOnce(&Tally)) {
        let mut tray = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (full, tally) = &mut *tray;
        if std::mem::take(full) {
            take(tally);
            tally.clear();
        }
    }

    /// Leaves a tally and takes the cleared one that lay there. A sender never waits: if the last one was not collected
    /// yet, the sender goes on with what it has.
    fn leave(&self, tally: &mut Tally) {
        if let Ok(mut tray) = self.0.try_lock()
            && !tray.0
        {
            std::mem::swap(&mut tray.1, tally);
            tray.0 = true;
        }
    }
}

/// What a sender found out, besides its tallies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    /// When the last answer that counts was taken.
    pub(crate) last_answer: Duration,
    pub(crate) queue_full: u64,
    /// The integral over time of the requests in flight and behind, in nanoseconds.
    pub(crate) queue_ns: f64,
    pub(crate) behind_max: u64,
    /// When nothing more became due.
    pub(crate) behind_end: u64,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Worked,
    /// Nothing to do until something is answered or due.
    Idle,
    /// Everything is answered.
    Done,
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// When it was due; [`FREE`] if the place holds none.
    due_ns: u64,
    /// Of a read: its offset. Of an append: the number of its first record.
    from: u64,
    stream: u32,
    records: u32,
    bytes: u32,
    kind: u8,
    counts: bool,
}

const FREE: Sent = Sent { due_ns: u64::MAX, from: 0, stream: 0, records: 0, bytes: 0, kind: 0, counts: false };

pub(crate) struct Sender<'a> {
    task: Task<'a>,
    start: Instant,
    from_ns: u64,
    until_ns: u64,
    /// Tells what becomes due, apart from what could be sent.
    arriving: Option<Schedule>,
    /// Requests that are still to become due.
    arrivals_left: u64,
    /// Of those that count: due and not sent.
    behind: u64,
    /// In flight, by token modulo the length, a power of two.
    sent: Vec<Sent>,
    next_token: u64,
    in_flight: usize,
    /// Of those: the ones that count.
    counted_in_flight: u64,
    /// What found the queue full. It is what is sent next, as it is: to draw another would let the engine choose its load.
    refused: Option<Sent>,
    next_record: u64,
    records: Vec<&'a [u8]>,
    random: Random,
    /// Of a scan: where each stream goes on, and those with no request in flight.
    cursors: Vec<u64>,
    ready: VecDeque<u32>,
    over: bool,
    quota: u64,
    last_step_ns: u64,
    /// What waited when the last step ended.
    last_queue: u64,
    tally: Tally,
    ended: Ended,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(task: Task<'a>, start: Instant) -> Sender<'a> {
        let nanoseconds = |time: Duration| time.as_nanos() as u64;
        let scan = matches!(task.work, Work::Scan);
        let unread = |at: &u32| scan && task.heads[*at as usize] > 0;
        Sender {
            start,
            from_ns: nanoseconds(task.measure_from),
            until_ns: task.until.map_or(u64::MAX, nanoseconds),
            arriving: task.schedule.clone(),
            arrivals_left: task.requests(),
            behind: 0,
            // Answers of one shard may overtake those of another; with room to spare, no place is needed twice.
            sent: vec![FREE; (4 * task.window).next_power_of_two()],
            next_token: 0,
            in_flight: 0,
            counted_in_flight: 0,
            refused: None,
            next_record: task.seed.wrapping_mul(0x9e37_79b9),
            records: Vec::with_capacity(task.batch as usize),
            random: Random::new(task.seed),
            cursors: if scan { vec![0; task.heads.len()] } else { Vec::new() },
            ready: (0..task.heads.len() as u32).filter(unread).collect(),
            over: false,
            quota: task.quota.unwrap_or(u64::MAX),
            last_step_ns: 0,
            last_queue: 0,
            tally: Tally::new(),
            ended: Ended::default(),
            task,
        }
    }

    #[inline]
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Sends what is due, up to a limit, and takes what is answered.
    ///
    /// # Errors
    /// What made a request fail, other than a full queue.
    pub(crate) fn step(&mut self, client: &mut Client) -> Result<Step, CallError> {
        let now = self.now();
        self.arrive(now);
        self.count_queue(now);
        let sent = if self.over { 0 } else { self.send_due(client, now)? };
        let taken = self.take(client)?;
        self.last_queue = self.queue();
        Ok(if self.over && self.in_flight == 0 {
            Step::Done
        } else if sent + taken > 0 {
            Step::Worked
        } else {
            Step::Idle
        })
    }

    /// Sends nothing more. Requests that were due by now and are not sent count with the time that they have waited: they would
    /// have waited longer, and to leave them out would hide the wait.
    pub(crate) fn stop(&mut self) {
        if self.over {
            return;
        }
        let now = self.now();
        self.arrive(now);
        self.end_of_arrivals();
        // The first of the schedule may be left from the warm-up: they do not count.
        let mut left = std::mem::take(&mut self.behind);
        while left > 0 {
            let Some(due) = self.next_due(now) else { break };
            let Some(request) = self.choose(due) else { break };
            self.task.schedule.iter_mut().for_each(Schedule::advance);
            if request.counts {
                self.tally.latency_ns[usize::from(request.kind)].saturating_record(now.saturating_sub(due));
                left -= 1;
            }
        }
        self.over = true;
    }

    fn end_of_arrivals(&mut self) {
        if let Some(_ended) = self.arriving.take() {
            self.ended.behind_end = self.behind;
        }
    }

    /// Counts the requests that became due.
    fn arrive(&mut self, now: u64) {
        let Some(arriving) = &mut self.arriving else { return };
        let end = now.min(self.until_ns - 1);
        for _ in 0..STEP_ARRIVALS {
            let due = arriving.due();
            if due > end || self.arrivals_left == 0 {
                break;
            }
            arriving.advance();
            if due >= self.from_ns {
                self.behind += 1;
                self.arrivals_left -= 1;
            }
        }
        self.ended.behind_max = self.ended.behind_max.max(self.behind);
        if self.arrivals_left == 0 || now >= self.until_ns && arriving.due() >= self.until_ns {
            self.end_of_arrivals();
        }
    }

    /// Sends requests that are due and have room; returns how many.
    fn send_due(&mut self, client: &mut Client, mut now: u64) -> Result<usize, CallError> {
        let mut sent = 0;
        while sent < STEP_REQUESTS && self.in_flight < self.task.window && !self.is_taken(self.next_token) {
            let request = match self.refused.take() {
                Some(refused) => refused,
                None => {
                    let Some(due) = self.next_due(now) else { break };
                    let Some(request) = self.choose(due) else { break };
                    request
                }
            };
            if !self.send(client, request)? {
                self.refused = Some(request);
                break;
            }
            self.went(request);
            sent += 1;
            if sent.is_multiple_of(CLOCK_EVERY) {
                now = self.now();
                self.arrive(now);
            }
        }
        Ok(sent)
    }

    #[inline]
    fn is_taken(&self, token: u64) -> bool {
        self.sent[token as usize & (self.sent.len() - 1)].due_ns != FREE.due_ns
    }

    /// When the next request was due, if it is by now; notes when there will be none any more.
    #[inline]
    fn next_due(&mut self, now: u64) -> Option<u64> {
        let due = self.task.schedule.as_ref().map_or(now, Schedule::due);
        if due >= self.until_ns || self.quota == 0 {
            self.end_of_arrivals();
            self.behind = 0;
            self.over = true;
        }
        (due <= now && !self.over).then_some(due)
    }

    /// The next request; none if a scan has to wait for an answer first.
    #[inline]
    fn choose(&mut self, due_ns: u64) -> Option<Sent> {
        let counts = due_ns >= self.from_ns;
        let request = |stream, from, records, kind: usize| Sent {
            due_ns,
            from,
            stream,
            records,
            bytes: 0,
            kind: kind as u8,
            counts,
        };
        let read_percent = match self.task.work {
            Work::Scan => {
                let stream = *self.ready.front()?;
                return Some(request(stream, self.cursors[stream as usize], SCAN_RECORDS, READ));
            }
            Work::Mix { read_percent } => read_percent,
        };
        let stream = self.task.pick.next();
        let head = self.task.heads[stream];
        // A stream without records has nothing to read.
        if read_percent > 0 && self.random.below(100) < u64::from(read_percent) && head > 0 {
            return Some(request(stream as u32, self.random.below(head), 1, READ));
        }
        let batch = self.task.batch;
        let records = if counts { u64::from(batch).min(self.quota) as u32 } else { batch };
        let first = self.next_record;
        self.next_record = self.next_record.wrapping_add(u64::from(records));
        Some(request(stream as u32, first, records, APPEND))
    }

    /// Hands a request to the client; `false` if its queue is full.
    #[inline]
    fn send(&mut self, client: &mut Client, mut request: Sent) -> Result<bool, CallError> {
        let stream = &self.task.streams[request.stream as usize];
        let result = if usize::from(request.kind) == READ {
            client.submit_read(stream, request.from, request.records)
        } else {
            self.records.clear();
            for at in 0..u64::from(request.records) {
                let record = self.task.payloads.record(request.from.wrapping_add(at));
                request.bytes += record.len() as u32;
                self.records.push(record);
            }
            client.submit_append(stream, None, &self.records)
        };
        match result {
            Ok(token) => {
                let place = token.0 as usize & (self.sent.len() - 1);
                debug_assert_eq!(self.sent[place].due_ns, FREE.due_ns, "tokens count up");
                self.sent[place] = request;
                self.next_token = token.0 + 1;
                Ok(true)
            }
            Err(CallError::QueueFull { .. }) => {
                self.ended.queue_full += 1;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Accounts for a request that was sent.
    #[inline]
    fn went(&mut self, request: Sent) {
        self.in_flight += 1;
        self.counted_in_flight += u64::from(request.counts);
        if let Some(schedule) = &mut self.task.schedule {
            schedule.advance();
            self.behind -= u64::from(request.counts).min(self.behind);
        }
        match self.task.work {
            Work::Scan => {
                self.ready.pop_front();
            }
            Work::Mix { .. } if request.counts => self.quota -= u64::from(request.records).min(self.quota),
            Work::Mix { .. } => {}
        }
    }

    /// Takes what is answered; returns how many.
    fn take(&mut self, client: &mut Client) -> Result<usize, CallError> {
        let mut failed = None;
        let mut now = 0;
        let mut looked = 0;
        let taken = client.poll(|completion| {
            if looked % CLOCK_EVERY == 0 {
                now = self.start.elapsed().as_nanos() as u64;
            }
            looked += 1;
            let place = completion.token.0 as usize & (self.sent.len() - 1);
            let mut sent = std::mem::replace(&mut self.sent[place], FREE);
            match completion.result {
                Ok(Outcome::Appended(appended)) => {
                    let head = &mut self.task.heads[sent.stream as usize];
                    *head = (*head).max(appended.first + u64::from(appended.count));
                }
                Ok(Outcome::Records { records, .. }) => {
                    self.took_records(&mut sent, records);
                    now = self.start.elapsed().as_nanos() as u64;
                }
                Ok(other) => unreachable!("{other:?} to an append or a read"),
                Err(error) => failed = Some(error),
            }
            if sent.counts {
                self.counted_in_flight -= 1;
                self.record(now, sent);
            }
        })?;
        self.in_flight -= taken;
        if matches!(self.task.work, Work::Scan) && self.ready.is_empty() && self.in_flight == 0 {
            self.over = true;
        }
        failed.map_or(Ok(taken), Err)
    }

    fn took_records(&mut self, sent: &mut Sent, records: ReadRecords<'_>) {
        (sent.records, sent.bytes) = (0, 0);
        for record in records {
            sent.records += 1;
            sent.bytes += record.payload.len() as u32;
        }
        if matches!(self.task.work, Work::Scan) {
            let at = sent.stream as usize;
            self.cursors[at] += u64::from(sent.records);
            if sent.records > 0 && self.cursors[at] < self.task.heads[at] {
                self.ready.push_back(sent.stream);
            }
        }
    }

    #[inline]
    fn record(&mut self, now: u64, sent: Sent) {
        let kind = usize::from(sent.kind);
        self.tally.latency_ns[kind].saturating_record(now.saturating_sub(sent.due_ns));
        let count = &mut self.tally.counts[kind];
        count.requests += 1;
        count.records += u64::from(sent.records);
        count.bytes += u64::from(sent.bytes);
        self.ended.last_answer = Duration::from_nanos(now);
    }

    /// Adds up what waited since the last step, in which requests became due one after the other.
    #[inline]
    fn count_queue(&mut self, now: u64) {
        let since = self.last_step_ns.max(self.from_ns);
        self.last_step_ns = now;
        if now > since {
            self.ended.queue_ns += (now - since) as f64 * (self.last_queue + self.queue()) as f64 / 2.0;
        }
    }

    /// Of the requests that count: those in flight, and those that are due.
    fn queue(&self) -> u64 {
        self.counted_in_flight + self.behind
    }

    /// Of each stream: the offset after the last record that is acknowledged, to this client or before it.
    pub(crate) fn heads(&self) -> &[u64] {
        &self.task.heads
    }

    /// Leaves what was counted for whoever collects it.
    pub(crate) fn report(&mut self, tray: &Tray) {
        (self.tally.queue, self.tally.behind) = (self.queue(), self.behind);
        self.tally.at = self.start.elapsed();
        tray.leave(&mut self.tally);
    }

    /// What it found out, and what it counted since the last report.
    pub(crate) fn end(self) -> (Ended, Tally) {
        (self.ended, self.tally)
    }
}
