//! An allocator that knows how much a piece of work held at its highest: what is read must not make a reader take memory
//! out of proportion to it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Bytes that the work of a thread holds, and the most that it held.
#[derive(Clone, Copy)]
struct Held {
    now: isize,
    peak: isize,
}

thread_local! {
    static HELD: Cell<Held> = const { Cell::new(Held { now: 0, peak: 0 }) };
}

fn count(bytes: isize) {
    HELD.with(|held| {
        let Held { now, peak } = held.get();
        let now = now + bytes;
        held.set(Held { now, peak: peak.max(now) });
    });
}

struct Counting;

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes as isize - layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does `work` on this thread; it may hold `most` bytes at its highest, its result counted.
///
/// # Panics
/// If it held more.
pub fn at_most<T>(most: usize, work: impl FnOnce() -> T) -> T {
    let before = HELD.with(|held| {
        let now = held.get().now;
        held.set(Held { now, peak: now });
        now
    });
    let result = work();
    let held = HELD.with(|held| held.get().peak - before);
    assert!(held <= most as isize, "held {held} bytes, {most} are enough");
    result
}
