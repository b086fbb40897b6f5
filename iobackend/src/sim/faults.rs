//! What can go wrong: kinds, how often, where, by script, and the account of what did.

use std::fmt;
use std::ops::Range;

use super::random::Rng;
use super::trace::Action;
use super::zone::{Zone, ZoneSet};
use crate::op::FileName;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// A way in which a disk, or the machine around it, fails.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// All kinds, in the order in which [`SimDisk::fired`](super::SimDisk::fired) counts them.
            pub const ALL: [FaultKind; [$(FaultKind::$kind),*].len()] = [$(FaultKind::$kind),*];

            /// The kind's name in reports, such as `torn-at-sector`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A power cut leaves some sectors of a write new and some old. As a fault: the power goes at this write, and leaves it so.
    TornAtSector = "torn-at-sector",
    /// A power cut leaves a sector old on one side of a byte and new on the other. As a fault: the power goes at this write.
    TornInSector = "torn-in-sector",
    /// A power cut leaves an unflushed write and not one before it. As a fault: the power goes at this write.
    Reordered = "reordered",
    /// A write completes and never happens.
    LostWrite = "lost-write",
    /// A write lands elsewhere, in the same file or another.
    MisdirectedWrite = "misdirected-write",
    /// A write happens a second time, some operations later.
    DuplicatedWrite = "duplicated-write",
    /// A part of a write is done, and it says so.
    ShortWrite = "short-write",
    /// A write ends with EIO; some of its sectors may be written.
    WriteError = "write-error",
    /// A write or an allocation finds no space; what makes a file longer may find none for some operations more.
    NoSpace = "no-space",
    /// An operation takes seconds.
    SlowIo = "slow-io",
    /// A stored bit changes, and stays so.
    BitFlip = "bit-flip",
    /// One read gives a page that was written elsewhere.
    MisdirectedRead = "misdirected-read",
    /// One read gives sectors as they were before their last write.
    StaleRead = "stale-read",
    /// A sector is not given back (EIO) until it is written again.
    LatentSector = "latent-sector",
    /// One read gives fewer bytes than there are.
    ShortRead = "short-read",
    /// A flush fails once; of what it should have made durable, some is, some never will be, and the next flush succeeds.
    FlushErrorOnce = "flush-error-once",
    /// A flush, or the flush of a durable write, succeeds and makes nothing durable.
    LyingFlush = "lying-flush",
    /// The power goes at an operation.
    PowerCut = "power-cut",
    /// The process dies at an operation.
    Kill = "kill",
    /// A file vanishes in a power cut. The rate is of power cuts.
    FileLost = "file-lost",
    /// A power cut takes a name that was not flushed. As a fault: the power goes at this operation, and takes all of them.
    EntryLost = "entry-lost",
    /// A file cannot be opened: EIO, or too many are open (EMFILE).
    OpenError = "open-error",
    /// An older copy of the directory is put back ([`SimDisk::restore`](super::SimDisk::restore)).
    OlderCopy = "older-copy",
    /// A second machine has a copy of the directory ([`SimDisk::from_image`](super::SimDisk::from_image)).
    Clone = "clone",
    /// Two files change places, while nobody uses them ([`SimDisk::swap_files`](super::SimDisk::swap_files)).
    FilesSwapped = "files-swapped",
    /// Bytes are changed by somebody who knows what they mean ([`SimDisk::overwrite`](super::SimDisk::overwrite)).
    Forged = "forged",
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many kinds there are.
pub const KINDS: usize = FaultKind::ALL.len();

impl FaultKind {
    /// Whether it spoils what was written, or what is read, without an error at the time: what a run may have only so much of.
    #[must_use]
    pub fn is_corruption(self) -> bool {
        matches!(
            self,
            Self::LostWrite
                | Self::MisdirectedWrite
                | Self::DuplicatedWrite
                | Self::BitFlip
                | Self::MisdirectedRead
                | Self::StaleRead
                | Self::LatentSector
                | Self::LyingFlush
                | Self::FileLost
                | Self::FilesSwapped
                | Self::Forged
        )
    }

