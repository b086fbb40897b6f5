//! A run over its time: what it did, how long that took, and what waited. One axis of time for all.

use super::canvas::{Anchor, Canvas, Caption, EndLabel, Layout, Place, Plot, figure};
use super::scale::Scale;
use super::text::{latency, latency_tick, number, number_tick, seconds, trimmed};
use crate::bench::document::Interval;

/// The heights of the three panels, and what is between them.
const PANELS: [f64; 3] = [130.0, 150.0, 80.0];
const BETWEEN: f64 = 48.0;

/// The three panels; nothing without a timeline. A rate that was asked for, in records a second, is drawn too.
pub(super) fn chart(intervals: &[Interval], offered_per_sec: Option<f64>) -> String {
    let Some(last) = intervals.last() else { return String::new() };
    let per_sec = intervals.iter().map(|interval| interval.records_per_sec);
    let (least, most) = per_sec.fold((f64::INFINITY, 0.0_f64), |(low, high), rate| (low.min(rate), high.max(rate)));
    let p99 = intervals.iter().map(|interval| interval.p99_ns).max().unwrap_or(0);
    let says = format!(
        "Over {}: throughput between {} and {} records a second, p99 up to {}, {} requests waiting at the end.",
        seconds(last.at_sec),
        number(least),
        number(most),
        latency(p99 as f64),
        number(last.queue as f64)
    );
    let caption = Caption {
        heading: "Over time",
        note: "Interval by interval. Waiting are the requests that were due and not answered.",
        says,
        ..Caption::default()
    };
    figure(&caption, |layout| draw(layout, intervals, offered_per_sec))
}

fn draw(layout: Layout, intervals: &[Interval], offered_per_sec: Option<f64>) -> Canvas {
    let mut top = 32.0;
    let panels = PANELS.map(|height| {
        let plot = Plot { left: 56.0, right: layout.width - 60.0, top, bottom: top + height };
        top = plot.bottom + BETWEEN;
        plot
    });
    let mut canvas = Canvas::new(layout.width, panels[2].bottom + 44.0);
    let time = Scale::linear_to(intervals.last().map_or(0.0, |interval| interval.at_sec), panels[0].x());
    let places = canvas.x_axis(panels[2], &time, "time, s", trimmed);
    canvas.x_grid(panels[0], &places);
    canvas.x_grid(panels[1], &places);
    draw_throughput(&mut canvas, panels[0], &time, intervals, offered_per_sec);
    draw_latency(&mut canvas, panels[1], &time, intervals);
    draw_queue(&mut canvas, panels[2], &time, intervals);
    // On top of all, and over all three: where one points, the interval tells its figures.
    let mut from = panels[0].left;
    for interval in intervals {
        let to = time.place(interval.at_sec);
        let size = (to - from, panels[2].bottom - panels[0].top);
        canvas.rect("column", (from, panels[0].top), size, &says(interval));
        from = to;
    }
    canvas
}

fn says(interval: &Interval) -> String {
    let Interval { at_sec, records_per_sec, p50_ns, p99_ns, max_ns, queue } = interval;
    let [p50, p99, max] = [p50_ns, p99_ns, max_ns].map(|ns| latency(*ns as f64));
    let rate = number(*records_per_sec);
    format!("up to {}: {rate} records/s; p50 {p50}, p99 {p99}, max {max}; {queue} waiting", seconds(*at_sec))
}

/// The places of a line. An interval's value stands in its middle; a lone one is a level over all of it.
fn places(intervals: &[Interval], time: &Scale, y: &Scale, value: impl Fn(&Interval) -> f64) -> Vec<Place> {
    if let [only] = intervals {
        let level = y.place(value(only));
        return vec![(time.place(0.0), level), (time.place(only.at_sec), level)];
    }
    let mut from = 0.0;
    let place = |interval: &Interval| {
        let middle = (from + interval.at_sec) / 2.0;
        from = interval.at_sec;
        (time.place(middle), y.place(value(interval)))
    };
    intervals.iter().map(place).collect()
}

fn draw_throughput(canvas: &mut Canvas, plot: Plot, time: &Scale, intervals: &[Interval], offered: Option<f64>) {
    let rates = intervals.iter().map(|interval| interval.records_per_sec).chain(offered);
    let y = Scale::linear(rates.fold(0.0, f64::max), plot.y());
    canvas.y_axis(plot, &y, "records/s", |rate| number_tick(rate, y.high()));
    let points = places(intervals, time, &y, |interval| interval.records_per_sec);
    canvas.area("area s0", &points, plot.bottom);
    canvas.path("line s0", &points);
    if let Some(offered) = offered {
        let level = y.place(offered);
        canvas.line("floor", (plot.left, level), (plot.right, level));
        canvas.text("label faint", Anchor::Start, (plot.right + 8.0, level + 4.0), "asked for");
    }
}

fn draw_latency(canvas: &mut Canvas, plot: Plot, time: &Scale, intervals: &[Interval]) {
    type Line = (&'static str, &'static str, fn(&Interval) -> u64);
    let lines: [Line; 3] = [
        ("max", "s2", |interval| interval.max_ns),
        ("p99", "s1", |interval| interval.p99_ns),
        ("p50", "s0", |interval| interval.p50_ns),
    ];
    let all = lines.iter().flat_map(|line| intervals.iter().map(|interval| line.2(interval) as f64));
    let y = Scale::log(all, plot.y());
    canvas.y_axis(plot, &y, "latency", latency_tick);
    let mut labels = Vec::new();
    for (name, class, value) in lines {
        let points = places(intervals, time, &y, |interval| value(interval) as f64);
        canvas.path(&format!("line {class}"), &points);
        let end = points.last().map_or(plot.bottom, |point| point.1);
        labels.push(EndLabel { y: end, class: class.into(), text: name.into() });
    }
    canvas.end_labels(plot, labels);
}

fn draw_queue(canvas: &mut Canvas, plot: Plot, time: &Scale, intervals: &[Interval]) {
    let most = intervals.iter().map(|interval| interval.queue as f64).fold(0.0, f64::max);
    let y = Scale::linear(most, plot.y());
    canvas.y_axis(plot, &y, "waiting requests", |queue| number_tick(queue, y.high()));
    let points = places(intervals, time, &y, |interval| interval.queue as f64);
    canvas.area("area s3", &points, plot.bottom);
    canvas.path("line s3", &points);
}
