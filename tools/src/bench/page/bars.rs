//! Bars: where a record's time goes, and a run beside its floors.

use super::canvas::{Anchor, Canvas, Caption, Layout, Plot, figure, fits, style};
use super::scale::Scale;
use super::text::{escaped, latency, number, number_tick, percent};
use crate::bench::document::{Run, Stage, Stages};
use std::fmt::Write;

const BAR: f64 = 22.0;
const ROW: f64 = 34.0;

/// A bar of the floors.
struct Bar {
    name: String,
    records_per_sec: f64,
    class: &'static str,
    tighter: bool,
}

/// What the run reached beside what the floors allow; nothing where they say nothing of it.
pub(super) fn floors(run: &Run) -> String {
    let bars = floor_bars(run);
    if bars.len() < 2 {
        return String::new();
    }
    let sentence = |bar: &Bar| {
        let end = if bar.tighter { ", the tighter floor" } else { "" };
        format!("{}: {} records/s{end}", bar.name, number(bar.records_per_sec))
    };
    let sentences = bars.iter().map(sentence).collect::<Vec<_>>().join("; ");
    let caption = Caption {
        heading: "Beside the floors",
        note: "What the machine allows without the engine, measured in the same run.",
        says: format!("Throughput beside the floors. {sentences}."),
        ..Caption::default()
    };
    figure(&caption, |layout| draw_floors(layout, &bars))
}

fn floor_bars(run: &Run) -> Vec<Bar> {
    let Some(ratio) = &run.ratio else { return Vec::new() };
    let bar = |name: &str, records_per_sec, class, tighter| Bar { name: name.into(), records_per_sec, class, tighter };
    let mut bars = vec![bar("this run", run.headline_per_sec(), "bar s0", false)];
    let best = super::best_device(run);
    for device in &run.floors.device {
        let is_best = best.is_some_and(|best| std::ptr::eq(best, device));
        let records_per_sec = device.commits_per_sec * run.commits.records_per_commit;
        let (name, class) = (
            format!("{}, depth {}", device.how.name(), device.depth),
            if is_best { "bar floors" } else { "bar other" },
        );
        bars.push(bar(&name, records_per_sec, class, is_best && ratio.tighter == "device"));
    }
    if let Some(records_per_sec) = ratio.processor_records_per_sec {
        bars.push(bar("processor", records_per_sec, "bar floors", ratio.tighter == "processor"));
    }
    if let Some(records_per_sec) = ratio.reading_records_per_sec {
        bars.push(bar("reading", records_per_sec, "bar floors", ratio.tighter == "reading"));
    }
    bars
}

fn draw_floors(layout: Layout, bars: &[Bar]) -> Canvas {
    let bottom = 20.0 + ROW * bars.len() as f64;
    let left = if layout.narrow { 110.0 } else { 130.0 };
    let plot = Plot { left, right: layout.width - 68.0, top: 20.0, bottom };
    let mut canvas = Canvas::new(layout.width, bottom + 44.0);
    let x = Scale::linear(bars.iter().map(|bar| bar.records_per_sec).fold(0.0, f64::max), plot.x());
    canvas.x_axis(plot, &x, "records/s", |rate| number_tick(rate, x.high()));
    let mut values = Vec::new();
    let mut top = plot.top + (ROW - BAR) / 2.0;
    for bar in bars {
        let end = x.place(bar.records_per_sec);
        let base = top + BAR / 2.0 + 4.0;
        let says = format!("{}: {} records/s", bar.name, number(bar.records_per_sec));
        canvas.text("label", Anchor::End, (plot.left - 10.0, base), &bar.name);
        canvas.rect(bar.class, (plot.left, top), ((end - plot.left).max(1.0), BAR), &says);
        values.push(((end + 8.0, base), number(bar.records_per_sec)));
        top += ROW;
    }
    for end in bars.iter().filter(|bar| bar.tighter).map(|bar| x.place(bar.records_per_sec)) {
        canvas.line("knee", (end, plot.top), (end, plot.bottom));
        canvas.text("label faint", Anchor::End, (end, plot.top - 6.0), "tighter floor");
    }
    // Over the line.
    for (place, value) in values {
        canvas.text("label strong", Anchor::Start, place, &value);
    }
    canvas
}

/// The stages of a shard.
struct Staged<'a> {
    shard: usize,
    records: u64,
    stages: &'a [Stage],
}

