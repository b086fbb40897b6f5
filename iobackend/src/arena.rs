//! The memory that operations read and write.
//!
//! One anonymous mapping is carved once into buffers, so that a ring can
//! register all of it as one fixed buffer. What must stay true:
//!
//! - buffers of one region do not overlap, and each has one owner;
//! - the region is unmapped only after every buffer, the arena and every
//!   backend that registered it are gone: each holds a reference to it.
//!
//! There is no way to give one buffer back to its arena: what is carved at start
//! is all there will be, until all of it is gone.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::limits::{ARENA_BYTES_MAX, BUFFER_ALIGNMENT, HUGE_PAGE_BYTES};

/// A region of zeroed, aligned memory from which [`Buffer`]s are carved.
pub struct Arena {
    region: Arc<Region>,
    taken: usize,
}

impl Arena {
    /// Maps at least `bytes` bytes and touches every page, so that none is
    /// first faulted in by the shard's loop. From 2 MiB on the region is
    /// aligned to 2 MiB, in whole multiples of it, and (on Linux) offered for huge pages.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero or more than [`ARENA_BYTES_MAX`] bytes; else
    /// what the system says when it cannot map that much.
    pub fn new(bytes: usize) -> io::Result<Self> {
        if bytes == 0 || bytes > ARENA_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("arena of {bytes} bytes: choose 1 to {ARENA_BYTES_MAX}"),
            ));
        }
        let region = Region::map(bytes)?;
        region.offer_huge_pages();
        region.touch();
        Ok(Self { region: Arc::new(region), taken: 0 })
    }

    /// Carves the next `bytes` bytes, rounded up to a multiple of
    /// [`BUFFER_ALIGNMENT`]; the buffer is that long, and zeroed unless the arena was [reclaimed](Self::reclaim). `None` if
    /// fewer remain, or if `bytes` is zero.
    pub fn take(&mut self, bytes: usize) -> Option<Buffer> {
        let len = bytes.checked_next_multiple_of(BUFFER_ALIGNMENT)?;
        if len == 0 || len > self.remaining() {
            return None;
        }
        // SAFETY: `taken + len` is at most the region's length (checked above),
        // so the pointer stays within the mapping.
        let start = unsafe { self.region.start.add(self.taken) };
        self.taken += len;
        Some(Buffer { start, len, region: Arc::clone(&self.region) })
    }

    /// Begins anew, if every buffer and every backend that registered the memory is gone; says whether. For who opens and closes
    /// engines by the thousand: mapping and touching takes longer than most of what a short run does. Buffers
    /// then hold what was in them.
    pub fn reclaim(&mut self) -> bool {
        let alone = Arc::get_mut(&mut self.region).is_some();
        if alone {
            self.taken = 0;
        }
        alone
    }

    /// Bytes that [`take`](Self::take) can still give.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.region.len - self.taken
    }

    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("len", &self.region.len).field("taken", &self.taken).finish()
    }
}

/// A slice of an [`Arena`], aligned to [`BUFFER_ALIGNMENT`], with one owner.
/// Dropping it does not make its bytes available again.
pub struct Buffer {
    start: NonNull<u8>,
    len: usize,
    region: Arc<Region>,
}

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

impl Buffer {
    /// Asks for the cache lines of a range, to be written soon. What lies beyond the buffer is passed over.
    ///
    /// A device has read them since they were last written, so they are in no cache of this core's own. A store does not wait for
    /// its line, but a load of what was just stored may: then it takes the time that the line takes.
    #[inline]
    pub fn prefetch_write(&self, at: usize, bytes: usize) {
        let end = at.saturating_add(bytes).min(self.len);
        let mut line = at;
        while line < end {
            prefetch_write(self.start.as_ptr().wrapping_add(line));
            line += LINE_BYTES;
        }
    }

