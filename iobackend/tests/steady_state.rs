//! A shard's loop must not allocate: nor may what it calls every turn.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{every_real_backend, read, submit, write};
use iobackend::{Buffer, Completion, FileSlot, OpKind};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks of it.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches
// only a thread-local number, which needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const FILE: FileSlot = FileSlot(0);

#[test]
fn submit_poll_wait_and_wake_do_not_allocate() {
    every_real_backend(|bench| {
        bench.create(FILE, "data");
        let depth = bench.backend.depth();
        let waker = bench.backend.waker();
        let mut spare: Vec<Buffer> = (0..depth).map(|_| bench.buffer()).collect();
        let mut done: Vec<Completion> = Vec::with_capacity(depth);
        let mut round = |number: u64| {
            while let Some(buffer) = spare.pop() {
                let block = spare.len() as u64;
                let kind = match number % 3 {
                    0 => write(FILE, block, buffer, true),
                    1 => write(FILE, block, buffer, false),
                    _ => read(FILE, block, buffer),
                };
                submit(&mut bench.backend, block, kind);
            }
            waker.wake();
            while bench.backend.in_flight() > 0 {
                bench.backend.wait(None).unwrap();
                bench.backend.poll(&mut done);
                for completion in done.drain(..) {
                    completion.result.unwrap();
                    spare.extend(completion.buffer);
                }
            }
            submit(&mut bench.backend, 0, OpKind::Flush { file: FILE });
            while bench.backend.in_flight() > 0 {
                bench.backend.wait(None).unwrap();
                bench.backend.poll(&mut done);
            }
            done.clear();
        };
        (0..3).for_each(&mut round);
        let before = ALLOCATIONS.get();
        (3..63).for_each(&mut round);
        assert_eq!(ALLOCATIONS.get() - before, 0);
        drop(std::hint::black_box(Box::new(1)));
        assert_eq!(ALLOCATIONS.get() - before, 1, "the counter does not count");
    });
}
