//! What was followed: each tenant's tree, each stream's last link, and why a tenant is followed no further.
//!
//! What must stay true:
//! - leaf n of a tenant's tree is its record with position n. A record that comes before its turn, because the tenant lived in
//!   another log before, holds up its log; if nobody has those before it, the tenant is stopped;
//! - a stream's chain goes on where it was, or the tenant is stopped. A stopped tenant's tree grows no more, and nothing more
//!   is signed for it; all others go on;
//! - a frame is taken whole or not at all.
//!
//! Memory: of each tenant the nodes that cover its tree, 40 hashes or so; of each stream its last link; and the leaves of one
//! slice of the log.

use crate::state::{State, StreamState, TenantState};
use crate::tiles::Tiles;
use crate::{Error, files};
use crypto::Link;
use crypto::merkle::{self, Hash, Leaf, Range};
use hashbrown::HashMap;
use log::format::frame::TableEntry;
use log::{Damage, FollowedFrame, SegmentId};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Where a stream's chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamEnd {
    pub(crate) next_offset: u64,
    pub(crate) link: Link,
}

/// Why and where a tenant is followed no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The segment.
    pub segment: SegmentId,
    /// The byte in it.
    pub byte: u64,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with a tenant's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A frame with records of it is damaged, or the links computed of them are not those in the frame's table.
    Damaged,
    /// A stream's chain does not go on where it was.
    Chain,
    /// Positions are missing before this.
    Gap,
    /// Positions come again, or out of order.
    Order,
}

impl Reason {
    const ALL: [Reason; 4] = [Reason::Damaged, Reason::Chain, Reason::Gap, Reason::Order];

    /// As the state has it; 0 stands for no reason.
    pub(crate) fn code(self) -> u16 {
        match self {
            Reason::Damaged => 1,
            Reason::Chain => 2,
            Reason::Gap => 3,
            Reason::Order => 4,
        }
    }

    pub(crate) fn from_code(code: u16) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stop { segment, byte, reason } = self;
        write!(f, "{segment} at byte {byte}: ")?;
        f.write_str(match reason {
            Reason::Damaged => "its records are damaged",
            Reason::Chain => "a stream's chain does not go on where it was",
            Reason::Gap => "records before this are missing",
            Reason::Order => "positions come again or out of order",
        })
    }
}

/// A tenant's tree.
#[derive(Debug)]
struct Tenant {
    tiles: Tiles,
    /// Of the leaves that are in the files.
    tree: Range,
    /// The leaves after them.
    pending: Vec<Hash>,
    stop: Option<Stop>,
}

impl Tenant {
    fn size(&self) -> u64 {
        self.tree.end() + self.pending.len() as u64
    }
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of it that is to be believed.
    Whole,
    /// Nothing: records of these tenants come before their turn.
    Early(Vec<u64>),
}

/// A tenant's share of a frame.
#[derive(Clone, Copy)]
struct Share {
    tenant: u64,
    /// Positions of its records; none is known at first.
    first: Option<u64>,
    next: u64,
    ordered: bool,
    takes: bool,
}

/// All tenants' trees.
#[derive(Debug)]
pub(crate) struct Trees {
    directory: PathBuf,
    tenants: Map<u64, Tenant>,
    streams: Map<(u64, u32), StreamEnd>,
    /// Tenants with pending leaves.
    grown: Vec<u64>,
    /// Tenants whose files were written since they were flushed.
    unflushed: BTreeSet<u64>,
    /// Tenants stopped since this was asked.
    stopped: Vec<(u64, Stop)>,
}

/// The directory of a tenant's files.
pub(crate) fn tenant_directory(directory: &Path, tenant: u64) -> PathBuf {
    directory.join(format!("{tenant:016x}"))
}

impl Trees {
    /// Trees without records.
    pub(crate) fn new(directory: &Path) -> Trees {
        Trees {
            directory: directory.into(),
            tenants: Map::default(),
            streams: Map::default(),
            grown: Vec::new(),
            unflushed: BTreeSet::new(),
            stopped: Vec::new(),
        }
    }

