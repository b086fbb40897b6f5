//! The ring's two queues, and entering the kernel no more often than needed.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, squeue};

pub(super) struct Ring {
    ring: IoUring,
    enabled: bool,
    sqpoll: bool,
    /// For waits: a thread that waits for a log write is idle, and should not
    /// keep its core's clock up as if for I/O. Kernels before 6.15 cannot tell.
    wait_flags: EnterFlags,
    /// A completion that was looked at and not yet taken.
    peeked: Option<cqueue::Entry>,
    /// The kernel took only a part of what was queued: see [`take_parted`](Self::take_parted).
    parted: bool,
}

/// What the submission queue shows.
struct Seen {
    /// Entries that the kernel has not taken.
    queued: u32,
    /// They wait for a polling thread that has gone to sleep.
    poller_sleeps: bool,
    /// The kernel has completions to post when asked.
    finished: bool,
}

impl Ring {
    pub(super) fn new(ring: IoUring, sqpoll: bool) -> Self {
        let wait_flags = if ring.params().is_feature_no_iowait() { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        Self { ring, enabled: false, sqpoll, wait_flags, peeked: None, parted: false }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Whether the kernel may have seen an entry.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Queues an entry.
    ///
    /// # Safety
    ///
    /// The memory whose addresses the entry holds must stay valid, in place
    /// and untouched until the entry's completion was taken.
    ///
    /// # Panics
    ///
    /// If the queue is full: it is made for all that can be in flight.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the caller's promise.
        let pushed = unsafe { self.ring.submission().push(entry) };
        assert!(pushed.is_ok(), "more submissions than the ring was made for");
    }

    /// Queues an entry, and one that the kernel begins when the first has
    /// succeeded. Both become visible at once.
    ///
    /// # Safety
    ///
    /// As [`push`](Self::push), of both.
    ///
    /// # Panics
    ///
    /// As [`push`](Self::push).
    pub(super) unsafe fn push_linked(&mut self, first: squeue::Entry, then: squeue::Entry) {
        let entries = [first.flags(squeue::Flags::IO_LINK), then];
        // SAFETY: the caller's promise.
        let pushed = unsafe { self.ring.submission().push_multiple(&entries) };
        assert!(pushed.is_ok(), "more submissions than the ring was made for");
    }

    /// Whether the kernel took only a part of what was queued since this was last
    /// asked. A link ends where it stopped, so two linked entries may have become
    /// two that know nothing of each other.
    #[inline]
    pub(super) fn take_parted(&mut self) -> bool {
        mem::take(&mut self.parted)
    }

    /// Takes the next completion.
    pub(super) fn next(&mut self) -> Option<cqueue::Entry> {
        self.peeked.take().or_else(|| self.ring.completion().next())
    }

    /// Puts back what [`next`](Self::next) gave.
    pub(super) fn put_back(&mut self, completion: cqueue::Entry) {
        debug_assert!(self.peeked.is_none());
        self.peeked = Some(completion);
    }

    /// Sends what is queued and lets the kernel post what has finished. Enters
    /// the kernel only if there is something of either.
    #[inline]
    pub(super) fn send(&mut self) -> io::Result<()> {
        self.enable()?;
        let seen = self.look();
        let unsent = seen.queued > 0 && !self.sqpoll;
        if !unsent && !seen.poller_sleeps && !seen.finished {
            return Ok(());
        }
        self.enter(&seen, 0, EnterFlags::empty(), None)
    }

    /// Sends what is queued, then blocks until a completion is there or the
    /// time is over. May return early.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.enable()?;
        let seen = self.look();
        self.enter(&seen, 1, self.wait_flags, timeout)
    }

    #[inline]
    fn look(&mut self) -> Seen {
        let queue = self.ring.submission();
        let queued = queue.len() as u32;
        Seen {
            queued,
            poller_sleeps: self.sqpoll && queued > 0 && queue.need_wakeup(),
            finished: queue.taskrun() || queue.cq_overflow(),
        }
    }

    /// Binds the ring to this thread, the first time that one uses it.
    fn enable(&mut self) -> io::Result<()> {
        if !self.enabled {
            self.ring.submitter().register_enable_rings()?;
            self.enabled = true;
        }
        Ok(())
    }

    fn enter(&mut self, seen: &Seen, wanted: u32, flags: EnterFlags, timeout: Option<Duration>) -> io::Result<()> {
        // GETEVENTS also when nothing is waited for: once in the kernel, let it
        // post what has finished.
        let mut flags = flags | EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        flags.set(EnterFlags::SQ_WAKEUP, seen.poller_sleeps);
        let limit = timeout.map(Timespec::from);
        let args = SubmitArgs::new();
        let args = limit.as_ref().map_or(args, |limit| args.timespec(limit));
        // SAFETY: EXT_ARG says that the argument is the structure that
        // `SubmitArgs` wraps; it and the time that it points to outlive the call.
        let entered = unsafe {
            let submitter = self.ring.submitter();
            submitter.enter(seen.queued, wanted, flags.bits(), Some(&args))
        };
        match entered {
            Ok(taken) => {
                self.parted |= taken < seen.queued as usize;
                Ok(())
            }
            Err(error) => match error.raw_os_error() {
                // Nothing is lost: what was not taken is still queued. A signal;
                // the end of the time; no memory for a request just now.
                Some(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY) => Ok(()),
                _ => Err(error),
            },
        }
    }
}
