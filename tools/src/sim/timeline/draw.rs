//! A life as a drawing: lanes from top to bottom, time from left to right.

use super::axis::Axis;
use super::lives::{Ended, Life, Operation, Outcome, Request};
use super::svg::Svg;
use crate::bench::page::text::{latency, latency_tick};
use std::collections::BTreeSet;

/// How a drawing is laid out: text keeps its size, so a small screen gets a drawing of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) class: &'static str,
    width: f64,
    /// For the names of the lanes.
    left: f64,
}

pub(super) const LAYOUTS: [Layout; 2] =
    [Layout { class: "wide", width: 1240.0, left: 84.0 }, Layout { class: "narrow", width: 380.0, left: 62.0 }];

const ROW: f64 = 8.0;
const BETWEEN_LANES: f64 = 10.0;
/// How high the strokes of a shard's turns are.
const TURN: f64 = 8.0;
/// Rows of a lane at the most: what has no room lies over what ends first.
const ROWS_MAX: usize = 5;
const LABEL_ROW: f64 = 14.0;
/// Rows of labels above the lanes at the most; the marks say the rest.
const LABEL_ROWS_MAX: usize = 3;
/// About how wide a character of a label is.
const CHAR: f64 = 6.8;
/// The disk's lane of openings and closings.
const COLD_LANE: u16 = u16::MAX;

/// Draws a life. `broken` says that the run ends here, with a law broken.
pub(super) fn draw(life: &Life, broken: bool, says: &str, layout: Layout) -> String {
    let opening = life.opened.as_ref().map(|(at, _)| *at);
    let axis = Axis::new(&life.moments(), opening, layout.left..layout.width - 2.0);
    let mut drawing = Drawing { svg: Svg::new(), axis, layout, y: 0.0, lanes: Vec::new() };
    let top = drawing.labels(life, broken);
    drawing.y = top;
    // What lies behind comes first, so the height must be known before: the lanes are drawn into a drawing of their own.
    let behind = std::mem::replace(&mut drawing.svg, Svg::new());
    drawing.all_lanes(life);
    let bottom = drawing.y;
    let lanes = std::mem::replace(&mut drawing.svg, behind);
    drawing.bands(life, broken, top - 4.0, bottom);
    drawing.svg.append(&lanes);
    drawing.faults(life);
    drawing.time(bottom);
    drawing.svg.finish(layout.class, (layout.width, bottom + 20.0), says)
}

struct Drawing {
    svg: Svg,
    axis: Axis,
    layout: Layout,
    y: f64,
    /// The disk's lanes, with the middle of each.
    lanes: Vec<(u16, f64)>,
}

impl Drawing {
    /// The names of faults and of the end, above the lanes; gives where the lanes begin.
    fn labels(&mut self, life: &Life, broken: bool) -> f64 {
        // That the life ended by a crash is said at its end.
        let named = life.faults.iter().filter(|fault| !matches!(fault.kind.as_str(), "kill" | "power-cut"));
        let mut labels: Vec<(f64, &str, &str)> =
            named.map(|fault| (self.axis.x(fault.at), "fault", fault.kind.as_str())).collect();
        labels.extend(life.failed.iter().map(|(at, _)| (self.axis.x(*at), "fault", "did not open")));
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        labels.dedup_by(|next, label| next.2 == label.2 && next.0 - label.0 < 1.0);
        let right = self.layout.width - 2.0;
        let end = match life.ended {
            _ if broken => ("end bad", "a law is broken"),
            Ended::Closed => ("end", "closed"),
            Ended::Killed => ("end bad", "killed"),
            Ended::PowerCut => ("end bad", "power cut"),
            Ended::Run => ("end", "end of the run"),
        };
        let width = |text: &str| text.chars().count() as f64 * CHAR;
        // How far each row is taken; the end has the place at the right of the first.
        let mut rows = [self.layout.left; LABEL_ROWS_MAX];
        let mut placed = Vec::new();
        for (x, class, text) in labels {
            let start = x.min(right - width(text));
            let room = |row: usize| start >= rows[row] && (row > 0 || start + width(text) < right - width(end.1) - 8.0);
            if let Some(row) = (0..LABEL_ROWS_MAX).find(|row| room(*row)) {
                rows[row] = start + width(text) + 8.0;
                placed.push((start, row, x, class, text));
            }
        }
        let used = placed.iter().map(|(_, row, ..)| row + 1).max().unwrap_or(1);
        let top = used as f64 * LABEL_ROW + 8.0;
        for (start, row, x, class, text) in placed {
            let y = (row + 1) as f64 * LABEL_ROW - 3.0;
            self.svg.line("leader", (x, y + 3.0), (x, top));
            self.svg.text(class, "start", (start, y), text);
        }
        self.svg.text(end.0, "end", (right, LABEL_ROW - 3.0), end.1);
        top
    }

