//! The Merkle tree of RFC 6962 over a tenant's records, so that one record, or that nothing before was altered, is proven
//! in a few hashes.
//!
//! ```text
//! leaf n     = SHA-256( 00 tenant:u64-LE stream:u32-LE link[32] )   of the tenant's record with position n
//! node       = SHA-256( 01 left[32] right[32] )
//! empty tree = SHA-256( )
//! ```
//!
//! A tree of n > 1 leaves is the node of two: the left one has as many leaves as the largest power of two below n. Nodes
//! are named by [`NodeId`]; those whose leaves are all there never change again.
//!
//! What must stay true:
//!
//! - A leaf holds its link, and so all of its stream up to the record; tenant and stream are in it because a link alone
//!   does not say whose it is.
//! - No input from outside makes anything here panic: sizes and indices of proofs come from whoever wrote them.
//! - Hashing is in batches where there is more than one hash to make: leaves do not depend on each other, nor do the
//!   nodes of one level, so up to [`LANES`] are hashed in step, as chains are.
//!
//! Not here: where nodes are kept (a path says which ones it needs), and what a position is (the log's business).

mod lanes;
mod path;
mod range;

pub use path::{Path, Subtree, is_consistent, is_included};
pub use range::Range;

use crate::{LANES, Link};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// What keeps leaves, nodes and links apart.
const LEAF_PREFIX: u8 = 0;
const NODE_PREFIX: u8 = 1;

/// Bytes of a leaf's input behind the prefix: tenant, stream, link.
const LEAF_BYTES: usize = 8 + 4 + 32;

/// The hash of a leaf, of a node, or of a whole tree.
///
/// Displays as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The root of the tree without leaves: the SHA-256 of nothing.
    pub const EMPTY_TREE: Hash = Hash([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// A hash as it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash as it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash as checkpoints and proofs have it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// A node of a tree: number `index`, from 0, of those that have 2^`level` leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// 0 for a leaf.
    pub level: u8,
    /// Its first leaf is `index` << `level`.
    pub index: u64,
}

/// What a leaf is the hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Whose record it is.
    pub tenant: u64,
    /// In which stream.
    pub stream: u32,
    /// The stream's chain up to and including the record.
    pub link: Link,
}

impl Leaf {
    fn input(&self) -> [u8; LEAF_BYTES] {
        let mut input = [0; LEAF_BYTES];
        input[..8].copy_from_slice(&self.tenant.to_le_bytes());
        input[8..12].copy_from_slice(&self.stream.to_le_bytes());
        input[12..].copy_from_slice(self.link.as_bytes());
        input
    }
}

/// The leaf of the record with `link` in a tenant's stream.
#[must_use]
pub fn leaf(tenant: u64, stream: u32, link: &Link) -> Hash {
    let input = Leaf { tenant, stream, link: *link }.input();
    Hash(crate::sha256(&[&[LEAF_PREFIX], &input]))
}

/// The node over two others.
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    Hash(crate::sha256(&[&[NODE_PREFIX], &left.0, &right.0]))
}

/// Appends the hash of each leaf to `hashes`, up to [`LANES`] in step.
pub fn leaves(leaves: &[Leaf], hashes: &mut Vec<Hash>) {
    lanes::hash_each(leaves, |leaf| lanes::padded::<1>(LEAF_PREFIX, &[&leaf.input()]), hashes);
}

/// Appends the node over each pair of neighbours to `nodes`; a last one without a neighbour has none.
fn parents(children: &[Hash], nodes: &mut Vec<Hash>) {
    let (pairs, _alone) = children.as_chunks::<2>();
    lanes::hash_each(pairs, |[left, right]| lanes::padded::<2>(NODE_PREFIX, &[&left.0, &right.0]), nodes);
}

#[cfg(test)]
mod tests;
