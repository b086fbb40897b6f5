//! Sealing a segment: its footer, a slice at a time, then its trailer. The loop goes on meanwhile.

use crate::format::BLOCK_BYTES;
use crate::format::footer::{self, FooterHeader, StreamEntry, Trailer};
use crate::index::SealedSegment;
use crate::limits::FOOTER_SLICE_BYTES;
use crate::stream::Stream;
use iobackend::{Buffer, FileSlot, IoBackend, IoError, Op, OpKind};
use std::sync::Arc;

/// A stream's line in a segment's list. While the stream has not been written again after the segment, its
/// own state is the newest and the line is filled in only when the footer is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) index: u32,
    pub(crate) entry: Option<StreamEntry>,
}

/// The stream's line, as its state now gives it.
pub(crate) fn stream_entry(stream: &Stream) -> StreamEntry {
    StreamEntry {
        tenant: stream.tenant,
        stream: stream.id,
        newest: stream.active.newest,
        first_offset: stream.active.first_offset,
        next_offset: stream.next_offset,
        timestamp: stream.timestamp,
        position: stream.position,
        link: stream.link,
    }
}

/// Entries of the footer that are encoded in one turn: about 50 µs of work.
const ENTRIES_A_TURN: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Frames may have been written without a flush, and a footer vouches for them.
    Flush,
    /// Stream entries, then index entries, up to this one, are in `bytes`.
    Encode(usize),
    /// Bytes of the footer that are written.
    Write(usize),
    Trailer,
    Done,
}

/// A segment on its way to being sealed.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) segment: Arc<SealedSegment>,
    pub(crate) slot: FileSlot,
    pub(crate) header: FooterHeader,
    listed: Vec<Listed>,
    /// Where the trailer goes.
    trailer_at: u64,
    bytes: Vec<u8>,
    buffer: Option<Buffer>,
    step: Step,
    waiting: bool,
}

impl Sealing {
    pub(crate) fn new(
        segment: Arc<SealedSegment>,
        slot: FileSlot,
        header: FooterHeader,
        trailer_at: u64,
        listed: Vec<Listed>,
        buffer: Buffer,
    ) -> Sealing {
        let bytes = vec![0; header.length()];
        let (step, waiting) = (Step::Flush, false);
        Sealing { segment, slot, header, listed, trailer_at, bytes, buffer: Some(buffer), step, waiting }
    }

    /// The stream is about to be written in a newer segment: its line here is final.
    pub(crate) fn capture(&mut self, stream: &Stream) {
        self.listed[stream.active.listed as usize].entry = Some(stream_entry(stream));
    }

    pub(crate) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether the flush of the segment's frames is still to come.
    pub(crate) fn is_flushing(&self) -> bool {
        self.step == Step::Flush
    }

    /// Gives back the list's memory and the buffer.
    pub(crate) fn into_parts(self) -> (Vec<Listed>, Buffer) {
        (self.listed, self.buffer.expect("nothing is in flight"))
    }

    /// Does a turn's worth of encoding, or submits the next write. To be called only once every frame of the
    /// segment is written: the footer vouches for them.
    pub(crate) fn advance(&mut self, backend: &mut impl IoBackend, streams: &[Stream], token: u64) {
        match self.step {
            _ if self.waiting => {}
            Step::Flush => self.submit(backend, token, OpKind::Flush { file: self.slot }),
            Step::Encode(from) => self.encode(streams, from),
            Step::Write(from) => {
                let len = (self.bytes.len() - from).min(FOOTER_SLICE_BYTES);
                let Some(mut buffer) = self.buffer.take() else { return };
                buffer[..len].copy_from_slice(&self.bytes[from..from + len]);
                let at = self.header.position + from as u64;
                self.submit(backend, token, OpKind::Write { file: self.slot, at, buffer, len, durable: true });
            }
            Step::Trailer => {
                let Some(mut buffer) = self.buffer.take() else { return };
                Trailer::of(self.header.position, &self.bytes).encode(&mut buffer);
                let (at, len) = (self.trailer_at, BLOCK_BYTES);
                self.submit(backend, token, OpKind::Write { file: self.slot, at, buffer, len, durable: true });
            }
            Step::Done => {}
        }
    }

    fn encode(&mut self, streams: &[Stream], from: usize) {
        let lines = self.listed.len();
        let entries = lines + self.segment.index.len();
        let to = (from + ENTRIES_A_TURN).min(entries);
        for at in from..to.min(lines) {
            let Listed { index, entry } = self.listed[at];
            let entry = entry.unwrap_or_else(|| stream_entry(&streams[index as usize]));
            footer::put_stream(&mut self.bytes, at, &entry);
        }
        for at in from.max(lines)..to {
            footer::put_index(&mut self.bytes, lines, at - lines, &self.segment.index[at - lines]);
        }
        self.step = Step::Encode(to);
        if to == entries {
            self.header.encode(&mut self.bytes);
            self.step = Step::Write(0);
        }
    }

    fn submit(&mut self, backend: &mut impl IoBackend, token: u64, kind: OpKind) {
        self.waiting = true;
        if let Err(op) = backend.submit(Op { token, kind }) {
            self.waiting = false;
            self.take_back(op.kind.into_buffer());
        }
    }

    fn take_back(&mut self, buffer: Option<Buffer>) {
        if buffer.is_some() {
            self.buffer = buffer;
        }
    }

    /// Takes the completion of the write in flight.
    pub(crate) fn complete(&mut self, result: Result<(), IoError>, buffer: Option<Buffer>) -> Result<(), IoError> {
        self.waiting = false;
        self.take_back(buffer);
        result?;
        self.step = match self.step {
            Step::Flush => Step::Encode(0),
            Step::Write(from) if from + FOOTER_SLICE_BYTES < self.bytes.len() => Step::Write(from + FOOTER_SLICE_BYTES),
            Step::Write(_) => Step::Trailer,
            _ => Step::Done,
        };
        Ok(())
    }
}
