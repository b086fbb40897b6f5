//! A master key comes from where it was said, or an error says why not; and no error shows what it found.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use diatreme_keys::{Error, KeyStore, MasterSource, NoSource, SourceFault, generate_master_file};
use harness::{ENGINE, Place, says};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEY: [u8; 32] = *b"0\xfe-key of thirty-two raw bytes.\n";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn source(text: &str) -> MasterSource {
    text.parse().unwrap()
}

fn file(place: &Place, bytes: &[u8]) -> PathBuf {
    let path = place.path("a key");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn fault(source: &MasterSource) -> SourceFault {
    source.read().unwrap_err().fault
}

#[test]
fn a_file_holds_bytes_or_digits() {
    let place = Place::new();
    let digits = hex(&KEY);
    let texts = [digits.clone(), format!("{digits}\n"), format!("{digits}\r\n"), digits.to_uppercase()];
    for bytes in texts.iter().map(String::as_bytes).chain([&KEY[..]]) {
        let path = file(&place, bytes);
        assert_eq!(MasterSource::File(path).read().unwrap().expose(), &KEY, "{bytes:?}");
    }
}

#[test]
fn a_file_that_holds_no_key_is_refused() {
    let place = Place::new();
    let of = |bytes: &[u8]| MasterSource::File(file(&place, bytes)).read().unwrap_err();
    let wanted = "32 bytes, or 64 hexadecimal digits";
    says(&of(b""), &["a key", "0 bytes", wanted]);
    says(&of(&[1; 31]), &["31 bytes"]);
    says(&of(&[1; 33]), &["33 bytes"]);
    says(&of(&[b'a'; 65]), &["65 bytes"]);
    says(&of(&[b'a'; 1 << 16]), &["65536 bytes", wanted]);
    says(&of(format!(" {}", &hex(&KEY)[1..]).as_bytes()), &["not hexadecimal digits", wanted]);
    says(&of(format!("{}é", &hex(&KEY)[..62]).as_bytes()), &["not hexadecimal digits"]);
    says(&of(&hex(&KEY).as_bytes()[..32]), &["32 hexadecimal digits are half a key"]);
    for destroyed in [&[0; 32][..], &[0; 64], &[0; 65], &[b'0'; 64]] {
        says(&of(destroyed), &["all zeros", "destroyed"]);
    }
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let place = Place::new();
    let path = place.path("master.key");
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o644, 0o640, 0o620, 0o604, 0o610, 0o601, 0o666] {
        mode(open);
        let error = place.source("master.key").read().unwrap_err();
        says(&error, &["master.key", &format!("mode 0{open:o}"), "chmod 600"]);
    }
    for closed in [0o600, 0o400, 0o700] {
        mode(closed);
        place.source("master.key").read().unwrap();
    }
    // A store is neither made nor opened with it, and says the same.
    mode(0o644);
    let error = KeyStore::create(&place.store(), &ENGINE, &place.source("master.key")).unwrap_err();
    says(&error, &["chmod 600"]);
    assert!(!place.store().exists());
}

#[test]
fn what_is_no_file_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("directory")).unwrap();
    says(&place.source("directory").read().unwrap_err(), &["directory", "not a file"]);
    says(&source("file:/dev/zero").read().unwrap_err(), &["/dev/zero", "not a file"]);
    // To open it would wait for whoever writes.
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    assert!(matches!(fault(&place.source("pipe")), SourceFault::NotAFile));
    says(&place.source("nowhere").read().unwrap_err(), &["nowhere", "cannot read it"]);
}

#[test]
fn a_command_prints_the_key_and_what_else_it_says_is_not_ours() {
    let place = Place::new();
    let path = file(&place, format!("{}\n", hex(&KEY)).as_bytes());
    fs::rename(path, place.path("key")).unwrap();
    let script = |name: &str, text: &str| {
        fs::write(place.path(name), format!("key={}\n{text}\n", place.path("key").display())).unwrap();
        source(&format!("command:sh {}", place.path(name).display()))
    };
    let cat = source(&format!("command:cat {}", place.path("key").display()));
    assert_eq!(cat.read().unwrap().expose(), &KEY);
    assert_eq!(script("talks", "echo warning >&2; cat $key; echo more >&2").read().unwrap().expose(), &KEY);
    let error = script("fails", "cat $key; cat $key >&2; exit 3").read().unwrap_err();
    says(&error, &["command:sh …", "exit status: 3", "by hand"]);
    assert!(!error.to_string().contains(&hex(&KEY)[..8]) && !format!("{error:?}").contains(&hex(&KEY)[..8]));
    assert!(!error.to_string().contains("fails"), "an argument may be a secret");
    says(&script("dies", "kill -9 $$").read().unwrap_err(), &["signal: 9"]);
    assert!(matches!(fault(&script("silent", "true")), SourceFault::Length { found: 0 }));
    // More than a key, without end: it is not waited for.
    assert!(matches!(fault(&script("endless", "exec yes")), SourceFault::Length { .. }));
    assert!(matches!(fault(&script("raw", "head -c 32 /dev/zero | tr '\\0' x")), SourceFault::Length { found: 32 }));
    says(&source("command:/no/such/program x").read().unwrap_err(), &["command:/no/such/program …", "cannot start it"]);
    // It has nothing to read, and does not wait for a terminal.
    assert!(matches!(fault(&script("asks", "cat")), SourceFault::Length { found: 0 }));
}

