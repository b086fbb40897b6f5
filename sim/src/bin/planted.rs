//! Plants one bug after the other in the engine, and runs the simulator until it finds each: `ci/planted-bugs`.
//!
//! Each bug has a scenario, whose seeds are run from 0 on. Then the same seeds are run with no bug, and none may be found.
//! Ends with 1 if a bug was not found, or if something was where there was none.

use iobackend::sim::Rng;
use planted::Bug;
use sim::{Plan, Run, Scenario, run};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const USAGE: &str = "usage: planted [--bug NAME] [--seeds N] [--clean]
  --bug NAME   only this one
  --seeds N    runs for each bug at most; 2000 if not said
  --clean      no bug: the first N seeds of every scenario that has one";

/// What was asked for on the command line.
struct Asked {
    bugs: Vec<Bug>,
    seeds: u64,
    clean: bool,
}

/// What came of the search for one bug.
struct Search {
    bug: Bug,
    found: Option<Run>,
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(text) => {
            eprintln!("{text}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // What panics is told as a violation.
    std::panic::set_hook(Box::new(|_| {}));
    if asked.clean {
        let seeds = scenarios(&asked.bugs).into_iter().map(|scenario| (scenario, asked.seeds)).collect();
        return exit(clean(seeds) == 0);
    }
    let searches = on_all_cores(&asked.bugs, |bug| Search { bug, found: search(bug, asked.seeds) });
    print_table(&searches, asked.seeds);
    let needed = |search: &Search| search.found.as_ref().map_or(asked.seeds, |run| run.seed + 1);
    let most = |scenario: Scenario| {
        let here = searches.iter().filter(|search| of_bug(search.bug) == scenario);
        here.map(needed).max().unwrap_or(0)
    };
    let seeds = scenarios(&asked.bugs).into_iter().map(|scenario| (scenario, most(scenario))).collect();
    let wrong = clean(seeds);
    let missed: Vec<&str> =
        searches.iter().filter(|search| search.found.is_none()).map(|search| search.bug.name()).collect();
    let count = searches.len();
    let runs = searches.iter().map(needed).max().unwrap_or(0);
    if missed.is_empty() {
        println!("{count} planted bugs, all found, in at most {runs} runs each; {wrong} in the clean tree");
    } else {
        println!("{count} planted bugs, {} not found: {}; {wrong} in the clean tree", missed.len(), missed.join(", "));
    }
    exit(missed.is_empty() && wrong == 0)
}

fn exit(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn asked(mut args: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked { bugs: Bug::ALL.to_vec(), seeds: 2_000, clean: false };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            "--bug" => {
                let name = value()?;
                let bug = Bug::ALL.into_iter().find(|bug| bug.name() == name);
                asked.bugs = vec![bug.ok_or(format!("there is no bug {name:?}"))?];
            }
            "--seeds" => {
                let text = value()?;
                let seeds = text.parse().ok().filter(|seeds| *seeds > 0);
                asked.seeds = seeds.ok_or(format!("{text:?} is no number of seeds"))?;
            }
            "--clean" => asked.clean = true,
            _ => return Err(format!("unknown argument {arg:?}")),
        }
    }
    Ok(asked)
}

fn of_bug(bug: Bug) -> Scenario {
    Scenario::of_name(bug.scenario()).unwrap_or_else(|| panic!("{}: there is no such scenario", bug.name()))
}

/// The scenarios of the bugs, each once.
fn scenarios(bugs: &[Bug]) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = bugs.iter().map(|bug| of_bug(*bug)).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    scenarios
}

/// Runs seeds with a bug planted until one shows it.
fn search(bug: Bug, seeds: u64) -> Option<Run> {
    planted::plant(Some(bug));
    let found =
        (0..seeds).map(|seed| run(&Plan::draw(seed, of_bug(bug)), false)).find(|run| !run.violations.is_empty());
    planted::plant(None);
    found
}

/// Runs seeds with no bug; gives how many found one.
fn clean(seeds: Vec<(Scenario, u64)>) -> usize {
    let mut runs: Vec<(Scenario, u64)> =
        seeds.into_iter().flat_map(|(scenario, seeds)| (0..seeds).map(move |seed| (scenario, seed))).collect();
    // Some scenarios take longer than others.
    let mut rng = Rng::new(0);
    for at in (1..runs.len()).rev() {
        runs.swap(at, rng.below(at as u64 + 1) as usize);
    }
    let count = runs.len();
    let outcomes = on_all_cores(&runs, |(scenario, seed)| (scenario, run(&Plan::draw(seed, scenario), false)));
    let wrong: Vec<_> = outcomes.iter().filter(|(_, run)| !run.violations.is_empty()).collect();
    for (scenario, run) in &wrong {
        println!("no bug, and yet: {} seed {}: {}", scenario.name(), run.seed, run.violations[0]);
    }
    println!("no bug: {count} runs of the same seeds, {} with a violation", wrong.len());
    wrong.len()
}

/// Does a job for each item, on as many threads as there are cores; gives the results in the order of the items.
fn on_all_cores<T: Copy + Sync, R: Send>(items: &[T], job: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = job(*item);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn print_table(searches: &[Search], seeds: u64) {
    println!("{:<27} {:<52} {:<10} {:>5}  first violation", "bug", "breaks", "scenario", "runs");
    for Search { bug, found } in searches {
        let (runs, first) = match found {
            Some(run) => ((run.seed + 1).to_string(), run.violations[0].as_str()),
            None => (format!(">{seeds}"), "NOT FOUND"),
        };
        let first: String = first.chars().take(120).collect();
        println!("{:<27} {:<52} {:<10} {runs:>5}  {first}", bug.name(), bug.breaks(), bug.scenario());
    }
}
