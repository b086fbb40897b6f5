//! A benchmark counts what was done, hides no queue, and refuses what it cannot do.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Ended, Place, command, run, run_in};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
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
    // The catalogs tell of two tenants and their streams.
    assert_eq!(place.json("verified.json")["records"], 5003 + 4);
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
        ("recovery", &["--records", "3000"], &["opening after a crash", "opening after a clean end"]),
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
    refused(&["sweep", "--rate", "10"], &["sweep"]);
    let left: Vec<_> = fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["empty"], "a wrong call leaves nothing behind");
    let occupied = place.path(".");
    run(["bench", "--data-dir", occupied.to_str().unwrap()], b"").fails_in_a_line(2, &["is not empty"]);
}
