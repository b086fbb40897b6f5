//! The notary of a data directory: opened, stepped, saved.

use crate::follow::{Stop, Taken, Trees, gap_at, tenant_directory};
use crate::limits::{SAVE_BYTES, SAVE_NS, SLICE_BYTES, STATE_BYTES_MAX, STEP_BYTES_DEFAULT};
use crate::sign::{Signing, Turn};
use crate::state::State;
use crate::tiles::Tiles;
use crate::{Error, files};
use crypto::merkle::{Hash, Range};
use crypto::note::{Checkpoint, Origin};
use iobackend::{Buffer, IoBackend};
use log::format::manifest::Manifest;
use log::format::segment::Base;
use log::format::{NOTARY, RootName, root_name};
use log::{Cursor, Damage, Followed, Follower, LogError, Paused};
use std::path::{Path, PathBuf};

/// The name of the state's file.
const STATE: &str = "state";

/// When checkpoints are signed, and how much is done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A tenant with new records gets a checkpoint this long after its last one, in nanoseconds.
    pub interval_ns: u64,
    /// And earlier if it has so many new records.
    pub records: u64,
    /// Bytes of the logs that one step follows, about.
    pub step_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { interval_ns: 10_000_000_000, records: 100_000, step_bytes: STEP_BYTES_DEFAULT }
    }
}

/// Why the trees were made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rebuilt {
    /// The state is missing, damaged, or of another directory or version.
    State,
    /// A tree's files do not hold what the state counts.
    Tiles,
    /// A log is another than was followed: it was cut, or put back from a copy.
    Log,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Step {
    /// Bytes of the logs that were followed.
    pub bytes: u64,
    /// There may be more to follow at once.
    pub more: bool,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// Tenants that are followed no further, and signed for no more.
    pub stopped: Vec<(u64, Stop)>,
    /// What was signed.
    pub signed: Vec<Checkpoint>,
    /// For which tenants nothing was signed, and why.
    pub refused: Vec<(u64, Error)>,
}

/// Follows the logs of one data directory, and signs and proves what it saw.
#[derive(Debug)]
pub struct Notary<B> {
    pub(crate) backend: B,
    pub(crate) buffer: Option<Buffer>,
    pub(crate) directory: PathBuf,
    pub(crate) engine: [u8; 16],
    pub(crate) settings: Settings,
    pub(crate) trees: Trees,
    pub(crate) signing: Option<Signing>,
    followers: Vec<Follower>,
    rebuilt: Option<Rebuilt>,
    /// Bytes followed since the state was saved, and when that was, or when the first step began.
    unsaved: u64,
    saved_at: Option<u64>,
}

impl<B: IoBackend> Notary<B> {
    /// Opens the notary of the data directory at `root`, which `backend` reads, with a buffer of
    /// [`SCAN_BUFFER_BYTES`](log::SCAN_BUFFER_BYTES). Nobody else may write in its directory `notary`: whoever holds the data
    /// directory's lock may. An engine of this process may have it open, and has to have opened it before.
    ///
    /// # Errors
    /// If there is no manifest, or the system refuses something. A state in doubt is no error: the trees are made anew.
    pub fn open(root: &Path, mut backend: B, buffer: Buffer, settings: Settings) -> Result<Notary<B>, Error> {
        let mut buffer = Some(buffer);
        let manifest = log::read_manifest(&mut backend, &mut buffer)?.manifest.ok_or(Error::NoManifest)?;
        let directory = root.join(NOTARY);
        files::make_directory(&directory)?;
        let path = directory.join(STATE);
        let (state, missing) = match files::read(&path, STATE_BYTES_MAX)? {
            Some(bytes) => (State::decode(&bytes).filter(|state| state.engine == manifest.engine), false),
            None => (None, true),
        };
        let mut notary = Notary {
            backend,
            buffer,
            trees: Trees::new(&directory),
            directory,
            engine: manifest.engine,
            settings,
            signing: None,
            followers: Vec::new(),
            rebuilt: None,
            unsaved: 0,
            saved_at: None,
        };
        let doubt = match state {
            Some(state) => notary.resume(&manifest, &state)?,
            None => (!missing || notary.has_trees()?).then_some(Rebuilt::State),
        };
        if doubt.is_some() {
            notary.trees = Trees::new(&notary.directory);
            notary.followers.clear();
            notary.remove_trees()?;
        }
        notary.rebuilt = doubt;
        notary.find_logs(&manifest.frontiers)?;
        Ok(notary)
    }

