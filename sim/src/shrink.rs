//! Makes a plan that fails smaller: as few openings, clients, steps and faults as still fail in the same way.
//!
//! Parts of the plan are taken out by delta debugging: the algorithm ddmin of Zeller and Hildebrandt, "Simplifying and Isolating
//! Failure-Inducing Input", IEEE Transactions on Software Engineering 28(2), 2002. It halves, then quarters, and so on, until
//! no single part can go.
//!
//! What a plan leaves open is drawn from its seed, so a smaller plan is scheduled another way, and may pass although its bug is
//! still in reach. Hence a candidate that passes is tried with other seeds, too. And faults that came by rates are turned into
//! scripts, operation by operation, as soon as a plan still fails with those: then chance has no part in them, and each can be
//! taken out for itself.
//!
//! What must stay true: the plan that comes out fails, as the last verdict on it said; the search ends after so many runs as
//! it was given, however small the plan is then.

use crate::level::{Asked, Policy};
use crate::payload::PAYLOAD_MIN;
use crate::plan::{Action, End, Expected, Plan, Step};
use iobackend::sim::{FaultKind, FaultRates, Rng, Script};

/// What a run that fails in the way that is looked for came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What it did that must not be.
    pub violation: String,
    /// What struck which operation.
    pub faults: Vec<Script>,
    /// Operations of the disk.
    pub operations: u64,
}

/// What is said of a candidate.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It fails in the same way.
    Fails(Failed),
    /// It does not.
    Passes,
    /// No more candidates are wanted.
    Stop,
}

/// A plan that was made smaller.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// What its run came to.
    pub failed: Failed,
    /// Runs that were judged.
    pub runs: u64,
    /// Nothing more can be taken out of it alone; else the search was ended before.
    pub complete: bool,
}

/// Seeds with which a candidate is tried.
const SEEDS: u64 = 3;
/// The same for plans of few steps: their runs are short, and much depends on who moves when.
const SEEDS_OF_SMALL: u64 = 10;
/// Steps of such a plan, at the most.
const SMALL: usize = 12;

/// The sort of a violation: its text, with each number as `#`.
#[must_use]
pub fn sort_of(violation: &str) -> String {
    let mut sort = String::with_capacity(violation.len());
    for c in violation.chars() {
        match c {
            '0'..='9' if sort.ends_with('#') => {}
            '0'..='9' => sort.push('#'),
            c => sort.push(c),
        }
    }
    sort
}

/// Makes a plan smaller in at most `runs_max` runs. `None` if it does not fail as it is.
pub fn shrink(plan: &Plan, runs_max: u64, judge: impl FnMut(&Plan) -> Verdict) -> Option<Shrunk> {
    let Search { best, failed, runs, stopped, .. } = search(plan, runs_max, judge)?;
    Some(Shrunk { plan: best, failed, runs, complete: !stopped })
}

fn search<J: FnMut(&Plan) -> Verdict>(plan: &Plan, runs_max: u64, mut judge: J) -> Option<Search<J>> {
    let Verdict::Fails(failed) = judge(plan) else {
        return None;
    };
    let mut search = Search { best: plan.clone(), failed, judge, runs: 1, runs_max, stopped: false };
    let mut scripted = false;
    loop {
        let before = search.best.clone();
        search.coarse();
        search.steps();
        search.circumstances();
        if !scripted {
            scripted = search.script();
        }
        search.scripts();
        search.numbers();
        if search.stopped || search.best == before {
            return Some(search);
        }
    }
}

/// The smallest plan so far, and what is left to spend on a smaller one.
struct Search<J> {
    best: Plan,
    failed: Failed,
    judge: J,
    runs: u64,
    runs_max: u64,
    stopped: bool,
}

impl<J: FnMut(&Plan) -> Verdict> Search<J> {
    /// Whether a candidate fails, with its seed or another; then it is the smallest plan so far.
    fn accept(&mut self, mut candidate: Plan) -> bool {
        let mut seeds = Rng::new(candidate.seed).fork("shrink");
        let tries = if candidate.steps() > SMALL { SEEDS } else { SEEDS_OF_SMALL };
        for _ in 0..tries {
            if self.stopped || self.runs == self.runs_max {
                self.stopped = true;
                return false;
            }
            self.runs += 1;
            match (self.judge)(&candidate) {
                Verdict::Fails(failed) => {
                    (self.best, self.failed) = (candidate, failed);
                    return true;
                }
                Verdict::Passes => candidate.seed = seeds.below(1_000_000),
                Verdict::Stop => self.stopped = true,
            }
        }
        false
    }

