//! A client thread's rings with one shard: requests one way, replies and read data the other.

use crate::limits::{DATA_RING_BYTES, IN_FLIGHT_MAX, REQUEST_BYTES_MAX, REQUEST_WINDOW_BYTES};
use crate::wire::{Done, Reply};
use spsc::{ByteConsumer, ByteProducer, Consumer, Doorbell, Producer};
use std::sync::Arc;

/// Bytes that a message takes up in a ring, with its header and padding.
pub(crate) const fn framed(message_bytes: usize) -> usize {
    message_bytes.next_multiple_of(8) + 8
}

/// The memory of the ring of requests: positions are arbitrary, so the longest must be found in one piece before the end or
/// after the start.
const REQUEST_RING_BYTES: usize = 2 * framed(REQUEST_BYTES_MAX);

/// The client's end of a port.
#[derive(Debug)]
pub struct ClientPort {
    /// Requests, as [`Request::encode`](crate::wire::Request::encode) writes them.
    pub requests: ByteProducer,
    /// One reply for each request.
    pub replies: Consumer<Reply>,
    /// For each reply that [has data](crate::wire::Done::has_data) its data, in the same order.
    pub data: ByteConsumer,
    /// Wakes the shard; to be rung after publishing requests, after taking data, and after the port is dropped.
    pub shard: Arc<Doorbell>,
}

impl ClientPort {
    /// Takes every reply that is there, each with its data; returns how many, and whether any had data (the shard
    /// may be waiting for its room, and wants to be told).
    #[inline]
    pub fn take(&mut self, mut take: impl FnMut(Reply, &[u8])) -> (usize, bool) {
        let ClientPort { replies, data, .. } = self;
        let (mut taken, mut with_data) = (0, false);
        // In this order: the shard publishes data before the replies that it belongs to, so whoever has seen a
        // reply finds its data.
        let replies = replies.drain(usize::MAX);
        let mut batch = data.batch();
        for reply in replies {
            taken += 1;
            if !reply.outcome.as_ref().is_ok_and(Done::has_data) {
                take(reply, &[]);
                continue;
            }
            if batch.peek().is_none() {
                // A batch may begin with what an earlier look left over, and end before the newest message.
                drop(batch);
                batch = data.batch();
            }
            with_data = true;
            take(reply, batch.next().unwrap_or(&[]));
        }
        (taken, with_data)
    }
}

/// The shard's end of a port. Whichever way it goes, be it that a panic unwinds the shard, its client is woken after the
/// rings are gone: who sleeps then finds that no answer will come.
#[derive(Debug)]
pub struct ShardPort {
    pub(crate) requests: ByteConsumer,
    pub(crate) replies: Producer<Reply>,
    pub(crate) data: ByteProducer,
    /// The last field: fields are dropped in order.
    pub(crate) client: ClientBell,
}

/// Wakes the client; also when it is dropped.
#[derive(Debug)]
pub(crate) struct ClientBell(Arc<Doorbell>);

impl ClientBell {
    #[inline]
    pub(crate) fn ring(&self) {
        self.0.ring();
    }
}

impl Drop for ClientBell {
    fn drop(&mut self) {
        self.ring();
    }
}

/// Makes a port. The client must never have more than `in_flight` requests unanswered: the ring of replies has
/// as many places, so a shard never waits for one.
///
/// # Panics
/// If `in_flight` is 0 or above [`IN_FLIGHT_MAX`].
#[must_use]
pub fn port(in_flight: usize, shard: Arc<Doorbell>, client: Arc<Doorbell>) -> (ClientPort, ShardPort) {
    make(in_flight, shard, client, spsc::byte_ring)
}

/// A [`port`] in an engine with keys: a record is in its rings only until the other side has taken it, so that no plaintext
/// outlives a key that is destroyed.
///
/// # Panics
/// As [`port`].
#[must_use]
pub fn wiped_port(in_flight: usize, shard: Arc<Doorbell>, client: Arc<Doorbell>) -> (ClientPort, ShardPort) {
    make(in_flight, shard, client, spsc::wiped_byte_ring)
}