    fn all_lanes(&mut self, life: &Life) {
        for (client, requests) in &life.requests {
            self.requests(life, *client, requests);
        }
        let shards = life.turns.keys().chain(life.operations.keys()).filter(|lane| **lane != COLD_LANE);
        for shard in shards.collect::<BTreeSet<_>>() {
            self.name(&format!("shard {shard}"), TURN);
            let turns = life.turns.get(shard).into_iter().flatten().map(|at| self.axis.x(*at)).collect::<Vec<_>>();
            self.svg.strokes("turn", turns.into_iter(), self.y, TURN);
            self.y += TURN + BETWEEN_LANES / 2.0;
            let operations = life.operations.get(shard).map_or(&[][..], Vec::as_slice);
            self.operations(life, *shard, &format!("disk {shard}"), operations);
        }
        if let Some(operations) = life.operations.get(&COLD_LANE) {
            self.operations(life, COLD_LANE, "recovery", operations);
        }
    }

    fn name(&mut self, name: &str, height: f64) {
        self.svg.text("lane", "end", (self.layout.left - 8.0, self.y + height / 2.0 + 4.0), name);
    }

    fn requests(&mut self, life: &Life, client: u8, requests: &[Request]) {
        let spans: Vec<(u64, u64)> = requests.iter().map(|request| (request.sent, request.end(life))).collect();
        let (rows, height) = packed(&spans);
        self.name(&format!("client {client}"), height);
        for ((request, row), (sent, end)) in requests.iter().zip(rows).zip(spans) {
            let class = match request.outcome {
                Outcome::Done => "done",
                Outcome::Refused => "refused",
                Outcome::GivenUp | Outcome::Unanswered => "unanswered",
            };
            let write = if request.what.starts_with("append") { "" } else { " other" };
            let at = latency(request.sent as f64);
            let says = match &request.answer {
                Some((answered, text)) => {
                    let took = latency((answered - sent) as f64);
                    format!("{text}\nrequest {}, sent at {at}, answered after {took}", request.token)
                }
                None => {
                    let why = if request.left.is_some() { "its client left" } else { "never answered" };
                    format!("{}\nrequest {}, sent at {at}, {why}", request.what, request.token)
                }
            };
            self.span(&format!("{class}{write}"), (sent, end), row, &says);
        }
        self.y += height + BETWEEN_LANES;
    }

    fn operations(&mut self, life: &Life, lane: u16, name: &str, operations: &[Operation]) {
        let spans: Vec<(u64, u64)> =
            operations.iter().map(|operation| (operation.start, operation.end.unwrap_or(life.end))).collect();
        let (rows, height) = packed(&spans);
        self.name(name, height);
        self.lanes.push((lane, self.y + height / 2.0));
        for ((operation, row), (start, end)) in operations.iter().zip(rows).zip(spans) {
            let class = match operation.action.as_str() {
                "Write" => "write",
                "Flush" | "FlushDirectory" => "flush",
                "Read" => "read",
                _ => "file",
            };
            let (failed, ending) = match (operation.failed, operation.end) {
                (true, _) => (" failed", "failed"),
                (false, Some(_)) => ("", "took"),
                (false, None) => (" lost", "never completed"),
            };
            let Operation { number, action, place, .. } = operation;
            let took = latency(end.saturating_sub(start) as f64);
            let says = format!("{action} {place}\noperation {number}, at {}, {ending}, {took}", latency(start as f64));
            self.span(&format!("{class}{failed}"), (start, end), row, &says);
        }
        self.y += height + BETWEEN_LANES;
    }

