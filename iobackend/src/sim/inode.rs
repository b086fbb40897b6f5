//! One file: what a reader sees, what a power cut would leave, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::content::{
    Content, PAGE_BYTES, Page, SECTOR_BYTES, SECTORS, is_zero, page_of, pages, sectors_used, spliced,
};
use super::random::Rng;
use crate::op::FileName;

/// What an unflushed write left of a page: it may or may not reach the medium.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// The operation that wrote it.
    pub(super) write: u64,
    pub(super) page: Option<Page>,
}

#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) name: FileName,
    pub(super) visible: Content,
    pub(super) durable: Content,
    /// Of each page that has any, the versions since the last flush, in the order in which they were written.
    pub(super) unflushed: BTreeMap<u64, Vec<Version>>,
    /// Lengths since the last flush.
    pub(super) lengths: Vec<u64>,
    /// What each page held before its last write, for stale reads. A page that is not here held zeros.
    older: BTreeMap<u64, Page>,
    /// Sectors that the device does not give back until they are written again.
    bad: BTreeSet<u64>,
    /// Sectors into which the caller wrote anything but zeros, as bits a page.
    written: BTreeMap<u64, u8>,
    /// Where the footer begins, if one was written.
    pub(super) footer_at: Option<u64>,
}

const FOOTER_MAGIC: &[u8] = b"DtFt";

impl Inode {
    /// A file with durable content.
    pub(super) fn new(name: FileName, content: Content) -> Self {
        let used = |(&number, page): (&u64, &Page)| (number, sectors_used(&**page));
        let footer =
            |(&number, page): (&u64, &Page)| page.starts_with(FOOTER_MAGIC).then_some(number * PAGE_BYTES as u64);
        Self {
            name,
            written: content.pages.iter().map(used).collect(),
            footer_at: content.pages.iter().rev().find_map(footer),
            durable: content.clone(),
            visible: content,
            unflushed: BTreeMap::new(),
            lengths: Vec::new(),
            older: BTreeMap::new(),
            bad: BTreeSet::new(),
        }
    }

    /// Notes that the caller writes here, and says which of the bytes it had written before, if any.
    pub(super) fn claim(&mut self, at: u64, bytes: &[u8]) -> Option<Range<u64>> {
        let numbers = pages(at, bytes.len());
        let mut overlap: Option<Range<u64>> = None;
        for (&number, &bits) in self.written.range(numbers.clone()) {
            for sector in (0..SECTORS as u64).filter(|sector| bits >> sector & 1 != 0) {
                let start = number * PAGE_BYTES as u64 + sector * SECTOR_BYTES as u64;
                let first = overlap.map_or(start, |range| range.start);
                overlap = Some(first..start + SECTOR_BYTES as u64);
            }
        }
        for (number, page) in numbers.zip(bytes.chunks(PAGE_BYTES)) {
            if !is_zero(page) {
                *self.written.entry(number).or_default() |= sectors_used(page);
            }
        }
        if bytes.starts_with(FOOTER_MAGIC) {
            self.footer_at = Some(at);
        }
        overlap
    }

    /// Writes those sectors for which `keep` says so, counted from the first of `bytes`; the length follows.
    pub(super) fn write(
        &mut self,
        at: u64,
        bytes: &[u8],
        write: u64,
        durable: bool,
        mut keep: impl FnMut(usize) -> bool,
    ) {
        let numbers = pages(at, bytes.len());
        let untouched = self.is_untouched(numbers.clone());
        for (index, (number, bytes)) in numbers.zip(bytes.chunks(PAGE_BYTES)).enumerate() {
            let new = page_of(bytes);
            if untouched && new.is_none() {
                continue;
            }
            let kept = (0..SECTORS).fold(0, |bits, sector| bits | u8::from(keep(index * SECTORS + sector)) << sector);
            if kept == 0 {
                continue;
            }
            let old = self.visible.page(number);
            let page = spliced(old, new.as_ref(), kept);
            match old.cloned() {
                Some(old) => self.older.insert(number, old),
                None => self.older.remove(&number),
            };
            self.visible.set(number, page.clone());
            if durable {
                // The whole page, also for a part of it: nothing but a whole write is durable.
                self.durable.set(number, page);
                self.unflushed.remove(&number);
            } else {
                self.unflushed.entry(number).or_default().push(Version { write, page });
            }
            for sector in (0..SECTORS as u64).filter(|sector| kept >> sector & 1 != 0) {
                self.bad.remove(&(number * SECTORS as u64 + sector));
            }
        }
        self.extend(at + bytes.len() as u64);
        if durable {
            self.settle_length();
        }
    }

    /// For a power cut: a write in flight is one more version that may have reached the medium.
    pub(super) fn write_in_flight(&mut self, at: u64, bytes: &[u8], write: u64) {
        let numbers = pages(at, bytes.len());
        let untouched = self.is_untouched(numbers.clone());
        for (number, bytes) in numbers.zip(bytes.chunks(PAGE_BYTES)) {
            let page = page_of(bytes);
            if !untouched || page.is_some() {
                self.unflushed.entry(number).or_default().push(Version { write, page });
            }
        }
        let end = at + bytes.len() as u64;
        if end > self.visible.len {
            self.lengths.push(end);
        }
    }

