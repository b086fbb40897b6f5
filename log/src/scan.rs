//! Reading a segment from end to end, believing only what its checksums vouch for. Opening and verifying both stand on it.

use crate::LogError;
use crate::format::footer::{Footer, FooterHeader, Trailer};
use crate::format::frame::FrameHeader;
use crate::format::segment::{SegmentHeader, SegmentId};
use crate::format::{BLOCK_BYTES, Fault};
use crate::limits::{FOOTER_BYTES_MAX, FRAME_BYTES_MAX};
use iobackend::{Buffer, FileSlot, IoBackend, IoError, OpKind, OpenMode};
use planted::Bug;
use std::io::ErrorKind;
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
    /// How far reading ahead is of use; no further than asked for before a walk begins.
    ahead: u64,
    /// Blocks of the window that the device does not give back; their bytes are zero here.
    unreadable: Vec<u64>,
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
        opened.map_err(|source| match source.kind() {
            ErrorKind::IsADirectory => LogError::Foreign { path: id.to_string() },
            _ => LogError::Io { doing: "open", segment: id, source },
        })?;
        let length = backend.length(slot).map_err(|source| LogError::System {
            doing: "learn the length of",
            path: id.to_string(),
            source,
        })?;
        let end = length / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        Ok(SegmentFile { backend, id, slot, end, length, buffer, window: 0..0, ahead: 0, unreadable: Vec::new() })
    }

    /// The bytes from `at` on: `want` of them, or as many as the file has.
    pub(crate) fn bytes(&mut self, at: u64, want: usize) -> Result<&[u8], LogError> {
        debug_assert!(at.is_multiple_of(BLOCK_BYTES as u64) && want <= SCAN_BUFFER_BYTES);
        let until = (at + want as u64).min(self.end);
        if at < self.window.start || until > self.window.end {
            self.fill(at, until.max(self.ahead))?;
        }
        let from = (at.min(self.window.end) - self.window.start) as usize;
        let to = (until.max(at).min(self.window.end) - self.window.start) as usize;
        let buffer = self.buffer.as_ref().expect("the buffer is back between reads");
        Ok(&buffer[from..to.max(from)])
    }

    /// Reading ahead is of use up to here.
    pub(crate) fn read_ahead(&mut self, until: u64) {
        self.ahead = until;
    }

    /// What was read may have been written anew since: it is read again.
    pub(crate) fn forget(&mut self) {
        self.window = 0..0;
        self.unreadable.clear();
    }

    fn fill(&mut self, at: u64, until: u64) -> Result<(), LogError> {
        let len = until.min(self.end).saturating_sub(at).min(SCAN_BUFFER_BYTES as u64) as usize;
        self.window = at..at;
        self.unreadable.clear();
        if len == 0 {
            return Ok(());
        }
        match self.read(at, len) {
            Err(error) if error.is_bad_sector() && !planted::is(Bug::BadSectorStopsOpening) => {
                self.fill_around(at, len)?;
            }
            Err(IoError::Short { .. }) if planted::is(Bug::ShortReadIgnored) => {}
            read => read.map_err(|source| LogError::Io { doing: "read", segment: self.id, source })?,
        }
        self.window = at..at + len as u64;
        Ok(())
    }

    fn read(&mut self, at: u64, len: usize) -> Result<(), IoError> {
        let buffer = self.buffer.take().expect("the buffer is back between reads");
        let (read, buffer) = self.backend.run(OpKind::Read { file: self.slot, at, buffer, len });
        *self.buffer = buffer;
        read
    }

    /// Something in this stretch cannot be read: finds out which blocks, by halves, and takes all others.
    #[cold]
    fn fill_around(&mut self, at: u64, len: usize) -> Result<(), LogError> {
        let mut whole = vec![0; len];
        let mut pieces = vec![(at, len)];
        while let Some((start, bytes)) = pieces.pop() {
            match self.read(start, bytes) {
                Err(error) if error.is_bad_sector() => {}
                Err(source) => return Err(LogError::Io { doing: "read", segment: self.id, source }),
                Ok(()) => {
                    let from = (start - at) as usize;
                    let buffer = self.buffer.as_ref().expect("the buffer is back between reads");
                    whole[from..from + bytes].copy_from_slice(&buffer[..bytes]);
                    continue;
                }
            }
            if bytes == BLOCK_BYTES {
                self.unreadable.push(start);
                continue;
            }
            let half = bytes / BLOCK_BYTES / 2 * BLOCK_BYTES;
            pieces.extend([(start + half as u64, bytes - half), (start, half)]);
        }
        self.buffer.as_mut().expect("the buffer is back between reads")[..len].copy_from_slice(&whole);
        Ok(())
    }

    /// Whether some of these bytes, which [`bytes`](Self::bytes) gave last, could not be read.
    pub(crate) fn is_unreadable(&self, bytes: Range<u64>) -> bool {
        self.unreadable.iter().any(|&block| block < bytes.end && bytes.start < block + BLOCK_BYTES as u64)
    }

    pub(crate) fn header(&mut self) -> Result<Result<SegmentHeader, Fault>, LogError> {
        let id = self.id;
        self.bytes(0, BLOCK_BYTES)?;
        if self.is_unreadable(0..BLOCK_BYTES as u64) {
            return Ok(Err(Fault::Unreadable));
        }
        let header = SegmentHeader::decode(self.bytes(0, BLOCK_BYTES)?);
        Ok(header.and_then(|header| if header.id == id { Ok(header) } else { Err(Fault::Misplaced) }))
    }

    /// The footer, if an intact trailer leads to it. `incarnation` is what the segment's header says, if it can be read.
    pub(crate) fn seal(&mut self, incarnation: Option<[u8; 16]>) -> Result<Seal, LogError> {
        if self.end < 2 * BLOCK_BYTES as u64 || self.end != self.length {
            return Ok(Seal::Unsealed);
        }
        let trailer_at = self.end - BLOCK_BYTES as u64;
        let Ok(trailer) = Trailer::decode(self.bytes(trailer_at, BLOCK_BYTES)?) else {
            return Ok(Seal::Unsealed);
        };
        match self.footer(trailer, trailer_at, incarnation)? {
            Ok(footer) => Ok(Seal::Sealed(footer)),
            Err(Fault::Version(found)) => Err(self.other_version(found)),
            Err(fault) => Ok(Seal::Bad(fault)),
        }
    }

    fn footer(
        &mut self,
        trailer: Trailer,
        trailer_at: u64,
        incarnation: Option<[u8; 16]>,
    ) -> Result<Result<Footer, Fault>, LogError> {
        if !trailer.footer.is_multiple_of(BLOCK_BYTES as u64) || trailer.footer >= trailer_at {
            return Ok(Err(Fault::Shape));
        }
        self.bytes(trailer.footer, BLOCK_BYTES)?;
        if self.is_unreadable(trailer.footer..trailer.footer + BLOCK_BYTES as u64) {
            return Ok(Err(Fault::Unreadable));
        }
        let first = self.bytes(trailer.footer, BLOCK_BYTES)?;
        let header = match FooterHeader::decode(first) {
            Ok(_) if Trailer::of(trailer.footer, first) != trailer => return Ok(Err(Fault::HeaderChecksum)),
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        let ours = incarnation.is_none_or(|incarnation| incarnation == header.incarnation);
        if header.id != self.id || header.position != trailer.footer || !ours {
            return Ok(Err(Fault::Misplaced));
        }
        let length = header.length();
        if length > FOOTER_BYTES_MAX || trailer.footer + length as u64 > trailer_at {
            return Ok(Err(Fault::Shape));
        }
        let mut whole = Vec::new();
        while whole.len() < length {
            let at = trailer.footer + whole.len() as u64;
            let want = (length - whole.len()).min(SCAN_BUFFER_BYTES);
            whole.extend_from_slice(self.bytes(at, want)?);
            if self.is_unreadable(at..at + want as u64) {
                return Ok(Err(Fault::Unreadable));
            }
        }
        Ok(Footer::decode(&whole))
    }

    fn other_version(&self, found: u16) -> LogError {
        LogError::Version { path: self.id.to_string(), found }
    }

    /// Walks over the segment's frames from `at` up to `until`. What carries an intact header, and belongs here,
    /// goes to `visit` with the state of its body; what does not is gathered into stretches of bad blocks.
    /// Ends early at a footer. `incarnation` is what the segment's header says; where that cannot be read, the first
    /// frame says it, so that what a record holds is never taken for a frame of another.
    ///
    /// # Errors
    /// What the system refuses; and a frame of another format version in the place of one of ours.
    pub(crate) fn walk(
        &mut self,
        mut incarnation: Option<[u8; 16]>,
        mut at: u64,
        until: u64,
        mut visit: impl FnMut(Found<'_>),
    ) -> Result<Walked, LogError> {
        self.ahead = until;
        let mut walked = Walked { end: at, incarnation };
        let mut bad: Option<(u64, Fault)> = None;
        while at < until.min(self.end) {
            let id = self.id;
            self.bytes(at, BLOCK_BYTES)?;
            let unreadable = self.is_unreadable(at..at + BLOCK_BYTES as u64);
            let block = self.bytes(at, BLOCK_BYTES)?;
            let decoded = if unreadable { Err(Fault::Unreadable) } else { FrameHeader::decode(block) };
            match decoded.and_then(|header| belongs(header, id, at, incarnation)) {
                Ok(header) => {
                    if let Some((from, fault)) = bad.take() {
                        visit(Found::Bad { bytes: from..at, fault });
                    }
                    incarnation = Some(header.incarnation);
                    self.bytes(at, header.length as usize)?;
                    let unreadable = self.is_unreadable(at..at + u64::from(header.length));
                    let frame = self.bytes(at, header.length as usize)?;
                    let body = if unreadable { Err(Fault::Unreadable) } else { header.check_body(frame) };
                    let body = if planted::is(Bug::TornFrameAdopted) { Ok(()) } else { body };
                    visit(Found::Frame { header: &header, bytes: frame, body });
                    at += u64::from(header.length);
                    walked.end = at;
                }
                // Only where a frame must begin: further on it may be a record's payload that looks like one.
                Err(Fault::Version(found)) if bad.is_none() => return Err(self.other_version(found)),
                Err(fault) => {
                    if is_footer(block, id, at, incarnation) {
                        break;
                    }
                    let fault = if fault == Fault::Unwritten && !is_zero(block) { Fault::Magic } else { fault };
                    match &mut bad {
                        Some((_, first)) if *first == Fault::Unwritten => *first = fault,
                        Some(_) => {}
                        None => bad = Some((at, fault)),
                    }
                    at += BLOCK_BYTES as u64;
                }
            }
        }
        if let Some((from, fault)) = bad {
            visit(Found::Bad { bytes: from..at.min(self.end), fault });
        }
        walked.incarnation = incarnation;
        Ok(walked)
    }
}

/// The header, if it was written for this place.
pub(crate) fn belongs(
    header: FrameHeader,
    id: SegmentId,
    at: u64,
    incarnation: Option<[u8; 16]>,
) -> Result<FrameHeader, Fault> {
    let here = header.log == id.log && header.segment == id.number && header.position == at;
    let ours = incarnation.is_none_or(|incarnation| incarnation == header.incarnation);
    let fits = header.length as usize <= FRAME_BYTES_MAX;
    if here && ours && fits { Ok(header) } else { Err(Fault::Misplaced) }
}

/// As one comparison: most of what is read of an unsealed segment is zero.
fn is_zero(block: &[u8]) -> bool {
    const ZERO: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    block == &ZERO[..block.len()]
}

fn is_footer(block: &[u8], id: SegmentId, at: u64, incarnation: Option<[u8; 16]>) -> bool {
    FooterHeader::decode(block).is_ok_and(|footer| {
        let ours = incarnation.is_none_or(|incarnation| incarnation == footer.incarnation);
        footer.id == id && footer.position == at && ours
    })
}

/// Whether a segment is sealed.
pub(crate) enum Seal {
    /// No intact trailer: it was not sealed, or not to the end.
    Unsealed,
    Sealed(Footer),
    /// The trailer is intact, and what it points at is not.
    Bad(Fault),
}

/// What a walk came across.
pub(crate) enum Found<'a> {
    /// An intact header that belongs where it lies, its whole frame as far as the file has it, and the body's state.
    Frame { header: &'a FrameHeader, bytes: &'a [u8], body: Result<(), Fault> },
    /// Blocks in which no frame begins; [`Fault::Unwritten`] if all of them are zero.
    Bad { bytes: Range<u64>, fault: Fault },
}

/// Where a walk ended.
pub(crate) struct Walked {
    /// The byte after the last frame.
    pub(crate) end: u64,
    /// Whose frames they are, if there is an intact one.
    pub(crate) incarnation: Option<[u8; 16]>,
}
