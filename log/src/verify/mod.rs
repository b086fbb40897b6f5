//! Verification: every byte of every segment is read, every checksum, every chain link and every tenant's tree computed again.
//!
//! Segments are independent of each other and are examined by all cores (`examine`); what joins them (sequences, marks,
//! streams' links, tenants' positions) is checked at the end (`join`, `trees`). No key is needed and nothing is changed.

mod examine;
mod join;
mod trees;

pub use trees::Tree;

use crate::error::{Damage, LogError};
use crate::format::segment::SegmentId;
use crate::format::{RootName, root_name};
use crate::history::pinned_within;
use crate::manifest::{BadCopy, ManifestRead, read_manifest};
use crate::recover::{check_numbers, segment_numbers, show};
#[cfg(doc)]
use crate::scan::SCAN_BUFFER_BYTES;
use crate::scan::SegmentFile;
use examine::{Examined, examine};
use iobackend::{Buffer, FileSlot, IoBackend, OpenMode};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use trees::Sizes;

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
    /// Whose directory it is: as the manifest says, or else all segments alike.
    pub engine: Option<[u8; 16]>,
    /// The tenants' Merkle trees, by tenant.
    pub trees: Vec<Tree>,
    /// What is damaged; empty if all is well.
    pub damage: Vec<Damage>,
    /// Tails that were written and never acknowledged: the next opening cuts them.
    pub torn: usize,
    /// The copy of the manifest that is missing or bad while the other one serves: no damage, since a power cut may come
    /// while a copy is written. The next opening writes it anew.
    pub bad_copy: Option<BadCopy>,
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
    verify_roots(open, threads, &[], progress)
}

/// The same, and gives the roots that tenants' trees had at some sizes: those of checkpoints that somebody kept.
///
/// # Errors
/// As [`verify`].
pub fn verify_roots<B: IoBackend>(
    open: impl Fn() -> Result<(B, Buffer), LogError> + Sync,
    threads: usize,
    sizes: &[(u64, u64)],
    progress: impl Fn(u64, u64) + Sync,
) -> Result<Verified, LogError> {
    let sizes = Sizes::new(sizes);
    let (mut backend, buffer) = open()?;
    let mut buffer = Some(buffer);
    let read = read_manifest(&mut backend, &mut buffer)?;
    let (ids, logs, total) = all_segments(&mut backend, &mut buffer)?;
    check_frontiers(&read, &ids)?;
    let engine = read.manifest.as_ref().map(|manifest| manifest.engine);
    drop((backend, buffer));

    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results = Mutex::new(Vec::with_capacity(ids.len()));
    let worker = || -> Result<(), LogError> {
        let (mut backend, buffer) = open()?;
        let mut buffer = Some(buffer);
        while let Some(&id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
            let examined = examine(&mut backend, &mut buffer, id, engine, &sizes)?;
            let bytes = examined.outline.length as usize;
            results.lock().push(examined);
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
    let mut examined = results.into_inner();
    examined.sort_unstable_by_key(|segment| segment.outline.id);
    show_pinned(&open, &read, &mut examined)?;
    Ok(join::join(&read, examined, logs, &sizes))
}

/// Shows the history what it needs of sealed segments; mostly that is nothing.
fn show_pinned<B: IoBackend>(
    open: impl Fn() -> Result<(B, Buffer), LogError>,
    read: &ManifestRead,
    examined: &mut [Examined],
) -> Result<(), LogError> {
    for log in examined.chunk_by_mut(|one, next| one.outline.id.log == next.outline.id.log) {
        let number = log.first().map_or(0, |segment| usize::from(segment.outline.id.log));
        let frontier = read.manifest.as_ref().and_then(|manifest| manifest.frontiers.get(number));
        let outlines: Vec<_> = log.iter().map(|segment| &segment.outline).collect();
        let pinned = pinned_within(&outlines, frontier.copied().unwrap_or_default());
        if pinned.iter().all(Vec::is_empty) {
            continue;
        }
        let (mut backend, buffer) = open()?;
        let mut buffer = Some(buffer);
        for (segment, pinned) in log.iter_mut().zip(pinned) {
            show(&mut backend, &mut buffer, &mut segment.outline, &pinned)?;
        }
    }
    Ok(())
}

/// Refuses what an opening refuses: a frontier that no history of these segments can have led to.
fn check_frontiers(read: &ManifestRead, ids: &[SegmentId]) -> Result<(), LogError> {
    let frontiers = read.manifest.iter().flat_map(|manifest| &manifest.frontiers);
    (0..).zip(frontiers).try_for_each(|(log, frontier)| {
        check_numbers(log, frontier.segment, ids.iter().filter(|id| id.log == log).count())
    })
}

type AllSegments = (Vec<SegmentId>, usize, u64);

fn all_segments<B: IoBackend>(backend: &mut B, buffer: &mut Option<Buffer>) -> Result<AllSegments, LogError> {
    let names = backend.list(".").map_err(|source| LogError::System { doing: "list", path: ".".into(), source })?;
    let mut logs = Vec::new();
    for name in names {
        match root_name(&name) {
            Some(RootName::Log(log)) => logs.push(log),
            Some(RootName::Manifest | RootName::Ignored) => {}
            None => return Err(LogError::Foreign { path: name }),
        }
    }
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
