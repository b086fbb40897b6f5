//! From a data directory to the state that shards start with.

use crate::OpenError;
use crate::builder::Builder;
use crate::freezing;
use iobackend::{Arena, Backend, BackendConfig, Buffer, IoBackend, Mode};
use kernel::{Kernel, Limits, RecordKind, ReplayedRecord, StreamId, StreamSummary, TenantId};
use log::format::manifest::Manifest;
use log::format::segment::{Base, log_directory};
use log::format::{RootName, root_name};
use log::{
    BadCopy, CatalogRecord, Damage, Fault, LogError, ManifestRead, Recovered, SCAN_BUFFER_BYTES, StreamStart, Torn,
};
use router::Placement;
use shard::limits::{REQUEST_PAYLOAD_MAX, REQUEST_RECORDS_MAX};
use std::collections::BTreeMap;
use std::path::Path;

/// What opening a directory found.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Whether the directory was made by this opening.
    pub created: bool,
    /// Whether it was closed cleanly before.
    pub clean: bool,
    /// Segments that are part of the logs.
    pub segments: usize,
    /// Segments that had to be read frame by frame.
    pub scanned: usize,
    /// Copies of the manifest that were bad or missing: the other one served, and both were written anew.
    pub manifest_faults: Vec<BadCopy>,
    /// Tails that were never acknowledged, and were cut.
    pub torn: Vec<Torn>,
    /// Acknowledged data that is damaged. It is refused; all else is served.
    pub damage: Vec<Damage>,
    /// Streams that take no appends because records may be missing at their end.
    pub frozen: usize,
}

/// A directory, recovered.
pub(crate) struct Directory {
    pub(crate) manifest: Manifest,
    pub(crate) logs: Vec<Recovered>,
    pub(crate) report: RecoveryReport,
}

/// A backend for opening and closing: sequential, blocking, so the simplest one.
pub(crate) struct Cold {
    backend: Backend,
    buffer: Option<Buffer>,
}

impl Cold {
    pub(crate) fn open(root: &Path) -> Result<Cold, OpenError> {
        let failed = |source| OpenError::Directory { doing: "take memory to read", path: root.into(), source };
        let mut arena = Arena::new(SCAN_BUFFER_BYTES).map_err(failed)?;
        let buffer = arena.take(SCAN_BUFFER_BYTES);
        let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(root) };
        Ok(Cold { backend: iobackend::open(&config, &arena)?, buffer })
    }

    pub(crate) fn write(&mut self, manifest: &Manifest) -> Result<(), OpenError> {
        Ok(log::write_manifest(&mut self.backend, &mut self.buffer, manifest)?)
    }
}

/// Recovers all logs of a directory, several at a time. `settle` is given the manifest before anything is made, and may
/// refuse.
pub(crate) fn recover(
    root: &Path,
    shards: u16,
    settle: impl FnOnce(&mut Manifest) -> Result<(), OpenError>,
) -> Result<Directory, OpenError> {
    let mut cold = Cold::open(root)?;
    let existing = check_names(&mut cold.backend)?;
    let read = log::read_manifest(&mut cold.backend, &mut cold.buffer)?;
    let mut report = RecoveryReport::default();
    let bad_copies = read.bad_copies();
    let mut manifest = match read.manifest {
        Some(manifest) => {
            report.manifest_faults = bad_copies;
            manifest
        }
        None if never_opened(&mut cold.backend, &existing, &read)? => {
            report.created = true;
            Manifest { engine: crate::engine::random()?, ..Manifest::default() }
        }
        None => {
            let say = |at: usize| read.faults[at].map_or_else(|| "missing".into(), |fault| fault.to_string());
            return Err(LogError::Manifest { faults: [say(0), say(1)] }.into());
        }
    };
    report.clean = manifest.clean;
    settle(&mut manifest)?;
    let known = existing.last().map_or(0, |log| usize::from(*log) + 1).max(manifest.frontiers.len());
    let count = known.max(usize::from(shards));
    manifest.frontiers.resize(count, Base::default());
    for log in 0..count {
        let path = log_directory(log as u16);
        let made = cold.backend.create_directory(&path);
        made.map_err(|source| LogError::System { doing: "make the directory", path, source })?;
    }
    drop(cold);
    let logs = recover_logs(root, &manifest)?;
    for log in &logs {
        report.segments += log.segments;
        report.scanned += log.scanned;
        report.torn.extend(log.torn.iter().cloned());
    }
    let mut logs = logs;
    freezing::name_losses(&mut logs);
    report.frozen = freezing::freeze(&logs).len();
    for log in &logs {
        report.damage.extend(log.damage.iter().cloned());
    }
    for (frontier, log) in manifest.frontiers.iter_mut().zip(&logs) {
        *frontier = log.start.base;
    }
    Ok(Directory { manifest, logs, report })
}

