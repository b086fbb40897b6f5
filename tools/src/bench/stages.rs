//! Where a shard's time went, from what it observed of itself. Without the feature `timing` it observes nothing.

use super::document::{Stage, Stages};
use diatreme::{ShardStats, Stage as Passed, Step};

/// Over the whole opening, the warm-up included; none without the feature, and of a shard that was asked nothing.
pub(crate) fn of(stats: &ShardStats) -> Option<Stages> {
    let seen = stats.stages.as_ref()?;
    let requests = seen.latency(Passed::Queue).requests;
    let records = stats.log.records.max(requests);
    if records == 0 {
        return None;
    }
    let latency = Passed::ALL.map(|stage| Stage {
        name: stage.name().into(),
        ns_per_record: seen.latency(stage).total_ns as f64 / requests.max(1) as f64,
    });
    let step = |name: &str, ns: u64| Stage { name: name.into(), ns_per_record: ns as f64 / records as f64 };
    let busy = Step::ALL.map(|at| step(at.name(), seen.busy_ns(at)));
    Some(Stages {
        latency: latency.into(),
        processor: busy.into_iter().chain([step("idle", seen.idle_ns())]).collect(),
    })
}
