//! Reading messages where they lie, a batch at a time.

use std::cell::Cell;
use std::fmt;

use super::{WRAP, frame_bytes};
use crate::cursor::Reader;
use crate::memory::{HEADER_BYTES, Memory};

/// How far ahead of the reader to ask for memory: far enough to hide the latency of the other
/// core's cache from a reader that does little with each message.
const PREFETCH_BYTES: usize = 12 * 64;

/// The end that reads messages, in the order in which they were committed.
pub struct ByteConsumer {
    reader: Reader<Memory>,
    /// Where in the memory the reader's position is; never at its end.
    offset: usize,
}

impl ByteConsumer {
    pub(super) fn new(reader: Reader<Memory>) -> Self {
        Self { reader, offset: 0 }
    }

    /// The messages that wait: those left of the last look at the producer, or else a new look.
    /// So a batch that is read to its end is followed by one with all that is in the ring then.
    #[inline]
    pub fn batch(&mut self) -> Batch<'_> {
        // Reading one message a batch would otherwise fetch the producer's line for each.
        let left = match self.reader.ready_at_least() {
            0 => self.reader.look(),
            left => left,
        };
        Batch { left: Cell::new(left), offset: Cell::new(self.offset), consumer: self }
    }

    /// Whether the ring holds no message now.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reader.ready_at_least() == 0 && self.reader.ready() == 0
    }

    /// Whether the producer is gone. What it left can still be read.
    ///
    /// To know that nothing will come any more, ask this first and find the ring empty second. The
    /// other way round, the last message may arrive between the two questions.
    #[inline]
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.reader.is_disconnected()
    }
}

impl fmt::Debug for ByteConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteConsumer")
            .field("ready", &self.reader.ready())
            .field("capacity", &self.reader.store().bytes())
            .finish_non_exhaustive()
    }
}

/// Messages read where they lie; their room is given back when the batch is dropped.
///
/// Its methods take `&self` so that many messages can be held at once, and none can outlive the
/// batch. If it is leaked instead of dropped, the next batch begins with the same messages.
///
/// ```compile_fail,E0505
/// let (_tx, mut rx) = spsc::byte_ring(64, 64);
/// let batch = rx.batch();
/// let message = batch.next();
/// drop(batch);
/// message.is_some();
/// ```
pub struct Batch<'a> {
    consumer: &'a mut ByteConsumer,
    /// Bytes of the batch not yet passed.
    left: Cell<usize>,
    /// Where in the memory they begin.
    offset: Cell<usize>,
}

impl Batch<'_> {
    /// The first message not yet passed. Does not pass it.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<&[u8]> {
        let len = self.front()?;
        // SAFETY: a frame of this length lies at the offset, in bytes that were published to the
        // consumer ("Window" in `cursor`), and the head moves past it only when the batch, which
        // the slice borrows, is dropped.
        Some(unsafe { self.memory().slice(self.offset.get() + HEADER_BYTES, len) })
    }

    /// Passes the message that [`peek`](Self::peek) shows; does nothing if there is none.
    #[inline]
    pub fn advance(&self) {
        if let Some(len) = self.front() {
            self.pass(frame_bytes(len));
        }
    }

    /// The first message not yet passed, and passes it.
    #[inline]
    pub fn next(&self) -> Option<&[u8]> {
        let message = self.peek()?;
        self.pass(frame_bytes(message.len()));
        Some(message)
    }

    /// Finds the first frame and the length of its message, at the start of the memory if there is
    /// a marker.
    #[inline]
    fn front(&self) -> Option<usize> {
        if self.left.get() == 0 {
            return None;
        }
        let memory = self.memory();
        let to_end = memory.bytes() - self.offset.get();
        // SAFETY: what is left begins with a header, 8 bytes at least before the end.
        let mut header = unsafe { memory.header(self.offset.get()) };
        if header == WRAP {
            self.left.set(self.left.get() - to_end);
            self.offset.set(0);
            // SAFETY: a marker is staged together with the message at the start.
            header = unsafe { memory.header(0) };
        }
        let len = header as usize;
        assert!(len <= self.left.get() - HEADER_BYTES, "a header was overwritten in the ring");
        Some(len)
    }

    #[inline]
    fn pass(&self, frame: usize) {
        let left = self.left.get() - frame;
        let end = self.offset.get() + frame;
        let offset = if end == self.memory().bytes() { 0 } else { end };
        self.left.set(left);
        self.offset.set(offset);
        // Not beyond what is published: that would take lines from the producer as it writes them.
        if left > PREFETCH_BYTES {
            self.memory().prefetch(offset + PREFETCH_BYTES);
        }
    }

    #[inline]
    fn memory(&self) -> &Memory {
        self.consumer.reader.store()
    }
}

impl Batch<'_> {
    /// Overwrites what was passed: one stretch, or two where it goes across the end of the memory.
    #[inline]
    fn wipe(&self, taken: usize) {
        let (memory, from) = (self.memory(), self.consumer.offset);
        let before_end = taken.min(memory.bytes() - from);
        // SAFETY: bytes that were published to the consumer and whose room it has not given back ("Window" in `cursor`): it alone
        // touches them, and the slices into them have ended with the batch that lent them.
        unsafe {
            memory.wipe(from, before_end);
            memory.wipe(0, taken - before_end);
        }
    }
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        let taken = self.consumer.reader.ready_at_least() - self.left.get();
        if taken > 0 && self.memory().is_wiped() {
            self.wipe(taken);
        }
        let reader = &mut self.consumer.reader;
        reader.take(taken);
        reader.publish();
        self.consumer.offset = self.offset.get();
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("bytes_left", &self.left.get()).finish_non_exhaustive()
    }
}
