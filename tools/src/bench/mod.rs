//! `diatreme bench`: what this machine does with a load, beside what it could do at best.
//!
//! A call makes a [`document`](document::Document): from it come the table, the JSON, and the page. [`args`] says what may be asked,
//! [`scenario`] what is then run, [`load`] and [`sender`] send it, [`watch`] collects, [`run`] sets the floors beside it.

mod acknowledged;
mod args;
mod arrivals;
mod compare;
mod document;
mod figures;
mod files;
mod history;
mod live;
mod load;
#[cfg(test)]
mod made_up;
mod outputs;
pub(crate) mod page;
mod payload;
mod run;
mod scenario;
mod sender;
mod spread;
mod stages;
mod sweep;
mod switches;
mod table;
mod watch;

use crate::failure::Failure;
use crate::report::Report;
use crate::scratch::Scratch;
use crate::{interrupt, machine};
use acknowledged::Acknowledged;
use args::{LoadArgs, Scenario};
use clap::{Args as ClapArgs, Subcommand};
use document::{Document, FORMAT, Run, Setup};
use files::HdrLog;
use outputs::{OutputArgs, Outputs};
use run::Bench;
use shard::limits::REQUEST_PAYLOAD_MAX;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Measures the engine under a load, and the machine's own floors beside it.
#[derive(ClapArgs, Clone, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:
  diatreme bench --records 5000000 --payload 100 --json bench.json --html bench.html
  diatreme bench --rate 1000000 --poisson --duration 10
  diatreme bench --scenario mixed --input samples/audit.jsonl
  diatreme bench sweep --html sweep.html
  diatreme bench compare before.json after.json

Latency counts from the moment when a request was due: in an open loop (--rate) that is its place in the
schedule, however late it could be sent. Beside each figure stands the machine's own floor, measured in the
same run: frames of the same size written durably to the bare device, as many at a time as were in
flight, and the same records copied and chained in a bare loop. No engine that keeps the promise is faster
than the tighter of the two. The tail has a floor of its own: the pauses of the same CPUs when they do
nothing but read the clock. Without --data-dir, a fresh directory in the current one is used and removed.
Ctrl-C ends a run early, in order: what was measured is told, and the exit code is 1."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// What is done.
    #[arg(long, value_enum, default_value_t = Scenario::Append)]
    scenario: Scenario,

    /// Runs, each in a fresh directory: their spread says which differences mean something.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,

    /// Write every latency and its fraction to this file, as CSV.
    #[arg(long, value_name = "FILE")]
    ecdf: Option<PathBuf>,

    /// Write the histogram of each interval to this file, in the format that HdrHistogram's tools read.
    #[arg(long, value_name = "FILE")]
    hdr_log: Option<PathBuf>,

    /// Tell in this file or pipe, as answers come, the tenant, the stream, and the offset up to which its records are
    /// acknowledged; a line for each. For tests that end the run by force: it costs time.
    #[arg(long, value_name = "FILE", requires = "data_dir", conflicts_with = "repeat")]
    acknowledged: Option<PathBuf>,

    #[command(flatten)]
    load: LoadArgs,

    #[command(flatten)]
    outputs: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Sweep(Box<sweep::Args>),
    Compare(compare::Args),
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Some(Command::Sweep(args)) => sweep::run(args),
        Some(Command::Compare(args)) => compare::run(args),
        None => measure(args),
    }
}

fn measure(args: &Args) -> Result<(), Failure> {
    let log = args.hdr_log.as_deref().map(HdrLog::open).transpose()?;
    let mut bench = Bench::new(&args.load, args.scenario, log)?;
    bench.records_all = args.ecdf.is_some();
    bench.acknowledged = args.acknowledged.as_deref().map(Acknowledged::open).transpose()?;
    let outputs = Outputs::open(&args.outputs)?.with_ecdf(Report::open(args.ecdf.as_deref())?);
    interrupt::watch()?;
    let scratch = Scratch::make(args.load.data_dir.as_deref(), "bench")?;
    let machine = machine::Setup::of(&sweep::existing(&scratch.path));
    let mut runs = Vec::new();
    for number in 1..=args.repeat {
        if interrupt::requested() {
            break;
        }
        let directory =
            if args.repeat == 1 { scratch.path.clone() } else { scratch.path.join(format!("run-{number}")) };
        runs.push(bench.scenario(args.scenario, &directory)?);
        scratch.drop_part(&directory)?;
    }
    let document = bench.document("bench", machine, runs);
    let logged = bench.log.take().map_or(Ok(()), HdrLog::finish);
    let written = outputs.write(&document, &bench.recorded);
    Failure::join([written, logged, verdict(&document)])
}

/// A run that was cut short is no success: whoever scripts it must not take its figures for those of a whole one.
fn verdict(document: &Document) -> Result<(), Failure> {
    if document.interrupted {
        return Err(Failure::failed("interrupted: the figures are of the part that ran"));
    }
    Ok(())
}

impl<'a> Bench<'a> {
    fn new(args: &'a LoadArgs, scenario: Scenario, log: Option<HdrLog>) -> Result<Bench<'a>, Failure> {
        let config = args.config(scenario)?;
        let payloads = args.payloads()?;
        let request_bytes = config.batch as usize * payloads.bytes_max();
        if request_bytes > REQUEST_PAYLOAD_MAX as usize {
            return Err(Failure::usage(format!(
                "{} records a request, of up to {} bytes: a request takes {REQUEST_PAYLOAD_MAX} bytes; choose a smaller --batch",
                config.batch,
                payloads.bytes_max()
            )));
        }
        Ok(Bench {
            args,
            config,
            payloads,
            log,
            recorded: Vec::new(),
            records_all: false,
            acknowledged: None,
            seen: None,
            interrupted: false,
        })
    }

    fn document(&self, command: &str, machine: machine::Setup, runs: Vec<Run>) -> Document {
        let shards = self.seen.iter().flat_map(|seen| &seen.shards);
        let backend = shards.clone().next().map(|shard| &shard.backend);
        Document {
            format: FORMAT,
            command: command.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            interrupted: self.interrupted || interrupt::requested(),
            setup: Setup {
                machine,
                backend: backend.map_or_else(String::new, |backend| backend.kind.to_string()),
                backend_notes: backend.map_or_else(Vec::new, |backend| backend.notes.clone()),
                direct_io: backend.is_some_and(|backend| backend.direct),
                chain: crypto::implementation().into(),
                shard_cpus: shards.map(|shard| shard.cpu).collect(),
                client_cpus: self.seen.as_ref().map_or_else(Vec::new, |seen| seen.client_cpus.clone()),
                debug_build: cfg!(debug_assertions),
                // A path need not be text.
                arguments: std::env::args_os()
                    .skip(1)
                    .map(|argument| argument.to_string_lossy().into_owned())
                    .collect(),
            },
            config: self.config.clone(),
            runs,
            sweep: None,
        }
    }
}
