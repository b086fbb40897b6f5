//! Two sweeps: the knee, and the latency at each part of the capacity.

use super::{Section, lines};
use crate::bench::document::{Point, Sweep};
use crate::bench::figures::{Figure, Unit};
use crate::bench::spread::Better;
use serde::Serialize;

const OF_SWEEP: &[Figure<Sweep>] = &[
    Figure {
        name: "capacity, requests/s",
        unit: Unit::PerSec,
        better: Better::Higher,
        of: |sweep| Some(sweep.capacity_per_sec),
    },
    Figure { name: "knee, requests/s", unit: Unit::PerSec, better: Better::Higher, of: |sweep| sweep.knee_per_sec },
    Figure {
        name: "p99 at half, over device's",
        unit: Unit::Plain,
        better: Better::Lower,
        of: |sweep| sweep.p99_at_half_of_device,
    },
];

/// Rates that are the same part of their capacity, up to this much of it, are the same point.
const SAME_PART: f64 = 0.005;

/// The same part of the capacity of either side.
#[derive(Debug, Serialize)]
pub(super) struct PointPair {
    pub(super) of_capacity: f64,
    pub(super) a: Side,
    pub(super) b: Side,
    pub(super) p99_b_over_a: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Side {
    pub(super) offered_per_sec: f64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) sustained: bool,
}

pub(super) fn section(a: &Sweep, b: &Sweep, notes: &mut Vec<String>) -> Section {
    for (name, sweep) in [("A", a), ("B", b)] {
        if sweep.knee_per_sec.is_none() {
            notes.push(format!("{name} has no knee: not even its lowest rate was sustained"));
        }
    }
    Section::of("the sweep", false, lines(OF_SWEEP, &[a], &[b]))
}

/// The points that both have, as A orders them.
pub(super) fn points(a: &Sweep, b: &Sweep) -> Vec<PointPair> {
    let part = |sweep: &Sweep, point: &Point| point.offered_per_sec / sweep.capacity_per_sec;
    let pair = |point: &Point| {
        let of_capacity = part(a, point);
        let distance = |other: &Point| (part(b, other) - of_capacity).abs();
        let other = b.points.iter().min_by(|x, y| distance(x).total_cmp(&distance(y)))?;
        // Without a capacity there are no parts of it, and then this is not less.
        (distance(other) <= SAME_PART).then(|| PointPair {
            of_capacity,
            a: Side::of(point),
            b: Side::of(other),
            p99_b_over_a: (point.p99_ns > 0).then(|| other.p99_ns as f64 / point.p99_ns as f64),
        })
    };
    a.points.iter().filter_map(pair).collect()
}

impl Side {
    fn of(point: &Point) -> Side {
        let Point { offered_per_sec, p50_ns, p99_ns, sustained, .. } = *point;
        Side { offered_per_sec, p50_ns, p99_ns, sustained }
    }
}
