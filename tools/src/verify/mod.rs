//! `diatreme verify`: reads everything, believes nothing, and says what is damaged, and whether the log extends what somebody kept
//! of it.

pub(crate) mod checkpoints;

use crate::directory::{self, Caching, Reader, Survey};
use crate::failure::Failure;
use crate::names::{Names, shown};
use crate::output;
use crate::progress;
use crate::report::Report;
use crate::table::{Table, count, grouped};
use checkpoints::{Judged, Kept, Verdict};
use crypto::note::Verifier;
use diatreme::DirectoryLock;
use indicatif::ProgressBar;
use log::{Cause, Damage, Loss, ManifestRead, Tree, Verified};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

const EXAMPLE: &str = "Examples:
  diatreme verify --data-dir data --json verified.json
  diatreme verify --data-dir copy --checkpoint kept --key diatreme/<engine>/<tenant>+<id>+<key>

Every segment is read, past the page cache where the file system allows it, and every checksum,
every link of every stream's hash chain, and every tenant's Merkle tree is computed again. Nothing is
changed, and no secret key is needed. A directory that may only be read will do, a copy, and one
without a manifest. Exit code 1 if anything is damaged, 2 if the directory is missing or holds no data.

By itself this shows that the log is whole, not that it is the one that was written: who can write to
the disk can cut it, or make all of it anew. A checkpoint that was kept elsewhere shows that too:
the log must begin with what was signed, or the exit code is 1.";

/// Proves that everything that was acknowledged is there and as it was written, or names what is not.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Threads [default: one for each CPU that the command may run on].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// A checkpoint that was kept: the log must extend it. May be given more than once.
    #[arg(long, value_name = "FILE", requires = "key")]
    checkpoint: Vec<PathBuf>,

    /// The pinned key of a checkpoint, as `name+id+base64`; one for each tenant.
    #[arg(long, value_name = "VKEY", requires = "checkpoint")]
    key: Vec<Verifier>,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let kept: Vec<_> = args.checkpoint.iter().map(|file| Kept::read(file, &args.key)).collect::<Result<_, _>>()?;
    let survey = directory::survey(&args.data_dir)?;
    let _lock = DirectoryLock::shared(&args.data_dir).map_err(Failure::engine(&args.data_dir))?;
    let report = Report::open(args.json.as_deref())?;
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let manifest = Reader::open(&args.data_dir, Caching::Cached).and_then(|mut reader| reader.manifest());
    let manifest = manifest.map_err(Failure::at(&args.data_dir))?;
    let bar = progress::bar(0);
    let since = Instant::now();
    let verified = verify(&args.data_dir, threads, &kept, &bar);
    let seconds = since.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let verified = verified?;
    let names = names(&args.data_dir, &survey, &verified)?;
    let judged = kept.iter().map(|kept| kept.judge(&verified)).collect();
    let findings = Findings::new(&verified, &names, &manifest, judged, seconds);
    // The report first, then what people read, who may leave early: neither takes anything from the verdict.
    let reported = report.map_or(Ok(()), |report| report.write(&findings));
    let printed = output::print(|out| print(&findings, out));
    Failure::join([verdict(&findings, &args.data_dir), reported, printed])
}

fn verdict(findings: &Findings, path: &Path) -> Result<(), Failure> {
    let path = path.display();
    let damaged = match findings.damage.len() as u64 {
        0 => None,
        1 => Some("1 place is".into()),
        more => Some(format!("{} are", count(more, "place"))),
    };
    let damaged = damaged.map(|damaged| {
        Failure::failed(format!("{path}: {damaged} damaged, named above; restore what is lost from a backup"))
    });
    let broken = findings.checkpoints.iter().filter(|judged| judged.verdict != Verdict::Extended).count() as u64;
    let broken = (broken > 0).then(|| {
        let broken = count(broken, "checkpoint");
        Failure::failed(format!(
            "{path}: the log does not extend {broken}, named above: keep it as it is, it is evidence"
        ))
    });
    Failure::join([damaged.map_or(Ok(()), Err), broken.map_or(Ok(()), Err)])
}

