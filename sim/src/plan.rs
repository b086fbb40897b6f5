//! What a run does, written down before it begins: so that it can be replayed, shown, and made smaller.
//!
//! A plan is drawn from a seed and is then only data. The run draws from the seed again for what a plan does not say: who is
//! next, how long an operation takes, whether a fault strikes. Taking a step out of a plan leaves a plan.

use crate::level::{Asked, Policy};
use crate::scenario::{Options, Scenario};
use iobackend::sim::{FaultRates, Rng, Script};
use kernel::Level;
use serde::{Deserialize, Serialize};

/// A run, from an empty disk to the end of its last opening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Where all chance of the run comes from.
    pub seed: u64,
    /// What kind of run it is.
    #[serde(with = "crate::plan_file::scenario")]
    pub scenario: Scenario,
    /// Clients.
    pub clients: u8,
    /// Requests that a client may have in flight on a shard.
    pub window: u16,
    /// The policy of tenants that were given none.
    pub policy: Policy,
    /// Tenants that are made without a key.
    pub clear: Vec<u8>,
    /// Streams, by their number in each tenant, that are made with a key of their own.
    pub own_keys: Vec<u8>,
    /// How often which fault strikes.
    #[serde(with = "crate::plan_file::rates")]
    pub rates: FaultRates,
    /// Faults that spoil bytes without an error, at the most.
    pub corruptions_max: u32,
    /// Faults at given operations, counted from the run's first.
    #[serde(with = "crate::plan_file::scripts")]
    pub scripts: Vec<Script>,
    /// One opening after the other.
    pub epochs: Vec<Epoch>,
}

/// One opening of the directory, from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// Shards.
    pub shards: u16,
    /// The wall clock jumps by so much before it, in nanoseconds.
    pub clock_jump_ns: i64,
    /// The machine goes down at this operation, counted from the beginning of the opening.
    pub crash: Option<(u64, End)>,
    /// What clients do, each in its own order.
    pub steps: Vec<Step>,
    /// How it ends if nothing ends it before.
    pub end: End,
    /// What happens to the disk afterwards.
    pub meanwhile: Vec<Meanwhile>,
}

/// How an opening ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum End {
    /// The engine is closed.
    Close,
    /// The process dies.
    Kill,
    /// The power goes.
    PowerCut,
}

/// What happens to the disk while no engine is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Meanwhile {
    /// A bit of a segment's frames changes; which one is drawn from the number.
    BitRots(u64),
    /// A segment's file vanishes.
    SegmentLost(u64),
    /// A copy of the manifest vanishes.
    ManifestCopyLost(u64),
    /// Two segments change places, of one log or of two.
    SegmentsSwapped(u64),
    /// A forger has two streams' sealed records change places, with all checksums mended.
    Forged(u64),
    /// A copy of the directory is put aside.
    Copied,
    /// The copy that was put aside is put back, in place of what is there.
    OlderCopyPutBack,
    /// A second process opens the copy that was put aside, writes to it, and goes.
    CloneWritesTo,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Which client.
    pub client: u8,
    /// What.
    pub action: Action,
}

/// A tenant by its number, and a stream by its number in it: names, not ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The tenant.
    pub tenant: u8,
    /// The stream.
    pub stream: u8,
}

/// The offset that an append asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Expected {
    /// Whichever is next.
    Any,
    /// The one that its client thinks is next.
    Next,
    /// One that cannot be.
    Wrong,
}

/// What a client asks for. Where the tenant or the stream is not known to exist, its creation is asked for instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Action {
    /// Appends records.
    Append {
        /// Where.
        place: Place,
        /// Records.
        count: u16,
        /// Payload bytes of each, at the most; at least [`PAYLOAD_MIN`](crate::payload::PAYLOAD_MIN).
        bytes: u32,
        /// At which offset.
        expected: Expected,
        /// At which level.
        level: Asked,
    },
    /// Reads records.
    Read {
        /// Where.
        place: Place,
        /// From how far before the end on.
        back: u16,
        /// Records at the most.
        max: u16,
    },
    /// Asks for the end.
    Head(Place),
    /// Finds a stream by its name.
    Resolve(Place),
    /// Lists the tenants of a shard.
    ListTenants(u16),
    /// Lists a tenant's streams.
    ListStreams(u8),
    /// Deletes a stream.
    DeleteStream(Place),
    /// Appends a record to a stream of that name that was deleted, as a client would that was not told.
    AppendToDeleted(Place),
    /// Deletes a tenant.
    DeleteTenant(u8),
    /// Makes a tenant that may be there.
    CreateTenant(u8),
    /// Makes a stream that may be there.
    CreateStream(Place),
    /// Gives a tenant a policy.
    SetPolicy(u8, Policy),
    /// Has a tenant's records sealed with another key; if it has none, with its first.
    ChangeKey(u8),
    /// The same of a stream with a key of its own.
    ChangeStreamKey(Place),
    /// Erases a tenant.
    Erase(u8),
    /// Erases a stream with a key of its own.
    EraseStream(Place),
    /// Has everything flushed that the shard of this number was asked for.
    Sync(u16),
    /// Lets go of its ports, whatever it is owed; later requests attach anew.
    Detach,
    /// Does nothing for some time, in nanoseconds: the engine falls quiet if all do.
    Pause(u64),
}

