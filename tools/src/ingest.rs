//! `diatreme ingest`: each line of a file becomes a record of a stream.
//!
//! What must stay true: the records that are acknowledged are the first lines of the input, without a gap, also when
//! a later one fails. So each append names the offset that it expects, and after a failure those behind it are refused.

use crate::durability::DurabilityArg;
use crate::engine_args::{EngineArgs, open, parse_name};
use crate::failure::Failure;
use crate::input::{self, Line, Lines};
use crate::output;
use crate::progress;
use crate::report::Report;
use crate::table::{count, grouped};
use diatreme::Failure::Refused;
use diatreme::{
    AppendOptions, Appended, CallError, Client, Completion, Encryption, Engine, Level, Outcome, Refusal, StreamRef,
    TenantId, Token,
};
use indicatif::ProgressBar;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Instant;

const EXAMPLE: &str = "Example:
  diatreme ingest --data-dir data --tenant acme --stream audit --master-key file:master.key samples/audit.jsonl

A record is a line without its newline. All other bytes are kept, `\\r` included, and need not be
text. An empty line is an empty record, and a last line without a newline is a record like others.
The tenant and the stream are made if they do not exist. If a line cannot be appended, no line
after it is.

Who feeds a pipe learns from --acknowledged what it may forget. The first line of that file is the
offset that the first line of the input is to have, told before anything is read; each later one is
the offset after the last acknowledged record. They are written as answers come, and what was read is
acknowledged and told before more is waited for. A command that was killed told no more than is there (a kill
takes what is acknowledged under --durability memory, a loss of power also what is buffered), but
more may be: where to go on is what the next run tells first.";

/// Appends each line of a file as a record, and waits until all are durable.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// The file, or - for standard input.
    file: PathBuf,

    #[command(flatten)]
    engine: EngineArgs,

    /// The tenant's name.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    tenant: String,

    /// The stream's name.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    stream: String,

    /// Make the stream with a key of its own, so that it can be erased alone; one that is there must have been made so.
    #[arg(long, requires = "master_key")]
    erasable: bool,

    /// What an acknowledgement promises; below strict, if the tenant has no policy of its own: memory, buffered[:INTERVAL,RECORDS], or
    /// strict[:every-record|:every-batch|:group:DELAY].
    #[arg(long, value_name = "POLICY", default_value = "strict")]
    durability: DurabilityArg,

    /// Records in flight at once.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    window: u32,

    /// The longest record, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    record_bytes_max: u32,

    /// Write a report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Tell in this file or pipe, as answers come, the offset up to which records are acknowledged; a line each time.
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let unreadable = |error| Failure::usage(format!("cannot read {}: {error}", input::name(&args.file)));
    let (mut lines, len) = Lines::open(&args.file, args.record_bytes_max as usize).map_err(unreadable)?;
    let report = Report::open(args.json.as_deref())?;
    let told = Report::open(args.acknowledged.as_deref())?;
    let settings = args.engine.builder()?.durability(args.durability.0).record_bytes_max(args.record_bytes_max);
    let engine = open(&args.engine, settings)?;
    let mut appender = Appender::new(&engine, args, told)?;
    let bar = len.map_or_else(progress::spinner, progress::bar);
    let since = Instant::now();
    let stopped = appender.append_all(&mut lines, &bar).err();
    let seconds = since.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let Appender { client, start, answers: Answers { acknowledged, bytes, lowest, .. }, .. } = appender;
    drop(client);
    let stopped = stopped.map(|stop| stop.describe(args, start, acknowledged));
    // Why a shard failed is known to its engine alone.
    let directory = args.engine.data_dir.display();
    let error = match (stopped, engine.close().err()) {
        (stopped, None) => stopped,
        (None, Some(closing)) => {
            Some(format!("{directory}: every record is acknowledged, but the engine did not close: {closing}"))
        }
        (Some(stopped), Some(closing)) => Some(format!("{stopped}; the engine on {directory}: {closing}")),
    };
    let done = Done {
        command: "ingest",
        tenant: &args.tenant,
        stream: &args.stream,
        records: acknowledged,
        bytes,
        seconds,
        records_per_second: acknowledged as f64 / seconds.max(f64::MIN_POSITIVE),
        first_offset: (acknowledged > 0).then_some(start),
        last_offset: (acknowledged > 0).then(|| start + acknowledged - 1),
        durability: lowest.map_or_else(|| args.durability.name(), |level| level.to_string()),
        error: error.as_deref(),
    };
    let reported = report.map_or(Ok(()), |report| report.write(&done));
    let ended = match &error {
        None => output::print(|out| done.print(out)),
        Some(error) => Err(Failure::failed(error)),
    };
    Failure::join([ended, reported])
}

