//! Records come back as they went in.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::Place;
use std::fs;

#[test]
fn every_byte_of_every_line_comes_back() {
    let place = Place::new();
    let lines = b"first\n\nwith return\r\n\xff\xfe\x00 binary\n\ttab\n\n";
    place.ingest(lines, &[]).succeeds();
    assert_eq!(place.read(&[]).succeeds().out, lines);
    place.run("verify", &[]).succeeds();
}

#[test]
fn a_last_line_without_a_newline_is_a_record_and_comes_back_with_one() {
    let place = Place::new();
    let ended = place.ingest(b"one\ntwo", &[]).succeeds();
    assert!(ended.text().starts_with("2 records, 6 bytes"), "{}", ended.text());
    assert!(ended.text().contains("offsets 0 to 1, durability strict"), "{}", ended.text());
    assert_eq!(place.read(&[]).succeeds().text(), "one\ntwo\n");
}

#[test]
fn an_empty_input_makes_the_stream_and_no_record() {
    let place = Place::new();
    let ended = place.ingest(b"", &[]).succeeds();
    assert!(ended.text().starts_with("0 records, 0 bytes"), "{}", ended.text());
    assert_eq!(place.read(&[]).succeeds().text(), "");
}

/// Lines of many lengths, some of them longer than what one read of the log takes at first.
fn lines(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes = Vec::new();
    for number in 0..count {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = if number % 500 == 499 { 200_000 } else { (state >> 16) as usize % 600 };
        bytes.extend((0..len).map(|at| ((at as u32 ^ state) as u8).max(b'\r')));
        bytes.push(b'\n');
    }
    bytes
}

#[test]
fn many_records_come_back_in_order_through_every_backend_and_over_several_runs() {
    let place = Place::new();
    let all = lines(3000);
    let cut = all.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1499).unwrap().0 + 1;
    place.ingest(&all[..cut], &["--backend", "sync", "--window", "16", "--cores", "none"]).succeeds();
    let ended = place.ingest(&all[cut..], &["--durability", "memory"]).succeeds();
    assert!(ended.text().contains("offsets 1500 to 2999, durability memory"), "{}", ended.text());
    assert!(place.read(&[]).succeeds().out == all, "what was read differs");
    let to_file = place.path("out");
    place.read(&["--output", to_file.to_str().unwrap()]).succeeds();
    assert!(fs::read(to_file).unwrap() == all, "what was written to the file differs");
    let tail = place.read(&["--from", "2999"]).succeeds().out;
    assert!(all.ends_with(&tail) && tail.len() == 200_001);
    place.run("verify", &["--threads", "3"]).succeeds();
}

#[test]
fn a_read_gives_the_part_that_is_asked_for() {
    let place = Place::new();
    place.ingest(b"0\n1\n2\n3\n4\n", &[]).succeeds();
    for (args, expected) in [
        (&["--from", "3"][..], "3\n4\n"),
        (&["--from", "1", "--count", "2"], "1\n2\n"),
        (&["--count", "0"], ""),
        (&["--from", "5"], ""),
        (&["--from", "4", "--count", "18446744073709551615"], "4\n"),
    ] {
        assert_eq!(place.read(args).succeeds().text(), expected, "{args:?}");
    }
    place.read(&["--from", "6"]).fails_in_a_line(1, &["offset 6 is beyond the end: 5 is next"]);
}

#[test]
fn json_lines_hold_text_as_text_and_other_bytes_in_base_16() {
    let place = Place::new();
    place.ingest(b"say \"hi\"\n\xff\x00\n", &[]).succeeds();
    let ended = place.read(&["--format", "json"]).succeeds();
    let records: Vec<serde_json::Value> =
        ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&records[0]["offset"], &records[0]["payload"]), (&0.into(), &"say \"hi\"".into()));
    assert_eq!((&records[1]["offset"], &records[1]["payload_hex"]), (&1.into(), &"ff00".into()));
    assert!(records[1].get("payload").is_none());
    assert!(records[0]["position"].as_u64() < records[1]["position"].as_u64());
    assert!(records[0]["timestamp"].as_u64().unwrap() > 0);
}

#[test]
fn more_shards_find_what_fewer_wrote_and_a_read_keeps_their_number() {
    let place = Place::new();
    place.ingest(b"one\n", &["--shards", "1"]).succeeds();
    place.ingest(b"two\n", &["--shards", "3"]).succeeds();
    assert_eq!(place.read(&[]).succeeds().text(), "one\ntwo\n");
    place.run("inspect", &["--json", place.path("i").to_str().unwrap()]).succeeds();
    assert_eq!(place.json("i")["manifest"]["shards"], 3);
}

#[test]
fn a_report_says_what_the_summary_says() {
    let place = Place::new();
    let json = place.path("report.json");
    fs::write(&json, "what was there before, and is longer than one would think".repeat(20)).unwrap();
    place.ingest(b"one\nfour\n", &["--json", json.to_str().unwrap()]).succeeds();
    let report = place.json("report.json");
    assert_eq!(report["records"], 2);
    assert_eq!(report["bytes"], 7);
    assert_eq!((&report["first_offset"], &report["last_offset"]), (&0.into(), &1.into()));
    assert_eq!(report["durability"], "strict");
    assert!(report["error"].is_null());
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn what_is_acknowledged_is_told_from_where_the_input_begins_to_its_end() {
    let place = Place::new();
    let file = place.path("acknowledged");
    let args = ["--acknowledged", file.to_str().unwrap(), "--window", "1"];
    for (input, lines) in [(&b"one\ntwo\nthree\n"[..], "0\n1\n2\n3\n"), (b"", "3\n"), (b"four\n", "3\n4\n")] {
        place.ingest(input, &args).succeeds();
        assert_eq!(fs::read_to_string(&file).unwrap(), lines);
    }
}
