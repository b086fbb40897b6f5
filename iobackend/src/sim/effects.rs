//! What an operation does when it is due, and what the fault that strikes it makes of it.

use std::ops::Range;

use super::content::{PAGE_BYTES, SECTOR_BYTES, SECTORS, bytes_of, pages, sector_range};
use super::faults::{FaultKind, Strike};
use super::state::{Asker, Echo, Held, State};
use super::trace::Action;
use super::zone::Zone;
use crate::error::IoError;
use crate::op::{FileName, FileSlot, OpenMode, Operation};

type Done = Result<(), IoError>;

/// A page somewhere on the disk.
type Place = (usize, u64);

fn of(strike: Option<Strike>) -> Option<FaultKind> {
    strike.map(|strike| strike.kind)
}

impl State {
    pub(super) fn write(
        &mut self,
        asker: Asker,
        target: Result<usize, i32>,
        at: u64,
        bytes: &[u8],
        durable: bool,
        strike: Option<Strike>,
    ) -> Done {
        let operation = Operation::Write;
        let inode = target.map_err(|errno| IoError::from_errno(operation, errno))?;
        let range = at..at + bytes.len() as u64;
        if of(strike) == Some(FaultKind::NoSpace) {
            self.hit(asker, Action::Write, inode, range, strike);
            self.fill_up();
            return Err(IoError::NoSpace { operation });
        }
        if self.is_full() && range.end > self.inodes[inode].visible.len {
            return Err(IoError::NoSpace { operation });
        }
        self.claim(inode, at, bytes);
        let Some(kind) = of(strike) else {
            self.inodes[inode].write(at, bytes, asker.number, durable, |_| true);
            return Ok(());
        };
        let (name, time, number) = (self.inodes[inode].name, self.now, asker.number);
        let file = &mut self.inodes[inode];
        let result = match kind {
            FaultKind::WriteError => {
                let rng = &mut self.faults.rng;
                file.write(at, bytes, number, false, |_| rng.coin());
                Err(IoError::from_errno(operation, libc::EIO))
            }
            FaultKind::ShortWrite => {
                let sectors = self.faults.rng.below((bytes.len() / SECTOR_BYTES) as u64) as usize;
                let (wanted, got) = (bytes.len(), sectors * SECTOR_BYTES);
                if got > 0 {
                    file.write(at, &bytes[..got.next_multiple_of(PAGE_BYTES)], number, false, |sector| {
                        sector < sectors
                    });
                }
                Err(IoError::Short { operation, wanted, got })
            }
            FaultKind::LostWrite if !file.would_change(at, bytes) => return Ok(()),
            FaultKind::LostWrite => {
                file.extend(range.end);
                self.faults.injure(kind, name, range.clone(), time, true);
                Ok(())
            }
            FaultKind::LyingFlush => {
                file.write(at, bytes, number, false, |_| true);
                self.faults.injure(kind, name, range.clone(), time, true);
                Ok(())
            }
            FaultKind::MisdirectedWrite => return self.misdirect(asker, inode, at, bytes, durable, strike),
            _ => {
                file.write(at, bytes, number, durable, |_| true);
                let soon = 1 + self.faults.rng.below(self.config.duplicate_operations_max);
                self.echoes.push(Echo { number: self.operations + soon, inode, at, bytes: bytes.to_vec() });
                Ok(())
            }
        };
        self.hit(asker, Action::Write, inode, range, strike);
        result
    }

    fn misdirect(
        &mut self,
        asker: Asker,
        inode: usize,
        at: u64,
        bytes: &[u8],
        durable: bool,
        strike: Option<Strike>,
    ) -> Done {
        let range = at..at + bytes.len() as u64;
        let Some((other, page)) = self.elsewhere((inode, at / PAGE_BYTES as u64)) else {
            self.inodes[inode].write(at, bytes, asker.number, durable, |_| true);
            return Ok(());
        };
        self.inodes[inode].extend(range.end);
        let start = page * PAGE_BYTES as u64;
        let room = self.inodes[other].visible.len - start;
        let landed = bytes.len().min(room as usize);
        self.inodes[other].write(start, &bytes[..landed], asker.number, durable, |_| true);
        let (time, kind) = (self.now, FaultKind::MisdirectedWrite);
        self.faults.injure(kind, self.inodes[inode].name, range.clone(), time, true);
        self.faults.injure(kind, self.inodes[other].name, start..start + landed as u64, time, true);
        self.hit(asker, Action::Write, inode, range, strike);
        Ok(())
    }

