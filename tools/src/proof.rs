//! `diatreme proof verify`: checks a proof by itself. No data directory, no engine, no secret key.

use crate::failure::Failure;
use crate::output;
use crate::report::Report;
use crate::table::{Table, grouped};
use crate::verify::checkpoints::{Kept, read_text};
use crypto::note::{Checkpoint, ConsistencyProof, Included, InclusionProof, NoteError, PROOF_BYTES_MAX, Verifier};
use serde::Serialize;
use std::path::{Path, PathBuf};

const EXAMPLE: &str = "Examples:
  diatreme proof verify record.tlog-proof --key diatreme/<engine>/<tenant>+<id>+<key>
  diatreme proof verify newer.proof --old kept.checkpoint --key diatreme/<engine>/<tenant>+<id>+<key>

A proof of inclusion shows that one record is in a tenant's history as it was signed. A proof of
consistency shows that a newer checkpoint extends the one that was kept. Which of both it is, its
first line says. The key is the one that was pinned when the audit began: whoever gives the proof is
not to be asked for it.

Exit code 1 if the proof proves nothing, 2 if a file cannot be read or the key is none.";

/// Checks proofs.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Verify(VerifyArgs),
}

/// Checks a proof of inclusion or of consistency, offline, and says what it proves.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
struct VerifyArgs {
    /// The proof.
    #[arg(value_name = "PROOF")]
    proof: PathBuf,

    /// The pinned key, as `name+id+base64`.
    #[arg(long, value_name = "VKEY")]
    key: Verifier,

    /// Of a proof of consistency: the checkpoint that was kept.
    #[arg(long, value_name = "CHECKPOINT")]
    old: Option<PathBuf>,

    /// Write what was proven to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Command::Verify(args) = &args.command;
    let text = read_text(&args.proof, PROOF_BYTES_MAX)?;
    let report = Report::open(args.json.as_deref())?;
    let proven = prove(args, &text)?;
    let reported = report.map_or(Ok(()), |report| report.write(&proven));
    Failure::join([reported, output::print(|out| proven.table().write(out))])
}

fn prove(args: &VerifyArgs, text: &[u8]) -> Result<Proven, Failure> {
    let place = args.proof.display();
    let refused = |error: NoteError| Failure::failed(format!("{place}: nothing is proven: {error}"));
    if InclusionProof::is_meant(text) {
        if args.old.is_some() {
            return Err(Failure::usage(format!("{place} is a proof of inclusion: it takes no --old")));
        }
        let proof = InclusionProof::decode(text).map_err(refused)?;
        return proof.verify(&args.key).map(|included| Proven::inclusion(&included)).map_err(refused);
    }
    if !ConsistencyProof::is_meant(text) {
        let expected = "`c2sp.org/tlog-proof@v1` or `old` and a size";
        return Err(refused(NoteError::Malformed { line: 1, expected }));
    }
    let Some(old) = &args.old else {
        let what = "is a proof of consistency: name the checkpoint that was kept with --old";
        return Err(Failure::usage(format!("{place} {what}")));
    };
    let kept = Kept::read(Path::new(old), std::slice::from_ref(&args.key))?.checkpoint;
    let proof = ConsistencyProof::decode(text).map_err(refused)?;
    proof.verify(&kept, &args.key).map(|new| Proven::consistency(&kept, &new)).map_err(refused)
}

/// What was proven, for people and programs.
#[derive(Serialize)]
#[serde(tag = "proven", rename_all = "snake_case")]
enum Proven {
    Inclusion {
        origin: String,
        /// The record's position in the tenant.
        index: u64,
        /// The checkpoint's.
        size: u64,
        /// When the checkpoint was signed, nanoseconds since 1970.
        time: u64,
        stream: u32,
        offset: u64,
        timestamp: u64,
        /// 1 is data.
        kind: u8,
        payload_bytes: usize,
        /// Which key sealed the payload, if one did.
        sealed_by: Option<u32>,
    },
    Consistency {
        origin: String,
        old_size: u64,
        old_time: u64,
        size: u64,
        time: u64,
    },
}

impl Proven {
    fn inclusion(included: &Included<'_>) -> Proven {
        let Included { checkpoint, stream, record } = included;
        Proven::Inclusion {
            origin: checkpoint.origin.to_string(),
            index: record.position,
            size: checkpoint.size,
            time: checkpoint.time,
            stream: *stream,
            offset: record.offset,
            timestamp: record.timestamp,
            kind: record.kind,
            payload_bytes: record.payload.len(),
            sealed_by: record.tag.map(|_| record.key_id),
        }
    }

    fn consistency(old: &Checkpoint, new: &Checkpoint) -> Proven {
        Proven::Consistency {
            origin: new.origin.to_string(),
            old_size: old.size,
            old_time: old.time,
            size: new.size,
            time: new.time,
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["", ""]);
        let mut row = |name: &str, value: String| table.row(vec![name.into(), value]);
        match self {
            Proven::Inclusion {
                origin,
                index,
                size,
                time,
                stream,
                offset,
                timestamp,
                kind,
                payload_bytes,
                sealed_by,
            } => {
                row("proven", format!("the record is number {index} of the {} that were signed", grouped(*size)));
                row("origin", origin.clone());
                row("index", index.to_string());
                row("stream", stream.to_string());
                row("offset", offset.to_string());
                row("timestamp", format!("{timestamp} ns since 1970"));
                row("kind", if *kind == DATA { "data".into() } else { format!("{kind}, of the catalog") });
                row("payload bytes", grouped(*payload_bytes as u64));
                row("sealed", sealed_by.map_or_else(|| "no".into(), |key| format!("yes, by key {key}")));
                row("signed at", format!("{time} ns since 1970"));
            }
            Proven::Consistency { origin, old_size, old_time, size, time } => {
                row("proven", "the newer tree begins with the one that was kept".into());
                row("origin", origin.clone());
                row("old size", format!("{}, signed at {old_time} ns since 1970", grouped(*old_size)));
                row("new size", format!("{}, signed at {time} ns since 1970", grouped(*size)));
            }
        }
        table
    }
}

/// The kind of a record that is no catalog's.
const DATA: u8 = 1;
