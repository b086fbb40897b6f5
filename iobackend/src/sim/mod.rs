//! A simulated disk: one data directory in memory, a virtual clock, and everything that can go wrong.
//!
//! It runs the production code on one thread, and gives the same run for the same seed: no thread, clock, randomness or hash
//! order of the system is in it. Operations take a drawn time and take effect when it is over, so what is in flight together
//! happens in any order. A write is in the device's cache, and a power cut decides, sector by sector, what was on the medium.
//!
//! ```
//! use iobackend::sim::{FaultKind, FaultRates, Script, SimConfig, SimDisk};
//! use iobackend::{Arena, FileName, FileSlot, IoBackend, OpKind, OpenMode};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = SimDisk::new(1, SimConfig::default());
//! let mut backend = disk.backend(0);
//! let (file, name, mode) = (FileSlot(0), FileName::new("data")?, OpenMode::CreateNew);
//! backend.run(OpKind::Open { file, name, mode }).0?;
//!
//! disk.script(Script { at: 0, fault: FaultKind::WriteError });
//! let buffer = Arena::new(4096)?.take(4096).ok_or("arena is used up")?;
//! let (result, _) = backend.run(OpKind::Write { file, at: 0, buffer, len: 4096, durable: true });
//! assert!(result.is_err() && disk.script_fired());
//!
//! disk.power_cut(); // this backend is dead; the next one finds what is left
//! disk.set_rates(FaultRates::none().with(FaultKind::BitFlip, 1_000));
//! assert!(disk.backend(0).list(".")?.len() <= 1); // nobody flushed the directory
//! # Ok(())
//! # }
//! ```
//!
//! # What the engine must do about each fault
//!
//! *Survive*: nothing acknowledged is lost, and the engine goes on, perhaps after it was opened again. *Detect*: what is lost or
//! wrong is named, never served and never cut off in silence; the rest is served. *Beyond*: no promise; the engine may not
//! invent data, and that is all.
//!
//! | kind | manifest, one copy | segment header | frames | footer, trailer | directory |
//! | --- | --- | --- | --- | --- | --- |
//! | torn, reordered, power cut, kill | survive | survive | survive | survive | survive |
//! | short write, write error, no space, slow, open error | survive | survive | survive | survive | survive |
//! | flush error once | survive | survive | survive | survive | survive |
//! | short read (transient) | survive | survive | survive | survive | |
//! | bit flip, latent sector | survive | detect | detect | survive | |
//! | misdirected or stale read | survive | detect | detect | survive | |
//! | lost, misdirected write | survive | detect | detect, but the newest frames | survive | |
//! | duplicated write | survive | survive | survive | survive | |
//! | entry lost (unflushed) | survive | survive | survive | survive | survive |
//! | file lost | survive | detect, but a log's last segment | as header | as header | |
//! | files swapped (while nobody uses them) | | detect, once | detect, once | detect, once | |
//! | forged (checksums mended) | | | detect what was sealed | | |
//! | lying flush | survive | beyond | beyond | beyond | beyond |
//! | older copy, clone | beyond, but recognized by whoever holds something newer | | | | |
//!
//! An error is survived by failing the request, or the shard: what was acknowledged is there. Beyond the promise are also:
//! both copies of the manifest; more than one fault of the same frame's evidence (the frame and all that vouches for it); the
//! whole directory. The newest frames of a crash have nothing behind them that vouches for them until a mark is written.
//!
//! # What must stay true
//!
//! - The same seed, configuration and calls give the same effects and the same [`trace_hash`](SimDisk::trace_hash), in every
//!   build and on every machine.
//! - A durable write makes its own range and the file's length durable, and no write before it.
//! - A fault that changes bytes is among the [`injuries`](SimDisk::injuries), with the bytes.
//! - Pages of zeros cost nothing, so that segments may be as long as they are in production.
//!
//! Deliberately absent: a page cache (I/O is direct), partial blocks, renaming, links, and the loss of a file's metadata.

mod backend;
mod content;
mod crash;
mod effects;
mod faults;
mod inode;
mod names;
mod random;
mod state;
mod trace;
mod zone;

use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use self::state::State;
use crate::error::NameError;
use crate::op::FileName;

pub use self::backend::SimBackend;
pub use self::crash::{Extent, Image};
pub use self::faults::{FaultKind, FaultRates, Injury, KINDS, Script, ScriptState};
pub use self::random::Rng;
pub use self::state::{Crash, Written};
pub use self::trace::{Action, Event, EventKind};
pub use self::zone::{Zone, ZoneSet, zone_of};

