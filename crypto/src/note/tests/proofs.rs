//! Proofs of a small tree: taken as they are, refused with anything changed.

use super::*;
use crate::merkle::{self, Path, Range};
use crate::{Link, genesis, next};

const STREAM: u32 = 3;
const INDEX: u64 = 5;
const SIZE: u64 = 11;

/// The hashed bytes of record `position`, the only records of their stream.
fn record(position: u64, sealed: bool) -> Vec<u8> {
    let payload = format!("record {position}");
    let mut record = vec![1, u8::from(sealed)];
    record.extend((payload.len() as u32).to_le_bytes());
    record.extend(position.to_le_bytes());
    record.extend(position.to_le_bytes());
    record.extend((1_700_000_000_000_000_000 + position).to_le_bytes());
    record.extend(u32::from(sealed).to_le_bytes());
    record.extend(payload.as_bytes());
    record.extend(if sealed { [7; 16].as_slice() } else { &[] });
    record
}

struct Tree {
    before: Vec<Link>,
    leaves: Vec<Hash>,
    sealed: bool,
}

impl Tree {
    fn new(size: u64, sealed: bool) -> Tree {
        let mut link = genesis(ORIGIN.tenant, STREAM);
        let mut tree = Tree { before: Vec::new(), leaves: Vec::new(), sealed };
        for position in 0..size {
            tree.before.push(link);
            link = next(&link, &record(position, sealed));
            tree.leaves.push(merkle::leaf(ORIGIN.tenant, STREAM, &link));
        }
        tree
    }

    fn checkpoint(&self, size: u64) -> Checkpoint {
        let mut range = Range::new(0);
        range.extend(&self.leaves[..size as usize], |_, _| {});
        checkpoint(size, range.root().unwrap())
    }

    fn hashes(&self, path: &Path) -> Vec<Hash> {
        let fetch = |id: merkle::NodeId| {
            let first = id.index << id.level;
            let mut range = Range::new(first);
            range.extend(&self.leaves[first as usize..][..1 << id.level], |_, _| {});
            range.hashes().next().copied().ok_or(())
        };
        path.hashes(fetch).unwrap()
    }

    fn inclusion(&self, index: u64, size: u64) -> InclusionProof {
        InclusionProof {
            index,
            stream: STREAM,
            link_before: self.before[index as usize],
            record: record(index, self.sealed),
            hashes: self.hashes(&Path::inclusion(index, size).unwrap()),
            checkpoint: self.checkpoint(size).sign(&signer()),
        }
    }

    fn consistency(&self, old: u64, new: u64) -> ConsistencyProof {
        let hashes = self.hashes(&Path::consistency(old, new).unwrap());
        ConsistencyProof { old, hashes, checkpoint: self.checkpoint(new).sign(&signer()) }
    }
}

fn verify_inclusion(text: &[u8]) -> Result<u64, NoteError> {
    InclusionProof::decode(text)?.verify(&key()).map(|included| included.record.position)
}

fn verify_consistency(kept: &Checkpoint, text: &[u8]) -> Result<u64, NoteError> {
    ConsistencyProof::decode(text)?.verify(kept, &key()).map(|new| new.size)
}

#[test]
fn a_proof_says_what_the_record_is() {
    for sealed in [false, true] {
        let proof = Tree::new(SIZE, sealed).inclusion(INDEX, SIZE);
        let text = proof.encode();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra AwAAA") && text.contains("\nindex 5\n"), "{text}");
        assert!(InclusionProof::is_meant(text.as_bytes()) && !ConsistencyProof::is_meant(text.as_bytes()));
        let decoded = InclusionProof::decode(text.as_bytes()).unwrap();
        assert_eq!(decoded, proof);
        let Included { checkpoint, stream, record } = decoded.verify(&key()).unwrap();
        assert_eq!((checkpoint.size, checkpoint.origin, stream), (SIZE, ORIGIN, STREAM));
        assert_eq!((record.kind, record.offset, record.position), (1, INDEX, INDEX));
        assert_eq!((record.timestamp, record.key_id), (1_700_000_000_000_000_005, u32::from(sealed)));
        assert_eq!((record.payload, record.tag), (b"record 5".as_slice(), sealed.then_some(&[7; 16])));
    }
}

