//! Pages of names: how the kernel writes them and how a client reads them.
//!
//! An entry is an id (8 bytes, little-endian), a set of flags (1), the length of the name (1), the
//! number of the key that seals new records (4; 0: none) and the name. Deleted entries are listed too, with their flag: a page is then as much work as it
//! has bytes, however much was deleted, and an operator wants to see them. A stream's end is not
//! listed: the reply would have to wait for the newest records of a whole page of streams.

use crate::effects::{Effects, Reply};
use crate::ids::{StreamId, TenantId};
use crate::kernel::{Kernel, Outcome, Seen};
use crate::keys::Encryption;
use crate::limits::NAME_BYTES_MAX;
use crate::refusal::Refusal;
use crate::tables::{Closed, Stream};

/// Bytes of an entry without its name.
const ENTRY_BYTES: usize = 8 + 1 + 1 + 4;

const DELETED: u8 = 1;
const FROZEN: u8 = 2;
const ERASED: u8 = 4;

/// Bytes of a page at least: the longest entry fits, so every page brings its reader further.
pub const LISTING_BYTES_MIN: u32 = (ENTRY_BYTES + NAME_BYTES_MAX) as u32;

/// Bytes of a page at most, whatever the client asks for: it bounds the work of one command.
pub const LISTING_BYTES_MAX: u32 = 64 << 10;

// A name's length has one byte.
const _: () = assert!(NAME_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(LISTING_BYTES_MIN <= LISTING_BYTES_MAX);

impl Kernel {
    #[cold]
    pub(crate) fn list_tenants(&self, after: Option<TenantId>, bytes_max: u32, effects: &mut Effects) -> Outcome {
        let entries = self.tables.tenants_after(after).map(|tenant| Entry {
            id: tenant.id.0,
            name: tenant.name.as_deref(),
            flags: flags(tenant.deleted, self.tables.stream(tenant.catalog)),
            encryption: Self::tenant_encryption(tenant),
        });
        let answer = write_page(entries, bytes_max, &mut effects.scratch).map_err(Seen::nothing)?;
        Ok(Seen { slot: self.tables.tenant_newest, answer })
    }

    #[cold]
    pub(crate) fn list_streams(
        &self,
        tenant: TenantId,
        after: StreamId,
        bytes_max: u32,
        effects: &mut Effects,
    ) -> Outcome {
        use std::ops::Bound::{Excluded, Unbounded};
        let tenant = self.tables.tenant(self.live_tenant(tenant)?);
        // Nothing comes before the catalog, so it is behind every `after`.
        let entries = tenant.streams.range((Excluded(after), Unbounded)).map(|(id, &slot)| {
            let stream = self.tables.stream(slot);
            Entry {
                id: id.0.into(),
                name: self.tables.label(slot).name.as_deref(),
                flags: flags(stream.closed.has(Closed::DELETED), stream),
                encryption: self.stream_encryption(slot),
            }
        });
        let answer = write_page(entries, bytes_max, &mut effects.scratch).map_err(Seen::nothing)?;
        Ok(Seen::stream(tenant.catalog, answer))
    }
}

struct Entry<'a> {
    id: u64,
    name: Option<&'a str>,
    flags: u8,
    encryption: Encryption,
}

fn flags(deleted: bool, stream: &Stream) -> u8 {
    let frozen = stream.closed.has(Closed::FROZEN);
    (if deleted { DELETED } else { 0 }) | (if frozen { FROZEN } else { 0 })
}

