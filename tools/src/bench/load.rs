//! Runs a load: its clients in threads of their own, or in the shards' threads, and whoever watches beside them.

use super::acknowledged::{Acknowledged, Teller};
use super::arrivals::{Pick, Schedule};
use super::document::Arrivals;
use super::payload::Payloads;
use super::sender::{Ended, Sender, Step, Tally, Task, Tray, Work};
use crate::interrupt;
use diatreme::{
    CallError, Client, Engine, HostedShard, OpenError, ShardReport, ShardSeat, ShardStats, StreamRef, cores,
};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients that do the same.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// What its appends and its reads are called in reports.
    pub(crate) names: [&'static str; super::sender::KINDS],
    pub(crate) work: Work,
    pub(crate) clients: usize,
    /// Requests in flight of each client.
    pub(crate) window: usize,
    pub(crate) arrivals: Arrivals,
    /// The exponent of a zipfian choice of streams.
    pub(crate) zipf: Option<f64>,
    pub(crate) streams: Vec<BenchStream>,
    pub(crate) payloads: Arc<Payloads>,
    pub(crate) batch: u32,
    /// Records to count over all its clients.
    pub(crate) records: Option<u64>,
}

/// A stream, where it lives, and how many records it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BenchStream {
    pub(crate) stream: StreamRef,
    /// The number of its tenant, and its own in it: what they are named by.
    pub(crate) tenant: u32,
    pub(crate) number: u32,
    pub(crate) shard: u16,
    pub(crate) head: u64,
}

/// What is to be sent, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) groups: Vec<Group>,
    pub(crate) warm_up: Duration,
    /// After the warm-up; none: until the records are sent.
    pub(crate) duration: Option<Duration>,
    /// CPUs for the clients' threads; empty: wherever the system puts them.
    pub(crate) cpus: Vec<usize>,
    /// Hosted shards are dropped at the end and not closed: they leave their logs as a crash would.
    pub(crate) crash: bool,
    /// Where clients tell how far records are acknowledged.
    pub(crate) acknowledged: Option<Arc<Acknowledged>>,
}

/// What a group of clients found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupEnded {
    pub(crate) ended: Ended,
    /// Of its clients, those whose figures are in.
    pub(crate) clients: usize,
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// One of each group.
    pub(crate) groups: Vec<GroupEnded>,
    /// What was counted after the last look of the watcher, by group.
    pub(crate) rest: Vec<(usize, Tally)>,
    /// Of hosted shards: what each was started with, and what it did.
    pub(crate) hosted: Vec<(ShardReport, ShardStats)>,
    pub(crate) interrupted: bool,
}

/// Why a load did not come to its end.
#[derive(Debug)]
pub(crate) enum LoadError {
    Call(CallError),
    Open(OpenError),
    /// The system gave no thread after so many.
    Spawn(usize, io::Error),
    /// Whoever wants to know what is acknowledged cannot be told.
    Untold(io::Error),
}

impl From<CallError> for LoadError {
    fn from(error: CallError) -> LoadError {
        LoadError::Call(error)
    }
}

impl From<OpenError> for LoadError {
    fn from(error: OpenError) -> LoadError {
        LoadError::Open(error)
    }
}

impl From<LoadError> for crate::failure::Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Call(error) => error.into(),
            LoadError::Open(error) => error.into(),
            LoadError::Untold(error) => Self::failed(format!("cannot tell what is acknowledged: {error}")),
            LoadError::Spawn(threads, error) => Self::failed(format!(
                "cannot start thread {} of the load: {error}; choose fewer --clients or --shards, or raise the limit on threads",
                threads + 1
            )),
        }
    }
}

/// The trays of all clients, with the number of their group: for whoever watches.
pub(crate) struct Watched {
    pub(crate) trays: Vec<(usize, Tray)>,
    /// When the clock of the load started.
    pub(crate) start: Instant,
    /// How often clients are to leave what they counted.
    pub(crate) every: Duration,
    running: AtomicUsize,
    /// Something failed: nobody sends any more.
    failed: AtomicBool,
    /// Threads that are not ready yet. None sends before all are; a `std::sync::Barrier` would wait for ever for one that failed.
    missing: Mutex<usize>,
    gate: Condvar,
}

