//! The ring for values of one type.
//!
//! Items are moved in and out one by one; only their publishing is batched. For bytes of varying
//! length see the byte ring.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::cursor::{self, Reader, Store, Writer};
use crate::memory::Lines;
use crate::sync::UnsafeCell;

/// A ring for at most `capacity` items.
///
/// Memory is taken for the next power of two, because finding the slot of a position with a mask
/// is what keeps a division or a branch out of every push and pop.
///
/// # Panics
///
/// If `capacity` is 0, or the slots would not fit the address space.
#[must_use]
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let (writer, reader) = cursor::share(Slots::new(capacity));
    (Producer { writer }, Consumer { reader })
}

/// Why an item was not taken; it comes back with the reason.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PushError<T> {
    /// The ring holds as many items as it may. There will be room when the consumer moves on.
    Full(T),
    /// The consumer is gone. There will never be room again.
    Disconnected(T),
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the ring is full; try again when its consumer has moved on",
            Self::Disconnected(_) => "the ring's consumer is gone; no item will be taken again",
        })
    }
}

// By hand, so that an item need not be `Debug`: as with std's `TrySendError`.
impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> std::error::Error for PushError<T> {}

/// The end that puts items in.
pub struct Producer<T> {
    writer: Writer<Slots<T>>,
}

impl<T> Producer<T> {
    /// Puts `item` in and publishes it, with all that was staged before it. What was staged is
    /// published also when `item` is refused, so that to try again until it works does end.
    ///
    /// # Errors
    ///
    /// Gives the item back if the ring is full or its consumer gone.
    #[inline]
    pub fn try_push(&mut self, item: T) -> Result<(), PushError<T>> {
        let staged = self.stage(item);
        self.publish();
        staged
    }

    /// Puts `item` in without showing it to the consumer yet; [`publish`](Self::publish) does.
    ///
    /// Staged items take up room. Publish before you wait for more: a consumer that does not see
    /// them cannot make any.
    ///
    /// # Errors
    ///
    /// Gives the item back if the ring is full or its consumer gone.
    #[inline]
    pub fn stage(&mut self, item: T) -> Result<(), PushError<T>> {
        if self.is_disconnected() {
            return Err(PushError::Disconnected(item));
        }
        if !self.has_room() {
            return Err(PushError::Full(item));
        }
        // SAFETY: there is room.
        unsafe { self.put(item) };
        Ok(())
    }

    /// Shows the consumer all that is staged.
    #[inline]
    pub fn publish(&mut self) {
        self.writer.publish();
    }

    /// Moves items into the ring until `items` ends or the ring is full, publishes them together
    /// (with all that was staged), and returns how many went in.
    ///
    /// No item is taken from the iterator that does not fit: lend it (`&mut items`) to go on with
    /// the rest later. Takes nothing if the consumer is gone.
    #[inline]
    pub fn push_batch(&mut self, items: impl IntoIterator<Item = T>) -> usize {
        let mut items = items.into_iter();
        let mut pushed = 0;
        if !self.is_disconnected() {
            while self.has_room() {
                let Some(item) = items.next() else { break };
                // SAFETY: there is room, and the iterator cannot have filled it.
                unsafe { self.put(item) };
                pushed += 1;
            }
        }
        self.publish();
        pushed
    }

