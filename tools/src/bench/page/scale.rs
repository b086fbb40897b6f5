//! From values to places: axes that start at zero, logarithmic ones, and the axis of percentiles.
//!
//! Whatever comes in, a place within the axis comes out: a drawing never holds what is no number.

/// How values are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    Linear,
    Log,
    /// By nines: 90 %, 99 %, 99.9 % are equally far from each other.
    Nines,
}

/// An axis: the values of its ends, spread, and their places in pixels.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    spread: Spread,
    /// The ends, spread.
    low: f64,
    high: f64,
    /// Their places; the second is the smaller one on an axis that goes up.
    from: f64,
    to: f64,
}

/// Of more values, the percentiles beyond this are those of the highest one.
const COUNT_MAX: u64 = 100_000_000;

/// The steps from one round number to the next.
const ROUND: [f64; 3] = [1.0, 2.0, 5.0];

impl Scale {
    /// From zero to `high`, or a little further to a round number.
    pub(super) fn linear(high: f64, (from, to): (f64, f64)) -> Scale {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        let step = linear_step(high, (to - from).abs());
        // A value that is as good as at a step needs no further one.
        let high = (high / step - 1e-6).ceil() * step;
        Scale { spread: Spread::Linear, low: 0.0, high, from, to }
    }

    /// From zero to exactly `high`.
    pub(super) fn linear_to(high: f64, (from, to): (f64, f64)) -> Scale {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        Scale { spread: Spread::Linear, low: 0.0, high, from, to }
    }

    /// Over all `values`, which are logarithmic, out to round numbers. Half a decade at least; values below 1 are at 1.
    pub(super) fn log(values: impl IntoIterator<Item = f64>, (from, to): (f64, f64)) -> Scale {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            low = low.min(value.max(1.0));
            high = high.max(value.max(1.0));
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        let (mut low, mut high) = (round_down(low), round_up(high));
        if high < low * 5.0 {
            (low, high) = ((low / 2.0).max(1.0), high * 2.5);
            (low, high) = (round_down(low), round_up(high));
        }
        Scale { spread: Spread::Log, low: low.log10(), high: high.log10(), from, to }
    }

    /// From the median to the last percentile that `count` values can tell: their highest one.
    pub(super) fn nines(count: u64, (from, to): (f64, f64)) -> Scale {
        let high = (count.clamp(10, COUNT_MAX) as f64).log10();
        Scale { spread: Spread::Nines, low: 2_f64.log10(), high, from, to }
    }

    /// The value of the far end.
    pub(super) fn high(&self) -> f64 {
        match self.spread {
            Spread::Linear => self.high,
            Spread::Log => 10_f64.powf(self.high),
            Spread::Nines => 1.0 - 10_f64.powf(-self.high),
        }
    }

    /// The place of a value; one beyond an end is at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let spread = match self.spread {
            Spread::Linear => value,
            Spread::Log => value.max(1.0).log10(),
            Spread::Nines => -(1.0 - value).max(1e-300).log10(),
        };
        // `clamp` would pass on what is no number; these do not.
        let within = spread.max(self.low).min(self.high);
        self.from + (within - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round values, each at least `gap` pixels from the one before.
    pub(super) fn ticks(&self, gap: f64) -> Vec<f64> {
        match self.spread {
            Spread::Linear => self.linear_ticks(gap),
            Spread::Log => self.log_ticks(gap),
            Spread::Nines => self.nines_ticks(gap),
        }
    }

    fn linear_ticks(&self, gap: f64) -> Vec<f64> {
        let mut step = linear_step(self.high, (self.to - self.from).abs());
        while (self.place(step) - self.place(0.0)).abs() < gap && step < self.high {
            step = round_up(step * 1.01);
        }
        let count = (self.high / step + 1e-6).floor() as u32;
        (0..=count).map(|at| f64::from(at) * step).collect()
    }

    /// 1, 2, 5 of each decade, or decades, or every so many of them: the most for which there is room.
    fn log_ticks(&self, gap: f64) -> Vec<f64> {
        let decades = || (self.low.floor() as i32)..=(self.high.ceil() as i32);
        let inside = |value: &f64| (self.low - 1e-9..=self.high + 1e-9).contains(&value.log10());
        let pixels_per_decade = (self.to - self.from).abs() / (self.high - self.low);
        // The narrowest of the three steps is that from 1 to 2 and from 5 to 10.
        if pixels_per_decade * 2_f64.log10() >= gap {
            let rounds = |decade: i32| ROUND.map(|round| round * 10_f64.powi(decade));
            return decades().flat_map(rounds).filter(inside).collect();
        }
        let every = (gap / pixels_per_decade).ceil().max(1.0) as usize;
        // Anchored at zero, so that every third is a thousand.
        let kept = |decade: &i32| decade.rem_euclid(every as i32) == 0;
        decades().filter(kept).map(|decade| 10_f64.powi(decade)).filter(inside).collect()
    }

    fn nines_ticks(&self, gap: f64) -> Vec<f64> {
        let mut ticks = vec![0.5];
        for nines in 1..=self.high.floor() as i32 {
            let (value, last) = (1.0 - 10_f64.powi(-nines), ticks[ticks.len() - 1]);
            if (self.place(value) - self.place(last)).abs() >= gap {
                ticks.push(value);
            }
        }
        ticks
    }
}

