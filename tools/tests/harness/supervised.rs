//! Commands whose acknowledgements are listened to while they run, and which are killed when it is time.

use super::command;
use super::lines::Text;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// When a command is killed.
#[derive(Clone, Copy, Debug)]
pub enum Kill {
    /// So long after its start: it opens the directory, or has just done so.
    Started(Duration),
    /// So long after it told of so many records.
    Told(u64, Duration),
}

/// Bytes that are written to a command at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A command that tells on its standard output what is acknowledged.
pub struct Supervised {
    child: Child,
    told: BufReader<ChildStdout>,
    err: JoinHandle<String>,
}

/// How it ended.
pub struct Gone {
    pub status: ExitStatus,
    /// All that it told, in order.
    pub told: Vec<String>,
    pub err: String,
}

impl Gone {
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

impl Supervised {
    pub fn start(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Supervised {
        Supervised::start_as(command(args))
    }

    pub fn start_as(mut command: Command) -> Supervised {
        command.args(["--acknowledged", "/dev/stdout"]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let err = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Supervised { child, told, err }
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// The next line that it tells; none when it has ended. What is no acknowledgement is the summary at the end.
    pub fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line.ends_with('\n').then(|| line.trim_end().to_owned()).filter(|line| is_offset(line))
    }

    pub fn kill_after(&mut self, delay: Duration) {
        // No condition is waited for: when the signal comes is what is drawn.
        std::thread::sleep(delay);
        self.child.kill().unwrap();
    }

    /// Waits for its end, and hears what it told before that.
    pub fn gone(mut self, mut told: Vec<String>) -> Gone {
        while let Some(line) = self.hear() {
            told.push(line);
        }
        // What follows the acknowledgements must not keep it from ending.
        std::io::copy(&mut self.told, &mut std::io::sink()).unwrap();
        let status = self.child.wait().unwrap();
        Gone { status, told, err: self.err.join().unwrap() }
    }
}

fn is_offset(line: &str) -> bool {
    line.split(' ').next_back().is_some_and(|last| last.parse::<u64>().is_ok())
}

/// The offset that ends an acknowledgement.
pub fn offset(line: &str) -> u64 {
    line.split(' ').next_back().unwrap().parse().unwrap()
}

/// What came of an ingest.
pub struct Fed {
    pub gone: Gone,
    /// The offset that its first line was to have, if it came to that.
    pub start: Option<u64>,
    /// The offset up to which it told that records are acknowledged.
    pub acknowledged: u64,
    /// The offset after the last line that was offered to it.
    pub sent: u64,
}

/// Feeds an ingest from standard input until it is killed, or has so many lines: those from the offset on that it tells first. `text`
/// says what they are when that is known.
pub fn feed(mut command: Supervised, lines: u64, kill: Kill, text: impl FnOnce(u64) -> Text) -> Fed {
    match kill {
        Kill::Started(delay) => {
            let stdin = command.stdin();
            command.kill_after(delay);
            drop(stdin);
            let gone = command.gone(Vec::new());
            // It may have come so far that it told where it begins; nothing was sent after that.
            let sent = gone.told.first().map_or(0, |line| offset(line));
            fed(gone, sent)
        }
        Kill::Told(records, delay) => feed_and(command, lines, records, |command| command.kill_after(delay), text),
    }
}

/// The same for an ingest that ends by itself. Something happens to it when it has told of so many records.
pub fn feed_and(
    mut command: Supervised,
    lines: u64,
    records: u64,
    happens: impl FnOnce(&mut Supervised),
    text: impl FnOnce(u64) -> Text,
) -> Fed {
    let (mut told, stdin) = (Vec::new(), command.stdin());
    let Some(first) = command.hear() else { return fed(command.gone(told), 0) };
    let start = offset(&first);
    told.push(first);
    let text = text(start);
    let writer = std::thread::spawn(move || write(stdin, &text, start, start.saturating_add(lines)));
    while offset(&told[told.len() - 1]) < start + records.min(lines) {
        let Some(line) = command.hear() else { break };
        told.push(line);
    }
    happens(&mut command);
    let gone = command.gone(told);
    fed(gone, writer.join().unwrap())
}

fn fed(gone: Gone, sent: u64) -> Fed {
    let start = gone.told.first().map(|line| offset(line));
    let acknowledged = gone.told.iter().map(|line| offset(line)).max().unwrap_or(0);
    Fed { gone, start, acknowledged, sent }
}

/// Writes lines until all are written or nobody reads; gives the offset after the last one.
fn write(mut to: ChildStdin, text: &Text, start: u64, end: u64) -> u64 {
    let (mut offset, mut chunk) = (start, Vec::new());
    while offset < end {
        chunk.clear();
        while offset < end && chunk.len() < CHUNK_BYTES {
            text.put(offset, &mut chunk);
            offset += 1;
        }
        if to.write_all(&chunk).is_err() {
            break;
        }
    }
    offset
}
