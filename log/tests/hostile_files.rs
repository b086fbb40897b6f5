//! Whole files in which one number is not as it was, under checksums that fit: opening, verifying, reading and writing
//! on end, and none of them panics.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme_log::format::footer::{FOOTER_HEADER_BYTES, FooterHeader};
use diatreme_log::format::frame::{FrameHeader, HEADER_BYTES};
use diatreme_log::format::segment::Base;
use diatreme_log::format::{Fault, crc};
use diatreme_log::{Cause, LogError, SegmentId};
use harness::matrix::{Subject, closed, crashed, frames, in_log};
use harness::memory::{Disk, Memory};
use harness::{Model, Place, config, read, try_open};

fn put_sum(bytes: &mut [u8], from: usize, to: usize, at: usize) {
    let sum = crc(&bytes[from..to]).to_le_bytes();
    bytes[at..at + 4].copy_from_slice(&sum);
}

/// Makes every checksum of a frame fit, table and body first.
fn sum_frame(frame: &mut [u8], table: std::ops::Range<usize>) {
    put_sum(frame, table.start, table.end, 80);
    put_sum(frame, HEADER_BYTES, frame.len(), 84);
    put_sum(frame, 0, 124, 124);
}

fn sum_footer(segment: &mut [u8], footer: usize, length: usize) {
    let bytes = &mut segment[footer..footer + length];
    put_sum(bytes, FOOTER_HEADER_BYTES, length, 84);
    put_sum(bytes, 0, 124, 124);
    let sum: [u8; 4] = bytes[124..128].try_into().unwrap();
    let trailer = segment.len() - 4096;
    segment[trailer + 16..trailer + 20].copy_from_slice(&sum);
    put_sum(&mut segment[trailer..], 0, 4092, 4092);
}

/// Opens, verifies, reads from every stream, writes, and closes. Each may refuse.
fn drive(disk: &Disk) {
    let _ = Memory::of(disk.clone()).try_verify();
    let memory = Memory::of(disk.clone());
    let Ok(mut session) = try_open(&memory, &Model::default(), config()) else {
        return;
    };
    for (key, index) in session.numbers.clone() {
        let next = session.recovered.streams[&key].next_offset;
        for from in [0, 1, next / 2, next.saturating_sub(1)] {
            let _ = read(&mut session.log, index, from.min(next.saturating_sub(1)), 10, &mut session.now);
        }
    }
    session.append((99, 1), b"goes on");
    session.settle();
    session.check((99, 1));
    session.close();
}

/// Every number in the headers, tables and indexes of a small log, set to others one after the other.
fn all_numbers(subject: &mut Subject, mut try_it: impl FnMut(&Disk)) {
    let values = [u64::MAX, 1 << 56, u64::MAX << 12, 0x0000_0100_0000_0100, 0];
    for name in subject.disk.segments() {
        let original = subject.disk.file(&name).clone();
        let mut spoil = |at: usize, value: u64, sums: &dyn Fn(&mut [u8])| {
            let mut bytes = original.data.clone();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            if bytes == original.data {
                return;
            }
            sums(&mut bytes);
            let mut disk = subject.disk.clone();
            disk.file(&name).data = bytes;
            try_it(&disk);
        };
        for value in values {
            for at in (80..120).step_by(8) {
                spoil(at, value, &|bytes| put_sum(bytes, 0, 4092, 4092));
            }
        }
        let mut at = 4096;
        while let Some(Ok(header)) = original.data.get(at..).map(FrameHeader::decode) {
            let (start, end) = (at, at + header.length as usize);
            let table = header.table_at()..header.table_at() + usize::from(header.entries) * 112;
            let fields = (32..88).step_by(8).chain(HEADER_BYTES..HEADER_BYTES + 36).chain(table.clone().step_by(8));
            for field in fields.step_by(5) {
                for value in values {
                    spoil(start + field, value, &|bytes| sum_frame(&mut bytes[start..end], table.clone()));
                }
            }
            at = end;
        }
        if let Some(Ok(footer)) = original.data.get(at..).map(FooterHeader::decode) {
            let length = footer.length();
            let used = FOOTER_HEADER_BYTES + footer.streams as usize * 80 + footer.index as usize * 16;
            for field in (32..80).step_by(8).chain((FOOTER_HEADER_BYTES..used).step_by(8)) {
                for value in values {
                    spoil(at + field, value, &|bytes| sum_footer(bytes, at, length));
                }
            }
        }
    }
}

#[test]
fn every_number_of_a_log_may_lie() {
    let mut tried = 0;
    for mut subject in [closed(), crashed(true)] {
        all_numbers(&mut subject, |disk| {
            drive(disk);
            tried += 1;
        });
    }
    assert!(tried > 500, "{tried}");
}