    pub(crate) fn is_of(&self, region: &Arc<Region>) -> bool {
        Arc::ptr_eq(&self.region, region)
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
fn prefetch_write(line: *const u8) {
    // SAFETY: a hint; no address makes it fault, and processors without it take it for no operation. The compiler's own
    // form needs a target feature, or asks for a line to be read, which may leave it shared.
    unsafe {
        std::arch::asm!("prefetchw [{line}]", line = in(reg) line, options(nostack, preserves_flags, readonly));
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline]
fn prefetch_write(_line: *const u8) {}

// SAFETY: a buffer is the only owner of its bytes (the arena carves each byte
// once), and `Region` may be shared between threads.
unsafe impl Send for Buffer {}
// SAFETY: a shared buffer only gives out shared slices.
unsafe impl Sync for Buffer {}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` and `len` were carved from a mapping that `region`
        // keeps alive, it was zeroed by the kernel, and only this buffer reaches it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the unique borrow of the only owner makes it unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish()
    }
}

/// The mapping itself.
pub(crate) struct Region {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the region hands out only its address and length; access to the bytes
// goes through buffers, which do not overlap.
unsafe impl Send for Region {}
// SAFETY: as above; nothing in it changes after `map`.
unsafe impl Sync for Region {}

impl Region {
    fn map(bytes: usize) -> io::Result<Self> {
        let huge = bytes >= HUGE_PAGE_BYTES;
        let unit = if huge { HUGE_PAGE_BYTES } else { BUFFER_ALIGNMENT };
        let len = bytes.next_multiple_of(unit);
        // The kernel aligns to its page, which is at least a buffer's alignment
        // but less than a huge page: for those, map one more and give back what
        // sticks out on both sides.
        let slack = if huge { unit } else { 0 };
        // SAFETY: an anonymous private mapping at an address of the kernel's
        // choice touches no memory that anything else uses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len + slack,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let Some(base) = NonNull::new(address.cast::<u8>()) else {
            return Err(io::Error::other("mmap placed the arena at address zero"));
        };
        let before = base.as_ptr().align_offset(unit);
        assert!(before <= slack, "the kernel's page is smaller than a buffer's alignment");
        // SAFETY: `before` is at most `slack`, so both ranges, before and after
        // the aligned part, lie in the mapping just made; both begin and end at
        // page bounds, and nobody has their addresses.
        let start = unsafe {
            let start = base.add(before);
            unmap(base, before);
            unmap(start.add(len), slack - before);
            start
        };
        Ok(Self { start, len })
    }

    /// Frames are streamed through: huge pages under them save translations
    /// (4 to 6 % of the whole log path). Refusal is no loss.
    fn offer_huge_pages(&self) {
        #[cfg(target_os = "linux")]
        if self.len >= HUGE_PAGE_BYTES {
            // SAFETY: the range is this mapping, and the advice changes none of its contents.
            unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, libc::MADV_HUGEPAGE) };
        }
    }

    fn touch(&self) {
        for at in (0..self.len).step_by(BUFFER_ALIGNMENT) {
            // SAFETY: `at` is inside the mapping, and no buffer exists yet.
            // Volatile, because a store of zero over zero could be left out.
            unsafe { self.start.add(at).write_volatile(0) };
        }
    }

    /// Address and length, for registration with a ring.
    #[cfg(target_os = "linux")]
    pub(crate) fn extent(&self) -> (*mut u8, usize) {
        (self.start.as_ptr(), self.len)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the last reference is gone, so no buffer and no backend holds
        // the range: backends keep the buffers of operations that the kernel
        // has not finished, and so this region, or leave them behind for good.
        unsafe { unmap(self.start, self.len) };
    }
}

/// # Safety
///
/// The range must be part of a mapping of this module, and unreachable.
unsafe fn unmap(start: NonNull<u8>, len: usize) {
    if len == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    let result = unsafe { libc::munmap(start.as_ptr().cast(), len) };
    debug_assert_eq!(result, 0, "munmap of a range of our own failed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_zeroed_and_apart() {
        let mut arena = Arena::new(5 * BUFFER_ALIGNMENT).unwrap();
        let mut first = arena.take(1).unwrap();
        let mut second = arena.take(BUFFER_ALIGNMENT + 1).unwrap();
        assert_eq!(first.len(), BUFFER_ALIGNMENT);
        assert_eq!(second.len(), 2 * BUFFER_ALIGNMENT);
        assert!(first.as_ptr().addr().is_multiple_of(BUFFER_ALIGNMENT));
        assert!(first.iter().chain(second.iter()).all(|&byte| byte == 0));
        first.fill(1);
        second.fill(2);
        assert!(first.iter().all(|&byte| byte == 1));
        assert_eq!(arena.remaining(), 2 * BUFFER_ALIGNMENT);
        assert!(arena.take(3 * BUFFER_ALIGNMENT).is_none());
        assert!(arena.take(0).is_none());
        assert!(arena.take(usize::MAX).is_none());
    }

    #[test]
    fn a_buffer_outlives_its_arena() {
        let mut arena = Arena::new(HUGE_PAGE_BYTES + 1).unwrap();
        assert_eq!(arena.remaining(), 2 * HUGE_PAGE_BYTES);
        let mut all = arena.take(arena.remaining()).unwrap();
        drop(arena);
        assert!(all.as_ptr().addr().is_multiple_of(HUGE_PAGE_BYTES));
        all.fill(7);
        assert_eq!(all[2 * HUGE_PAGE_BYTES - 1], 7);
    }

    #[test]
    fn memory_is_carved_anew_only_when_nobody_has_any_of_it() {
        let mut arena = Arena::new(2 * BUFFER_ALIGNMENT).unwrap();
        let first = arena.take(BUFFER_ALIGNMENT).unwrap();
        let second = arena.take(BUFFER_ALIGNMENT).unwrap();
        drop(first);
        assert!(!arena.reclaim());
        assert!(arena.take(1).is_none());
        drop(second);
        assert!(arena.reclaim());
        assert_eq!(arena.remaining(), 2 * BUFFER_ALIGNMENT);
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert!(Arena::new(0).is_err());
        assert!(Arena::new(ARENA_BYTES_MAX + 1).is_err());
    }
}
