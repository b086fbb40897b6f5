//! The frames of a segment, a line each.

use crate::table::{Table, grouped};
use log::Fault;
use log::format::frame::{ENTRY_BYTES, FrameHeader, HEADER_BYTES};
use serde::Serialize;
use std::io::{self, Write};

/// A frame, for people and programs.
#[derive(Serialize)]
pub(crate) struct FrameLine {
    sequence: u64,
    position: u64,
    length: u32,
    mark: bool,
    records: u32,
    streams: u16,
    durable_mark: u64,
    sealed_at: u64,
    /// What of its length is not padding to the end of a block.
    fill_percent: f64,
    /// What is wrong with its body.
    fault: Option<String>,
}

impl FrameLine {
    pub(crate) fn new(header: &FrameHeader, body: Result<(), Fault>) -> FrameLine {
        let used = HEADER_BYTES + header.records_bytes as usize + usize::from(header.entries) * ENTRY_BYTES;
        FrameLine {
            sequence: header.sequence,
            position: header.position,
            length: header.length,
            mark: header.mark,
            records: header.records,
            streams: header.entries,
            durable_mark: header.durable_mark,
            sealed_at: header.sealed_at,
            fill_percent: used as f64 * 100.0 / f64::from(header.length.max(1)),
            fault: body.err().map(|fault| fault.to_string()),
        }
    }
}

pub(crate) fn print(out: &mut impl Write, frames: &[FrameLine]) -> io::Result<()> {
    let titles = [">frame", ">at byte", ">length", ">records", ">streams", ">durable below", ">filled", "state"];
    let mut table = Table::new(&titles);
    for frame in frames {
        let numbers = [
            frame.sequence,
            frame.position,
            u64::from(frame.length),
            u64::from(frame.records),
            u64::from(frame.streams),
            frame.durable_mark,
        ];
        let mut cells: Vec<String> = numbers.into_iter().map(grouped).collect();
        cells.push(format!("{:.1} %", frame.fill_percent));
        cells.push(match &frame.fault {
            Some(fault) => fault.clone(),
            None if frame.mark => "mark".into(),
            None => "intact".into(),
        });
        table.row(cells);
    }
    table.write(out)
}
