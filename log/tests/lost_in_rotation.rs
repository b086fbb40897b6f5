//! A log that goes over from segment to segment keeps every record, and finds it again.

mod harness;

use diatreme_log::format::frame::{ENTRY_BYTES, HEADER_BYTES, frame_bytes, record_bytes};
use diatreme_log::limits::{FRAME_STREAMS_MAX, INDEX_SPACING_BYTES, REQUEST_RECORDS_BYTES_MAX};
use diatreme_log::{LogConfig, Room, Wish};
use harness::memory::{Memory, Plan};
use harness::{Directory, Key, Model, Place, config, open, payload, try_open};
use iobackend::{Mode, Operation};

const KEYS: [Key; 4] = [(1, 0), (1, 1), (2, 1), (3, 5)];

fn append_next(session: &mut harness::Session<impl iobackend::IoBackend>, key: Key, bytes: usize) {
    let offset = session.model.streams.get(&key).map_or(0, Vec::len) as u64;
    session.append(key, &payload(key, offset, bytes));
}

/// Many segments: closed, crashed with one being sealed, and read in every state a segment can be in.
fn over_many_segments(place: &impl Place) {
    let mut model = Model::default();
    for incarnation in 0..2 {
        let mut session = open(place, &model);
        session.check_recovered();
        session.check_all();
        // One stream is written only at first: its newest record stays in an old segment.
        append_next(&mut session, (9, 9), 100);
        let mut round = 0;
        while session.log.stats().rotations < 3 {
            round += 1;
            for (at, key) in KEYS.into_iter().enumerate() {
                append_next(&mut session, key, (round * 7919 + at * 104_729) % 40_000);
            }
            if round % 40 == 0 {
                session.settle();
                let newest = session.model.streams[&KEYS[1]].len() as u64 - 1;
                assert_eq!(session.read(KEYS[1], newest, 1).expect("intact")[0].0, newest);
            }
        }
        session.settle();
        session.check_all();
        if incarnation == 0 {
            let base;
            (model, base) = session.close();
            place.write_manifest(base, true);
        } else {
            model = session.crash();
        }
        let verified = place.verify();
        assert_eq!(verified.damage, []);
        assert_eq!(verified.records, model.records() as u64);
    }
    let mut session = open(place, &model);
    session.check_recovered();
    session.check_all();
}

#[test]
fn over_many_segments_in_memory() {
    over_many_segments(&Memory { shuffle: 7, ..Memory::default() });
}

#[test]
fn over_many_segments_with_the_backend_that_this_machine_has() {
    over_many_segments(&Directory::new(Mode::Auto));
}

/// Many streams in one frame: the hash takes several at a time, and the table has an entry for each.
#[test]
fn many_streams_in_a_frame() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    for round in 0..3_u32 {
        for stream in 0..700 {
            append_next(&mut session, (u64::from(stream % 5), 1 + stream), (stream * 13 % 97) as usize);
            if stream % 3 == round {
                append_next(&mut session, (u64::from(stream % 5), 1 + stream), 3);
            }
        }
        session.settle();
    }
    assert!(session.log.stats().frames <= 6, "{:?}", session.log.stats());
    session.check_all();
    let (model, base) = session.close();
    memory.write_manifest(base, true);
    assert_eq!(memory.verify().damage, []);
    let mut session = open(&memory, &model);
    session.check_recovered();
    session.check_all();
}

/// A frame takes no more streams than its slots can number.
#[test]
fn more_streams_than_a_frame_may_have() {
    let memory = Memory::default();
    let config = LogConfig { frame_cap: 2 << 20, ..config() };
    let mut session = try_open(&memory, &Model::default(), config).unwrap();
    for stream in 0..FRAME_STREAMS_MAX as u32 + 10 {
        append_next(&mut session, (5, 1 + stream), 1);
    }
    session.settle();
    assert_eq!(session.log.stats().frames, 2);
    let model = session.crash();
    assert_eq!(memory.verify().damage, []);
    open(&memory, &model).check_recovered();
}

#[test]
fn records_of_every_size() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    let sizes = (0..70).chain([4095, 4096, 4097, 65_536, 100_003, (1 << 20) - 1, 1 << 20]);
    for bytes in sizes.chain([REQUEST_RECORDS_BYTES_MAX - 40]) {
        append_next(&mut session, (1, 1), bytes);
        if bytes % 3 == 0 {
            append_next(&mut session, (1, 2), 10);
        }
    }
    session.settle();
    session.check_all();
    let model = session.crash();
    assert_eq!(memory.verify().damage, []);
    let mut session = open(&memory, &model);
    session.check_recovered();
    session.check_all();
}

