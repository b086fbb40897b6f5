//! Something signed for a tenant whose records are damaged; or a tenant stopped that has nothing to do with it.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme_notary::{Error, Reason};
use harness::{Place, assert_sound, assert_trees, backend, finish, plain, tenant};
use log::Sight;
use log::format::crc;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A frame of one tenant alone.
#[derive(Clone, Debug)]
struct Frame {
    path: PathBuf,
    at: u64,
    bytes: Vec<u8>,
    /// The first record's position.
    position: u64,
}

/// The frames that hold records of this tenant and of no other.
fn frames_of(place: &Place, tenant: u64) -> Vec<Frame> {
    let (mut backend, buffer) = backend(&place.data());
    let mut buffer = Some(buffer);
    let mut frames = Vec::new();
    for id in log::log_segments(&mut backend, 0).unwrap() {
        let mut visit = |sight: Sight<'_>| {
            let Sight::Frame { header, bytes, body: Ok(()) } = sight else { return };
            let of_one = header.table(bytes).unwrap().iter().all(|entry| entry.tenant == tenant);
            if !header.mark && of_one {
                let position = header.records(bytes).next().unwrap().unwrap().header.position;
                let path = place.data().join(id.to_string());
                frames.push(Frame { path, at: header.position, bytes: bytes.to_vec(), position });
            }
        };
        log::inspect_segment(&mut backend, &mut buffer, id, &mut visit).unwrap();
    }
    frames
}

/// Two tenants that take turns, each record in a frame of its own.
fn alternating(place: &Place, count: u64) {
    let engine = place.open(1);
    let mut client = engine.client();
    let streams = ["acme", "bolt"].map(|tenant| client.ensure_stream(tenant, "events").unwrap());
    for at in 0..count {
        for stream in &streams {
            client.append(stream, format!("record {at}").as_bytes()).unwrap();
        }
    }
    drop(client);
    engine.close().unwrap();
}

fn put(frame: &Frame, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(&frame.path).unwrap().write_all_at(bytes, frame.at + at).unwrap();
}

/// Changes a payload, and makes every checksum fit again.
fn forge(frame: &Frame) {
    let mut bytes = frame.bytes.clone();
    bytes[128 + 36] ^= 1;
    let body = crc(&bytes[128..]);
    bytes[84..88].copy_from_slice(&body.to_le_bytes());
    let header = crc(&bytes[..124]);
    bytes[124..128].copy_from_slice(&header.to_le_bytes());
    put(frame, 0, &bytes);
}

fn middle(place: &Place, tenant: u64) -> Frame {
    let frames = frames_of(place, tenant);
    assert!(frames.len() > 10);
    frames[frames.len() / 2].clone()
}

/// The other tenant is followed to its end and signed; this one is stopped where it is damaged, and is not signed.
fn assert_stops_acme_alone(place: &Place, expected: Reason, position: u64) {
    let records = plain_of_bolt(place);
    let (acme, bolt) = (tenant("acme"), tenant("bolt"));
    let mut notary = place.signer();
    let step = finish(&mut notary, 1);
    assert!(!step.damage.is_empty(), "it is reported");
    assert_eq!(
        step.stopped.iter().map(|(tenant, stop)| (*tenant, stop.reason)).collect::<Vec<_>>(),
        [(acme, expected)]
    );
    assert_eq!(step.signed.iter().map(|checkpoint| checkpoint.origin.tenant).collect::<Vec<_>>(), [bolt]);
    assert!(matches!(step.refused[..], [(tenant, Error::Stopped { .. })] if tenant == acme), "{:?}", step.refused);
    assert!(matches!(notary.checkpoint(acme, 2), Err(Error::Stopped { .. })));
    assert_eq!(notary.size(acme), position, "up to the damage");
    assert_eq!(notary.size(bolt), records);
    drop(notary);
    // It is remembered, and the other one goes on.
    let mut notary = place.signer();
    let step = finish(&mut notary, 3);
    assert_eq!((step.bytes, step.signed.len()), (0, 0));
    assert!(matches!(notary.checkpoint(acme, 4), Err(Error::Stopped { .. })));
}

fn plain_of_bolt(place: &Place) -> u64 {
    frames_of(place, tenant("bolt")).last().unwrap().position + 1
}

#[test]
fn a_flipped_bit() {
    let place = Place::new();
    alternating(&place, 60);
    let frame = middle(&place, tenant("acme"));
    put(&frame, 128 + 40, &[frame.bytes[128 + 40] ^ 1]);
    assert_stops_acme_alone(&place, Reason::Damaged, frame.position);
}

