//! Bytes of any kind are decoded or refused, and never panic; what was encoded comes back; a flipped bit is found.

use diatreme_log::format::footer::{
    FOOTER_HEADER_BYTES, Footer, FooterHeader, INDEX_ENTRY_BYTES, IndexEntry, NO_ENTRY, STREAM_ENTRY_BYTES,
    StreamEntry, Trailer, put_index, put_stream,
};
use diatreme_log::format::frame::{FrameHeader, HEADER_BYTES, RecordHeader};
use diatreme_log::format::manifest::{Identity, Manifest};
use diatreme_log::format::segment::{Base, SEGMENT_NUMBER_MAX, SegmentHeader, SegmentId};
use diatreme_log::format::{BLOCK_BYTES, Fault, SEQUENCE_MAX, crc};
use proptest::collection::vec;
use proptest::prelude::*;

/// Decodes everything there is to decode, as if `bytes` were each structure in turn.
fn decode_all(bytes: &[u8]) {
    let _ = SegmentHeader::decode(bytes);
    let _ = Manifest::decode(bytes);
    let _ = Trailer::decode(bytes);
    let _ = FooterHeader::decode(bytes);
    let _ = Footer::decode(bytes);
    if let Ok(header) = FrameHeader::decode(bytes) {
        let _ = header.check_body(bytes);
        let entries = header.table(bytes).map(|table| table.iter().collect::<Vec<_>>()).unwrap_or_default();
        for record in header.records(bytes).flatten() {
            assert_eq!(record.payload.len(), record.header.payload_bytes as usize);
        }
        for entry in entries {
            for record in header.records(bytes).from(entry.first_at).flatten() {
                assert!(record.hashed.len() >= record.payload.len());
            }
        }
    }
}

