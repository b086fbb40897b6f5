//! The io_uring backend.
//!
//! `setup` makes a ring, `ring` drives its queues, `prepare` writes entries,
//! `slab` keeps what the kernel has. Here operations go in and completions come
//! out. What must stay true:
//!
//! - from `submit` until its completion is taken, an operation lies in the slab
//!   and nobody touches its buffer;
//! - the slab is freed only when the kernel has none of it (see `Drop`);
//! - one entry of an operation is in the ring at a time, or the two of a durable
//!   write with a linked flush, and the queues are made for that: they never overflow.

mod prepare;
mod ring;
mod setup;
mod slab;

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::cqueue;
use parking_lot::Mutex;

use crate::IoBackend;
use crate::config::{BackendInfo, BackendKind, DurableWrite};
use crate::error::IoError;
use crate::files::Files;
use crate::limits::DRAIN_WAIT_MAX;
use crate::op::{Completion, FileSlot, Op, OpKind, Operation};
use crate::waker::{EventWaker, Waker};

use prepare::Context;
use ring::Ring;
use slab::{InFlight, Slab};

pub(crate) use setup::{Setup, set_up};

/// The key of the poll on the waker's eventfd; no index of the slab.
const WAKER_KEY: u64 = u64::MAX;

/// Marks in a key: which of an operation's two entries it is. No mark: its only one.
const WRITE_HALF: u64 = 1 << 62;
const FLUSH_HALF: u64 = 1 << 63;

/// See the module's head.
pub struct UringBackend {
    ring: Ring,
    slab: Slab,
    context: Context,
    files: Files,
    waker: Arc<EventWaker>,
    /// Whether the ring has a poll on the waker's eventfd.
    waker_watched: bool,
    info: BackendInfo,
}

impl UringBackend {
    pub(crate) fn new(setup: Setup, files: Files, depth: usize) -> Self {
        let mut notes = setup.notes;
        notes.push(files.direct.note.clone());
        let kind = if setup.sqpoll { BackendKind::Sqpoll } else { BackendKind::Uring };
        Self {
            ring: Ring::new(setup.ring, setup.sqpoll),
            slab: Slab::new(depth),
            context: Context {
                root: setup.root,
                open_flags: files.direct.open_flags(),
                fixed: setup.fixed,
                durable_write: setup.durable_write,
            },
            waker: setup.waker,
            waker_watched: false,
            info: BackendInfo {
                kind,
                direct: files.direct.on,
                alignment: files.direct.alignment,
                fixed_buffers: setup.fixed,
                notes,
            },
            files,
        }
    }

    /// The ring's descriptor, for another ring to attach to.
    #[must_use]
    pub fn ring_fd(&self) -> RawFd {
        self.ring.fd()
    }

    fn try_poll(&mut self, done: &mut Vec<Completion>) -> io::Result<()> {
        self.ring.send()?;
        if self.ring.take_parted() {
            self.distrust_links();
        }
        while let Some(completion) = self.ring.next() {
            if completion.user_data() == WAKER_KEY {
                self.waker_reported();
            } else {
                self.finish(&completion, done);
            }
        }
        Ok(())
    }

    /// Whether poll would find something, leaving it there.
    fn completion_ready(&mut self) -> bool {
        while let Some(completion) = self.ring.next() {
            if completion.user_data() != WAKER_KEY {
                self.ring.put_back(completion);
                return true;
            }
            self.waker_reported();
        }
        false
    }

    fn waker_reported(&mut self) {
        self.waker.reset();
        self.waker_watched = false;
    }

    fn watch_waker(&mut self) {
        if !self.waker_watched {
            let entry = prepare::watch(self.waker.fd()).user_data(WAKER_KEY);
            // SAFETY: the entry holds no address.
            unsafe { self.ring.push(&entry) };
            self.waker_watched = true;
        }
    }

