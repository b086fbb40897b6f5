//! Every place instead of random ones: each I/O of small workloads failed, torn or cut by a crash; each byte of a finished directory
//! flipped, each length cut.
//!
//! A workload is run with one fault at its first operation, then at its second, and so on until the run ends before the fault
//! comes. After each the same laws hold as in any run.

use crate::level::{Asked, Policy};
use crate::plan::{Action, End, Epoch, Expected, Place, Plan, Step};
use crate::scenario::Scenario;
use crate::world::{self, Finished, Run, run};
use iobackend::sim::{FaultKind, FaultRates, Script};
use std::ops::Range;

/// A small run without faults.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub plan: Plan,
}

/// The faults that are put at every operation: those that must be survived, and two that must be detected. Not reordered
/// writes: these workloads never leave two unflushed writes that change anything, so it could strike none of their operations.
pub const KINDS: [FaultKind; 13] = [
    FaultKind::PowerCut,
    FaultKind::Kill,
    FaultKind::TornAtSector,
    FaultKind::TornInSector,
    FaultKind::EntryLost,
    FaultKind::WriteError,
    FaultKind::ShortWrite,
    FaultKind::NoSpace,
    FaultKind::FlushErrorOnce,
    FaultKind::OpenError,
    FaultKind::ShortRead,
    FaultKind::LostWrite,
    FaultKind::LatentSector,
];

/// A directory is spoilt at so many places that no more than this is read back in all; of more, some are taken, evenly spread.
/// A small workload's directory is spoilt at each of its bytes.
pub const BYTES_READ_BACK_MAX: u64 = 4 << 30;

/// What a loop came to.
#[derive(Clone, Debug)]
pub struct Looped {
    /// The workload.
    pub workload: &'static str,
    /// The fault.
    pub kind: FaultKind,
    /// Operations at which it was put.
    pub tried: u64,
    /// Operations that it can strike, and did.
    pub struck: u64,
    /// The runs that went wrong: the operation, and the first violation.
    pub failures: Vec<(u64, String)>,
}

/// The workloads: what an engine does in its life, each as short as it can be.
#[must_use]
pub fn workloads() -> Vec<Workload> {
    let append = |stream: u8, count: u16, bytes: u32| Action::Append {
        place: Place { tenant: 0, stream },
        count,
        bytes,
        expected: Expected::Any,
        level: Asked::Tenants,
    };
    let other = Action::Append {
        place: Place { tenant: 1, stream: 0 },
        count: 2,
        bytes: 60,
        expected: Expected::Next,
        level: Asked::Tenants,
    };
    let read = Action::Read { place: Place { tenant: 0, stream: 0 }, back: 3, max: 5 };
    // What a step needs and does not find is asked for in its stead, so each stream takes a tenant, a stream, then records.
    let begin = [append(0, 1, 40), append(0, 1, 40), append(0, 2, 40)];
    let quiet = Action::Pause(8_000_000);
    let workload = |name, epochs: Vec<(u16, Vec<Action>, End)>| {
        let epoch = |(shards, actions, end): (u16, Vec<Action>, End)| Epoch {
            shards,
            clock_jump_ns: 0,
            crash: None,
            steps: actions.into_iter().map(|action| Step { client: 0, action }).collect(),
            end,
            meanwhile: Vec::new(),
        };
        Workload { name, plan: calm(epochs.into_iter().map(epoch).collect()) }
    };
    let with = |more: &[Action]| begin.iter().chain(more).copied().collect::<Vec<_>>();
    vec![
        workload("the first records", vec![(1, with(&[read, append(0, 3, 3_000)]), End::Close)]),
        workload(
            "quiet, then killed",
            vec![(1, with(&[quiet]), End::Kill), (1, vec![append(0, 2, 100), read], End::Close)],
        ),
        workload(
            "closed, and opened again",
            vec![(1, with(&[]), End::Close), (1, vec![append(0, 1, 50), quiet, append(0, 1, 50)], End::PowerCut)],
        ),
        workload(
            "streams come and go",
            vec![
                (
                    1,
                    with(&[
                        append(1, 1, 30),
                        append(1, 1, 30),
                        Action::DeleteStream(Place { tenant: 0, stream: 1 }),
                        append(1, 1, 30),
                        Action::ListStreams(0),
                    ]),
                    End::Kill,
                ),
                (1, vec![append(1, 1, 30), Action::DeleteTenant(0), other, other, other], End::Close),
            ],
        ),
        workload(
            "keys change, and data is erased",
            vec![
                (
                    1,
                    with(&[
                        append(1, 1, 30),
                        append(1, 1, 30),
                        Action::ChangeKey(0),
                        append(0, 1, 40),
                        Action::EraseStream(Place { tenant: 0, stream: 1 }),
                        append(0, 1, 40),
                    ]),
                    End::Kill,
                ),
                (2, vec![append(0, 1, 30), read, Action::Erase(0), append(0, 1, 30), other, other, other], End::Close),
            ],
        ),
        workload(
            "another number of shards",
            vec![
                (2, with(&[other, other, other]), End::Close),
                (1, vec![append(0, 2, 80), other, read], End::PowerCut),
                (3, vec![append(0, 2, 80), other, read], End::Close),
            ],
        ),
        workload(
            "a segment is full",
            vec![
                (1, with(&[append(0, 1, 900_000); 6]), End::PowerCut),
                (1, vec![append(0, 1, 900_000), read], End::Close),
            ],
        ),
    ]
}

