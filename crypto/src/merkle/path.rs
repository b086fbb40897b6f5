//! Proofs: which nodes they are made of, and what they prove.
//!
//! RFC 6962 defines both kinds by recursion over subtrees (sections 2.1.1 and 2.1.2); [`Path`] walks down the same way and
//! names the subtrees. Verification is RFC 9162's (sections 2.1.3.2 and 2.1.4.2), which needs no recursion and no tree.
//! The two share nothing, so that a mistake in one is caught by the other.

use super::range::{cover, fold};
use super::{Hash, NodeId, node};
use std::ops::Range;

/// A proof's subtrees, in the proof's order: from the bottom up. Each gives one hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Subtree>);

/// Leaves that a path needs the root of. Only one at the tree's right edge can be of more than one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtree(Range<u64>);

impl Path {
    /// What proves that leaf `index` is in the tree of `size` leaves; none if it is not.
    #[must_use]
    pub fn inclusion(index: u64, size: u64) -> Option<Path> {
        let mut path = Vec::new();
        let mut tree = (index < size).then_some(0..size)?;
        while tree.end - tree.start > 1 {
            let middle = middle(&tree);
            if index < middle {
                path.push(Subtree(middle..tree.end));
                tree.end = middle;
            } else {
                path.push(Subtree(tree.start..middle));
                tree.start = middle;
            }
        }
        path.reverse();
        Some(Path(path))
    }

    /// What proves that the first `old` leaves of the tree of `new` leaves are those of the tree of `old`; none if that
    /// is the larger one. Of the empty tree, and of the same one, the proof is empty.
    #[must_use]
    pub fn consistency(old: u64, new: u64) -> Option<Path> {
        let mut path = Vec::new();
        let mut tree = (old <= new).then_some(0..new)?;
        while old > tree.start && old < tree.end {
            let middle = middle(&tree);
            if old <= middle {
                path.push(Subtree(middle..tree.end));
                tree.end = middle;
            } else {
                path.push(Subtree(tree.start..middle));
                tree.start = middle;
            }
        }
        // A whole subtree of the old tree; if it is all of it, whoever verifies has its root.
        if tree.start > 0 {
            path.push(Subtree(tree));
        }
        path.reverse();
        Some(Path(path))
    }

    /// The subtrees, in the proof's order.
    #[must_use]
    pub fn subtrees(&self) -> &[Subtree] {
        &self.0
    }

    /// The proof's hashes, with each node's as `fetch` gives it.
    ///
    /// # Errors
    ///
    /// The first that `fetch` has.
    pub fn hashes<E>(&self, mut fetch: impl FnMut(NodeId) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
        self.0.iter().map(|subtree| subtree.hash(&mut fetch)).collect()
    }
}

impl Subtree {
    /// The nodes that it is made of, from left to right.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        cover(self.0.start, self.0.end)
    }

    fn hash<E>(&self, fetch: impl FnMut(NodeId) -> Result<Hash, E>) -> Result<Hash, E> {
        let nodes = self.nodes().map(fetch).collect::<Result<Vec<_>, E>>()?;
        Ok(fold(nodes.iter()).unwrap_or(Hash::EMPTY_TREE))
    }
}

/// Where a tree of two leaves or more is divided: before it is the largest power of two that leaves something.
fn middle(tree: &Range<u64>) -> u64 {
    tree.start + (1 << (tree.end - tree.start - 1).ilog2())
}

/// Whether `proof` shows that leaf `index` of the tree with `size` leaves and this root is `leaf`.
#[must_use]
pub fn is_included(index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let mut at = Climb { old: index, new: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        match at.step() {
            None => return false,
            Some(Side::Left) => hash = node(sibling, &hash),
            Some(Side::Right) => hash = node(&hash, sibling),
        }
    }
    at.new == 0 && hash == *root
}

/// Whether `proof` shows that the tree with `new` leaves and root `new_root` begins with the tree with `old` leaves and
/// root `old_root`.
#[must_use]
pub fn is_consistent(old: u64, new: u64, proof: &[Hash], old_root: &Hash, new_root: &Hash) -> bool {
    if old == 0 || old >= new {
        let empty = Hash::EMPTY_TREE;
        let same = old == new && old_root == new_root && (old > 0 || *old_root == empty);
        return proof.is_empty() && (same || old == 0 && new > 0 && *old_root == empty);
    }
    // A proof leaves out the hash that it would begin with if that is the old root.
    let whole = old.is_power_of_two().then_some(old_root);
    let mut hashes = whole.into_iter().chain(proof);
    let Some(first) = hashes.next() else { return false };
    let mut at = Climb { old: old - 1, new: new - 1 };
    let steps = at.old.trailing_ones();
    (at.old, at.new) = (at.old >> steps, at.new >> steps);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for hash in hashes {
        match at.step() {
            None => return false,
            Some(Side::Left) => (old_hash, new_hash) = (node(hash, &old_hash), node(hash, &new_hash)),
            Some(Side::Right) => new_hash = node(&new_hash, hash),
        }
    }
    at.new == 0 && old_hash == *old_root && new_hash == *new_root
}

/// The way up from a node to the root, beside the way up from the tree's last leaf.
struct Climb {
    old: u64,
    new: u64,
}

enum Side {
    Left,
    Right,
}

impl Climb {
    /// One hash further up: on which side that hash is, or none at the root already. Without a sibling a node is its own
    /// parent, so levels are skipped where the last leaf's way has none to its right.
    fn step(&mut self) -> Option<Side> {
        if self.new == 0 {
            return None;
        }
        let left = self.old % 2 == 1 || self.old == self.new;
        // An odd one has a sibling at its left; an even one here is last, so it is not 0.
        let alone = if left { self.old.trailing_zeros() } else { 0 };
        (self.old, self.new) = (self.old >> alone >> 1, self.new >> alone >> 1);
        Some(if left { Side::Left } else { Side::Right })
    }
}
