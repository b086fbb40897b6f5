//! What is counted: each workload makes what it needs, then hands its operations to [`counted`].
//!
//! Inputs are fixed and time is made up, so that two runs of a build execute the same instructions.

use diatreme_benches::{InstantBackend, PAYLOAD_BYTES, ShardLoad, Writer, log_buffers};
use kernel::{Command, Effects, Kernel, Limits, Records, StreamId, TenantId};
use log::format::frame::FrameHeader;
use std::hint::black_box;

/// A workload: its name, what one operation is, and what runs it and says how many operations were counted.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) run: fn() -> u64,
}

const fn workload(name: &'static str, operation: &'static str, run: fn() -> u64) -> Workload {
    Workload { name, operation, run }
}

pub(crate) const WORKLOADS: &[Workload] = &[
    workload("ring_single", "an item pushed and popped", ring_single),
    workload("ring_batch_32", "an item, 32 at a time", ring_batch),
    workload("byte_ring_single", "a message of 144 bytes sent and taken", || byte_ring(1)),
    workload("byte_ring_batch_32", "a message, 32 at a time", || byte_ring(BATCH)),
    workload("kernel_apply", "an append applied", kernel_apply),
    workload("fill_1_stream", "a record copied into the open frame", || fill(1, false)),
    workload("fill_8_streams", "a record, streams in turn", || fill(8, false)),
    workload("seal_1_stream", "a record copied and sealed", || fill(1, true)),
    workload("seal_8_streams", "a record sealed, streams in turn", || fill(8, true)),
    workload("frame_encode_1", "a frame of 1 record closed and submitted", || frame_encode(1, 1)),
    workload("frame_encode_64", "a frame of 64 records of 8 streams", || frame_encode(8, 64)),
    workload("frame_decode_64", "the same frame checked and walked", frame_decode),
    workload("turn_idle", "a turn that finds nothing to do", turn_idle),
    workload("turn_append_1", "an append alone, taken to answered", || turn(1, false, ShardLoad::send_appends)),
    workload("turn_append_64", "an append of 64, taken to answered", || turn(64, false, ShardLoad::send_appends)),
    workload("turn_sealed_64", "the same, sealed", || turn(64, true, ShardLoad::send_appends)),
    workload("turn_head_64", "a question for the end, one of 64", || turn(64, false, ShardLoad::send_heads)),
];

/// Rounds that a workload counts: enough that what happens once in a while (a ring's end, a slice of the next segment) is a
/// small and always the same part.
const ROUNDS: u64 = 64;
const BATCH: usize = 32;
/// A request that appends a record of [`PAYLOAD_BYTES`].
const MESSAGE_BYTES: usize = shard::wire::HEADER_BYTES + 4 + PAYLOAD_BYTES;

/// Callgrind collects only below this function, whose name the gate passes to it.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

fn ring_single() -> u64 {
    let (mut tx, mut rx) = spsc::ring::<[u64; 8]>(1024);
    for round in 0..ROUNDS {
        counted(&mut || {
            for number in 0..BATCH as u64 {
                assert!(tx.try_push(black_box([round + number; 8])).is_ok());
                black_box(rx.pop());
            }
        });
    }
    ROUNDS * BATCH as u64
}

fn ring_batch() -> u64 {
    let (mut tx, mut rx) = spsc::ring::<[u64; 8]>(1024);
    for round in 0..ROUNDS {
        counted(&mut || {
            let pushed = tx.push_batch((0..BATCH as u64).map(|number| black_box([round + number; 8])));
            let popped = rx.drain(BATCH).map(black_box).count();
            assert_eq!((pushed, popped), (BATCH, BATCH));
        });
    }
    ROUNDS * BATCH as u64
}

fn byte_ring(batch: usize) -> u64 {
    let (mut tx, mut rx) = spsc::byte_ring(64 << 10, 64 << 10);
    let message = [0x5a; MESSAGE_BYTES];
    for _ in 0..ROUNDS {
        counted(&mut || {
            for _ in 0..batch {
                let Ok(place) = tx.reserve(MESSAGE_BYTES) else { unreachable!("the ring is emptied each round") };
                place.copy_from_slice(black_box(&message));
                tx.commit();
            }
            tx.publish();
            let messages = rx.batch();
            let mut taken = 0;
            while let Some(message) = messages.next() {
                black_box(message);
                taken += 1;
            }
            assert_eq!(taken, batch);
        });
    }
    ROUNDS * batch as u64
}

