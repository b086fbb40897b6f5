//! The notary in a thread of its own: it reads back what the shards made durable, signs checkpoints, and gives proofs.
//!
//! It is no shard's business: no message goes from a shard to it, and nothing waits for it. When the engine closes, it follows the
//! logs to their ends and signs once more.

use crate::OpenError;
use crate::clock::Clock;
use crate::lock::DirectoryLock;
use crate::place::cold_backend;
use crypto::note::{Checkpoint, ConsistencyProof, InclusionProof, Origin};
use iobackend::Backend;
use kernel::{StreamId, TenantId};
use keys::KeyStore;
use notary::{Error, Notary, Settings, Signing, Step};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the notary rests when there was nothing more to follow: new records are in a tree this long after they are durable.
const REST: Duration = Duration::from_millis(200);

/// How long the newest record may be durable before anything on the disk says so: a log's quiet time, and twice as much for the
/// shard to come to it and to write.
const QUIET: Duration = Duration::from_nanos(3 * log::limits::QUIET_NS);

/// When checkpoints are signed of a tenant that has something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// This long after its last one.
    pub interval: Duration,
    /// Or when it has so many new records, if that is earlier.
    pub records: u64,
}

impl Default for Checkpoints {
    fn default() -> Checkpoints {
        Checkpoints { interval: Duration::from_secs(5), records: 10_000_000 }
    }
}

/// What the notary did so far, and what keeps it from signing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NotaryReport {
    /// Checkpoints that were signed.
    pub signed: u64,
    /// Bytes of the logs that were read back.
    pub bytes: u64,
    /// Tenants that nothing is signed of, and why: their records are damaged, or do not contain what was signed before.
    pub refused: BTreeMap<TenantId, String>,
    /// What the system refused, last; it is tried again.
    pub failure: Option<String>,
}

/// The engine's end of the notary's thread.
#[derive(Debug)]
pub(crate) struct Notarized {
    asks: mpsc::Sender<Ask>,
    thread: JoinHandle<Result<(), Error>>,
    report: Arc<Mutex<NotaryReport>>,
}

/// What the thread is asked for.
enum Ask {
    Checkpoint(TenantId, mpsc::Sender<Result<SignedCheckpoint, Error>>),
    Inclusion(TenantId, StreamId, u64, mpsc::Sender<Result<InclusionProof, Error>>),
    Consistency(TenantId, String, mpsc::Sender<Result<ConsistencyProof, Error>>),
    /// The shards are closed, and the manifest says where the logs end.
    Finish,
}

/// A checkpoint, as whoever holds the log to account keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The signed note.
    pub note: String,
    /// The verifying key that an auditor pins once, from a source that is trusted.
    pub key: String,
}

impl Notarized {
    /// Starts the thread. The engine has the directory open, and its shards run.
    pub(crate) fn start(
        root: &Path,
        lock: &Arc<DirectoryLock>,
        store: &mut KeyStore,
        checkpoints: Checkpoints,
    ) -> Result<Notarized, OpenError> {
        let settings = Settings {
            interval_ns: u64::try_from(checkpoints.interval.as_nanos()).unwrap_or(u64::MAX),
            records: checkpoints.records,
            ..Settings::default()
        };
        let (backend, buffer) = cold_backend(root).map_err(OpenError::of(root))?;
        let mut notary = Notary::open(root, backend, buffer, settings)?;
        notary.sign_with(Signing::new(store)?);
        let (asks, asked) = mpsc::channel();
        let report = Arc::new(Mutex::new(NotaryReport::default()));
        let (told, lock) = (Arc::clone(&report), Arc::clone(lock));
        let body = move || {
            let ended = run(&mut notary, &asked, &told);
            drop(lock);
            ended
        };
        let spawned = std::thread::Builder::new().name("notary".into()).spawn(body);
        let path = root.to_path_buf();
        let thread = spawned.map_err(|source| OpenError::Directory { doing: "start a thread for", path, source })?;
        Ok(Notarized { asks, thread, report })
    }

    pub(crate) fn report(&self) -> NotaryReport {
        self.report.lock().clone()
    }

