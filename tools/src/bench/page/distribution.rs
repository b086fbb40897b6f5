//! The distribution of latency, twice: as the fraction that took no longer, which shows the bulk, and by percentiles,
//! which spreads out the tail.

use super::canvas::{Anchor, Canvas, Caption, EndLabel, Layout, Mark, Place, Plot, figure, style, text_width};
use super::scale::Scale;
use super::text::{latency, latency_tick, quantile};
use crate::bench::document::{Latency, Part};
use crate::floor::device::DeviceFloor;

/// The percentiles that the document names.
fn named(latency: &Latency) -> [(f64, u64); 5] {
    [
        (0.5, latency.p50_ns),
        (0.9, latency.p90_ns),
        (0.99, latency.p99_ns),
        (0.999, latency.p999_ns),
        (0.9999, latency.p9999_ns),
    ]
}

/// Of the percentiles, those that so many requests can tell.
fn known(latency: &Latency, requests: u64) -> impl Iterator<Item = (f64, u64)> {
    named(latency).into_iter().filter(move |(fraction, _)| (1.0 - fraction) * requests as f64 >= 1.0)
}

/// Parts of which single requests were timed, each with its line's style.
type Timed<'a> = Vec<(String, &'a Part, &'a Latency)>;

fn timed(parts: &[Part]) -> Timed<'_> {
    let with_latency = parts.iter().filter_map(|part| Some((part, part.latency.as_ref()?)));
    with_latency.enumerate().map(|(at, (part, latency))| (style(at), part, latency)).collect()
}

/// Both charts; nothing where no request was timed.
pub(super) fn charts(parts: &[Part], device: Option<&DeviceFloor>) -> String {
    let timed = timed(parts);
    if timed.is_empty() {
        return String::new();
    }
    let sentence = |(_, part, found): &(String, &Part, &Latency)| {
        let [p50, p99, p999] = [found.p50_ns, found.p99_ns, found.p999_ns].map(|ns| latency(ns as f64));
        format!("{}: half took at most {p50}, 99 % at most {p99}, 99.9 % at most {p999}.", part.name)
    };
    let sentences = timed.iter().map(sentence).collect::<Vec<_>>().join(" ");
    let ecdf = Caption {
        heading: "Latency, cumulative",
        note: "The part of all requests that took no longer. Logarithmic axis.",
        says: format!("Cumulative distribution of latency. {sentences}"),
        ..Caption::default()
    };
    let spectrum = Caption {
        heading: "Latency by percentile",
        note: "From the median on; each step to the right leaves a tenth of the requests.",
        says: format!("Latency by percentile. {sentences}"),
        ..Caption::default()
    };
    figure(&ecdf, |layout| draw_ecdf(layout, &timed, device))
        + &figure(&spectrum, |layout| draw_spectrum(layout, &timed, device))
}

fn all_ns(timed: &Timed<'_>, device: Option<&DeviceFloor>) -> Vec<f64> {
    let own = timed.iter().flat_map(|(_, _, latency)| latency.ecdf.iter().map(|point| point.0));
    let ends = timed.iter().flat_map(|(_, _, latency)| [latency.min_ns, latency.max_ns]);
    let floor = device.into_iter().flat_map(|device| [device.p50_ns, device.p99_ns]);
    own.chain(ends).chain(floor).map(|ns| ns as f64).collect()
}

fn draw_ecdf(layout: Layout, timed: &Timed<'_>, device: Option<&DeviceFloor>) -> Canvas {
    let height = if layout.narrow { 300.0 } else { 340.0 };
    let plot = Plot { left: 48.0, right: layout.width - 18.0, top: 32.0, bottom: height - 44.0 };
    let mut canvas = Canvas::new(layout.width, height);
    let x = Scale::log(all_ns(timed, device), plot.x());
    let y = Scale::linear_to(1.0, plot.y());
    canvas.y_axis(plot, &y, "requests", quantile);
    canvas.x_axis(plot, &x, "latency", latency_tick);
    if let Some(device) = device {
        let (p50, p99) = (x.place(device.p50_ns as f64), x.place(device.p99_ns as f64));
        for place in [p50, p99] {
            canvas.line("floor", (place, plot.top - 8.0), (place, plot.bottom));
        }
        // Above both lines, between the axis' title and the right end.
        let name = "device p50, p99";
        let half = text_width(name) / 2.0;
        let middle = f64::midpoint(p50, p99).clamp(plot.left + 24.0 + half, plot.right - half);
        canvas.text("label faint", Anchor::Middle, (middle, plot.top - 14.0), name);
    }
    let place = |point: &(u64, f64)| (x.place(point.0 as f64), y.place(point.1));
    for (class, _, latency) in timed {
        let points: Vec<Place> = latency.ecdf.iter().map(place).collect();
        canvas.path(&format!("line {class}"), &points);
    }
    for (at, (class, part, found)) in timed.iter().enumerate() {
        for (fraction, ns) in known(found, part.requests) {
            canvas.mark(&format!("dot {class}"), Mark::Circle, place(&(ns, fraction)), &says(part, fraction, ns));
        }
        // Names stand beside their lines, each lower than the one before.
        let beside = 0.62 - 0.46 * (at as f64 + 0.5) / timed.len() as f64;
        let ns = found.ecdf.iter().find(|point| point.1 >= beside).map_or(found.p50_ns, |point| point.0);
        let (line, level) = place(&(ns, beside));
        let room = plot.right - line > text_width(&part.name) + 12.0;
        let (anchor, from) = if room { (Anchor::Start, line + 10.0) } else { (Anchor::End, line - 10.0) };
        canvas.text(&format!("label {class}"), anchor, (from, level + 4.0), &part.name);
    }
    canvas
}

