//! Directories of another version, damaged, copied, or with something in the place of something else: each is told with what to
//! do, and looking still works where it can.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Place, flip};
use log::format::crc;
use std::fs;
use std::path::Path;

const COPIES: [&str; 2] = ["manifest.a", "manifest.b"];

fn written() -> Place {
    let place = Place::new();
    place.ingest(b"one\ntwo\n", &[]).succeeds();
    place
}

/// Gives a structure another version, and the checksum that goes with it.
fn set_version(path: &Path, sum_at: impl Fn(&[u8]) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[8..10].copy_from_slice(&9_u16.to_le_bytes());
    let at = sum_at(&bytes);
    let sum = crc(&bytes[..at]);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

fn every_command_fails(place: &Place, words: &[&str]) {
    place.ingest(b"three\n", &[]).fails_in_a_line(1, words);
    place.read(&[]).fails_in_a_line(1, words);
    place.run("verify", &[]).fails_in_a_line(1, words);
}

#[test]
fn a_manifest_of_another_version_is_left_to_the_program_that_wrote_it() {
    for copy in COPIES {
        let place = written();
        set_version(&place.data().join(copy), |bytes| {
            u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize - 4
        });
        let before = place.contents();
        let words = [copy, "format version 9", "this program reads version 1", "use the program that wrote it"];
        every_command_fails(&place, &words);
        place.run("inspect", &[]).fails_in_a_line(1, &words);
        assert!(place.contents() == before, "nothing was changed");
    }
}

#[test]
fn a_segment_of_another_version_is_left_to_the_program_that_wrote_it() {
    let place = written();
    set_version(&place.segment(1), |_| 4092);
    let before = place.contents();
    every_command_fails(&place, &["shard-0000/00000001.seg", "format version 9", "use the program that wrote it"]);
    assert!(place.contents() == before, "nothing was changed");
}

#[test]
fn one_bad_copy_of_the_manifest_serves_nobody_and_harms_nobody() {
    for copy in COPIES {
        for missing in [false, true] {
            let place = written();
            let path = place.data().join(copy);
            if missing {
                fs::remove_file(&path).unwrap();
            } else {
                flip(&path, 20);
            }
            let json = place.path("v.json");
            let verified = place.run("verify", &["--json", json.to_str().unwrap()]).succeeds();
            let serves = "the other copy serves, and the next opening writes it anew";
            let line = verified.text().lines().find(|line| line.starts_with(&format!("note: {copy}: "))).unwrap();
            assert!(line.ends_with(serves) && verified.text().contains("sound: "), "{}", verified.text());
            let report = place.json("v.json");
            assert_eq!((&report["sound"], &report["damage"]), (&true.into(), &serde_json::json!([])));
            assert_eq!((&report["notes"][0]["file"], report["notes"].as_array().unwrap().len()), (&copy.into(), 1));
            let inspected = place.run("inspect", &[]).succeeds();
            assert!(inspected.text().contains(&format!("fault: {copy}: ")), "{}", inspected.text());
            let ended = place.read(&[]);
            assert_eq!((ended.code, ended.text()), (0, "one\ntwo\n"));
            let note = format!("{}: {copy}: ", place.data().display());
            assert!(ended.err.contains(&note) && ended.err.contains("the other copy served"), "{}", ended.err);
            assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
            place.read(&[]).succeeds();
            place.run("verify", &[]).succeeds();
        }
    }
}

#[test]
fn with_both_copies_damaged_the_directory_is_looked_at_and_not_opened() {
    let place = written();
    COPIES.iter().for_each(|copy| flip(&place.data().join(copy), 20));
    let before = place.contents();
    let words = ["neither copy of the manifest", "restore one from a backup", "`diatreme verify`"];
    place.ingest(b"three\n", &[]).fails_in_a_line(1, &words);
    place.read(&[]).fails_in_a_line(1, &words);
    let verified = place.run("verify", &[]).fails_in_a_line(1, &["2 places are damaged"]);
    for copy in COPIES {
        assert!(verified.text().contains(&format!("damaged: {copy}")), "{}", verified.text());
    }
    let inspected = place.run("inspect", &["--streams"]).succeeds();
    assert!(inspected.text().contains("audit") && inspected.text().contains("neither copy"), "{}", inspected.text());
    assert!(place.contents() == before, "nothing was changed");
}

#[test]
fn a_copy_of_a_directory_is_told_once() {
    let place = written();
    let other = Place::new();
    fs::create_dir_all(other.data().join("shard-0000")).unwrap();
    for (path, bytes) in place.contents() {
        fs::write(other.data().join(path.strip_prefix(place.data()).unwrap()), bytes).unwrap();
    }
    let ended = other.read(&[]);
    assert_eq!((ended.code, ended.text()), (0, "one\ntwo\n"));
    assert!(ended.err.contains("is a copy of, or was restored from"), "{}", ended.err);
    assert!(ended.err.contains(&other.data().display().to_string()), "{}", ended.err);
    other.read(&[]).succeeds();
    place.read(&[]).succeeds();
}

#[test]
fn a_file_in_the_place_of_a_log_and_a_directory_in_the_place_of_a_file_are_foreign() {
    let place = written();
    let words = |name| [name, "is not a file of this data directory", "move it elsewhere"];
    let log = place.data().join("shard-0001");
    fs::write(&log, "").unwrap();
    every_command_fails(&place, &words("shard-0001"));
    fs::remove_file(&log).unwrap();

    let segment = place.segment(2);
    fs::create_dir(&segment).unwrap();
    every_command_fails(&place, &words("shard-0000/00000002.seg"));
    fs::remove_dir(&segment).unwrap();

    for copy in COPIES {
        let path = place.data().join(copy);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        every_command_fails(&place, &words(copy));
        fs::remove_dir(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(place.read(&[]).succeeds().text(), "one\ntwo\n");
}

/// Whoever may read everything, as root may, is not kept out, and then there is nothing to tell.
#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let place = written();
    let mode = |mode| fs::set_permissions(place.data(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0);
    let data = place.data().display().to_string();
    if fs::read_dir(place.data()).is_err() {
        place.ingest(b"three\n", &[]).fails_in_a_line(1, &[&data, "Permission denied"]);
        for name in ["verify", "inspect"] {
            place.run(name, &[]).fails_in_a_line(2, &["cannot read", &data, "Permission denied"]);
        }
    }
    mode(0o755);
    assert_eq!(place.read(&[]).succeeds().text(), "one\ntwo\n");
}
