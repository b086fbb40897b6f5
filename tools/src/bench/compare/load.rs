//! Reading a benchmark's document back. It may come from anywhere: what is wrong with it is said, and nothing is believed.

use crate::bench::document::{Document, FORMAT, Run, Sweep};
use crate::bench::figures::{Figure, OF_DEVICE, OF_FLOORS, OF_PART, OF_RUN};
use crate::failure::Failure;
use crate::names::shown;
use serde::Deserialize;
use serde_json::error::Category;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A long benchmark's document is a few megabytes.
const DOCUMENT_BYTES_MAX: u64 = 64 << 20;
/// More than any benchmark makes; the work of a comparison grows with the square of it.
const PARTS_MAX: usize = 256;

/// What every version of the form has.
#[derive(Deserialize)]
struct Head {
    format: u64,
    #[serde(default)]
    version: String,
}

/// Reads a document and checks that it can be compared.
pub(super) fn load(path: &Path) -> Result<Document, Failure> {
    let named = |text: String| Failure::usage(format!("{}: {text}", path.display()));
    let text = read(path).map_err(named)?;
    let document = parse(&text).map_err(named)?;
    check(&document).map_err(named)?;
    Ok(document)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(format!("it has more than {} MiB: no report of `diatreme bench`", DOCUMENT_BYTES_MAX >> 20));
    }
    Ok(text)
}

fn parse(text: &[u8]) -> Result<Document, String> {
    let head: Head = serde_json::from_slice(text).map_err(|error| match error.classify() {
        Category::Data => format!("not a report of `diatreme bench --json`: {}", shown(&error.to_string())),
        Category::Eof | Category::Syntax | Category::Io => format!("not JSON: {}", shown(&error.to_string())),
    })?;
    if head.format != u64::from(FORMAT) {
        return Err(format!(
            "written in format {} by version {:?}; this program reads format {FORMAT}: use a program of that version, or run \
             the benchmark again",
            head.format, head.version
        ));
    }
    serde_json::from_slice(text).map_err(|error| {
        let error = shown(&error.to_string());
        format!(
            "not a report of `diatreme bench --json` as this version writes it: {error} (written by {:?})",
            head.version
        )
    })
}

/// That there is something to compare, and that all figures are ones that a benchmark can find.
fn check(document: &Document) -> Result<(), String> {
    if document.runs.is_empty() {
        return Err("it holds no runs: the benchmark was stopped before there was a figure".into());
    }
    for (at, run) in document.runs.iter().enumerate() {
        check_run(run).map_err(|error| format!("run {}: {error}", at + 1))?;
    }
    document.sweep.as_ref().map_or(Ok(()), check_sweep)
}

fn check_run(run: &Run) -> Result<(), String> {
    let (parts, devices) = (run.parts.len(), run.floors.device.len());
    if parts == 0 {
        return Err("it has no parts, and so no figures".into());
    }
    if parts.max(devices) > PARTS_MAX {
        return Err(format!("{parts} parts and {devices} device floors: at most {PARTS_MAX} are compared"));
    }
    for part in &run.parts {
        check_figures(OF_PART, part).map_err(|error| format!("{}: {error}", shown(&part.name)))?;
    }
    for device in &run.floors.device {
        check_figures(OF_DEVICE, device).map_err(|error| format!("device floor {}: {error}", device.how.name()))?;
    }
    check_figures(OF_RUN, run)?;
    check_figures(OF_FLOORS, &run.floors)
}

fn check_sweep(sweep: &Sweep) -> Result<(), String> {
    check_figure("capacity", sweep.capacity_per_sec)?;
    check_figure("knee", sweep.knee_per_sec.unwrap_or(0.0))?;
    check_figure("p99 at half of the knee", sweep.p99_at_half_of_device.unwrap_or(0.0))?;
    if sweep.points.len() > PARTS_MAX {
        return Err(format!("{} points of a sweep: at most {PARTS_MAX} are compared", sweep.points.len()));
    }
    for point in &sweep.points {
        check_figure("offered rate", point.offered_per_sec)?;
        check_figure("achieved rate", point.achieved_per_sec)?;
    }
    Ok(())
}

fn check_figures<T>(figures: &[Figure<T>], of: &T) -> Result<(), String> {
    figures.iter().try_for_each(|figure| check_figure(figure.name, (figure.of)(of).unwrap_or(0.0)))
}

fn check_figure(name: &str, figure: f64) -> Result<(), String> {
    if figure.is_finite() && figure >= 0.0 {
        Ok(())
    } else {
        Err(format!("{name} is {figure}: no figure of a benchmark"))
    }
}
