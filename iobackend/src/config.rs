//! What a caller chooses before opening a backend, and what it is told after.

use std::fmt;
use std::path::PathBuf;

/// Which backend to open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A ring where the system allows one, else the synchronous backend; the
    /// reason stands in [`BackendInfo::notes`].
    #[default]
    Auto,
    /// A ring, or an error.
    Uring,
    /// A ring whose submissions a kernel thread polls for, or an error. It
    /// needs a core to spare: on two cores it lost in every measurement.
    Sqpoll,
    /// The synchronous backend.
    Sync,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Uring => "uring",
            Self::Sqpoll => "sqpoll",
            Self::Sync => "sync",
        })
    }
}

/// How a ring makes a durable write. The synchronous backend has one way: it
/// writes, then flushes (`fdatasync`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DurableWrite {
    /// One entry with `RWF_DSYNC`. With direct I/O into written blocks that is
    /// one FUA write, or a write and a device flush.
    #[default]
    Dsync,
    /// A write and a flush (`fdatasync`) linked to it: two entries, and twice
    /// the processor time, for devices on which that is faster. A ring with
    /// submission polling refuses it.
    LinkedFlush,
}

impl fmt::Display for DurableWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dsync => "one RWF_DSYNC write",
            Self::LinkedFlush => "a write linked to a flush",
        })
    }
}

/// How to open a backend; start from [`BackendConfig::new`].
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// The data directory. It must exist; all names are relative to it.
    pub root: PathBuf,
    /// Most operations in flight, 1 to [`DEPTH_MAX`](crate::limits::DEPTH_MAX).
    pub depth: usize,
    /// Size of the file table, 1 to [`FILE_SLOTS_MAX`](crate::limits::FILE_SLOTS_MAX).
    pub file_slots: usize,
    /// Which backend.
    pub mode: Mode,
    /// Open files for direct I/O where the file system takes it. The page
    /// cache is of no use to a log that has its own, and a failed flush of a
    /// cached page cannot be told from a good one afterwards.
    pub direct: bool,
    /// How a ring makes a durable write.
    pub durable_write: DurableWrite,
    /// For a [`Mode::Sqpoll`] that nobody insists on: if it is refused, go on
    /// as [`Mode::Auto`] does, and keep the reason among the notes.
    pub or_auto: bool,
    /// Where the polling thread of [`Mode::Sqpoll`] runs; the kernel chooses if
    /// `None`. Ignored by the other modes.
    pub sqpoll_cpu: Option<usize>,
    /// Another ring's [`Backend::ring_fd`](crate::Backend::ring_fd), still
    /// open, whose polling thread this ring is to share: several shards then
    /// keep one core busy, not one each. Ignored by the other modes.
    #[cfg(target_os = "linux")]
    pub sqpoll_attach: Option<std::os::fd::RawFd>,
}

impl BackendConfig {
    /// [`Mode::Auto`], direct I/O, [`DurableWrite::Dsync`], depth 32 and 64 file slots, in `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            depth: 32,
            file_slots: 64,
            mode: Mode::Auto,
            direct: true,
            durable_write: DurableWrite::Dsync,
            or_auto: false,
            sqpoll_cpu: None,
            #[cfg(target_os = "linux")]
            sqpoll_attach: None,
        }
    }
}

/// What a backend is made of.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// io_uring, entered by the shard's thread.
    Uring,
    /// io_uring with a polling kernel thread.
    Sqpoll,
    /// Ordinary positioned reads and writes.
    Sync,
    /// A disk in memory, with a clock of its own ([`sim`](crate::sim)).
    Simulated,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "io_uring",
            Self::Sqpoll => "io_uring with submission polling",
            Self::Sync => "synchronous",
            Self::Simulated => "simulated",
        })
    }
}

/// What was opened and why, for the start-up report. `Display` gives it as lines.
#[derive(Clone, Debug)]
pub struct BackendInfo {
    /// What the backend is made of.
    pub kind: BackendKind,
    /// Whether files are opened for direct I/O.
    pub direct: bool,
    /// For direct I/O, what lengths and offsets must be multiples of; else what
    /// they had best be.
    pub alignment: usize,
    /// Whether the arena is registered with a ring.
    pub fixed_buffers: bool,
    /// What was probed, what was chosen, and what was given up and why: one
    /// readable line each.
    pub notes: Vec<String>,
}

impl fmt::Display for BackendInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "backend {}, {} I/O in blocks of {} bytes",
            self.kind,
            if self.direct { "direct" } else { "buffered" },
            self.alignment
        )?;
        for note in &self.notes {
            write!(f, "\n{note}")?;
        }
        Ok(())
    }
}
