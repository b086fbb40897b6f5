//! The kinds of runs: which faults there are, how many shards, how much of what.

use crate::level::Policy;
use crate::plan::draw_policy;
use iobackend::sim::{FaultKind, FaultRates, Rng, Zone, ZoneSet};

/// A kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// No fault, no crash: what is left is the scheduling.
    Calm,
    /// The process dies and the power goes, at any operation.
    Crashes,
    /// The machine goes down while the directory is being opened, time and again.
    Openings,
    /// Operations fail, are short, slow, or find no space; and crashes.
    Errors,
    /// Bytes rot, writes are lost or go astray, sectors are not given back, files vanish; and crashes.
    Rot,
    /// Flushes lie; and crashes. Beyond the promise: what is checked is that nothing false is given.
    Liar,
    /// The number of shards changes at most openings; and crashes.
    Shards,
    /// Large records, so that segments are filled and left; slow writes, and crashes.
    Large,
    /// Tenants and operations ask for other levels of durability; and crashes.
    Levels,
    /// Older copies are put back, and clones are written to.
    Copies,
    /// All of it at once.
    Everything,
}

impl Scenario {
    /// All kinds.
    pub const ALL: [Scenario; 11] = [
        Scenario::Calm,
        Scenario::Crashes,
        Scenario::Openings,
        Scenario::Errors,
        Scenario::Rot,
        Scenario::Liar,
        Scenario::Shards,
        Scenario::Large,
        Scenario::Levels,
        Scenario::Copies,
        Scenario::Everything,
    ];

    /// The scenario of a seed, where none is asked for.
    #[must_use]
    pub fn of_seed(seed: u64) -> Scenario {
        let mut rng = Rng::new(seed).fork("scenario");
        match rng.below(20) {
            0 => Scenario::Calm,
            1 | 2 => Scenario::Crashes,
            3 => Scenario::Openings,
            4 | 5 => Scenario::Levels,
            6..=8 => Scenario::Errors,
            9..=11 => Scenario::Rot,
            12 => Scenario::Liar,
            13..=15 => Scenario::Shards,
            16 => Scenario::Large,
            17 => Scenario::Copies,
            _ => Scenario::Everything,
        }
    }

