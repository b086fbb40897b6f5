//! Writing messages in place.

use std::fmt;

use super::{WRAP, frame_bytes};
use crate::cursor::Writer;
use crate::memory::{HEADER_BYTES, Memory};

/// The end that writes messages.
///
/// ```
/// let (mut tx, mut rx) = spsc::byte_ring(4096, 1024);
/// tx.reserve(5).unwrap().copy_from_slice(b"hello");
/// tx.commit();
/// tx.publish();
/// assert_eq!(rx.batch().next(), Some(&b"hello"[..]));
/// ```
pub struct ByteProducer {
    writer: Writer<Memory>,
    window: usize,
    /// Where in the memory the writer's position is; never at its end.
    offset: usize,
    reserved: Option<Reservation>,
}

struct Reservation {
    /// Where the frame starts: the producer's offset, or 0 after a wrap.
    offset: usize,
    len: usize,
    /// Bytes of the frame, and of the end of the memory if it is skipped.
    needed: usize,
}

impl ByteProducer {
    pub(super) fn new(writer: Writer<Memory>, window: usize) -> Self {
        Self { writer, window, offset: 0, reserved: None }
    }

    /// Room for a message of `len` bytes, to be written and then staged with
    /// [`commit`](Self::commit). It holds whatever was there before. A reservation that is not
    /// committed is replaced by the next one.
    ///
    /// Publish before you wait for room: a consumer that does not see what is staged cannot make
    /// any.
    ///
    /// # Errors
    ///
    /// If the message does not fit now, could never be sure to fit, or the consumer is gone.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<&mut [u8], ReserveError> {
        self.reserved = None;
        if self.is_disconnected() {
            return Err(ReserveError::Disconnected);
        }
        let max = self.message_bytes_max();
        if len > max {
            return Err(ReserveError::TooLong { len, max });
        }
        let frame = frame_bytes(len);
        let to_end = self.capacity() - self.offset;
        let (offset, needed) = if frame <= to_end { (self.offset, frame) } else { (0, to_end + frame) };
        if self.writer.used_at_most() + needed > self.window {
            let used = self.writer.look();
            if used > 0 && used + needed > self.window {
                return Err(ReserveError::Full { used, window: self.window });
            }
        }
        self.reserved = Some(Reservation { offset, len, needed });
        // SAFETY: the frame ends before the memory does, by choice of the offset. It is in the
        // room behind the tail, which is the producer's ("Room" in `cursor`): either the window,
        // no larger than the memory, holds `used + needed`; or the ring is empty, and no message
        // within `message_bytes_max` needs more than the memory.
        Ok(unsafe { self.writer.store().slice_mut(offset + HEADER_BYTES, len) })
    }

    /// Stages the message that was reserved last; [`publish`](Self::publish) shows it.
    ///
    /// # Panics
    ///
    /// If nothing is reserved: no [`reserve`](Self::reserve) since the last commit, or it failed.
    #[inline]
    pub fn commit(&mut self) {
        let Reservation { offset, len, needed } = self.reserved.take().expect("commit without a reservation");
        let memory = self.writer.store();
        if offset != self.offset {
            // SAFETY: a multiple of 8 before the end of the memory, and the first of the bytes
            // that the reservation found to be the producer's.
            unsafe { memory.set_header(self.offset, WRAP) };
        }
        // SAFETY: as the message after it, which was reserved together with its header.
        unsafe { memory.set_header(offset, len as u64) };
        let end = offset + frame_bytes(len);
        self.offset = if end == memory.bytes() { 0 } else { end };
        self.writer.stage(needed);
    }

    /// Shows the consumer all that is staged.
    #[inline]
    pub fn publish(&mut self) {
        self.writer.publish();
    }

    /// Bytes that the ring holds now: staged ones, headers and padding included.
    #[must_use]
    pub fn used(&self) -> usize {
        self.writer.used()
    }

    /// Bytes of memory.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.writer.store().bytes()
    }

    /// Bytes that the ring holds at most, but for a single message that is larger.
    #[must_use]
    pub fn window(&self) -> usize {
        self.window
    }

    /// The longest message, in bytes, that an empty ring takes wherever its positions are: a
    /// little under half the memory. One that needs more could be stuck for ever at a place where
    /// neither the end of the memory nor its beginning is long enough.
    #[inline]
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        // At worst the end of the memory falls short by 8 bytes and is skipped: a frame of n bytes
        // then needs 2n - 8.
        let frame = (self.capacity() + 8) / 2;
        frame / 8 * 8 - HEADER_BYTES
    }

    /// Whether the consumer is gone.
    #[inline]
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.writer.is_disconnected()
    }
}

impl fmt::Debug for ByteProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteProducer")
            .field("used", &self.used())
            .field("window", &self.window)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// Why there is no place for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveError {
    /// The window is full. There will be room when the consumer moves on.
    Full {
        /// Bytes that the ring holds.
        used: usize,
        /// Bytes that it may hold.
        window: usize,
    },
    /// The message is longer than any that the ring can be sure to take.
    TooLong {
        /// Bytes of the message.
        len: usize,
        /// Bytes of the longest message: [`ByteProducer::message_bytes_max`].
        max: usize,
    },
    /// The consumer is gone. There will never be room again.
    Disconnected,
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { used, window } => {
                write!(f, "the ring holds {used} of {window} bytes; try again when its consumer has moved on")
            }
            Self::TooLong { len, max } => {
                write!(f, "a message of {len} bytes never fits this ring; send at most {max}, or make it larger")
            }
            Self::Disconnected => f.write_str("the ring's consumer is gone; no message will be taken again"),
        }
    }
}

impl std::error::Error for ReserveError {}
