//! The observer's clock. Clients and shards of a process compare times of it.

#[cfg(not(test))]
pub(super) use real::{cost_ns, now};
#[cfg(test)]
pub(super) use standing::{cost_ns, now, pass};

#[cfg(not(test))]
mod real {
    use std::sync::LazyLock;
    use std::time::Instant;

    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// Nanoseconds since the process first asked.
    #[inline]
    pub(crate) fn now() -> u64 {
        ORIGIN.elapsed().as_nanos() as u64
    }

    /// What one reading takes, undisturbed.
    pub(crate) fn cost_ns() -> u64 {
        const READINGS: u64 = 32;
        let round = |_| {
            let began = now();
            let ended = (0..READINGS).fold(began, |_, _| std::hint::black_box(now()));
            (ended - began) / READINGS
        };
        (0..32).map(round).min().unwrap_or(0)
    }
}

/// It stands until it is told to go on, and readings cost nothing.
#[cfg(test)]
mod standing {
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
    }

    pub(crate) fn now() -> u64 {
        NOW.get()
    }

    pub(crate) fn pass(ns: u64) {
        NOW.set(NOW.get() + ns);
    }

    pub(crate) fn cost_ns() -> u64 {
        0
    }
}