/// What a disk is like; faults are another matter ([`SimDisk::set_rates`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimConfig {
    /// Most operations in flight of one backend.
    pub depth: usize,
    /// Size of a backend's file table.
    pub file_slots: usize,
    /// The shortest and the longest time of a write, in nanoseconds.
    pub write_ns: (u64, u64),
    /// The same of a read.
    pub read_ns: (u64, u64),
    /// The same of a flush, an opening and an allocation.
    pub flush_ns: (u64, u64),
    /// The same of any operation that [`FaultKind::SlowIo`] strikes.
    pub slow_ns: (u64, u64),
    /// How many faults may corrupt ([`FaultKind::is_corruption`]) by rate; scripted ones and those asked for directly are not held back.
    pub injuries_max: u32,
    /// In a power cut, per million of the unflushed writes: one of its sectors is torn at a byte.
    pub torn_in_sector: u32,
    /// For how many operations more, at most, a full device stays full.
    pub no_space_operations_max: u64,
    /// How many operations later, at most, a duplicated write happens again; at least 1.
    pub duplicate_operations_max: u64,
}

impl Default for SimConfig {
    /// A fast device, in the depth and slots that the engine asks for, on which anything may be corrupted.
    fn default() -> Self {
        Self {
            depth: 32,
            file_slots: 64,
            write_ns: (20_000, 200_000),
            read_ns: (10_000, 150_000),
            flush_ns: (50_000, 500_000),
            slow_ns: (100_000_000, 5_000_000_000),
            injuries_max: u32::MAX,
            torn_in_sector: 50_000,
            no_space_operations_max: 20,
            duplicate_operations_max: 20,
        }
    }
}