/// Where the time of each shard's records goes; nothing without figures of stages.
pub(super) fn stages(run: &Run) -> String {
    let note = "The mean of all records, in the order in which they pass.";
    let latency = staged(run, |stages| &stages.latency);
    let processor = staged(run, |stages| &stages.processor);
    breakdown("A record's latency, by stage", note, &latency)
        + &breakdown("A shard's processor time, by stage", "For each record.", &processor)
}

fn staged(run: &Run, view: fn(&Stages) -> &[Stage]) -> Vec<Staged<'_>> {
    let shards = run.shards.iter().enumerate();
    let with_stages = shards.filter_map(|(shard, counts)| Some((shard, counts.records, counts.stages.as_ref()?)));
    with_stages.map(|(shard, records, stages)| Staged { shard, records, stages: view(stages) }).collect()
}

fn total(stages: &[Stage]) -> f64 {
    stages.iter().map(|stage| stage.ns_per_record).filter(|ns| ns.is_finite()).sum()
}

fn breakdown(heading: &str, note: &str, shards: &[Staged<'_>]) -> String {
    if shards.iter().all(|staged| staged.stages.is_empty()) {
        return String::new();
    }
    let means = means(shards);
    let sentences: Vec<String> =
        means.iter().map(|stage| format!("{} {}", stage.name, latency(stage.ns_per_record))).collect();
    let says = format!("{heading}: {}.", sentences.join(", "));
    let caption = Caption { heading, note, says, legend: legend(&means) };
    figure(&caption, |layout| draw_breakdown(layout, shards, &means))
}

fn legend(means: &[Stage]) -> String {
    let whole = total(means).max(f64::MIN_POSITIVE);
    let mut html = String::from("<ul class=\"legend\">");
    for (at, stage) in means.iter().enumerate() {
        let (class, name) = (style(at), escaped(&stage.name));
        let (ns, part) = (latency(stage.ns_per_record), percent(stage.ns_per_record / whole));
        let _infallible =
            write!(html, "<li><i class=\"swatch {class}\"></i>{name} <b>{ns}</b> <span>{part}</span></li>");
    }
    html + "</ul>"
}

/// The mean of each stage over the records of all shards, in the order of the first that has it.
fn means(shards: &[Staged<'_>]) -> Vec<Stage> {
    // A shard without records has no time to tell either, but each counts if none has any.
    let weight = |staged: &Staged<'_>| staged.records.max(1) as f64;
    let all: f64 = shards.iter().map(weight).sum();
    let mut means: Vec<Stage> = Vec::new();
    for (staged, stage) in shards.iter().flat_map(|staged| staged.stages.iter().map(move |stage| (staged, stage))) {
        let ns = if stage.ns_per_record.is_finite() { stage.ns_per_record * weight(staged) / all } else { 0.0 };
        match means.iter_mut().find(|mean| mean.name == stage.name) {
            Some(mean) => mean.ns_per_record += ns,
            None => means.push(Stage { name: stage.name.clone(), ns_per_record: ns }),
        }
    }
    means
}

fn draw_breakdown(layout: Layout, shards: &[Staged<'_>], order: &[Stage]) -> Canvas {
    let bottom = 8.0 + ROW * shards.len() as f64;
    let plot = Plot { left: 62.0, right: layout.width - 68.0, top: 8.0, bottom };
    let mut canvas = Canvas::new(layout.width, bottom + 4.0);
    let x = Scale::linear_to(shards.iter().map(|staged| total(staged.stages)).fold(0.0, f64::max), plot.x());
    let mut top = plot.top + (ROW - BAR) / 2.0;
    for Staged { shard, stages, .. } in shards {
        let base = top + BAR / 2.0 + 4.0;
        canvas.text("label", Anchor::End, (plot.left - 10.0, base), &format!("shard {shard}"));
        let mut sum = 0.0;
        for stage in *stages {
            let from = x.place(sum);
            sum += if stage.ns_per_record.is_finite() { stage.ns_per_record } else { 0.0 };
            let width = x.place(sum) - from;
            let at = order.iter().position(|other| other.name == stage.name).unwrap_or(0);
            let says = format!("shard {shard}, {}: {}", stage.name, latency(stage.ns_per_record));
            // A hair of the ground between two.
            canvas.rect(&format!("bar {}", style(at)), (from, top), ((width - 1.5).max(0.5), BAR), &says);
            if fits(&stage.name, width - 10.0) {
                canvas.text("label on", Anchor::Middle, (from + width / 2.0, base), &stage.name);
            }
        }
        canvas.text("label strong", Anchor::Start, (x.place(sum) + 8.0, base), &latency(sum));
        top += ROW;
    }
    canvas
}
