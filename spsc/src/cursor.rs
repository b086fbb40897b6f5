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

use crossbeam_utils::CachePadded;

use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering};

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
    // From here on read by both sides and written once, when a side leaves: these stay in both
    // caches, which makes asking for the other side on every call nearly free.
    producer_gone: AtomicBool,
    consumer_gone: AtomicBool,
    store: S,
}

impl<S: Store> Drop for Shared<S> {
    fn drop(&mut self) {
        // Relaxed: the count of the `Arc` has ordered all that either side did before this.
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        self.store.discard(head, tail);
    }
}

/// Puts `store` between a new producer and a new consumer.
pub(crate) fn share<S: Store>(store: S) -> (Writer<S>, Reader<S>) {
    let shared = Arc::new(Shared {
        tail: CachePadded::new(AtomicUsize::new(START)),
        head: CachePadded::new(AtomicUsize::new(START)),
        producer_gone: AtomicBool::new(false),
        consumer_gone: AtomicBool::new(false),
        store,
    });
    let writer = Writer { shared: Arc::clone(&shared), tail: START, published: START, head_seen: START };
    let reader = Reader { shared, head: START, published: START, tail_seen: START };
    (writer, reader)
}

/// The producer's side of the positions.
pub(crate) struct Writer<S: Store> {
    shared: Arc<Shared<S>>,
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
        self.shared.consumer_gone.load(Ordering::Acquire)
    }
}

impl<S: Store> Drop for Writer<S> {
    fn drop(&mut self) {
        self.publish();
        // After the last publish, so that who sees the producer gone also sees all it left.
        self.shared.producer_gone.store(true, Ordering::Release);
    }
}

/// The consumer's side of the positions.
pub(crate) struct Reader<S: Store> {
    shared: Arc<Shared<S>>,
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
        self.shared.producer_gone.load(Ordering::Acquire)
    }
}

impl<S: Store> Drop for Reader<S> {
    fn drop(&mut self) {
        // What was taken must not be dropped again with the store.
        self.publish();
        self.shared.consumer_gone.store(true, Ordering::Release);
    }
}
