//! What is remembered of a run's course: a bounded number of points at even distances, however long it takes.

use super::document::Interval;
use std::time::Duration;

/// Points that are kept: a run of hours has coarser ones in its document than in its interval log. Even, since they go in pairs.
const POINTS_MAX: usize = 4096;

/// How far the points of a timeline are apart: as far as was asked for, and twice as far each time that there are too many.
#[derive(Debug)]
pub(crate) struct Spacing {
    every_sec: f64,
    sec: f64,
}

impl Spacing {
    pub(crate) fn new(every: Duration) -> Spacing {
        Spacing { every_sec: every.as_secs_f64(), sec: every.as_secs_f64() }
    }

    /// Puts an interval that begins where the timeline ends at its end: into the last point if that is not full, or as a new one.
    pub(crate) fn push(&mut self, timeline: &mut Vec<Interval>, interval: Interval) {
        if let [before @ .., last] = &mut timeline[..] {
            let from_sec = end(before);
            // To within half a tick: ticks come late, never early.
            if last.at_sec - from_sec + self.every_sec / 2.0 < self.sec {
                *last = merged(from_sec, last, &interval);
                return;
            }
        }
        if timeline.len() == POINTS_MAX {
            merge_pairs(timeline);
            self.sec *= 2.0;
        }
        timeline.push(interval);
    }
}

/// Makes one point of every two.
fn merge_pairs(timeline: &mut Vec<Interval>) {
    let mut from_sec = 0.0;
    let merge = |pair: &[Interval]| match pair {
        [first, .., second] => {
            let both = merged(from_sec, first, second);
            from_sec = second.at_sec;
            both
        }
        _ => pair[0].clone(),
    };
    *timeline = timeline.chunks(2).map(merge).collect();
}

/// One point of two that follow each other, the first of which began at `from_sec`; see [`Interval`].
fn merged(from_sec: f64, first: &Interval, second: &Interval) -> Interval {
    let length_sec = (second.at_sec - from_sec).max(f64::MIN_POSITIVE);
    let share = ((first.at_sec - from_sec) / length_sec).clamp(0.0, 1.0);
    let mean = |first: f64, second: f64| first * share + second * (1.0 - share);
    Interval {
        at_sec: second.at_sec,
        records_per_sec: mean(first.records_per_sec, second.records_per_sec),
        p50_ns: mean(first.p50_ns as f64, second.p50_ns as f64).round() as u64,
        p99_ns: first.p99_ns.max(second.p99_ns),
        max_ns: first.max_ns.max(second.max_ns),
        queue: second.queue,
    }
}

fn end(timeline: &[Interval]) -> f64 {
    timeline.last().map_or(0.0, |last| last.at_sec)
}

/// The requests that were due and not sent, over time: one look in so many is kept.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Seconds, and requests.
    points: Vec<(f64, f64)>,
    /// Looks so far, and of how many one is kept.
    looks: u64,
    one_in: u64,
}

impl Backlog {
    pub(crate) fn new() -> Backlog {
        Backlog { points: Vec::new(), looks: 0, one_in: 1 }
    }

    pub(crate) fn push(&mut self, at: Duration, behind: u64) {
        if self.looks.is_multiple_of(self.one_in) {
            if self.points.len() == POINTS_MAX {
                let mut keep = false;
                self.points.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.one_in *= 2;
            }
            self.points.push((at.as_secs_f64(), behind as f64));
        }
        self.looks += 1;
    }

    /// The slope of the straight line with the least squares through the points; none for fewer than three, which tell no growth
    /// from a swing.
    pub(crate) fn growth_per_sec(&self) -> Option<f64> {
        let points = &self.points;
        if points.len() < 3 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
        let (covariance, variance) = points.iter().fold((0.0, 0.0), |(covariance, variance), (x, y)| {
            (covariance + (x - x_mean) * (y - y_mean), variance + (x - x_mean).powi(2))
        });
        (variance > 0.0).then(|| covariance / variance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(points: impl IntoIterator<Item = (u64, u64)>) -> Option<f64> {
        let mut backlog = Backlog::new();
        points.into_iter().for_each(|(at, behind)| backlog.push(Duration::from_secs(at), behind));
        assert!(backlog.points.len() <= POINTS_MAX);
        backlog.growth_per_sec()
    }

    #[test]
    fn a_queue_that_grows_is_told_from_one_that_swings() {
        assert!((growth((0..10).map(|at| (at, 5 + 100 * at))).unwrap() - 100.0).abs() < 1e-9);
        assert!(growth((0..100).map(|at| (at, at % 2))).unwrap().abs() < 0.01);
        assert_eq!(growth([(1, 0), (1, 5), (1, 9)]), None);
        assert_eq!(growth([(1, 0), (2, 1000)]), None, "two looks are no growth, and no rest either");
    }

    /// Each tick has a look, also where nothing is ever answered: days of them must not fill the memory.
    #[test]
    fn a_backlog_of_any_length_takes_the_same_room() {
        let long = growth((0..40_000).map(|at| (at, 3 * at))).unwrap();
        assert!((long - 3.0).abs() < 1e-9, "{long}");
    }

    #[test]
    fn the_points_of_a_long_run_are_evenly_spaced_and_lose_no_maximum() {
        let every = Duration::from_millis(100);
        let (mut spacing, mut timeline) = (Spacing::new(every), Vec::new());
        // Enough for the points to be merged twice, and the last one is not full.
        let ticks = 4 * POINTS_MAX as u64 - 2;
        for tick in 1..=ticks {
            let peak = tick == 1000;
            let interval = Interval {
                at_sec: tick as f64 / 10.0,
                records_per_sec: if tick % 2 == 0 { 1000.0 } else { 3000.0 },
                p50_ns: if tick % 2 == 0 { 100 } else { 300 },
                p99_ns: if peak { 8000 } else { 500 },
                max_ns: if peak { 9000 } else { 600 },
                queue: tick,
            };
            spacing.push(&mut timeline, interval);
            assert!(timeline.len() <= POINTS_MAX);
        }
        assert_eq!(timeline.len(), POINTS_MAX);
        let (last, whole) = timeline.split_last().unwrap();
        let mut from_sec = 0.0;
        for point in whole {
            assert!((point.at_sec - from_sec - 0.4).abs() < 1e-6, "{from_sec} {point:?}");
            assert!((point.records_per_sec - 2000.0).abs() < 1e-6 && point.p50_ns == 200, "{point:?}");
            assert_eq!(point.queue as f64, (point.at_sec * 10.0).round(), "of the end");
            from_sec = point.at_sec;
        }
        assert_eq!(last.queue, ticks);
        let peaks: Vec<(u64, u64)> = whole.iter().map(|at| (at.p99_ns, at.max_ns)).filter(|at| at.1 > 600).collect();
        assert_eq!(peaks, [(8000, 9000)]);
    }

    #[test]
    fn a_merged_point_has_the_rate_of_both_by_their_time() {
        let interval = |at_sec, records_per_sec, p50_ns| Interval {
            at_sec,
            records_per_sec,
            p50_ns,
            p99_ns: p50_ns,
            max_ns: p50_ns,
            queue: p50_ns,
        };
        // Three seconds at 100, and one at 900.
        let merged = merged(2.0, &interval(5.0, 100.0, 40), &interval(6.0, 900.0, 80));
        assert!((merged.records_per_sec - 300.0).abs() < 1e-9);
        assert_eq!((merged.p50_ns, merged.p99_ns, merged.max_ns, merged.queue), (50, 80, 80, 80));
    }
}
