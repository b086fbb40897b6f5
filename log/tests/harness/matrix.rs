//! A small finished log to spoil, and what must hold of it however it was spoilt.

use super::memory::{Disk, Memory, MemoryBackend};
use super::{Key, Model, Place, Session, config, open, payload, read};
use diatreme_log::format::frame::{FrameHeader, HEADER_BYTES, record_bytes};
use diatreme_log::format::segment::{SegmentId, log_directory, parse_segment_name};
use diatreme_log::limits::ARENA_BYTES;
use diatreme_log::{Damage, Log, LogBuffers, LogConfig, LogError, LogStart, ReadError, Recovered, StreamStart};
use iobackend::Arena;
use std::collections::BTreeMap;
use std::ops::Range;

pub const KEYS: [Key; 5] = [(11, 0), (11, 1), (11, 2), (12, 0), (12, 7)];

/// A log and everything that it was told.
pub struct Subject {
    pub disk: Disk,
    pub model: Model,
}

/// Rounds of records, each in a frame of its own; one of them longer than a block, some empty.
pub fn write_rounds(session: &mut Session<MemoryBackend>, rounds: usize) {
    for round in 0..rounds {
        for (at, key) in KEYS.into_iter().enumerate() {
            // Not every stream is in every frame.
            if (round + at) % 3 == 2 {
                continue;
            }
            let offset = session.model.streams.get(&key).map_or(0, Vec::len) as u64;
            let bytes = if round == 2 && at == 1 { 5_000 } else { (round * 31 + at * 17) % 90 };
            session.append(key, &payload(key, offset, bytes));
        }
        session.settle();
    }
}

/// Two segments of two incarnations, closed cleanly.
pub fn closed() -> Subject {
    let memory = Memory::default();
    let mut model = Model::default();
    for rounds in [4, 5] {
        let mut session = open(&memory, &model);
        write_rounds(&mut session, rounds);
        if rounds == 4 {
            session.quiet();
        }
        let base;
        (model, base) = session.close();
        memory.write_manifest(base, true);
    }
    Subject { disk: memory.disk().clone(), model }
}

/// Two incarnations, of which the second crashed; if `marked`, after a mark covered its last frame.
pub fn crashed(marked: bool) -> Subject {
    let memory = Memory::default();
    let mut session = open(&memory, &Model::default());
    write_rounds(&mut session, 4);
    let (model, base) = session.close();
    memory.write_manifest(base, true);
    let mut session = open(&memory, &model);
    write_rounds(&mut session, 5);
    if marked {
        session.quiet();
    }
    let model = session.crash();
    let mut disk = memory.disk().clone();
    // Most of what was never written may go, and the segment that was never used, or each test would read megabytes.
    disk.remove_file(&in_log("00000003.seg"));
    let file = disk.file(&in_log("00000002.seg"));
    let end = file.data.len() as u64 + 4 * 4096;
    file.truncate(end);
    Subject { disk, model }
}

/// Where a frame lies, and its records.
pub struct FramePlace {
    pub sequence: u64,
    pub bytes: Range<u64>,
    pub records: Vec<(Range<u64>, Key, u64)>,
}

/// The frames of a segment's bytes.
pub fn frames(data: &[u8]) -> Vec<FramePlace> {
    let mut frames = Vec::new();
    let mut at = 4096;
    while let Some(Ok(header)) = data.get(at..).map(FrameHeader::decode) {
        let frame = &data[at..at + header.length as usize];
        let table: Vec<_> = header.table(frame).unwrap().iter().collect();
        let mut start = (at + HEADER_BYTES) as u64;
        let mut records = Vec::new();
        for record in header.records(frame).map(Result::unwrap) {
            let entry = &table[usize::from(record.header.slot)];
            let end = start + record_bytes(record.payload.len()) as u64;
            records.push((start..end, (entry.tenant, entry.stream), record.header.offset));
            start = end;
        }
        let bytes = at as u64..(at + frame.len()) as u64;
        at += frame.len();
        frames.push(FramePlace { sequence: header.sequence, bytes, records });
    }
    frames
}

pub fn segment_id(name: &str) -> SegmentId {
    let number = parse_segment_name(name.rsplit('/').next().unwrap()).unwrap();
    SegmentId { log: 0, number }
}

/// The bytes worth a test each: those with anything but zeros near them, and some of the others.
pub fn bytes_to_try(data: &[u8], stride: usize) -> Vec<usize> {
    let near = |at: usize| data[at.saturating_sub(6)..(at + 7).min(data.len())].iter().any(|&byte| byte != 0);
    (0..data.len()).filter(|&at| at % stride == 0 || near(at)).collect()
}

/// A log of its own that reads what another log's recovery found, as a shard does after a tenant moved.
pub struct Reader {
    memory: Memory,
    log: Log<MemoryBackend>,
    now: u64,
}

