//! A frame: whatever its header says, nothing outside of it is touched, every walk over its records ends, and what is
//! accepted encodes to the same bytes.
#![no_main]
#![allow(missing_docs, reason = "the macro makes the entry point")]

use diatreme_fuzz::{allocations, both, same_outside, sums};
use libfuzzer_sys::fuzz_target;
use log::format::frame::{ENTRY_BYTES, FrameHeader, HEADER_BYTES, RECORD_HEADER_BYTES, Records};
use log::format::{BLOCK_BYTES, Fault, SEQUENCE_MAX};

fuzz_target!(|input: &[u8]| both(input, sums::frame, check));

fn check(bytes: &[u8]) {
    // Nothing is copied, however long the frame: all of it is read where it lies.
    let Ok(header) = allocations::at_most(0, || FrameHeader::decode(bytes)) else {
        return;
    };
    let length = header.length as usize;
    let table_end = header.table_at() + usize::from(header.entries) * ENTRY_BYTES;
    assert!(length.is_multiple_of(BLOCK_BYTES) && table_end <= length && length - table_end < BLOCK_BYTES);
    assert!(header.durable_mark <= header.sequence && header.sequence < SEQUENCE_MAX);

    let mut again = [0xAA; HEADER_BYTES];
    header.encode(&mut again);
    assert_eq!(FrameHeader::decode(&again), Ok(header));
    // Flags that have no meaning yet, the zeros, and the checksum over them.
    assert!(same_outside(&[6..8, 88..HEADER_BYTES], &again, &bytes[..HEADER_BYTES]), "another header");

    // As much of the frame as a file that was cut may have; the last of them is all there is.
    for have in [HEADER_BYTES, header.table_at(), table_end, length - 1, length, bytes.len()] {
        allocations::at_most(0, || read(&header, &bytes[..have.min(bytes.len())]));
    }
}

fn read(header: &FrameHeader, bytes: &[u8]) {
    let whole = bytes.len() >= header.length as usize;
    assert_eq!(header.check_body(bytes) == Err(Fault::Cut), !whole);
    let end = header.table_at().min(bytes.len());
    assert!(walk(header.records(bytes), bytes, end) <= header.records);
    let table = match header.table(bytes) {
        Ok(table) => table,
        Err(fault) => {
            assert!(!whole || fault == Fault::TableChecksum);
            return;
        }
    };
    assert_eq!(table.iter().len(), usize::from(header.entries));
    // A few are enough: the table may have sixty thousand entries, each of which leads to a walk.
    for entry in table.iter().take(64) {
        assert!(entry.next_offset() >= entry.first_offset);
        walk(header.records(bytes).from(entry.first_at), bytes, end);
    }
}

/// Counts the records; each ends before `end` and lies behind the one before it.
fn walk(records: Records<'_>, bytes: &[u8], end: usize) -> u32 {
    let (mut at, mut count) = (0, 0);
    for record in records {
        let Ok(record) = record else {
            break;
        };
        let hashed = record.hashed.as_ptr() as usize - bytes.as_ptr() as usize;
        let payload = record.payload.as_ptr() as usize - bytes.as_ptr() as usize;
        assert!(hashed >= at && payload + record.payload.len() <= hashed + record.hashed.len());
        assert!(hashed + record.hashed.len() <= end);
        assert_eq!(record.payload.len(), record.header.payload_bytes as usize);
        at = hashed + record.hashed.len();
        count += 1;
    }
    assert!(count as usize <= end / RECORD_HEADER_BYTES);
    count
}
