//! Verification: every byte of every segment is read, every checksum and every chain link computed again.
//!
//! Segments are independent of each other and are verified by all cores; what joins them (sequences, marks, streams' runs)
//! is checked at the end. No key is needed and nothing is changed.

use crate::error::{Cause, Damage, LogError, Loss};
use crate::format::footer::Footer;
use crate::format::frame::{FrameHeader, TableEntry};
use crate::format::manifest::{COPIES, Manifest};
use crate::format::segment::{SegmentHeader, SegmentId, parse_log_directory};
use crate::format::{BLOCK_BYTES, Fault};
use crate::manifest::{ManifestRead, read_manifest};
use crate::recover::{check_header, segment_numbers};
use crate::scan::{Found, SCAN_BUFFER_BYTES, SegmentFile};
use crypto::{LANES, Link};
use hashbrown::HashMap;
use iobackend::{Buffer, FileSlot, IoBackend, OpenMode};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

type Map<V> = HashMap<(u64, u32), V, foldhash::fast::RandomState>;

/// What verification found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Logs.
    pub logs: usize,
    /// Segments.
    pub segments: usize,
    /// Frames that are intact, marks included.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Payload bytes in them.
    pub payload_bytes: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Streams, catalogs included.
    pub streams: usize,
    /// What is damaged; empty if all is well.
    pub damage: Vec<Damage>,
    /// Tails that were written and never acknowledged: the next opening cuts them.
    pub torn: usize,
}

/// A stretch of a stream whose links join.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    first_offset: u64,
    next_offset: u64,
    link_before: Link,
    link_after: Link,
    segment: SegmentId,
    position: u64,
}

/// What one segment showed.
#[derive(Debug)]
struct Examined {
    id: SegmentId,
    header: Result<SegmentHeader, Fault>,
    sealed: bool,
    /// Sequence, position, end, previous and own body checksum, and state, of each frame with an intact header.
    frames: Vec<FrameLine>,
    /// Stretches of blocks in which no frame begins, before the end of the frames.
    bad: Vec<(Range<u64>, Fault)>,
    stretches: Map<Vec<Stretch>>,
    damage: Vec<Damage>,
    durable_mark: u64,
    next_sequence: Option<u64>,
    records: u64,
    payload_bytes: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct FrameLine {
    sequence: u64,
    position: u64,
    end: u64,
    previous_crc: u32,
    body_crc: u32,
    intact: bool,
}

/// Verifies a data directory. `open` gives each of `threads` workers a backend on it with a buffer of
/// [`SCAN_BUFFER_BYTES`]; `progress` is told bytes as they are done.
///
/// # Errors
/// What keeps the directory from being read at all: the system, foreign files, other versions. Damage is a result.
pub fn verify<B: IoBackend>(
    open: impl Fn() -> Result<(B, Buffer), LogError> + Sync,
    threads: usize,
    progress: impl Fn(u64, u64) + Sync,
) -> Result<Verified, LogError> {
    let (mut backend, buffer) = open()?;
    let mut buffer = Some(buffer);
    let read = read_manifest(&mut backend, &mut buffer)?;
    let (ids, logs, total) = all_segments(&mut backend, &mut buffer)?;
    let engine = read.manifest.as_ref().map(|manifest| manifest.engine);
    drop((backend, buffer));

    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results = Mutex::new(Vec::with_capacity(ids.len()));
    let worker = || -> Result<(), LogError> {
        let (mut backend, buffer) = open()?;
        let mut buffer = Some(buffer);
        while let Some(&id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
            let examined = examine(&mut backend, &mut buffer, id, engine)?;
            let bytes = examined.bytes as usize;
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(examined);
            progress((done.fetch_add(bytes, Ordering::Relaxed) + bytes) as u64, total);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, ids.len().max(1))).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let mut examined = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    examined.sort_unstable_by_key(|segment| segment.id);
    Ok(join(&read, &examined, logs))
}

type AllSegments = (Vec<SegmentId>, usize, u64);

fn all_segments<B: IoBackend>(backend: &mut B, buffer: &mut Option<Buffer>) -> Result<AllSegments, LogError> {
    let names = backend.list(".").map_err(|source| LogError::System { doing: "list", path: ".".into(), source })?;
    let logs: Vec<u16> = names.iter().filter_map(|name| parse_log_directory(name)).collect();
    let mut ids = Vec::new();
    let mut total = 0;
    for &log in &logs {
        for number in segment_numbers(backend, log)? {
            let id = SegmentId { log, number };
            total += SegmentFile::open(backend, id, FileSlot(0), OpenMode::ReadOnly, buffer)?.length;
            ids.push(id);
        }
    }
    Ok((ids, logs.len(), total))
}

fn examine<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    id: SegmentId,
    engine: Option<[u8; 16]>,
) -> Result<Examined, LogError> {
    let mut file = SegmentFile::open(backend, id, FileSlot(0), OpenMode::ReadOnly, buffer)?;
    let header = file.header()?;
    if let Some(engine) = engine {
        check_header(id, engine, header)?;
    }
    let footer = file.footer()?;
    let mut examined = Examined {
        id,
        header,
        sealed: matches!(footer, Ok(Some(_))),
        frames: Vec::new(),
        bad: Vec::new(),
        stretches: Map::default(),
        damage: Vec::new(),
        durable_mark: 0,
        next_sequence: None,
        records: 0,
        payload_bytes: 0,
        bytes: file.length,
    };
    let frames_end = match &footer {
        Ok(Some(footer)) => footer.header.position,
        _ => file.end,
    };
    let incarnation = header.ok().map(|header| header.incarnation);
    let walked = file.walk(incarnation, BLOCK_BYTES as u64, frames_end, |found| match found {
        Found::Frame { header, bytes, body } => examined.take_frame(header, bytes, body),
        Found::Bad { bytes, fault } => examined.bad.push((bytes, fault)),
    })?;
    match footer {
        Ok(Some(footer)) => {
            examined.compare(&footer);
            let gap = footer.header.position + footer.header.length() as u64..file.end - BLOCK_BYTES as u64;
            examined.check_zero(&mut file, gap)?;
        }
        Ok(None) if walked.footer.is_none() => {}
        // A trailer without a good footer, or a footer without its trailer.
        Ok(None) => examined.footer_damage(walked.end..file.end, Fault::Cut),
        Err(fault) => examined.footer_damage(walked.end..file.end, fault),
    }
    Ok(examined)
}