/// What was done, for people and programs.
#[derive(Serialize)]
struct Done<'a> {
    command: &'static str,
    tenant: &'a str,
    stream: &'a str,
    records: u64,
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    first_offset: Option<u64>,
    last_offset: Option<u64>,
    durability: String,
    error: Option<&'a str>,
}

impl Done<'_> {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let offsets = match (self.first_offset, self.last_offset) {
            (Some(first), Some(last)) => format!("offsets {first} to {last}, "),
            _ => String::new(),
        };
        writeln!(
            out,
            "{}, {} in {:.3} s ({} records/s), {offsets}durability {}",
            count(self.records, "record"),
            count(self.bytes, "byte"),
            self.seconds,
            grouped(self.records_per_second as u64),
            self.durability,
        )
    }
}

/// Why not every line was appended.
enum Stop {
    /// The line after the acknowledged ones is too long.
    TooLong { len: u64, max: u32 },
    /// The input cannot be read further.
    Unreadable(io::Error),
    /// The engine did not take a record.
    Refused(CallError),
    /// Whoever wants to know what is acknowledged cannot be told, and would send it again.
    Untold(io::Error),
}

impl Stop {
    /// In words: what is wrong, where, and what is safe. Every line before the one that is wrong is acknowledged, and
    /// so its number is known.
    fn describe(&self, args: &Args, start: u64, acknowledged: u64) -> String {
        let (file, line, directory) = (input::name(&args.file), acknowledged + 1, args.engine.data_dir.display());
        let wrong = match self {
            Stop::TooLong { len, max } => {
                format!("line {line} has {len} bytes, at most {max} are taken: split it, or raise --record-bytes-max")
            }
            Stop::Unreadable(error) => format!("cannot read line {line}: {error}"),
            Stop::Refused(error) => format!("line {line} was not appended to {directory}: {error}"),
            Stop::Untold(error) => {
                let told = args.acknowledged.as_deref().unwrap_or(&args.file).display();
                format!("ended before line {line}: cannot tell in {told} what is acknowledged: {error}")
            }
        };
        let next = start + acknowledged;
        let safe = match acknowledged {
            0 => "no record is acknowledged".into(),
            1 => format!("1 record is acknowledged, offset {start}"),
            _ => format!("{} are acknowledged, offsets {start} to {}", count(acknowledged, "record"), next - 1),
        };
        let rest = match self {
            // To send them again unseen would make doubles.
            Stop::Refused(CallError::Failed(diatreme::Failure::ShardFailed) | CallError::Closed) => {
                format!("; which of those from line {line} on are there too, `diatreme read --from {next}` shows")
            }
            _ => format!(", and nothing from line {line} on"),
        };
        format!("{file}: {wrong}; {safe}{rest}")
    }
}

/// Sends lines, a window of them at a time.
struct Appender {
    client: Client,
    stream: StreamRef,
    /// The offset of the first line.
    start: u64,
    line_bytes_max: u32,
    /// The level that each append asks for.
    level: Option<Level>,
    answers: Answers,
    /// Where to tell what is acknowledged, and what was told last.
    told: Option<(Report, Option<u64>)>,
}

impl Appender {
    fn new(engine: &Engine, args: &Args, told: Option<Report>) -> Result<Appender, Failure> {
        let directory = &args.engine.data_dir;
        let mut client = engine.client_with_window(args.window as usize).map_err(Failure::engine(directory))?;
        let mut prepare = || {
            let stream = match args.erasable {
                true => ensure_erasable(&mut client, &args.tenant, &args.stream)?,
                false => client.ensure_stream(&args.tenant, &args.stream)?,
            };
            Ok((stream, client.head(&stream)?.next))
        };
        let (stream, start) = prepare().map_err(|failure: Failure| {
            let names = format!("tenant {:?}, stream {:?}", args.tenant, args.stream);
            Failure::at(directory)(failure.context(&names))
        })?;
        let (line_bytes_max, answers) = (args.record_bytes_max, Answers::default());
        let told = told.map(|report| (report, None));
        // Whoever asks for strict gets it, also in a tenant whose own policy is lower.
        let level = Some(args.durability.0.level()).filter(|level| *level == Level::Strict);
        Ok(Appender { client, stream, start, line_bytes_max, level, answers, told })
    }

    /// Appends all lines, and returns when everything that was sent is answered.
    fn append_all<R: Read>(&mut self, lines: &mut Lines<R>, bar: &ProgressBar) -> Result<(), Stop> {
        let sent = self.tell().and_then(|()| self.send_all(lines, bar));
        let mut drained = Ok(());
        while self.client.in_flight() > 0 && drained.is_ok() {
            drained = self.wait();
        }
        match self.answers.failed.take() {
            Some((_, error)) => Err(Stop::Refused(error)),
            None => sent.and(drained),
        }
    }