fn write_page<'a>(
    entries: impl Iterator<Item = Entry<'a>>,
    bytes_max: u32,
    scratch: &mut Vec<u8>,
) -> Result<Reply, Refusal> {
    if bytes_max < LISTING_BYTES_MIN {
        return Err(Refusal::ListingTooSmall { bytes_max, min: LISTING_BYTES_MIN });
    }
    let start = scratch.len();
    let end = start + bytes_max.min(LISTING_BYTES_MAX) as usize;
    let mut more = false;
    for Entry { id, name, flags, encryption } in entries {
        let name = name.unwrap_or_default();
        if scratch.len() + ENTRY_BYTES + name.len() > end {
            more = true;
            break;
        }
        let (erased, key_id) = match encryption {
            Encryption::None => (0, 0),
            Encryption::Aes256Gcm { key_id } => (0, key_id),
            Encryption::Erased => (ERASED, 0),
        };
        scratch.extend_from_slice(&id.to_le_bytes());
        scratch.extend_from_slice(&[flags | erased, name.len() as u8]);
        scratch.extend_from_slice(&key_id.to_le_bytes());
        scratch.extend_from_slice(name.as_bytes());
    }
    Ok(Reply::Listed { start: start as u32, len: (scratch.len() - start) as u32, more })
}

/// Reads the entries of a page. Ends at the first that is cut short or has no UTF-8 name, which
/// no page of a kernel has.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    page: &'a [u8],
}

impl<'a> Listing<'a> {
    /// Reads a page, the bytes that [`Reply::Listed`] names.
    #[must_use]
    pub const fn new(page: &'a [u8]) -> Self {
        Self { page }
    }
}

impl<'a> Iterator for Listing<'a> {
    type Item = ListingEntry<'a>;

    fn next(&mut self) -> Option<ListingEntry<'a>> {
        let (id, rest) = self.page.split_first_chunk()?;
        let (&[flags, len], rest) = rest.split_first_chunk()?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(len.into())?;
        self.page = rest;
        Some(ListingEntry {
            id: u64::from_le_bytes(*id),
            name: std::str::from_utf8(name).ok()?,
            deleted: flags & DELETED != 0,
            frozen: flags & FROZEN != 0,
            encryption: Encryption::new(flags & ERASED != 0, u32::from_le_bytes(*key_id)),
        })
    }
}

/// A tenant or a stream of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingEntry<'a> {
    /// The number of its [`TenantId`] or [`StreamId`].
    pub id: u64,
    /// Its name; empty if the record of its creation is lost.
    pub name: &'a str,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Whether it is damaged; of a tenant: whether its catalog is.
    pub frozen: bool,
    /// How its new records are kept; of a tenant: those of its streams that have no key of their own.
    pub encryption: Encryption,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CATALOG, Command, Limits};

    #[test]
    fn pages_bring_every_stream_once() {
        let tenant = TenantId(1);
        let mut kernel = Kernel::new(Limits::default());
        let mut effects = Effects::new(1);
        kernel.apply(0, &Command::CreateTenant { tenant, name: "t", key: None }, 0, &mut effects);
        for id in 1..=20 {
            let name = format!("{id}").repeat(100);
            kernel.apply(0, &Command::CreateStream { tenant, name: &name, key: None }, 0, &mut effects);
        }
        kernel.apply(0, &Command::DeleteStream { tenant, stream: StreamId(4) }, 0, &mut effects);

        let mut after = CATALOG;
        let mut listed = Vec::new();
        loop {
            effects.clear();
            kernel.apply(0, &Command::ListStreams { tenant, after, bytes_max: 300 }, 0, &mut effects);
            let Ok(Reply::Listed { start: 0, len, more }) = effects.replies[0].outcome else {
                panic!("refused: {effects:?}");
            };
            assert_eq!(len as usize, effects.scratch.len());
            for entry in Listing::new(&effects.scratch) {
                assert!(entry.name.starts_with(&entry.id.to_string()));
                assert_eq!((entry.deleted, entry.frozen), (entry.id == 4, false));
                listed.push(entry.id);
                after = StreamId(entry.id as u32);
            }
            if !more {
                break;
            }
        }
        assert_eq!(listed, (1..=20).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_that_is_cut_short_ends_there() {
        let mut page = Vec::new();
        let entry = |id| Entry { id, name: Some("name"), flags: DELETED | FROZEN, encryption: Encryption::None };
        write_page([entry(1), entry(2)].into_iter(), 300, &mut page).unwrap();
        for cut in 0..=page.len() {
            let entries = Listing::new(&page[..cut]).count();
            assert_eq!(entries, cut / 18, "cut at {cut}");
        }
    }
}
