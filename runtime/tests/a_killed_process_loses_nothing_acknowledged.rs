//! A process that appends is killed at any moment; another opens its directory, and finds what was acknowledged.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use harness::{builder, check, in_memory, modes, on_disk, payload};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const CHILD: &str = "DIATREME_TEST_APPEND_TO";
const TENANTS: [&str; 3] = ["acme", "bolt", "coil"];

/// The child: appends for ever, and says each acknowledged offset on its standard output.
#[test]
fn child() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let mode =
        if std::env::var_os("DIATREME_TEST_SYNC").is_some() { diatreme::Mode::Sync } else { diatreme::Mode::Auto };
    let engine = builder(root.as_ref(), 2).backend(mode).open().unwrap();
    let mut client = engine.client();
    let streams = TENANTS.map(|name| client.ensure_stream(name, "events").unwrap());
    let mut next = streams.map(|stream| client.head(&stream).unwrap().next);
    let mut out = std::io::stdout().lock();
    loop {
        let mut sent = BTreeMap::new();
        for _ in 0..8 {
            for (at, stream) in streams.iter().enumerate() {
                let record = payload(TENANTS[at], next[at]);
                sent.insert(client.submit_append(stream, Some(next[at]), &[&record]).unwrap(), (at, next[at]));
                next[at] += 1;
            }
        }
        while !sent.is_empty() {
            let told = client.wait(|completion| {
                let (at, offset) = sent.remove(&completion.token).unwrap();
                assert!(completion.result.is_ok(), "{completion:?}");
                writeln!(out, "ack {at} {offset}").unwrap();
            });
            told.unwrap();
            out.flush().unwrap();
        }
    }
}

#[test]
fn killed_at_any_moment() {
    for (mode, root) in [(diatreme::Mode::Sync, in_memory()), (diatreme::Mode::Auto, on_disk())] {
        if mode == diatreme::Mode::Auto && modes().len() == 1 {
            continue;
        }
        let mut acknowledged = [0_u64; TENANTS.len()];
        for round in 0..5_u64 {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "child", "--nocapture"]).env(CHILD, root.path());
            if mode == diatreme::Mode::Sync {
                command.env("DIATREME_TEST_SYNC", "1");
            }
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // At a moment that differs: after so many acknowledgements; and what is on its way in the pipe counts too.
            let moment = 1 + round * round * 150;
            let mut seen = 0;
            while seen < moment {
                seen += u64::from(note(&lines.next().expect("the child lives").unwrap(), &mut acknowledged));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            for line in lines.map_while(Result::ok) {
                note(&line, &mut acknowledged);
            }

            let engine = builder(root.path(), 1 + (round % 3) as u16).open().unwrap();
            let recovery = &engine.report().recovery;
            assert!(!recovery.clean && recovery.damage.is_empty(), "{recovery:?}");
            let mut client = engine.client();
            for (name, acknowledged) in TENANTS.iter().zip(acknowledged) {
                let stream = client.stream(name, "events").unwrap();
                let next = client.head(&stream).unwrap().next;
                assert!(next >= acknowledged, "{name}: {next} of {acknowledged}");
                check(&mut client, &stream, name, next);
            }
            // Not closed, but dropped: then the next one finds a directory that was closed before it was killed.
            drop(engine);
        }
    }
}

/// Takes a line of the child; whether it was an acknowledgement. The last may be cut short.
fn note(line: &str, acknowledged: &mut [u64]) -> bool {
    let Some(("ack", rest)) = line.trim().split_once(' ') else { return false };
    let Some((at, offset)) = rest.split_once(' ') else { return false };
    let (Ok(at), Ok(offset)) = (at.parse::<usize>(), offset.parse::<u64>()) else { return false };
    acknowledged[at] = acknowledged[at].max(offset + 1);
    true
}