fn calm(epochs: Vec<Epoch>) -> Plan {
    Plan {
        seed: 1,
        scenario: Scenario::Calm,
        clients: 1,
        window: 2,
        policy: Policy::NATURAL,
        clear: vec![1],
        own_keys: vec![1],
        rates: FaultRates::none(),
        corruptions_max: 0,
        scripts: Vec::new(),
        epochs,
    }
}

/// Runs a workload with one fault at every `stride`th operation, until it ends before the fault comes; `watch` is told after each.
#[must_use]
pub fn at_every_operation(workload: &Workload, kind: FaultKind, stride: u64, mut watch: impl FnMut(&Run)) -> Looped {
    let mut looped = Looped { workload: workload.name, kind, tried: 0, struck: 0, failures: Vec::new() };
    for at in (0..).step_by(stride.max(1) as usize) {
        let plan = Plan { scripts: vec![Script { at, fault: kind }], ..workload.plan.clone() };
        let result = run(&plan, false);
        watch(&result);
        looped.tried += 1;
        looped.struck += u64::from(!result.faults.is_empty());
        if let Some(violation) = result.violations.first() {
            looped.failures.push((at, violation.clone()));
        }
        if result.coverage.operations <= at {
            break;
        }
    }
    looped
}

/// How a finished directory is spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// One bit of a byte is another.
    Flip,
    /// A file ends before the byte.
    Cut,
}

/// What spoiling a directory came to.
#[derive(Clone, Debug)]
pub struct Spoilt {
    /// The workload that made the directory.
    pub workload: &'static str,
    /// What was done to it.
    pub spoil: Spoil,
    /// Bytes at which it was done.
    pub tried: u64,
    /// Directories that did not open, and said why.
    pub refused: u64,
    /// Those of which something was named as damaged.
    pub named: u64,
    /// Those that were as before: what was spoilt is of no use, or there is a second copy.
    pub whole: u64,
    /// The file and byte, and the first violation.
    pub failures: Vec<(String, u64, String)>,
}

/// Spoils every `stride`th byte of the directory that a workload leaves, one at a time, opens what is left, and holds it against what
/// was acknowledged: nothing may be lost, or wrong, without being named.
#[must_use]
pub fn at_every_byte(workload: &Workload, spoil: Spoil, stride: u64, mut watch: impl FnMut(u64)) -> Spoilt {
    let mut plan = workload.plan.clone();
    if let Some(last) = plan.epochs.last_mut() {
        last.end = End::Close;
    }
    let finished = Finished::of(&plan);
    let mut spoilt =
        Spoilt { workload: workload.name, spoil, tried: 0, refused: 0, named: 0, whole: 0, failures: Vec::new() };
    for (name, at) in places(&finished, spoil, stride) {
        let outcome = finished.spoil(&name, at, spoil == Spoil::Cut);
        spoilt.tried += 1;
        match outcome {
            world::Outcome::Refused => spoilt.refused += 1,
            world::Outcome::Named => spoilt.named += 1,
            world::Outcome::Whole => spoilt.whole += 1,
            world::Outcome::Wrong(violation) => spoilt.failures.push((name, at, violation)),
        }
        watch(spoilt.tried);
    }
    spoilt
}

/// Bytes of files that hold anything; for cuts, all up to the last of them.
fn places(finished: &Finished<'_>, spoil: Spoil, stride: u64) -> Vec<(String, u64)> {
    let whole = |(name, stored, len): (String, Vec<Range<u64>>, u64)| match spoil {
        Spoil::Flip => (name, stored),
        Spoil::Cut => {
            let end = stored.last().map_or(0, |range| range.end.min(len));
            (name, std::iter::once(0..end).collect())
        }
    };
    let files: Vec<(String, Vec<Range<u64>>)> = finished.files().into_iter().map(whole).collect();
    let bytes: u64 = files.iter().flat_map(|(_, ranges)| ranges).map(|range| range.end - range.start).sum();
    let places_max = (BYTES_READ_BACK_MAX / bytes.max(1)).max(1);
    let spread = stride.max(bytes.div_ceil(places_max)).max(1) as usize;
    let of_file = |(name, ranges): (String, Vec<Range<u64>>)| {
        ranges.into_iter().flat_map(move |range| range.step_by(spread)).map(move |at| (name.clone(), at))
    };
    files.into_iter().flat_map(of_file).collect()
}
