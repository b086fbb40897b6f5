//! The memory of both rings: where it comes from, and the few unsafe operations on bytes.

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use crate::cursor::Store;
use crate::sync::Shadow;

/// Bytes before a message that tell its length.
pub(crate) const HEADER_BYTES: usize = size_of::<u64>();

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// Blocks of this size and above are mapped, not allocated: an allocator that was given back a block of
/// the size takes the next one from its heap, and writes all of its zeroes. A client that attached to a shard
/// waited 3 ms for that.
const MAPPED_BYTES_MIN: usize = 1 << 20;

/// Zeroed memory that begins with a cache line, freed when dropped. Large memory costs nothing until it is touched.
///
/// The beginning matters: 64-byte items that lie across two lines each have the producer write a
/// line that the consumer still reads, and cost a third more.
pub(crate) struct Lines {
    start: NonNull<u8>,
    allocated: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the memory is owned, and this type does not touch it.
unsafe impl Send for Lines {}

// SAFETY: as above; whoever uses `start` answers for what is done from which thread.
unsafe impl Sync for Lines {}

impl Lines {
    /// Room for `count` values of `T`.
    ///
    /// # Panics
    ///
    /// If they do not fit the address space.
    pub(crate) fn new<T>(count: usize) -> Self {
        // Aligned by hand: asked for a line's alignment, the allocator would write the zeroes.
        let bytes = size_of::<T>().checked_mul(count).and_then(|bytes| bytes.checked_add(LINE_BYTES));
        let layout = bytes.and_then(|bytes| Layout::from_size_align(bytes, align_of::<T>()).ok());
        let layout = layout.expect("a ring must fit the address space");
        let Some(allocated) = NonNull::new(obtain(layout)) else { alloc::handle_alloc_error(layout) };
        // SAFETY: less than a line beyond the beginning, which is within the block.
        let start = unsafe { allocated.add(allocated.align_offset(LINE_BYTES)) };
        Self { start, allocated, layout }
    }

    /// Whether the memory goes back to the system when it is dropped, and not to an allocator that gives it out again.
    fn is_mapped(&self) -> bool {
        cfg!(all(unix, not(miri))) && self.layout.size() >= MAPPED_BYTES_MIN
    }

    #[inline]
    pub(crate) fn start<T>(&self) -> NonNull<T> {
        self.start.cast()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // SAFETY: obtained in `new` with this layout, and nothing refers to it any more.
        unsafe { give_back(self.allocated, self.layout) };
    }
}

/// Zeroed memory of a layout that is not empty; null if there is none.
fn obtain(layout: Layout) -> *mut u8 {
    debug_assert!(layout.size() > 0);
    #[cfg(all(unix, not(miri)))]
    if layout.size() >= MAPPED_BYTES_MIN {
        // SAFETY: an anonymous private mapping where the kernel likes touches no memory that anything else uses.
        let address = unsafe {
            let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
            libc::mmap(std::ptr::null_mut(), layout.size(), access, kind, -1, 0)
        };
        return if address == libc::MAP_FAILED { std::ptr::null_mut() } else { address.cast() };
    }
    // SAFETY: the size is not 0, but a line at least.
    unsafe { alloc::alloc_zeroed(layout) }
}

/// # Safety
///
/// The memory must be of [`obtain`] with this layout, and unreachable.
unsafe fn give_back(memory: NonNull<u8>, layout: Layout) {
    #[cfg(all(unix, not(miri)))]
    if layout.size() >= MAPPED_BYTES_MIN {
        // SAFETY: mapped with this size, by contract.
        let result = unsafe { libc::munmap(memory.as_ptr().cast(), layout.size()) };
        debug_assert_eq!(result, 0, "munmap of a mapping of our own failed");
        return;
    }
    // SAFETY: allocated with this layout, by contract.
    unsafe { alloc::dealloc(memory.as_ptr(), layout) };
}

/// A block of bytes, zeroed, of which two threads use different parts.
///
/// Who may touch which part is settled by the rules of `cursor`; every method that touches memory
/// is unsafe and asks for that.
pub(crate) struct Memory {
    lines: Lines,
    bytes: usize,
    /// Whether what was in it is to be nowhere any more once it is taken, or gone with the ring.
    wiped: bool,
    shadow: Shadow,
}

impl Memory {
    /// # Panics
    ///
    /// If `bytes` is 0 or does not fit the address space.
    pub(crate) fn new(bytes: usize, wiped: bool) -> Self {
        assert!(bytes > 0, "a byte ring needs memory");
        Self { lines: Lines::new::<u8>(bytes), bytes, wiped, shadow: Shadow::new(bytes) }
    }

