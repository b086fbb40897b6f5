//! The report as one page: everything that a run found, drawn. It needs nothing but itself: no network, no font, no script; the
//! policy in its head forbids them.
//!
//! Charts are SVG, drawn here from the [`Document`]; the style sheet gives them their colours, light or dark. All text is
//! escaped where it is put into an element, never before, and no number is written that is none.

mod bars;
mod canvas;
mod distribution;
mod headline;
#[cfg(test)]
mod samples;
mod scale;
mod setup;
mod sweep;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod timeline;

use crate::bench::document::{Arrivals, Config, Document, Run};
use crate::floor::device::{DeviceFloor, How};
use text::escaped;

const STYLE: &str = include_str!("style.css");

/// The page. Of several runs it draws that of the median throughput, and tells the spread of all.
pub(crate) fn render(document: &Document) -> String {
    let name = escaped(&format!("{} {}", document.command, document.config.scenario));
    let body = body(document);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

fn body(document: &Document) -> String {
    let mut body = headline::header(document);
    body.push_str(&headline::warnings(document));
    body.push_str(&headline::strip(document));
    if let Some(sweep) = &document.sweep {
        let (unit, tail) = (rate_unit(&document.config), tables::sweep(sweep, &document.config));
        body.push_str(&section("Rising rates", &group("charts", &(sweep::chart(sweep, unit) + &tail))));
    }
    if let Some(run) = document.median_run() {
        let heading = match (&document.sweep, document.runs.len()) {
            (Some(_), _) => "The run that looked for the capacity, in a closed loop",
            (None, 1) => "The run",
            (None, _) => "The run of the median throughput",
        };
        body.push_str(&section(heading, &group("charts", &charts(run, document))));
        body.push_str(&section("Figures", &group("tables", &tables::run(run, &document.config))));
    }
    if document.runs.len() > 1 {
        body.push_str(&section("All runs", &tables::runs(&document.runs)));
    }
    if let Some(run) = document.median_run() {
        body.push_str(&section(
            "Floors, measured in the same run",
            &group("tables", &tables::floors(run, durable_way(document))),
        ));
    }
    body.push_str(&section("Set-up", &setup::lists(document)));
    body
}

fn charts(run: &Run, document: &Document) -> String {
    let way = durable_way(document);
    // The floors and the stages are beside the timeline, which is as high as both.
    let beside = bars::floors(run, way) + &bars::stages(run);
    distribution::charts(&run.parts, own_device(run, way))
        + &timeline::chart(&run.timeline, offered_records_per_sec(&document.config))
        + &group("beside", &beside)
}

/// A section; nothing if nothing is in it.
fn section(heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", escaped(heading))
}

/// What belongs together, laid out as the style sheet has it for that class; nothing if there is nothing.
fn group(class: &str, content: &str) -> String {
    if content.is_empty() { String::new() } else { format!("<div class=\"{class}\">\n{content}</div>\n") }
}

/// The way in which the run wrote durably, by its name among the device's floors.
fn durable_way(document: &Document) -> &str {
    // Without io_uring there is but one.
    if document.setup.backend == "synchronous" { How::Plain.name() } else { &document.config.durable_write }
}

/// The device's floor for that way; else any.
fn own_device<'a>(run: &'a Run, way: &str) -> Option<&'a DeviceFloor> {
    let device = &run.floors.device;
    device.iter().find(|floor| floor.how.name() == way).or(device.first())
}

/// Of what the rates of an open loop are.
fn rate_unit(config: &Config) -> &'static str {
    if config.batch > 1 { "requests/s" } else { "records/s" }
}

/// What an open loop asks for, in records; none where a request's number of them is not known.
fn offered_records_per_sec(config: &Config) -> Option<f64> {
    match config.arrivals {
        Arrivals::Open { requests_per_sec, .. } if config.read_percent == 0 => {
            Some(requests_per_sec * f64::from(config.batch.max(1)))
        }
        _ => None,
    }
}
