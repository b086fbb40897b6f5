//! What runs came across, as tables, and whether that is enough.
//!
//! A simulator that never draws a fault, or never takes a branch of recovery, proves nothing about it, however many seeds pass.
//! So a row that stays at zero is an error, once there were enough runs that chance does not explain it.

use crate::table::{Table, grouped};
use ::sim::{BRANCHES, Coverage, Scenario};
use iobackend::sim::FaultKind;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// From so many runs on, a row without a count is an error. The rarest, a directory of which both copies of the manifest are bad, came once
/// in 435 runs when this was set: that none of so many has it is a chance of one in 100,000, and of all other rows far less.
const RUNS_EXPECTING_ALL: u64 = 5_000;
/// The same for the faults of one scenario, of which the rarest came once in 43 runs.
const RUNS_EXPECTING_FAULTS: u64 = 1_000;

/// How many runs it takes to judge.
pub(super) fn runs_expecting(scenario: Option<Scenario>) -> u64 {
    if scenario.is_none() { RUNS_EXPECTING_ALL } else { RUNS_EXPECTING_FAULTS }
}

/// What never came, and should have: nothing, if there were too few runs to tell. Runs of one scenario are asked for its faults only, for
/// the branches are those of all.
pub(super) fn missing(coverage: &Coverage, scenario: Option<Scenario>) -> Vec<String> {
    match scenario {
        _ if coverage.runs < runs_expecting(scenario) => Vec::new(),
        Some(scenario) => coverage.missing_of(&scenario.faults()),
        None => coverage.missing(),
    }
}

/// Writes all tables.
pub(super) fn write(coverage: &Coverage, scenario: Option<Scenario>, out: &mut impl Write) -> io::Result<()> {
    let kinds = scenario.map_or_else(|| FaultKind::ALL.to_vec(), Scenario::faults);
    let mut faults = Table::new(&["fault", ">struck"]);
    for kind in FaultKind::ALL {
        let struck = coverage.faults[kind as usize];
        if struck > 0 || kinds.contains(&kind) {
            faults.row(vec![kind.name().into(), grouped(struck)]);
        }
    }
    faults.write(out)?;
    let mut branches = Table::new(&["recovery", ">times"]);
    for branch in BRANCHES {
        let times = coverage.branches.get(branch).copied().unwrap_or(0);
        if times > 0 || scenario.is_none() {
            branches.row(vec![branch.into(), grouped(times)]);
        }
    }
    writeln!(out)?;
    branches.write(out)?;
    writeln!(out)?;
    commands(coverage).write(out)
}

fn commands(coverage: &Coverage) -> Table {
    let mut table = Table::new(&["command", "outcome", ">answers"]);
    let mut last = "";
    for (&(command, outcome), &answers) in &coverage.commands {
        let shown = if command == last { "" } else { command };
        table.row(vec![shown.into(), outcome.into(), grouped(answers)]);
        last = command;
    }
    table
}

/// The same for programs.
#[derive(Debug, serde::Serialize)]
pub(super) struct Counts {
    faults: BTreeMap<&'static str, u64>,
    branches: BTreeMap<&'static str, u64>,
    /// By command, then by outcome.
    commands: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

impl Counts {
    pub(super) fn new(coverage: &Coverage) -> Counts {
        let faults = FaultKind::ALL.into_iter().map(|kind| (kind.name(), coverage.faults[kind as usize])).collect();
        let branches =
            BRANCHES.into_iter().map(|branch| (branch, coverage.branches.get(branch).copied().unwrap_or(0))).collect();
        let mut commands: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (&(command, outcome), &answers) in &coverage.commands {
            commands.entry(command).or_default().insert(outcome, answers);
        }
        Counts { faults, branches, commands }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_count_is_an_error_once_there_were_enough_runs() {
        let mut coverage = Coverage { runs: RUNS_EXPECTING_ALL - 1, ..Coverage::default() };
        assert!(missing(&coverage, None).is_empty());
        coverage.runs += 1;
        assert_eq!(missing(&coverage, None).len(), FaultKind::ALL.len() + BRANCHES.len());
        coverage.faults[FaultKind::LyingFlush as usize] = 1;
        coverage.branches.insert(BRANCHES[3], 1);
        let rows = missing(&coverage, None);
        assert_eq!(rows.len(), FaultKind::ALL.len() + BRANCHES.len() - 2);
        assert!(!rows.iter().any(|row| row.contains("lying-flush") || row == BRANCHES[3]));
    }

    #[test]
    fn a_scenario_is_asked_for_its_faults_only() {
        let mut coverage = Coverage { runs: RUNS_EXPECTING_FAULTS, ..Coverage::default() };
        assert!(missing(&coverage, Some(Scenario::Calm)).is_empty());
        assert!(missing(&coverage, Some(Scenario::Liar)).contains(&"fault lying-flush".to_owned()));
        for kind in Scenario::Liar.faults() {
            coverage.faults[kind as usize] = 1;
        }
        assert!(missing(&coverage, Some(Scenario::Liar)).is_empty());
    }
}
