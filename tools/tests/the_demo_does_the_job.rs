//! The first command that anybody types works, and leaves behind what it said it would.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Place, run, run_in};
use std::fs;

const COMMANDS: [&str; 4] = ["ingest", "read", "verify", "inspect"];

#[test]
fn it_runs_every_step_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let ended = run_in(directory.path(), ["demo"]).succeeds();
    for name in COMMANDS {
        assert!(ended.text().contains(&format!("\n$ diatreme {name} --data-dir ")), "{}", ended.text());
    }
    assert!(ended.text().contains(" is, byte for byte, "), "{}", ended.text());
    assert!(ended.text().contains("sound: every checksum and every chain link fits"), "{}", ended.text());
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none(), "something is left");
}

#[test]
fn a_directory_that_was_named_is_kept_and_never_reused() {
    let place = Place::new();
    let kept = place.path("demo");
    let demo = || run(["demo", "--directory", kept.to_str().unwrap()], b"");
    demo().succeeds();
    let sample = fs::read(kept.join("sample.jsonl")).unwrap();
    assert!(!sample.is_empty() && fs::read(kept.join("read-back.jsonl")).unwrap() == sample);
    run(["verify", "--data-dir", kept.join("data").to_str().unwrap()], b"").succeeds();
    demo().fails_in_a_line(2, &["is not empty: name a fresh directory"]);
    assert!(fs::read(kept.join("sample.jsonl")).unwrap() == sample);
}