    pub(crate) fn checkpoint(&self, tenant: TenantId) -> Option<Result<SignedCheckpoint, Error>> {
        self.ask(|answer| Ask::Checkpoint(tenant, answer))
    }

    pub(crate) fn inclusion(
        &self,
        tenant: TenantId,
        stream: StreamId,
        offset: u64,
    ) -> Option<Result<InclusionProof, Error>> {
        self.ask(|answer| Ask::Inclusion(tenant, stream, offset, answer))
    }

    pub(crate) fn consistency(&self, tenant: TenantId, kept: &str) -> Option<Result<ConsistencyProof, Error>> {
        self.ask(|answer| Ask::Consistency(tenant, kept.into(), answer))
    }

    /// `None` if the thread is gone.
    fn ask<T>(&self, ask: impl FnOnce(mpsc::Sender<T>) -> Ask) -> Option<T> {
        let (answer, answered) = mpsc::channel();
        self.asks.send(ask(answer)).ok()?;
        answered.recv().ok()
    }

    /// Signs what the logs hold at their ends, and ends the thread.
    pub(crate) fn finish(self) -> Result<(), OpenError> {
        let _gone = self.asks.send(Ask::Finish);
        match self.thread.join() {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(OpenError::NotaryPanicked),
        }
    }
}

/// The body of the thread.
fn run(notary: &mut Notary<Backend>, asked: &mpsc::Receiver<Ask>, report: &Mutex<NotaryReport>) -> Result<(), Error> {
    let (clock, mut rest) = (Clock::start(), REST);
    loop {
        match asked.recv_timeout(rest) {
            Ok(Ask::Finish) => {
                let last = notary.finish(clock.now());
                return last.map(|step| take(report, &step));
            }
            // The engine was dropped in a panic: nothing says where the logs end.
            Err(mpsc::RecvTimeoutError::Disconnected) => return notary.save(),
            Ok(ask) => answer(notary, ask, clock),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        rest = match notary.step(clock.now()) {
            Ok(step) => {
                let more = step.more;
                report.lock().failure = None;
                take(report, &step);
                if more { Duration::ZERO } else { REST }
            }
            Err(error) => {
                report.lock().failure = Some(error.to_string());
                REST
            }
        };
    }
}

/// Answers with what is durable now. Whoever asked may be gone.
fn answer(notary: &mut Notary<Backend>, ask: Ask, clock: Clock) {
    match ask {
        Ask::Checkpoint(tenant, to) => {
            // A frame is vouched for by the one behind it. Behind the newest one comes a mark, when the log is quiet.
            std::thread::sleep(QUIET);
            let _gone = to.send(notary.follow_all(|_| true).and_then(|_| signed(notary, tenant, clock)));
        }
        Ask::Inclusion(tenant, stream, offset, to) => {
            let _gone = to.send(notary.inclusion(tenant.0, stream.0, offset));
        }
        Ask::Consistency(tenant, kept, to) => {
            let _gone = to.send(notary.consistency_from(tenant.0, &kept));
        }
        Ask::Finish => unreachable!("the thread ends with it"),
    }
}

fn signed(notary: &mut Notary<Backend>, tenant: TenantId, clock: Clock) -> Result<SignedCheckpoint, Error> {
    notary.checkpoint(tenant.0, clock.now())?;
    let origin: Origin = notary.origin(tenant.0);
    let key = notary.signing().map(|signing| signing.verifier(&origin).to_string()).unwrap_or_default();
    Ok(SignedCheckpoint { note: notary.checkpoint_on_file(tenant.0)?, key })
}

fn take(report: &Mutex<NotaryReport>, step: &Step) {
    let mut report = report.lock();
    report.bytes += step.bytes;
    report.signed += step.signed.len() as u64;
    for Checkpoint { origin, .. } in &step.signed {
        report.refused.remove(&TenantId(origin.tenant));
    }
    let stopped = step.stopped.iter().map(|(tenant, stop)| (TenantId(*tenant), stop.to_string()));
    let refused = step.refused.iter().map(|(tenant, error)| (TenantId(*tenant), error.to_string()));
    report.refused.extend(stopped.chain(refused));
}