impl Examined {
    fn take_frame(&mut self, header: &FrameHeader, frame: &[u8], body: Result<(), Fault>) {
        let end = header.position + u64::from(header.length);
        let table: Option<Vec<TableEntry>> = header.table(frame).ok().map(|table| table.iter().collect());
        let mut fault = body.err();
        if fault.is_none() {
            match &table {
                Some(table) => fault = check_chains(header, frame, table).err(),
                None => fault = Some(Fault::TableChecksum),
            }
        }
        self.durable_mark = self.durable_mark.max(header.durable_mark);
        let line = FrameLine {
            sequence: header.sequence,
            position: header.position,
            end,
            previous_crc: header.previous_crc,
            body_crc: header.body_crc,
            intact: fault.is_none(),
        };
        self.frames.push(line);
        let table = table.unwrap_or_default();
        if let Some(fault) = fault {
            let losses =
                table.iter().map(|entry| loss(entry.tenant, entry.stream, entry.first_offset..entry.next_offset()));
            let cause = Cause::Frame { sequence: header.sequence, fault };
            let damage = Damage { segment: self.id, bytes: header.position..end, cause, losses: losses.collect() };
            self.damage.push(damage);
        } else {
            self.records += u64::from(header.records);
            self.payload_bytes += header.records(frame).flatten().map(|r| r.payload.len() as u64).sum::<u64>();
        }
        // A bad frame with an intact table is joined like a good one: what it lost is named already.
        for entry in table {
            self.join_entry(&entry, header.position);
        }
    }

    fn join_entry(&mut self, entry: &TableEntry, position: u64) {
        let stretches = self.stretches.entry((entry.tenant, entry.stream)).or_default();
        if let Some(last) = stretches.last_mut()
            && last.next_offset == entry.first_offset
            && last.link_after == entry.link_before
        {
            last.next_offset = entry.next_offset();
            last.link_after = entry.link_after;
            return;
        }
        stretches.push(Stretch {
            first_offset: entry.first_offset,
            next_offset: entry.next_offset(),
            link_before: entry.link_before,
            link_after: entry.link_after,
            segment: self.id,
            position,
        });
    }

