//! Sealed records: only the key opens them, only as what they are, and nothing of them lies in the files.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use crypto::Link;
use crypto::secret::DataKey;
use diatreme_log::format::crc;
use diatreme_log::format::frame::{ENTRY_BYTES, FrameHeader, HEADER_BYTES};
use diatreme_log::{Cause, Fault, ReadError};
use harness::{Directory, Key, Model, Place, open, payload, read_sealed};
use iobackend::{IoBackend, Mode};
use std::path::PathBuf;

const STREAMS: [Key; 3] = [(1, 1), (1, 2), (2, 1)];

/// The same key for the same arguments, as a key store gives it after every opening.
fn key(tenant: u64, key_id: u32) -> DataKey {
    let mut bytes = [0x5A; 32];
    bytes[..8].copy_from_slice(&tenant.to_le_bytes());
    bytes[8..12].copy_from_slice(&key_id.to_le_bytes());
    DataKey::from_bytes(&mut bytes)
}

fn give_keys<B: IoBackend>(session: &mut harness::Session<B>, ids: &[u32]) {
    for (tenant, key_id) in [1, 2].into_iter().flat_map(|tenant| ids.iter().map(move |&id| (tenant, id))) {
        session.log.add_key(tenant, key_id, key(tenant, key_id));
    }
}

/// Fills more than one segment, in turns, with records of all lengths.
fn fill<B: IoBackend>(session: &mut harness::Session<B>, records: u64) {
    for number in 0..records {
        for stream in STREAMS {
            let offset = session.model.streams.get(&stream).map_or(0, Vec::len) as u64;
            session.append(stream, &payload(stream, offset, (number as usize * 37) % 3000));
        }
        session.turn();
    }
    session.settle();
}

