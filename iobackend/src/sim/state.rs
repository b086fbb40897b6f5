//! The disk's state behind its lock: the clock, the queue of operations in flight, and the table of backends.
//!
//! What must stay true: an operation takes effect at its due time and at no other, in the order of due times, whoever moves
//! the clock; every operation that was taken completes once; nothing here depends on an order that the seed does not give.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::SimConfig;
use super::content::PAGE_BYTES;
use super::faults::{FaultKind, Faults, Script, Strike};
use super::inode::Inode;
use super::names::Names;
use super::random::Rng;
use super::trace::{Action, Event, EventKind, Trace};
use super::zone::{Zone, is_segment, zone_of};
use crate::error::IoError;
use crate::op::{Completion, FileName, FileSlot, Op, OpKind, OpenMode};

/// What ended the machine's or the process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The power went: what was not flushed may be gone.
    PowerCut,
    /// The process died: what was completed is in the cache.
    Kill,
}

/// A write to a segment, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The segment's file.
    pub file: FileName,
    /// Where in it.
    pub at: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// A file that a slot holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) inode: usize,
    pub(super) writable: bool,
}

/// A backend, as the disk sees it.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) lane: u16,
    pub(super) dead: bool,
    pub(super) slots: Vec<Option<Held>>,
    /// Of an opening, also the slot: nobody may use it before the completion was polled.
    pub(super) finished: Vec<(Completion, Option<FileSlot>)>,
    pub(super) in_flight: usize,
}

/// Who asks, and with which operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) seat: u32,
    pub(super) lane: u16,
    pub(super) number: u64,
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) asker: Asker,
    pub(super) op: Op,
    /// The file that its slot held when it was queued, or an error number.
    pub(super) target: Result<usize, i32>,
    pub(super) strike: Option<Strike>,
}

/// A write that the device does once more.
#[derive(Debug)]
pub(super) struct Echo {
    /// At which operation.
    pub(super) number: u64,
    pub(super) inode: usize,
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: SimConfig,
    pub(super) now: u64,
    /// Operations and control calls so far.
    pub(super) operations: u64,
    pub(super) down: Option<Crash>,
    pub(super) inodes: Vec<Inode>,
    pub(super) names: Names,
    pub(super) seats: BTreeMap<u32, Seat>,
    next_seat: u32,
    /// By due time, then by number.
    pub(super) flights: BTreeMap<(u64, u64), Flight>,
    pub(super) echoes: Vec<Echo>,
    /// Until which operation the device is full.
    pub(super) full_until: u64,
    pub(super) faults: Faults,
    pub(super) trace: Trace,
    pub(super) violations: Vec<String>,
    /// Writes to segments, as they were asked for, if they are to be kept.
    pub(super) written: Option<Vec<Written>>,
    latencies: Rng,
    pub(super) crashes: Rng,
    pub(super) entropy: Rng,
}

impl State {
    pub(super) fn new(seed: u64, config: SimConfig) -> Self {
        let rng = Rng::new(seed);
        Self {
            faults: Faults::new(rng.fork("faults"), config.injuries_max),
            config,
            now: 0,
            operations: 0,
            down: None,
            inodes: Vec::new(),
            names: Names::new(BTreeMap::new(), []),
            seats: BTreeMap::new(),
            next_seat: 0,
            flights: BTreeMap::new(),
            echoes: Vec::new(),
            full_until: 0,
            trace: Trace::new(seed),
            violations: Vec::new(),
            written: None,
            latencies: rng.fork("latencies"),
            crashes: rng.fork("crashes"),
            entropy: rng.fork("entropy"),
        }
    }

    pub(super) fn add_seat(&mut self, lane: u16) -> u32 {
        let id = self.next_seat;
        self.next_seat += 1;
        let seat = Seat {
            lane,
            dead: self.down.is_some(),
            slots: vec![None; self.config.file_slots],
            finished: Vec::with_capacity(self.config.depth),
            in_flight: 0,
        };
        self.seats.insert(id, seat);
        id
    }

