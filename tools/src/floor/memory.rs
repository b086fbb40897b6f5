//! The memory's floor: how fast one core copies.

use super::fastest_ns;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::time::Duration;

/// Source and target together are well within the second-level cache of any server's core.
const SMALL_BYTES: usize = 128 << 10;
/// Source and target together are beyond the last-level cache that one core of most servers can fill.
const LARGE_BYTES: usize = 128 << 20;

/// How fast one core copies. Bytes are counted once: each is read and written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MemoryFloor {
    pub(crate) small_bytes: usize,
    /// From cache to cache; a GB has 10⁹ bytes.
    pub(crate) small_gb_per_sec: f64,
    pub(crate) large_bytes: usize,
    /// From memory to memory.
    pub(crate) large_gb_per_sec: f64,
}

/// Measures the system's own copy of a small block and of a large one, half of `duration` each.
///
/// Whatever must be copied once on a core takes this long: an engine's core that takes in records does not take in more bytes
/// than the small block's rate, nor, if they come from memory that no cache holds, than the large one's.
///
/// # Errors
/// When there is no memory for the large block.
pub(crate) fn memory(duration: Duration) -> Result<MemoryFloor, String> {
    let gb_per_sec = |bytes| gb_per_sec(bytes, duration / 2);
    Ok(MemoryFloor {
        small_bytes: SMALL_BYTES,
        small_gb_per_sec: gb_per_sec(SMALL_BYTES)?,
        large_bytes: LARGE_BYTES,
        large_gb_per_sec: gb_per_sec(LARGE_BYTES)?,
    })
}

fn gb_per_sec(bytes: usize, duration: Duration) -> Result<f64, String> {
    let (source, mut target) = (block(bytes, 0x5a)?, block(bytes, 0)?);
    let ns_per_byte = fastest_ns(duration, || {
        target.copy_from_slice(black_box(&source));
        black_box(&mut target);
        bytes as u64
    });
    Ok(1.0 / ns_per_byte)
}

/// Memory that was written: what was only taken may be one page of zeros many times over.
fn block(bytes: usize, fill: u8) -> Result<Vec<u8>, String> {
    let mut block = Vec::new();
    block.try_reserve_exact(bytes).map_err(|error| format!("no memory for a block of {bytes} bytes: {error}"))?;
    block.resize(bytes, fill);
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_copied_and_memory_that_is_not_there_is_an_error() {
        let floor = memory(Duration::from_millis(20)).unwrap();
        for rate in [floor.small_gb_per_sec, floor.large_gb_per_sec] {
            assert!((0.01..10_000.0).contains(&rate), "{floor:?}");
        }
        assert!(gb_per_sec(isize::MAX as usize, Duration::ZERO).unwrap_err().starts_with("no memory for a block"));
    }
}
