//! Diatreme and other embedded stores at the same durable appends, side by side. What is measured, with which settings, and what
//! the ratios mean is in `docs/peers.md`.

mod cell;
mod device;
mod failure;
mod flush_count;
mod interrupt;
mod measure;
mod noise;
mod report;
mod stores;

use cell::Cell;
use clap::Parser;
use failure::Failure;
use measure::{Measured, Verdict, measure};
use noise::Noise;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use stores::{ENGINES, Engine};

/// A mebibyte and a half is the most that a request to Diatreme may carry.
const BATCH_BYTES_MAX: usize = 1536 << 10;
const WARM_UP: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "Example:
  peers/run --dir /data --rounds 5 --json peers.json
      all engines, on the file system of /data: about a minute and a half a round
  peers/run --engines diatreme,raft-engine --batches 1000 --payload 1024 --markdown";

/// Measures Diatreme and other embedded stores at the same durable appends.
#[derive(Debug, Parser)]
#[command(name = "peers", bin_name = "peers/run", after_help = EXAMPLES, max_term_width = 120)]
struct Args {
    /// Seconds that count in a cell; 0.2 more warm up
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    seconds: f64,
    /// Rounds; each runs every engine once in each cell, in another order
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Bytes a record
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    payload: usize,
    /// Records a commit, one commit in flight
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,10,100,1000")]
    batches: Vec<usize>,
    /// Commits of one record in flight, for a last column; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 64)]
    in_flight: usize,
    /// Engines, of: diatreme, raft-engine, fjall, redb, rocksdb, sqlite [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    engines: Vec<String>,
    /// A directory on the file system to be measured; what is written there is removed
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Writes every measurement to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Prints the tables in Markdown
    #[arg(long)]
    markdown: bool,
}

/// What a comparison is made of, checked.
struct Plan {
    engines: Vec<Engine>,
    /// Batch and commits in flight of each column.
    columns: Vec<(usize, usize)>,
    measured: Duration,
    rounds: usize,
}

/// The JSON.
#[derive(Serialize)]
struct Report<'a> {
    payload_bytes: usize,
    seconds: f64,
    rounds: usize,
    measured: &'a [Measured],
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("peers: {}", failure.message());
            ExitCode::from(failure.code())
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let plan = plan(args)?;
    device::check(&args.dir)?;
    let mut json = match &args.json {
        Some(path) => {
            let doing = format!("--json {}", path.display());
            Some(
                std::fs::File::create(path)
                    .map_err(|error| Failure::Usage(format!("{doing}: cannot write there: {error}")))?,
            )
        }
        None => None,
    };
    interrupt::listen()?;
    let mut all = Vec::new();
    let ended = measure_all(&plan, args, &mut all);
    // Also of a comparison that ended early there is to be had what was measured.
    if let Some(file) = &mut json {
        let (payload_bytes, seconds, rounds) = (args.payload, args.seconds, args.rounds);
        let report = Report { payload_bytes, seconds, rounds, measured: &all };
        let text = serde_json::to_string_pretty(&report).map_err(Failure::doing("cannot write JSON"))?;
        writeln!(file, "{text}").map_err(Failure::doing("cannot write JSON"))?;
    }
    let tables = report::Tables { engines: &plan.engines, columns: &plan.columns, all: &all, markdown: args.markdown };
    match write!(std::io::stdout(), "{tables}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::doing("cannot write")(error)),
        _ => ended,
    }
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    let refuse = |text: String| Err(Failure::Usage(text));
    if !(args.seconds >= 0.1 && args.seconds <= 600.0) {
        return refuse(format!("--seconds {}: choose 0.1 to 600", args.seconds));
    }
    if !(1..=1000).contains(&args.rounds) {
        return refuse(format!("--rounds {}: choose 1 to 1000", args.rounds));
    }
    if args.in_flight > 1024 {
        return refuse(format!("--in-flight {}: choose 1 to 1024, or 0 for no such column", args.in_flight));
    }
    for &batch in &args.batches {
        if batch == 0 || args.payload == 0 || batch.saturating_mul(args.payload) > BATCH_BYTES_MAX {
            let payload = args.payload;
            return refuse(format!(
                "{batch} records of {payload} bytes a commit: choose 1 to {BATCH_BYTES_MAX} together"
            ));
        }
    }
    let mut columns: Vec<_> = args.batches.iter().map(|&batch| (batch, 1)).collect();
    if args.in_flight > 0 && !columns.contains(&(1, args.in_flight)) {
        columns.push((1, args.in_flight));
    }
    let measured = Duration::from_secs_f64(args.seconds);
    Ok(Plan { engines: engines(&args.engines)?, columns, measured, rounds: args.rounds })
}