    /// A page that holds something, of a file that has a name: half of the time of the same file, if it has another.
    fn elsewhere(&mut self, not: Place) -> Option<Place> {
        let same_file = self.faults.rng.coin();
        let count = |inode: usize| {
            let pages = &self.inodes[inode].visible.pages;
            pages.len() - usize::from(inode == not.0 && pages.contains_key(&not.1))
        };
        let files: Vec<usize> = self.names.files.values().copied().filter(|&inode| count(inode) > 0).collect();
        let stays = same_file && files.contains(&not.0);
        let choice = if files.is_empty() { return None } else { self.faults.rng.below(files.len() as u64) as usize };
        let inode = if stays { not.0 } else { files[choice] };
        let nth = self.faults.rng.below(count(inode) as u64) as usize;
        let mut pages = self.inodes[inode].visible.pages.keys().filter(|&&page| (inode, page) != not);
        pages.nth(nth).map(|&page| (inode, page))
    }

    /// Performs again the writes whose time has come.
    pub(super) fn echo(&mut self, number: u64) {
        while let Some(index) = self.echoes.iter().position(|echo| echo.number <= number) {
            let Echo { inode, at, bytes, .. } = self.echoes.remove(index);
            let file = &mut self.inodes[inode];
            let mut now = vec![0; bytes.len()];
            // What lies beyond the end is no longer the file's.
            if file.visible.read(at, &mut now) < bytes.len() || now == bytes {
                continue;
            }
            file.write(at, &bytes, number, true, |_| true);
            let (name, time) = (file.name, self.now);
            self.faults.injure(FaultKind::DuplicatedWrite, name, at..at + bytes.len() as u64, time, true);
        }
    }

    pub(super) fn read(
        &mut self,
        asker: Asker,
        target: Result<usize, i32>,
        at: u64,
        out: &mut [u8],
        strike: Option<Strike>,
    ) -> Done {
        let operation = Operation::Read;
        let inode = target.map_err(|errno| IoError::from_errno(operation, errno))?;
        let wanted = out.len();
        let mut hit = false;
        if let Some(strike) =
            strike.filter(|strike| matches!(strike.kind, FaultKind::BitFlip | FaultKind::LatentSector))
        {
            hit = self.spoil(inode, at, wanted, strike);
        }
        if self.inodes[inode].is_bad(at, wanted) {
            self.end(asker, Action::Read, inode, at..at + wanted as u64, strike, hit);
            return Err(IoError::from_errno(operation, libc::EIO));
        }
        let before = strike.filter(|strike| strike.kind == FaultKind::ShortRead).map(|_| out.to_vec());
        let mut got = self.inodes[inode].visible.read(at, out);
        match strike {
            Some(strike) if strike.kind == FaultKind::ShortRead && got >= SECTOR_BYTES => {
                got = self.faults.rng.below((got / SECTOR_BYTES) as u64) as usize * SECTOR_BYTES;
                out[got..].copy_from_slice(&before.unwrap_or_default()[got..]);
                let name = self.inodes[inode].name;
                let missing = at + got as u64..at + wanted as u64;
                self.faults.injure(strike.kind, name, missing, self.now, false);
                hit = true;
            }
            Some(strike) if matches!(strike.kind, FaultKind::StaleRead | FaultKind::MisdirectedRead) => {
                hit = self.deceive(inode, at, &mut out[..got], strike);
            }
            _ => {}
        }
        self.end(asker, Action::Read, inode, at..at + wanted as u64, strike, hit);
        if got == wanted { Ok(()) } else { Err(IoError::Short { operation, wanted, got }) }
    }

    /// The pages of a range that a strike may hit: such as hold something, or seldom any.
    fn candidates(&mut self, inode: usize, at: u64, len: usize, strike: Strike) -> Vec<u64> {
        let any = self.faults.rng.below(16) == 0;
        let end = (at + len as u64).min(self.inodes[inode].visible.len);
        let range = pages(at, end.saturating_sub(at) as usize);
        let reached = |page: &u64| self.faults.reaches(strike, self.zone(inode, page * PAGE_BYTES as u64));
        let held: Vec<u64> =
            self.inodes[inode].visible.pages.range(range.clone()).map(|(&page, _)| page).filter(reached).collect();
        if any || held.is_empty() && strike.script.is_some() { range.filter(reached).collect() } else { held }
    }

