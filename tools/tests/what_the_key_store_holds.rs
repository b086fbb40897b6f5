//! `keygen` and `keys`: what is made, shown and wrapped again, and that nothing which is printed holds a key.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Ended, Place, run, run_unread};
use keys::{KeyStore, MasterSource, NewMaster};
use std::fs;
use std::path::PathBuf;

const TENANT: u64 = 0xac3e;

struct Store(Place);

impl Store {
    /// A store with a retired key, a stream's own, and an erased one.
    fn new() -> Store {
        let store = Store(Place::new());
        run(["keygen", store.text("master.key").as_str()], b"").succeeds();
        let mut keys = KeyStore::create(&store.path(), &[7; 16], &store.master()).unwrap();
        keys.add_many(&[(TENANT, 0), (TENANT, 0), (TENANT, 5), (1, 0)]).unwrap();
        keys.retire(TENANT, 1).unwrap();
        keys.erase(1, None, NewMaster::InPlace).unwrap();
        store
    }

    fn path(&self) -> PathBuf {
        self.0.path("data.keys")
    }

    fn text(&self, name: &str) -> String {
        self.0.path(name).to_str().unwrap().to_owned()
    }

    fn source(&self, name: &str) -> String {
        format!("file:{}", self.text(name))
    }

    fn master(&self) -> MasterSource {
        self.source("master.key").parse().unwrap()
    }

    fn run(&self, command: &str, master: &str, more: &[&str]) -> Ended {
        let store = self.text("data.keys");
        let all = ["keys", command, "--key-store", &store, "--master-key", master];
        run(all.iter().chain(more), b"")
    }
}

#[test]
fn a_store_is_shown_without_its_keys() {
    let store = Store::new();
    let shown = store.run("show", &store.source("master.key"), &["--json", &store.text("keys.json")]).succeeds();
    let lines: Vec<&str> = shown.text().lines().collect();
    assert!(lines[0].starts_with(&format!("key store of engine {}: generation ", "07".repeat(16))), "{}", lines[0]);
    assert!(lines[0].ends_with(", 4 keys"));
    assert!(lines[2].starts_with("tenant") && lines.len() == 7, "{}", shown.text());
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[3])[..4], ["0000000000000001", "1", "-", "erased"]);
    assert_eq!(words(lines[4])[..4], ["000000000000ac3e", "1", "-", "retired"]);
    assert_eq!(words(lines[6])[..4], ["000000000000ac3e", "3", "5", "current"]);
    let report = store.0.json("keys.json");
    assert_eq!(report["keys"].as_array().unwrap().len(), 4);
    assert_eq!((&report["keys"][3]["stream"], &report["keys"][3]["state"]), (&5.into(), &"current".into()));
    assert!(report["keys"][0]["erased_ns"].as_u64() >= report["keys"][0]["created_ns"].as_u64());
    // Neither holds a key, nor the master key.
    let keys = KeyStore::open(&store.path(), &[7; 16], &store.master()).unwrap();
    let secrets = keys.keys().filter_map(|info| info.key.map(|key| *key.expose()));
    let texts = [shown.text().to_owned(), fs::read_to_string(store.0.path("keys.json")).unwrap()];
    let master = fs::read_to_string(store.0.path("master.key")).unwrap();
    for secret in secrets.map(|key| hex(&key)).chain([master.trim().to_owned()]) {
        assert!(texts.iter().all(|text| !text.contains(&secret[..16])));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn another_master_key_opens_the_store_and_the_old_one_does_not() {
    let store = Store::new();
    let (old, new) = (store.source("master.key"), store.source("next.key"));
    run(["keygen", store.text("next.key").as_str()], b"").succeeds();
    let rotated = store.run("rotate-master", &old, &["--new-master-key", &new]).succeeds();
    assert!(rotated.text().contains("3 keys wrapped under file:") && rotated.text().contains("destroy it when"));
    store.run("show", &old, &[]).fails_in_a_line(1, &["data.keys/keys", "another key, or the store was altered"]);
    store.run("show", &new, &[]).succeeds();
    store.run("rotate-master", &new, &["--new-master-key", &new]).fails_in_a_line(2, &["next.key", "already"]);
}

#[test]
fn what_cannot_be_is_said_and_no_key_is_repeated() {
    let store = Store::new();
    let master = store.text("master.key");
    run(["keygen", &master], b"").fails_in_a_line(2, &["master.key", "is there already", "another file"]);
    run(["keygen", "/nowhere/master.key"], b"").fails_in_a_line(1, &["cannot make /nowhere/master.key"]);
    let digits = fs::read_to_string(&master).unwrap().trim().to_owned();
    for wrong in [digits.clone(), format!("env:{digits}")] {
        let ended = store.run("show", &wrong, &[]).fails_in_a_line(2, &["--master-key: "]);
        assert!(!ended.err.contains(&digits[..8]));
        let new = ["--new-master-key", &wrong];
        let ended = store.run("rotate-master", &store.source("master.key"), &new);
        assert!(!ended.fails_in_a_line(2, &["--new-master-key: "]).err.contains(&digits[..8]));
    }
    store.run("show", &store.source("nowhere"), &[]).fails_in_a_line(2, &["nowhere", "cannot read it"]);
    let open = KeyStore::open(&store.path(), &[7; 16], &store.master()).unwrap();
    store.run("show", &store.source("master.key"), &[]).fails_in_a_line(1, &["LOCK", "another process"]);
    drop(open);
    run(["keys", "show", "--key-store", "/nowhere", "--master-key", "env:X"], b"")
        .fails_in_a_line(2, &["/nowhere/keys", "no key store here"]);
    fs::write(store.path().join("keys"), b"short").unwrap();
    store.run("show", &store.source("master.key"), &[]).fails_in_a_line(1, &["data.keys/keys", "cut", "backup"]);
}

#[test]
fn nobody_needs_to_read_the_list() {
    let store = Store::new();
    let (path, master) = (store.text("data.keys"), store.source("master.key"));
    run_unread(["keys", "show", "--key-store", &path, "--master-key", &master]).succeeds();
}
