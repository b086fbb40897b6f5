//! A benchmark counts what was done, hides no queue, and refuses what it cannot do.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Ended, Place, command, run, run_in};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

impl Place {
    /// Runs a benchmark that writes `report.json`.
    fn bench(&self, args: &[&str]) -> Ended {
        let json = self.path("report.json");
        let mut all: Vec<&OsStr> = ["bench", "--warm-up", "0", "--cores", "none", "--json"].map(OsStr::new).into();
        all.push(json.as_ref());
        all.extend(args.iter().map(OsStr::new));
        run_in(&self.path("."), all)
    }

    /// The same on the data directory, which is kept.
    fn bench_kept(&self, args: &[&str]) -> Ended {
        let data = self.data();
        let mut all = vec!["--data-dir", data.to_str().unwrap()];
        all.extend(args);
        self.bench(&all)
    }
}

/// The parts of a report's only run, by name.
fn part<'a>(report: &'a Value, name: &str) -> &'a Value {
    let parts = report["runs"][0]["parts"].as_array().unwrap();
    parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("no {name} in {parts:?}"))
}

#[test]
fn every_record_is_counted_once_and_is_in_the_log() {
    let place = Place::new();
    let (html, csv) = (place.path("page.html"), place.path("ecdf.csv"));
    let files = ["--html", html.to_str().unwrap(), "--ecdf", csv.to_str().unwrap()];
    let args =
        [&["--records", "5003", "--batch", "10", "--clients", "3", "--window", "7", "--tenants", "2"], &files[..]];
    let ended = place.bench_kept(&args.concat()).succeeds();
    let report = place.json("report.json");
    let appended = part(&report, "append");
    assert_eq!((&appended["records"], &appended["bytes"]), (&5003.into(), &500_300.into()));
    // Each client's last request has what is left of its share: 1668, 1668 and 1667 records.
    assert_eq!(appended["requests"], 501);
    let (queue, latency) = (&appended["queue"], &appended["latency"]);
    let little = queue["mean"].as_f64().unwrap() / queue["by_littles_law"].as_f64().unwrap();
    assert!((0.5..2.0).contains(&little), "{queue}");
    assert_eq!(latency["ecdf"].as_array().unwrap().last().unwrap()[1], 1.0);
    let ordered: Vec<u64> = ["min_ns", "p50_ns", "p99_ns", "p9999_ns", "max_ns"]
        .iter()
        .map(|name| latency[name].as_u64().unwrap())
        .collect();
    assert!(ordered.is_sorted(), "{latency}");
    let ratio = &report["runs"][0]["ratio"];
    assert!(ratio["of_floor"].as_f64().unwrap() > 0.0, "{ratio}");
    let pauses = &report["runs"][0]["floors"]["pauses"];
    // A shard and three clients, where there are as many CPUs.
    assert_eq!(pauses["cpus"].as_array().unwrap().len(), diatreme::cores::available().len().min(4), "{pauses}");
    assert!(pauses["seconds"].as_f64().unwrap() >= 1.0, "{pauses}");
    assert!(ended.text().contains("5,003"), "{}", ended.text());

    let counted: u64 = fs::read_to_string(csv).unwrap().lines().skip(1).map(count_of).sum();
    assert_eq!(counted, 501);
    assert!(fs::read_to_string(html).unwrap().contains("</svg>"));
    let json = place.path("verified.json");
    place.run("verify", &["--json", json.to_str().unwrap()]).succeeds();
    // The catalogs tell of two tenants, their keys and their streams.
    assert_eq!(place.json("verified.json")["records"], 5003 + 6);
}

/// The last column of a line.
fn count_of(line: &str) -> u64 {
    line.rsplit(',').next().unwrap().parse().unwrap()
}

#[test]
fn records_of_a_file_are_replayed_in_order() {
    let place = Place::new();
    fs::write(place.path("input"), "one\n\nthree\n").unwrap();
    let input = place.path("input");
    place.bench_kept(&["--records", "7", "--input", input.to_str().unwrap()]).succeeds();
    let report = place.json("report.json");
    assert_eq!(part(&report, "append")["bytes"], 3 + 5 + 3 + 5 + 3);
    let read = place.run("read", &["--tenant", "bench-0", "--stream", "stream-0"]).succeeds();
    assert_eq!(read.text(), "one\n\nthree\none\n\nthree\none\n");
}

