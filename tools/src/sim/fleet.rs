//! Many runs on several threads: each takes the next seed, and what they came to is put together in one place.

use super::seeds::Seeds;
use super::{plan, quiet};
use crate::{interrupt, progress};
use ::sim::{Coverage, Run, Scenario};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// One seed of so many is run twice, and its two trace hashes are compared.
pub(super) const REPEATED_ONE_OF: u64 = 64;

/// What is to be run, and when to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) seeds: Seeds,
    pub(super) scenario: Option<Scenario>,
    /// Goes on beyond the last seed for so long.
    pub(super) time: Option<Duration>,
    pub(super) jobs: usize,
    /// Stops at so many failing seeds.
    pub(super) failures_max: u64,
}

/// What all runs came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) coverage: Coverage,
    pub(super) scenarios: BTreeMap<Scenario, u64>,
    /// Steps of the plans.
    pub(super) steps: u64,
    pub(super) virtual_ns: u64,
    /// Seeds that were run twice.
    pub(super) repeated: u64,
    /// By seed.
    pub(super) failures: BTreeMap<u64, Failing>,
    pub(super) seconds: f64,
    pub(super) stopped: Option<&'static str>,
}

/// A seed whose run did what must not be.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    pub(super) scenario: Scenario,
    pub(super) violations: Vec<String>,
}

/// A run, and what else is counted of it.
struct Done {
    scenario: Scenario,
    steps: u64,
    run: Run,
    /// The hash of the second run, if there was one.
    again: Option<u64>,
}

/// Runs what is ordered, to its end or until the user wishes to stop.
pub(super) fn run(order: &Order) -> Tally {
    let since = Instant::now();
    let bar = order.time.is_none().then(|| order.seeds.count()).flatten();
    let bar = bar.map_or_else(progress::runs_without_end, progress::runs);
    let (next, stop) = (AtomicU64::new(order.seeds.first), AtomicBool::new(false));
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..order.jobs {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || work(order, since, next, stop, &sender));
        }
        drop(sender);
        collect(&receiver, &mut tally, |tally| {
            if tally.failures.len() as u64 >= order.failures_max {
                tally.stopped.get_or_insert("as many seeds failed as --failures-max says");
            } else if interrupt::requested() {
                tally.stopped.get_or_insert("ctrl-C");
            }
            stop.store(tally.stopped.is_some(), Ordering::Relaxed);
            let rate = tally.coverage.runs as f64 / since.elapsed().as_secs_f64().max(1e-3);
            bar.set_position(tally.coverage.runs);
            bar.set_message(format!("{rate:.0} runs/s, {} failed", tally.failures.len()));
        });
    });
    bar.finish_and_clear();
    tally.seconds = since.elapsed().as_secs_f64();
    tally
}

fn work(order: &Order, since: Instant, next: &AtomicU64, stop: &AtomicBool, done: &Sender<Done>) {
    while !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let listed = order.seeds.end.is_some_and(|end| seed < end);
        let in_time = order.time.is_some_and(|time| since.elapsed() < time);
        if !listed && !in_time {
            return;
        }
        let plan = plan(seed, order.scenario);
        let run = quiet::run(&plan, false);
        let again = seed.is_multiple_of(REPEATED_ONE_OF).then(|| quiet::run(&plan, false).hash);
        let one = Done { scenario: plan.scenario, steps: plan.steps() as u64, run, again };
        if done.send(one).is_err() {
            return;
        }
    }
}

fn collect(receiver: &Receiver<Done>, tally: &mut Tally, mut each: impl FnMut(&mut Tally)) {
    for Done { scenario, steps, run, again } in receiver {
        let Run { seed, mut violations, coverage, hash, virtual_ns, .. } = run;
        tally.coverage.merge(&coverage);
        *tally.scenarios.entry(scenario).or_default() += 1;
        tally.steps += steps;
        tally.virtual_ns += virtual_ns;
        if let Some(again) = again {
            tally.repeated += 1;
            if again != hash {
                violations.push(format!("run twice, it is not the same: trace hashes {hash:016x} and {again:016x}"));
            }
        }
        if !violations.is_empty() {
            tally.failures.insert(seed, Failing { scenario, violations });
        }
        each(tally);
    }
}
