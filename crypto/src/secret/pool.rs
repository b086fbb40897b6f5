//! Slots of 32 bytes in pages that are locked together.
//!
//! Areas are made when the slots run out and stay for the life of the process: a slot that is given back is wiped and used
//! again. All of it is cold, so one lock will do.

use std::mem;

use parking_lot::{Mutex, MutexGuard};
use zeroize::Zeroize;

use super::{SECRET_BYTES, protect};

type Bytes = [u8; SECRET_BYTES];

/// Whole pages, also where a page has 16 KiB.
const AREA_BYTES: usize = 16 * 1024;
const AREA_SLOTS: usize = AREA_BYTES / SECRET_BYTES;

#[repr(align(16384))]
struct Area([Bytes; AREA_SLOTS]);

const _: () = assert!(align_of::<Area>() == AREA_BYTES && size_of::<Area>() == AREA_BYTES);

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), slots: 0, locked: true, undumped: true });

struct Pool {
    /// Wiped, and nobody's.
    free: Vec<&'static mut Bytes>,
    /// Free or not.
    slots: usize,
    /// Whether all areas are locked.
    locked: bool,
    /// Whether all areas stay out of core dumps.
    undumped: bool,
}

impl Pool {
    fn take(&mut self) -> &'static mut Bytes {
        loop {
            match self.free.pop() {
                Some(bytes) => return bytes,
                None => self.grow(),
            }
        }
    }

    fn grow(&mut self) {
        let area = Box::leak(Box::new(Area([[0; SECRET_BYTES]; AREA_SLOTS])));
        let protected = protect::protect(area.0.as_flattened());
        self.locked &= protected.locked;
        self.undumped &= protected.undumped;
        self.slots += AREA_SLOTS;
        // Room for all of them: to give one back never allocates.
        self.free.reserve(self.slots - self.free.len());
        self.free.extend(area.0.iter_mut());
    }

    /// As a report at start-up asks for: before the first secret, too.
    fn with_an_area() -> MutexGuard<'static, Self> {
        let mut pool = POOL.lock();
        if pool.slots == 0 {
            pool.grow();
        }
        pool
    }
}

/// Whether no secret can be swapped out. If not, `ulimit -l` (systemd: `LimitMEMLOCK`) was reached, or the host has no such
/// thing.
#[must_use]
pub fn locked() -> bool {
    Pool::with_an_area().locked
}

/// Whether no secret gets into a core dump. Only Linux can be told so.
#[must_use]
pub fn undumped() -> bool {
    Pool::with_an_area().undumped
}

/// One secret's bytes; wiped and given back when dropped.
pub(super) struct Slot(Option<&'static mut Bytes>);

impl Slot {
    pub(super) fn take() -> Self {
        Self(Some(POOL.lock().take()))
    }

    pub(super) fn bytes(&self) -> &Bytes {
        match &self.0 {
            Some(bytes) => bytes,
            None => unreachable!("a slot has its bytes until it is dropped"),
        }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut Bytes {
        match &mut self.0 {
            Some(bytes) => bytes,
            None => unreachable!("a slot has its bytes until it is dropped"),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(bytes) = mem::take(&mut self.0) {
            bytes.zeroize();
            POOL.lock().free.push(bytes);
        }
    }
}