/// A load generator that waits for answers sends less when they are slow, and shows a rate that nobody asked for at a latency that nobody
/// had. Here what was due counts, each from the time when it was due.
#[test]
fn a_rate_beyond_what_is_served_shows_its_queue() {
    let place = Place::new();
    let ended = place.bench(&["--rate", "20000000", "--duration", "0.02", "--window", "100"]).succeeds();
    let report = place.json("report.json");
    let appended = part(&report, "append");
    assert_eq!(appended["requests"], 400_000, "all that was due was sent");
    let behind = appended["queue"]["behind_end"].as_u64().unwrap();
    assert!(behind > 1000, "{}", appended["queue"]);
    // Who comes last has waited for nearly all the others.
    let (max, elapsed) = (appended["latency"]["max_ns"].as_f64().unwrap(), appended["elapsed_sec"].as_f64().unwrap());
    assert!(max / 1e9 > elapsed - 0.02 - 0.01, "{max} {elapsed}");
    assert!(ended.text().contains("behind"), "{}", ended.text());
}

/// The queue was counted beyond the last record that was to be sent: 400,000 requests, and 15 million behind.
#[test]
fn what_will_never_be_sent_is_not_behind() {
    let place = Place::new();
    place.bench(&["--rate", "20000000", "--records", "100000", "--window", "100"]).succeeds();
    let report = place.json("report.json");
    let appended = part(&report, "append");
    assert_eq!(appended["requests"], 100_000);
    let queue = &appended["queue"];
    assert!(
        queue["behind_max"].as_u64().unwrap() <= 100_000 && queue["mean"].as_f64().unwrap() <= 100_000.0,
        "{queue}"
    );
    let little = queue["mean"].as_f64().unwrap() / queue["by_littles_law"].as_f64().unwrap();
    assert!((0.8..1.25).contains(&little), "{queue}");
}

/// A request that found the queue full was thrown away and another one drawn: the load flowed to the shard that was less busy, and
/// records of a file came out of order.
#[test]
fn a_full_queue_changes_nothing_of_what_is_sent() {
    let place = Place::new();
    let args = ["--shards", "2", "--tenants", "2", "--zipf", "2", "--batch", "100", "--records", "400000"];
    place.bench(&args).succeeds();
    let report = place.json("report.json");
    assert!(part(&report, "append")["queue"]["full"].as_u64().unwrap() > 0, "the queue was full");
    let records: Vec<u64> = report["runs"][0]["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| shard["records"].as_u64().unwrap())
        .collect();
    // One to a quarter, by the law.
    let share = records[0] as f64 / (records[0] + records[1]) as f64;
    assert!((0.77..0.83).contains(&share), "{records:?}");

    let lines: Vec<String> = (0..90).map(|line| format!("{line:030000}")).collect();
    let input = place.path("input");
    fs::write(&input, lines.join("\n")).unwrap();
    place.bench_kept(&["--records", "180", "--input", input.to_str().unwrap()]).succeeds();
    let report = place.json("report.json");
    assert!(part(&report, "append")["queue"]["full"].as_u64().unwrap() > 0, "the queue was full");
    let read = place.run("read", &["--tenant", "bench-0", "--stream", "stream-0"]).succeeds();
    let read: Vec<&str> = read.text().lines().collect();
    assert_eq!(read.len(), 180);
    assert!(read.iter().zip(lines.iter().cycle()).all(|(read, line)| read == line), "in the order of the file");
}

/// The generator and the engine stand still for a third of a second, as a machine may. Who sends only when something was
/// answered has one slow request; here all that was due meanwhile has waited, and the percentiles say so.
#[test]
fn a_stall_is_in_the_percentiles() {
    let place = Place::new();
    let (json, log) = (place.path("report.json"), place.path("log"));
    let mut command =
        command(["bench", "--warm-up", "0", "--cores", "none", "--rate", "1000", "--duration", "2", "--json"]);
    command.arg(&json).arg("--hdr-log").arg(&log).current_dir(place.path("."));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("Tag=")) {
        std::thread::yield_now();
    }
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
        assert!(status.success());
    };
    signal("-STOP");
    std::thread::sleep(std::time::Duration::from_millis(600));
    signal("-CONT");
    assert!(child.wait().unwrap().success());
    let report = place.json("report.json");
    let appended = part(&report, "append");
    assert_eq!(appended["requests"], 2000, "all that was due was sent");
    // Of 2,000 requests 600 came due while nothing moved; the tenth that waited longest, 400 ms at the least.
    let p90_ns = appended["latency"]["p90_ns"].as_u64().unwrap();
    assert!(p90_ns > 300_000_000, "{p90_ns}");
}

