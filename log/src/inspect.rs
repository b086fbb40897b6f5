//! Looking into segments one by one, for tools: nothing is changed, and what is found is shown and not judged.
//!
//! Whether a segment is a sound part of its log is not told here: that takes the other segments, and is what
//! [`verify`](crate::verify()) does.

use crate::LogError;
#[cfg(doc)]
use crate::SCAN_BUFFER_BYTES;
use crate::format::footer::Footer;
use crate::format::frame::FrameHeader;
use crate::format::segment::{SegmentHeader, SegmentId};
use crate::format::{BLOCK_BYTES, Fault};
use crate::recover::segment_numbers;
use crate::scan::{Found, Seal, SegmentFile};
use iobackend::{Buffer, FileSlot, IoBackend, OpenMode};
use std::ops::Range;

const SLOT: FileSlot = FileSlot(0);

/// What a segment is made of, besides its frames.
#[derive(Clone, Debug)]
pub struct SegmentShape {
    /// Which segment.
    pub id: SegmentId,
    /// Length of the file.
    pub file_bytes: u64,
    /// The header, or what is wrong with it.
    pub header: Result<SegmentHeader, Fault>,
    /// The footer, or what is wrong with it; `None` if the segment is not sealed.
    pub footer: Result<Option<Footer>, Fault>,
    /// The byte after the last frame.
    pub frames_end: u64,
}

/// What lies at a place between a segment's header and its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Sight<'a> {
    /// A frame with an intact header that belongs where it lies.
    Frame {
        /// Its header.
        header: &'a FrameHeader,
        /// All of it, as far as the file has it.
        bytes: &'a [u8],
        /// Whether the body's checksum fits.
        body: Result<(), Fault>,
    },
    /// Blocks in which no frame begins; behind the last frame, mostly what was never written.
    NoFrame {
        /// Where they lie.
        bytes: Range<u64>,
        /// What the first of them is instead.
        fault: Fault,
    },
}

/// The segments of a log, ascending; none if the log has no directory.
///
/// # Errors
/// A name that is not a segment's, and what the system refuses.
pub fn log_segments<B: IoBackend>(backend: &mut B, log: u16) -> Result<Vec<SegmentId>, LogError> {
    let numbers = segment_numbers(backend, log)?;
    Ok(numbers.into_iter().map(|number| SegmentId { log, number }).collect())
}

/// Reads a segment from end to end and shows its frames, and what lies between them, to `visit`. `buffer` has
/// [`SCAN_BUFFER_BYTES`].
///
/// # Errors
/// What the system refuses. What is wrong with the segment is part of the result.
pub fn inspect_segment<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    id: SegmentId,
    mut visit: impl FnMut(Sight<'_>),
) -> Result<SegmentShape, LogError> {
    let mut file = SegmentFile::open(backend, id, SLOT, OpenMode::ReadOnly, buffer)?;
    let header = file.header()?;
    let incarnation = header.ok().map(|header| header.incarnation);
    let footer = match file.seal(incarnation)? {
        Seal::Sealed(footer) => Ok(Some(footer)),
        Seal::Unsealed => Ok(None),
        Seal::Bad(fault) => Err(fault),
    };
    let until = match &footer {
        Ok(Some(footer)) => footer.header.position,
        _ => file.end,
    };
    let walked = file.walk(incarnation, BLOCK_BYTES as u64, until, |found| match found {
        Found::Frame { header, bytes, body } => visit(Sight::Frame { header, bytes, body }),
        Found::Bad { bytes, fault } => visit(Sight::NoFrame { bytes, fault }),
    })?;
    Ok(SegmentShape { id, file_bytes: file.length, header, footer, frames_end: walked.end })
}
