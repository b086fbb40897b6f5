//! The names of tenants and streams, from what the logs hold of the catalogs: without an engine, and as far as the
//! records are intact.

use crate::directory::Reader;
use kernel::{CatalogRecord, RecordKind};
use log::format::frame::{FrameHeader, TableEntry};
use log::{LogError, Sight};
use std::collections::BTreeMap;

/// What the catalogs say.
#[derive(Debug, Default)]
pub(crate) struct Names {
    tenants: BTreeMap<u64, Entry>,
    streams: BTreeMap<(u64, u32), Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    name: Option<String>,
    deleted: bool,
}

impl Names {
    /// Reads all segments of these logs for catalog records.
    pub(crate) fn read(reader: &mut Reader, logs: &[u16]) -> Result<Names, LogError> {
        let mut names = Names::default();
        for &log in logs {
            for id in log::log_segments(&mut reader.backend, log)? {
                log::inspect_segment(&mut reader.backend, &mut reader.buffer, id, |sight| {
                    if let Sight::Frame { header, bytes, body: Ok(()) } = sight {
                        names.learn(header, bytes);
                    }
                })?;
            }
        }
        Ok(names)
    }

    /// Takes the catalog records of an intact frame.
    pub(crate) fn learn(&mut self, header: &FrameHeader, frame: &[u8]) {
        let Ok(table) = header.table(frame) else { return };
        if table.iter().all(|entry| entry.stream != kernel::CATALOG.0) {
            return;
        }
        let catalog_of = |entry: TableEntry| (entry.stream == kernel::CATALOG.0).then_some(entry.tenant);
        let tenants: Vec<Option<u64>> = table.iter().map(catalog_of).collect();
        for record in header.records(frame).flatten() {
            let Some(Some(tenant)) = tenants.get(usize::from(record.header.slot)).copied() else { continue };
            let kind = RecordKind::try_from(record.header.kind).ok();
            // What does not decode names nothing.
            if let Some(Ok(record)) = kind.and_then(|kind| CatalogRecord::decode(kind, record.payload)) {
                self.take(tenant, &record);
            }
        }
    }

    fn take(&mut self, tenant: u64, record: &CatalogRecord<'_>) {
        match record {
            CatalogRecord::TenantCreated { name } => {
                self.tenants.entry(tenant).or_default().name = Some((*name).into());
            }
            CatalogRecord::StreamCreated { stream, name } => {
                self.streams.entry((tenant, stream.0)).or_default().name = Some((*name).into());
            }
            CatalogRecord::StreamDeleted { stream } => {
                self.streams.entry((tenant, stream.0)).or_default().deleted = true;
            }
            CatalogRecord::TenantDeleted => self.tenants.entry(tenant).or_default().deleted = true,
            CatalogRecord::TenantPolicy(_) | CatalogRecord::DataKey { .. } | CatalogRecord::Erased { .. } => {}
        }
    }

    /// The name of a tenant, if it is known.
    pub(crate) fn tenant(&self, tenant: u64) -> Option<&str> {
        self.tenants.get(&tenant)?.name.as_deref()
    }

    /// The name of a stream, if it is known; the catalog has none.
    pub(crate) fn stream(&self, tenant: u64, stream: u32) -> Option<&str> {
        self.streams.get(&(tenant, stream))?.name.as_deref()
    }

    /// Whether a stream, or its tenant, is deleted.
    pub(crate) fn is_deleted(&self, tenant: u64, stream: u32) -> bool {
        self.tenants.get(&tenant).is_some_and(|entry| entry.deleted)
            || self.streams.get(&(tenant, stream)).is_some_and(|entry| entry.deleted)
    }
}

/// A name as a terminal may see it: control characters are escaped.
pub(crate) fn shown(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}
