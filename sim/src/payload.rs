//! Payloads that say which record they are, so that whatever is read names its origin.

use iobackend::sim::Rng;

/// Bytes of the shortest payload.
pub const PAYLOAD_MIN: usize = 16;

/// What no ciphertext and no header has but by a chance of one in 2^48.
const MARKER: [u8; 6] = [0xD1, 0xA7, 0x2E, 0xB9, 0x5C, 0x83];

/// The append of records that a forger made up.
pub(crate) const FORGED: u32 = u32::MAX;

/// What a ciphertext tells of the key stream it was made with, by the bytes of its payload that are known: length and marker.
pub(crate) type Known = [u8; 10];

/// Which record of which append a payload belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    pub(crate) append: u32,
    pub(crate) index: u16,
}

/// Writes the payload of a record into `out`: identity, length, marker, then bytes that follow from identity and length.
pub(crate) fn write(identity: Identity, out: &mut [u8]) {
    let len = out.len() as u32;
    out[0..4].copy_from_slice(&identity.append.to_le_bytes());
    out[4..6].copy_from_slice(&identity.index.to_le_bytes());
    out[6..10].copy_from_slice(&len.to_le_bytes());
    out[10..16].copy_from_slice(&MARKER);
    filler(identity, len).fill(&mut out[PAYLOAD_MIN..]);
}

/// The record that a payload is; `None` if it is none that was ever written.
pub(crate) fn read(payload: &[u8]) -> Option<Identity> {
    let (head, rest) = payload.split_first_chunk::<PAYLOAD_MIN>()?;
    let append = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let index = u16::from_le_bytes([head[4], head[5]]);
    let len = u32::from_le_bytes([head[6], head[7], head[8], head[9]]);
    let identity = Identity { append, index };
    if len as usize != payload.len() || head[10..16] != MARKER {
        return None;
    }
    let mut rng = filler(identity, len);
    let mut expected = [0; 8];
    let fits = rest.chunks(8).all(|chunk| {
        rng.fill(&mut expected);
        chunk == &expected[..chunk.len()]
    });
    fits.then_some(identity)
}

/// The piece of the key stream under a payload's ciphertext that its known bytes give away; `None` if it is too short for a payload.
pub(crate) fn known(ciphertext: &[u8]) -> Option<Known> {
    let (head, _) = ciphertext.split_first_chunk::<PAYLOAD_MIN>()?;
    let mut known = [0; 10];
    known[..4].copy_from_slice(&(ciphertext.len() as u32).to_le_bytes());
    known[4..].copy_from_slice(&MARKER);
    known.iter_mut().zip(&head[6..]).for_each(|(known, sealed)| *known ^= sealed);
    Some(known)
}

/// Whether a forger made the record up.
pub(crate) fn is_forged(payload: &[u8]) -> bool {
    read(payload).is_some_and(|identity| identity.append == FORGED)
}

/// Where payloads lie in the clear in some bytes: each by its marker.
pub(crate) fn find(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == MARKER[0]);
    starts.map(|(at, _)| at).filter(|at| bytes[*at..].starts_with(&MARKER))
}

fn filler(Identity { append, index }: Identity, len: u32) -> Rng {
    Rng::new(u64::from(append) << 16 | u64::from(index) | u64::from(len) << 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_back_and_any_changed_byte_is_seen() {
        let identity = Identity { append: 70_000, index: 3 };
        let mut payload = vec![0; 37];
        write(identity, &mut payload);
        assert_eq!(read(&payload), Some(identity));
        for at in 0..payload.len() {
            payload[at] ^= 1;
            assert_ne!(read(&payload), Some(identity), "byte {at}");
            payload[at] ^= 1;
        }
        assert_eq!(read(&payload[..36]), None);
        assert_eq!(read(&payload[..15]), None);
        assert_eq!(find(&payload).collect::<Vec<_>>(), [10]);
    }

    #[test]
    fn two_payloads_of_one_key_stream_show_it() {
        let sealed = |append: u32, len: usize, stream: u8| {
            let mut payload = vec![0; len];
            write(Identity { append, index: 0 }, &mut payload);
            payload.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= stream.wrapping_mul(at as u8));
            known(&payload)
        };
        assert_eq!(sealed(1, 40, 77), sealed(2, 90, 77));
        assert_ne!(sealed(1, 40, 77), sealed(1, 40, 79));
        assert_eq!(known(&[0; 15]), None);
    }
}
