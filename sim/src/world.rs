//! A run: the disk, one engine after the other, clients, and the order in which they move.
//!
//! One thing moves at a time, chosen at random among those that could; when nothing can, the clock goes to the next moment at
//! which something will. The run's law is the model; here it is decided what the faults that struck excuse.

use crate::client::{Sending, SimClient};
use crate::coverage::Coverage;
use crate::engine::{Engine, How};
use crate::keys::Keys;
use crate::level::Taken;
use crate::model::Model;
use crate::plan::{Action, End, Epoch, Plan};
use crate::registry::Registry;
use crate::sent::Allowed;
use crate::trace::{Event, Lane, Trace};
use iobackend::sim::{Crash, Extent, FaultKind, FaultRates, Image, KINDS, Rng, Script, SimConfig, SimDisk};
use kernel::Level;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// What the engine did that it must not; empty if all is well.
    pub violations: Vec<String>,
    /// What it came across.
    pub coverage: Coverage,
    /// Of everything that happened, in order: the same for the same plan.
    pub hash: u64,
    /// Virtual time that it took, in nanoseconds.
    pub virtual_ns: u64,
    /// What happened, if the trace was kept.
    pub events: Vec<Event>,
    /// The faults that struck, as scripts over the operations of the whole run.
    pub faults: Vec<Script>,
}

/// Moves of one opening, at most: a run that needs more goes round in circles.
const MOVES_MAX: u32 = 400_000;
/// Openings that may fail, one after the other, before faults are held back.
const OPENINGS_TRIED: u32 = 4;
/// How the violation begins that a directory does not open.
const UNOPENED: &str = "the directory does not open";
/// The wall clock at the beginning: some day in 2023, in nanoseconds since 1970.
pub(crate) const WALL_START: u64 = 1_700_000_000_000_000_000;

/// Runs a plan from beginning to end.
#[must_use]
pub fn run(plan: &Plan, keep_trace: bool) -> Run {
    let mut world = World::new(plan, keep_trace);
    let ended = catch_unwind(AssertUnwindSafe(|| world.live()));
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        world.model.violate(format!("panic: {}", text.unwrap_or_default()));
    }
    world.finish()
}

pub(crate) struct World<'a> {
    plan: &'a Plan,
    pub(crate) disk: SimDisk,
    pub(crate) model: Model,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Trace,
    pub(crate) rng: Rng,
    pub(crate) registry: Registry,
    /// The key store, which is no part of the disk.
    pub(crate) keys: Keys,
    /// The wall clock less the disk's.
    wall: u64,
    /// A copy of the directory that was put aside, and what was known then.
    pub(crate) copy: Option<Copy>,
    /// What had struck when this opening began.
    fired_before: [u64; KINDS],
    /// Which machine this is: a clone's is another.
    pub(crate) machine: u64,
    /// The generation of the manifest that was seen last.
    pub(crate) generation: u64,
    /// When the last opening ended.
    pub(crate) last_end: u64,
    /// The last opening was closed, and well: the manifest vouches for everything.
    pub(crate) closed: bool,
    /// The directory was opened, and nobody has begun to close it since.
    pub(crate) in_use: bool,
    /// The disk began as a copy of one that was injured.
    pub(crate) spoilt: bool,
    /// That is all that is wrong with it, and it was closed: everything in it is vouched for.
    pub(crate) fresh: bool,
    /// Since two segments changed places: how often the directory was opened, or tried to be.
    pub(crate) since_swap: Option<u32>,
    /// The run cannot go on, and that is as it should be.
    pub(crate) over: bool,
}

/// A copy of the directory, and what was known when it was made.
#[derive(Clone)]
pub(crate) struct Copy {
    pub(crate) image: Image,
    pub(crate) model: Model,
    /// It was injured by then.
    pub(crate) spoilt: bool,
    /// It was open then, and not closed.
    pub(crate) in_use: bool,
}

