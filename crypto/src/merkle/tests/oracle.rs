//! The crate ct-merkle makes the same roots and the same proofs, and each side takes what the other made.

use super::{Hash, Path, is_consistent, is_included, proof, range};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use sha2::Sha256;

type Tree = MemoryBackedTree<Sha256, Vec<u8>>;

fn input(n: usize) -> Vec<u8> {
    n.to_le_bytes().repeat(n % 7)
}

/// The same leaves in both: RFC 6962 hashes any bytes.
fn trees(size: usize) -> (Vec<Hash>, Tree) {
    let mut tree = Tree::new();
    (0..size).for_each(|n| tree.push(input(n)));
    ((0..size).map(|n| Hash(crate::sha256(&[&[0], &input(n)]))).collect(), tree)
}

fn root(row: &[Hash]) -> Hash {
    range(0, row).root().expect("it begins at 0")
}

fn theirs(root: &Hash, size: usize) -> RootHash<Sha256> {
    RootHash::new((*root.as_bytes()).into(), size as u64)
}

fn bytes(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

proptest! {
    #[test]
    fn roots_and_inclusion_proofs_are_the_same((size, index) in (1..500_usize).prop_flat_map(|size| (Just(size), 0..size))) {
        let (row, tree) = trees(size);
        let root = root(&row);
        prop_assert_eq!(theirs(&root, size), tree.root());
        let path = Path::inclusion(index as u64, size as u64).unwrap();
        let ours = proof(&row, &path);
        let made = tree.prove_inclusion(index);
        prop_assert_eq!(bytes(&ours), made.as_bytes());
        prop_assert!(is_included(index as u64, size as u64, &row[index], &ours, &root));
        let given = InclusionProof::from_bytes(bytes(&ours));
        prop_assert!(theirs(&root, size).verify_inclusion(&input(index), index as u64, &given).is_ok());
    }

    #[test]
    fn consistency_proofs_are_the_same((new, old) in (1..500_usize).prop_flat_map(|new| (Just(new), 1..=new))) {
        let (row, tree) = trees(new);
        let (old_root, new_root) = (root(&row[..old]), root(&row));
        let path = Path::consistency(old as u64, new as u64).unwrap();
        let ours = proof(&row, &path);
        let made = tree.prove_consistency(new - old);
        prop_assert_eq!(bytes(&ours), made.as_bytes());
        prop_assert!(is_consistent(old as u64, new as u64, &ours, &old_root, &new_root));
        let given = ConsistencyProof::try_from_bytes(bytes(&ours)).unwrap();
        prop_assert!(theirs(&new_root, new).verify_consistency(&theirs(&old_root, old), &given).is_ok());
    }

    /// Anything about a proof that differs is rejected: index, size, leaf, root, each hash, their number, their order.
    #[test]
    fn a_proof_with_anything_changed_is_rejected(
        (size, index) in (2..300_usize).prop_flat_map(|size| (Just(size), 0..size)),
        at: usize,
        bit in 0..256_usize,
        other in 0..400_u64,
    ) {
        let (row, _) = trees(size);
        let (index, size) = (index as u64, size as u64);
        let (leaf, root) = (row[index as usize], root(&row));
        let good = proof(&row, &Path::inclusion(index, size).unwrap());
        let flip = |hash: &Hash| {
            let mut hash = *hash;
            hash.0[bit / 8] ^= 1 << (bit % 8);
            hash
        };
        let at = at % good.len();
        let mut changed = good.clone();
        changed[at] = flip(&changed[at]);
        prop_assert!(!is_included(index, size, &leaf, &changed, &root));
        let mut fewer = good.clone();
        fewer.remove(at);
        prop_assert!(!is_included(index, size, &leaf, &fewer, &root));
        let mut more = good.clone();
        more.insert(at, flip(&good[at]));
        prop_assert!(!is_included(index, size, &leaf, &more, &root));
        if good.len() > 1 {
            let mut turned = good.clone();
            turned.rotate_left(1);
            prop_assert!(!is_included(index, size, &leaf, &turned, &root));
        }
        prop_assert!(!is_included(index, size, &flip(&leaf), &good, &root));
        prop_assert!(!is_included(index, size, &leaf, &good, &flip(&root)));
        prop_assert!(other == index || !is_included(other, size, &leaf, &good, &root));
    }
}