/// A process has one environment, and other threads read it: what is set is set for a process of its own.
#[test]
fn the_environment_names_a_key_or_where_credentials_are() {
    let place = Place::new();
    let credentials = place.path("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("master"), KEY).unwrap();
    // systemd shows the mask of an access list as the group's rights.
    fs::set_permissions(credentials.join("master"), fs::Permissions::from_mode(0o440)).unwrap();
    fs::write(credentials.join("short"), [1; 5]).unwrap();
    let run = |set: &[(&str, &str)]| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "in_a_process_of_its_own", "--ignored"]).env_remove("CREDENTIALS_DIRECTORY");
        let output = child.env("EXPECTED", hex(&KEY)).envs(set.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    let directory = credentials.to_str().unwrap();
    let digits = hex(&KEY);
    run(&[("SOURCE", "env:OUR_KEY"), ("OUR_KEY", &digits)]);
    run(&[("SOURCE", "env:OUR_KEY"), ("FAILS", "env:OUR_KEY: there is no such environment variable")]);
    run(&[
        ("SOURCE", "env:OUR_KEY"),
        ("OUR_KEY", "secret"),
        ("FAILS", "6 bytes; a master key is 64 hexadecimal digits"),
    ]);
    run(&[("SOURCE", "credential:master"), ("CREDENTIALS_DIRECTORY", directory)]);
    run(&[("SOURCE", "credential:master"), ("FAILS", "$CREDENTIALS_DIRECTORY is not set")]);
    run(&[("SOURCE", "credential:other"), ("CREDENTIALS_DIRECTORY", directory), ("FAILS", "cannot read it")]);
    run(&[("SOURCE", "credential:short"), ("CREDENTIALS_DIRECTORY", directory), ("FAILS", "5 bytes")]);
}

#[test]
#[ignore = "called by the test above, in a process of its own"]
fn in_a_process_of_its_own() {
    let variable = |name| std::env::var(name).ok();
    let read = source(&variable("SOURCE").unwrap()).read();
    match (read, variable("FAILS")) {
        (Ok(key), None) => assert_eq!(hex(key.expose()), variable("EXPECTED").unwrap()),
        (Err(error), Some(words)) => {
            says(&error, &[&words]);
            assert!(!error.to_string().contains("secret"));
        }
        (read, fails) => panic!("{:?} {fails:?}", read.map(drop)),
    }
}

#[test]
fn a_text_that_names_no_source_is_not_repeated() {
    let key = hex(&KEY);
    let parse = |text: &str| text.parse::<MasterSource>();
    for text in ["", "master.key", "File:x", "vault:x", &key] {
        let error = parse(text).unwrap_err();
        says(&error, &["file:PATH, env:NAME, credential:NAME or command:PROGRAM"]);
        assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
    }
    for kind in ["file", "env", "credential", "command"] {
        let error = parse(&format!("{kind}:{key}")).unwrap_err();
        assert_eq!(error, NoSource::IsKey);
        says(&error, &["this is a key", "do not use it again"]);
        assert!(!error.to_string().contains(&key[..8]));
        says(&parse(&format!("{kind}:")).unwrap_err(), &[kind, "wants"]);
    }
    for wrong in ["env:A=B", "credential:../x", "credential:a/b", "credential:..", "command:  "] {
        assert!(matches!(parse(wrong), Err(NoSource::Name(_))), "{wrong}");
    }
    for right in ["file:/etc/a b", "env:KEY", "credential:master"] {
        assert_eq!(parse(right).unwrap().to_string(), right);
    }
    let command = parse("command:vault read  --token=abc key").unwrap();
    assert_eq!(command.to_string(), "command:vault …");
    assert!(!format!("{command:?}").contains("abc"));
    assert_eq!(command, MasterSource::Command(["vault", "read", "--token=abc", "key"].map(String::from).into()));
}

#[test]
fn a_new_master_key_never_takes_the_place_of_one() {
    let place = Place::new();
    let path = place.path("master.key");
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.len() == 65 && text.ends_with('\n') && fs::metadata(&path).unwrap().permissions().mode() & 0o777 == 0o600
    );
    let error = generate_master_file(&path).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    generate_master_file(&place.path("second.key")).unwrap();
    assert_ne!(fs::read_to_string(place.path("second.key")).unwrap(), text);
    assert!(generate_master_file(Path::new("/nowhere/master.key")).is_err());
}

/// Whoever opens is told of the source, not of the store.
#[test]
fn an_opening_says_what_is_wrong_with_the_source() {
    let place = Place::with_keys();
    fs::remove_file(place.path("master.key")).unwrap();
    let error = place.open().unwrap_err();
    assert!(matches!(error, Error::Source(_)));
    says(&error, &["master key from file:", "master.key"]);
}