impl Watched {
    fn new(plan: &[Place], threads: usize, every: Duration) -> Watched {
        Watched {
            trays: plan.iter().map(|place| (place.group, Tray::new())).collect(),
            start: Instant::now(),
            every,
            running: AtomicUsize::new(threads),
            failed: AtomicBool::new(false),
            missing: Mutex::new(threads),
            gate: Condvar::new(),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Stops all threads, those that wait at the gate too.
    fn fail(&self) {
        // Under the lock, lest a thread looks, misses it, and then waits.
        let _missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        self.failed.store(true, Ordering::Relaxed);
        self.gate.notify_all();
    }

    /// Waits until all threads are ready, or one has failed.
    fn wait_for_all(&self) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        *missing -= 1;
        if *missing == 0 {
            self.gate.notify_all();
        }
        let waited = self.gate.wait_while(missing, |missing| *missing > 0 && !self.has_failed());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Counts a thread that runs; and when it is gone, however it went.
struct Running<'a>(&'a Watched);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail();
        }
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

/// Sends the load and waits for every answer. `seats`: the shards of a hosted engine, in whose threads the clients are then to run; each
/// client sends to the streams of its shard only. `watch` is called meanwhile in the calling thread, and returns when nobody runs.
pub(crate) fn run(
    engine: &Engine,
    load: &Load,
    seats: Vec<ShardSeat>,
    every: Duration,
    watch: impl FnOnce(&Watched),
) -> Result<Outcome, LoadError> {
    let shards = seats.len();
    let plan = plan(load, shards);
    let threads = if shards > 0 { shards } else { threads(load) };
    let watched = Watched::new(&plan, threads, every);
    let (plan, watched, mut seats) = (&plan, &watched, seats.into_iter());
    std::thread::scope(move |scope| {
        let (mut workers, mut lacking) = (Vec::with_capacity(threads), None);
        for thread in 0..threads {
            let own: Vec<usize> = (0..plan.len()).filter(|at| plan[*at].thread(*at, threads) == thread).collect();
            let seat = seats.next();
            let body = move || match seat {
                Some(seat) => run_inside(engine, load, seat, plan, &own, watched),
                None => run_apart(engine, load, thread, plan, &own, watched),
            };
            // The name by which the report finds the threads of shards.
            let name = if shards > 0 { format!("shard-{thread}") } else { format!("client-{thread}") };
            match std::thread::Builder::new().name(name).spawn_scoped(scope, body) {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    watched.running.fetch_sub(threads - thread, Ordering::Release);
                    watched.fail();
                    lacking = Some(LoadError::Spawn(thread, error));
                    break;
                }
            }
        }
        // Nobody is to wait for a shard that no thread hosts.
        drop(seats);
        watch(watched);
        let joined: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        lacking.map_or_else(|| gather(load, joined), Err)
    })
}

/// A client of the load.
struct Place {
    group: usize,
    /// Its number in the group.
    client: usize,
    clients: usize,
    /// Only streams of this shard; none: all.
    shard: Option<u16>,
}

impl Place {
    fn thread(&self, at: usize, threads: usize) -> usize {
        self.shard.map_or(at % threads, usize::from)
    }
}

/// The clients; inside the shards each shard has as many as the group.
fn plan(load: &Load, shards: usize) -> Vec<Place> {
    let mut plan = Vec::new();
    for (group, Group { clients, .. }) in load.groups.iter().enumerate() {
        let all = clients * shards.max(1);
        for client in 0..all {
            let shard = (shards > 0).then(|| (client % shards) as u16);
            plan.push(Place { group, client, clients: all, shard });
        }
    }
    plan
}

/// Threads for the clients: one for each CPU that they have, since two that share one would measure the system's scheduler.
fn threads(load: &Load) -> usize {
    let clients: usize = load.groups.iter().map(|group| group.clients).sum();
    let cpus = if load.cpus.is_empty() { cores::available().len() } else { load.cpus.len() };
    clients.min(cpus.max(1)).max(1)
}

impl Load {
    /// The streams that a client sends to.
    fn streams(&self, place: &Place) -> Vec<&BenchStream> {
        let own = |stream: &&BenchStream| place.shard.is_none_or(|shard| stream.shard == shard);
        self.groups[place.group].streams.iter().filter(own).collect()
    }

