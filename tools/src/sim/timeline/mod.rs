//! `diatreme sim timeline`: a run as a picture. One page that needs nothing but itself: no network, no font, no script.
//!
//! Each life of the directory, from the start of an opening to its closing or its crash, is a drawing with a time axis of its own, and a sentence
//! that says what came of it. In it are a lane for each client, each shard, and the disk as each of them uses it.

mod axis;
mod draw;
mod lives;
mod svg;

use super::{Which, quiet};
use crate::bench::page::text::{escaped, latency};
use crate::failure::Failure;
use crate::output;
use crate::report::Report;
use crate::table::{count, grouped};
use ::sim::{Plan, Run};
use lives::{Ended, Life, Outcome};
use std::path::PathBuf;

const STYLE: &str = include_str!("style.css");

/// Draws one run as a page: clients, shards, the disk, faults and crashes on a time axis.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  diatreme sim timeline 4711 --html picture.html
  diatreme sim timeline --plan small.json --html small.html

The page needs nothing but itself. Whatever is drawn says what it is where one points at it.")]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,

    /// Write the page to this file.
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let plan = args.which.plan()?;
    let report = Report::open_at(&args.html)?;
    let run = quiet::run(&plan, true);
    let written = report.write_text(&page(&plan, &run));
    let (openings, path) = (count(run.coverage.openings, "opening"), args.html.display());
    let printed = output::print(|out| {
        use std::io::Write;
        writeln!(out, "drew {openings} of seed {} into {path}", plan.seed)
    });
    Failure::join([written, printed])
}

fn page(plan: &Plan, run: &Run) -> String {
    let lives = lives::of(&run.events);
    let mut body = header(plan, run);
    for (at, life) in lives.iter().enumerate() {
        let broken = at + 1 == lives.len() && !run.violations.is_empty();
        let story = story(life, broken);
        let drawings: String = draw::LAYOUTS.iter().map(|layout| draw::draw(life, broken, &story, *layout)).collect();
        let (number, story) = (at + 1, escaped(&story));
        body.push_str(&format!(
            "<section><h2><b>{number}</b> {}</h2><p>{story}</p>{drawings}</section>\n",
            heading(life, broken)
        ));
    }
    let title = format!("diatreme sim, seed {}", plan.seed);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

fn header(plan: &Plan, run: &Run) -> String {
    let coverage = &run.coverage;
    let (name, about) = (plan.scenario.name(), escaped(plan.scenario.about()));
    let facts = [
        count(coverage.answers, "answer"),
        count(coverage.openings, "opening"),
        format!("{} {}", grouped(coverage.crashes), if coverage.crashes == 1 { "crash" } else { "crashes" }),
        count(run.faults.len() as u64, "fault"),
        count(coverage.records, "record") + " read back",
        latency(run.virtual_ns as f64) + " of virtual time",
    ];
    let facts = facts.join(" · ");
    let verdict = match run.violations.len() {
        0 => "<p class=\"verdict clean\">No law was broken.</p>".into(),
        _ => {
            let each = run.violations.iter().map(|text| format!("<li>{}</li>", escaped(text))).collect::<String>();
            format!("<div class=\"verdict broken\">Broken:<ul>{each}</ul></div>")
        }
    };
    let keys = [
        ("done", "request, done; lighter if it is no append"),
        ("refused", "refused"),
        ("unanswered", "given up, or never answered"),
        ("turn", "turn of a shard"),
        ("write", "disk: write"),
        ("flush", "flush"),
        ("read", "read"),
        ("file", "open, length, list …"),
        ("strike", "a fault strikes"),
        ("opening", "the directory is being opened"),
        ("cut", "nothing happens: time is cut out"),
    ];
    let keys: String = keys.iter().map(|(class, text)| format!("<li><i class=\"{class}\"></i>{text}</li>")).collect();
    format!(
        "<header><p class=\"meta\">diatreme sim, trace {:016x}</p><h1>Seed {}: {name}</h1><p>{about}</p>\
         <p class=\"facts\">{facts}</p>{verdict}<ul class=\"keys\">{keys}</ul></header>\n",
        run.hash, plan.seed
    )
}

/// What became of a life, in a word or two.
fn heading(life: &Life, broken: bool) -> &'static str {
    match (life.opened.is_some(), life.ended) {
        _ if broken => "ends with a law broken",
        (true, Ended::Closed) => "opened, and closed",
        (true, Ended::Killed) => "opened, and killed",
        (true, Ended::PowerCut) => "opened, until the power went",
        (false, Ended::Killed) => "killed while it was being opened",
        (false, Ended::PowerCut) => "the power went while it was being opened",
        (true, Ended::Run) => "opened, to the end of the run",
        (false, Ended::Run | Ended::Closed) => "read from end to end, and verified",
    }
}

fn story(life: &Life, broken: bool) -> String {
    let mut said = Vec::new();
    if !life.before.is_empty() {
        said.push(format!("Before it, {}.", life.before.join(", and ")));
    }
    for (_, error) in &life.failed {
        said.push(format!("It did not open: {error}."));
    }
    if let Some((at, text)) = &life.opened {
        let mut words = text.replace("; 0 torn tails", "").replace("with 1 shards", "with 1 shard");
        words = words.replace("; 1 torn tails", "; a torn tail was cut");
        said.push(format!("{} after {}.", capitalized(&words), latency((at - life.start) as f64)));
    }
    let requests = life.requests.values().flatten();
    let of = |outcome: Outcome| requests.clone().filter(|request| request.outcome == outcome).count() as u64;
    let (done, all) = (of(Outcome::Done), requests.clone().count() as u64);
    if all > 0 {
        let (left, never) = (of(Outcome::GivenUp), of(Outcome::Unanswered));
        let rest = [(of(Outcome::Refused), "refused"), (left, "given up by their client"), (never, "never answered")];
        let rest = rest.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!(", {number} {what}"));
        said.push(format!("{}: {done} done{}.", capitalized(&count(all, "request")), rest.collect::<String>()));
    }
    let end = match life.ended {
        _ if broken => "",
        Ended::Closed => "Closed in order.",
        Ended::Killed => "The process was killed.",
        Ended::PowerCut => "The power went.",
        Ended::Run => "",
    };
    said.push(end.to_owned());
    said.join(" ").trim().to_owned()
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
