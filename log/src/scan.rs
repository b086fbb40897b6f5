//! Reading a segment from end to end, believing only what its checksums vouch for. Opening and verifying both stand on it.

use crate::LogError;
use crate::format::footer::{Footer, FooterHeader, Trailer};
use crate::format::frame::{FrameHeader, HEADER_BYTES};
use crate::format::segment::{SegmentHeader, SegmentId};
use crate::format::{BLOCK_BYTES, Fault};
use crate::limits::{FOOTER_BYTES_MAX, FRAME_BYTES_MAX};
use iobackend::{Buffer, FileSlot, IoBackend, OpKind, OpenMode};
use std::ops::Range;

/// Bytes of the buffer that a scan needs: twice the longest frame, so that sequential reads are large.
pub const SCAN_BUFFER_BYTES: usize = 2 * FRAME_BYTES_MAX;

/// A segment's file with a window on it that moves forward.
pub(crate) struct SegmentFile<'a, B> {
    backend: &'a mut B,
    id: SegmentId,
    slot: FileSlot,
    /// Whole blocks only: a file cut within a block ends before that block.
    pub(crate) end: u64,
    /// The file's true length.
    pub(crate) length: u64,
    buffer: &'a mut Option<Buffer>,
    window: Range<u64>,
}

impl<'a, B: IoBackend> SegmentFile<'a, B> {
    /// Opens a segment in `slot`; `buffer` has [`SCAN_BUFFER_BYTES`].
    pub(crate) fn open(
        backend: &'a mut B,
        id: SegmentId,
        slot: FileSlot,
        mode: OpenMode,
        buffer: &'a mut Option<Buffer>,
    ) -> Result<Self, LogError> {
        let (opened, _) = backend.run(OpKind::Open { file: slot, name: id.file_name(), mode });
        opened.map_err(|source| LogError::Io { doing: "open", segment: id, source })?;
        let length = backend.length(slot).map_err(|source| LogError::System {
            doing: "learn the length of",
            path: id.to_string(),
            source,
        })?;
        let end = length / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        Ok(SegmentFile { backend, id, slot, end, length, buffer, window: 0..0 })
    }

    /// The bytes from `at` on: `want` of them, or as many as the file has.
    pub(crate) fn bytes(&mut self, at: u64, want: usize) -> Result<&[u8], LogError> {
        debug_assert!(at.is_multiple_of(BLOCK_BYTES as u64) && want <= SCAN_BUFFER_BYTES);
        let until = (at + want as u64).min(self.end);
        if at < self.window.start || until > self.window.end {
            self.fill(at)?;
        }
        let from = (at.min(self.window.end) - self.window.start) as usize;
        let to = (until.max(at).min(self.window.end) - self.window.start) as usize;
        let buffer = self.buffer.as_ref().expect("the buffer is back between reads");
        Ok(&buffer[from..to.max(from)])
    }

    fn fill(&mut self, at: u64) -> Result<(), LogError> {
        let len = self.end.saturating_sub(at).min(SCAN_BUFFER_BYTES as u64) as usize;
        self.window = at..at;
        if len == 0 {
            return Ok(());
        }
        let buffer = self.buffer.take().expect("the buffer is back between reads");
        let (read, buffer) = self.backend.run(OpKind::Read { file: self.slot, at, buffer, len });
        *self.buffer = buffer;
        read.map_err(|source| LogError::Io { doing: "read", segment: self.id, source })?;
        self.window = at..at + len as u64;
        Ok(())
    }

    pub(crate) fn header(&mut self) -> Result<Result<SegmentHeader, Fault>, LogError> {
        let id = self.id;
        let header = SegmentHeader::decode(self.bytes(0, BLOCK_BYTES)?);
        Ok(header.and_then(|header| if header.id == id { Ok(header) } else { Err(Fault::Misplaced) }))
    }

