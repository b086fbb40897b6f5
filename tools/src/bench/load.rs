//! The load: client threads, each with a window of requests in flight (a closed loop).
//!
//! Latency is counted from before a request is submitted until its answer is taken. A closed loop sends less when answers
//! are slow, so its percentiles say what a client with such a window sees, not what one that sends at a fixed rate would.

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

/// The largest latency that is told apart from larger ones.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are constants that the histogram takes")
}

/// Sends the load and waits for every answer. `done` counts records that were answered, for whoever shows progress.
pub(crate) fn run(engine: &Engine, load: &Load, done: &AtomicU64) -> Result<Outcomes, CallError> {
    let streams = make_streams(engine, load)?;
    let barrier = Barrier::new(load.clients + 1);
    std::thread::scope(|scope| {
        let (streams, barrier) = (&streams, &barrier);
        let workers: Vec<_> = (0..load.clients)
            .map(|at| {
                let quota =
                    load.records / load.clients as u64 + u64::from((at as u64) < load.records % load.clients as u64);
                scope.spawn(move || {
                    if let Some(&cpu) = load.cpus.get(at % load.cpus.len().max(1)) {
                        // Unpinned, the figures are noisier, not wrong; the report says what was asked for.
                        let _pinned = cores::pin(cpu);
                    }
                    let mut client = engine.client_with_window(load.window).map_err(|_| CallError::Closed)?;
                    let mut sender = Sender::new(load, streams, at);
                    barrier.wait();
                    sender.send_all(&mut client, quota, done)?;
                    Ok::<_, CallError>((sender.latency_ns, sender.queue_full))
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        let mut outcomes = Outcomes { elapsed: Duration::ZERO, latency_ns: histogram(), queue_full: 0 };
        for worker in workers {
            let (latency_ns, queue_full) = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            outcomes.latency_ns.add(latency_ns).expect("all histograms have the same bounds");
            outcomes.queue_full += queue_full;
        }
        outcomes.elapsed = start.elapsed();
        Ok(outcomes)
    })
}

fn make_streams(engine: &Engine, load: &Load) -> Result<Vec<StreamRef>, CallError> {
    let mut client = engine.client();
    let mut streams = Vec::with_capacity(load.tenants * load.streams);
    // Neighbours are of different tenants: the mix that a shard gets from many clients.
    for stream in 0..load.streams {
        for tenant in 0..load.tenants {
            streams.push(client.ensure_stream(&format!("bench-{tenant}"), &format!("stream-{stream}"))?);
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
                self.submitted_at[slot] = submitted_at;
                self.next_stream = if self.next_stream + 1 < self.streams.len() { self.next_stream + 1 } else { 0 };
                Ok(true)
            }
            Err(CallError::QueueFull { .. }) => {
                self.queue_full += 1;
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
