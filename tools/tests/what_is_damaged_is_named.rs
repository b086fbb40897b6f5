//! Damage is found, named by its place and by what it cost, and nothing else is affected.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Place, find, flip};
use std::fs;

/// Twenty records, each in a frame of its own.
fn written() -> Place {
    let place = Place::new();
    let lines: String = (0..20).map(|number| format!("record number {number:02}\n")).collect();
    place.ingest(lines.as_bytes(), &["--window", "1"]).succeeds();
    place
}

#[test]
fn a_flipped_byte_is_named_with_what_it_cost() {
    let place = written();
    let segment = place.segment(1);
    let at = find(&segment, b"record number 10");
    flip(&segment, at);
    let frame = at / 4096 * 4096;

    let json = place.path("v.json");
    let ended = place.run("verify", &["--json", json.to_str().unwrap()]);
    let ended = ended.fails_in_a_line(1, &["1 place is damaged"]);
    let line = ended.text().lines().find(|line| line.starts_with("damaged: ")).unwrap().to_owned();
    let tenant = "tenant c164dcd00b430377 (acme) stream 1 (audit) offset 10";
    assert!(line.contains(&format!("shard-0000/00000001.seg at byte {frame}: frame ")), "{line}");
    assert!(line.contains("body checksum mismatch; lost: ") && line.ends_with(tenant), "{line}");

    let report = place.json("v.json");
    assert_eq!(report["sound"], false);
    let damage = &report["damage"][0];
    assert_eq!(damage["file"], "shard-0000/00000001.seg");
    assert_eq!((&damage["byte"], &damage["byte_end"]), (&frame.into(), &(frame + 4096).into()));
    let lost = &damage["losses"][0];
    assert_eq!((&lost["tenant_name"], &lost["stream_name"]), (&"acme".into(), &"audit".into()));
    assert_eq!((&lost["first_offset"], &lost["last_offset"]), (&10.into(), &10.into()));

    let expected: String = (0..10).map(|number| format!("record number {number:02}\n")).collect();
    let place_named = format!("shard-0000/00000001.seg at byte {frame}");
    let ended = place.read(&[]).fails_with(1, &["offset 10 is damaged", &place_named, "before it, 10 records written"]);
    assert_eq!(ended.text(), expected, "what precedes the damage is written");
    assert_eq!(place.read(&["--from", "11", "--count", "1"]).text(), "record number 11\n");

    let ended = place.run("inspect", &[]);
    assert_eq!(ended.code, 0);
    let fault = format!("fault: shard-0000/00000001.seg: byte {frame}: frame ");
    assert!(ended.text().contains(&fault), "{}", ended.text());
}

#[test]
fn a_missing_segment_is_named() {
    let place = written();
    place.ingest(b"in another segment\n", &[]).succeeds();
    fs::remove_file(place.segment(1)).unwrap();
    let ended = place.run("verify", &[]).fails_in_a_line(1, &["damaged, named above"]);
    assert!(ended.text().contains("shard-0000/00000001.seg at byte 0: the file is missing"), "{}", ended.text());
}

#[test]
fn a_segment_that_was_cut_is_named() {
    let place = written();
    let segment = place.segment(1);
    let at = find(&segment, b"record number 10");
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(at as u64).unwrap();
    let ended = place.run("verify", &[]).fails_in_a_line(1, &["damaged, named above"]);
    assert!(ended.text().contains("damaged: shard-0000/00000001.seg at byte "), "{}", ended.text());
}

#[test]
fn without_a_manifest_the_logs_are_verified_all_the_same() {
    let place = written();
    for copy in ["manifest.a", "manifest.b"] {
        fs::remove_file(place.data().join(copy)).unwrap();
    }
    let ended = place.run("verify", &[]).fails_in_a_line(1, &["damaged, named above"]);
    for copy in ["manifest.a", "manifest.b"] {
        let line = format!("damaged: {copy} at byte 0: missing; neither copy serves");
        assert!(ended.text().contains(&line), "{}", ended.text());
    }
    let records = ended.text().lines().find(|line| line.starts_with("records ")).unwrap().to_owned();
    assert!(records.ends_with(" 22"), "20 records and the catalog's two: {records}");
    place.run("inspect", &[]).succeeds();
    place.read(&[]).fails_in_a_line(1, &["neither copy of the manifest"]);
}

#[test]
fn looking_changes_nothing() {
    let place = written();
    let before = place.contents();
    place.run("verify", &[]).succeeds();
    place.run("inspect", &["--streams", "--frames"]).succeeds();
    assert!(place.contents() == before);
}

#[test]
fn inspect_accounts_for_every_byte() {
    let place = written();
    place.ingest(&b"x".repeat(5000), &[]).succeeds();
    let json = place.path("i.json");
    let args = ["--streams", "--frames", "--json", json.to_str().unwrap()];
    let ended = place.run("inspect", &args).succeeds();
    assert!(ended.text().contains("acme") && ended.text().contains("audit") && ended.text().contains("(catalog)"));

    let report = place.json("i.json");
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let total = &report["total"];
    let in_frames = ["payload", "record_headers", "frame_headers", "padding"].map(|part| number(&total[part]));
    assert_eq!(in_frames.iter().sum::<u64>(), number(&total["in_frames"]));
    let all = ["in_frames", "footer", "segment_ends", "unreadable", "free"].map(|part| number(&total[part]));
    assert_eq!(all.iter().sum::<u64>(), number(&total["file_bytes"]));
    let files: u64 = [1, 2].iter().map(|segment| fs::metadata(place.segment(*segment)).unwrap().len()).sum();
    assert_eq!(number(&total["file_bytes"]), files);

    assert_eq!(report["manifest"]["clean"], true);
    let segments = report["segments"].as_array().unwrap();
    assert!(segments.iter().all(|segment| segment["state"] == "sealed"));
    for segment in segments {
        let frames = segment["frame_list"].as_array().unwrap();
        assert_eq!(frames.len() as u64, number(&segment["frames"]));
        assert_eq!(frames.iter().map(|frame| number(&frame["length"])).sum::<u64>(), number(&segment["in_frames"]));
    }
    let audit = report["streams"].as_array().unwrap().iter().find(|stream| stream["stream_name"] == "audit").unwrap();
    assert_eq!((&audit["records"], &audit["last_offset"], &audit["segments"]), (&21.into(), &20.into(), &2.into()));
    assert_eq!((&audit["encryption"], &audit["tenant_encryption"]), (&"none".into(), &"none".into()));
    assert!(ended.text().contains("(tenant: none)"), "{}", ended.text());

    let one = place.run("inspect", &["--segment", "2", "--log", "0"]).succeeds();
    assert!(one.text().lines().any(|line| line.trim_start().starts_with("0        2  sealed")), "{}", one.text());
    place.run("inspect", &["--segment", "9"]).fails_in_a_line(2, &["no segment 9"]);
    place.run("inspect", &["--log", "9"]).fails_in_a_line(2, &["no log 9"]);
}
