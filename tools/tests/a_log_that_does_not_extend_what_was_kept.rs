//! An auditor keeps a checkpoint; the log is then left alone, grown, cut, rolled back, forked, damaged or swapped. `verify` says which,
//! without any secret key.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use crypto::note::{Checkpoint, Origin};
use harness::history::{ACME, History, signer, vkey};
use harness::{Ended, Place, find, flip, run};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

fn lines(range: std::ops::Range<u32>) -> Vec<u8> {
    range.flat_map(|number| format!("record number {number:03}\n").into_bytes()).collect()
}

/// A hundred records in frames of several, after the tenant's and the stream's creation.
fn written() -> Place {
    let place = Place::new();
    place.ingest(&lines(0..100), &["--window", "7"]).succeeds();
    place
}

fn verify(data: &Path, checkpoints: &[&str], key: &str, more: &[&str]) -> Ended {
    let mut args: Vec<&OsStr> = vec!["verify".as_ref(), "--data-dir".as_ref(), data.as_ref()];
    for file in checkpoints {
        args.extend([OsStr::new("--checkpoint"), OsStr::new(file)]);
    }
    args.extend([OsStr::new("--key"), OsStr::new(key)]);
    args.extend(more.iter().map(OsStr::new));
    run(args, b"")
}

/// What is said of the only checkpoint.
fn said(ended: &Ended) -> String {
    ended.text().lines().last().unwrap().to_owned()
}

#[test]
fn every_checkpoint_of_the_log_is_extended_by_it_also_when_it_grew() {
    let place = written();
    let history = place.history();
    assert_eq!(history.size(), 102);
    let kept: Vec<_> = (0..=history.size())
        .map(|size| place.write(&format!("kept.{size}"), &history.checkpoint(size).sign(&signer())))
        .collect();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    let json = place.path("v.json");
    let ended = verify(&place.data(), &kept, &history.vkey(), &["--json", json.to_str().unwrap()]).succeeds();
    let extended = ended.text().lines().filter(|line| line.starts_with("extended: ")).count();
    assert_eq!(extended, kept.len(), "{}", ended.text());
    let report = place.json("v.json");
    let tree = &report["trees"][0];
    assert_eq!((&tree["tenant"], &tree["size"]), (&"c164dcd00b430377".into(), &102.into()));
    assert_eq!((&tree["root"], &tree["broken"]), (&history.checkpoint(102).root.to_base64().into(), &false.into()));
    assert_eq!(report["checkpoints"][5]["verdict"], "extended");
    assert_eq!((&report["checkpoints"][5]["size"], &report["checkpoints"][5]["log_size"]), (&5.into(), &102.into()));

    place.ingest(&lines(100..150), &[]).succeeds();
    assert_eq!(place.history().size(), 152);
    let ended = verify(&place.data(), &kept, &history.vkey(), &[]).succeeds();
    assert_eq!(ended.text().matches("the log has 152 records of diatreme/").count(), kept.len(), "{}", ended.text());
}

#[test]
fn tenants_have_trees_of_their_own_and_checkpoints_under_one_key() {
    let place = written();
    for (tenant, stream) in [("bolt", "one"), ("bolt", "two"), ("acme", "more")] {
        place.run_with("ingest", &["--tenant", tenant, "--stream", stream, "-"], &lines(0..9)).succeeds();
    }
    let json = place.path("v.json");
    place.run("verify", &["--json", json.to_str().unwrap()]).succeeds();
    let report = place.json("v.json");
    assert_eq!(report["trees"].as_array().unwrap().len(), 2);
    for tree in report["trees"].as_array().unwrap() {
        let tenant = u64::from_str_radix(tree["tenant"].as_str().unwrap(), 16).unwrap();
        let history = History::of(&place.data(), tenant);
        assert_eq!(tree["size"], history.size());
        assert_eq!(tree["root"], history.checkpoint(history.size()).root.to_base64());
        let other = place.write("other", &history.checkpoint(7).sign(&signer()));
        let acme = place.write("acme", &place.history().checkpoint(9).sign(&signer()));
        let key = ["--key", &place.history().vkey()];
        let ended = verify(&place.data(), &[&other, &acme], &history.vkey(), &key).succeeds();
        assert_eq!(ended.text().matches("extended: ").count(), 2, "{}", ended.text());
    }
}