    fn pick(&mut self, from: &[u64]) -> Option<u64> {
        if from.is_empty() { None } else { Some(from[self.faults.rng.below(from.len() as u64) as usize]) }
    }

    /// Flips a stored bit, or makes a sector unreadable.
    fn spoil(&mut self, inode: usize, at: u64, len: usize, strike: Strike) -> bool {
        let candidates = self.candidates(inode, at, len, strike);
        let Some(page) = self.pick(&candidates) else {
            return false;
        };
        let byte = page * PAGE_BYTES as u64 + self.faults.rng.below(PAGE_BYTES as u64);
        let bytes = if strike.kind == FaultKind::BitFlip {
            self.inodes[inode].rot(byte, 1 << self.faults.rng.below(8));
            byte..byte + 1
        } else {
            let sector = byte / SECTOR_BYTES as u64;
            self.inodes[inode].spoil(sector);
            sector * SECTOR_BYTES as u64..(sector + 1) * SECTOR_BYTES as u64
        };
        self.faults.injure(strike.kind, self.inodes[inode].name, bytes, self.now, true);
        true
    }

    /// Puts other bytes into what a read gives: of before, or of elsewhere.
    fn deceive(&mut self, inode: usize, at: u64, out: &mut [u8], strike: Strike) -> bool {
        let candidates = self.candidates(inode, at, out.len(), strike);
        let Some(page) = self.pick(&candidates) else {
            return false;
        };
        let other = match strike.kind {
            FaultKind::StaleRead => *bytes_of(self.inodes[inode].older(page)),
            _ => match self.elsewhere((inode, page)) {
                Some((inode, page)) => *bytes_of(self.inodes[inode].visible.page(page)),
                None => return false,
            },
        };
        let start = (page * PAGE_BYTES as u64 - at) as usize;
        let out = &mut out[start..];
        // A whole page, or one sector of it.
        let first = if self.faults.rng.coin() { 0 } else { self.faults.rng.below(SECTORS as u64) as usize };
        let last = if first == 0 { SECTORS - 1 } else { first };
        let range = sector_range(first).start..sector_range(last).end.min(out.len());
        if range.is_empty() || out[range.clone()] == other[range.clone()] {
            return false;
        }
        out[range.clone()].copy_from_slice(&other[range.clone()]);
        let place = at + start as u64;
        let bytes = place + range.start as u64..place + range.end as u64;
        self.faults.injure(strike.kind, self.inodes[inode].name, bytes, self.now, false);
        true
    }

    pub(super) fn flush(&mut self, asker: Asker, target: Result<usize, i32>, strike: Option<Strike>) -> Done {
        let inode = target.map_err(|errno| IoError::from_errno(Operation::Flush, errno))?;
        let range = self.inodes[inode].unflushed_range();
        let result = match of(strike) {
            Some(FaultKind::FlushErrorOnce) => {
                self.inodes[inode].flush_some(&mut self.faults.rng);
                Err(IoError::from_errno(Operation::Flush, libc::EIO))
            }
            Some(FaultKind::LyingFlush) if self.inodes[inode].has_unflushed() => {
                self.faults.injure(FaultKind::LyingFlush, self.inodes[inode].name, range.clone(), self.now, true);
                Ok(())
            }
            _ => {
                self.inodes[inode].flush();
                return Ok(());
            }
        };
        self.hit(asker, Action::Flush, inode, range, strike);
        result
    }

    pub(super) fn flush_directory(&mut self, asker: Asker, name: FileName, strike: Option<Strike>) -> Done {
        let operation = Operation::FlushDirectory;
        if !self.names.is_directory(name.as_str()) {
            let errno = if self.lookup(name.as_str()).is_some() { libc::ENOTDIR } else { libc::ENOENT };
            return Err(IoError::from_errno(operation, errno));
        }
        let result = match of(strike) {
            Some(FaultKind::FlushErrorOnce) => Err(IoError::from_errno(operation, libc::EIO)),
            Some(FaultKind::LyingFlush) if self.names.has_unflushed_in(name.as_str()) => {
                self.faults.injure(FaultKind::LyingFlush, name, 0..0, self.now, true);
                Ok(())
            }
            _ => {
                self.names.publish(name.as_str());
                return Ok(());
            }
        };
        if let Some(strike) = strike {
            self.struck(asker, Action::FlushDirectory, Some(name), 0..0, strike, true);
        }
        result
    }