/// Puts a fitting checksum over `[0, at)` at `at`, so that what lies behind the checksum is tried as well.
fn sum(bytes: &mut [u8], at: usize) {
    if bytes.len() >= at + 4 {
        let sum = crc(&bytes[..at]).to_le_bytes();
        bytes[at..at + 4].copy_from_slice(&sum);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(
        mut bytes in vec(any::<u8>(), 0..3 * BLOCK_BYTES),
        magic in prop::sample::select(vec![&b"DtFr\x01\0"[..], b"DtFt\x01\0", b"DIATSEGM\x01\0", b"DIATMANI\x01\0", b"DIATTAIL"]),
        small in any::<bool>(),
    ) {
        decode_all(&bytes);
        if bytes.len() >= BLOCK_BYTES {
            bytes[..magic.len()].copy_from_slice(magic);
            if small {
                // Lengths and counts that may fit the bytes there are.
                for byte in [13, 14, 15, 50, 51, 54, 55, 58, 59, 62, 63, 74, 75, 78, 79] {
                    bytes[byte] = 0;
                }
            }
            decode_all(&bytes);
            sum(&mut bytes, 124);
            decode_all(&bytes);
            sum(&mut bytes, 4092);
            decode_all(&bytes);
        }
    }

    /// A frame header with fitting checksum and lengths, over random records and tables.
    #[test]
    fn random_frames_never_panic(
        mut bytes in vec(any::<u8>(), 2 * BLOCK_BYTES..3 * BLOCK_BYTES),
        entries in 0..30_u16,
        records_bytes in 0..4_000_u32,
        records in any::<u32>(),
    ) {
        let used = HEADER_BYTES + records_bytes as usize + usize::from(entries) * 112;
        let mut header = header(entries, used.next_multiple_of(BLOCK_BYTES) as u32, records_bytes, records);
        let at = HEADER_BYTES + records_bytes as usize;
        header.table_crc = crc(&bytes[at..at + usize::from(entries) * 112]);
        header.body_crc = crc(&bytes[HEADER_BYTES..header.length as usize]);
        header.encode(&mut bytes);
        prop_assert_eq!(FrameHeader::decode(&bytes), Ok(header));
        prop_assert_eq!(header.check_body(&bytes), Ok(()));
        decode_all(&bytes);
    }

    #[test]
    fn what_is_encoded_comes_back(
        numbers in vec(any::<u64>(), 12),
        salt in any::<[u8; 32]>(),
        id in any::<[u8; 16]>(),
        mark in any::<bool>(),
    ) {
        let n = |at: usize| numbers[at];
        let base = Base { sequence: n(0) % SEQUENCE_MAX, end: n(1), segment: n(2) as u32 % (SEGMENT_NUMBER_MAX + 1), body_crc: n(3) as u32 };
        let segment = SegmentId { log: n(4) as u16, number: n(5) as u32 };
        let mut block = vec![0xAA; BLOCK_BYTES];
        let header = SegmentHeader { id: segment, engine: id, incarnation: id, salt, capacity: n(6), created_at: n(7), base };
        header.encode(&mut block);
        prop_assert_eq!(SegmentHeader::decode(&block), Ok(header));

        let frame = FrameHeader {
            mark,
            log: n(4) as u16,
            sequence: n(8).max(n(9)) % SEQUENCE_MAX,
            durable_mark: n(8).min(n(9)) % SEQUENCE_MAX % (n(8).max(n(9)) % SEQUENCE_MAX + 1),
            position: n(10),
            previous_crc: n(11) as u32,
            incarnation: id,
            ..self::header(7, 4096, 800, n(3) as u32)
        };
        block.fill(0xAA);
        frame.encode(&mut block);
        prop_assert_eq!(FrameHeader::decode(&block), Ok(frame));

        let manifest = Manifest {
            clean: mark,
            generation: n(0),
            identity: Identity { device: n(7), inode: n(8) },
            engine: id,
            placement_version: n(1),
            shards: n(2) as u16,
            frontiers: vec![base; (n(3) % 200) as usize],
            overrides: vec![(n(4), n(5) as u16); (n(6) % 300) as usize],
        };
        let mut bytes = vec![0xAA; manifest.encoded_bytes()];
        manifest.encode(&mut bytes);
        prop_assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    }

    #[test]
    fn every_flipped_bit_of_a_footer_and_its_trailer_is_found(
        streams in 1..9_usize,
        index in 1..40_usize,
        seed in 0..u64::MAX - 3,
    ) {
        let footer = footer(streams, index, seed);
        let mut bytes = encode(&footer);
        prop_assert_eq!(Footer::decode(&bytes), Ok(footer.clone()));
        for bit in 0..bytes.len() * 8 {
            if bit / 8 > FOOTER_HEADER_BYTES + streams * STREAM_ENTRY_BYTES + index * INDEX_ENTRY_BYTES && bit % 61 != 0 {
                continue;
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Footer::decode(&bytes).is_err(), "bit {}", bit);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let trailer = Trailer::of(footer.header.position, &bytes);
        let mut block = vec![0; BLOCK_BYTES];
        trailer.encode(&mut block);
        prop_assert_eq!(Trailer::decode(&block), Ok(trailer));
        for at in (0..40).chain((40..4080).step_by(97)).chain(4080..4096) {
            block[at] ^= 1 << (seed % 8);
            prop_assert!(Trailer::decode(&block).is_err(), "byte {}", at);
            block[at] ^= 1 << (seed % 8);
        }
    }
}

fn header(entries: u16, length: u32, records_bytes: u32, records: u32) -> FrameHeader {
    FrameHeader {
        mark: false,
        log: 1,
        entries,
        segment: 2,
        incarnation: [3; 16],
        sequence: 9,
        durable_mark: 8,
        position: 4096,
        length,
        records_bytes,
        records,
        previous_crc: 5,
        sealed_at: 6,
        table_crc: 7,
        body_crc: 8,
    }
}

fn footer(streams: usize, index: usize, seed: u64) -> Footer {
    let link = |at: usize| crypto::genesis(seed, at as u32);
    let header = FooterHeader {
        id: SegmentId { log: 1, number: 2 },
        incarnation: [4; 16],
        first_sequence: seed % 1_000,
        next_sequence: seed % 1_000 + 7,
        position: 8192,
        records: 9,
        payload_bytes: 10,
        last_crc: 11,
        streams: streams as u32,
        index: index as u32,
    };
    let streams = (0..streams).map(|at| StreamEntry {
        tenant: seed.rotate_left(at as u32),
        stream: at as u32,
        newest: (at % index) as u32,
        first_offset: seed,
        next_offset: seed + 3,
        timestamp: 5,
        position: 6,
        link: link(at),
    });
    let index = (0..index).map(|at| IndexEntry {
        first_offset: seed ^ at as u64,
        block: at as u32 + 1,
        previous: if at % 3 == 0 { NO_ENTRY } else { at as u32 - 1 },
    });
    Footer { header, streams: streams.collect(), index: index.collect() }
}

fn encode(footer: &Footer) -> Vec<u8> {
    let mut bytes = vec![0; footer.header.length()];
    for (at, entry) in footer.streams.iter().enumerate() {
        put_stream(&mut bytes, at, entry);
    }
    for (at, entry) in footer.index.iter().enumerate() {
        put_index(&mut bytes, footer.streams.len(), at, entry);
    }
    footer.header.encode(&mut bytes);
    bytes
}

/// An index that points at itself, or beyond its end, under fitting checksums, would send a walk round and round.
#[test]
fn a_footer_whose_walks_do_not_end_is_refused() {
    for spoil in [0, 1, 2] {
        let mut footer = footer(3, 9, 77);
        match spoil {
            0 => footer.index[4].previous = 4,
            1 => footer.index[4].previous = 1_000,
            _ => footer.streams[1].newest = 9,
        }
        assert_eq!(Footer::decode(&encode(&footer)), Err(Fault::Shape));
    }
}

/// The format knows records whose payload is followed by a tag, though this writer makes none.
#[test]
fn a_sealed_record_is_read_with_its_tag() {
    let mut frame = vec![0; BLOCK_BYTES];
    let record = |slot, flags| RecordHeader {
        slot,
        kind: 1,
        flags,
        payload_bytes: 10,
        offset: 0,
        position: 0,
        timestamp: 0,
        key_id: 3,
    };
    record(0, 1).encode(&mut frame[HEADER_BYTES..]);
    let second = HEADER_BYTES + (36 + 10 + 16_usize).next_multiple_of(8);
    record(1, 0).encode(&mut frame[second..]);
    let records_bytes = (second - HEADER_BYTES + 48) as u32;
    let records: Vec<_> = header(0, 4096, records_bytes, 2).records(&frame).map(Result::unwrap).collect();
    assert_eq!(records.iter().map(|record| record.header.slot).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((records[0].payload.len(), records[0].hashed.len()), (10, 34 + 10 + 16));
    assert_eq!((records[1].payload.len(), records[1].hashed.len()), (10, 34 + 10));
}

/// A base of 2^56 collided with what tells a frame's write from others in the writer's tokens: the shard panicked at its
/// first frame. And a segment after the last number there is was added with an overflow.
#[test]
fn sequences_and_segments_that_leave_no_room_are_refused() {
    let sound = Base { sequence: SEQUENCE_MAX, end: 8192, segment: SEGMENT_NUMBER_MAX, body_crc: 1 };
    let bases =
        [sound, Base { sequence: SEQUENCE_MAX + 1, ..sound }, Base { segment: SEGMENT_NUMBER_MAX + 1, ..sound }];
    for base in bases {
        let id = SegmentId { log: 0, number: 1 };
        let segment = SegmentHeader {
            id,
            engine: [1; 16],
            incarnation: [2; 16],
            salt: [3; 32],
            capacity: 1 << 22,
            created_at: 4,
            base,
        };
        let mut block = vec![0; BLOCK_BYTES];
        segment.encode(&mut block);
        let manifest = Manifest { frontiers: vec![base], ..Manifest::default() };
        let mut bytes = vec![0; manifest.encoded_bytes()];
        manifest.encode(&mut bytes);
        if base == sound {
            assert_eq!(SegmentHeader::decode(&block), Ok(segment));
            assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        } else {
            assert_eq!(SegmentHeader::decode(&block), Err(Fault::Shape));
            assert_eq!(Manifest::decode(&bytes), Err(Fault::Shape));
        }
    }
    let mut block = vec![0; BLOCK_BYTES];
    FrameHeader { sequence: SEQUENCE_MAX, ..header(0, 4096, 0, 0) }.encode(&mut block);
    assert_eq!(FrameHeader::decode(&block), Err(Fault::Shape));
    let mut footer = footer(1, 1, 5);
    footer.header.next_sequence = SEQUENCE_MAX + 1;
    assert_eq!(Footer::decode(&encode(&footer)), Err(Fault::Shape));
}

/// A stream that claims more records than its segment has sent whoever counts them round for ever.
#[test]
fn a_footer_with_more_offsets_than_records_is_refused() {
    for (first, next) in [(0, 10), (0, u64::MAX), (3, 2)] {
        let mut footer = footer(2, 3, 7);
        (footer.streams[1].first_offset, footer.streams[1].next_offset) = (first, next);
        assert_eq!(Footer::decode(&encode(&footer)), Err(Fault::Shape));
    }
}
