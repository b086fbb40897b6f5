//! One segment, from its first byte to its last: every checksum, every link, every zero.

use super::trees::{FrameLeaves, Rows, Sizes};
use crate::draft::Draft;
use crate::error::{Cause, Damage, LogError};
use crate::format::footer::Footer;
use crate::format::frame::{FrameHeader, TableEntry};
use crate::format::segment::SegmentId;
use crate::format::{BLOCK_BYTES, Fault};
use crate::history::{Item, Outline, judge_sealed};
use crate::links::{Linked, compute_links};
use crate::recover::{check_header, line, loss};
use crate::scan::{Found, SCAN_BUFFER_BYTES, Seal, SegmentFile};
use crypto::{Link, merkle};
use hashbrown::HashMap;
use iobackend::{Buffer, FileSlot, IoBackend, OpenMode};
use std::ops::Range;

pub(super) type Map<V> = HashMap<(u64, u32), V, foldhash::fast::RandomState>;

/// A place in a log: segment and byte.
pub(super) type At = (SegmentId, u64);

/// A stretch of a stream whose links join.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) first_offset: u64,
    pub(super) next_offset: u64,
    pub(super) link_before: Link,
    pub(super) link_after: Link,
    /// Where its first frame lies, and its last.
    pub(super) from: At,
    pub(super) to: At,
}

/// What one segment showed.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) outline: Outline,
    /// The frames of an unsealed segment; which of them are part of the log only the rest of the log can tell.
    pub(super) frames: Vec<FrameSeen>,
    /// What was found in it: of a sealed segment all of it.
    pub(super) findings: Findings,
}

/// A frame with an intact header.
#[derive(Debug)]
pub(super) struct FrameSeen {
    header: FrameHeader,
    table: Vec<TableEntry>,
    payload_bytes: u64,
    /// The tenants' leaves in it; none if it is bad.
    rows: Vec<(u64, merkle::Range)>,
}

/// What is known of frames that are part of the log.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) frames: u64,
    pub(super) records: u64,
    pub(super) payload_bytes: u64,
    pub(super) stretches: Map<Vec<Stretch>>,
    pub(super) trees: Rows,
    pub(super) damage: Vec<Damage>,
}

/// Reads and checks one segment.
pub(super) fn examine<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    id: SegmentId,
    engine: Option<[u8; 16]>,
    sizes: &Sizes,
) -> Result<Examined, LogError> {
    let mut file = SegmentFile::open(backend, id, FileSlot(0), OpenMode::ReadOnly, buffer)?;
    let header = file.header()?;
    check_header(id, engine, header)?;
    let incarnation = header.ok().map(|header| header.incarnation);
    let seal = file.seal(incarnation)?;
    let length = file.length;
    let mut outline = Outline::new(id, header, length);
    let until = match &seal {
        Seal::Sealed(footer) => footer.header.position,
        Seal::Unsealed | Seal::Bad(_) => file.end,
    };
    let mut frames = Vec::new();
    let mut leaves = FrameLeaves::new(sizes);
    let walked = file.walk(incarnation, BLOCK_BYTES as u64, until, |found| match found {
        Found::Frame { header, bytes, body } => {
            let mut seen = FrameSeen::new(header, bytes);
            let sound = body.and_then(|()| check_chains(header, bytes, &seen.table, &mut leaves));
            seen.rows = sound.map_or_else(|_| Vec::new(), |()| leaves.rows());
            outline.frames.push(line(header, sound.err()));
            frames.push(seen);
        }
        Found::Bad { bytes, fault } => outline.bad.push((bytes, fault)),
    })?;
    outline.incarnation = walked.incarnation;
    let mut examined = Examined { outline, frames, findings: Findings::default() };
    match seal {
        Seal::Sealed(footer) => {
            examined.finish_sealed(&footer, sizes);
            let end = footer.header.position + footer.header.length() as u64;
            examined.check_zero(&mut file, end..length - BLOCK_BYTES as u64)?;
        }
        Seal::Bad(fault) => {
            examined.outline.has_trailer = true;
            examined.damage(walked.end..length, Cause::Footer(fault));
        }
        Seal::Unsealed => {}
    }
    Ok(examined)
}

impl Examined {
    /// The footer vouches for every frame of its segment, so what is wrong in it can be said at once.
    fn finish_sealed(&mut self, footer: &Footer, sizes: &Sizes) {
        let header = &footer.header;
        let mut draft = Draft::new(header.id, Some(header.incarnation), header.first_sequence, header.last_crc);
        let items = judge_sealed(&self.outline, header);
        let frames = std::mem::take(&mut self.frames);
        self.findings.take(self.outline.id, &frames, &items, sizes, Some(&mut draft));
        if self.findings.damage.is_empty() {
            if draft.footer != *footer {
                let bytes = header.position..header.position + header.length() as u64;
                self.damage(bytes, Cause::Footer(Fault::Shape));
            }
        } else {
            self.findings.add_ends(footer);
        }
        self.outline.follows = self.outline.frames.first().map(|frame| frame.previous_crc);
        self.outline.incarnation = Some(header.incarnation);
        self.outline.footer = Some(*header);
        self.outline.frames = Vec::new();
    }

