//! `tenant` and `stream`: what is made, listed and erased; what an erasure says, leaves, and destroys.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::{Ended, Place, run, run_in};
use std::fs;
use std::path::Path;

const ACME: [&str; 2] = ["--tenant", "acme"];
const PERSON: [&str; 4] = ["--tenant", "acme", "--stream", "person"];

/// A data directory with a tenant `acme` that has a stream `audit`, and a stream `person` with a key of its own.
struct Site(Place);

impl Site {
    fn new() -> Site {
        let site = Site(Place::new());
        site.0.seal();
        site.0.ingest(b"of the tenant\n", &[]).succeeds();
        site.ingest_person(b"of the person\n", &[]).succeeds();
        site
    }

    fn ingest_person(&self, lines: &[u8], more: &[&str]) -> Ended {
        let args: Vec<_> = PERSON.into_iter().chain(["--erasable", "-"]).chain(more.iter().copied()).collect();
        self.0.run_with("ingest", &args, lines)
    }

    /// Runs `diatreme NOUN VERB` with the keys.
    fn run(&self, noun: &str, verb: &str, args: &[&str]) -> Ended {
        self.run_with(noun, verb, &self.0.keys(), args)
    }

    fn run_with(&self, noun: &str, verb: &str, keys: &[String], args: &[&str]) -> Ended {
        let data = self.0.data();
        let all = [noun, verb, "--data-dir", data.to_str().unwrap()].into_iter();
        run(all.chain(keys.iter().map(String::as_str)).chain(args.iter().copied()), b"")
    }

    fn verify(&self) {
        assert!(
            self.0.run("verify", &[]).succeeds().text().contains("sound: every checksum and every chain link fits")
        );
    }

    fn encryption(&self) -> Vec<(String, String)> {
        let data = self.0.data();
        let json = self.0.path("tenants.json");
        let args = ["tenant", "list", "--data-dir", data.to_str().unwrap(), "--json", json.to_str().unwrap()];
        run(args, b"").succeeds();
        let report = self.0.json("tenants.json");
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let mut all = Vec::new();
        for tenant in report["tenants"].as_array().unwrap() {
            all.push((text(&tenant["name"]), text(&tenant["encryption"])));
            for stream in tenant["streams"].as_array().unwrap() {
                all.push((text(&stream["name"]), text(&stream["encryption"])));
            }
        }
        all
    }

    fn encryption_is(&self, expected: &[(&str, &str)]) {
        let found = self.encryption();
        let found: Vec<_> = found.iter().map(|(name, encryption)| (name.as_str(), encryption.as_str())).collect();
        assert_eq!(found, expected);
    }

