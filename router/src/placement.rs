//! The placement table.

/// Where each tenant lives: an immutable, versioned table that every client may keep a copy of.
///
/// A tenant without an override lives on the shard with the highest weight for it (rendezvous hashing: Thaler and
/// Ravishankar, 1996). When the number of shards changes from N to N + 1, one tenant in N + 1 moves, and only to the new shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    version: u64,
    shards: u16,
    /// Sorted by tenant.
    overrides: Vec<(u64, u16)>,
}

/// Why a table cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlacementError {
    /// There is no shard.
    NoShards,
    /// A tenant is placed on a shard that does not exist.
    NoSuchShard {
        /// The tenant's id.
        tenant: u64,
        /// The shard it was placed on.
        shard: u16,
        /// The shards that exist.
        shards: u16,
    },
}

impl std::fmt::Display for PlacementError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            PlacementError::NoShards => f.write_str("a placement over no shards: configure at least one"),
            PlacementError::NoSuchShard { tenant, shard, shards } => write!(
                f,
                "tenant {tenant:016x} is placed on shard {shard}, but there are {shards}, from 0: place it on one of \
                 them, or take the override away"
            ),
        }
    }
}

impl std::error::Error for PlacementError {}

impl Placement {
    /// A table over `shards` shards. Of several overrides for a tenant the last one counts.
    ///
    /// # Errors
    /// If there is no shard, or an override names one that does not exist.
    pub fn new(version: u64, shards: u16, overrides: &[(u64, u16)]) -> Result<Placement, PlacementError> {
        if shards == 0 {
            return Err(PlacementError::NoShards);
        }
        if let Some(&(tenant, shard)) = overrides.iter().find(|(_, shard)| *shard >= shards) {
            return Err(PlacementError::NoSuchShard { tenant, shard, shards });
        }
        let mut sorted: Vec<(u64, u16)> = overrides.iter().rev().copied().collect();
        // Stable, so that of equal tenants the last one given stays first, and is kept.
        sorted.sort_by_key(|(tenant, _)| *tenant);
        sorted.dedup_by_key(|(tenant, _)| *tenant);
        Ok(Placement { version, shards, overrides: sorted })
    }

    /// The table's version: higher is newer.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The number of shards.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// Tenants placed by hand, in order of their ids.
    #[must_use]
    pub fn overrides(&self) -> &[(u64, u16)] {
        &self.overrides
    }

    /// The shard that owns a tenant.
    #[must_use]
    pub fn shard_of(&self, tenant: u64) -> u16 {
        if let Ok(at) = self.overrides.binary_search_by_key(&tenant, |(tenant, _)| *tenant) {
            return self.overrides[at].1;
        }
        let weight = |shard: &u16| mix(tenant ^ mix(u64::from(*shard) + 1));
        (0..self.shards).max_by_key(weight).unwrap_or(0)
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_the_one_of_the_format() {
        // The first outputs of SplitMix64 seeded with 0 are mix(k × 0x9e3779b97f4a7c15).
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x3c6e_f372_fe94_f82a), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn the_last_override_counts_and_must_exist() {
        let placement = Placement::new(1, 4, &[(7, 1), (9, 0), (7, 3)]).unwrap();
        assert_eq!((placement.shard_of(7), placement.shard_of(9)), (3, 0));
        assert_eq!(placement.overrides(), [(7, 3), (9, 0)]);
        assert_eq!(Placement::new(1, 0, &[]), Err(PlacementError::NoShards));
        let refused = PlacementError::NoSuchShard { tenant: 7, shard: 4, shards: 4 };
        assert_eq!(Placement::new(1, 4, &[(7, 4)]), Err(refused));
    }

    #[test]
    fn shards_get_about_the_same_number_of_tenants() {
        let placement = Placement::new(1, 8, &[]).unwrap();
        let mut counts = [0_u32; 8];
        for tenant in 0..80_000 {
            counts[usize::from(placement.shard_of(tenant))] += 1;
        }
        assert!(counts.iter().all(|count| (9_000..11_000).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn a_new_shard_takes_tenants_and_none_moves_between_old_ones(tenant: u64, shards in 1_u16..64) {
            let before = Placement::new(1, shards, &[]).unwrap().shard_of(tenant);
            let after = Placement::new(2, shards + 1, &[]).unwrap().shard_of(tenant);
            prop_assert!(after == before || after == shards);
        }
    }
}
