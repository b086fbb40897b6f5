//! Reading the tenants' catalogs: the one part of the records that opening needs.

use super::adopt::Kept;
use super::{CatalogRecord, Recovered, SLOT};
use crate::LogError;
use crate::error::{Cause, Damage, Loss};
use crate::format::frame::FrameHeader;
use crate::format::{BLOCK_BYTES, Fault};
use crate::limits::INDEX_SPACING_BYTES;
use crate::read::check_chain;
use crate::scan::{Found, SegmentFile};
use iobackend::{Buffer, IoBackend, OpenMode};
use std::ops::Range;

/// Reads the records of all catalogs in a segment: from each of their index entries, as far as the index's spacing.
/// What cannot be read is damage.
pub(super) fn read<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    kept: &Kept,
    recovered: &mut Recovered,
) -> Result<(), LogError> {
    let places = places(kept);
    if places.is_empty() {
        return Ok(());
    }
    let mut file = SegmentFile::open(backend, kept.segment.id, SLOT, OpenMode::ReadOnly, buffer)?;
    let incarnation = Some(kept.segment.incarnation);
    let before = recovered.catalog.len();
    let mut bad: Option<(Range<u64>, Cause)> = None;
    for bytes in places {
        file.walk(incarnation, bytes.start, bytes.end, |found| {
            let (place, sequence, fault) = match found {
                Found::Frame { header, bytes, body } => {
                    let collected = body.and_then(|()| collect(header, bytes, &mut recovered.catalog));
                    let Err(fault) = collected else { return };
                    (header.position..header.position + u64::from(header.length), header.sequence, fault)
                }
                Found::Bad { bytes, fault } => (bytes, kept.footer.header.first_sequence, fault),
            };
            bad.get_or_insert((place, Cause::Frame { sequence, fault }));
        })?;
    }
    let losses = missing(kept, &recovered.catalog[before..], &recovered.damage);
    if !losses.is_empty() {
        let (bytes, cause) = bad.unwrap_or((BLOCK_BYTES as u64..kept.segment.end, Cause::Gap));
        recovered.damage.push(Damage { segment: kept.segment.id, bytes, cause, losses });
    }
    Ok(())
}

/// Where to look, each place once.
fn places(kept: &Kept) -> Vec<Range<u64>> {
    let mut blocks = Vec::new();
    // Chains may join, in a footer that is not of our making.
    let mut visited = vec![false; kept.footer.index.len()];
    for line in kept.footer.streams.iter().filter(|line| line.stream == 0) {
        let mut at = line.newest;
        while let Some(entry) = kept.footer.index.get(at as usize)
            && !std::mem::replace(&mut visited[at as usize], true)
        {
            blocks.push(entry.block);
            at = entry.previous;
        }
    }
    blocks.sort_unstable();
    let mut places: Vec<Range<u64>> = Vec::new();
    for block in blocks {
        let start = u64::from(block) * BLOCK_BYTES as u64;
        let end = (start + INDEX_SPACING_BYTES).min(kept.segment.end);
        match places.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => places.push(start..end),
        }
    }
    places
}

fn collect(header: &FrameHeader, frame: &[u8], catalog: &mut Vec<CatalogRecord>) -> Result<(), Fault> {
    let table = header.table(frame)?;
    for entry in table.iter().filter(|entry| entry.stream == 0) {
        check_chain(header, frame, &entry)?;
    }
    let tenants: Vec<Option<u64>> = table.iter().map(|entry| (entry.stream == 0).then_some(entry.tenant)).collect();
    if tenants.iter().all(Option::is_none) {
        return Ok(());
    }
    for record in header.records(frame).flatten() {
        if let Some(Some(tenant)) = tenants.get(usize::from(record.header.slot)) {
            catalog.push(CatalogRecord {
                tenant: *tenant,
                offset: record.header.offset,
                position: record.header.position,
                timestamp: record.header.timestamp,
                kind: record.header.kind,
                payload: record.payload.to_vec(),
            });
        }
    }
    Ok(())
}

/// The offsets that the segment should hold of the catalogs, that were not collected, and that no damage names yet.
fn missing(kept: &Kept, collected: &[CatalogRecord], damage: &[Damage]) -> Vec<Loss> {
    let mut have: Vec<(u64, Range<u64>)> = Vec::with_capacity(collected.len());
    have.extend(collected.iter().map(|record| (record.tenant, record.offset..record.offset.saturating_add(1))));
    let named = damage.iter().flat_map(|damage| &damage.losses).filter(|loss| loss.stream == 0);
    have.extend(named.map(|loss| (loss.tenant, loss.offsets.clone())));
    have.sort_unstable_by_key(|(tenant, offsets)| (*tenant, offsets.start));
    let mut lines: Vec<_> = kept.footer.streams.iter().filter(|line| line.stream == 0).collect();
    lines.sort_by_key(|line| line.tenant);
    lines.dedup_by_key(|line| line.tenant);
    let mut losses = Vec::new();
    let mut have = have.into_iter().peekable();
    for line in lines {
        let (tenant, mut next) = (line.tenant, line.first_offset);
        let mut lose = |offsets: Range<u64>| {
            if !offsets.is_empty() {
                losses.push(Loss { tenant, stream: 0, offsets });
            }
        };
        while let Some((of, offsets)) = have.next_if(|(of, _)| *of <= tenant) {
            if of == tenant {
                lose(next..offsets.start.min(line.next_offset));
                next = next.max(offsets.end);
            }
        }
        lose(next..line.next_offset);
    }
    losses
}