#[test]
fn a_log_that_was_rolled_back_is_truncated() {
    let place = written();
    let older = place.copy_as("older");
    place.ingest(&lines(100..130), &[]).succeeds();
    let history = place.history();
    let kept = place.write("kept", &history.checkpoint(132).sign(&signer()));
    verify(&place.data(), &[&kept], &history.vkey(), &[]).succeeds();
    let ended = verify(&older, &[&kept], &history.vkey(), &[]);
    let ended = ended.fails_in_a_line(1, &["does not extend 1 checkpoint", "named above"]);
    let said = said(&ended);
    assert!(said.starts_with("truncated: ") && said.contains("the log has 102 records of diatreme/"), "{said}");
    assert!(said.contains("the checkpoint 132: the newest 30 are gone"), "{said}");
    assert!(ended.text().contains("sound: "), "the copy is whole, and too old: {}", ended.text());
}

/// The whole tenant is gone, with all that told of it.
#[test]
fn a_tenant_that_is_gone_is_truncated_to_nothing() {
    let place = written();
    let history = place.history();
    let stranger = Origin { tenant: 1, ..history.origin() };
    let checkpoint = Checkpoint { origin: stranger, ..history.checkpoint(5) };
    let kept = place.write("kept", &checkpoint.sign(&signer()));
    let ended = verify(&place.data(), &[&kept], &vkey(stranger), &[]).fails_in_a_line(1, &["does not extend"]);
    assert!(said(&ended).contains("the log has 0 records of diatreme/"), "{}", said(&ended));
}

#[test]
fn a_log_that_went_on_from_a_copy_is_a_fork() {
    let place = written();
    let copy = place.copy_as("copy");
    place.ingest(&lines(100..130), &[]).succeeds();
    let args = ["ingest", "--data-dir", copy.to_str().unwrap(), "--tenant", "acme", "--stream", "audit", "-"];
    let ended = run(args.into_iter().chain(["--unencrypted"]), &lines(200..230));
    assert_eq!(ended.code, 0, "{}", ended.err);
    let (history, fork) = (place.history(), History::of(&copy, ACME));
    assert_eq!((history.size(), fork.size()), (132, 132));
    let shared = place.write("shared", &history.checkpoint(102).sign(&signer()));
    let one = place.write("one", &history.checkpoint(132).sign(&signer()));
    let other = place.write("other", &fork.checkpoint(132).sign(&signer()));
    verify(&place.data(), &[&shared, &one], &history.vkey(), &[]).succeeds();
    verify(&copy, &[&shared, &other], &history.vkey(), &[]).succeeds();
    let ended = verify(&copy, &[&shared, &one], &history.vkey(), &[]);
    let ended = ended.fails_in_a_line(1, &["does not extend 1 checkpoint"]);
    assert!(ended.text().contains("extended: ") && ended.text().contains("shared"), "{}", ended.text());
    assert!(
        said(&ended).starts_with("rewritten: ") && said(&ended).contains("one: the first 132 of"),
        "{}",
        said(&ended)
    );
}

#[test]
fn damage_takes_what_lies_behind_it_and_nothing_before() {
    let place = written();
    let history = place.history();
    let [before, behind] =
        [30, 102].map(|size| place.write(&format!("kept.{size}"), &history.checkpoint(size).sign(&signer())));
    flip(&place.segment(1), find(&place.segment(1), b"record number 060"));
    let json = place.path("v.json");
    let ended = verify(&place.data(), &[&before], &history.vkey(), &["--json", json.to_str().unwrap()]);
    let ended = ended.fails_in_a_line(1, &["1 place is damaged"]);
    assert!(said(&ended).starts_with("extended: "), "{}", said(&ended));
    let tree = &place.json("v.json")["trees"][0];
    let size = tree["size"].as_u64().unwrap();
    assert!((30..=62).contains(&size) && tree["broken"] == true, "{tree}");
    assert_eq!(tree["root"], history.checkpoint(size).root.to_base64(), "of what is whole");
    let ended = verify(&place.data(), &[&behind], &history.vkey(), &[]);
    let ended = ended.fails_in_a_line(1, &["1 place is damaged", "does not extend 1 checkpoint"]);
    assert!(said(&ended).starts_with("damaged: ") && said(&ended).contains("of the 102 records"), "{}", said(&ended));
}

