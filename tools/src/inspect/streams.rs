//! The streams of a directory, from the stream tables of its frames.

use crate::names::{Names, shown};
use crate::table::{Table, grouped};
use log::SegmentId;
use log::format::frame::FrameHeader;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// What frames held of each stream, by tenant and stream.
#[derive(Default)]
pub(crate) struct Streams(BTreeMap<(u64, u32), Held>);

#[derive(Default)]
struct Held {
    records: u64,
    bytes: u64,
    offsets: Option<(u64, u64)>,
    segments: BTreeSet<SegmentId>,
}

/// A stream, for people and programs.
#[derive(Serialize)]
pub(crate) struct StreamLine {
    tenant: String,
    tenant_name: Option<String>,
    stream: u32,
    /// None also for stream 0, the tenant's catalog.
    stream_name: Option<String>,
    deleted: bool,
    /// How its new records are kept: none | aes-256-gcm, key N | erased.
    encryption: String,
    tenant_encryption: String,
    records: u64,
    first_offset: u64,
    last_offset: u64,
    payload_bytes: u64,
    segments: usize,
}

impl Streams {
    /// Takes a frame. One whose body is bad counts too, as long as its stream table is intact.
    pub(crate) fn take(&mut self, id: SegmentId, header: &FrameHeader, frame: &[u8]) {
        let Ok(table) = header.table(frame) else { return };
        let mut bytes = vec![0; table.iter().len()];
        for record in header.records(frame).flatten() {
            if let Some(bytes) = bytes.get_mut(usize::from(record.header.slot)) {
                *bytes += record.payload.len() as u64;
            }
        }
        for (entry, bytes) in table.iter().zip(bytes).filter(|(entry, _)| entry.records > 0) {
            let held = self.0.entry((entry.tenant, entry.stream)).or_default();
            let last = entry.next_offset() - 1;
            held.records += u64::from(entry.records);
            held.bytes += bytes;
            held.offsets = Some(match held.offsets {
                None => (entry.first_offset, last),
                Some((first, before)) => (first.min(entry.first_offset), before.max(last)),
            });
            held.segments.insert(id);
        }
    }

    pub(crate) fn into_lines(self, names: &Names) -> Vec<StreamLine> {
        let line = |((tenant, stream), held): ((u64, u32), Held)| {
            let (first_offset, last_offset) = held.offsets?;
            Some(StreamLine {
                tenant: format!("{tenant:016x}"),
                tenant_name: names.tenant(tenant).map(str::to_owned),
                stream,
                stream_name: names.stream(tenant, stream).map(str::to_owned),
                deleted: names.is_deleted(tenant, stream),
                encryption: names.encryption(tenant, stream).to_string(),
                tenant_encryption: names.tenant_encryption(tenant).to_string(),
                records: held.records,
                first_offset,
                last_offset,
                payload_bytes: held.bytes,
                segments: held.segments.len(),
            })
        };
        self.0.into_iter().filter_map(line).collect()
    }
}

pub(crate) fn print(out: &mut impl Write, streams: &[StreamLine]) -> io::Result<()> {
    let mut table = Table::new(&[
        "tenant",
        "name",
        ">stream",
        "name",
        ">records",
        ">first",
        ">last",
        ">payload",
        ">segments",
        "encryption",
    ]);
    for line in streams {
        let name = |name: &Option<String>| name.as_deref().map_or_else(|| "?".into(), shown);
        let stream = match &line.stream_name {
            None if line.stream == kernel::CATALOG.0 => "(catalog)".into(),
            other => name(other),
        };
        let stream = if line.deleted { format!("{stream} (deleted)") } else { stream };
        let (tenant, id) = (line.tenant.clone(), line.stream.to_string());
        let mut cells = vec![tenant, name(&line.tenant_name), id, stream];
        let numbers = [line.records, line.first_offset, line.last_offset, line.payload_bytes, line.segments as u64];
        cells.extend(numbers.map(grouped));
        // Names are not encrypted; the catalog's line says what its tenant's other streams have unless they say otherwise.
        cells.push(match line.stream == kernel::CATALOG.0 {
            true => format!("(tenant: {})", line.tenant_encryption),
            false => line.encryption.clone(),
        });
        table.row(cells);
    }
    table.write(out)
}
