//! The trait's side of the disk: one backend of possibly several.

use std::io;
use std::time::Duration;

use super::SimDisk;
use super::content::PAGE_BYTES;
use super::faults::{FaultKind, Strike};
use super::names::parent;
use super::state::{Asker, Held, State};
use super::trace::{Action, EventKind};
use super::zone::Zone;
use crate::IoBackend;
use crate::config::{BackendInfo, BackendKind};
use crate::op::{Completion, FileName, FileSlot, Op, OpKind};
use crate::waker::{Parker, Waker};

/// A backend on a [`SimDisk`]. It waits by moving the disk's clock.
#[derive(Debug)]
pub struct SimBackend {
    disk: SimDisk,
    seat: u32,
    depth: usize,
    /// Slots whose opening has not been polled yet.
    opening: Vec<FileSlot>,
    parker: Parker,
    info: BackendInfo,
}

impl SimBackend {
    pub(super) fn new(disk: SimDisk, lane: u16) -> Self {
        let (seat, depth) = {
            let mut state = disk.state();
            (state.add_seat(lane), state.config.depth)
        };
        let info = BackendInfo {
            kind: BackendKind::Simulated,
            direct: true,
            alignment: PAGE_BYTES,
            fixed_buffers: false,
            notes: vec![format!("simulated backend, lane {lane}")],
        };
        Self { disk, seat, depth, opening: Vec::new(), parker: Parker::new(), info }
    }

    /// When this backend's next completion can be polled, in virtual nanoseconds; `None` if nothing is in flight.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.disk.state().next_due(Some(self.seat))
    }

    /// Whether the machine or the process that this backend belongs to is gone: every operation fails.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.disk.state().seat(self.seat).dead
    }

    fn check(&self, state: &State, kind: &OpKind) {
        let slots = state.config.file_slots;
        let idle = |file: FileSlot| {
            assert!(file.index() < slots, "{file:?} of {slots} slots");
            assert!(!self.opening.contains(&file), "{file:?} is being opened");
        };
        match kind {
            OpKind::Write { file, at, buffer, len, .. } | OpKind::Read { file, at, buffer, len } => {
                idle(*file);
                let size = buffer.len();
                assert!(*len > 0 && *len <= size, "{len} bytes of a buffer of {size}");
                let ends = at.checked_add(*len as u64).is_some_and(|end| end <= i64::MAX as u64);
                assert!(ends, "{len} bytes at byte {at} end beyond the largest file");
                let whole = len.is_multiple_of(PAGE_BYTES) && at.is_multiple_of(PAGE_BYTES as u64);
                assert!(whole, "direct I/O of {len} bytes at byte {at} is not in blocks of {PAGE_BYTES}");
            }
            OpKind::Flush { file } | OpKind::Open { file, .. } => idle(*file),
            OpKind::Allocate { file, len } => {
                idle(*file);
                assert!(*len > 0, "allocating zero bytes");
            }
            OpKind::FlushDirectory { .. } => {}
        }
    }

    fn held(&self, state: &mut State, file: FileSlot) -> io::Result<(Held, FileName)> {
        let held = state.seat(self.seat).slots.get(file.index()).copied().flatten();
        let held =
            held.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("file slot {} holds no file", file.0)))?;
        let name = state.inodes[held.inode].name;
        // By name, as the real backends do.
        match state.lookup(name.as_str()) {
            Some(inode) => Ok((Held { inode, ..held }, name)),
            None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }
}

