//! What the log keeps of each stream that its shard owns.

use crate::format::footer::NO_ENTRY;
use crate::index::Run;
use crate::keyring::NO_PLACE;
use crypto::Link;

/// A stream's place in the log. The kernel's dense slots number these.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) tenant: u64,
    pub(crate) id: u32,
    /// Chain link after the newest record.
    pub(crate) link: Link,
    pub(crate) next_offset: u64,
    pub(crate) timestamp: u64,
    pub(crate) position: u64,
    /// Sequence of the newest frame that holds a record of the stream; [`NO_FRAME`] if this incarnation wrote none.
    pub(crate) frame: u64,
    /// The stream's entry in that frame's table.
    pub(crate) frame_slot: u16,
    /// The key that its records were sealed with last, and where the keyring has it.
    pub(crate) key_id: u32,
    pub(crate) key_place: u32,
    /// The active segment's part.
    pub(crate) active: ActiveRun,
    /// What lies in sealed segments, in order of offsets.
    pub(crate) runs: Vec<Run>,
}

/// The part of a stream that lies in a segment that this incarnation wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActiveRun {
    /// The segment's number; 0: none.
    pub(crate) segment: u32,
    pub(crate) newest: u32,
    pub(crate) newest_position: u64,
    pub(crate) first_offset: u64,
    /// The stream's entry in the list of the segment's streams.
    pub(crate) listed: u32,
}

/// The value of [`Stream::frame`] before the first.
pub(crate) const NO_FRAME: u64 = u64::MAX;

impl ActiveRun {
    pub(crate) const NONE: ActiveRun =
        ActiveRun { segment: 0, newest: NO_ENTRY, newest_position: 0, first_offset: 0, listed: 0 };
}

/// A stream as recovery found it, or as new: what a log is told when its shard comes to own it.
#[derive(Clone, Debug)]
pub struct StreamStart {
    /// The tenant's id.
    pub tenant: u64,
    /// The stream's id in the tenant.
    pub stream: u32,
    /// Chain link after the newest record; the genesis link if there is none.
    pub link: Link,
    /// Offset after the newest record.
    pub next_offset: u64,
    /// Timestamp of the newest record.
    pub timestamp: u64,
    /// The tenant's position of the newest record.
    pub position: u64,
    /// Where its records lie, in order of offsets.
    pub runs: Vec<Run>,
}

impl StreamStart {
    /// A stream without records.
    #[must_use]
    pub fn new(tenant: u64, stream: u32) -> StreamStart {
        let link = crypto::genesis(tenant, stream);
        StreamStart { tenant, stream, link, next_offset: 0, timestamp: 0, position: 0, runs: Vec::new() }
    }
}

impl From<StreamStart> for Stream {
    fn from(start: StreamStart) -> Stream {
        Stream {
            tenant: start.tenant,
            id: start.stream,
            link: start.link,
            next_offset: start.next_offset,
            timestamp: start.timestamp,
            position: start.position,
            frame: NO_FRAME,
            frame_slot: 0,
            key_id: 0,
            key_place: NO_PLACE,
            active: ActiveRun::NONE,
            runs: start.runs,
        }
    }
}