fn make(
    in_flight: usize,
    shard: Arc<Doorbell>,
    client: Arc<Doorbell>,
    byte_ring: fn(usize, usize) -> (ByteProducer, ByteConsumer),
) -> (ClientPort, ShardPort) {
    assert!((1..=IN_FLIGHT_MAX).contains(&in_flight), "{in_flight} requests in flight: choose 1 to {IN_FLIGHT_MAX}");
    let (requests_tx, requests_rx) = byte_ring(REQUEST_RING_BYTES, REQUEST_WINDOW_BYTES);
    let (replies_tx, replies_rx) = spsc::ring(in_flight);
    let (data_tx, data_rx) = byte_ring(DATA_RING_BYTES, DATA_RING_BYTES);
    (
        ClientPort { requests: requests_tx, replies: replies_rx, data: data_rx, shard },
        ShardPort { requests: requests_rx, replies: replies_tx, data: data_tx, client: ClientBell(client) },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DATA_BYTES_MAX;
    use std::sync::Mutex;

    #[test]
    fn the_longest_request_and_the_longest_data_pass_from_anywhere() {
        let bell = || Arc::new(Doorbell::new(|| {}));
        let (mut client, mut shard) = port(4, bell(), bell());
        assert!(client.requests.message_bytes_max() >= REQUEST_BYTES_MAX);
        assert!(shard.data.message_bytes_max() >= DATA_BYTES_MAX);
        for len in [8, REQUEST_BYTES_MAX, 16, REQUEST_BYTES_MAX] {
            client.requests.reserve(len).unwrap();
            client.requests.commit();
            client.requests.publish();
            let batch = shard.requests.batch();
            assert_eq!(batch.next().map(<[u8]>::len), Some(len));
        }
    }

    /// A client looked at the replies, then at the data, and between the two the shard published both: the look at the data
    /// saw a message more than the replies taken. The next take was given the rest of that look and no new one, so a
    /// reply came without its data, and every later reply with that of another.
    #[test]
    fn each_reply_gets_its_own_data_whenever_the_client_looks() {
        let bell = || Arc::new(Doorbell::new(|| {}));
        let (mut client, mut shard) = port(8, bell(), bell());
        let put = |shard: &mut ShardPort, number: u8| {
            shard.data.reserve(1).unwrap()[0] = number;
            shard.data.commit();
            shard.data.publish();
        };
        let outcome = Ok(Done::Read { records: 1, next: 1 });
        let answer = |shard: &mut ShardPort, token: u64| shard.replies.try_push(Reply { token, outcome }).unwrap();
        let take = |client: &mut ClientPort| {
            let mut seen = Vec::new();
            client.take(|reply, data| seen.push((reply.token, data.to_vec())));
            seen
        };
        put(&mut shard, 1);
        put(&mut shard, 2);
        answer(&mut shard, 1);
        assert_eq!(take(&mut client), [(1, vec![1])]);
        put(&mut shard, 3);
        answer(&mut shard, 2);
        answer(&mut shard, 3);
        assert_eq!(take(&mut client), [(2, vec![2]), (3, vec![3])]);
    }

    /// A shard that went rang its clients before its rings were gone, or, unwinding, not at all: a client that slept
    /// looked once more, found nothing changed, and slept for ever.
    #[test]
    fn a_client_that_is_woken_by_the_end_of_its_shard_finds_the_rings_gone() {
        let watched: Arc<Mutex<Option<ClientPort>>> = Arc::default();
        let found = Arc::new(Mutex::new(Vec::new()));
        let bell = {
            let (watched, found) = (Arc::clone(&watched), Arc::clone(&found));
            Arc::new(Doorbell::new(move || {
                let watched = watched.lock().unwrap();
                let port = watched.as_ref().unwrap();
                let gone = port.replies.is_disconnected() && port.data.is_disconnected();
                found.lock().unwrap().push(gone && port.requests.is_disconnected());
            }))
        };
        let (client, shard) = port(1, Arc::new(Doorbell::new(|| {})), Arc::clone(&bell));
        *watched.lock().unwrap() = Some(client);
        bell.prepare_park();
        drop(shard);
        assert_eq!(*found.lock().unwrap(), [true]);
        *watched.lock().unwrap() = None;
    }
}
