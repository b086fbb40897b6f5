//! `diatreme sim`: the whole engine on a simulated disk, seed after seed, and what to do with a seed that fails.
//!
//! The simulation is the crate of that name; here it is started on many threads, its coverage is judged, and one run is
//! repeated, told and shown. A run is single-threaded and depends on its plan alone, so threads change the speed and nothing else.

mod coverage;
mod exhaust;
mod fleet;
mod quiet;
mod replay;
mod run;
mod seeds;
mod shrink;
mod timeline;

use crate::failure::Failure;
use crate::output;
use crate::table::Table;
use ::sim::{Plan, Scenario};
use clap::Subcommand;
use std::path::PathBuf;

/// Runs the whole engine on a simulated disk with every fault there is, and checks all that it says.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str = "Example:
  diatreme sim run --seeds 0..10000
  diatreme sim exhaust
  diatreme sim replay 4711 --trace trace.txt
  diatreme sim shrink 4711 --out small.json
  diatreme sim timeline 4711 --html picture.html
  diatreme sim scenarios

A seed decides everything: the workload, the faults, who moves when. The same seed gives the same run, to
the bit, on every machine and in every build of the same source. Nothing is read from or written to a disk.
Exit code 1 if the engine did something that it must not.";

#[derive(Subcommand, Debug)]
enum Command {
    Run(run::Args),
    Exhaust(exhaust::Args),
    Replay(replay::Args),
    Shrink(shrink::Args),
    Timeline(timeline::Args),
    Scenarios(ScenarioArgs),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Run(args) => run::run(args),
        Command::Exhaust(args) => exhaust::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Shrink(args) => shrink::run(args),
        Command::Timeline(args) => timeline::run(args),
        Command::Scenarios(_) => scenarios(),
    }
}

/// Lists the kinds of runs, with what each is and which faults it may have.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  diatreme sim scenarios
  diatreme sim run --seeds 0..1000 --scenario rot")]
struct ScenarioArgs {}

/// One run among all that there can be.
#[derive(clap::Args, Clone, Debug)]
struct Which {
    /// The seed.
    #[arg(value_name = "SEED", required_unless_present = "plan")]
    seed: Option<u64>,

    /// The kind of run [default: drawn from the seed, as `sim run` does].
    #[arg(long, value_name = "NAME", value_parser = parse_scenario)]
    scenario: Option<Scenario>,

    /// A plan in a file, as `sim shrink` writes it, in the place of a seed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "scenario"])]
    plan: Option<PathBuf>,
}

impl Which {
    fn plan(&self) -> Result<Plan, Failure> {
        let Some(path) = &self.plan else {
            return Ok(plan(self.seed.unwrap_or_default(), self.scenario));
        };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
        Plan::from_json(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }

    fn name(&self) -> String {
        match (&self.plan, self.seed) {
            (Some(path), _) => path.display().to_string(),
            (None, seed) => format!("seed {}", seed.unwrap_or_default()),
        }
    }
}

/// The plan of a seed.
fn plan(seed: u64, scenario: Option<Scenario>) -> Plan {
    Plan::draw(seed, scenario.unwrap_or_else(|| Scenario::of_seed(seed)))
}

/// The words that name a seed to another command.
fn named(seed: u64, scenario: Scenario) -> String {
    if Scenario::of_seed(seed) == scenario {
        seed.to_string()
    } else {
        format!("{seed} --scenario {}", scenario.name())
    }
}

fn parse_scenario(name: &str) -> Result<Scenario, String> {
    Scenario::of_name(name).ok_or_else(|| {
        let names = Scenario::ALL.map(Scenario::name).join(", ");
        format!("there is no such scenario; there are {names}")
    })
}

fn scenarios() -> Result<(), Failure> {
    let mut table = Table::new(&["scenario", "what it is", "faults"]);
    for scenario in Scenario::ALL {
        let faults: Vec<_> = scenario.faults().iter().map(|kind| kind.name()).collect();
        let mut lines = faults.chunks(4).map(|names| names.join(", "));
        let first = lines.next().unwrap_or_else(|| "none".into());
        table.row(vec![scenario.name().into(), scenario.about().into(), first]);
        lines.for_each(|line| table.row(vec![String::new(), String::new(), line]));
    }
    output::print(|out| table.write(out))
}
