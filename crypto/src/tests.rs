//! Links against constants computed elsewhere, and against `sha2` over the whole message.
//!
//! The constants come from Python's `hashlib`:
//!
//! ```python
//! sha = lambda b: hashlib.sha256(b).digest()
//! genesis = lambda tenant, stream: sha(
//!     b"diatreme/chain/genesis/v1\0" + tenant.to_bytes(8, "little") + stream.to_bytes(4, "little"))
//! link = lambda previous, record: sha(b"\2" + previous + record)
//! record = lambda n: bytes((7 * i + n) % 256 for i in range(n))
//! ```

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

/// `genesis(tenant, stream).hex()`.
const GENESES: [(u64, u32, &str); 5] = [
    (0, 0, "0f60490019af916454500bd481cfdb540a9ba93f1471ecf080666c4dbe00d833"),
    (1, 0, "12874ae536498adfd02ffeee9ff534f7ee5757fa1a356a5ad67c314704a43d52"),
    (0, 1, "cac601f4da6119a4f10a4e0d1f4606c185a2e33c70b0889eb8ab62a0b5410ea1"),
    (0x0123_4567_89ab_cdef, 0x89ab_cdef, "b2d3b4227d4eddc77be20ab0b49f33856cf1fd571cf7e0a9c9814f90c7eefb9d"),
    (u64::MAX, u32::MAX, "3382e339979f0d3dbb918014edfc56709bb517626c6df06a294f4b630fa6c725"),
];

/// `link(genesis(7, 3), record(n)).hex()`. The lengths stand at both sides of every edge of the
/// layout: 22 | 23 padding leaves the first block, 30 | 31 the record fills it, 86 | 87 and
/// 150 | 151 padding leaves the last block, 94 | 95 and 158 | 159 a block more lies in between.
const LINKS: [(usize, &str); 19] = [
    (0, "d4f5c7ed981f070223ad263e5af4e70ecab1807bec2fe2e98fb8b026273c3bd8"),
    (1, "3c1078218cb67675472b947d73e41d435159e269706dfa3c442ab2b4f0e5f116"),
    (22, "859ad5972d5d6d6d9bdc33cc39f406b2fb136d7bf6a9e7e02967276d751c66dc"),
    (23, "4f88516f2ea39b0d56f97ff808a1883f965c3adda7f0c7737d4a0bf737e7df40"),
    (30, "9ec25a4930538f0fd1b20def248ef792ece0fbd41bf30eb091bb24f65fd319ae"),
    (31, "d86e20c8ffeb31807343199183576f7cea322c808e4c4eec194e8950e05b1b65"),
    (32, "e7d44096e95bca33dea0ab6b23fe34b6581a956e53ec73644370e8f4bf951d35"),
    (86, "e811a6ded0216b2ba3572daaadf56ec7dcb88371033d2f823693423dc8a4de60"),
    (87, "3cd1f4dcc3a1d73bab6078a4cfbba9a4a9041f25ecf522ec87db173969861d1c"),
    (94, "50188543e4b8e4be9356e6c9c4cb8606bf2bbe6a40bb525ea459e7a3965e2de1"),
    (95, "e984c6a0af2f9dc3028203a75772b1f4d692de9fe266755664f2dd0ae4e05a8f"),
    (134, "749e4dab5909c7a3f0ec1bb1dca98a1cecc2ae82df3508fe307f3dd1246c63d0"),
    (150, "5b113ac2c8a9f58224367fb254ff1d04978fcf217c138b80bda7402a0410d0d2"),
    (151, "edc54d9efb49bc970cd61a942c64487d1b43a983a70fa82a3a220cc5b6470259"),
    (158, "979bf379672c1b5a2ed525b35321d50c09168d0061e91ef84811c92de0528080"),
    (159, "fdbd02eb61d9b36c5233722629743a24155142e29f44da49559269bd9901f055"),
    (290, "7cb0d1f0575abaf1ad42eb4ea8f1656156c12c11bf94be49eb59f3906076f45f"),
    (1058, "d8d3d584035b5c99ca2d8f282430b3da5f5a36b444b690b0bdc445a9ed610937"),
    (1 << 20, "ff8cf736caeb7fb3a7a23d2e8c7dd0e704b0ce889645501003654e64cad3e83d"),
];

