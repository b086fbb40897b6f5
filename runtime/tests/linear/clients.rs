//! Clients that share few streams, each in a thread, and write down what they asked and were answered, and when.
//!
//! A call is timed before it is sent, a return after its answer was taken, both by one monotonic clock: the interval that is
//! written down holds the true one, so a history may be accepted that was wrong by less than that, never the other way round. Each
//! request of a pipeline is an operation of its own: nothing is claimed of the order among those in flight.

use super::{Answer, Ask, Exchange, Maybe, StreamOp};
use diatreme::{CallError, Client, Completion, Failure, Outcome, Refusal, StreamRef, Token};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What all clients of a history have.
pub struct Shared {
    pub streams: Vec<StreamRef>,
    pub answered: AtomicU64,
    clock: Instant,
}

impl Shared {
    pub fn new(streams: Vec<StreamRef>) -> Shared {
        Shared { streams, answered: AtomicU64::new(0), clock: Instant::now() }
    }

    pub fn now(&self) -> i64 {
        self.clock.elapsed().as_nanos() as i64
    }
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub operations: usize,
    /// Requests in flight; with one, the calls that wait are used.
    pub window: usize,
    /// Deletes this stream halfway.
    pub deletes: Option<usize>,
}

/// One client's part of a history.
pub struct Recorder<'a> {
    pub history: Vec<StreamOp>,
    pub unanswered: Vec<Maybe>,
    shared: &'a Shared,
    number: u32,
    appended: u64,
    /// Where it believes that each stream ends.
    known: Vec<u64>,
    in_flight: HashMap<Token, (usize, Ask, i64)>,
    dice: Dice,
}

