use super::*;

#[test]
fn a_secret_takes_its_bytes_and_leaves_zeros() {
    let mut bytes = [7; SECRET_BYTES];
    let key = DataKey::from_bytes(&mut bytes);
    assert_eq!((key.expose(), bytes), (&[7; SECRET_BYTES], [0; SECRET_BYTES]));
}

#[test]
fn no_two_live_secrets_share_a_slot() {
    // More than an area holds, and some given back in between.
    let mut secrets: Vec<Seed> = Vec::new();
    for round in 0..3 {
        secrets.retain(|seed| seed.expose()[0] % 3 != round);
        for n in 0..600_u32 {
            let mut bytes = [0; SECRET_BYTES];
            bytes[0] = n as u8;
            bytes[4..8].copy_from_slice(&n.to_le_bytes());
            bytes[8] = round;
            secrets.push(Seed::from_bytes(&mut bytes));
        }
    }
    let mut places: Vec<_> = secrets.iter().map(|seed| seed.expose().as_ptr()).collect();
    let mut values: Vec<_> = secrets.iter().map(|seed| *seed.expose()).collect();
    for list in [places.len(), values.len()] {
        assert_eq!(list, secrets.len());
    }
    places.sort_unstable();
    places.dedup();
    values.sort_unstable();
    values.dedup();
    assert_eq!((places.len(), values.len()), (secrets.len(), secrets.len()));
}

#[test]
fn what_fails_to_fill_a_secret_leaves_none() {
    let failed = MasterKey::filled_by(|bytes| {
        bytes.fill(9);
        Err("no")
    });
    assert_eq!(failed.map(|_| ()), Err("no"));
}

#[test]
fn generated_secrets_differ() {
    let [a, b] = [(); 2].map(|()| DataKey::generate().unwrap());
    assert_ne!(a.expose(), b.expose());
}

#[test]
fn a_secret_prints_as_its_kind() {
    assert_eq!(format!("{:?}", MasterKey::from_bytes(&mut [1; SECRET_BYTES])), "MasterKey(..)");
}

/// By Python:
///
/// ```python
/// import hmac, hashlib
/// def hkdf(key, salt, info):
///     prk = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
///     return hmac.new(prk, info + b"\1", hashlib.sha256).digest()
/// numbers = (0x0123456789abcdef).to_bytes(8, "little") + (0x89abcdef).to_bytes(4, "little")
/// hkdf(bytes(range(32)), b"", b"diatreme/commit/v1\0" + numbers).hex()
/// ```
#[test]
fn a_commitment_is_the_documented_hash() {
    let key = DataKey::from_bytes(&mut std::array::from_fn(|i| i as u8));
    let commitment = key.commitment(0x0123_4567_89ab_cdef, 0x89ab_cdef);
    assert_eq!(
        crate::Link::from_bytes(commitment).to_string(),
        "66d92465539bf324f8e4076ffe10d9ac143f54976bbab5559fdcc89bb7126215"
    );
}

#[test]
fn a_commitment_fits_one_key_tenant_and_key_id() {
    let [key, other] = [1, 2].map(|byte| DataKey::from_bytes(&mut [byte; SECRET_BYTES]));
    let mut commitment = key.commitment(7, 1);
    assert!(key.fits(7, 1, &commitment));
    assert!(!other.fits(7, 1, &commitment));
    assert!(!key.fits(8, 1, &commitment));
    assert!(!key.fits(7, 2, &commitment));
    for byte in 0..COMMITMENT_BYTES {
        commitment[byte] ^= 0x80;
        assert!(!key.fits(7, 1, &commitment), "byte {byte}");
        commitment[byte] ^= 0x80;
    }
}
