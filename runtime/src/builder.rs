//! What an engine is to be.

use crate::engine::Engine;
use crate::{OpenError, cores};
use iobackend::Mode;
use kernel::TenantId;
use log::format::manifest::{LOGS_MAX, OVERRIDES_MAX};
use log::limits::{FRAME_BYTES_MAX, FRAME_CAP_MIN, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use shard::limits::REQUEST_PAYLOAD_MAX;
use std::path::PathBuf;

/// What an answer to an append promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The records are flushed before the answer leaves: they survive the loss of power.
    #[default]
    Strict,
    /// The records are in the open frame. They are written soon, and flushed when a segment is full or the engine
    /// closes: a crash may lose them. For measurement, and for data that can be had again.
    None,
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
    pub(crate) backend: Mode,
    pub(crate) durability: Durability,
    pub(crate) frame_cap: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) record_bytes_max: u32,
    pub(crate) places: Vec<(TenantId, u16)>,
}

impl Builder {
    pub(crate) fn new(data_dir: PathBuf) -> Builder {
        Builder {
            data_dir,
            shards: None,
            cores: Cores::Auto,
            backend: Mode::Auto,
            durability: Durability::Strict,
            frame_cap: FRAME_CAP_DEFAULT,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            record_bytes_max: kernel::Limits::default().record_bytes_max,
            places: Vec::new(),
        }
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

    /// Which I/O backend.
    #[must_use]
    pub fn backend(mut self, mode: Mode) -> Builder {
        self.backend = mode;
        self
    }

    /// What an answer to an append promises.
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

    /// The largest segment, in bytes.
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

    /// Places a tenant on a shard by hand. The directory remembers it.
    #[must_use]
    pub fn place(mut self, tenant: &str, shard: u16) -> Builder {
        self.places.push((TenantId::of_name(tenant), shard));
        self
    }

    /// Opens the engine: locks the directory, recovers its logs, starts the shards.
    ///
    /// # Errors
    /// What is wrong with a setting, the directory, or a log; see [`OpenError`].
    pub fn open(self) -> Result<Engine, OpenError> {
        self.check()?;
        Engine::open(&self)
    }

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
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return refuse(format!(
                "segments of {} bytes: choose {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            ));
        }
        if !(FRAME_CAP_MIN..=FRAME_BYTES_MAX).contains(&self.frame_cap) {
            return refuse(format!(
                "a frame cap of {} bytes: choose {FRAME_CAP_MIN} to {FRAME_BYTES_MAX}",
                self.frame_cap
            ));
        }
        if self.places.len() > OVERRIDES_MAX {
            return refuse(format!("{} tenants placed by hand: at most {OVERRIDES_MAX}", self.places.len()));
        }
        if let Cores::List(list) = &self.cores
            && list.is_empty()
        {
            return refuse("an empty list of CPUs: name one for each shard, or leave the choice to the engine".into());
        }
        Ok(())
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