    fn send_all<R: Read>(&mut self, lines: &mut Lines<R>, bar: &ProgressBar) -> Result<(), Stop> {
        let mut line = Vec::new();
        let mut next = self.start;
        loop {
            if lines.may_block() {
                // What was sent is not to wait for what may never come.
                self.client.poll(|completion| self.answers.take(&completion)).map_err(Stop::Refused)?;
                self.tell()?;
                // Nor is who sends more only after an answer to wait for it.
                while self.told.is_some() && self.client.in_flight() > 0 {
                    self.wait()?;
                }
                bar.set_position(self.answers.input_bytes());
            }
            match lines.next(&mut line).map_err(Stop::Unreadable)? {
                Line::Whole => self.send(next, &line)?,
                Line::TooLong { len } => return Err(Stop::TooLong { len, max: self.line_bytes_max }),
                Line::End => return Ok(()),
            }
            next += 1;
            if self.answers.failed.is_some() {
                return Ok(());
            }
        }
    }

    fn send(&mut self, offset: u64, line: &[u8]) -> Result<(), Stop> {
        loop {
            let options = AppendOptions { expected: Some(offset), level: self.level };
            match self.client.submit_append_with(&self.stream, options, &[line]) {
                Ok(_) => {
                    self.answers.in_flight.push_back(line.len() as u32);
                    return Ok(());
                }
                Err(CallError::QueueFull { .. }) => self.wait()?,
                Err(error) => return Err(Stop::Refused(error)),
            }
        }
    }

    /// Waits for answers, and passes them on.
    fn wait(&mut self) -> Result<(), Stop> {
        self.client.wait(|completion| self.answers.take(&completion)).map_err(Stop::Refused)?;
        self.tell()
    }

    /// Tells how far records are acknowledged, if somebody wants to know and it is news.
    fn tell(&mut self) -> Result<(), Stop> {
        let next = self.start + self.answers.acknowledged;
        let Some((report, last)) = self.told.as_mut().filter(|(_, last)| *last != Some(next)) else { return Ok(()) };
        *last = Some(next);
        let told = report.append_now(&format!("{next}\n"));
        told.map_err(|error| {
            self.told = None;
            Stop::Untold(error)
        })
    }
}

/// The stream of the name, with a key of its own; it and its tenant are made if they do not exist.
fn ensure_erasable(client: &mut Client, tenant: &str, name: &str) -> Result<StreamRef, Failure> {
    // Asked first: to try to make what is there would draw a key for it.
    let found = match client.stream(tenant, name) {
        Err(CallError::Failed(Refused(Refusal::UnknownStream))) => {
            return Ok(client.create_erasable_stream(tenant, name)?);
        }
        Err(CallError::Failed(Refused(Refusal::UnknownTenant))) => {
            client.create_tenant(tenant)?;
            return Ok(client.create_erasable_stream(tenant, name)?);
        }
        found => found?,
    };
    // Numbers of keys are the tenant's, over all its streams: one that is not the tenant's own is the stream's.
    let of_tenant = client.tenants()?.into_iter().find(|named| named.id == TenantId::of_name(tenant).0);
    let of_stream = client.streams(tenant)?.into_iter().find(|named| named.id == u64::from(found.stream().0));
    let [of_tenant, of_stream] =
        [of_tenant, of_stream].map(|named| named.map_or(Encryption::None, |named| named.encryption));
    if of_stream != Encryption::None && of_stream != of_tenant {
        return Ok(found);
    }
    Err(Failure::failed("the stream is there without a key of its own: choose another name, or leave --erasable out"))
}

/// What came back.
#[derive(Default)]
struct Answers {
    /// Bytes of each record that is not acknowledged, in order.
    in_flight: VecDeque<u32>,
    acknowledged: u64,
    /// Bytes of the acknowledged ones.
    bytes: u64,
    /// The lowest level that an answer reached.
    lowest: Option<Level>,
    /// The failure of the earliest record that failed: those after it are refused because of it.
    failed: Option<(Token, CallError)>,
}

impl Answers {
    fn take(&mut self, completion: &Completion<'_>) {
        match &completion.result {
            Ok(outcome) => {
                if let Outcome::Appended(Appended { level, .. }) = outcome {
                    self.lowest = Some(self.lowest.map_or(*level, |lowest| lowest.min(*level)));
                }
                self.acknowledged += 1;
                self.bytes += self.in_flight.pop_front().map_or(0, u64::from);
            }
            Err(error) if self.failed.is_none_or(|(token, _)| completion.token < token) => {
                self.failed = Some((completion.token, *error));
            }
            Err(_) => {}
        }
    }

    /// Bytes of the input that are acknowledged, newlines counted.
    fn input_bytes(&self) -> u64 {
        self.bytes + self.acknowledged
    }
}
