//! `diatreme inspect`: what lies where in a data directory, and what the space is used for.

mod frames;
mod space;
mod streams;

use crate::directory::{self, Caching, Reader};
use crate::failure::Failure;
use crate::names::Names;
use crate::output;
use crate::progress;
use crate::report::Report;
use crate::table::{Table, count, grouped};
use diatreme::DirectoryLock;
use frames::FrameLine;
use log::format::manifest::Manifest;
use log::{LogError, ManifestRead, SegmentId, SegmentShape, Sight};
use serde::Serialize;
use space::{SegmentState, Space};
use std::io::{self, Write};
use std::path::PathBuf;
use streams::{StreamLine, Streams};

const EXAMPLE: &str = "Example:
  diatreme inspect --data-dir data --streams

Everything is read as it lies there, and nothing is changed: no engine is opened, and none may be
open in another process. What is damaged is shown as it is; `diatreme verify` says what it costs.";

/// Shows what a data directory is made of: manifest, segments, the use of space, and at wish streams and frames.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// List the streams, with their names as far as the catalogs tell.
    #[arg(long)]
    streams: bool,

    /// List the frames.
    #[arg(long)]
    frames: bool,

    /// Only this log.
    #[arg(long, value_name = "N")]
    log: Option<u16>,

    /// Only the segment of this number, in each log.
    #[arg(long, value_name = "N")]
    segment: Option<u32>,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let survey = directory::survey(&args.data_dir)?;
    let at = Failure::at(&args.data_dir);
    let _lock = DirectoryLock::shared(&args.data_dir).map_err(Failure::engine(&args.data_dir))?;
    let report = Report::open(args.json.as_deref())?;
    let mut reader = Reader::open(&args.data_dir, Caching::Cached).map_err(&at)?;
    let manifest = reader.manifest().map_err(&at)?;
    let ids = choose(&mut reader, &survey.logs, args)?;
    let content = examine(&mut reader, &ids, &manifest, args).map_err(&at)?;
    let reported = report.map_or(Ok(()), |report| report.write(&content));
    Failure::join([reported, output::print(|out| print(&content, args, out))])
}

/// The segments that are asked for.
fn choose(reader: &mut Reader, logs: &[u16], args: &Args) -> Result<Vec<SegmentId>, Failure> {
    let mut ids = Vec::new();
    for &log in logs.iter().filter(|log| args.log.is_none_or(|wanted| wanted == **log)) {
        ids.extend(log::log_segments(&mut reader.backend, log).map_err(Failure::at(&args.data_dir))?);
    }
    ids.retain(|id| args.segment.is_none_or(|wanted| wanted == id.number));
    let directory = args.data_dir.display();
    match (args.log, args.segment) {
        (Some(log), _) if !logs.contains(&log) => {
            Err(Failure::usage(format!("no log {log} in {directory}: it has {logs:?}")))
        }
        (_, Some(segment)) if ids.is_empty() => Err(Failure::usage(format!(
            "no segment {segment} there in {directory}: see all with `diatreme inspect --data-dir {directory}`"
        ))),
        _ => Ok(ids),
    }
}

/// What was found, for people and programs.
#[derive(Serialize)]
struct Content {
    command: &'static str,
    manifest: Option<ManifestLine>,
    /// What is wrong with the copies of the manifest.
    manifest_faults: Vec<String>,
    segments: Vec<SegmentLine>,
    total: Space,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<Vec<StreamLine>>,
}

#[derive(Serialize)]
struct ManifestLine {
    generation: u64,
    clean: bool,
    engine: String,
    shards: u16,
    placement_version: u64,
    /// Tenants that were placed by hand.
    placed: Vec<Placed>,
    frontiers: Vec<Frontier>,
}

#[derive(Serialize)]
struct Placed {
    tenant: String,
    shard: u16,
}

/// Where a log ended when the manifest was written.
#[derive(Serialize)]
struct Frontier {
    log: usize,
    next_sequence: u64,
    segment: u32,
    byte: u64,
}

#[derive(Serialize)]
struct SegmentLine {
    log: u16,
    segment: u32,
    state: SegmentState,
    first_sequence: Option<u64>,
    #[serde(flatten)]
    space: Space,
    /// What is wrong, in words.
    faults: Vec<String>,
    #[serde(rename = "frame_list", skip_serializing_if = "Vec::is_empty")]
    frames: Vec<FrameLine>,
}

fn examine(reader: &mut Reader, ids: &[SegmentId], manifest: &ManifestRead, args: &Args) -> Result<Content, LogError> {
    let mut names = Names::default();
    let mut streams = Streams::default();
    let mut segments = Vec::with_capacity(ids.len());
    let bar = progress::spinner();
    for &id in ids {
        let mut line = SegmentLine {
            log: id.log,
            segment: id.number,
            state: SegmentState::Unused,
            first_sequence: None,
            space: Space::default(),
            faults: Vec::new(),
            frames: Vec::new(),
        };
        let Reader { backend, buffer } = &mut *reader;
        let shape = log::inspect_segment(backend, buffer, id, |sight| {
            line.take(&sight, args.frames);
            if let Sight::Frame { header, bytes, body } = sight
                && args.streams
            {
                streams.take(id, header, bytes);
                if body.is_ok() {
                    names.learn(header, bytes);
                }
            }
        })?;
        line.finish(&shape);
        bar.inc(shape.file_bytes);
        segments.push(line);
    }
    bar.finish_and_clear();
    let mut total = Space::default();
    segments.iter().for_each(|segment| total.add(&segment.space));
    let manifest_faults =
        directory::manifest_faults(manifest).into_iter().map(|(copy, fault)| format!("{copy}: {fault}")).collect();
    Ok(Content {
        command: "inspect",
        manifest: manifest.manifest.as_ref().map(ManifestLine::new),
        manifest_faults,
        segments,
        total,
        streams: args.streams.then(|| streams.into_lines(&names)),
    })
}

