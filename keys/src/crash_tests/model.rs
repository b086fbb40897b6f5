//! Files in memory that stop: every operation may be the last, and a crash decides what of the unflushed is kept.

use crate::files::{Files, Found, ReadError};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use zeroize::Zeroizing;

type Names = BTreeMap<PathBuf, usize>;

/// A file's bytes, as they are and as they are sure to be.
#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    now: Names,
    durable: Names,
    /// Operations until everything fails.
    left: Option<usize>,
    /// Operations until one fails, and how.
    failure: Option<(usize, Failing)>,
    /// The operation that is under way will say that it failed.
    failed: bool,
    done: usize,
}

/// What a crash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nothing: all was on the disk.
    Nothing,
    /// What was not flushed, of bytes and of names.
    Unflushed,
    /// The bytes that were not flushed; the names were on the disk.
    Bytes,
    /// The names that were not flushed; the bytes were on the disk.
    Names,
}

impl Taken {
    pub(crate) const ALL: [Taken; 4] = [Taken::Nothing, Taken::Unflushed, Taken::Bytes, Taken::Names];
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It does nothing.
    Undone,
    /// It does what it should, and says that it failed.
    Done,
}

/// Files that only this process has.
#[derive(Default)]
pub(crate) struct Model(Mutex<State>);

impl Model {
    pub(crate) fn new() -> Arc<Model> {
        Arc::default()
    }

    /// Lets so many operations happen; the next one, and all after it, do nothing and fail.
    pub(crate) fn stop_after(&self, operations: usize) {
        self.state().left = Some(operations);
    }

    /// Lets so many operations happen; the next one fails, and all after it happen again.
    pub(crate) fn fail_after(&self, operations: usize, how: Failing) {
        self.state().failure = Some((operations, how));
    }

    /// Operations that changed something, so far.
    pub(crate) fn done(&self) -> usize {
        self.state().done
    }

    /// The files after a crash now.
    pub(crate) fn crashed(&self, taken: Taken) -> Arc<Model> {
        let mut state = self.state().clone();
        if matches!(taken, Taken::Unflushed | Taken::Names) {
            state.now = state.durable.clone();
        }
        for inode in &mut state.inodes {
            if matches!(taken, Taken::Unflushed | Taken::Bytes) {
                inode.now = inode.durable.clone();
            }
            inode.durable = inode.now.clone();
        }
        state.durable = state.now.clone();
        (state.left, state.failure, state.done) = (None, None, 0);
        Arc::new(Model(Mutex::new(state)))
    }

    /// A copy as a backup is.
    pub(crate) fn copy(&self) -> Arc<Model> {
        self.crashed(Taken::Nothing)
    }

    /// All files that have a name.
    pub(crate) fn named(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        state.now.iter().map(|(path, inode)| (path.clone(), state.inodes[*inode].now.clone())).collect()
    }

    /// All bytes that any file has, whether it has a name or not.
    pub(crate) fn all_bytes(&self) -> Vec<Vec<u8>> {
        self.state().inodes.iter().map(|inode| inode.now.clone()).collect()
    }

    /// Puts a file there, durably.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let inode = Inode { now: bytes.to_vec(), durable: bytes.to_vec() };
        state.inodes.push(inode);
        let at = state.inodes.len() - 1;
        state.now.insert(path.into(), at);
        state.durable.insert(path.into(), at);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Begins an operation that changes something, unless it is past the last.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.left == Some(0) {
            return Err(io::Error::other("the machine stopped"));
        }
        state.left = state.left.map(|left| left - 1);
        match state.failure.take() {
            Some((0, Failing::Undone)) => return Err(io::Error::other("the device failed")),
            Some((0, Failing::Done)) => state.failed = true,
            Some((more, how)) => state.failure = Some((more - 1, how)),
            None => {}
        }
        state.done += 1;
        Ok(state)
    }
}

impl State {
    /// Ends an operation that did what it should.
    fn end(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.failed) {
            false => Ok(()),
            true => Err(io::Error::other("the device failed")),
        }
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.now.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Files for Model {
    fn read(&self, path: &Path, max: usize) -> Result<Found, ReadError> {
        let state = self.state();
        let bytes = state.inodes[state.inode(path)?].now.clone();
        if bytes.len() > max {
            return Err(ReadError::TooLong(bytes.len() as u64));
        }
        Ok(Found { bytes: Zeroizing::new(bytes), mode: 0o600 })
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.into())
    }

    fn make_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // The name, then half the bytes, then all: a crash in between is one of an operation's ends.
        let mut state = self.change()?;
        if state.now.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.inodes.push(Inode { now: bytes[..bytes.len() / 2].to_vec(), durable: Vec::new() });
        let at = state.inodes.len() - 1;
        state.now.insert(path.into(), at);
        state.end()?;
        drop(state);
        let mut state = self.change()?;
        state.inodes[at].now = bytes.to_vec();
        state.end()
    }

    fn flush(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let at = state.inode(path)?;
        state.inodes[at].durable = state.inodes[at].now.clone();
        state.end()
    }

    fn flush_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let inside = |path: &Path| path.parent() == Some(directory);
        state.durable.retain(|path, _| !inside(path));
        let now: Vec<_> = state.now.iter().filter(|(path, _)| inside(path)).map(|(p, at)| (p.clone(), *at)).collect();
        state.durable.extend(now);
        state.end()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let at = state.inode(from)?;
        state.now.remove(from);
        state.now.insert(to.into(), at);
        state.end()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let at = state.inode(from)?;
        match state.now.insert(to.into(), at) {
            None => state.end(),
            Some(_) => panic!("{} is there", to.display()),
        }
    }

    fn may_scrub(&self, path: &Path) -> io::Result<()> {
        self.state().inode(path).map(drop)
    }

    fn scrub(&self, path: &Path) -> io::Result<()> {
        let at = self.state().inode(path)?;
        // Half of it, all of it, and the flush.
        for part in 0..3 {
            let mut state = self.change()?;
            let inode = &mut state.inodes[at];
            let half = inode.now.len() / 2;
            match part {
                0 => inode.now[..half].fill(0),
                1 => inode.now[half..].fill(0),
                _ => inode.durable = inode.now.clone(),
            }
            state.end()?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        state.now.remove(path).ok_or(ErrorKind::NotFound)?;
        state.end()
    }
}
