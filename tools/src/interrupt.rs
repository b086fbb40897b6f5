//! The user's wish to stop: a run then ends early, in order, and tells what it has.

use crate::failure::Failure;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

static WISHES: AtomicU32 = AtomicU32::new(0);
static WATCHED: OnceLock<bool> = OnceLock::new();

/// From now on ctrl-C, or a request to terminate, is a wish; the second one ends the process where it stands.
pub(crate) fn watch() -> Result<(), Failure> {
    let watched = WATCHED.get_or_init(|| {
        let handler = || {
            if WISHES.fetch_add(1, Ordering::Relaxed) > 0 {
                std::process::exit(1);
            }
        };
        ctrlc::set_handler(handler).is_ok()
    });
    if *watched { Ok(()) } else { Err(Failure::failed("cannot watch for ctrl-C: the system allows no handler")) }
}

/// Whether the user wishes to stop.
pub(crate) fn requested() -> bool {
    WISHES.load(Ordering::Relaxed) > 0
}