    /// ddmin over parts of a plan: `keep` gives a plan that has these of the parts alone.
    fn minimize<T: Clone>(&mut self, mut parts: Vec<T>, keep: impl Fn(&Plan, &[T]) -> Plan) {
        if parts.is_empty() || self.accept(keep(&self.best, &[])) {
            return;
        }
        let mut pieces = 2;
        while parts.len() > 1 && !self.stopped {
            let size = parts.len().div_ceil(pieces);
            let one = parts.chunks(size).find(|one| self.accept(keep(&self.best, one))).map(<[T]>::to_vec);
            if let Some(one) = one {
                (parts, pieces) = (one, 2);
                continue;
            }
            let without = |at: usize| {
                let chunks = parts.chunks(size).enumerate().filter(|(chunk, _)| *chunk != at);
                chunks.flat_map(|(_, chunk)| chunk.iter().cloned()).collect::<Vec<T>>()
            };
            // Of two pieces, each is what the other leaves.
            let count = if pieces > 2 { parts.len().div_ceil(size) } else { 0 };
            let rest = (0..count).map(without).find(|rest| self.accept(keep(&self.best, rest)));
            match rest {
                Some(rest) => (parts, pieces) = (rest, (pieces - 1).max(2)),
                None if pieces >= parts.len() => return,
                None => pieces = (pieces * 2).min(parts.len()),
            }
        }
    }

    /// Whole openings, all that is done to a tenant, all that a client does.
    fn coarse(&mut self) {
        // The parts are whole openings, so that it does not matter which went before.
        self.minimize(self.best.epochs.clone(), |plan, kept| Plan { epochs: kept.to_vec(), ..plan.clone() });
        let of = |plan: &Plan, part: &dyn Fn(&Step) -> Option<u8>| {
            let mut parts: Vec<u8> = plan.epochs.iter().flat_map(|epoch| &epoch.steps).filter_map(part).collect();
            parts.sort_unstable();
            parts.dedup();
            parts
        };
        let tenant = |step: &Step| step.action.tenant();
        self.minimize(of(&self.best, &tenant), |plan, kept| {
            plan.with_steps(|_, step| tenant(step).is_none_or(|tenant| kept.contains(&tenant)))
        });
        let client = |step: &Step| Some(step.client);
        self.minimize(of(&self.best, &client), |plan, kept| plan.with_steps(|_, step| kept.contains(&step.client)));
    }

    /// Single steps, of all openings together.
    fn steps(&mut self) {
        let steps = |plan: &Plan| -> Vec<(usize, usize)> {
            let numbered = plan.epochs.iter().enumerate();
            numbered.flat_map(|(epoch, of)| (0..of.steps.len()).map(move |step| (epoch, step))).collect()
        };
        // The parts are named by their places in this plan, so it is what they are taken from.
        let whole = self.best.clone();
        self.minimize(steps(&whole), |plan, kept| {
            let mut kept = kept.iter().peekable();
            let kept = whole.with_steps(|place, _| kept.next_if(|next| **next == place).is_some());
            Plan { seed: plan.seed, ..kept }
        });
    }

    /// Rates of faults, crashes, hard ends, jumps of the clock, and what happens between openings.
    fn circumstances(&mut self) {
        let whole = self.best.clone();
        self.minimize(circumstances(&whole), |plan, kept| {
            let mut left = Plan { seed: plan.seed, ..whole.clone() };
            // From behind, so that what comes between openings keeps its number until its turn.
            for circumstance in circumstances(&whole).into_iter().rev() {
                if !kept.contains(&circumstance) {
                    circumstance.take_out_of(&mut left);
                }
            }
            left
        });
    }

    /// The faults that struck as scripts in the place of rates and crashes, if it still fails. Whether it does.
    fn script(&mut self) -> bool {
        let chances = circumstances(&self.best);
        if !chances.iter().any(|chance| matches!(chance, Circumstance::Rate(_) | Circumstance::Crash(_))) {
            return true;
        }
        let mut plan = Plan { scripts: self.failed.faults.clone(), rates: FaultRates::none(), ..self.best.clone() };
        plan.epochs.iter_mut().for_each(|epoch| epoch.crash = None);
        self.accept(plan)
    }

    fn scripts(&mut self) {
        let whole = self.best.scripts.clone();
        self.minimize(whole, |plan, kept| Plan { scripts: kept.to_vec(), ..plan.clone() });
    }

