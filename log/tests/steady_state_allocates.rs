//! Between rotations, appending, closing frames, submitting, reaping and reading allocate nothing.

mod harness;

use diatreme_log::format::frame::{RecordHeader, record_bytes};
use diatreme_log::{ReadRequest, Room};
use harness::{Directory, Model, open};
use iobackend::{IoBackend, Mode};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Counts the allocations of a thread that asked for it.
struct Counting;

fn count() {
    COUNT.with(|count| count.set(count.get().map(|so_far| so_far + 1)));
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.with(|count| count.set(Some(0)));
    work();
    COUNT.with(Cell::take).unwrap_or(0)
}

const STREAMS: u32 = 16;

/// One frame of records in every stream, settled; then one read.
fn round(log: &mut diatreme_log::Log<impl IoBackend>, offsets: &mut [u64], now: &mut u64, payload: &[u8]) {
    for index in 0..STREAMS {
        while log.room(record_bytes(payload.len()), 1, *now) != Room::Ready {
            *now += 1_000;
            log.reap(*now);
        }
        let offset = offsets[index as usize];
        offsets[index as usize] += 1;
        let header = RecordHeader {
            slot: 0,
            kind: 1,
            flags: 0,
            payload_bytes: payload.len() as u32,
            offset,
            position: offset,
            timestamp: *now,
            key_id: 0,
        };
        log.append(index, header, payload);
    }
    let newest = log.sequence();
    log.submit(*now);
    while log.durable() <= newest {
        *now += 1_000;
        if !log.reap(*now) {
            log.backend_mut().wait(None).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    let from = offsets[0] / 2;
    log.read(ReadRequest {
        ticket: 0,
        index: 0,
        from,
        records_max: 3,
        bytes_max: 1 << 16,
        record_overhead: 0,
        sealed_from: u64::MAX,
    });
    let place = loop {
        if let Some(ready) = log.ready_read() {
            assert!(ready.size().is_ok());
            break ready.place;
        }
        *now += 1_000;
        log.reap(*now);
    };
    log.finish_read(place);
}

#[test]
fn nothing_in_the_steady_state() {
    for mode in [Mode::Sync, Mode::Auto] {
        let place = Directory::new(mode);
        let mut session = open(&place, &Model::default());
        let payload = [7; 100];
        for index in 0..STREAMS {
            session.log.add_stream(index, diatreme_log::StreamStart::new(1, 1 + index));
        }
        let (mut offsets, mut now) = (vec![0; STREAMS as usize], session.now);
        for _ in 0..20 {
            round(&mut session.log, &mut offsets, &mut now, &payload);
        }
        let rotations = session.log.stats().rotations;
        let counted = allocations(|| {
            for _ in 0..300 {
                round(&mut session.log, &mut offsets, &mut now, &payload);
            }
        });
        assert_eq!(session.log.stats().rotations, rotations, "the load is to fit one segment");
        assert_eq!(counted, 0, "{mode}");
        assert!(allocations(|| drop(vec![0_u8; 10])) > 0, "the counter counts");
    }
}
