//! Panics of a simulated engine: the run notes them as violations, so the program's own report of them is held back.

use std::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    static SIMULATES: Cell<bool> = const { Cell::new(false) };
}

/// Runs a plan. A panic in it ends in the run's violations and nowhere else.
pub(super) fn run(plan: &::sim::Plan, keep_trace: bool) -> ::sim::Run {
    during(|| ::sim::run(plan, keep_trace))
}

/// Does something that runs plans.
pub(super) fn during<T>(simulate: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !SIMULATES.get() {
                before(info);
            }
        }));
    });
    let outer = SIMULATES.replace(true);
    let done = simulate();
    SIMULATES.set(outer);
    done
}
