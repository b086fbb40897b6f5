//! Ctrl-C: the cell that runs is given up and its directory removed; what was measured before is printed.

use crate::failure::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on the first signal is heeded at the next moment that allows it, and the second one ends the process.
pub(crate) fn listen() -> Result<(), Failure> {
    let asked = ASKED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        let second = flag::register_conditional_shutdown(signal, 1, Arc::clone(asked));
        second
            .and_then(|_| flag::register(signal, Arc::clone(asked)))
            .map_err(Failure::doing("cannot listen for signals"))?;
    }
    Ok(())
}

/// Whether somebody wants us to stop.
#[inline]
pub(crate) fn asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
}
