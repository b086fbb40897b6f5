//! The records: bytes that no compression shrinks, the same for every engine and every run.

/// So much noise is made once; records are windows into it. Larger than a core's caches, as real records would be.
const POOL_BYTES: usize = 16 << 20;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Writers start apart in the pool.
const WRITER_STRIDE: u64 = 1_000_003;

/// Records of one length.
#[derive(Debug)]
pub(crate) struct Noise {
    pool: Vec<u8>,
    payload: usize,
}

impl Noise {
    pub(crate) fn new(payload: usize) -> Noise {
        let mut state = SEED;
        let words = (POOL_BYTES + payload).div_ceil(8);
        let pool = (0..words).flat_map(|_| splitmix(&mut state).to_le_bytes()).collect();
        Noise { pool, payload }
    }

    pub(crate) fn payload(&self) -> usize {
        self.payload
    }

    /// The record that a writer writes as its `at`th.
    #[inline]
    pub(crate) fn record(&self, writer: u64, at: u64) -> &[u8] {
        let start = (writer * WRITER_STRIDE + at * self.payload as u64) % POOL_BYTES as u64;
        &self.pool[start as usize..][..self.payload]
    }
}

/// SplitMix64, by Sebastiano Vigna: a generator of a few lines whose output passes for noise.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine that stored nothing but a counter would pass the reading back if records were alike.
    #[test]
    fn records_are_the_same_every_time_and_differ_from_each_other() {
        let (one, again) = (Noise::new(100), Noise::new(100));
        for at in [0, 1, 167_771, 167_772, 40_000_000] {
            assert_eq!(one.record(0, at), again.record(0, at));
            assert_eq!(one.record(0, at).len(), 100);
            assert_ne!(one.record(0, at), one.record(0, at + 1));
            assert_ne!(one.record(0, at), one.record(1, at));
        }
    }
}
