//! The steps of an opening, in order, and of a closing.

use crate::distribute::distribute;
use crate::logs::recover_logs;
use crate::{Error, Place, Progress, RecoveryReport, ShardState, freezing};
use iobackend::IoBackend;
use kernel::{Limits, TenantId};
use log::format::manifest::{Manifest, OVERRIDES_MAX};
use log::format::segment::{Base, log_directory};
use log::format::{RootName, root_name};
use log::{Fault, LogError, LogStart, ManifestRead};
use planted::Bug;
use router::Placement;
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// What an opening is to come to.
pub struct Opening<'a> {
    /// How many shards.
    pub shards: u16,
    /// Tenants that are placed by hand from now on, or no more, in the order in which it was said.
    pub places: &'a [(TenantId, Option<u16>)],
    /// The lowest generation that the manifest may have: an older state of the directory is refused.
    pub at_least: u64,
    /// What the state machines accept.
    pub limits: Limits,
    /// Is told how far the recovery has come.
    pub watch: &'a (dyn Fn(Progress) + Sync),
}

impl std::fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("shards", &self.shards).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A directory that is open: its manifest says so.
#[derive(Debug)]
pub struct Opened {
    /// As it was written.
    pub manifest: Manifest,
    /// Where tenants live.
    pub placement: Placement,
    /// Random, for this opening.
    pub incarnation: [u8; 16],
    /// What each shard starts with, and where its log goes on.
    pub shards: Vec<(ShardState, LogStart)>,
    /// What was found.
    pub report: RecoveryReport,
}

/// The engine id of a directory, if it has a manifest. Changes nothing.
///
/// # Errors
/// What the system refuses.
pub fn engine_of<P: Place>(place: &P) -> Result<Option<[u8; 16]>, Error> {
    let mut cold = place.cold()?;
    let read = log::read_manifest(&mut cold.backend, &mut cold.buffer)?;
    Ok(read.manifest.map(|manifest| manifest.engine))
}

/// Opens a directory: recovers its logs, cuts what was torn, seals what was whole, and writes the manifest. Nobody else may have
/// it open.
///
/// # Errors
/// What is wrong with the directory or a log, and what the system refuses. Damage is not an error: it is in the report.
pub fn open<P: Place>(place: &P, opening: &Opening<'_>) -> Result<Opened, Error> {
    let Directory { mut manifest, logs, report } = recover(place, opening)?;
    // A tenant that was placed on a shard which is not goes by the hash for now.
    let shards = opening.shards;
    let in_force: Vec<_> = manifest.overrides.iter().filter(|(_, shard)| *shard < shards).copied().collect();
    let placement = Placement::new(manifest.placement_version, shards, &in_force)?;
    let starts: Vec<_> = logs.iter().map(|log| log.start).collect();
    let states = distribute(logs, &placement, opening.limits)?;
    manifest.clean = report.clean && planted::is(Bug::CleanWhileOpen);
    manifest.generation += 1;
    manifest.identity = place.identity();
    let mut cold = place.cold()?;
    // Before any shard writes: what was adopted is the frontier from now on.
    cold.write(&manifest)?;
    let mut incarnation = cold.random()?;
    if planted::is(Bug::IncarnationCounted) {
        incarnation = u128::from(manifest.generation).to_le_bytes();
    }
    let shards = states.into_iter().zip(starts).collect();
    Ok(Opened { manifest, placement, incarnation, shards, report })
}

/// Makes the manifest say how an opening ended: where each shard's log ends, `None` for one that failed.
///
/// # Errors
/// What the system refuses.
pub fn close<P: Place>(place: &P, mut manifest: Manifest, ends: &[Option<Base>]) -> Result<(), Error> {
    for (frontier, end) in manifest.frontiers.iter_mut().zip(ends) {
        *frontier = end.unwrap_or(*frontier);
    }
    manifest.clean = ends.iter().all(Option::is_some);
    manifest.generation += 1;
    place.cold()?.write(&manifest)
}

/// A directory, recovered.
struct Directory {
    manifest: Manifest,
    logs: Vec<log::Recovered>,
    report: RecoveryReport,
}

fn recover<P: Place>(place: &P, opening: &Opening<'_>) -> Result<Directory, Error> {
    let mut cold = place.cold()?;
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
            Manifest { engine: cold.random()?, ..Manifest::default() }
        }
        None => {
            let say = |at: usize| read.faults[at].map_or_else(|| "missing".into(), |fault| fault.to_string());
            return Err(LogError::Manifest { faults: [say(0), say(1)] }.into());
        }
    };
    if manifest.generation < opening.at_least {
        return Err(Error::Older { found: manifest.generation, at_least: opening.at_least });
    }
    report.clean = manifest.clean;
    report.generation = manifest.generation;
    report.moved = manifest.identity.moved(place.identity());
    place_tenants(opening, &mut manifest)?;
    let known = existing.last().map_or(0, |log| usize::from(*log) + 1).max(manifest.frontiers.len());
    let count = known.max(usize::from(opening.shards));
    manifest.frontiers.resize(count, Base::default());
    for log in 0..count {
        let path = log_directory(log as u16);
        let made = cold.backend.create_directory(&path);
        made.map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => LogError::Foreign { path },
            _ => LogError::System { doing: "make the directory", path, source },
        })?;
    }
    drop(cold);
    let mut logs = recover_logs(place, &manifest, opening.watch)?;
    freezing::name_losses(&mut logs);
    report.frozen = freezing::freeze(&logs).len();
    for log in &logs {
        report.segments += log.segments;
        report.scanned += log.scanned;
        report.bytes += log.bytes;
        report.torn.extend(log.torn.iter().cloned());
        report.damage.extend(log.damage.iter().cloned());
    }
    for (frontier, log) in manifest.frontiers.iter_mut().zip(&logs) {
        *frontier = log.start.base;
    }
    Ok(Directory { manifest, logs, report })
}

/// Brings the manifest's placement up to date with the opening's.
fn place_tenants(opening: &Opening<'_>, manifest: &mut Manifest) -> Result<(), Error> {
    let overrides = overrides(&manifest.overrides, opening.places)?;
    if overrides != manifest.overrides || opening.shards != manifest.shards {
        manifest.placement_version += 1;
    }
    manifest.overrides = overrides;
    manifest.shards = opening.shards;
    Ok(())
}

/// The tenants that are placed by hand when `stored` ones were, in order of their ids: also on shards that are not.
///
/// # Errors
/// If they are too many for the manifest.
pub fn overrides(stored: &[(u64, u16)], places: &[(TenantId, Option<u16>)]) -> Result<Vec<(u64, u16)>, Error> {
    let mut overrides: BTreeMap<u64, u16> = stored.iter().copied().collect();
    for (tenant, shard) in places {
        match shard {
            Some(shard) => overrides.insert(tenant.0, *shard),
            None => overrides.remove(&tenant.0),
        };
    }
    if overrides.len() > OVERRIDES_MAX {
        return Err(Error::Overrides { count: overrides.len() });
    }
    Ok(overrides.into_iter().collect())
}

/// Whether no opening of the directory came so far that a shard ran: a manifest is durable before the first segment is
/// made, and one that was torn while it was first written is as good as none.
fn never_opened(backend: &mut impl IoBackend, logs: &[u16], read: &ManifestRead) -> Result<bool, Error> {
    for log in logs {
        if !log::log_segments(backend, *log)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(!read.faults.contains(&Some(Fault::Unreadable)))
}

/// The numbers of the logs; any name that is none of ours is refused.
fn check_names(backend: &mut impl IoBackend) -> Result<Vec<u16>, Error> {
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
