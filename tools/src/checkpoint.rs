//! `diatreme checkpoint`: follows a closed directory to its end, and signs what is there of each tenant.

use crate::directory::{self, Caching, Reader};
use crate::engine_args::parse_name;
use crate::failure::Failure;
use crate::key_args::KeyArgs;
use crate::names::{Names, shown};
use crate::output;
use crate::progress;
use crate::report::Report;
use crate::table::{Table, count, grouped};
use crypto::note::Checkpoint;
use diatreme::DirectoryLock;
use iobackend::Backend;
use kernel::TenantId;
use log::format::NOTARY;
use notary::{Error, Notary, Settings, Signing, Step};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const EXAMPLE: &str = "Example:
  diatreme checkpoint --data-dir data --master-key file:/etc/diatreme/master.key

No process may have the directory open. What is new in the log is followed, and every link of it computed
again; then each tenant's tree is signed, as notary/<tenant>/checkpoint below the data directory. The key in
the last column is what an auditor pins, once. Nothing is signed that does not contain what was signed
before: after a restore of an older copy the command says so, and ends with exit code 1. --re-anchor signs
all the same; the key store records it, and whoever holds an earlier checkpoint will notice.";

/// Signs a checkpoint of each tenant: how many records it has, and the root of their tree.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Only this tenant; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    tenant: Vec<String>,

    #[command(flatten)]
    keys: KeyArgs,

    /// Where what is there does not contain what was signed, give up what was signed, and sign what is there.
    #[arg(long)]
    re_anchor: bool,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let survey = directory::survey(&args.data_dir)?;
    let _lock = DirectoryLock::exclusive(&args.data_dir).map_err(Failure::engine(&args.data_dir))?;
    let report = Report::open(args.json.as_deref())?;
    let at = Failure::at(&args.data_dir);
    let manifest = Reader::open(&args.data_dir, Caching::Cached).and_then(|mut reader| reader.manifest());
    let manifest = manifest.map_err(Failure::at(&args.data_dir))?.manifest;
    let engine = manifest.ok_or(Error::NoManifest).map_err(&at)?.engine;
    // Before anything is changed: whether the master key is the right one.
    let mut store = args.keys.open(&args.data_dir, &engine)?;
    let mut notary = open(&args.data_dir)?;
    let followed = follow(&mut notary).map_err(&at)?;
    match Signing::new(&mut store) {
        Ok(signing) => notary.sign_with(signing),
        Err(Error::Keys(keys::Error::SignedMissing { .. })) if args.re_anchor && args.tenant.is_empty() => {
            notary.re_anchor_all(&mut store).map_err(&at)?;
        }
        Err(error) => return Err(error.into()),
    }
    let signed = sign(&mut notary, args).map_err(&at)?;
    notary.save().map_err(&at)?;
    let names =
        Reader::open(&args.data_dir, Caching::Cached).and_then(|mut reader| Names::read(&mut reader, &survey.logs));
    let findings = Findings::new(&notary, &followed, &signed, &names.map_err(Failure::at(&args.data_dir))?);
    let reported = report.map_or(Ok(()), |report| report.write(&findings));
    let printed = output::print(|out| print(&findings, out));
    Failure::join([verdict(&findings, &args.data_dir), reported, printed])
}

/// The notary of a directory that this process has locked.
pub(crate) fn open(data_dir: &Path) -> Result<Notary<Backend>, Failure> {
    let at = Failure::at(data_dir);
    let Reader { backend, buffer } = Reader::open(data_dir, Caching::Cached).map_err(&at)?;
    let buffer = buffer.expect("the reader has just carved its buffer");
    Notary::open(data_dir, backend, buffer, Settings::default()).map_err(Failure::at(data_dir))
}

/// Follows the logs to their ends.
fn follow(notary: &mut Notary<Backend>) -> Result<Step, Error> {
    if notary.rebuilt().is_some() {
        output::remark("note: what was derived from the log is missing or in doubt, and is made anew");
    }
    let spinner = progress::spinner();
    let step = notary.follow_all(|bytes| {
        spinner.set_position(bytes);
        true
    });
    spinner.finish_and_clear();
    step
}