/// How moving about ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// What was waited for has come.
    Done,
    /// The machine or the process went down.
    Down,
    /// Nothing moves any more.
    Stalled,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, keep_trace: bool) -> World<'a> {
        let config = SimConfig { injuries_max: plan.corruptions_max, ..SimConfig::default() };
        let disk = SimDisk::new(plan.seed, config);
        disk.set_trace(keep_trace);
        disk.keep_written();
        let mut world = World {
            plan,
            disk,
            model: Model::new(plan),
            coverage: Coverage { runs: 1, ..Coverage::default() },
            trace: Trace::new(keep_trace),
            rng: Rng::new(plan.seed).fork("schedule"),
            registry: Registry::default(),
            keys: Keys::new(plan.seed),
            wall: WALL_START,
            copy: None,
            fired_before: [0; KINDS],
            machine: 1,
            generation: 0,
            last_end: 0,
            closed: false,
            in_use: false,
            spoilt: false,
            fresh: false,
            since_swap: None,
            over: false,
        };
        world.script();
        world
    }

    /// Has the disk forget all scripts but those of the plan that are still to come.
    fn script(&mut self) {
        self.disk.clear_scripts();
        let now = self.disk.operations();
        for script in self.plan.scripts.iter().filter(|script| script.at >= now) {
            self.disk.script(Script { at: script.at - now, ..*script });
        }
    }

    fn finish(mut self) -> Run {
        self.trace.disk(&self.disk.take_events());
        self.trace.absorb(self.disk.trace_hash());
        self.look();
        let mut violations = self.disk.violations();
        violations.extend(self.model.violations);
        violations.extend(self.registry.finish());
        if self.registry.sealed > 0 {
            self.coverage.branch("sealed records");
        }
        self.coverage.operations = self.disk.operations();
        for (sum, count) in self.coverage.faults.iter_mut().zip(self.disk.fired()) {
            *sum += count;
        }
        let faults = self.disk.strikes();
        let virtual_ns = self.disk.now();
        let (hash, events) = self.trace.into_parts();
        Run { seed: self.plan.seed, violations, coverage: self.coverage, hash, virtual_ns, events, faults }
    }

    /// The wall clock, as shards are told it.
    pub(crate) fn clock(&self) -> u64 {
        self.wall + self.disk.now()
    }

    pub(crate) fn note(&mut self, lane: Lane, sort: &'static str, number: u64, text: impl FnOnce() -> String) {
        // What the run itself does is placed among the disk's operations by their number.
        let number = if lane == Lane::World { self.disk.operations() } else { number };
        self.trace.note(self.disk.now(), lane, sort, number, text);
    }

    fn live(&mut self) {
        let plan = self.plan;
        for (number, epoch) in plan.epochs.iter().enumerate() {
            if self.stopped() {
                return;
            }
            self.epoch(epoch, number > 0 && plan.epochs[number - 1].shards != epoch.shards);
            for meanwhile in &epoch.meanwhile {
                self.meanwhile(*meanwhile);
            }
        }
        if !self.stopped() {
            self.last_opening();
        }
    }

    /// Has the registry see what the engine handed to the disk.
    pub(crate) fn look(&mut self) {
        if let Err(text) = self.registry.look(&self.disk, &self.keys) {
            self.model.violate(text);
        }
    }

    pub(crate) fn stopped(&self) -> bool {
        self.over || !self.model.violations.is_empty()
    }

    /// One opening of the directory, to its end.
    pub(crate) fn epoch(&mut self, epoch: &Epoch, resharded: bool) {
        self.wall = self.wall.saturating_add_signed(epoch.clock_jump_ns);
        self.fired_before = self.disk.fired();
        self.disk.set_rates(self.plan.rates);
        if let Some((at, end)) = epoch.crash {
            let fault = if end == End::Kill { FaultKind::Kill } else { FaultKind::PowerCut };
            self.disk.script(Script { at, fault });
        }
        let Some(mut engine) = self.open(epoch.shards) else {
            return;
        };
        if resharded {
            self.coverage.branch("had another number of shards");
        }
        let mut clients: Vec<SimClient> =
            (0..self.plan.clients).map(|_| SimClient::new(epoch.shards, self.plan.window)).collect();
        for step in &epoch.steps {
            clients[usize::from(step.client) % usize::from(self.plan.clients)].steps.push_back(step.action);
        }
        let surveyed = self.survey(&mut engine);
        self.disk.set_rates(self.plan.rates);
        let moved = match surveyed {
            // What ends the process or the machine does not wait for answers.
            Moved::Done => self.move_until(&mut engine, &mut clients, |clients| {
                clients
                    .iter()
                    .all(|client| if epoch.end == End::Close { client.is_done() } else { client.steps.is_empty() })
            }),
            other => other,
        };
        if moved == Moved::Stalled {
            let owed: Vec<String> =
                clients.iter().flat_map(|client| client.pending.values()).map(|sent| format!("{sent:?}")).collect();
            self.model.violate(format!("nothing moves, and {} requests are unanswered: {owed:?}", owed.len()));
        }
        if engine.failure().is_some() {
            self.coverage.branch("a shard failed while it ran");
        }
        self.end(engine, clients, if moved == Moved::Down { None } else { Some(epoch.end) });
    }

    /// Opens the directory, as often as faults and crashes keep it from it. `None` if it must stay closed.
    pub(crate) fn open(&mut self, shards: u16) -> Option<Engine> {
        for attempt in 0.. {
            if attempt == OPENINGS_TRIED {
                self.disk.set_rates(FaultRates::none());
            }
            let before = self.disk.fired();
            self.since_swap = self.since_swap.map(|openings| openings + 1);
            let how = How {
                shards,
                machine: self.machine,
                at_least: self.generation,
                wall: self.wall,
                policy: self.plan.policy,
                keys: &self.keys,
            };
            let opened = Engine::open(&self.disk, &how);
            if let Some(crash) = self.disk.is_down() {
                self.coverage.branch("went down during an opening");
                self.crashed(crash);
                continue;
            }
            match opened {
                Ok(engine) => {
                    if attempt > 0 {
                        self.coverage.branch("failed to open, and opened then");
                    }
                    self.opened(&engine, attempt == 0);
                    return Some(engine);
                }
                Err(error) => {
                    self.note(Lane::World, "failed", 0, || error.clone());
                    let struck = self.disk.fired() != before;
                    if error.contains("is of generation") && self.excused() {
                        // The newest copy of the manifest is spoilt: whoever knows better says so, and goes on with the other.
                        self.generation = 0;
                        continue;
                    }
                    if error.contains("neither copy of the manifest") && self.excused() {
                        self.coverage.branch("refused: both copies of the manifest bad");
                        self.over = true;
                        // The logs can be read without it.
                        self.disk.set_rates(FaultRates::none());
                        self.disk.clear_scripts();
                        self.verify();
                        return None;
                    }
                    // A device stays full for some operations, also when no other fault comes.
                    let full = error.contains("no space") && attempt < 3 * OPENINGS_TRIED;
                    if !full && (!struck || attempt > OPENINGS_TRIED) {
                        self.model.violate(format!("{UNOPENED}: {error}"));
                        return None;
                    }
                }
            }
        }
        None
    }

    fn opened(&mut self, engine: &Engine, first: bool) {
        let report = &engine.report;
        self.coverage.opening(report);
        if !self.excused() {
            if let Some(damage) = report.damage.first() {
                self.model.violate(format!("damage without a cause: {damage}"));
            }
            if report.frozen > 0 {
                self.model.violate(format!("{} streams are frozen without a cause", report.frozen));
            }
        }
        // An attempt that came to nothing may have made a clone the directory's own place.
        let cloned = self.machine > 1 && !report.created;
        if report.moved && !cloned || cloned && first && !report.moved {
            let is = if cloned { "was not taken" } else { "was taken" };
            self.model.violate(format!("the directory {is} for a copy"));
        }
        self.generation = engine.generation();
        let owner = |tenant: &crate::model::Tenant| engine.placement.shard_of(tenant.id.0);
        self.model.owners = self.model.tenants.iter().map(owner).collect();
        // Who asked before is gone.
        self.model.tenants.iter_mut().for_each(crate::model::Tenant::forgotten);
        self.keys_opened(engine);
        let in_use = std::mem::replace(&mut self.in_use, true);
        if report.clean && in_use && !self.excused() {
            self.model.violate("a directory that was not closed is said to have been".into());
        }
        if let Err(text) = self.registry.opening(engine.incarnation, &engine.named) {
            self.model.violate(text);
        }
        self.look();
        let (shards, torn) = (engine.seats.len(), report.torn.len());
        self.note(Lane::World, "opened", 0, || format!("opened with {shards} shards; {torn} torn tails"));
    }

    /// Brings the key store up to date with the catalogs.
    fn keys_opened(&mut self, engine: &Engine) {
        self.keys.opened(&engine.named);
        let missing = |view: &kernel::KeyView| !view.erased && self.keys.is_destroyed((view.tenant.0, view.key_id));
        if engine.named.iter().any(missing) {
            self.coverage.branch("a catalog named a key that was destroyed");
        }
        if engine.named.iter().any(|view| view.erased) {
            self.coverage.branch("found data erased");
        }
    }

    /// Whether the disk did something that may cost records. A short read costs none: whoever sees it reads again. A flush
    /// that failed is among it where frames are written without one: the device may show until the power goes what it will
    /// have lost then, and no opening can tell (docs/durability.md).
    pub(crate) fn excused(&self) -> bool {
        let flush_failed = self.plan.has_levels() && self.disk.fired_of(FaultKind::FlushErrorOnce) > 0;
        let injured = self.disk.injuries().iter().any(|injury| injury.kind != FaultKind::ShortRead);
        self.spoilt || flush_failed || injured
    }

    fn fired_here(&self, kinds: &[FaultKind]) -> bool {
        let now = self.disk.fired();
        kinds.iter().any(|&kind| now[kind as usize] > self.fired_before[kind as usize])
    }

    /// What shards may answer, given what struck.
    pub(crate) fn allowed(&self) -> Allowed {
        use FaultKind as F;
        let excused = self.excused();
        Allowed {
            failure: self.fired_here(&[F::ShortWrite, F::WriteError, F::NoSpace, F::FlushErrorOnce, F::OpenError])
                || self.disk.is_down().is_some(),
            no_segment: self.fired_here(&[F::NoSpace, F::OpenError, F::WriteError, F::ShortWrite, F::FlushErrorOnce])
                || self.disk.is_down().is_some(),
            bad_reads: self.fired_here(&[F::ShortRead, F::OpenError]) || self.disk.is_down().is_some(),
            damage: excused,
        }
    }

    /// Lets everybody move until `done` says so of the clients.
    pub(crate) fn move_until(
        &mut self,
        engine: &mut Engine,
        clients: &mut [SimClient],
        done: impl Fn(&[SimClient]) -> bool,
    ) -> Moved {
        for _ in 0..MOVES_MAX {
            if self.disk.is_down().is_some() {
                return Moved::Down;
            }
            if done(clients) || self.stopped() {
                return Moved::Done;
            }
            let now = self.disk.now();
            self.model.now = now;
            let seats = engine.seats.len();
            let (mut ready, mut next) = (Vec::with_capacity(seats + clients.len()), u64::MAX);
            let dues = engine.seats.iter_mut().map(|seat| seat.due(now));
            let dues: Vec<_> = dues.chain(clients.iter().map(|client| client.due(now))).collect();
            for (who, due) in dues.into_iter().enumerate() {
                match due {
                    Some(at) if at <= now => ready.push(who),
                    Some(at) => next = next.min(at),
                    None => {}
                }
            }
            if ready.is_empty() {
                let due = self.disk.next_due().filter(|due| *due > now);
                next = next.min(due.unwrap_or(u64::MAX));
                if next == u64::MAX {
                    return Moved::Stalled;
                }
                self.disk.advance_to(next);
                continue;
            }
            let who = ready[self.rng.below(ready.len() as u64) as usize];
            match who.checked_sub(seats) {
                None => self.step_shard(engine, who),
                Some(client) => self.step_client(engine, &mut clients[client], client as u8),
            }
        }
        self.model.violate(format!("no end after {MOVES_MAX} moves"));
        Moved::Stalled
    }

    fn step_shard(&mut self, engine: &mut Engine, shard: usize) {
        let (now, clock) = (self.disk.now(), self.clock());
        let progress = engine.seats[shard].step(now, clock, &mut self.rng);
        self.trace.absorb(shard as u64);
        self.look();
        if progress.worked {
            self.note(Lane::Shard(shard as u16), "turn", 0, String::new);
        }
    }

    fn step_client(&mut self, engine: &mut Engine, client: &mut SimClient, number: u8) {
        let now = self.disk.now();
        let allowed = self.allowed();
        let World { model, keys, coverage, trace, .. } = self;
        client.take(allowed, keys, model, coverage, |token, sent, reply| {
            let sort = if reply.outcome.is_ok() { "done" } else { "refused" };
            trace.note(now, Lane::Client(number), sort, token, || match &reply.outcome {
                Ok(done) => format!("{}: {done:?}", sent.what),
                Err(failure) => format!("{}: {failure}", sent.what),
            });
        });
        self.keys.tell_doomed(engine);
        let burst = 1 + self.rng.below(4);
        for _ in 0..burst {
            let leaves = client.steps.front() == Some(&Action::Detach);
            match client.send_next(engine, &mut self.keys, &mut self.model, now) {
                Sending::Sent => {
                    let token = client.last_token();
                    let what = client.pending.get(&token).map(|sent| sent.what.clone());
                    self.note(Lane::Client(number), "sent", token, || {
                        what.map_or_else(String::new, |what| what.to_string())
                    });
                }
                Sending::Skipped if leaves => self.note(Lane::Client(number), "left", 0, String::new),
                Sending::Skipped => {}
                Sending::Full => {
                    // Nobody tells of room in a ring: it looks again.
                    client.busy(now + 200_000 + self.rng.below(2_000_000));
                    break;
                }
            }
        }
        client.busy(now + 50 + self.rng.below(3_000));
        client.rest();
    }

    /// Ends an opening: as planned, or because the machine went down.
    fn end(&mut self, engine: Engine, clients: Vec<SimClient>, end: Option<End>) {
        let failed = engine.failure().is_some();
        let taken = self.end_it(engine, clients, end);
        self.look();
        let taken = match taken {
            Taken::Nothing if failed => Taken::Below(Level::Strict),
            Taken::Below(_) if self.fired_here(&[FaultKind::FlushErrorOnce]) => Taken::Below(Level::Strict),
            taken => taken,
        };
        let punctual = !failed && !self.fired_here(&[FaultKind::SlowIo]);
        self.model.now = self.disk.now();
        self.model.end(taken, punctual);
        // A crash that was to come in this opening does not come in the next.
        self.script();
    }

    fn end_it(&mut self, engine: Engine, mut clients: Vec<SimClient>, end: Option<End>) -> Taken {
        // Nobody will learn what became of what is in flight.
        clients.iter_mut().for_each(SimClient::detach);
        self.closed = false;
        match end {
            None => {}
            Some(End::Close) => {
                let clock = self.clock();
                self.in_use = false;
                let closed = engine.close(clock);
                if self.disk.is_down().is_none() {
                    self.closed = closed.is_ok();
                    let taken = if closed.is_ok() { Taken::Nothing } else { Taken::Below(Level::Strict) };
                    if let Err(error) = closed {
                        self.coverage.branch("closed with an error");
                        if !self.allowed().failure && !self.fired_here(&FaultKind::ALL) {
                            self.model.violate(format!("the engine does not close: {error}"));
                        }
                    }
                    self.note(Lane::World, "closed", 0, || "closed".into());
                    self.last_end = self.disk.now();
                    return taken;
                }
            }
            Some(end) => {
                drop(engine);
                match end {
                    End::Kill => self.disk.kill(),
                    _ => self.disk.power_cut(),
                }
                self.coverage.crashes += 1;
                self.note(Lane::World, "crash", 0, || format!("{end:?}"));
                self.last_end = self.disk.now();
                return taken_by(end == End::Kill);
            }
        }
        match self.disk.is_down() {
            Some(crash) => {
                self.crashed(crash);
                taken_by(crash == Crash::Kill)
            }
            None => Taken::Nothing,
        }
    }

    fn crashed(&mut self, crash: Crash) {
        self.coverage.crashes += 1;
        self.note(Lane::World, "crash", 0, || format!("{crash:?}"));
        self.last_end = self.disk.now();
        // A loss of power after the end of the process takes what that left unflushed.
        self.model.end(taken_by(crash == Crash::Kill), false);
        self.disk.power_on();
    }
}

