//! Every wrong call and every refusal ends with the right code and one line that helps.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use diatreme::DirectoryLock;
use harness::{Place, find, flip, run};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

#[test]
fn a_line_that_is_too_long_ends_the_run_at_its_number() {
    let place = Place::new();
    let json = place.path("report.json");
    let args = ["--record-bytes-max", "5", "--json", json.to_str().unwrap()];
    let ended = place.ingest(b"one\ntwo\nabcdef\nfour\n", &args);
    ended.fails_in_a_line(
        1,
        &[
            "line 3 has 6 bytes, at most 5",
            "--record-bytes-max",
            "2 records are acknowledged, offsets 0 to 1",
            "nothing from line 3 on",
        ],
    );
    let report = place.json("report.json");
    assert_eq!((&report["records"], &report["last_offset"]), (&2.into(), &1.into()));
    assert!(report["error"].as_str().unwrap().contains("line 3"));
    assert_eq!(place.read(&[]).succeeds().text(), "one\ntwo\n");
    // The run goes on from the line that was named.
    place.ingest(b"abcde\nfour\n", &["--record-bytes-max", "5"]).succeeds();
    assert_eq!(place.read(&[]).succeeds().text(), "one\ntwo\nabcde\nfour\n");
}

#[test]
fn a_run_that_cannot_tell_what_is_acknowledged_ends() {
    let place = Place::new();
    let words = ["ended before line 1", "cannot tell in /dev/full what is acknowledged", "No space left"];
    place.ingest(b"one\n", &["--acknowledged", "/dev/full"]).fails_in_a_line(1, &words);
    assert_eq!(place.read(&[]).succeeds().text(), "");
    place.ingest(b"one\n", &["--acknowledged", "/nowhere/file"]).fails_in_a_line(2, &["cannot write /nowhere/file"]);
    let fresh = place.path("fresh");
    let bench = ["bench", "--data-dir", fresh.to_str().unwrap(), "--records", "10", "--warm-up", "0"];
    let words = ["cannot tell what is acknowledged", "No space left"];
    run(bench.into_iter().chain(["--acknowledged", "/dev/full"]), b"").fails_in_a_line(1, &words);
    run(["bench", "--acknowledged", "/dev/null"], b"").fails_with(2, &["--data-dir"]);
}

#[test]
fn names_that_cannot_be_are_wrong_usage() {
    let place = Place::new();
    let stream = |name: &str| place.run("ingest", &["--tenant", "acme", "--stream", name, "-"]);
    stream("").fails_with(2, &["--stream", "at least one byte"]);
    stream(&"n".repeat(256)).fails_with(2, &["256 bytes", "255 at most"]);
    let data = place.data();
    let not_utf8 = OsString::from_vec(vec![b'a', 0xff]);
    let mut args: Vec<OsString> = ["ingest", "--tenant", "acme", "-", "--data-dir"].map(OsString::from).into();
    args.extend([data.clone().into(), "--stream".into(), not_utf8]);
    run(args, b"").fails_with(2, &["UTF-8"]);
    assert!(!data.exists(), "a wrong call makes no directory");
}

#[test]
fn an_unknown_tenant_or_stream_is_told_with_those_there_are() {
    let place = Place::new();
    place.ingest(b"one\n", &[]).succeeds();
    let read = |tenant, stream| place.run("read", &["--tenant", tenant, "--stream", stream]);
    read("acmee", "audit").fails_in_a_line(1, &["no tenant \"acmee\"", "it has acme"]);
    read("acme", "logs").fails_in_a_line(1, &["no stream \"logs\" in tenant \"acme\": it has audit"]);
}