/// The distance of the ticks of an axis from zero to `high`: no more than one each 26 pixels, or eight in all.
fn linear_step(high: f64, pixels: f64) -> f64 {
    round_up(high / (pixels / 26.0).clamp(2.0, 8.0))
}

/// The next 1, 2 or 5 times a power of ten at or below.
fn round_down(value: f64) -> f64 {
    let decade = 10_f64.powf((value.log10() + 1e-9).floor());
    let fits = |round: &&f64| **round * decade <= value * (1.0 + 1e-9);
    ROUND.iter().rev().find(fits).unwrap_or(&1.0) * decade
}

/// The next 1, 2 or 5 times a power of ten at or above.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf((value.log10() + 1e-9).floor());
    let fits = |round: &&f64| **round * decade >= value * (1.0 - 1e-9);
    ROUND.iter().find(fits).unwrap_or(&10.0) * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(values: &[f64], wanted: &[f64]) {
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * b.abs().max(1e-9);
        assert!(values.len() == wanted.len() && values.iter().zip(wanted).all(close), "{values:?} for {wanted:?}");
    }

    #[test]
    fn ends_are_round() {
        near(&[round_down(471.0), round_down(200.0), round_down(1.0)], &[200.0, 200.0, 1.0]);
        near(&[round_up(471.0), round_up(501.0), round_up(1000.0)], &[500.0, 1000.0, 1000.0]);
        near(&[Scale::linear(4.12e6, (0.0, 240.0)).high(), Scale::linear(5e6, (0.0, 240.0)).high()], &[5e6, 5e6]);
        near(&[Scale::log([71e3, 1.4e6], (0.0, 600.0)).high()], &[2e6]);
    }

    #[test]
    fn ticks_stand_at_round_values_with_room_between() {
        near(&Scale::linear(4.12e6, (240.0, 0.0)).ticks(30.0), &[0.0, 1e6, 2e6, 3e6, 4e6, 5e6]);
        near(&Scale::log([100.0, 2000.0], (0.0, 600.0)).ticks(40.0), &[100.0, 200.0, 500.0, 1000.0, 2000.0]);
        near(&Scale::log([100.0, 1e6], (0.0, 300.0)).ticks(40.0), &[1e2, 1e3, 1e4, 1e5, 1e6]);
        near(&Scale::log([1.0, 1e9], (0.0, 300.0)).ticks(60.0), &[1.0, 100.0, 1e4, 1e6, 1e8]);
        near(&Scale::nines(100_000, (0.0, 500.0)).ticks(25.0), &[0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]);
    }

    #[test]
    fn every_value_has_a_place_within() {
        let pixels = (10.0, 110.0);
        let scales = [
            Scale::linear(0.0, pixels),
            Scale::linear(f64::NAN, pixels),
            Scale::linear_to(f64::INFINITY, pixels),
            Scale::log([], pixels),
            Scale::log([0.0], pixels),
            Scale::log([f64::NAN, 5.0, f64::INFINITY], pixels),
            Scale::log([u64::MAX as f64], pixels),
            Scale::nines(0, pixels),
            Scale::nines(u64::MAX, pixels),
        ];
        for scale in &scales {
            for value in [0.0, 0.5, 1.0, -1.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let place = scale.place(value);
                assert!((10.0..=110.0).contains(&place), "{scale:?} puts {value} at {place}");
            }
            let ticks = scale.ticks(20.0);
            assert!(!ticks.is_empty() && ticks.len() <= 10, "{scale:?}: {ticks:?}");
            let places: Vec<f64> = ticks.iter().map(|tick| scale.place(*tick)).collect();
            assert!(places.is_sorted_by(|a, b| b - a >= 19.9), "{scale:?}: {places:?}");
        }
    }
}