    /// Whether it takes the machine or the process down.
    pub(super) fn is_crash(self) -> bool {
        matches!(
            self,
            Self::TornAtSector
                | Self::TornInSector
                | Self::Reordered
                | Self::PowerCut
                | Self::Kill
                | Self::FileLost
                | Self::EntryLost
        )
    }

    /// Whether it hits a place in a file, found when the operation is carried out, and not the operation as a whole.
    pub(super) fn is_of_a_page(self) -> bool {
        matches!(self, Self::BitFlip | Self::MisdirectedRead | Self::StaleRead | Self::LatentSector)
    }

    /// Whether it can strike an operation of this sort. For a script: by rate, a lost file goes with a power cut.
    pub(super) fn can_strike(self, action: Action, durable: bool) -> bool {
        let write = action == Action::Write;
        match self {
            Self::TornAtSector
            | Self::TornInSector
            | Self::Reordered
            | Self::LostWrite
            | Self::MisdirectedWrite
            | Self::DuplicatedWrite
            | Self::ShortWrite
            | Self::WriteError => write,
            Self::NoSpace => write || action == Action::Allocate,
            Self::SlowIo => action.is_queued(),
            Self::BitFlip | Self::MisdirectedRead | Self::StaleRead | Self::LatentSector | Self::ShortRead => {
                action == Action::Read
            }
            Self::FlushErrorOnce => action.flushes(),
            Self::LyingFlush => matches!(action, Action::Flush | Action::FlushDirectory) || write && durable,
            Self::PowerCut | Self::Kill | Self::FileLost | Self::EntryLost => true,
            Self::OpenError => action == Action::Open,
            Self::OlderCopy | Self::Clone | Self::FilesSwapped | Self::Forged => false,
        }
    }
}

/// How often each kind strikes, per million of the operations that it can strike, and in which zones. Starts with none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRates {
    rate: [u32; KINDS],
    zones: [ZoneSet; KINDS],
}

impl Default for FaultRates {
    fn default() -> Self {
        Self::none()
    }
}

impl FaultRates {
    /// No fault at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { rate: [0; KINDS], zones: [ZoneSet::ALL; KINDS] }
    }

    /// The same with another rate for one kind.
    #[must_use]
    pub fn with(mut self, kind: FaultKind, per_million: u32) -> Self {
        self.rate[kind as usize] = per_million;
        self
    }

    /// The same with one kind held to some zones.
    #[must_use]
    pub fn only_in(mut self, kind: FaultKind, zones: ZoneSet) -> Self {
        self.zones[kind as usize] = zones;
        self
    }

    /// A kind's rate.
    #[must_use]
    pub fn rate(&self, kind: FaultKind) -> u32 {
        self.rate[kind as usize]
    }

    /// Where a kind may strike.
    #[must_use]
    pub fn zones(&self, kind: FaultKind) -> ZoneSet {
        self.zones[kind as usize]
    }
}

/// One fault at one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// Which operation, counted from the call of [`SimDisk::script`](super::SimDisk::script): 0 is the next one. Operations
    /// and control calls of all backends that are alive count.
    pub at: u64,
    /// What is to happen to it.
    pub fault: FaultKind,
}

/// What became of a [`Script`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptState {
    /// Its operation has not come, or not been carried out.
    Waiting,
    /// It struck.
    Fired,
    /// Its operation came, and was none that it can strike; it will not strike another.
    Missed,
}

/// What a fault did to which bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injury {
    /// What struck.
    pub kind: FaultKind,
    /// The file; the directory, where a flush of one lied.
    pub file: FileName,
    /// First byte, and the byte after the last.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
    /// Virtual time, in nanoseconds.
    pub time: u64,
    /// Whether the medium holds other bytes than it should; else one operation was told something wrong.
    pub persistent: bool,
}