#[test]
fn impossible_settings_are_wrong_usage() {
    let place = Place::new();
    for (args, words) in [
        (&["--shards", "0"][..], &["0 shards: choose 1 to 1024"][..]),
        (&["--shards", "1025"], &["1025 shards"]),
        (&["--cores", "3-1"], &["runs backwards"]),
        (&["--cores", "99999"], &["no CPU's number"]),
        (&["--cores", "4095"], &["CPU 4095"]),
        (&["--window", "0"], &["--window"]),
        (&["--record-bytes-max", "0"], &["--record-bytes-max"]),
        (&["--record-bytes-max", "999999999"], &["999999999 bytes"]),
        (&["--backend", "nfs"], &["--backend", "uring"]),
        (&["--durability", "maybe"], &["--durability", "strict"]),
        (&["--durability", "buffered:0ms,100"], &["interval of 0", "choose 1 ns to 1 h"]),
        (&["--durability", "buffered:10ms,0"], &["window of 0 records"]),
        (&["--durability", "strict:group:1h"], &["`1h` is no time"]),
        (&["--durability", "strict:group:5s"], &["choose 1 s at most"]),
        (&["--json", "/nowhere/report.json"], &["cannot write /nowhere/report.json"]),
    ] {
        place.ingest(b"one\n", args).fails_with(2, words);
    }
    run(["ingest"], b"").fails_with(2, &["--data-dir", "Usage: "]);
    run(["digest"], b"").fails_with(2, &["digest", "ingest"]);
    assert_eq!(run([] as [&str; 0], b"").code, 2);
}

#[test]
fn what_is_not_there_is_wrong_usage() {
    let place = Place::new();
    let missing = ["--tenant", "acme", "--stream", "audit", "/nowhere/input"];
    place.run("ingest", &missing).fails_in_a_line(2, &["cannot read /nowhere/input"]);
    for name in ["verify", "inspect"] {
        place.run(name, &[]).fails_in_a_line(2, &["cannot read", "No such file"]);
    }
    place.read(&[]).fails_in_a_line(2, &["cannot read", "No such file"]);
    assert!(!place.data().exists(), "looking makes no directory");
    fs::create_dir(place.data()).unwrap();
    for name in ["verify", "inspect"] {
        place.run(name, &[]).fails_in_a_line(2, &["holds no data"]);
    }
    place.read(&[]).fails_in_a_line(2, &["holds no data"]);
    assert!(fs::read_dir(place.data()).unwrap().next().is_none(), "nor anything in one");
}

/// `verify` told whoever's first command was killed to restore what was lost from a backup.
#[test]
fn a_directory_that_was_not_made_to_the_end_is_not_damaged() {
    let place = Place::new();
    let elsewhere = Place::new();
    elsewhere.ingest(b"", &["--shards", "2"]).succeeds();
    let whole = fs::read(elsewhere.data().join("manifest.a")).unwrap();
    fs::create_dir_all(place.data().join("shard-0000")).unwrap();
    let not_made = |place: &Place| {
        for name in ["verify", "inspect"] {
            place.run(name, &[]).fails_in_a_line(2, &["holds no data", "makes it anew"]);
        }
        place.read(&[]).fails_in_a_line(2, &["holds no data", "makes it anew"]);
    };
    not_made(&place);
    fs::write(place.data().join("manifest.a"), &whole[..100]).unwrap();
    not_made(&place);
    place.ingest(b"one\n", &[]).succeeds();
    place.run("verify", &[]).succeeds();

    // Segments were there: this is no directory that was never made.
    fs::remove_file(place.data().join("manifest.b")).unwrap();
    fs::remove_dir_all(place.data().join("shard-0000")).unwrap();
    place.run("verify", &[]).fails_in_a_line(1, &["damaged"]);
}

#[test]
fn a_directory_that_is_a_file_is_told() {
    let place = Place::new();
    fs::write(place.data(), "a file").unwrap();
    place.ingest(b"one\n", &[]).fails_in_a_line(1, &["cannot make the directory"]);
    place.run("verify", &[]).fails_in_a_line(2, &["Not a directory"]);
}

