//! What files hold, in pages, of which only those with a byte that is not zero are kept.
//!
//! A page is what transfers are multiples of, so that writing one replaces it and an older version costs a reference.
//! Sectors exist only where faults look at them: a power cut mixes the sectors of two versions into a third.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub(super) const PAGE_BYTES: usize = crate::limits::BUFFER_ALIGNMENT;
pub(super) const SECTOR_BYTES: usize = 512;
pub(super) const SECTORS: usize = PAGE_BYTES / SECTOR_BYTES;

static ZERO: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// A page that is not all zero; `None` in its place is one that is.
pub(super) type Page = Arc<[u8; PAGE_BYTES]>;

/// One page's bytes, which may be the last and incomplete one of a file.
pub(super) fn page_of(bytes: &[u8]) -> Option<Page> {
    if is_zero(bytes) {
        return None;
    }
    let mut page = ZERO;
    page[..bytes.len()].copy_from_slice(bytes);
    Some(Arc::new(page))
}

/// Whether no byte of a page or of a part of it is set: one comparison of memory.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes == &ZERO[..bytes.len()]
}

pub(super) fn bytes_of(page: Option<&Page>) -> &[u8; PAGE_BYTES] {
    page.map_or(&ZERO, |page| page)
}

/// Which sectors of a page are not all zero, as bits.
pub(super) fn sectors_used(page: &[u8]) -> u8 {
    let sectors = page.chunks(SECTOR_BYTES).enumerate();
    sectors.filter(|(_, sector)| !is_zero(sector)).fold(0, |bits, (at, _)| bits | 1 << at)
}

/// The old page with those sectors of the new one whose bit is set.
pub(super) fn spliced(old: Option<&Page>, new: Option<&Page>, sectors: u8) -> Option<Page> {
    match sectors {
        0 => old.cloned(),
        u8::MAX => new.cloned(),
        _ => {
            let (mut page, new) = (*bytes_of(old), bytes_of(new));
            for sector in (0..SECTORS).filter(|sector| sectors >> sector & 1 != 0) {
                let range = sector_range(sector);
                page[range.clone()].copy_from_slice(&new[range]);
            }
            page_of(&page)
        }
    }
}

/// The bytes of a sector in its page.
pub(super) fn sector_range(sector: usize) -> Range<usize> {
    sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES
}

/// The pages that a range of bytes touches.
pub(super) fn pages(at: u64, len: usize) -> Range<u64> {
    at / PAGE_BYTES as u64..(at + len as u64).div_ceil(PAGE_BYTES as u64)
}

/// A file's bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) pages: BTreeMap<u64, Page>,
    pub(super) len: u64,
}

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let pages = bytes.chunks(PAGE_BYTES).enumerate();
        let pages = pages.filter_map(|(number, bytes)| Some((number as u64, page_of(bytes)?)));
        Self { pages: pages.collect(), len: bytes.len() as u64 }
    }

    pub(super) fn page(&self, number: u64) -> Option<&Page> {
        self.pages.get(&number)
    }

    pub(super) fn set(&mut self, number: u64, page: Option<Page>) {
        match page {
            Some(page) => self.pages.insert(number, page),
            None => self.pages.remove(&number),
        };
    }

    /// Changes bits of one byte.
    pub(super) fn flip(&mut self, at: u64, mask: u8) {
        let number = at / PAGE_BYTES as u64;
        let mut page = *bytes_of(self.page(number));
        page[at as usize % PAGE_BYTES] ^= mask;
        self.set(number, page_of(&page));
    }

    /// Fills the start of `out` from byte `at` on, as far as the file goes, and says how far.
    pub(super) fn read(&self, at: u64, out: &mut [u8]) -> usize {
        let got = self.len.saturating_sub(at).min(out.len() as u64) as usize;
        let out = &mut out[..got];
        out.fill(0);
        let end = at + got as u64;
        for (&number, page) in self.pages.range(pages(at, got)) {
            let start = number * PAGE_BYTES as u64;
            let (from, to) = (start.max(at), (start + PAGE_BYTES as u64).min(end));
            if from < to {
                let source = &page[(from - start) as usize..(to - start) as usize];
                out[(from - at) as usize..(to - at) as usize].copy_from_slice(source);
            }
        }
        got
    }

    /// Sets the length; what lay beyond it is zero if the file grows again.
    pub(super) fn set_len(&mut self, len: u64) {
        // Not only of a file that gets shorter: of an unflushed one, a page may have survived and the length not.
        self.pages.split_off(&len.div_ceil(PAGE_BYTES as u64));
        let (last, kept) = (len / PAGE_BYTES as u64, len as usize % PAGE_BYTES);
        if kept > 0
            && let Some(page) = self.pages.get(&last)
        {
            let page = page_of(&page[..kept]);
            self.set(last, page);
        }
        self.len = len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_not_kept() {
        let mut content = Content::of(&[0; 3 * PAGE_BYTES]);
        assert!(content.pages.is_empty());
        content.flip(5000, 1);
        assert_eq!(content.pages.len(), 1);
        content.flip(5000, 1);
        assert!(content.pages.is_empty());
        assert_eq!(content.len, 3 * PAGE_BYTES as u64);
    }

    #[test]
    fn what_was_cut_off_is_zero_when_the_file_grows_again() {
        let mut content = Content::of(&[7; 2 * PAGE_BYTES]);
        content.set_len(PAGE_BYTES as u64 + 100);
        content.set_len(2 * PAGE_BYTES as u64);
        let mut out = [1; 3 * PAGE_BYTES];
        assert_eq!(content.read(0, &mut out), 2 * PAGE_BYTES);
        assert!(out[..PAGE_BYTES + 100].iter().all(|&byte| byte == 7));
        assert!(out[PAGE_BYTES + 100..2 * PAGE_BYTES].iter().all(|&byte| byte == 0));
        assert_eq!(content.read(PAGE_BYTES as u64 + 50, &mut out[..60]), 60);
        assert_eq!((out[49], out[50]), (7, 0));
        assert_eq!(content.read(1 << 30, &mut out), 0);
    }

    #[test]
    fn a_splice_takes_the_sectors_that_it_was_told() {
        let (old, new) = (page_of(&[1; PAGE_BYTES]), page_of(&[2; PAGE_BYTES]));
        let page = spliced(old.as_ref(), new.as_ref(), 0b10).unwrap();
        assert_eq!((page[511], page[512], page[1023], page[1024]), (1, 2, 2, 1));
        assert!(spliced(None, new.as_ref(), 0).is_none());
        assert_eq!(sectors_used(&*spliced(None, new.as_ref(), 0b1000_0001).unwrap()), 0b1000_0001);
    }
}
