//! An open engine in the simulation: shards, router and manifest, stepped by hand as the runtime's threads step theirs.
//!
//! The parking protocol is the runtime's (`runtime/src/shard_thread.rs`): announce, look once more, sleep until a doorbell, a
//! completion, or the time that the turn named. So a doorbell that is not rung, or a time that is not named, leaves a shard
//! asleep here as it would there.

use crate::keys::{KeyName, Keys};
use crate::level::Policy;
use crate::memory;
use iobackend::sim::{Rng, SimBackend, SimDisk};
use kernel::{KeyView, Limits};
use log::format::manifest::{Identity, Manifest};
use log::format::segment::Base;
use log::limits::{ARENA_BYTES, SEGMENT_BYTES_MIN};
use log::{Log, LogBuffers, LogConfig, SCAN_BUFFER_BYTES};
use recovery::{Cold, Opened, Opening, Place, RecoveryReport};
use router::{Placement, Router};
use shard::limits::{REQUEST_PAYLOAD_MAX, REQUEST_RECORDS_MAX};
use shard::{Control, Countdown, Progress, Shard, ShardPort};
use spsc::Doorbell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The lane of the opening's and the closing's backends in the disk's trace; a shard's lane is its number.
pub(crate) const COLD_LANE: u16 = u16::MAX;

/// A bell that notes that it was rung.
#[derive(Clone, Debug)]
pub(crate) struct Rung {
    flag: Arc<AtomicBool>,
    pub(crate) bell: Arc<Doorbell>,
}

impl Rung {
    pub(crate) fn new() -> Rung {
        let flag = Arc::new(AtomicBool::new(false));
        let rung = Arc::clone(&flag);
        Rung { flag, bell: Arc::new(Doorbell::new(move || rung.store(true, Ordering::Relaxed))) }
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Announces sleep; what was published before rings for nobody, so look once more.
    pub(crate) fn park(&self) {
        self.flag.store(false, Ordering::Relaxed);
        self.bell.prepare_park();
    }

    pub(crate) fn wake(&self) {
        self.bell.cancel_park();
        self.flag.store(false, Ordering::Relaxed);
    }
}

/// What a shard's thread would be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// About to step the shard, not before this time.
    Awake(u64),
    /// About to sleep, at this time, for all that the turn said: others may do something before it announces that.
    Drowsy(u64, Progress),
    /// Asleep, until this time at the latest.
    Parked(Option<u64>),
}

/// A shard that finds nothing to do looks again so often, at the most, before it sleeps.
const LOOKS_MAX: u32 = 10;

/// A shard where its thread would be.
pub(crate) struct Seat {
    pub(crate) shard: Shard<SimBackend>,
    rung: Rung,
    rest: Rest,
    /// Turns in a row that found nothing to do.
    looks: u32,
}

impl Seat {
    /// When the shard is to be stepped next, if nothing else wakes it: now, if it is due.
    pub(crate) fn due(&mut self, now: u64) -> Option<u64> {
        match self.rest {
            Rest::Awake(at) | Rest::Drowsy(at, _) => Some(at.max(now)),
            Rest::Parked(_) if self.rung.is_rung() => Some(now),
            Rest::Parked(until) => {
                let completion = self.shard.backend_mut().next_due();
                completion.into_iter().chain(until).min().map(|at| at.max(now))
            }
        }
    }

    /// A turn, and what the thread does after it: works on, looks again soon, or sleeps.
    pub(crate) fn step(&mut self, now: u64, clock: u64, rng: &mut Rng) -> Progress {
        match self.rest {
            Rest::Awake(_) => {}
            Rest::Parked(_) => self.rung.wake(),
            Rest::Drowsy(_, progress) => {
                self.fall_asleep(progress, now, clock);
                return Progress { worked: false, ..progress };
            }
        }
        let progress = self.shard.turn(clock);
        self.looks = if progress.worked { 0 } else { self.looks + 1 };
        self.rest = if progress.worked {
            Rest::Awake(now + 100 + rng.below(2_000))
        } else if self.looks < LOOKS_MAX && rng.chance(400_000) {
            // It spins, or yields.
            Rest::Awake(now + 1_000 + rng.below(30_000))
        } else {
            Rest::Drowsy(now + rng.below(2_000), progress)
        };
        progress
    }

    fn fall_asleep(&mut self, progress: Progress, now: u64, clock: u64) {
        self.rung.park();
        let input = !progress.blocked && self.shard.has_input();
        self.rest = if input {
            self.rung.wake();
            Rest::Awake(now + 1_000)
        } else {
            Rest::Parked(progress.wake_at.map(|at| now + at.saturating_sub(clock)))
        };
    }
}

/// The simulated disk as a place of a data directory.
pub(crate) struct SimPlace {
    disk: SimDisk,
    identity: Identity,
}

impl Place for SimPlace {
    type Backend = SimBackend;

    fn cold(&self) -> Result<Cold<SimBackend>, recovery::Error> {
        let buffer = memory::carve(SCAN_BUFFER_BYTES, log::scan_buffer).map_err(recovery::Error::Memory)?;
        Ok(Cold::new(self.disk.backend(COLD_LANE), buffer))
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn threads(&self) -> usize {
        1
    }
}

/// What an opening is to be.
pub(crate) struct How<'a> {
    pub(crate) shards: u16,
    /// The machine, which gives the directory its identity.
    pub(crate) machine: u64,
    /// The generation that the manifest must have reached.
    pub(crate) at_least: u64,
    /// The wall clock less the disk's.
    pub(crate) wall: u64,
    /// Of tenants that have none of their own.
    pub(crate) policy: Policy,
    /// The key store.
    pub(crate) keys: &'a Keys,
}

