//! The end of an incarnation.

use super::rotate::Active;
use super::{Log, token, wait};
use crate::LogError;
use crate::config::LogFailure;
use crate::format::BLOCK_BYTES;
use crate::format::footer::footer_bytes;
use crate::format::segment::{Base, SegmentHeader, SegmentId};
use iobackend::{Completion, IoBackend};

impl<B: IoBackend> Log<B> {
    /// Writes and flushes everything, seals the active segment at its true length, removes what was prepared and
    /// not used. Blocks. Returns where the log ends.
    ///
    /// # Errors
    /// The log's failure, now or before: what was durable stays so, and the next opening reads the log frame by frame.
    pub fn close(mut self, now: u64) -> Result<Base, LogError> {
        self.closing = true;
        self.want_all_durable();
        loop {
            self.submit(now);
            self.reap(now);
            if let Some(LogFailure { doing, segment, source }) = self.failure.take() {
                return Err(LogError::Io { doing, segment, source });
            }
            let unsent = self.open.as_ref().is_some_and(|open| !open.is_empty());
            let durable = self.durable == self.next_sequence;
            if !unsent && durable && self.sealing.is_empty() && self.backend.in_flight() == 0 {
                break;
            }
            if self.backend.in_flight() > 0 && !self.has_work() {
                wait(&mut self.backend, self.active.header.id)?;
            }
        }
        self.seal_last()
    }

    fn seal_last(&mut self) -> Result<Base, LogError> {
        let Active { header, cursor, .. } = self.active;
        let SegmentHeader { id, .. } = header;
        let system = |doing, id: SegmentId| move |source| LogError::System { doing, path: id.to_string(), source };
        let next = self.next.header.id;
        if self.next.is_begun() {
            self.backend.remove(next.file_name().as_str()).map_err(system("remove the unused segment", next))?;
        }
        if cursor == BLOCK_BYTES as u64 {
            self.backend.remove(id.file_name().as_str()).map_err(system("remove the unused segment", id))?;
            return Ok(self.base_now());
        }
        let slot = self.active.slot;
        self.backend.truncate(slot, cursor).map_err(system("cut", id))?;
        let footer = footer_bytes(self.active.listed.len(), self.active.index.len()) as u64;
        let list = std::mem::take(&mut self.spare_list);
        let nothing = Active::new(header, slot, self.next_sequence, list);
        let mut old = std::mem::replace(&mut self.active, nothing);
        old.header.capacity = cursor + footer + BLOCK_BYTES as u64;
        self.begin_sealing(old);
        while let Some(job) = self.sealing.front_mut() {
            if job.is_done() {
                break;
            }
            job.advance(&mut self.backend, &self.streams, token::SEAL);
            self.backend.poll(&mut self.completions);
            for Completion { result, buffer, .. } in self.completions.drain(..) {
                job.complete(result, buffer).map_err(|source| LogError::Io {
                    doing: "write a footer",
                    segment: id,
                    source,
                })?;
            }
            if job.is_waiting() {
                wait(&mut self.backend, id)?;
            }
        }
        Ok(self.base_now())
    }

    /// Where the log ends, all of which is durable.
    fn base_now(&self) -> Base {
        assert_eq!((self.durable, self.written), (self.next_sequence, self.next_sequence), "all was flushed");
        if self.durable == self.base.sequence {
            return self.base;
        }
        let (segment, end) = self.written_end;
        Base { sequence: self.durable, end, segment: segment.number, body_crc: self.last_crc }
    }
}
