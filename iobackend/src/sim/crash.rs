//! Ends of the world: what is left when the power goes or the process dies, and copies of the directory.
//!
//! A power cut decides for every sector of every write that was in flight or not flushed. Each write first has a fate drawn:
//! none of it, all of it, or each sector for itself; so whole frames survive as often as torn ones. Where several unflushed
//! writes lie over each other, a sector ends as the last of them that survives there.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Content, PAGE_BYTES, Page, SECTORS, bytes_of, page_of, sector_range, spliced};
use super::faults::{FaultKind, Script, ScriptState, Strike};
use super::inode::{Inode, Version};
use super::names::Names;
use super::random::Rng;
use super::state::{Asker, Crash, Flight, State};
use super::trace::{Action, EventKind};
use super::zone::Zone;
use crate::error::IoError;
use crate::op::{Completion, FileName, OpKind, OpenMode};

/// What becomes of one write in a power cut.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Lost,
    Whole,
    Scattered,
    /// The first sectors survive.
    Split(u64),
}

#[derive(Clone, Copy, Debug)]
struct Doom {
    fate: Fate,
    /// The sector, counted over the write, that is torn at a byte.
    torn: Option<u64>,
    visited: u64,
    kept: bool,
    lost: bool,
}

/// The outcome that a fault demands of a power cut.
#[derive(Clone, Copy, Debug)]
struct Demand {
    kind: FaultKind,
    write: u64,
}

impl State {
    /// A fault that [can](Self::can_demand) takes the machine or the process down, at an operation that is in flight.
    pub(super) fn strike_down(&mut self, asker: Asker, action: Action, file: Option<FileName>, strike: Strike) {
        let demand = Demand { kind: strike.kind, write: asker.number };
        if let Some(index) = strike.script {
            self.faults.scripts[index].2 = ScriptState::Fired;
        }
        self.faults.strikes.push(Script { at: asker.number, fault: strike.kind });
        // It is counted by the cut, with all else that the cut does.
        self.event(asker, EventKind::Struck, action, file, 0..0, Some(strike.kind));
        if strike.kind == FaultKind::Kill {
            self.kill();
            self.down = Some(Crash::Kill);
        } else {
            self.cut(Some(demand));
            self.down = Some(Crash::PowerCut);
        }
    }

    /// Whether a power cut can end as a fault demands.
    pub(super) fn can_demand(&self, kind: FaultKind, write: u64) -> bool {
        let in_flight = self.flights.values().filter_map(|flight| match &flight.op.kind {
            OpKind::Write { at, buffer, len, .. } => Some((flight, *at, &buffer[..*len])),
            _ => None,
        });
        let leaves_trace = |(flight, at, bytes): &(&Flight, u64, &[u8])| {
            flight.target.is_ok_and(|inode| self.inodes[inode].would_change(*at, bytes))
        };
        match kind {
            FaultKind::TornAtSector | FaultKind::TornInSector => {
                in_flight.filter(leaves_trace).any(|(flight, ..)| flight.asker.number == write)
            }
            FaultKind::Reordered => {
                let mut writes: BTreeSet<u64> =
                    in_flight.filter(leaves_trace).map(|(flight, ..)| flight.asker.number).collect();
                let versions = self.inodes.iter().flat_map(|inode| inode.unflushed.values().flatten());
                writes.extend(versions.map(|version| version.write));
                writes.len() > 1
            }
            FaultKind::FileLost => !self.names.files.is_empty(),
            FaultKind::EntryLost => self.names.has_unflushed(),
            _ => true,
        }
    }

    /// Only the process dies: what was completed is in the cache, what was in flight has happened or has not.
    pub(super) fn kill(&mut self) {
        self.faults.count(FaultKind::Kill);
        self.machine_event(EventKind::Crashed, Some(FaultKind::Kill));
        for flight in std::mem::take(&mut self.flights).into_values() {
            if self.crashes.coin() {
                let seat = flight.asker.seat;
                let operation = flight.op.kind.operation();
                self.perform(flight);
                // It was done, and nobody was told.
                if let Some((done, _)) = self.seat(seat).finished.last_mut() {
                    done.result = Err(IoError::from_errno(operation, libc::EIO));
                }
            } else {
                self.abandon(flight);
            }
        }
        self.end_backends();
    }

    /// Ends an operation that nobody will learn the outcome of; its buffer comes back.
    fn abandon(&mut self, flight: Flight) {
        if let Some(strike) = flight.strike {
            self.faults.end(strike, false);
        }
        let result = Err(IoError::from_errno(flight.op.kind.operation(), libc::EIO));
        let slot = flight.op.kind.opens();
        let buffer = flight.op.kind.into_buffer();
        self.seat(flight.asker.seat).finished.push((Completion { token: flight.op.token, result, buffer }, slot));
    }