/// How many epochs, in a million, end with nothing to do.
const QUIET_ENDS: u32 = 250_000;
/// For how long: so that everything is vouched for, and then some.
const QUIET_NS: u64 = 80_000_000;

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64, scenario: Scenario) -> Plan {
        let mut rng = Rng::new(seed).fork("plan");
        let options = scenario.draw(&mut rng);
        // Drawn apart, so that the rest of the plan is what it would be without.
        let mut keyed = rng.fork("keys");
        let mut left = options.steps;
        let mut epochs = Vec::new();
        let mut shards = rng.between(1, options.shards_max.into()) as u16;
        for number in 0..options.epochs {
            if rng.chance(options.reshard) {
                shards = rng.between(1, options.shards_max.into()) as u16;
            }
            let steps = if number + 1 == options.epochs { left } else { left / (options.epochs - number) };
            left -= steps;
            let mut epoch = draw_epoch(&mut rng, &options, shards, steps, number + 1 == options.epochs);
            draw_keys(&mut keyed, &options, &mut epoch.steps);
            if number + 1 < options.epochs && keyed.chance(options.forgeries) {
                // Alone: two injuries may hide each other's traces.
                epoch.meanwhile.retain(|meanwhile| !meanwhile.is_injury());
                epoch.meanwhile.push(Meanwhile::Forged(keyed.next_u64()));
            }
            epochs.push(epoch);
        }
        Plan {
            seed,
            scenario,
            clients: options.clients,
            window: options.window,
            policy: options.policy,
            clear: some(&mut keyed, options.tenants, 250_000),
            own_keys: some(&mut keyed, options.streams, 300_000),
            rates: options.rates,
            corruptions_max: options.corruptions_max,
            scripts: Vec::new(),
            epochs,
        }
    }

    /// Whether anything may be answered below `Strict`.
    pub(crate) fn has_levels(&self) -> bool {
        let steps = self.epochs.iter().flat_map(|epoch| &epoch.steps);
        let lower = |step: &Step| matches!(step.action, Action::SetPolicy(_, policy) if policy.level() < Level::Strict);
        self.policy.level() < Level::Strict || steps.into_iter().any(lower)
    }

    /// Steps of all epochs.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.epochs.iter().map(|epoch| epoch.steps.len()).sum()
    }
}

impl Meanwhile {
    fn is_injury(self) -> bool {
        match self {
            Meanwhile::BitRots(_)
            | Meanwhile::SegmentLost(_)
            | Meanwhile::ManifestCopyLost(_)
            | Meanwhile::SegmentsSwapped(_)
            | Meanwhile::Forged(_) => true,
            Meanwhile::Copied | Meanwhile::OlderCopyPutBack | Meanwhile::CloneWritesTo => false,
        }
    }
}

impl Action {
    /// The tenant that it is about.
    pub(crate) fn tenant(self) -> Option<u8> {
        match self {
            Action::Append { place, .. }
            | Action::Read { place, .. }
            | Action::Head(place)
            | Action::Resolve(place)
            | Action::DeleteStream(place)
            | Action::AppendToDeleted(place)
            | Action::ChangeStreamKey(place)
            | Action::EraseStream(place)
            | Action::CreateStream(place) => Some(place.tenant),
            Action::ListStreams(tenant)
            | Action::DeleteTenant(tenant)
            | Action::CreateTenant(tenant)
            | Action::ChangeKey(tenant)
            | Action::Erase(tenant)
            | Action::SetPolicy(tenant, _) => Some(tenant),
            Action::Sync(_) | Action::ListTenants(_) | Action::Detach | Action::Pause(_) => None,
        }
    }
}

fn draw_epoch(rng: &mut Rng, options: &Options, shards: u16, steps: u32, last: bool) -> Epoch {
    let end = match rng.below(3) {
        _ if !options.crashes => End::Close,
        0 => End::Close,
        1 => End::Kill,
        _ => End::PowerCut,
    };
    // The first few operations are those of an opening, the later ones fall among the steps.
    let reach = if rng.chance(300_000) { 60 } else { 60 + 2 * u64::from(steps) };
    let down = if rng.coin() { End::Kill } else { End::PowerCut };
    let crash = (options.crashes && rng.chance(500_000)).then(|| (rng.below(reach), down));
    let jump = 3_600_000_000_000;
    let clock_jump_ns = if rng.chance(options.clock_jumps) { rng.below(2 * jump) as i64 - jump as i64 } else { 0 };
    let meanwhile = if last { Vec::new() } else { draw_meanwhile(rng, options) };
    let mut steps: Vec<Step> = (0..steps).map(|_| draw_step(rng, options)).collect();
    if rng.chance(QUIET_ENDS) {
        steps.extend((0..options.clients).flat_map(fall_quiet));
    }
    Epoch { shards, clock_jump_ns, crash, steps, end, meanwhile }
}

