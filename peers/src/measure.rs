//! Measures one engine in one cell: in a directory of its own, with flushes counted, and with what was acknowledged read back
//! after the engine has been opened again.

use crate::cell::{Cell, Tally};
use crate::device::{Device, settle};
use crate::failure::Failure;
use crate::flush_count::Calls;
use crate::stores::{Engine, Store};
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// So long the device is watched before a cell, to know what others flush meanwhile.
const WATCH: Duration = Duration::from_millis(200);
/// So many records of each writer are read back, and the last one.
const SAMPLES: u64 = 64;
/// What of the device's flushes must remain when those of others are taken off. They do not come evenly.
const SURE: f64 = 0.9;

/// What came of a cell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) engine: &'static str,
    pub(crate) version: String,
    pub(crate) batch: usize,
    /// Commits in flight, of the column.
    pub(crate) in_flight: usize,
    /// As this engine was used: 1 for one whose writers would only wait for each other.
    pub(crate) in_flight_used: usize,
    pub(crate) round: usize,
    pub(crate) records_per_s: f64,
    pub(crate) commit_p50_us: f64,
    pub(crate) commit_p99_us: f64,
    pub(crate) flushes: Flushes,
}

/// What was flushed, the warm-up included.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Flushes {
    pub(crate) commits: u64,
    /// A flush serves at most the commits in flight: fewer flushes than this, and some were acknowledged without.
    pub(crate) needed: u64,
    /// Calls of this process, by the C library.
    pub(crate) calls: Calls,
    /// Durable writes by the engine's own account, if it gives one.
    pub(crate) own_account: Option<u64>,
    /// Flush requests to the device by all processes; not of a device without a volatile cache.
    pub(crate) device: Option<u64>,
    /// How many of these were likely of others, by their rate just before.
    pub(crate) device_by_others: Option<u64>,
    pub(crate) verdict: Verdict,
}

/// What the counts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// There were enough flushes for every commit that was acknowledged.
    Durable,
    /// There were not.
    NotDurable,
    /// Nobody could be asked, or others flushed so much that the device's count proves nothing.
    Unproven,
}

impl Flushes {
    /// Flush requests to the device that were likely ours.
    fn device_own(&self) -> Option<u64> {
        self.device.map(|requests| requests.saturating_sub(self.device_by_others.unwrap_or(0)))
    }

    /// Flushes a commit, and whether it is the device that says so.
    pub(crate) fn per_commit(&self, calls_counted: bool) -> Option<(f64, bool)> {
        let by_device = !calls_counted && self.calls.flushes() < self.needed;
        let flushes = if by_device { self.device_own()? } else { self.calls.flushes() };
        Some((flushes as f64 / self.commits.max(1) as f64, by_device))
    }

    fn judge(&self, calls_counted: bool) -> Verdict {
        if self.calls.flushes() >= self.needed {
            return Verdict::Durable;
        }
        if calls_counted {
            return Verdict::NotDurable;
        }
        if self.own_account.is_some_and(|writes| writes < self.needed) {
            return Verdict::NotDurable;
        }
        match self.device.zip(self.device_own()) {
            Some((device, _)) if device < self.needed => Verdict::NotDurable,
            Some((_, own)) if own as f64 >= SURE * self.needed as f64 => Verdict::Durable,
            _ => Verdict::Unproven,
        }
    }
}

/// Measures an engine in a fresh directory below `place`, and removes it.
pub(crate) fn measure(engine: &Engine, cell: &Cell<'_>, round: usize, place: &Path) -> Result<Measured, Failure> {
    let scratch = tempfile::Builder::new().prefix("diatreme-peers-").tempdir_in(place);
    let scratch = scratch.map_err(Failure::doing(format!("cannot make a directory in {}", place.display())))?;
    let measured = measure_in(engine, cell, round, scratch.path()).map_err(|failure| failure.context(engine.name))?;
    let path = scratch.path().display().to_string();
    scratch.close().map_err(Failure::doing(format!("cannot remove {path}")))?;
    Ok(measured)
}

fn measure_in(engine: &Engine, cell: &Cell<'_>, round: usize, directory: &Path) -> Result<Measured, Failure> {
    let column = cell.in_flight;
    let cell = &Cell { in_flight: if engine.concurrent { cell.in_flight } else { 1 }, ..*cell };
    let mut store = (engine.open)(directory, cell.bytes_max())?;
    let version = store.version();
    settle(directory)?;
    let device = Device::of(directory);
    let flushed = || device.as_ref().and_then(Device::flushes);

    let watched = flushed();
    std::thread::sleep(WATCH);
    let others = flushed().zip(watched).map(|(now, then)| (now - then) as f64 / WATCH.as_secs_f64());

    let (started, calls, requests) = (Instant::now(), Calls::now(), flushed());
    let tally = store.run(cell)?;
    let (elapsed, calls) = (started.elapsed(), Calls::now().since(calls));
    let requests = flushed().zip(requests).map(|(now, then)| now - then);

    let own_account = store.close()?;
    let mut store = (engine.open)(directory, 0)?;
    read_back(store.as_mut(), cell, &tally)?;
    store.close()?;

    let commits = tally.commits_all(cell);
    let mut flushes = Flushes {
        commits,
        needed: commits.div_ceil(cell.in_flight as u64),
        calls,
        own_account,
        device: requests,
        device_by_others: others.map(|per_s| (per_s * elapsed.as_secs_f64()) as u64),
        verdict: Verdict::Unproven,
    };
    flushes.verdict = flushes.judge(engine.calls_counted);
    let percentile = |at: f64| tally.latency_ns.value_at_quantile(at) as f64 / 1e3;
    Ok(Measured {
        engine: engine.name,
        version,
        batch: cell.batch,
        in_flight: column,
        in_flight_used: cell.in_flight,
        round,
        records_per_s: tally.records_per_s(cell),
        commit_p50_us: percentile(0.5),
        commit_p99_us: percentile(0.99),
        flushes,
    })
}