    fn end_backends(&mut self) {
        for seat in self.seats.values_mut() {
            seat.dead = true;
            seat.slots.fill(None);
        }
    }

    pub(super) fn power_cut(&mut self) {
        self.cut(None);
    }

    fn cut(&mut self, demand: Option<Demand>) {
        self.faults.count(FaultKind::PowerCut);
        self.machine_event(EventKind::Crashed, Some(FaultKind::PowerCut));
        let flights = std::mem::take(&mut self.flights);
        // First what flushes in flight may have done, so that it does not count for writes in flight.
        // What a fault demands to be unflushed is left so.
        let stays = demand.is_some_and(|demand| matches!(demand.kind, FaultKind::Reordered | FaultKind::EntryLost));
        for flight in flights.values().filter(|_| !stays) {
            self.perhaps_flush(flight);
        }
        for (_, flight) in flights {
            self.leave_in_flight(flight);
        }
        self.decide_sectors(demand);
        self.decide_names(demand);
        self.echoes.clear();
        let files = self.names.files.clone();
        for (number, inode) in self.inodes.iter_mut().enumerate() {
            if files.get(inode.name.as_str()) != Some(&number) {
                *inode = Inode::new(inode.name, Content::default());
            }
        }
        self.end_backends();
    }

    fn perhaps_flush(&mut self, flight: &Flight) {
        match (&flight.op.kind, flight.target) {
            (OpKind::Flush { .. }, Ok(inode)) if self.crashes.coin() => self.inodes[inode].flush(),
            (OpKind::FlushDirectory { name }, _) if self.crashes.coin() => self.names.publish(name.as_str()),
            _ => {}
        }
    }

    /// A write in flight becomes versions that may survive, and a name in flight an entry that may.
    fn leave_in_flight(&mut self, flight: Flight) {
        match (&flight.op.kind, flight.target) {
            (OpKind::Write { at, buffer, len, .. }, Ok(inode)) => {
                self.claim(inode, *at, &buffer[..*len]);
                self.inodes[inode].write_in_flight(*at, &buffer[..*len], flight.asker.number);
            }
            (OpKind::Allocate { len, .. }, Ok(inode)) => self.inodes[inode].extend(*len),
            (OpKind::Open { name, mode: OpenMode::CreateNew, .. }, _) => {
                // If it is there already, or its directory is not, nothing is left of it.
                let _nothing_to_report = self.open_file(*name, OpenMode::CreateNew);
            }
            _ => {}
        }
        self.abandon(flight);
    }

    fn decide_sectors(&mut self, demand: Option<Demand>) {
        let mut dooms = self.draw_dooms(demand);
        let mut tears = 0;
        for index in 0..self.inodes.len() {
            let inode = &mut self.inodes[index];
            for (number, versions) in std::mem::take(&mut inode.unflushed) {
                let mut page = inode.durable.page(number).cloned();
                for version in &versions {
                    if let Some(doom) = dooms.get_mut(&version.write) {
                        page = survive(page.as_ref(), version, doom, &mut self.crashes, &mut tears);
                    }
                }
                inode.durable.set(number, page);
            }
            let choice = self.crashes.below(inode.lengths.len() as u64 + 1) as usize;
            let len = if choice == 0 { inode.durable.len } else { inode.lengths[choice - 1] };
            inode.durable.set_len(len);
            inode.settle();
        }
        self.count_outcomes(&dooms, tears);
    }

    fn count_outcomes(&mut self, dooms: &BTreeMap<u64, Doom>, tears: u32) {
        let scattered = dooms.values().filter(|doom| doom.kept && doom.lost).count();
        let first_lost = dooms.values().position(|doom| doom.lost && !doom.kept);
        let reordered = first_lost.is_some_and(|at| dooms.values().skip(at).any(|doom| doom.kept));
        for _ in 0..scattered {
            self.faults.count(FaultKind::TornAtSector);
        }
        for _ in 0..tears {
            self.faults.count(FaultKind::TornInSector);
        }
        if reordered {
            self.faults.count(FaultKind::Reordered);
        }
        for (kind, count) in [
            (FaultKind::TornAtSector, scattered as u64),
            (FaultKind::TornInSector, u64::from(tears)),
            (FaultKind::Reordered, u64::from(reordered)),
        ] {
            if count > 0 {
                self.machine_event(EventKind::Struck, Some(kind));
            }
        }
    }

