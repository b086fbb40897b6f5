//! The built command, run on a directory of its own.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

pub mod history;
pub mod lines;
pub mod mount;
pub mod supervised;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// How the note begins that there is no io_uring here.
const NO_RING: &str = "diatreme: note: synchronous backend: ";

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Ended {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// It did what it was asked, and had nothing to remark.
    #[track_caller]
    pub fn succeeds(self) -> Ended {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", String::from_utf8_lossy(&self.out));
        self
    }

    /// It ended with this code and one line that says all of `words`.
    #[track_caller]
    pub fn fails_with(self, code: i32, words: &[&str]) -> Ended {
        assert_eq!(self.code, code, "{}", self.err);
        assert!(self.err.starts_with("diatreme: "), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {:?}", self.err);
        }
        for leak in ["panicked", "Error {", "Some(", "Os {", "RUST_BACKTRACE"] {
            assert!(!self.err.contains(leak), "{leak:?} is in {:?}", self.err);
        }
        self
    }

    /// As [`fails_with`](Self::fails_with), in a single line.
    #[track_caller]
    pub fn fails_in_a_line(self, code: i32, words: &[&str]) -> Ended {
        let ended = self.fails_with(code, words);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
        ended
    }
}

pub fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diatreme"));
    command.args(args);
    command
}

pub fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>, input: &[u8]) -> Ended {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that fails early does not read its input, and that is no concern of the writer.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    ended(&output)
}

/// Runs a command in a directory.
pub fn run_in(directory: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
    ended(&command(args).current_dir(directory).stdin(Stdio::null()).output().unwrap())
}

/// Runs a command whose reader has left before it prints anything.
pub fn run_unread(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command(args).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    ended(&child.wait_with_output().unwrap())
}

pub fn ended(output: &Output) -> Ended {
    let err = String::from_utf8(output.stderr.clone()).unwrap();
    // Where io_uring is not to be had, commands say so, and do all the same.
    let err = err.split_inclusive('\n').filter(|line| !line.starts_with(NO_RING)).collect();
    Ended { code: output.status.code().unwrap(), out: output.stdout.clone(), err }
}

/// A place for a data directory and for files beside it.
pub struct Place {
    root: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { root: tempfile::tempdir().unwrap() }
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// From now on records are sealed, and opened to be read.
    pub fn seal(&self) {
        run_in(self.root.path(), ["keygen", "master.key"]).succeeds();
    }

    /// How commands that open the engine are told to keep records.
    pub fn keys(&self) -> Vec<String> {
        // The first one is that of a benchmark whose directory is kept.
        let master = ["data.master", "master.key"].map(|name| self.path(name));
        // A benchmark may have been killed while it made its own.
        let whole = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.len() > 0);
        let master = master.into_iter().find(whole);
        match master {
            Some(master) => vec!["--master-key".into(), format!("file:{}", master.display())],
            None => vec!["--unencrypted".into()],
        }
    }

    /// Runs a command on the data directory.
    pub fn run(&self, name: &str, args: &[&str]) -> Ended {
        self.run_with(name, args, b"")
    }

    pub fn run_with(&self, name: &str, args: &[&str], input: &[u8]) -> Ended {
        let data = self.data();
        let keys = if ["ingest", "read"].contains(&name) { self.keys() } else { Vec::new() };
        let mut all: Vec<&OsStr> = vec![name.as_ref(), "--data-dir".as_ref(), data.as_ref()];
        all.extend(args.iter().map(OsStr::new));
        all.extend(keys.iter().map(OsStr::new));
        run(all, input)
    }

    /// Ingests lines into the stream `audit` of the tenant `acme`.
    pub fn ingest(&self, lines: &[u8], args: &[&str]) -> Ended {
        let mut all = vec!["--tenant", "acme", "--stream", "audit", "-"];
        all.extend(args);
        self.run_with("ingest", &all, lines)
    }

    /// Reads that stream.
    pub fn read(&self, args: &[&str]) -> Ended {
        let mut all = vec!["--tenant", "acme", "--stream", "audit"];
        all.extend(args);
        self.run("read", &all)
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    pub fn segment(&self, number: u32) -> PathBuf {
        self.data().join(format!("shard-0000/{number:08}.seg"))
    }

    /// Every file of the data directory, and what it holds.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        gather(&self.data(), &mut all);
        all
    }
}

fn gather(directory: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, all);
        } else {
            all.insert(path.clone(), fs::read(path).unwrap());
        }
    }
}

/// Where `needle` lies in a file, for the first time.
pub fn find(path: &Path, needle: &[u8]) -> usize {
    let bytes = fs::read(path).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle).unwrap()
}

/// Flips a bit of one byte.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}
