//! `diatreme sim run`: seeds, one after the other, and what they came to together.

use super::coverage::{self, Counts};
use super::fleet::{self, Failing, Order, REPEATED_ONE_OF, Tally};
use super::seeds::Seeds;
use super::{named, parse_scenario};
use crate::failure::Failure;
use crate::report::Report;
use crate::table::{Table, count, grouped};
use crate::{interrupt, output};
use ::sim::Scenario;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Failing seeds that are named on the terminal; the report names all.
const SEEDS_SHOWN: usize = 20;

/// Runs many seeds on all cores, and tells what they came across.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  diatreme sim run --seeds 0..10000
  diatreme sim run --seeds 0..1000 --scenario rot --json rot.json
  diatreme sim run --seeds 10000.. --minutes 60

A fault or a branch of recovery that never came is an error once there were 5,000 runs: the rarest comes in
one run of 435, so that chance does not explain it. With --scenario, the faults of that scenario are asked
for, once there were 1,000 runs. One seed of 64 is run twice, and both must have the same trace hash.
Ctrl-C ends early, in order: what was found is told, and the exit code is 1.")]
pub(crate) struct Args {
    /// The first seed, and the one before which to stop.
    #[arg(long, value_name = "A..B")]
    seeds: Seeds,

    /// One kind of run only [default: each seed draws its own].
    #[arg(long, value_name = "NAME", value_parser = parse_scenario)]
    scenario: Option<Scenario>,

    /// Go on beyond the last seed until so many minutes have passed.
    #[arg(long, value_name = "M", value_parser = parse_minutes)]
    minutes: Option<f64>,

    /// Threads [default: one for each CPU that the command may run on].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Stop when so many seeds have failed.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    failures_max: u64,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok().filter(|minutes| *minutes > 0.0 && *minutes <= 1e6);
    minutes.ok_or_else(|| format!("{text:?} is no number of minutes above 0, and up to a million"))
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.seeds.end.is_none() && args.minutes.is_none() {
        return Err(Failure::usage("seeds without an end need --minutes, or give them as A..B"));
    }
    let report = Report::open(args.json.as_deref())?;
    interrupt::watch()?;
    let jobs = args.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let tally = fleet::run(&Order {
        seeds: args.seeds,
        scenario: args.scenario,
        time: args.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0)),
        jobs,
        failures_max: args.failures_max,
    });
    let findings = Findings::new(args, jobs, &tally);
    let reported = report.map_or(Ok(()), |report| report.write(&findings));
    let printed = output::print(|out| print(&findings, &tally, args.scenario, out));
    Failure::join([verdict(&findings), reported, printed])
}

