//! `diatreme prove`: proofs against the newest checkpoint on file, for whoever has the pinned key. No key is needed to make them.

use crate::checkpoint::open;
use crate::directory::{self, Caching, Reader};
use crate::engine_args::parse_name;
use crate::failure::Failure;
use crate::names::Names;
use crate::output;
use clap::{Args, Subcommand};
use crypto::note::NOTE_BYTES_MAX;
use diatreme::{DirectoryLock, OpenError};
use kernel::TenantId;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const EXAMPLE: &str = "Example:
  diatreme prove inclusion --data-dir data --tenant acme --stream audit --offset 10 --out record.proof
  diatreme prove consistency --data-dir data --tenant acme --old kept.checkpoint --out growth.proof

A proof is a text that holds all that it takes to check it, but for the key that the auditor pinned. It is
made against the newest checkpoint that `diatreme checkpoint`, or the engine, signed.";

/// Proves that a record is in what was signed, or that what was signed only grew.
#[derive(Subcommand, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) enum Command {
    Inclusion(Inclusion),
    Consistency(Consistency),
}

/// Which tenant of which directory, and where the proof goes.
#[derive(Args, Debug)]
struct Place {
    /// The data directory; no process may have it open.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// The tenant's name.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    tenant: String,

    /// Write the proof to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Proves that one record is in the tree of the tenant's newest checkpoint.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  diatreme prove inclusion --data-dir data --tenant acme --stream audit --offset 10 --out record.proof

The proof holds the record as it lies in the log: of an encrypted tenant, its ciphertext.")]
pub(crate) struct Inclusion {
    #[command(flatten)]
    place: Place,

    /// The stream's name.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    stream: String,

    /// The record's offset in the stream.
    #[arg(long, value_name = "OFFSET")]
    offset: u64,
}

/// Proves that the tenant's newest checkpoint extends one that was kept.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  diatreme prove consistency --data-dir data --tenant acme --old kept.checkpoint --out growth.proof")]
pub(crate) struct Consistency {
    #[command(flatten)]
    place: Place,

    /// The checkpoint that was kept.
    #[arg(long, value_name = "FILE")]
    old: PathBuf,
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Inclusion(args) => inclusion(args),
        Command::Consistency(args) => consistency(args),
    }
}

fn inclusion(Inclusion { place, stream, offset }: &Inclusion) -> Result<(), Failure> {
    let at = Failure::at(&place.data_dir);
    let survey = directory::survey(&place.data_dir)?;
    let _lock = lock(&place.data_dir)?;
    let tenant = TenantId::of_name(&place.tenant).0;
    let names =
        Reader::open(&place.data_dir, Caching::Cached).and_then(|mut reader| Names::read(&mut reader, &survey.logs));
    let names = names.map_err(Failure::at(&place.data_dir))?;
    let unknown = |what: String| Failure::failed(format!("{}: {what}", place.data_dir.display()));
    names.tenant(tenant).ok_or_else(|| unknown(format!("no tenant {:?}", place.tenant)))?;
    let number = names.stream_named(tenant, stream);
    let number = number.ok_or_else(|| unknown(format!("no stream {stream:?} in tenant {:?}", place.tenant)))?;
    let proof = open(&place.data_dir)?.inclusion(tenant, number, *offset).map_err(&at)?;
    put(place.out.as_deref(), &proof.encode())
}

fn consistency(Consistency { place, old }: &Consistency) -> Result<(), Failure> {
    let at = Failure::at(&place.data_dir);
    directory::survey(&place.data_dir)?;
    let kept = read(old)?;
    let _lock = lock(&place.data_dir)?;
    let tenant = TenantId::of_name(&place.tenant).0;
    let proof = open(&place.data_dir)?.consistency_from(tenant, &kept).map_err(&at)?;
    put(place.out.as_deref(), &proof.encode())
}

/// Nobody else may write what is derived; in a directory that may only be read, nobody does.
fn lock(data_dir: &Path) -> Result<Option<DirectoryLock>, Failure> {
    match DirectoryLock::exclusive(data_dir) {
        Err(OpenError::Directory { .. }) => DirectoryLock::shared(data_dir).map_err(Failure::engine(data_dir)),
        locked => locked.map(Some).map_err(Failure::engine(data_dir)),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(NOTE_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    if text.len() > NOTE_BYTES_MAX {
        return Err(unreadable(&format!("more than the {NOTE_BYTES_MAX} bytes that a checkpoint has")));
    }
    Ok(text)
}

fn put(path: Option<&Path>, proof: &str) -> Result<(), Failure> {
    let Some(path) = path else {
        return output::print(|out| out.write_all(proof.as_bytes()));
    };
    std::fs::write(path, proof).map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))
}