    /// Compares the footer with what the frames showed. Where frames are bad, the footer tells what they held.
    fn compare(&mut self, footer: &Footer) {
        self.next_sequence = Some(footer.header.next_sequence);
        let mut lost = Vec::new();
        let mut contradicts = footer.streams.len() < self.stretches.len();
        for line in &footer.streams {
            let key = (line.tenant, line.stream);
            let stretches = self.stretches.get(&key).map_or(&[][..], Vec::as_slice);
            let first = stretches.first().map_or(line.next_offset, |stretch| stretch.first_offset);
            if first > line.first_offset {
                lost.push(loss(key.0, key.1, line.first_offset..first));
            }
            let next = stretches.last().map_or(line.next_offset, |stretch| stretch.next_offset);
            if next < line.next_offset {
                lost.push(loss(key.0, key.1, next..line.next_offset));
            }
            let link = stretches.last().map(|stretch| stretch.link_after);
            contradicts |=
                next > line.next_offset || next == line.next_offset && link.is_some_and(|link| link != line.link);
        }
        let blind = !self.bad.is_empty() || self.damage.iter().any(|damage| damage.losses.is_empty());
        contradicts |= !lost.is_empty() && !blind;
        if contradicts {
            let at = footer.header.position;
            self.footer_damage(at..at + footer.header.length() as u64, Fault::Shape);
        }
        self.name_losses(lost);
    }

    /// Lets the damage about which nothing else is known say what it cost.
    fn name_losses(&mut self, lost: Vec<Loss>) {
        for (bytes, fault) in std::mem::take(&mut self.bad) {
            let sequence =
                self.frames.iter().rev().find(|frame| frame.end <= bytes.start).map_or(0, |f| f.sequence + 1);
            let cause = Cause::Frame { sequence, fault };
            self.damage.push(Damage { segment: self.id, bytes, cause, losses: Vec::new() });
        }
        if let Some(damage) = self.damage.iter_mut().find(|damage| damage.losses.is_empty()) {
            damage.losses = lost;
        }
    }

    fn footer_damage(&mut self, bytes: Range<u64>, fault: Fault) {
        self.damage.push(Damage { segment: self.id, bytes, cause: Cause::Footer(fault), losses: Vec::new() });
    }

    fn check_zero<B: IoBackend>(&mut self, file: &mut SegmentFile<'_, B>, gap: Range<u64>) -> Result<(), LogError> {
        let mut at = gap.start;
        while at < gap.end {
            let bytes = file.bytes(at, (gap.end - at).min(SCAN_BUFFER_BYTES as u64) as usize)?;
            if let Some(byte) = bytes.iter().position(|&byte| byte != 0) {
                let start = at + byte as u64;
                let damage =
                    Damage { segment: self.id, bytes: start..gap.end, cause: Cause::NotZero, losses: Vec::new() };
                self.damage.push(damage);
                break;
            }
            at += bytes.len().max(1) as u64;
        }
        Ok(())
    }
}

fn loss(tenant: u64, stream: u32, offsets: Range<u64>) -> Loss {
    Loss { tenant, stream, offsets }
}

/// Computes every link of a frame again, several streams at a time.
fn check_chains(header: &FrameHeader, frame: &[u8], table: &[TableEntry]) -> Result<(), Fault> {
    let mut state: Vec<(Link, u64)> = table.iter().map(|entry| (entry.link_before, entry.first_offset)).collect();
    let mut lanes: [(usize, &[u8]); LANES] = [(0, &[]); LANES];
    let mut waiting = 0;
    let mut records = 0;
    for record in header.records(frame) {
        let record = record?;
        records += 1;
        let slot = usize::from(record.header.slot);
        if state.get(slot).is_none_or(|(_, offset)| *offset != record.header.offset) {
            return Err(Fault::Chain);
        }
        state[slot].1 += 1;
        if waiting == LANES || lanes[..waiting].iter().any(|lane| lane.0 == slot) {
            chain_lanes(&mut state, &lanes[..waiting]);
            waiting = 0;
        }
        lanes[waiting] = (slot, record.hashed);
        waiting += 1;
    }
    if waiting > 0 {
        chain_lanes(&mut state, &lanes[..waiting]);
    }
    let ends =
        table.iter().zip(&state).all(|(entry, (link, next))| entry.link_after == *link && entry.next_offset() == *next);
    if ends && records == header.records { Ok(()) } else { Err(Fault::Chain) }
}