    /// Fewer shards, clients and requests in flight; smaller records and shorter reads; the policy that an engine has by itself.
    fn numbers(&mut self) {
        let mut one_client = Plan { clients: 1, ..self.best.clone() };
        one_client.epochs.iter_mut().flat_map(|epoch| &mut epoch.steps).for_each(|step| step.client = 0);
        let renumbered = renumbered(&self.best);
        for plan in [one_client, renumbered] {
            if plan.clients < self.best.clients && self.accept(plan) {
                break;
            }
        }
        if self.best.policy != Policy::NATURAL {
            let _simpler_or_not = self.accept(Plan { policy: Policy::NATURAL, ..self.best.clone() });
        }
        for window in [1, 2, 8] {
            if window < self.best.window && self.accept(Plan { window, ..self.best.clone() }) {
                break;
            }
        }
        let mut one_shard = self.best.clone();
        one_shard.epochs.iter_mut().for_each(|epoch| epoch.shards = 1);
        if one_shard != self.best && !self.accept(one_shard) {
            for epoch in 0..self.best.epochs.len() {
                let mut plan = self.best.clone();
                if std::mem::replace(&mut plan.epochs[epoch].shards, 1) > 1 {
                    let _smaller_or_not = self.accept(plan);
                }
            }
        }
        for epoch in 0..self.best.epochs.len() {
            for step in 0..self.best.epochs[epoch].steps.len() {
                let mut plan = self.best.clone();
                let action = &mut plan.epochs[epoch].steps[step].action;
                *action = action.simpler();
                if plan != self.best {
                    let _simpler_or_not = self.accept(plan);
                }
            }
        }
    }
}

/// A part of a plan that is no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circumstance {
    Rate(FaultKind),
    /// Each of an opening.
    Crash(usize),
    HardEnd(usize),
    ClockJump(usize),
    Meanwhile(usize, usize),
}

fn circumstances(plan: &Plan) -> Vec<Circumstance> {
    let rates = FaultKind::ALL.into_iter().filter(|kind| plan.rates.rate(*kind) > 0).map(Circumstance::Rate);
    let mut all: Vec<Circumstance> = rates.collect();
    for (number, epoch) in plan.epochs.iter().enumerate() {
        all.extend(epoch.crash.map(|_| Circumstance::Crash(number)));
        all.extend((epoch.end != End::Close).then_some(Circumstance::HardEnd(number)));
        all.extend((epoch.clock_jump_ns != 0).then_some(Circumstance::ClockJump(number)));
        all.extend((0..epoch.meanwhile.len()).map(|at| Circumstance::Meanwhile(number, at)));
    }
    all
}

impl Circumstance {
    fn take_out_of(self, plan: &mut Plan) {
        match self {
            Circumstance::Rate(kind) => plan.rates = plan.rates.with(kind, 0),
            Circumstance::Crash(epoch) => plan.epochs[epoch].crash = None,
            Circumstance::HardEnd(epoch) => plan.epochs[epoch].end = End::Close,
            Circumstance::ClockJump(epoch) => plan.epochs[epoch].clock_jump_ns = 0,
            Circumstance::Meanwhile(epoch, at) => drop(plan.epochs[epoch].meanwhile.remove(at)),
        }
    }
}

/// The same with the clients that do anything, and no others.
fn renumbered(plan: &Plan) -> Plan {
    let mut used: Vec<u8> = plan.epochs.iter().flat_map(|epoch| &epoch.steps).map(|step| step.client).collect();
    used.sort_unstable();
    used.dedup();
    let mut plan = Plan { clients: used.len().max(1) as u8, ..plan.clone() };
    for step in plan.epochs.iter_mut().flat_map(|epoch| &mut epoch.steps) {
        step.client = used.iter().position(|client| *client == step.client).unwrap_or_default() as u8;
    }
    plan
}

impl Plan {
    /// The plan with some of its steps, which are told by opening and place in it, in order.
    fn with_steps(&self, mut keep: impl FnMut((usize, usize), &Step) -> bool) -> Plan {
        let mut plan = self.clone();
        for (number, epoch) in plan.epochs.iter_mut().enumerate() {
            let mut at = 0;
            epoch.steps.retain(|step| {
                at += 1;
                keep((number, at - 1), step)
            });
        }
        plan
    }
}

