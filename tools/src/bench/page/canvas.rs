//! SVG: the shapes of a chart, its axes and its labels. Colours and strokes are the style sheet's; a class names the
//! role.

use super::scale::Scale;
use super::text::{escaped, trimmed};
use std::fmt::Write;

/// About how wide a character of a label is.
const CHAR_WIDTH: f64 = 6.7;
/// Between the base lines of two labels.
const LABEL_DISTANCE: f64 = 15.0;
/// How many styles of lines the style sheet has; more lines begin again.
const STYLES: usize = 6;

/// A place: from the left and from the top.
pub(super) type Place = (f64, f64);

/// How a drawing is laid out: text keeps its size, so a small screen gets a drawing of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) narrow: bool,
}

const LAYOUTS: [Layout; 2] = [Layout { width: 640.0, narrow: false }, Layout { width: 380.0, narrow: true }];

/// What stands around a drawing.
#[derive(Default)]
pub(super) struct Caption<'a> {
    pub(super) heading: &'a str,
    /// How to read it.
    pub(super) note: &'a str,
    /// The drawing in sentences, for who does not see it.
    pub(super) says: String,
    /// HTML below it.
    pub(super) legend: String,
}

/// A drawing in both layouts.
pub(super) fn figure(caption: &Caption<'_>, draw: impl Fn(Layout) -> Canvas) -> String {
    let (heading, note) = (escaped(caption.heading), escaped(caption.note));
    let mut html = format!("<figure><figcaption><h3>{heading}</h3><p>{note}</p></figcaption>");
    for layout in LAYOUTS {
        html.push_str(&draw(layout).finish(if layout.narrow { "narrow" } else { "wide" }, &caption.says));
    }
    html.push_str(&caption.legend);
    html.push_str("</figure>\n");
    html
}

/// The class of the line of that place in its chart: each has its own colour and dashes.
pub(super) fn style(at: usize) -> String {
    format!("s{}", at % STYLES)
}

/// Whether the page has room for a text of that length.
pub(super) fn fits(text: &str, width: f64) -> bool {
    text_width(text) <= width
}

/// About how wide a text is.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHAR_WIDTH
}

/// Where a chart's plot is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Plot {
    pub(super) fn x(&self) -> (f64, f64) {
        (self.left, self.right)
    }

    /// Upwards.
    pub(super) fn y(&self) -> (f64, f64) {
        (self.bottom, self.top)
    }
}

/// Which side of its place a text is on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The marks of values: of different shape, for who sees no difference in colour.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    Circle,
    Square,
    Triangle,
}

/// A label beside the end of its line.
pub(super) struct EndLabel {
    pub(super) y: f64,
    pub(super) class: String,
    pub(super) text: String,
}

