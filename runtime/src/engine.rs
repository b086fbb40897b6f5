//! The engine: a directory, its shards, and the way for clients to reach them.

use crate::builder::{Builder, Cores};
use crate::client::{Client, StreamRef};
use crate::encryption::{self, EngineKeys, Given, KeyReport};
use crate::hosted::ShardSeat;
use crate::lock::DirectoryLock;
use crate::notarized::{Notarized, NotaryReport, SignedCheckpoint};
use crate::place::Root;
use crate::shard_thread::{self, Common, Door, Plan, Ready, Start};
use crate::{CallError, OpenError, ProofError, cores};
use crypto::note::{ConsistencyProof, InclusionProof};
use iobackend::{BackendConfig, BackendInfo, Mode};
use kernel::TenantId;
use log::LogConfig;
use log::format::manifest::Manifest;
use log::format::segment::Base;
use parking_lot::Mutex;
use recovery::{Opened, RecoveryReport};
use router::{Placement, Router, inbox};
use shard::{Control, ShardStats};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An open data directory: the handle of whoever embeds Diatreme.
///
/// Clients are made by [`client`](Self::client), one a thread. [`close`](Self::close) flushes and seals; dropping
/// the engine does the same, waits as long, and keeps quiet about errors.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    ends: Vec<ShardEnd>,
    /// `None` without keys, or if nobody wants checkpoints.
    notary: Option<Notarized>,
    manifest: Manifest,
    root: PathBuf,
    report: StartReport,
    /// Shared with the shards: the directory is locked until the last of them writes no more.
    lock: Arc<DirectoryLock>,
}

/// Where to learn how a shard ended.
#[derive(Debug)]
enum ShardEnd {
    /// It has a thread of its own.
    Thread(JoinHandle<Result<Base, OpenError>>),
    /// Its host will say. In a lock that nobody waits for: the engine is shared among threads, a receiver is not.
    Hosted(Mutex<mpsc::Receiver<Result<Base, OpenError>>>),
}

impl ShardEnd {
    /// Waits until the shard has ended, unless that is for the calling thread to bring about.
    fn wait(self, shard: u16, common: &Common) -> Result<Base, OpenError> {
        match self {
            ShardEnd::Thread(thread) => thread.join().unwrap_or(Err(OpenError::ShardPanicked { shard })),
            ShardEnd::Hosted(ended) => {
                let ended = ended.into_inner();
                if common.host.get() == Some(&std::thread::current().id()) {
                    return ended.try_recv().unwrap_or_else(|error| {
                        Err(match error {
                            TryRecvError::Empty => OpenError::ShardOpen { shard },
                            TryRecvError::Disconnected => OpenError::ShardDropped { shard },
                        })
                    });
                }
                ended.recv().unwrap_or(Err(OpenError::ShardDropped { shard }))
            }
        }
    }
}

/// Makes the data directory, with those above it, and their names durable: a flushed file in a directory that a power cut
/// takes away is no use.
fn make_directory(root: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> =
        root.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    std::fs::create_dir_all(root)?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// What clients share with the engine.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) router: Mutex<Router<Control>>,
    pub(crate) placement: Arc<Placement>,
    /// `None` without encryption. Taken by calls that make or destroy keys, never by a shard.
    pub(crate) keys: Option<Mutex<EngineKeys>>,
    commons: Vec<Arc<Common>>,
}

impl Shared {
    pub(crate) fn doorbell(&self, shard: u16) -> Arc<spsc::Doorbell> {
        Arc::clone(self.router.lock().doorbell(shard))
    }

    /// Sends a message to a shard; gives it back if the inbox is full.
    pub(crate) fn send(&self, shard: u16, message: Control) -> Result<Option<Control>, CallError> {
        let mut router = self.router.lock();
        // Held until the message is in: a shard that goes closes its door first, and then empties its inbox.
        let closed = self.commons[usize::from(shard)].closed.lock();
        if *closed {
            return Err(CallError::Closed);
        }
        Ok(router.send(shard, message).err().map(|router::InboxFull(message)| message))
    }

