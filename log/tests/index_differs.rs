//! Any order of appends over a few streams, of rotations, closings and crashes: a read from any offset gives what a plain
//! map gives, and the index in each footer is the one that a plain map of the segment's frames leads to.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme_log::format::BLOCK_BYTES;
use diatreme_log::format::footer::{Footer, IndexEntry, NO_ENTRY, Trailer};
use diatreme_log::format::frame::{FrameHeader, TableEntry};
use diatreme_log::limits::INDEX_SPACING_BYTES;
use diatreme_log::{ReadRequest, Room};
use harness::memory::{Memory, MemoryBackend};
use harness::{Key, Model, Place, Session, Told, open, payload};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEYS: [Key; 5] = [(1, 0), (1, 1), (1, 2), (2, 0), (3, 9)];
/// What the reader adds to each record.
const OVERHEAD: u64 = 16;

#[derive(Clone, Debug)]
enum Step {
    /// So many records of so many bytes.
    Append(usize, u64, usize),
    /// Ends the frame.
    Settle,
    /// Records of so many bytes in this stream, until the log goes over to another segment.
    Fill(usize, usize),
    Close,
    /// At once, or when the log has fallen quiet.
    Crash(bool),
    /// From an offset in parts of 2^16 of the stream: records at the most, bytes at the most.
    Read(usize, u16, u32, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    let bytes = prop_oneof![4 => 0..300_usize, 2 => 3_000..20_000_usize, 1 => 60_000..140_000_usize];
    let bytes_max = prop_oneof![0..600_u64, 10_000..300_000_u64, Just(u64::MAX)];
    prop_oneof![
        12 => (key(), 1..6_u64, bytes).prop_map(|(key, records, bytes)| Step::Append(key, records, bytes)),
        8 => Just(Step::Settle),
        1 => (key(), 20_000..400_000_usize).prop_map(|(key, bytes)| Step::Fill(key, bytes)),
        1 => Just(Step::Close),
        1 => any::<bool>().prop_map(Step::Crash),
        12 => (key(), any::<u16>(), 1..40_u32, bytes_max).prop_map(|(key, from, records, bytes)| Step::Read(key, from, records, bytes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn reads_and_footers_agree_with_a_map(steps in vec(step(), 1..60), shuffle in any::<u64>()) {
        let memory = Memory { shuffle, ..Memory::default() };
        let mut session = open(&memory, &Model::default());
        for step in steps {
            session = take(&memory, session, &step);
        }
        session.settle();
        session.check_all();
        close(&memory, session);
        check_footers(&memory);
    }
}

fn take(memory: &Memory, mut session: Session<MemoryBackend>, step: &Step) -> Session<MemoryBackend> {
    match *step {
        Step::Append(key, records, bytes) => (0..records).for_each(|_| append(&mut session, KEYS[key], bytes)),
        Step::Settle => session.settle(),
        Step::Fill(key, bytes) => {
            let rotations = session.log.stats().rotations;
            while session.log.stats().rotations == rotations {
                append(&mut session, KEYS[key], bytes);
            }
        }
        Step::Close => {
            session.settle();
            let model = close(memory, session);
            session = reopened(memory, &model);
        }
        Step::Crash(quiet) => {
            session.settle();
            if quiet {
                session.quiet();
            }
            let model = session.crash();
            session = reopened(memory, &model);
        }
        Step::Read(key, from, records_max, bytes_max) => read(&mut session, KEYS[key], from, records_max, bytes_max),
    }
    session
}

fn append(session: &mut Session<MemoryBackend>, key: Key, bytes: usize) {
    let offset = session.model.streams.get(&key).map_or(0, Vec::len) as u64;
    assert_eq!(session.try_append(key, 1, &payload(key, offset, bytes)), Room::Ready);
}

fn close(memory: &Memory, mut session: Session<MemoryBackend>) -> Model {
    session.settle();
    let (model, base) = session.close();
    memory.write_manifest(base, true);
    model
}

fn reopened(memory: &Memory, model: &Model) -> Session<MemoryBackend> {
    let session = open(memory, model);
    session.check_recovered();
    session
}

/// Reads what is settled of a stream, from somewhere in it.
fn read(session: &mut Session<MemoryBackend>, key: Key, from: u16, records_max: u32, bytes_max: u64) {
    let settled = session.log.durable();
    let sent = session.model.streams.get(&key).map_or(&[][..], Vec::as_slice);
    let sent: Vec<Told> =
        sent.iter().take_while(|sent| sent.sequence < settled).map(|sent| sent.told.clone()).collect();
    let from = (sent.len() * usize::from(from)) >> 16;
    if sent.is_empty() {
        return;
    }
    let index = session.numbers[&key];
    let (ticket, record_overhead) = (7, OVERHEAD as u32);
    session.log.read(ReadRequest {
        ticket,
        index,
        from: from as u64,
        records_max,
        bytes_max,
        record_overhead,
        sealed_from: u64::MAX,
    });
    let found = loop {
        if let Some(ready) = session.log.ready_read() {
            let (place, size) = (ready.place, ready.size().map_err(Clone::clone).unwrap());
            let mut found = Vec::new();
            ready.for_each(|record| {
                let header = record.header;
                assert_eq!(header.offset as usize, from + found.len(), "{key:?}");
                let (position, timestamp, payload) = (header.position, header.timestamp, record.payload.to_vec());
                found.push(Told { kind: header.kind, position, timestamp, payload });
            });
            session.log.finish_read(place);
            assert_eq!(size, (found.len() as u32, weight(&found)));
            break found;
        }
        session.turn();
    };
    assert!(!found.is_empty() && found.len() <= records_max as usize);
    assert!(found.len() == 1 || weight(&found) <= bytes_max);
    assert!(sent[from..].starts_with(&found), "{key:?} from {from}");
}

fn weight(records: &[Told]) -> u64 {
    records.iter().map(|told| told.payload.len() as u64 + OVERHEAD).sum()
}

/// A stream's frames in a segment: by first offset, where each begins.
type Frames = BTreeMap<u64, u64>;

/// Holds the footer of every segment against plain maps of its frames.
fn check_footers(memory: &Memory) {
    let names = memory.disk().segments();
    for name in names {
        let mut bytes = memory.disk().file(&name).clone();
        bytes.data.resize(bytes.length as usize, 0);
        let trailer = Trailer::decode(&bytes.data[bytes.data.len() - BLOCK_BYTES..]).unwrap();
        let footer = Footer::decode(&bytes.data[trailer.footer as usize..]).unwrap();
        let (streams, index) = from_frames(&bytes.data[..trailer.footer as usize]);
        assert_eq!(footer.index, index, "{name}");
        assert_eq!(footer.streams.len(), streams.len(), "{name}");
        for stream in &footer.streams {
            let (frames, last) = &streams[&(stream.tenant, stream.stream)];
            assert_eq!((stream.first_offset, stream.next_offset), (*frames.keys().next().unwrap(), last.next_offset()));
            assert_eq!(
                (stream.timestamp, stream.position, stream.link),
                (last.timestamp, last.position, last.link_after)
            );
            for offset in stream.first_offset..stream.next_offset {
                check_walk(&footer, stream.newest, offset, frames);
            }
        }
    }
}

/// The frames of a segment, stream by stream, with the newest entry of each; and the index as `docs/format.md` says it:
/// an entry for the first frame of a stream, and for one that begins 64 KiB or more behind that of its last entry.
fn from_frames(data: &[u8]) -> (BTreeMap<Key, (Frames, TableEntry)>, Vec<IndexEntry>) {
    let mut streams: BTreeMap<Key, (Frames, TableEntry)> = BTreeMap::new();
    let mut newest: BTreeMap<Key, (u32, u64)> = BTreeMap::new();
    let mut index = Vec::new();
    let mut at = BLOCK_BYTES;
    while at < data.len() {
        let header = FrameHeader::decode(&data[at..]).unwrap();
        for entry in header.table(&data[at..]).unwrap().iter() {
            let (key, position) = ((entry.tenant, entry.stream), at as u64);
            let (frames, last) = streams.entry(key).or_insert_with(|| (Frames::new(), entry));
            frames.insert(entry.first_offset, position);
            *last = entry;
            let before = newest.get(&key).copied();
            if before.is_none_or(|(_, before)| position - before >= INDEX_SPACING_BYTES) {
                let previous = before.map_or(NO_ENTRY, |(number, _)| number);
                newest.insert(key, (index.len() as u32, position));
                let block = (at / BLOCK_BYTES) as u32;
                index.push(IndexEntry { first_offset: entry.first_offset, block, previous });
            }
        }
        at += header.length as usize;
    }
    (streams, index)
}

/// The walk for an offset ends at a frame of the stream, at or before the one that holds it, and less than the spacing
/// before it.
fn check_walk(footer: &Footer, newest: u32, offset: u64, frames: &Frames) {
    let mut entry = &footer.index[newest as usize];
    while entry.first_offset > offset {
        entry = &footer.index[entry.previous as usize];
    }
    let (_, holds) = frames.range(..=offset).next_back().unwrap();
    let begins = u64::from(entry.block) * BLOCK_BYTES as u64;
    assert_eq!(frames.get(&entry.first_offset), Some(&begins));
    assert!(begins <= *holds && holds - begins < INDEX_SPACING_BYTES, "offset {offset}: {begins}, held at {holds}");
}
