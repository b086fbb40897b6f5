//! Payloads that say which record they are, so that whatever is read names its origin.

use iobackend::sim::Rng;

/// Bytes of the shortest payload.
pub const PAYLOAD_MIN: usize = 12;

/// Which record of which append a payload belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    pub(crate) append: u32,
    pub(crate) index: u16,
}

/// Writes the payload of a record into `out`: identity, length, then bytes that follow from both.
pub(crate) fn write(identity: Identity, out: &mut [u8]) {
    let len = out.len() as u32;
    out[0..4].copy_from_slice(&identity.append.to_le_bytes());
    out[4..6].copy_from_slice(&identity.index.to_le_bytes());
    out[6..8].copy_from_slice(&[0xD1, 0xA7]);
    out[8..12].copy_from_slice(&len.to_le_bytes());
    filler(identity, len).fill(&mut out[PAYLOAD_MIN..]);
}

/// The record that a payload is; `None` if it is none that was ever written.
pub(crate) fn read(payload: &[u8]) -> Option<Identity> {
    let (head, rest) = payload.split_first_chunk::<PAYLOAD_MIN>()?;
    let append = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let index = u16::from_le_bytes([head[4], head[5]]);
    let len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    let identity = Identity { append, index };
    if len as usize != payload.len() || head[6..8] != [0xD1, 0xA7] {
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
        assert_eq!(read(&payload[..11]), None);
    }
}