/// Signs the tenants that are asked for.
fn sign(notary: &mut Notary<Backend>, args: &Args) -> Result<Step, Error> {
    let tenants: BTreeSet<u64> = match args.tenant.is_empty() {
        true => notary.tenants_to_sign(),
        false => args.tenant.iter().map(|name| TenantId::of_name(name).0).collect(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let mut step = notary.checkpoints(tenants, now)?;
    if args.re_anchor {
        for (tenant, error) in std::mem::take(&mut step.refused) {
            match error {
                Error::Refused(_) => step.signed.push(notary.re_anchor(tenant, now)?),
                error => step.refused.push((tenant, error)),
            }
        }
    }
    Ok(step)
}

fn verdict(findings: &Findings, data_dir: &Path) -> Result<(), Failure> {
    let not_signed = match &findings.refused[..] {
        [] if findings.damage.is_empty() => return Ok(()),
        [] => format!("{} damaged, named above", count(findings.damage.len() as u64, "place")),
        [one] => one.why.clone(),
        [first, rest @ ..] => format!("{} (and {} more)", first.why, rest.len()),
    };
    Err(Failure::failed(format!("{}: {not_signed}", data_dir.display())))
}

/// What was followed and signed, for people and programs.
#[derive(Serialize)]
struct Findings {
    command: &'static str,
    bytes_followed: u64,
    checkpoints: Vec<Line>,
    refused: Vec<Refusal>,
    damage: Vec<String>,
}

/// A checkpoint.
#[derive(Serialize)]
struct Line {
    tenant: String,
    tenant_name: Option<String>,
    size: u64,
    /// Hexadecimal.
    root: String,
    /// Nanoseconds since 1970.
    time: u64,
    /// Below the data directory.
    file: String,
    /// What an auditor pins.
    vkey: String,
    /// How often an operator gave up what was signed before.
    re_anchors: u32,
}

/// A tenant that was not signed for.
#[derive(Serialize)]
struct Refusal {
    tenant: String,
    tenant_name: Option<String>,
    why: String,
}

impl Findings {
    fn new(notary: &Notary<Backend>, followed: &Step, signed: &Step, names: &Names) -> Findings {
        let name = |tenant| names.tenant(tenant).map(str::to_owned);
        let line = |checkpoint: &Checkpoint| {
            let tenant = checkpoint.origin.tenant;
            let signing = notary.signing().expect("it has just signed");
            Line {
                tenant: format!("{tenant:016x}"),
                tenant_name: name(tenant),
                size: checkpoint.size,
                root: checkpoint.root.to_string(),
                time: checkpoint.time,
                file: format!("{NOTARY}/{tenant:016x}/checkpoint"),
                vkey: signing.verifier(&checkpoint.origin).to_string(),
                re_anchors: signing.last(tenant).map_or(0, |last| last.re_anchors),
            }
        };
        let refusal = |(tenant, error): &(u64, Error)| Refusal {
            tenant: format!("{tenant:016x}"),
            tenant_name: name(*tenant),
            why: error.to_string(),
        };
        Findings {
            command: "checkpoint",
            bytes_followed: followed.bytes,
            checkpoints: signed.signed.iter().map(line).collect(),
            refused: signed.refused.iter().map(refusal).collect(),
            damage: followed.damage.iter().map(ToString::to_string).collect(),
        }
    }
}

fn print(findings: &Findings, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&["tenant", ">records", "root", "key"]);
    for Line { tenant, tenant_name, size, root, vkey, .. } in &findings.checkpoints {
        let name = tenant_name.as_deref().map_or_else(|| tenant.clone(), shown);
        table.row(vec![name, grouped(*size), root.clone(), vkey.clone()]);
    }
    table.write(out)?;
    for line in findings.checkpoints.iter().filter(|line| line.re_anchors > 0) {
        let name = line.tenant_name.as_deref().map_or_else(|| line.tenant.clone(), shown);
        writeln!(out, "note: {name} was re-anchored, {}", count(u64::from(line.re_anchors), "time"))?;
    }
    for place in &findings.damage {
        writeln!(out, "damaged: {place}")?;
    }
    for Refusal { why, .. } in &findings.refused {
        writeln!(out, "not signed: {why}")?;
    }
    Ok(())
}
