//! A footer, and the trailer in the last block: every walk over what is accepted ends, and it encodes to the same bytes.
#![no_main]
#![allow(missing_docs, reason = "the macro makes the entry point")]

use diatreme_fuzz::{allocations, both, same_outside, sums};
use libfuzzer_sys::fuzz_target;
use log::format::footer::{FOOTER_HEADER_BYTES, Footer, FooterHeader, NO_ENTRY, Trailer, put_index, put_stream};
use log::format::{BLOCK_BYTES, SEQUENCE_MAX};

fuzz_target!(|input: &[u8]| both(input, fit, check));

fn fit(bytes: &mut [u8]) {
    sums::footer(bytes);
    if let Some(at) = bytes.len().checked_sub(BLOCK_BYTES) {
        sums::block(&mut bytes[at..]);
    }
}

fn check(bytes: &[u8]) {
    check_trailer(&bytes[bytes.len().saturating_sub(BLOCK_BYTES)..]);
    let header = FooterHeader::decode(bytes);
    let footer = allocations::at_most(2 * bytes.len() + 1024, || Footer::decode(bytes));
    let Ok(footer) = footer else {
        return;
    };
    assert_eq!(header, Ok(footer.header));
    let length = footer.header.length();
    assert!(length.is_multiple_of(BLOCK_BYTES) && length <= bytes.len());
    assert!(footer.header.first_sequence <= footer.header.next_sequence);
    assert!(footer.header.next_sequence <= SEQUENCE_MAX);
    assert_eq!(footer.streams.len(), footer.header.streams as usize);
    assert_eq!(footer.index.len(), footer.header.index as usize);
    walk(&footer);

    let mut again = vec![0; length];
    footer.streams.iter().enumerate().for_each(|(at, entry)| put_stream(&mut again, at, entry));
    footer.index.iter().enumerate().for_each(|(at, entry)| put_index(&mut again, footer.streams.len(), at, entry));
    footer.header.encode(&mut again);
    assert_eq!(Footer::decode(&again).as_ref(), Ok(&footer));
    // The zeros of the header, and the two checksums over what is zero; behind the entries it is zero to the end.
    let used = FOOTER_HEADER_BYTES + footer.streams.len() * 80 + footer.index.len() * 16;
    assert!(same_outside(&[84..FOOTER_HEADER_BYTES, used..length], &again, &bytes[..length]), "another footer");
}

/// From every stream's newest entry back: no walk takes more steps than there are entries.
fn walk(footer: &Footer) {
    for stream in &footer.streams {
        assert!(stream.first_offset <= stream.next_offset);
        assert!(stream.next_offset - stream.first_offset <= footer.header.records);
        let (mut at, mut steps) = (stream.newest, 0);
        while at != NO_ENTRY {
            at = footer.index[at as usize].previous;
            steps += 1;
            assert!(steps <= footer.index.len(), "a walk does not end");
        }
    }
}

fn check_trailer(block: &[u8]) {
    let Ok(trailer) = Trailer::decode(block) else {
        return;
    };
    let mut again = vec![0xAA; BLOCK_BYTES];
    trailer.encode(&mut again);
    assert_eq!(Trailer::decode(&again), Ok(trailer));
    assert!(same_outside(&[20..4092, 4092..BLOCK_BYTES], &again, block), "another trailer");
}
