//! The sizes that bound a key store and what is read of its files.

use crate::format::{KEY_ENTRY_BYTES, KEYS_FIXED_BYTES, SIGNED_ENTRY_BYTES, SIGNED_FIXED_BYTES, TRAILER_BYTES};

/// Data keys that a store ever holds, erased ones included: their ids are not given again. Every change writes the
/// store whole, so this bounds what adding a key costs: 8 MiB.
pub const KEYS_MAX: usize = 65_536;

/// Tenants whose signed state is kept: as many as an engine takes by default.
pub const SIGNED_MAX: usize = 1 << 18;

/// The longest `keys` file.
pub const KEYS_BYTES_MAX: usize = KEYS_FIXED_BYTES + KEYS_MAX * KEY_ENTRY_BYTES + TRAILER_BYTES;

/// The longest `signer` file.
pub const SIGNED_BYTES_MAX: usize = SIGNED_FIXED_BYTES + SIGNED_MAX * SIGNED_ENTRY_BYTES + TRAILER_BYTES;

/// Bytes that any source of a master key may give: 64 digits and the end of the line.
pub(crate) const MASTER_TEXT_BYTES_MAX: usize = 66;

const _: () = assert!(KEYS_BYTES_MAX < 9 << 20 && SIGNED_BYTES_MAX < 17 << 20);
