//! The verifier in Python, as a command and as a process that is asked many questions.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// A Python that runs the verifier; none if there is none here, and then it is said why nothing was tested.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(find_python).as_deref()
}

fn find_python() -> Option<PathBuf> {
    let system = PathBuf::from("python3");
    if !says(&system, "import sys; assert sys.version_info >= (3, 9)") {
        eprintln!("skipped: no python3 of version 3.9 or later (apt-get install python3)");
        return None;
    }
    let signatures = "import cryptography";
    if says(&system, signatures) {
        return Some(system);
    }
    // Not into the system's packages, nor the user's.
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = environment.join("bin/python3");
    if !says(&python, signatures) {
        run(Command::new(&system).args(["-m", "venv", "--clear"]).arg(&environment));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "cryptography"]));
    }
    if says(&python, signatures) {
        return Some(python);
    }
    eprintln!("skipped: no package cryptography for python3 (pip install cryptography)");
    None
}

fn run(command: &mut Command) {
    // Whether it helped is seen after it.
    drop(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status());
}

fn says(python: &Path, code: &str) -> bool {
    let quiet = Command::new(python).args(["-c", code]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// The folder of the verifier.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../audit")
}

/// Runs the verifier as an auditor does.
pub fn command(python: &Path, args: &[&str]) -> crate::harness::Ended {
    let output = Command::new(python).arg(folder().join("diatreme_verify.py")).args(args).output().unwrap();
    crate::harness::ended(&output)
}

/// The verifier, asked one thing after the other: the start of Python would take longer than the answers.
pub struct Auditor {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Auditor {
    pub fn start(python: &Path) -> Auditor {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/two_verifiers/driver.py");
        let mut command = Command::new(python);
        command.arg("-B").arg(driver).arg(folder()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (questions, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Auditor { child, questions, answers }
    }

    pub fn ask(&mut self, question: &Value) {
        writeln!(self.questions.as_mut().unwrap(), "{question}").unwrap();
    }

    pub fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the auditor fell over: see above");
        serde_json::from_str(&line).unwrap()
    }

    pub fn says(&mut self, question: &Value) -> Value {
        self.ask(question);
        self.answer()
    }
}

impl Drop for Auditor {
    fn drop(&mut self) {
        drop(self.questions.take());
        drop(self.child.wait());
    }
}