    /// Why the trees are made anew since this opening, if they are.
    #[must_use]
    pub fn rebuilt(&self) -> Option<Rebuilt> {
        self.rebuilt
    }

    /// The engine's id.
    #[must_use]
    pub fn engine(&self) -> [u8; 16] {
        self.engine
    }

    /// Whose checkpoints those of a tenant are.
    #[must_use]
    pub fn origin(&self, tenant: u64) -> Origin {
        Origin { engine: self.engine, tenant }
    }

    /// The tenants that have records, ascending.
    #[must_use]
    pub fn tenants(&self) -> Vec<u64> {
        self.trees.tenants()
    }

    /// Records of a tenant that were followed.
    #[must_use]
    pub fn size(&self, tenant: u64) -> u64 {
        self.trees.tree(tenant).map_or(0, Range::end)
    }

    /// The root of a tenant's tree, of the records that were followed.
    #[must_use]
    pub fn root(&self, tenant: u64) -> Option<Hash> {
        self.trees.tree(tenant)?.root()
    }

    /// Why a tenant is followed no further, if it is not.
    #[must_use]
    pub fn stopped(&self, tenant: u64) -> Option<Stop> {
        self.trees.stop_of(tenant)
    }

    /// Takes up what a state says. Returns why that cannot be, if so.
    fn resume(&mut self, manifest: &Manifest, state: &State) -> Result<Option<Rebuilt>, Error> {
        match Trees::open(&self.directory, state)? {
            Some(trees) => self.trees = trees,
            None => return Ok(Some(Rebuilt::Tiles)),
        }
        for (log, cursor) in &state.logs {
            let frontier = manifest.frontiers.get(usize::from(*log)).copied().unwrap_or_default();
            let follower = Follower::new(*log, self.engine, frontier, *cursor);
            if !follower.fits(&mut self.backend, &mut self.buffer)? {
                return Ok(Some(Rebuilt::Log));
            }
            self.followers.push(follower);
        }
        Ok(None)
    }

    /// Begins to follow logs that are not followed yet.
    fn find_logs(&mut self, frontiers: &[Base]) -> Result<(), Error> {
        let system = |source| LogError::System { doing: "list", path: ".".into(), source };
        for name in self.backend.list(".").map_err(system)? {
            let Some(RootName::Log(log)) = root_name(&name) else { continue };
            if self.followers.iter().all(|follower| follower.log() != log) {
                let frontier = frontiers.get(usize::from(log)).copied().unwrap_or_default();
                self.followers.push(Follower::new(log, self.engine, frontier, Cursor::default()));
            }
        }
        self.followers.sort_unstable_by_key(Follower::log);
        Ok(())
    }