fn chain_lanes(state: &mut [(Link, u64)], lanes: &[(usize, &[u8])]) {
    let mut links = [Link::from_bytes([0; 32]); LANES];
    let mut records: [&[u8]; LANES] = [&[]; LANES];
    for (at, (slot, record)) in lanes.iter().enumerate() {
        links[at] = state[*slot].0;
        records[at] = record;
    }
    crypto::next_lanes(&mut links[..lanes.len()], &records[..lanes.len()]);
    for (at, (slot, _)) in lanes.iter().enumerate() {
        state[*slot].0 = links[at];
    }
}

/// Joins what the segments showed: logs by their sequences, streams by their links.
fn join(read: &ManifestRead, examined: &[Examined], logs: usize) -> Verified {
    let mut verified = Verified { logs, segments: examined.len(), ..Verified::default() };
    for (copy, fault) in read.faults.iter().enumerate() {
        if let Some(fault) = *fault {
            verified.damage.push(manifest_damage(copy, fault));
        } else if !read.present[copy] && (logs > 0 || read.present[1 - copy]) {
            verified.damage.push(manifest_damage(copy, Fault::Cut));
        }
    }
    for segment in examined {
        verified.records += segment.records;
        verified.payload_bytes += segment.payload_bytes;
        verified.bytes += segment.bytes;
        verified.frames += segment.frames.iter().filter(|frame| frame.intact).count() as u64;
        verified.damage.extend(segment.damage.iter().cloned());
    }
    let by_log = examined.chunk_by(|a, b| a.id.log == b.id.log);
    let mut seen = Vec::new();
    for log in by_log {
        seen.push(log[0].id.log);
        join_log(read.manifest.as_ref(), log, &mut verified);
    }
    let frontiers = read.manifest.iter().flat_map(|manifest| manifest.frontiers.iter().enumerate());
    for (log, frontier) in frontiers {
        if frontier.sequence > 0 && !seen.contains(&(log as u16)) {
            let segment = SegmentId { log: log as u16, number: frontier.segment };
            verified.damage.push(Damage { segment, bytes: 0..0, cause: Cause::MissingSegment, losses: Vec::new() });
        }
    }
    join_streams(examined, &mut verified);
    verified
}

fn manifest_damage(copy: usize, fault: Fault) -> Damage {
    debug_assert!(copy < COPIES.len());
    let segment = SegmentId { log: 0, number: 0 };
    Damage { segment, bytes: 0..0, cause: Cause::Manifest(fault), losses: Vec::new() }
}

/// Checks one log's sequences: nothing that anything intact vouches for is missing.
fn join_log(manifest: Option<&Manifest>, log: &[Examined], verified: &mut Verified) {
    let number = usize::from(log[0].id.log);
    let frontier = manifest.and_then(|manifest| manifest.frontiers.get(number)).copied().unwrap_or_default();
    let claims = log.iter().map(|segment| {
        let base = segment.header.map_or(0, |header| header.base.sequence);
        base.max(segment.durable_mark).max(segment.next_sequence.unwrap_or(0))
    });
    let claim = claims.max().unwrap_or(0).max(frontier.sequence);
    let (mut expected, mut last_crc) = (0, Some(0));
    let mut before = 0;
    let mut end = (log[0].id, 0);
    let mut damage = Vec::new();
    for segment in log {
        for missing in before + 1..segment.id.number {
            let segment = SegmentId { number: missing, ..segment.id };
            damage.push(Damage { segment, bytes: 0..0, cause: Cause::MissingSegment, losses: Vec::new() });
        }
        before = segment.id.number;
        let unused = segment.frames.is_empty() && !segment.sealed;
        if let Err(fault) = segment.header
            && !(unused && claim <= expected)
        {
            let bytes = 0..BLOCK_BYTES as u64;
            damage.push(Damage { segment: segment.id, bytes, cause: Cause::SegmentHeader(fault), losses: Vec::new() });
        }
        let mut bad = segment.bad.iter().peekable();
        for frame in &segment.frames {
            let stretch = bad.next_if(|(bytes, _)| bytes.start < frame.position).cloned();
            let acknowledged = claim > expected;
            let in_order = frame.sequence == expected;
            if frame.sequence > expected && acknowledged || in_order && stretch.is_some() && acknowledged {
                let (bytes, fault) = stretch.unwrap_or((frame.position..frame.position, Fault::Unwritten));
                let cause = Cause::Frame { sequence: expected, fault };
                let named = segment.damage.iter().any(|damage| damage.bytes.start == bytes.start);
                if !named {
                    damage.push(Damage { segment: segment.id, bytes, cause, losses: Vec::new() });
                }
                last_crc = None;
            } else if frame.sequence > expected || !frame.intact && claim <= frame.sequence {
                break;
            }
            if last_crc.is_some_and(|crc| crc != frame.previous_crc) && in_order {
                let cause = Cause::Frame { sequence: frame.sequence, fault: Fault::Order };
                let bytes = frame.position..frame.end;
                damage.push(Damage { segment: segment.id, bytes, cause, losses: Vec::new() });
            }
            expected = expected.max(frame.sequence + 1);
            last_crc = Some(frame.body_crc);
            end = (segment.id, frame.end);
        }
        if let Some(next) = segment.next_sequence {
            expected = expected.max(next);
        } else if segment.frames.last().is_some_and(|frame| frame.sequence >= expected) || !all_unwritten(segment) {
            verified.torn += 1;
        }
    }
    if claim > expected {
        let at = end.1;
        let (segment, cause) = if frontier.segment > before {
            (SegmentId { number: frontier.segment, ..end.0 }, Cause::MissingSegment)
        } else {
            (end.0, Cause::Frame { sequence: expected, fault: Fault::Unwritten })
        };
        damage.push(Damage { segment, bytes: at..frontier.end.max(at), cause, losses: Vec::new() });
    }
    verified.damage.append(&mut damage);
}

