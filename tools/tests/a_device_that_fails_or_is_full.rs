//! A device that is full, or fails, ends an ingest with a message, and takes nothing of what was acknowledged.
//!
//! Full file systems are mounted in a namespace; a device that stops is ext4 that is told to; errors that come once are injected
//! by strace into the system calls of the synchronous backend. What the host does not allow is skipped with a line; where
//! `DIATREME_FAULTS_REQUIRED` is set that is a failure.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::lines::{Random, Text};
use harness::mount::{Mount, or_skip};
use harness::supervised::{Fed, Supervised, feed_and};
use harness::{Ended, Place, ended};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

const MEBIBYTE: u64 = 1 << 20;

/// A stream in a directory, and what is known of it.
struct Stream {
    data: PathBuf,
    text: Text,
    acknowledged: u64,
    sent: u64,
    backend: &'static str,
    /// What commands are preceded by.
    within: Vec<String>,
}

impl Stream {
    fn new(data: PathBuf, backend: &'static str, within: Vec<String>) -> Stream {
        Stream { data, text: Text::new(7, 8000), acknowledged: 0, sent: 0, backend, within }
    }

    fn command(&self, name: &str) -> Command {
        let mut all = self.within.iter().map(OsStr::new).chain([env!("CARGO_BIN_EXE_diatreme").as_ref()]);
        let mut command = Command::new(all.next().unwrap());
        command.args(all).arg(name).arg("--data-dir").arg(&self.data);
        if name != "verify" {
            command.args(["--tenant", "acme", "--stream", "audit", "--unencrypted", "--backend", self.backend]);
        }
        command
    }

    /// Feeds an ingest, to which something happens after so many records.
    fn ingest(&mut self, lines: u64, records: u64, happens: impl FnOnce()) -> Fed {
        let mut command = self.command("ingest");
        command.arg("-");
        let fed = feed_and(Supervised::start_as(command), lines, records, |_| happens(), |_| self.text.clone());
        if let Some(start) = fed.start {
            assert!(
                (self.acknowledged..=self.sent).contains(&start),
                "{start} of {}..={}",
                self.acknowledged,
                self.sent
            );
            (self.acknowledged, self.sent) = (fed.acknowledged, fed.sent);
        }
        fed
    }

    /// Feeds one until it fails.
    fn ingest_all(&mut self) -> Fed {
        self.ingest(u64::MAX, u64::MAX, || ())
    }

    /// All that is acknowledged is there, and what is beyond is what was sent.
    fn is_whole(&mut self) {
        let verified = ended(&self.command("verify").output().unwrap());
        assert_eq!(verified.code, 0, "{}{}", verified.text(), verified.err);
        let Ended { code, out, err } = ended(&self.command("read").output().unwrap());
        assert_eq!(code, 0, "{err}");
        let head = self.text.count(&out);
        assert!((self.acknowledged..=self.sent).contains(&head), "{head} of {}..={}", self.acknowledged, self.sent);
        (self.acknowledged, self.sent) = (head, head);
    }

    /// It takes more, as if nothing had been.
    fn goes_on(&mut self) {
        let fed = self.ingest(100, 100, || ());
        assert!(fed.gone.status.success(), "{}", fed.gone.err);
        assert_eq!(fed.start, Some(fed.acknowledged - 100));
        self.is_whole();
    }
}

fn backends() -> Vec<&'static str> {
    let ring = Place::new().ingest(b"", &["--backend", "uring"]);
    let ring = if ring.code == 0 { Ok("uring") } else { Err(ring.err.trim_end().to_owned()) };
    or_skip("io_uring", ring).into_iter().chain(["sync"]).collect()
}

