//! Trees against published vectors (`vectors`), another crate (`oracle`), RFC 6962's own words (here), and ranges and paths against
//! each other.

mod oracle;
mod vectors;

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// Leaves that differ.
pub(super) fn row(leaves: u64) -> Vec<Hash> {
    (0..leaves).map(|n| leaf(7, 3, &Link::from_bytes(crate::sha256(&[&n.to_le_bytes()])))).collect()
}

/// MTH of RFC 6962, section 2.1, as it stands there, over hashed leaves.
pub(super) fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash(crate::sha256(&[])),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node(&mth(left), &mth(right))
        }
    }
}

pub(super) fn range(begin: u64, leaves: &[Hash]) -> Range {
    let mut range = Range::new(begin);
    leaves.iter().for_each(|leaf| range.push(*leaf, |_, _| {}));
    range
}

/// The hashes of a path in the tree of these leaves.
pub(super) fn proof(leaves: &[Hash], path: &Path) -> Vec<Hash> {
    let fetch = |NodeId { level, index }| {
        let first = (index << level) as usize;
        leaves.get(first..first + (1 << level)).map(mth).ok_or(NodeId { level, index })
    };
    path.hashes(fetch).expect("a path asks for no node that is not whole")
}

#[test]
fn a_leaf_is_the_hash_of_the_bytes_that_the_format_names() {
    let link = crate::genesis(7, 3);
    let mut input = vec![0];
    input.extend(0x0102_0304_0506_0708_u64.to_le_bytes());
    input.extend(0x0a0b_0c0d_u32.to_le_bytes());
    input.extend(link.as_bytes());
    assert_eq!(input.len(), 45);
    assert_eq!(leaf(0x0102_0304_0506_0708, 0x0a0b_0c0d, &link).as_bytes(), &crate::sha256(&[&input]));
}

/// Every number of lanes, and the portable path.
#[test]
fn many_at_a_time_are_as_one_at_a_time() {
    let inputs: Vec<_> = (0..23_u32).map(|n| Leaf { tenant: 9, stream: n, link: crate::genesis(1, n) }).collect();
    for count in 0..inputs.len() {
        let one_by_one: Vec<_> = inputs[..count].iter().map(|it| leaf(it.tenant, it.stream, &it.link)).collect();
        let mut hashes = Vec::new();
        leaves(&inputs[..count], &mut hashes);
        assert_eq!(hashes, one_by_one, "{count} leaves");
        let pairs = one_by_one.as_chunks::<2>().0;
        let mut nodes = Vec::new();
        parents(&hashes, &mut nodes);
        assert_eq!(nodes, pairs.iter().map(|[left, right]| node(left, right)).collect::<Vec<_>>(), "{count} leaves");
    }
    let blocks = lanes::padded::<1>(LEAF_PREFIX, &[&inputs[0].input()]);
    let expected = leaf(inputs[0].tenant, inputs[0].stream, &inputs[0].link);
    assert_eq!(Hash(lanes::digest_portable(&blocks)), expected);
    let blocks = lanes::padded::<2>(NODE_PREFIX, &[&[1; 32], &[2; 32]]);
    assert_eq!(Hash(lanes::digest_portable(&blocks)), node(&Hash([1; 32]), &Hash([2; 32])));
}

