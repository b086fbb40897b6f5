//! The ring for messages of any length, written and read in place.
//!
//! A message lies in one piece, so that it can be used as a slice on both sides: an 8-byte header
//! with its length, its bytes, and padding to the next multiple of 8. One that does not fit before
//! the end of the memory starts at the beginning, and a marker in place of a header sends the
//! consumer there. Since positions and sizes are multiples of 8, there is always room for the
//! marker. Marker and message are staged together: a marker is never the last thing in the ring.

mod consumer;
mod producer;

pub use consumer::{Batch, ByteConsumer};
pub use producer::{ByteProducer, ReserveError};

use crate::cursor;
use crate::memory::{HEADER_BYTES, Memory};

/// In place of a length: the message is at the start of the memory.
const WRAP: u64 = u64::MAX;

/// A ring over `capacity` bytes of memory (rounded up to a multiple of 8) that takes a message if
/// it is empty, or if it would then hold no more than `window` bytes.
///
/// The window is soft because it serves latency, not memory: what waits in a ring delays what
/// comes after it, but a message larger than the window must still be able to pass, alone. Bytes
/// are counted with headers and padding. A window larger than the memory is the memory.
///
/// The memory is zeroed when it is first touched, so a large ring costs little until it fills.
///
/// # Panics
///
/// If `capacity` is 0 or does not fit the address space.
#[must_use]
pub fn byte_ring(capacity: usize, window: usize) -> (ByteProducer, ByteConsumer) {
    make(capacity, window, false)
}

/// A [`byte_ring`] for secrets: what was taken is overwritten with zeros before its room is given back, and what was not taken when
/// the ring is freed. So a message is in the ring's memory only until the [batch](ByteConsumer::batch) ends that passed it.
///
/// It is the consumer that wipes, a whole batch at once: the lines are in its cache, and the producer has to fetch them from there
/// in any case.
///
/// # Panics
///
/// As [`byte_ring`].
#[must_use]
pub fn wiped_byte_ring(capacity: usize, window: usize) -> (ByteProducer, ByteConsumer) {
    make(capacity, window, true)
}

fn make(capacity: usize, window: usize, wiped: bool) -> (ByteProducer, ByteConsumer) {
    let capacity = capacity.checked_next_multiple_of(8).expect("a ring must fit the address space");
    let (writer, reader) = cursor::share(Memory::new(capacity, wiped));
    (ByteProducer::new(writer, window.min(capacity)), ByteConsumer::new(reader))
}

