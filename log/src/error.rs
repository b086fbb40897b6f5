//! What can go wrong with a log, whose fault it is, and what to do.

use crate::format::Fault;
use crate::format::segment::SegmentId;
use iobackend::IoError;
use std::ops::Range;

/// Why a log could not be opened, written or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// An operation on a segment failed.
    Io {
        /// What was being done, as in "write a frame".
        doing: &'static str,
        /// On which segment.
        segment: SegmentId,
        /// What the system said.
        source: IoError,
    },
    /// An operation on another file or directory failed.
    System {
        /// What was being done.
        doing: &'static str,
        /// On which path, below the data directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A name that is none of ours lies in the directory.
    Foreign {
        /// The path, below the data directory.
        path: String,
    },
    /// A segment that was made in another data directory.
    ForeignSegment {
        /// Which one.
        segment: SegmentId,
    },
    /// A file of a format version that this program does not read.
    Version {
        /// The path, below the data directory.
        path: String,
        /// The version found.
        found: u16,
    },
    /// Both copies of the manifest are missing or damaged, though there are logs.
    Manifest {
        /// What is wrong with copy `a`, and with copy `b`.
        faults: [String; 2],
    },
    /// Acknowledged data is damaged.
    Damaged(Box<Damage>),
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LogError::Io { doing, segment, source } => write!(f, "cannot {doing} in {segment}: {source}"),
            LogError::System { doing, path, source } => write!(f, "cannot {doing} {path}: {source}"),
            LogError::Foreign { path } => {
                write!(f, "{path} is not a file of this data directory: move it elsewhere, or name another directory")
            }
            LogError::ForeignSegment { segment } => write!(
                f,
                "{segment} was made in another data directory: put back the segment that belongs here, from a backup"
            ),
            LogError::Version { path, found } => write!(
                f,
                "{path} has format version {found}, this program reads version {}: use the program that wrote it",
                crate::format::VERSION
            ),
            LogError::Manifest { faults: [a, b] } => write!(
                f,
                "neither copy of the manifest can be used (manifest.a: {a}; manifest.b: {b}) though the directory \
                 holds logs: restore one from a backup; `diatreme verify` reads the logs without it"
            ),
            LogError::Damaged(damage) => damage.fmt(f),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LogError::Io { source, .. } => Some(source),
            LogError::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A place where acknowledged data, or what leads to it, is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: SegmentId,
    /// The bytes in it.
    pub bytes: Range<u64>,
    /// What is wrong with them.
    pub cause: Cause,
    /// The records that are lost or cannot be trusted, as far as anything intact tells.
    pub losses: Vec<Loss>,
}

/// What is wrong at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// A frame, by its sequence, is missing or bad.
    Frame {
        /// Its sequence.
        sequence: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// The segment's file is missing.
    MissingSegment,
    /// The files of the segment and of those after it are missing.
    MissingSegments {
        /// The number of the last of them.
        last: u32,
    },
    /// The segment's header is bad; its frames may be intact.
    SegmentHeader(Fault),
    /// The footer or trailer is bad, or would be if it were made of the frames; no frame is.
    Footer(Fault),
    /// Bytes that must be zero are not.
    NotZero,
    /// A copy of the manifest is missing or bad, and so is the other.
    Manifest(Fault),
    /// A stream's chain does not continue here, though every checksum fits.
    Chain,
    /// Offsets of a stream are missing here, though every frame around is intact.
    Gap,
    /// A tenant's records do not follow one another here, though every frame around is intact.
    Position {
        /// The tenant's id.
        tenant: u64,
        /// The position that is missing, or there twice.
        position: u64,
    },
}

/// Records of one stream that are lost or cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The tenant's id.
    pub tenant: u64,
    /// The stream's id in the tenant.
    pub stream: u32,
    /// The offsets; `u64::MAX` as the end stands for "and all that follow".
    pub offsets: Range<u64>,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Cause::Manifest(fault) = self.cause {
            return write!(f, "a copy of the manifest: {fault}; neither copy serves");
        }
        write!(f, "{} at byte {}", self.segment, self.bytes.start)?;
        match self.cause {
            Cause::Frame { sequence, fault } => write!(f, ": frame {sequence}: {fault}")?,
            Cause::MissingSegment => f.write_str(": the file is missing")?,
            Cause::MissingSegments { last } => write!(f, ": the files from here to {last:08}.seg are missing")?,
            Cause::SegmentHeader(fault) => write!(f, ": segment header: {fault}")?,
            Cause::Footer(fault) => write!(f, ": footer: {fault}; no record is touched")?,
            Cause::NotZero => f.write_str(": unused bytes are not zero; no record is touched")?,
            Cause::Manifest(_) => {}
            Cause::Chain => f.write_str(": chain link mismatch between frames")?,
            Cause::Gap => f.write_str(": offsets are missing")?,
            Cause::Position { tenant, position } => {
                write!(f, ": position {position} of tenant {tenant:016x} is missing, or there twice")?;
            }
        }
        for (at, loss) in self.losses.iter().enumerate() {
            f.write_str(if at == 0 { "; acknowledged data is damaged: " } else { ", " })?;
            write!(f, "tenant {:016x} stream {} offsets {}", loss.tenant, loss.stream, loss.offsets.start)?;
            match loss.offsets.end {
                u64::MAX => f.write_str(" and all that follow")?,
                end if end > loss.offsets.start + 1 => write!(f, " to {}", end - 1)?,
                _ => {}
            }
        }
        Ok(())
    }
}