fn verdict(findings: &Findings) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    if !findings.failures.is_empty() {
        let seeds = count(findings.failures.len() as u64, "seed");
        wrong.push(format!("{seeds} failed: the engine did what it must not, named above"));
    }
    if !findings.missing.is_empty() {
        let missing = findings.missing.join(", ");
        wrong
            .push(format!("never came in {}: {missing}; what is not tried is not tested", count(findings.runs, "run")));
    }
    if let Some(stopped) = findings.stopped {
        wrong.push(format!("ended early: {stopped}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::failed(wrong.join("; "))) }
}

/// What the runs came to, for people and programs.
#[derive(Serialize)]
struct Findings {
    command: &'static str,
    clean: bool,
    first_seed: u64,
    scenario: Option<&'static str>,
    runs: u64,
    runs_by_scenario: BTreeMap<&'static str, u64>,
    /// Seeds that were run twice, to compare.
    repeated: u64,
    threads: usize,
    seconds: f64,
    runs_per_minute_per_thread: f64,
    steps: u64,
    answers: u64,
    openings: u64,
    crashes: u64,
    records_read_back: u64,
    disk_operations: u64,
    virtual_seconds: f64,
    stopped: Option<&'static str>,
    missing: Vec<String>,
    failures: Vec<Failed>,
    coverage: Counts,
}

/// A seed that failed.
#[derive(Serialize)]
struct Failed {
    seed: u64,
    scenario: &'static str,
    violations: Vec<String>,
    replay: String,
}

impl Failed {
    fn new((&seed, failing): (&u64, &Failing)) -> Failed {
        let replay = format!("diatreme sim replay {}", named(seed, failing.scenario));
        Failed { seed, scenario: failing.scenario.name(), violations: failing.violations.clone(), replay }
    }
}

impl Findings {
    fn new(args: &Args, threads: usize, tally: &Tally) -> Findings {
        let coverage = &tally.coverage;
        let missing = coverage::missing(coverage, args.scenario);
        Findings {
            command: "sim run",
            clean: tally.failures.is_empty() && missing.is_empty(),
            first_seed: args.seeds.first,
            scenario: args.scenario.map(Scenario::name),
            runs: coverage.runs,
            runs_by_scenario: tally.scenarios.iter().map(|(scenario, runs)| (scenario.name(), *runs)).collect(),
            repeated: tally.repeated,
            threads,
            seconds: tally.seconds,
            runs_per_minute_per_thread: (coverage.runs + tally.repeated) as f64 * 60.0
                / tally.seconds.max(f64::MIN_POSITIVE)
                / threads as f64,
            steps: tally.steps,
            answers: coverage.answers,
            openings: coverage.openings,
            crashes: coverage.crashes,
            records_read_back: coverage.records,
            disk_operations: coverage.operations,
            virtual_seconds: tally.virtual_ns as f64 / 1e9,
            stopped: tally.stopped,
            missing,
            failures: tally.failures.iter().map(Failed::new).collect(),
            coverage: Counts::new(coverage),
        }
    }
}

fn print(findings: &Findings, tally: &Tally, scenario: Option<Scenario>, out: &mut impl Write) -> io::Result<()> {
    let mut totals = Table::new(&["", ">"]);
    let mut row = |name: &str, value: String| totals.row(vec![name.into(), value]);
    row("runs", grouped(findings.runs));
    row("steps", grouped(findings.steps));
    row("answers", grouped(findings.answers));
    row("openings", grouped(findings.openings));
    row("crashes", grouped(findings.crashes));
    row("records read back", grouped(findings.records_read_back));
    row("disk operations", grouped(findings.disk_operations));
    row("virtual seconds", grouped(findings.virtual_seconds as u64));
    row("seconds", format!("{:.1}", findings.seconds));
    row("threads", grouped(findings.threads as u64));
    row("runs a minute a thread", grouped(findings.runs_per_minute_per_thread as u64));
    totals.write(out)?;
    writeln!(out)?;
    if scenario.is_none() {
        let mut scenarios = Table::new(&["scenario", ">runs"]);
        for (scenario, runs) in &tally.scenarios {
            scenarios.row(vec![scenario.name().into(), grouped(*runs)]);
        }
        scenarios.write(out)?;
        writeln!(out)?;
    }
    coverage::write(&tally.coverage, scenario, out)?;
    writeln!(out)?;
    for failed in findings.failures.iter().take(SEEDS_SHOWN) {
        let more = failed.violations.len() - 1;
        let more = if more == 0 { String::new() } else { format!("; and {}", count(more as u64, "more violation")) };
        let first = failed.violations.first().map_or("", String::as_str);
        writeln!(out, "seed {} ({}): {first}{more}\n  {}", failed.seed, failed.scenario, failed.replay)?;
    }
    if findings.failures.len() > SEEDS_SHOWN {
        writeln!(out, "and {}", count((findings.failures.len() - SEEDS_SHOWN) as u64, "more failing seed"))?;
    }
    if findings.runs < coverage::runs_expecting(scenario) {
        let few = grouped(coverage::runs_expecting(scenario));
        writeln!(out, "coverage: not judged, for there were fewer than {few} runs")?;
    }
    if findings.clean {
        let twice = count(findings.repeated, "seed");
        writeln!(out, "clean: no run broke a law; run twice, and the same: {twice}, one of {REPEATED_ONE_OF}")?;
    }
    Ok(())
}
