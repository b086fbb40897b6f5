//! A sweep: what was offered and served, how long it took, and where it stopped keeping up.

use super::Page;
use super::floors::{devices, pauses};
use crate::bench::document::{Point, Sweep};
use crate::bench::figures::{digits, us};
use crate::table::{Table, grouped};
use std::slice;

pub(super) fn sweep(page: &mut Page, sweep: &Sweep) {
    let titles = [
        ">of max",
        ">offered/s",
        ">served/s",
        ">p50 µs",
        ">p99 µs",
        ">p99.9 µs",
        ">max µs",
        ">queue",
        ">rec/commit",
        "kept up",
    ];
    let mut table = Table::new(&titles);
    sweep.points.iter().for_each(|point| table.row(cells(sweep, point)));
    page.table(&table);
    page.gap();
    page.line("capacity", &format!("{} requests/s in a closed loop", digits(sweep.capacity_per_sec)));
    match sweep.knee_per_sec {
        Some(knee) => page.line("knee", &format!("{} requests/s, the highest rate that was sustained", digits(knee))),
        None if sweep.points.is_empty() => page.line("knee", "none: no rate was offered to its end"),
        None => page.line("knee", "none: not even the lowest rate was sustained; begin the sweep lower"),
    }
    if let Some(device) = &sweep.device_at_half {
        devices(page, slice::from_ref(device));
        page.gap();
    }
    if let Some(ratio) = sweep.p99_at_half_of_device {
        page.line("at half", &format!("p99 at half of the knee is {} × the device's own", digits(ratio)));
    }
    sweep.pauses.iter().for_each(|floor| pauses(page, floor));
}

fn cells(sweep: &Sweep, point: &Point) -> Vec<String> {
    let part = point.offered_per_sec / sweep.capacity_per_sec * 100.0;
    let mut cells = vec![if part.is_finite() { format!("{part:.0} %") } else { "-".into() }];
    cells.extend([point.offered_per_sec, point.achieved_per_sec].map(digits));
    cells.extend([point.p50_ns, point.p99_ns, point.p999_ns, point.max_ns].map(|ns| us(ns as f64)));
    cells.extend([digits(point.queue_mean), digits(point.records_per_commit)]);
    cells.push(match (point.sustained, point.behind_end) {
        (true, _) => "yes".into(),
        (false, 0) => "no".into(),
        (false, behind) => format!("no, {} behind", grouped(behind)),
    });
    cells
}
