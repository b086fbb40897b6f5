//! The table that a person sees while a load runs: the last seconds, a line each.

use super::document::Interval;
use crate::table::{Table, grouped};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Lines of the table.
const ROWS: usize = 10;
/// How often it is drawn: seldom, for it takes time on a core that is being measured.
const DRAW_EVERY_SEC: f64 = 0.5;

/// Nothing where standard error is no terminal.
pub(crate) struct Live {
    title: String,
    bar: ProgressBar,
    drawn_sec: f64,
}

impl Live {
    pub(crate) fn new(title: &str) -> Live {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is well formed"));
        Live { title: title.into(), bar, drawn_sec: 0.0 }
    }

    pub(crate) fn warming_up(&self, now: Duration, warm_up: Duration) {
        if !self.bar.is_hidden() {
            let text =
                format!("{}: warming up, {:.1} of {:.1} s", self.title, now.as_secs_f64(), warm_up.as_secs_f64());
            self.bar.set_message(text);
            self.bar.tick();
        }
    }

    /// Shows the end of a timeline.
    pub(crate) fn show(&mut self, timeline: &[Interval]) {
        let at_sec = timeline.last().map_or(0.0, |last| last.at_sec);
        if self.bar.is_hidden() || at_sec < self.drawn_sec + DRAW_EVERY_SEC {
            return;
        }
        self.drawn_sec = at_sec;
        self.bar.set_message(format!("{}\n{}", self.title, rows(timeline)));
        self.bar.tick();
    }

    /// Takes it from the terminal: the final table comes.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// The last intervals, of which one in so many is shown that they cover seconds.
fn rows(timeline: &[Interval]) -> String {
    let mut table = Table::new(&[">s", ">records/s", ">p50 µs", ">p99 µs", ">max µs", ">in the queue"]);
    // The last may not be full yet.
    let step = timeline.windows(2).rev().nth(1).map_or(1, |pair| {
        let length = (pair[1].at_sec - pair[0].at_sec).max(0.001);
        (DRAW_EVERY_SEC / length).round().max(1.0) as usize
    });
    let shown: Vec<&Interval> = timeline.iter().rev().step_by(step).take(ROWS).collect();
    let us = |ns: u64| format!("{:.0}", ns as f64 / 1000.0);
    for interval in shown.into_iter().rev() {
        table.row(vec![
            format!("{:.1}", interval.at_sec),
            grouped(interval.records_per_sec as u64),
            us(interval.p50_ns),
            us(interval.p99_ns),
            us(interval.max_ns),
            grouped(interval.queue),
        ]);
    }
    let mut text = Vec::new();
    let _writing_to_memory = table.write(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_seconds_are_shown() {
        let interval = |at: u32| Interval {
            at_sec: f64::from(at) / 10.0,
            records_per_sec: 1e6,
            p50_ns: 80_400,
            p99_ns: 1_000_000,
            max_ns: 2_000_000,
            queue: 64,
        };
        let text = rows(&(0..200).map(interval).collect::<Vec<_>>());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + ROWS);
        assert!(lines[ROWS].contains("19.9  1,000,000      80    1000    2000"), "{text}");
        assert!(lines[ROWS - 1].trim_start().starts_with("19.4"), "{text}");
        assert_eq!(rows(&[]).lines().count(), 1);
    }
}