#[test]
fn another_engine_s_directory_is_not_the_log_that_was_signed() {
    let (place, other) = (written(), written());
    let kept = place.write("kept", &place.history().checkpoint(50).sign(&signer()));
    let ended = verify(&other.data(), &[&kept], &place.history().vkey(), &[]).fails_in_a_line(1, &["does not extend"]);
    assert!(said(&ended).starts_with("elsewhere: "), "{}", said(&ended));
    // Without a manifest the segments say whose they are.
    for copy in ["manifest.a", "manifest.b"] {
        fs::remove_file(other.data().join(copy)).unwrap();
    }
    let ended = verify(&other.data(), &[&kept], &place.history().vkey(), &[]);
    assert!(said(&ended).starts_with("elsewhere: "), "{}", said(&ended));
}

#[test]
fn a_copy_that_may_only_be_read_and_has_no_manifest_will_do() {
    let place = written();
    let history = place.history();
    let kept = place.write("kept", &history.checkpoint(77).sign(&signer()));
    let copy = place.copy_as("copy");
    for name in ["manifest.a", "manifest.b", "LOCK"] {
        fs::remove_file(copy.join(name)).unwrap();
    }
    let before = fs::read_dir(&copy).unwrap().count();
    let ended = verify(&copy, &[&kept], &history.vkey(), &[]).fails_in_a_line(1, &["2 places are damaged"]);
    assert!(said(&ended).starts_with("extended: "), "{}", said(&ended));
    assert_eq!(fs::read_dir(&copy).unwrap().count(), before, "nothing is left behind");
}

#[test]
fn what_is_no_checkpoint_of_the_pinned_key_is_refused_before_the_log_is_read() {
    let place = written();
    let history = place.history();
    let (good, key) = (history.checkpoint(50).sign(&signer()), history.vkey());
    let refused = |text: &str, code, words: &[&str]| {
        let kept = place.write("kept", text);
        let ended = verify(&place.data(), &[&kept], &key, &[]).fails_in_a_line(code, words);
        assert_eq!(ended.text(), "", "nothing was verified");
    };
    let other = Checkpoint { origin: Origin { tenant: 1, ..history.origin() }, ..history.checkpoint(50) };
    refused(&other.sign(&signer()), 1, &["line 1: the origin is diatreme/", "the pinned key is of diatreme/"]);
    let stranger = crypto::note::Signer::from_seed(&[1; 32]);
    refused(&history.checkpoint(50).sign(&stranger), 1, &["no signature is by the pinned key"]);
    refused(&good.replace("\n50\n", "\n51\n"), 1, &["line 6: the signature", "does not fit"]);
    refused(&good.replace("— ", ""), 1, &["line 6: expected a signature"]);
    refused("", 1, &["line 1: expected"]);
    refused(&"x".repeat(300_000), 1, &["are more than the 262144 that are read"]);
    let data = place.data();
    verify(&data, &["/nowhere/kept"], &key, &[]).fails_in_a_line(2, &["cannot read /nowhere/kept"]);
    let kept = place.write("kept", &good);
    verify(&data, &[&kept], &key[..key.len() - 1], &[]).fails_with(2, &["--key", "not a key"]);
    place.run("verify", &["--checkpoint", &kept]).fails_with(2, &["--key"]);
    place.run("verify", &["--key", &key]).fails_with(2, &["--checkpoint"]);
}