    /// Items in the ring now, staged ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writer.used()
    }

    /// Whether the ring holds no item now, staged ones included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most items that the ring holds: as was asked for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.writer.store().capacity
    }

    /// Whether the consumer is gone. What is still in the ring is then dropped with this end.
    #[inline]
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.writer.is_disconnected()
    }

    #[inline]
    fn has_room(&mut self) -> bool {
        let capacity = self.capacity();
        self.writer.used_at_most() < capacity || self.writer.look() < capacity
    }

    /// # Safety
    ///
    /// There must be room for an item.
    #[inline]
    unsafe fn put(&mut self, item: T) {
        self.writer.store().slot(self.writer.position()).with_mut(|slot| {
            // SAFETY: with room for an item, the slot at the tail is the producer's alone ("Room"
            // in `cursor`) and holds no item that this could leak.
            unsafe { (*slot).write(item) };
        });
        self.writer.stage(1);
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("len", &self.len()).field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// The end that takes items out, in the order in which they were put in.
pub struct Consumer<T> {
    reader: Reader<Slots<T>>,
}

impl<T> Consumer<T> {
    /// Takes the oldest item, and gives its room back at once.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.reader.ready_at_least() == 0 && self.reader.look() == 0 {
            return None;
        }
        // SAFETY: there is an item.
        let item = unsafe { self.get() };
        self.reader.publish();
        Some(item)
    }

    /// Takes up to `max` of the items that are in the ring now. Their room is given back together,
    /// when the iterator is dropped; what it did not yield stays in the ring.
    #[inline]
    pub fn drain(&mut self, max: usize) -> Drain<'_, T> {
        let mut ready = self.reader.ready_at_least();
        if ready < max {
            ready = self.reader.look();
        }
        Drain { left: ready.min(max), consumer: self }
    }

    /// Items in the ring now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reader.ready()
    }

    /// Whether the ring holds no item now.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reader.ready_at_least() == 0 && self.reader.ready() == 0
    }

    /// The most items that the ring holds: as was asked for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.reader.store().capacity
    }

    /// Whether the producer is gone. What it left can still be taken.
    ///
    /// To know that nothing will come any more, ask this first and find the ring empty second. The
    /// other way round, the last item may arrive between the two questions.
    #[inline]
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.reader.is_disconnected()
    }

    /// # Safety
    ///
    /// The last look at the producer must have shown an item that is not taken yet.
    #[inline]
    unsafe fn get(&mut self) -> T {
        let item = self.reader.store().slot(self.reader.position()).with(|slot| {
            // SAFETY: the slot at the head holds an item ("Window" in `cursor`). It is moved out
            // once, because the head moves on before anything else can happen.
            unsafe { (*slot).assume_init_read() }
        });
        self.reader.take(1);
        item
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("len", &self.len()).field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// Items taken as a batch: see [`Consumer::drain`].
///
/// If it is leaked instead of dropped, the room of what it yielded is given back by the consumer's
/// next call that gives back any.
pub struct Drain<'a, T> {
    consumer: &'a mut Consumer<T>,
    left: usize,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `left` was no more than what the last look showed, and counts down with it.
        Some(unsafe { self.consumer.get() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Drain<'_, T> {}

impl<T> std::iter::FusedIterator for Drain<'_, T> {}

impl<T> Drop for Drain<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.consumer.reader.publish();
    }
}

impl<T> fmt::Debug for Drain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.left).finish_non_exhaustive()
    }
}

/// A place for an item, or for none.
type Slot<T> = UnsafeCell<MaybeUninit<T>>;

/// A power of two of slots, of which at most `capacity` hold an item.
struct Slots<T> {
    lines: Lines,
    mask: usize,
    capacity: usize,
    _items: PhantomData<Slot<T>>,
}

// SAFETY: owns its items, and nothing else that is bound to a thread.
unsafe impl<T: Send> Send for Slots<T> {}

// SAFETY: the rules of `cursor` give each slot to one side at a time, and hand it over with
// Release and Acquire. So sharing the slots amounts to sending items, which `T: Send` allows.
unsafe impl<T: Send> Sync for Slots<T> {}

impl<T> Slots<T> {
    fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a ring needs room for at least one item");
        let count = capacity.checked_next_power_of_two().expect("a ring must fit the address space");
        let lines = Lines::new::<Slot<T>>(count);
        for index in 0..count {
            // SAFETY: one of the `count` slots that there is room for. Costs nothing on the
            // machine, where an empty slot is any bytes; a cell of loom's has a beginning.
            unsafe { lines.start().add(index).write(Slot::<T>::new(MaybeUninit::uninit())) };
        }
        Self { lines, mask: count - 1, capacity, _items: PhantomData }
    }

    #[inline]
    fn slot(&self, position: usize) -> &Slot<T> {
        // SAFETY: the mask keeps the index below the number of slots, all written in `new`.
        unsafe { self.lines.start().add(position & self.mask).as_ref() }
    }
}

