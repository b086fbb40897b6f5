//! `diatreme bench compare`: what differs between two benchmarks by more than between runs of the same one.

mod load;
mod print;
pub(crate) mod settings;
mod sweep;
#[cfg(test)]
mod tests;

use super::document::{Document, Part, Run};
use super::figures::{Figure, OF_DEVICE, OF_FLOORS, OF_PART, OF_RUN, Unit};
use super::spread::{RUNS_MIN, Spread, Verdict, chance_apart};
use crate::failure::Failure;
use crate::floor::device::DeviceFloor;
use crate::names::shown;
use crate::output;
use crate::report::Report;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use sweep::PointPair;

const HELP: &str = "Example:
  diatreme bench --repeat 5 --json before.json
  diatreme bench --repeat 5 --json after.json
  diatreme bench compare before.json after.json

Of each figure the median over the runs is compared, with the lowest and the highest. A figure is better
or worse only if the two ranges do not overlap, and if there are three runs or more on both sides. Where
nothing has changed, ranges lie apart by luck with a probability of 2 in (a + b)! / (a! b!) for a runs and
b runs: 10 % with 3 and 3, 0.8 % with 5 and 5, whatever the distribution. A table has many lines: the last
line says how many of them luck alone would tell apart. What is within the spread may differ all the same,
by less than these runs can show.

That holds for runs of one kind. The runs of a document follow each other closely, and a machine that
changes between two documents looks like a difference: therefore the floors are compared too, and if
those differ, the ratios to the floors say more than the figures. Benchmarks taken in turn (A, B, A, B) and
compared crosswise say most.

Benchmarks of different settings are not compared. A sweep is compared with a sweep: the knee, and the
latency at each part of the capacity that both have.";

/// Compares two reports of `diatreme bench --json`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The report that the other one is compared with.
    #[arg(value_name = "A.json")]
    a: PathBuf,

    /// The report that is judged.
    #[arg(value_name = "B.json")]
    b: PathBuf,

    /// Write the comparison as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let comparison = judge(args)?;
    let json = Report::open(args.json.as_deref())?;
    let reported = json.map_or(Ok(()), |json| json.write(&comparison));
    Failure::join([reported, output::print(|out| print::print(&comparison, out))])
}

fn judge(args: &Args) -> Result<Comparison, Failure> {
    let (a, b) = (load::load(&args.a)?, load::load(&args.b)?);
    let differences = settings::differences(&a, &b);
    if !differences.is_empty() {
        let (a, b, differences) = (args.a.display(), args.b.display(), differences.join(", "));
        return Err(Failure::usage(format!("{a} and {b} cannot be compared: they differ in {differences}")));
    }
    Ok(Comparison::of((&args.a, &a), (&args.b, &b)))
}