#[test]
fn a_rate_that_brings_nothing_is_no_accident() {
    let place = Place::new();
    place.bench(&["--scenario", "noisy", "--rate", "0.001", "--duration", "0.1"]).succeeds();
    let report = place.json("report.json");
    assert!(part(&report, "the flood")["records"].as_u64().unwrap() > 0);
}

#[test]
fn each_scenario_shows_its_parts() {
    let scenarios: [(&str, &[&str], &[&str]); 6] = [
        ("mixed", &["--records", "2000"], &["append", "read"]),
        ("tenants", &["--records", "2000", "--tenants", "50"], &["append"]),
        ("noisy", &["--duration", "0.1"], &["others, beside the flood", "others, alone", "the flood"]),
        (
            "audit",
            &["--records", "3000", "--duration", "0.1", "--batch", "100"],
            &["random reads, cold", "random reads, again", "scan, cold", "scan, again"],
        ),
        (
            "recovery",
            &["--records", "3000"],
            &["opening, nothing sealed", "opening after a crash", "opening after a clean end"],
        ),
        ("verify", &["--records", "3000"], &["verification, 1 core"]),
    ];
    for (scenario, args, parts) in scenarios {
        let place = Place::new();
        place.bench(&[&["--scenario", scenario], args].concat()).succeeds();
        let report = place.json("report.json");
        for name in parts {
            let part = part(&report, name);
            assert!(part["records"].as_u64().unwrap() > 0 && part["elapsed_sec"].as_f64().unwrap() > 0.0, "{part}");
        }
        if scenario == "recovery" {
            let run = &report["runs"][0];
            let (floor, opening) = (&run["floors"]["reading"], part(&report, "opening, nothing sealed"));
            let ratio = floor["elapsed_sec"].as_f64().unwrap() / opening["elapsed_sec"].as_f64().unwrap();
            assert!((run["ratio"]["of_floor"].as_f64().unwrap() / ratio - 1.0).abs() < 1e-6, "{}", run["ratio"]);
            assert!(floor["bytes"].as_u64().unwrap() > 3000 * 100, "{floor}");
        }
        if scenario == "audit" {
            assert_eq!(part(&report, "scan, cold")["records"], 3000, "a scan reads every record");
        }
        let left: Vec<_> = fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["report.json"], "{scenario} leaves nothing behind");
    }
}

#[test]
fn shards_host_the_clients_and_share_them_evenly() {
    let place = Place::new();
    place.bench(&["--inside", "--shards", "2", "--records", "4000", "--window", "16"]).succeeds();
    let report = place.json("report.json");
    assert_eq!(part(&report, "append")["records"], 4000);
    let shards = report["runs"][0]["shards"].as_array().unwrap();
    let records: Vec<u64> = shards.iter().map(|shard| shard["records"].as_u64().unwrap()).collect();
    assert_eq!(records, [2000, 2000]);
}

#[test]
fn a_run_that_is_stopped_tells_what_it_has_and_leaves_a_sound_directory() {
    let place = Place::new();
    let (data, json, log) = (place.data(), place.path("report.json"), place.path("log"));
    let args = ["bench", "--warm-up", "0", "--cores", "none", "--rate", "1000", "--duration", "600", "--data-dir"];
    let mut command = command(args);
    command.arg(&data).arg("--json").arg(&json).arg("--hdr-log").arg(&log);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Its first interval is in the log: it runs, and has counted something.
    let intervals =
        || fs::read_to_string(&log).map_or(0, |text| text.lines().filter(|line| line.contains("Tag=")).count());
    while intervals() == 0 {
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("interrupted"), "{told}");
    let report = place.json("report.json");
    assert_eq!(report["interrupted"], true);
    let records = part(&report, "append")["records"].as_u64().unwrap();
    assert!((1..600_000).contains(&records), "{records}");
    assert!(!output.stdout.is_empty(), "the table is printed");
    place.run("verify", &[]).succeeds();
}