    /// Whether a write would leave anything that a power cut decides about.
    pub(super) fn would_change(&self, at: u64, bytes: &[u8]) -> bool {
        !self.is_untouched(pages(at, bytes.len())) || !bytes.chunks(PAGE_BYTES).all(is_zero)
    }

    fn is_untouched(&self, numbers: Range<u64>) -> bool {
        let none = |content: &Content| content.pages.range(numbers.clone()).next().is_none();
        none(&self.visible)
            && none(&self.durable)
            && self.unflushed.range(numbers.clone()).next().is_none()
            && self.bad.range(numbers.start * SECTORS as u64..numbers.end * SECTORS as u64).next().is_none()
    }

    /// Makes the file at least so long.
    pub(super) fn extend(&mut self, len: u64) {
        if len > self.visible.len {
            self.visible.len = len;
            self.lengths.push(len);
        }
    }

    pub(super) fn settle_length(&mut self) {
        self.durable.len = self.visible.len;
        self.lengths.clear();
    }

    /// Whether there is anything that a flush would make durable.
    pub(super) fn has_unflushed(&self) -> bool {
        !self.unflushed.is_empty() || !self.lengths.is_empty()
    }

    pub(super) fn flush(&mut self) {
        for number in std::mem::take(&mut self.unflushed).into_keys() {
            let page = self.visible.page(number).cloned();
            self.durable.set(number, page);
        }
        self.settle_length();
    }

    /// A flush that failed: of each page some sectors are durable. The others are clean in the cache, where they are seen until a
    /// power cut, or gone; none of them is written by a later flush.
    pub(super) fn flush_some(&mut self, rng: &mut Rng) {
        for number in std::mem::take(&mut self.unflushed).into_keys() {
            let (old, new) = (self.durable.page(number).cloned(), self.visible.page(number).cloned());
            let (kept, seen) = (rng.next_u64() as u8, rng.next_u64() as u8);
            self.durable.set(number, spliced(old.as_ref(), new.as_ref(), kept));
            self.visible.set(number, spliced(old.as_ref(), new.as_ref(), kept | seen));
        }
        if rng.coin() {
            self.settle_length();
        }
    }

    /// Cuts or extends the file and flushes it, as `ftruncate` and `fsync` do.
    pub(super) fn truncate(&mut self, len: u64) {
        self.flush();
        self.visible.set_len(len);
        self.durable.set_len(len);
        let sector = len.div_ceil(SECTOR_BYTES as u64);
        self.bad.split_off(&sector);
        let (page, kept) = (sector / SECTORS as u64, sector % SECTORS as u64);
        self.written.split_off(&(page + 1));
        if let Some(bits) = self.written.get_mut(&page) {
            *bits &= (1u8 << kept) - 1;
        }
        self.older.split_off(&page);
        self.footer_at = self.footer_at.filter(|&at| at < len);
    }

    /// After a power cut: there is nothing but what is durable.
    pub(super) fn settle(&mut self) {
        self.unflushed.clear();
        self.lengths.clear();
        self.visible = self.durable.clone();
        let durable = &self.durable;
        self.written.retain(|&number, bits| {
            *bits &= durable.page(number).map_or(0, |page| sectors_used(&**page));
            *bits != 0
        });
    }

    /// Changes bits of a byte, on the medium and in the cache.
    pub(super) fn rot(&mut self, at: u64, mask: u8) {
        self.visible.flip(at, mask);
        self.durable.flip(at, mask);
    }

    /// Puts other bytes in the place of stored ones, on the medium and in the cache.
    pub(super) fn overwrite(&mut self, at: u64, bytes: &[u8]) {
        for (at, new) in (at..).zip(bytes) {
            for content in [&mut self.visible, &mut self.durable] {
                let mut old = [0];
                content.read(at, &mut old);
                content.flip(at, old[0] ^ new);
            }
        }
    }

    pub(super) fn spoil(&mut self, sector: u64) {
        self.bad.insert(sector);
    }

    pub(super) fn is_bad(&self, at: u64, len: usize) -> bool {
        let end = (at + len as u64).div_ceil(SECTOR_BYTES as u64);
        self.bad.range(at / SECTOR_BYTES as u64..end).next().is_some()
    }

    /// What a page held before its last write.
    pub(super) fn older(&self, number: u64) -> Option<&Page> {
        self.older.get(&number)
    }

    /// The bytes from the first to the last page with unflushed versions.
    pub(super) fn unflushed_range(&self) -> Range<u64> {
        let bound = |number: Option<(&u64, _)>| number.map(|(number, _): (&u64, &Vec<Version>)| *number);
        match (bound(self.unflushed.first_key_value()), bound(self.unflushed.last_key_value())) {
            (Some(first), Some(last)) => first * PAGE_BYTES as u64..(last + 1) * PAGE_BYTES as u64,
            _ => 0..0,
        }
    }
}