    #[inline]
    pub(crate) fn is_wiped(&self) -> bool {
        self.wiped
    }

    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    fn at(&self, offset: usize) -> *mut u8 {
        self.lines.start::<u8>().as_ptr().wrapping_add(offset)
    }

    /// # Safety
    ///
    /// The range must lie in the memory, and nobody may write to it while the slice lives.
    #[inline]
    pub(crate) unsafe fn slice(&self, offset: usize, bytes: usize) -> &[u8] {
        self.shadow.read(offset, bytes);
        // SAFETY: in bounds and not written, by contract; initialised, since allocated zeroed.
        unsafe { std::slice::from_raw_parts(self.at(offset), bytes) }
    }

    /// # Safety
    ///
    /// The range must lie in the memory, and nobody else may touch it while the slice lives.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "two sides share the block and use parts of it")]
    pub(crate) unsafe fn slice_mut(&self, offset: usize, bytes: usize) -> &mut [u8] {
        self.shadow.write(offset, bytes);
        // SAFETY: in bounds and exclusive, by contract; initialised, since allocated zeroed.
        unsafe { std::slice::from_raw_parts_mut(self.at(offset), bytes) }
    }

    /// # Safety
    ///
    /// As [`slice`](Self::slice) with `HEADER_BYTES`, and `offset` a multiple of 8.
    #[inline]
    pub(crate) unsafe fn header(&self, offset: usize) -> u64 {
        self.shadow.read(offset, HEADER_BYTES);
        // SAFETY: in bounds and not written, by contract; aligned, since the block is.
        unsafe { self.at(offset).cast::<u64>().read() }
    }

    /// # Safety
    ///
    /// As [`slice_mut`](Self::slice_mut) with `HEADER_BYTES`, and `offset` a multiple of 8.
    #[inline]
    pub(crate) unsafe fn set_header(&self, offset: usize, header: u64) {
        self.shadow.write(offset, HEADER_BYTES);
        // SAFETY: in bounds and exclusive, by contract; aligned, since the block is.
        unsafe { self.at(offset).cast::<u64>().write(header) };
    }

    /// Writes zeros.
    ///
    /// # Safety
    ///
    /// As [`slice_mut`](Self::slice_mut).
    #[inline]
    pub(crate) unsafe fn wipe(&self, offset: usize, bytes: usize) {
        self.shadow.write(offset, bytes);
        // SAFETY: in bounds and exclusive, by contract. Others may reach the block later, so no compiler leaves the zeros out.
        unsafe { self.at(offset).write_bytes(0, bytes) };
    }

    /// Asks for the line at `offset`, which may lie anywhere.
    #[inline]
    pub(crate) fn prefetch(&self, offset: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let line = self.at(offset);
            // SAFETY: a prefetch is a hint; no address makes it fault.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = offset;
    }
}

impl Store for Memory {
    /// Bytes need no dropping. What was never taken may have to be wiped, and a message that was reserved and not committed: all
    /// of the memory then, as cold as this is. What is mapped goes back to the system with what is in it.
    fn discard(&mut self, _head: usize, _tail: usize) {
        if self.wiped && !self.lines.is_mapped() {
            // SAFETY: all of the memory; both sides are gone.
            unsafe { self.wipe(0, self.bytes) };
            // What is freed next could be left as it is.
            std::hint::black_box(self.lines.allocated);
        }
    }
}