impl Action {
    /// The same with smaller numbers; itself if they are as small as can be.
    fn simpler(self) -> Action {
        match self {
            Action::Append { place, .. } => Action::Append {
                place,
                count: 1,
                bytes: PAYLOAD_MIN as u32,
                expected: Expected::Any,
                level: Asked::Tenants,
            },
            Action::Read { place, .. } => Action::Read { place, back: 1, max: 1 },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Meanwhile;
    use crate::scenario::Scenario;

    fn failed(faults: &[Script]) -> Verdict {
        Verdict::Fails(Failed { violation: "made up".into(), faults: faults.to_vec(), operations: 1 })
    }

    fn says(fails: bool, faults: &[Script]) -> Verdict {
        if fails { failed(faults) } else { Verdict::Passes }
    }

    /// A plan with all that there is.
    fn large() -> Plan {
        let mut plan = Plan::draw(5, Scenario::Everything);
        plan.rates = plan.rates.with(FaultKind::WriteError, 7_000).with(FaultKind::BitFlip, 10);
        plan
    }

    fn deletions(plan: &Plan) -> usize {
        let steps = plan.epochs.iter().flat_map(|epoch| &epoch.steps);
        steps.filter(|step| matches!(step.action, Action::DeleteStream(_))).count()
    }

    #[test]
    fn only_what_a_failure_needs_is_left() {
        let mut plan = large();
        plan.epochs[1].meanwhile.push(Meanwhile::Copied);
        assert!(deletions(&plan) >= 2);
        let fails = |plan: &Plan| {
            let copied = plan.epochs.iter().position(|epoch| epoch.meanwhile.contains(&Meanwhile::Copied));
            let rot = plan.rates.rate(FaultKind::BitFlip) > 0;
            deletions(plan) >= 2 && rot && copied.is_some_and(|at| plan.epochs.len() > at + 1)
        };
        let shrunk = shrink(&plan, 100_000, |plan| says(fails(plan), &[])).unwrap();
        let small = shrunk.plan;
        assert!(shrunk.complete && fails(&small));
        assert_eq!((small.epochs.len(), small.steps(), small.clients, small.window), (2, 2, 1, 1));
        assert_eq!(
            circumstances(&small),
            [
                Circumstance::Rate(FaultKind::BitFlip),
                Circumstance::Meanwhile(small.epochs.iter().position(|epoch| !epoch.meanwhile.is_empty()).unwrap(), 0)
            ]
        );
        assert!(small.epochs.iter().all(|epoch| epoch.shards == 1));
    }

    #[test]
    fn faults_by_chance_become_the_few_that_matter() {
        let strikes: Vec<Script> = (0..40).map(|at| Script { at, fault: FaultKind::WriteError }).collect();
        // Two certain operations must fail: by chance they do, and so they do by script.
        let judge = |plan: &Plan| {
            let scripted = |at| plan.scripts.iter().any(|script| script.at == at);
            let by_chance = plan.rates.rate(FaultKind::WriteError) > 0;
            says(by_chance || scripted(7) && scripted(31), &strikes)
        };
        let shrunk = shrink(&large(), 100_000, judge).unwrap();
        assert_eq!(shrunk.plan.scripts, [strikes[7], strikes[31]]);
        assert_eq!((shrunk.plan.rates.rate(FaultKind::WriteError), shrunk.plan.steps()), (0, 0));
    }

    #[test]
    fn a_failure_that_needs_chance_keeps_it() {
        let judge = |plan: &Plan| says(plan.rates.rate(FaultKind::WriteError) > 0, &[]);
        let shrunk = shrink(&large(), 100_000, judge).unwrap();
        assert_eq!(circumstances(&shrunk.plan), [Circumstance::Rate(FaultKind::WriteError)]);
        assert!(shrunk.plan.scripts.is_empty());
    }

    #[test]
    fn a_candidate_that_passes_is_tried_with_other_seeds() {
        // Half of the seeds let any plan pass.
        let fails = |plan: &Plan| deletions(plan) > 0 && (plan.seed % 2 == 1);
        let shrunk = shrink(&large(), 100_000, |plan| says(fails(plan), &[])).unwrap();
        assert!(shrunk.plan.seed % 2 == 1);
        assert_eq!((shrunk.plan.steps(), shrunk.plan.epochs.len()), (1, 1));
    }

    #[test]
    fn it_ends_when_its_runs_are_used_up_or_it_is_told_to() {
        let whole = large();
        let judge = |plan: &Plan| says(deletions(plan) > 0, &[]);
        let mut runs = 0;
        let counted = |plan: &Plan| {
            runs += 1;
            judge(plan)
        };
        let shrunk = shrink(&whole, 10, counted).unwrap();
        assert_eq!((shrunk.runs, runs, shrunk.complete), (10, 10, false));
        assert!(deletions(&shrunk.plan) > 0);
        let mut first = true;
        let only_once = |plan: &Plan| if std::mem::take(&mut first) { judge(plan) } else { Verdict::Stop };
        let shrunk = shrink(&whole, 10_000, only_once).unwrap();
        assert_eq!((shrunk.plan, shrunk.complete), (whole.clone(), false));
        assert!(shrink(&whole, 10, |_| Verdict::Passes).is_none());
    }

    #[test]
    fn violations_of_one_sort_differ_in_numbers_only() {
        assert_eq!(sort_of("offset 12 of 0/3 was lost"), sort_of("offset 7 of 1/10 was lost"));
        assert_ne!(sort_of("offset 12 of 0/3 was lost"), sort_of("offset 12 of 0/3 was damaged"));
    }
}
