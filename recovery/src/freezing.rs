//! Which streams must take no more records because their newest ones may be lost, decided over all logs.
//!
//! A log that lost frames blindly, with nothing intact to tell what they held, may have lost the newest records of any stream
//! in the directory, also of those that it does not show. A stream is safe if a newer record is known: one that the log shows
//! after the loss, or one in any log by an opening that began after it; if it was created after the loss; or if its tenant
//! lived on another log in the opening that wrote what is lost. All else stays frozen: an offset given out twice is worse.

use kernel::{CATALOG, RecordKind};
use log::{Blind, Loss, Recovered};
use planted::Bug;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

type Key = (u64, u32);
type Incarnation = [u8; 16];

/// The streams to freeze.
pub(crate) fn freeze(logs: &[Recovered]) -> BTreeSet<Key> {
    let losses = logs.iter().flat_map(|log| &log.damage).flat_map(|damage| &damage.losses);
    // What a lost record of a catalog said is not known.
    let mut frozen: BTreeSet<Key> =
        losses.filter(|loss| loss.stream == CATALOG.0).map(|loss| (loss.tenant, loss.stream)).collect();
    if logs.iter().all(|log| log.blind.is_none()) || planted::is(Bug::BlindLossNotFrozen) {
        return frozen;
    }
    let created = known(logs);
    for (at, log) in logs.iter().enumerate() {
        if let Some(blind) = &log.blind {
            let after = After::new(at, blind, logs);
            frozen.extend(created.iter().filter(|(key, created)| !after.is_safe(**key, **created)).map(|(key, _)| key));
        }
    }
    frozen
}

/// Every stream that a catalog or a log knows, and where in its tenant's catalog it was created.
fn known(logs: &[Recovered]) -> BTreeMap<Key, Option<u64>> {
    let mut known: BTreeMap<Key, Option<u64>> = BTreeMap::new();
    for log in logs {
        for key in log.streams.keys() {
            known.entry(*key).or_default();
        }
        for record in &log.catalog {
            known.entry((record.tenant, CATALOG.0)).or_default();
            if record.kind == RecordKind::StreamCreated as u8
                && let Some((id, _)) = record.payload.split_first_chunk()
            {
                known.insert((record.tenant, u32::from_le_bytes(*id)), Some(record.offset));
            }
        }
    }
    known
}

/// What is known to be newer than a loss.
struct After<'a> {
    log: &'a Recovered,
    blind: &'a Blind,
    /// Streams with records by later openings, and the offset of the first of them.
    shown: BTreeMap<Key, u64>,
    /// Tenants that lived elsewhere when the lost frames were written.
    elsewhere: HashSet<u64>,
}

impl<'a> After<'a> {
    fn new(at: usize, blind: &'a Blind, logs: &'a [Recovered]) -> After<'a> {
        let later = later(blind, logs);
        let (mut shown, mut elsewhere) = (BTreeMap::new(), HashSet::new());
        for (other, log) in logs.iter().enumerate() {
            for (key, start) in &log.streams {
                for run in &start.runs {
                    if later.contains(&run.segment.incarnation) {
                        let first = shown.entry(*key).or_insert(run.first_offset);
                        *first = run.first_offset.min(*first);
                    }
                    if other != at && blind.incarnation == Some(run.segment.incarnation) {
                        elsewhere.insert(key.0);
                    }
                }
            }
        }
        After { log: &logs[at], blind, shown, elsewhere }
    }

    fn is_safe(&self, key: Key, created: Option<u64>) -> bool {
        let here = self.log.streams.contains_key(&key) && self.log.frozen.binary_search(&key).is_err();
        let by_opening = self.shown.get(&(key.0, CATALOG.0)).copied();
        let catalog = self.blind.catalogs.get(&key.0).copied().into_iter().chain(by_opening).min();
        let young = created.zip(catalog).is_some_and(|(created, after)| created >= after);
        here || young || self.shown.contains_key(&key) || self.elsewhere.contains(&key.0)
    }
}

/// The openings that began when the lost frames had been written. Each log tells the order of those that wrote to it.
fn later(blind: &Blind, logs: &[Recovered]) -> HashSet<Incarnation> {
    let mut later: HashSet<Incarnation> = blind.later.iter().copied().collect();
    loop {
        let before = later.len();
        for Recovered { incarnations, .. } in logs {
            let first = incarnations.iter().position(|one| later.contains(one));
            let next = incarnations.iter().position(|one| blind.incarnation == Some(*one)).map(|own| own + 1);
            if let Some(from) = first.into_iter().chain(next).min() {
                later.extend(&incarnations[from..]);
            }
        }
        if later.len() == before {
            return later;
        }
    }
}

/// A log alone takes what lies in another for lost: what another has is taken from what each says that it lost.
pub(crate) fn name_losses(logs: &mut [Recovered]) {
    if logs.len() < 2 {
        return;
    }
    for at in 0..logs.len() {
        let mut damage = std::mem::take(&mut logs[at].damage);
        for damage in &mut damage {
            let losses = std::mem::take(&mut damage.losses);
            for loss in losses {
                let mut left = vec![loss.offsets.clone()];
                for (_, other) in logs.iter().enumerate().filter(|(other, _)| *other != at) {
                    held(other, (loss.tenant, loss.stream)).iter().for_each(|held| left = without(&left, held));
                }
                damage.losses.extend(left.into_iter().map(|offsets| Loss { offsets, ..loss.clone() }));
            }
        }
        logs[at].damage = damage;
    }
}

/// The offsets of a stream that a log has.
fn held(log: &Recovered, key: Key) -> Vec<Range<u64>> {
    let Some(start) = log.streams.get(&key) else {
        return Vec::new();
    };
    let whole = 0..start.next_offset;
    let mut held = vec![whole];
    for hole in log.holes.iter().filter(|hole| (hole.tenant, hole.stream) == key) {
        held = without(&held, &hole.offsets);
    }
    held
}

fn without(ranges: &[Range<u64>], gone: &Range<u64>) -> Vec<Range<u64>> {
    let parts =
        ranges.iter().flat_map(|range| [range.start..range.end.min(gone.start), range.start.max(gone.end)..range.end]);
    parts.filter(|range| !range.is_empty()).collect()
}