/// A disk with one data directory. Copies of the handle are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64, config: SimConfig) -> Self {
        Self(Arc::new(Mutex::new(State::new(seed, config))))
    }

    /// A disk of another machine, with a copy of a directory: for two processes on clones.
    #[must_use]
    pub fn from_image(seed: u64, config: SimConfig, image: &Image) -> Self {
        let disk = Self::new(seed, config);
        disk.state().restore(image, FaultKind::Clone);
        disk
    }

    // No panic under the lock leaves the state half-changed: what callers get wrong is checked first.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// A backend on this disk; there may be several. `lane` names it in the trace. Made while the machine is down, it is dead.
    #[must_use]
    pub fn backend(&self, lane: u16) -> SimBackend {
        SimBackend::new(self.clone(), lane)
    }

    /// The virtual time, in nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.state().now
    }

    /// Moves the clock forward, and carries out what is due on the way. A time that has passed changes nothing.
    pub fn advance_to(&self, time: u64) {
        self.state().advance_to(time);
    }

    /// When the next completion of any backend can be polled; now, if one waits already.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.state().next_due(None)
    }

    /// Cuts the power. Whatever was in flight or not flushed is there, or not, or in part; what is left is durable, and all
    /// backends are dead. Power is on again at once: make new backends.
    pub fn power_cut(&self) {
        self.state().power_cut();
    }

    /// Kills the process. What was completed stays in the cache, and volatile; what was in flight has happened or not. All
    /// backends are dead: make new ones.
    pub fn kill(&self) {
        self.state().kill();
    }

    /// Whether a fault took the machine or the process down, and which: until [`power_on`](Self::power_on) everything fails.
    #[must_use]
    pub fn is_down(&self) -> Option<Crash> {
        self.state().down
    }

    /// Ends what a fault took down. Backends from before stay dead.
    pub fn power_on(&self) {
        self.state().power_on();
    }

    /// How often each fault strikes from now on.
    pub fn set_rates(&self, rates: FaultRates) {
        self.state().faults.rates = rates;
    }

    /// Has a fault strike one operation to come.
    pub fn script(&self, script: Script) {
        let mut state = self.state();
        let at = state.operations + script.at;
        state.faults.scripts.push((script, at, ScriptState::Waiting));
    }

    /// What became of the scripts so far, in the order in which they were given.
    #[must_use]
    pub fn scripts(&self) -> Vec<(Script, ScriptState)> {
        self.state().faults.scripts.iter().map(|(script, _, state)| (*script, *state)).collect()
    }

    /// Whether every script so far has struck.
    #[must_use]
    pub fn script_fired(&self) -> bool {
        self.state().faults.scripts.iter().all(|(_, _, state)| *state == ScriptState::Fired)
    }

    /// Forgets all scripts.
    pub fn clear_scripts(&self) {
        let mut state = self.state();
        // A flight may still point at one of them.
        for (_, _, outcome) in &mut state.faults.scripts {
            if *outcome == ScriptState::Waiting {
                *outcome = ScriptState::Missed;
            }
        }
        if state.flights.is_empty() {
            state.faults.scripts.clear();
        }
    }

    /// Operations and control calls of backends that were alive, so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How often each kind struck, in the order of [`FaultKind::ALL`].
    #[must_use]
    pub fn fired(&self) -> [u64; KINDS] {
        self.state().faults.fired
    }

    /// How often one kind struck.
    #[must_use]
    pub fn fired_of(&self, kind: FaultKind) -> u64 {
        self.state().faults.fired[kind as usize]
    }

    /// The faults that struck an operation, each as a script over the operations of the disk's whole life.
    #[must_use]
    pub fn strikes(&self) -> Vec<Script> {
        self.state().faults.strikes.clone()
    }

    /// All that was done to bytes, in order.
    #[must_use]
    pub fn injuries(&self) -> Vec<Injury> {
        self.state().faults.injuries.clone()
    }

    /// What the engine did that it must never do: writes over bytes of a segment that were written before.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Has writes to segments kept for [`take_written`](Self::take_written), but those of zeros alone.
    pub fn keep_written(&self) {
        self.state().written.get_or_insert_default();
    }

    /// What was asked to be written to segments since the last call: it may be on the medium, whatever became of the write.
    #[must_use]
    pub fn take_written(&self) -> Vec<Written> {
        self.state().written.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Has events kept for [`take_events`](Self::take_events), or not.
    pub fn set_trace(&self, on: bool) {
        self.state().trace.on = on;
    }

    /// The events since the last call.
    #[must_use]
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.state().trace.events)
    }

    /// A hash of all events so far, whether they are kept or not.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.state().trace.hash
    }

    /// A copy of the directory as it is now.
    #[must_use]
    pub fn snapshot(&self, extent: Extent) -> Image {
        self.state().snapshot(extent)
    }

    /// Puts an older copy back, in the place of everything. All backends are dead.
    pub fn restore(&self, image: &Image) {
        self.state().restore(image, FaultKind::OlderCopy);
    }

    /// The names of all files, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        self.state().names.files.keys().cloned().collect()
    }

    /// What a reader sees of a file, whole.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let content = &state.inodes[state.lookup(name)?].visible;
        let mut bytes = vec![0; content.len as usize];
        content.read(0, &mut bytes);
        Some(bytes)
    }

    /// What a reader sees of a part of a file; `None` if it has no such part.
    #[must_use]
    pub fn peek(&self, name: &str, at: u64, len: usize) -> Option<Vec<u8>> {
        let state = self.state();
        let content = &state.inodes[state.lookup(name)?].visible;
        let mut bytes = vec![0; len];
        content.read(at, &mut bytes);
        (at + len as u64 <= content.len).then_some(bytes)
    }

    /// A file's length.
    #[must_use]
    pub fn file_len(&self, name: &str) -> Option<u64> {
        let state = self.state();
        state.lookup(name).map(|inode| state.inodes[inode].visible.len)
    }

    /// The ranges of a file that are not zero, in whole pages: where a checker that spoils every byte need look.
    #[must_use]
    pub fn stored(&self, name: &str) -> Vec<Range<u64>> {
        let state = self.state();
        let Some(inode) = state.lookup(name) else {
            return Vec::new();
        };
        let page = content::PAGE_BYTES as u64;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for start in state.inodes[inode].visible.pages.keys().map(|number| number * page) {
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end += page,
                _ => ranges.push(start..start + page),
            }
        }
        ranges
    }

    /// Puts a file there, durably, in the place of one of that name, and makes its directory.
    ///
    /// # Errors
    ///
    /// When the name is none that a backend takes.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), NameError> {
        let name = FileName::new(name)?;
        self.state().put(name, bytes);
        Ok(())
    }

    /// Changes bits of a stored byte. False if there is no such byte.
    #[must_use]
    pub fn rot_at_rest(&self, name: &str, at: u64, mask: u8) -> bool {
        let mut state = self.state();
        let inode = state.lookup(name).filter(|&inode| at < state.inodes[inode].visible.len);
        if let Some(inode) = inode {
            state.rot(inode, at, mask);
        }
        inode.is_some()
    }

    /// Flips a bit, drawn, of a page that holds anything, in one of the zones. False if there is no such page.
    #[must_use]
    pub fn rot_anywhere(&self, zones: ZoneSet) -> bool {
        self.state().rot_anywhere(|zone| zones.contains(zone))
    }

    /// Makes the sector at a byte unreadable until it is written again. False if there is no such byte.
    #[must_use]
    pub fn spoil_sector(&self, name: &str, at: u64) -> bool {
        self.state().spoil_sector(name, at)
    }

    /// Cuts a file, durably, as an accident does and not the engine. False if there is none.
    #[must_use]
    pub fn cut_file(&self, name: &str, len: u64) -> bool {
        let mut state = self.state();
        let inode = state.lookup(name);
        if let Some(inode) = inode {
            state.inodes[inode].truncate(len);
        }
        inode.is_some()
    }

    /// Puts other bytes in the place of stored ones, durably, as somebody does who has the disk; `kind` is what the injury is called.
    /// False if there are none.
    #[must_use]
    pub fn overwrite(&self, name: &str, at: u64, bytes: &[u8], kind: FaultKind) -> bool {
        self.state().overwrite(name, at, bytes, kind)
    }

    /// Takes a file away. False if there is none.
    #[must_use]
    pub fn lose_file(&self, name: &str) -> bool {
        self.state().lose(name)
    }

    /// Has two files change places. False if one of them is not there.
    #[must_use]
    pub fn swap_files(&self, one: &str, other: &str) -> bool {
        self.state().swap(one, other)
    }
}