    /// The footer: `Ok(None)` if the segment was not sealed.
    pub(crate) fn footer(&mut self) -> Result<Result<Option<Footer>, Fault>, LogError> {
        if self.end < 2 * BLOCK_BYTES as u64 || self.end != self.length {
            return Ok(Ok(None));
        }
        let trailer_at = self.end - BLOCK_BYTES as u64;
        let trailer = match Trailer::decode(self.bytes(trailer_at, BLOCK_BYTES)?) {
            Ok(trailer) => trailer,
            Err(Fault::Unwritten | Fault::Magic) => return Ok(Ok(None)),
            Err(fault) => return Ok(Err(fault)),
        };
        let length = trailer_at.saturating_sub(trailer.footer);
        if !trailer.footer.is_multiple_of(BLOCK_BYTES as u64) || length == 0 {
            return Ok(Err(Fault::Shape));
        }
        let mut whole = Vec::new();
        let header = match FooterHeader::decode(self.bytes(trailer.footer, BLOCK_BYTES)?) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        if header.id != self.id || header.position != trailer.footer {
            return Ok(Err(Fault::Misplaced));
        }
        let length = header.length();
        if length > FOOTER_BYTES_MAX || trailer.footer + length as u64 > trailer_at {
            return Ok(Err(Fault::Shape));
        }
        while whole.len() < length {
            let at = trailer.footer + whole.len() as u64;
            let want = (length - whole.len()).min(SCAN_BUFFER_BYTES);
            whole.extend_from_slice(self.bytes(at, want)?);
        }
        Ok(Footer::decode(&whole).map(Some))
    }

    /// Walks over the segment's frames from `at` up to `until`. What carries an intact header, and belongs here,
    /// goes to `visit` with the state of its body; what does not is gathered into stretches of bad blocks.
    /// Ends early at a footer. `incarnation` is what the segment's header says, if that can be read.
    pub(crate) fn walk(
        &mut self,
        incarnation: Option<[u8; 16]>,
        mut at: u64,
        until: u64,
        mut visit: impl FnMut(Found<'_>),
    ) -> Result<Walked, LogError> {
        let mut walked = Walked { end: at, footer: None };
        let mut bad: Option<(u64, Fault)> = None;
        while at < until.min(self.end) {
            let id = self.id;
            let start = self.bytes(at, HEADER_BYTES)?;
            let belongs = |header: FrameHeader| {
                let here = header.log == id.log && header.segment == id.number && header.position == at;
                let ours = incarnation.is_none_or(|incarnation| incarnation == header.incarnation);
                if here && ours && header.length as usize <= FRAME_BYTES_MAX {
                    Ok(header)
                } else {
                    Err(Fault::Misplaced)
                }
            };
            match FrameHeader::decode(start).and_then(belongs) {
                Ok(header) => {
                    if let Some((from, fault)) = bad.take() {
                        visit(Found::Bad { bytes: from..at, fault });
                    }
                    let frame = self.bytes(at, header.length as usize)?;
                    let body = header.check_body(frame);
                    visit(Found::Frame { header: &header, bytes: frame, body });
                    at += u64::from(header.length);
                    walked.end = at;
                }
                Err(fault) => {
                    let footer = FooterHeader::decode(start).ok();
                    if footer.is_some_and(|footer| footer.id == id && footer.position == at) {
                        walked.footer = Some(at);
                        break;
                    }
                    bad.get_or_insert((at, fault));
                    at += BLOCK_BYTES as u64;
                }
            }
        }
        if let Some((from, fault)) = bad {
            visit(Found::Bad { bytes: from..at.min(self.end), fault });
        }
        Ok(walked)
    }
}

/// What a walk came across.
pub(crate) enum Found<'a> {
    /// An intact header that belongs where it lies, its whole frame as far as the file has it, and the body's state.
    Frame { header: &'a FrameHeader, bytes: &'a [u8], body: Result<(), Fault> },
    /// Blocks in which no frame begins.
    Bad { bytes: Range<u64>, fault: Fault },
}

/// Where a walk ended.
pub(crate) struct Walked {
    /// The byte after the last frame.
    pub(crate) end: u64,
    /// Where a footer's header lies, if the walk came to one.
    pub(crate) footer: Option<u64>,
}