/// `functools.reduce(link, map(record, [134, 0, 31, 290, 1058, 23]), genesis(7, 3)).hex()`.
const CHAIN: &str = "4a4a0594256abd80a4259c1e80720b055be73fb5e670736ac0d37108a3c193ae";

/// NIST's examples for SHA-256: one block, two blocks, many.
const NIST: [(&[u8], usize, &str); 4] = [
    (b"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        1,
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
    (b"a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
];

/// The record that the constants above are links of.
fn record(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (7 * i + bytes) as u8).collect()
}

fn by_sha2(previous: &Link, record: &[u8]) -> Link {
    let message = [&[2], previous.as_bytes().as_slice(), record].concat();
    Link::from_bytes(Sha256::digest(message).into())
}

#[test]
fn geneses_match_python() {
    for (tenant, stream, link) in GENESES {
        assert_eq!(genesis(tenant, stream).to_string(), link, "{tenant} {stream}");
    }
}

#[test]
fn links_match_python() {
    let previous = genesis(7, 3);
    for (bytes, link) in LINKS {
        for next in [next, next_portable] {
            assert_eq!(next(&previous, &record(bytes)).to_string(), link, "{bytes}");
        }
    }
}

#[test]
fn a_chain_matches_python() {
    let records = [134, 0, 31, 290, 1058, 23].map(record);
    let link = records.iter().fold(genesis(7, 3), |link, record| next(&link, record));
    assert_eq!(link.to_string(), CHAIN);
}

#[test]
fn parts_hash_as_one_message() {
    for (part, times, digest) in NIST {
        let link = Link::from_bytes(sha256(&vec![part; times]));
        assert_eq!(link.to_string(), digest);
    }
}

#[test]
fn a_link_shows_as_hex_and_keeps_its_bytes() {
    let link = Link::from_bytes(std::array::from_fn(|i| i as u8 * 8));
    assert_eq!(link.to_string(), "0008101820283038404850586068707880889098a0a8b0b8c0c8d0d8e0e8f0f8");
    assert_eq!(format!("{link:?}"), format!("Link({link})"));
    assert_eq!(Link::from_bytes(*link.as_bytes()), link);
}

#[test]
#[should_panic(expected = "0 links and 0 records")]
fn no_lanes_panic() {
    next_lanes(&mut [], &[]);
}

#[test]
#[should_panic(expected = "5 links and 5 records")]
fn too_many_lanes_panic() {
    next_lanes(&mut [genesis(0, 0); LANES + 1], &[[].as_slice(); LANES + 1]);
}

#[test]
#[should_panic(expected = "2 links and 1 records")]
fn a_link_without_a_record_panics() {
    next_lanes(&mut [genesis(0, 0); 2], &[&[]]);
}

#[test]
fn every_length_matches_sha2() {
    let previous = genesis(1, 2);
    for bytes in (0..=700).chain([4095, 65_536, 65_567]) {
        let record = record(bytes);
        assert_eq!(next(&previous, &record), by_sha2(&previous, &record), "{bytes}");
    }
}

/// Mostly short records, at times one that is much longer than its neighbours.
fn records(lanes: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let bytes = prop_oneof![8 => 0..=300_usize, 1 => 300..=20_000_usize];
    let record = bytes.prop_flat_map(|bytes| proptest::collection::vec(any::<u8>(), bytes));
    proptest::collection::vec(record, lanes)
}

proptest! {
    #[test]
    fn next_matches_sha2(previous: [u8; 32], record in records(1)) {
        let previous = Link::from_bytes(previous);
        prop_assert_eq!(next(&previous, &record[0]), by_sha2(&previous, &record[0]));
    }

    #[test]
    fn lanes_match_sha2(previous: [[u8; 32]; LANES], records in records(1..=LANES)) {
        let previous = previous.map(Link::from_bytes);
        let mut links = previous[..records.len()].to_vec();
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        next_lanes(&mut links, &slices);
        for (lane, link) in links.iter().enumerate() {
            prop_assert_eq!(*link, by_sha2(&previous[lane], &records[lane]), "lane {}", lane);
        }
    }
}