    fn span(&mut self, class: &str, (start, end): (u64, u64), row: usize, says: &str) {
        let (left, right) = (self.axis.x(start), self.axis.x(end));
        // A hair of ground between two that follow each other.
        let width = (right - left - 0.5).max(1.2);
        self.svg.rect(class, (left, self.y + row as f64 * ROW), (width, ROW - 1.5), says);
    }

    /// What lies behind all lanes: the opening, what was cut out, the end.
    fn bands(&mut self, life: &Life, broken: bool, top: f64, bottom: f64) {
        let (left, right) = (self.axis.x(life.start), self.axis.x(life.end));
        let height = bottom - top;
        self.svg.rect("ground", (left, top), (right - left, height), "");
        let opened = life.opened.as_ref().map_or(life.end, |(at, _)| *at);
        let took = latency((opened - life.start) as f64);
        let text = life.opened.as_ref().map_or("never opened", |(_, text)| text);
        let opening = self.axis.x(opened) - left;
        self.svg.rect("opening", (left, top), (opening, height), &format!("the opening: {took}; {text}"));
        let cuts = std::mem::take(&mut self.axis.cuts);
        for cut in &cuts {
            let says = format!("cut out: {} in which nothing began or ended", latency(cut.ns as f64));
            self.svg.rect("cut", (cut.x - 2.5, top), (5.0, height), &says);
        }
        self.axis.cuts = cuts;
        match life.ended {
            _ if broken => self.svg.rect("crash", (right - 3.0, top), (5.0, height), "a law is broken"),
            Ended::Killed => self.svg.rect("crash", (right - 1.5, top), (3.5, height), "the process was killed"),
            Ended::PowerCut => self.svg.rect("crash", (right - 1.5, top), (3.5, height), "the power went"),
            Ended::Closed | Ended::Run => self.svg.rect("close", (right - 0.5, top), (1.5, height), "the end"),
        }
    }

    fn faults(&mut self, life: &Life) {
        for fault in &life.faults {
            let lane = self.lanes.iter().find(|(lane, _)| *lane == fault.lane);
            if let Some((_, y)) = lane {
                let says = format!("{}\nat {}", fault.says, latency(fault.at as f64));
                self.svg.diamond("strike", (self.axis.x(fault.at), *y), &says);
            }
        }
    }

    fn time(&mut self, bottom: f64) {
        for (at, x) in self.axis.ticks(72.0) {
            self.svg.line("tick", (x, bottom), (x, bottom + 4.0));
            self.svg.text("time", "middle", (x.max(self.layout.left + 12.0), bottom + 15.0), &latency_tick(at as f64));
        }
    }
}

/// The row of each span, so that those at the same time lie below each other; and how high all are.
fn packed(spans: &[(u64, u64)]) -> (Vec<usize>, f64) {
    let mut ends: Vec<u64> = Vec::new();
    let mut place = |&(start, end): &(u64, u64)| {
        let free = ends.iter().position(|taken| *taken <= start);
        let row = free.unwrap_or_else(|| match ends.len() {
            rows if rows < ROWS_MAX => rows,
            rows => (0..rows).min_by_key(|row| ends[*row]).unwrap_or_default(),
        });
        if row == ends.len() {
            ends.push(end);
        }
        ends[row] = ends[row].max(end);
        row
    };
    let rows: Vec<usize> = spans.iter().map(&mut place).collect();
    let height = ends.len().max(1) as f64 * ROW - 1.5;
    (rows, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_at_the_same_time_lie_below_each_other() {
        let (rows, height) = packed(&[(0, 10), (5, 8), (8, 12), (10, 20), (11, 12)]);
        assert_eq!(rows, [0, 1, 1, 0, 2]);
        assert!(height > 2.0 * ROW);
        // More than there are rows: still each has one.
        let (rows, _) = packed(&[(0, 100); 20]);
        assert_eq!(rows.iter().max(), Some(&(ROWS_MAX - 1)));
    }
}
