//! The bounds of a shard's loop, and how they relate to those of the log and the kernel.

/// Requests taken from one port before the next port has its turn.
pub const BATCH_REQUESTS: usize = 128;
/// Bytes of requests taken from one port before the next port has its turn. The request that reaches it is the last one, however
/// long.
pub const BATCH_BYTES: usize = 128 << 10;
/// Requests taken in one turn over all ports: some 30 µs of work if they are small, so that completions are seen in time.
pub const TURN_REQUESTS: usize = 256;
/// Bytes of requests taken in one turn, up to a batch more: some 150 µs of copying and chaining.
pub const TURN_BYTES: usize = 256 << 10;
/// A frame that holds so many bytes is closed though others are in flight: filling the next takes about as long as writing it.
pub const PIPELINE_BYTES: usize = 64 << 10;
/// A small frame is held open for so long after a request: a client that sends several needs a tenth of it for each.
pub const HOLD_AFTER_REQUESTS_NS: u64 = 1_000;
/// And for so long after answers: the clients that got them are about to send again.
pub const HOLD_AFTER_ANSWERS_NS: u64 = 5_000;
/// But no longer than this in all: requests that write nothing, and their answers, could go on for ever.
pub const HOLD_MAX_NS: u64 = 4 * HOLD_AFTER_ANSWERS_NS;
/// Turns that leave requests behind before the open frame is closed all the same: with appends it is full long before, but
/// requests that write nothing could keep the rings from ever being empty, and an append waiting.
pub const HELD_TURNS_MAX: u32 = 16;
/// Clients that may be attached to a shard.
pub const PORTS_MAX: usize = 1024;
/// Requests that one client may have in flight on one shard, unless it asks for fewer.
pub const IN_FLIGHT_DEFAULT: usize = 8192;
/// The most that may be configured.
pub const IN_FLIGHT_MAX: usize = 1 << 20;
/// Requests that all clients of a shard together may have in flight: it bounds the shard's queue of answers, which the product of
/// clients and their windows would not do usefully. As many clients as there may be, half of the default window each.
pub const PLACES_MAX: usize = 4 << 20;
/// Bytes of requests that may wait in a client's ring: what waits in a ring is latency.
pub const REQUEST_WINDOW_BYTES: usize = 256 << 10;
/// Payload bytes of one request, over all its records.
pub const REQUEST_PAYLOAD_MAX: u32 = 1536 << 10;
/// Records of one request.
pub const REQUEST_RECORDS_MAX: u32 = 4096;
/// The longest request, as it lies in the ring.
pub const REQUEST_BYTES_MAX: usize =
    crate::wire::HEADER_BYTES + REQUEST_PAYLOAD_MAX as usize + 4 * REQUEST_RECORDS_MAX as usize;
/// Bytes that a record takes in the log beside its payload, at the most: sealed, and padded.
pub const RECORD_OVERHEAD_BYTES_MAX: usize =
    log::format::frame::RECORD_HEADER_BYTES + log::format::frame::TAG_BYTES + 7;
/// Bytes of records that one read gives, unless a single record has more.
pub const READ_BYTES_MAX: u32 = 1 << 20;
/// The longest message of read data: one longest record, or a full read.
pub const DATA_BYTES_MAX: usize = REQUEST_PAYLOAD_MAX as usize + crate::wire::RECORD_BYTES;

/// The memory of a port's ring of data: as many full reads as the log has in flight, and the longest message besides, since one
/// that does not fit before the end of the memory leaves it empty. It is touched only as data fills it.
pub const DATA_RING_BYTES: usize =
    log::limits::READS_IN_FLIGHT * crate::port::framed(READ_BYTES_MAX as usize) + crate::port::framed(DATA_BYTES_MAX);

const _: () = {
    let records = REQUEST_PAYLOAD_MAX as usize + REQUEST_RECORDS_MAX as usize * RECORD_OVERHEAD_BYTES_MAX;
    assert!(records <= log::limits::REQUEST_RECORDS_BYTES_MAX, "every request fits one frame");
    assert!(IN_FLIGHT_DEFAULT <= IN_FLIGHT_MAX && IN_FLIGHT_MAX <= PLACES_MAX);
    assert!(PORTS_MAX * IN_FLIGHT_DEFAULT == 2 * PLACES_MAX);
    assert!(READ_BYTES_MAX as usize <= DATA_BYTES_MAX);
    assert!(DATA_RING_BYTES >= 2 * crate::port::framed(DATA_BYTES_MAX), "the longest data pass from anywhere");
    assert!(kernel::LISTING_BYTES_MAX as usize <= DATA_BYTES_MAX);
};
