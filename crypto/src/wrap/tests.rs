use super::*;
use crate::secret::{DataKey, Seed};

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