/// Ctrl-C in a sweep of minutes left nothing of it; and a rate that was cut short, and so kept up, was taken for the knee.
#[test]
fn a_sweep_that_is_stopped_tells_the_rates_that_came_to_their_end() {
    let place = Place::new();
    let (data, json) = (place.data(), place.path("report.json"));
    let mut command = command(["bench", "sweep", "--warm-up", "0", "--cores", "none", "--duration", "1", "--data-dir"]);
    command.arg(&data).arg("--json").arg(&json);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !data.join("rate-2").exists() {
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("interrupted"), "{told}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("capacity"), "the table is printed");
    let report = place.json("report.json");
    assert_eq!(report["interrupted"], true);
    let sweep = &report["sweep"];
    let points = sweep["points"].as_array().unwrap();
    assert_eq!(points.len(), 1, "the second rate was cut short: {points:?}");
    let knee = &sweep["knee_per_sec"];
    assert!(knee.is_null() || *knee == points[0]["offered_per_sec"], "{sweep}");
}

/// A minute was measured, and then the report could not be written, since a file's name was no text.
#[test]
fn a_path_that_is_no_text_is_written_to() {
    let place = Place::new();
    let json = place.path(".").join(OsStr::from_bytes(b"re\xffport.json"));
    let args = ["bench", "--warm-up", "0", "--cores", "none", "--records", "100", "--json"].map(OsStr::new);
    run_in(&place.path("."), args.into_iter().chain([json.as_os_str()])).succeeds();
    let report: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let arguments = report["setup"]["arguments"].as_array().unwrap();
    assert!(arguments.last().unwrap().as_str().unwrap().ends_with("re\u{fffd}port.json"), "{arguments:?}");
}

#[test]
fn what_cannot_be_measured_is_wrong_usage() {
    let place = Place::new();
    fs::write(place.path("empty"), "").unwrap();
    let refused = |args: &[&str], words: &[&str]| {
        place.bench(args).fails_with(2, words);
    };
    refused(&["--rate", "0"], &["--rate", "0.001", "closed loop"]);
    refused(&["--rate", "NaN"], &["--rate"]);
    refused(&["--rate", "-5"], &["-5"]);
    refused(&["--window", "0"], &["--window", "1.."]);
    refused(&["--records", "0"], &["--records"]);
    refused(&["--duration", "0"], &["--duration", "0.001"]);
    refused(&["--poisson"], &["--rate"]);
    refused(&["--burst", "5"], &["--rate"]);
    refused(&["--records", "5", "--duration", "1"], &["--records or --duration"]);
    refused(&["--input", "absent"], &["absent", "No such file"]);
    refused(&["--input", "empty"], &["empty", "no record"]);
    refused(&["--json", "no/such/directory.json"], &["cannot be used multiple times"]);
    refused(&["--html", "no/such/directory.html"], &["cannot write no/such/directory.html"]);
    refused(&["--ecdf", "no/such/directory.csv"], &["cannot write no/such/directory.csv"]);
    refused(&["--hdr-log", "no/such/directory.log"], &["cannot write no/such/directory.log"]);
    refused(&["--batch", "4096", "--payload", "1000"], &["--batch"]);
    refused(&["--shards", "2", "--tenants", "1"], &["--tenants 2"]);
    refused(&["--scenario", "verify", "--rate", "10"], &["verify takes no --rate"]);
    refused(&["--scenario", "noisy", "--tenants", "1"], &["--tenants 2"]);
    refused(&["--inside", "--shards", "64", "--clients", "64"], &["4096 clients", "at most 1024", "--shards"]);
    refused(&["--scenario", "noisy", "--clients", "1000"], &["2000 clients"]);
    refused(&["--window", "1048576", "--clients", "8"], &["8388608 in flight", "--window"]);
    refused(&["--scenario", "audit", "--clients", "1000"], &["8192 requests each", "--clients"]);
    refused(&["sweep", "--rate", "10"], &["sweep"]);
    let left: Vec<_> = fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["empty"], "a wrong call leaves nothing behind");
    let occupied = place.path(".");
    run(["bench", "--data-dir", occupied.to_str().unwrap()], b"").fails_in_a_line(2, &["is not empty"]);
}
