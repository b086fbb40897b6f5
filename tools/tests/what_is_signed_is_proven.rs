//! `diatreme checkpoint` and `diatreme prove`: what they write is believed by whoever has the pinned key, and by nobody else.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use crypto::note::{Checkpoint, ConsistencyProof, InclusionProof, Verifier};
use diatreme::{Cores, Engine};
use harness::{Ended, Place};
use keys::{KeyStore, MasterSource, generate_master_file};
use std::fs;
use std::path::Path;

const PAYLOAD: &str = "record number ";

/// Appends records to a stream of each of two tenants.
fn write(data: &Path, count: usize) {
    fs::create_dir_all(data).unwrap();
    let engine = Engine::builder(data).unencrypted().shards(1).cores(Cores::Unpinned).segment_bytes(4 << 20);
    let engine = engine.open().unwrap();
    let mut client = engine.client();
    for tenant in ["acme", "bolt"] {
        let stream = client.ensure_stream(tenant, "audit").unwrap();
        let first = client.head(&stream).unwrap().next as usize;
        for at in first..first + count {
            client.append(&stream, format!("{PAYLOAD}{at}").as_bytes()).unwrap();
        }
    }
    drop(client);
    engine.close().unwrap();
}

/// A data directory with a key store beside it, and its master key.
fn written() -> (Place, String) {
    let place = Place::new();
    write(&place.data(), 30);
    let mut source = String::new();
    for name in ["other-master", "master"] {
        generate_master_file(&place.path(name)).unwrap();
        source = format!("file:{}", place.path(name).display());
    }
    let mut arena = iobackend::Arena::new(log::SCAN_BUFFER_BYTES).unwrap();
    let mut buffer = log::scan_buffer(&mut arena);
    let config = iobackend::BackendConfig { mode: diatreme::Mode::Sync, ..iobackend::BackendConfig::new(place.data()) };
    let mut backend = iobackend::open(&config, &arena).unwrap();
    let manifest = log::read_manifest(&mut backend, &mut buffer).unwrap().manifest.unwrap();
    let master: MasterSource = source.parse().unwrap();
    KeyStore::create(&place.path("data.keys"), &manifest.engine, &master).unwrap();
    (place, source)
}

fn checkpoint(place: &Place, source: &str, args: &[&str]) -> Ended {
    place.run("checkpoint", &[&["--master-key", source][..], args].concat())
}

/// The key that a checkpoint's report tells to pin, and the checkpoint on file.
fn pinned(place: &Place, report: &str, tenant: &str) -> (Verifier, String) {
    let report = place.json(report);
    let lines = report["checkpoints"].as_array().unwrap();
    let line = lines.iter().find(|line| line["tenant_name"] == tenant).unwrap();
    let note = fs::read_to_string(place.data().join(line["file"].as_str().unwrap())).unwrap();
    (line["vkey"].as_str().unwrap().parse().unwrap(), note)
}

fn prove(place: &Place, args: &[&str]) -> Ended {
    let (kind, rest) = args.split_first().unwrap();
    let data = place.data();
    harness::run(["prove", kind, "--data-dir", data.to_str().unwrap()].iter().chain(rest), b"")
}

#[test]
fn records_and_growth_are_proven() {
    let (place, source) = written();
    let json = place.path("first.json");
    let ended = checkpoint(&place, &source, &["--json", json.to_str().unwrap()]).succeeds();
    assert!(ended.text().contains("acme") && ended.text().contains("bolt"), "{}", ended.text());
    let (key, first) = pinned(&place, "first.json", "acme");
    let (other, _) = pinned(&place, "first.json", "bolt");
    let kept = Checkpoint::open(first.as_bytes(), &key).unwrap();
    assert_eq!(kept.size, 32);
    assert!(ended.text().contains(&key.to_string()));

    let ended = prove(&place, &["inclusion", "--tenant", "acme", "--stream", "audit", "--offset", "7"]).succeeds();
    let proof = InclusionProof::decode(&ended.out).unwrap();
    assert_eq!(proof.verify(&key).unwrap().record.payload, format!("{PAYLOAD}7").as_bytes());
    assert!(proof.verify(&other).is_err());

    write(&place.data(), 5);
    checkpoint(&place, &source, &["--tenant", "acme"]).succeeds();
    let (old, out) = (place.path("old"), place.path("proof"));
    fs::write(&old, &first).unwrap();
    let args = ["consistency", "--tenant", "acme", "--old", old.to_str().unwrap(), "--out", out.to_str().unwrap()];
    prove(&place, &args).succeeds();
    let proof = ConsistencyProof::decode(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(proof.verify(&kept, &key).unwrap().size, 37);
    // The other tenant's newest is the old one.
    let ended = prove(&place, &["inclusion", "--tenant", "bolt", "--stream", "audit", "--offset", "31"]);
    ended.fails_in_a_line(1, &["does not cover it yet", "32 records"]);
}

#[test]
fn what_is_wrong_is_said() {
    let (place, source) = written();
    let asked = ["inclusion", "--tenant", "acme", "--stream", "audit", "--offset", "3"];
    prove(&place, &asked).fails_in_a_line(1, &["no checkpoint was signed yet"]);
    place.run("checkpoint", &[]).fails_in_a_line(2, &["--master-key"]);
    let other = format!("file:{}", place.path("other-master").display());
    checkpoint(&place, &other, &[]).fails_in_a_line(1, &["does not open this key store"]);
    checkpoint(&place, &source, &["--key-store", "/nowhere"]).fails_in_a_line(1, &["there is no key store here"]);
    assert!(!place.data().join("notary").join("state").exists(), "nothing was done with the wrong key");
    checkpoint(&place, &source, &["--tenant", "nobody"]).fails_in_a_line(1, &["no records of tenant"]);
    checkpoint(&place, &source, &[]).succeeds();
    for (args, words) in [
        (["nobody", "audit", "3"], "no tenant \"nobody\""),
        (["acme", "other", "3"], "no stream \"other\""),
        (["acme", "audit", "30"], "no intact frame holds it"),
    ] {
        let ended = prove(&place, &["inclusion", "--tenant", args[0], "--stream", args[1], "--offset", args[2]]);
        ended.fails_in_a_line(1, &[words]);
    }
    let kept = place.path("kept");
    fs::write(&kept, "something else\n").unwrap();
    let args = ["consistency", "--tenant", "acme", "--old", kept.to_str().unwrap()];
    prove(&place, &args).fails_in_a_line(1, &["no checkpoint of tenant"]);
}

#[test]
fn a_restored_copy_is_refused_until_it_is_re_anchored() {
    let (place, source) = written();
    checkpoint(&place, &source, &[]).succeeds();
    let older = place.path("older");
    copy(&place.data(), &older);
    write(&place.data(), 5);
    checkpoint(&place, &source, &[]).succeeds();
    fs::remove_dir_all(place.data()).unwrap();
    copy(&older, &place.data());
    let ended = checkpoint(&place, &source, &[]).fails_in_a_line(1, &["restored from an older copy", "re-anchor"]);
    assert!(ended.text().contains("not signed: "), "{}", ended.text());
    let ended = checkpoint(&place, &source, &["--re-anchor"]).succeeds();
    assert!(ended.text().contains("acme was re-anchored, 1 time"), "{}", ended.text());
    checkpoint(&place, &source, &[]).succeeds();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}
