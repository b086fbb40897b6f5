//! What an engine is to be.

use crate::encryption::Encryption;
use crate::engine::Engine;
use crate::hosted::ShardSeat;
use crate::notarized::Checkpoints;
use crate::{OpenError, cores};
use iobackend::{DurableWrite, Mode};
use kernel::{Durability, Limits, TenantId};
use keys::MasterSource;
use log::LogConfig;
use log::format::manifest::LOGS_MAX;
use log::limits::SEGMENT_BYTES_DEFAULT;
use recovery::{Opening, Progress as RecoveryProgress};
use router::Placement;
use shard::limits::{REQUEST_PAYLOAD_MAX, REQUEST_RECORDS_MAX};
use std::path::PathBuf;
use std::sync::Arc;

/// What a shard's thread does while its device writes and it has nothing else to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// It looks again and again, and lets others run between two looks: the answer leaves at once, and the core is taken.
    #[default]
    Awake,
    /// It sleeps until the device has written: answers leave some 20 µs later, and the core is free meanwhile. For cores that are
    /// shared, and for virtual machines whose host takes cores away from who keeps all of them busy: see what `diatreme bench`
    /// says of pauses.
    Asleep,
}

/// Where shards run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cores {
    /// Each on a CPU of its own, those that suit best first; see [`cores::by_fitness`].
    #[default]
    Auto,
    /// On these CPUs, in order of shards.
    List(Vec<usize>),
    /// Wherever the system puts them.
    Unpinned,
}

/// The default cap on a frame: see `docs/benchmarks.md` for what others bring.
pub const FRAME_CAP_DEFAULT: usize = 1 << 20;

/// Settings of an engine; made by [`Engine::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) data_dir: PathBuf,
    pub(crate) shards: Option<u16>,
    pub(crate) cores: Cores,
    pub(crate) waiting: Waiting,
    pub(crate) backend: Mode,
    pub(crate) durable_write: DurableWrite,
    pub(crate) durability: Durability,
    pub(crate) frame_cap: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) record_bytes_max: u32,
    /// Tenants placed by hand, or no more, in the order in which it was said.
    pub(crate) places: Vec<(TenantId, Option<u16>)>,
    pub(crate) at_least: u64,
    pub(crate) encryption: Encryption,
    pub(crate) checkpoints: Option<Checkpoints>,
    pub(crate) watch: Option<Watch>,
}

