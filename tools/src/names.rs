//! The names of tenants and streams, from what the logs hold of the catalogs: without an engine, and as far as the
//! records are intact.

use crate::directory::{self, Caching, Reader};
use crate::failure::Failure;
use diatreme::DirectoryLock;
use kernel::{CatalogRecord, Encryption, RecordKind};
use log::format::frame::{FrameHeader, TableEntry};
use log::{LogError, Sight};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

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
    erased: bool,
    /// The numbers of its own keys.
    keys: BTreeSet<u32>,
    /// The position of the first record that names one of them.
    keyed_from: Option<u64>,
}

/// A tenant, or a stream of it, as the catalog names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) id: u64,
    /// None if the record of its creation is lost.
    pub(crate) name: Option<&'a str>,
    pub(crate) deleted: bool,
    /// How many keys of its own it has, or had.
    pub(crate) keys: usize,
    pub(crate) encryption: Encryption,
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

    /// Reads a whole data directory that no other process has open.
    pub(crate) fn of_directory(data_dir: &Path) -> Result<Names, Failure> {
        let survey = directory::survey(data_dir)?;
        let _lock = DirectoryLock::shared(data_dir).map_err(Failure::engine(data_dir))?;
        let read = || Names::read(&mut Reader::open(data_dir, Caching::Cached)?, &survey.logs);
        read().map_err(Failure::at(data_dir))
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
            let (kind, position) = (RecordKind::try_from(record.header.kind).ok(), record.header.position);
            // What does not decode names nothing.
            if let Some(Ok(record)) = kind.and_then(|kind| CatalogRecord::decode(kind, record.payload)) {
                self.take(tenant, position, &record);
            }
        }
    }

    fn take(&mut self, tenant: u64, position: u64, record: &CatalogRecord<'_>) {
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
            CatalogRecord::TenantPolicy(_) => {}
            CatalogRecord::DataKey { stream, key } => {
                let entry = self.entry(tenant, stream.0);
                entry.keys.insert(key.key_id);
                // Logs are read one after the other, not in the order of the catalog.
                entry.keyed_from = Some(entry.keyed_from.map_or(position, |first| first.min(position)));
            }
            CatalogRecord::Erased { stream } => self.entry(tenant, stream.0).erased = true,
        }
    }

    /// The entry of a stream, or with the catalog's id that of the tenant.
    fn entry(&mut self, tenant: u64, stream: u32) -> &mut Entry {
        if stream == kernel::CATALOG.0 {
            self.tenants.entry(tenant).or_default()
        } else {
            self.streams.entry((tenant, stream)).or_default()
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

    /// How the records are kept that a tenant's streams get without a key of their own.
    pub(crate) fn tenant_encryption(&self, tenant: u64) -> Encryption {
        self.tenants.get(&tenant).map_or(Encryption::None, |entry| Encryption::new(entry.erased, entry.key()))
    }

    /// All tenants, by id.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = Named<'_>> {
        self.tenants.iter().map(|(&id, entry)| entry.named(id, self.tenant_encryption(id)))
    }

    /// All streams of a tenant, by id.
    pub(crate) fn streams(&self, tenant: u64) -> impl Iterator<Item = Named<'_>> {
        let streams = self.streams.range((tenant, 0)..=(tenant, u32::MAX));
        streams.map(move |(&(_, id), entry)| entry.named(id.into(), self.encryption(tenant, id)))
    }

    /// The position from which on what a tenant's streams without a key of their own get is sealed: records before it are in the
    /// clear. A tenant that was made with its key has none but its own creation.
    pub(crate) fn sealed_from(&self, tenant: u64) -> Option<u64> {
        self.tenants.get(&tenant)?.keyed_from
    }

    /// How the records are kept that a stream gets; a catalog's are in the clear.
    pub(crate) fn encryption(&self, tenant: u64, stream: u32) -> Encryption {
        if stream == kernel::CATALOG.0 {
            return Encryption::None;
        }
        let tenants = self.tenant_encryption(tenant);
        match self.streams.get(&(tenant, stream)) {
            Some(entry) if entry.key() > 0 => {
                Encryption::new(entry.erased || tenants == Encryption::Erased, entry.key())
            }
            _ => tenants,
        }
    }

    /// The stream of a tenant that has this name; of several, which had it one after the other, the newest.
    pub(crate) fn stream_named(&self, tenant: u64, name: &str) -> Option<u32> {
        let streams = self.streams.range((tenant, 0)..=(tenant, u32::MAX)).rev();
        streams.filter(|(_, entry)| entry.name.as_deref() == Some(name)).map(|((_, stream), _)| *stream).next()
    }

    /// Whether a stream, or its tenant, is deleted.
    pub(crate) fn is_deleted(&self, tenant: u64, stream: u32) -> bool {
        self.tenants.get(&tenant).is_some_and(|entry| entry.deleted)
            || self.streams.get(&(tenant, stream)).is_some_and(|entry| entry.deleted)
    }
}

impl Entry {
    /// The newest key of its own; 0: none.
    fn key(&self) -> u32 {
        self.keys.last().copied().unwrap_or(0)
    }

    fn named(&self, id: u64, encryption: Encryption) -> Named<'_> {
        let Entry { name, deleted, keys, .. } = self;
        Named { id, name: name.as_deref(), deleted: *deleted, keys: keys.len(), encryption }
    }
}

/// A name as a terminal may see it: control characters are escaped.
pub(crate) fn shown(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{CATALOG, NewKey, StreamId};

    #[test]
    fn encryption_is_told_as_the_catalog_has_it_in_whichever_order_it_is_read() {
        let key = |stream, key_id| CatalogRecord::DataKey {
            stream: StreamId(stream),
            key: NewKey { key_id, commitment: [7; 32] },
        };
        let mut names = Names::default();
        let shown = |names: &Names| [0, 1, 2].map(|stream| names.encryption(5, stream).to_string());
        assert_eq!(shown(&names), ["none", "none", "none"]);
        for (position, record) in [(9, key(0, 3)), (5, key(2, 2)), (1, key(0, 1))] {
            names.take(5, position, &record);
        }
        assert_eq!((names.sealed_from(5), names.sealed_from(6)), (Some(1), None));
        assert_eq!(names.tenants().map(|tenant| (tenant.id, tenant.keys)).collect::<Vec<_>>(), [(5, 2)]);
        assert_eq!(names.streams(5).map(|stream| (stream.id, stream.keys)).collect::<Vec<_>>(), [(2, 1)]);
        assert_eq!(shown(&names), ["none", "aes-256-gcm, key 3", "aes-256-gcm, key 2"]);
        names.take(5, 20, &CatalogRecord::Erased { stream: StreamId(2) });
        assert_eq!(shown(&names), ["none", "aes-256-gcm, key 3", "erased"]);
        assert_eq!(names.tenant_encryption(5), Encryption::Aes256Gcm { key_id: 3 });
        names.take(5, 20, &CatalogRecord::Erased { stream: CATALOG });
        assert_eq!(shown(&names), ["none", "erased", "erased"]);
        assert_eq!(names.tenant_encryption(6), Encryption::None);
    }
}