/// A client waits for longer than the log takes to write its marks, and asks something that changes nothing.
fn fall_quiet(client: u8) -> [Step; 2] {
    let head = Action::Head(Place { tenant: 0, stream: 0 });
    [Action::Pause(QUIET_NS), head].map(|action| Step { client, action })
}

fn draw_meanwhile(rng: &mut Rng, options: &Options) -> Vec<Meanwhile> {
    let mut meanwhile = Vec::new();
    if rng.chance(options.injuries) {
        let pick = rng.next_u64();
        meanwhile.push(match rng.below(8) {
            0..=3 => Meanwhile::BitRots(pick),
            4 | 5 => Meanwhile::SegmentLost(pick),
            6 => Meanwhile::ManifestCopyLost(pick),
            _ => Meanwhile::SegmentsSwapped(pick),
        });
    }
    if rng.chance(options.copies) {
        meanwhile.push(match rng.below(4) {
            0 | 1 => Meanwhile::Copied,
            2 => Meanwhile::OlderCopyPutBack,
            _ => Meanwhile::CloneWritesTo,
        });
    }
    meanwhile
}

fn draw_step(rng: &mut Rng, options: &Options) -> Step {
    let client = rng.below(options.clients.into()) as u8;
    // A few streams get most of the work.
    let skewed = |rng: &mut Rng, n: u8| rng.below(1 + rng.clone().below(n.into())) as u8;
    let tenant = skewed(rng, options.tenants);
    let place = Place { tenant, stream: skewed(rng, options.streams) };
    let action = match rng.below(100) {
        _ if rng.chance(options.levels) => match rng.below(3) {
            0 => Action::SetPolicy(tenant, draw_policy(rng)),
            _ => Action::Sync(rng.below(options.shards_max.into()) as u16),
        },
        0..=54 => draw_append(rng, options, place),
        55..=69 => Action::Read { place, back: rng.below(40) as u16, max: 1 + rng.below(30) as u16 },
        70..=76 => Action::Head(place),
        77..=79 => Action::Resolve(place),
        80 | 81 => Action::ListTenants(rng.below(options.shards_max.into()) as u16),
        82 | 83 => Action::ListStreams(tenant),
        84 | 85 => Action::CreateTenant(tenant),
        86..=88 => Action::CreateStream(place),
        89 | 90 => Action::DeleteStream(place),
        91 if rng.chance(options.tenant_deletions) => Action::DeleteTenant(tenant),
        91 => Action::AppendToDeleted(place),
        92 | 93 => Action::Detach,
        _ => Action::Pause(rng.below(12_000_000)),
    };
    Step { client, action }
}

/// Some of the numbers below `end`, each with a chance.
fn some(rng: &mut Rng, end: u8, per_million: u32) -> Vec<u8> {
    (0..end).filter(|_| rng.chance(per_million)).collect()
}

/// Puts changes of keys, and erasures, in the place of some steps.
fn draw_keys(rng: &mut Rng, options: &Options, steps: &mut [Step]) {
    for step in steps {
        if !rng.chance(options.keys) {
            continue;
        }
        let tenant = rng.below(options.tenants.into()) as u8;
        let place = Place { tenant, stream: rng.below(options.streams.into()) as u8 };
        step.action = match (rng.chance(options.erasures), rng.chance(700_000)) {
            (false, true) => Action::ChangeKey(tenant),
            (false, false) => Action::ChangeStreamKey(place),
            (true, true) => Action::EraseStream(place),
            (true, false) => Action::Erase(tenant),
        };
    }
}

fn draw_append(rng: &mut Rng, options: &Options, place: Place) -> Action {
    let expected = match rng.below(10) {
        0..=6 => Expected::Any,
        7 | 8 => Expected::Next,
        _ => Expected::Wrong,
    };
    let large = rng.chance(options.large);
    let count = if large { 1 } else { 1 + rng.below(4) as u16 };
    let bytes = if large { 200_000 + rng.below(800_000) as u32 } else { 16 + rng.below(400) as u32 };
    let level = match rng.below(10) {
        _ if options.levels == 0 => Asked::Tenants,
        0 => Asked::Memory,
        1 => Asked::Buffered,
        2 | 3 => Asked::Strict,
        _ => Asked::Tenants,
    };
    Action::Append { place, count, bytes, expected, level }
}

pub(crate) fn draw_policy(rng: &mut Rng) -> Policy {
    match rng.below(6) {
        0 | 1 => Policy::Memory,
        2 | 3 => Policy::Buffered { interval_ns: 1 + rng.below(20_000_000), records: 1 + rng.below(200) as u32 },
        4 if rng.coin() => Policy::EveryRecord,
        4 => Policy::EveryBatch,
        _ => Policy::Group { max_delay_ns: rng.below(3_000_000) },
    }
}