    /// Each operation that a backend leaves behind has happened, or never will.
    pub(super) fn drop_seat(&mut self, id: u32) {
        let left: Vec<_> =
            self.flights.iter().filter(|(_, flight)| flight.asker.seat == id).map(|(at, _)| *at).collect();
        for at in left {
            let Some(flight) = self.flights.remove(&at) else {
                continue;
            };
            if self.crashes.coin() {
                self.perform(flight);
            } else {
                self.faults.close(flight.strike);
            }
        }
        self.seats.remove(&id);
    }

    pub(super) fn seat(&mut self, id: u32) -> &mut Seat {
        match self.seats.get_mut(&id) {
            Some(seat) => seat,
            None => unreachable!("a backend's seat is there until the backend is dropped"),
        }
    }

    pub(super) fn zone(&self, inode: usize, at: u64) -> Zone {
        let inode = &self.inodes[inode];
        zone_of(inode.name.as_str(), at, inode.footer_at)
    }

    /// Gives the next operation its number.
    pub(super) fn ask(&mut self, seat: u32) -> Asker {
        let lane = self.seat(seat).lane;
        let number = self.operations;
        self.operations += 1;
        Asker { seat, lane, number }
    }

    pub(super) fn event(
        &mut self,
        asker: Asker,
        kind: EventKind,
        action: Action,
        file: Option<FileName>,
        range: Range<u64>,
        fault: Option<FaultKind>,
    ) {
        let (offset, len) = (range.start, range.end.saturating_sub(range.start));
        let (time, Asker { lane, number, .. }) = (self.now, asker);
        self.trace.push(Event { time, lane, kind, number, action: Some(action), file, offset, len, fault });
    }

    /// An event of the machine, and of no operation.
    pub(super) fn machine_event(&mut self, kind: EventKind, fault: Option<FaultKind>) {
        let (time, number) = (self.now, self.operations);
        self.trace.push(Event { time, lane: 0, kind, number, action: None, file: None, offset: 0, len: 0, fault });
    }

    /// Queues an operation: draws when it is due and what is to strike it.
    pub(super) fn submit(&mut self, seat: u32, op: Op) {
        if self.seat(seat).dead {
            return self.refuse(seat, op);
        }
        let asker = self.ask(seat);
        let action = Action::from(op.kind.operation());
        let (target, file, range, durable) = self.describe(seat, &op.kind);
        self.keep_written(target, &op.kind);
        self.event(asker, EventKind::Submitted, action, file, range.clone(), None);
        let zone = match (&op.kind, target) {
            (OpKind::FlushDirectory { .. }, _) => Zone::Directory,
            // What concerns a segment as a whole concerns its frames.
            (OpKind::Flush { .. } | OpKind::Allocate { .. }, Ok(inode)) => self.zone(inode, PAGE_BYTES as u64),
            (_, Ok(inode)) => self.zone(inode, range.start),
            _ => file.map_or(Zone::Other, |name| zone_of(name.as_str(), 0, None)),
        };
        let strike = self.faults.choose(asker.number, action, durable, zone);
        let slow = strike.filter(|strike| strike.kind == FaultKind::SlowIo);
        let due = self.now + self.latency(action, slow.is_some());
        let crash = strike.filter(|strike| strike.kind.is_crash());
        let later = if slow.is_some() || crash.is_some() { None } else { strike };
        self.flights.insert((due, asker.number), Flight { asker, op, target, strike: later });
        self.seat(seat).in_flight += 1;
        if let Some(strike) = slow {
            self.struck(asker, action, file, range, strike, true);
        } else if let Some(strike) = crash {
            if self.can_demand(strike.kind, asker.number) {
                self.strike_down(asker, action, file, strike);
            } else {
                self.faults.end(strike, false);
            }
        }
    }

