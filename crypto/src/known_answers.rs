//! SHA-256 against NIST's vectors, through [`sha256`] and, where a vector has the form of a link, through the chain.

use super::*;
use crate::vectors::{Case, cases};

const SHORT: &str = include_str!("../tests/data/SHA256ShortMsg.rsp");
const LONG: &str = include_str!("../tests/data/SHA256LongMsg.rsp");
const MONTE: &str = include_str!("../tests/data/SHA256Monte.rsp");

/// Message and hash of a case. The empty message is written as one byte, and a length of none.
fn vector(case: &Case<'_>) -> (Vec<u8>, [u8; 32]) {
    let bits: usize = case.find("Len").unwrap().parse().unwrap();
    (case.bytes("Msg")[..bits / 8].to_vec(), case.array("MD"))
}

#[test]
fn messages() {
    let mut checked = 0;
    for case in cases(SHORT).chain(cases(LONG)) {
        let (message, hash) = vector(&case);
        assert_eq!(sha256(&[&message]), hash, "{} bytes", message.len());
        let (start, end) = message.split_at(message.len() / 3);
        assert_eq!(sha256(&[start, end]), hash, "{} bytes, in two parts", message.len());
        checked += 1;
    }
    assert_eq!(checked, 65 + 24);
}

/// One of the long messages happens to begin as a link's does: with 02.
#[test]
fn a_message_that_is_a_link() {
    let mut checked = 0;
    for (message, hash) in cases(LONG).map(|case| vector(&case)) {
        let Some(link) = message.strip_prefix(&[CHAIN_PREFIX]) else { continue };
        let (previous, record) = link.split_first_chunk().unwrap();
        let previous = Link::from_bytes(*previous);
        assert_eq!(next(&previous, record), Link::from_bytes(hash));
        for lanes in 1..=LANES {
            let mut links = vec![previous; lanes];
            next_lanes(&mut links, &vec![record; lanes]);
            assert_eq!(links, vec![Link::from_bytes(hash); lanes]);
        }
        checked += 1;
    }
    assert_eq!(checked, 1);
}

/// A hundred times a thousand hashes, each of the three before it (SHAVS, section 6.4).
#[test]
fn monte_carlo() {
    let mut cases = cases(MONTE);
    let mut seed: [u8; 32] = cases.next().unwrap().array("Seed");
    let mut checked = 0;
    for case in cases {
        let mut last = [seed; 3];
        for _ in 0..1000 {
            let [oldest, middle, newest] = last;
            last = [middle, newest, sha256(&[&oldest, &middle, &newest])];
        }
        seed = last[2];
        assert_eq!(seed, case.array("MD"), "count {}", case.find("COUNT").unwrap());
        checked += 1;
    }
    assert_eq!(checked, 100);
}
