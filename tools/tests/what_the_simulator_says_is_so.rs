//! The workbench of the simulator: seeds run, one seed is the same again, and wrong calls are told.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Ended, Place, run};

fn sim(args: &[&str]) -> Ended {
    run(["sim"].iter().chain(args), b"")
}

/// A cell of a table of two columns.
#[track_caller]
fn cell(text: &str, row: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(row)).unwrap_or_else(|| panic!("no {row:?} in {text}"));
    line.trim().to_owned()
}

#[test]
fn seeds_run_clean_and_are_counted() {
    let place = Place::new();
    let json = place.path("run.json");
    let ended = sim(&["run", "--seeds", "100..130", "--jobs", "2", "--json", json.to_str().unwrap()]).succeeds();
    assert_eq!(cell(ended.text(), "runs "), "30");
    let report = place.json("run.json");
    assert_eq!((&report["runs"], &report["clean"], &report["threads"]), (&30.into(), &true.into(), &2.into()));
    assert_eq!(report["repeated"], 1);
    for count in ["answers", "openings", "crashes", "records_read_back", "disk_operations"] {
        assert!(report[count].as_u64().unwrap() > 30, "{count}: {}", report[count]);
    }
    let by_scenario = report["runs_by_scenario"].as_object().unwrap();
    assert_eq!(by_scenario.values().map(|runs| runs.as_u64().unwrap()).sum::<u64>(), 30);
    assert!(report["coverage"]["faults"]["power-cut"].as_u64().unwrap() > 0);
    assert!(report["coverage"]["branches"]["found it left open"].as_u64().unwrap() > 0);
    assert!(report["coverage"]["commands"]["append"]["done"].as_u64().unwrap() > 0);
    assert!(report["missing"].as_array().unwrap().is_empty());
}

#[test]
fn how_many_threads_run_changes_nothing() {
    let place = Place::new();
    let counts = |jobs: &str| {
        let json = place.path(jobs);
        sim(&["run", "--seeds", "0..12", "--jobs", jobs, "--json", json.to_str().unwrap()]).succeeds();
        let report = place.json(jobs);
        (report["coverage"].clone(), report["disk_operations"].clone(), report["virtual_seconds"].clone())
    };
    assert_eq!(counts("1"), counts("3"));
}

#[test]
fn time_goes_on_beyond_the_last_seed() {
    // At least those that are named run, however short the time.
    let ended = sim(&["run", "--seeds", "5..8", "--minutes", "0.000001", "--scenario", "calm"]).succeeds();
    assert_eq!(cell(ended.text(), "runs "), "3");
    let ended = sim(&["run", "--seeds", "5..", "--minutes", "0.01", "--scenario", "calm"]).succeeds();
    assert!(cell(ended.text(), "runs ").replace(',', "").parse::<u64>().unwrap() > 0);
}

#[test]
fn a_seed_is_the_same_again_in_another_process() {
    let place = Place::new();
    let one = |seed: &str, name: &str| {
        let path = place.path(name);
        let ended = sim(&["replay", seed, "--trace", path.to_str().unwrap()]).succeeds();
        assert!(ended.text().contains("the same twice"), "{}", ended.text());
        (cell(ended.text(), "trace hash "), std::fs::read_to_string(path).unwrap())
    };
    for seed in ["3", "14", "15926"] {
        let (first, second) = (one(seed, "first"), one(seed, "second"));
        assert!(first == second, "seed {seed}: the traces differ");
        let lines: Vec<_> = first.1.lines().collect();
        assert!(lines.len() > 100 && lines.last().unwrap().starts_with(&format!("# seed {seed}, trace hash ")));
        let times = lines.iter().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
        assert!(times.is_sorted());
    }
    assert_ne!(one("3", "first").0, one("4", "first").0);
    // Another scenario is another run of the seed.
    let rot = sim(&["replay", "3", "--scenario", "rot"]).succeeds();
    let calm = sim(&["replay", "3", "--scenario", "calm"]).succeeds();
    assert_ne!(cell(rot.text(), "trace hash "), cell(calm.text(), "trace hash "));
}

#[test]
fn all_scenarios_are_listed() {
    let ended = sim(&["scenarios"]).succeeds();
    for words in ["calm", "no fault, no crash", "rot", "bit-flip", "liar", "lying-flush", "copies", "older-copy"] {
        assert!(ended.text().contains(words), "{words:?} is not in {}", ended.text());
    }
}

#[test]
fn wrong_calls_are_told() {
    let seeds = |seeds: &str| sim(&["run", "--seeds", seeds]);
    seeds("9..5").fails_with(2, &["no seed lies in 9..5"]);
    seeds("7").fails_with(2, &["A..B"]);
    seeds("a..b").fails_with(2, &["\"a\" is no seed"]);
    seeds("5..").fails_in_a_line(2, &["--minutes"]);
    sim(&["run"]).fails_with(2, &["--seeds"]);
    sim(&["run", "--seeds", "0..1", "--minutes", "0"]).fails_with(2, &["minutes above 0"]);
    sim(&["run", "--seeds", "0..1", "--jobs", "0"]).fails_with(2, &["1..=1024"]);
    sim(&["run", "--seeds", "0..1", "--scenario", "doom"]).fails_with(2, &["no such scenario", "calm", "everything"]);
    sim(&["run", "--seeds", "0..1", "--json", "/nowhere/x"]).fails_in_a_line(2, &["cannot write /nowhere/x"]);
    sim(&["replay"]).fails_with(2, &["SEED"]);
    sim(&["replay", "x"]).fails_with(2, &["invalid"]);
    sim(&["replay", "1", "--trace", "/nowhere/x"]).fails_in_a_line(2, &["cannot write /nowhere/x"]);
    sim(&["replay", "1", "--plan", "x"]).fails_with(2, &["cannot be used with"]);
    sim(&["shrink", "1", "--out", "/nowhere/x"]).fails_in_a_line(2, &["cannot write /nowhere/x"]);
    sim(&["timeline", "1"]).fails_with(2, &["--html"]);
    sim(&["timeline", "1", "--html", "/nowhere/x"]).fails_in_a_line(2, &["cannot write /nowhere/x"]);
    sim(&["shrink", "1", "--runs", "0"]).fails_with(2, &["--runs"]);
    sim(&["replay", "--plan", "/nowhere/x"]).fails_in_a_line(2, &["cannot read /nowhere/x"]);
}

