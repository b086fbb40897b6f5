//! The comparison for people.

use super::{Comparison, Line, Section};
use crate::bench::figures::{OF_RUN, digits, us};
use crate::bench::spread::{Better, Spread};
use crate::table::{Table, count, grouped};
use std::io::{self, Write};

pub(super) fn print(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    let Comparison { a, b, notes, sections, .. } = comparison;
    for (name, side) in [("A", a), ("B", b)] {
        writeln!(out, "{name}  {}: {}, version {}", side.file, count(side.runs as u64, "run"), side.version)?;
    }
    notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    writeln!(out)?;
    let mut table = Table::new(&["", ">A median (min-max)", ">B median (min-max)", ">B/A", "verdict"]);
    for Section { about, lines, .. } in sections {
        table.row(vec![about.clone(), String::new(), String::new(), String::new(), String::new()]);
        lines.iter().for_each(|line| table.row(cells(line)));
    }
    table.write(out)?;
    points(comparison, out)?;
    writeln!(out)?;
    conclude(comparison, out)
}

fn cells(line: &Line) -> Vec<String> {
    let (divisor, unit) = line.unit.scale(line.a.median.max(line.b.median));
    let spread = |spread: &Spread| {
        let [min, median, max] = [spread.min, spread.median, spread.max].map(|number| digits(number / divisor));
        if spread.runs > 1 { format!("{median} ({min}-{max})") } else { median }
    };
    let name = format!("  {}{unit}", line.figure);
    vec![name, spread(&line.a), spread(&line.b), ratio(line.b_over_a), line.verdict.text().into()]
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".into(), digits)
}

fn points(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    if comparison.points.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let titles =
        [">of capacity", ">A offered/s", ">B offered/s", ">A p50 µs", ">B p50 µs", ">A p99 µs", ">B p99 µs", ">B/A"];
    let mut table = Table::new(&titles);
    for pair in &comparison.points {
        let rate = |rate: f64, sustained: bool| {
            format!("{}{}", grouped(rate.round() as u64), if sustained { " " } else { "*" })
        };
        let mut cells = vec![format!("{:.0} %", pair.of_capacity * 100.0)];
        cells.extend([&pair.a, &pair.b].map(|side| rate(side.offered_per_sec, side.sustained)));
        cells.extend([pair.a.p50_ns, pair.b.p50_ns, pair.a.p99_ns, pair.b.p99_ns].map(|ns| us(ns as f64)));
        cells.push(ratio(pair.p99_b_over_a));
        table.row(cells);
    }
    table.write(out)?;
    if comparison.points.iter().any(|pair| !pair.a.sustained || !pair.b.sustained) {
        writeln!(out, "* not sustained: the latency is that of a queue which grows")?;
    }
    Ok(())
}

/// What the table comes to.
fn conclude(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    let Some(chance) = comparison.chance_apart else {
        return match comparison.points.is_empty() {
            true => writeln!(out, "spread unknown: repeat with --repeat 5"),
            false => writeln!(out, "spread unknown: a sweep takes one sample a rate; sweep A and B again, in turn"),
        };
    };
    warn(comparison, out)?;
    if comparison.sections.iter().filter(|section| !section.floor).all(|section| differing(section).is_empty()) {
        writeln!(out, "no difference exceeds the run-to-run spread")?;
    } else {
        writeln!(out, "beyond the run-to-run spread:")?;
        tell(comparison, false, out)?;
    }
    let lines: usize = comparison.sections.iter().map(|section| section.lines.len()).sum();
    writeln!(
        out,
        "by luck alone, each line would differ with a probability of {:.2} %: {:.2} of these {lines}",
        chance * 100.0,
        chance * lines as f64
    )
}

/// That the floors moved, if they did, and what then counts.
fn warn(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    if comparison.sections.iter().filter(|section| section.floor).all(|section| differing(section).is_empty()) {
        return Ok(());
    }
    writeln!(out, "warning: the machine changed between A and B, or what its floors are measured with:")?;
    tell(comparison, true, out)?;
    let merits = OF_RUN.iter().filter(|figure| figure.better != Better::Neither);
    let all = || comparison.sections.iter().filter(|section| !section.floor).flat_map(|section| &section.lines);
    let ratios: Vec<&Line> = merits.filter_map(|figure| all().find(|line| line.figure == figure.name)).collect();
    if ratios.is_empty() {
        return writeln!(out, "there is no ratio to a floor to go by: measure both again, in turn");
    }
    writeln!(out, "go by the ratios to the floors:")?;
    ratios.into_iter().try_for_each(|line| {
        let [a, b] = [line.a.median, line.b.median].map(digits);
        writeln!(out, "  {} {a} and {b}, {}", line.figure, line.verdict.text())
    })
}

/// The sections about the machine, or about the engine, with what differs in them.
fn tell(comparison: &Comparison, floor: bool, out: &mut impl Write) -> io::Result<()> {
    for section in comparison.sections.iter().filter(|section| section.floor == floor) {
        let told = |line: &Line| format!("{} {} (× {})", line.figure, line.verdict.text(), ratio(line.b_over_a));
        let lines: Vec<String> = differing(section).into_iter().map(told).collect();
        if !lines.is_empty() {
            writeln!(out, "  {}: {}", section.about, lines.join(", "))?;
        }
    }
    Ok(())
}

fn differing(section: &Section) -> Vec<&Line> {
    section.lines.iter().filter(|line| line.verdict.differs()).collect()
}