/// The comparison, for people and programs.
#[derive(Debug, Serialize)]
struct Comparison {
    command: &'static str,
    a: Side,
    b: Side,
    /// What is different otherwise, and what weakens the comparison.
    notes: Vec<String>,
    sections: Vec<Section>,
    /// Of sweeps: the rates that both have.
    points: Vec<PointPair>,
    /// How probable it is for each line that runs of the same thing seem to differ; none if the spread is not known.
    chance_apart: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Side {
    file: String,
    version: String,
    started_at: u64,
    runs: usize,
}

/// Lines about the same thing.
#[derive(Debug, Serialize)]
struct Section {
    about: String,
    /// Whether it is about the machine, and not about the engine.
    floor: bool,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    figure: &'static str,
    unit: Unit,
    a: Spread,
    b: Spread,
    /// Of the medians; none if that of A is 0.
    b_over_a: Option<f64>,
    verdict: Verdict,
}

impl Comparison {
    fn of((a_path, a): (&Path, &Document), (b_path, b): (&Path, &Document)) -> Comparison {
        let mut notes = settings::notes(a, b);
        let mut sections = parts(&a.runs, &b.runs, &mut notes);
        let [runs_a, runs_b] = [a, b].map(|document| document.runs.iter().collect::<Vec<_>>());
        sections.push(Section::of("the run", false, lines(OF_RUN, &runs_a, &runs_b)));
        sections.extend(a.sweep.as_ref().zip(b.sweep.as_ref()).map(|(a, b)| sweep::section(a, b, &mut notes)));
        sections.extend(devices(&a.runs, &b.runs, &mut notes));
        let [floors_a, floors_b] = [runs_a, runs_b].map(|runs| runs.iter().map(|run| &run.floors).collect::<Vec<_>>());
        sections.push(Section::of("floors", true, lines(OF_FLOORS, &floors_a, &floors_b)));
        sections.retain(|section| !section.lines.is_empty());
        let known = a.runs.len().min(b.runs.len()) >= RUNS_MIN;
        Comparison {
            command: "bench compare",
            a: Side::of(a_path, a),
            b: Side::of(b_path, b),
            notes,
            sections,
            points: a.sweep.as_ref().zip(b.sweep.as_ref()).map_or_else(Vec::new, |(a, b)| sweep::points(a, b)),
            chance_apart: known.then(|| chance_apart(a.runs.len(), b.runs.len())),
        }
    }
}

impl Side {
    fn of(path: &Path, document: &Document) -> Side {
        Side {
            file: path.display().to_string(),
            version: shown(&document.version),
            started_at: document.started_at,
            runs: document.runs.len(),
        }
    }
}

impl Section {
    fn of(about: &str, floor: bool, lines: Vec<Line>) -> Section {
        Section { about: shown(about), floor, lines }
    }
}

/// The lines of the figures that both sides have.
fn lines<T>(figures: &[Figure<T>], a: &[&T], b: &[&T]) -> Vec<Line> {
    let line = |figure: &Figure<T>| {
        let (a, b) = (figure.spread(a.iter().copied())?, figure.spread(b.iter().copied())?);
        let b_over_a = (a.median > 0.0).then(|| b.median / a.median);
        let verdict = Verdict::of(figure.better, &a, &b);
        Some(Line { figure: figure.name, unit: figure.unit, a, b, b_over_a, verdict })
    };
    figures.iter().filter_map(line).collect()
}

/// A section of each part that both sides have.
fn parts(a: &[Run], b: &[Run], notes: &mut Vec<String>) -> Vec<Section> {
    let pairs = pairs(a, b, |run| &run.parts, |part: &Part| &part.name, notes);
    pairs.into_iter().map(|(name, a, b)| Section::of(name, false, lines(OF_PART, &a, &b))).collect()
}

/// A section of each way to write durably that both sides measured with about the same frames.
fn devices(a: &[Run], b: &[Run], notes: &mut Vec<String>) -> Vec<Section> {
    let mut sections = Vec::new();
    for (how, a, b) in pairs(a, b, |run| &run.floors.device, |device: &DeviceFloor| device.how.name(), notes) {
        let about = format!("device floor, {}", shown(how));
        let (Some(frames_a), Some(frames_b)) = (Frames::of(&a), Frames::of(&b)) else { continue };
        if frames_a.are_about(&frames_b) {
            sections.push(Section::of(&about, true, lines(OF_DEVICE, &a, &b)));
        } else {
            notes.push(format!("{about}: not compared, A has {frames_a} and B has {frames_b}"));
        }
    }
    sections
}

/// What the runs of both sides call by one name.
type Pair<'a, T> = (&'a str, Vec<&'a T>, Vec<&'a T>);

/// Pairs by name, in the order of A's first run.
fn pairs<'a, T>(
    a: &'a [Run],
    b: &'a [Run],
    of: fn(&Run) -> &[T],
    name: fn(&T) -> &str,
    notes: &mut Vec<String>,
) -> Vec<Pair<'a, T>> {
    let names = |runs: &'a [Run]| runs.first().map_or(&[][..], of).iter().map(name);
    let all = |runs: &'a [Run], wanted: &str| -> Vec<&'a T> {
        runs.iter().filter_map(|run| of(run).iter().find(|one| name(one) == wanted)).collect()
    };
    for (side, these, others) in [("A", a, b), ("B", b, a)] {
        for alone in names(these).filter(|one| names(others).all(|other| other != *one)) {
            notes.push(format!("only {side} has {}", shown(alone)));
        }
    }
    let common = names(a).filter(|one| names(b).any(|other| other == *one));
    common.map(|one| (one, all(a, one), all(b, one))).collect()
}

/// At what frames a device was measured.
struct Frames {
    bytes: f64,
    depth: f64,
}

/// Frames that differ by no more take the device about the same time.
const FRAMES_ALIKE: f64 = 1.25;

impl Frames {
    fn of(devices: &[&DeviceFloor]) -> Option<Frames> {
        let median = |of: fn(&DeviceFloor) -> usize| {
            Spread::of(devices.iter().map(|device| of(device) as f64).collect()).map(|spread| spread.median)
        };
        Some(Frames { bytes: median(|device| device.frame_bytes)?, depth: median(|device| device.depth)? })
    }

    fn are_about(&self, other: &Frames) -> bool {
        let alike = |a: f64, b: f64| a.max(b) <= a.min(b) * FRAMES_ALIKE;
        alike(self.bytes, other.bytes) && alike(self.depth, other.depth)
    }
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frames of {:.0} bytes, {:.0} at a time", self.bytes, self.depth)
    }
}