/// Opening counted the offsets of a catalog one by one, from the first to the one after the last: with
/// 18,446,744,073,709,551,615 for that, under fitting checksums, it did not end. Also with as many records in the footer's
/// header.
#[test]
fn a_catalog_that_claims_every_offset_does_not_keep_the_log_from_opening() {
    let mut subject = closed();
    let data = &mut subject.disk.file(&in_log("00000001.seg")).data;
    let footer = u64::from_le_bytes(data[data.len() - 4088..data.len() - 4080].try_into().unwrap()) as usize;
    let header = FooterHeader::decode(&data[footer..]).unwrap();
    assert_eq!(header.id, SegmentId { log: 0, number: 1 });
    data[footer + 56..footer + 64].fill(0xFF);
    for stream in 0..header.streams as usize {
        let at = footer + FOOTER_HEADER_BYTES + stream * 80;
        data[at + 24..at + 32].fill(0xFF);
        // All walk the same chain of the index.
        data[at + 12..at + 16].copy_from_slice(&(header.index - 1).to_le_bytes());
    }
    sum_footer(data, footer, header.length());
    let recovered = Memory::of(subject.disk.clone()).recover().unwrap();
    assert!(recovered.damage.iter().any(|damage| damage.losses.iter().any(|loss| loss.offsets.end == u64::MAX)));
    drive(&subject.disk);
}

/// A stream table said, under checksums that fit, that a stream's first record in the frame begins elsewhere: verification
/// followed the records by their slots and called it sound, and no read found them.
#[test]
fn a_table_that_points_at_no_record_is_not_sound() {
    let mut subject = crashed(false);
    let data = &mut subject.disk.file(&in_log("00000002.seg")).data;
    let place = frames(data).pop().unwrap().bytes;
    let frame = &mut data[place.start as usize..place.end as usize];
    let header = FrameHeader::decode(frame).unwrap();
    let table = header.table_at()..header.table_at() + usize::from(header.entries) * 112;
    frame[table.start + 24] ^= 8;
    sum_frame(frame, table);
    let verified = Memory::of(subject.disk).verify();
    assert!(!verified.damage.is_empty() || verified.torn > 0, "{verified:?}");
}

/// Changes the last frame of a crashed log, and makes its checksums fit again.
fn with_last_frame_forged(forge: impl FnOnce(&mut [u8], std::ops::Range<usize>)) -> Memory {
    let mut subject = crashed(false);
    let data = &mut subject.disk.file(&in_log("00000002.seg")).data;
    let place = frames(data).pop().unwrap().bytes;
    let frame = &mut data[place.start as usize..place.end as usize];
    let header = FrameHeader::decode(frame).unwrap();
    let table = header.table_at()..header.table_at() + usize::from(header.entries) * 112;
    forge(frame, table.clone());
    sum_frame(frame, table);
    Memory::of(subject.disk)
}

/// Verification took a frame whose links do not join for a torn tail that the next opening cuts. That adopted it.
#[test]
fn a_last_frame_whose_records_do_not_join_is_damaged_and_not_torn() {
    // The position of its first record.
    let memory = with_last_frame_forged(|frame, _| frame[HEADER_BYTES + 16] ^= 1);
    let before = memory.verify();
    assert!(matches!(before.damage[0].cause, Cause::Frame { fault: Fault::Chain, .. }), "{:?}", before.damage);
    let recovered = memory.recover().unwrap();
    assert_eq!((before.torn, recovered.torn), (0, None));
    let after = memory.verify();
    assert_eq!((after.damage, after.torn), (before.damage, 0));
}

/// If the frame says as well that it follows another than it does, opening takes it for torn: so must verification.
#[test]
fn a_last_frame_that_follows_another_is_torn_whatever_its_records_are() {
    let memory = with_last_frame_forged(|frame, _| {
        frame[HEADER_BYTES + 16] ^= 1;
        frame[68] ^= 1;
    });
    let before = memory.verify();
    assert_eq!((before.damage, before.torn), (vec![], 1));
    let recovered = memory.recover().unwrap();
    assert!(recovered.damage.is_empty() && recovered.torn.is_some(), "{recovered:?}");
}

/// Opening made a footer of tables that contradict each other, and the next opening was the first to say so.
#[test]
fn a_footer_that_would_be_refused_is_not_written() {
    // The number of records of its first stream.
    let memory = with_last_frame_forged(|frame, table| frame[table.start + 12] = 200);
    assert_ne!(memory.verify().damage, []);
    let first = memory.recover().unwrap().damage;
    assert!(first.iter().any(|damage| damage.cause == Cause::Footer(Fault::Shape)), "{first:?}");
    assert_eq!(memory.recover().unwrap().damage, first);
}

/// Verification called a log sound that opening refused, after it had changed it.
#[test]
fn a_frontier_far_beyond_the_log_is_refused_by_all_and_nothing_is_changed() {
    let subject = crashed(false);
    let memory = Memory::of(subject.disk);
    memory.write_manifest(Base { sequence: 1, end: 8192, segment: 16_711_681, body_crc: 0 }, false);
    let before = memory.disk().clone();
    let contents = |mut disk: Disk| disk.names().iter().map(|name| disk.file(name).clone()).collect::<Vec<_>>();
    let path = in_log("16711681.seg");
    for refused in [memory.try_verify().err(), memory.recover().err()] {
        assert!(matches!(&refused, Some(LogError::Foreign { path: named }) if *named == path), "{refused:?}");
    }
    let after = memory.disk().clone();
    assert_eq!((before.names(), contents(before)), (after.names(), contents(after)));
}
