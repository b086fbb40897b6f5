//! `diatreme doctor`: what this machine does to tail latency, and the commands that make it better.
//!
//! Facts come from [`crate::machine`] and from [`measure`]; the other modules judge them. A judgement is a function of
//! facts, so that machines which are not this one are tested too.

mod disk;
mod kernel;
mod limits;
mod line;
mod measure;
mod memory;
mod processor;
mod shards;
#[cfg(test)]
mod tests;

use crate::engine_args::CoresArg;
use crate::failure::Failure;
use crate::machine::{Machine, Root, Setup};
use crate::output;
use crate::report::Report;
use crate::table::{Table, count};
use line::{Heading, Line, Verdict};
use measure::Measured;
use serde::Serialize;
use shards::Shards;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const EXAMPLE: &str = "Example:
  diatreme doctor --data-dir data --cores 2-7 --json doctor.json

Each line says what was found, whether it is good for tail latency, and why; below stand the
commands that change what is not. Nothing is changed. It takes about a second: up to four CPUs
are kept busy to see what takes them away, and a file of 4 MiB without a name is written in the
directory.
What cannot be read, as in a container or outside Linux, is unknown. Without --cores, the advice
is for shards on every core but the first. docs/operations.md explains each line.

Exit code 0 whatever was found: this is a report, not a test; 2 if the directory cannot be used.";

/// Says what of this machine is good for tail latency, what is not, and what to change.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The directory that holds, or is to hold, the data: its file system and disk are looked at.
    #[arg(long, value_name = "DIR", default_value = ".")]
    data_dir: PathBuf,

    /// The CPUs that shards are to be pinned to: a list such as 0,2-3.
    #[arg(long, value_name = "LIST", default_value = "auto", hide_default_value = true)]
    cores: CoresArg,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is judged.
struct Facts<'a> {
    data_dir: PathBuf,
    machine: &'a Machine,
    measured: &'a Measured,
    shards: Shards,
}

impl Facts<'_> {
    fn isolate(&self) -> String {
        self.shards.isolate(self.machine)
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let data_dir = usable(&args.data_dir)?;
    let report = Report::open(args.json.as_deref())?;
    let machine = Machine::read(&Root::system(), &data_dir);
    let shards = Shards::new(&machine, &args.cores.0);
    let measured = Measured::now(&data_dir, &shards.cpus)?;
    let facts = Facts { data_dir, machine: &machine, measured: &measured, shards };
    let findings = Findings::new(&facts);
    let reported = report.map_or(Ok(()), |report| report.write(&findings));
    let printed = output::print(|out| findings.print(out));
    Failure::join([reported, printed])
}

/// The directory's absolute path without links.
fn usable(data_dir: &Path) -> Result<PathBuf, Failure> {
    let named = |error: io::Error| Failure::usage(format!("{}: {error}; name a directory", data_dir.display()));
    let path = data_dir.canonicalize().map_err(named)?;
    // Asked here, for the name of a file in no directory is a worse answer.
    std::fs::read_dir(&path).map_err(named)?;
    Ok(path)
}

/// The report, for people and programs.
#[derive(Serialize)]
struct Findings {
    command: &'static str,
    data_dir: String,
    /// The CPUs that the advice takes for the shards', and whether `--cores` named them.
    shard_cpus: Vec<usize>,
    shard_cpus_named: bool,
    summary: Summary,
    lines: Vec<Line>,
    setup: Setup,
}

#[derive(Serialize)]
struct Summary {
    lines: usize,
    good: usize,
    fair: usize,
    bad: usize,
    unknown: usize,
}

fn lines(facts: &Facts) -> Vec<Line> {
    let all = [processor::lines, memory::lines, kernel::lines, disk::lines, limits::lines];
    all.iter().flat_map(|lines| lines(facts)).collect()
}

impl Findings {
    fn new(facts: &Facts) -> Findings {
        let lines = lines(facts);
        let of = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
        Findings {
            command: "doctor",
            data_dir: facts.data_dir.display().to_string(),
            shard_cpus: facts.shards.cpus.clone(),
            shard_cpus_named: facts.shards.named,
            summary: Summary {
                lines: lines.len(),
                good: of(Verdict::Good),
                fair: of(Verdict::Fair),
                bad: of(Verdict::Bad),
                unknown: of(Verdict::Unknown),
            },
            setup: Setup::from(facts.machine),
            lines,
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        self.table().write(out)?;
        self.print_changes(out)?;
        let Summary { lines, good, fair, bad, unknown } = self.summary;
        writeln!(out, "\n{}: {good} good, {fair} fair, {bad} bad, {unknown} unknown", count(lines as u64, "line"))
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["", "", "", ""]);
        let mut heading: Option<Heading> = None;
        for line in &self.lines {
            if heading.replace(line.heading) != Some(line.heading) {
                table.row(vec![line.heading.name().into(), String::new(), String::new(), String::new()]);
            }
            let name = format!("  {}", line.name);
            table.row(vec![name, line.verdict.name().into(), line.found.clone(), line.why.clone()]);
        }
        table
    }

    /// The commands, each once with the names of the lines that it is for.
    fn print_changes(&self, out: &mut impl Write) -> io::Result<()> {
        let mut changes: Vec<(Vec<&str>, &str)> = Vec::new();
        for line in self.lines.iter().filter(|line| !line.change.is_empty()) {
            match changes.iter_mut().find(|(_, command)| *command == line.change) {
                Some((names, _)) => names.push(line.name),
                None => changes.push((vec![line.name], &line.change)),
            }
        }
        if !changes.is_empty() {
            writeln!(out, "\nto change (what is written below /sys and /proc holds until the next start)")?;
        }
        for (names, command) in changes {
            let later = if command.contains("isolcpus=") { ", after a reboot" } else { "" };
            writeln!(out, "  {}{later}:\n    {command}", names.join(", "))?;
        }
        Ok(())
    }
}
