//! A flipped byte anywhere in a finished log is found and named, and never costs a record silently (R4).

mod harness;

use diatreme_log::format::frame::{ENTRY_BYTES, FrameHeader};
use diatreme_log::{Cause, Verified};
use harness::Place;
use harness::matrix::{KEYS, Reader, Subject, bytes_to_try, closed, frames, names, recover_spoilt, segment_id};
use harness::memory::Memory;

/// How far apart the bytes are that are tried where there is nothing but zeros.
const STRIDE: usize = 127;

#[test]
fn the_log_as_it_is_has_no_damage() {
    let Subject { disk, model } = closed();
    let memory = Memory::of(disk.clone());
    let verified = memory.verify();
    assert_eq!(verified.damage, []);
    assert_eq!((verified.segments, verified.records), (2, model.records() as u64));
    assert_eq!(verified.streams, KEYS.len());
    let outcome = recover_spoilt(&mut Reader::default(), &disk, &model).unwrap();
    assert_eq!(outcome.recovered.damage, []);
    assert!(outcome.lost.is_empty() && outcome.recovered.scanned == 0);
}

/// The damage must be named in the segment, and begin at the flipped byte or closely before.
fn assert_named(verified: &Verified, name: &str, at: usize) {
    let near = |damage: &diatreme_log::Damage| {
        let (start, end) = (damage.bytes.start as usize, damage.bytes.end as usize);
        damage.segment == segment_id(name) && start <= at && at < end.max(start + 1).next_multiple_of(4096)
    };
    assert!(verified.damage.iter().any(near), "byte {at} of {name}: {:?}", verified.damage);
}

fn flip_every_byte(name: &str) {
    let subject = closed();
    let mut reader = Reader::default();
    let data = subject.disk.clone().file(name).data.clone();
    let records: Vec<_> = frames(&data).into_iter().flat_map(|frame| frame.records).collect();
    let bytes = bytes_to_try(&data, STRIDE);
    assert!(bytes.len() > 4_000, "{} bytes are no matrix", bytes.len());
    for at in bytes {
        let mut disk = subject.disk.clone();
        disk.file(name).flip(at as u64, 1 << (at % 8));
        let verified = Memory::of(disk.clone()).verify();
        assert_named(&verified, name, at);
        let record = records.iter().find(|(bytes, ..)| bytes.contains(&(at as u64)));
        if let Some(&(_, key, offset)) = record {
            assert!(
                names(&verified.damage, key, offset),
                "byte {at} of {name}, {key:?} {offset}: {:?}",
                verified.damage
            );
        }
        let outcome = recover_spoilt(&mut reader, &disk, &subject.model).unwrap_or_else(|e| panic!("byte {at}: {e}"));
        for (key, offsets) in &outcome.lost {
            for offset in offsets {
                assert!(names(&verified.damage, *key, *offset), "byte {at}: {key:?} {offset}: {:?}", verified.damage);
            }
        }
        // What recovery did not read, it need not report; but the catalogs it did.
        for (key, offsets) in outcome.lost.iter().filter(|(key, _)| key.1 == 0) {
            for offset in offsets {
                assert!(names(&outcome.recovered.damage, *key, *offset), "byte {at}: {key:?} {offset}");
            }
        }
        if let Some(&(_, key, offset)) = record {
            assert_eq!(
                outcome.lost.get(&key).map(|lost| lost.contains(&offset)),
                Some(true),
                "byte {at}: was not read"
            );
        }
    }
}

#[test]
fn a_flipped_byte_in_the_first_segment() {
    flip_every_byte("shard-0000/00000001.seg");
}

#[test]
fn a_flipped_byte_in_the_last_segment() {
    flip_every_byte("shard-0000/00000002.seg");
}

#[test]
fn a_flipped_byte_in_a_manifest() {
    let subject = closed();
    for name in ["manifest.a", "manifest.b"] {
        let data = subject.disk.clone().file(name).data.clone();
        for at in 0..data.len() {
            let mut disk = subject.disk.clone();
            disk.file(name).flip(at as u64, 1 << (at % 8));
            let verified = Memory::of(disk).verify();
            let bad = verified.bad_copy.unwrap_or_else(|| panic!("byte {at} of {name}"));
            assert!(bad.name == name && bad.fault.is_some(), "byte {at} of {name}: {bad}");
            assert_eq!(verified.damage, [], "the other copy serves");
        }
    }
}

