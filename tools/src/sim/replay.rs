//! `diatreme sim replay`: one run again, to be sure that it is the same, and to look at it.

use super::{Which, quiet};
use crate::failure::Failure;
use crate::output;
use crate::report::Report;
use crate::table::{Table, count, grouped};
use ::sim::{Lane, Plan, Run};
use iobackend::sim::FaultKind;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

/// Runs one seed, or one plan, twice: the same happens, to the bit.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  diatreme sim replay 4711
  diatreme sim replay 4711 --scenario rot --trace trace.txt
  diatreme sim replay --plan small.json

The trace has a line for each thing that happened, in order: virtual time in nanoseconds, who, what sort of
thing, the number of the request or of the disk's operation, and what it was. Exit code 1 if the two runs
differ, or if the engine did something that it must not.")]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// Write what happened to this file, a line each.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let plan = args.which.plan()?;
    let report = Report::open(args.trace.as_deref())?;
    let first = quiet::run(&plan, report.is_some());
    let second = quiet::run(&plan, false).hash;
    let traced = report.map_or(Ok(()), |report| report.write_text(&trace(&first)));
    let printed = output::print(|out| print(&plan, &first, second, out));
    Failure::join([verdict(&first, second), traced, printed])
}

fn verdict(run: &Run, second: u64) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    if run.hash != second {
        wrong.push("the two runs differ: something in it does not come from the seed".to_owned());
    }
    if !run.violations.is_empty() {
        let violations = count(run.violations.len() as u64, "violation");
        wrong.push(format!("seed {}: {violations}, named above", run.seed));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::failed(wrong.join("; "))) }
}

fn print(plan: &Plan, run: &Run, second: u64, out: &mut impl Write) -> io::Result<()> {
    let same = if run.hash == second { "the same twice".into() } else { format!("and then {second:016x}") };
    let mut table = Table::new(&["", ""]);
    let mut row = |name: &str, value: String| table.row(vec![name.into(), value]);
    row("seed", plan.seed.to_string());
    row("scenario", format!("{}: {}", plan.scenario.name(), plan.scenario.about()));
    row("trace hash", format!("{:016x}, {same}", run.hash));
    row("plan", plan_in_short(plan));
    row("virtual time", format!("{:.3} s", run.virtual_ns as f64 / 1e9));
    let coverage = &run.coverage;
    row("answers", grouped(coverage.answers));
    row("openings", format!("{}, {}", grouped(coverage.openings), crashes(coverage.crashes)));
    row("records read back", grouped(coverage.records));
    row("disk operations", grouped(coverage.operations));
    let struck = FaultKind::ALL.iter().filter(|kind| coverage.faults[**kind as usize] > 0);
    let struck: Vec<_> = struck.map(|kind| format!("{kind} {}", coverage.faults[*kind as usize])).collect();
    row("faults", if struck.is_empty() { "none".into() } else { struck.join(", ") });
    let branches: Vec<_> = coverage.branches.iter().map(|(branch, times)| format!("{branch} {times}")).collect();
    row("recovery", branches.join(", "));
    table.write(out)?;
    for violation in &run.violations {
        writeln!(out, "violation: {violation}")?;
    }
    if run.violations.is_empty() {
        writeln!(out, "clean: the run broke no law")?;
    }
    Ok(())
}

fn crashes(crashes: u64) -> String {
    format!("{} {}", grouped(crashes), if crashes == 1 { "crash" } else { "crashes" })
}

fn plan_in_short(plan: &Plan) -> String {
    let epochs = count(plan.epochs.len() as u64, "opening");
    let (steps, clients) = (count(plan.steps() as u64, "step"), count(plan.clients.into(), "client"));
    format!("{epochs}, {steps}, {clients}, {} in flight each", plan.window)
}

/// A line for each event.
fn trace(run: &Run) -> String {
    let mut text = String::new();
    for event in &run.events {
        let lane = match event.lane {
            Lane::World => "world".into(),
            Lane::Client(client) => format!("client-{client}"),
            Lane::Shard(shard) => format!("shard-{shard}"),
            Lane::Disk(u16::MAX) => "disk-opening".into(),
            Lane::Disk(shard) => format!("disk-{shard}"),
        };
        let _to_a_string = writeln!(text, "{} {lane} {} {} {}", event.at, event.sort, event.number, event.text);
    }
    for violation in &run.violations {
        let _to_a_string = writeln!(text, "{} world violation 0 {violation}", run.virtual_ns);
    }
    let _to_a_string = writeln!(text, "# seed {}, trace hash {:016x}", run.seed, run.hash);
    text
}