#[test]
fn a_run_that_is_clean_is_not_made_smaller() {
    let place = Place::new();
    let out = place.path("small.json");
    sim(&["shrink", "3", "--out", out.to_str().unwrap()]).fails_in_a_line(1, &["seed 3 does not fail"]);
    assert!(!out.exists());
}

/// How many elements of a kind have no content.
fn hollow(page: &str, element: &str) -> usize {
    let start = format!("<{element} ");
    let starts = page.split(&start).skip(1);
    starts.filter(|rest| rest.find('>').is_some_and(|end| rest[..end].ends_with('/'))).count()
}

#[test]
fn the_picture_is_whole_and_needs_nothing_else() {
    let place = Place::new();
    let path = place.path("picture.html");
    for seed in ["3", "14"] {
        sim(&["timeline", seed, "--html", path.to_str().unwrap()]).succeeds();
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme: dark"));
        for outside in ["<script", "<link", "<img", " src=", " href=", "url(", "@import", "NaN", "inf\""] {
            assert!(!page.contains(outside), "{outside:?} is in the page");
        }
        for element in ["svg", "section", "title", "text", "rect", "path"] {
            let count = |start: &str, end: &str| page.matches(&format!("{start}{element}{end}")).count();
            assert_eq!(count("<", ">") + count("<", " "), count("</", ">") + hollow(&page, element), "{element}");
        }
        // Each life of the directory is drawn twice, for large screens and for small ones.
        let replayed = sim(&["replay", seed]).succeeds();
        let openings = cell(replayed.text(), "openings ").split(',').next().unwrap().parse::<usize>().unwrap();
        assert!(page.matches("<svg class=\"wide\"").count() >= openings);
        assert_eq!(page.matches("<svg class=\"wide\"").count(), page.matches("<svg class=\"narrow\"").count());
        for lane in ["client 0", "shard 0", "disk 0", "recovery"] {
            assert!(page.contains(&format!(">{lane}</text>")), "{lane}");
        }
        assert!(
            page.contains("class=\"write\"") && page.contains("class=\"done\"") && page.contains("No law was broken")
        );
    }
}

#[test]
fn a_plan_from_a_file_is_replayed() {
    let place = Place::new();
    let (path, trace) = (place.path("plan.json"), place.path("trace.txt"));
    let plan = r#"{"format": "diatreme-sim-plan", "version": 2, "plan": {
        "seed": 7, "scenario": "crashes", "clients": 1, "window": 1, "policy": "every-batch", "corruptions_max": 0,
        "clear": [1], "own_keys": [],
        "rates": {"write-error": {"per_million": 1, "spared": ["directory"]}},
        "scripts": [{"at": 30, "fault": "power-cut"}],
        "epochs": [{"shards": 1, "clock_jump_ns": 0, "crash": null, "end": "close", "meanwhile": ["copied"], "steps": [
            {"client": 0, "action": {"create-tenant": 0}},
            {"client": 0, "action": {"create-stream": {"tenant": 0, "stream": 0}}},
            {"client": 0, "action": {"append": {"place": {"tenant": 0, "stream": 0}, "count": 2, "bytes": 50,
                "expected": "any", "level": "tenants"}}},
            {"client": 0, "action": {"pause": 20000000}}
        ]}]
    }}"#;
    std::fs::write(&path, plan).unwrap();
    let args = ["replay", "--plan", path.to_str().unwrap(), "--trace", trace.to_str().unwrap()];
    let ended = sim(&args).succeeds();
    assert_eq!(cell(ended.text(), "plan "), "1 opening, 4 steps, 1 client, 1 in flight each");
    assert!(cell(ended.text(), "faults ").contains("power-cut 1"), "{}", ended.text());
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.contains(" sent 1 create a tenant 0") && trace.contains(" fault 30 struck "), "{trace}");
    sim(&["timeline", "--plan", path.to_str().unwrap(), "--html", place.path("x").to_str().unwrap()]).succeeds();
}

#[test]
fn a_file_that_is_no_plan_is_told() {
    let place = Place::new();
    let path = place.path("plan.json");
    let refused = |text: &str, words: &[&str]| {
        std::fs::write(&path, text).unwrap();
        sim(&["replay", "--plan", path.to_str().unwrap()]).fails_in_a_line(2, words);
    };
    refused("", &["plan.json: no plan: ", "line 1 column 0"]);
    refused("[1, 2]", &["plan.json: no plan: "]);
    refused(r#"{"format": "diatreme-bench", "version": 1, "plan": {}}"#, &["its format is \"diatreme-bench\""]);
    refused(r#"{"format": "diatreme-sim-plan", "version": 99, "plan": {}}"#, &["version 99", "version that wrote it"]);
    refused(r#"{"format": "diatreme-sim-plan", "version": 2, "plan": {}}"#, &["missing field `seed`"]);
}
