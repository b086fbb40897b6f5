//! The small I/O trait of Diatreme, and the backends behind it.
//!
//! A shard hands operations to an [`IoBackend`] and collects completions from
//! it; it never calls the operating system itself. Three things implement the
//! trait: a ring ([`UringBackend`], with or without a polling kernel thread),
//! ordinary system calls ([`SyncBackend`]), and a disk in memory that fails in
//! every way ([`sim`]). [`open`] chooses between the real ones.
//!
//! ```
//! use iobackend::{Arena, BackendConfig, FileName, FileSlot, IoBackend, OpKind, OpenMode};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let root = directory.path();
//! let mut arena = Arena::new(8192)?;
//! let mut buffer = arena.take(4096).ok_or("arena is used up")?;
//! let mut backend = iobackend::open(&BackendConfig::new(root), &arena)?;
//!
//! let file = FileSlot(0);
//! let name = FileName::new("segment")?;
//! let mode = OpenMode::CreateNew;
//! backend.run(OpKind::Open { file, name, mode }).0?;
//!
//! buffer.fill(7);
//! let len = buffer.len();
//! let (result, _buffer) = backend.run(OpKind::Write { file, at: 0, buffer, len, durable: true });
//! result?;
//! # Ok(())
//! # }
//! ```
//!
//! # What must stay true
//!
//! - A buffer belongs to its operation from `submit` to the completion, and
//!   always comes back, also after an error.
//! - Every operation that `submit` took completes exactly once.
//! - A durable write that completed without error is on stable storage.
//! - A short read or write is an error.
//! - Nothing is retried: whether an error is final is the log's decision.
//!
//! `unsafe` lives in `arena`, `sys` and `uring` only. There is no executor, no
//! ordering between operations, and no path outside the root.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod arena;
mod config;
mod direct;
mod error;
mod files;
pub mod limits;
mod op;
mod select;
pub mod sim;
mod sync;
#[allow(unsafe_code)]
mod sys;
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod uring;
mod waker;

use std::io;
use std::time::Duration;

pub use arena::{Arena, Buffer};
pub use config::{BackendConfig, BackendInfo, BackendKind, DurableWrite, Mode};
pub use error::{IoError, NameError, OpenError, RingError};
pub use op::{Completion, FileName, FileSlot, Op, OpKind, OpenMode, Operation};
pub use select::{Backend, open};
pub use sync::SyncBackend;
#[cfg(target_os = "linux")]
pub use uring::UringBackend;
pub use waker::{Parker, Waker};

/// A queue of file operations and of their completions, used by one thread.
///
/// A backend may be made on one thread and moved to another before its first
/// operation; from then on it stays there. Dropping it abandons its operations:
/// each of them may or may not have been carried out.
pub trait IoBackend {
    /// Queues an operation. Makes no system call on a ring; [`SyncBackend`]
    /// carries it out at once.
    ///
    /// # Errors
    ///
    /// Gives the operation back, untouched, when [`depth`](Self::depth) of them
    /// are in flight: poll first.
    ///
    /// # Panics
    ///
    /// On the caller's own bugs: a slot that is not in the file table, or whose
    /// opening has not completed; a transfer of no bytes, of more than the
    /// buffer holds, or beyond the largest file; a buffer of another arena; for
    /// direct I/O, an offset or length that is not a multiple of the alignment;
    /// an allocation of zero bytes; with [`DurableWrite::LinkedFlush`], opening
    /// into a slot that has durable writes in flight. A slot that never was opened is an error of
    /// the operation (`EBADF`), not a panic.
    fn submit(&mut self, op: Op) -> Result<(), Op>;

    /// Hands queued operations to the system and appends those that finished
    /// to `done`, in no particular order. Never blocks, and does not allocate
    /// if `done` has room for [`in_flight`](Self::in_flight) more.
    ///
    /// # Panics
    ///
    /// If the ring is used from a second thread.
    fn poll(&mut self, done: &mut Vec<Completion>);

    /// Blocks until a completion is ready for [`poll`](Self::poll), a
    /// [`Waker`] was woken since the last wait returned, or `timeout` has
    /// passed (`None`: no limit); before blocking it hands queued operations to
    /// the system. Returns at once if one of these is so already, and may
    /// return early. Returning uses up the wakes so far: look at every source
    /// of work afterwards.
    ///
    /// # Errors
    ///
    /// When the system refuses to wait, which is a bug of this crate or the
    /// ring used from a second thread.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// A handle with which any thread ends a current or the next [`wait`](Self::wait).
    fn waker(&self) -> Waker;

    /// Operations submitted whose completion was not polled yet.
    fn in_flight(&self) -> usize;

    /// Most operations in flight.
    fn depth(&self) -> usize;

    /// What this backend is, and why it is that.
    fn info(&self) -> &BackendInfo;

    /// The names in a directory (`.` is the root), sorted. May block; for
    /// opening, closing and tools, like all that follow.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such directory, else what the system says.
    fn list(&mut self, directory: &str) -> io::Result<Vec<String>>;

    /// Makes a directory, durably; it may exist. May block.
    ///
    /// # Errors
    ///
    /// `NotFound` if its parent does not exist, else what the system says.
    fn create_directory(&mut self, directory: &str) -> io::Result<()>;

    /// The length in bytes of the file that a slot holds. May block.
    ///
    /// # Errors
    ///
    /// `NotFound` if it holds none, or one that was removed.
    fn length(&mut self, file: FileSlot) -> io::Result<u64>;

    /// Cuts or extends the file that a slot holds, durably. May block.
    ///
    /// # Errors
    ///
    /// `NotFound` if it holds none, or one that was removed, else what the system says.
    fn truncate(&mut self, file: FileSlot, len: u64) -> io::Result<()>;

    /// Removes a file's name, durably. A slot that holds the file keeps it. May block.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file, else what the system says.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Fills `bytes` with random ones, fit for keys and identities: from the
    /// system, unless a simulator has them come from its seed. May block.
    ///
    /// # Errors
    ///
    /// What the system says if it has none.
    fn random(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Submits one operation and waits for its end: for opening, recovery and
    /// tools. Uses up a wake that comes meanwhile.
    ///
    /// # Panics
    ///
    /// If anything is in flight, and as [`submit`](Self::submit) and
    /// [`poll`](Self::poll) do.
    fn run(&mut self, kind: OpKind) -> (Result<(), IoError>, Option<Buffer>) {
        assert_eq!(self.in_flight(), 0, "run with operations in flight");
        if self.submit(Op { token: 0, kind }).is_err() {
            unreachable!("an empty backend takes an operation");
        }
        let mut done = Vec::with_capacity(1);
        loop {
            self.poll(&mut done);
            if let Some(completion) = done.pop() {
                return (completion.result, completion.buffer);
            }
            if let Err(error) = self.wait(None) {
                panic!("waiting for one operation: {error}");
            }
        }
    }
}
