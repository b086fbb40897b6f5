//! The tenants' Merkle trees, computed again from the records.
//!
//! A tenant's records lie in many frames, segments and logs, and which frames are part of a log is known only at the end. So each
//! frame gives the rows of leaves that it holds of each tenant, as compact ranges; rows that are neighbours are joined
//! when their frames are judged, and all of them in order of positions at the end. A row takes a few hashes, however many records
//! it has.
//!
//! A range cannot be split, so where the root at a size was asked for, no row may cross that size.

use super::examine::At;
use crate::error::{Cause, Damage};
use crate::format::segment::SegmentId;
use crypto::Link;
use crypto::merkle::{self, Hash, Leaf, Range};
use hashbrown::HashMap;

/// Positions are below this one.
const POSITION_END: u64 = 1 << 63;

/// A tenant's tree, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The tenant's id.
    pub tenant: u64,
    /// Its records from position 0 on, up to the first that is missing.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// Whether records behind them are known: then the one with position `size` is lost, or there twice.
    pub broken: bool,
    /// The roots at the sizes that were asked for, as far as the tree reaches.
    pub roots: Vec<(u64, Hash)>,
}

/// The sizes at which roots are asked for.
#[derive(Debug, Default)]
pub(super) struct Sizes(Vec<(u64, u64)>);

impl Sizes {
    pub(super) fn new(sizes: &[(u64, u64)]) -> Sizes {
        let mut sizes = sizes.to_vec();
        sizes.sort_unstable();
        sizes.dedup();
        Sizes(sizes)
    }

    fn of(&self, tenant: u64) -> impl Iterator<Item = u64> {
        let first = self.0.partition_point(|size| *size < (tenant, 0));
        self.0[first..].iter().take_while(move |(of, _)| *of == tenant).map(|(_, size)| *size)
    }

    fn contains(&self, tenant: u64, size: u64) -> bool {
        self.0.binary_search(&(tenant, size)).is_ok()
    }
}

/// The leaves of one frame's records.
#[derive(Debug)]
pub(super) struct FrameLeaves<'a> {
    sizes: &'a Sizes,
    leaves: Vec<Leaf>,
    positions: Vec<u64>,
    hashes: Vec<Hash>,
    order: Vec<u32>,
    row: Vec<Hash>,
}

impl<'a> FrameLeaves<'a> {
    pub(super) fn new(sizes: &'a Sizes) -> FrameLeaves<'a> {
        let (leaves, positions, hashes) = (Vec::new(), Vec::new(), Vec::new());
        FrameLeaves { sizes, leaves, positions, hashes, order: Vec::new(), row: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.leaves.clear();
        self.positions.clear();
    }

    /// Adds a record. One without a place in any tree is left out, and missed at the end.
    #[inline]
    pub(super) fn push(&mut self, tenant: u64, stream: u32, position: u64, link: Link) {
        if position < POSITION_END {
            self.leaves.push(Leaf { tenant, stream, link });
            self.positions.push(position);
        }
    }

    /// The rows that the records make, by tenant.
    pub(super) fn rows(&mut self) -> Vec<(u64, Range)> {
        self.hashes.clear();
        merkle::leaves(&self.leaves, &mut self.hashes);
        self.order.clear();
        self.order.extend(0..self.leaves.len() as u32);
        // Of one tenant alone they are in order, and the sort looks at each once.
        self.order.sort_by_key(|at| self.leaves[*at as usize].tenant);
        let mut rows = Vec::new();
        let (mut tenant, mut begin) = (0, 0);
        self.row.clear();
        for at in &self.order {
            let (of, position) = (self.leaves[*at as usize].tenant, self.positions[*at as usize]);
            let next = begin + self.row.len() as u64;
            if of != tenant || position != next || self.sizes.contains(of, position) {
                rows.extend(row(tenant, begin, &self.row));
                self.row.clear();
                (tenant, begin) = (of, position);
            }
            self.row.push(self.hashes[*at as usize]);
        }
        rows.extend(row(tenant, begin, &self.row));
        rows
    }
}

fn row(tenant: u64, begin: u64, leaves: &[Hash]) -> Option<(u64, Range)> {
    let mut range = Range::new(begin);
    range.extend(leaves, |_, _| {});
    (!leaves.is_empty()).then_some((tenant, range))
}

/// What is known of the tenants' trees.
#[derive(Debug, Default)]
pub(super) struct Rows(HashMap<u64, OfTenant, foldhash::fast::RandomState>);

#[derive(Debug, Default)]
struct OfTenant {
    /// With where the first record lies.
    rows: Vec<(Range, At)>,
    /// The position after the last that anything intact tells of.
    end: u64,
}

impl Rows {
    /// Takes in the rows of a frame that is part of the log.
    pub(super) fn add(&mut self, rows: &[(u64, Range)], at: At, sizes: &Sizes) {
        for (tenant, row) in rows {
            let rows = &mut self.0.entry(*tenant).or_default().rows;
            if let Some((last, _)) = rows.last_mut()
                && !sizes.contains(*tenant, last.end())
                && last.append(row, |_, _| {})
            {
                continue;
            }
            rows.push((row.clone(), at));
        }
    }

    /// A tenant's record with this position is in the log, readable or not.
    pub(super) fn reaches(&mut self, tenant: u64, position: u64) {
        let end = &mut self.0.entry(tenant).or_default().end;
        *end = (*end).max(position.saturating_add(1));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes in what another segment showed.
    pub(super) fn take(&mut self, others: Rows) {
        for (tenant, OfTenant { rows, end }) in others.0 {
            let of = self.0.entry(tenant).or_default();
            of.rows.extend(rows);
            of.end = of.end.max(end);
        }
    }

    /// The trees, by tenant. A position that is missing or there twice is damage if there is no other that could be its cause.
    pub(super) fn join(self, sizes: &Sizes, damage: &mut Vec<Damage>) -> Vec<Tree> {
        let mut tenants: Vec<_> = self.0.into_iter().collect();
        tenants.sort_unstable_by_key(|(tenant, _)| *tenant);
        let explained = !damage.is_empty();
        let join = |(tenant, of): (u64, OfTenant)| {
            let (tree, place) = of.join(tenant, sizes);
            if tree.broken && !explained {
                let (segment, byte) = place;
                let cause = Cause::Position { tenant, position: tree.size };
                damage.push(Damage { segment, bytes: byte..byte, cause, losses: Vec::new() });
            }
            tree
        };
        tenants.into_iter().map(join).collect()
    }
}

impl OfTenant {
    /// The tree, and the place behind it.
    fn join(mut self, tenant: u64, sizes: &Sizes) -> (Tree, At) {
        self.rows.sort_by_key(|(row, _)| (row.begin(), row.end()));
        let mut whole = Range::new(0);
        let mut roots = Vec::new();
        let mut wanted = sizes.of(tenant).peekable();
        let mut note = |whole: &Range| {
            if let Some(size) = wanted.next_if_eq(&whole.end()) {
                roots.extend(whole.root().map(|root| (size, root)));
            }
        };
        note(&whole);
        let mut broken = None;
        let mut last = (SegmentId { log: 0, number: 0 }, 0);
        for (row, at) in &self.rows {
            last = *at;
            if !whole.append(row, |_, _| {}) {
                broken = Some(*at);
                break;
            }
            note(&whole);
        }
        let (size, root) = (whole.end(), whole.root().unwrap_or(Hash::EMPTY_TREE));
        let broken = broken.or((size < self.end).then_some(last));
        (Tree { tenant, size, root, broken: broken.is_some(), roots }, broken.unwrap_or(last))
    }
}