    fn task(&self, place: &Place) -> Task<'_> {
        let group = &self.groups[place.group];
        let streams = self.streams(place);
        let (client, clients) = (place.client as u64, place.clients as u64);
        let seed = client + 1000 * place.group as u64;
        let pick = match group.zipf {
            Some(theta) => Pick::zipfian(streams.len(), theta, seed),
            None => Pick::turns(streams.len(), place.client),
        };
        Task {
            work: group.work.clone(),
            heads: streams.iter().map(|stream| stream.head).collect(),
            streams: streams.iter().map(|stream| stream.stream).collect(),
            pick,
            payloads: &group.payloads,
            batch: group.batch,
            window: group.window,
            schedule: Schedule::new(&group.arrivals, place.client, place.clients),
            measure_from: self.warm_up,
            until: self.duration.map(|duration| self.warm_up + duration),
            quota: group.records.map(|records| records / clients + u64::from(client < records % clients)),
            seed,
        }
    }
}

/// What a thread found out: by group, and of a hosted shard what it was started with.
struct Share {
    senders: Vec<(usize, Ended, Tally)>,
    hosted: Option<(ShardReport, ShardStats)>,
    interrupted: bool,
}

type Shared<'a> = (&'a Engine, &'a Load);

/// Steps clients until all are done.
struct Clients<'a> {
    clients: Vec<(usize, Client, Sender<'a>)>,
    /// One for each client, or none at all.
    tellers: Vec<Teller<'a>>,
    watched: &'a Watched,
    report_at: Instant,
    interrupted: bool,
}

impl<'a> Clients<'a> {
    fn new((engine, load): Shared<'a>, plan: &[Place], own: &[usize], watched: &'a Watched) -> Result<Self, OpenError> {
        let (mut clients, mut tellers) = (Vec::with_capacity(own.len()), Vec::new());
        for &at in own {
            let client = engine.client_with_window(load.groups[plan[at].group].window)?;
            clients.push((at, client, Sender::new(load.task(&plan[at]), watched.start)));
            tellers.extend(load.acknowledged.as_deref().map(|file| Teller::new(file, &load.streams(&plan[at]))));
        }
        Ok(Clients { clients, tellers, watched, report_at: watched.start + watched.every, interrupted: false })
    }

    /// One step of each. Looks at the clock, and at whether it is to stop, only now and then: see `rounds` of the callers.
    fn step(&mut self) -> Result<Step, LoadError> {
        let mut all = Step::Done;
        for (_, client, sender) in &mut self.clients {
            all = match (all, sender.step(client)?) {
                (Step::Worked, _) | (_, Step::Worked) => Step::Worked,
                (Step::Idle, _) | (_, Step::Idle) => Step::Idle,
                (Step::Done, Step::Done) => Step::Done,
            };
        }
        for (teller, (_, _, sender)) in self.tellers.iter_mut().zip(&self.clients) {
            teller.tell(sender.heads()).map_err(LoadError::Untold)?;
        }
        Ok(all)
    }

    /// Leaves what was counted if it is time to, and stops if somebody wants that.
    fn look_up(&mut self) {
        let now = Instant::now();
        if now >= self.report_at {
            self.report_at = now + self.watched.every;
            for (at, _, sender) in &mut self.clients {
                sender.report(&self.watched.trays[*at].1);
            }
        }
        let interrupted = interrupt::requested();
        if interrupted || self.watched.has_failed() {
            self.interrupted |= interrupted;
            self.clients.iter_mut().for_each(|(_, _, sender)| sender.stop());
        }
    }

    fn end(self, plan: &[Place], hosted: Option<(ShardReport, ShardStats)>) -> Share {
        let interrupted = self.interrupted;
        let senders = self.clients.into_iter().map(|(at, _, sender)| {
            let (ended, tally) = sender.end();
            (plan[at].group, ended, tally)
        });
        Share { senders: senders.collect(), hosted, interrupted }
    }
}

