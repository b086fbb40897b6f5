//! The floor of the tail: how long CPUs that do nothing but read the clock are kept from it.

use super::latencies;
use diatreme::cores;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::panic::resume_unwind;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// A longer step from one reading of the clock to the next is a pause. A reading takes some 20 ns, through a system call less
/// than a microsecond, and a tick of the timer a few.
const PAUSE_MIN: Duration = Duration::from_micros(5);

/// Those above are counted: longer than ticks and interrupts take, as long as a durable write.
pub(crate) const LONG_NS: u64 = 100_000;

/// What a host, the kernel and other tasks take from CPUs that are all kept busy at once.
///
/// Pauses of all CPUs together: it is not known beforehand which of them a request will need. The wait is that of a request that
/// comes to one of these CPUs at a moment that no pause decides: until the end of the pause that it comes in, else none.
/// With `g` the length of each pause, and `total` the time of all CPUs, it falls into the first `g − w` of a pause, and so waits
/// longer than `w`, with the probability `Σ max(0, g − w) / total`. The quantile `q` is the `w` for which that is `1 − q`.
///
/// It is honest in both directions. Requests that pass several CPUs, or one several times, meet more pauses than this, and what
/// queued up meanwhile waits on; so an open loop's tail is hardly lower. But a closed loop sends nothing while it stands still:
/// few of its requests meet a pause, and its percentiles may be lower. And pauses differ from second to second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PausesFloor {
    /// Those that were kept busy, ascending.
    pub(crate) cpus: Vec<usize>,
    /// For so long.
    pub(crate) seconds: f64,
    /// Of the time of all CPUs, in pauses of 5 µs or more.
    pub(crate) lost_percent: f64,
    /// Pauses above 100 µs, of all CPUs together, in a second.
    pub(crate) over_100us_per_sec: f64,
    pub(crate) max_ns: u64,
    /// What a moment at random waits.
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
}

/// Keeps these CPUs busy, all at once, each with a thread that reads the clock and notes what took too long.
///
/// All at once, for a host that has fewer cores to give than its guest has CPUs takes none away as long as one is busy.
///
/// To be called from a thread that is not pinned: those that it starts may run where it may.
///
/// # Errors
/// When there is no CPU, or one that this thread may not use.
pub(crate) fn pauses(cpus: &[usize], duration: Duration) -> Result<PausesFloor, String> {
    let mut cpus = cpus.to_vec();
    cpus.sort_unstable();
    cpus.dedup();
    if cpus.is_empty() {
        return Err("no CPU is named".into());
    }
    let together = Barrier::new(cpus.len());
    let measured = thread::scope(|scope| {
        let measure = |&cpu: &usize| {
            scope.spawn({
                let together = &together;
                move || on_cpu(cpu, together, duration)
            })
        };
        let threads: Vec<_> = cpus.iter().map(measure).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.collect::<Vec<_>>()
    });
    let (mut pauses_ns, mut total) = (latencies(), Duration::ZERO);
    for of_cpu in measured {
        let (of_cpu_ns, elapsed) = of_cpu?;
        pauses_ns.add(of_cpu_ns).expect("all have the same bounds");
        total += elapsed;
    }
    let mut descending: Vec<(u64, u64)> =
        pauses_ns.iter_recorded().map(|at| (at.value_iterated_to(), at.count_since_last_iteration())).collect();
    descending.reverse();
    Ok(PausesFloor::of(cpus, total, &descending))
}

/// The pauses of one CPU, and how long it was looked at.
fn on_cpu(cpu: usize, together: &Barrier, duration: Duration) -> Result<(Histogram<u64>, Duration), String> {
    let pinned = cores::pin(cpu);
    let mut pauses_ns = latencies();
    // Writes all its memory: what is touched for the first time below would be a pause of our own making.
    pauses_ns.reset();
    // Also without its CPU: the others wait for this thread.
    together.wait();
    pinned.map_err(|allowed| format!("CPU {cpu}: this thread may run on {allowed:?} only"))?;
    let start = Instant::now();
    let mut last = start;
    while last - start < duration {
        let now = Instant::now();
        let step = now - last;
        if step >= PAUSE_MIN {
            pauses_ns.saturating_record(step.as_nanos() as u64);
        }
        last = now;
    }
    Ok((pauses_ns, last - start))
}

impl PausesFloor {
    /// Of the lengths of pauses in nanoseconds, longest first, with how many there were of each; and the time of all CPUs.
    fn of(cpus: Vec<usize>, total: Duration, pauses: &[(u64, u64)]) -> PausesFloor {
        let seconds = total.as_secs_f64() / cpus.len() as f64;
        let total_ns = total.as_nanos() as f64;
        let lost_ns: f64 = pauses.iter().map(|(ns, count)| *ns as f64 * *count as f64).sum();
        let long: u64 = pauses.iter().filter(|(ns, _)| *ns > LONG_NS).map(|(_, count)| count).sum();
        let waits_ns = |one_in: f64| wait_ns(pauses, total_ns / one_in) as u64;
        PausesFloor {
            cpus,
            seconds,
            lost_percent: lost_ns / total_ns * 100.0,
            over_100us_per_sec: long as f64 / seconds,
            max_ns: pauses.first().map_or(0, |(ns, _)| *ns),
            p99_ns: waits_ns(100.0),
            p999_ns: waits_ns(1000.0),
        }
    }
}

