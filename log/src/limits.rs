//! Every bound of the log, and the arithmetic that relates them.

use crate::format::{BLOCK_BYTES, footer, frame};

/// Frames being written at once. More brought nothing on any device measured, and each costs a buffer.
pub const FRAMES_IN_FLIGHT: usize = 4;
/// A frame's buffers: those in flight, and the one that fills.
pub const FRAME_BUFFERS: usize = FRAMES_IN_FLIGHT + 1;
/// No frame is longer, whatever the configuration, so that every reader's buffer holds every frame.
pub const FRAME_BYTES_MAX: usize = 2 << 20;
/// Streams in one frame; the table's slot has 16 bits.
pub const FRAME_STREAMS_MAX: usize = 8192;
/// The smallest cap on a frame that may be configured.
pub const FRAME_CAP_MIN: usize = 4 * BLOCK_BYTES;
/// Records of one request, and their headers, at the most: they must fit one frame, with two table entries.
pub const REQUEST_RECORDS_BYTES_MAX: usize =
    FRAME_BYTES_MAX - frame::HEADER_BYTES - 2 * frame::ENTRY_BYTES - BLOCK_BYTES;

/// Reads of the log in flight; each has a buffer of [`FRAME_BYTES_MAX`].
pub const READS_IN_FLIGHT: usize = 4;
/// The first request of a read: large enough that most frames of a busy log come whole, small enough to cost
/// little more than one block (a device reads 64 KiB in about the time of 4).
pub const READ_BYTES_FIRST: usize = 64 << 10;

/// Ciphers kept for segments that are read; one more makes room by dropping the oldest. Making one takes about 2 µs.
pub const OPENERS_MAX: usize = 64;

/// A stream gets an index entry when its last one lies this far behind.
pub const INDEX_SPACING_BYTES: u64 = 64 << 10;
/// Index entries of one segment; a segment that reaches it is sealed early.
pub const INDEX_ENTRIES_MAX: usize = 1 << 17;
/// The longest footer: no more streams than index entries.
pub const FOOTER_BYTES_MAX: usize = footer::footer_bytes(INDEX_ENTRIES_MAX, INDEX_ENTRIES_MAX);
/// A footer is written in pieces of this size, one a turn.
pub const FOOTER_SLICE_BYTES: usize = 256 << 10;

/// A new segment is zeroed in pieces of this size, one in flight at a time: short beside the frames that it passes.
pub const ZERO_SLICE_BYTES: usize = 256 << 10;
/// And in pieces of this size when it falls behind the use of the active one: a frame that waits behind one of them waits a
/// fraction of a millisecond, one that waits for the whole segment tens.
pub const ZERO_SLICE_BYTES_MAX: usize = 1 << 20;
/// The first segment of an incarnation; the next ones grow with use, so that an engine which writes little
/// zeroes little, and one that restarts often wastes little.
pub const SEGMENT_BYTES_FIRST: u64 = 32 << 20;
/// The default of the largest segment.
pub const SEGMENT_BYTES_DEFAULT: u64 = 256 << 20;
/// The smallest segment that may be configured: room for one longest frame with its footer, and more.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 20;
/// The largest that may be configured; block numbers in the index have 32 bits and go far beyond.
pub const SEGMENT_BYTES_MAX: u64 = 16 << 30;
/// Segments being sealed at once; the writer waits rather than exceed it.
pub const SEALING_MAX: usize = 2;

/// Open segment files: the active one, the next, those being sealed, and a cache for reads.
pub const FILE_SLOTS: usize = 64;
/// Operations in flight in the backend.
pub const IO_DEPTH: usize = 32;

/// When the log falls quiet for this long, a mark frame carries the last durable mark, so that damage to the
/// last acknowledged frame cannot be taken for a torn tail. Long enough not to race a client's next request.
pub const QUIET_NS: u64 = 5_000_000;
/// After a failed preparation of a segment (a full disk), the next try.
pub const PREPARE_RETRY_NS: u64 = 500_000_000;

const _: () = {
    assert!(FRAME_STREAMS_MAX <= u16::MAX as usize);
    assert!(FRAME_BYTES_MAX.is_multiple_of(BLOCK_BYTES) && ZERO_SLICE_BYTES.is_multiple_of(BLOCK_BYTES));
    assert!(ZERO_SLICE_BYTES_MAX.is_multiple_of(ZERO_SLICE_BYTES));
    assert!(FOOTER_SLICE_BYTES.is_multiple_of(BLOCK_BYTES) && READ_BYTES_FIRST.is_multiple_of(BLOCK_BYTES));
    assert!(FOOTER_BYTES_MAX <= u32::MAX as usize);
    // One more prepares a segment, and one flushes frames.
    assert!(FRAMES_IN_FLIGHT + READS_IN_FLIGHT + SEALING_MAX + 2 <= IO_DEPTH);
    assert!(READS_IN_FLIGHT + SEALING_MAX + 2 < FILE_SLOTS);
    // Header, the longest frame with the most streams, their footer, trailer: so a new segment has room for any request.
    let footer_bytes_max = footer::footer_bytes(FRAME_STREAMS_MAX, FRAME_STREAMS_MAX);
    assert!(SEGMENT_BYTES_MIN as usize > BLOCK_BYTES + FRAME_BYTES_MAX + footer_bytes_max + BLOCK_BYTES);
    assert!(SEGMENT_BYTES_FIRST >= SEGMENT_BYTES_MIN);
};

/// Bytes of backend memory that a log carves from its arena.
pub const ARENA_BYTES: usize = (FRAME_BUFFERS + READS_IN_FLIGHT) * FRAME_BYTES_MAX
    + ZERO_SLICE_BYTES_MAX
    + SEALING_MAX * FOOTER_SLICE_BYTES
    + BLOCK_BYTES;
