//! What sealing promises, for whichever libraries were compiled.

use proptest::prelude::*;

use super::*;

/// Lengths on both sides of every loop in the libraries: a block is 16 bytes, they work on up to 16 at a time, and 600 is
/// past two such rounds.
const LENGTHS: std::ops::RangeInclusive<usize> = 0..=600;

fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (7 * i + bytes) as u8).collect()
}

fn data_key(byte: u8) -> DataKey {
    DataKey::from_bytes(&mut [byte; 32])
}

#[test]
fn every_length_comes_back() {
    let key = SegmentKey::derive(&data_key(1), &[2; SALT_BYTES], 3, 4);
    for bytes in LENGTHS {
        let associated = associated_data(3, bytes as u32, &[6; HASHED_HEADER_BYTES]);
        let mut sealed = payload(bytes);
        let tag = key.seal(9, bytes as u32, &associated, &mut sealed);
        // A byte may encrypt to itself, eight do not.
        assert!(bytes < 8 || sealed != payload(bytes), "{bytes} bytes");
        assert_eq!(key.open(9, bytes as u32, &associated, &mut sealed, &tag), Ok(()), "{bytes} bytes");
        assert_eq!(sealed, payload(bytes));
    }
}

/// Where a bit is flipped.
#[derive(Clone, Copy, Debug)]
enum Place {
    Ciphertext,
    Tag,
    Associated,
    Sequence,
    Index,
}

fn opens_with_a_bit_flipped(key: &SegmentKey, place: Place, bit: usize) -> (Result<(), Broken>, Vec<u8>) {
    let (mut sequence, mut index) = (77_u64, 5_u32);
    let mut associated = associated_data(3, 4, &[6; HASHED_HEADER_BYTES]);
    let mut sealed = payload(100);
    let mut tag = key.seal(sequence, index, &associated, &mut sealed);
    let flip = |bytes: &mut [u8]| bytes[bit / 8] ^= 1 << (bit % 8);
    match place {
        Place::Ciphertext => flip(&mut sealed),
        Place::Tag => flip(&mut tag),
        Place::Associated => flip(&mut associated),
        Place::Sequence => sequence ^= 1 << bit,
        Place::Index => index ^= 1 << bit,
    }
    (key.open(sequence, index, &associated, &mut sealed, &tag), sealed)
}

#[test]
fn no_bit_can_be_flipped_and_no_plaintext_comes_out() {
    let key = SegmentKey::derive(&data_key(1), &[2; SALT_BYTES], 3, 4);
    let places = [
        (Place::Ciphertext, 800),
        (Place::Tag, TAG_BYTES * 8),
        (Place::Associated, ASSOCIATED_BYTES * 8),
        (Place::Sequence, 64),
        (Place::Index, 32),
    ];
    for (place, bits) in places {
        for bit in 0..bits {
            let (opened, left) = opens_with_a_bit_flipped(&key, place, bit);
            assert_eq!((opened, left), (Err(Broken), vec![0; 100]), "{place:?}, bit {bit}");
        }
    }
}