fn segments(root: &std::path::Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(root.join("shard-0000")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn check_all<B: IoBackend>(session: &mut harness::Session<B>) {
    for stream in STREAMS {
        let told: Vec<_> = session.model.streams[&stream].iter().map(|sent| sent.told.clone()).collect();
        let (number, mut from) = (session.numbers[&stream], 0);
        while from < told.len() {
            let now = &mut session.now;
            let read = read_sealed(&mut session.log, number, from as u64, 100, 0, now).unwrap();
            for (offset, record) in read {
                assert_eq!((offset, &record), (from as u64, &told[from]), "{stream:?}");
                from += 1;
            }
        }
    }
}

#[test]
fn what_was_sealed_is_read_back_over_rotations_openings_and_a_new_key() {
    let directory = Directory::new(Mode::Sync);
    let mut session = open(&directory, &Model::default());
    give_keys(&mut session, &[1]);
    session.key_id = 1;
    fill(&mut session, 2_400);
    check_all(&mut session);
    let (model, _) = session.close();
    let mut session = open(&directory, &model);
    give_keys(&mut session, &[1, 2]);
    session.key_id = 2;
    fill(&mut session, 300);
    check_all(&mut session);
    let (model, _) = session.close();
    assert!(segments(directory.root.path()).len() > 3, "the log did not rotate");

    let verified = directory.verify();
    assert!(verified.damage.is_empty(), "no key is needed to verify: {:?}", verified.damage);
    assert_eq!(verified.records as usize, model.records());

    // No eight bytes of any payload lie in any file.
    let files: Vec<_> = segments(directory.root.path()).iter().map(|path| std::fs::read(path).unwrap()).collect();
    for stream in STREAMS {
        for sent in model.streams[&stream].iter().filter(|sent| sent.told.payload.len() >= 64).step_by(97) {
            let piece = &sent.told.payload[24..32];
            let found = files.iter().any(|file| file.windows(8).any(|window| window == piece));
            assert!(!found, "plaintext of {stream:?} in a file");
        }
    }
}

#[test]
fn without_the_key_nothing_opens_and_with_another_it_is_damage() {
    let directory = Directory::new(Mode::Sync);
    let mut session = open(&directory, &Model::default());
    give_keys(&mut session, &[1]);
    session.key_id = 1;
    fill(&mut session, 20);
    let (model, _) = session.close();

    let mut session = open(&directory, &model);
    let number = session.numbers[&STREAMS[0]];
    let refused = read_sealed(&mut session.log, number, 0, 1, 0, &mut session.now).unwrap_err();
    assert!(matches!(refused, ReadError::NoKey { key_id: 1 }), "{refused:?}");
    assert!(!session.log.can_seal(number, 1));

    session.log.add_key(1, 1, key(1, 7));
    let refused = read_sealed(&mut session.log, number, 1, 1, 0, &mut session.now).unwrap_err();
    let ReadError::Damaged(damage) = &refused else { panic!("{refused:?}") };
    assert!(matches!(damage.cause, Cause::Frame { fault: Fault::Seal, .. }), "{damage:?}");

    session.log.forget_key(1, 1);
    session.log.add_key(1, 1, key(1, 1));
    assert_eq!(read_sealed(&mut session.log, number, 1, 1, 0, &mut session.now).unwrap().len(), 1);
    assert!(session.log.can_seal(number, 1));
    session.log.forget_key(1, 1);
    assert!(!session.log.can_seal(number, 1), "the stream still named the place of the key");
    let refused = read_sealed(&mut session.log, number, 1, 1, 0, &mut session.now).unwrap_err();
    assert!(matches!(refused, ReadError::NoKey { key_id: 1 }), "{refused:?}");
}

/// Whoever can write the files can write records in the clear, under checksums and links that fit.
#[test]
fn a_record_in_the_clear_is_not_taken_where_records_are_sealed() {
    let directory = Directory::new(Mode::Sync);
    let mut session = open(&directory, &Model::default());
    session.append(STREAMS[0], b"in the clear, before there was a key");
    give_keys(&mut session, &[1]);
    session.key_id = 1;
    session.append(STREAMS[0], b"sealed");
    session.key_id = 0;
    session.append(STREAMS[0], b"forged");
    session.settle();
    let number = session.numbers[&STREAMS[0]];
    let now = &mut session.now;
    assert_eq!(read_sealed(&mut session.log, number, 0, 2, 1, now).unwrap().len(), 2);
    assert_eq!(read_sealed(&mut session.log, number, 0, 3, u64::MAX, now).unwrap().len(), 3);
    let refused = read_sealed(&mut session.log, number, 2, 1, 1, now).unwrap_err();
    assert!(
        matches!(&refused, ReadError::Damaged(damage) if matches!(damage.cause, Cause::Frame { fault: Fault::Seal, .. }))
    );
}

/// Makes the links of a frame with one stream, and its checksums, fit its records.
fn mend(frame: &mut [u8], mut header: FrameHeader) {
    let table_at = header.table_at();
    let link = |bytes: &[u8]| Link::from_bytes(bytes[..32].try_into().unwrap());
    let mut last = link(&frame[table_at + 32..]);
    for record in header.records(frame) {
        last = crypto::next(&last, record.unwrap().hashed);
    }
    frame[table_at + 64..table_at + 96].copy_from_slice(last.as_bytes());
    header.table_crc = crc(&frame[table_at..table_at + ENTRY_BYTES]);
    header.body_crc = crc(&frame[HEADER_BYTES..header.length as usize]);
    header.encode(frame);
}

/// Ciphertext that is moved to another place of its own stream's frame, checksums and chain made to fit, does not open there.
#[test]
fn a_sealed_record_does_not_open_in_another_place() {
    let directory = Directory::new(Mode::Sync);
    let mut session = open(&directory, &Model::default());
    give_keys(&mut session, &[1]);
    session.key_id = 1;
    session.append(STREAMS[0], &[b'a'; 40]);
    session.append(STREAMS[0], &[b'b'; 40]);
    session.settle();
    let model = session.crash();

    let path = &segments(directory.root.path())[0];
    let mut file = std::fs::read(path).unwrap();
    let frame = &mut file[4096..];
    let header = FrameHeader::decode(frame).unwrap();
    // Header 36, payload 40, tag 16, padding 4. Payloads and tags change places, headers stay.
    let (first, second) = (HEADER_BYTES + 36, HEADER_BYTES + 96 + 36);
    for at in 0..56 {
        frame.swap(first + at, second + at);
    }
    mend(frame, header);
    std::fs::write(path, &file).unwrap();

    let mut session = open(&directory, &model);
    give_keys(&mut session, &[1]);
    let number = session.numbers[&STREAMS[0]];
    let refused = read_sealed(&mut session.log, number, 0, 2, 0, &mut session.now).unwrap_err();
    let ReadError::Damaged(damage) = &refused else { panic!("{refused:?}") };
    assert!(matches!(damage.cause, Cause::Frame { fault: Fault::Seal, .. }), "{damage:?}");
}