fn verify(path: &Path, threads: usize, kept: &[Kept], bar: &ProgressBar) -> Result<Verified, Failure> {
    let open = || {
        let Reader { backend, buffer } = Reader::open(path, Caching::Direct)?;
        Ok((backend, buffer.expect("the reader has just carved its buffer")))
    };
    let progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let sizes: Vec<_> = kept.iter().map(Kept::size).collect();
    log::verify_roots(open, threads, &sizes, progress).map_err(Failure::at(path))
}

/// The names that the damage needs: the catalogs are read only if there are losses to name.
fn names(path: &Path, survey: &Survey, verified: &Verified) -> Result<Names, Failure> {
    if verified.damage.iter().all(|damage| damage.losses.is_empty()) {
        return Ok(Names::default());
    }
    let reader = Reader::open(path, Caching::Cached);
    reader.and_then(|mut reader| Names::read(&mut reader, &survey.logs)).map_err(Failure::at(path))
}

/// What verification found, for people and programs.
#[derive(Serialize)]
struct Findings {
    command: &'static str,
    sound: bool,
    logs: usize,
    segments: usize,
    frames: u64,
    records: u64,
    payload_bytes: u64,
    /// Catalogs included.
    streams: usize,
    bytes_read: u64,
    seconds: f64,
    gigabytes_per_second: f64,
    /// Logs whose tail was never acknowledged.
    torn_tails: usize,
    /// What is not as it should be and costs nothing.
    notes: Vec<Note>,
    damage: Vec<Place>,
    /// Each tenant's Merkle tree.
    trees: Vec<TreeLine>,
    /// What became of each checkpoint that was given.
    checkpoints: Vec<Judged>,
}

/// A tenant's tree.
#[derive(Serialize)]
struct TreeLine {
    tenant: String,
    /// Records from position 0 on, up to the first that is missing.
    size: u64,
    /// The root over them, in base64 as in a checkpoint.
    root: String,
    /// Whether there are records behind a gap.
    broken: bool,
}

/// A copy of the manifest that is missing or bad while the other one serves: a power cut may come while a copy is written.
#[derive(Serialize)]
struct Note {
    /// The file, below the data directory.
    file: String,
    what: String,
}

/// A damaged place.
#[derive(Serialize)]
struct Place {
    /// The file, below the data directory.
    file: String,
    byte: u64,
    /// The byte after it; as `byte` if how far it goes is not known.
    byte_end: u64,
    what: String,
    losses: Vec<Lost>,
}

/// Records that are lost or cannot be trusted.
#[derive(Serialize)]
struct Lost {
    tenant: String,
    tenant_name: Option<String>,
    stream: u32,
    /// None also for stream 0, the tenant's catalog.
    stream_name: Option<String>,
    first_offset: u64,
    /// None: all that follow.
    last_offset: Option<u64>,
}

impl Findings {
    fn new(
        verified: &Verified,
        names: &Names,
        manifest: &ManifestRead,
        checkpoints: Vec<Judged>,
        seconds: f64,
    ) -> Findings {
        // In which copy a fault lies is known to whoever reads the manifest, and to no damage.
        let faults = directory::manifest_faults(manifest).into_iter();
        let (notes, manifest): (Vec<_>, Vec<_>) = match manifest.manifest {
            Some(_) => (faults.map(Note::of_manifest).collect(), Vec::new()),
            None => (Vec::new(), faults.map(Place::of_manifest).collect()),
        };
        let logs = verified.damage.iter().filter(|damage| !matches!(damage.cause, Cause::Manifest(_)));
        let damage: Vec<_> = manifest.into_iter().chain(logs.map(|damage| Place::new(damage, names))).collect();
        Findings {
            command: "verify",
            sound: damage.is_empty(),
            logs: verified.logs,
            segments: verified.segments,
            frames: verified.frames,
            records: verified.records,
            payload_bytes: verified.payload_bytes,
            streams: verified.streams,
            bytes_read: verified.bytes,
            seconds,
            gigabytes_per_second: verified.bytes as f64 / 1e9 / seconds.max(f64::MIN_POSITIVE),
            torn_tails: verified.torn,
            notes,
            damage,
            trees: verified.trees.iter().map(TreeLine::new).collect(),
            checkpoints,
        }
    }
}

