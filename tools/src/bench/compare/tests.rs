use super::*;
use crate::bench::document::Arrivals;
use crate::bench::made_up::{document, sweep};
use serde_json::{Value, json};

/// Five runs each; B is faster, and the ranges lie apart.
const SLOW: &[f64] = &[1.00e6, 1.02e6, 1.01e6, 1.03e6, 0.99e6];
const FAST: &[f64] = &[2.00e6, 2.02e6, 2.01e6, 2.03e6, 1.99e6];

fn compare(a: &Document, b: &Document) -> Comparison {
    Comparison::of((Path::new("a.json"), a), (Path::new("b.json"), b))
}

fn printed(a: &Document, b: &Document) -> String {
    let mut out = Vec::new();
    print::print(&compare(a, b), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The verdict on a figure of what a section is about.
fn verdict(comparison: &Comparison, about: &str, figure: &str) -> Verdict {
    let section = comparison.sections.iter().find(|section| section.about == about).unwrap();
    section.lines.iter().find(|line| line.figure == figure).unwrap().verdict
}

/// The error that loading such a file ends in.
fn refused(text: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    std::fs::write(&path, text).unwrap();
    let failure = load::load(&path).unwrap_err();
    assert_eq!(failure.code(), 2);
    let message = failure.message().unwrap();
    assert!(message.contains("a.json"), "{message}");
    assert!(!message.contains(char::is_control), "{message}");
    message.to_owned()
}

fn as_json(document: &Document) -> Value {
    serde_json::to_value(document).unwrap()
}

#[test]
fn what_lies_apart_is_better_or_worse() {
    let (slow, fast) = (document(SLOW), document(FAST));
    let faster = compare(&slow, &fast);
    assert_eq!(verdict(&faster, "append", "records/s"), Verdict::Better);
    assert_eq!(verdict(&faster, "append", "p99"), Verdict::Better);
    assert_eq!(verdict(&faster, "the run", "ratio to floor"), Verdict::Better);
    assert_eq!(verdict(&faster, "the run", "records a commit"), Verdict::WithinSpread);
    let slower = compare(&fast, &slow);
    assert_eq!(verdict(&slower, "append", "records/s"), Verdict::Worse);
    assert_eq!(verdict(&slower, "append", "max"), Verdict::Worse);
    let text = printed(&slow, &fast);
    assert!(
        text.contains("beyond the run-to-run spread:\n  append: records/s better (× 1.990), p50 better (× 0.502)"),
        "{text}"
    );
    assert!(text.contains("with a probability of 0.79 %"), "{text}");
    assert!(
        text.lines().take_while(|line| !line.starts_with("beyond")).all(|line| line.chars().count() <= 100),
        "{text}"
    );
}

#[test]
fn the_same_is_within_the_spread() {
    let text = printed(&document(SLOW), &document(SLOW));
    assert!(text.contains("no difference exceeds the run-to-run spread"), "{text}");
    assert!(!text.contains("warning") && !text.contains("note"), "{text}");
}

#[test]
fn of_few_runs_the_spread_is_unknown() {
    let comparison = compare(&document(&SLOW[..2]), &document(FAST));
    assert_eq!(comparison.chance_apart, None);
    let mut lines = comparison.sections.iter().flat_map(|section| &section.lines);
    assert!(lines.all(|line| line.verdict == Verdict::SpreadUnknown));
    assert!(printed(&document(&SLOW[..1]), &document(&FAST[..1])).contains("spread unknown: repeat with --repeat 5"));
}

#[test]
fn floors_that_moved_are_a_warning_with_the_ratio_beside() {
    let (before, mut after) = (document(SLOW), document(SLOW));
    for run in &mut after.runs {
        run.floors.device[0].p99_ns *= 2;
        run.ratio.as_mut().unwrap().of_floor *= 3.0;
    }
    let text = printed(&before, &after);
    assert!(text.contains("measured with:\n  device floor, dsync: p99 worse (× 2.000)\n"), "{text}");
    assert!(text.contains("go by the ratios to the floors:\n  ratio to floor 0.210 and 0.631, better\n"), "{text}");
}

#[test]
fn a_device_at_other_frames_is_another_floor() {
    let (before, mut after) = (document(SLOW), document(SLOW));
    after.runs.iter_mut().for_each(|run| run.floors.device[0].depth = 8);
    let comparison = compare(&before, &after);
    assert!(comparison.sections.iter().all(|section| section.about != "device floor, dsync"));
    let note = "device floor, dsync: not compared, A has frames of 61440 bytes, 3 at a time and B has frames of 61440 bytes, 8";
    assert!(comparison.notes.iter().any(|text| text.starts_with(note)), "{:?}", comparison.notes);
}

#[test]
fn another_experiment_is_named() {
    let a = document(SLOW);
    let mut b = document(FAST);
    b.config.scenario = "tenants".into();
    b.config.arrivals = Arrivals::Open { requests_per_sec: 1e6, poisson: true, burst: 8 };
    b.config.payload_bytes = None;
    b.config.input = Some("a\u{1b}[31m.jsonl".into());
    b.config.batch = 100;
    b.config.tenants = 300;
    b.config.streams_per_tenant = 2;
    b.config.zipf = Some(0.99);
    b.config.read_percent = 30;
    b.config.shards = 2;
    b.config.clients = 4;
    b.config.window = 1;
    b.config.inside = true;
    b.config.durability = "memory".into();
    b.config.durable_write = "linked".into();
    b.config.frame_cap_bytes = 4096;
    assert_eq!(
        settings::differences(&a, &b),
        [
            "scenario (append against tenants)",
            "arrivals (closed loop against open loop, 1,000,000 requests/s, Poisson, bursts of 8)",
            "payload bytes (100 against none)",
            "input (none against a\\u{1b}[31m.jsonl)",
            "batch (1 against 100)",
            "tenants (1 against 300)",
            "streams a tenant (1 against 2)",
            "zipf (none against 0.99)",
            "read percent (0 against 30)",
            "shards (1 against 2)",
            "clients (1 against 4)",
            "window (8192 against 1)",
            "clients inside the shards (no against yes)",
            "durability (strict against memory)",
            "durable write (dsync against linked)",
            "frame cap (1048576 against 4096)",
        ]
    );
    assert_eq!(settings::differences(&a, &sweep(1e6, &[0.5], 1.0)), ["command (bench against sweep)"]);
}

#[test]
fn the_command_refuses_another_experiment() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (a, mut b) = (document(SLOW), document(SLOW));
    b.config.batch = 100;
    std::fs::write(path("a.json"), as_json(&a).to_string()).unwrap();
    std::fs::write(path("b.json"), as_json(&b).to_string()).unwrap();
    let args = Args { a: path("a.json"), b: path("b.json"), json: None };
    let failure = judge(&args).unwrap_err();
    assert_eq!(failure.code(), 2);
    let message = failure.message().unwrap();
    assert!(message.ends_with("b.json cannot be compared: they differ in batch (1 against 100)"), "{message}");
    let report = serde_json::to_value(judge(&Args { b: path("a.json"), ..args }).unwrap()).unwrap();
    assert_eq!(report["sections"][0]["lines"][0]["verdict"], "within_spread");
    assert_eq!(report["a"]["runs"], 5);
}

#[test]
fn circumstances_are_noted() {
    let a = document(SLOW);
    assert_eq!(settings::notes(&a, &a), [""; 0]);
    let mut b = document(SLOW);
    b.version = "0.2.0".into();
    b.setup.backend = "synchronous".into();
    b.setup.machine.kernel = Some("6.8.0".into());
    b.setup.debug_build = true;
    b.interrupted = true;
    b.config.duration_sec = Some(60.0);
    assert_eq!(settings::differences(&a, &b), [""; 0]);
    let notes = settings::notes(&a, &b).join("\n");
    for note in [
        "version (0.1.0 against 0.2.0)",
        "backend (io_uring against synchronous)",
        "machine: kernel (6.1.0 against 6.8.0)",
        "duration in seconds (10 against 60)",
        "the longer a run, the higher its maximum",
        "B was interrupted",
        "B is of a build without optimisation",
    ] {
        assert!(notes.contains(note), "{note} is not in:\n{notes}");
    }
}

#[test]
fn sweeps_meet_at_the_parts_that_both_have() {
    let (a, b) = (sweep(1e6, &[0.1, 0.5, 0.9], 0.5), sweep(2e6, &[0.1, 0.25, 0.502, 1.1], 1.0));
    let comparison = compare(&a, &b);
    let rates = comparison.points.iter().map(|pair| (pair.a.offered_per_sec, pair.b.offered_per_sec));
    assert_eq!(rates.collect::<Vec<_>>(), [(1e5, 2e5), (5e5, 1.004e6)]);
    let section = comparison.sections.iter().find(|section| section.about == "the sweep").unwrap();
    let ratios: Vec<Option<f64>> = section.lines.iter().map(|line| line.b_over_a).collect();
    assert_eq!(ratios, [Some(2.0), Some(2.008), Some(1.0)]);
    assert!(printed(&a, &b).contains("sweep A and B again"));
}

#[test]
fn sweeps_without_capacity_or_knee_are_told_and_not_divided_by() {
    let (a, b) = (sweep(0.0, &[0.1, 0.5], 0.0), sweep(0.0, &[0.1, 0.5], 0.0));
    let comparison = compare(&a, &b);
    assert!(comparison.points.is_empty());
    assert!(comparison.notes.iter().any(|note| note.starts_with("A has no knee")), "{:?}", comparison.notes);
    assert!(!printed(&a, &b).contains("NaN"));
}

#[test]
fn figures_that_one_side_lacks_are_left_out_and_parts_are_noted() {
    let (a, mut b) = (document(SLOW), document(SLOW));
    b.runs.iter_mut().for_each(|run| run.parts[0].latency = None);
    let comparison = compare(&a, &b);
    let section = &comparison.sections[0];
    assert_eq!(section.lines.iter().map(|line| line.figure).collect::<Vec<_>>(), ["records/s"]);
    b.runs.iter_mut().for_each(|run| run.parts[0].name = "read\u{7}".into());
    let notes = compare(&a, &b).notes;
    assert_eq!(notes, ["only A has append", "only B has read\\u{7}"]);
}

#[test]
fn nothing_is_divided_by_zero() {
    let (mut a, b) = (document(&[0.0, 0.0, 0.0]), document(SLOW));
    a.runs.iter_mut().for_each(|run| run.parts[0].latency.as_mut().unwrap().max_ns = 0);
    let text = printed(&a, &b);
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn a_document_survives_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    for written in [document(&[1e6, 2e6]), sweep(1e6, &[0.5], 1.0)] {
        std::fs::write(&path, as_json(&written).to_string()).unwrap();
        let read = load::load(&path).unwrap();
        assert_eq!(read.config, written.config);
        assert_eq!(as_json(&read)["setup"], as_json(&written)["setup"]);
        assert_eq!(as_json(&read)["sweep"], as_json(&written)["sweep"]);
        let rates = |document: &Document| document.runs.iter().map(Run::headline_per_sec).collect::<Vec<_>>();
        assert_eq!(rates(&read), rates(&written));
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().join("absent.json"), directory.path().to_owned()] {
        let failure = load::load(&path).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.message().unwrap().starts_with(&path.display().to_string()), "{failure:?}");
    }
}