/// The `w` for which `Σ max(0, g − w)` is `beyond_ns`; 0 if all pauses are shorter than that together.
///
/// Of the `k` longest, `Σ g − k w = beyond_ns` gives a `w`: it is the one if the next pause is no longer.
fn wait_ns(descending: &[(u64, u64)], beyond_ns: f64) -> f64 {
    let (mut sum_ns, mut longer) = (0.0, 0.0);
    for (at, (ns, count)) in descending.iter().enumerate() {
        sum_ns += *ns as f64 * *count as f64;
        longer += *count as f64;
        let wait = (sum_ns - beyond_ns) / longer;
        let next_ns = descending.get(at + 1).map_or(0, |(ns, _)| *ns);
        if wait >= next_ns as f64 {
            return wait;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const MS: u64 = 1_000_000;

    #[test]
    fn a_moment_waits_for_the_rest_of_its_pause() {
        let second = Duration::from_secs(1);
        let of = |pauses: &[(u64, u64)]| PausesFloor::of(vec![0], second, pauses);
        // Of a pause of 100 ms, the first tenth waits more than 90 ms: a hundredth of the second.
        let long = of(&[(100 * MS, 1)]);
        assert_eq!((long.p99_ns, long.p999_ns, long.max_ns), (90 * MS, 99 * MS, 100 * MS));
        assert_eq!((long.lost_percent, long.over_100us_per_sec), (10.0, 1.0));
        // 8 ms of one and 2 ms of the other come before the last 2 ms.
        assert_eq!(of(&[(10 * MS, 1), (4 * MS, 1)]).p99_ns, 2 * MS);
        // A hundredth of the time exactly, and less.
        assert_eq!(of(&[(5 * MS, 2)]).p99_ns, 0);
        let ticks = of(&[(LONG_NS, 9), (5000, 300)]);
        assert_eq!((ticks.p99_ns, ticks.over_100us_per_sec), (0, 0.0));
        let none = of(&[]);
        assert_eq!((none.p999_ns, none.max_ns, none.lost_percent), (0, 0, 0.0));
    }

    #[test]
    fn cpus_share_the_time_and_add_up_their_pauses() {
        let two = PausesFloor::of(vec![0, 3], Duration::from_secs(4), &[(40 * MS, 2), (20 * MS, 1)]);
        assert_eq!((two.seconds, two.lost_percent, two.over_100us_per_sec), (2.0, 2.5, 1.5));
        assert_eq!((two.p99_ns, two.p999_ns), (20 * MS, 38 * MS));
    }

    #[test]
    fn the_wait_solves_its_equation() {
        let descending: Vec<(u64, u64)> = (1..60).rev().map(|at| (at * at * 977, 1 + at % 7)).collect();
        let beyond = |wait: f64| -> f64 {
            descending.iter().map(|(ns, count)| (*ns as f64 - wait).max(0.0) * *count as f64).sum()
        };
        let lost = beyond(0.0);
        for part in [0.001, 0.1, 0.5, 0.9, 0.999, 1.0] {
            let wait = wait_ns(&descending, part * lost);
            assert!((beyond(wait) / lost - part).abs() < 1e-9, "{part}: {wait}");
        }
        assert_eq!(wait_ns(&descending, 1.1 * lost), 0.0);
    }

    #[test]
    fn cpus_are_each_measured_once_and_those_that_are_not_ours_are_named() {
        let (cpus, duration) = (cores::available(), Duration::from_millis(20));
        let floor = pauses(&[&cpus[..], &cpus[..]].concat(), duration).unwrap();
        assert_eq!(floor.cpus, cpus);
        assert!(floor.seconds >= 0.02 && floor.p99_ns <= floor.p999_ns && floor.p999_ns <= floor.max_ns, "{floor:?}");
        assert!((0.0..=100.1).contains(&floor.lost_percent), "{floor:?}");
        assert_eq!(pauses(&[], duration).unwrap_err(), "no CPU is named");
        assert!(pauses(&[cpus[0], 4095], duration).unwrap_err().starts_with("CPU 4095: this thread may run on"));
    }

    /// Elsewhere than on Linux a pinned thread may move away.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_another_thread_takes_is_a_pause() {
        let (cpu, ended) = (cores::available()[0], AtomicBool::new(false));
        let floor = thread::scope(|scope| {
            scope.spawn(|| {
                cores::pin(cpu).unwrap();
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let floor = pauses(&[cpu], Duration::from_millis(200));
            ended.store(true, Ordering::Relaxed);
            floor.unwrap()
        });
        assert!(floor.lost_percent > 10.0 && floor.max_ns > LONG_NS && floor.p99_ns > LONG_NS, "{floor:?}");
    }
}