/// Whether no opening of the directory came so far that a shard ran: a manifest is durable before the first segment is
/// made, and one that was torn while it was first written is as good as none.
fn never_opened(backend: &mut Backend, logs: &[u16], read: &ManifestRead) -> Result<bool, OpenError> {
    for log in logs {
        if !log::log_segments(backend, *log)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(!read.faults.contains(&Some(Fault::Unreadable)))
}

/// The numbers of the logs; any name that is none of ours is refused.
fn check_names(backend: &mut Backend) -> Result<Vec<u16>, OpenError> {
    let names = backend.list(".").map_err(|source| LogError::System { doing: "list", path: ".".into(), source })?;
    let mut logs = Vec::new();
    for name in names {
        match root_name(&name) {
            Some(RootName::Log(log)) => logs.push(log),
            Some(RootName::Manifest | RootName::Ignored) => {}
            None => return Err(LogError::Foreign { path: name }.into()),
        }
    }
    logs.sort_unstable();
    Ok(logs)
}

fn recover_logs(root: &Path, manifest: &Manifest) -> Result<Vec<Recovered>, OpenError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut logs = Vec::with_capacity(manifest.frontiers.len());
    for (chunk, frontiers) in manifest.frontiers.chunks(threads).enumerate() {
        let recover_one = |(at, frontier): (usize, &Base)| {
            let log = (chunk * threads + at) as u16;
            let mut cold = Cold::open(root)?;
            let engine = manifest.engine;
            let recovered = log::recover(&mut cold.backend, &mut cold.buffer, log, engine, *frontier, &mut |_| {});
            recovered.map_err(OpenError::from)
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> =
                frontiers.iter().enumerate().map(|one| scope.spawn(move || recover_one(one))).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        for result in results {
            logs.push(result?);
        }
    }
    Ok(logs)
}

/// What one shard starts with.
pub(crate) struct ShardState {
    pub(crate) kernel: Kernel,
    /// Of each slot of the kernel, in order.
    pub(crate) streams: Vec<StreamStart>,
}

/// Brings together what the logs hold of each tenant, and gives it to the shard that owns it now.
pub(crate) fn distribute(
    logs: Vec<Recovered>,
    placement: &Placement,
    settings: &Builder,
) -> Result<Vec<ShardState>, OpenError> {
    let mut streams: BTreeMap<(u64, u32), StreamStart> = BTreeMap::new();
    let mut catalog: Vec<CatalogRecord> = Vec::new();
    let frozen = freezing::freeze(&logs);
    let blind = logs.iter().any(|log| log.blind.is_some());
    for log in logs {
        catalog.extend(log.catalog);
        for (key, part) in log.streams {
            match streams.entry(key) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(part);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => join(entry.get_mut(), part),
            }
        }
    }
    catalog.sort_unstable();
    catalog.dedup_by_key(|record| (record.tenant, record.offset));
    let limits = Limits {
        record_bytes_max: settings.record_bytes_max,
        batch_bytes_max: REQUEST_PAYLOAD_MAX,
        batch_records_max: REQUEST_RECORDS_MAX,
        ..Limits::default()
    };
    let mut kernels: Vec<Kernel> = (0..placement.shards()).map(|_| Kernel::new(limits)).collect();
    let owner = |tenant: u64| usize::from(placement.shard_of(tenant));
    let contradiction = |reason: String| OpenError::Replay { reason };
    for record in &catalog {
        let kind =
            RecordKind::try_from(record.kind).map_err(|kind| contradiction(format!("record kind {}", kind.0)))?;
        let replayed = ReplayedRecord {
            tenant: TenantId(record.tenant),
            stream: kernel::CATALOG,
            kind,
            offset: record.offset,
            position: record.position,
            timestamp: record.timestamp,
            payload: &record.payload,
        };
        kernels[owner(record.tenant)].replay(&replayed).map_err(|error| contradiction(error.to_string()))?;
    }
    for ((tenant, stream), start) in &streams {
        let summary = StreamSummary {
            tenant: TenantId(*tenant),
            stream: StreamId(*stream),
            next: start.next_offset,
            position: start.position,
            timestamp: start.timestamp,
        };
        let kernel = &mut kernels[owner(*tenant)];
        kernel.restore_stream(&summary).map_err(|error| contradiction(error.to_string()))?;
    }
    for kernel in &mut kernels {
        if blind {
            kernel.freeze_creation();
        }
        for slot in (0..kernel.slots() as u32).map(kernel::StreamSlot) {
            let view = kernel.stream(slot);
            if frozen.contains(&(view.tenant.0, view.stream.0)) {
                kernel.freeze(slot);
            }
        }
    }
    let with_streams = |kernel: Kernel| {
        let slots = 0..kernel.slots() as u32;
        let of_slot = |slot| {
            let view = kernel.stream(kernel::StreamSlot(slot));
            let key = (view.tenant.0, view.stream.0);
            streams.remove(&key).unwrap_or_else(|| StreamStart::new(key.0, key.1))
        };
        let streams = slots.map(of_slot).collect();
        ShardState { kernel, streams }
    };
    Ok(kernels.into_iter().map(with_streams).collect())
}

/// Joins two parts of a stream's history, from two logs.
fn join(stream: &mut StreamStart, part: StreamStart) {
    if part.next_offset > stream.next_offset {
        stream.next_offset = part.next_offset;
        stream.link = part.link;
        stream.timestamp = part.timestamp;
        stream.position = part.position;
    }
    stream.runs.extend(part.runs);
    stream.runs.sort_by_key(|run| run.first_offset);
}