#[test]
fn every_record_of_every_size_is_proven() {
    let tree = Tree::new(SIZE, false);
    for size in 1..=SIZE {
        for index in 0..size {
            assert_eq!(verify_inclusion(tree.inclusion(index, size).encode().as_bytes()), Ok(index), "of {size}");
        }
        for old in 0..=size {
            let text = tree.consistency(old, size).encode();
            assert!(ConsistencyProof::is_meant(text.as_bytes()) && !InclusionProof::is_meant(text.as_bytes()));
            assert_eq!(verify_consistency(&tree.checkpoint(old), text.as_bytes()), Ok(size), "from {old}");
        }
    }
}

/// Every byte of the text, changed in three ways, taken away, or put there twice.
fn changed(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let bytes = text.as_bytes().to_vec();
    (0..bytes.len()).flat_map(move |at| {
        let with = |byte: u8| {
            let mut changed = bytes.clone();
            changed[at] = byte;
            changed
        };
        let mut all = vec![with(bytes[at] ^ 1), with(bytes[at] ^ 0x80), with(b'\n'), with(b'A')];
        let (before, after) = bytes.split_at(at);
        all.push([before, &after[1..]].concat());
        all.push([before, &after[..1], after].concat());
        all.push(before.to_vec());
        all.retain(|changed| *changed != bytes);
        all
    })
}

#[test]
fn an_inclusion_proof_with_any_byte_changed_is_refused() {
    for sealed in [false, true] {
        let text = Tree::new(SIZE, sealed).inclusion(INDEX, SIZE).encode();
        assert_eq!(verify_inclusion(text.as_bytes()), Ok(INDEX));
        for changed in changed(&text) {
            let verified = verify_inclusion(&changed);
            assert!(verified.is_err(), "{}", String::from_utf8_lossy(&changed));
        }
    }
}

#[test]
fn a_consistency_proof_with_any_byte_changed_is_refused() {
    let tree = Tree::new(SIZE, false);
    for old in [1, 6, 8, SIZE] {
        let (kept, text) = (tree.checkpoint(old), tree.consistency(old, SIZE).encode());
        assert_eq!(verify_consistency(&kept, text.as_bytes()), Ok(SIZE));
        for changed in changed(&text) {
            let verified = verify_consistency(&kept, &changed);
            assert!(verified.is_err(), "{}", String::from_utf8_lossy(&changed));
        }
    }
}

