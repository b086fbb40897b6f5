//! Checkpoints that somebody kept, held against the log: whether it only grew since.

use crate::failure::Failure;
use crate::table::{count, grouped};
use crypto::note::{Checkpoint, NOTE_BYTES_MAX, Verifier};
use log::{Tree, Verified};
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A checkpoint under the signature of a pinned key, and the file that holds it.
pub(crate) struct Kept {
    pub(crate) file: PathBuf,
    pub(crate) checkpoint: Checkpoint,
}

impl Kept {
    /// Reads a checkpoint, and believes it if the one of `keys` that has its origin signed it.
    pub(crate) fn read(file: &Path, keys: &[Verifier]) -> Result<Kept, Failure> {
        let note = read_text(file, NOTE_BYTES_MAX)?;
        let origin = note.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // Of several keys of one origin, as after a new one was pinned, any will do.
        let of_origin = keys.iter().filter(|key| key.name().as_bytes() == origin);
        let opened = of_origin.chain(keys.first()).map(|key| Checkpoint::open(&note, key));
        let opened = opened.reduce(|one, next| if one.is_ok() { one } else { next.or(one) });
        match opened {
            Some(Ok(checkpoint)) => Ok(Kept { file: file.into(), checkpoint }),
            Some(Err(error)) => Err(Failure::failed(format!("{}: {error}", file.display()))),
            None => Err(Failure::usage("a checkpoint is worth what its key is: pin one with --key")),
        }
    }

    /// The size at which verification is to tell the root.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.checkpoint.origin.tenant, self.checkpoint.size)
    }

    /// What the log says to it.
    pub(crate) fn judge(&self, verified: &Verified) -> Judged {
        let Checkpoint { origin, size, root, time } = self.checkpoint;
        let tree = verified.trees.binary_search_by_key(&origin.tenant, |tree| tree.tenant);
        let tree = tree.ok().map(|at| &verified.trees[at]);
        let verdict = match verified.engine {
            Some(engine) if engine != origin.engine => Verdict::Elsewhere,
            _ => judge(size, root == crypto::merkle::Hash::EMPTY_TREE, &root, tree, verified.damage.is_empty()),
        };
        Judged {
            file: self.file.display().to_string(),
            origin: origin.to_string(),
            size,
            root: root.to_base64(),
            time,
            log_size: tree.map_or(0, |tree| tree.size),
            verdict,
        }
    }
}

fn judge(size: u64, empty: bool, root: &crypto::merkle::Hash, tree: Option<&Tree>, sound: bool) -> Verdict {
    let in_log = tree.and_then(|tree| tree.roots.iter().find(|(at, _)| *at == size));
    match in_log {
        Some((_, found)) if found == root => Verdict::Extended,
        Some(_) => Verdict::Rewritten,
        None if size == 0 && empty => Verdict::Extended,
        None if size == 0 => Verdict::Rewritten,
        None if sound => Verdict::Truncated,
        None => Verdict::Damaged,
    }
}

/// A checkpoint, and what became of it.
#[derive(Serialize)]
pub(crate) struct Judged {
    file: String,
    origin: String,
    size: u64,
    root: String,
    /// When it was signed, nanoseconds since 1970.
    time: u64,
    /// Records of the tenant in the log, up to the first that is missing.
    log_size: u64,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The log begins with what was signed.
    Extended,
    /// It has fewer records.
    Truncated,
    /// Its first records are others.
    Rewritten,
    /// Records that were signed are damaged or lost, and the damage is named.
    Damaged,
    /// It is the log of another engine.
    Elsewhere,
}

impl std::fmt::Display for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Judged { file, origin, size, log_size, verdict, .. } = self;
        let (has, signed) = (count(*log_size, "record"), grouped(*size));
        match verdict {
            Verdict::Extended => {
                write!(
                    f,
                    "extended: {file}: the log has {has} of {origin}, and begins with the {signed} of the checkpoint"
                )
            }
            Verdict::Truncated => write!(
                f,
                "truncated: {file}: the log has {has} of {origin}, the checkpoint {signed}: the newest {} are gone; it \
                 was cut, or an older copy stands in its place",
                grouped(size.saturating_sub(*log_size))
            ),
            Verdict::Rewritten => write!(
                f,
                "rewritten: {file}: the first {signed} of {origin} are not those that were signed: records were altered, \
                 or the log is a fork"
            ),
            Verdict::Damaged => write!(
                f,
                "damaged: {file}: of the {signed} records of {origin} that were signed the log has {log_size} without a \
                 gap, and the rest is damaged or gone"
            ),
            Verdict::Elsewhere => {
                write!(
                    f,
                    "elsewhere: {file}: the directory is of another engine than {origin}: it is not the log that was signed"
                )
            }
        }
    }
}

/// Reads a small file. One that is longer than anything that belongs there is cut, and refused as too long.
pub(crate) fn read_text(file: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let opened = std::fs::File::open(file);
    let read = opened.and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut text));
    read.map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    Ok(text)
}
