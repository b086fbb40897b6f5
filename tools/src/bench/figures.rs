//! The figures that tables and comparisons show: their names, their units, and which way they are better.

use super::document::{Floors, Latency, Part, Run};
use super::spread::{Better, Spread};
use crate::floor::device::DeviceFloor;
use crate::table::grouped;
use serde::Serialize;

/// A figure of a `T`.
pub(crate) struct Figure<T> {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) better: Better,
    /// None where it was not measured.
    pub(crate) of: fn(&T) -> Option<f64>,
}

/// Of a part of a run.
pub(crate) const OF_PART: &[Figure<Part>] = &[
    higher("records/s", Unit::PerSec, |part: &Part| Some(part.records_per_sec)),
    lower("p50", Unit::Ns, |part| Some(latency(part)?.p50_ns as f64)),
    lower("p99", Unit::Ns, |part| Some(latency(part)?.p99_ns as f64)),
    lower("p99.9", Unit::Ns, |part| Some(latency(part)?.p999_ns as f64)),
    lower("max", Unit::Ns, |part| Some(latency(part)?.max_ns as f64)),
    lower("mean", Unit::Ns, |part| Some(latency(part)?.mean_ns)),
];

/// The ratio of the headline to the floor.
pub(crate) const RATIO_TO_FLOOR: Figure<Run> =
    higher("ratio to floor", Unit::Plain, |run: &Run| Some(run.ratio.as_ref()?.of_floor));

/// Of a run as a whole.
pub(crate) const OF_RUN: &[Figure<Run>] = &[
    RATIO_TO_FLOOR,
    lower("p50 over device's", Unit::Plain, |run: &Run| run.ratio.as_ref()?.p50_of_device),
    lower("p99 over device's", Unit::Plain, |run: &Run| run.ratio.as_ref()?.p99_of_device),
    Figure {
        name: "records a commit",
        unit: Unit::Plain,
        better: Better::Neither,
        of: |run| (run.commits.commits > 0).then_some(run.commits.records_per_commit),
    },
];

/// Of a way to write durably.
pub(crate) const OF_DEVICE: &[Figure<DeviceFloor>] = &[
    higher("commits/s", Unit::PerSec, |device: &DeviceFloor| Some(device.commits_per_sec)),
    lower("p50", Unit::Ns, |device| Some(device.p50_ns as f64)),
    lower("p99", Unit::Ns, |device| Some(device.p99_ns as f64)),
];

/// Of the other floors.
pub(crate) const OF_FLOORS: &[Figure<Floors>] = &[
    lower("chain, a record", Unit::Ns, |floors: &Floors| Some(floors.chain.as_ref()?.ns_per_record)),
    lower("ring, an item", Unit::Ns, |floors| Some(floors.ring.as_ref()?.batched_ns_per_item)),
    lower("ring, round trip p50", Unit::Ns, |floors| Some(floors.ring.as_ref()?.round_trip_p50_ns as f64)),
    lower("pauses, % of time lost", Unit::Plain, |floors| Some(floors.pauses.as_ref()?.lost_percent)),
    higher("reading and checksums", Unit::GbPerSec, |floors: &Floors| {
        let floor = floors.reading.as_ref()?;
        (floor.elapsed_sec > 0.0).then(|| floor.bytes as f64 / 1e9 / floor.elapsed_sec)
    }),
    higher("memory, small", Unit::GbPerSec, |floors: &Floors| Some(floors.memory.as_ref()?.small_gb_per_sec)),
    higher("memory, large", Unit::GbPerSec, |floors: &Floors| Some(floors.memory.as_ref()?.large_gb_per_sec)),
];

const fn higher<T>(name: &'static str, unit: Unit, of: fn(&T) -> Option<f64>) -> Figure<T> {
    Figure { name, unit, better: Better::Higher, of }
}

const fn lower<T>(name: &'static str, unit: Unit, of: fn(&T) -> Option<f64>) -> Figure<T> {
    Figure { name, unit, better: Better::Lower, of }
}

fn latency(part: &Part) -> Option<&Latency> {
    part.latency.as_ref()
}

impl<T> Figure<T> {
    /// The figure over several; none if none of them has it.
    pub(crate) fn spread<'a>(&self, of: impl IntoIterator<Item = &'a T>) -> Option<Spread>
    where
        T: 'a,
    {
        Spread::of(of.into_iter().filter_map(self.of).collect())
    }
}

/// Of what a figure is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    PerSec,
    Ns,
    GbPerSec,
    Plain,
}

impl Unit {
    /// How numbers about as large as this one are shown: what they are divided by, and what the figure's name then ends in.
    pub(crate) fn scale(self, about: f64) -> (f64, &'static str) {
        match self {
            Unit::PerSec if about >= 1e6 => (1e6, ", M"),
            Unit::PerSec | Unit::Plain => (1.0, ""),
            Unit::Ns if about >= 10e6 => (1e6, ", ms"),
            Unit::Ns if about >= 1e3 => (1e3, ", µs"),
            Unit::Ns => (1.0, ", ns"),
            Unit::GbPerSec => (1.0, ", GB/s"),
        }
    }
}

/// A number with about four digits that say something.
pub(crate) fn digits(number: f64) -> String {
    match number.abs() {
        size if size >= 1e15 => format!("{number:.3e}"),
        size if size >= 999.95 => format!("{}{}", if number < 0.0 { "-" } else { "" }, grouped(size.round() as u64)),
        size if size >= 99.995 => format!("{number:.1}"),
        size if size >= 9.9995 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// Nanoseconds as microseconds.
pub(crate) fn us(ns: f64) -> String {
    digits(ns / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0.000"),
            (0.123_45, "0.123"),
            (9.999_9, "10.00"),
            (12.345, "12.35"),
            (99.999, "100.0"),
            (999.99, "1,000"),
            (1_234_567.8, "1,234,568"),
            (1e300, "1.000e300"),
            (-1_234.5, "-1,235"),
            (-0.5, "-0.500"),
        ] {
            assert_eq!(digits(number), text);
        }
    }

    #[test]
    fn a_unit_fits_the_number() {
        assert_eq!(Unit::Ns.scale(999.0), (1.0, ", ns"));
        assert_eq!(Unit::Ns.scale(312_000.0), (1e3, ", µs"));
        assert_eq!(Unit::Ns.scale(31e6), (1e6, ", ms"));
        assert_eq!(Unit::PerSec.scale(512_345.0), (1.0, ""));
    }
}
