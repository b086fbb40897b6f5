//! The two positions of a ring, shared by both kinds of ring.
//!
//! A position counts everything that ever passed (items or bytes) and wraps at the end of `usize`;
//! it is no index. So `tail - head` is what the ring holds, full and empty differ, and the store
//! maps positions to memory in the way that suits it.
//!
//! What must stay true, and what the unsafe code of the stores relies on:
//!
//! - **Window.** Everything in `head..tail` has been written and not yet taken. The consumer alone
//!   touches it.
//! - **Room.** Everything else belongs to the producer alone. A position moves only after its owner
//!   has finished with the memory that it gives up, and its `Release` store hands that memory over
//!   to the `Acquire` load on the other side.
//!
//! Each side keeps its own position and the last one it saw of the other. What it saw can only be
//! too cautious: the other side moves on, never back. So it looks again only when the copy says
//! full, or empty; reading the other's line on every call is what makes a simple ring slow.

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// Where positions start: close to the wrap in a debug build, so that every test goes across it.
const START: usize = if cfg!(debug_assertions) { usize::MAX - 40 } else { 0 };

/// The memory between the two sides.
pub(crate) trait Store {
    /// Drops what was published and never taken. Called once, when both sides are gone.
    fn discard(&mut self, head: usize, tail: usize);
}

struct Shared<S: Store> {
    /// Written by the producer.
    tail: CachePadded<AtomicUsize>,
    /// Written by the consumer.
    head: CachePadded<AtomicUsize>,
    // From here on read by both sides and hardly ever written: it stays in both caches, which
    // makes asking for the other side on every call nearly free.
    /// Whether a side has left. For the one that asks, it must be the other.
    left: AtomicBool,
    store: S,
}

impl<S: Store> Drop for Shared<S> {
    fn drop(&mut self) {
        // Relaxed: `Link` has ordered all that either side did before this.
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        self.store.discard(head, tail);
    }
}

/// One side's hold on what is shared; there are two. The one dropped last frees it.
///
/// Does what an `Arc` would, with the flag that is needed anyway. A dropped `Arc` also lends its
/// own address to the function that frees, which keeps the positions next to it out of registers:
/// with it, a push took nearly twice as long.
struct Link<S: Store>(NonNull<Shared<S>>);

// SAFETY: a link reads `Shared` through a shared reference (`S: Sync`), and may be the one to drop
// it (`S: Send`); the rest of it is atomic.
unsafe impl<S: Store + Send + Sync> Send for Link<S> {}

// SAFETY: as above.
unsafe impl<S: Store + Send + Sync> Sync for Link<S> {}

impl<S: Store> std::ops::Deref for Link<S> {
    type Target = Shared<S>;

    #[inline]
    fn deref(&self) -> &Shared<S> {
        // SAFETY: freed only when both links are dropped.
        unsafe { self.0.as_ref() }
    }
}

impl<S: Store> Drop for Link<S> {
    fn drop(&mut self) {
        // Release: who sees this side gone also sees all that it left. Acquire: who frees does so
        // after all that the other side did.
        if self.left.swap(true, Ordering::AcqRel) {
            // SAFETY: from a box, in `share`; the other link is gone, and this one going.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

/// Puts `store` between a new producer and a new consumer.
pub(crate) fn share<S: Store>(store: S) -> (Writer<S>, Reader<S>) {
    let shared = NonNull::from(Box::leak(Box::new(Shared {
        tail: CachePadded::new(AtomicUsize::new(START)),
        head: CachePadded::new(AtomicUsize::new(START)),
        left: AtomicBool::new(false),
        store,
    })));
    let writer = Writer { shared: Link(shared), tail: START, published: START, head_seen: START };
    let reader = Reader { shared: Link(shared), head: START, published: START, tail_seen: START };
    (writer, reader)
}

/// The producer's side of the positions.
pub(crate) struct Writer<S: Store> {
    shared: Link<S>,
    /// Staged up to here.
    tail: usize,
    published: usize,
    head_seen: usize,
}

impl<S: Store> Writer<S> {
    #[inline]
    pub(crate) fn store(&self) -> &S {
        &self.shared.store
    }

    /// The first position not yet staged.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.tail
    }

    /// What the ring holds now, staged included.
    #[inline]
    pub(crate) fn used(&self) -> usize {
        self.tail.wrapping_sub(self.shared.head.load(Ordering::Acquire))
    }

    /// What the ring held when this side last looked: never less than what it holds.
    #[inline]
    pub(crate) fn used_at_most(&self) -> usize {
        self.tail.wrapping_sub(self.head_seen)
    }

    /// Looks where the consumer is; returns what the ring holds.
    #[inline]
    pub(crate) fn look(&mut self) -> usize {
        self.head_seen = self.shared.head.load(Ordering::Acquire);
        self.used_at_most()
    }

    /// Counts `count` positions, already written, as staged.
    #[inline]
    pub(crate) fn stage(&mut self, count: usize) {
        self.tail = self.tail.wrapping_add(count);
    }

    /// Hands what is staged to the consumer.
    #[inline]
    pub(crate) fn publish(&mut self) {
        // A store of the same value would still take the line away from the consumer.
        if self.published != self.tail {
            self.published = self.tail;
            self.shared.tail.store(self.tail, Ordering::Release);
        }
    }

    #[inline]
    pub(crate) fn is_disconnected(&self) -> bool {
        self.shared.left.load(Ordering::Acquire)
    }
}

impl<S: Store> Drop for Writer<S> {
    fn drop(&mut self) {
        // Before the link says that the producer left.
        self.publish();
    }
}

/// The consumer's side of the positions.
pub(crate) struct Reader<S: Store> {
    shared: Link<S>,
    /// Taken up to here.
    head: usize,
    published: usize,
    tail_seen: usize,
}

impl<S: Store> Reader<S> {
    #[inline]
    pub(crate) fn store(&self) -> &S {
        &self.shared.store
    }

    /// The first position not yet taken.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.head
    }

    /// What the ring holds now.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        self.shared.tail.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// What the ring held when this side last looked: never more than what it holds.
    #[inline]
    pub(crate) fn ready_at_least(&self) -> usize {
        self.tail_seen.wrapping_sub(self.head)
    }

    /// Looks where the producer is; returns what the ring holds.
    #[inline]
    pub(crate) fn look(&mut self) -> usize {
        self.tail_seen = self.shared.tail.load(Ordering::Acquire);
        self.ready_at_least()
    }

    /// Counts `count` positions as taken.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) {
        debug_assert!(count <= self.ready_at_least(), "taken before it was published");
        self.head = self.head.wrapping_add(count);
    }

    /// Gives the room of what was taken back to the producer.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.published != self.head {
            self.published = self.head;
            self.shared.head.store(self.head, Ordering::Release);
        }
    }

    #[inline]
    pub(crate) fn is_disconnected(&self) -> bool {
        self.shared.left.load(Ordering::Acquire)
    }
}

impl<S: Store> Drop for Reader<S> {
    fn drop(&mut self) {
        // What was taken must not be dropped again with the store.
        self.publish();
    }
}