impl Default for Reader {
    fn default() -> Reader {
        let memory = Memory::default();
        let mut arena = Arena::new(ARENA_BYTES).unwrap();
        let buffers = LogBuffers::take(&mut arena).unwrap();
        let config = LogConfig { log: 7, incarnation: [9; 16], ..config() };
        let log =
            Log::open(memory.attach(), buffers, config, LogStart { segment: 1, ..LogStart::default() }, 0).unwrap();
        Reader { memory, log, now: 0 }
    }
}

impl Reader {
    fn load(&mut self, disk: &mut Disk) {
        let mut mine = self.memory.disk();
        for name in disk.segments() {
            if mine.names().contains(&name) {
                mine.file(&name).clone_from(disk.file(&name));
            } else {
                mine.put(&name, disk.file(&name).clone());
            }
        }
        mine.copy_bad_sectors(disk);
    }

    /// Reads every record that the model has. Each must come back as it was told, or its read must say that it is
    /// damaged; gives the offsets that are.
    fn read_all(&mut self, model: &Model, recovered: &Recovered) -> BTreeMap<Key, Vec<u64>> {
        let mut lost: BTreeMap<Key, Vec<u64>> = BTreeMap::new();
        for (&key, sent) in &model.streams {
            let lost = lost.entry(key).or_default();
            let Some(start) = recovered.streams.get(&key) else {
                lost.extend(0..sent.len() as u64);
                continue;
            };
            let index = self.log.streams() as u32;
            let StreamStart { link, next_offset, timestamp, position, ref runs, .. } = *start;
            let start = StreamStart { link, next_offset, timestamp, position, ..StreamStart::new(key.0, key.1) };
            self.log.add_stream(index, StreamStart { runs: runs.clone(), ..start });
            let mut next = 0;
            while next < sent.len() as u64 {
                match read(&mut self.log, index, next, u32::MAX, &mut self.now) {
                    Ok(records) => {
                        for (offset, told) in records {
                            assert_eq!(offset, next, "{key:?}: offsets have a break");
                            assert_eq!(
                                Some(&told),
                                sent.get(offset as usize).map(|sent| &sent.told),
                                "{key:?} {offset}"
                            );
                            next += 1;
                        }
                    }
                    Err(ReadError::Damaged(damage)) => {
                        assert_eq!(damage.losses[0].offsets, next..next + 1);
                        lost.push(next);
                        next += 1;
                    }
                    Err(error) => panic!("{key:?} {next}: {error:?}"),
                }
            }
        }
        lost.retain(|_, lost| !lost.is_empty());
        lost
    }
}

/// Whether a damage names a record.
pub fn names(damage: &[Damage], key: Key, offset: u64) -> bool {
    let mut losses = damage.iter().flat_map(|damage| &damage.losses);
    losses.any(|loss| (loss.tenant, loss.stream) == key && loss.offsets.contains(&offset))
}

/// What recovery of a spoilt log came to.
pub struct Outcome {
    pub recovered: Recovered,
    pub lost: BTreeMap<Key, Vec<u64>>,
    /// What lies on the disk after it.
    pub disk: Disk,
}

/// Opens a spoilt log. Whatever the model has is read back as it was, or is told to be damaged; nothing else appears; a
/// second opening says the same.
pub fn recover_spoilt(reader: &mut Reader, disk: &Disk, model: &Model) -> Result<Outcome, LogError> {
    let memory = Memory::of(disk.clone());
    let recovered = memory.recover()?;
    let mut after = memory.disk().clone();
    if recovered.damage.is_empty() {
        assert_eq!(recovered.frozen, []);
    }
    for (key, start) in &recovered.streams {
        let sent = model.streams.get(key).map_or(0, Vec::len) as u64;
        assert!(start.next_offset <= sent, "{key:?} has offsets that were never written");
        let frozen = recovered.frozen.contains(key);
        assert!(start.next_offset == sent || frozen || recovered.torn.is_some(), "{key:?}: lost its end unnoticed");
        if start.next_offset == sent {
            assert_eq!(start.link, model.link(*key, sent as usize), "{key:?}");
        }
    }
    reader.load(&mut after);
    let lost = reader.read_all(model, &recovered);
    let again = memory.recover()?;
    assert_eq!(again.start.base, recovered.start.base);
    assert_eq!(again.frozen, recovered.frozen);
    assert_eq!(again.torn.is_some(), recovered.torn.is_some() && !recovered.damage.is_empty());
    if recovered.scanned > 0 {
        assert_eq!(reader.read_all(model, &again), lost, "a second opening reads the same");
    }
    Ok(Outcome { recovered, lost, disk: after })
}

/// The directory in which the segments of log 0 lie.
pub fn in_log(name: &str) -> String {
    format!("{}/{name}", log_directory(0))
}