    /// Whether a shard takes no more messages.
    pub(crate) fn is_closed(&self, shard: usize) -> bool {
        *self.commons[shard].closed.lock()
    }
}

/// What an engine found and chose at its start.
#[derive(Clone, Debug)]
pub struct StartReport {
    /// What the directory held.
    pub recovery: RecoveryReport,
    /// How long it took to find that out, and to cut and seal what a crash had left.
    pub recovery_time: Duration,
    /// What was found about keys.
    pub keys: KeyReport,
    /// One line for each shard; none for those that live with a host, which gets it from the shard.
    pub shards: Vec<ShardReport>,
}

/// What a shard was started with.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// The CPU that it is pinned to.
    pub cpu: Option<usize>,
    /// Its backend, and why it is that one.
    pub backend: BackendInfo,
}

impl Engine {
    /// Settings for an engine on a data directory, which is made if it does not exist.
    #[must_use]
    pub fn builder(data_dir: impl Into<PathBuf>) -> Builder {
        Builder::new(data_dir.into())
    }

    /// Opens an engine; with `seats`, its shards wait there for their hosts, else each gets a thread.
    pub(crate) fn open(settings: &Builder, mut seats: Option<&mut Vec<ShardSeat>>) -> Result<Engine, OpenError> {
        let root = &settings.data_dir;
        make_directory(root).map_err(|source| OpenError::Directory {
            doing: "make the directory",
            path: root.clone(),
            source,
        })?;
        let lock = Arc::new(DirectoryLock::exclusive(root)?);
        let layout = settings.layout();
        let shards = layout.len() as u16;
        let opening = settings.opening(shards);
        let place = Root::new(root, &lock);
        let engine = recovery::engine_of(&place).map_err(OpenError::of(root))?;
        // Before anything is touched: with a wrong master key nothing is.
        let store = settings.encryption.open(engine)?;
        let since = Instant::now();
        let opened = recovery::open(&place, &opening).map_err(OpenError::of(root))?;
        let recovery_time = since.elapsed();
        let Opened { manifest, placement, incarnation, mut shards, report } = opened;
        encryption::vouch(shards.iter_mut().map(|(state, _)| &mut state.kernel), store.as_ref());
        let kernels = || shards.iter().map(|(state, _)| &state.kernel);
        let store = match store {
            Some(store) => Some(store),
            None => settings.encryption.create(&manifest.engine, kernels())?,
        };
        let mut keys = KeyReport::new(&settings.encryption);
        let given = kernels().map(|kernel| encryption::given(kernel, store.as_ref(), &mut keys));
        let given = given.collect::<Result<Vec<_>, _>>()?;
        let mut store = store.map(|store| EngineKeys::new(store, kernels())).transpose()?;
        let notary = match (&mut store, settings.checkpoints) {
            (Some(keys), Some(checkpoints)) => Some(Notarized::start(root, &lock, &mut keys.store, checkpoints)?),
            _ => None,
        };
        let store = store.map(Mutex::new);
        let placement = Arc::new(placement);
        let log_config = |log: u16| settings.log_config(log, manifest.engine, incarnation);
        let mut starting = Starting::new(settings, &layout, Arc::clone(&lock), seats.is_some());
        for (at, ((state, log_start), given)) in shards.into_iter().zip(given).enumerate() {
            let start = starting.prepare(log_config(at as u16), log_start, state, given);
            match &mut seats {
                Some(seats) => {
                    let (seat, ended) = ShardSeat::new(start);
                    seats.push(seat);
                    starting.ends.push(ShardEnd::Hosted(Mutex::new(ended)));
                }
                None => starting.start(start)?,
            }
        }
        let ends = std::mem::take(&mut starting.ends);
        let commons = std::mem::take(&mut starting.commons);
        let inboxes = std::mem::take(&mut starting.inboxes);
        let reports = std::mem::take(&mut starting.reports);
        let router = Mutex::new(Router::new(&placement, inboxes));
        let shared = Arc::new(Shared { router, placement, keys: store, commons });
        let report = StartReport { recovery: report, recovery_time, keys, shards: reports };
        Ok(Engine { shared, ends, notary, manifest, root: root.clone(), report, lock })
    }

