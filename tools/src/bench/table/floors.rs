//! The floors, and the headline beside them.

use super::Page;
use crate::bench::document::{Floors, Ratio};
use crate::bench::figures::{digits, us};
use crate::floor::chain::ChainFloor;
use crate::floor::device::DeviceFloor;
use crate::floor::memory::MemoryFloor;
use crate::floor::pauses::PausesFloor;
use crate::floor::reading::ReadingFloor;
use crate::floor::ring::RingFloor;
use crate::machine;
use crate::names::shown;
use crate::table::{Table, count, grouped};

pub(super) fn floors(page: &mut Page, floors: &Floors) {
    if !floors.device.is_empty() {
        devices(page, &floors.device);
    }
    page.gap();
    floors.device_missing.iter().for_each(|missing| page.line("device", &format!("not measured: {}", shown(missing))));
    if let Some(ChainFloor { payload_bytes, lanes, sealed, ns_per_record }) = &floors.chain {
        let work = if *sealed { "copy, seal and chain" } else { "copy and chain" };
        let text =
            format!("{} ns to {work} a record of {payload_bytes} bytes, {lanes} side by side", digits(*ns_per_record));
        page.line("chain", &text);
    }
    if let Some(ring) = &floors.ring {
        page.line("ring", &ring_text(ring));
    }
    if let Some(MemoryFloor { small_bytes, small_gb_per_sec, large_bytes, large_gb_per_sec }) = &floors.memory {
        let text = format!(
            "copies {} GB/s in pieces of {}, {} GB/s in pieces of {}",
            digits(*small_gb_per_sec),
            bytes(*small_bytes),
            digits(*large_gb_per_sec),
            bytes(*large_bytes)
        );
        page.line("memory", &text);
    }
    if let Some(ReadingFloor { threads, bytes, elapsed_sec }) = &floors.reading {
        let gb = *bytes as f64 / 1e9;
        let text = format!(
            "{} MB read and checksummed by {} in {} ms: {} s a GB",
            digits(gb * 1e3),
            count(*threads as u64, "thread"),
            digits(elapsed_sec * 1e3),
            digits(elapsed_sec / gb.max(f64::MIN_POSITIVE))
        );
        page.line("reading", &text);
    }
    floors.pauses.iter().for_each(|floor| pauses(page, floor));
}

/// What CPUs lose that only read the clock.
pub(super) fn pauses(page: &mut Page, pauses: &PausesFloor) {
    let PausesFloor { cpus, seconds: _, lost_percent, over_100us_per_sec, max_ns, p99_ns, p999_ns } = pauses;
    let text = format!(
        "{} {} busy with nothing else: {} % of the time lost, {}/s above 100 µs, longest {} µs; \
         a moment at random waits p99 {} µs, p99.9 {} µs",
        if cpus.len() == 1 { "CPU" } else { "CPUs" },
        machine::cpus::list(cpus),
        digits(*lost_percent),
        digits(*over_100us_per_sec),
        us(*max_ns as f64),
        us(*p99_ns as f64),
        us(*p999_ns as f64)
    );
    page.line("pauses", &text);
}

/// Durable writes of the bare device.
pub(super) fn devices(page: &mut Page, devices: &[DeviceFloor]) {
    let titles =
        ["device floor", "with", ">frame", ">depth", ">commits/s", ">p50 µs", ">p99 µs", ">p99.9 µs", ">max µs"];
    let mut table = Table::new(&titles);
    for device in devices {
        let mut cells = vec![device.how.name().into(), shown(&device.backend), bytes(device.frame_bytes)];
        cells.extend([device.depth.to_string(), digits(device.commits_per_sec)]);
        cells.extend([device.p50_ns, device.p99_ns, device.p999_ns, device.max_ns].map(|ns| us(ns as f64)));
        table.row(cells);
    }
    page.table(&table);
}

fn ring_text(ring: &RingFloor) -> String {
    format!(
        "{} ns an item of {} bytes, {} ns in batches of {}; round trip p50 {} ns, p99 {} ns (CPU {} to CPU {})",
        digits(ring.single_ns_per_item),
        ring.item_bytes,
        digits(ring.batched_ns_per_item),
        ring.batch,
        grouped(ring.round_trip_p50_ns),
        grouped(ring.round_trip_p99_ns),
        ring.producer_cpu,
        ring.consumer_cpu
    )
}

/// The headline.
pub(super) fn ratio(page: &mut Page, ratio: &Ratio) {
    let allowed = [
        ("device", ratio.device_records_per_sec),
        ("processor", ratio.processor_records_per_sec),
        ("reading", ratio.reading_records_per_sec),
    ];
    let allows = |(name, rate): (&str, Option<f64>)| Some(format!("the {name} allows {} records/s", digits(rate?)));
    let allowed: Vec<String> = allowed.into_iter().filter_map(allows).collect();
    page.line(
        "ratio",
        &format!(
            "{:.0} % of the tighter floor, the {}: {}",
            ratio.of_floor * 100.0,
            shown(&ratio.tighter),
            allowed.join(", ")
        ),
    );
    if ratio.reading_records_per_sec.is_some() {
        let times = digits(ratio.of_floor.recip());
        page.line("", &format!("opening takes {times} × as long as reading and checksumming the same bytes"));
    }
    let of_device = [("p50", ratio.p50_of_device), ("p99", ratio.p99_of_device)];
    let times = |(name, of): (&str, Option<f64>)| Some(format!("{name} is {} × the device's own", digits(of?)));
    let times: Vec<String> = of_device.into_iter().filter_map(times).collect();
    if !times.is_empty() {
        page.line("", &times.join(", "));
    }
}

fn bytes(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{} KiB", digits_of_binary(bytes, 1 << 10)),
        _ => format!("{} MiB", digits_of_binary(bytes, 1 << 20)),
    }
}

fn digits_of_binary(bytes: usize, unit: usize) -> String {
    if bytes.is_multiple_of(unit) {
        grouped((bytes / unit) as u64)
    } else {
        format!("{:.1}", bytes as f64 / unit as f64)
    }
}