/// Whether what follows the last frame was never written.
fn all_unwritten(segment: &Examined) -> bool {
    let end = segment.frames.last().map_or(BLOCK_BYTES as u64, |frame| frame.end);
    segment.bad.iter().all(|(bytes, fault)| bytes.start < end || *fault == Fault::Unwritten)
}

/// Checks that the stretches of each stream join, over all segments and logs, from the genesis on.
fn join_streams(examined: &[Examined], verified: &mut Verified) {
    let mut streams: Map<Vec<Stretch>> = Map::default();
    for segment in examined {
        for (key, stretches) in &segment.stretches {
            streams.entry(*key).or_default().extend(stretches);
        }
    }
    verified.streams = streams.len();
    let mut streams: Vec<_> = streams.into_iter().collect();
    streams.sort_unstable_by_key(|(key, _)| *key);
    for ((tenant, stream), mut stretches) in streams {
        stretches.sort_unstable_by_key(|stretch| stretch.first_offset);
        let (mut next, mut link) = (0, crypto::genesis(tenant, stream));
        for stretch in stretches {
            if stretch.first_offset > next {
                name_gap(&mut verified.damage, &stretch, loss(tenant, stream, next..stretch.first_offset));
            } else if stretch.first_offset < next || stretch.link_before != link {
                let losses = vec![loss(tenant, stream, stretch.first_offset..stretch.next_offset)];
                let bytes = stretch.position..stretch.position;
                verified.damage.push(Damage { segment: stretch.segment, bytes, cause: Cause::Chain, losses });
            }
            (next, link) = (stretch.next_offset, stretch.link_after);
        }
    }
}

/// A stream's offsets are missing before a stretch: either some damage named already took them, or this is news.
fn name_gap(damage: &mut Vec<Damage>, stretch: &Stretch, gap: Loss) {
    let named = damage.iter().flat_map(|damage| &damage.losses).any(|loss| {
        (loss.tenant, loss.stream) == (gap.tenant, gap.stream)
            && loss.offsets.start <= gap.offsets.start
            && loss.offsets.end >= gap.offsets.end
    });
    if named {
        return;
    }
    let blind = |damage: &&mut Damage| {
        let at = (damage.segment, damage.bytes.start);
        matches!(damage.cause, Cause::Frame { .. } | Cause::MissingSegment)
            && damage.segment.log == stretch.segment.log
            && at <= (stretch.segment, stretch.position)
            && damage.losses.iter().all(|loss| (loss.tenant, loss.stream) != (gap.tenant, gap.stream))
    };
    match damage.iter_mut().filter(blind).max_by_key(|damage| (damage.segment, damage.bytes.start)) {
        Some(damage) => damage.losses.push(gap),
        None => {
            let bytes = stretch.position..stretch.position;
            damage.push(Damage { segment: stretch.segment, bytes, cause: Cause::Gap, losses: vec![gap] });
        }
    }
}