#[test]
fn no_other_key_salt_tenant_or_key_id_opens() {
    let key = SegmentKey::derive(&data_key(1), &[2; SALT_BYTES], 3, 4);
    let mut sealed = payload(100);
    let tag = key.seal(9, 0, &[], &mut sealed);
    let opens = |key: &SegmentKey| key.open(9, 0, &[], &mut sealed.clone(), &tag);
    assert_eq!(opens(&SegmentKey::derive(&data_key(1), &[2; SALT_BYTES], 3, 4)), Ok(()));
    for bit in 0..SALT_BYTES * 8 {
        let mut flipped = [[1; 32], [2; SALT_BYTES]];
        for bytes in &mut flipped {
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let [mut other_key, other_salt] = flipped;
        let other_key = DataKey::from_bytes(&mut other_key);
        assert_eq!(opens(&SegmentKey::derive(&other_key, &[2; SALT_BYTES], 3, 4)), Err(Broken), "key, bit {bit}");
        assert_eq!(opens(&SegmentKey::derive(&data_key(1), &other_salt, 3, 4)), Err(Broken), "salt, bit {bit}");
    }
    assert_eq!(opens(&SegmentKey::derive(&data_key(1), &[2; SALT_BYTES], 5, 4)), Err(Broken));
    assert_eq!(opens(&SegmentKey::derive(&data_key(1), &[2; SALT_BYTES], 3, 5)), Err(Broken));
}

/// Sealed by another library altogether, Python's `cryptography`, from the page of the format alone:
///
/// ```python
/// from cryptography.hazmat.primitives.ciphers.aead import AESGCM
/// le = lambda n, bytes: n.to_bytes(bytes, "little")
/// tenant, key_id = 0x0123456789abcdef, 0x89abcdef     # hkdf as in secret/tests.rs
/// key = hkdf(bytes(range(32)), bytes([2] * 32), b"diatreme/seal/v1\0" + le(tenant, 8) + le(key_id, 4))
/// nonce = le(0x1122334455667788, 8) + le(0x99aabbcc, 4)
/// associated = le(tenant, 8) + le(0xddeeff00, 4) + bytes(range(34))
/// AESGCM(key).encrypt(nonce, b"written once", associated).hex()
/// ```
#[test]
fn a_record_is_sealed_as_documented() {
    let key = DataKey::from_bytes(&mut std::array::from_fn(|i| i as u8));
    let (tenant, key_id) = (0x0123_4567_89ab_cdef, 0x89ab_cdef);
    let key = SegmentKey::derive(&key, &[2; SALT_BYTES], tenant, key_id);
    let associated = associated_data(tenant, 0xddee_ff00, &std::array::from_fn(|i| i as u8));
    let mut payload = *b"written once";
    let tag = key.seal(0x1122_3344_5566_7788, 0x99aa_bbcc, &associated, &mut payload);
    let sealed: String = payload.iter().chain(&tag).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sealed, "03e82e4c718356e477be098f66cc42a5ebc76834f29a6a16e7596ee7");
}

#[test]
fn a_segment_key_prints_nothing_of_itself() {
    assert_eq!(format!("{:?}", SegmentKey::derive(&data_key(1), &[2; SALT_BYTES], 3, 4)), "SegmentKey(..)");
}

proptest! {
    #[test]
    fn what_is_sealed_opens(
        key: [u8; 32],
        salt: [u8; 32],
        numbers: (u64, u32, u64, u32),
        associated in proptest::collection::vec(any::<u8>(), 0..100),
        payload in proptest::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let (tenant, key_id, sequence, index) = numbers;
        let key = SegmentKey::derive(&DataKey::from_bytes(&mut { key }), &salt, tenant, key_id);
        let mut sealed = payload.clone();
        let tag = key.seal(sequence, index, &associated, &mut sealed);
        prop_assert_eq!(key.open(sequence, index, &associated, &mut sealed, &tag), Ok(()));
        prop_assert_eq!(sealed, payload);
    }
}

/// The two libraries against each other.
#[cfg(feature = "aws-lc")]
mod both {
    use super::*;

    fn assert_same(key: &[u8; 32], nonce: Nonce, associated: &[u8], payload: &[u8]) {
        let (one, other) = (aws_lc::Cipher::new(key), portable::Cipher::new(key));
        let (mut sealed, mut also_sealed) = (payload.to_vec(), payload.to_vec());
        let tag = one.seal(nonce, associated, &mut sealed);
        assert_eq!(tag, other.seal(nonce, associated, &mut also_sealed), "{} bytes", payload.len());
        assert_eq!(sealed, also_sealed, "{} bytes", payload.len());
        assert_eq!(one.open(nonce, associated, &mut also_sealed, &tag), Ok(()));
        assert_eq!(other.open(nonce, associated, &mut sealed, &tag), Ok(()));
        assert_eq!((sealed.as_slice(), also_sealed.as_slice()), (payload, payload));
    }

    #[test]
    fn libraries_agree_at_every_length() {
        for bytes in LENGTHS {
            assert_same(&[1; 32], [2; NONCE_BYTES], &payload(bytes % 50), &payload(bytes));
        }
    }

    proptest! {
        #[test]
        fn libraries_agree(
            key: [u8; 32],
            nonce: [u8; NONCE_BYTES],
            associated in proptest::collection::vec(any::<u8>(), 0..200),
            payload in proptest::collection::vec(any::<u8>(), 0..5_000),
        ) {
            assert_same(&key, nonce, &associated, &payload);
        }
    }
}