/// The engines that are named, in our order.
fn engines(names: &[String]) -> Result<Vec<Engine>, Failure> {
    let is = |engine: &Engine, name: &String| engine.name.eq_ignore_ascii_case(name);
    if let Some(unknown) = names.iter().find(|name| !ENGINES.iter().any(|engine| is(engine, name))) {
        let known = ENGINES.map(|engine| engine.name.to_lowercase()).join(", ");
        return Err(Failure::Usage(format!("--engines {unknown}: no such engine; there are {known}")));
    }
    let named = |engine: &Engine| names.is_empty() || names.iter().any(|name| is(engine, name));
    Ok(ENGINES.into_iter().filter(named).collect())
}

/// In each round each cell is run by every engine, one after the other, so that they meet the same weather; who is first changes.
fn measure_all(plan: &Plan, args: &Args, all: &mut Vec<Measured>) -> Result<(), Failure> {
    let noise = Noise::new(args.payload);
    for round in 0..plan.rounds {
        for &(batch, in_flight) in &plan.columns {
            let cell = Cell { noise: &noise, batch, in_flight, warm_up: WARM_UP, measured: plan.measured };
            for at in 0..plan.engines.len() {
                let engine = &plan.engines[(at + round) % plan.engines.len()];
                let measured = measure(engine, &cell, round, &args.dir);
                if interrupt::asked() {
                    let done = format!("interrupted; the tables are of the cells before, {} in number", all.len());
                    return Err(Failure::Failed(done));
                }
                let measured = measured?;
                tell(&measured, plan);
                all.push(measured);
            }
        }
    }
    Ok(())
}

fn tell(measured: &Measured, plan: &Plan) {
    let Measured { engine, batch, in_flight, round, records_per_s, commit_p50_us, commit_p99_us, .. } = measured;
    let (round, rounds, rate) = (round + 1, plan.rounds, report::short(*records_per_s));
    let mark = if measured.flushes.verdict == Verdict::NotDurable { ", NOT DURABLE" } else { "" };
    eprintln!(
        "round {round} of {rounds}, {batch} a commit, {in_flight} in flight, {engine}: {rate} records/s, commit p50 \
         {commit_p50_us:.0} µs, p99 {commit_p99_us:.0} µs{mark}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(flags: &[&str]) -> String {
        let args = Args::try_parse_from([&["peers"], flags].concat()).unwrap();
        match plan(&args) {
            Err(Failure::Usage(text)) => text,
            other => panic!("{flags:?}: {:?}", other.map(|plan| plan.columns)),
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(refused(&["--seconds", "0"]).contains("--seconds 0"));
        assert!(refused(&["--seconds", "NaN"]).contains("--seconds"));
        assert!(refused(&["--rounds", "0"]).contains("--rounds 0"));
        assert!(refused(&["--batches", "10,0"]).contains("0 records"));
        assert!(refused(&["--payload", "0"]).contains("0 bytes"));
        assert!(refused(&["--payload", "2000"]).contains("1000 records of 2000 bytes"));
        assert!(refused(&["--in-flight", "1025"]).contains("--in-flight 1025"));
        assert!(refused(&["--engines", "redb,lmdb"]).contains("lmdb"));
    }

    #[test]
    fn engines_are_found_whatever_the_case_and_the_order() {
        let found = engines(&["RocksDB".into(), "diatreme".into()]).unwrap();
        assert_eq!(found.iter().map(|engine| engine.name).collect::<Vec<_>>(), ["Diatreme", "RocksDB"]);
    }
}
