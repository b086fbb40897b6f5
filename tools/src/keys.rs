//! `diatreme keys`: what a key store holds, and its wrapping under another master key. No command shows a key.

use crate::failure::Failure;
use crate::key_args::guard_keys;
use crate::output;
use crate::report::Report;
use crate::table::{Table, count, grouped};
use ::keys::{Error, KeyInfo, KeyState, KeyStore, MasterSource};
use clap::Subcommand;
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLE: &str = "Example:
  diatreme keys show --key-store data.keys --master-key file:/etc/diatreme/master.key
  diatreme keygen /etc/diatreme/next.key
  diatreme keys rotate-master --key-store data.keys --master-key file:/etc/diatreme/master.key \\
      --new-master-key file:/etc/diatreme/next.key";

const SOURCES: &str = "Sources of a master key:
  file:PATH             32 bytes, or 64 hexadecimal digits; only its owner may read it
  env:NAME              an environment variable with 64 hexadecimal digits
  credential:NAME       a credential of a systemd service (LoadCredential=)
  command:PROGRAM ARGS  what the program prints: 64 hexadecimal digits";

/// Shows a key store, and changes its master key.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Show(ShowArgs),
    RotateMaster(RotateArgs),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Show(args) => show(args),
        Command::RotateMaster(args) => rotate(args),
    }
}

/// Which store, and what opens it.
#[derive(clap::Args, Debug)]
struct StoreArgs {
    /// The key store's directory.
    #[arg(long, value_name = "DIR")]
    key_store: PathBuf,

    // A text and not a source: of a value that it does not take, the parser would show what was given, which may be a key.
    /// Where its master key comes from.
    #[arg(long, value_name = "SOURCE")]
    master_key: String,
}

impl StoreArgs {
    fn open(&self) -> Result<KeyStore, Failure> {
        let master = parse_source("--master-key", &self.master_key)?;
        guard_keys();
        Ok(KeyStore::open(&self.key_store, &KeyStore::engine_of(&self.key_store)?, &master)?)
    }
}

fn parse_source(option: &str, text: &str) -> Result<MasterSource, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{option}: {error}")))
}

/// Lists the keys of a store: whose they are, what may be done with them, since when. Never the keys themselves.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Example:
  diatreme keys show --key-store data.keys --master-key file:/etc/diatreme/master.key --json keys.json

{SOURCES}

No engine may have the store open. An erasure that was interrupted is finished, as by every opening."))]
struct ShowArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let report = Report::open(args.json.as_deref())?;
    let store = args.store.open()?;
    let content = Content::of(&store);
    drop(store);
    let reported = report.map_or(Ok(()), |report| report.write(&content));
    Failure::join([reported, output::print(|out| content.print(out))])
}

/// What a store holds, for people and programs.
#[derive(Serialize)]
struct Content {
    command: &'static str,
    engine: String,
    generation: u64,
    created_ns: u64,
    master_key: String,
    keys: Vec<KeyLine>,
}

#[derive(Serialize)]
struct KeyLine {
    tenant: String,
    key_id: u32,
    /// None: the tenant's. 4294967295: of a stream that was not created yet, or never.
    stream: Option<u32>,
    state: &'static str,
    commitment: String,
    created_ns: u64,
    retired_ns: Option<u64>,
    erased_ns: Option<u64>,
}

impl Content {
    fn of(store: &KeyStore) -> Content {
        Content {
            command: "keys show",
            engine: hex(store.engine()),
            generation: store.generation(),
            created_ns: store.created_ns(),
            master_key: store.master().to_string(),
            keys: store.keys().map(KeyLine::of).collect(),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Content { engine, generation, keys, .. } = self;
        let made = utc(self.created_ns);
        let held = count(keys.len() as u64, "key");
        writeln!(out, "key store of engine {engine}: generation {}, made {made}, {held}", grouped(*generation))?;
        if keys.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut table = Table::new(&["tenant", ">key", ">stream", "state", "made", "retired", "erased"]);
        for key in keys {
            let stream = match key.stream {
                None => "-".into(),
                Some(KeyStore::UNASSIGNED) => "not yet".into(),
                Some(stream) => stream.to_string(),
            };
            let time = |ns: Option<u64>| ns.map_or_else(|| "-".into(), utc);
            let (made, retired, erased) = (utc(key.created_ns), time(key.retired_ns), time(key.erased_ns));
            let state = key.state.into();
            table.row(vec![key.tenant.clone(), key.key_id.to_string(), stream, state, made, retired, erased]);
        }
        table.write(out)
    }
}

impl KeyLine {
    fn of(info: KeyInfo<'_>) -> KeyLine {
        let some = |ns| (ns > 0).then_some(ns);
        KeyLine {
            tenant: format!("{:016x}", info.tenant),
            key_id: info.key_id,
            stream: (info.stream > 0).then_some(info.stream),
            state: match info.state {
                KeyState::Current => "current",
                KeyState::Retired => "retired",
                KeyState::Erased => "erased",
            },
            commitment: hex(&info.commitment),
            created_ns: info.created_ns,
            retired_ns: some(info.retired_ns),
            erased_ns: some(info.erased_ns),
        }
    }
}

/// Wraps all keys of a store again, under another master key.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Example:
  diatreme keygen /etc/diatreme/next.key
  diatreme keys rotate-master --key-store data.keys --master-key file:/etc/diatreme/master.key \\
      --new-master-key file:/etc/diatreme/next.key

{SOURCES}

No engine may have the store open. The old master key is left alone: it opens older copies of the key
store. Destroy it when these are not needed any more."))]
struct RotateArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Where the new master key comes from.
    #[arg(long, value_name = "SOURCE")]
    new_master_key: String,
}

fn rotate(args: &RotateArgs) -> Result<(), Failure> {
    let new = parse_source("--new-master-key", &args.new_master_key)?;
    let mut store = args.store.open()?;
    let old = store.master().clone();
    store.rotate_master(&new)?;
    let keys = count(store.keys().filter(|info| info.key.is_some()).count() as u64, "key");
    output::print(|out| {
        writeln!(out, "{}: {keys} wrapped under {new}", args.store.key_store.display())?;
        writeln!(out, "{old} opens older copies of the key store; destroy it when these are not needed any more")
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Missing { .. } | Error::Source(_) | Error::SameMaster { .. } => Failure::usage(error.to_string()),
            _ => Failure::failed(error.to_string()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A time for people, to the second.
fn utc(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(day);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a day since 1970. Years are counted from March, so that the leap day is a year's last.
fn civil(day: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01, in eras of 400 years.
    let since = day + 719_468;
    let (era, day) = (since / 146_097, since % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (next_year, month_of) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (400 * era + year + next_year, month_of, day - (153 * month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds * 1_000_000_000), text);
        }
    }
}