/// A drawing that is being made.
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Canvas {
        Canvas { width, height, body: String::new() }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _infallible = self.body.write_fmt(element);
    }

    pub(super) fn line(&mut self, class: &str, from: Place, to: Place) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(pixels);
        self.push(format_args!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"));
    }

    /// A line through all points; nothing of fewer than two.
    pub(super) fn path(&mut self, class: &str, points: &[Place]) {
        let drawn = thinned(points);
        if drawn.len() > 1 {
            let steps: Vec<String> = drawn.iter().map(|(x, y)| format!("{} {}", pixels(*x), pixels(*y))).collect();
            self.push(format_args!("<path class=\"{class}\" d=\"M{}\"/>", steps.join("L")));
        }
    }

    /// What is between a line and the level `bottom`.
    pub(super) fn area(&mut self, class: &str, points: &[Place], bottom: f64) {
        if let (Some(first), Some(last)) = (points.first(), points.last()) {
            let mut closed = thinned(points);
            closed.extend([(last.0, bottom), (first.0, bottom)]);
            self.path(class, &closed);
        }
    }

    pub(super) fn text(&mut self, class: &str, anchor: Anchor, (x, y): Place, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (pixels(x), pixels(y), escaped(text));
        self.push(format_args!("<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
    }

    /// A box from its upper left corner; `says` is shown where one points at it.
    pub(super) fn rect(&mut self, class: &str, (x, y): Place, (width, height): Place, says: &str) {
        let [x, y, width, height] = [x, y, width.max(0.0), height.max(0.0)].map(pixels);
        let says = escaped(says);
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\">\
             <title>{says}</title></rect>"
        ));
    }

    /// A mark, with a wider place around it that `says` what it is.
    pub(super) fn mark(&mut self, class: &str, mark: Mark, (x, y): Place, says: &str) {
        let at = |dx: f64, dy: f64| format!("{} {}", pixels(x + dx), pixels(y + dy));
        let (cx, cy, says) = (pixels(x), pixels(y), escaped(says));
        let shape = match mark {
            Mark::Circle => format!("<circle class=\"{class}\" cx=\"{cx}\" cy=\"{cy}\" r=\"3.5\"/>"),
            Mark::Square => {
                let (left, top) = (pixels(x - 3.2), pixels(y - 3.2));
                format!("<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"6.4\" height=\"6.4\"/>")
            }
            Mark::Triangle => {
                let corners = [at(0.0, -4.2), at(3.9, 3.0), at(-3.9, 3.0)];
                format!("<path class=\"{class}\" d=\"M{}Z\"/>", corners.join("L"))
            }
        };
        self.push(format_args!(
            "<g>{shape}<circle class=\"hit\" cx=\"{cx}\" cy=\"{cy}\" r=\"9\"/><title>{says}</title></g>"
        ));
    }

    /// Grid lines across the plot with their values at the left, and above them what they are values of.
    pub(super) fn y_axis(&mut self, plot: Plot, scale: &Scale, title: &str, name: impl Fn(f64) -> String) {
        for tick in scale.ticks(20.0) {
            let y = scale.place(tick);
            self.line("grid", (plot.left, y), (plot.right, y));
            self.text("tick", Anchor::End, (plot.left - 8.0, y + 4.0), &name(tick));
        }
        self.text("title", Anchor::Start, (0.0, plot.top - 14.0), title);
    }

    /// The base line, and grid lines up from it.
    pub(super) fn x_grid(&mut self, plot: Plot, places: &[f64]) {
        for x in places {
            self.line("grid", (*x, plot.top), (*x, plot.bottom));
        }
        self.line("base", (plot.left, plot.bottom), (plot.right, plot.bottom));
    }

    /// Base line and grid with their values below, and at the right end what they are values of. Where the grid is.
    pub(super) fn x_axis(&mut self, plot: Plot, scale: &Scale, title: &str, name: impl Fn(f64) -> String) -> Vec<f64> {
        // By their own width.
        let widest = scale.ticks(30.0).iter().map(|tick| text_width(&name(*tick))).fold(0.0, f64::max);
        let ticks = scale.ticks((widest + 6.0).max(30.0));
        let places: Vec<f64> = ticks.iter().map(|tick| scale.place(*tick)).collect();
        self.x_grid(plot, &places);
        for (x, tick) in places.iter().zip(ticks) {
            self.text("tick", Anchor::Middle, (*x, plot.bottom + 17.0), &name(tick));
        }
        self.text("title", Anchor::End, (plot.right, plot.bottom + 36.0), title);
        places
    }

    /// Labels at the right of a plot, moved apart where they would cover each other.
    pub(super) fn end_labels(&mut self, plot: Plot, mut labels: Vec<EndLabel>) {
        labels.sort_by(|a, b| a.y.total_cmp(&b.y));
        let mut lowest = f64::NEG_INFINITY;
        for label in &mut labels {
            label.y = label.y.max(lowest + LABEL_DISTANCE);
            lowest = label.y;
        }
        // Those that would then be below the plot move up again, and push those above them.
        let mut highest = plot.bottom + LABEL_DISTANCE;
        for label in labels.iter_mut().rev() {
            label.y = label.y.min(highest - LABEL_DISTANCE);
            highest = label.y;
        }
        for EndLabel { y, class, text } in &labels {
            self.text(&format!("label {class}"), Anchor::Start, (plot.right + 8.0, y + 4.0), text);
        }
    }

    fn finish(self, class: &str, says: &str) -> String {
        let (width, height, says) = (pixels(self.width), pixels(self.height), escaped(says));
        let Canvas { body, .. } = self;
        format!(
            "<svg class=\"{class}\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-label=\"{says}\">{body}</svg>"
        )
    }
}

/// A tenth of a pixel is as exact as one can see.
fn pixels(place: f64) -> String {
    debug_assert!(place.is_finite(), "scales give places");
    trimmed((place * 10.0).round() / 10.0)
}

/// The points without those at which nobody sees a difference: within half a pixel of the one before.
fn thinned(points: &[Place]) -> Vec<Place> {
    let mut drawn: Vec<Place> = Vec::with_capacity(points.len());
    for (at, point) in points.iter().enumerate() {
        let near = |last: &Place| (last.0 - point.0).abs() < 0.5 && (last.1 - point.1).abs() < 0.5;
        if at + 1 == points.len() || !drawn.last().is_some_and(near) {
            drawn.push(*point);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_labels_move_apart_and_stay_in_the_plot() {
        let plot = Plot { left: 0.0, right: 100.0, top: 0.0, bottom: 60.0 };
        let mut canvas = Canvas::new(200.0, 80.0);
        let label = |y, text: &str| EndLabel { y, class: "s0".into(), text: text.into() };
        canvas.end_labels(plot, vec![label(59.0, "c"), label(10.0, "a"), label(58.0, "b")]);
        for (text, y) in [("a", "14"), ("b", "49"), ("c", "64")] {
            assert!(canvas.body.contains(&format!("y=\"{y}\">{text}<")), "{text} at {y}: {}", canvas.body);
        }
    }

    #[test]
    fn lines_have_no_more_points_than_one_sees() {
        let points: Vec<Place> = (0..1000).map(|at| (f64::from(at) / 10.0, 5.0)).collect();
        let drawn = thinned(&points);
        assert!(drawn.len() <= 201, "{}", drawn.len());
        assert_eq!((drawn.first(), drawn.last()), (points.first(), points.last()));
    }
}
