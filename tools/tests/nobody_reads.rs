//! `diatreme verify … | head -1` ended with code 0 on a damaged directory: its reader left, printing failed with a closed
//! pipe, and what was found went with it, the report of `--json` too. `diatreme ingest` lost its report in the same way,
//! and `diatreme demo` panicked. Who reads what a command prints is nothing to what it found.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Ended, Place, find, flip, run_unread};
use std::fs;

fn unread(place: &Place, name: &str, args: &[&str]) -> Ended {
    let data = place.data();
    run_unread([name, "--data-dir", data.to_str().unwrap()].iter().chain(args))
}

#[test]
fn damage_is_still_damage_and_reported() {
    let place = Place::new();
    place.ingest(b"a record\n", &[]).succeeds();
    let json = place.path("verified.json");
    let args = ["--json", json.to_str().unwrap()];
    unread(&place, "verify", &args).succeeds();
    assert_eq!(place.json("verified.json")["sound"], true);

    let segment = place.segment(1);
    flip(&segment, find(&segment, b"a record"));
    unread(&place, "verify", &args).fails_in_a_line(1, &["1 place is damaged"]);
    assert_eq!(place.json("verified.json")["damage"][0]["file"], "shard-0000/00000001.seg");
}

#[test]
fn damage_is_still_damage_where_nothing_can_be_written() {
    let place = Place::new();
    place.ingest(b"a record\n", &[]).succeeds();
    let segment = place.segment(1);
    flip(&segment, find(&segment, b"a record"));
    let words = ["1 place is damaged", "and cannot write /dev/full: No space"];
    place.run("verify", &["--json", "/dev/full"]).fails_in_a_line(1, &words);
}

#[test]
fn what_was_appended_is_reported() {
    let place = Place::new();
    let (input, json) = (place.path("input"), place.path("report.json"));
    fs::write(&input, "one\ntwo\n").unwrap();
    let (input, json) = (input.to_str().unwrap(), json.to_str().unwrap());
    unread(&place, "ingest", &["--tenant", "acme", "--stream", "audit", "--unencrypted", input, "--json", json])
        .succeeds();
    assert_eq!(place.json("report.json")["records"], 2);
}

#[test]
fn what_lies_there_is_reported() {
    let place = Place::new();
    place.ingest(b"one\n", &[]).succeeds();
    let json = place.path("inspected.json");
    unread(&place, "inspect", &["--json", json.to_str().unwrap()]).succeeds();
    assert_eq!(place.json("inspected.json")["manifest"]["clean"], true);
}

#[test]
fn a_read_ends_in_peace_and_closes_the_directory() {
    let place = Place::new();
    place.ingest(&b"a line among many\n".repeat(20_000), &[]).succeeds();
    unread(&place, "read", &["--tenant", "acme", "--stream", "audit", "--unencrypted"]).succeeds();
    place.run("verify", &[]).succeeds();
    place.run("inspect", &["--json", place.path("i").to_str().unwrap()]).succeeds();
    assert_eq!(place.json("i")["manifest"]["clean"], true);
}

#[test]
fn the_demo_goes_on_to_its_end() {
    let place = Place::new();
    let kept = place.path("demo");
    run_unread(["demo", "--directory", kept.to_str().unwrap()]).succeeds();
    assert_eq!(fs::read(kept.join("sample.jsonl")).unwrap(), fs::read(kept.join("read-back.jsonl")).unwrap());
}

#[test]
fn help_is_no_failure() {
    run_unread(["--help"]).succeeds();
}
