//! The load: client threads, each with a window of requests in flight (a closed loop).
//!
//! Latency is counted from the first try to submit a request, tries that found the queue full included, until its answer is
//! taken. A closed loop sends less when answers are slow, so its percentiles say what a client with such a window sees,
//! not what one that sends at a fixed rate would.

use diatreme::{CallError, Client, Engine, Outcome, StreamRef, cores};
use hdrhistogram::Histogram;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Records, over all clients.
    pub(crate) records: u64,
    /// Bytes of each.
    pub(crate) payload: usize,
    pub(crate) tenants: usize,
    /// In each tenant.
    pub(crate) streams: usize,
    pub(crate) clients: usize,
    /// Requests in flight of each client.
    pub(crate) window: usize,
    /// CPUs for the clients, in turn; empty: wherever the system puts them.
    pub(crate) cpus: Vec<usize>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcomes {
    pub(crate) elapsed: Duration,
    pub(crate) latency_ns: Histogram<u64>,
    /// Times that a client found the queue full.
    pub(crate) queue_full: u64,
}

impl Outcomes {
    /// Requests in flight on the average: throughput times mean latency (Little's law).
    pub(crate) fn in_flight(&self, records: u64) -> f64 {
        records as f64 / self.elapsed.as_secs_f64().max(1e-9) * self.latency_ns.mean() / 1e9
    }
}

/// The largest latency that is told apart from larger ones.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are constants that the histogram takes")
}

/// Makes the tenants and streams. In an opening of its own, so that a run counts the load and nothing else.
pub(crate) fn make_streams(engine: &Engine, load: &Load) -> Result<(), CallError> {
    let mut client = engine.client();
    find_streams(load, |tenant, stream| client.ensure_stream(tenant, stream)).map(|_| ())
}