impl<T> Store for Slots<T> {
    fn discard(&mut self, head: usize, tail: usize) {
        if !std::mem::needs_drop::<T>() {
            return;
        }
        let mut position = head;
        while position != tail {
            // SAFETY: the slots between head and tail hold items ("Window" in `cursor`), and both
            // sides are gone.
            self.slot(position).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            position = position.wrapping_add(1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::{PushError, ring};

    #[test]
    fn capacity_is_exact_and_order_is_kept_across_the_wrap() {
        for capacity in [1, 2, 3, 5, 8, 13] {
            let (mut tx, mut rx) = ring(capacity);
            assert_eq!((tx.capacity(), rx.capacity()), (capacity, capacity));
            for round in 0..50 {
                for item in 0..capacity {
                    assert_eq!(tx.try_push((round, item)), Ok(()));
                }
                assert_eq!(tx.try_push((round, capacity)), Err(PushError::Full((round, capacity))));
                for item in 0..capacity {
                    assert_eq!(rx.pop(), Some((round, item)));
                }
                assert_eq!(rx.pop(), None);
            }
        }
    }

    #[test]
    #[should_panic(expected = "at least one item")]
    fn a_ring_without_room_is_refused() {
        let _ = ring::<u8>(0);
    }

    #[test]
    fn staged_items_are_unseen_until_published() {
        let (mut tx, mut rx) = ring(2);
        tx.stage(1).unwrap();
        tx.stage(2).unwrap();
        assert_eq!((tx.len(), rx.len()), (2, 0));
        assert_eq!(rx.pop(), None);
        // A refused push publishes too, or nobody would ever make room.
        assert_eq!(tx.try_push(3), Err(PushError::Full(3)));
        assert_eq!(rx.pop(), Some(1));
        assert_eq!(rx.pop(), Some(2));
    }

    #[test]
    fn a_batch_takes_from_the_iterator_only_what_fits() {
        let (mut tx, mut rx) = ring(3);
        let mut items = 0..5;
        assert_eq!(tx.push_batch(&mut items), 3);
        assert_eq!(tx.push_batch(&mut items), 0);
        assert_eq!(rx.drain(2).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(tx.push_batch(&mut items), 2);
        assert_eq!(rx.drain(usize::MAX).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn a_drain_gives_room_back_when_dropped_and_keeps_what_it_did_not_yield() {
        let (mut tx, mut rx) = ring(4);
        tx.push_batch(0..4);
        let mut drain = rx.drain(3);
        assert_eq!(drain.len(), 3);
        assert_eq!(drain.next(), Some(0));
        assert_eq!(tx.try_push(4), Err(PushError::Full(4)));
        drop(drain);
        assert_eq!(tx.try_push(4), Ok(()));
        assert_eq!(rx.drain(9).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_leaked_drain_neither_repeats_nor_drops_twice() {
        let item = Arc::new(());
        let (mut tx, mut rx) = ring(4);
        tx.push_batch((0..3).map(|_| Arc::clone(&item)));
        let mut drain = rx.drain(3);
        assert!(drain.next().is_some());
        std::mem::forget(drain);
        assert_eq!(rx.len(), 2);
        drop((tx, rx));
        assert_eq!(Arc::strong_count(&item), 1);
    }

    #[test]
    fn each_side_learns_that_the_other_left() {
        let (mut tx, mut rx) = ring(4);
        tx.stage(1).unwrap();
        assert!(!rx.is_disconnected());
        drop(tx);
        assert!(rx.is_disconnected());
        assert_eq!(rx.pop(), Some(1), "dropping the producer publishes what it staged");
        assert!(rx.is_empty());

        let (mut tx, rx) = ring(4);
        assert!(!tx.is_disconnected());
        drop(rx);
        assert!(tx.is_disconnected());
        assert_eq!(tx.try_push(1), Err(PushError::Disconnected(1)));
        assert_eq!(tx.push_batch([1, 2]), 0);
    }

    #[test]
    fn what_is_left_is_dropped_once_whichever_side_goes_first() {
        for producer_first in [false, true] {
            let item = Arc::new(());
            let (mut tx, mut rx) = ring(3);
            tx.push_batch((0..3).map(|_| Arc::clone(&item)));
            drop(rx.pop());
            tx.stage(Arc::clone(&item)).unwrap();
            assert_eq!(Arc::strong_count(&item), 4);
            if producer_first {
                drop(tx);
                drop(rx);
            } else {
                drop(rx);
                drop(tx);
            }
            assert_eq!(Arc::strong_count(&item), 1);
        }
    }

    #[test]
    fn items_without_size_are_counted_too() {
        let (mut tx, mut rx) = ring(3);
        assert_eq!(tx.push_batch([(); 5]), 3);
        assert_eq!(rx.drain(9).count(), 3);
    }
}
