//! `diatreme read`: the records of a stream, a line each.
//!
//! A few reads are in flight at once. How many records one reply holds is not known before it comes, so the next read
//! is placed by what the last replies held; what a reply leaves out is asked for again, before anything after it.

use crate::directory;
use crate::engine_args::{EngineArgs, open, parse_name};
use crate::failure::Failure;
use crate::names::shown;
use crate::table::count;
use clap::ValueEnum;
use diatreme::{CallError, Client, Completion, Outcome, ReadRecord, Refusal, StreamRef, Token};
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Reads in flight: as many as a log has buffers for. More would only wait for those.
const IN_FLIGHT: usize = log::limits::READS_IN_FLIGHT;
/// Records of one read at the most. A reply has about a mebibyte, and a record's header 32 bytes.
const STRIDE_MAX: u64 = 32 << 10;
/// After so many full replies, more is asked for at once.
const FULL_BEFORE_MORE: u32 = 32;
/// Bytes gathered before they are written out.
const OUTPUT_BYTES: usize = 256 << 10;
/// Names that an error lists.
const NAMES_SHOWN: usize = 8;

const EXAMPLE: &str = "Example:
  diatreme read --data-dir data --tenant acme --stream audit --from 10 --count 5 --master-key file:master.key

As lines, each record is followed by a newline: what `diatreme ingest` took comes back byte for
byte. As JSON, each is an object with offset, position, timestamp (nanoseconds since 1970) and
payload, or payload_hex if it is not UTF-8. Every record is verified before it is written; at a
damaged one the command ends, with what precedes it written. The command opens the engine, so it
needs to write in the directory, and no other process may have it open.";

/// Writes the records of a stream, in order.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(flatten)]
    engine: EngineArgs,

    /// The tenant's name.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    tenant: String,

    /// The stream's name.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    stream: String,

    /// The offset of the first record.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: u64,

    /// Records at the most [default: all].
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// What a record looks like.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Lines)]
    format: Format,
}

/// What a record looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The payload and a newline.
    Lines,
    /// A JSON object and a newline.
    Json,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    directory::survey(&args.engine.data_dir)?;
    let engine = open(&args.engine, args.engine.builder()?)?;
    let mut client = engine.client();
    let result = find(&mut client, args).and_then(|stream| copy(&mut client, &stream, args));
    drop(client);
    Failure::join([result, engine.close().map(|_| ()).map_err(Failure::engine(&args.engine.data_dir))])
}

/// Finds the stream; if there is none, says which there are.
fn find(client: &mut Client, args: &Args) -> Result<StreamRef, Failure> {
    let at = Failure::at(&args.engine.data_dir);
    let directory = args.engine.data_dir.display();
    client.stream(&args.tenant, &args.stream).map_err(|error| match error {
        CallError::Failed(diatreme::Failure::Refused(Refusal::UnknownTenant)) => {
            let tenants = client.tenants().map(|all| list(&all)).unwrap_or_default();
            Failure::failed(format!("no tenant {:?} in {directory}: it has {tenants}", args.tenant))
        }
        CallError::Failed(diatreme::Failure::Refused(Refusal::UnknownStream)) => {
            let streams = client.streams(&args.tenant).map(|all| list(&all)).unwrap_or_default();
            Failure::failed(format!("no stream {:?} in tenant {:?}: it has {streams}", args.stream, args.tenant))
        }
        error => at(Failure::from(error).context(&format!("tenant {:?}, stream {:?}", args.tenant, args.stream))),
    })
}

fn list(named: &[diatreme::Named]) -> String {
    let alive: Vec<_> =
        named.iter().filter(|named| !named.deleted && !named.name.is_empty()).map(|named| shown(&named.name)).collect();
    match alive.len() {
        0 => "none".into(),
        len if len > NAMES_SHOWN => {
            format!("{} and {} more", alive[..NAMES_SHOWN].join(", "), len - NAMES_SHOWN)
        }
        _ => alive.join(", "),
    }
}

fn copy(client: &mut Client, stream: &StreamRef, args: &Args) -> Result<(), Failure> {
    let at = Failure::at(&args.engine.data_dir);
    let next = client.head(stream).map_err(&at)?.next;
    if args.from > next {
        return Err(at(CallError::from(diatreme::Failure::Refused(Refusal::OffsetBeyondEnd {
            from: args.from,
            next,
        }))));
    }
    let end = args.count.map_or(next, |count| args.from.saturating_add(count).min(next));
    match &args.output {
        None => {
            let out = io::stdout().lock();
            Copier::new(client, *stream, args.from..end, args).run(out, "standard output")
        }
        Some(path) => {
            let unwritable = |error| Failure::usage(format!("cannot write {}: {error}", path.display()));
            let out = File::create(path).map_err(unwritable)?;
            Copier::new(client, *stream, args.from..end, args).run(out, &path.display().to_string())
        }
    }
}

/// One read in flight, or answered and not written yet.
struct Slot {
    token: Token,
    from: u64,
    until: u64,
    /// How many records came, or why none did.
    answer: Option<Result<u64, CallError>>,
    /// The records, as they are to be written.
    text: Vec<u8>,
}