/// The end of the process takes what was not written, that of the power what was not flushed.
fn taken_by(kill: bool) -> Taken {
    Taken::Below(if kill { Level::Buffered } else { Level::Strict })
}

/// A directory that a plan left, whole, and what is known of it.
pub(crate) struct Finished<'a> {
    world: World<'a>,
    image: Image,
}

/// What opening a spoilt directory came to.
pub(crate) enum Outcome {
    /// It does not open, and says why.
    Refused,
    /// Something is named as damaged, and all else is there.
    Named,
    /// All is there.
    Whole,
    /// Something is lost or wrong, and nothing says so.
    Wrong(String),
}

impl<'a> Finished<'a> {
    /// Runs a plan without faults.
    pub(crate) fn of(plan: &'a Plan) -> Finished<'a> {
        let mut world = World::new(plan, false);
        for epoch in &plan.epochs {
            world.epoch(epoch, false);
        }
        let image = world.disk.snapshot(Extent::Durable);
        Finished { world, image }
    }

    /// Name, bytes that are not zero, and length of each file.
    pub(crate) fn files(&self) -> Vec<(String, Vec<std::ops::Range<u64>>, u64)> {
        let disk = &self.world.disk;
        let file = |name: String| {
            let (stored, len) = (disk.stored(&name), disk.file_len(&name).unwrap_or(0));
            (name, stored, len)
        };
        disk.files().into_iter().map(file).collect()
    }

    /// Opens a copy in which one byte is another, or a file ends before it.
    pub(crate) fn spoil(&self, file: &str, at: u64, cut: bool) -> Outcome {
        let plan = self.world.plan;
        let mut world = World::new(plan, false);
        world.disk = SimDisk::from_image(plan.seed, SimConfig::default(), &self.image);
        (world.model, world.spoilt, world.fresh) = (self.world.model.clone(), true, true);
        world.keys = self.world.keys.clone();
        world.disk.advance_to(self.world.disk.now());
        world.last_end = world.disk.now() + crate::survey::VOUCHED_NS;
        let _there = if cut { world.disk.cut_file(file, at) } else { world.disk.rot_at_rest(file, at, 1 << (at % 8)) };
        let opened = catch_unwind(AssertUnwindSafe(|| {
            world.open(1).map(|mut engine| {
                let named = !engine.report.damage.is_empty() || !engine.report.manifest_faults.is_empty();
                world.survey(&mut engine);
                named
            })
        }));
        match (opened, world.model.violations.first()) {
            (Err(_), _) => Outcome::Wrong("panic".into()),
            (Ok(_), Some(violation)) if !violation.starts_with(UNOPENED) => Outcome::Wrong(violation.clone()),
            (Ok(None), _) => Outcome::Refused,
            (Ok(Some(true)), _) => Outcome::Named,
            (Ok(Some(false)), _) => Outcome::Whole,
        }
    }
}
