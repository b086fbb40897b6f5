//! The processor's floor: copying records into a frame, sealing them if the engine does, and chaining them.

use super::fastest_ns;
use crypto::seal::{SegmentKey, associated_data};
use crypto::secret::DataKey;
use crypto::{LANES, Link};
use log::format::frame::{RECORD_HASHED_FROM, RECORD_HEADER_BYTES, TAG_BYTES, record_bytes};
use serde::{Deserialize, Serialize};
use std::array;
use std::hint::black_box;
use std::time::Duration;

/// The frame that is filled over and over, unless one group of records needs more: with what is copied into it, it
/// stays in a core's own cache.
const FRAME_BYTES: usize = 64 << 10;

/// Records between two looks at the clock, at least.
const RECORDS_A_LOOK: u64 = 256;

/// What it costs one core to copy a record, to seal it, and to extend its stream's chain by it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChainFloor {
    pub(crate) payload_bytes: usize,
    /// Chains that were hashed side by side.
    pub(crate) lanes: usize,
    /// Whether records were sealed too.
    #[serde(default)]
    pub(crate) sealed: bool,
    pub(crate) ns_per_record: f64,
}

/// Measures the bare loop: each payload is copied once, behind a header of which only the offset is written, sealed in place if
/// that is asked for, and hashed as the log hashes it, as many chains side by side as the log could with `streams` of them. Sealed
/// records are hashed a group later, so that the processor can seal one and hash the other at once.
///
/// No engine that chains (and seals) these records on one core with these libraries is faster: it must have each payload where the
/// device will read it, and the hash of each record needs the one before it. It will also decode, decide, frame and answer.
pub(crate) fn chain(payload_bytes: usize, streams: usize, sealed: bool, duration: Duration) -> ChainFloor {
    let lanes = streams.clamp(1, LANES);
    let measure = match lanes {
        1 => ns_per_record::<1>,
        2 => ns_per_record::<2>,
        3 => ns_per_record::<3>,
        _ => ns_per_record::<LANES>,
    };
    // A key for a measurement: it seals nothing of anybody's.
    let cipher = sealed.then(|| SegmentKey::derive(&DataKey::from_bytes(&mut [9; 32]), &[7; 32], 1, 1));
    let ns_per_record = measure(payload_bytes, streams, cipher.as_ref(), duration);
    ChainFloor { payload_bytes, lanes, sealed, ns_per_record }
}

fn ns_per_record<const N: usize>(
    payload_bytes: usize,
    streams: usize,
    cipher: Option<&SegmentKey>,
    duration: Duration,
) -> f64 {
    let stored_bytes = payload_bytes + if cipher.is_some() { TAG_BYTES } else { 0 };
    let stride = record_bytes(stored_bytes);
    let group_bytes = N * stride;
    let mut frame = vec![0; FRAME_BYTES.next_multiple_of(group_bytes)];
    let payload = vec![0x5a_u8; payload_bytes];
    // Streams take turns, in groups that are hashed together; the last group is filled up.
    let mut links = vec![[Link::from_bytes([7; 32]); N]; streams.max(1).div_ceil(N)];
    let (mut turn, mut offset) = (0, 0_u64);
    let ns = fastest_ns(duration, || {
        let first = offset;
        while offset - first < RECORDS_A_LOOK {
            let mut before = None;
            for at in (0..frame.len()).step_by(group_bytes) {
                for record in frame[at..at + group_bytes].chunks_exact_mut(stride) {
                    let (header, rest) = record.split_at_mut(RECORD_HEADER_BYTES);
                    header[8..16].copy_from_slice(&offset.to_le_bytes());
                    let (place, tag) = rest.split_at_mut(payload_bytes);
                    place.copy_from_slice(black_box(&payload));
                    if let Some(cipher) = cipher
                        && let Some(hashed) = header[RECORD_HASHED_FROM..].first_chunk()
                    {
                        let sealed = cipher.seal(offset, at as u32, &associated_data(1, 1, hashed), place);
                        tag[..TAG_BYTES].copy_from_slice(&sealed);
                    }
                    offset += 1;
                }
                let ready = if cipher.is_some() { before.replace(at) } else { Some(at) };
                if let Some(ready) = ready {
                    extend(&mut links[turn], &frame[ready..], stride, stored_bytes);
                    turn = if turn + 1 == links.len() { 0 } else { turn + 1 };
                }
            }
            if let Some(last) = before {
                extend(&mut links[turn], &frame[last..], stride, stored_bytes);
                turn = if turn + 1 == links.len() { 0 } else { turn + 1 };
            }
        }
        offset - first
    });
    black_box(&links);
    ns
}

/// Extends each of some chains by a record of the group.
fn extend<const N: usize>(links: &mut [Link; N], group: &[u8], stride: usize, stored_bytes: usize) {
    let records: [&[u8]; N] = array::from_fn(|lane| {
        let record = &group[lane * stride..][..stride];
        &record[RECORD_HASHED_FROM..RECORD_HEADER_BYTES + stored_bytes]
    });
    crypto::next_lanes(links, &records);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_the_shortest_record_have_a_floor() {
        for (payload_bytes, streams, lanes) in [(0, 1, 1), (1, 2, 2), (100, 3, 3), (100, 1000, 4), (1 << 20, 5, 4)] {
            let sealed = payload_bytes != 1;
            let floor = chain(payload_bytes, streams, sealed, Duration::from_millis(1));
            assert_eq!((floor.payload_bytes, floor.lanes, floor.sealed), (payload_bytes, lanes, sealed));
            // Nothing hashes 64 bytes in a nanosecond.
            let least_ns = (payload_bytes / 64).max(1) as f64;
            assert!((least_ns..1e9).contains(&floor.ns_per_record), "{floor:?}");
        }
    }
}