/// Who is told how far the recovery has come.
#[derive(Clone)]
pub(crate) struct Watch(Arc<dyn Fn(RecoveryProgress) + Send + Sync>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl Builder {
    pub(crate) fn new(data_dir: PathBuf) -> Builder {
        Builder {
            data_dir,
            shards: None,
            cores: Cores::Auto,
            waiting: Waiting::Awake,
            backend: Mode::Auto,
            durable_write: DurableWrite::Dsync,
            durability: Durability::NATURAL,
            frame_cap: FRAME_CAP_DEFAULT,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            record_bytes_max: kernel::Limits::default().record_bytes_max,
            places: Vec::new(),
            at_least: 0,
            encryption: Encryption::Unsaid,
            checkpoints: Some(Checkpoints::default()),
            watch: None,
        }
    }

    /// Seals the records of the tenants that are made from now on, each with keys of its own, and opens what is sealed. `store` is the
    /// directory of the key store, made with the data directory; it belongs beside it, and not into its backups. `master` says where
    /// the master key is, which opens the store.
    #[must_use]
    pub fn keys(mut self, store: impl Into<PathBuf>, master: MasterSource) -> Builder {
        self.encryption = Encryption::Keys { store: store.into(), master };
        self
    }

    /// Leaves the records of new tenants in the clear. Tenants with keys cannot be read or appended to. An engine opens only if
    /// this is said, or [`keys`](Self::keys).
    #[must_use]
    pub fn unencrypted(mut self) -> Builder {
        self.encryption = Encryption::Off;
        self
    }

    /// When checkpoints are signed. Without this: every 5 seconds, or 10,000,000 records of a tenant, and when the engine closes. An
    /// engine without keys signs none. The notary's thread reads back all that is written, about as fast as `diatreme verify`
    /// does on one core.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Builder {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// Signs no checkpoints, and starts no thread for them. `diatreme checkpoint` signs of a directory that is closed.
    #[must_use]
    pub fn without_checkpoints(mut self) -> Builder {
        self.checkpoints = None;
        self
    }

    /// How many shards. Without this: as many as CPUs that this process may run on, less one for the clients, at least one.
    #[must_use]
    pub fn shards(mut self, shards: u16) -> Builder {
        self.shards = Some(shards);
        self
    }

    /// Where they run.
    #[must_use]
    pub fn cores(mut self, cores: Cores) -> Builder {
        self.cores = cores;
        self
    }

    /// How shards wait for the device.
    #[must_use]
    pub fn waiting(mut self, waiting: Waiting) -> Builder {
        self.waiting = waiting;
        self
    }

    /// Which I/O backend.
    #[must_use]
    pub fn backend(mut self, mode: Mode) -> Builder {
        self.backend = mode;
        self
    }

    /// How io_uring makes a durable write; `diatreme bench` measures which is faster on a device.
    #[must_use]
    pub fn durable_write(mut self, durable_write: DurableWrite) -> Builder {
        self.durable_write = durable_write;
        self
    }

    /// What an answer to an append promises in tenants that have no policy of their own ([`Client::set_durability`]). It is this
    /// opening's: no record says it. Without this: strict, with natural group commit.
    ///
    /// [`Client::set_durability`]: crate::Client::set_durability
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Builder {
        self.durability = durability;
        self
    }

    /// A frame closes when it has reached this many bytes, if not before.
    #[must_use]
    pub fn frame_cap(mut self, bytes: usize) -> Builder {
        self.frame_cap = bytes;
        self
    }

    /// The largest segment, in bytes: a multiple of 4096.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Builder {
        self.segment_bytes = bytes;
        self
    }

    /// The longest record, in bytes.
    #[must_use]
    pub fn record_bytes_max(mut self, bytes: u32) -> Builder {
        self.record_bytes_max = bytes;
        self
    }

    /// Places a tenant on a shard by hand. The directory remembers it, also over openings with too few shards for it.
    #[must_use]
    pub fn place(mut self, tenant: &str, shard: u16) -> Builder {
        self.places.push((TenantId::of_name(tenant), Some(shard)));
        self
    }

    /// Takes back what [`place`](Self::place) said of a tenant, now or at an earlier opening: it lives where the hash has it.
    #[must_use]
    pub fn unplace(mut self, tenant: &str) -> Builder {
        self.places.push((TenantId::of_name(tenant), None));
        self
    }

    /// Refuses the directory if it is in an older state than this, which a restored copy or a snapshot of a machine is, and
    /// which nothing inside it shows: each opening and each closing raises its generation by one. The number to keep, elsewhere,
    /// is [`Engine::generation`]; after a closing that told no error, one more.
    #[must_use]
    pub fn at_least(mut self, generation: u64) -> Builder {
        self.at_least = generation;
        self
    }

    /// Opens the engine: locks the directory, recovers its logs, starts the shards.
    ///
    /// # Errors
    /// What is wrong with a setting, the directory, or a log; see [`OpenError`].
    pub fn open(self) -> Result<Engine, OpenError> {
        self.check()?;
        Engine::open(&self, None)
    }

    /// Opens the engine as [`open`](Self::open) does, but without threads: each shard has a seat, which its host takes to the thread
    /// that is to step it. A shard serves while its host steps it, and [`Engine::close`], or dropping the engine, waits until each is
    /// closed or dropped. Where submission polling is asked for, each shard polls for itself; [`Mode::Auto`] does not choose it for
    /// more than one.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for what only the start of a shard shows.
    pub fn open_hosted(self) -> Result<(Engine, Vec<ShardSeat>), OpenError> {
        self.check()?;
        let mut seats = Vec::new();
        let engine = Engine::open(&self, Some(&mut seats))?;
        Ok((engine, seats))
    }

    /// All that can be said before the disk is touched.
    fn check(&self) -> Result<(), OpenError> {
        let refuse = |text: String| Err(OpenError::Config(text));
        if self.shards.is_some_and(|shards| shards == 0 || usize::from(shards) > LOGS_MAX) {
            return refuse(format!("{} shards: choose 1 to {LOGS_MAX}", self.shards.unwrap_or(0)));
        }
        if self.record_bytes_max == 0 || self.record_bytes_max > REQUEST_PAYLOAD_MAX {
            return refuse(format!(
                "records of up to {} bytes: choose 1 to {REQUEST_PAYLOAD_MAX}",
                self.record_bytes_max
            ));
        }
        self.log_config(0, [0; 16], [0; 16]).check().map_err(OpenError::Config)?;
        self.encryption.check()?;
        self.durability.check().map_err(|fault| OpenError::Config(fault.to_string()))?;
        if let Cores::List(list) = &self.cores
            && list.is_empty()
        {
            return refuse("an empty list of CPUs: name one for each shard, or leave the choice to the engine".into());
        }
        let shards = self.layout().len() as u16;
        Placement::new(0, shards, &recovery::overrides(&[], &self.places).map_err(OpenError::of(&self.data_dir))?)?;
        Ok(())
    }

    pub(crate) fn log_config(&self, log: u16, engine: [u8; 16], incarnation: [u8; 16]) -> LogConfig {
        LogConfig { log, engine, incarnation, segment_bytes: self.segment_bytes, frame_cap: self.frame_cap }
    }

    /// Calls `watch` from time to time while logs are recovered, from the threads that do it.
    #[must_use]
    pub fn watch_recovery(mut self, watch: impl Fn(RecoveryProgress) + Send + Sync + 'static) -> Builder {
        self.watch = Some(Watch(Arc::new(watch)));
        self
    }

    /// What the directory's opening is to come to.
    pub(crate) fn opening(&self, shards: u16) -> Opening<'_> {
        let limits = Limits {
            record_bytes_max: self.record_bytes_max,
            batch_bytes_max: REQUEST_PAYLOAD_MAX,
            batch_records_max: REQUEST_RECORDS_MAX,
            ..Limits::default()
        };
        let watch: &(dyn Fn(RecoveryProgress) + Sync) = match &self.watch {
            Some(Watch(watch)) => &**watch,
            None => &|_| {},
        };
        Opening { shards, places: &self.places, at_least: self.at_least, limits, watch }
    }

    /// The number of shards, and the CPU of each (`None`: unpinned).
    pub(crate) fn layout(&self) -> Vec<Option<usize>> {
        let available = cores::available();
        let default = u16::try_from(available.len().saturating_sub(1).clamp(1, LOGS_MAX)).unwrap_or(1);
        let chosen = match &self.cores {
            Cores::List(list) => list.clone(),
            Cores::Auto => cores::by_fitness(&available),
            Cores::Unpinned => Vec::new(),
        };
        let listed = if let Cores::List(list) = &self.cores { list.len().min(LOGS_MAX) as u16 } else { default };
        let shards = usize::from(self.shards.unwrap_or(listed));
        // More shards than CPUs share them, in turn.
        (0..shards).map(|shard| (!chosen.is_empty()).then(|| chosen[shard % chosen.len()])).collect()
    }
}
