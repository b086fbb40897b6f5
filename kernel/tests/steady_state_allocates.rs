//! Guards against an allocation on the path of appends, heads and reads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kernel::{Command, Effects, Kernel, Limits, Records, Reply, StreamId, TenantId};

const BATCH: u32 = 128;

/// Counts what this thread allocates; the test harness has threads of its own.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more, and is not the one that measures.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came, so its guarantees hold.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout, as all of ours do.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the pointer came from `System` with this layout, as all of ours do.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn steady_appends_heads_and_reads_do_not_allocate() {
    let tenant = TenantId::of_name("steady");
    let mut kernel = Kernel::new(Limits::default());
    let mut effects = Effects::new(BATCH as usize);
    kernel.apply(0, &Command::CreateTenant { tenant, name: "steady", key: None }, 1, &mut effects);
    for stream in 1..=3 {
        let name = format!("stream {stream}");
        kernel.apply(stream, &Command::CreateStream { tenant, name: &name, key: None }, 1, &mut effects);
    }
    let mut body = 100_u32.to_le_bytes().to_vec();
    body.resize(104, 7);

    let before = ALLOCATIONS.get();
    assert!(before > 0, "the counter counts");
    let mut appended = 0;
    for now in 0..1000 {
        effects.clear();
        for request in 0..BATCH {
            let stream = StreamId(1 + request % 3);
            let command = match request % 8 {
                6 => Command::Head { tenant, stream },
                7 => Command::Read { tenant, stream, from: 0, records_max: 10, bytes_max: 1000 },
                _ => {
                    let records = Records::parse(&body, 0, 1).expect("one record");
                    Command::Append { tenant, stream, expected: None, records }
                }
            };
            kernel.apply(request, &command, now, &mut effects);
        }
        appended += effects.records.len();
        let refused = effects.replies.iter().filter(|reply| reply.outcome.is_err()).count();
        assert_eq!(refused, 0);
    }
    assert_eq!(ALLOCATIONS.get(), before, "allocations in the steady state");
    assert_eq!(appended, 96_000);
    assert!(matches!(effects.replies[6].outcome, Ok(Reply::Head { next, .. }) if next > 30_000));
}