/// The body of a thread that has only clients.
fn run_apart(
    engine: &Engine,
    load: &Load,
    thread: usize,
    plan: &[Place],
    own: &[usize],
    watched: &Watched,
) -> Result<Share, LoadError> {
    let _running = Running(watched);
    if let Some(&cpu) = load.cpus.get(thread) {
        // Unpinned, the figures are noisier, not wrong; the report says what was asked for.
        let _pinned = cores::pin(cpu);
    }
    let ready = Clients::new((engine, load), plan, own, watched);
    let mut clients = ready.inspect_err(|_| watched.fail())?;
    watched.wait_for_all();
    step_apart(&mut clients).inspect_err(|_| watched.fail())?;
    Ok(clients.end(plan, None))
}

fn step_apart(clients: &mut Clients<'_>) -> Result<(), LoadError> {
    loop {
        clients.look_up();
        match clients.step()? {
            Step::Worked => {}
            // Never spin: the kernel may need this core to complete the write that is waited for.
            Step::Idle => std::thread::yield_now(),
            Step::Done => return Ok(()),
        }
    }
}

/// The body of a thread that hosts a shard and steps its clients between turns.
fn run_inside(
    engine: &Engine,
    load: &Load,
    seat: ShardSeat,
    plan: &[Place],
    own: &[usize],
    watched: &Watched,
) -> Result<Share, LoadError> {
    let _running = Running(watched);
    let ready = seat.start().and_then(|shard| Ok((shard, Clients::new((engine, load), plan, own, watched)?)));
    let (mut shard, mut clients) = ready.inspect_err(|_| watched.fail())?;
    watched.wait_for_all();
    let stepped = step_inside(&mut shard, &mut clients).inspect_err(|_| watched.fail());
    let share = clients.end(plan, Some((shard.report().clone(), shard.stats())));
    if !load.crash {
        shard.close();
    }
    stepped.map(|()| share)
}

fn step_inside(shard: &mut HostedShard, clients: &mut Clients<'_>) -> Result<(), LoadError> {
    loop {
        clients.look_up();
        let stepped = clients.step()?;
        let progress = shard.turn();
        match stepped {
            Step::Worked => {}
            // A shard that could sleep must not: its clients have a schedule.
            Step::Idle if !progress.worked => std::thread::yield_now(),
            Step::Idle => {}
            Step::Done => return Ok(()),
        }
    }
}

fn gather(load: &Load, joined: Vec<Result<Share, LoadError>>) -> Result<Outcome, LoadError> {
    let mut outcome = Outcome {
        groups: vec![GroupEnded::default(); load.groups.len()],
        rest: Vec::new(),
        hosted: Vec::new(),
        interrupted: false,
    };
    for share in joined {
        let Share { senders, hosted, interrupted } = share?;
        outcome.hosted.extend(hosted);
        outcome.interrupted |= interrupted;
        for (group, ended, tally) in senders {
            let GroupEnded { ended: all, clients } = &mut outcome.groups[group];
            *clients += 1;
            all.last_answer = all.last_answer.max(ended.last_answer);
            all.queue_full += ended.queue_full;
            all.queue_ns += ended.queue_ns;
            // At one time in each client, not over all: an upper bound of what waited together.
            all.behind_max += ended.behind_max;
            all.behind_end += ended.behind_end;
            outcome.rest.push((group, tally));
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever came in time waited for ever, and ctrl-C did nothing.
    #[test]
    fn nobody_waits_for_a_thread_that_does_not_come() {
        let watched = Watched::new(&[], 3, Duration::ZERO);
        std::thread::scope(|scope| {
            let body = || {
                let _running = Running(&watched);
                watched.wait_for_all();
                watched.has_failed()
            };
            let in_time = [scope.spawn(body), scope.spawn(body)];
            let panicked = scope.spawn(|| {
                let _running = Running(&watched);
                std::panic::resume_unwind(Box::new("no client"));
            });
            assert!(panicked.join().is_err());
            assert!(in_time.into_iter().all(|thread| thread.join().unwrap()), "they learn that they must not send");
        });
        assert!(!watched.is_running());
    }

    #[test]
    fn nobody_starts_before_all_are_there() {
        let watched = Watched::new(&[], 2, Duration::ZERO);
        let ready = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let early = scope.spawn(|| {
                watched.wait_for_all();
                ready.load(Ordering::Relaxed)
            });
            ready.store(true, Ordering::Relaxed);
            watched.wait_for_all();
            assert!(early.join().unwrap());
        });
        assert!(!watched.has_failed());
    }
}