    /// A new client, for one thread at a time.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(Arc::clone(&self.shared), shard::limits::IN_FLIGHT_DEFAULT)
    }

    /// A new client that may have so many requests in flight on each shard.
    ///
    /// # Errors
    /// If that is none, or more than [`IN_FLIGHT_MAX`](crate::IN_FLIGHT_MAX).
    pub fn client_with_window(&self, in_flight: usize) -> Result<Client, OpenError> {
        let max = shard::limits::IN_FLIGHT_MAX;
        if !(1..=max).contains(&in_flight) {
            return Err(OpenError::Config(format!("{in_flight} requests in flight: choose 1 to {max}")));
        }
        Ok(Client::new(Arc::clone(&self.shared), in_flight))
    }

    /// What was found and chosen at the start.
    #[must_use]
    pub fn report(&self) -> &StartReport {
        &self.report
    }

    /// The generation of the directory since this opening, for [`Builder::at_least`]. A closing raises it by one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.manifest.generation
    }

    /// What the notary did, and of which tenants it signs nothing; `None` if the engine has none.
    #[must_use]
    pub fn notary(&self) -> Option<NotaryReport> {
        self.notary.as_ref().map(Notarized::report)
    }

    /// Signs a checkpoint of a tenant. (They are signed without being asked for, too: see [`Builder::checkpoints`].) Waits 15 ms, and
    /// for the notary to read back what is new: it covers what was durable before the call, but for the last frame of a log whose
    /// shard was kept from its core all that time; the checkpoint says how many records it covers.
    ///
    /// # Errors
    /// If the tenant has no records, they are damaged, or do not contain what was signed before; [`ProofError::NoNotary`].
    pub fn checkpoint(&self, tenant: &str) -> Result<SignedCheckpoint, ProofError> {
        self.asked(|notary| notary.checkpoint(TenantId::of_name(tenant)))
    }

    /// Proves that a record is in the tree of its tenant's newest checkpoint.
    ///
    /// # Errors
    /// If the checkpoint does not cover it yet, or the record cannot be read; [`ProofError::NoNotary`].
    pub fn prove_inclusion(&self, stream: &StreamRef, offset: u64) -> Result<InclusionProof, ProofError> {
        self.asked(|notary| notary.inclusion(stream.tenant(), stream.stream(), offset))
    }

    /// Proves that a tenant's newest checkpoint extends one that somebody kept.
    ///
    /// # Errors
    /// If it does not; [`ProofError::NoNotary`].
    pub fn prove_consistency(&self, tenant: &str, kept: &str) -> Result<ConsistencyProof, ProofError> {
        self.asked(|notary| notary.consistency(TenantId::of_name(tenant), kept))
    }

    fn asked<T>(&self, ask: impl FnOnce(&Notarized) -> Option<Result<T, notary::Error>>) -> Result<T, ProofError> {
        self.notary.as_ref().and_then(ask).ok_or(ProofError::NoNotary)?.map_err(ProofError::Notary)
    }

    /// Where tenants live.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.shared.placement
    }

    /// What each shard did, within 10 ms while it is busy, else as of when it last slept.
    #[must_use]
    pub fn stats(&self) -> Vec<ShardStats> {
        let stats = |common: &Arc<Common>| *common.stats.lock();
        self.shared.commons.iter().map(stats).collect()
    }

    /// Stops the shards: each answers what it has taken, flushes and seals its log. Requests that were not taken are
    /// not answered; their clients get [`CallError::Closed`](crate::CallError::Closed). Waits until every hosted shard is closed or
    /// dropped by its host; for one that lives in the calling thread it would wait for ever, so that is to be closed before.
    ///
    /// # Errors
    /// The first failure of a shard; [`OpenError::ShardOpen`] of one that the calling thread hosts still. What was
    /// acknowledged is safe in any case.
    pub fn close(mut self) -> Result<Vec<ShardStats>, OpenError> {
        self.stop()?;
        Ok(self.stats())
    }

    fn stop(&mut self) -> Result<(), OpenError> {
        for common in &self.shared.commons {
            stop(common);
        }
        let (mut ends, mut first) = (Vec::with_capacity(self.ends.len()), None);
        for (shard, end) in self.ends.drain(..).enumerate() {
            let ended = end.wait(shard as u16, &self.shared.commons[shard]);
            match ended {
                Ok(base) => ends.push(Some(base)),
                Err(error) => {
                    ends.push(None);
                    first.get_or_insert(error);
                }
            }
        }
        let manifest = std::mem::take(&mut self.manifest);
        let written =
            recovery::close(&Root::new(&self.root, &self.lock), manifest, &ends).map_err(OpenError::of(&self.root));
        let notarized = self.notary.take().map_or(Ok(()), Notarized::finish);
        first.map_or(written.and(notarized), Err)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.ends.is_empty() {
            let _nobody_to_tell = self.stop();
        }
    }
}