impl<'a> Recorder<'a> {
    /// A client of a number that no other of the history has.
    pub fn new(shared: &'a Shared, number: u32) -> Recorder<'a> {
        Recorder {
            history: Vec::new(),
            unanswered: Vec::new(),
            shared,
            number,
            appended: 0,
            known: vec![0; shared.streams.len()],
            in_flight: HashMap::new(),
            dice: Dice(u64::from(number)),
        }
    }

    /// Does what the load says, until all is answered or the engine is gone.
    pub fn run(&mut self, client: &mut Client, load: Load) {
        let mut asked = 0;
        while asked < load.operations || client.in_flight() > 0 {
            while asked < load.operations && client.in_flight() < load.window {
                asked += 1;
                let alive = match load.deletes {
                    Some(stream) if asked == load.operations / 2 => self.call(client, stream, Ask::Delete),
                    _ => {
                        let (stream, ask) = self.draw();
                        if load.window == 1 { self.call(client, stream, ask) } else { self.send(client, stream, ask) }
                    }
                };
                if !alive {
                    return self.lose();
                }
            }
            match client.wait(|completion| self.take(completion)) {
                Ok(_) => {}
                Err(CallError::Closed) => return self.lose(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads each stream to its end; what lies where.
    pub fn read_out(&mut self, client: &mut Client) -> HashMap<u64, (usize, u64)> {
        let mut found = HashMap::new();
        for stream in 0..self.shared.streams.len() {
            assert!(self.call(client, stream, Ask::Head));
            let mut from = 0;
            while from < self.known[stream] {
                assert!(self.call(client, stream, Ask::Read { from, max: u32::MAX }));
                let Some(Answer::Records { records, .. }) = self.history.last().map(|op| &op.op.answer) else { break };
                // None would be an answer that the model refuses.
                from = records.last().map_or(u64::MAX, |(offset, _)| offset + 1);
                found.extend(records.iter().map(|(offset, record)| (*record, (stream, *offset))));
            }
        }
        found
    }

    /// What to ask next, so that clients meet: appends where the stream is believed to end, reads near the end and beyond it.
    fn draw(&mut self) -> (usize, Ask) {
        let stream = self.dice.below(self.known.len() as u64) as usize;
        let known = self.known[stream];
        let ask = match self.dice.below(20) {
            0..9 => Ask::Append { expected: None, records: self.records() },
            9..13 => Ask::Append { expected: Some(known), records: self.records() },
            13..15 => Ask::Head,
            15 => Ask::Read { from: known + self.dice.below(3), max: 4 },
            _ => Ask::Read { from: known.saturating_sub(self.dice.below(12)), max: 1 + self.dice.below(8) as u32 },
        };
        (stream, ask)
    }

    fn records(&mut self) -> Vec<u64> {
        let count = 1 + self.dice.below(3);
        let first = u64::from(self.number) << 32 | self.appended;
        self.appended += count;
        (first..first + count).collect()
    }

    /// Asks without waiting; whether the engine is there.
    fn send(&mut self, client: &mut Client, stream: usize, ask: Ask) -> bool {
        let at = self.shared.streams[stream];
        let call = self.shared.now();
        let sent = match &ask {
            Ask::Append { expected, records } => {
                let payloads: Vec<Vec<u8>> = records.iter().map(|record| payload(*record)).collect();
                let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                client.submit_append(&at, *expected, &payloads)
            }
            Ask::Head => client.submit_head(&at),
            Ask::Read { from, max } => client.submit_read(&at, *from, *max),
            Ask::Delete => unreachable!("only a call that waits deletes"),
        };
        match sent {
            Ok(token) => drop(self.in_flight.insert(token, (stream, ask, call))),
            Err(CallError::Closed) => return false,
            Err(error) => panic!("{error}"),
        }
        true
    }

    fn take(&mut self, completion: Completion<'_>) {
        let (stream, ask, call) = self.in_flight.remove(&completion.token).expect("an answer to what was asked");
        let answer = match completion.result {
            Ok(Outcome::Appended(appended)) => Answer::Appended { first: appended.first },
            Ok(Outcome::Head(head)) => Answer::Head { next: head.next },
            Ok(Outcome::Records { records, next }) => {
                let records = records.map(|record| (record.offset, record_of(record.payload))).collect();
                Answer::Records { records, next: Some(next) }
            }
            Ok(other) => panic!("{other:?} to {ask:?}"),
            Err(error) => refusal(error),
        };
        self.note(stream, ask, answer, call);
    }

    /// Asks and waits; whether the engine is there.
    fn call(&mut self, client: &mut Client, stream: usize, ask: Ask) -> bool {
        let at = self.shared.streams[stream];
        let call = self.shared.now();
        let answer = match &ask {
            Ask::Append { expected, records } => {
                let payloads: Vec<Vec<u8>> = records.iter().map(|record| payload(*record)).collect();
                let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                client
                    .append_batch(&at, *expected, &payloads)
                    .map(|appended| Answer::Appended { first: appended.first })
            }
            Ask::Head => client.head(&at).map(|head| Answer::Head { next: head.next }),
            Ask::Read { from, max } => client.read(&at, *from, *max).map(|records| {
                let records = records.iter().map(|record| (record.offset, record_of(&record.payload))).collect();
                Answer::Records { records, next: None }
            }),
            Ask::Delete => client.delete_stream(&at).map(|()| Answer::Deleted),
        };
        match answer {
            Ok(answer) => self.note(stream, ask, answer, call),
            Err(CallError::Closed) => {
                self.miss(stream, ask, call);
                return false;
            }
            Err(error) => self.note(stream, ask, refusal(error), call),
        }
        true
    }

    fn note(&mut self, stream: usize, ask: Ask, answer: Answer, call_time: i64) {
        let known = match (&ask, &answer) {
            (Ask::Append { records, .. }, Answer::Appended { first }) => first + records.len() as u64,
            (_, Answer::WrongOffset { actual: next } | Answer::Head { next } | Answer::BeyondEnd { next }) => *next,
            (_, Answer::Records { next: Some(next), .. }) => *next,
            (_, Answer::Records { records, .. }) => records.last().map_or(0, |(offset, _)| offset + 1),
            _ => 0,
        };
        self.known[stream] = self.known[stream].max(known);
        let (client_id, return_time) = (Some(self.number), self.shared.now());
        let op = Exchange::new(stream, ask, answer);
        self.history.push(StreamOp { client_id, call_time, return_time, op, metadata: None });
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing more will be answered.
    fn lose(&mut self) {
        for (_, (stream, ask, call)) in std::mem::take(&mut self.in_flight) {
            self.miss(stream, ask, call);
        }
    }

    /// What asks and changes nothing is no part of a history until it is answered.
    fn miss(&mut self, stream: usize, ask: Ask, call_time: i64) {
        match ask {
            Ask::Append { expected, records } => {
                let (client, gone_time) = (self.number, i64::MAX);
                self.unanswered.push(Maybe { client, stream, call_time, gone_time, expected, records });
            }
            Ask::Delete => panic!("a history over a crash deletes nothing: what was in a stream would not be known"),
            Ask::Head | Ask::Read { .. } => {}
        }
    }
}

/// The answers that say no. Whatever else goes wrong has no place in these histories.
fn refusal(error: CallError) -> Answer {
    match error {
        CallError::Failed(Failure::Refused(refusal)) => match refusal {
            Refusal::WrongExpectedOffset { actual, .. } => Answer::WrongOffset { actual },
            Refusal::OffsetBeyondEnd { next, .. } => Answer::BeyondEnd { next },
            Refusal::StreamDeleted => Answer::Gone,
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

/// What a record holds: its number, and bytes that follow from it.
fn payload(record: u64) -> Vec<u8> {
    let mut payload = record.to_le_bytes().to_vec();
    payload.resize(8 + (record % 251) as usize, record as u8);
    payload
}

/// The number of a record. One that no client appended has none that a model knows.
fn record_of(bytes: &[u8]) -> u64 {
    let number = bytes.first_chunk().map_or(u64::MAX, |number| u64::from_le_bytes(*number));
    if number != u64::MAX && bytes == payload(number) { number } else { u64::MAX }
}

/// The same draws for the same client (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