/// A frame closes at its cap; a request that is longer gets a frame for itself.
#[test]
fn frames_close_at_their_cap() {
    let memory = Memory::default();
    let cap = 16 << 10;
    let mut session = try_open(&memory, &Model::default(), LogConfig { frame_cap: cap, ..config() }).unwrap();
    for _ in 0..100 {
        append_next(&mut session, (1, 1), 1_000);
    }
    append_next(&mut session, (1, 1), 50_000);
    append_next(&mut session, (1, 1), 10);
    session.settle();
    let fit = (cap - HEADER_BYTES - ENTRY_BYTES) / record_bytes(1_000);
    let stats = session.log.stats();
    assert_eq!(stats.frames as usize, 100_usize.div_ceil(fit) + 2);
    let full = (100 / fit) * frame_bytes(fit * record_bytes(1_000), 1);
    let rest = frame_bytes(100 % fit * record_bytes(1_000), 1) + frame_bytes(record_bytes(50_000), 1) + 4096;
    assert_eq!(stats.frame_bytes as usize, full + rest);
    session.check_all();
}

/// Records far apart in a stream, with much of others between: found by the sparse index, whatever the offset.
#[test]
fn every_offset_is_found_by_the_index() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    for round in 0..60 {
        append_next(&mut session, (1, 1), 100 + round);
        append_next(&mut session, (1, 2), (INDEX_SPACING_BYTES / 3) as usize);
        session.settle();
    }
    for _ in 0..2 {
        for offset in 0..60 {
            let records = session.read((1, 1), offset, 1).unwrap();
            assert_eq!((records[0].0, records[0].1.payload.len()), (offset, 100 + offset as usize));
        }
        let (model, base) = session.close();
        memory.write_manifest(base, true);
        session = open(&memory, &model);
    }
}

/// What a read may give: at most so many records and bytes, and at least one record.
#[test]
fn reads_keep_to_their_limits() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    for _ in 0..20 {
        append_next(&mut session, (1, 1), 60_000);
    }
    session.settle();
    assert_eq!(session.read((1, 1), 3, 1).unwrap().len(), 1);
    let many = session.read((1, 1), 3, u32::MAX).unwrap();
    assert!(many.len() > 1 && many.iter().map(|(_, told)| told.payload.len() + 16).sum::<usize>() <= 1 << 20);
}

/// The disk fills up while the next segment is being made: what is active goes on, then there is no room, then, with
/// space, there is again.
#[test]
fn a_full_disk_is_survived() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    let at = memory.disk().operations;
    memory.disk().plan = Some(Plan::Full(at));
    let bytes = vec![7; 300_000];
    let mut sent = 0;
    loop {
        match session.try_append((1, 1), 1, &bytes) {
            Room::Ready => sent += 1,
            Room::NoSpace => break,
            room => panic!("{room:?}"),
        }
        session.settle();
    }
    assert!(sent > 5);
    assert!(session.log.no_space().is_some_and(|(segment, error)| segment.number == 2 && error.is_no_space()));
    assert_eq!(session.log.failure(), None);
    session.check_all();
    assert!(memory.disk().failed.iter().all(|operation| *operation == Operation::Allocate));
    memory.disk().plan = None;
    assert_eq!(session.try_append((1, 1), 1, &bytes), Room::NoSpace, "until it is tried again");
    session.now += 1_000_000_000;
    while session.log.no_space().is_some() {
        session.turn();
    }
    session.append((1, 1), &bytes);
    session.settle();
    assert_eq!(session.log.no_space(), None);
    assert_eq!(session.log.stats().rotations, 1);
    session.check_all();
    let (model, base) = session.close();
    memory.write_manifest(base, true);
    assert_eq!(memory.verify().damage, []);
    open(&memory, &model).check_recovered();
}

/// The same, and the engine closes without ever getting its space.
#[test]
fn a_full_disk_does_not_keep_a_log_from_closing() {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    let at = memory.disk().operations;
    memory.disk().plan = Some(Plan::Full(at));
    session.append((1, 1), b"record");
    session.settle();
    let (model, base) = session.close();
    memory.disk().revive();
    memory.write_manifest(base, true);
    assert_eq!(memory.disk().segments().len(), 1);
    assert_eq!(memory.verify().damage, []);
    open(&memory, &model).check_recovered();
}

/// Without flushes the process may crash, and the machine may not.
#[test]
fn an_unflushed_log_survives_its_process() {
    let memory = Memory::default();
    let mut model = Model::default();
    for incarnation in 0..3 {
        let mut session = open(&memory, &model);
        session.wish = Some(Wish::Nothing);
        session.check_recovered();
        session.check_all();
        let rotations = if incarnation == 1 { 2 } else { 0 };
        append_next(&mut session, (1, 1), 10);
        while session.log.stats().rotations < rotations {
            append_next(&mut session, (1, 1), 200_000);
        }
        assert!(session.write_out());
        session.check_all();
        model = session.kill();
        assert_eq!(memory.verify().damage, []);
    }
    // Then the power goes: what an opening adopted and a footer vouches for is there, and nothing looks damaged.
    memory.disk().lose_power();
    assert_eq!(memory.verify().damage, []);
    let session = open(&memory, &model);
    assert_eq!(session.recovered.damage, []);
    assert!(session.recovered.streams[&(1, 1)].next_offset >= model.streams[&(1, 1)].len() as u64 - 1);
}