    /// The trees as a state has them; none if the files are not those that it counted.
    pub(crate) fn open(directory: &Path, state: &State) -> Result<Option<Trees>, Error> {
        let mut trees = Trees::new(directory);
        for &TenantState { tenant, size, root, stop } in &state.tenants {
            let tiles = Tiles::new(tenant_directory(directory, tenant));
            let Some(tree) = tiles.open(size, &root)? else { return Ok(None) };
            trees.tenants.insert(tenant, Tenant { tiles, tree, pending: Vec::new(), stop });
        }
        trees.streams.extend(state.streams.iter().copied());
        Ok(Some(trees))
    }

    /// Takes a frame, if it is the turn of its records.
    pub(crate) fn take(&mut self, frame: &FollowedFrame<'_>) -> Taken {
        let (mut shares, owners) = shares(frame);
        let mut early = Vec::new();
        for share in &mut shares {
            let tenant = self.tenant(share.tenant);
            let (size, stopped) = (tenant.size(), tenant.stop.is_some());
            share.takes = !stopped;
            match share.first {
                Some(first) if share.takes && share.ordered && first > size => early.push(share.tenant),
                Some(first) if share.takes && (first < size || !share.ordered) => {
                    share.takes = false;
                    self.stop(share.tenant, stop_at(frame, Reason::Order));
                }
                _ => {}
            }
        }
        if !early.is_empty() {
            return Taken::Early(early);
        }
        for (entry, owner) in frame.table.iter().zip(&owners) {
            if shares[*owner].takes && !self.continues(entry) {
                shares[*owner].takes = false;
                self.stop(entry.tenant, stop_at(frame, Reason::Chain));
            }
        }
        self.grow(frame, &shares, &owners);
        Taken::Whole
    }

    /// Adds the leaves, and moves the streams' ends.
    fn grow(&mut self, frame: &FollowedFrame<'_>, shares: &[Share], owners: &[usize]) {
        let takes = |slot: u16| shares[owners[usize::from(slot)]].takes;
        let records = || frame.records.iter().filter(|record| takes(record.slot));
        let leaf = |record: &log::FollowedRecord| {
            let TableEntry { tenant, stream, .. } = frame.table[usize::from(record.slot)];
            Leaf { tenant, stream, link: record.link }
        };
        let mut hashes = Vec::with_capacity(frame.records.len());
        merkle::leaves(&records().map(leaf).collect::<Vec<_>>(), &mut hashes);
        for (record, hash) in records().zip(hashes) {
            let tenant = frame.table[usize::from(record.slot)].tenant;
            let tree = self.tenants.get_mut(&tenant).expect("it was made when its turn was looked at");
            if tree.pending.is_empty() {
                self.grown.push(tenant);
            }
            tree.pending.push(hash);
        }
        for (entry, owner) in frame.table.iter().zip(owners) {
            if shares[*owner].takes {
                let end = StreamEnd { next_offset: entry.next_offset(), link: entry.link_after };
                self.streams.insert((entry.tenant, entry.stream), end);
            }
        }
    }

    fn tenant(&mut self, tenant: u64) -> &mut Tenant {
        let directory = &self.directory;
        self.tenants.entry(tenant).or_insert_with(|| Tenant {
            tiles: Tiles::new(tenant_directory(directory, tenant)),
            tree: Range::new(0),
            pending: Vec::new(),
            stop: None,
        })
    }

    /// Whether a stream goes on in a frame where it was.
    fn continues(&self, entry: &TableEntry) -> bool {
        let end = self.streams.get(&(entry.tenant, entry.stream)).copied();
        let end =
            end.unwrap_or_else(|| StreamEnd { next_offset: 0, link: crypto::genesis(entry.tenant, entry.stream) });
        (entry.first_offset, entry.link_before) == (end.next_offset, end.link)
    }

    /// Stops the tenants whose records are damaged.
    pub(crate) fn damaged(&mut self, damage: &Damage) {
        let tenants: BTreeSet<u64> = damage.losses.iter().map(|loss| loss.tenant).collect();
        for tenant in tenants {
            let stop = Stop { segment: damage.segment, byte: damage.bytes.start, reason: Reason::Damaged };
            self.stop(tenant, stop);
        }
    }