    fn damage(&mut self, bytes: Range<u64>, cause: Cause) {
        self.findings.damage.push(Damage { segment: self.outline.id, bytes, cause, losses: Vec::new() });
    }

    fn check_zero<B: IoBackend>(&mut self, file: &mut SegmentFile<'_, B>, gap: Range<u64>) -> Result<(), LogError> {
        let mut at = gap.start;
        while at < gap.end {
            let want = (gap.end - at).min(SCAN_BUFFER_BYTES as u64) as usize;
            file.bytes(at, want)?;
            if file.is_unreadable(at..at + want as u64) {
                self.damage(at..gap.end, Cause::Footer(Fault::Unreadable));
                break;
            }
            let bytes = file.bytes(at, want)?;
            if let Some(byte) = bytes.iter().position(|&byte| byte != 0) {
                let start = at + byte as u64;
                self.damage(start..gap.end, Cause::NotZero);
                break;
            }
            at += bytes.len().max(1) as u64;
        }
        Ok(())
    }
}

impl FrameSeen {
    fn new(header: &FrameHeader, frame: &[u8]) -> FrameSeen {
        FrameSeen {
            header: *header,
            table: header.table(frame).map(|table| table.iter().collect()).unwrap_or_default(),
            payload_bytes: header.records(frame).flatten().map(|record| record.payload.len() as u64).sum(),
            rows: Vec::new(),
        }
    }
}

impl Findings {
    /// Takes in the frames that were judged to be part of the log. A bad one with an intact table is joined like a
    /// good one: what it lost is named already.
    pub(super) fn take(
        &mut self,
        id: SegmentId,
        frames: &[FrameSeen],
        items: &[Item],
        sizes: &Sizes,
        mut draft: Option<&mut Draft>,
    ) {
        for item in items {
            match item {
                Item::Lost(lost) => self.damage.push(Damage {
                    segment: lost.segment,
                    bytes: lost.bytes.clone(),
                    cause: lost.cause,
                    losses: Vec::new(),
                }),
                Item::Frame { at, fault } => {
                    let FrameSeen { header, table, payload_bytes, rows } = &frames[*at];
                    let place = (id, header.position);
                    table.iter().for_each(|entry| self.join_entry(entry, place));
                    self.trees.add(rows, place, sizes);
                    if let Some(draft) = &mut draft {
                        draft.add(header, *payload_bytes, table);
                    }
                    if let Some(fault) = *fault {
                        let bytes = header.position..header.position + u64::from(header.length);
                        let cause = Cause::Frame { sequence: header.sequence, fault };
                        let losses = table.iter().map(loss).collect();
                        self.damage.push(Damage { segment: id, bytes, cause, losses });
                    } else {
                        self.frames += 1;
                        self.records += u64::from(header.records);
                        self.payload_bytes += payload_bytes;
                    }
                }
            }
        }
    }

    fn join_entry(&mut self, entry: &TableEntry, at: At) {
        self.trees.reaches(entry.tenant, entry.position);
        let stretches = self.stretches.entry((entry.tenant, entry.stream)).or_default();
        if let Some(last) = stretches.last_mut()
            && last.next_offset == entry.first_offset
            && last.link_after == entry.link_before
        {
            last.next_offset = entry.next_offset();
            last.link_after = entry.link_after;
            last.to = at;
            return;
        }
        stretches.push(Stretch {
            first_offset: entry.first_offset,
            next_offset: entry.next_offset(),
            link_before: entry.link_before,
            link_after: entry.link_after,
            from: at,
            to: at,
        });
    }

    /// Where frames are bad, the footer tells how far each stream went: a stretch of no records at its end.
    fn add_ends(&mut self, footer: &Footer) {
        let at = (footer.header.id, footer.header.position);
        for line in &footer.streams {
            self.trees.reaches(line.tenant, line.position);
            self.stretches.entry((line.tenant, line.stream)).or_default().push(Stretch {
                first_offset: line.next_offset,
                next_offset: line.next_offset,
                link_before: line.link,
                link_after: line.link,
                from: at,
                to: at,
            });
        }
    }
}

/// Computes every link of a frame again, and gives each record's to `leaves`.
fn check_chains(
    header: &FrameHeader,
    frame: &[u8],
    table: &[TableEntry],
    leaves: &mut FrameLeaves<'_>,
) -> Result<(), Fault> {
    leaves.clear();
    let chains = compute_links(header, frame, table, |Linked { slot, position, link }| {
        let TableEntry { tenant, stream, .. } = table[slot];
        leaves.push(tenant, stream, position, link);
    })?;
    if table.iter().zip(&chains).all(|(entry, chain)| chain.ends(entry)) { Ok(()) } else { Err(Fault::Chain) }
}
