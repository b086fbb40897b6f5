//! What must hold of a directory whatever is in it: verified, opened, opened again, and read.

use crate::allocations;
use crate::disk::{Attached, Disk, Shared};
use crate::samples::{Key, Model, Written};
use iobackend::{Arena, Buffer};
use log::format::Fault;
use log::format::segment::{Base, log_directory};
use log::limits::{ARENA_BYTES, SEGMENT_BYTES_MIN};
use log::{
    Cause, Log, LogBuffers, LogConfig, LogError, LogStart, ReadError, ReadRequest, Recovered, SCAN_BUFFER_BYTES,
    SegmentId, StreamStart, Verified, inspect_segment, log_segments, read_manifest, recover, verify,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Where a directory's bytes are from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// Nobody knows.
    Unknown,
    /// They are of a log to which this was written, and were changed by somebody who made the checksums fit.
    Forged(&'a Model),
    /// The same, but no checksum was made to fit.
    Damaged(&'a Model),
}

/// Checks a directory with log 0, of `engine`; gives whether verification calls it sound.
///
/// - Verification changes nothing, and takes no part in what opening says.
/// - What it calls sound opens without damage, every record of it can be read, every chain leads from its genesis to
///   its end; it is as much and as sound when it was opened.
/// - What is read of a log that was damaged is what was written, whatever else of it is lost.
/// - Opening never passes over what verification calls damaged, but for what it does not look at.
/// - Opened a second time, it is the same log, with no damage that opening made, and with no loss that it forgot. That does not
///   hold of a log to which somebody made the checksums fit: a segment's header whose base contradicts its frames is believed by
///   the opening that reads the frames, and not by the one that finds them sealed.
///
/// # Panics
/// If one of these does not hold.
pub fn check(disk: &Disk, engine: [u8; 16], origin: Origin<'_>) -> bool {
    let shared = Shared::new(disk.clone());
    let verified = verify_all(&shared);
    assert!(*shared.disk() == *disk, "verification changed something");
    let sealed = sealed(&shared);
    let opened = open(&shared, engine);
    let sound = verified.as_ref().is_ok_and(|verified| verified.damage.is_empty() && verified.torn == 0);
    let recovered = match opened {
        Ok(recovered) => recovered,
        Err(error) => {
            assert!(!sound, "sound, and refused: {error}");
            return false;
        }
    };
    if recovered.damage.is_empty() {
        assert!(recovered.frozen.is_empty() && recovered.blind.is_none(), "no damage, and streams are frozen");
    }
    if let Ok(verified) = &verified {
        check_damage(verified, &recovered, &sealed);
    }
    if matches!(origin, Origin::Forged(_)) {
        open(&shared, engine).expect("it was opened before");
    } else {
        check_again(&shared, engine, &recovered);
    }
    let streams: BTreeMap<Key, StreamStart> =
        recovered.streams.iter().map(|(key, start)| (*key, start.clone())).collect();
    let read = READER.with_borrow_mut(|reader| reader.read_all(&shared.disk(), &streams, sound, origin));
    let Some(read) = read else {
        // Sealed, as far as it says: nobody here has its keys.
        return sound;
    };
    if let (true, Ok(before)) = (sound, verified) {
        assert_eq!(recovered.damage, [], "sound, and opening finds damage");
        assert_eq!(recovered.torn, None, "sound, and opening finds a torn tail");
        assert_eq!(read.values().map(|records| records.len() as u64).sum::<u64>(), before.records);
        let after = verify_all(&shared).expect("it was verified before it was opened");
        assert_eq!((&after.damage[..], after.torn), (&[][..], 0), "opening made damage");
        assert_eq!((after.records, after.streams), (before.records, before.streams));
        for (key, records) in &read {
            check_stream(*key, records, &streams[key], origin);
        }
    }
    sound
}

/// A buffer as long as the longest file and the footer it may get: not the megabytes that any file could need.
fn scan(shared: &Shared) -> (Attached, Buffer) {
    let longest = shared.disk().0.values().map(|file| file.length as usize).max().unwrap_or(0);
    let bytes = (longest.next_multiple_of(4096) + (64 << 10)).min(SCAN_BUFFER_BYTES);
    let mut arena = Arena::new(bytes).expect("memory for a buffer");
    (shared.attach(), arena.take(bytes).expect("the arena is as long"))
}

fn verify_all(shared: &Shared) -> Result<Verified, LogError> {
    verify(|| Ok(scan(shared)), 1, |_, _| {})
}

/// Opens the log, and holds its memory against the bytes that there are: no count in them makes it take more.
fn open(shared: &Shared, engine: [u8; 16]) -> Result<Recovered, LogError> {
    let (mut backend, buffer) = scan(shared);
    let mut buffer = Some(buffer);
    let read = read_manifest(&mut backend, &mut buffer)?;
    let frontier = read.manifest.and_then(|manifest| manifest.frontiers.first().copied()).unwrap_or_default();
    let bytes: u64 = shared.disk().0.values().map(|file| file.length).sum();
    let most = 32 * bytes as usize + (256 << 10);
    allocations::at_most(most, || recover(&mut backend, &mut buffer, 0, engine, frontier, &mut |_| {}))
}

/// The segments that are sealed: opening believes their footers.
fn sealed(shared: &Shared) -> BTreeSet<SegmentId> {
    let (mut backend, buffer) = scan(shared);
    let mut buffer = Some(buffer);
    let segments = log_segments(&mut backend, 0).unwrap_or_default();
    let is_sealed = |id: &SegmentId| {
        inspect_segment(&mut backend, &mut buffer, *id, |_| {}).is_ok_and(|shape| matches!(shape.footer, Ok(Some(_))))
    };
    segments.into_iter().filter(is_sealed).collect()
}

fn check_damage(verified: &Verified, recovered: &Recovered, sealed: &BTreeSet<SegmentId>) {
    if !recovered.damage.is_empty() {
        return;
    }
    for damage in &verified.damage {
        let looked_at = match damage.cause {
            // Opening looks at no record but those of catalogs, for links and lengths.
            Cause::Frame { fault: Fault::Chain | Fault::Shape, .. } => false,
            Cause::Frame { .. } => !sealed.contains(&damage.segment),
            Cause::MissingSegment | Cause::MissingSegments { .. } | Cause::SegmentHeader(_) => true,
            _ => false,
        };
        assert!(!looked_at, "opening passes over {damage}");
    }
}

fn check_again(shared: &Shared, engine: [u8; 16], recovered: &Recovered) {
    let again = open(shared, engine).expect("it was opened before");
    assert_eq!(again.start.base, recovered.start.base, "another end");
    assert_eq!(again.frozen, recovered.frozen, "other streams are frozen");
    assert_eq!(again.blind.is_some(), recovered.blind.is_some(), "a loss is forgotten, or news");
    assert!(!recovered.damage.is_empty() || again.damage.is_empty(), "opening made damage: {:?}", again.damage);
    let ends = |recovered: &Recovered| -> BTreeMap<Key, (u64, crypto::Link)> {
        recovered.streams.iter().map(|(key, start)| (*key, (start.next_offset, start.link))).collect()
    };
    assert_eq!(ends(&again), ends(recovered), "other streams");
}

/// The chain leads through all records; so if it is known what was written, they are that.
fn check_stream((tenant, stream): Key, records: &[Written], start: &StreamStart, origin: Origin<'_>) {
    let mut link = crypto::genesis(tenant, stream);
    for Written { header, payload } in records {
        // Sealed records carry a tag that is not read back; the samples have none, and a file may.
        if header.flags & 1 != 0 {
            return;
        }
        let mut bytes = [0; 36];
        header.encode(&mut bytes);
        link = crypto::next(&link, &[&bytes[2..], payload].concat());
    }
    assert_eq!((records.len() as u64, link), (start.next_offset, start.link), "the chain ends elsewhere");
    if let Origin::Forged(model) | Origin::Damaged(model) = origin {
        assert!(
            written(model, (tenant, stream)).starts_with(records),
            "{tenant} {stream}: another history was written"
        );
    }
}

fn written(model: &Model, key: Key) -> &[Written] {
    model.get(&key).map_or(&[][..], Vec::as_slice)
}

thread_local! {
    static READER: RefCell<Reader> = RefCell::new(Reader::new());
}

/// A log of its own that reads what recovery found, as a shard does after a tenant moved to it.
struct Reader {
    shared: Shared,
    log: Log<Attached>,
    now: u64,
}

/// After so many streams a reader is made anew: a log forgets none.
const STREAMS_MAX: usize = 10_000;
const LOG: u16 = 7;

impl Reader {
    fn new() -> Reader {
        let shared = Shared::default();
        let mut arena = Arena::new(ARENA_BYTES).expect("memory for a log");
        let buffers = LogBuffers::take(&mut arena).expect("the arena holds a log's buffers");
        let config = LogConfig {
            log: LOG,
            engine: [7; 16],
            incarnation: [7; 16],
            segment_bytes: SEGMENT_BYTES_MIN,
            frame_cap: 1 << 20,
        };
        let start = LogStart { segment: 1, base: Base::default() };
        let log = Log::open(shared.attach(), buffers, config, start, 0).expect("nothing fails here");
        Reader { shared, log, now: 0 }
    }

    /// Reads the streams: each record in order if all are to be there, else from a few offsets. `None` if one says that it is sealed,
    /// which none is that was written here.
    fn read_all(
        &mut self,
        disk: &Disk,
        streams: &BTreeMap<Key, StreamStart>,
        all: bool,
        origin: Origin<'_>,
    ) -> Option<BTreeMap<Key, Vec<Written>>> {
        if self.log.streams() + streams.len() > STREAMS_MAX {
            *self = Reader::new();
        }
        let mine = log_directory(LOG);
        self.shared.disk().0.retain(|path, _| path.starts_with(&mine));
        self.shared.disk().0.extend(disk.0.clone());
        let mut found = BTreeMap::new();
        for (key, start) in streams {
            let index = self.log.streams() as u32;
            self.log.add_stream(index, start.clone());
            let mut records = Vec::new();
            if all {
                while (records.len() as u64) < start.next_offset {
                    match self.read(index, records.len() as u64) {
                        Ok(read) => records.extend(read),
                        Err(ReadError::NoKey { .. }) if !matches!(origin, Origin::Damaged(_)) => return None,
                        Err(error) => panic!("sound, and {key:?} is not read: {error:?}"),
                    }
                }
            } else {
                let next = start.next_offset;
                for from in [0, 1, next / 2, next.saturating_sub(1)].into_iter().filter(|from| *from < next) {
                    match self.read(index, from) {
                        Ok(records) => {
                            if let Origin::Damaged(model) = origin {
                                let written = written(model, *key).get(from as usize..).unwrap_or(&[]);
                                assert!(written.starts_with(&records), "{key:?} {from}: not what was written");
                            }
                        }
                        Err(ReadError::Damaged(damage)) => assert!(damage.losses[0].offsets.contains(&from)),
                        Err(ReadError::NoKey { .. }) if !matches!(origin, Origin::Damaged(_)) => return None,
                        Err(error) => panic!("{key:?} {from}: {error:?}"),
                    }
                }
            }
            found.insert(*key, records);
        }
        Some(found)
    }

    fn read(&mut self, index: u32, from: u64) -> Result<Vec<Written>, ReadError> {
        let (records_max, bytes_max, record_overhead) = (1_000, 1 << 20, 16);
        self.log.read(ReadRequest {
            ticket: from,
            index,
            from,
            records_max,
            bytes_max,
            record_overhead,
            sealed_from: u64::MAX,
        });
        loop {
            if let Some(ready) = self.log.ready_read() {
                let (place, size) = (ready.place, ready.size().map_err(Clone::clone));
                let mut records = Vec::new();
                ready.for_each(|record| {
                    let header = log::format::frame::RecordHeader { slot: 0, ..record.header };
                    records.push(Written { header, payload: record.payload.to_vec() });
                });
                self.log.finish_read(place);
                let (count, _) = size?;
                assert!(count > 0 && records.len() == count as usize, "not as many records as the read says");
                for (offset, record) in (from..).zip(&records) {
                    assert_eq!(record.header.offset, offset, "not the offsets that were asked for");
                }
                return Ok(records);
            }
            self.now += 1_000;
            self.log.reap(self.now);
        }
    }
}
