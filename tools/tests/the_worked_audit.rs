//! The audit that docs/security.md works through, as it stands there.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;
mod two_verifiers;

use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/security.md");
const EVENTS: &str = include_str!("../../samples/audit.jsonl");

/// What the directories that were tampered with are caught by: a sentence of each verifier.
const CAUGHT: [&str; 5] = ["edited", "cut", "older", "forked", "rewritten"];

#[test]
fn the_audit_of_the_docs_goes_as_it_says() {
    let Some(python) = two_verifiers::python() else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let events: Vec<&str> = EVENTS.lines().collect();
    for (name, events) in [("day-1.jsonl", &events[..150]), ("day-2.jsonl", &events[150..])] {
        std::fs::write(root.path().join(name), events.join("\n") + "\n").unwrap();
    }
    let verifier = two_verifiers::folder().join("diatreme_verify.py");
    std::fs::copy(verifier, root.path().join("diatreme_verify.py")).unwrap();

    let (_, section) = PAGE.split_once("## A worked audit").unwrap();
    let (script, _) = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_diatreme")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    // `!` keeps a failure from ending the script, and a success from being seen; so each is turned into a plain failure.
    let script = script.replace("    ! ", "    not ").replace("\n! ", "\nnot ");
    let not = "not() { if \"$@\"; then echo \"not caught: $*\"; exit 1; fi; }\n";
    let script = format!("{not}{script}\necho the audit is done\n");
    let ran = Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(root.path())
        .env("PATH", path)
        .env("PYTHON", python)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out.trim_end().ends_with("the audit is done"), "{out}\n{err}");
    for directory in CAUGHT {
        assert!(out.contains(&format!("== {directory}\n")), "{directory} was not tried");
    }
}
