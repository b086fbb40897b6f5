//! A shard that is stepped by hand, and its only client, on a backend that costs nothing.

use crate::writer::{START_NS, begin_log};
use crate::{InstantBackend, PAYLOAD_BYTES, log_buffers};
use crypto::secret::DataKey;
use kernel::{Durability, Kernel, Limits, NewKey, StreamId, TenantId};
use shard::limits::{HOLD_MAX_NS, IN_FLIGHT_DEFAULT};
use shard::wire::{Done, Request};
use shard::{ClientPort, Control, Shard, port};
use spsc::Doorbell;
use std::sync::Arc;

const TENANT: &str = "tenant";
/// Nanoseconds between two turns. Time is made up; it goes so fast that an open frame is never held for a third turn, and
/// so slowly that the log is never quiet.
const TURN_NS: u64 = HOLD_MAX_NS;

/// A shard and the client's end of its only port.
#[derive(Debug)]
pub struct ShardLoad {
    shard: Shard<InstantBackend>,
    client: ClientPort,
    streams: Vec<StreamId>,
    payload: [u8; PAYLOAD_BYTES],
    now: u64,
    next_token: u64,
}

impl ShardLoad {
    /// A shard with one tenant and so many streams, sealed with a key of their tenant's or in the clear.
    ///
    /// # Panics
    /// If it refuses what it is asked to make.
    #[must_use]
    pub fn new(streams: u32, sealed: bool) -> ShardLoad {
        let (_, buffers) = log_buffers();
        let log = begin_log(InstantBackend::default(), buffers);
        let bell = || Arc::new(Doorbell::new(|| {}));
        let (client, end) = port(IN_FLIGHT_DEFAULT, bell(), bell());
        let (mut inbox, messages) = spsc::ring(2);
        assert!(inbox.try_push(Control::Attach(Box::new(end))).is_ok(), "an empty ring has room");
        let tenant = TenantId::of_name(TENANT).0;
        let key = sealed.then(|| {
            let key = DataKey::from_bytes(&mut [9; 32]);
            let new = NewKey { key_id: 1, commitment: key.commitment(tenant, 1) };
            assert!(inbox.try_push(Control::AddKey { tenant, key_id: 1, key }).is_ok(), "there is room for two");
            new
        });
        let mut load = ShardLoad {
            shard: Shard::new(Kernel::new(Limits::default()), log, messages, Durability::NATURAL),
            client,
            streams: Vec::new(),
            payload: [0x5a; PAYLOAD_BYTES],
            now: START_NS,
            next_token: 0,
        };
        load.send(&Request::CreateTenant { name: TENANT, key });
        for number in 0..streams {
            load.send(&Request::CreateStream { tenant: TENANT, name: &format!("stream {number}"), key: None });
        }
        load.round();
        let ShardLoad { client, streams: made, .. } = &mut load;
        client.take(|reply, _| match reply.outcome {
            Ok(Done::StreamCreated { stream }) => made.push(stream),
            other => assert!(other.is_ok(), "{other:?}"),
        });
        assert_eq!(load.streams.len(), streams as usize);
        load
    }

    fn send(&mut self, request: &Request<'_>) {
        let place = self.client.requests.reserve(request.encoded_bytes()).expect("the ring has room for a batch");
        request.encode(self.next_token, place);
        self.client.requests.commit();
        self.client.requests.publish();
        self.next_token += 1;
    }

    /// Sends appends of one record each, to the streams in turn.
    ///
    /// # Panics
    /// If there is no room for them.
    pub fn send_appends(&mut self, count: usize) {
        let tenant = TenantId::of_name(TENANT);
        let payload = self.payload;
        for number in 0..count {
            let stream = self.streams[number % self.streams.len()];
            self.send(&Request::Append { tenant, stream, expected: None, level: None, records: &[&payload] });
        }
    }

    /// Sends questions for streams' ends.
    ///
    /// # Panics
    /// If there is no room for them.
    pub fn send_heads(&mut self, count: usize) {
        let tenant = TenantId::of_name(TENANT);
        for number in 0..count {
            let stream = self.streams[number % self.streams.len()];
            self.send(&Request::Head { tenant, stream });
        }
    }

    /// One turn.
    #[inline]
    pub fn turn(&mut self) {
        self.now += TURN_NS;
        self.shard.turn(self.now);
    }

    /// The turns that a small batch takes: the first takes what was sent and leaves the frame open for more, the second
    /// writes it, finds it written, and answers.
    #[inline]
    pub fn round(&mut self) {
        self.turn();
        self.turn();
    }

    /// Takes the answers that are there; returns how many.
    ///
    /// # Panics
    /// If one is a refusal.
    pub fn take(&mut self) -> usize {
        let (taken, _) = self.client.take(|reply, _| assert!(reply.outcome.is_ok(), "{reply:?}"));
        taken
    }
}
