//! The manifest: what the directory is, where tenants live, and each log's durable frontier, kept apart from the logs.

use super::segment::Base;
use super::{Fault, VERSION, array_at, blocks_up, crc, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};

/// The two copies' names.
pub const COPIES: [&str; 2] = ["manifest.a", "manifest.b"];
/// More logs than this are refused: a machine has fewer cores, and a start scans every log.
pub const LOGS_MAX: usize = 1024;
/// More overrides than this are refused.
pub const OVERRIDES_MAX: usize = 65_536;

const MAGIC: &[u8; 8] = b"DIATMANI";
const FIXED_BYTES: usize = 56;
const FRONTIER_BYTES: usize = 24;
const OVERRIDE_BYTES: usize = 16;
const IDENTITY_BYTES: usize = 16;
const FLAG_CLEAN: u16 = 1;
const FLAG_IDENTITY: u16 = 2;
/// The longest manifest, in whole blocks.
pub const BYTES_MAX: usize = blocks_up(used_bytes(LOGS_MAX, OVERRIDES_MAX, true));

const fn used_bytes(logs: usize, overrides: usize, identity: bool) -> usize {
    let identity = if identity { IDENTITY_BYTES } else { 0 };
    FIXED_BYTES + logs * FRONTIER_BYTES + overrides * OVERRIDE_BYTES + identity + 4
}

/// Which file of the machine the directory's `LOCK` is: another one where the directory was copied or restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The device's number.
    pub device: u64,
    /// The file's number on it.
    pub inode: u64,
}

impl Identity {
    /// Where the platform gives none.
    pub const UNKNOWN: Identity = Identity { device: 0, inode: 0 };

    /// Whether a directory that had this identity, and has `now`, is another than it was. Of an unknown one nobody can tell.
    #[must_use]
    pub fn moved(self, now: Identity) -> bool {
        self != Identity::UNKNOWN && now != Identity::UNKNOWN && self != now
    }
}

/// The decoded manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The directory was closed cleanly, and not opened since.
    pub clean: bool,
    /// One more at each write.
    pub generation: u64,
    /// That of the directory when it was opened last.
    pub identity: Identity,
    /// Random, made with the directory.
    pub engine: [u8; 16],
    /// Version of the placement table.
    pub placement_version: u64,
    /// Shards over which tenants without an override are spread.
    pub shards: u16,
    /// Per log, its durable frontier.
    pub frontiers: Vec<Base>,
    /// Tenant id and shard, for tenants placed by hand.
    pub overrides: Vec<(u64, u16)>,
}

impl Manifest {
    /// Bytes of the encoded manifest, in whole blocks.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        blocks_up(self.used_bytes())
    }

    fn used_bytes(&self) -> usize {
        used_bytes(self.frontiers.len(), self.overrides.len(), true)
    }

    /// Writes the manifest into `out`.
    ///
    /// # Panics
    /// If it exceeds [`LOGS_MAX`] or [`OVERRIDES_MAX`], which the engine checks when it is configured, or if `out`
    /// is shorter than [`encoded_bytes`](Self::encoded_bytes).
    pub fn encode(&self, out: &mut [u8]) {
        assert!(self.frontiers.len() <= LOGS_MAX && self.overrides.len() <= OVERRIDES_MAX);
        let used = self.used_bytes();
        out[..self.encoded_bytes()].fill(0);
        out[0..8].copy_from_slice(MAGIC);
        put_u16(out, 8, VERSION);
        put_u16(out, 10, FLAG_IDENTITY | if self.clean { FLAG_CLEAN } else { 0 });
        put_u32(out, 12, used as u32);
        put_u64(out, 16, self.generation);
        out[24..40].copy_from_slice(&self.engine);
        put_u64(out, 40, self.placement_version);
        put_u16(out, 48, self.shards);
        put_u16(out, 50, self.frontiers.len() as u16);
        put_u32(out, 52, self.overrides.len() as u32);
        let mut at = FIXED_BYTES;
        for frontier in &self.frontiers {
            put_u64(out, at, frontier.sequence);
            put_u32(out, at + 8, frontier.segment);
            put_u32(out, at + 12, frontier.body_crc);
            put_u64(out, at + 16, frontier.end);
            at += FRONTIER_BYTES;
        }
        for &(tenant, shard) in &self.overrides {
            put_u64(out, at, tenant);
            put_u16(out, at + 8, shard);
            at += OVERRIDE_BYTES;
        }
        put_u64(out, at, self.identity.device);
        put_u64(out, at + 8, self.identity.inode);
        at += IDENTITY_BYTES;
        let sum = crc(&out[..at]);
        put_u32(out, at, sum);
    }

    /// Reads and checks one copy.
    ///
    /// # Errors
    /// The first thing about it that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, Fault> {
        let fixed = bytes.get(..FIXED_BYTES).ok_or(Fault::Cut)?;
        if &fixed[0..8] != MAGIC {
            return Err(Fault::Magic);
        }
        // A later version may have another shape; this far all versions are alike.
        let used = u32_at(fixed, 12) as usize;
        let whole = bytes.get(..used).ok_or(Fault::Cut)?;
        if used < FIXED_BYTES + 4 {
            return Err(Fault::Shape);
        }
        if u32_at(whole, used - 4) != crc(&whole[..used - 4]) {
            return Err(Fault::HeaderChecksum);
        }
        if u16_at(fixed, 8) != VERSION {
            return Err(Fault::Version(u16_at(fixed, 8)));
        }
        let (logs, overrides) = (usize::from(u16_at(fixed, 50)), u32_at(fixed, 52) as usize);
        if logs > LOGS_MAX || overrides > OVERRIDES_MAX {
            return Err(Fault::Shape);
        }
        // Directories of the first builds have none.
        let has_identity = u16_at(fixed, 10) & FLAG_IDENTITY != 0;
        if used != used_bytes(logs, overrides, has_identity) {
            return Err(Fault::Shape);
        }
        let padding = bytes.get(used..blocks_up(used)).ok_or(Fault::Cut)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(Fault::Shape);
        }
        let (frontiers, rest) = whole[FIXED_BYTES..used - 4].split_at(logs * FRONTIER_BYTES);
        let (overrides, identity) = rest.split_at(overrides * OVERRIDE_BYTES);
        let identity = match has_identity {
            true => Identity { device: u64_at(identity, 0), inode: u64_at(identity, 8) },
            false => Identity::UNKNOWN,
        };
        let manifest = Manifest {
            clean: u16_at(fixed, 10) & FLAG_CLEAN != 0,
            generation: u64_at(fixed, 16),
            engine: array_at(fixed, 24),
            placement_version: u64_at(fixed, 40),
            shards: u16_at(fixed, 48),
            frontiers: frontiers.chunks_exact(FRONTIER_BYTES).map(decode_frontier).collect(),
            identity,
            overrides: overrides.chunks_exact(OVERRIDE_BYTES).map(|raw| (u64_at(raw, 0), u16_at(raw, 8))).collect(),
        };
        if manifest.frontiers.iter().all(Base::is_sound) { Ok(manifest) } else { Err(Fault::Shape) }
    }
}