/// Reads samples of what was acknowledged, and that there is nothing after the last: nobody measures an engine that stores nothing.
fn read_back(store: &mut dyn Store, cell: &Cell<'_>, tally: &Tally) -> Result<(), Failure> {
    for (writer, &written) in (0..).zip(&tally.written) {
        let last = written.checked_sub(1);
        for at in (0..written).step_by((written / SAMPLES).max(1) as usize).chain(last) {
            match store.read(writer, at)? {
                Some(record) if record == cell.noise.record(writer, at) => {}
                found => {
                    let found = if found.is_some() { "another" } else { "none" };
                    let text = format!("record {at} of writer {writer} was acknowledged, and {found} was read back");
                    return Err(Failure::Failed(text));
                }
            }
        }
        if store.read(writer, written)?.is_some() {
            let text = format!("writer {writer} wrote {written} records, and there are more: the count is wrong");
            return Err(Failure::Failed(text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Clock, one_writer};
    use crate::noise::Noise;
    use std::path::PathBuf;

    fn flushes(needed: u64, own_account: Option<u64>, device: Option<u64>, others: u64) -> Flushes {
        let calls = Calls::default();
        let device_by_others = device.map(|_| others);
        let verdict = Verdict::Unproven;
        Flushes { commits: needed, needed, calls, own_account, device, device_by_others, verdict }
    }

    #[test]
    fn too_few_flushes_are_told_from_enough_and_from_not_known() {
        assert_eq!(flushes(100, None, Some(100), 0).judge(true), Verdict::NotDurable, "calls are what counts");
        assert_eq!(flushes(0, None, None, 0).judge(true), Verdict::Durable);
        assert_eq!(flushes(100, None, Some(150), 0).per_commit(true), Some((0.0, false)));
        assert_eq!(flushes(100, None, Some(250), 100).per_commit(false), Some((1.5, true)));
        assert_eq!(flushes(100, Some(100), Some(100), 0).judge(false), Verdict::Durable);
        assert_eq!(flushes(100, Some(100), Some(99), 0).judge(false), Verdict::NotDurable);
        assert_eq!(flushes(100, Some(99), Some(100), 0).judge(false), Verdict::NotDurable);
        assert_eq!(flushes(100, Some(100), Some(180), 100).judge(false), Verdict::Unproven);
        assert_eq!(flushes(100, Some(100), None, 0).judge(false), Verdict::Unproven);
    }

    /// Acknowledges all, flushes nothing, and keeps the number of records of the one writer there is.
    struct Forgetful {
        noise: Noise,
        kept: u64,
        path: PathBuf,
    }

    fn open(directory: &Path, _: u64) -> Result<Box<dyn Store>, Failure> {
        let path = directory.join("kept");
        let kept = std::fs::read_to_string(&path).map_or(0, |kept| kept.parse().unwrap());
        Ok(Box::new(Forgetful { noise: Noise::new(16), kept, path }))
    }

    impl Store for Forgetful {
        fn version(&self) -> String {
            String::new()
        }

        fn run(&mut self, cell: &Cell<'_>) -> Result<Tally, Failure> {
            let tally = one_writer(cell, &Clock::start(cell), 0, |_, _| Ok(()))?;
            std::fs::write(&self.path, tally.written[0].to_string()).unwrap();
            Ok(tally)
        }

        fn read(&mut self, _: u64, at: u64) -> Result<Option<Vec<u8>>, Failure> {
            Ok((at < self.kept).then(|| self.noise.record(0, at).to_vec()))
        }

        fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
            Ok(None)
        }
    }

    #[test]
    fn an_engine_that_forgets_is_found_out() {
        let noise = Noise::new(16);
        let (warm_up, measured) = (Duration::ZERO, Duration::ZERO);
        let cell = Cell { noise: &noise, batch: 1, in_flight: 1, warm_up, measured };
        let tally = Tally { written: vec![1000], ..Tally::new().unwrap() };
        let ends =
            |kept| read_back(&mut Forgetful { noise: Noise::new(16), kept, path: PathBuf::new() }, &cell, &tally);
        assert!(ends(1000).is_ok());
        assert!(
            matches!(ends(999), Err(Failure::Failed(text)) if text.contains("record 999") && text.contains("none"))
        );
        assert!(matches!(ends(1001), Err(Failure::Failed(text)) if text.contains("more")));
    }

    #[test]
    fn an_engine_that_does_not_flush_is_found_out() {
        let _turn = crate::flush_count::turn();
        let noise = Noise::new(16);
        let (warm_up, measured) = (Duration::ZERO, Duration::from_millis(1));
        let cell = Cell { noise: &noise, batch: 1, in_flight: 8, warm_up, measured };
        let engine = Engine { name: "Forgetful", concurrent: false, calls_counted: true, open };
        let place = tempfile::tempdir_in(".").unwrap();
        let measured = measure(&engine, &cell, 0, place.path()).unwrap();
        assert_eq!((measured.in_flight, measured.in_flight_used), (8, 1));
        assert!(measured.flushes.commits > 0 && measured.flushes.needed == measured.flushes.commits);
        assert_eq!(measured.flushes.verdict, Verdict::NotDurable);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "the cell's directory is removed");
    }
}