#[test]
fn a_directory_that_another_process_has_open_is_told() {
    let place = Place::new();
    place.ingest(b"one\n", &[]).succeeds();
    let lock = DirectoryLock::exclusive(&place.data()).unwrap();
    let words = ["LOCK is locked", "another process"];
    place.ingest(b"two\n", &[]).fails_in_a_line(1, &words);
    place.read(&[]).fails_in_a_line(1, &words);
    place.run("verify", &[]).fails_in_a_line(1, &words);
    place.run("inspect", &[]).fails_in_a_line(1, &words);
    drop(lock);
    assert_eq!(place.read(&[]).succeeds().text(), "one\n");
    // Two that only look are no trouble to each other.
    let _looking = DirectoryLock::shared(&place.data()).unwrap();
    place.run("verify", &[]).succeeds();
}

#[test]
fn a_foreign_file_is_named_and_left_alone() {
    let place = Place::new();
    place.ingest(b"one\n", &[]).succeeds();
    let foreign = place.data().join("notes.txt");
    fs::write(&foreign, "mine").unwrap();
    let words = ["notes.txt is not a file of this data directory"];
    place.ingest(b"two\n", &[]).fails_in_a_line(1, &words);
    place.run("verify", &[]).fails_in_a_line(1, &words);
    fs::rename(&foreign, place.data().join("shard-0000/notes.txt")).unwrap();
    place.ingest(b"two\n", &[]).fails_in_a_line(1, &words);
    place.run("verify", &[]).fails_in_a_line(1, &words);
    fs::remove_file(place.data().join("shard-0000/notes.txt")).unwrap();
    assert_eq!(place.read(&[]).succeeds().text(), "one\n");
}

/// What the log says names places below the data directory, and so did the commands: with two directories at hand, nobody
/// could tell which of them "shard-0000/00000001.seg" lay in.
#[test]
fn every_error_names_the_data_directory() {
    let place = Place::new();
    let data = place.data();
    let named = |path: &str| format!("diatreme: {}: {path}", data.display());
    place.ingest(b"one\n", &[]).succeeds();
    place.read(&["--from", "9"]).fails_in_a_line(1, &[&named("offset 9 is beyond the end")]);

    let foreign = data.join("shard-0000/notes.txt");
    fs::write(&foreign, "mine").unwrap();
    let words = [named("shard-0000/notes.txt is not a file of this data directory")];
    let words = words.each_ref().map(String::as_str);
    place.ingest(b"two\n", &[]).fails_in_a_line(1, &words);
    place.read(&[]).fails_in_a_line(1, &words);
    place.run("verify", &[]).fails_in_a_line(1, &words);
    place.run("inspect", &[]).fails_in_a_line(1, &words);
    fs::remove_file(foreign).unwrap();

    let segment = place.segment(1);
    flip(&segment, find(&segment, b"one"));
    place.read(&[]).fails_with(1, &[&named("offset 0 is damaged")]);
    place.run("verify", &[]).fails_in_a_line(1, &[&named("1 place is damaged")]);
    fs::remove_file(data.join("manifest.a")).unwrap();
    fs::remove_file(data.join("manifest.b")).unwrap();
    place.read(&[]).fails_in_a_line(1, &[&named("neither copy of the manifest")]);
}

#[test]
fn a_report_that_is_never_written_leaves_no_empty_file() {
    let place = Place::new();
    place.ingest(b"one\n", &[]).succeeds();
    let json = place.path("report.json");
    let _lock = DirectoryLock::exclusive(&place.data()).unwrap();
    place.ingest(b"two\n", &["--json", json.to_str().unwrap()]).fails_in_a_line(1, &["locked"]);
    assert!(!json.exists());
}

#[test]
fn every_help_has_an_example() {
    let ended = run(["--help"], b"").succeeds();
    assert!(ended.text().contains("Example:\n  diatreme demo\n"), "{}", ended.text());
    for name in ["ingest", "read", "verify", "inspect", "bench", "demo", "keygen", "checkpoint", "tenant"] {
        assert!(ended.text().contains(&format!("\n  {name} ")), "{}", ended.text());
        let ended = run([name, "--help"], b"").succeeds();
        let examples = ["Example", "Examples"].map(|title| format!("{title}:\n  diatreme {name} "));
        assert!(examples.iter().any(|example| ended.text().contains(example)), "{}", ended.text());
    }
    assert!(run(["--version"], b"").succeeds().text().starts_with("diatreme "));
}
