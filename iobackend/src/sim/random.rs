//! The one source of chance in a simulation.

/// A generator of the xoshiro256** family (Blackman and Vigna, 2018), its state drawn from the seed by SplitMix64 (Steele,
/// Lea and Flood, 2014). Fast, small, the same on every machine; not for secrets.
#[derive(Clone, Debug)]
pub struct Rng {
    /// What [`fork`](Self::fork) derives from, however much was drawn.
    seed: u64,
    state: [u64; 4],
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    /// The generator of a seed. Neighbouring seeds have nothing in common.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut at = seed;
        let state = std::array::from_fn(|_| {
            at = at.wrapping_add(GOLDEN);
            mix(at)
        });
        Self { seed, state }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `n`. By multiplication and without rejection: the bias is below `n / 2^64`.
    ///
    /// # Panics
    ///
    /// If `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a number below zero was asked for");
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    ///
    /// If `high` is below `low`, or the two span all 64 bits.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "no number from {low} to {high}");
        low + self.below(high - low + 1)
    }

    /// True so many times in a million. Draws also if that is never or always.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// True half of the time.
    pub fn coin(&mut self) -> bool {
        self.next_u64() >> 63 == 1
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    /// Another generator, of this one's seed and the label alone: what was drawn from this one, before or after, changes
    /// nothing in it. So one more draw in one part of a simulation leaves all others as they were.
    #[must_use]
    pub fn fork(&self, label: impl AsRef<[u8]>) -> Self {
        let mut seed = mix(self.seed ^ GOLDEN);
        for &byte in label.as_ref() {
            seed = mix(seed ^ u64::from(byte)).wrapping_add(GOLDEN);
        }
        Self::new(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the published code, for the state that SplitMix64 gives to seed 0.
    #[test]
    fn the_first_numbers_are_those_of_the_published_code() {
        let mut splitmix = 0u64;
        splitmix = splitmix.wrapping_add(GOLDEN);
        assert_eq!(mix(splitmix), 0xE220_A839_7B1D_CDAF);
        let mut rng = Rng { seed: 0, state: [1, 2, 3, 4] };
        let first: [u64; 4] = std::array::from_fn(|_| rng.next_u64());
        assert_eq!(first, [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn a_fork_depends_on_seed_and_label_only() {
        let mut one = Rng::new(7);
        let early = one.fork("disk").next_u64();
        one.next_u64();
        assert_eq!(one.fork("disk").next_u64(), early);
        assert_ne!(one.fork("clock").next_u64(), early);
        assert_ne!(Rng::new(8).fork("disk").next_u64(), early);
    }

    #[test]
    fn numbers_stay_in_their_bounds_and_reach_them() {
        let mut rng = Rng::new(1);
        let mut seen = [0u32; 5];
        for _ in 0..10_000 {
            seen[rng.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (1800..2200).contains(&count)), "{seen:?}");
        assert!((0..1000).all(|_| !rng.chance(0)));
        assert!((0..1000).all(|_| rng.chance(1_000_000)));
        assert!((0..1000).all(|_| (3..=4).contains(&rng.between(3, 4))));
    }
}
