//! Notes against the vectors of others (`vectors`), checkpoints and proofs against every change (`proofs`), and what is malformed
//! (here).

mod proofs;
mod vectors;

use super::*;
use crate::merkle::Hash;

pub(super) fn signer() -> Signer {
    Signer::from_seed(&std::array::from_fn(|at| at as u8))
}

pub(super) const ORIGIN: Origin = Origin { engine: [0xab; 16], tenant: 0x0123_4567_89ab_cdef };

pub(super) fn key() -> Verifier {
    signer().verifier(&ORIGIN.to_string()).unwrap()
}

pub(super) fn checkpoint(size: u64, root: Hash) -> Checkpoint {
    Checkpoint { origin: ORIGIN, size, root, time: 1_700_000_000_123_456_789 }
}

/// A note of this text, whatever it says.
fn note_of(text: &str) -> String {
    signer().sign(&key(), text)
}

fn malformed<T: std::fmt::Debug>(result: Result<T, NoteError>) -> usize {
    match result {
        Err(NoteError::Malformed { line, .. }) => line,
        other => panic!("not malformed: {other:?}"),
    }
}

#[test]
fn a_checkpoint_is_the_text_that_the_format_shows() {
    let text = checkpoint(20, Hash::EMPTY_TREE).text();
    assert_eq!(
        text,
        "diatreme/abababababababababababababababab/0123456789abcdef\n20\n\
         47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\ntime 1700000000123456789\n"
    );
}

#[test]
fn a_signed_checkpoint_is_read_back() {
    for size in [0, 1, u64::MAX] {
        let checkpoint = checkpoint(size, Hash::EMPTY_TREE);
        assert_eq!(Checkpoint::open(checkpoint.sign(&signer()).as_bytes(), &key()), Ok(checkpoint));
    }
}

/// Witnesses add lines of theirs, and later writers may add extensions.
#[test]
fn other_signatures_and_more_extensions_are_passed_over() {
    let checkpoint = checkpoint(3, Hash::EMPTY_TREE);
    let witness = Signer::from_seed(&[9; 32]);
    let by_witness = witness.sign(&witness.verifier("witness.example/w1").unwrap(), &checkpoint.text());
    let line = by_witness.lines().last().unwrap();
    let note = checkpoint.sign(&signer()) + line + "\n";
    assert_eq!(Checkpoint::open(note.as_bytes(), &key()), Ok(checkpoint));
    let (text, signature) = note.rsplit_once("\n\n").unwrap();
    let first = format!("{text}\n\n{line}\n{signature}");
    assert_eq!(Checkpoint::open(first.as_bytes(), &key()), Ok(checkpoint));
    let extended = note_of(&(checkpoint.text() + "more of a later version\n"));
    assert_eq!(Checkpoint::open(extended.as_bytes(), &key()), Ok(checkpoint));
}

#[test]
fn a_signature_by_another_key_is_none_and_one_under_the_pinned_name_is_forged() {
    let checkpoint = checkpoint(3, Hash::EMPTY_TREE);
    let stranger = Signer::from_seed(&[9; 32]);
    let note = checkpoint.sign(&stranger);
    let not_signed = NoteError::NotSigned { key: key().to_string() };
    assert_eq!(Checkpoint::open(note.as_bytes(), &key()), Err(not_signed));
    // The stranger's signature with the id of the pinned key before it.
    let signature = note.lines().last().unwrap().rsplit_once(' ').unwrap().1;
    let mut bytes = from_base64(signature).unwrap();
    bytes[..4].copy_from_slice(&key().id());
    let forged = note.replace(signature, &base64_of(&bytes));
    let expected = NoteError::Forged { line: 6, key: key().to_string() };
    assert_eq!(Checkpoint::open(forged.as_bytes(), &key()), Err(expected.clone()));
    // A good one beside it does not help.
    let both = checkpoint.sign(&signer()) + forged.lines().last().unwrap() + "\n";
    assert_eq!(Checkpoint::open(both.as_bytes(), &key()), Err(NoteError::Forged { line: 7, key: key().to_string() }));
}

#[test]
fn another_origin_is_said_before_anything_else() {
    let other = Checkpoint { origin: Origin { tenant: 1, ..ORIGIN }, ..checkpoint(3, Hash::EMPTY_TREE) };
    let error = Checkpoint::open(other.sign(&signer()).as_bytes(), &key()).unwrap_err();
    assert_eq!(
        error,
        NoteError::OtherOrigin { line: 1, found: other.origin.to_string(), pinned: ORIGIN.to_string() },
        "{error}"
    );
}