fn stop(common: &Arc<Common>) {
    common.stop.store(true, Ordering::Relaxed);
    if let Some(waker) = common.waker.get() {
        waker.wake();
    }
}

/// Shards being started, one after the other. If one cannot be, those before it are stopped.
struct Starting<'a> {
    settings: &'a Builder,
    layout: &'a [Option<usize>],
    lock: Arc<DirectoryLock>,
    inboxes: Vec<(spsc::Producer<Control>, Arc<spsc::Doorbell>)>,
    commons: Vec<Arc<Common>>,
    ends: Vec<ShardEnd>,
    reports: Vec<ShardReport>,
    attach: Option<i32>,
    mode: Mode,
    sqpoll_cpu: Option<usize>,
}

impl<'a> Starting<'a> {
    fn new(settings: &'a Builder, layout: &'a [Option<usize>], lock: Arc<DirectoryLock>, hosted: bool) -> Starting<'a> {
        let (mode, sqpoll_cpu) = choose_mode(settings, layout, hosted);
        Starting {
            settings,
            layout,
            lock,
            inboxes: Vec::new(),
            commons: Vec::new(),
            ends: Vec::new(),
            reports: Vec::new(),
            attach: None,
            mode,
            sqpoll_cpu,
        }
    }

    /// Everything that the next shard needs, wherever it is to live.
    fn prepare(&mut self, log: LogConfig, log_start: log::LogStart, state: recovery::ShardState, keys: Given) -> Start {
        let at = self.commons.len();
        let cpu = self.layout[at];
        let shared_cpu = cores::available().len() < 2
            || cpu.is_some() && self.layout.iter().filter(|other| **other == cpu).count() > 1;
        let (tx, rx) = inbox();
        let common = Arc::new(Common::default());
        let bell = common.doorbell();
        self.commons.push(Arc::clone(&common));
        self.inboxes.push((tx, Arc::clone(&bell)));
        let (backend, waiting) = (self.backend(), self.settings.waiting);
        let durability = self.settings.durability;
        let plan = Plan { shard: at as u16, cpu, backend, log, log_start, state, keys, durability };
        let (door, lock) = (Door(common), Arc::clone(&self.lock));
        Start { door, inbox: rx.into(), bell, shared_cpu, waiting, plan, lock }
    }

    /// Starts a shard in a thread of its own, and waits until it is ready.
    fn start(&mut self, start: Start) -> Result<(), OpenError> {
        let (shard, cpu) = (start.plan.shard, start.plan.cpu);
        let (ready_tx, ready_rx) = mpsc::channel();
        let spawned = std::thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || shard_thread::run(start, &ready_tx));
        let thread = spawned.map_err(|source| OpenError::Directory {
            doing: "start a thread for",
            path: self.settings.data_dir.clone(),
            source,
        })?;
        self.ends.push(ShardEnd::Thread(thread));
        let Ready { info, ring_fd } = ready_rx.recv().unwrap_or(Err(OpenError::ShardPanicked { shard }))?;
        self.attach = self.attach.or(ring_fd);
        self.reports.push(ShardReport { cpu, backend: info });
        Ok(())
    }

    fn backend(&self) -> BackendConfig {
        let mut config = BackendConfig::new(&self.settings.data_dir);
        config.mode = self.mode;
        config.durable_write = self.settings.durable_write;
        if self.mode == Mode::Sqpoll {
            config.or_auto = self.settings.backend == Mode::Auto;
            config.sqpoll_cpu = self.sqpoll_cpu;
            #[cfg(target_os = "linux")]
            {
                config.sqpoll_attach = self.attach;
            }
        }
        config
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        for common in &self.commons {
            stop(common);
        }
        for (shard, end) in self.ends.drain(..).enumerate() {
            if matches!(end, ShardEnd::Thread(_)) {
                let _the_first_failure_is_told = end.wait(shard as u16, &self.commons[shard]);
            }
        }
    }
}

