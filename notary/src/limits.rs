//! Every bound of the notary.

/// Hashes of a tile: that many of one stored level make one of the next, eight levels up.
pub const TILE_HASHES: usize = 256;
/// Levels between two that are stored.
pub(crate) const TILE_LEVELS: u8 = 8;
/// Stored levels: 0, 8, … 56. Positions are below 2^63.
pub(crate) const STORED_LEVELS: usize = 8;
/// Bytes of a hash.
pub(crate) const HASH_BYTES: usize = 32;

/// Bytes of a log that are followed before the leaves they gave are written: a record has 40 bytes or more, so at most
/// 7 MiB of leaves wait in memory.
pub(crate) const SLICE_BYTES: u64 = 8 << 20;
/// The default of what one step follows: a fraction of a second.
pub const STEP_BYTES_DEFAULT: u64 = 64 << 20;
/// The state is saved when this much was followed since: after a crash no more is read again.
pub const SAVE_BYTES: u64 = 256 << 20;
/// And when this much time has passed, nanoseconds.
pub const SAVE_NS: u64 = 30_000_000_000;

/// The longest state that is read: a stream takes 56 bytes, and there are a few million at most.
pub(crate) const STATE_BYTES_MAX: u64 = 1 << 30;

const _: () = assert!(TILE_HASHES == 1 << TILE_LEVELS && STORED_LEVELS * TILE_LEVELS as usize == 64);
