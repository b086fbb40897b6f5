//! `diatreme keygen`: a new master key in a file.

use crate::failure::Failure;
use crate::key_args::guard_keys;
use crate::output;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

const EXAMPLE: &str = "Example:
  diatreme keygen /etc/diatreme/master.key

The file has 64 hexadecimal digits, and only its owner may read it. Keep it, and any copy, away from
the data and from the data's backups. It serves one key store: an erasure puts a new key in its place
and overwrites the old one. Without it, what was sealed cannot be read, by anybody.";

/// Makes a master key, under which a key store wraps its keys.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The file to make; one that is there is left alone.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    guard_keys();
    let path = args.file.display();
    match ::keys::generate_master_file(&args.file) {
        Ok(()) => output::print(|out| writeln!(out, "{path}: a new master key")),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::usage(format!("{path} is there already, and may be a key in use: name another file")))
        }
        Err(error) => Err(Failure::failed(format!("cannot make {path}: {error}"))),
    }
}