    #[inline]
    fn finish(&mut self, completion: &cqueue::Entry, done: &mut Vec<Completion>) {
        let (mut key, mut answer) = (completion.user_data(), completion.result());
        if key & (WRITE_HALF | FLUSH_HALF) != 0 {
            let Some(whole) = self.half_answered(key, answer) else { return };
            key &= !(WRITE_HALF | FLUSH_HALF);
            answer = whole;
        }
        if matches!(self.slab.get_mut(key).kind, OpKind::FlushDirectory { .. }) && self.directory_opened(key, answer) {
            return;
        }
        let InFlight { token, kind, .. } = self.slab.remove(key);
        let result = match kind {
            OpKind::Open { file, name, .. } => {
                let opened = (answer >= 0).then_some(name);
                self.files.end_open(file, opened);
                outcome(&kind, answer)
            }
            OpKind::Allocate { file, len } if answer == -libc::EOPNOTSUPP => self.extend(file, len),
            _ => outcome(&kind, answer),
        };
        done.push(Completion { token, result, buffer: kind.into_buffer() });
    }

    /// Notes the answer of one of a durable write's two entries. With the second,
    /// returns what a single entry would have answered.
    fn half_answered(&mut self, half: u64, answer: i32) -> Option<i32> {
        let key = half & !(WRITE_HALF | FLUSH_HALF);
        let InFlight { kind, halves, .. } = self.slab.get_mut(key);
        let place = if half & WRITE_HALF == 0 { &mut halves.flush } else { &mut halves.write };
        assert!(place.replace(answer).is_none(), "a completion for a half that has completed");
        let OpKind::Write { file, len, .. } = *kind else { unreachable!("only writes have halves") };
        let whole = halves.whole(len)?;
        if !mem::take(&mut halves.parted) || whole < 0 {
            return Some(whole);
        }
        halves.flush = None;
        let entry = prepare::flush(file).user_data(key | FLUSH_HALF);
        // SAFETY: the entry holds no address.
        unsafe { self.ring.push(&entry) };
        None
    }

    /// After the kernel took a part of the queue only: two linked entries may have
    /// been taken one by one, and then the flush waited for nothing. Which ones is
    /// not known, so each in flight is flushed once more at its end.
    #[cold]
    fn distrust_links(&mut self) {
        for in_flight in self.slab.iter_mut() {
            in_flight.halves.parted = true;
        }
    }

    /// Panics if a durable write in flight has yet to flush what a slot holds.
    #[cold]
    fn check_no_flush_is_due(&mut self, slot: FileSlot) {
        let is_due = |kind: &OpKind| matches!(*kind, OpKind::Write { file, durable: true, .. } if file == slot);
        let due = self.slab.iter_mut().any(|in_flight| is_due(&in_flight.kind));
        assert!(!due, "{slot:?} is to hold another file while durable writes to it are in flight");
    }

    /// Goes from the first step of a directory flush to the second. False if
    /// there is none: opening failed, or this was the second.
    #[cold]
    fn directory_opened(&mut self, key: u64, answer: i32) -> bool {
        let flush = self.slab.get_mut(key);
        if answer < 0 || flush.directory.is_some() {
            return false;
        }
        // SAFETY: the kernel answered an open with this descriptor; nothing else owns it.
        let directory = File::from(unsafe { OwnedFd::from_raw_fd(answer) });
        let entry = prepare::flush_of(directory.as_raw_fd()).user_data(key);
        flush.directory = Some(directory);
        // SAFETY: the entry holds no address; the descriptor stays open in the
        // slab until the operation ends.
        unsafe { self.ring.push(&entry) };
        true
    }

    /// For file systems without `fallocate`. The one thing here that blocks:
    /// a change of length, when a file is made.
    #[cold]
    fn extend(&self, file: FileSlot, len: u64) -> Result<(), IoError> {
        let extended = self.files.extend(file, len);
        extended.map_err(|error| IoError::from_io(Operation::Allocate, &error))
    }