/// Each field apart, put together again as a forger would who has no key.
#[test]
fn every_field_of_a_proof_counts() {
    let tree = Tree::new(SIZE, false);
    let good = tree.inclusion(INDEX, SIZE);
    let with = |change: &dyn Fn(&mut InclusionProof)| {
        let mut proof = good.clone();
        change(&mut proof);
        verify_inclusion(proof.encode().as_bytes()).unwrap_err()
    };
    let not_included = NoteError::NotIncluded { index: INDEX, size: SIZE };
    let other = NoteError::OtherPosition { index: 6, position: INDEX };
    assert_eq!(with(&|proof| proof.index = 6), other);
    assert_eq!(with(&|proof| proof.index = SIZE), NoteError::OutsideTree { index: SIZE, size: SIZE });
    assert_eq!(with(&|proof| proof.index = u64::MAX), NoteError::OutsideTree { index: u64::MAX, size: SIZE });
    assert_eq!(with(&|proof| proof.stream = 4), not_included);
    assert_eq!(with(&|proof| proof.link_before = genesis(1, 1)), not_included);
    assert_eq!(with(&|proof| proof.hashes.swap(0, 1)), not_included);
    assert_eq!(with(&|proof| proof.hashes.truncate(3)), not_included);
    assert_eq!(with(&|proof| proof.hashes.push(Hash::EMPTY_TREE)), not_included);
    assert_eq!(with(&|proof| proof.hashes.clear()), not_included);
    // Kind, payload, offset, timestamp, key id: all that changes neither length nor position.
    for at in [0, 34, 6, 22, 30] {
        assert_eq!(with(&|proof| proof.record[at] ^= 2), not_included, "byte {at}");
    }
    assert_eq!(with(&|proof| proof.record[14] ^= 2), NoteError::OtherPosition { index: INDEX, position: INDEX ^ 2 });
    let changes: [fn(&mut Vec<u8>); 4] =
        [|record| record.push(0), |record| record[1] = 1, |record| record[2] ^= 1, Vec::clear];
    for change in changes {
        assert!(matches!(with(&|proof| change(&mut proof.record)), NoteError::Malformed { line: 2, .. }));
    }
    let smaller = tree.checkpoint(SIZE - 1).sign(&signer());
    assert_eq!(
        with(&|proof| proof.checkpoint = smaller.clone()),
        NoteError::NotIncluded { index: INDEX, size: SIZE - 1 }
    );
    let many = vec![Hash::EMPTY_TREE; PROOF_HASHES_MAX + 1];
    let too_many = NoteError::Malformed { line: 4 + PROOF_HASHES_MAX, expected: "no more than 63 hashes" };
    assert_eq!(with(&|proof| proof.hashes = many.clone()), too_many);
}

/// The checkpoint's lines are counted from the top of the proof.
#[test]
fn what_is_wrong_with_a_proof_s_checkpoint_is_said_with_its_line() {
    let good = Tree::new(SIZE, false).inclusion(INDEX, SIZE);
    let lines = good.encode().lines().count();
    let forged = InclusionProof { checkpoint: good.checkpoint.replace("time 1", "time 2"), ..good.clone() };
    assert_eq!(
        verify_inclusion(forged.encode().as_bytes()),
        Err(NoteError::Forged { line: lines, key: key().to_string() })
    );
    let unsigned = InclusionProof { checkpoint: good.checkpoint.replace("— ", "- "), ..good.clone() };
    assert_eq!(malformed(verify_inclusion(unsigned.encode().as_bytes())), lines);
    let none = InclusionProof { checkpoint: String::new(), ..good };
    assert_eq!(malformed(verify_inclusion(none.encode().as_bytes())), lines - 5);
}

#[test]
fn histories_that_do_not_continue_the_kept_one_are_named() {
    let tree = Tree::new(SIZE, false);
    let proof = tree.consistency(6, SIZE);
    let verify = |kept: &Checkpoint| verify_consistency(kept, proof.encode().as_bytes()).unwrap_err();
    assert_eq!(verify(&tree.checkpoint(5)), NoteError::OtherOldSize { found: 6, kept: 5 });
    let rewritten = Checkpoint { root: Hash::EMPTY_TREE, ..tree.checkpoint(6) };
    assert_eq!(verify(&rewritten), NoteError::NotConsistent { old: 6, new: SIZE });
    let elsewhere = Checkpoint { origin: Origin { tenant: 1, ..ORIGIN }, ..tree.checkpoint(6) };
    assert!(matches!(verify(&elsewhere), NoteError::OtherOrigin { line: 7, .. }));
    let rolled_back = ConsistencyProof { old: SIZE, checkpoint: tree.checkpoint(6).sign(&signer()), ..proof };
    let error = verify_consistency(&tree.checkpoint(SIZE), rolled_back.encode().as_bytes()).unwrap_err();
    assert_eq!(error, NoteError::NotConsistent { old: SIZE, new: 6 });
    assert!(error.to_string().contains("the log lost some"), "{error}");
}
