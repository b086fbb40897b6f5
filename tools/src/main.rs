//! The `diatreme` command: data in and out of a data directory, its verification, what lies in it, its tenants
//! and key store, erasure, a benchmark, and the simulator.
//!
//! Each subcommand has a module with its arguments and a `run`; main tells how it ended. What a command found goes to
//! standard output, why it failed to standard error in one line.
#![forbid(unsafe_code)]

mod bench;
mod checkpoint;
mod demo;
mod directory;
mod doctor;
mod durability;
mod engine_args;
mod erase;
mod failure;
mod floor;
mod ingest;
mod input;
mod inspect;
mod interrupt;
mod key_args;
mod keygen;
mod keys;
mod machine;
mod names;
mod output;
mod progress;
mod proof;
mod prove;
mod read;
mod report;
mod scratch;
mod sim;
mod stream;
mod table;
mod tenant;
mod verify;

use clap::{Parser, Subcommand};
use failure::{Failure, WRONG_USAGE};
use std::io::Write;
use std::process::ExitCode;

/// Puts records into a Diatreme data directory, reads them back, and proves that they are whole.
#[derive(Parser)]
#[command(name = "diatreme", version, after_help = EXAMPLE, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str = "Example:
  diatreme demo
  diatreme keygen master.key
  diatreme ingest --data-dir data --tenant acme --stream audit --master-key file:master.key samples/audit.jsonl
  diatreme verify --data-dir data
  diatreme read --data-dir data --tenant acme --stream audit --from 10 --count 5 --master-key file:master.key

Exit codes: 0 done; 1 it did not work, or damage was found; 2 it was called wrongly.";

#[derive(Subcommand)]
enum Command {
    Ingest(ingest::Args),
    Read(read::Args),
    Verify(verify::Args),
    Checkpoint(checkpoint::Args),
    #[command(subcommand)]
    Prove(prove::Command),
    Proof(proof::Args),
    Inspect(inspect::Args),
    Tenant(tenant::Args),
    Stream(stream::Args),
    Bench(Box<bench::Args>),
    Keygen(keygen::Args),
    Keys(keys::Args),
    Demo(demo::Args),
    Doctor(doctor::Args),
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return show(&error),
    };
    end(run(&cli.command))
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Ingest(args) => ingest::run(args),
        Command::Read(args) => read::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Checkpoint(args) => checkpoint::run(args),
        Command::Prove(command) => prove::run(command),
        Command::Proof(args) => proof::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Tenant(args) => tenant::run(args),
        Command::Stream(args) => stream::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Keygen(args) => keygen::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Demo(args) => demo::run(args, run_words),
        Command::Doctor(args) => doctor::run(args),
        Command::Sim(args) => sim::run(args),
    }
}

/// Runs a command given as words, as if it had been typed.
fn run_words(words: &[&str]) -> Result<(), Failure> {
    let typed = ["diatreme"].iter().chain(words);
    let cli = Cli::try_parse_from(typed).map_err(|error| Failure::usage(error.to_string()))?;
    run(&cli.command)
}

/// Shows help or the version, or what is wrong with the arguments.
fn show(message: &clap::Error) -> ExitCode {
    let text = message.render().to_string();
    if message.use_stderr() {
        // Called without anything, clap shows the help there, and then there is no error to name.
        let error = text.strip_prefix("error: ");
        output::tell(&error.map_or_else(|| text.clone(), |error| format!("diatreme: {error}")));
        return ExitCode::from(WRONG_USAGE);
    }
    end(output::print(|out| out.write_all(text.as_bytes())))
}

/// Tells why a command failed, if it did, and gives its exit code.
fn end(ended: Result<(), Failure>) -> ExitCode {
    let Err(failure) = ended else { return ExitCode::SUCCESS };
    if let Some(message) = failure.message() {
        output::remark(message);
    }
    ExitCode::from(failure.code())
}
