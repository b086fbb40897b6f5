//! Floors: what this machine does at best, without the engine. No engine that keeps the promise, with the same frames and
//! records, is faster than the tightest of them; a figure beside its floor says more than a figure.
//!
//! A floor does no more than any engine must, and takes the best that it sees, so that it is never an excuse. Each
//! measures on the CPU that its caller has pinned the thread to, for about as long as it is told. [`pauses`] alone looks at
//! what others take meanwhile: it is the floor of the tail.

pub(crate) mod chain;
pub(crate) mod device;
pub(crate) mod memory;
pub(crate) mod pauses;
pub(crate) mod reading;
pub(crate) mod ring;

use hdrhistogram::Histogram;
use std::hint::spin_loop;
use std::time::{Duration, Instant};

/// The largest latency that is told apart from larger ones.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Work is timed in slices: long beside a look at the clock, short enough that some pass before another thread gets the core.
const SLICE: Duration = Duration::from_millis(1);

/// Looks in vain before a waiting thread lets others run.
const SPINS: u32 = 1 << 10;

/// Repeats `work`, which returns how many units it did, and returns the nanoseconds that a unit took in the fastest slice:
/// what others took from the core meanwhile, and the first touch of memory, are no limit of the machine. Ends early when
/// work does nothing.
fn fastest_ns(duration: Duration, mut work: impl FnMut() -> u64) -> f64 {
    let start = Instant::now();
    let mut fastest = f64::INFINITY;
    loop {
        let (slice, mut units) = (Instant::now(), 0);
        let (elapsed, ended) = loop {
            let done = work();
            units += done;
            let elapsed = slice.elapsed();
            if done == 0 || elapsed >= SLICE {
                break (elapsed, done == 0);
            }
        };
        if units > 0 {
            fastest = fastest.min(elapsed.as_nanos() as f64 / units as f64);
        }
        if ended || start.elapsed() >= duration {
            return fastest;
        }
    }
}

fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are constants that the histogram takes")
}

/// Calls `attempt` until it gives something.
#[inline]
fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        for _ in 0..SPINS {
            if let Some(value) = attempt() {
                return value;
            }
            spin_loop();
        }
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_slice_counts_and_work_that_ends_ends_it() {
        // A slice each; what the second did in one would take the others most of a day.
        let mut units = [1, 1 << 24, 1].into_iter();
        let ns = fastest_ns(Duration::MAX, || {
            std::thread::sleep(SLICE);
            units.next().unwrap_or(0)
        });
        assert!(ns > 0.0 && ns < SLICE.as_nanos() as f64, "{ns}");
        assert_eq!(fastest_ns(Duration::MAX, || 0), f64::INFINITY);
    }
}
