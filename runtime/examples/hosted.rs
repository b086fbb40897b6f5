//! A front-end that hosts its shard: the thread that takes requests in also steps the shard that serves them, so that no
//! hand-over between cores lies between the two.
//!
//! `cargo run --example hosted [DIRECTORY]`

use diatreme::{CallError, Client, Engine, Outcome, ShardSeat, StreamRef, Token};
use std::collections::HashMap;
use std::error::Error;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// What would come in from a socket, and where its answer goes.
struct Request {
    stream: StreamRef,
    record: Vec<u8>,
    answer: Sender<Result<u64, CallError>>,
}

/// Nothing wakes the thread when a request comes in while it rests, so it looks so often. A front-end with a socket would poll that.
const REST_MAX: Duration = Duration::from_millis(1);
/// Requests that are taken in and not answered: fewer than a client may have in flight, so none is refused for that.
const OPEN_MAX: usize = 1024;

fn main() -> Result<(), Failure> {
    let directory = std::env::args_os().nth(1).unwrap_or_else(|| "diatreme-data".into());
    host(directory.as_ref())
}

pub(crate) fn host(directory: &std::path::Path) -> Result<(), Failure> {
    let (engine, mut seats) = Engine::builder(directory).unencrypted().shards(1).open_hosted()?;
    let seat = seats.pop().ok_or("an engine of one shard has one seat")?;
    let (requests, incoming) = mpsc::channel();
    let inside = engine.client();
    let front_end = std::thread::spawn(move || serve(seat, inside, &incoming));

    // Other threads are served as ever; calls that wait belong there.
    let stream = engine.client().ensure_stream("acme", "audit")?;
    let (answer, answers) = mpsc::channel();
    for user in 0..3 {
        let record = format!("user {user} logged in").into_bytes();
        requests.send(Request { stream, record, answer: answer.clone() })?;
    }
    drop(answer);
    for offset in answers {
        println!("offset {} is durable", offset?);
    }
    engine.close()?; // waits for the front-end to close its shard
    front_end.join().map_err(|_| "the front-end panicked")??;
    Ok(())
}

/// The loop of the front-end: requests in, a turn of the shard, answers out.
fn serve(seat: ShardSeat, mut client: Client, incoming: &Receiver<Request>) -> Result<(), Failure> {
    let mut shard = seat.start()?;
    let mut owed = HashMap::<Token, Sender<_>>::new();
    while !shard.is_stopping() {
        for Request { stream, record, answer } in incoming.try_iter().take(OPEN_MAX - owed.len()) {
            owed.insert(client.submit_append(&stream, None, &[&record])?, answer);
        }
        let progress = shard.turn();
        client.poll(|completion| {
            let Some(answer) = owed.remove(&completion.token) else { return };
            let offset = completion.result.map(|outcome| match outcome {
                Outcome::Appended(appended) => appended.first,
                other => unreachable!("{other:?} to an append"),
            });
            // Whoever asked may be gone.
            let _nobody_listens = answer.send(offset);
        })?;
        shard.rest(progress, Some(REST_MAX))?;
    }
    drop(client);
    shard.close();
    Ok(())
}
