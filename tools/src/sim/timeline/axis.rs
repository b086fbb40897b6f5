//! From virtual time to a place on the page. Long stretches in which nothing begins or ends are cut short; and an opening gets no more than
//! its share of the width, for it is one operation after the other and seldom what one looks for.

use std::ops::Range;

/// A stretch without any event that is longer than this is cut.
const GAP_CUT_NS: u64 = 1_000_000;
/// What is drawn of one.
const GAP_DRAWN_NS: f64 = 250_000.0;
/// The most that an opening takes of the width, if anything follows it.
const OPENING_SHARE: f64 = 0.28;

/// A stretch that was cut short: where it is, and how long it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    pub(super) x: f64,
    pub(super) ns: u64,
}

pub(super) struct Axis {
    /// Moments, ascending, and their places.
    places: Vec<(u64, f64)>,
    pub(super) cuts: Vec<Cut>,
    /// What lies between cuts, and on one side of the opening's end.
    stretches: Vec<(u64, u64)>,
}

impl Axis {
    /// An axis over these moments, of which there is one at least. `opening` ends the opening.
    pub(super) fn new(moments: &[u64], opening: Option<u64>, width: Range<f64>) -> Axis {
        let drawn = |gap: u64| if gap > GAP_CUT_NS { GAP_DRAWN_NS } else { gap as f64 };
        let gaps = || moments.windows(2).map(|pair| (pair[0], pair[1] - pair[0]));
        let is_opening = |at: u64| opening.is_some_and(|end| at < end);
        let sum = |opening: bool| -> f64 {
            gaps().filter(|(at, _)| is_opening(*at) == opening).map(|(_, gap)| drawn(gap)).sum()
        };
        let (before, after) = (sum(true), sum(false));
        // What the nanoseconds of each part are worth.
        let share = if after > 0.0 { (before / (before + after)).min(OPENING_SHARE) } else { 1.0 };
        let room = width.end - width.start;
        let scale = |part: f64, room: f64| if part > 0.0 { room / part } else { 0.0 };
        let scales = (scale(before, room * share), scale(after, room * (1.0 - share)));
        let (mut x, mut cuts) = (width.start, Vec::new());
        let mut places: Vec<(u64, f64)> = moments.first().map(|at| (*at, x)).into_iter().collect();
        let mut stretches: Vec<(u64, u64)> = Vec::new();
        for (at, gap) in gaps() {
            match stretches.last_mut() {
                _ if gap > GAP_CUT_NS => {}
                Some((_, end)) if *end == at && Some(at) != opening => *end = at + gap,
                _ => stretches.push((at, at + gap)),
            }
            let step = drawn(gap) * if is_opening(at) { scales.0 } else { scales.1 };
            if gap > GAP_CUT_NS {
                cuts.push(Cut { x: x + step / 2.0, ns: gap });
            }
            x += step;
            places.push((at + gap, x));
        }
        Axis { places, cuts, stretches }
    }

    /// The place of a moment, which lies between two that are known, or at the near end if it does not.
    pub(super) fn x(&self, at: u64) -> f64 {
        let next = self.places.partition_point(|(moment, _)| *moment < at);
        match (next.checked_sub(1).and_then(|before| self.places.get(before)), self.places.get(next)) {
            (Some((t0, x0)), Some((t1, x1))) => x0 + (x1 - x0) * (at - t0) as f64 / (t1 - t0) as f64,
            (Some((_, x)), None) | (None, Some((_, x))) => *x,
            (None, None) => 0.0,
        }
    }

    /// Round moments that are at least `apart` from each other: as round as there is room for, in each stretch of one scale.
    pub(super) fn ticks(&self, apart: f64) -> Vec<(u64, f64)> {
        let mut ticks: Vec<(u64, f64)> = Vec::new();
        for &(from, to) in &self.stretches {
            let (left, right) = (self.x(from), self.x(to));
            let per_ns = (right - left) / (to - from).max(1) as f64;
            let steps = (2..12).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power)));
            let Some(step) = steps.into_iter().find(|step| *step as f64 * per_ns >= apart) else { continue };
            for at in (from.div_ceil(step)..=to / step).map(|number| number * step) {
                let x = self.x(at);
                if ticks.last().is_none_or(|(_, before)| x - before >= apart) {
                    ticks.push((at, x));
                }
            }
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gaps_are_cut_and_order_is_kept() {
        let moments = [0, 1_000, 500_000, 900_000_000, 900_400_000];
        let axis = Axis::new(&moments, None, 10.0..110.0);
        assert_eq!(axis.x(0), 10.0);
        assert!((axis.x(900_400_000) - 110.0).abs() < 1e-9);
        let [cut] = axis.cuts[..] else { panic!("{:?}", axis.cuts) };
        assert_eq!(cut.ns, 899_500_000);
        assert!(axis.x(500_000) < cut.x && cut.x < axis.x(900_000_000));
        assert!((0..1000).map(|at| axis.x(at * 900_400)).is_sorted());
        // Before and after all moments: at the ends.
        assert_eq!(axis.x(u64::MAX), axis.x(900_400_000));
    }

    #[test]
    fn an_opening_gets_no_more_than_its_share() {
        let axis = Axis::new(&[0, 900_000, 1_000_000], Some(900_000), 0.0..100.0);
        assert!((axis.x(900_000) - 100.0 * OPENING_SHARE).abs() < 1e-9);
        // Unless there is nothing else.
        let axis = Axis::new(&[0, 900_000], Some(900_000), 0.0..100.0);
        assert_eq!(axis.x(900_000), 100.0);
        // A short one is not stretched.
        let axis = Axis::new(&[0, 100_000, 1_000_000], Some(100_000), 0.0..100.0);
        assert!((axis.x(100_000) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_round_and_apart() {
        let axis = Axis::new(&[3, 900_000, 1_800_000, 80_000_000], None, 0.0..600.0);
        let ticks = axis.ticks(70.0);
        // 527 points for 1.8 ms: 200 µs would be 59 apart, 500 µs are 146.
        assert_eq!(ticks.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [500_000, 1_000_000, 1_500_000]);
        assert!(ticks.windows(2).all(|pair| pair[1].1 - pair[0].1 >= 70.0));
        assert!(Axis::new(&[5], None, 0.0..10.0).ticks(70.0).is_empty());
    }
}
