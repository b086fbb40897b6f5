//! `diatreme demo`: the main job once, with the other commands, as one would type them.

use crate::failure::Failure;
use crate::output;
use crate::scratch::Scratch;
use clap::Args as ClapArgs;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Audit events of machines and services.
const SAMPLE: &str = include_str!("../../samples/audit.jsonl");

/// Appends a sample, reads it back, verifies the directory and shows what lies in it.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Example:
  diatreme demo --directory demo

The directory holds the sample, the data directory, and what was read back. Without --directory, a fresh one
in the current directory is used and removed.")]
pub(crate) struct Args {
    /// A fresh directory, which is kept.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Runs the command; `run` runs another one, given its words.
pub(crate) fn run(args: &Args, run: impl Fn(&[&str]) -> Result<(), Failure>) -> Result<(), Failure> {
    let scratch = Scratch::make(args.directory.as_deref(), "demo")?;
    let [data, sample, back] = ["data", "sample.jsonl", "read-back.jsonl"].map(|name| scratch.path.join(name));
    fs::create_dir_all(&scratch.path).map_err(|error| Failure::output(&text(&scratch.path), &error))?;
    fs::write(&sample, SAMPLE).map_err(|error| Failure::output(&text(&sample), &error))?;

    let (data, sample_name, back_name) = (text(&data), text(&sample), text(&back));
    let master = text(&scratch.path.join("master.key"));
    let source = format!("file:{master}");
    let place = ["--data-dir", &data, "--tenant", "acme", "--stream", "audit", "--master-key", &source];
    show_and_run(&run, &["keygen", &master])?;
    show_and_run(&run, &[&["ingest"], &place[..], &[&sample_name]].concat())?;
    show_and_run(&run, &[&["read"], &place[..], &["--output", &back_name]].concat())?;
    let read = fs::read(&back).map_err(|error| Failure::failed(format!("cannot read {back_name}: {error}")))?;
    if read != SAMPLE.as_bytes() {
        return Err(Failure::failed(format!("{back_name} differs from {sample_name}: this is a bug, report it")));
    }
    output::print(|out| writeln!(out, "{back_name} is, byte for byte, {sample_name}"))?;
    show_and_run(&run, &["verify", "--data-dir", &data])?;
    show_and_run(&run, &["inspect", "--data-dir", &data])
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn show_and_run(run: impl Fn(&[&str]) -> Result<(), Failure>, words: &[&str]) -> Result<(), Failure> {
    output::print(|out| writeln!(out, "\n$ diatreme {}", words.join(" ")))?;
    run(words)
}