    pub(super) fn open(
        &mut self,
        asker: Asker,
        slot: FileSlot,
        name: FileName,
        mode: OpenMode,
        strike: Option<Strike>,
    ) -> Done {
        let operation = Operation::Open;
        if let Some(strike) = strike.filter(|strike| strike.kind == FaultKind::OpenError) {
            self.struck(asker, Action::Open, Some(name), 0..0, strike, true);
            let errno = if self.faults.rng.coin() { libc::EIO } else { libc::EMFILE };
            return Err(IoError::from_errno(operation, errno));
        }
        if mode == OpenMode::CreateNew && self.is_full() && self.lookup(name.as_str()).is_none() {
            return Err(IoError::NoSpace { operation });
        }
        let opened = self.open_file(name, mode);
        let inode = opened.map_err(|errno| IoError::from_errno(operation, errno))?;
        let held = Held { inode, writable: mode != OpenMode::ReadOnly };
        self.seat(asker.seat).slots[slot.index()] = Some(held);
        Ok(())
    }

    pub(super) fn allocate(
        &mut self,
        asker: Asker,
        target: Result<usize, i32>,
        len: u64,
        strike: Option<Strike>,
    ) -> Done {
        let operation = Operation::Allocate;
        let inode = target.map_err(|errno| IoError::from_errno(operation, errno))?;
        if of(strike) == Some(FaultKind::NoSpace) {
            self.hit(asker, Action::Allocate, inode, 0..len, strike);
            self.fill_up();
            return Err(IoError::NoSpace { operation });
        }
        if self.is_full() && len > self.inodes[inode].visible.len {
            return Err(IoError::NoSpace { operation });
        }
        self.inodes[inode].extend(len);
        Ok(())
    }

    fn fill_up(&mut self) {
        self.full_until = self.operations + self.faults.rng.below(self.config.no_space_operations_max + 1);
    }

    fn is_full(&self) -> bool {
        self.operations < self.full_until
    }

    fn hit(&mut self, asker: Asker, action: Action, inode: usize, range: Range<u64>, strike: Option<Strike>) {
        self.end(asker, action, inode, range, strike, true);
    }

    fn end(
        &mut self,
        asker: Asker,
        action: Action,
        inode: usize,
        range: Range<u64>,
        strike: Option<Strike>,
        hit: bool,
    ) {
        if let Some(strike) = strike {
            let file = Some(self.inodes[inode].name);
            self.struck(asker, action, file, range, strike, hit);
        }
    }

    /// Flips a bit of a page that holds something, in a zone of the set.
    pub(super) fn rot_anywhere(&mut self, reaches: impl Fn(Zone) -> bool) -> bool {
        let mut places = Vec::new();
        for &inode in self.names.files.values() {
            let pages = self.inodes[inode].visible.pages.keys();
            places.extend(
                pages.filter(|&&page| reaches(self.zone(inode, page * PAGE_BYTES as u64))).map(|&page| (inode, page)),
            );
        }
        if places.is_empty() {
            return false;
        }
        let (inode, page) = places[self.faults.rng.below(places.len() as u64) as usize];
        let at = page * PAGE_BYTES as u64 + self.faults.rng.below(PAGE_BYTES as u64);
        let mask = 1 << self.faults.rng.below(8);
        self.rot(inode, at, mask);
        true
    }

    pub(super) fn rot(&mut self, inode: usize, at: u64, mask: u8) {
        self.inodes[inode].rot(at, mask);
        self.faults.injure(FaultKind::BitFlip, self.inodes[inode].name, at..at + 1, self.now, true);
        self.faults.count(FaultKind::BitFlip);
        self.machine_event(super::trace::EventKind::Struck, Some(FaultKind::BitFlip));
    }

    pub(super) fn spoil_sector(&mut self, name: &str, at: u64) -> bool {
        let Some(inode) = self.lookup(name).filter(|&inode| at < self.inodes[inode].visible.len) else {
            return false;
        };
        let sector = at / SECTOR_BYTES as u64;
        self.inodes[inode].spoil(sector);
        let bytes = sector * SECTOR_BYTES as u64..(sector + 1) * SECTOR_BYTES as u64;
        self.faults.injure(FaultKind::LatentSector, self.inodes[inode].name, bytes, self.now, true);
        self.faults.count(FaultKind::LatentSector);
        self.machine_event(super::trace::EventKind::Struck, Some(FaultKind::LatentSector));
        true
    }
}