impl Injury {
    /// The bytes that were hit.
    #[must_use]
    pub fn bytes(&self) -> Range<u64> {
        self.start..self.end
    }
}

/// A fault that was drawn for an operation, or that a script asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strike {
    pub(super) kind: FaultKind,
    /// Which script.
    pub(super) script: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Faults {
    pub(super) rates: FaultRates,
    /// With the number of the operation instead of the distance to it.
    pub(super) scripts: Vec<(Script, u64, ScriptState)>,
    pub(super) fired: [u64; KINDS],
    pub(super) injuries: Vec<Injury>,
    /// What struck which operation.
    pub(super) strikes: Vec<Script>,
    /// Faults that corrupt, so far, and how many there may be by rate.
    corruptions: u32,
    corruptions_max: u32,
    pub(super) rng: Rng,
}

impl Faults {
    pub(super) fn new(rng: Rng, corruptions_max: u32) -> Self {
        Self {
            rates: FaultRates::none(),
            scripts: Vec::new(),
            fired: [0; KINDS],
            injuries: Vec::new(),
            strikes: Vec::new(),
            corruptions: 0,
            corruptions_max,
            rng,
        }
    }

    /// What is to strike operation `number`, if anything.
    pub(super) fn choose(&mut self, number: u64, action: Action, durable: bool, zone: Zone) -> Option<Strike> {
        let mut chosen = None;
        for (index, (script, at, state)) in self.scripts.iter_mut().enumerate() {
            if *at != number || *state != ScriptState::Waiting {
                continue;
            }
            if chosen.is_none() && script.fault.can_strike(action, durable) {
                chosen = Some(Strike { kind: script.fault, script: Some(index) });
            } else {
                *state = ScriptState::Missed;
            }
        }
        chosen.or_else(|| self.draw(action, durable, zone))
    }

    fn draw(&mut self, action: Action, durable: bool, zone: Zone) -> Option<Strike> {
        for kind in FaultKind::ALL {
            let rate = self.rates.rate(kind);
            let fits = rate > 0
                && kind != FaultKind::FileLost
                && kind.can_strike(action, durable)
                && (kind.is_of_a_page() || self.rates.zones(kind).contains(zone))
                && self.may_corrupt(kind);
            if fits && self.rng.chance(rate) {
                return Some(Strike { kind, script: None });
            }
        }
        None
    }

    /// Whether there is room in the budget for another of this kind.
    pub(super) fn may_corrupt(&self, kind: FaultKind) -> bool {
        !kind.is_corruption() || self.corruptions < self.corruptions_max
    }

    /// Whether a strike may hit this zone: a script goes everywhere.
    pub(super) fn reaches(&self, strike: Strike, zone: Zone) -> bool {
        strike.script.is_some() || self.rates.zones(strike.kind).contains(zone)
    }

    pub(super) fn count(&mut self, kind: FaultKind) {
        self.fired[kind as usize] += 1;
        self.corruptions += u32::from(kind.is_corruption());
    }

    /// A script whose operation is over without it has missed.
    pub(super) fn close(&mut self, strike: Option<Strike>) {
        if let Some(script) = strike.and_then(|strike| strike.script).map(|index| &mut self.scripts[index])
            && script.2 == ScriptState::Waiting
        {
            script.2 = ScriptState::Missed;
        }
    }

    /// Notes whether a strike hit.
    pub(super) fn end(&mut self, strike: Strike, hit: bool) {
        if hit {
            self.count(strike.kind);
        }
        if let Some(index) = strike.script {
            self.scripts[index].2 = if hit { ScriptState::Fired } else { ScriptState::Missed };
        }
    }

    pub(super) fn injure(&mut self, kind: FaultKind, file: FileName, bytes: Range<u64>, time: u64, persistent: bool) {
        self.injuries.push(Injury { kind, file, start: bytes.start, end: bytes.end, time, persistent });
    }
}