/// Bytes that a message takes up, with its header and padding.
#[inline]
const fn frame_bytes(len: usize) -> usize {
    HEADER_BYTES + len.next_multiple_of(8)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{ByteConsumer, ByteProducer, HEADER_BYTES, ReserveError, byte_ring, frame_bytes, wiped_byte_ring};

    fn send(tx: &mut ByteProducer, message: &[u8]) -> Result<(), ReserveError> {
        tx.reserve(message.len())?.copy_from_slice(message);
        tx.commit();
        tx.publish();
        Ok(())
    }

    fn receive(rx: &mut ByteConsumer) -> Option<Vec<u8>> {
        rx.batch().next().map(<[u8]>::to_vec)
    }

    #[test]
    fn the_longest_message_passes_an_empty_ring_from_any_position() {
        for capacity in (8..=256).step_by(8) {
            for position in (0..capacity).step_by(8) {
                let (mut tx, mut rx) = byte_ring(capacity, 0);
                for _ in 0..position / 8 {
                    send(&mut tx, &[]).unwrap();
                    assert_eq!(receive(&mut rx).unwrap(), []);
                }
                let max = tx.message_bytes_max();
                assert!(2 * max + 4 * HEADER_BYTES > capacity, "{max} of {capacity} wastes memory");
                let message = vec![0xA5; max];
                assert_eq!(send(&mut tx, &message), Ok(()), "{capacity} at {position}");
                assert_eq!(receive(&mut rx).unwrap(), message);
                let len = max + 1;
                assert_eq!(send(&mut tx, &vec![0; len]), Err(ReserveError::TooLong { len, max }));
            }
        }
    }

    #[test]
    fn capacity_is_rounded_up_and_bounds_the_window() {
        let (tx, _rx) = byte_ring(57, 1000);
        assert_eq!((tx.capacity(), tx.window()), (64, 64));
    }

    #[test]
    #[should_panic(expected = "needs memory")]
    fn a_ring_without_memory_is_refused() {
        let _ = byte_ring(0, 0);
    }

    #[test]
    fn the_window_bounds_what_waits_but_lets_a_larger_message_pass_alone() {
        let (mut tx, mut rx) = byte_ring(1024, 64);
        send(&mut tx, &[1; 24]).unwrap();
        send(&mut tx, &[2; 24]).unwrap();
        assert_eq!(tx.used(), 2 * frame_bytes(24));
        assert_eq!(send(&mut tx, &[3]), Err(ReserveError::Full { used: 64, window: 64 }));
        receive(&mut rx).unwrap();
        assert_eq!(send(&mut tx, &[4; 100]), Err(ReserveError::Full { used: 32, window: 64 }));
        receive(&mut rx).unwrap();
        assert_eq!(send(&mut tx, &[4; 100]), Ok(()));
        assert_eq!(send(&mut tx, &[]), Err(ReserveError::Full { used: 112, window: 64 }));
        assert_eq!(receive(&mut rx).unwrap(), [4; 100]);
    }

    #[test]
    fn a_reservation_is_replaced_by_the_next_and_unseen_until_published() {
        let (mut tx, mut rx) = byte_ring(128, 128);
        tx.reserve(40).unwrap().fill(1);
        tx.reserve(3).unwrap().fill(2);
        tx.commit();
        assert_eq!(tx.used(), 16);
        assert!(rx.is_empty());
        tx.publish();
        assert!(!rx.is_empty());
        assert_eq!(receive(&mut rx).unwrap(), [2; 3]);
    }

    #[test]
    #[should_panic(expected = "without a reservation")]
    fn a_refused_reservation_cannot_be_committed() {
        let (mut tx, _rx) = byte_ring(128, 128);
        let _ = tx.reserve(8).unwrap();
        let _ = tx.reserve(1000).unwrap_err();
        tx.commit();
    }

    #[test]
    fn a_batch_holds_many_messages_and_gives_their_room_back_when_dropped() {
        let (mut tx, mut rx) = byte_ring(96, 96);
        for message in 0..6u8 {
            send(&mut tx, &[message; 4]).unwrap();
        }
        let batch = rx.batch();
        assert_eq!(batch.peek(), Some(&[0; 4][..]));
        let (first, second) = (batch.next().unwrap(), batch.next().unwrap());
        batch.advance();
        assert_eq!(send(&mut tx, &[9]), Err(ReserveError::Full { used: 96, window: 96 }));
        assert_eq!((first, second), (&[0; 4][..], &[1; 4][..]));
        drop(batch);
        assert_eq!(tx.used(), 48);
        assert_eq!(receive(&mut rx).unwrap(), [3; 4]);
    }

    #[test]
    fn an_empty_batch_is_passed_no_further() {
        let (mut tx, mut rx) = byte_ring(96, 96);
        let batch = rx.batch();
        batch.advance();
        send(&mut tx, b"late").unwrap();
        assert_eq!(batch.next(), None, "a batch holds what was there when it began");
        drop(batch);
        assert_eq!(receive(&mut rx).unwrap(), b"late");
    }

    #[test]
    fn a_leaked_batch_is_read_again() {
        let (mut tx, mut rx) = byte_ring(96, 96);
        send(&mut tx, b"again").unwrap();
        let batch = rx.batch();
        assert!(batch.next().is_some());
        std::mem::forget(batch);
        assert_eq!(receive(&mut rx).unwrap(), b"again");
    }

    /// Looks at the memory itself, through reservations, which hold whatever was there before.
    #[test]
    fn what_was_taken_of_a_wiped_ring_is_zeros_wherever_it_lay() {
        for position in (0..96).step_by(8) {
            for taken in 0..=3 {
                let seen = |wiped: bool| {
                    let (mut tx, mut rx) = if wiped { wiped_byte_ring(96, 96) } else { byte_ring(96, 96) };
                    for _ in 0..position / 8 {
                        send(&mut tx, &[]).unwrap();
                        receive(&mut rx).unwrap();
                    }
                    for message in 1..=3 {
                        send(&mut tx, &[message; 13]).unwrap();
                    }
                    let batch = rx.batch();
                    for message in 1..=taken {
                        assert_eq!(batch.next(), Some(&[message; 13][..]), "wiped before its batch ended");
                    }
                    drop(batch);
                    // What is left stays as it is.
                    for message in taken + 1..=3 {
                        assert_eq!(receive(&mut rx).unwrap(), [message; 13]);
                    }
                    let mut seen = Vec::new();
                    // Once around.
                    while seen.len() < 96 {
                        let before = tx.reserve(16).unwrap().to_vec();
                        seen.extend(before);
                        tx.commit();
                        tx.publish();
                        receive(&mut rx).unwrap();
                    }
                    seen
                };
                assert!(seen(true).iter().all(|byte| *byte == 0), "at {position}, {taken} in a batch");
                assert!(seen(false).iter().any(|byte| *byte != 0), "nothing was there to be wiped");
            }
        }
    }

    #[test]
    fn each_side_learns_that_the_other_left() {
        let (mut tx, mut rx) = byte_ring(64, 64);
        tx.reserve(1).unwrap().fill(7);
        tx.commit();
        drop(tx);
        assert!(rx.is_disconnected());
        assert_eq!(receive(&mut rx).unwrap(), [7], "dropping the producer publishes what it staged");

        let (mut tx, rx) = byte_ring(64, 64);
        drop(rx);
        assert!(tx.is_disconnected());
        assert_eq!(tx.reserve(1), Err(ReserveError::Disconnected));
    }
}
