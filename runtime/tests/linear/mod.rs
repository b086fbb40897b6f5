//! Histories of streams, and what of them a single thread could have seen.
//!
//! The model is the sequential stream of `docs/architecture.md`: records one after the other, until it is deleted. The checker
//! (porcupine: Wing and Gong's search with Lowe's memory) looks for an order of the operations in which each was answered as the
//! model answers, and in which no operation comes before one that had returned when it was called. Streams are checked one by one:
//! a history is linearizable if and only if its part on each object is (Herlihy and Wing 1990, theorem 1).
//!
//! Deliberately absent: a tenant's positions and timestamps, which tie its streams together, and the making of streams.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

pub mod clients;
pub mod known;

use porcupine_rs::{CheckResult, Model, Operation};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

/// An operation on a stream, with the nanoseconds of its call and return.
pub type StreamOp = Operation<Streams>;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Append { expected: Option<u64>, records: Vec<u64> },
    Head,
    Read { from: u64, max: u32 },
    Delete,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Appended {
        first: u64,
    },
    WrongOffset {
        actual: u64,
    },
    Head {
        next: u64,
    },
    /// Offsets and records; and the stream's end, which a waiting read does not tell.
    Records {
        records: Vec<(u64, u64)>,
        next: Option<u64>,
    },
    BeyondEnd {
        next: u64,
    },
    Deleted,
    /// The stream is deleted, and was before.
    Gone,
}

/// What was asked of a stream and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The stream's place in the list of those that the clients share.
    pub stream: usize,
    pub ask: Ask,
    pub answer: Answer,
    /// Where in an order it is looked for; without, anywhere.
    pub hint: Option<Hint>,
}

/// What keeps the search for an order short. Answers that tell of a stream's end, and change nothing, are right only while it ends
/// there, and it never ends there again. So they all come before the append that moves it, which an order that forgets one of them
/// would find out only after trying all else that was in flight. And any order of them can be put into that of their calls:
/// the later called had not returned when the earlier was called. What is passed over by this is no order, or the same one again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// How many of those that tell of the same end were called before.
    rank: u32,
    /// By a stream's end, how many tell of it.
    sights: Arc<HashMap<u64, u32>>,
}

impl Exchange {
    pub fn new(stream: usize, ask: Ask, answer: Answer) -> Exchange {
        Exchange { stream, ask, answer, hint: None }
    }

    /// The end at which alone this answer, which changes nothing, is right.
    fn sight(&self) -> Option<u64> {
        match (&self.ask, &self.answer) {
            (_, Answer::WrongOffset { actual: end } | Answer::Head { next: end } | Answer::BeyondEnd { next: end }) => {
                Some(*end)
            }
            (_, Answer::Records { next: Some(end), .. }) => Some(*end),
            (Ask::Read { from, .. }, Answer::Records { records, next: None }) if records.is_empty() => Some(*from),
            _ => None,
        }
    }
}

/// A stream as one thread would see it. Records are numbers, each appended once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stream {
    records: Arc<Vec<u64>>,
    deleted: bool,
    /// Answers so far that told of this end, for the hints.
    sights: u32,
}

/// The model that the checker steps.
#[derive(Clone, Debug)]
pub struct Streams;

impl Model for Streams {
    type State = Stream;
    type Op = Exchange;
    type Metadata = ();

    fn partition_operations(history: &[StreamOp]) -> Vec<Vec<StreamOp>> {
        let mut parts: BTreeMap<usize, Vec<StreamOp>> = BTreeMap::new();
        for op in history {
            parts.entry(op.op.stream).or_default().push(op.clone());
        }
        parts.into_values().collect()
    }

    fn init() -> Stream {
        Stream::default()
    }

    fn step(stream: &Stream, exchange: &Exchange) -> (bool, Stream) {
        let in_turn = exchange.hint.as_ref().is_none_or(|hint| hint.allows(stream, exchange));
        let after = stream.after(&exchange.ask, &exchange.answer).filter(|_| in_turn);
        let Some(mut after) = after else { return (false, stream.clone()) };
        after.sights += u32::from(exchange.sight().is_some());
        (true, after)
    }
}

impl Hint {
    fn allows(&self, stream: &Stream, exchange: &Exchange) -> bool {
        match exchange.ask {
            _ if stream.deleted => true,
            _ if exchange.sight().is_some() => stream.sights == self.rank,
            Ask::Append { .. } | Ask::Delete => stream.sights == self.sights.get(&stream.end()).copied().unwrap_or(0),
            Ask::Head | Ask::Read { .. } => true,
        }
    }
}

impl Stream {
    fn end(&self) -> u64 {
        self.records.len() as u64
    }

