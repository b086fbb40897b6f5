//! A shard's thread: pins itself, builds the shard where it will live, and steps it until it is told to stop.

use crate::clock::Clock;
use crate::idle::{Idle, Rest};
use crate::recovery::ShardState;
use crate::{OpenError, cores};
use iobackend::{Arena, Backend, BackendConfig, BackendInfo, IoBackend, Waker};
use log::format::segment::Base;
use log::limits::{ARENA_BYTES, FILE_SLOTS, IO_DEPTH};
use log::{Log, LogBuffers, LogConfig, LogError, LogStart};
use shard::{Control, Shard, ShardStats};
use spsc::{Consumer, Doorbell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};

/// A shard that never sleeps stores its counts for reports so often.
const STATS_NS: u64 = 10_000_000;

/// What a shard's thread is given.
pub(crate) struct Start {
    pub(crate) shard: u16,
    pub(crate) cpu: Option<usize>,
    /// Other threads of the engine have the same CPU.
    pub(crate) shared_cpu: bool,
    pub(crate) backend: BackendConfig,
    pub(crate) log: LogConfig,
    pub(crate) log_start: LogStart,
    pub(crate) state: ShardState,
    pub(crate) inbox: Consumer<Control>,
    pub(crate) common: Arc<Common>,
}

/// What the engine and a shard's thread share.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) stop: AtomicBool,
    pub(crate) waker: OnceLock<Waker>,
    /// The shard takes no more messages.
    pub(crate) closed: Mutex<bool>,
    /// Written by the thread when it parks, every [`STATS_NS`] while it does not, and when it ends, for reports.
    pub(crate) stats: Mutex<ShardStats>,
}

impl Common {
    pub(crate) fn doorbell(self: &Arc<Self>) -> Arc<Doorbell> {
        let common = Arc::clone(self);
        Arc::new(Doorbell::new(move || {
            // A shard parks only after it has published its waker.
            if let Some(waker) = common.waker.get() {
                waker.wake();
            }
        }))
    }
}

/// The shard's door for new clients. It closes when the shard goes, be it by a panic, and before the inbox is emptied:
/// a message is either found there, or not sent.
struct Door<'a>(&'a Common);

impl Drop for Door<'_> {
    fn drop(&mut self) {
        *self.0.closed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
    }
}

/// What a shard's thread says when it is ready.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) info: BackendInfo,
    pub(crate) ring_fd: Option<i32>,
}

/// The thread's body. `bell` is the shard's own doorbell.
pub(crate) fn run(
    start: Start,
    bell: &Doorbell,
    ready: &mpsc::Sender<Result<Ready, OpenError>>,
) -> Result<Base, OpenError> {
    let (common, shared_cpu) = (Arc::clone(&start.common), start.shared_cpu);
    let clock = Clock::start();
    let mut shard = match build(start, clock) {
        Ok((shard, info)) => {
            // The engine waits for this; if it is gone, the stop flag is about to be seen.
            let _gone = ready.send(Ok(info));
            shard
        }
        Err(error) => {
            let _gone = ready.send(Err(error));
            return Ok(Base::default());
        }
    };
    // Declared after the shard, so dropped before it.
    let door = Door(&common);
    let mut idle = Idle::new(shared_cpu);
    let mut stored_at = clock.now();
    while !common.stop.load(Ordering::Relaxed) {
        let now = clock.now();
        if now.saturating_sub(stored_at) >= STATS_NS {
            stored_at = now;
            store_stats(&common, shard.stats());
        }
        let progress = shard.turn(now);
        match idle.rest(progress, now) {
            Rest::None => {}
            Rest::Spin => std::hint::spin_loop(),
            Rest::Yield => std::thread::yield_now(),
            Rest::Park(timeout) => {
                store_stats(&common, shard.stats());
                bell.prepare_park();
                let input = !progress.blocked && shard.has_input() || common.stop.load(Ordering::Relaxed);
                if !input {
                    shard.backend_mut().wait(timeout).map_err(|source| LogError::System {
                        doing: "wait for completions of",
                        path: "the log".into(),
                        source,
                    })?;
                }
                bell.cancel_park();
            }
        }
    }
    drop(door);
    // If the log fails at the end, these are the last counts.
    store_stats(&common, shard.stats());
    let (base, stats) = shard.close(clock.now())?;
    store_stats(&common, stats);
    Ok(base)
}

fn store_stats(common: &Common, stats: ShardStats) {
    *common.stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stats;
}

fn build(start: Start, clock: Clock) -> Result<(Shard<Backend>, Ready), OpenError> {
    let Start { shard, cpu, backend, log, log_start, state, inbox, common, .. } = start;
    if let Some(cpu) = cpu {
        cores::pin(cpu).map_err(|allowed| OpenError::Pin { shard, cpu, allowed })?;
    }
    let no_memory = |source| OpenError::Directory { doing: "take memory for", path: backend.root.clone(), source };
    // Taken on the shard's own core, so that its pages are near it.
    let mut arena = Arena::new(ARENA_BYTES).map_err(no_memory)?;
    let Some(buffers) = LogBuffers::take(&mut arena) else {
        unreachable!("the arena is as large as the log's buffers");
    };
    let config = BackendConfig { depth: IO_DEPTH, file_slots: FILE_SLOTS, ..backend };
    let backend = iobackend::open(&config, &arena)?;
    let ready = Ready { info: backend.info().clone(), ring_fd: ring_fd(&backend) };
    let _set_once = common.waker.set(backend.waker());
    let durable = log.durable;
    let mut log = Log::open(backend, buffers, log, log_start, clock.now())?;
    for (slot, stream) in state.streams.into_iter().enumerate() {
        log.add_stream(slot as u32, stream);
    }
    Ok((Shard::new(state.kernel, log, inbox, durable), ready))
}

#[cfg(target_os = "linux")]
fn ring_fd(backend: &Backend) -> Option<i32> {
    backend.ring_fd()
}

#[cfg(not(target_os = "linux"))]
fn ring_fd(_: &Backend) -> Option<i32> {
    None
}
