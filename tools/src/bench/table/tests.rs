use super::*;
use crate::bench::document::{Arrivals, Floors, Ratio};
use crate::bench::made_up::{document, sweep};
use crate::floor::memory::MemoryFloor;
use crate::floor::pauses::PausesFloor;
use crate::floor::reading::ReadingFloor;
use crate::floor::ring::RingFloor;

/// Wherever lines are broken, and however wide columns are.
fn has(text: &str, wanted: &[&str]) {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in wanted {
        assert!(words.contains(wanted), "{wanted:?} is not in:\n{text}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

fn open_loop(offered_per_sec: f64) -> Document {
    let mut open = document(&[1e6]);
    open.config.arrivals = Arrivals::Open { requests_per_sec: offered_per_sec, poisson: true, burst: 1 };
    open.runs[0].parts[0].queue.as_mut().unwrap().offered_per_sec = Some(offered_per_sec);
    open
}

fn pauses() -> PausesFloor {
    PausesFloor {
        cpus: vec![0, 1, 5],
        seconds: 1.0,
        lost_percent: 1.25,
        over_100us_per_sec: 24.5,
        max_ns: 8_500_000,
        p99_ns: 312_000,
        p999_ns: 6_400_000,
    }
}

#[test]
fn a_whole_document_fits_a_terminal() {
    let mut whole = document(&[4.80e6, 4.7e6, 4.9e6]);
    for run in &mut whole.runs {
        run.floors.ring = Some(RingFloor {
            item_bytes: 64,
            single_ns_per_item: 9.5,
            batch: 32,
            batched_ns_per_item: 2.25,
            round_trip_p50_ns: 210,
            round_trip_p99_ns: 1340,
            producer_cpu: 0,
            consumer_cpu: 1,
        });
        run.floors.memory = Some(MemoryFloor {
            small_bytes: 32 << 10,
            small_gb_per_sec: 40.0,
            large_bytes: 64 << 20,
            large_gb_per_sec: 8.0,
        });
        run.floors.pauses = Some(pauses());
    }
    let text = table(&whole);
    has(
        &text,
        &[
            "closed loop",
            "4,800,000",
            "1,001 requests in flight on the average; by Little's law 1,000",
            "10,000, 400.0 records and 60.00 KiB each; 600.0 MB/s of log",
            "100 % of the tighter floor, the device: the device allows 4,800,000 records/s",
            "p50 is 2.000 × the device's own, p99 is 3.000 × the device's own",
            "not measured: linked: the kernel is too old",
            "over all runs",
            "round trip p50 210 ns, p99 1,340 ns (CPU 0 to CPU 1)",
            "pauses CPUs 0-1,5 busy with nothing else: 1.250 % of the time lost, 24.50/s above 100 µs, longest 8,500 µs;",
            "a moment at random waits p99 312.0 µs, p99.9 6,400 µs",
            "copies 40.00 GB/s in pieces of 32 KiB, 8.000 GB/s in pieces of 64 MiB",
        ],
    );
    assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
}

#[test]
fn a_rate_beyond_the_knee_is_said() {
    let mut beyond = open_loop(2e6);
    let queue = beyond.runs[0].parts[0].queue.as_mut().unwrap();
    (queue.behind_max, queue.behind_end, queue.behind_growth_per_sec) = (10_000_000, 9_999_000, 1e6);
    has(
        &table(&beyond),
        &[
            "2,000,000 requests/s, served 1,000,000 (50.0 %)",
            "beyond what was sustained: behind by 9,999,000 requests",
            "1,000,000/s;",
        ],
    );
}

#[test]
fn what_was_caught_up_with_is_no_growth() {
    for (most, end, beyond) in [(50_000, 0, false), (50_000, 19_999, false), (50_000, 20_001, true), (0, 0, false)] {
        let mut open = open_loop(1e6);
        let queue = open.runs[0].parts[0].queue.as_mut().unwrap();
        (queue.behind_max, queue.behind_end) = (most, end);
        let text = table(&open);
        has(&text, &["served 1,000,000 (100.0 %)"]);
        assert_eq!(text.contains("beyond what"), beyond, "{text}");
    }
}

#[test]
fn parts_of_one_queue_are_served_together() {
    let mut mixed = open_loop(1e6);
    let parts = &mut mixed.runs[0].parts;
    parts[0].requests_per_sec = 7e5;
    let read = Part { name: "read".into(), requests_per_sec: 3e5, queue: None, latency: None, ..parts[0].clone() };
    parts.push(read);
    let text = table(&mixed);
    has(
        &text,
        &["queue append, read: 1,001 requests", "700,000/s × 1,000 µs + 300,000/s", "served 1,000,000 (100.0 %)"],
    );
    assert!(!text.contains("beyond what"), "{text}");
}

#[test]
fn stages_are_weighted_by_records() {
    let mut two = document(&[1e6]);
    let mut other = two.runs[0].shards[0].clone();
    other.records = 3000;
    other.stages.as_mut().unwrap().latency[0].ns_per_record = 100.0;
    two.runs[0].shards.push(other);
    let text = table(&two);
    let line = text.lines().find(|line| line.starts_with("queue wait")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["queue", "wait", "150.0", "60.0", "%", "100.0", "300.0"]);
}

#[test]
fn a_document_of_nothing_is_a_table_of_nothing() {
    let mut odd = document(&[0.0]);
    let run = &mut odd.runs[0];
    run.parts[0].latency = None;
    run.commits = Default::default();
    run.floors = Default::default();
    run.ratio = None;
    run.shards[0].records = 0;
    let text = table(&odd);
    has(&text, &["append", "closed loop"]);
    assert!(!text.contains("ratio") && !text.contains("commits"), "{text}");
    odd.runs[0].parts.clear();
    odd.runs[0].shards.clear();
    has(&table(&odd), &["closed loop"]);
    odd.runs.clear();
    has(&table(&odd), &["stopped before there was a figure"]);
}

#[test]
fn many_shards_are_not_all_listed() {
    let mut wide = document(&[1e6]);
    wide.runs[0].shards = vec![wide.runs[0].shards[0].clone(); 100];
    has(&table(&wide), &["and 84 more, in the JSON report"]);
}

#[test]
fn nothing_in_a_document_reaches_the_terminal_as_it_is() {
    let mut hostile = document(&[1e6]);
    let text = "\u{1b}[2J\r";
    hostile.config.scenario = text.into();
    hostile.setup.backend = text.into();
    hostile.setup.backend_notes = vec![text.into()];
    hostile.setup.machine.cpu_model = Some(text.into());
    hostile.runs[0].parts[0].name = text.into();
    hostile.runs[0].floors.device[0].backend = text.into();
    hostile.runs[0].ratio.as_mut().unwrap().tighter = text.into();
    hostile.runs[0].shards[0].stages.as_mut().unwrap().latency[0].name = text.into();
    assert!(!table(&hostile).contains(|c: char| c.is_control() && c != '\n'));
}

#[test]
fn a_sweep_has_its_points_and_its_knee() {
    let mut swept = sweep(1e6, &[0.25, 0.5, 1.2], 0.6);
    swept.sweep.as_mut().unwrap().pauses = Some(PausesFloor { cpus: vec![2], ..pauses() });
    has(
        &table(&swept),
        &[
            "25 %",
            "120 %",
            "no, 4,321 behind",
            "1,000,000 requests/s in a closed loop",
            "knee 500,000 requests/s",
            "p99 at half of the knee is 2.500 × the device's own",
            "pauses CPU 2 busy with nothing else: 1.250 % of the time lost",
        ],
    );
    has(&table(&sweep(0.0, &[0.25], 0.0)), &["knee none"]);
}

#[test]
fn an_opening_stands_beside_reading_the_same_files() {
    let mut opening = document(&[1e6]);
    let run = &mut opening.runs[0];
    let reading = ReadingFloor { threads: 2, bytes: 2_000_000_000, elapsed_sec: 0.8 };
    run.floors = Floors { reading: Some(reading), ..Floors::default() };
    run.ratio = Some(Ratio::of_reading(1e6, 1_000_000, 0.8));
    let text = table(&opening);
    has(&text, &["read and checksummed by 2 threads in 800", "0.400 s a GB", "80 % of the tighter floor, the reading"]);
    has(&text, &["opening takes 1.250 × as long as reading and checksumming the same bytes"]);
    let page = crate::bench::page::render(&opening);
    for wanted in ["of the tighter floor, reading", "read and checksummed by 2 threads", "2.50 GB/s"] {
        assert!(page.contains(wanted), "{wanted}");
    }
}