    /// Keeps what may come to the medium from now on, whatever becomes of the write: all of it, a part, or nothing.
    fn keep_written(&mut self, target: Result<usize, i32>, kind: &OpKind) {
        let (Some(written), Ok(inode), OpKind::Write { at, buffer, len, .. }) = (&mut self.written, target, kind)
        else {
            return;
        };
        let (file, bytes) = (self.inodes[inode].name, &buffer[..*len]);
        if is_segment(file.as_str()) && bytes.iter().any(|byte| *byte != 0) {
            written.push(Written { file, at: *at, bytes: bytes.to_vec() });
        }
    }

    /// The answer of a machine that is gone.
    fn refuse(&mut self, seat: u32, op: Op) {
        let result = Err(IoError::from_errno(op.kind.operation(), libc::EIO));
        let seat = self.seat(seat);
        seat.in_flight += 1;
        let slot = op.kind.opens();
        seat.finished.push((Completion { token: op.token, result, buffer: op.kind.into_buffer() }, slot));
    }

    /// File, name and bytes of an operation, and whether it is a durable write.
    fn describe(&self, seat: u32, kind: &OpKind) -> (Result<usize, i32>, Option<FileName>, Range<u64>, bool) {
        let held = |slot: &FileSlot| self.seats[&seat].slots[slot.index()].ok_or(libc::EBADF);
        let writable = |slot| held(slot).and_then(|held| if held.writable { Ok(held.inode) } else { Err(libc::EBADF) });
        let (target, range, durable) = match kind {
            OpKind::Write { file, at, len, durable, .. } => (writable(file), *at..at + *len as u64, *durable),
            OpKind::Read { file, at, len, .. } => (held(file).map(|held| held.inode), *at..at + *len as u64, false),
            OpKind::Flush { file } => (held(file).map(|held| held.inode), 0..0, false),
            OpKind::Allocate { file, len } => (writable(file), 0..*len, false),
            OpKind::Open { name, .. } | OpKind::FlushDirectory { name } => {
                return (Err(libc::ENOENT), Some(*name), 0..0, false);
            }
        };
        (target, target.ok().map(|inode| self.inodes[inode].name), range, durable)
    }

    fn latency(&mut self, action: Action, slow: bool) -> u64 {
        let config = &self.config;
        let (low, high) = match action {
            _ if slow => config.slow_ns,
            Action::Write => config.write_ns,
            Action::Read => config.read_ns,
            _ => config.flush_ns,
        };
        self.latencies.between(low, high)
    }

    /// Takes note of a strike that hit, or did not.
    pub(super) fn struck(
        &mut self,
        asker: Asker,
        action: Action,
        file: Option<FileName>,
        range: Range<u64>,
        strike: Strike,
        hit: bool,
    ) {
        self.faults.end(strike, hit);
        if hit {
            self.faults.strikes.push(Script { at: asker.number, fault: strike.kind });
            self.event(asker, EventKind::Struck, action, file, range, Some(strike.kind));
        }
    }

    /// Moves the clock, and carries out what is due on the way.
    pub(super) fn advance_to(&mut self, time: u64) {
        while let Some(entry) = self.flights.first_entry() {
            let due = entry.key().0;
            if due > time {
                break;
            }
            let flight = entry.remove();
            self.now = self.now.max(due);
            self.perform(flight);
        }
        self.now = self.now.max(time);
    }

    /// When the next completion can be polled: now, if one waits already.
    pub(super) fn next_due(&self, seat: Option<u32>) -> Option<u64> {
        let waits = |(id, of): (&u32, &Seat)| seat.is_none_or(|seat| seat == *id) && !of.finished.is_empty();
        if self.seats.iter().any(waits) {
            return Some(self.now);
        }
        let mut flights = self.flights.iter();
        let next = flights.find(|(_, flight)| seat.is_none_or(|seat| seat == flight.asker.seat));
        next.map(|((due, _), _)| *due)
    }