/// Signed by the right key, and still no checkpoint: which line, each time.
#[test]
fn what_is_no_checkpoint_is_refused_though_it_is_signed() {
    let good = checkpoint(20, Hash::EMPTY_TREE).text();
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let texts = [
        (2, good.replace("\n20\n", "\n020\n")),
        (2, good.replace("\n20\n", "\n+20\n")),
        (2, good.replace("\n20\n", "\n 20\n")),
        (2, good.replace("\n20\n", "\n\n20\n")),
        (2, good.replace("\n20\n", "\n18446744073709551616\n")),
        (2, good.replace("\n20\n", "\n0x14\n")),
        (3, good.replace(root, &root[..43])),
        (3, good.replace(root, &root.replace("FU=", "FV="))),
        (3, good.replace(root, &base64_of([1; 31]))),
        (3, good.replace(root, &base64_of([1; 33]))),
        (3, good.replace('+', "-").replacen("diatreme-", "diatreme+", 1)),
        (4, good.replace("time ", "time  ")),
        (4, good.replace("time 1", "time 01")),
        (4, good.replace("time ", "date ")),
        (4, good.lines().take(3).map(|line| format!("{line}\n")).collect()),
        (3, good.lines().take(2).map(|line| format!("{line}\n")).collect()),
        (5, good.clone() + "\nmore\n"),
    ];
    for (line, text) in texts {
        assert_eq!(malformed(Checkpoint::open(note_of(&text).as_bytes(), &key())), line, "{text}");
    }
}

#[test]
fn what_is_no_note_is_refused() {
    let good = checkpoint(20, Hash::EMPTY_TREE).sign(&signer());
    let (text, signature) = good.rsplit_once("\n\n").unwrap();
    let bare = signature.trim_end().rsplit_once(' ').unwrap().1;
    let many = format!("{text}\n\n{}", signature.repeat(SIGNATURES_MAX));
    assert!(Checkpoint::open(many.as_bytes(), &key()).is_ok());
    let notes = [
        (1, String::new()),
        (2, "\n".into()),
        (5, text.to_owned()),
        (5, format!("{text}\n")),
        (6, format!("{text}\n\n")),
        (6, good.trim_end().into()),
        (6, good.replace("— ", "- ")),
        (6, good.replace("— ", "—")),
        (6, good.replace(bare, &bare[..6])),
        (6, good.replace(bare, &format!("{bare} "))),
        (6, good.replace(bare, &base64_of([1; 4]))),
        (6, good.replace("— diatreme", "— dia+treme")),
        (6, good.replace("— diatreme", "— dia\u{a0}treme")),
        (7, good.clone() + "more\n"),
        (8, good.clone() + "\n"),
        (2, good.replacen('\n', "\r\n", 1)),
        (2, good.replacen("20\n", "2\u{0}0\n", 1)),
        (6 + SIGNATURES_MAX, many + signature),
    ];
    for (line, note) in notes {
        let found = malformed(Checkpoint::open(note.as_bytes(), &key()));
        // A carriage return stands at the end of the line before.
        assert!(found == line || note.contains('\r') && found == 1, "line {found}, not {line}, of {note:?}");
    }
    let mut bytes = good.into_bytes();
    bytes[3] = 0xff;
    assert_eq!(malformed(Checkpoint::open(&bytes, &key())), 1);
    let long = vec![b'a'; NOTE_BYTES_MAX + 1];
    let too_long = NoteError::TooLong { bytes: long.len(), limit: NOTE_BYTES_MAX };
    assert_eq!(Checkpoint::open(&long, &key()), Err(too_long));
}

#[test]
fn an_origin_has_one_way_to_be_written() {
    let good = ORIGIN.to_string();
    assert_eq!(good.parse(), Ok(ORIGIN));
    let zero = Origin { engine: [0; 16], tenant: 0 };
    assert_eq!(zero.to_string().parse(), Ok(zero));
    for bad in [
        "",
        "diatreme",
        "diatreme//",
        &good.to_uppercase(),
        &good.replace("cdef", "CDEF"),
        &good[..good.len() - 1],
        &(good.clone() + "0"),
        &good.replace("/0123", "/+123"),
        &good.replace("diatreme/a", "diatreme/+"),
        &good.replace("diatreme/", "Diatreme/"),
        &good.replace("ab/", "a/b"),
    ] {
        assert!(bad.parse::<Origin>().is_err(), "{bad}");
    }
}

#[test]
fn a_name_that_is_none_is_refused() {
    for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b", "a\u{7f}"] {
        assert!(matches!(signer().verifier(name), Err(NoteError::Key { .. })), "{name:?}");
    }
}

/// Eight points of small order: whatever is signed, some signature fits.
#[test]
fn a_weak_public_key_is_refused() {
    let mut identity = [0; 33];
    (identity[0], identity[1]) = (1, 1);
    let id = crate::sha256(&[b"weak\n", &identity]);
    let text = format!("weak+{:08x}+{}", u32::from_be_bytes([id[0], id[1], id[2], id[3]]), base64_of(identity));
    assert_eq!(
        text.parse::<Verifier>(),
        Err(NoteError::Key { fault: "its public key is one that many signatures fit" })
    );
}

#[test]
fn a_signer_does_not_show_its_key() {
    assert_eq!(format!("{:?}", signer()), "Signer(..)");
}

#[test]
fn an_error_shows_little_of_a_hostile_text_and_no_control_characters() {
    let found = "\u{9b}31m\u{202e}".to_owned() + &"x".repeat(100_000);
    let text = NoteError::OtherOrigin { line: 1, found, pinned: "p".into() }.to_string();
    assert!(text.len() < 400 && !text.chars().any(char::is_control), "{text}");
}