impl SegmentLine {
    fn take(&mut self, sight: &Sight<'_>, keep_frames: bool) {
        match sight {
            Sight::Frame { header, bytes, body } => {
                self.first_sequence.get_or_insert(header.sequence);
                self.space.take_frame(header, bytes);
                if let Err(fault) = body {
                    self.faults.push(format!("byte {}: frame {}: {fault}", header.position, header.sequence));
                }
                if keep_frames {
                    self.frames.push(FrameLine::new(header, *body));
                }
            }
            Sight::NoFrame { bytes, fault } => self.space.take_no_frame(bytes, *fault),
            _ => {}
        }
    }

    fn finish(&mut self, shape: &SegmentShape) {
        self.state = self.space.finish(shape);
        if let Err(fault) = shape.header
            && self.state != SegmentState::Unused
        {
            self.faults.push(format!("header: {fault}"));
        }
        if let Err(fault) = shape.footer {
            self.faults.push(format!("footer: {fault}"));
        }
    }
}

impl ManifestLine {
    fn new(manifest: &Manifest) -> ManifestLine {
        let frontier = |(log, base): (usize, &log::format::segment::Base)| Frontier {
            log,
            next_sequence: base.sequence,
            segment: base.segment,
            byte: base.end,
        };
        ManifestLine {
            generation: manifest.generation,
            clean: manifest.clean,
            engine: manifest.engine.iter().map(|byte| format!("{byte:02x}")).collect(),
            shards: manifest.shards,
            placement_version: manifest.placement_version,
            placed: manifest
                .overrides
                .iter()
                .map(|(tenant, shard)| Placed { tenant: format!("{tenant:016x}"), shard: *shard })
                .collect(),
            frontiers: manifest.frontiers.iter().enumerate().map(frontier).collect(),
        }
    }
}

fn print(content: &Content, args: &Args, out: &mut impl Write) -> io::Result<()> {
    match &content.manifest {
        Some(manifest) => print_manifest(out, manifest)?,
        None => writeln!(out, "manifest: none that can be read")?,
    }
    for fault in &content.manifest_faults {
        writeln!(out, "fault: {fault}")?;
    }
    writeln!(out)?;
    print_segments(out, &content.segments)?;
    for segment in &content.segments {
        for fault in &segment.faults {
            let id = SegmentId { log: segment.log, number: segment.segment };
            writeln!(out, "fault: {id}: {fault}")?;
        }
    }
    writeln!(out)?;
    content.total.print(out)?;
    if let Some(streams) = &content.streams {
        writeln!(out)?;
        streams::print(out, streams)?;
    }
    if args.frames {
        for segment in &content.segments {
            writeln!(out, "\n{}", SegmentId { log: segment.log, number: segment.segment })?;
            frames::print(out, &segment.frames)?;
        }
    }
    Ok(())
}

fn print_manifest(out: &mut impl Write, manifest: &ManifestLine) -> io::Result<()> {
    let closed = if manifest.clean { "closed cleanly" } else { "not closed cleanly" };
    writeln!(
        out,
        "manifest: generation {}, {closed}, {}, placement version {} with {} placed by hand",
        manifest.generation,
        count(u64::from(manifest.shards), "shard"),
        manifest.placement_version,
        count(manifest.placed.len() as u64, "tenant"),
    )?;
    for frontier in &manifest.frontiers {
        let Frontier { log, next_sequence, segment, byte } = frontier;
        let frames = count(*next_sequence, "frame");
        match segment {
            0 => writeln!(out, "log {log}: {frames} durable then")?,
            _ => writeln!(out, "log {log}: {frames} durable then, up to byte {byte} of segment {segment}")?,
        }
    }
    for placed in &manifest.placed {
        writeln!(out, "tenant {} is placed on shard {}", placed.tenant, placed.shard)?;
    }
    Ok(())
}

fn print_segments(out: &mut impl Write, segments: &[SegmentLine]) -> io::Result<()> {
    let mut table = Table::new(&[
        ">log",
        ">segment",
        "state",
        ">frames",
        ">records",
        ">payload",
        ">in frames",
        ">padding",
        ">footer",
        ">free",
    ]);
    for line in segments {
        let SegmentLine { log, segment, state, space, .. } = line;
        let mut cells = vec![log.to_string(), segment.to_string(), state.name().into()];
        cells.extend(
            [space.frames, space.records, space.payload, space.in_frames, space.padding, space.footer, space.free]
                .map(grouped),
        );
        table.row(cells);
    }
    table.write(out)
}