fn draw_spectrum(layout: Layout, timed: &Timed<'_>, device: Option<&DeviceFloor>) -> Canvas {
    let height = if layout.narrow { 300.0 } else { 340.0 };
    let longest = timed.iter().map(|(_, part, _)| text_width(&part.name)).fold(text_width("device"), f64::max);
    let margin = (longest + 14.0).min(layout.width / 3.5);
    let plot = Plot { left: 56.0, right: layout.width - margin, top: 32.0, bottom: height - 44.0 };
    let mut canvas = Canvas::new(layout.width, height);
    let most = timed.iter().map(|(_, part, _)| part.requests).max().unwrap_or(0);
    let x = Scale::nines(most, plot.x());
    let y = Scale::log(all_ns(timed, device), plot.y());
    canvas.y_axis(plot, &y, "latency", latency_tick);
    canvas.x_axis(plot, &x, "percentile", quantile);
    let mut labels = Vec::new();
    if let Some(device) = device {
        let points = [(0.5, device.p50_ns), (0.99, device.p99_ns), (0.999, device.p999_ns)];
        let places = points.map(|(fraction, ns)| (x.place(fraction), y.place(ns as f64)));
        canvas.path("floor", &places);
        for ((fraction, ns), place) in points.into_iter().zip(places) {
            let says = format!("device, {}: {}", quantile(fraction), latency(ns as f64));
            canvas.mark("dot faint", Mark::Square, place, &says);
        }
        canvas.text("label faint", Anchor::Middle, (places[1].0, places[1].1 + 18.0), "device");
    }
    for (class, part, found) in timed {
        let upper = found.ecdf.iter().filter(|point| point.1 >= 0.5);
        let mut points: Vec<Place> = vec![(x.place(0.5), y.place(found.p50_ns as f64))];
        points.extend(upper.map(|(ns, fraction)| (x.place(*fraction), y.place(*ns as f64))));
        let highest = (x.place(1.0 - 1.0 / part.requests.max(1) as f64), y.place(found.max_ns as f64));
        points.retain(|point| point.0 < highest.0);
        points.push(highest);
        canvas.path(&format!("line {class}"), &points);
        canvas.mark(&format!("dot {class}"), Mark::Circle, highest, &says(part, 1.0, found.max_ns));
        labels.push(EndLabel { y: highest.1, class: class.clone(), text: part.name.clone() });
        for (fraction, ns) in known(found, part.requests) {
            let place = (x.place(fraction), y.place(ns as f64));
            canvas.mark(&format!("dot {class}"), Mark::Circle, place, &says(part, fraction, ns));
            // Of several lines the values would cover each other; they are in the table and where one points.
            if timed.len() == 1 && fraction != 0.9 {
                // The first is below its line: above it the line rises, and to the left is the axis.
                let beside =
                    if fraction == 0.5 { (place.0 + 7.0, place.1 + 16.0) } else { (place.0 - 4.0, place.1 - 9.0) };
                let anchor = if fraction == 0.5 { Anchor::Start } else { Anchor::End };
                canvas.text("label value", anchor, beside, &latency(ns as f64));
            }
        }
    }
    canvas.end_labels(plot, labels);
    canvas
}

fn says(part: &Part, fraction: f64, ns: u64) -> String {
    let what = if fraction == 1.0 { "the slowest".into() } else { quantile(fraction) };
    format!("{}, {what}: {}", part.name, latency(ns as f64))
}
