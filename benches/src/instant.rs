//! A backend that does nothing, at once: what is left is the engine's own work.

use iobackend::{BackendInfo, BackendKind, Completion, FileSlot, IoBackend, Op, Parker, Waker};
use std::io;
use std::time::Duration;

const DEPTH: usize = log::limits::IO_DEPTH;

/// Completes every operation with the next poll and keeps nothing, so nothing can be read back.
#[derive(Debug)]
pub struct InstantBackend {
    finished: Vec<Completion>,
    parker: Parker,
    info: BackendInfo,
}

impl Default for InstantBackend {
    fn default() -> InstantBackend {
        let notes = vec!["nothing is written".to_owned()];
        let info = BackendInfo { kind: BackendKind::Sync, direct: false, alignment: 4096, fixed_buffers: false, notes };
        InstantBackend { finished: Vec::with_capacity(DEPTH), parker: Parker::new(), info }
    }
}

impl InstantBackend {
    /// The buffer of the newest write that was submitted and not polled yet.
    #[must_use]
    pub fn newest_write(&self) -> Option<&[u8]> {
        self.finished.iter().rev().find_map(|completion| completion.buffer.as_deref())
    }
}

impl IoBackend for InstantBackend {
    #[inline]
    fn submit(&mut self, op: Op) -> Result<(), Op> {
        if self.finished.len() == DEPTH {
            return Err(op);
        }
        let Op { token, kind } = op;
        self.finished.push(Completion { token, result: Ok(()), buffer: kind.into_buffer() });
        Ok(())
    }

    #[inline]
    fn poll(&mut self, done: &mut Vec<Completion>) {
        done.append(&mut self.finished);
    }

    fn wait(&mut self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.parker.waker()
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.finished.len()
    }

    fn depth(&self) -> usize {
        DEPTH
    }

    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn list(&mut self, _: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create_directory(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn length(&mut self, _: FileSlot) -> io::Result<u64> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn truncate(&mut self, _: FileSlot, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}
