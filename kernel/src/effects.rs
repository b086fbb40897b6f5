//! What a batch of commands comes to: records for the log, replies for the clients.

use crate::ids::{RecordKind, StreamId, StreamSlot};
use crate::limits::NAME_BYTES_MAX;
use crate::refusal::Refusal;

/// The outcome of a batch, in the order in which its commands were applied. Kept and cleared from
/// batch to batch, so that it stops allocating once it is large enough.
#[derive(Debug, Default)]
pub struct Effects {
    /// The records to log, in this order.
    pub records: Vec<RecordEffect>,
    /// The replies: one for each command.
    pub replies: Vec<ReplyEffect>,
    /// Bytes that lie in no request: payloads of catalog records, and listings.
    pub scratch: Vec<u8>,
}

impl Effects {
    /// Room for `requests` commands of one record each, creations too.
    #[must_use]
    pub fn new(requests: usize) -> Self {
        Self {
            records: Vec::with_capacity(requests),
            replies: Vec::with_capacity(requests),
            scratch: Vec::with_capacity(requests * (size_of::<StreamId>() + NAME_BYTES_MAX)),
        }
    }

    /// Forgets the outcome and keeps the room.
    pub fn clear(&mut self) {
        self.records.clear();
        self.replies.clear();
        self.scratch.clear();
    }
}

/// One record to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordEffect {
    /// The command that it comes from, as numbered by the caller of `apply`.
    pub request: u32,
    /// Its stream.
    pub slot: StreamSlot,
    /// What it says.
    pub kind: RecordKind,
    /// Its offset in the stream.
    pub offset: u64,
    /// Its number in the tenant, over all streams.
    pub position: u64,
    /// Nanoseconds since 1970; never less than that of the tenant's record before.
    pub timestamp: u64,
    /// Where its payload lies.
    pub payload: Payload,
}

/// Where a record's payload lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// In the body of the record's request.
    Request {
        /// First byte.
        start: u32,
        /// Bytes.
        len: u32,
    },
    /// In [`Effects::scratch`].
    Scratch {
        /// First byte.
        start: u32,
        /// Bytes.
        len: u32,
    },
}

/// One command's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyEffect {
    /// The command, as numbered by the caller of `apply`.
    pub request: u32,
    /// The stream whose newest record, as of this reply, the reply could have seen: a reply that
    /// promises durability waits until that record is durable. `None`: it saw no record.
    ///
    /// One stream is enough: a shard logs its records in the order of the effects, so when a
    /// record is durable, so are all before it, and the kernel names the newest one seen.
    pub slot: Option<StreamSlot>,
    /// What the client is told.
    pub outcome: Result<Reply, Refusal>,
}

/// What a command that was accepted came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The tenant exists.
    TenantCreated {
        /// Time of creation, nanoseconds since 1970.
        timestamp: u64,
    },
    /// The stream exists.
    StreamCreated {
        /// Its id.
        stream: StreamId,
        /// Time of creation, nanoseconds since 1970.
        timestamp: u64,
    },
    /// The records are in the stream.
    Appended {
        /// Offset of the first.
        first: u64,
        /// How many.
        count: u32,
        /// The time that they all carry, nanoseconds since 1970.
        timestamp: u64,
    },
    /// Where the stream ends.
    Head {
        /// The offset after its last record, which is also how many it ever had.
        next: u64,
        /// Time of its last record, nanoseconds since 1970; 0 if it never had one.
        timestamp: u64,
    },
    /// The read is granted; the records are in the log.
    Read {
        /// The stream.
        slot: StreamSlot,
        /// Offset of the first record asked for.
        from: u64,
        /// The offset to stop before: the stream's end as of this command. Later records may be
        /// in the log by the time it is read, but the reply does not wait for them.
        next: u64,
        /// Records to return at most.
        records_max: u32,
        /// Bytes to return at most.
        bytes_max: u32,
    },
    /// The stream that has the name.
    Resolved {
        /// Its id.
        stream: StreamId,
        /// The offset after its last record.
        next: u64,
    },
    /// A page of names: a [`Listing`](crate::Listing) in [`Effects::scratch`].
    Listed {
        /// First byte.
        start: u32,
        /// Bytes.
        len: u32,
        /// Whether there are entries after the page's last.
        more: bool,
    },
    /// The tenant has the policy.
    DurabilitySet {
        /// Time of the newest record of the tenant's catalog, nanoseconds since 1970.
        timestamp: u64,
    },
    /// The key seals from here on.
    KeyIntroduced {
        /// Time of its record, nanoseconds since 1970.
        timestamp: u64,
    },
    /// The data is erased as far as the log is concerned.
    Erased {
        /// Time of the newest record of the tenant's catalog, nanoseconds since 1970.
        timestamp: u64,
    },
    /// The stream or the tenant is deleted.
    Deleted {
        /// Time of deletion, nanoseconds since 1970.
        timestamp: u64,
    },
}