/// A power cut while a copy was written is no damage; a copy of which nothing is left is.
#[test]
fn a_directory_without_a_copy_of_the_manifest_that_serves() {
    let mut disk = closed().disk;
    disk.remove_file("manifest.a");
    let verified = Memory::of(disk.clone()).verify();
    assert_eq!(verified.bad_copy.map(|bad| (bad.name, bad.fault)), Some(("manifest.a", None)));
    assert_eq!(verified.damage, []);
    disk.file("manifest.b").flip(20, 1);
    let verified = Memory::of(disk).verify();
    assert_eq!((verified.bad_copy, verified.damage.len()), (None, 2), "{:?}", verified.damage);
    assert!(verified.damage.iter().all(|damage| matches!(damage.cause, Cause::Manifest(_))), "{:?}", verified.damage);
}

/// A segment that was filled has its footer far before its trailer, and zeros between.
#[test]
fn a_flipped_byte_in_a_segment_that_was_filled() {
    let memory = Memory::default();
    let mut session = harness::open(&memory, &harness::Model::default());
    while session.log.stats().rotations == 0 {
        let offset = session.model.streams.get(&KEYS[1]).map_or(0, Vec::len) as u64;
        session.append(KEYS[1], &harness::payload(KEYS[1], offset, 450_000));
        session.settle();
    }
    let (model, base) = session.close();
    memory.write_manifest(base, true);
    let subject = Subject { disk: memory.disk().clone(), model };
    let name = "shard-0000/00000001.seg";
    let length = subject.disk.clone().file(name).length;
    let frames = frames(&subject.disk.clone().file(name).data);
    let footer = frames.last().unwrap().bytes.end;
    assert!(footer + 2 * 4096 < length - 4096, "there are zeros between");
    let spots = [0, 4096, 4096 + 300, footer, footer + 130, footer + 4000, footer + 4096, length - 4097, length - 1];
    let zeros = (footer + 4096..length).step_by(20_011);
    let mut reader = Reader::default();
    for at in spots.into_iter().chain(zeros).chain([length - 4096, length - 4080, length - 2000]) {
        let mut disk = subject.disk.clone();
        disk.file(name).flip(at, 0x40);
        let verified = Memory::of(disk.clone()).verify();
        assert_named(&verified, name, at as usize);
        let outcome = recover_spoilt(&mut reader, &disk, &subject.model).unwrap();
        let lost: usize = outcome.lost.values().map(Vec::len).sum();
        assert_eq!(lost, usize::from((4096..footer).contains(&at)), "byte {at}: one record a frame");
    }
}

/// Puts fitting checksums into a frame, over a body that was changed.
fn refit(frame: &mut [u8]) {
    let body = diatreme_log::format::crc(&frame[128..]).to_le_bytes();
    frame[84..88].copy_from_slice(&body);
    let header = diatreme_log::format::crc(&frame[..124]).to_le_bytes();
    frame[124..128].copy_from_slice(&header);
}

/// A frame that is another than the one that was written, and intact: the next one repeats its checksum.
#[test]
fn a_frame_in_the_place_of_another() {
    let subject = harness::matrix::crashed(true);
    let name = "shard-0000/00000002.seg";
    let places = frames(&subject.disk.clone().file(name).data);
    let (other, next) = (&places[1], &places[2]);
    let mut disk = subject.disk.clone();
    let data = &mut disk.file(name).data;
    data[other.bytes.end as usize - 1] ^= 1;
    refit(&mut data[other.bytes.start as usize..other.bytes.end as usize]);
    let named = |damage: &diatreme_log::Damage| {
        damage.cause == Cause::Frame { sequence: next.sequence, fault: diatreme_log::Fault::Order }
    };
    assert!(Memory::of(disk.clone()).verify().damage.iter().any(named));
    let outcome = recover_spoilt(&mut Reader::default(), &disk, &subject.model).unwrap();
    assert!(outcome.recovered.damage.iter().any(named), "{:?}", outcome.recovered.damage);
}