    /// Follows a tenant no further; the first reason stays.
    pub(crate) fn stop(&mut self, tenant: u64, stop: Stop) {
        let place = &mut self.tenant(tenant).stop;
        if place.is_none() {
            *place = Some(stop);
            self.stopped.push((tenant, stop));
        }
    }

    /// Writes the leaves that wait.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        while let Some(tenant) = self.grown.last().copied() {
            let tree = self.tenants.get_mut(&tenant).expect("no tenant is forgotten");
            tree.tiles.extend(&mut tree.tree, &tree.pending)?;
            tree.pending.clear();
            tree.pending.shrink_to(1024);
            self.unflushed.insert(tenant);
            self.grown.pop();
        }
        Ok(())
    }

    /// Makes durable what was written.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        while let Some(tenant) = self.unflushed.first().copied() {
            let Tenant { tiles, tree, .. } = &self.tenants[&tenant];
            tiles.flush(tree.end())?;
            self.unflushed.pop_first();
        }
        files::flush_directory(&self.directory)
    }

    /// The trees, for the state: of what was written.
    pub(crate) fn state(&self) -> (Vec<TenantState>, Vec<StreamState>) {
        debug_assert!(self.grown.is_empty(), "leaves are written first");
        let state = |(tenant, tree): (&u64, &Tenant)| TenantState {
            tenant: *tenant,
            size: tree.tree.end(),
            root: tree.tree.root().expect("a tree begins at 0"),
            stop: tree.stop,
        };
        let mut tenants: Vec<_> = self.tenants.iter().map(state).collect();
        tenants.sort_unstable_by_key(|tenant| tenant.tenant);
        let mut streams: Vec<_> = self.streams.iter().map(|(key, end)| (*key, *end)).collect();
        streams.sort_unstable_by_key(|(key, _)| *key);
        (tenants, streams)
    }

    /// The tenants, ascending.
    pub(crate) fn tenants(&self) -> Vec<u64> {
        let mut tenants: Vec<_> = self.tenants.keys().copied().collect();
        tenants.sort_unstable();
        tenants
    }

    /// A tenant's tree as it was written last.
    pub(crate) fn tree(&self, tenant: u64) -> Option<&Range> {
        self.tenants.get(&tenant).map(|tenant| &tenant.tree)
    }

    /// The files of a tenant's tree.
    pub(crate) fn tiles(&self, tenant: u64) -> Option<&Tiles> {
        self.tenants.get(&tenant).map(|tenant| &tenant.tiles)
    }

    /// Why a tenant is followed no further.
    pub(crate) fn stop_of(&self, tenant: u64) -> Option<Stop> {
        self.tenants.get(&tenant)?.stop
    }

    /// Tenants that were stopped since this was asked last.
    pub(crate) fn take_stopped(&mut self) -> Vec<(u64, Stop)> {
        std::mem::take(&mut self.stopped)
    }
}

fn stop_at(frame: &FollowedFrame<'_>, reason: Reason) -> Stop {
    Stop { segment: frame.segment, byte: frame.header.position, reason }
}

/// What a frame has of each tenant, and which share each entry of its table belongs to.
fn shares(frame: &FollowedFrame<'_>) -> (Vec<Share>, Vec<usize>) {
    let mut known: Map<u64, usize> = Map::default();
    let mut shares: Vec<Share> = Vec::new();
    let mut owners = Vec::with_capacity(frame.table.len());
    for entry in frame.table {
        let owner = *known.entry(entry.tenant).or_insert(shares.len());
        if owner == shares.len() {
            shares.push(Share { tenant: entry.tenant, first: None, next: 0, ordered: true, takes: true });
        }
        owners.push(owner);
    }
    for record in frame.records {
        let share = &mut shares[owners[usize::from(record.slot)]];
        if share.first.is_none() {
            (share.first, share.next) = (Some(record.position), record.position);
        }
        share.ordered &= record.position == share.next;
        share.next = share.next.saturating_add(1);
    }
    (shares, owners)
}

/// Where a record that came before its turn lies.
pub(crate) fn gap_at(frame: &FollowedFrame<'_>) -> Stop {
    stop_at(frame, Reason::Gap)
}
