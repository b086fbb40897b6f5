//! Compact ranges: what is to be kept of a row of leaves so that its neighbours can be joined to it.
//!
//! A range is covered by the fewest nodes whose leaves are all in it: at most 2 log2(n) of them. Two adjacent ranges give the
//! range over both, whichever was made first, so parts of a tree may be hashed apart, in any order and on any core. One
//! that begins at 0 has what the root is made of. A range can be joined and never split: where an end is wanted, there
//! a range must be ended.

use super::{Hash, NodeId, node, parents};

/// Whoever counts leaves sees to it.
const END: &str = "a range ends at u64::MAX at the latest";

/// A row of leaves, `begin..end`, as the nodes that cover it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    begin: u64,
    end: u64,
    /// From left to right, each with its level. Left of the range's summit levels ascend, right of it they descend.
    nodes: Vec<(u8, Hash)>,
}

impl Range {
    /// A range without leaves, which grows from `begin` on.
    #[must_use]
    pub const fn new(begin: u64) -> Self {
        Self { begin, end: begin, nodes: Vec::new() }
    }

    /// A range as it was stored: by the hashes of its nodes. None if it has not that many nodes, or ends before it begins.
    #[must_use]
    pub fn from_hashes(begin: u64, end: u64, hashes: &[Hash]) -> Option<Self> {
        let levels: Vec<_> = (begin <= end).then(|| cover(begin, end).map(|id| id.level).collect())?;
        (levels.len() == hashes.len()).then(|| {
            let nodes = levels.into_iter().zip(hashes.iter().copied()).collect();
            Self { begin, end, nodes }
        })
    }

    /// The first leaf.
    #[must_use]
    pub const fn begin(&self) -> u64 {
        self.begin
    }

    /// The leaf after the last: of a tree, its size.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The hashes of the nodes that cover the range, from left to right.
    pub fn hashes(&self) -> impl DoubleEndedIterator<Item = &Hash> + ExactSizeIterator {
        self.nodes.iter().map(|(_, hash)| hash)
    }

    /// Adds one leaf. `visit` is told of the leaf, and of every node that is whole with it.
    ///
    /// # Panics
    ///
    /// If the range ends at `u64::MAX`.
    pub fn push(&mut self, leaf: Hash, mut visit: impl FnMut(NodeId, &Hash)) {
        assert!(self.end < u64::MAX, "{END}");
        visit(NodeId { level: 0, index: self.end }, &leaf);
        self.join(0, leaf, &mut visit);
    }

    /// Adds leaves, several hashes in step. `visit` is told of each leaf, and of every node that is whole with them, once, and
    /// of a node after its children.
    ///
    /// # Panics
    ///
    /// If the range would end behind `u64::MAX`.
    pub fn extend(&mut self, leaves: &[Hash], mut visit: impl FnMut(NodeId, &Hash)) {
        let mut right = Vec::new();
        let mut first = self.end;
        let end = first.checked_add(leaves.len() as u64).expect(END);
        let (mut row, mut above) = (leaves.to_vec(), Vec::with_capacity(leaves.len() / 2));
        for level in 0.. {
            (first..).zip(&row).for_each(|(index, hash)| visit(NodeId { level, index }, hash));
            let mut rest = row.as_slice();
            // The left neighbour of an odd one is in this range already.
            if first % 2 == 1 && !rest.is_empty() {
                self.join(level, rest[0], &mut visit);
                rest = &rest[1..];
            }
            if rest.len() % 2 == 1 {
                right.push((level, rest[rest.len() - 1]));
            }
            above.clear();
            parents(rest, &mut above);
            if above.is_empty() {
                break;
            }
            std::mem::swap(&mut row, &mut above);
            first = first.div_ceil(2);
        }
        for (level, hash) in right.into_iter().rev() {
            self.join(level, hash, &mut visit);
        }
        debug_assert_eq!(self.end, end);
    }

    /// Joins the range that begins where this one ends. `visit` is told of every node that is whole with both.
    /// Returns false, and changes nothing, if it begins elsewhere.
    #[must_use]
    pub fn append(&mut self, next: &Range, mut visit: impl FnMut(NodeId, &Hash)) -> bool {
        let adjacent = next.begin == self.end;
        if adjacent {
            next.nodes.iter().for_each(|(level, hash)| self.join(*level, *hash, &mut visit));
            debug_assert_eq!(self.end, next.end);
        }
        adjacent
    }

    /// Adds the node that begins at the range's end, and joins it with those to its left as far as they are neighbours.
    fn join(&mut self, mut level: u8, mut hash: Hash, visit: &mut impl FnMut(NodeId, &Hash)) {
        let mut index = self.end >> level;
        self.end += 1 << level;
        while index % 2 == 1
            && let Some((_, left)) = self.nodes.pop_if(|(left, _)| *left == level)
        {
            hash = node(&left, &hash);
            (level, index) = (level + 1, index / 2);
            visit(NodeId { level, index }, &hash);
        }
        self.nodes.push((level, hash));
    }

    /// The root of the tree whose leaves these are; none if the range does not begin at 0.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        (self.begin == 0).then(|| fold(self.hashes()).unwrap_or(Hash::EMPTY_TREE))
    }
}

/// The root over nodes of which each is smaller than the one before it.
pub(super) fn fold<'a>(hashes: impl DoubleEndedIterator<Item = &'a Hash>) -> Option<Hash> {
    hashes.rev().copied().reduce(|right, left| node(&left, &right))
}

/// The nodes that cover `begin..end`, from left to right.
pub(super) fn cover(begin: u64, end: u64) -> impl Iterator<Item = NodeId> {
    let mut at = begin;
    std::iter::from_fn(move || {
        let left = end.checked_sub(at).filter(|left| *left > 0)?;
        // As large as where it begins allows, and as what is left does.
        let level = at.trailing_zeros().min(left.ilog2());
        let index = at >> level;
        at += 1 << level;
        Some(NodeId { level: level as u8, index })
    })
}
