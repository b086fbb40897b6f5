//! Why a directory cannot be opened.

use log::LogError;
use log::format::manifest::OVERRIDES_MAX;

/// Why a directory could not be opened, or its manifest not be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A log, or the manifest.
    Log(LogError),
    /// The I/O backend.
    Backend(iobackend::OpenError),
    /// There is no memory to read with.
    Memory(std::io::Error),
    /// The placement of tenants.
    Placement(router::PlacementError),
    /// More tenants are placed by hand than the manifest takes.
    Overrides {
        /// How many.
        count: usize,
    },
    /// The directory is in an older state than its embedder knows it to have been in.
    Older {
        /// The generation of its manifest.
        found: u64,
        /// The generation that was asked for.
        at_least: u64,
    },
    /// What the logs hold contradicts itself, under intact checksums.
    Replay {
        /// What the kernel says of it.
        reason: String,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Log(error) => error.fmt(f),
            Error::Backend(error) => error.fmt(f),
            Error::Memory(error) => write!(f, "cannot take memory to read the data directory with: {error}"),
            Error::Placement(error) => error.fmt(f),
            Error::Overrides { count } => {
                write!(f, "{count} tenants placed by hand: at most {OVERRIDES_MAX}; unplace some")
            }
            Error::Older { found, at_least } => write!(
                f,
                "the manifest is of generation {found}, and {at_least} at least was asked for: this is an older state of the \
                 directory, or another directory; restore the newest one, or ask for {found} and give up what came after it"
            ),
            Error::Replay { reason } => {
                write!(f, "the log contradicts itself: {reason}; run `diatreme verify`, and report it")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Log(error) => Some(error),
            Error::Backend(error) => Some(error),
            Error::Memory(error) => Some(error),
            Error::Placement(error) => Some(error),
            Error::Overrides { .. } | Error::Older { .. } | Error::Replay { .. } => None,
        }
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        Error::Log(error)
    }
}

impl From<iobackend::OpenError> for Error {
    fn from(error: iobackend::OpenError) -> Self {
        Error::Backend(error)
    }
}

impl From<router::PlacementError> for Error {
    fn from(error: router::PlacementError) -> Self {
        Error::Placement(error)
    }
}