#[test]
fn a_forged_record_under_checksums_that_fit() {
    let place = Place::new();
    alternating(&place, 60);
    let frame = middle(&place, tenant("acme"));
    forge(&frame);
    assert_stops_acme_alone(&place, Reason::Damaged, frame.position);
}

#[test]
fn a_frame_without_its_header_is_a_gap_for_who_had_records_in_it() {
    let place = Place::new();
    alternating(&place, 60);
    let frame = middle(&place, tenant("acme"));
    put(&frame, 0, &[0; 128]);
    assert_stops_acme_alone(&place, Reason::Gap, frame.position);
}

#[test]
fn a_frame_of_zeros_in_a_segment_that_was_never_sealed() {
    let place = Place::new();
    alternating(&place, 60);
    let frame = middle(&place, tenant("acme"));
    put(&frame, 0, &vec![0; frame.bytes.len()]);
    // As a killed process leaves it: no footer, and its full length.
    let length = fs::metadata(&frame.path).unwrap().len();
    let file = OpenOptions::new().write(true).open(&frame.path).unwrap();
    file.set_len(length - 4096).unwrap();
    file.set_len(length + (1 << 20)).unwrap();
    assert_stops_acme_alone(&place, Reason::Gap, frame.position);
}

#[test]
fn a_stream_that_begins_anew_where_another_link_was() {
    let place = Place::new();
    alternating(&place, 60);
    let frames = frames_of(&place, tenant("acme"));
    let (frame, other) = (&frames[20], &frames[21]);
    // Links of the frame alone fit: link before, and what follows from it. Only whoever remembers the stream can tell.
    let mut bytes = frame.bytes.clone();
    let table = bytes.len() - 4096 + 128 + u32::from_le_bytes(bytes[60..64].try_into().unwrap()) as usize;
    let record_end = 128 + 36 + u32::from_le_bytes(bytes[132..136].try_into().unwrap()) as usize;
    let before = other.bytes[table + 32..table + 64].to_vec();
    let link = crypto::next(&crypto::Link::from_bytes(before[..].try_into().unwrap()), &bytes[130..record_end]);
    bytes[table + 32..table + 64].copy_from_slice(&before);
    bytes[table + 64..table + 96].copy_from_slice(link.as_bytes());
    let table_crc = crc(&bytes[table..table + 112]);
    bytes[80..84].copy_from_slice(&table_crc.to_le_bytes());
    let body = crc(&bytes[128..]);
    bytes[84..88].copy_from_slice(&body.to_le_bytes());
    let header = crc(&bytes[..124]);
    bytes[124..128].copy_from_slice(&header.to_le_bytes());
    put(frame, 0, &bytes);
    assert_stops_acme_alone(&place, Reason::Chain, frame.position);
}

#[test]
fn a_missing_segment() {
    let place = Place::new();
    harness::write(&place, 1, &[("acme", "a", 100)]);
    harness::write(&place, 1, &[("bolt", "b", 100), ("core", "c", 1)]);
    harness::write(&place, 1, &[("acme", "a", 100), ("bolt", "b", 50), ("deli", "d", 5)]);
    let segments: Vec<_> =
        fs::read_dir(place.data().join("shard-0000")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(segments.len(), 3);
    fs::remove_file(place.data().join("shard-0000/00000002.seg")).unwrap();
    let mut notary = place.signer();
    let step = finish(&mut notary, 1);
    assert!(!step.damage.is_empty());
    let stopped: Vec<_> = step.stopped.iter().map(|(tenant, stop)| (*tenant, stop.reason)).collect();
    assert_eq!(stopped, [(tenant("bolt"), Reason::Gap)]);
    assert_eq!((notary.size(tenant("acme")), notary.size(tenant("deli"))), (202, 7));
    let mut signed: Vec<_> = step.signed.iter().map(|checkpoint| checkpoint.origin.tenant).collect();
    signed.sort_unstable();
    let mut expected = ["acme", "deli"].map(tenant);
    expected.sort_unstable();
    assert_eq!(signed, expected);
}

#[test]
fn what_is_repaired_is_followed_anew() {
    let place = Place::new();
    alternating(&place, 60);
    let frame = middle(&place, tenant("acme"));
    put(&frame, 128 + 40, &[frame.bytes[128 + 40] ^ 1]);
    let mut notary = place.signer();
    assert!(!finish(&mut notary, 1).stopped.is_empty());
    drop(notary);
    put(&frame, 0, &frame.bytes);
    fs::remove_dir_all(place.data().join("notary")).unwrap();
    let mut notary = place.signer();
    assert_sound(&finish(&mut notary, 2));
    assert_trees(&notary, &place.data());
    assert_eq!(plain(&place.data()).len(), 2);
}
