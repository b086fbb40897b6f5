//! The curve of a sweep: what latency costs each throughput, up to the knee and beyond.

use super::canvas::{Anchor, Canvas, Caption, EndLabel, Layout, Mark, Plot, figure, text_width};
use super::scale::Scale;
use super::text::{latency, latency_tick, number, number_tick, times};
use crate::bench::document::{Point, Sweep};

/// A percentile: its name, style and mark, and where a point has it.
type Line = (&'static str, &'static str, Mark, fn(&Point) -> u64);

const LINES: [Line; 3] = [
    ("p99.9", "s2", Mark::Triangle, |point| point.p999_ns),
    ("p99", "s1", Mark::Square, |point| point.p99_ns),
    ("p50", "s0", Mark::Circle, |point| point.p50_ns),
];

/// The curve; nothing of a sweep without a point.
pub(super) fn chart(sweep: &Sweep, unit: &str) -> String {
    if sweep.points.is_empty() {
        return String::new();
    }
    let knee = match sweep.knee_per_sec {
        Some(knee) => format!("The highest rate that was sustained is {} {unit}.", number(knee)),
        None => "No rate was sustained.".into(),
    };
    let half = match (&sweep.device_at_half, sweep.p99_at_half_of_device) {
        (Some(device), Some(ratio)) => {
            let own = latency(device.p99_ns as f64);
            format!(" At half of it p99 is {} the device's own, which is {own}.", times(ratio))
        }
        _ => String::new(),
    };
    let caption = Caption {
        heading: "Throughput and latency",
        note: "For each rate that was asked for: what was achieved, and how long it took. Hollow: not sustained.",
        says: format!("Latency at {} rising rates. {knee}{half}", sweep.points.len()),
        ..Caption::default()
    };
    figure(&caption, |layout| draw(layout, sweep, unit))
}

fn draw(layout: Layout, sweep: &Sweep, unit: &str) -> Canvas {
    let height = if layout.narrow { 340.0 } else { 400.0 };
    let plot = Plot { left: 56.0, right: layout.width - 82.0, top: 46.0, bottom: height - 44.0 };
    let mut canvas = Canvas::new(layout.width, height);
    let device = sweep.device_at_half.as_ref().map(|device| device.p99_ns as f64);
    let rates = sweep.points.iter().map(|point| point.achieved_per_sec).chain(sweep.knee_per_sec);
    let x = Scale::linear(rates.fold(0.0, f64::max), plot.x());
    let all = sweep.points.iter().flat_map(|point| LINES.map(|line| line.3(point) as f64));
    let y = Scale::log(all.chain(device), plot.y());
    canvas.y_axis(plot, &y, "latency", latency_tick);
    canvas.x_axis(plot, &x, &format!("achieved {unit}"), |rate| number_tick(rate, x.high()));
    let mut labels = Vec::new();
    if let Some(p99_ns) = device {
        let level = y.place(p99_ns);
        canvas.line("floor", (plot.left, level), (plot.right, level));
        labels.push(EndLabel { y: level, class: "faint".into(), text: "device p99".into() });
    }
    if let Some(knee) = sweep.knee_per_sec {
        draw_knee(&mut canvas, plot, x.place(knee), &format!("knee {}", number(knee)));
    }
    labels.extend(LINES.iter().filter_map(|line| draw_line(&mut canvas, &x, &y, sweep, line)));
    canvas.end_labels(plot, labels);
    canvas
}

fn draw_knee(canvas: &mut Canvas, plot: Plot, place: f64, name: &str) {
    canvas.line("knee", (place, plot.top - 6.0), (place, plot.bottom));
    let half = text_width(name) / 2.0;
    let middle = place.clamp(plot.left + half, (plot.right - half).max(plot.left + half));
    canvas.text("label strong", Anchor::Middle, (middle, plot.top - 11.0), name);
}

/// One percentile, a line from rate to rate: a faint one to and from those that were not sustained.
fn draw_line(canvas: &mut Canvas, x: &Scale, y: &Scale, sweep: &Sweep, line: &Line) -> Option<EndLabel> {
    let (name, class, mark, value) = line;
    let place = |point: &Point| (x.place(point.achieved_per_sec), y.place(value(point) as f64));
    for sustained in sweep.points.chunk_by(|a, b| a.sustained && b.sustained) {
        canvas.path(&format!("line {class}"), &sustained.iter().map(place).collect::<Vec<_>>());
    }
    for step in sweep.points.windows(2).filter(|step| !step.iter().all(|point| point.sustained)) {
        canvas.path(&format!("line beyond {class}"), &step.iter().map(place).collect::<Vec<_>>());
    }
    for point in &sweep.points {
        let filling = if point.sustained { "dot" } else { "dot hollow" };
        canvas.mark(&format!("{filling} {class}"), *mark, place(point), &says(name, value(point), point));
    }
    let end = sweep.points.last().map(place)?;
    Some(EndLabel { y: end.1, class: (*class).into(), text: (*name).into() })
}

fn says(name: &str, ns: u64, point: &Point) -> String {
    let (offered, achieved) = (number(point.offered_per_sec), number(point.achieved_per_sec));
    let end = if point.sustained {
        String::new()
    } else {
        format!("; not sustained, {} behind at the end", number(point.behind_end as f64))
    };
    format!("{achieved}/s of {offered}/s asked: {name} {}{end}", latency(ns as f64))
}