/// Copies a range of a stream's records to an output.
struct Copier<'a> {
    client: &'a mut Client,
    stream: StreamRef,
    format: Format,
    /// For errors to name.
    data_dir: &'a Path,
    /// The next offset that nobody asked for, and the one to end before.
    next: u64,
    end: u64,
    /// In order of offsets, without a gap.
    slots: VecDeque<Slot>,
    /// Texts to use again.
    spare: Vec<Vec<u8>>,
    /// Records to ask for at once; 0: nothing is known yet.
    stride: u64,
    full_in_a_row: u32,
    written: u64,
}

impl<'a> Copier<'a> {
    fn new(client: &'a mut Client, stream: StreamRef, offsets: std::ops::Range<u64>, args: &'a Args) -> Copier<'a> {
        Copier {
            client,
            stream,
            format: args.format,
            data_dir: &args.engine.data_dir,
            next: offsets.start,
            end: offsets.end,
            slots: VecDeque::with_capacity(IN_FLIGHT),
            spare: Vec::new(),
            stride: 0,
            full_in_a_row: 0,
            written: 0,
        }
    }

    fn run(mut self, out: impl Write, name: &str) -> Result<(), Failure> {
        let mut out = BufWriter::with_capacity(OUTPUT_BYTES, out);
        let copied = self.copy(&mut out, name);
        let flushed = out.flush().map_err(|error| Failure::output(name, &error));
        copied.and(flushed)
    }

    fn copy(&mut self, out: &mut impl Write, name: &str) -> Result<(), Failure> {
        loop {
            while let Some(slot) = self.slots.pop_front_if(|slot| slot.answer.is_some()) {
                out.write_all(&slot.text).map_err(|error| Failure::output(name, &error))?;
                self.settle(slot)?;
            }
            self.ask_on()?;
            if self.slots.is_empty() {
                return Ok(());
            }
            let (slots, format) = (&mut self.slots, self.format);
            self.client.wait(|completion| take(slots, format, &completion)).map_err(Failure::at(self.data_dir))?;
        }
    }

    /// Draws conclusions from an answer that was written.
    fn settle(&mut self, slot: Slot) -> Result<(), Failure> {
        let Slot { from, until, answer, text, .. } = slot;
        let came = match answer {
            Some(Ok(came)) if came > 0 => came,
            // This one names its place itself.
            Some(Err(error @ CallError::Failed(diatreme::Failure::Damaged { .. }))) => {
                return Err(self.failed(&error.to_string()));
            }
            Some(Err(error)) => return Err(self.failed(&format!("offset {from}: {error}"))),
            _ => return Err(self.failed(&format!("offset {from}: nothing is there; run `diatreme verify`"))),
        };
        self.spare.push(text);
        self.written += came;
        let reached = from + came;
        if reached < until {
            self.stride = came;
            self.full_in_a_row = 0;
            let rest = self.ask(reached, until)?;
            self.slots.push_front(rest);
        } else if came == self.stride {
            self.full_in_a_row += 1;
            if self.full_in_a_row >= FULL_BEFORE_MORE {
                self.full_in_a_row = 0;
                self.stride = (self.stride * 2).min(STRIDE_MAX);
            }
        }
        Ok(())
    }

    fn failed(&self, why: &str) -> Failure {
        let directory = self.data_dir.display();
        Failure::failed(format!("{directory}: {why}; before it, {} written", count(self.written, "record")))
    }

    /// Keeps reads in flight; only one until something is known of how many records a reply holds.
    fn ask_on(&mut self) -> Result<(), Failure> {
        let in_flight = if self.stride == 0 { 1 } else { IN_FLIGHT };
        while self.next < self.end && self.slots.len() < in_flight {
            let stride = if self.stride == 0 { STRIDE_MAX } else { self.stride };
            let until = (self.next + stride).min(self.end);
            let slot = self.ask(self.next, until)?;
            self.slots.push_back(slot);
            self.next = until;
        }
        Ok(())
    }

    fn ask(&mut self, from: u64, until: u64) -> Result<Slot, Failure> {
        let asked = self.client.submit_read(&self.stream, from, (until - from) as u32);
        let token = asked.map_err(Failure::at(self.data_dir))?;
        let mut text = self.spare.pop().unwrap_or_default();
        text.clear();
        Ok(Slot { token, from, until, answer: None, text })
    }
}

/// Puts an answer where it belongs.
fn take(slots: &mut VecDeque<Slot>, format: Format, completion: &Completion<'_>) {
    let Some(slot) = slots.iter_mut().find(|slot| slot.token == completion.token) else { return };
    slot.answer = Some(match &completion.result {
        Err(error) => Err(*error),
        Ok(Outcome::Records { records, .. }) => {
            let mut came = 0;
            for record in records.clone() {
                format.put(&record, &mut slot.text);
                came += 1;
            }
            Ok(came)
        }
        Ok(_) => Ok(0),
    });
}

/// A record as JSON.
#[derive(Serialize)]
struct JsonRecord<'a> {
    offset: u64,
    position: u64,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
}

impl Format {
    fn put(self, record: &ReadRecord<'_>, text: &mut Vec<u8>) {
        match self {
            Format::Lines => text.extend_from_slice(record.payload),
            Format::Json => {
                let utf8 = std::str::from_utf8(record.payload).ok();
                let line = JsonRecord {
                    offset: record.offset,
                    position: record.position,
                    timestamp: record.timestamp,
                    payload: utf8,
                    payload_hex: utf8.is_none().then(|| hex(record.payload)),
                };
                serde_json::to_writer(&mut *text, &line)
                    .expect("numbers and strings always make JSON, and memory takes it");
            }
        }
        text.push(b'\n');
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
