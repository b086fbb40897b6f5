//! What an opening tells: while it works, and when it is done.

use log::{BadCopy, Damage, Torn};

/// How far the recovery of the logs has come, over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments that were dealt with. A sealed segment is dealt with by its footer.
    pub done: u64,
    /// Bytes of the segments found so far: those of all logs, once each has been listed.
    pub total: u64,
}

/// What opening a directory found.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Whether the directory was made by this opening.
    pub created: bool,
    /// Whether it was closed cleanly before.
    pub clean: bool,
    /// Whether it lies elsewhere than when it was opened last: it is a copy of a directory, or was restored from one.
    pub moved: bool,
    /// The generation of the manifest that was found; 0 if there was none.
    pub generation: u64,
    /// Segments that are part of the logs.
    pub segments: usize,
    /// Segments that had to be read frame by frame.
    pub scanned: usize,
    /// Bytes of the segments' files.
    pub bytes: u64,
    /// Copies of the manifest that were bad or missing: the other one served, and both were written anew.
    pub manifest_faults: Vec<BadCopy>,
    /// Tails that were never acknowledged, and were cut.
    pub torn: Vec<Torn>,
    /// Acknowledged data that is damaged. It is refused; all else is served.
    pub damage: Vec<Damage>,
    /// Streams that take no appends because records may be missing at their end.
    pub frozen: usize,
}