    /// Waits until the kernel has nothing left. False if it still does when
    /// `limit` has passed, or cannot be asked.
    fn drain(&mut self, limit: Duration) -> bool {
        if !self.ring.is_enabled() {
            return true; // the kernel has seen nothing
        }
        let deadline = Instant::now() + limit;
        let mut done = Vec::with_capacity(self.slab.depth());
        loop {
            if self.try_poll(&mut done).is_err() {
                return false;
            }
            done.clear();
            if self.slab.len() == 0 {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.ring.wait(Some(left)).is_err() {
                return false;
            }
        }
    }
}

/// What an operation's number means.
fn outcome(kind: &OpKind, answer: i32) -> Result<(), IoError> {
    let operation = kind.operation();
    if answer < 0 {
        return Err(IoError::from_errno(operation, -answer));
    }
    match *kind {
        OpKind::Write { len: wanted, .. } | OpKind::Read { len: wanted, .. } => {
            let got = answer as usize; // not negative
            if got == wanted { Ok(()) } else { Err(IoError::Short { operation, wanted, got }) }
        }
        _ => Ok(()),
    }
}

/// Operations whose memory the kernel may still use, kept for good: here and
/// not merely forgotten, so that a debugger or a leak checker finds them.
static ABANDONED: Mutex<Vec<Slab>> = Mutex::new(Vec::new());

impl Drop for UringBackend {
    /// A transfer that has reached the device cannot be called back, and one
    /// that a kernel worker holds may start after the ring's descriptor is
    /// closed. So this waits for all of them; if the device does not answer, or
    /// the ring belongs to another thread, it leaves their buffers, and with
    /// them the whole region, mapped for the life of the process. A leak is
    /// safe; memory that the kernel writes after somebody else got it is not.
    fn drop(&mut self) {
        if !self.drain(DRAIN_WAIT_MAX) {
            let slab = mem::take(&mut self.slab);
            ABANDONED.lock().push(slab);
        }
    }
}

impl IoBackend for UringBackend {
    #[inline]
    fn submit(&mut self, op: Op) -> Result<(), Op> {
        if self.slab.is_full() {
            return Err(op);
        }
        if let OpKind::Open { file, .. } = op.kind
            && self.context.durable_write == DurableWrite::LinkedFlush
        {
            self.check_no_flush_is_due(file);
        }
        self.files.begin(&op.kind);
        let (key, in_flight) = self.slab.insert(op);
        let entry = self.context.entry(&mut in_flight.kind);
        let Some(flush) = self.context.linked_entry(&in_flight.kind) else {
            // SAFETY: the entry's addresses are of the name in the slab, which does
            // not move, and of the buffer that the slab owns; the operation leaves
            // the slab in `finish`, after its completion, or never (`drop`).
            unsafe { self.ring.push(&entry.user_data(key)) };
            return Ok(());
        };
        let (write, flush) = (entry.user_data(key | WRITE_HALF), flush.user_data(key | FLUSH_HALF));
        // SAFETY: as above, for it leaves the slab after both completions; the
        // flush holds no address.
        unsafe { self.ring.push_linked(write, flush) };
        Ok(())
    }

    #[inline]
    fn poll(&mut self, done: &mut Vec<Completion>) {
        if let Err(error) = self.try_poll(done) {
            panic!("entering the ring: {error}; is it used from a second thread?");
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut waited = Ok(());
        if !self.completion_ready() && self.waker.begin_wait() {
            self.watch_waker();
            waited = self.ring.wait(timeout);
        }
        self.waker.end_wait();
        waited
    }

    fn waker(&self) -> Waker {
        Waker::from_event(Arc::clone(&self.waker))
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.slab.len()
    }

    #[inline]
    fn depth(&self) -> usize {
        self.slab.depth()
    }

    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn list(&mut self, directory: &str) -> io::Result<Vec<String>> {
        self.files.list(directory)
    }

    fn create_directory(&mut self, directory: &str) -> io::Result<()> {
        self.files.create_directory(directory)
    }

    fn length(&mut self, file: FileSlot) -> io::Result<u64> {
        self.files.length(file)
    }

    fn truncate(&mut self, file: FileSlot, len: u64) -> io::Result<()> {
        self.files.truncate(file, len)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }
}

#[cfg(test)]
mod tests;