/// The backend's mode, and the CPU of a submission poller. `auto` takes submission polling only where a core is left for it.
fn choose_mode(settings: &Builder, layout: &[Option<usize>], hosted: bool) -> (Mode, Option<usize>) {
    let available = cores::by_fitness(&cores::available());
    let cpu = (settings.cores != Cores::Unpinned).then(|| poller_cpu(&available, layout, hosted)).flatten();
    match settings.backend {
        Mode::Auto if cpu.is_some() && ring_is_allowed(&settings.data_dir) => (Mode::Sqpoll, cpu),
        Mode::Sqpoll => (Mode::Sqpoll, cpu),
        mode => (mode, None),
    }
}

/// The core that is left over for a submission poller beyond the shards, a client and the kernel's own workers: on fewer it
/// loses (docs/benchmarks.md). Of the available ones, the best for a shard first.
fn poller_cpu(available: &[usize], layout: &[Option<usize>], hosted: bool) -> Option<usize> {
    // Hosted shards share no poller: each would bring its own, and all would have this core.
    let one_poller = !hosted || layout.len() == 1;
    let room = available.len() >= layout.len() + 3;
    let spare = available.iter().rev().find(|cpu| !layout.contains(&Some(**cpu)));
    spare.filter(|_| one_poller && room).copied()
}

