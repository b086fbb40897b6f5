//! `diatreme sim exhaust`: every I/O of small workloads failed in turn, every byte of a finished directory spoilt.

use super::quiet;
use crate::failure::Failure;
use crate::report::Report;
use crate::table::{Table, count, grouped};
use crate::{interrupt, output, progress};
use ::sim::exhaust::{self, KINDS, Looped, Spoil, Spoilt, Workload};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Fails every I/O of small workloads in turn, and spoils every byte of what they leave.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  diatreme sim exhaust
  diatreme sim exhaust --every 10 --json loops.json

Six small workloads are run with each of thirteen faults at their first operation, at their second, and so on
until they end before it comes; after each run the same is checked as in `sim run`. Then every byte of the
directory that each leaves is flipped, and every file cut before each of its bytes: what is lost must be named.
A directory of megabytes is spoilt at places that are evenly spread over it, so that 4 GiB are read back in all.")]
pub(crate) struct Args {
    /// Only every Nth operation and byte.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,

    /// Threads [default: one for each CPU that the command may run on].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Something to do for a thread.
enum Job<'a> {
    Loop(&'a Workload, usize),
    Spoil(&'a Workload, Spoil),
}

/// What came of it.
enum Done {
    Looped(Looped),
    Spoilt(Spoilt),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let report = Report::open(args.json.as_deref())?;
    interrupt::watch()?;
    let threads = args.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let since = Instant::now();
    let workloads = exhaust::workloads();
    let done = all(&workloads, args.every, threads);
    let findings = Findings::new(args.every, done, since.elapsed().as_secs_f64());
    let reported = report.map_or(Ok(()), |report| report.write(&findings));
    let printed = output::print(|out| findings.print(out));
    Failure::join([findings.verdict(), reported, printed])
}

fn all(workloads: &[Workload], every: u64, threads: usize) -> Vec<Done> {
    let mut jobs = Vec::new();
    // The longest first.
    for workload in workloads.iter().rev() {
        jobs.extend((0..KINDS.len()).map(|kind| Job::Loop(workload, kind)));
        jobs.extend([Spoil::Flip, Spoil::Cut].map(|spoil| Job::Spoil(workload, spoil)));
    }
    let (next, runs, done) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::new(Vec::with_capacity(jobs.len())));
    let bar = progress::spinner();
    let tell = || {
        let runs = runs.fetch_add(1, Ordering::Relaxed);
        if runs.is_multiple_of(64) {
            bar.set_message(format!("{} runs", grouped(runs)));
        }
    };
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
            && !interrupt::requested()
        {
            let one = quiet::during(|| match job {
                Job::Loop(workload, kind) => {
                    Done::Looped(exhaust::at_every_operation(workload, KINDS[*kind], every, |_| tell()))
                }
                Job::Spoil(workload, spoil) => {
                    Done::Spoilt(exhaust::at_every_byte(workload, *spoil, every, |_| tell()))
                }
            });
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(one);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What the loops came to, for people and programs.
#[derive(Serialize)]
struct Findings {
    command: &'static str,
    clean: bool,
    every: u64,
    seconds: f64,
    runs: u64,
    interrupted: bool,
    operations: Vec<Operations>,
    bytes: Vec<Bytes>,
    failures: Vec<String>,
}

/// A fault at every operation of a workload.
#[derive(Serialize)]
struct Operations {
    workload: &'static str,
    fault: &'static str,
    tried: u64,
    struck: u64,
}

/// Every byte of what a workload left.
#[derive(Serialize)]
struct Bytes {
    workload: &'static str,
    spoilt: &'static str,
    tried: u64,
    refused: u64,
    named: u64,
    whole: u64,
}

impl Findings {
    fn new(every: u64, done: Vec<Done>, seconds: f64) -> Findings {
        let (mut operations, mut bytes, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for done in done {
            match done {
                Done::Looped(Looped { workload, kind, tried, struck, failures: wrong }) => {
                    operations.push(Operations { workload, fault: kind.name(), tried, struck });
                    failures.extend(
                        wrong.into_iter().map(|(at, what)| format!("{workload}, {kind} at operation {at}: {what}")),
                    );
                }
                Done::Spoilt(Spoilt { workload, spoil, tried, refused, named, whole, failures: wrong }) => {
                    let spoilt = if spoil == Spoil::Flip { "flipped" } else { "cut" };
                    bytes.push(Bytes { workload, spoilt, tried, refused, named, whole });
                    failures.extend(
                        wrong
                            .into_iter()
                            .map(|(file, at, what)| format!("{workload}, {file} {spoilt} at byte {at}: {what}")),
                    );
                }
            }
        }
        let runs = operations.iter().map(|one| one.tried).chain(bytes.iter().map(|one| one.tried)).sum();
        let (clean, interrupted) = (failures.is_empty(), interrupt::requested());
        Findings { command: "sim exhaust", clean, every, seconds, runs, interrupted, operations, bytes, failures }
    }

    fn verdict(&self) -> Result<(), Failure> {
        match (self.failures.len() as u64, self.interrupted) {
            (0, false) => Ok(()),
            (0, true) => Err(Failure::failed("ended early: interrupted")),
            (failures, _) => {
                Err(Failure::failed(format!("{} did what must not be, named above", count(failures, "run"))))
            }
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut by_fault: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for one in &self.operations {
            let (tried, struck) = by_fault.entry(one.fault).or_default();
            (*tried, *struck) = (*tried + one.tried, *struck + one.struck);
        }
        let mut table = Table::new(&["fault at each operation", ">tried", ">struck"]);
        for (fault, (tried, struck)) in by_fault {
            table.row(vec![fault.into(), grouped(tried), grouped(struck)]);
        }
        table.write(out)?;
        writeln!(out)?;
        let mut table = Table::new(&["each byte of what is left", "spoilt", ">tried", ">named", ">refused", ">whole"]);
        for Bytes { workload, spoilt, tried, refused, named, whole } in &self.bytes {
            let counts = [tried, named, refused, whole].map(|count| grouped(*count));
            table.row([(*workload).into(), (*spoilt).into()].into_iter().chain(counts).collect());
        }
        table.write(out)?;
        for failure in self.failures.iter().take(20) {
            writeln!(out, "{failure}")?;
        }
        let verdict = if self.clean { "no silent loss" } else { "FAILED" };
        writeln!(out, "\n{} runs in {:.1} s: {verdict}", grouped(self.runs), self.seconds)
    }
}