/// Sends the load and waits for every answer. `done` counts records that were answered, for whoever shows progress.
pub(crate) fn run(engine: &Engine, load: &Load, done: &AtomicU64) -> Result<Outcomes, CallError> {
    let mut client = engine.client();
    let streams = find_streams(load, |tenant, stream| client.stream(tenant, stream))?;
    let barrier = Barrier::new(load.clients);
    let results: Result<Vec<Share>, CallError> = std::thread::scope(|scope| {
        let (streams, barrier) = (&streams, &barrier);
        let workers: Vec<_> = (0..load.clients)
            .map(|at| scope.spawn(move || send_share(engine, load, streams, at, barrier, done)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let shares = results?;
    let mut outcomes = Outcomes { elapsed: Duration::ZERO, latency_ns: histogram(), queue_full: 0 };
    for share in &shares {
        outcomes.latency_ns.add(&share.latency_ns).expect("all histograms have the same bounds");
        outcomes.queue_full += share.queue_full;
    }
    let start = shares.iter().map(|share| share.start).min();
    let end = shares.iter().map(|share| share.end).max();
    outcomes.elapsed = end.zip(start).map_or(Duration::ZERO, |(end, start)| end - start);
    Ok(outcomes)
}

/// What one client did.
struct Share {
    start: Instant,
    end: Instant,
    latency_ns: Histogram<u64>,
    queue_full: u64,
}

fn send_share(
    engine: &Engine,
    load: &Load,
    streams: &[StreamRef],
    at: usize,
    barrier: &Barrier,
    done: &AtomicU64,
) -> Result<Share, CallError> {
    if let Some(&cpu) = load.cpus.get(at % load.cpus.len().max(1)) {
        // Unpinned, the figures are noisier, not wrong; the report says what was asked for.
        let _pinned = cores::pin(cpu);
    }
    let client = engine.client_with_window(load.window).map_err(|_| CallError::Closed);
    let mut sender = Sender::new(load, streams, at);
    barrier.wait();
    let start = Instant::now();
    let quota = load.records / load.clients as u64 + u64::from((at as u64) < load.records % load.clients as u64);
    sender.send_all(&mut client?, quota, done)?;
    Ok(Share { start, end: Instant::now(), latency_ns: sender.latency_ns, queue_full: sender.queue_full })
}

/// The streams, neighbours of different tenants: the mix that a shard gets from many clients.
fn find_streams(
    load: &Load,
    mut find: impl FnMut(&str, &str) -> Result<StreamRef, CallError>,
) -> Result<Vec<StreamRef>, CallError> {
    let mut streams = Vec::with_capacity(load.tenants * load.streams);
    for stream in 0..load.streams {
        for tenant in 0..load.tenants {
            streams.push(find(&format!("bench-{tenant}"), &format!("stream-{stream}"))?);
        }
    }
    Ok(streams)
}

/// One client's side of the load.
struct Sender<'a> {
    streams: &'a [StreamRef],
    next_stream: usize,
    /// Bytes that do not compress, longer than a payload, so that each record is another window on them.
    noise: Vec<u8>,
    payload: usize,
    window: usize,
    /// When each request in flight was submitted, by its token modulo the length, a power of two.
    submitted_at: Vec<u64>,
    /// When the next record was first tried, if the queue was full then.
    first_try: Option<u64>,
    start: Instant,
    latency_ns: Histogram<u64>,
    queue_full: u64,
}

impl<'a> Sender<'a> {
    fn new(load: &Load, streams: &'a [StreamRef], at: usize) -> Sender<'a> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(at as u64 + 1);
        let mut noise = vec![0; load.payload + 4096];
        for byte in &mut noise {
            // Xorshift (Marsaglia, 2003): any bytes that do not repeat will do.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state as u8;
        }
        Sender {
            streams,
            next_stream: at % streams.len(),
            noise,
            payload: load.payload,
            window: load.window,
            submitted_at: vec![0; load.window.next_power_of_two()],
            first_try: None,
            start: Instant::now(),
            latency_ns: histogram(),
            queue_full: 0,
        }
    }

    #[inline]
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn send_all(&mut self, client: &mut Client, quota: u64, done: &AtomicU64) -> Result<(), CallError> {
        let (mut sent, mut answered) = (0, 0);
        while answered < quota {
            let mut full = false;
            while sent < quota && sent - answered < self.window as u64 && !full {
                full = !self.send(client)?;
                sent += u64::from(!full);
            }
            let taken = self.take(client)?;
            answered += taken;
            if taken == 0 && (full || sent - answered == self.window as u64 || sent == quota) {
                // Never spin: the kernel may need this core to complete the write that is waited for.
                std::thread::yield_now();
            } else {
                done.fetch_add(taken, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Sends a record; `false` if the queue is full.
    #[inline]
    fn send(&mut self, client: &mut Client) -> Result<bool, CallError> {
        let stream = self.streams[self.next_stream];
        let submitted_at = self.now();
        let from = (submitted_at & 4095) as usize;
        match client.submit_append(&stream, None, &[&self.noise[from..from + self.payload]]) {
            Ok(token) => {
                let slot = token.0 as usize & (self.submitted_at.len() - 1);
                self.submitted_at[slot] = self.first_try.take().unwrap_or(submitted_at);
                self.next_stream = if self.next_stream + 1 < self.streams.len() { self.next_stream + 1 } else { 0 };
                Ok(true)
            }
            Err(CallError::QueueFull { .. }) => {
                self.queue_full += 1;
                self.first_try.get_or_insert(submitted_at);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, client: &mut Client) -> Result<u64, CallError> {
        let mut failed = None;
        let (mask, start) = (self.submitted_at.len() - 1, self.start);
        let (submitted_at, latency_ns) = (&self.submitted_at, &mut self.latency_ns);
        let mut now = 0;
        let taken = client.poll(|completion| {
            if now == 0 {
                now = start.elapsed().as_nanos() as u64;
            }
            let latency = now.saturating_sub(submitted_at[completion.token.0 as usize & mask]);
            latency_ns.saturating_record(latency);
            match completion.result {
                Ok(Outcome::Appended(_)) => {}
                Ok(other) => unreachable!("{other:?} to an append"),
                Err(error) => failed = Some(error),
            }
        })?;
        failed.map_or(Ok(taken as u64), Err)
    }
}
