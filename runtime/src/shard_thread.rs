//! A shard in its thread: pinned, built where it will live, and stepped until it is told to stop. The thread is the shard's own,
//! or that of a host which does other work besides (`hosted.rs`).

use crate::clock::Clock;
use crate::encryption::Given;
use crate::idle::{Idle, Rest};
use crate::lock::DirectoryLock;
use crate::{OpenError, Waiting, cores};
use iobackend::{Arena, Backend, BackendConfig, BackendInfo, IoBackend, Waker};
use kernel::{Durability, Kernel};
use log::format::segment::Base;
use log::limits::{ARENA_BYTES, FILE_SLOTS, IO_DEPTH};
use log::{Log, LogBuffers, LogConfig, LogError, LogStart};
use parking_lot::Mutex;
use recovery::ShardState;
use shard::{Inbox, Progress, Shard, ShardStats};
use spsc::Doorbell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::ThreadId;
use std::time::Duration;

/// A shard that never sleeps stores its counts for reports so often.
const STATS_NS: u64 = 10_000_000;

/// What a shard's thread is given. However its way ends, also before it has become a shard, clients that wait for it are told.
pub(crate) struct Start {
    /// The first field: fields are dropped in order, and the door closes before the inbox is emptied.
    pub(crate) door: Door,
    pub(crate) inbox: Inbox,
    /// The shard's own doorbell.
    pub(crate) bell: Arc<Doorbell>,
    /// Other threads of the engine have the same CPU.
    pub(crate) shared_cpu: bool,
    pub(crate) waiting: Waiting,
    pub(crate) plan: Plan,
    pub(crate) lock: Arc<DirectoryLock>,
}

/// What a shard is built from.
pub(crate) struct Plan {
    pub(crate) shard: u16,
    pub(crate) cpu: Option<usize>,
    pub(crate) backend: BackendConfig,
    pub(crate) log: LogConfig,
    pub(crate) log_start: LogStart,
    pub(crate) state: ShardState,
    pub(crate) keys: Given,
    pub(crate) durability: Durability,
}

/// What the engine and a shard's thread share.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) stop: AtomicBool,
    pub(crate) waker: OnceLock<Waker>,
    /// The shard takes no more messages.
    pub(crate) closed: Mutex<bool>,
    /// The thread where the shard was started.
    pub(crate) host: OnceLock<ThreadId>,
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

/// The shard's door for new clients. It closes when the shard goes, be it by a panic, or does not come to be, and before the inbox
/// is emptied: a message is either found there, or not sent.
pub(crate) struct Door(pub(crate) Arc<Common>);

impl Drop for Door {
    fn drop(&mut self) {
        *self.0.closed.lock() = true;
    }
}

/// What a shard's thread says when it is ready.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) info: BackendInfo,
    pub(crate) ring_fd: Option<i32>,
}

/// The body of a thread that is the shard's own.
pub(crate) fn run(start: Start, ready: &mpsc::Sender<Result<Ready, OpenError>>) -> Result<Base, OpenError> {
    let mut host = match Host::start(start) {
        Ok((host, info)) => {
            // The engine waits for this; if it is gone, the stop flag is about to be seen.
            let _gone = ready.send(Ok(info));
            host
        }
        Err(error) => {
            let _gone = ready.send(Err(error));
            return Ok(Base::default());
        }
    };
    while !host.is_stopping() {
        let progress = host.turn();
        host.rest(progress, None)?;
    }
    host.close()
}

/// A shard in the thread where it lives, with what a thread needs to step it.
pub(crate) struct Host {
    /// The first field: fields are dropped in order, and the door closes before the shard goes.
    door: Door,
    shard: Shard<Backend>,
    bell: Arc<Doorbell>,
    clock: Clock,
    idle: Idle,
    /// The time of the last turn.
    now: u64,
    stored_at: u64,
    /// The last field: the directory is this process's until the shard writes no more, be the engine gone before.
    lock: Arc<DirectoryLock>,
}

