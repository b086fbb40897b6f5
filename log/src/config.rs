//! What a log is told at its start, and what it says of itself.

use crate::format::BLOCK_BYTES;
use crate::format::segment::{Base, SegmentId};
use crate::limits::{
    FOOTER_SLICE_BYTES, FRAME_BUFFERS, FRAME_BYTES_MAX, FRAME_CAP_MIN, READS_IN_FLIGHT, SEALING_MAX, SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN, ZERO_SLICE_BYTES_MAX,
};
use iobackend::{Arena, Buffer, IoError};

/// What a log is to be.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The log's number.
    pub log: u16,
    /// The data directory's id.
    pub engine: [u8; 16],
    /// This opening's id.
    pub incarnation: [u8; 16],
    /// The largest segment, in bytes; whole blocks.
    pub segment_bytes: u64,
    /// A frame closes when it has reached this many bytes.
    pub frame_cap: usize,
}

impl LogConfig {
    /// Says what is wrong with the sizes, if anything is.
    ///
    /// # Errors
    /// A sentence that names the limit.
    pub fn check(&self) -> Result<(), String> {
        let range = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        if !range.contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(BLOCK_BYTES as u64) {
            return Err(format!(
                "segments of {} bytes: choose {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}, a multiple of {BLOCK_BYTES}",
                self.segment_bytes
            ));
        }
        if !(FRAME_CAP_MIN..=FRAME_BYTES_MAX).contains(&self.frame_cap) {
            return Err(format!(
                "a frame cap of {} bytes: choose {FRAME_CAP_MIN} to {FRAME_BYTES_MAX}",
                self.frame_cap
            ));
        }
        Ok(())
    }
}

/// Where a log goes on: the result of recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStart {
    /// Where the adopted part ends.
    pub base: Base,
    /// The number of the first segment to be written.
    pub segment: u32,
}

/// The log's memory, carved from the arena that the backend registers.
#[derive(Debug)]
pub struct LogBuffers {
    pub(crate) frames: Vec<Buffer>,
    pub(crate) reads: Vec<Buffer>,
    pub(crate) seals: Vec<Buffer>,
    pub(crate) zeros: Buffer,
    pub(crate) block: Buffer,
}

impl LogBuffers {
    /// Carves the buffers; `None` if the arena has less than [`ARENA_BYTES`](crate::limits::ARENA_BYTES) left.
    #[must_use]
    pub fn take(arena: &mut Arena) -> Option<LogBuffers> {
        let mut many = |count: usize, bytes: usize| (0..count).map(|_| arena.take(bytes)).collect::<Option<Vec<_>>>();
        let frames = many(FRAME_BUFFERS, FRAME_BYTES_MAX)?;
        let reads = many(READS_IN_FLIGHT, FRAME_BYTES_MAX)?;
        let seals = many(SEALING_MAX, FOOTER_SLICE_BYTES)?;
        let mut zeros = arena.take(ZERO_SLICE_BYTES_MAX)?;
        // An arena that was used before is not zeroed.
        zeros.fill(0);
        Some(LogBuffers { frames, reads, seals, zeros, block: arena.take(BLOCK_BYTES)? })
    }
}

/// Why a log writes no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFailure {
    /// What was being done.
    pub doing: &'static str,
    /// In which segment.
    pub segment: SegmentId,
    /// What the system said.
    pub source: IoError,
}

impl std::fmt::Display for LogFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cannot {} in {}: {}; this shard writes no more until the directory is opened again",
            self.doing, self.segment, self.source
        )
    }
}

/// Whether records can be appended now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Ready,
    /// Not yet: writes are in flight, or the next segment is being prepared. Ask again next turn.
    Busy,
    /// The next segment could not be made: the disk is full, or refuses.
    NoSpace,
    /// The log has failed and writes no more.
    Failed,
}

/// What the log did so far in this incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Frames with records that were written.
    pub frames: u64,
    /// Mark frames that were written.
    pub marks: u64,
    /// Records in them.
    pub records: u64,
    /// Payload bytes in them.
    pub payload_bytes: u64,
    /// Bytes of the frames, headers, tables and padding included.
    pub frame_bytes: u64,
    /// Segments that were filled and left.
    pub rotations: u64,
    /// Flushes for frames that were written without one. A frame that is flushed as it is written needs none.
    pub flushes: u64,
    /// The most records that were answered and not flushed yet, at any time.
    pub unflushed_records_max: u64,
    /// The longest that any of them was not flushed, in nanoseconds.
    pub unflushed_ns_max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100,000,000 bytes were taken, and the shard panicked when the second segment, of that length, was zeroed: its last
    /// piece was no whole block.
    #[test]
    fn a_segment_that_is_not_whole_blocks_is_refused() {
        let check = |segment_bytes, frame_cap| {
            let (log, engine, incarnation) = (0, [0; 16], [0; 16]);
            LogConfig { log, engine, incarnation, segment_bytes, frame_cap }.check()
        };
        assert_eq!(check(SEGMENT_BYTES_MIN, FRAME_CAP_MIN), Ok(()));
        assert_eq!(check(SEGMENT_BYTES_MAX, FRAME_BYTES_MAX), Ok(()));
        for bytes in [0, SEGMENT_BYTES_MIN - 4096, SEGMENT_BYTES_MIN + 1, 100_000_000, SEGMENT_BYTES_MAX + 4096] {
            let refused = check(bytes, FRAME_CAP_MIN).unwrap_err();
            assert!(refused.contains(&format!("segments of {bytes} bytes")), "{refused}");
        }
        assert!(check(SEGMENT_BYTES_MIN, FRAME_CAP_MIN - 1).unwrap_err().contains("frame cap"));
    }
}