    /// Its name, as in `--scenario`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Calm => "calm",
            Scenario::Crashes => "crashes",
            Scenario::Openings => "openings",
            Scenario::Errors => "errors",
            Scenario::Rot => "rot",
            Scenario::Liar => "liar",
            Scenario::Shards => "shards",
            Scenario::Large => "large",
            Scenario::Levels => "levels",
            Scenario::Copies => "copies",
            Scenario::Everything => "everything",
        }
    }

    /// What it is, in a sentence.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Scenario::Calm => "no fault, no crash: only the scheduling varies",
            Scenario::Crashes => "the process dies and the power goes, at any operation",
            Scenario::Openings => "the machine goes down while the directory is being opened, time and again",
            Scenario::Errors => "operations fail, are short, slow, or find no space; and crashes",
            Scenario::Rot => "bytes rot, writes are lost or go astray, files vanish; and crashes",
            Scenario::Liar => "flushes lie, and the power goes: beyond the promise, but nothing false is given",
            Scenario::Shards => "the number of shards changes at most openings; and crashes",
            Scenario::Large => "large records, so that segments are filled and left; and crashes",
            Scenario::Levels => "tenants and operations ask for other levels of durability; and crashes",
            Scenario::Copies => "older copies of the directory are put back, clones are written to",
            Scenario::Everything => "all of it at once",
        }
    }

    /// The scenario of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Scenario> {
        Scenario::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    /// The kinds of faults that its runs are made to have. A power cut may tear and reorder writes in any of them.
    #[must_use]
    pub fn faults(self) -> Vec<FaultKind> {
        let (crashes, errors, rot) =
            (CRASHES.map(|(kind, _)| kind), ERRORS.map(|(kind, _)| kind), ROT.map(|(kind, _)| kind));
        let (openings, overtaken) = (OPENINGS.map(|(kind, _)| kind), OVERTAKEN.map(|(kind, _)| kind));
        let down = [FaultKind::TornAtSector, FaultKind::PowerCut, FaultKind::Kill, FaultKind::EntryLost];
        let copies = [FaultKind::OlderCopy, FaultKind::Clone];
        let at_rest = [FaultKind::FilesSwapped, FaultKind::Forged];
        let parts: &[&[FaultKind]] = match self {
            Scenario::Calm => &[],
            Scenario::Crashes => &[&crashes],
            Scenario::Openings => &[&openings, &[FaultKind::EntryLost]],
            Scenario::Errors => &[&down, &errors],
            Scenario::Rot => &[&down, &rot, &at_rest],
            Scenario::Liar => &[&down, &[FaultKind::LyingFlush]],
            Scenario::Large => &[&down, &overtaken],
            Scenario::Shards | Scenario::Levels => &[&down],
            Scenario::Copies => &[&down, &copies],
            Scenario::Everything => &[&crashes, &errors, &rot, &at_rest, &copies],
        };
        FaultKind::ALL.into_iter().filter(|kind| parts.iter().any(|part| part.contains(kind))).collect()
    }

    /// The options of one run. Each is drawn anew, also which of its faults a run has at all: faults that are always
    /// there hide those that need a quiet moment.
    pub(crate) fn draw(self, rng: &mut Rng) -> Options {
        let mut options = Options {
            clients: 1 + rng.below(4) as u8,
            window: [1, 2, 8, 64][rng.below(4) as usize],
            tenants: 1 + rng.below(5) as u8,
            streams: 1 + rng.below(4) as u8,
            shards_max: 1 + rng.below(3) as u16,
            epochs: 3 + rng.below(4) as u32,
            steps: 120 + rng.below(160) as u32,
            crashes: true,
            reshard: 200_000,
            injuries: 0,
            forgeries: 0,
            copies: 0,
            clock_jumps: 150_000,
            large: 2_000,
            tenant_deletions: 300_000,
            policy: Policy::NATURAL,
            levels: 0,
            keys: 25_000,
            erasures: 150_000,
            rates: FaultRates::none(),
            corruptions_max: 0,
        };
        match self {
            Scenario::Calm => options.crashes = false,
            Scenario::Crashes => options.spread(rng, &CRASHES),
            Scenario::Openings => {
                (options.epochs, options.steps) = (8 + rng.below(8) as u32, 40 + rng.below(40) as u32);
                options.spread(rng, &OPENINGS);
                let manifest = ZoneSet::of(&[Zone::ManifestA, Zone::ManifestB]);
                for (kind, _) in OPENINGS {
                    options.rates = options.rates.only_in(kind, manifest);
                }
            }
            Scenario::Errors => options.spread(rng, &ERRORS),
            Scenario::Rot => options.rot(rng),
            Scenario::Liar => {
                options.corruptions_max = 4;
                options.spread(rng, &[(FaultKind::LyingFlush, 20_000)]);
            }
            Scenario::Shards => {
                (options.shards_max, options.reshard, options.tenants) = (4, 900_000, 4 + rng.below(4) as u8);
                options.epochs = 5 + rng.below(4) as u32;
            }
            Scenario::Large => {
                (options.large, options.steps) = (500_000, 80 + rng.below(80) as u32);
                options.spread(rng, &OVERTAKEN);
            }
            Scenario::Levels => options.levels(rng),
            Scenario::Copies => options.copies = 800_000,
            Scenario::Everything => {
                options.spread(rng, &CRASHES);
                options.spread(rng, &ERRORS);
                options.rot(rng);
                if rng.coin() {
                    options.levels(rng);
                }
                (options.copies, options.reshard, options.large) = (200_000, 400_000, 20_000);
            }
        }
        options
    }
}

const CRASHES: [(FaultKind, u32); 6] = [
    (FaultKind::TornAtSector, 20_000),
    (FaultKind::TornInSector, 20_000),
    (FaultKind::Reordered, 40_000),
    (FaultKind::PowerCut, 3_000),
    (FaultKind::Kill, 3_000),
    (FaultKind::EntryLost, 40_000),
];

