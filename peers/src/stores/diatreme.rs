//! Diatreme: one shard, one client, one stream. A batch is one request; commits in flight are the client's window.

use super::{Engine as Peer, Store, locked_version};
use crate::cell::{Cell, Clock, Tally};
use crate::failure::Failure;
use diatreme::{Client, Completion, Engine, Outcome, StreamRef};
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

pub(super) const ENGINE: Peer = Peer { name: "Diatreme", concurrent: true, calls_counted: false, open };

struct Opened {
    engine: Engine,
    client: Client,
    stream: StreamRef,
}

fn open(directory: &Path, _: u64) -> Result<Box<dyn Store>, Failure> {
    let engine = Engine::builder(directory).unencrypted().shards(1).open().map_err(Failure::doing("cannot open"))?;
    let mut client = engine.client();
    let stream = client.ensure_stream("peers", "appends").map_err(Failure::doing("cannot make a stream"))?;
    Ok(Box::new(Opened { engine, client, stream }))
}

impl Store for Opened {
    fn version(&self) -> String {
        locked_version("diatreme")
    }

    fn run(&mut self, cell: &Cell<'_>) -> Result<Tally, Failure> {
        let client = self.engine.client_with_window(cell.in_flight).map_err(Failure::doing("cannot make a client"))?;
        pipeline(client, &self.stream, cell)
    }

    fn read(&mut self, writer: u64, at: u64) -> Result<Option<Vec<u8>>, Failure> {
        let head = self.client.head(&self.stream).map_err(Failure::doing("cannot ask for the stream's end"))?;
        if writer > 0 || at >= head.next {
            return Ok(None);
        }
        let mut records = self.client.read(&self.stream, at, 1).map_err(Failure::doing("cannot read"))?;
        Ok(records.pop().map(|record| record.payload))
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        drop(self.client);
        let stats = self.engine.close().map_err(Failure::doing("cannot close"))?;
        Ok(Some(stats.iter().map(|shard| shard.log.frames).sum()))
    }
}

/// Keeps as many requests in flight as the cell says, from one thread.
fn pipeline(mut client: Client, stream: &StreamRef, cell: &Cell<'_>) -> Result<Tally, Failure> {
    let mut tally = Tally::new()?;
    let mut records = Vec::with_capacity(cell.batch);
    let mut in_flight = VecDeque::with_capacity(cell.in_flight);
    let mut next = 0;
    let mut now = Instant::now();
    let clock = Clock::start(cell);
    while !(clock.is_over(now) && in_flight.is_empty()) {
        while in_flight.len() < cell.in_flight && !clock.is_over(now) {
            records.clear();
            records.extend((next..next + cell.batch as u64).map(|at| cell.noise.record(0, at)));
            let sent = Instant::now();
            client.submit_append(stream, None, &records).map_err(Failure::doing("cannot append"))?;
            in_flight.push_back((next, sent));
            next += cell.batch as u64;
            now = sent;
        }
        let mut answers = Ok(());
        let mut arrived = None;
        let waited = client.wait(|answer| {
            let acknowledged = *arrived.get_or_insert_with(Instant::now);
            // A stream's answers come in the order of its requests.
            match check(&answer, in_flight.pop_front(), cell) {
                Ok(sent) => tally.count(&clock, sent, acknowledged),
                Err(failure) => answers = Err(failure),
            }
        });
        waited.map_err(Failure::doing("cannot take answers"))?;
        answers?;
        now = arrived.unwrap_or_else(Instant::now);
    }
    tally.written.push(next);
    Ok(tally)
}

/// An answer must be that of the request which was sent first, and promise that the records are durable.
fn check(answer: &Completion<'_>, sent: Option<(u64, Instant)>, cell: &Cell<'_>) -> Result<Instant, Failure> {
    match (&answer.result, sent) {
        (Ok(Outcome::Appended(appended)), Some((first, at)))
            if appended.is_durable() && appended.first == first && appended.count as usize == cell.batch =>
        {
            Ok(at)
        }
        (result, sent) => Err(Failure::Failed(format!("to an append of {sent:?} the answer was {result:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flush_count::{Calls, turn};
    use diatreme::Mode;

    /// Calls by io_uring are not seen. Where the same log writes through the C library, its own account, which stands in for
    /// them, must be what is counted.
    #[test]
    fn the_engines_account_of_its_frames_is_what_it_flushes() {
        let _turn = turn();
        let directory = tempfile::tempdir_in(".").unwrap();
        let engine = Engine::builder(directory.path()).unencrypted().shards(1).backend(Mode::Sync).open().unwrap();
        let mut client = engine.client();
        let stream = client.ensure_stream("peers", "appends").unwrap();
        let before = Calls::now();
        for _ in 0..100 {
            assert!(client.append(&stream, b"a record").unwrap().is_durable());
        }
        let flushes = Calls::now().since(before).flushes();
        drop(client);
        let frames: u64 = engine.close().unwrap().iter().map(|shard| shard.log.frames).sum();
        // Each was waited for, so each had a frame; two more are the creation of the tenant and of the stream.
        assert!((100..=102).contains(&frames) && flushes >= 100, "{frames} frames, {flushes} flushes");
    }
}