    /// The directories of tenants, whatever they hold.
    fn tenant_directories(&self) -> Result<Vec<u64>, Error> {
        let list = || -> std::io::Result<Vec<u64>> {
            let mut tenants = Vec::new();
            for entry in std::fs::read_dir(&self.directory)? {
                let name = entry?.file_name();
                let tenant = name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok());
                let ours = |tenant: &u64| tenant_directory(Path::new(""), *tenant).as_os_str() == name;
                tenants.extend(tenant.filter(ours));
            }
            Ok(tenants)
        };
        list().map_err(Error::file("list", &self.directory))
    }

    fn has_trees(&self) -> Result<bool, Error> {
        Ok(!self.tenant_directories()?.is_empty())
    }

    /// Removes what is derived; the checkpoints stay.
    fn remove_trees(&self) -> Result<(), Error> {
        for tenant in self.tenant_directories()? {
            Tiles::new(tenant_directory(&self.directory, tenant)).remove()?;
        }
        Ok(())
    }

    /// Does what is due at the time `now`, in nanoseconds since 1970: follows what is new, signs checkpoints, saves the state.
    ///
    /// # Errors
    /// What the system refuses. What is wrong with a tenant is in the result.
    pub fn step(&mut self, now: u64) -> Result<Step, Error> {
        let mut step = Step::default();
        self.follow(&mut step)?;
        self.sign(Turn::Due(now), now, &mut step)?;
        let since = *self.saved_at.get_or_insert(now);
        if self.unsaved >= SAVE_BYTES || self.unsaved > 0 && now.saturating_sub(since) >= SAVE_NS {
            self.save()?;
            self.saved_at = Some(now);
        }
        Ok(step)
    }

    /// Follows the logs to their ends, signs every tenant that has something new, and saves the state: what is to be done
    /// when an engine is closed.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn finish(&mut self, now: u64) -> Result<Step, Error> {
        let mut step = self.follow_all(|_| true)?;
        self.sign(Turn::All, now, &mut step)?;
        self.save()?;
        Ok(step)
    }

    /// Follows the logs to their ends. `watch` is told how many bytes were followed, and says whether to go on.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn follow_all(&mut self, mut watch: impl FnMut(u64) -> bool) -> Result<Step, Error> {
        let mut step = Step::default();
        loop {
            self.follow(&mut step)?;
            if !watch(step.bytes) || !step.more {
                return Ok(step);
            }
            if self.unsaved >= SAVE_BYTES {
                self.save()?;
            }
        }
    }

    /// Follows what is new, up to a step's bytes.
    pub(crate) fn follow(&mut self, step: &mut Step) -> Result<(), Error> {
        let mut left = self.settings.step_bytes;
        step.more = false;
        loop {
            let (mut progress, mut more, mut early) = (false, false, Vec::new());
            for follower in &mut self.followers {
                let (before, mut bytes) = (follower.cursor(), 0);
                let trees = &mut self.trees;
                let mut visit = |followed: Followed<'_>| match followed {
                    Followed::Frame(frame) => match trees.take(&frame) {
                        Taken::Whole => {
                            bytes += u64::from(frame.header.length);
                            true
                        }
                        Taken::Early(tenants) => {
                            early.extend(tenants.into_iter().map(|tenant| (tenant, gap_at(&frame))));
                            false
                        }
                    },
                    Followed::Damaged(damage) => {
                        trees.damaged(&damage);
                        step.damage.push(damage);
                        progress = true;
                        true
                    }
                    _ => true,
                };
                let paused = follower.advance(&mut self.backend, &mut self.buffer, left.min(SLICE_BYTES), &mut visit);
                // What was taken is taken, also if an error came then.
                self.trees.write()?;
                more |= paused? == Paused::Budget;
                progress |= follower.cursor() != before;
                left = left.saturating_sub(bytes);
                step.bytes += bytes;
                self.unsaved += bytes;
                if left == 0 {
                    break;
                }
            }
            if left == 0 {
                step.more = true;
                break;
            }
            if progress || more {
                continue;
            }
            if early.is_empty() {
                break;
            }
            // No log has what these wait for.
            for (tenant, stop) in early {
                self.trees.stop(tenant, stop);
            }
        }
        step.stopped.extend(self.trees.take_stopped());
        Ok(())
    }

    /// Makes durable what was followed, so that an opening goes on from here.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn save(&mut self) -> Result<(), Error> {
        self.trees.write()?;
        self.trees.flush()?;
        let (tenants, streams) = self.trees.state();
        let logs = self.followers.iter().map(|follower| (follower.log(), follower.cursor())).collect();
        let state = State { engine: self.engine, logs, tenants, streams };
        files::replace(&self.directory.join(STATE), &state.encode())?;
        self.unsaved = 0;
        Ok(())
    }

    /// The logs that are followed.
    pub(crate) fn logs(&self) -> Vec<u16> {
        self.followers.iter().map(Follower::log).collect()
    }
}
