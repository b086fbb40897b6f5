//! The report as one page: everything that a run found, drawn. It needs nothing but itself: no network, no font, no
//! script; the policy in its head forbids them.
//!
//! Charts are SVG, drawn here from the [`Document`]; the style sheet gives them their colours, light or dark. All text
//! is escaped where it is put into an element, never before, and no number is written that is none.

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
pub(crate) mod text;
mod timeline;

use crate::bench::document::{Config, Document, Run};
use crate::floor::device::DeviceFloor;
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
        body.push_str(&section(
            "Rising rates",
            &(group("charts", &(sweep::chart(sweep, unit) + &tail)) + &tables::pauses(sweep.pauses.as_ref())),
        ));
    }
    if let Some(run) = document.median_run() {
        let heading = match (&document.sweep, document.runs.len()) {
            (Some(_), _) => "The run that looked for the capacity, in a closed loop",
            (None, 1) => "The run",
            (None, _) => "The run of the median throughput",
        };
        body.push_str(&section(heading, &group("charts", &charts(run, &document.config))));
        body.push_str(&section("Figures", &group("tables", &tables::run(run, &document.config))));
    }
    if document.runs.len() > 1 {
        body.push_str(&section("All runs", &tables::runs(&document.runs)));
    }
    if let Some(run) = document.median_run() {
        body.push_str(&section("Floors, measured in the same run", &group("tables", &tables::floors(run))));
    }
    body.push_str(&section("Set-up", &setup::lists(document)));
    body
}

fn charts(run: &Run, config: &Config) -> String {
    // The floors and the stages are beside the timeline, which is as high as both.
    let beside = bars::floors(run) + &bars::stages(run);
    distribution::charts(&run.parts, best_device(run))
        + &timeline::chart(&run.timeline, offered_records_per_sec(run, config))
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

/// The device at its best: the way of writing durably that a run is set beside, whichever it used.
fn best_device(run: &Run) -> Option<&DeviceFloor> {
    run.floors.device.iter().max_by(|a, b| a.commits_per_sec.total_cmp(&b.commits_per_sec))
}

/// Of what the rates of an open loop are.
fn rate_unit(config: &Config) -> &'static str {
    if config.batch > 1 { "requests/s" } else { "records/s" }
}

/// What an open loop asks for, in records; none where something else runs too, or requests do not all hold as many.
fn offered_records_per_sec(run: &Run, config: &Config) -> Option<f64> {
    let [part] = &run.parts[..] else { return None };
    let offered = part.queue.as_ref()?.offered_per_sec?;
    (config.read_percent == 0).then(|| offered * f64::from(config.batch.max(1)))
}
