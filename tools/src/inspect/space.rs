//! What the bytes of segments are used for.

use crate::table::{Table, grouped, percent};
use log::SegmentShape;
use log::format::footer::Footer;
use log::format::frame::{ENTRY_BYTES, FrameHeader, HEADER_BYTES, RECORD_HEADER_BYTES, record_bytes};
use log::format::{BLOCK_BYTES, Fault};
use serde::Serialize;
use std::io::{self, Write};
use std::ops::Range;

/// How far a segment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SegmentState {
    /// It has a footer.
    Sealed,
    /// It has frames and no footer.
    Unsealed,
    /// It was prepared, and nothing was written.
    Unused,
}

impl SegmentState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            SegmentState::Sealed => "sealed",
            SegmentState::Unsealed => "unsealed",
            SegmentState::Unused => "unused",
        }
    }
}

/// Bytes by their use. Those that have no part of their own here are the segments' headers and trailers.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Space {
    pub(crate) file_bytes: u64,
    pub(crate) frames: u64,
    pub(crate) records: u64,
    pub(crate) payload: u64,
    /// Before the payloads of the records.
    pub(crate) record_headers: u64,
    /// Headers and stream tables of frames.
    pub(crate) frame_headers: u64,
    /// Zeros after records and at the end of frames, up to the next multiple of 8 or of a block.
    pub(crate) padding: u64,
    /// All of the above: from the first byte of a frame to its last.
    pub(crate) in_frames: u64,
    pub(crate) footer: u64,
    /// Headers and trailers of segments.
    pub(crate) segment_ends: u64,
    /// Between frames, or where one was begun, and no frame can be read.
    pub(crate) unreadable: u64,
    /// Never written.
    pub(crate) free: u64,
}

impl Space {
    pub(crate) fn take_frame(&mut self, header: &FrameHeader, bytes: &[u8]) {
        let length = u64::from(header.length);
        let mut records = 0;
        for record in header.records(bytes).flatten() {
            let payload = record.payload.len();
            records += 1;
            self.payload += payload as u64;
            self.padding += (record_bytes(payload) - RECORD_HEADER_BYTES - payload) as u64;
        }
        let fixed = (HEADER_BYTES + usize::from(header.entries) * ENTRY_BYTES) as u64;
        self.frames += 1;
        self.records += records;
        self.record_headers += records * RECORD_HEADER_BYTES as u64;
        self.frame_headers += fixed;
        self.padding += length.saturating_sub(fixed + u64::from(header.records_bytes));
        self.in_frames += length;
    }

    pub(crate) fn take_no_frame(&mut self, bytes: &Range<u64>, fault: Fault) {
        if fault != Fault::Unwritten {
            self.unreadable += bytes.end - bytes.start;
        }
    }

    /// Adds what lies around the frames. What is left then was never written.
    pub(crate) fn finish(&mut self, shape: &SegmentShape) -> SegmentState {
        let footer: Option<&Footer> = shape.footer.as_ref().ok().and_then(Option::as_ref);
        self.file_bytes = shape.file_bytes;
        self.footer = footer.map_or(0, |footer| footer.header.length() as u64);
        let ends = if footer.is_some() { 2 } else { 1 } * BLOCK_BYTES as u64;
        self.segment_ends = ends.min(shape.file_bytes);
        let used = self.in_frames + self.footer + self.segment_ends + self.unreadable;
        self.free = shape.file_bytes.saturating_sub(used);
        match footer {
            Some(_) => SegmentState::Sealed,
            None if self.frames > 0 || self.unreadable > 0 => SegmentState::Unsealed,
            None => SegmentState::Unused,
        }
    }

    pub(crate) fn add(&mut self, other: &Space) {
        let Space { file_bytes, frames, records, payload, record_headers, frame_headers, .. } = *other;
        self.file_bytes += file_bytes;
        self.frames += frames;
        self.records += records;
        self.payload += payload;
        self.record_headers += record_headers;
        self.frame_headers += frame_headers;
        self.padding += other.padding;
        self.in_frames += other.in_frames;
        self.footer += other.footer;
        self.segment_ends += other.segment_ends;
        self.unreadable += other.unreadable;
        self.free += other.free;
    }

    /// The use of space as a table: bytes, and their part in the whole and in what is written.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let written = self.file_bytes - self.free;
        let mut table = Table::new(&["space", ">bytes", ">of all", ">of written"]);
        let mut row = |name: &str, bytes: u64, in_written: bool| {
            let part = if in_written { percent(bytes, written) } else { String::new() };
            table.row(vec![name.into(), grouped(bytes), percent(bytes, self.file_bytes), part]);
        };
        row("payload", self.payload, true);
        row("record headers", self.record_headers, true);
        row("frame headers and stream tables", self.frame_headers, true);
        row("padding", self.padding, true);
        row("footers", self.footer, true);
        row("segment headers and trailers", self.segment_ends, true);
        if self.unreadable > 0 {
            row("unreadable", self.unreadable, true);
        }
        row("free", self.free, false);
        row("all", self.file_bytes, false);
        table.write(out)
    }
}
