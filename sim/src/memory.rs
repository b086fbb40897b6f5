//! Memory for logs and scans, kept from opening to opening: mapping and touching it anew would take most of a run's time.

use iobackend::Arena;
use std::cell::RefCell;
use std::io;

thread_local! {
    /// Each with its size. What is carved holds on to its arena's memory, so one is free when its carving is gone.
    static ARENAS: RefCell<Vec<(usize, Arena)>> = const { RefCell::new(Vec::new()) };
}

/// Carves something out of an arena of `bytes` that nobody uses.
///
/// # Panics
/// If `take` does not find enough in so many bytes.
pub(crate) fn carve<T>(bytes: usize, take: impl FnOnce(&mut Arena) -> Option<T>) -> io::Result<T> {
    ARENAS.with_borrow_mut(|arenas| {
        let free = arenas.iter_mut().position(|(size, arena)| *size == bytes && arena.reclaim());
        let at = match free {
            Some(at) => at,
            None => {
                arenas.push((bytes, Arena::new(bytes)?));
                arenas.len() - 1
            }
        };
        match take(&mut arenas[at].1) {
            Some(carved) => Ok(carved),
            None => unreachable!("an arena of {bytes} bytes holds what it is for"),
        }
    })
}
