//! The processor's floor: copying records into a frame and chaining them.

use super::fastest_ns;
use crypto::{LANES, Link};
use log::format::frame::{RECORD_HASHED_FROM, RECORD_HEADER_BYTES, record_bytes};
use serde::{Deserialize, Serialize};
use std::array;
use std::hint::black_box;
use std::time::Duration;

/// The frame that is filled over and over, unless one group of records needs more: with what is copied into it, it
/// stays in a core's own cache.
const FRAME_BYTES: usize = 64 << 10;

/// Records between two looks at the clock, at least.
const RECORDS_A_LOOK: u64 = 256;

/// What it costs one core to copy a record and to extend its stream's chain by it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChainFloor {
    pub(crate) payload_bytes: usize,
    /// Chains that were hashed side by side.
    pub(crate) lanes: usize,
    pub(crate) ns_per_record: f64,
}

/// Measures the bare loop: each payload is copied once, behind a header of which only the offset is written, and hashed as
/// the log hashes it, as many chains side by side as the log could with `streams` of them.
///
/// No engine that chains these records on one core is faster: it must have each payload where the device will read it, and
/// the hash of each record needs the one before it. It will also decode, decide, frame and answer.
pub(crate) fn chain(payload_bytes: usize, streams: usize, duration: Duration) -> ChainFloor {
    let lanes = streams.clamp(1, LANES);
    let measure = match lanes {
        1 => ns_per_record::<1>,
        2 => ns_per_record::<2>,
        3 => ns_per_record::<3>,
        _ => ns_per_record::<LANES>,
    };
    ChainFloor { payload_bytes, lanes, ns_per_record: measure(payload_bytes, streams, duration) }
}

fn ns_per_record<const N: usize>(payload_bytes: usize, streams: usize, duration: Duration) -> f64 {
    let stride = record_bytes(payload_bytes);
    let group_bytes = N * stride;
    let mut frame = vec![0; FRAME_BYTES.next_multiple_of(group_bytes)];
    let payload = vec![0x5a_u8; payload_bytes];
    // Streams take turns, in groups that are hashed together; the last group is filled up.
    let mut links = vec![[Link::from_bytes([7; 32]); N]; streams.max(1).div_ceil(N)];
    let (mut turn, mut offset) = (0, 0_u64);
    let ns = fastest_ns(duration, || {
        let first = offset;
        while offset - first < RECORDS_A_LOOK {
            for group in frame.chunks_exact_mut(group_bytes) {
                for record in group.chunks_exact_mut(stride) {
                    let (header, rest) = record.split_at_mut(RECORD_HEADER_BYTES);
                    header[8..16].copy_from_slice(&offset.to_le_bytes());
                    rest[..payload_bytes].copy_from_slice(black_box(&payload));
                    offset += 1;
                }
                let records: [&[u8]; N] = array::from_fn(|lane| {
                    let record = &group[lane * stride..][..stride];
                    &record[RECORD_HASHED_FROM..RECORD_HEADER_BYTES + payload_bytes]
                });
                crypto::next_lanes(&mut links[turn], &records);
                turn = if turn + 1 == links.len() { 0 } else { turn + 1 };
            }
        }
        offset - first
    });
    black_box(&links);
    ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_the_shortest_record_have_a_floor() {
        for (payload_bytes, streams, lanes) in [(0, 1, 1), (1, 2, 2), (100, 3, 3), (100, 1000, 4), (1 << 20, 5, 4)] {
            let floor = chain(payload_bytes, streams, Duration::from_millis(1));
            assert_eq!((floor.payload_bytes, floor.lanes), (payload_bytes, lanes));
            // Nothing hashes 64 bytes in a nanosecond.
            let least_ns = (payload_bytes / 64).max(1) as f64;
            assert!((least_ns..1e9).contains(&floor.ns_per_record), "{floor:?}");
        }
    }
}
