//! A turn in steady state allocates nothing. In a file of its own: it counts what its thread asks of the allocator.

mod harness;

use diatreme_shard::wire::Request;
use harness::{Client, Options, Rig, append, append_at, directory, read, tenant};
use kernel::{Durability, Level, StreamId, SyncPolicy};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches only a thread-local number, which needs
// no allocation.
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

/// Rounds of requests; returns how many counted: not those in which the log changes its segment or makes the next one
/// (this backend asks the standard library, which allocates the names of files), nor the few after a change, when each
/// stream's first append notes where it was before.
fn rounds(rig: &mut Rig, clients: &mut [Client], mut send: impl FnMut(&mut Client, u64)) -> u64 {
    const WARM: u64 = 300;
    let (mut counted, mut counts_from) = (0, WARM);
    for round in 0..WARM + 1000 {
        for client in clients.iter_mut() {
            send(client, round);
        }
        let changes = |rig: &Rig| (rig.shard.stats().log.rotations, rig.faults.borrow().files);
        let (allocations, before) = (ALLOCATIONS.get(), changes(rig));
        for _ in 0..6 {
            rig.turn();
        }
        let allocations = ALLOCATIONS.get() - allocations;
        // What was sent is answered, but for what waits for more turns.
        for client in clients.iter_mut() {
            client.port.take(|reply, _| assert!(reply.outcome.is_ok(), "{reply:?}"));
        }
        if changes(rig) != before {
            counts_from = counts_from.max(round + 20);
        } else if round >= counts_from {
            assert_eq!(allocations, 0, "in round {round}");
            counted += 1;
        }
    }
    counted
}

/// The streams' ids, with a record in each.
fn streams(rig: &mut Rig, count: u32) -> Vec<StreamId> {
    let streams = rig.streams(count);
    let mut client = rig.client(count as usize);
    for stream in &streams {
        client.append(*stream, b"record");
    }
    rig.run();
    // A group's delay passes.
    for _ in 0..10 {
        rig.turn();
    }
    rig.run();
    assert_eq!(client.take().len(), count as usize);
    streams
}

#[test]
fn appends_to_one_stream() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = streams(&mut rig, 1)[0];
    let mut clients = [rig.client(64)];
    let counted = rounds(&mut rig, &mut clients, |client, _| {
        (0..16).for_each(|_| {
            client.send(&append(stream, &[&[7; 100]]));
        });
    });
    assert!(counted > 900, "{counted}");
}

/// Many streams, and clients whose windows together are more than any of them alone: the queue of answers was reserved for
/// the largest only.
#[test]
fn appends_to_many_streams_by_many_clients() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    // More would fill the index of a segment, which grows with use.
    let streams = streams(&mut rig, 50);
    let mut clients: Vec<Client> = (0..8).map(|_| rig.client(64)).collect();
    let counted = rounds(&mut rig, &mut clients, |client, round| {
        (0..30_u64).for_each(|at| {
            client.append(streams[(round * 30 + at) as usize % streams.len()], &[7; 40]);
        });
    });
    assert!(counted > 500, "{counted}");
}

#[test]
fn appends_under_every_policy_and_above_it() {
    for durability in [
        Durability::Memory,
        Durability::Buffered { interval_ns: 20_000, records: 40 },
        Durability::Strict(SyncPolicy::EveryRecord),
        Durability::Strict(SyncPolicy::EveryBatch),
        Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: 3_000 }),
    ] {
        let root = directory();
        let mut rig = Rig::open_with(root.path(), Options { durability, ..Options::default() });
        let stream = streams(&mut rig, 1)[0];
        let mut clients = [rig.client(64)];
        let counted = rounds(&mut rig, &mut clients, |client, round| {
            (0..6).for_each(|_| {
                client.append(stream, &[7; 100]);
            });
            match round % 4 {
                0 => client.send(&append_at(stream, Some(Level::Strict), &[&[7; 100]])),
                1 => client.send(&Request::Sync),
                2 => client.send(&read(stream, 0, 1)),
                _ => client.send(&Request::Head { tenant: tenant(), stream }),
            };
        });
        // Frames of a record each fill segments soon.
        assert!(counted > 500, "{durability:?}: {counted}");
    }
}

#[test]
fn a_full_window_of_every_client_at_once() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let stream = streams(&mut rig, 1)[0];
    let mut clients: Vec<Client> = (0..16).map(|_| rig.client(64)).collect();
    rig.run();
    rig.faults.borrow_mut().hold_frames = true;
    for client in &mut clients {
        (0..64).for_each(|_| {
            client.append(stream, b"record");
        });
    }
    let before = ALLOCATIONS.get();
    rig.turn();
    rig.turn();
    assert_eq!(ALLOCATIONS.get(), before);
}

#[test]
fn heads_and_reads_and_appends() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let streams = streams(&mut rig, 10);
    let mut clients: Vec<Client> = (0..3).map(|_| rig.client(64)).collect();
    let counted = rounds(&mut rig, &mut clients, |client, round| {
        let stream = streams[round as usize % 10];
        client.append(stream, &[7; 100]);
        client.send(&read(stream, 0, 1));
        client.send(&Request::Head { tenant: tenant(), stream });
    });
    assert!(counted > 900, "{counted}");
}
