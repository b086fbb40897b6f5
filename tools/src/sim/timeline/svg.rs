//! SVG shapes that say what they are where one points at them. Colours are the style sheet's; a class names the role.

use crate::bench::page::text::escaped;
use std::fmt::Write;

/// A drawing that is being made.
pub(super) struct Svg {
    body: String,
}

impl Svg {
    pub(super) fn new() -> Svg {
        Svg { body: String::new() }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _infallible = self.body.write_fmt(element);
    }

    /// A box from its upper left corner.
    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), says: &str) {
        let title = if says.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(says)) };
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">{title}</rect>"
        ));
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// Upright strokes, all of one height.
    pub(super) fn strokes(&mut self, class: &str, places: impl Iterator<Item = f64>, y: f64, height: f64) {
        let mut path = String::new();
        for x in places {
            let _infallible = write!(path, "M{x:.1} {y:.1}v{height:.1}");
        }
        if !path.is_empty() {
            self.push(format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
        }
    }

    /// A diamond around a place.
    pub(super) fn diamond(&mut self, class: &str, (x, y): (f64, f64), says: &str) {
        let says = escaped(says);
        self.push(format_args!(
            "<path class=\"{class}\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\"><title>{says}</title></path>",
            y - 5.0
        ));
    }

    pub(super) fn text(&mut self, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
        let text = escaped(text);
        self.push(format_args!(
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        ));
    }

    /// Puts another drawing on top.
    pub(super) fn append(&mut self, other: &Svg) {
        self.body.push_str(&other.body);
    }

    /// The whole, `says` being what it shows, for who does not see it.
    pub(super) fn finish(self, class: &str, (width, height): (f64, f64), says: &str) -> String {
        let (body, says) = (self.body, escaped(says));
        format!(
            "<svg class=\"{class}\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             aria-label=\"{says}\">{body}</svg>"
        )
    }
}