    /// What is to become of each write, in the order of their numbers.
    fn draw_dooms(&mut self, demand: Option<Demand>) -> BTreeMap<u64, Doom> {
        let mut sectors: BTreeMap<u64, u64> = BTreeMap::new();
        for version in self.inodes.iter().flat_map(|inode| inode.unflushed.values().flatten()) {
            *sectors.entry(version.write).or_default() += SECTORS as u64;
        }
        let rng = &mut self.crashes;
        let tear_rate = self.config.torn_in_sector;
        let mut dooms: BTreeMap<u64, Doom> = BTreeMap::new();
        for (&write, &count) in &sectors {
            let fate = match rng.below(6) {
                0 | 1 => Fate::Lost,
                2 | 3 => Fate::Whole,
                4 => Fate::Scattered,
                _ => Fate::Split(rng.below(count)),
            };
            let tear = rng.chance(tear_rate);
            let torn = tear.then(|| rng.below(count));
            dooms.insert(write, Doom { fate, torn, visited: 0, kept: false, lost: false });
        }
        let Some(demand) = demand else {
            return dooms;
        };
        match (demand.kind, dooms.get_mut(&demand.write)) {
            (FaultKind::TornAtSector, Some(doom)) => {
                doom.fate = Fate::Split(1 + rng.below(sectors[&demand.write] - 1));
            }
            (FaultKind::TornInSector, Some(doom)) => doom.torn = Some(rng.below(sectors[&demand.write])),
            (FaultKind::Reordered, _) => {
                let last = dooms.len() - 1;
                let lost = rng.below(last as u64) as usize;
                for (index, doom) in dooms.values_mut().enumerate() {
                    match index {
                        _ if index == lost => (doom.fate, doom.torn) = (Fate::Lost, None),
                        _ if index == last => (doom.fate, doom.torn) = (Fate::Whole, None),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        dooms
    }

    fn decide_names(&mut self, demand: Option<Demand>) {
        let asks = |kind| demand.is_some_and(|demand| demand.kind == kind);
        let lost = self.names.cut(&mut self.crashes, asks(FaultKind::EntryLost));
        for _ in &lost {
            self.faults.count(FaultKind::EntryLost);
        }
        if !lost.is_empty() {
            self.machine_event(EventKind::Struck, Some(FaultKind::EntryLost));
        }
        let kind = FaultKind::FileLost;
        let rate = self.faults.rates.rate(kind);
        if asks(kind) || rate > 0 && self.faults.may_corrupt(kind) && self.crashes.chance(rate) {
            self.lose_a_file(asks(kind));
        }
    }

    fn lose_a_file(&mut self, anywhere: bool) {
        let zones = self.faults.rates.zones(FaultKind::FileLost);
        let may_go = |name: &&String| anywhere || zones.contains(super::zone::zone_of(name, PAGE_BYTES as u64, None));
        let names: Vec<String> = self.names.files.keys().filter(may_go).cloned().collect();
        if !names.is_empty() {
            let name = &names[self.crashes.below(names.len() as u64) as usize];
            self.lose(name);
        }
    }

    /// Takes a file's name away for good, as a damaged directory does.
    pub(super) fn lose(&mut self, name: &str) -> bool {
        let Some(inode) = self.names.files.remove(name) else {
            return false;
        };
        self.names.forget(name);
        let len = self.inodes[inode].visible.len;
        let (name, time) = (self.inodes[inode].name, self.now);
        self.faults.injure(FaultKind::FileLost, name, 0..len, time, true);
        self.faults.count(FaultKind::FileLost);
        self.machine_event(EventKind::Struck, Some(FaultKind::FileLost));
        true
    }

    /// Has two files change places, durably.
    pub(super) fn swap(&mut self, one: &str, other: &str) -> bool {
        let (Some(first), Some(second)) = (self.lookup(one), self.lookup(other)) else {
            return false;
        };
        let time = self.now;
        for inode in [first, second] {
            let Inode { name, visible, .. } = &self.inodes[inode];
            let (name, len) = (*name, visible.len);
            self.faults.injure(FaultKind::FilesSwapped, name, 0..len, time, true);
        }
        self.faults.count(FaultKind::FilesSwapped);
        self.machine_event(EventKind::Struck, Some(FaultKind::FilesSwapped));
        let names = (self.inodes[first].name, self.inodes[second].name);
        self.inodes.swap(first, second);
        (self.inodes[first].name, self.inodes[second].name) = names;
        true
    }

    /// Writes over stored bytes, durably, behind the engine's back.
    pub(super) fn overwrite(&mut self, name: &str, at: u64, bytes: &[u8], kind: FaultKind) -> bool {
        let end = at + bytes.len() as u64;
        let Some(inode) = self.lookup(name).filter(|&inode| end <= self.inodes[inode].visible.len) else {
            return false;
        };
        self.inodes[inode].overwrite(at, bytes);
        self.faults.injure(kind, self.inodes[inode].name, at..end, self.now, true);
        self.faults.count(kind);
        self.machine_event(EventKind::Struck, Some(kind));
        true
    }

    pub(super) fn power_on(&mut self) {
        if self.down.take().is_some() {
            self.machine_event(EventKind::PoweredOn, None);
        }
    }
}

/// A page after one of the versions that lie over it, as far as that survives.
fn survive(page: Option<&Page>, version: &Version, doom: &mut Doom, rng: &mut Rng, tears: &mut u32) -> Option<Page> {
    let mut bits = 0u8;
    let mut torn = None;
    for sector in 0..SECTORS {
        let keeps = match doom.fate {
            Fate::Lost => false,
            Fate::Whole => true,
            Fate::Scattered => rng.coin(),
            Fate::Split(first) => doom.visited < first,
        };
        if doom.torn == Some(doom.visited) {
            torn = Some(sector);
        }
        doom.visited += 1;
        bits |= u8::from(keeps) << sector;
        doom.kept |= keeps;
        doom.lost |= !keeps;
    }
    let next = spliced(page, version.page.as_ref(), bits);
    let Some(sector) = torn else {
        return next;
    };
    // The sector that is torn has the bytes of before on one side, and of the write on the other. It is torn where that
    // makes a difference: most of a small write is zeros before and after.
    let (old, new) = (bytes_of(page), bytes_of(version.page.as_ref()));
    let differs = |sector: usize| sector_range(sector).filter(|&at| old[at] != new[at]);
    let sector = (sector..SECTORS).chain(0..sector).find(|&sector| differs(sector).next().is_some()).unwrap_or(sector);
    let mut mixed = *bytes_of(next.as_ref());
    let range = sector_range(sector);
    let (first, last) = (differs(sector).next(), differs(sector).next_back());
    let (first, last) = first.zip(last).filter(|(first, last)| first < last).unwrap_or((range.start, range.end - 1));
    let cut = first + 1 + rng.below((last - first) as u64) as usize;
    let (head, tail) = if rng.coin() { (old, new) } else { (new, old) };
    mixed[range.start..cut].copy_from_slice(&head[range.start..cut]);
    mixed[cut..range.end].copy_from_slice(&tail[cut..range.end]);
    *tears += 1;
    page_of(&mixed)
}

/// What an [`Image`] is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What a power cut would leave at the least: what was flushed.
    Durable,
    /// What a reader sees: what a copy of the running machine's directory has.
    Visible,
}

/// A copy of the directory. Shares its pages with the disk, and so costs little.
#[derive(Clone, Debug)]
pub struct Image {
    files: Vec<(FileName, Content)>,
    directories: Vec<String>,
}

impl Image {
    /// The names of its files, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        self.files.iter().map(|(name, _)| name.as_str().to_owned()).collect()
    }
}

impl State {
    pub(super) fn snapshot(&self, extent: Extent) -> Image {
        let (names, durable) = match extent {
            Extent::Durable => (self.names.durable(), true),
            Extent::Visible => (&self.names.files, false),
        };
        let copy = |&inode: &usize| {
            let Inode { name, visible, durable: stable, .. } = &self.inodes[inode];
            (*name, if durable { stable.clone() } else { visible.clone() })
        };
        let directories = self.names.directories.iter().filter(|(_, stable)| !durable || **stable);
        Image {
            files: names.values().map(copy).collect(),
            directories: directories.map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Puts an image in the place of everything. All backends are dead after.
    pub(super) fn restore(&mut self, image: &Image, kind: FaultKind) {
        for flight in std::mem::take(&mut self.flights).into_values() {
            self.abandon(flight);
        }
        self.end_backends();
        self.echoes.clear();
        self.inodes = image.files.iter().map(|(name, content)| Inode::new(*name, content.clone())).collect();
        let names = image.files.iter().enumerate().map(|(inode, (name, _))| (name.as_str().to_owned(), inode));
        self.names = Names::new(names.collect(), image.directories.iter().cloned());
        self.faults.count(kind);
        self.machine_event(EventKind::Restored, Some(kind));
    }

    pub(super) fn put(&mut self, name: FileName, bytes: &[u8]) {
        let inode = self.add_inode(Inode::new(name, Content::of(bytes)));
        self.names.files.insert(name.as_str().to_owned(), inode);
        let parent = name.parent();
        if parent != "." {
            self.names.directories.insert(parent.to_owned(), true);
        }
        self.names.publish(parent);
    }

    /// The zone of a control call on a file.
    pub(super) fn zone_of_call(&self, file: Option<FileName>) -> Zone {
        file.map_or(Zone::Directory, |name| super::zone::zone_of(name.as_str(), PAGE_BYTES as u64, None))
    }
}
