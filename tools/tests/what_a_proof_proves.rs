//! `diatreme proof verify` takes the proofs of a real log and refuses them with anything changed, without the log.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::history::{TIME, signer};
use harness::{Ended, Place, run};

fn written() -> Place {
    let place = Place::new();
    let lines: String = (0..40).map(|number| format!("record number {number:02}\n")).collect();
    place.ingest(lines.as_bytes(), &[]).succeeds();
    place
}

fn prove(proof: &str, key: &str, more: &[&str]) -> Ended {
    run([&["proof", "verify", proof, "--key", key], more].concat(), b"")
}

#[test]
fn a_record_is_proven_to_be_in_the_tenant_s_history() {
    let place = written();
    let history = place.history();
    let proof = place.write("record.tlog-proof", &history.inclusion(12, 42).encode());
    let json = place.path("proven.json");
    std::fs::remove_dir_all(place.data()).unwrap();
    let ended = prove(&proof, &history.vkey(), &["--json", json.to_str().unwrap()]).succeeds();
    for line in ["proven  ", "number 12 of the 42", "stream  ", "offset  ", "payload bytes  16", "sealed  "] {
        let squeezed = ended.text().split_whitespace().collect::<Vec<_>>().join(" ");
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(&line), "{line:?} is not in {}", ended.text());
    }
    let report = place.json("proven.json");
    assert_eq!(report["proven"], "inclusion");
    assert_eq!(report["origin"], history.origin().to_string());
    let expected = [("index", 12), ("size", 42), ("stream", 1), ("offset", 10), ("kind", 1), ("payload_bytes", 16)];
    for (name, value) in expected {
        assert_eq!(report[name], value, "{name}");
    }
    assert_eq!((&report["time"], &report["sealed_by"]), (&TIME.into(), &serde_json::Value::Null));
    assert!(report["timestamp"].as_u64().unwrap() > TIME);
}

#[test]
fn every_record_is_proven_in_every_checkpoint() {
    let place = written();
    let history = place.history();
    for (index, size) in [(0, 1), (0, 42), (1, 42), (31, 32), (32, 33), (41, 42)] {
        let proof = place.write("proof", &history.inclusion(index, size).encode());
        prove(&proof, &history.vkey(), &[]).succeeds();
    }
}

#[test]
fn a_newer_checkpoint_is_proven_to_extend_the_kept_one() {
    let place = written();
    let history = place.history();
    for (old, new) in [(0, 42), (1, 42), (13, 42), (32, 42), (42, 42), (5, 6)] {
        let proof = place.write("proof", &history.consistency(old, new).encode());
        let kept = place.write("kept", &history.checkpoint(old).sign(&signer()));
        let ended = prove(&proof, &history.vkey(), &["--old", &kept]).succeeds();
        assert!(ended.text().contains("begins with the one that was kept"), "{}", ended.text());
        assert!(ended.text().contains(&format!("{old}, signed at {TIME}")), "{}", ended.text());
    }
    let proof = place.write("proof", &history.consistency(13, 42).encode());
    let kept = place.write("kept", &history.checkpoint(14).sign(&signer()));
    prove(&proof, &history.vkey(), &["--old", &kept]).fails_in_a_line(1, &["line 1", "from size 13", "has size 14"]);
}

#[test]
fn what_was_altered_proves_nothing() {
    let place = written();
    let history = place.history();
    let key = history.vkey();
    let good = history.inclusion(12, 42);
    let refused = |text: &str, words: &[&str]| {
        let proof = place.write("proof", text);
        let ended = prove(&proof, &key, &[]).fails_in_a_line(1, &[&["nothing is proven"], words].concat());
        assert_eq!(ended.text(), "");
    };
    let mut proof = good.clone();
    *proof.record.last_mut().unwrap() ^= 1;
    refused(&proof.encode(), &["do not lead from the record to the root"]);
    refused(&good.encode().replace("\nindex 12\n", "\nindex 13\n"), &["own position is 12"]);
    refused(&good.encode().replace("\n42\n", "\n43\n"), &["the signature under the name of", "does not fit"]);
    refused(&good.encode().replace("\nindex ", "\nindex  "), &["line 3: expected index"]);
    refused(&good.encode().replace("@v1", "@v2"), &["line 1: expected"]);
    refused("hello\n", &["line 1: expected `c2sp.org/tlog-proof@v1` or `old`"]);
    refused("", &["line 1"]);
    let other = crypto::note::Signer::from_seed(&[1; 32]);
    let key_of_other = other.verifier(&history.origin().to_string()).unwrap().to_string();
    let proof = place.write("proof", &good.encode());
    prove(&proof, &key_of_other, &[]).fails_in_a_line(1, &["no signature is by the pinned key"]);
}

#[test]
fn what_cannot_be_asked_is_wrong_usage() {
    let place = written();
    let history = place.history();
    let key = history.vkey();
    let inclusion = place.write("inclusion", &history.inclusion(12, 42).encode());
    let consistency = place.write("consistency", &history.consistency(12, 42).encode());
    prove(&consistency, &key, &[]).fails_in_a_line(2, &["proof of consistency", "--old"]);
    prove(&inclusion, &key, &["--old", &consistency]).fails_in_a_line(2, &["proof of inclusion", "--old"]);
    prove("/nowhere/proof", &key, &[]).fails_in_a_line(2, &["cannot read /nowhere/proof"]);
    prove(&consistency, &key, &["--old", "/nowhere/kept"]).fails_in_a_line(2, &["cannot read /nowhere/kept"]);
    prove(&inclusion, "acme+12345678+AAAA", &[]).fails_with(2, &["--key", "not a key as name+id+base64"]);
    run(["proof", "verify", &inclusion], b"").fails_with(2, &["--key"]);
    assert_eq!(run(["proof"], b"").code, 2);
}
