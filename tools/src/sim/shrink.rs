//! `diatreme sim shrink`: from a seed that fails to the smallest plan that fails in the same way.

use super::{Which, quiet};
use crate::failure::Failure;
use crate::report::Report;
use crate::table::{Table, grouped};
use crate::{interrupt, output, progress};
use ::sim::shrink::{Failed, Shrunk, Verdict, shrink, sort_of};
use ::sim::{Plan, Run};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Makes a failing run smaller: fewer openings, clients, steps and faults.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  diatreme sim shrink 4711 --out small.json
  diatreme sim replay --plan small.json --trace trace.txt
  diatreme sim timeline --plan small.json --html small.html

Parts of the plan are taken out as long as a run still breaks the same law: the same text but for its
numbers. Faults that chance gave become faults at certain operations, where it fails with those too. It is
delta debugging (Zeller and Hildebrandt, 2002). Exit code 1 if the run does not fail. Ctrl-C ends the
search: the smallest plan so far is told and written, and the exit code is 1.")]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// Write the small plan to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Runs at the most.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,

    /// Take any broken law for the same failure.
    #[arg(long)]
    any: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let plan = args.which.plan()?;
    let report = Report::open(args.out.as_deref())?;
    interrupt::watch()?;
    let whole = quiet::run(&plan, false);
    let Some(violation) = whole.violations.first() else {
        return Err(Failure::failed(format!("{} does not fail: there is nothing to make smaller", args.which.name())));
    };
    let sort = (!args.any).then(|| sort_of(violation));
    let shrunk = search(&plan, args.runs, sort.as_deref());
    // The same plan gives the same run, so the first of the search's fails as this one did.
    let shrunk = shrunk.ok_or_else(|| Failure::failed("the run is not the same twice: see diatreme sim replay"))?;
    let text = shrunk.plan.to_json().map_err(|error| Failure::failed(error.to_string()))?;
    let reported = report.map_or(Ok(()), |report| report.write_text(&text));
    let printed = output::print(|out| print(&plan, &whole, &shrunk, args.out.as_deref(), out));
    let stopped = interrupt::requested().then(|| Err(Failure::failed("ended early: ctrl-C; it can be made smaller")));
    Failure::join([stopped.unwrap_or(Ok(())), reported, printed])
}

/// Looks for the smallest plan that fails with a violation of this sort, or of any.
fn search(plan: &Plan, runs_max: u64, sort: Option<&str>) -> Option<Shrunk> {
    let bar = progress::runs(runs_max);
    let shrunk = shrink(plan, runs_max, |candidate| {
        if interrupt::requested() {
            return Verdict::Stop;
        }
        bar.inc(1);
        let run = quiet::run(candidate, false);
        let same = |violation: &&String| sort.is_none_or(|sort| sort_of(violation) == sort);
        let Some(violation) = run.violations.iter().find(same) else {
            return Verdict::Passes;
        };
        bar.set_message(format!("{} steps, {} faults", candidate.steps(), run.faults.len()));
        let (violation, operations) = (violation.clone(), run.coverage.operations);
        Verdict::Fails(Failed { violation, faults: run.faults, operations })
    });
    bar.finish_and_clear();
    shrunk
}

fn print(plan: &Plan, whole: &Run, shrunk: &Shrunk, file: Option<&Path>, out: &mut impl Write) -> io::Result<()> {
    let Shrunk { plan: small, failed, runs, complete } = shrunk;
    let mut table = Table::new(&["", ">was", ">is"]);
    let mut row = |name: &str, was: u64, is: u64| table.row(vec![name.into(), grouped(was), grouped(is)]);
    row("openings", plan.epochs.len() as u64, small.epochs.len() as u64);
    row("steps", plan.steps() as u64, small.steps() as u64);
    row("clients", plan.clients.into(), small.clients.into());
    row("faults that struck", whole.faults.len() as u64, failed.faults.len() as u64);
    row("disk operations", whole.coverage.operations, failed.operations);
    table.write(out)?;
    let end = if *complete { "no part of it can go alone" } else { "the search ended before it was done" };
    writeln!(out, "\n{small}\nviolation: {}\nafter {} runs, {end}", failed.violation, grouped(*runs))?;
    match file {
        Some(file) => writeln!(out, "replay it: diatreme sim replay --plan {}", file.display()),
        None => writeln!(out, "with --out FILE it is kept, and can be replayed"),
    }
}
