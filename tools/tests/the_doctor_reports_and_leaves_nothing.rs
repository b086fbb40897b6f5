//! The doctor looks at any machine that it is started on, says the same to people and to programs, and leaves nothing behind.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Place, command, run_in, run_unread};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn people_and_programs_are_told_the_same() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    let ended = place.run("doctor", &["--json", place.path("doctor.json").to_str().unwrap()]).succeeds();
    let report = place.json("doctor.json");
    let lines = report["lines"].as_array().unwrap();
    let verdicts = ["good", "fair", "bad", "unknown"];
    for line in lines {
        for key in ["heading", "id", "name", "found", "verdict", "why", "change"] {
            assert!(line[key].is_string(), "{key} of {line}");
        }
        let (name, verdict) = (line["name"].as_str().unwrap(), line["verdict"].as_str().unwrap());
        assert!(verdicts.contains(&verdict), "{line}");
        let printed = ended.text().lines().find(|text| text.starts_with(&format!("  {name}  ")));
        assert!(printed.is_some_and(|text| text.contains(verdict)), "{name} is not in {}", ended.text());
        assert!(ended.text().contains(line["change"].as_str().unwrap()), "{line}");
    }
    for (verdict, counted) in verdicts.map(|verdict| (verdict, report["summary"][verdict].as_u64().unwrap() as usize)) {
        assert_eq!(lines.iter().filter(|line| line["verdict"] == verdict).count(), counted);
    }
    let durable_write = lines.iter().find(|line| line["id"] == "durable_write").unwrap();
    assert!(!durable_write["found"].as_str().unwrap().contains("p50 0 "), "{durable_write}");
    assert!(report["setup"]["cpus_online"].as_u64().unwrap() > 0);
    let last = format!("\n{} lines: ", lines.len());
    assert!(ended.text().contains(&last), "{}", ended.text());
    assert_eq!(fs::read_dir(place.data()).unwrap().count(), 0, "the directory is as it was");
}

#[test]
fn cores_that_do_not_exist_are_a_finding_and_no_failure() {
    let place = Place::new();
    let ended = run_in(place.path("").as_path(), ["doctor", "--cores", "4095"]).succeeds();
    if cfg!(target_os = "linux") {
        assert!(ended.text().contains("--cores names 4095, not online"), "{}", ended.text());
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_wrong_usage() {
    let place = Place::new();
    place.run("doctor", &[]).fails_in_a_line(2, &["data", "No such file"]);
    assert!(!place.data().exists(), "nothing is made");
    fs::write(place.data(), b"a file").unwrap();
    place.run("doctor", &[]).fails_in_a_line(2, &["Not a directory"]);
    if cfg!(target_os = "linux") {
        let json = place.path("doctor.json");
        let args = ["doctor", "--data-dir", "/proc", "--json", json.to_str().unwrap()];
        harness::run(args, b"").fails_in_a_line(2, &["/proc", "name a directory that can be written"]);
        assert!(!json.exists(), "there is no report of what was not found out");
    }
}

#[test]
fn nobody_who_reads_is_no_failure() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    run_unread(["doctor".as_ref(), "--data-dir".as_ref(), place.data().as_os_str()]).succeeds();
}

/// However it ends: the file that it measures with has no name.
#[test]
fn a_killed_doctor_leaves_no_file() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    for millis in [20, 300, 450] {
        let mut child = command(["doctor".as_ref(), "--data-dir".as_ref(), place.data().as_os_str()]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        let left: Vec<_> = fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?} after {millis} ms");
    }
}