/// It ended with code 1, and one line that says these words and how much is acknowledged.
#[track_caller]
fn fails(fed: &Fed, words: &[&str]) {
    let err = &fed.gone.err;
    assert_eq!(fed.gone.status.code(), Some(1), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    for word in words {
        assert!(err.contains(word), "{word:?} is not in {err:?}");
    }
    let safe = format!("are acknowledged, offsets {} to {}", fed.start.unwrap(), fed.acknowledged - 1);
    assert!(err.contains(&safe), "{safe:?} is not in {err:?}");
}

#[test]
fn a_full_file_system_takes_nothing_that_is_acknowledged() {
    for backend in backends() {
        let place = Place::new();
        // Room for the first segment, and not for the second.
        let Some(mut full) = or_skip("a file system in memory", Mount::memory(&place.path("small"), 48)) else {
            return;
        };
        let mut stream = Stream::new(full.path("data"), backend, full.enter());
        let fed = stream.ingest_all();
        fails(&fed, &["shard-0000/00000002.seg", "no space left on the device", "free some"]);
        assert!(fed.acknowledged * 4000 > 16 * MEBIBYTE, "{} records", fed.acknowledged);
        full.run(&format!("mount -t tmpfs -o remount,size=400m none {}", full.path("").display())).unwrap();
        stream.is_whole();
        stream.goes_on();
        println!("{backend}: {} records acknowledged before the file system in memory was full", fed.acknowledged);
    }
}

#[test]
fn a_full_device_takes_nothing_that_is_acknowledged() {
    for backend in backends() {
        let place = Place::new();
        let device = Mount::device(&place.path("small"), &place.path("image"), 400);
        let Some(mut full) = or_skip("a device of its own", device) else { return };
        let at = place.path("small").display().to_string();
        let free = format!("$(stat -f -c '%a * %S' {at})");
        full.run(&format!("fallocate -l $(({free} - 48 * 1048576)) {at}/ballast")).unwrap();
        let mut stream = Stream::new(full.path("data"), backend, full.enter());
        let fed = stream.ingest_all();
        fails(&fed, &["shard-0000/00000002.seg", "no space left on the device", "free some"]);
        full.run(&format!("rm {}", full.path("ballast").display())).unwrap();
        stream.is_whole();
        stream.goes_on();
        println!("{backend}: {} records acknowledged before the device was full", fed.acknowledged);
    }
}

#[test]
fn a_device_that_stops_takes_nothing_that_is_acknowledged() {
    let mut random = Random(3);
    for backend in backends() {
        let place = Place::new();
        let device = Mount::device(&place.path("device"), &place.path("image"), 400);
        let Some(mut device) = or_skip("a device of its own", device) else { return };
        let mut stream = Stream::new(device.path("data"), backend, device.enter());
        for _ in 0..3 {
            let mut stopped = Ok(());
            let records = 2 + random.below(2000);
            let fed = stream.ingest(u64::MAX, records, || stopped = device.stop());
            if or_skip("a device that stops", stopped).is_none() {
                return;
            }
            let next = format!("`diatreme read --from {}` shows", fed.acknowledged);
            fails(&fed, &["was not appended", "Input/output error", "open the directory again", &next]);
            device.again();
            stream.is_whole();
            println!("{backend}: {} records acknowledged when the device had stopped", fed.acknowledged);
        }
        stream.goes_on();
    }
}

/// A flush that failed once and then succeeds has lost what it was to flush: who asks again is told that all is well.
#[test]
fn an_error_that_comes_once_takes_nothing_that_is_acknowledged() {
    let place = Place::new();
    let strace = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let strace = match strace {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()),
        Err(error) => Err(format!("strace: {error}")),
    };
    if or_skip("errors injected by strace", strace).is_none() {
        return;
    }
    let (mut failed, mut in_frames) = (0, 0);
    let mut stream = Stream::new(place.data(), "sync", Vec::new());
    stream.goes_on();
    for (call, error) in
        [("fdatasync", "EIO"), ("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("fsync", "EIO"), ("fallocate", "ENOSPC")]
    {
        for nth in 1..=8 {
            let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error={error}:when={nth}"));
            stream.within = ["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject].map(String::from).into();
            let fed = stream.ingest(200, 200, || ());
            stream.within.clear();
            let err = &fed.gone.err;
            match fed.gone.status.code() {
                // The call did not come so often, or is one that can be done without.
                Some(0) => assert!(fed.acknowledged == fed.sent, "{call} {nth}: {err}"),
                Some(1) => {
                    let named = ["Input/output error", "no space left on the device"];
                    assert!(named.iter().any(|name| err.contains(name)), "{call} {nth}: {err}");
                    failed += 1;
                    in_frames += u32::from(err.contains("cannot write a frame"));
                }
                other => panic!("{call} {nth}: {other:?}: {err}"),
            }
            stream.is_whole();
        }
    }
    println!("{failed} ingests failed, {in_frames} of them in a frame");
    assert!(in_frames > 0);
    stream.goes_on();
}
