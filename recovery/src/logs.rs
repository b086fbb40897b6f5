//! Recovering all logs, several at a time.

use crate::{Error, Place, Progress};
use log::format::manifest::Manifest;
use log::format::segment::Base;
use log::{Reading, Recovered};
use std::sync::Mutex;

/// Recovers every log that the manifest lists; `watch` is told of every megabyte or so.
pub(crate) fn recover_logs<P: Place>(
    place: &P,
    manifest: &Manifest,
    watch: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Recovered>, Error> {
    let progress = Mutex::new(Progress::default());
    let told = |reading: Reading| {
        let now = {
            let mut progress = progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match reading {
                Reading::Found(bytes) => progress.total += bytes,
                Reading::Done(bytes) => progress.done += bytes,
            }
            *progress
        };
        watch(now);
    };
    let recover_one = |log: usize, frontier: &Base| -> Result<Recovered, Error> {
        let mut cold = place.cold()?;
        let engine = manifest.engine;
        let recovered =
            log::recover(&mut cold.backend, &mut cold.buffer, log as u16, engine, *frontier, &mut |reading| {
                told(reading);
            });
        recovered.map_err(Error::from)
    };
    let threads = place.threads().max(1);
    if threads == 1 {
        return manifest.frontiers.iter().enumerate().map(|(log, frontier)| recover_one(log, frontier)).collect();
    }
    let recover_one = &recover_one;
    let mut logs = Vec::with_capacity(manifest.frontiers.len());
    for (chunk, frontiers) in manifest.frontiers.chunks(threads).enumerate() {
        let results: Vec<_> = std::thread::scope(|scope| {
            let spawn = |(at, frontier)| scope.spawn(move || recover_one(chunk * threads + at, frontier));
            let workers: Vec<_> = frontiers.iter().enumerate().map(spawn).collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().map(join).collect()
        });
        for result in results {
            logs.push(result?);
        }
    }
    Ok(logs)
}