/// An opening.
pub(crate) struct Engine {
    pub(crate) seats: Vec<Seat>,
    router: Router<Control>,
    pub(crate) placement: Placement,
    manifest: Manifest,
    pub(crate) report: RecoveryReport,
    /// Of the shards' states as they were recovered.
    pub(crate) state_hashes: Vec<[u8; 32]>,
    pub(crate) incarnation: [u8; 16],
    /// The keys that the catalogs name.
    pub(crate) named: Vec<KeyView>,
    place: SimPlace,
}

impl Engine {
    /// Opens the directory on a disk.
    pub(crate) fn open(disk: &SimDisk, how: &How<'_>) -> Result<Engine, String> {
        let &How { shards, machine, at_least, wall, policy, keys } = how;
        let place = SimPlace { disk: disk.clone(), identity: Identity { device: machine, inode: 1 } };
        let limits = Limits {
            record_bytes_max: 1 << 20,
            batch_bytes_max: REQUEST_PAYLOAD_MAX,
            batch_records_max: REQUEST_RECORDS_MAX,
            ..Limits::default()
        };
        let opening = Opening { shards, places: &[], limits, at_least, watch: &|_| {} };
        let opened = recovery::open(&place, &opening).map_err(|error| error.to_string())?;
        let Opened { manifest, placement, incarnation, shards, report } = opened;
        let named = shards.iter().flat_map(|(state, _)| state.kernel.keys()).collect();
        let state_hashes = shards.iter().map(|(state, _)| state.kernel.state_hash()).collect();
        let (mut seats, mut inboxes) = (Vec::new(), Vec::new());
        for (log, (state, start)) in shards.into_iter().enumerate() {
            let config = LogConfig {
                log: log as u16,
                engine: manifest.engine,
                incarnation,
                segment_bytes: SEGMENT_BYTES_MIN,
                frame_cap: 1 << 20,
            };
            let buffers = memory::carve(ARENA_BYTES, LogBuffers::take).map_err(|error| error.to_string())?;
            let log = Log::open(disk.backend(log as u16), buffers, config, start, wall + disk.now());
            let mut log = log.map_err(|error| error.to_string())?;
            for (slot, stream) in (0..).zip(state.streams) {
                log.add_stream(slot, stream);
            }
            for view in state.kernel.keys() {
                let name = (view.tenant.0, view.key_id);
                if keys.gives(&view)? {
                    log.add_key(name.0, name.1, keys.key(name));
                }
            }
            let (tx, rx) = router::inbox();
            let rung = Rung::new();
            inboxes.push((tx, Arc::clone(&rung.bell)));
            let shard = Shard::new(state.kernel, log, rx, policy.durability());
            seats.push(Seat { shard, rung, rest: Rest::Awake(disk.now()), looks: 0 });
        }
        let router = Router::new(&placement, inboxes);
        Ok(Engine { seats, router, placement, manifest, report, state_hashes, incarnation, named, place })
    }

    /// The manifest's generation.
    pub(crate) fn generation(&self) -> u64 {
        self.manifest.generation
    }

    /// The doorbell of a shard.
    pub(crate) fn doorbell(&self, shard: u16) -> Arc<Doorbell> {
        Arc::clone(self.router.doorbell(shard))
    }

    /// Hands a client's port to a shard; false if its inbox is full.
    pub(crate) fn attach(&mut self, shard: u16, port: ShardPort) -> bool {
        self.router.send(shard, Control::Attach(Box::new(port))).is_ok()
    }

    /// Hands a key to a shard; false if its inbox is full.
    pub(crate) fn add_key(&mut self, shard: u16, (tenant, key_id): KeyName, keys: &Keys) -> bool {
        let key = keys.key((tenant, key_id));
        self.router.send(shard, Control::AddKey { tenant, key_id, key }).is_ok()
    }

    /// Has all shards forget a key; false if an inbox is full. To be told twice does no harm.
    pub(crate) fn forget_key(&mut self, (tenant, key_id): KeyName) -> bool {
        (0..self.placement.shards()).all(|shard| {
            let done = Countdown::of(&Arc::default());
            let told = self.router.send(shard, Control::ForgetKey { tenant, key_id, done }).is_ok();
            self.doorbell(shard).ring();
            told
        })
    }

    /// What the opening found wrong, in short.
    pub(crate) fn found(&self) -> String {
        let RecoveryReport { damage, torn, frozen, .. } = &self.report;
        let places: Vec<String> = damage.iter().map(ToString::to_string).collect();
        format!("{} torn tails, {frozen} streams frozen, damage {places:?}", torn.len())
    }

    /// Why a shard writes no more, if one does not.
    pub(crate) fn failure(&self) -> Option<String> {
        self.seats.iter().find_map(|seat| seat.shard.failure().map(ToString::to_string))
    }

    /// Closes shards and directory. The errors are those of shards that had failed, or that a fault struck.
    pub(crate) fn close(self, clock: u64) -> Result<(), String> {
        let Engine { seats, manifest, place, .. } = self;
        let (mut ends, mut first): (Vec<Option<Base>>, Option<String>) = (Vec::new(), None);
        for seat in seats {
            match seat.shard.close(clock) {
                Ok((base, _)) => ends.push(Some(base)),
                Err(error) => {
                    ends.push(None);
                    first.get_or_insert(error.to_string());
                }
            }
        }
        let written = recovery::close(&place, manifest, &ends).map_err(|error| error.to_string());
        first.map_or(written, Err)
    }
}
