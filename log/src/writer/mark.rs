//! Mark frames: what vouches for the newest durable frames when the log falls quiet.

use super::Log;
use crate::config::Room;
use crate::limits::QUIET_NS;
use crate::wish::Leave;
use iobackend::IoBackend;
use planted::Bug;

impl<B: IoBackend> Log<B> {
    /// When a mark frame is due, if the log stays as quiet as it is: when durable frames that were promised to be so lie above
    /// the last mark that a durable frame carries.
    #[inline]
    #[must_use]
    pub fn mark_at(&self) -> Option<u64> {
        let vouched = self.promised_until.min(self.durable) <= self.marked || planted::is(Bug::MarkNeverWritten);
        if vouched || self.failure.is_some() {
            return None;
        }
        let quiet = self.in_flight.is_empty() && self.leave() == Leave::Never;
        // Neither in flight, nor held up by a segment that is being sealed.
        let flushed = self.flushing.is_none() && self.flush_at != 0;
        (quiet && flushed).then(|| self.durable_at.saturating_add(QUIET_NS))
    }

    /// Records that nobody waits for lie in the open frame, if any do: they leave with the mark.
    #[cold]
    pub(super) fn write_mark(&mut self, now: u64) {
        if self.room(0, 0, now) == Room::Ready
            && let Some(open) = &mut self.open
        {
            open.wishes.carry_mark();
            self.write_frame(now);
        }
    }
}
