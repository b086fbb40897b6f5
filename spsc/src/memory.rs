//! The bytes of a byte ring, and the few unsafe operations on them.

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use crate::cursor::Store;
use crate::sync::Shadow;

/// Bytes before a message that tell its length.
pub(crate) const HEADER_BYTES: usize = size_of::<u64>();

/// Start of the memory, so that no line is shared with a neighbour.
const LINE_BYTES: usize = 64;

/// A block of bytes, zeroed, of which two threads use different parts.
///
/// Who may touch which part is settled by the rules of `cursor`; every method that touches memory
/// is unsafe and asks for that.
pub(crate) struct Memory {
    start: NonNull<u8>,
    layout: Layout,
    shadow: Shadow,
}

// SAFETY: the block is owned, and plain bytes may be used from any thread.
unsafe impl Send for Memory {}

// SAFETY: nothing is accessed through a shared reference but by the unsafe methods, whose callers
// keep the two sides to different parts.
unsafe impl Sync for Memory {}

impl Memory {
    /// # Panics
    ///
    /// If `bytes` is 0 or does not fit the address space.
    pub(crate) fn new(bytes: usize) -> Self {
        assert!(bytes > 0, "a byte ring needs memory");
        let layout = Layout::from_size_align(bytes, LINE_BYTES).expect("a ring must fit the address space");
        // Zeroed by the kernel as pages are first touched, where the allocator maps them freshly:
        // a large ring costs nothing until it fills.
        // SAFETY: the size is not 0.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { alloc::handle_alloc_error(layout) };
        Self { start, layout, shadow: Shadow::new(bytes) }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.layout.size()
    }

    /// # Safety
    ///
    /// The range must lie in the memory, and nobody may write to it while the slice lives.
    #[inline]
    pub(crate) unsafe fn slice(&self, offset: usize, bytes: usize) -> &[u8] {
        self.shadow.read(offset, bytes);
        // SAFETY: in bounds and not written, by contract; initialised, since allocated zeroed.
        unsafe { std::slice::from_raw_parts(self.start.add(offset).as_ptr(), bytes) }
    }

    /// # Safety
    ///
    /// The range must lie in the memory, and nobody else may touch it while the slice lives.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "two sides share the block and use parts of it")]
    pub(crate) unsafe fn slice_mut(&self, offset: usize, bytes: usize) -> &mut [u8] {
        self.shadow.write(offset, bytes);
        // SAFETY: in bounds and exclusive, by contract; initialised, since allocated zeroed.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset).as_ptr(), bytes) }
    }

    /// # Safety
    ///
    /// As [`slice`](Self::slice) with `HEADER_BYTES`, and `offset` a multiple of 8.
    #[inline]
    pub(crate) unsafe fn header(&self, offset: usize) -> u64 {
        self.shadow.read(offset, HEADER_BYTES);
        // SAFETY: in bounds and not written, by contract; aligned, since the block is.
        unsafe { self.start.add(offset).cast().read() }
    }

    /// # Safety
    ///
    /// As [`slice_mut`](Self::slice_mut) with `HEADER_BYTES`, and `offset` a multiple of 8.
    #[inline]
    pub(crate) unsafe fn set_header(&self, offset: usize, header: u64) {
        self.shadow.write(offset, HEADER_BYTES);
        // SAFETY: in bounds and exclusive, by contract; aligned, since the block is.
        unsafe { self.start.add(offset).cast().write(header) };
    }

    /// Asks for the line at `offset`, which may lie anywhere.
    #[inline]
    pub(crate) fn prefetch(&self, offset: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let line = self.start.as_ptr().wrapping_add(offset);
            // SAFETY: a prefetch is a hint; no address makes it fault.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = offset;
    }
}

impl Store for Memory {
    /// Bytes need no dropping.
    fn discard(&mut self, _head: usize, _tail: usize) {}
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { alloc::dealloc(self.start.as_ptr(), self.layout) };
    }
}