    /// The stream after a question, if the answer is the one that it gives.
    fn after(&self, ask: &Ask, answer: &Answer) -> Option<Stream> {
        let end = self.end();
        let holds = match (ask, answer) {
            _ if self.deleted => *answer == Answer::Gone,
            (Ask::Append { expected, .. }, Answer::Appended { first }) => {
                *first == end && expected.is_none_or(|expected| expected == end)
            }
            (Ask::Append { expected: Some(expected), .. }, Answer::WrongOffset { actual }) => {
                *actual == end && *expected != end
            }
            (Ask::Head, Answer::Head { next }) => *next == end,
            (Ask::Read { from, max }, Answer::Records { records, next }) => {
                next.is_none_or(|next| next == end) && self.gives(*from, *max, records)
            }
            (Ask::Read { from, .. }, Answer::BeyondEnd { next }) => *next == end && *from > end,
            (Ask::Delete, Answer::Deleted) => true,
            _ => false,
        };
        let mut after = holds.then(|| self.clone())?;
        match (ask, answer) {
            (Ask::Append { records, .. }, Answer::Appended { .. }) => {
                Arc::make_mut(&mut after.records).extend(records);
                after.sights = 0;
            }
            (Ask::Delete, Answer::Deleted) => after.deleted = true,
            _ => {}
        }
        Some(after)
    }

    /// Whether a read may give these records: those from its offset on, perhaps fewer than asked for, none only at the end.
    fn gives(&self, from: u64, max: u32, records: &[(u64, u64)]) -> bool {
        let Some(there) = self.records.get(from as usize..) else { return false };
        records.len() <= there.len().min(max as usize)
            && records.is_empty() == there.is_empty()
            && records.iter().copied().eq((from..).zip(there.iter().copied()).take(records.len()))
    }
}

/// The history's streams, with hints.
fn hinted(history: &[StreamOp]) -> Vec<Vec<StreamOp>> {
    let mut parts = Streams::partition_operations(history);
    for part in &mut parts {
        part.sort_by_key(|op| op.call_time);
        let mut sights: HashMap<u64, u32> = HashMap::new();
        let mut ranks = Vec::with_capacity(part.len());
        for op in part.iter() {
            let seen = op.op.sight().map(|end| sights.entry(end).or_default());
            ranks.push(seen.map_or(0, |seen| std::mem::replace(seen, *seen + 1)));
        }
        let sights = Arc::new(sights);
        for (op, rank) in part.iter_mut().zip(ranks) {
            op.op.hint = Some(Hint { rank, sights: Arc::clone(&sights) });
        }
    }
    parts
}

/// The checker's verdict on each part, one after the other: given all at once, it takes a thread for each, and
/// ThreadSanitizer does not see what orders those.
pub fn accepts<M: Model>(parts: &[Vec<Operation<M>>]) -> bool {
    parts.iter().all(|part| porcupine_rs::check_operations(part))
}

pub fn is_linearizable(history: &[StreamOp]) -> bool {
    accepts(&hinted(history))
}

/// Checks that the history is linearizable, else shows of each stream that is not how far an order was found, and what then
/// was in flight.
pub fn check(history: &[StreamOp], what: &str) {
    if is_linearizable(history) {
        return;
    }
    let mut text = format!("{what}: no order of one thread gives these answers");
    for part in hinted(history) {
        let (verdict, info) = porcupine_rs::check_operations_info(&part);
        if verdict == CheckResult::Ok {
            continue;
        }
        let longest = info.partial_linearizations.iter().flatten().max_by_key(|order| order.len());
        let order = longest.map_or(&[][..], Vec::as_slice);
        let _ = write!(text, "\nstream {}: {} of {} in order, ending with", part[0].op.stream, order.len(), part.len());
        for &at in order.iter().rev().take(5).rev() {
            let _ = write!(text, "\n  {}", line(&part[at]));
        }
        text.push_str("\nand none of these can be next:");
        for op in (0..part.len()).filter(|at| !order.contains(at)).take(10).map(|at| &part[at]) {
            let _ = write!(text, "\n  {}", line(op));
        }
    }
    panic!("{text}");
}

fn line(op: &StreamOp) -> String {
    let Exchange { ask, answer, .. } = &op.op;
    let exchange = format!("{ask:?} -> {answer:?}");
    // A read may have brought hundreds of records.
    format!("client {} [{}, {}] {exchange:.240}", op.client_id.unwrap_or(0), op.call_time, op.return_time)
}

/// An append that was asked for and never answered: it may be in the stream or not.
#[derive(Clone, Debug)]
pub struct Maybe {
    pub client: u32,
    pub stream: usize,
    pub call_time: i64,
    /// The engine was gone: what was not in its log by then never came to be.
    pub gone_time: i64,
    pub expected: Option<u64>,
    pub records: Vec<u64>,
}

impl Maybe {
    /// Settles by what the streams hold in the end whether it took effect. Records differ and none is ever taken back, so an append of
    /// which no record is there had no effect, and is no part of the history; if one had been seen and then been lost, the operation
    /// that saw it fits nowhere. An append of which one is there is one that was answered with the place where it was found, some
    /// time before the engine was gone. Given to the checker as pending for ever instead, a dozen of them would be tried in
    /// every order; and one that took effect after the next opening would pass.
    pub fn settle(self, found: &HashMap<u64, (usize, u64)>) -> Option<StreamOp> {
        let (at, offset) = (0..).zip(&self.records).find_map(|(at, record)| Some((at, found.get(record)?.1)))?;
        let answer = Answer::Appended { first: offset.checked_sub(at).unwrap_or(u64::MAX) };
        let ask = Ask::Append { expected: self.expected, records: self.records };
        Some(StreamOp {
            client_id: Some(self.client),
            call_time: self.call_time,
            return_time: self.gone_time,
            op: Exchange::new(self.stream, ask, answer),
            metadata: None,
        })
    }
}
