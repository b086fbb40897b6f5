//! What the logs hold of each tenant, brought together and given to the shard that owns the tenant now.

use crate::{Error, freezing};
use kernel::{Kernel, Limits, RecordKind, ReplayedRecord, StreamId, StreamSummary, TenantId};
use log::{CatalogRecord, Recovered, StreamStart};
use planted::Bug;
use router::Placement;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What one shard starts with.
#[derive(Debug)]
pub struct ShardState {
    /// Its state machine.
    pub kernel: Kernel,
    /// Of each slot of the kernel, in order.
    pub streams: Vec<StreamStart>,
}

/// Brings together what the logs hold of each tenant, and gives it to the shard that owns it now.
pub(crate) fn distribute(
    logs: Vec<Recovered>,
    placement: &Placement,
    limits: Limits,
) -> Result<Vec<ShardState>, Error> {
    let mut streams: BTreeMap<(u64, u32), StreamStart> = BTreeMap::new();
    let mut catalog: Vec<CatalogRecord> = Vec::new();
    let frozen = freezing::freeze(&logs);
    let blind = logs.iter().any(|log| log.blind.is_some());
    for log in logs {
        catalog.extend(log.catalog);
        for (key, part) in log.streams {
            match streams.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(part);
                }
                Entry::Occupied(mut entry) => join(entry.get_mut(), part),
            }
        }
    }
    if !planted::is(Bug::CatalogOutOfOrder) {
        catalog.sort_unstable();
    }
    catalog.dedup_by_key(|record| (record.tenant, record.offset));
    let mut kernels: Vec<Kernel> = (0..placement.shards()).map(|_| Kernel::new(limits)).collect();
    let wrong = u64::from(planted::is(Bug::TenantOnWrongShard));
    let owner = |tenant: u64| usize::from(placement.shard_of(tenant ^ wrong));
    let contradiction = |reason: String| Error::Replay { reason };
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
    if part.next_offset > stream.next_offset && !planted::is(Bug::FirstLogWins) {
        stream.next_offset = part.next_offset;
        stream.link = part.link;
        stream.timestamp = part.timestamp;
        stream.position = part.position;
    }
    stream.runs.extend(part.runs);
    stream.runs.sort_by_key(|run| run.first_offset);
}
