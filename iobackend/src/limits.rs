//! Every fixed limit of this crate, and how they relate.

#[cfg(target_os = "linux")]
use std::time::Duration;

/// Most operations that one backend may hold at a time.
pub const DEPTH_MAX: usize = 1024;

/// Most file slots of one backend. The kernel also holds a ring's file table
/// to `RLIMIT_NOFILE`; opening a backend names that limit when it is hit.
pub const FILE_SLOTS_MAX: usize = 4096;

/// Longest file name in bytes, without the terminating NUL.
pub const FILE_NAME_BYTES_MAX: usize = 62;

/// Largest arena: the kernel registers at most 1 GiB as one fixed buffer.
pub const ARENA_BYTES_MAX: usize = 1 << 30;

/// Alignment of every buffer, and the block that lengths and offsets are held
/// to where the file system does not say what direct I/O needs.
pub const BUFFER_ALIGNMENT: usize = 4096;

/// Arenas of at least this size are aligned to it, so that the kernel can back
/// them with huge pages.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// How long dropping a ring waits for operations that the kernel still holds,
/// before it gives their memory up. Well past a slow flush; a device that takes
/// longer is lost.
#[cfg(target_os = "linux")]
pub(crate) const DRAIN_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long an idle kernel submission thread spins before it sleeps. Longer
/// than the gap between two frames of a busy shard (0.1 to 1 ms), so that only
/// real quiet costs a wake-up, and short enough that an idle engine frees the core.
#[cfg(target_os = "linux")]
pub(crate) const SQPOLL_IDLE_MS: u32 = 2;

/// Submission entries beyond `depth`: one for the poll on the waker's eventfd.
#[cfg(target_os = "linux")]
pub(crate) const INTERNAL_ENTRIES: usize = 1;

/// Submission entries of one operation, at most: a durable write may be a write
/// and a flush linked to it.
#[cfg(target_os = "linux")]
pub(crate) const ENTRIES_AN_OPERATION: usize = 2;

/// What the kernel takes as submission queue length.
#[cfg(target_os = "linux")]
const RING_ENTRIES_MAX: usize = 32_768;

// The queue of a ring holds every operation in flight and the internal ones at
// once, so pushing never fails and the completion queue (twice that) never overflows.
// A polled ring has room for two rounds of them (see `uring::setup`).
#[cfg(target_os = "linux")]
const _: () =
    assert!(2 * (ENTRIES_AN_OPERATION * DEPTH_MAX + INTERNAL_ENTRIES).next_power_of_two() <= RING_ENTRIES_MAX);
// Transfer lengths fit the ring's 32-bit field.
const _: () = assert!(ARENA_BYTES_MAX <= u32::MAX as usize);
// Slots are numbered in 16 bits.
const _: () = assert!(FILE_SLOTS_MAX <= u16::MAX as usize + 1);
// A name with its length byte and its NUL fills one cache line.
const _: () = assert!(size_of::<crate::FileName>() == 64 && FILE_NAME_BYTES_MAX + 2 == 64);
const _: () = assert!(HUGE_PAGE_BYTES.is_multiple_of(BUFFER_ALIGNMENT));
