//! A client thread's rings with one shard: requests one way, replies and read data the other.

use crate::limits::{DATA_BYTES_MAX, IN_FLIGHT_MAX, REQUEST_BYTES_MAX, REQUEST_WINDOW_BYTES};
use crate::wire::Reply;
use spsc::{ByteConsumer, ByteProducer, Consumer, Doorbell, Producer};
use std::sync::Arc;

/// The memory of a ring whose longest message has so many bytes: positions are arbitrary, so it must be found in
/// one piece before the end or after the start; and each has a header, and padding.
const fn ring_bytes(message_bytes: usize) -> usize {
    2 * (message_bytes.next_multiple_of(8) + 8)
}

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

/// The shard's end of a port.
#[derive(Debug)]
pub struct ShardPort {
    pub(crate) requests: ByteConsumer,
    pub(crate) replies: Producer<Reply>,
    pub(crate) data: ByteProducer,
    pub(crate) client: Arc<Doorbell>,
}

/// Makes a port. The client must never have more than `in_flight` requests unanswered: the ring of replies has
/// as many places, so a shard never waits for one.
///
/// # Panics
/// If `in_flight` is 0 or above [`IN_FLIGHT_MAX`].
#[must_use]
pub fn port(in_flight: usize, shard: Arc<Doorbell>, client: Arc<Doorbell>) -> (ClientPort, ShardPort) {
    assert!((1..=IN_FLIGHT_MAX).contains(&in_flight), "{in_flight} requests in flight: choose 1 to {IN_FLIGHT_MAX}");
    let (requests_tx, requests_rx) = spsc::byte_ring(ring_bytes(REQUEST_BYTES_MAX), REQUEST_WINDOW_BYTES);
    let (replies_tx, replies_rx) = spsc::ring(in_flight);
    let bytes = ring_bytes(DATA_BYTES_MAX);
    let (data_tx, data_rx) = spsc::byte_ring(bytes, bytes);
    (
        ClientPort { requests: requests_tx, replies: replies_rx, data: data_rx, shard },
        ShardPort { requests: requests_rx, replies: replies_tx, data: data_tx, client },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