    /// Carries an operation out and hands its completion over.
    pub(super) fn perform(&mut self, flight: Flight) {
        let Flight { asker, op, target, strike } = flight;
        // Others may have used the budget up since this one was drawn.
        let strike = strike.filter(|strike| strike.script.is_some() || self.faults.may_corrupt(strike.kind));
        let slot = op.kind.opens();
        self.echo(asker.number);
        let (_, file, range, _) = self.describe(asker.seat, &op.kind);
        let file = target.ok().map_or(file, |inode| Some(self.inodes[inode].name));
        let action = Action::from(op.kind.operation());
        let (result, buffer) = match op.kind {
            OpKind::Write { at, buffer, len, durable, .. } => {
                (self.write(asker, target, at, &buffer[..len], durable, strike), Some(buffer))
            }
            OpKind::Read { at, mut buffer, len, .. } => {
                (self.read(asker, target, at, &mut buffer[..len], strike), Some(buffer))
            }
            OpKind::Flush { .. } => (self.flush(asker, target, strike), None),
            OpKind::Open { file, name, mode } => (self.open(asker, file, name, mode, strike), None),
            OpKind::Allocate { len, .. } => (self.allocate(asker, target, len, strike), None),
            OpKind::FlushDirectory { name } => (self.flush_directory(asker, name, strike), None),
        };
        self.faults.close(strike);
        let kind = if result.is_ok() { EventKind::Completed } else { EventKind::Failed };
        self.event(asker, kind, action, file, range, None);
        self.seat(asker.seat).finished.push((Completion { token: op.token, result, buffer }, slot));
    }

    /// The start of a control call: its number, and what strikes it. An error if the backend is dead, or dies of it.
    ///
    /// Struck down half-way, the call has taken effect or not; `effect` is that effect without any durability.
    pub(super) fn control(
        &mut self,
        seat: u32,
        action: Action,
        (file, len): (Option<FileName>, u64),
        zone: Zone,
        effect: impl FnOnce(&mut Self),
    ) -> io::Result<(Asker, Option<Strike>)> {
        if self.seat(seat).dead {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let asker = self.ask(seat);
        self.event(asker, EventKind::Submitted, action, file, 0..len, None);
        match self.faults.choose(asker.number, action, false, zone) {
            Some(strike) if strike.kind.is_crash() => {
                if self.can_demand(strike.kind, asker.number) {
                    if self.crashes.coin() {
                        effect(self);
                    }
                    self.strike_down(asker, action, file, strike);
                    return Err(io::Error::from_raw_os_error(libc::EIO));
                }
                self.faults.end(strike, false);
                Ok((asker, None))
            }
            strike => Ok((asker, strike)),
        }
    }

    pub(super) fn lookup(&self, name: &str) -> Option<usize> {
        self.names.files.get(name).copied()
    }

    /// Requirement of the log: what a segment holds is not written again.
    pub(super) fn claim(&mut self, inode: usize, at: u64, bytes: &[u8]) {
        let file = &mut self.inodes[inode];
        let overlap = file.claim(at, bytes);
        if let Some(range) = overlap.filter(|_| is_segment(file.name.as_str())) {
            let end = at + bytes.len() as u64;
            self.violations.push(format!(
                "{}: a write of bytes {at} to {end} covers bytes {} to {}, which were written before",
                file.name, range.start, range.end
            ));
        }
    }

    pub(super) fn add_inode(&mut self, inode: Inode) -> usize {
        self.inodes.push(inode);
        self.inodes.len() - 1
    }

    /// Opens or makes a file, in the cache only.
    pub(super) fn open_file(&mut self, name: FileName, mode: OpenMode) -> Result<usize, i32> {
        let text = name.as_str();
        let found = self.lookup(text);
        match (found, mode) {
            _ if self.names.is_directory(text) => Err(libc::EISDIR),
            (Some(_), OpenMode::CreateNew) => Err(libc::EEXIST),
            (Some(inode), _) => Ok(inode),
            (None, OpenMode::CreateNew) if self.names.is_directory(name.parent()) => {
                let inode = self.add_inode(Inode::new(name, super::content::Content::default()));
                self.names.files.insert(text.to_owned(), inode);
                Ok(inode)
            }
            (None, _) => Err(libc::ENOENT),
        }
    }
}