#[test]
fn a_hash_shows_as_hex_and_keeps_its_bytes() {
    assert_eq!(Hash::EMPTY_TREE.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(Hash::from_bytes(*Hash::EMPTY_TREE.as_bytes()), Hash::EMPTY_TREE);
}

#[test]
fn joined_ranges_are_the_range_over_both_however_they_were_made() {
    let row = row(40);
    for begin in 0..row.len() {
        for middle in begin..row.len() {
            for end in middle..row.len() {
                let whole = range(begin as u64, &row[begin..end]);
                let mut left = Range::new(begin as u64);
                left.extend(&row[begin..middle], |_, _| {});
                let right = range(middle as u64, &row[middle..end]);
                assert!(left.append(&right, |_, _| {}));
                assert_eq!(left, whole, "{begin}..{middle}..{end}");
            }
        }
    }
}

#[test]
fn a_range_that_begins_elsewhere_is_not_joined() {
    let row = row(9);
    let mut left = range(2, &row[2..5]);
    for begin in [0, 2, 4, 6] {
        let before = left.clone();
        assert!(!left.append(&range(begin, &row[6..9]), |_, _| panic!("a node of no tree")));
        assert_eq!(left, before);
    }
    assert_eq!(left.root(), None, "it does not begin at 0");
}

#[test]
fn a_stored_range_is_taken_back_if_it_has_as_many_hashes_as_it_needs() {
    let row = row(70);
    for begin in 0..row.len() {
        for end in begin..row.len() {
            let range = range(begin as u64, &row[begin..end]);
            let mut hashes: Vec<_> = range.hashes().copied().collect();
            let (begin, end) = (begin as u64, end as u64);
            assert_eq!(Range::from_hashes(begin, end, &hashes), Some(range));
            hashes.push(row[0]);
            assert_eq!(Range::from_hashes(begin, end, &hashes), None);
        }
    }
    assert_eq!(Range::from_hashes(3, 2, &[]), None);
    assert!(Range::from_hashes(0, u64::MAX, &[row[0]; 64]).is_some());
    assert!(Range::from_hashes(1, u64::MAX, &[row[0]; 126]).is_some());
}

#[test]
#[should_panic(expected = "a range ends at u64::MAX at the latest")]
fn a_leaf_behind_the_last_panics() {
    let mut range = Range::new(u64::MAX);
    range.push(Hash::EMPTY_TREE, |_, _| {});
}

/// Sizes and indices as a forged proof may have them: nothing panics, and nothing is proven.
#[test]
fn hostile_sizes_prove_nothing() {
    let edges = [0, 1, 2, 3, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX];
    let (hash, other) = (Hash([1; 32]), Hash([2; 32]));
    for (one, two) in edges.iter().flat_map(|one| edges.map(|two| (*one, two))) {
        for hashes in [0, 1, 2, 62, 63, 64, 65, 1000] {
            let proof = vec![hash; hashes];
            assert!(!is_included(one, two, &hash, &proof, &other), "{one} of {two}, {hashes} hashes");
            assert!(!is_consistent(one, two, &proof, &hash, &other), "{one} to {two}, {hashes} hashes");
        }
        let inclusion = Path::inclusion(one, two);
        assert_eq!(inclusion.is_some(), one < two);
        assert!(inclusion.is_none_or(|path| path.subtrees().len() <= 64));
        let consistency = Path::consistency(one, two);
        assert_eq!(consistency.is_some(), one <= two);
        assert!(consistency.is_none_or(|path| path.subtrees().len() <= 65));
    }
}

#[test]
fn the_empty_tree_is_consistent_with_all_and_has_one_root() {
    let roots = [Hash::EMPTY_TREE, Hash([1; 32])];
    let [empty, other] = &roots;
    assert!(is_consistent(0, 0, &[], empty, empty));
    assert!(is_consistent(0, 5, &[], empty, other));
    assert!(!is_consistent(0, 5, &[*empty], empty, other));
    assert!(!is_consistent(0, 5, &[], other, empty));
    assert!(!is_consistent(0, 0, &[], other, other));
}

/// Batches of any length make the same nodes as single leaves, each once and after its children.
#[test]
fn every_whole_node_is_visited_once_and_after_its_children() {
    let row = row(300);
    let mut expected = HashMap::new();
    let mut one_by_one = Range::new(0);
    for leaf in &row {
        one_by_one.push(*leaf, |id, hash| assert_eq!(expected.insert(id, *hash), None, "{id:?}"));
    }
    for (id, hash) in &expected {
        let first = (id.index << id.level) as usize;
        assert_eq!(*hash, mth(&row[first..first + (1 << id.level)]), "{id:?}");
    }
    for batch in [1, 2, 3, 7, 16, 17, 64, 300] {
        let (mut nodes, mut range) = (HashMap::new(), Range::new(0));
        for leaves in row.chunks(batch) {
            range.extend(leaves, |id, hash| {
                let children = id
                    .level
                    .checked_sub(1)
                    .map(|level| [0, 1].map(|side| NodeId { level, index: 2 * id.index + side }));
                assert!(children.iter().flatten().all(|child| nodes.contains_key(child)), "{id:?} before its children");
                assert_eq!(nodes.insert(id, *hash), None, "{id:?} twice");
            });
        }
        assert_eq!(nodes, expected, "in batches of {batch}");
    }
}

proptest! {
    /// Parts of a row, hashed apart and joined in any order of neighbours, give the root of RFC 6962.
    #[test]
    fn parts_give_the_root(size in 0..600_usize, mut cuts in proptest::collection::vec(0..600_usize, 0..12), order: u64) {
        let row = row(size as u64);
        cuts.extend([0, size]);
        cuts.retain(|cut| *cut <= size);
        cuts.sort_unstable();
        let mut parts: Vec<Range> = cuts
            .windows(2)
            .map(|cut| {
                let mut part = Range::new(cut[0] as u64);
                part.extend(&row[cut[0]..cut[1]], |_, _| {});
                part
            })
            .collect();
        let mut order = order;
        while parts.len() > 1 {
            let at = (order % (parts.len() as u64 - 1)) as usize;
            order = order.rotate_left(7) ^ 0x9e37_79b9_7f4a_7c15;
            let right = parts.remove(at + 1);
            let joined = parts[at].append(&right, |_, _| {});
            prop_assert!(joined);
        }
        prop_assert_eq!(parts[0].root(), Some(mth(&row)));
    }
}
