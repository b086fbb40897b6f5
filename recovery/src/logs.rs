//! Recovering all logs, several at a time.

use crate::{Error, Place, Progress};
use log::format::manifest::Manifest;
use log::{Reading, Recovered};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

/// Recovers every log that the manifest lists; `watch` is told of every megabyte or so.
///
/// A thread that is done with a log takes the next one, so a long log holds up nothing but the end. If one cannot be
/// recovered, those that were begun are ended and no more are begun.
pub(crate) fn recover_logs<P: Place>(
    place: &P,
    manifest: &Manifest,
    watch: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Recovered>, Error> {
    let queue = Queue {
        place,
        manifest,
        watch,
        progress: Mutex::default(),
        next: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
    };
    let threads = place.threads().clamp(1, manifest.frontiers.len().max(1));
    let mut results = match threads {
        1 => queue.work(),
        _ => std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| queue.work())).collect();
            let join = |worker: ScopedJoinHandle<'_, _>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().flat_map(join).collect()
        }),
    };
    results.sort_by_key(|(log, _)| *log);
    results.into_iter().map(|(_, recovered)| recovered).collect()
}

/// The logs, and who has taken which.
struct Queue<'a, P> {
    place: &'a P,
    manifest: &'a Manifest,
    watch: &'a (dyn Fn(Progress) + Sync),
    progress: Mutex<Progress>,
    next: AtomicUsize,
    failed: AtomicBool,
}

impl<P: Place> Queue<'_, P> {
    /// Takes logs until there are none; gives each with its number.
    fn work(&self) -> Vec<(usize, Result<Recovered, Error>)> {
        let mut done = Vec::new();
        while !self.failed.load(Ordering::Relaxed) {
            let log = self.next.fetch_add(1, Ordering::Relaxed);
            if log >= self.manifest.frontiers.len() {
                break;
            }
            let recovered = self.recover(log);
            self.failed.fetch_or(recovered.is_err(), Ordering::Relaxed);
            done.push((log, recovered));
        }
        done
    }

    fn recover(&self, log: usize) -> Result<Recovered, Error> {
        let mut cold = self.place.cold()?;
        let Manifest { engine, frontiers, .. } = self.manifest;
        let recovered =
            log::recover(&mut cold.backend, &mut cold.buffer, log as u16, *engine, frontiers[log], &mut |reading| {
                self.tell(reading);
            });
        Ok(recovered?)
    }

    fn tell(&self, reading: Reading) {
        let now = {
            let mut progress = self.progress.lock();
            match reading {
                Reading::Found(bytes) => progress.total += bytes,
                Reading::Done(bytes) => progress.done += bytes,
            }
            *progress
        };
        (self.watch)(now);
    }
}
