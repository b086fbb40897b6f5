//! The one module that knows whether the crate runs on the machine or in loom's model of it.
//!
//! Both sides offer the same names: the atomics, [`fence`], [`UnsafeCell`] with scoped access, and
//! [`Shadow`], which reports accesses to raw memory that loom cannot see for itself.

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

/// The standard cell under loom's interface: a pointer is lent for the length of a closure, so
/// that the model can see when an access begins and ends.
#[cfg(not(loom))]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// Stands for a block of raw memory in the model: one cell for each eight bytes, touched whenever
/// the bytes are. Two touches without an order between them, one of them a write, fail the model.
#[cfg(loom)]
pub(crate) struct Shadow(Vec<UnsafeCell<()>>);

// SAFETY: holds no data; that its touches are ordered is what the model checks.
#[cfg(loom)]
unsafe impl Sync for Shadow {}

#[cfg(loom)]
impl Shadow {
    pub(crate) fn new(bytes: usize) -> Self {
        Self((0..bytes.div_ceil(8)).map(|_| UnsafeCell::new(())).collect())
    }

    pub(crate) fn read(&self, offset: usize, bytes: usize) {
        for cell in &self.0[offset / 8..(offset + bytes).div_ceil(8)] {
            cell.with(|_| ());
        }
    }

    pub(crate) fn write(&self, offset: usize, bytes: usize) {
        for cell in &self.0[offset / 8..(offset + bytes).div_ceil(8)] {
            cell.with_mut(|_| ());
        }
    }
}

/// Without loom, nothing: ThreadSanitizer sees the real accesses.
#[cfg(not(loom))]
pub(crate) struct Shadow;

#[cfg(not(loom))]
impl Shadow {
    pub(crate) const fn new(_bytes: usize) -> Self {
        Self
    }

    #[inline]
    pub(crate) const fn read(&self, _offset: usize, _bytes: usize) {}

    #[inline]
    pub(crate) const fn write(&self, _offset: usize, _bytes: usize) {}
}