/// Whether a polled ring can be had here; asked before it is chosen for the user, who did not insist on it.
fn ring_is_allowed(root: &Path) -> bool {
    let config = BackendConfig { mode: Mode::Sqpoll, depth: 1, file_slots: 1, ..BackendConfig::new(root) };
    iobackend::Arena::new(4096).is_ok_and(|arena| iobackend::open(&config, &arena).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    /// The end of a client's rings that a test holds, and the bell that the shard rings.
    fn attach(engine: &Engine, bell: impl Fn() + Send + Sync + 'static) -> shard::ClientPort {
        let bell = Arc::new(spsc::Doorbell::new(bell));
        bell.prepare_park();
        let (ends, other) = shard::port(1, engine.shared.doorbell(0), bell);
        assert!(engine.shared.send(0, Control::Attach(Box::new(other))).unwrap().is_none());
        ends
    }

    /// Panics in the shard's thread, once.
    fn fuse() -> impl Fn() + Send + Sync + 'static {
        let fuse = AtomicBool::new(true);
        move || assert!(!fuse.swap(false, Ordering::Relaxed), "on purpose")
    }

    /// A panic while requests were taken dropped the ports before the shard's door closed: clients found their ports gone and the
    /// door open, and told of appends that may be in the log that nothing had been sent.
    #[test]
    fn clients_of_a_shard_that_panics_while_it_takes_requests_do_not_think_they_were_refused() {
        let root = tempfile::tempdir().unwrap();
        let engine = Engine::builder(root.path()).unencrypted().shards(1).cores(Cores::Unpinned).segment_bytes(4 << 20);
        let engine = engine.open().unwrap();
        let mut client = engine.client();
        let stream = client.ensure_stream("a", "events").unwrap();
        // Rung once, when its port goes.
        let door = Arc::new(Mutex::new(Vec::new()));
        let _watching = {
            let (shared, door) = (Arc::clone(&engine.shared), Arc::clone(&door));
            attach(&engine, move || door.lock().push(shared.is_closed(0)))
        };
        let panics = attach(&engine, fuse());

        // A drain finds that the client has left, and lets go of its port: that rings its bell.
        let bell = Arc::clone(&panics.shard);
        drop(panics);
        bell.ring();
        let ended = loop {
            if let Err(error) = client.append(&stream, b"record") {
                break error;
            }
        };
        assert_eq!(ended, CallError::Closed);
        assert!(matches!(engine.close(), Err(OpenError::ShardPanicked { shard: 0 })));
        assert_eq!(*door.lock(), [true], "the port went after the door was closed");
    }

    /// Hosted shards poll each for itself, and `auto` chose polling as for those that share a poller: all pollers were
    /// pinned to the one core that was spare.
    #[test]
    fn the_spare_core_is_for_one_poller() {
        let available = [0, 2, 4, 6, 1, 3, 5, 7];
        let (one, two) = ([Some(0)], [Some(0), Some(2)]);
        assert_eq!(poller_cpu(&available, &two, false), Some(7));
        assert_eq!(poller_cpu(&available, &one, true), Some(7));
        assert_eq!(poller_cpu(&available, &two, true), None);
        assert_eq!(poller_cpu(&available[..4], &two, false), None, "no core is left over");
        assert_eq!(poller_cpu(&available[..4], &[Some(6)], false), Some(4));
    }

    /// A shard's thread that unwound left its clients asleep: nobody rang, and a client that had just attached waited for a port
    /// that lay in the inbox. All get an answer, the other shard goes on, and closing names the shard.
    #[test]
    fn clients_of_a_shard_that_panics_are_told_and_the_others_go_on() {
        let root = tempfile::tempdir().unwrap();
        let engine = Engine::builder(root.path())
            .unencrypted()
            .shards(2)
            .cores(Cores::Unpinned)
            .place("dead", 0)
            .place("well", 1);
        let engine = engine.segment_bytes(4 << 20).open().unwrap();
        let mut client = engine.client();
        let dead = client.ensure_stream("dead", "events").unwrap();
        let well = client.ensure_stream("well", "events").unwrap();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let mut client = engine.client();
                thread::spawn(move || {
                    loop {
                        if let Err(error) = client.append(&dead, b"record") {
                            return error;
                        }
                    }
                })
            })
            .collect();

        // A client whose doorbell panics.
        let mut ends = attach(&engine, fuse());
        let request = shard::wire::Request::ListTenants { after: None };
        let mut attaching = engine.client();
        client.submit_append(&well, None, &[b"in flight on the other shard"]).unwrap();
        request.encode(1, ends.requests.reserve(request.encoded_bytes()).unwrap());
        ends.requests.commit();
        ends.requests.publish();
        ends.shard.ring();
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), CallError::Closed);
        }
        assert_eq!(attaching.head(&dead), Err(CallError::Closed));
        assert_eq!(client.head(&dead), Err(CallError::Closed));
        assert_eq!(client.append(&well, b"and on").unwrap().first, 1);
        assert_eq!(client.wait(|completion| assert!(completion.result.is_ok())), Ok(1));
        assert_eq!(client.in_flight(), 0);
        assert!(matches!(engine.close(), Err(OpenError::ShardPanicked { shard: 0 })));

        let engine = Engine::builder(root.path()).unencrypted().shards(2).cores(Cores::Unpinned).open().unwrap();
        assert!(!engine.report().recovery.clean);
        assert_eq!(engine.client().head(&well).unwrap().next, 2);
        assert!(engine.client().append(&dead, b"again").is_ok());
    }
}
