//! Looking into segments one by one, for tools: nothing is changed, and what is found is shown and not judged.
//!
//! Whether a segment is a sound part of its log is not told here: that takes the other segments, and is what
//! [`verify`](crate::verify()) does.

use crate::format::footer::{Footer, FooterHeader, Trailer};
use crate::format::frame::FrameHeader;
use crate::format::segment::{SegmentHeader, SegmentId};
use crate::format::{BLOCK_BYTES, Fault};
use crate::limits::FOOTER_BYTES_MAX;
use crate::recover::segment_numbers;
use crate::scan::{Found, SegmentFile};
use crate::{LogError, SCAN_BUFFER_BYTES};
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
    let footer = read_footer(&mut file, id)?;
    let until = match &footer {
        Ok(Some(footer)) => footer.header.position,
        _ => file.end,
    };
    let incarnation = header.ok().map(|header| header.incarnation);
    let walked = file.walk(incarnation, BLOCK_BYTES as u64, until, |found| match found {
        Found::Frame { header, bytes, body } => visit(Sight::Frame { header, bytes, body }),
        Found::Bad { bytes, fault } => visit(Sight::NoFrame { bytes, fault }),
    })?;
    Ok(SegmentShape { id, file_bytes: file.length, header, footer, frames_end: walked.end })
}

fn read_footer<B: IoBackend>(
    file: &mut SegmentFile<'_, B>,
    id: SegmentId,
) -> Result<Result<Option<Footer>, Fault>, LogError> {
    if file.end < 2 * BLOCK_BYTES as u64 || file.end != file.length {
        return Ok(Ok(None));
    }
    let trailer_at = file.end - BLOCK_BYTES as u64;
    let trailer = match Trailer::decode(file.bytes(trailer_at, BLOCK_BYTES)?) {
        Ok(trailer) => trailer,
        Err(Fault::Unwritten | Fault::Magic) => return Ok(Ok(None)),
        Err(fault) => return Ok(Err(fault)),
    };
    if !trailer.footer.is_multiple_of(BLOCK_BYTES as u64) || trailer.footer >= trailer_at {
        return Ok(Err(Fault::Shape));
    }
    let header = match FooterHeader::decode(file.bytes(trailer.footer, BLOCK_BYTES)?) {
        Ok(header) if header.id == id && header.position == trailer.footer => header,
        Ok(_) => return Ok(Err(Fault::Misplaced)),
        Err(fault) => return Ok(Err(fault)),
    };
    let length = header.length();
    if length > FOOTER_BYTES_MAX || trailer.footer + length as u64 > trailer_at {
        return Ok(Err(Fault::Shape));
    }
    let mut whole = Vec::with_capacity(length);
    while whole.len() < length {
        let want = (length - whole.len()).min(SCAN_BUFFER_BYTES);
        whole.extend_from_slice(file.bytes(trailer.footer + whole.len() as u64, want)?);
    }
    Ok(Footer::decode(&whole).map(Some))
}
