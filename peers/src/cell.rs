//! One cell of the table: what is written, for how long, and what came of it.

use crate::failure::Failure;
use crate::interrupt;
use crate::noise::Noise;
use hdrhistogram::Histogram;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Latencies are kept to three digits, which is finer than any two runs agree; none is longer than a cell may be.
const DIGITS: u8 = 3;
const LATENCY_NS_MAX: u64 = 1000 * 1_000_000_000;

/// What every engine is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) noise: &'a Noise,
    /// Records a commit.
    pub(crate) batch: usize,
    /// Commits that may be in flight at once.
    pub(crate) in_flight: usize,
    /// Appends before the clock counts.
    pub(crate) warm_up: Duration,
    /// Appends that count.
    pub(crate) measured: Duration,
}

/// More than any engine writes here: what an engine that prepares its logs is told.
const COMMITS_PER_S_MAX: u64 = 20_000;
const RECORDS_PER_S_MAX: u64 = 5_000_000;
const BYTES_MAX: u64 = 3 << 30;

impl Cell<'_> {
    /// How many bytes may be written in the cell.
    pub(crate) fn bytes_max(&self) -> u64 {
        let records_per_s = (COMMITS_PER_S_MAX * (self.in_flight * self.batch) as u64).min(RECORDS_PER_S_MAX);
        let seconds = (self.warm_up + self.measured).as_secs_f64().ceil() as u64;
        (records_per_s * seconds * self.noise.payload() as u64).min(BYTES_MAX)
    }
}

/// What was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Commits that ended while the clock counted.
    pub(crate) commits: u64,
    /// How long each of those took.
    pub(crate) latency_ns: Histogram<u64>,
    /// How many records each writer wrote in all, the warm-up included.
    pub(crate) written: Vec<u64>,
}

/// The time of a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    from: Instant,
    to: Instant,
}

impl Clock {
    pub(crate) fn start(cell: &Cell<'_>) -> Clock {
        let from = Instant::now() + cell.warm_up;
        Clock { from, to: from + cell.measured }
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.to || interrupt::asked()
    }
}

impl Tally {
    pub(crate) fn new() -> Result<Tally, Failure> {
        let latency_ns = Histogram::new_with_max(LATENCY_NS_MAX, DIGITS);
        let latency_ns = latency_ns.map_err(Failure::doing("cannot make a histogram"))?;
        Ok(Tally { commits: 0, latency_ns, written: Vec::new() })
    }

    /// A commit that was acknowledged.
    #[inline]
    pub(crate) fn count(&mut self, clock: &Clock, sent: Instant, acknowledged: Instant) {
        if acknowledged >= clock.from && acknowledged < clock.to {
            self.commits += 1;
            self.latency_ns.saturating_record(acknowledged.duration_since(sent).as_nanos() as u64);
        }
    }

    /// All commits, the warm-up included.
    pub(crate) fn commits_all(&self, cell: &Cell<'_>) -> u64 {
        self.written.iter().sum::<u64>() / cell.batch as u64
    }

    pub(crate) fn records_per_s(&self, cell: &Cell<'_>) -> f64 {
        (self.commits * cell.batch as u64) as f64 / cell.measured.as_secs_f64()
    }

    fn add(&mut self, other: &Tally) -> Result<(), Failure> {
        self.commits += other.commits;
        self.written.extend(&other.written);
        self.latency_ns.add(&other.latency_ns).map_err(Failure::doing("cannot add histograms"))
    }
}

/// A writer commits one batch after the other, each when the one before it is durable; at least one.
pub(crate) fn one_writer(
    cell: &Cell<'_>,
    clock: &Clock,
    writer: u64,
    mut commit: impl FnMut(u64, &[&[u8]]) -> Result<(), Failure>,
) -> Result<Tally, Failure> {
    let mut tally = Tally::new()?;
    let mut records = Vec::with_capacity(cell.batch);
    let mut next = 0;
    let mut sent = Instant::now();
    loop {
        records.clear();
        records.extend((next..next + cell.batch as u64).map(|at| cell.noise.record(writer, at)));
        commit(next, &records)?;
        let acknowledged = Instant::now();
        tally.count(clock, sent, acknowledged);
        next += cell.batch as u64;
        sent = acknowledged;
        if clock.is_over(sent) {
            break;
        }
    }
    tally.written.push(next);
    Ok(tally)
}

/// As many writers as may be in flight, each a thread with what `attach` gives it.
pub(crate) fn writers<W>(cell: &Cell<'_>, attach: impl Fn(u64) -> Result<W, Failure> + Sync) -> Result<Tally, Failure>
where
    W: FnMut(u64, &[&[u8]]) -> Result<(), Failure>,
{
    let barrier = Barrier::new(cell.in_flight);
    let run = |writer: u64| {
        let attached = attach(writer);
        barrier.wait();
        one_writer(cell, &Clock::start(cell), writer, attached?)
    };
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..cell.in_flight as u64).map(|writer| scope.spawn(move || run(writer))).collect();
        let mut all = Tally::new()?;
        for thread in threads {
            let ended = thread.join().unwrap_or_else(|_| Err(Failure::Failed("a writer's thread panicked".into())));
            all.add(&ended?)?;
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn cell(noise: &Noise, in_flight: usize) -> Cell<'_> {
        let (warm_up, measured) = (Duration::from_millis(5), Duration::from_millis(20));
        Cell { noise, batch: 10, in_flight, warm_up, measured }
    }

    #[test]
    fn every_writer_numbers_its_own_records_without_a_gap() {
        let noise = Noise::new(8);
        let cell = cell(&noise, 3);
        let commits = AtomicU64::new(0);
        let tally = writers(&cell, |writer| {
            let (mut expected, commits, noise) = (0, &commits, &noise);
            Ok(move |first, records: &[&[u8]]| {
                assert_eq!((first, records.len()), (expected, 10));
                assert_eq!(records[9], noise.record(writer, first + 9));
                expected += 10;
                commits.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
        })
        .unwrap();
        let commits = commits.load(Ordering::Relaxed);
        assert_eq!((tally.written.len(), tally.commits_all(&cell)), (3, commits));
        assert_eq!(tally.latency_ns.len(), tally.commits);
    }

    #[test]
    fn latencies_are_kept_as_they_are_while_the_clock_counts() {
        let noise = Noise::new(8);
        let cell = cell(&noise, 1);
        let (clock, mut tally) = (Clock::start(&cell), Tally::new().unwrap());
        for us in [0, 100, 15_000] {
            let sent = clock.from;
            tally.count(&clock, sent, sent + Duration::from_micros(us));
        }
        let before = clock.from.checked_sub(Duration::from_nanos(1)).unwrap();
        tally.count(&clock, before, before);
        tally.count(&clock, clock.from, clock.to);
        let near = |ns: u64, expected: u64| ns.abs_diff(expected) <= expected / 1000;
        assert_eq!(
            (tally.commits, tally.latency_ns.len()),
            (3, 3),
            "what ends before the clock counts, or after, is left out"
        );
        assert!(near(tally.latency_ns.value_at_quantile(0.5), 100_000), "{}", tally.latency_ns.value_at_quantile(0.5));
        assert!(near(tally.latency_ns.max(), 15_000_000), "{}", tally.latency_ns.max());
    }

    #[test]
    fn a_failed_commit_ends_the_cell() {
        let noise = Noise::new(8);
        let refused = |_: u64| Ok(|_: u64, _: &[&[u8]]| Err(Failure::Failed("no room".into())));
        assert!(matches!(writers(&cell(&noise, 2), refused), Err(Failure::Failed(text)) if text == "no room"));
    }
}
