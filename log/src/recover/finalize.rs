//! What opening changes on the disk: unused segments go, whole ones are sealed. From the last segment to the first, so
//! that an interruption leaves no gap in the numbers.

use super::SLOT;
use super::adopt::Kept;
use crate::LogError;
use crate::format::BLOCK_BYTES;
use crate::format::footer::{Footer, Trailer, put_index, put_stream};
use crate::format::segment::SegmentId;
use crate::history::{Judged, Outline, Verdict};
use crate::scan::SCAN_BUFFER_BYTES;
use iobackend::{Buffer, IoBackend, IoError, OpKind, OpenMode};
use planted::Bug;

/// Makes of a segment what the next incarnation needs it to be.
pub(super) fn segment<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    outline: &Outline,
    judged: &Judged,
    kept: Option<&Kept>,
) -> Result<(), LogError> {
    match (judged.verdict, kept) {
        (Verdict::Unused, _) => remove(backend, outline.id),
        (Verdict::Part, Some(kept)) if outline.footer.is_none() && judged.whole && kept.footer.is_sound() => {
            seal(backend, buffer, outline.id, &kept.footer)
        }
        (Verdict::Part, _) if outline.footer.is_none() => flush(backend, outline.id),
        _ => Ok(()),
    }
}

fn remove<B: IoBackend>(backend: &mut B, id: SegmentId) -> Result<(), LogError> {
    backend.remove(id.file_name().as_str()).map_err(|source| LogError::System {
        doing: "remove the unused segment",
        path: id.to_string(),
        source,
    })
}

fn open<B: IoBackend>(backend: &mut B, id: SegmentId) -> Result<(), LogError> {
    let (opened, _) = backend.run(OpKind::Open { file: SLOT, name: id.file_name(), mode: OpenMode::ReadWrite });
    opened.map_err(|source| LogError::Io { doing: "open", segment: id, source })
}

/// What is adopted must be durable before a new incarnation vouches for it, also in a segment that stays as it is.
fn flush<B: IoBackend>(backend: &mut B, id: SegmentId) -> Result<(), LogError> {
    open(backend, id)?;
    let (flushed, _) = backend.run(OpKind::Flush { file: SLOT });
    flushed.map_err(|source| LogError::Io { doing: "flush", segment: id, source })
}

/// Cuts an unsealed segment to its last adopted frame, and seals it. Cutting also flushes the frames.
fn seal<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    id: SegmentId,
    footer: &Footer,
) -> Result<(), LogError> {
    open(backend, id)?;
    let position = footer.header.position;
    let cut = if planted::is(Bug::TailNotCut) { Ok(()) } else { backend.truncate(SLOT, position) };
    cut.map_err(|source| LogError::System { doing: "cut", path: id.to_string(), source })?;
    let (footer, trailer) = encode(footer);
    let mut at = position;
    // The trailer goes last and alone: it vouches for the footer.
    for piece in footer.chunks(SCAN_BUFFER_BYTES).chain([&trailer[..]]) {
        write(backend, buffer, at, piece).map_err(|source| LogError::Io {
            doing: "write a footer",
            segment: id,
            source,
        })?;
        at += piece.len() as u64;
    }
    Ok(())
}

fn encode(footer: &Footer) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = vec![0; footer.header.length()];
    for (at, entry) in footer.streams.iter().enumerate() {
        put_stream(&mut bytes, at, entry);
    }
    for (at, entry) in footer.index.iter().enumerate() {
        put_index(&mut bytes, footer.streams.len(), at, entry);
    }
    footer.header.encode(&mut bytes);
    let mut trailer = vec![0; BLOCK_BYTES];
    Trailer::of(footer.header.position, &bytes).encode(&mut trailer);
    (bytes, trailer)
}

fn write<B: IoBackend>(backend: &mut B, buffer: &mut Option<Buffer>, at: u64, bytes: &[u8]) -> Result<(), IoError> {
    let mut block = buffer.take().expect("the buffer is back between operations");
    block[..bytes.len()].copy_from_slice(bytes);
    let kind = OpKind::Write { file: SLOT, at, buffer: block, len: bytes.len(), durable: true };
    let (written, block) = backend.run(kind);
    *buffer = block;
    written
}