/// A record that is another, under checksums that fit: its chain does not lead where the table says.
#[test]
fn a_record_in_the_place_of_another() {
    let subject = closed();
    let name = "shard-0000/00000002.seg";
    let places = frames(&subject.disk.clone().file(name).data);
    let (bytes, key, offset) = places[1].records[0].clone();
    let mut disk = subject.disk.clone();
    let data = &mut disk.file(name).data;
    data[bytes.start as usize + 30] ^= 1;
    refit(&mut data[places[1].bytes.start as usize..places[1].bytes.end as usize]);
    let verified = Memory::of(disk.clone()).verify();
    assert!(names(&verified.damage, key, offset), "{:?}", verified.damage);
    let outcome = recover_spoilt(&mut Reader::default(), &disk, &subject.model).unwrap();
    assert!(outcome.lost[&key].contains(&offset));
}

/// A footer with fitting checksums that tells less than the frames: its trailer repeats the checksum of the one that was
/// written; and if the trailer fits as well, the frames still tell.
#[test]
fn a_footer_in_the_place_of_another() {
    for with_trailer in [false, true] {
        let subject = closed();
        let name = "shard-0000/00000001.seg";
        let mut disk = subject.disk.clone();
        let footer = frames(&disk.file(name).data).last().unwrap().bytes.end as usize;
        let data = &mut disk.file(name).data;
        data[footer + 128 + 24] -= 1;
        let trailer = data.len() - 4096;
        refit(&mut data[footer..trailer]);
        if with_trailer {
            data.copy_within(footer + 124..footer + 128, trailer + 16);
            let sum = diatreme_log::format::crc(&data[trailer..trailer + 4092]).to_le_bytes();
            data[trailer + 4092..].copy_from_slice(&sum);
        }
        let verified = Memory::of(disk.clone()).verify();
        let named = |damage: &diatreme_log::Damage| matches!(damage.cause, Cause::Footer(_));
        assert!(verified.damage.iter().any(named), "{:?}", verified.damage);
        if !with_trailer {
            let outcome = recover_spoilt(&mut Reader::default(), &disk, &subject.model).unwrap();
            assert!(outcome.recovered.damage.iter().any(named) && outcome.lost.is_empty());
        }
    }
}

/// A frame whose records were chained to another past, every checksum fitting: within the frame all is well, and only the
/// frames around it tell.
#[test]
fn a_frame_chained_to_another_past() {
    let subject = closed();
    let name = "shard-0000/00000002.seg";
    let place = &frames(&subject.disk.clone().file(name).data)[1];
    let (_, key, offset) = place.records[0].clone();
    let mut disk = subject.disk.clone();
    let frame = &mut disk.file(name).data[place.bytes.start as usize..place.bytes.end as usize];
    let header = FrameHeader::decode(frame).unwrap();
    let slot = usize::from(header.records(frame).next().unwrap().unwrap().header.slot);
    let mut link = crypto::Link::from_bytes([9; 32]);
    for record in header.records(frame).map(Result::unwrap).filter(|record| usize::from(record.header.slot) == slot) {
        link = crypto::next(&link, record.hashed);
    }
    let entry = header.table_at() + slot * ENTRY_BYTES;
    frame[entry + 32..entry + 64].fill(9);
    frame[entry + 64..entry + 96].copy_from_slice(link.as_bytes());
    let table = header.table_at()..header.table_at() + usize::from(header.entries) * ENTRY_BYTES;
    let sum = diatreme_log::format::crc(&frame[table]).to_le_bytes();
    frame[80..84].copy_from_slice(&sum);
    refit(frame);
    let verified = Memory::of(disk).verify();
    let chain: Vec<_> = verified.damage.iter().filter(|damage| damage.cause == Cause::Chain).cloned().collect();
    assert!(names(&chain, key, offset), "{:?}", verified.damage);
}