fn kernel_apply() -> u64 {
    let mut kernel = Kernel::new(Limits::default());
    let mut effects = Effects::new(BATCH);
    let tenant = TenantId::of_name("tenant");
    kernel.apply(0, &Command::CreateTenant { tenant, name: "tenant", key: None }, 0, &mut effects);
    for number in 0..8 {
        let name = format!("stream {number}");
        kernel.apply(0, &Command::CreateStream { tenant, name: &name, key: None }, 0, &mut effects);
    }
    assert!(effects.replies.iter().all(|reply| reply.outcome.is_ok()));
    let mut body = (PAYLOAD_BYTES as u32).to_le_bytes().to_vec();
    body.resize(4 + PAYLOAD_BYTES, 0x5a);
    for round in 0..ROUNDS {
        effects.clear();
        counted(&mut || {
            for request in 0..BATCH as u32 {
                let Ok(records) = Records::parse(black_box(&body), 0, 1) else { unreachable!("a whole record") };
                let stream = StreamId(1 + request % 8);
                let command = Command::Append { tenant, stream, expected: None, records };
                kernel.apply(request, black_box(&command), round, &mut effects);
            }
        });
        assert!(effects.replies.iter().all(|reply| reply.outcome.is_ok()));
    }
    ROUNDS * BATCH as u64
}

fn writer(streams: u32) -> Writer<InstantBackend> {
    let (_, buffers) = log_buffers();
    Writer::new(InstantBackend::default(), buffers, streams)
}

/// Room asked for, header and payload copied, sealed and chained but for cipher and hash themselves. Closing the frame is not part
/// of it.
fn fill(streams: u32, sealed: bool) -> u64 {
    let mut writer = writer(streams);
    if sealed {
        writer.seal();
    }
    for _ in 0..ROUNDS {
        // So that the frame is open.
        writer.append(0);
        counted(&mut || {
            for number in 0..BATCH as u32 {
                writer.append(number % streams);
            }
        });
        writer.settle();
    }
    ROUNDS * BATCH as u64
}

/// Table, padding, checksums, header, and handing it to the backend.
fn frame_encode(streams: u32, records: u32) -> u64 {
    let mut writer = writer(streams);
    for _ in 0..ROUNDS {
        for number in 0..records {
            writer.append(number % streams);
        }
        counted(&mut || writer.submit());
        writer.settle();
    }
    ROUNDS
}

/// Header, checksums, table, and a walk over the records, as a scan does it.
fn frame_decode() -> u64 {
    let mut writer = writer(8);
    for number in 0..64 {
        writer.append(number % 8);
    }
    writer.submit();
    let frame = writer.log.backend_mut().newest_write().expect("the frame was submitted").to_vec();
    for _ in 0..ROUNDS {
        counted(&mut || {
            let frame = black_box(&frame[..]);
            let header = FrameHeader::decode(frame).expect("an intact header");
            header.check_body(frame).expect("an intact body");
            let entries = header.table(frame).expect("an intact table").iter().map(black_box).count();
            let records = header.records(frame).map(|record| black_box(record).is_ok()).filter(|&ok| ok).count();
            assert_eq!((entries, records), (8, 64));
        });
    }
    ROUNDS
}

fn turn_idle() -> u64 {
    let mut load = ShardLoad::new(8, false);
    // Until the next segment is as far ahead as it is to be.
    for _ in 0..BATCH {
        load.turn();
    }
    for _ in 0..ROUNDS {
        counted(&mut || load.turn());
    }
    ROUNDS
}

/// Requests taken from their ring, applied, sealed and chained but for cipher and hash themselves, written to nowhere, and answered.
fn turn(batch: usize, sealed: bool, send: fn(&mut ShardLoad, usize)) -> u64 {
    let mut load = ShardLoad::new(8, sealed);
    for _ in 0..ROUNDS {
        send(&mut load, batch);
        counted(&mut || load.round());
        assert_eq!(load.take(), batch);
    }
    ROUNDS * batch as u64
}