impl Host {
    /// Pins the thread if that is asked for, and builds the shard.
    pub(crate) fn start(start: Start) -> Result<(Host, Ready), OpenError> {
        let _set_once = start.door.0.host.set(std::thread::current().id());
        let clock = Clock::start();
        // If it fails, the rest of the start is dropped in its order.
        let Built { kernel, log, durability, ready } = build(start.plan, &start.door.0, clock)?;
        let Start { door, inbox, bell, shared_cpu, waiting, lock, .. } = start;
        let shard = Shard::new(kernel, log, inbox, durability);
        let (idle, now) = (Idle::new(shared_cpu, waiting), clock.now());
        Ok((Host { door, shard, bell, clock, idle, now, stored_at: now, lock }, ready))
    }

    /// Whether the engine wants the shard to close.
    pub(crate) fn is_stopping(&self) -> bool {
        self.door.0.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn turn(&mut self) -> Progress {
        self.now = self.clock.now();
        if self.now.saturating_sub(self.stored_at) >= STATS_NS {
            self.stored_at = self.now;
            store_stats(&self.door.0, self.shard.stats());
        }
        self.shard.turn(self.now)
    }

    pub(crate) fn stats(&self) -> ShardStats {
        self.shard.stats()
    }

    /// Rests as the last turn's progress allows, and no longer than `at_most`.
    pub(crate) fn rest(&mut self, progress: Progress, at_most: Option<Duration>) -> Result<(), OpenError> {
        match self.idle.rest(progress, self.now) {
            Rest::None => {}
            Rest::Spin => std::hint::spin_loop(),
            Rest::Yield => std::thread::yield_now(),
            Rest::Park(timeout) => {
                let timeout =
                    timeout.map_or(at_most, |timeout| Some(at_most.map_or(timeout, |most| most.min(timeout))));
                self.park(progress, timeout)?;
            }
        }
        Ok(())
    }

    fn park(&mut self, progress: Progress, timeout: Option<Duration>) -> Result<(), OpenError> {
        store_stats(&self.door.0, self.shard.stats());
        self.bell.prepare_park();
        let input = !progress.blocked && self.shard.has_input() || self.is_stopping();
        if !input {
            self.shard.backend_mut().wait(timeout).map_err(|source| LogError::System {
                doing: "wait for completions of",
                path: "the log".into(),
                source,
            })?;
        }
        self.bell.cancel_park();
        Ok(())
    }

    /// Answers what was taken, and closes the log.
    pub(crate) fn close(self) -> Result<Base, OpenError> {
        let Host { door, shard, clock, lock, .. } = self;
        let common = Arc::clone(&door.0);
        drop(door);
        // If the log fails at the end, these are the last counts.
        store_stats(&common, shard.stats());
        let (base, stats) = shard.close(clock.now())?;
        store_stats(&common, stats);
        drop(lock);
        Ok(base)
    }
}

fn store_stats(common: &Common, stats: ShardStats) {
    *common.stats.lock() = stats;
}

/// What a shard consists of, but for its inbox.
struct Built {
    kernel: Kernel,
    log: Log<Backend>,
    durability: Durability,
    ready: Ready,
}

fn build(plan: Plan, common: &Common, clock: Clock) -> Result<Built, OpenError> {
    let Plan { shard, cpu, backend, log, log_start, state, keys, durability } = plan;
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
    let mut log = Log::open(backend, buffers, log, log_start, clock.now())?;
    for (slot, stream) in state.streams.into_iter().enumerate() {
        log.add_stream(slot as u32, stream);
    }
    for (tenant, key_id, key) in keys {
        log.add_key(tenant, key_id, key);
    }
    Ok(Built { kernel: state.kernel, log, durability, ready })
}

#[cfg(target_os = "linux")]
fn ring_fd(backend: &Backend) -> Option<i32> {
    backend.ring_fd()
}

#[cfg(not(target_os = "linux"))]
fn ring_fd(_: &Backend) -> Option<i32> {
    None
}
