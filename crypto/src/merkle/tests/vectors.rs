//! The eight-leaf tree that certificate-transparency-go, trillian and transparency-dev/merkle test with, and the ways in which the
//! latter spoils its proofs.

use super::{Hash, Path, is_consistent, is_included, mth, proof, range};

const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// Of the trees of 1 to 8 of these leaves.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Index, size, proof.
const INCLUSIONS: [(u64, u64, &[&str]); 5] = [
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (0, 1, &[]),
];

/// Old size, new size, proof.
const CONSISTENCIES: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

fn hash(hex: &str) -> Hash {
    Hash(bytes(hex).try_into().unwrap())
}

fn hashes(hex: &[&str]) -> Vec<Hash> {
    hex.iter().map(|hex| hash(hex)).collect()
}

/// RFC 6962's leaves of any input.
fn row() -> Vec<Hash> {
    LEAVES.iter().map(|leaf| Hash(crate::sha256(&[&[0], &bytes(leaf)]))).collect()
}

fn root(size: u64) -> Hash {
    hash(ROOTS[size as usize - 1])
}

#[test]
fn roots_are_the_published_ones() {
    let row = row();
    for size in 1..=8 {
        assert_eq!(range(0, &row[..size]).root(), Some(root(size as u64)), "{size}");
        assert_eq!(mth(&row[..size]), root(size as u64), "{size}");
    }
    assert_eq!(range(0, &[]).root(), Some(Hash::EMPTY_TREE));
}

#[test]
fn inclusion_proofs_are_the_published_ones() {
    let row = row();
    for (index, size, expected) in INCLUSIONS {
        let path = Path::inclusion(index, size).unwrap();
        assert_eq!(proof(&row[..size as usize], &path), hashes(expected), "{index} of {size}");
        assert!(is_included(index, size, &row[index as usize], &hashes(expected), &root(size)), "{index} of {size}");
    }
}

#[test]
fn consistency_proofs_are_the_published_ones() {
    let row = row();
    for (old, new, expected) in CONSISTENCIES {
        let path = Path::consistency(old, new).unwrap();
        assert_eq!(proof(&row[..new as usize], &path), hashes(expected), "{old} to {new}");
        assert!(is_consistent(old, new, &hashes(expected), &root(old), &root(new)), "{old} to {new}");
    }
}

/// A proof with something added before or behind it, taken away, or one bit changed.
fn spoilt(proof: &[Hash], added: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all: Vec<Vec<Hash>> = Vec::new();
    for hash in added.iter().chain(proof.first()) {
        all.extend([[proof, &[*hash]].concat(), [&[*hash], proof].concat()]);
    }
    for at in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[at].0[0] ^= 8;
        let mut removed = proof.to_vec();
        removed.remove(at);
        let mut inserted = proof.to_vec();
        inserted.insert(at + 1, added[0]);
        all.extend([changed, removed, inserted]);
    }
    all
}

fn somewhere_else() -> Hash {
    hash("abacaba000000000000000000000000000000000000000000060061e00123456")
}

#[test]
fn spoilt_inclusion_proofs_are_rejected() {
    let row = row();
    for (index, size, expected) in INCLUSIONS {
        let (leaf, root, proof) = (row[index as usize], root(size), hashes(expected));
        for other in [index.wrapping_sub(1), index + 1, index ^ 2] {
            assert!(!is_included(other, size, &leaf, &proof, &root), "index {other} for {index} of {size}");
        }
        for other in [size * 2, size / 2] {
            assert!(!is_included(index, other, &leaf, &proof, &root), "size {other} for {index} of {size}");
        }
        for other in [Hash::EMPTY_TREE, somewhere_else()] {
            assert!(!is_included(index, size, &leaf, &proof, &other), "root {other} for {index} of {size}");
            assert!(!is_included(index, size, &other, &proof, &root), "leaf {other} for {index} of {size}");
        }
        for spoilt in spoilt(&proof, &[root, somewhere_else()]) {
            assert!(!is_included(index, size, &leaf, &spoilt, &root), "{spoilt:?} for {index} of {size}");
        }
    }
}

#[test]
fn spoilt_consistency_proofs_are_rejected() {
    for (old, new, expected) in CONSISTENCIES {
        let (old_root, new_root, proof) = (root(old), root(new), hashes(expected));
        if old < new {
            for other in [old + 1, old ^ 2, old - 1].into_iter().filter(|other| *other > 0) {
                assert!(!is_consistent(other, new, &proof, &old_root, &new_root), "old {other} for {old} to {new}");
            }
            for other in [new * 2, new / 2] {
                assert!(!is_consistent(old, other, &proof, &old_root, &new_root), "new {other} for {old} to {new}");
            }
            assert!(!is_consistent(old, new, &proof, &new_root, &old_root), "swapped roots for {old} to {new}");
            assert!(!is_consistent(old, new, &[], &old_root, &new_root), "no proof for {old} to {new}");
            assert!(!is_consistent(new, old, &proof, &new_root, &old_root), "back from {new} to {old}");
        }
        assert!(!is_consistent(old, new, &proof, &somewhere_else(), &new_root), "old root for {old} to {new}");
        assert!(!is_consistent(old, new, &proof, &old_root, &somewhere_else()), "new root for {old} to {new}");
        for spoilt in spoilt(&proof, &[old_root, new_root, somewhere_else()]) {
            assert!(!is_consistent(old, new, &spoilt, &old_root, &new_root), "{spoilt:?} for {old} to {new}");
        }
    }
}
