//! What runs came across: faults that struck, branches of recovery that were taken, commands with their outcomes. A row that stays at
//! zero over many seeds is a hole in the test, and is told as an error.

use crate::sent::Outcome;
use iobackend::sim::{FaultKind, KINDS};
use log::Cause;
use recovery::RecoveryReport;
use std::collections::BTreeMap;

/// The ways that an opening, or what comes before and after it, can go.
pub const BRANCHES: [&str; 23] = [
    "made a new directory",
    "found it closed cleanly",
    "found it left open",
    "read segments frame by frame",
    "took segments by their footers",
    "cut a torn tail",
    "went down during an opening",
    "failed to open, and opened then",
    "found a copy of the manifest bad",
    "refused: both copies of the manifest bad",
    "damage: a frame",
    "damage: a segment missing",
    "damage: a segment's header",
    "damage: a footer",
    "froze streams",
    "had another number of shards",
    "a shard failed while it ran",
    "closed with an error",
    "an older copy was put back",
    "a clone was written to",
    "sealed records",
    "found data erased",
    "a catalog named a key that was destroyed",
];

/// Counts over one run, or over many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Runs.
    pub runs: u64,
    /// Requests that were answered.
    pub answers: u64,
    /// Openings.
    pub openings: u64,
    /// Times that the process died or the power went.
    pub crashes: u64,
    /// Records that were found again by surveys.
    pub records: u64,
    /// Operations of the disk.
    pub operations: u64,
    /// By kind.
    pub faults: [u64; KINDS],
    /// By branch.
    pub branches: BTreeMap<&'static str, u64>,
    /// By command and outcome.
    pub commands: BTreeMap<Outcome, u64>,
}

impl Coverage {
    pub(crate) fn answer(&mut self, outcome: Outcome) {
        self.answers += 1;
        *self.commands.entry(outcome).or_default() += 1;
    }

    pub(crate) fn branch(&mut self, branch: &'static str) {
        debug_assert!(BRANCHES.contains(&branch), "{branch:?} is not listed");
        *self.branches.entry(branch).or_default() += 1;
    }

    /// Notes what an opening reported.
    pub(crate) fn opening(&mut self, report: &RecoveryReport) {
        self.openings += 1;
        let mut when = |is: bool, branch| {
            if is {
                self.branch(branch);
            }
        };
        when(report.created, "made a new directory");
        when(report.clean, "found it closed cleanly");
        when(!report.clean && !report.created, "found it left open");
        when(report.scanned > 0, "read segments frame by frame");
        when(report.segments > report.scanned, "took segments by their footers");
        when(!report.torn.is_empty(), "cut a torn tail");
        when(!report.manifest_faults.is_empty(), "found a copy of the manifest bad");
        when(report.frozen > 0, "froze streams");
        for damage in &report.damage {
            let branch = match damage.cause {
                Cause::Frame { .. } | Cause::Gap | Cause::Chain | Cause::NotZero => "damage: a frame",
                Cause::MissingSegment | Cause::MissingSegments { .. } => "damage: a segment missing",
                Cause::SegmentHeader(_) => "damage: a segment's header",
                Cause::Footer(_) => "damage: a footer",
                _ => continue,
            };
            self.branch(branch);
        }
    }

    /// Adds the counts of other runs.
    pub fn merge(&mut self, other: &Coverage) {
        self.runs += other.runs;
        self.answers += other.answers;
        self.openings += other.openings;
        self.crashes += other.crashes;
        self.records += other.records;
        self.operations += other.operations;
        for (sum, count) in self.faults.iter_mut().zip(other.faults) {
            *sum += count;
        }
        for (branch, count) in &other.branches {
            *self.branches.entry(branch).or_default() += count;
        }
        for (command, count) in &other.commands {
            *self.commands.entry(*command).or_default() += count;
        }
    }

    /// Kinds of faults, of those given, that never struck.
    #[must_use]
    pub fn missing_of(&self, kinds: &[FaultKind]) -> Vec<String> {
        let missing = kinds.iter().filter(|kind| self.faults[**kind as usize] == 0);
        missing.map(|kind| format!("fault {kind}")).collect()
    }

    /// Faults and branches that never came.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let branches = BRANCHES.into_iter().filter(|branch| !self.branches.contains_key(branch));
        self.missing_of(&FaultKind::ALL).into_iter().chain(branches.map(str::to_owned)).collect()
    }
}