impl TreeLine {
    fn new(tree: &Tree) -> TreeLine {
        let Tree { tenant, size, root, broken, .. } = tree;
        TreeLine { tenant: format!("{tenant:016x}"), size: *size, root: root.to_base64(), broken: *broken }
    }
}

impl Note {
    fn of_manifest((copy, what): (&str, String)) -> Note {
        Note { file: copy.into(), what: format!("{what}, and the next opening writes it anew") }
    }
}

impl Place {
    fn new(damage: &Damage, names: &Names) -> Place {
        let (file, byte) = (damage.segment.to_string(), damage.bytes.start);
        let alone = Damage { losses: Vec::new(), ..damage.clone() }.to_string();
        let what = alone.strip_prefix(&format!("{file} at byte {byte}: ")).unwrap_or(&alone).to_owned();
        let losses = damage.losses.iter().map(|loss| Lost::new(loss, names)).collect();
        Place { file, byte, byte_end: damage.bytes.end, what, losses }
    }

    fn of_manifest((copy, what): (&str, String)) -> Place {
        Place { file: copy.into(), byte: 0, byte_end: 0, what, losses: Vec::new() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { file, byte, what, .. } = self;
        write!(f, "{file} at byte {byte}: {what}")?;
        for (at, loss) in self.losses.iter().enumerate() {
            write!(f, "{} {loss}", if at == 0 { "; lost:" } else { "," })?;
        }
        Ok(())
    }
}

impl Lost {
    fn new(loss: &Loss, names: &Names) -> Lost {
        Lost {
            tenant: format!("{:016x}", loss.tenant),
            tenant_name: names.tenant(loss.tenant).map(str::to_owned),
            stream: loss.stream,
            stream_name: names.stream(loss.tenant, loss.stream).map(str::to_owned),
            first_offset: loss.offsets.start,
            last_offset: (loss.offsets.end != u64::MAX).then(|| loss.offsets.end.saturating_sub(1)),
        }
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tenant {}", self.tenant)?;
        if let Some(name) = &self.tenant_name {
            write!(f, " ({})", shown(name))?;
        }
        write!(f, " stream {}", self.stream)?;
        match &self.stream_name {
            Some(name) => write!(f, " ({})", shown(name))?,
            None if self.stream == kernel::CATALOG.0 => f.write_str(" (catalog)")?,
            None => {}
        }
        match self.last_offset {
            None => write!(f, " offsets {} and all that follow", self.first_offset),
            Some(last) if last > self.first_offset => write!(f, " offsets {} to {last}", self.first_offset),
            Some(_) => write!(f, " offset {}", self.first_offset),
        }
    }
}

fn print(findings: &Findings, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&["", ">"]);
    let mut row = |name: &str, value: String| table.row(vec![name.into(), value]);
    row("logs", grouped(findings.logs as u64));
    row("segments", grouped(findings.segments as u64));
    row("frames", grouped(findings.frames));
    row("records", grouped(findings.records));
    row("payload bytes", grouped(findings.payload_bytes));
    row("streams, catalogs included", grouped(findings.streams as u64));
    row("tenants' trees", grouped(findings.trees.len() as u64));
    row("bytes read", grouped(findings.bytes_read));
    row("seconds", format!("{:.3}", findings.seconds));
    row("GB/s", format!("{:.2}", findings.gigabytes_per_second));
    table.write(out)?;
    if findings.torn_tails > 0 {
        let tails = count(findings.torn_tails as u64, "log");
        writeln!(out, "torn: {tails} with a tail that was never acknowledged; the next opening cuts it")?;
    }
    for Note { file, what } in &findings.notes {
        writeln!(out, "note: {file}: {what}")?;
    }
    for place in &findings.damage {
        writeln!(out, "damaged: {place}")?;
    }
    if findings.sound {
        writeln!(out, "sound: every checksum and every chain link fits")?;
    }
    findings.checkpoints.iter().try_for_each(|judged| writeln!(out, "{judged}"))
}