/// Slow operations, which others overtake, and power cuts while they last.
const OVERTAKEN: [(FaultKind, u32); 2] = [(FaultKind::SlowIo, 200_000), (FaultKind::PowerCut, 10_000)];

/// Of operations on the manifest.
const OPENINGS: [(FaultKind, u32); 4] = [
    (FaultKind::TornAtSector, 200_000),
    (FaultKind::TornInSector, 400_000),
    (FaultKind::PowerCut, 100_000),
    (FaultKind::Kill, 100_000),
];

const ERRORS: [(FaultKind, u32); 7] = [
    (FaultKind::ShortWrite, 10_000),
    (FaultKind::WriteError, 10_000),
    (FaultKind::NoSpace, 20_000),
    (FaultKind::SlowIo, 20_000),
    (FaultKind::FlushErrorOnce, 20_000),
    (FaultKind::OpenError, 20_000),
    (FaultKind::ShortRead, 20_000),
];

const ROT: [(FaultKind, u32); 8] = [
    (FaultKind::LostWrite, 20_000),
    (FaultKind::MisdirectedWrite, 20_000),
    (FaultKind::DuplicatedWrite, 20_000),
    (FaultKind::BitFlip, 20_000),
    (FaultKind::MisdirectedRead, 20_000),
    (FaultKind::StaleRead, 20_000),
    (FaultKind::LatentSector, 20_000),
    (FaultKind::FileLost, 200_000),
];

/// What a run is drawn from. Chances are per million.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) clients: u8,
    pub(crate) window: u16,
    pub(crate) tenants: u8,
    pub(crate) streams: u8,
    pub(crate) shards_max: u16,
    pub(crate) epochs: u32,
    pub(crate) steps: u32,
    pub(crate) crashes: bool,
    /// That an opening has another number of shards.
    pub(crate) reshard: u32,
    /// That the disk is injured between two openings.
    pub(crate) injuries: u32,
    /// That a forger is at it between two openings, and no other injury is done.
    pub(crate) forgeries: u32,
    /// That a copy is made, put back, or written to between two openings.
    pub(crate) copies: u32,
    /// That the wall clock jumps between two openings.
    pub(crate) clock_jumps: u32,
    /// That an append is a large one.
    pub(crate) large: u32,
    /// That what would delete a tenant does.
    pub(crate) tenant_deletions: u32,
    pub(crate) policy: Policy,
    /// That a step sets a policy, or has everything flushed; appends ask for levels if it is not 0.
    pub(crate) levels: u32,
    /// That a step changes a key, or erases.
    pub(crate) keys: u32,
    /// That such a step erases.
    pub(crate) erasures: u32,
    pub(crate) rates: FaultRates,
    pub(crate) corruptions_max: u32,
}

impl Options {
    /// Takes each of these kinds with even chances, at up to its rate.
    fn spread(&mut self, rng: &mut Rng, kinds: &[(FaultKind, u32)]) {
        for &(kind, most) in kinds {
            if rng.coin() {
                self.rates = self.rates.with(kind, 1 + rng.below(most.into()) as u32);
            }
        }
    }

    fn levels(&mut self, rng: &mut Rng) {
        self.levels = 60_000;
        if rng.chance(700_000) {
            self.policy = draw_policy(rng);
        }
    }

    /// One corruption in most runs: two at once may hide each other's traces, which no engine can tell apart. Never in both
    /// copies of the manifest.
    fn rot(&mut self, rng: &mut Rng) {
        self.corruptions_max = 1 + u32::from(rng.chance(200_000));
        (self.injuries, self.forgeries) = (400_000, 100_000);
        self.spread(rng, &ROT);
        let spared = ZoneSet::except(&[Zone::ManifestB]);
        for (kind, _) in ROT {
            self.rates = self.rates.only_in(kind, spared);
        }
    }
}
