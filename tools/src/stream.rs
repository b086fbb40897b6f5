//! `diatreme stream`: erasure of a stream that was made with a key of its own. Streams are made by what writes into them.

use crate::engine_args::parse_name;
use crate::erase::{self, EraseArgs};
use crate::failure::Failure;
use clap::Subcommand;

const EXAMPLE: &str = "Example:
  diatreme ingest --data-dir data --tenant acme --stream person-4711 --erasable \\
      --master-key file:/etc/diatreme/master.key records.jsonl
  diatreme stream erase --data-dir data --tenant acme --stream person-4711 \\
      --master-key file:/etc/diatreme/master.key --yes";

/// Erases a stream.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Erase(Box<EraseStreamArgs>),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Erase(args) => erase::run("stream erase", &args.erase, Some(&args.stream)),
    }
}

/// Destroys the key of a stream that was made with one of its own (`ingest --erasable`): nobody can read its records any more.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Example:
  diatreme stream erase --data-dir data --tenant acme --stream person-4711 \\
      --master-key file:/etc/diatreme/master.key --yes

{}", erase::NOTES))]
struct EraseStreamArgs {
    #[command(flatten)]
    erase: EraseArgs,

    /// The stream's name; where none has it any more, the deleted one that had it last.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    stream: String,
}