#[test]
fn what_is_no_report_is_refused() {
    for (text, said) in [
        ("", "not JSON: EOF"),
        ("{", "not JSON: EOF"),
        ("hello", "not JSON: expected value"),
        ("{\"format\": NaN}", "not JSON"),
        ("{\"format\": 1e999}", "not JSON: number out of range"),
        ("[]", "not a report of `diatreme bench --json`"),
        ("{}", "not a report of `diatreme bench --json`: missing field `format`"),
        ("{\"format\": -1}", "not a report"),
        ("{\"format\": \"\\u001b[2J\"}", "not a report"),
        ("{\"format\": 1}", "not a report of `diatreme bench --json` as this version writes it: missing field"),
        ("{\"format\": 2, \"version\": \"9\"}", "written in format 2 by version \"9\"; this program reads format 1"),
        ("{\"format\": 18446744073709551615}", "written in format 18446744073709551615"),
    ] {
        let message = refused(text.as_bytes());
        assert!(message.contains(said), "{text}: {message}");
    }
    assert!(refused(b"\xff\xfe{").contains("not JSON"));
}

#[test]
fn deep_nesting_is_refused_and_no_overflow() {
    let deep = |inside: &str| format!("{}{inside}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    refused(deep("").as_bytes());
    let mut text = as_json(&document(SLOW)).to_string();
    text.truncate(text.len() - 1);
    // What no field is for is skipped, however deep it is; what a field is for is not.
    for field in ["runs", "config", "sweep"] {
        let message = refused(format!("{{\"format\": 1, \"{field}\": {}}}", deep("")).as_bytes());
        assert!(message.contains("not"), "{message}");
    }
    let arrivals = format!("{{\"format\": 1, \"config\": {{\"arrivals\": {{\"loop\": {}}}}}}}", deep("1"));
    refused(arrivals.as_bytes());
}

#[test]
fn figures_that_no_benchmark_finds_are_refused() {
    let whole = as_json(&document(SLOW));
    for (place, value, said) in [
        ("/runs", json!([]), "it holds no runs"),
        ("/runs/1/parts", json!([]), "run 2: it has no parts"),
        ("/runs/0/parts/0/records_per_sec", json!(-5.0), "run 1: append: records/s is -5"),
        ("/runs/0/parts/0/records_per_sec", Value::Null, "expected f64"),
        ("/runs/0/parts/0/latency/p99_ns", json!(-1), "expected u64"),
        ("/runs/0/parts/0/latency/p99_ns", json!(1e30), "expected u64"),
        ("/runs/0/parts/0/latency/mean_ns", json!(-0.5), "run 1: append: mean is -0.5"),
        ("/runs/4/ratio/of_floor", json!(-1), "run 5: ratio to floor is -1"),
        ("/runs/0/floors/device/0/commits_per_sec", json!(-1), "device floor dsync: commits/s is -1"),
        ("/runs/0/floors/chain/ns_per_record", json!(-1), "chain, a record is -1"),
        ("/config/arrivals", json!({"loop": "spiral"}), "spiral"),
        ("/config/tenants", json!(4_294_967_296_u64), "expected u32"),
    ] {
        let mut document = whole.clone();
        *document.pointer_mut(place).unwrap() = value;
        let message = refused(document.to_string().as_bytes());
        assert!(message.contains(said), "{place}: {message}");
    }
    let mut many = whole.clone();
    let part = whole.pointer("/runs/0/parts/0").unwrap().clone();
    *many.pointer_mut("/runs/0/parts").unwrap() = Value::Array(vec![part; 300]);
    assert!(refused(many.to_string().as_bytes()).contains("300 parts"));
    let mut sweeping = as_json(&sweep(1e6, &[0.5], 1.0));
    *sweeping.pointer_mut("/sweep/capacity_per_sec").unwrap() = json!(-1e6);
    assert!(refused(sweeping.to_string().as_bytes()).contains("capacity is -1000000"));
}

#[test]
fn a_file_beyond_all_bounds_is_not_read_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("huge.json");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let failure = load::load(&path).unwrap_err();
    assert!(failure.message().unwrap().contains("more than 64 MiB"), "{failure:?}");
}