/// Ends a control call whose durability may fail: whether it is to become durable.
fn end(
    state: &mut State,
    asker: Asker,
    action: Action,
    file: Option<FileName>,
    strike: Option<Strike>,
) -> io::Result<()> {
    let fails = strike.filter(|strike| strike.kind == FaultKind::FlushErrorOnce);
    if let Some(strike) = fails {
        state.struck(asker, action, file, 0..0, strike, true);
    }
    let kind = if fails.is_some() { EventKind::Failed } else { EventKind::Completed };
    state.event(asker, kind, action, file, 0..0, None);
    if fails.is_some() { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
}

impl Drop for SimBackend {
    fn drop(&mut self) {
        self.disk.state().drop_seat(self.seat);
    }
}

impl IoBackend for SimBackend {
    fn submit(&mut self, op: Op) -> Result<(), Op> {
        let disk = self.disk.clone();
        let mut state = disk.state();
        if state.seat(self.seat).in_flight == self.depth {
            return Err(op);
        }
        self.check(&state, &op.kind);
        self.opening.extend(op.kind.opens());
        state.submit(self.seat, op);
        Ok(())
    }

    fn poll(&mut self, done: &mut Vec<Completion>) {
        let disk = self.disk.clone();
        let mut state = disk.state();
        let now = state.now;
        state.advance_to(now);
        let seat = state.seat(self.seat);
        seat.in_flight -= seat.finished.len();
        for (completion, opened) in seat.finished.drain(..) {
            self.opening.retain(|&slot| opened != Some(slot));
            done.push(completion);
        }
    }

    /// Moves the clock to this backend's next completion, or to the end of `timeout`; without either it returns at once.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.parker.take_wake() {
            return Ok(());
        }
        let mut state = self.disk.state();
        let end = timeout.map(|timeout| {
            let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            state.now.saturating_add(nanos)
        });
        let due = state.next_due(Some(self.seat));
        if let Some(time) = due.into_iter().chain(end).min() {
            state.advance_to(time);
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.parker.waker()
    }

    fn in_flight(&self) -> usize {
        self.disk.state().seat(self.seat).in_flight
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn list(&mut self, directory: &str) -> io::Result<Vec<String>> {
        let name = FileName::new(directory)?;
        let mut state = self.disk.state();
        let (asker, strike) = state.control(self.seat, Action::List, (Some(name), 0), Zone::Directory, |_| {})?;
        let there = state.names.is_directory(directory);
        end(&mut state, asker, Action::List, Some(name), strike)?;
        if there { Ok(state.names.list(directory)) } else { Err(io::Error::from_raw_os_error(libc::ENOENT)) }
    }

    fn create_directory(&mut self, directory: &str) -> io::Result<()> {
        let name = FileName::new(directory)?;
        let mut state = self.disk.state();
        let make = |state: &mut State| {
            let free = state.lookup(directory).is_none() && !state.names.is_directory(directory);
            if free && state.names.is_directory(parent(directory)) {
                state.names.directories.insert(directory.to_owned(), false);
            }
        };
        let action = Action::CreateDirectory;
        let (asker, strike) = state.control(self.seat, action, (Some(name), 0), Zone::Directory, make)?;
        if state.lookup(directory).is_some() {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        if !state.names.is_directory(parent(directory)) {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        make(&mut state);
        end(&mut state, asker, action, Some(name), strike)?;
        state.names.publish(parent(directory));
        Ok(())
    }

    fn length(&mut self, file: FileSlot) -> io::Result<u64> {
        let mut state = self.disk.state();
        let held = self.held(&mut state, file);
        let name = held.as_ref().ok().map(|(_, name)| *name);
        let zone = state.zone_of_call(name);
        let (asker, strike) = state.control(self.seat, Action::Length, (name, 0), zone, |_| {})?;
        end(&mut state, asker, Action::Length, name, strike)?;
        held.map(|(held, _)| state.inodes[held.inode].visible.len)
    }

    fn truncate(&mut self, file: FileSlot, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let held = self.held(&mut state, file);
        let name = held.as_ref().ok().map(|(_, name)| *name);
        let inode = held.as_ref().ok().map(|(held, _)| held.inode);
        let zone = state.zone_of_call(name);
        let cut = |state: &mut State| {
            if let Some(inode) = inode {
                state.inodes[inode].truncate(len);
            }
        };
        let (asker, strike) = state.control(self.seat, Action::Truncate, (name, len), zone, cut)?;
        held?;
        cut(&mut state);
        end(&mut state, asker, Action::Truncate, name, strike)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let file = FileName::new(name)?;
        let mut state = self.disk.state();
        let take = |state: &mut State| {
            state.names.files.remove(name);
        };
        let (asker, strike) = state.control(self.seat, Action::Remove, (Some(file), 0), Zone::Directory, take)?;
        if state.lookup(name).is_none() {
            let errno = if state.names.is_directory(name) { libc::EISDIR } else { libc::ENOENT };
            return Err(io::Error::from_raw_os_error(errno));
        }
        take(&mut state);
        end(&mut state, asker, Action::Remove, Some(file), strike)?;
        state.names.publish(parent(name));
        Ok(())
    }

    /// From the seed of the disk; the backends share one sequence.
    fn random(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.disk.state().entropy.fill(bytes);
        Ok(())
    }
}