fn decode_frontier(raw: &[u8]) -> Base {
    Base { sequence: u64_at(raw, 0), segment: u32_at(raw, 8), body_crc: u32_at(raw, 12), end: u64_at(raw, 16) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_manifest_is_found() {
        let manifest = Manifest {
            clean: true,
            generation: 7,
            identity: Identity { device: 66_306, inode: 1 << 40 },
            engine: [1; 16],
            placement_version: 3,
            shards: 2,
            frontiers: vec![Base { sequence: 5, end: 8192, segment: 1, body_crc: 9 }; 3],
            overrides: vec![(11, 1), (12, 0)],
        };
        let mut bytes = vec![0; manifest.encoded_bytes()];
        manifest.encode(&mut bytes);
        assert_eq!(Manifest::decode(&bytes), Ok(manifest.clone()));
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(Manifest::decode(&bytes).is_err(), "byte {at}");
            bytes[at] ^= 1;
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    /// The first builds wrote none, and their directories must not be taken for damaged, or for copies.
    #[test]
    fn a_manifest_without_an_identity_is_read() {
        let identity = Identity { device: 1, inode: 2 };
        let manifest =
            Manifest { clean: true, generation: 7, overrides: vec![(11, 1)], identity, ..Manifest::default() };
        let mut bytes = vec![0; manifest.encoded_bytes()];
        manifest.encode(&mut bytes);
        let used = manifest.used_bytes() - IDENTITY_BYTES;
        put_u16(&mut bytes, 10, FLAG_CLEAN);
        bytes[used - 4..].fill(0);
        let decoded = Manifest::decode(&with_sum(bytes, used)).expect("it is whole");
        assert_eq!(decoded, Manifest { identity: Identity::UNKNOWN, ..manifest });
        assert!(!decoded.identity.moved(identity) && !identity.moved(Identity::UNKNOWN));
        assert!(identity.moved(Identity { inode: 3, ..identity }) && !identity.moved(identity));
    }

    fn with_sum(mut bytes: Vec<u8>, used: usize) -> Vec<u8> {
        put_u32(&mut bytes, 12, used as u32);
        let sum = crc(&bytes[..used - 4]);
        put_u32(&mut bytes, used - 4, sum);
        bytes
    }

    /// The shape was looked at before the version, so a later program's manifest read as a damaged one of ours.
    #[test]
    fn a_manifest_of_a_later_version_is_told_by_its_version_whatever_its_shape() {
        let manifest = Manifest { frontiers: vec![Base::default(); 2], ..Manifest::default() };
        let mut bytes = vec![0; manifest.encoded_bytes()];
        manifest.encode(&mut bytes);
        put_u16(&mut bytes, 8, VERSION + 1);
        for used in [60, 160, 3_000] {
            assert_eq!(Manifest::decode(&with_sum(bytes.clone(), used)), Err(Fault::Version(VERSION + 1)));
        }
        assert_eq!(Manifest::decode(&with_sum(bytes.clone(), 59)), Err(Fault::Shape));
    }

    /// More logs than there may be were taken, and the next manifest that was written panicked.
    #[test]
    fn counts_above_the_limits_are_refused() {
        for (logs, overrides) in [(LOGS_MAX + 1, 0), (usize::from(u16::MAX), 0), (0, OVERRIDES_MAX + 1)] {
            let used = used_bytes(logs, overrides, true);
            let mut bytes = vec![0; blocks_up(used)];
            Manifest::default().encode(&mut bytes);
            bytes[56..].fill(0);
            put_u16(&mut bytes, 50, logs as u16);
            put_u32(&mut bytes, 52, overrides as u32);
            assert_eq!(Manifest::decode(&with_sum(bytes, used)), Err(Fault::Shape), "{logs} {overrides}");
        }
    }
}
