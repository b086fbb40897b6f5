//! What several runs say of one figure, and whether two sets of runs differ by more than runs of the same thing do.

use serde::Serialize;

/// Below so many runs on either side, a spread is not known: of two and two runs of the same thing, every third
/// comparison finds ranges apart.
pub(crate) const RUNS_MIN: usize = 3;

/// A figure over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) runs: usize,
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None of no runs.
    pub(crate) fn of(mut samples: Vec<f64>) -> Option<Spread> {
        samples.sort_by(f64::total_cmp);
        let (min, max) = (*samples.first()?, *samples.last()?);
        let (low, high) = (samples[(samples.len() - 1) / 2], samples[samples.len() / 2]);
        Some(Spread { runs: samples.len(), min, median: low + (high - low) / 2.0, max })
    }
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
    /// A property, not a merit.
    Neither,
}

/// What a comparison of two spreads says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Better,
    Worse,
    Higher,
    Lower,
    WithinSpread,
    SpreadUnknown,
}

impl Verdict {
    /// Judges `b` against `a`: they differ if no run of one reaches into the range of the other.
    pub(crate) fn of(better: Better, a: &Spread, b: &Spread) -> Verdict {
        let (higher, lower) = (b.min > a.max, b.max < a.min);
        if a.runs.min(b.runs) < RUNS_MIN {
            return Verdict::SpreadUnknown;
        }
        match better {
            _ if !higher && !lower => Verdict::WithinSpread,
            Better::Neither if higher => Verdict::Higher,
            Better::Neither => Verdict::Lower,
            Better::Higher if higher => Verdict::Better,
            Better::Lower if lower => Verdict::Better,
            Better::Higher | Better::Lower => Verdict::Worse,
        }
    }

    /// Whether the difference exceeds the spread.
    pub(crate) fn differs(self) -> bool {
        !matches!(self, Verdict::WithinSpread | Verdict::SpreadUnknown)
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Higher => "higher",
            Verdict::Lower => "lower",
            Verdict::WithinSpread => "within the spread",
            Verdict::SpreadUnknown => "spread unknown",
        }
    }
}

/// How probable it is that so many runs of one thing and so many of the same thing have ranges that do not overlap: of all
/// the orders in which the runs can lie, two have all of one side first. Whatever the distribution is, as long as runs
/// are independent and of the same kind.
pub(crate) fn chance_apart(runs_a: usize, runs_b: usize) -> f64 {
    let (few, all) = (runs_a.min(runs_b), runs_a + runs_b);
    let orders: f64 = (1..=few).map(|n| (all - few + n) as f64 / n as f64).product();
    (2.0 / orders).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(samples: &[f64]) -> Spread {
        Spread::of(samples.to_vec()).unwrap()
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { runs: 3, min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(spread(&[f64::MAX, f64::MAX]).median, f64::MAX);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn only_ranges_that_lie_apart_differ() {
        let a = spread(&[10.0, 11.0, 12.0]);
        for (b, higher_is_better, lower_is_better, neither) in [
            ([13.0, 14.0, 15.0], Verdict::Better, Verdict::Worse, Verdict::Higher),
            ([7.0, 8.0, 9.0], Verdict::Worse, Verdict::Better, Verdict::Lower),
            ([12.0, 14.0, 15.0], Verdict::WithinSpread, Verdict::WithinSpread, Verdict::WithinSpread),
            ([7.0, 8.0, 10.5], Verdict::WithinSpread, Verdict::WithinSpread, Verdict::WithinSpread),
            ([1.0, 11.0, 99.0], Verdict::WithinSpread, Verdict::WithinSpread, Verdict::WithinSpread),
        ] {
            let b = spread(&b);
            assert_eq!(Verdict::of(Better::Higher, &a, &b), higher_is_better, "{b:?}");
            assert_eq!(Verdict::of(Better::Lower, &a, &b), lower_is_better, "{b:?}");
            assert_eq!(Verdict::of(Better::Neither, &a, &b), neither, "{b:?}");
        }
    }

    #[test]
    fn few_runs_know_no_spread() {
        let (one, two, three) = (spread(&[1.0]), spread(&[1.0, 1.1]), spread(&[5.0, 5.0, 5.0]));
        for (a, b) in [(one, one), (two, three), (three, two), (one, three)] {
            assert_eq!(Verdict::of(Better::Higher, &a, &b), Verdict::SpreadUnknown);
        }
    }

    #[test]
    fn the_chance_is_two_orders_of_all() {
        let rounded = |a, b| (chance_apart(a, b) * 1e6).round() / 1e6;
        assert_eq!([rounded(3, 3), rounded(3, 5), rounded(5, 3)], [0.1, 0.035_714, 0.035_714]);
        assert_eq!([rounded(5, 5), rounded(1, 1)], [0.007_937, 1.0]);
        assert_eq!(chance_apart(10_000, 10_000), 0.0);
    }

    /// The chance that is told, counted: all ways to deal the ranks of six and of ten runs to two sides.
    #[test]
    fn the_chance_is_what_the_verdict_does() {
        for runs in [3_usize, 5] {
            let (mut dealt, mut apart) = (0, 0);
            for hand in (0_u32..1 << (2 * runs)).filter(|hand| hand.count_ones() as usize == runs) {
                let side =
                    |of: u32| (0..2 * runs as u32).filter(|rank| hand >> rank & 1 == of).map(f64::from).collect();
                let (a, b) = (Spread::of(side(0)).unwrap(), Spread::of(side(1)).unwrap());
                dealt += 1;
                apart += u32::from(Verdict::of(Better::Lower, &a, &b).differs());
            }
            assert!((f64::from(apart) / f64::from(dealt) - chance_apart(runs, runs)).abs() < 1e-12);
        }
    }
}