    /// Every file of the data directory and the key store.
    fn files(&self) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let stores = fs::read_dir(self.0.path("data.keys")).unwrap().map(|entry| entry.unwrap().path());
        let stores = stores.chain([self.0.path("master.key")]).map(|path| (path.clone(), fs::read(path).unwrap()));
        self.0.contents().into_iter().chain(stores).collect()
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn tenants_are_made_listed_and_get_another_key() {
    let site = Site::new();
    site.encryption_is(&[
        ("acme", "aes-256-gcm, key 1"),
        ("audit", "aes-256-gcm, key 1"),
        ("person", "aes-256-gcm, key 2"),
    ]);
    let json = site.0.path("made.json");
    let made = site.run("tenant", "create", &["--tenant", "other", "--json", json.to_str().unwrap()]).succeeds();
    assert_eq!(made.text(), "tenant \"other\": encryption aes-256-gcm, key 1\n");
    assert_eq!(site.0.json("made.json")["encryption"], "aes-256-gcm, key 1");
    let open = site.run("tenant", "create", &["--tenant", "open", "--unencrypted-tenant"]).succeeds();
    assert_eq!(open.text(), "tenant \"open\": encryption none\n");
    site.run("tenant", "create", &ACME).fails_in_a_line(1, &["tenant \"acme\"", "exists already"]);
    let rotated = site.run("tenant", "rotate-key", &ACME).succeeds();
    assert_eq!(rotated.text(), "tenant \"acme\": encryption aes-256-gcm, key 3\n");
    site.run("tenant", "rotate-key", &["--tenant", "acne"]).fails_in_a_line(1, &["tenant \"acne\"", "no such tenant"]);
    // The number of a tenant's key is not that of its streams' own.
    site.ingest_person(b"again\n", &[]).succeeds();
    site.0.ingest(b"again\n", &["--erasable"]).fails_in_a_line(1, &["stream \"audit\"", "without a key of its own"]);
    let listed = run_in(site.0.path("").as_path(), ["tenant", "list", "--data-dir", "data"]).succeeds();
    let acme = listed.text().lines().find(|line| line.contains("acme")).unwrap().to_owned();
    let words: Vec<_> = acme.split_whitespace().collect();
    assert_eq!(words[1..], ["acme", "aes-256-gcm,", "key", "3", "2", "1", "0"]);
    assert_eq!(site.0.read(&[]).succeeds().text(), "of the tenant\n");
}

#[test]
fn without_yes_nothing_is_touched() {
    let site = Site::new();
    let before = site.files();
    let json = site.0.path("foreseen.json");
    let tenant = site.run("tenant", "erase", &[&ACME[..], &["--json", json.to_str().unwrap()]].concat());
    let tenant = tenant.fails_in_a_line(2, &["nothing was destroyed", "--yes"]);
    for words in ["tenant \"acme\" would be erased", "2 data keys", "the old master key in file:", "would remain"] {
        assert!(tenant.text().contains(words), "{words:?} is not in {}", tenant.text());
    }
    let report = site.0.json("foreseen.json");
    assert_eq!(
        (&report["done"], &report["keys"], &report["old_master_key"]),
        (&false.into(), &2.into(), &"destroyed".into())
    );
    let stream = site.run("stream", "erase", &[&PERSON[..], &["--keep-master-key"]].concat());
    let stream = stream.fails_in_a_line(2, &["nothing was destroyed"]);
    assert!(stream.text().contains("1 data key:") && stream.text().contains("older copy of the key store gives"));
    assert!(site.files() == before, "something was changed");
    assert_eq!(site.0.read(&[]).succeeds().text(), "of the tenant\n");
}

#[test]
fn a_stream_and_a_tenant_are_erased_and_the_rest_stays() {
    let site = Site::new();
    site.0.run_with("ingest", &["--tenant", "other", "--stream", "audit", "-"], b"of the other\n").succeeds();
    copy_directory(&site.0.path("data.keys"), &site.0.path("backup.keys"));
    let json = site.0.path("erased.json");
    let with_json = ["--yes", "--json", json.to_str().unwrap()];

    let erased = site.run("stream", "erase", &[&PERSON[..], &with_json].concat()).succeeds();
    assert!(
        erased.text().starts_with("stream \"person\" of tenant \"acme\" is erased\ndestroyed:\n"),
        "{}",
        erased.text()
    );
    assert_eq!((&site.0.json("erased.json")["keys"], &site.0.json("erased.json")["done"]), (&1.into(), &true.into()));
    site.verify();
    site.0.run("read", &PERSON).fails_in_a_line(1, &["the data is erased"]);
    assert_eq!(site.0.read(&[]).succeeds().text(), "of the tenant\n");

    let erased = site.run("tenant", "erase", &[&ACME[..], &with_json].concat()).succeeds();
    assert!(erased.text().contains("`diatreme verify --data-dir"), "{}", erased.text());
    let report = site.0.json("erased.json");
    assert_eq!((&report["keys"], &report["old_master_key"]), (&1.into(), &"destroyed".into()));
    assert!(report["to_do"].as_array().unwrap().len() >= 3);
    site.verify();
    site.0.read(&["--shards", "3"]).fails_in_a_line(1, &["the data is erased"]);
    let other = site.0.run("read", &["--tenant", "other", "--stream", "audit", "--shards", "2"]).succeeds();
    assert_eq!(other.text(), "of the other\n");
    site.encryption_is(&[
        ("acme", "erased"),
        ("audit", "erased"),
        ("person", "erased"),
        ("other", "aes-256-gcm, key 1"),
        ("audit", "aes-256-gcm, key 1"),
    ]);

    // Once more, as after an interruption: no key is left, and the master key changes again.
    let again = site.run("tenant", "erase", &[&ACME[..], &with_json].concat()).succeeds();
    assert!(again.text().contains("no data key: that was done before"), "{}", again.text());
    assert_eq!(site.0.json("erased.json")["erased_before"], true);

    // A backup of the key store from before opens with no master key that is left.
    let backup =
        [&site.0.keys()[..], &["--key-store".into(), site.0.path("backup.keys").to_str().unwrap().into()]].concat();
    let read = site.run_with("tenant", "rotate-key", &backup, &["--tenant", "other"]);
    read.fails_in_a_line(1, &["backup.keys/keys", "the master key does not open this key store"]);
}

#[test]
fn a_master_key_from_elsewhere_is_its_owners_to_destroy() {
    let site = Site::new();
    let file = site.0.path("master.key");
    let command = vec!["--master-key".to_owned(), format!("command:cat {}", file.display())];
    let erase = |args: &[&str]| site.run_with("stream", "erase", &command, &[&PERSON[..], &["--yes"], args].concat());
    erase(&[]).fails_in_a_line(2, &["command:cat …", "--new-master-key", "--keep-master-key"]);
    erase(&["--new-master-key", "file:/nowhere"]).fails_in_a_line(1, &["nothing is erased", "/nowhere"]);
    let same = format!("file:{}", file.display());
    erase(&["--new-master-key", &same]).fails_in_a_line(1, &["nothing is erased", "already"]);
    assert_eq!(site.0.run("read", &PERSON).succeeds().text(), "of the person\n");

    run_in(&site.0.path(""), ["keygen", "next.key"]).succeeds();
    let next = format!("file:{}", site.0.path("next.key").display());
    let erased = erase(&["--new-master-key", &next]).succeeds();
    assert!(
        erased.text().contains("destroy the old master key wherever command:cat … has it from"),
        "{}",
        erased.text()
    );
    assert!(file.exists());
    fs::rename(site.0.path("next.key"), &file).unwrap();
    site.0.run("read", &PERSON).fails_in_a_line(1, &["the data is erased"]);
    assert_eq!(site.0.read(&[]).succeeds().text(), "of the tenant\n");
}

#[test]
fn what_was_in_the_clear_stays_so_and_is_told() {
    let site = Site::new();
    site.run("tenant", "create", &["--tenant", "late", "--unencrypted-tenant"]).succeeds();
    let late = ["--tenant", "late", "--stream", "audit"];
    site.0.run_with("ingest", &[&late[..], &["-"]].concat(), b"in the clear\n").succeeds();
    site.run("tenant", "erase", &["--tenant", "late"]).fails_in_a_line(1, &["tenant \"late\" is not encrypted"]);
    site.run("tenant", "rotate-key", &["--tenant", "late"]).succeeds();
    let erased = site.run("tenant", "erase", &["--tenant", "late", "--yes"]).succeeds();
    assert!(erased.text().contains("IN THE CLEAR: records with positions below 3,"), "{}", erased.text());
}

#[test]
fn what_cannot_be_erased_is_said() {
    let site = Site::new();
    let erase = |args: &[&str]| site.run("stream", "erase", &[args, &["--yes"]].concat());
    erase(&["--tenant", "acme", "--stream", "audit"])
        .fails_in_a_line(1, &["\"audit\"", "no key of its own", "erase its tenant"]);
    erase(&["--tenant", "acme", "--stream", "nobody"]).fails_in_a_line(1, &["no stream \"nobody\" of tenant \"acme\""]);
    erase(&["--tenant", "acne", "--stream", "audit"]).fails_in_a_line(1, &["no tenant \"acne\""]);
    let without = site.run_with("tenant", "erase", &["--unencrypted".into()], &[&ACME[..], &["--yes"]].concat());
    without.fails_in_a_line(2, &["needs the key store", "--master-key"]);
    let both = ["--new-master-key", "env:X", "--keep-master-key"];
    site.run("tenant", "erase", &[&ACME[..], &both].concat()).fails_with(2, &["--keep-master-key", "--new-master-key"]);
    // Whoever gives a key where its place is wanted does not see it repeated.
    let digits = "0123456789abcdef".repeat(4);
    let ended = site.run("tenant", "erase", &[&ACME[..], &["--new-master-key", &digits]].concat());
    assert!(!ended.fails_with(2, &["--new-master-key: "]).err.contains(&digits[..16]));
    assert_eq!(site.0.run("read", &PERSON).succeeds().text(), "of the person\n");
}

/// The limit of core dumps is what a program inherits that a command starts: the one that prints the master key.
#[cfg(target_os = "linux")]
#[test]
fn a_command_that_gets_a_key_leaves_no_core_dump() {
    let site = Site::new();
    let script = site.0.path("key.sh");
    let [master, seen] = ["master.key", "seen"].map(|name| site.0.path(name).display().to_string());
    fs::write(&script, format!("ulimit -Hc > {seen}; cat {master}")).unwrap();
    let keys = vec!["--master-key".to_owned(), format!("command:sh {}", script.display())];
    site.run_with("tenant", "create", &keys, &["--tenant", "other"]).succeeds();
    assert_eq!(fs::read_to_string(&seen).unwrap(), "0\n");
}
