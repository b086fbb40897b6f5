//! Computing the links of a frame's records again, up to four streams side by side: for verification, and for whoever follows.

use crate::format::Fault;
use crate::format::frame::{FrameHeader, HEADER_BYTES, RECORD_HASHED_FROM, TableEntry};
use crypto::{LANES, Link};

/// A record whose link was computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linked {
    /// Which entry of the frame's table.
    pub(crate) slot: usize,
    pub(crate) position: u64,
    pub(crate) link: Link,
}

/// How far a stream's chain has come in a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    link: Link,
    next_offset: u64,
    /// Of its newest record.
    position: u64,
    timestamp: u64,
}

impl Chain {
    fn begin(entry: &TableEntry) -> Chain {
        let TableEntry { link_before: link, first_offset: next_offset, position, timestamp, .. } = *entry;
        Chain { link, next_offset, position, timestamp }
    }

    /// Whether it ends as the frame's table says.
    pub(crate) fn ends(&self, entry: &TableEntry) -> bool {
        let Chain { link, next_offset, position, timestamp } = *self;
        let says = (entry.link_after, entry.next_offset(), entry.position, entry.timestamp);
        (link, next_offset, position, timestamp) == says
    }
}

/// Computes every link of a frame, from the table's links before on, and gives each to `take`, in the order of the frame. Returns
/// the chain of each entry of the table.
///
/// # Errors
/// [`Fault::Chain`] if the records contradict each other, or the table in where they begin; [`Fault::Shape`] if they do not
/// fit the frame.
pub(crate) fn compute_links(
    header: &FrameHeader,
    frame: &[u8],
    table: &[TableEntry],
    take: impl FnMut(Linked),
) -> Result<Vec<Chain>, Fault> {
    let chains = table.iter().map(Chain::begin).collect();
    let mut chains = Chains { chains, lanes: [NO_LANE; LANES], waiting: 0, take };
    let (mut records, mut at) = (0, HEADER_BYTES);
    for record in header.records(frame) {
        let record = record?;
        records += 1;
        let slot = usize::from(record.header.slot);
        let chain = chains.chains.get_mut(slot).filter(|chain| chain.next_offset == record.header.offset);
        let Some(chain) = chain else {
            return Err(Fault::Chain);
        };
        // Reads begin where the table says.
        let entry = &table[slot];
        if record.header.offset == entry.first_offset && entry.first_at as usize != at {
            return Err(Fault::Chain);
        }
        at += (RECORD_HASHED_FROM + record.hashed.len()).next_multiple_of(8);
        chain.next_offset = record.header.offset.saturating_add(1);
        (chain.position, chain.timestamp) = (record.header.position, record.header.timestamp);
        chains.extend(Lane { slot, position: record.header.position, record: record.hashed });
    }
    chains.flush();
    if records == header.records { Ok(chains.chains) } else { Err(Fault::Chain) }
}

/// A record that waits for others, to be hashed beside them.
#[derive(Clone, Copy)]
struct Lane<'a> {
    slot: usize,
    position: u64,
    record: &'a [u8],
}

const NO_LANE: Lane<'static> = Lane { slot: 0, position: 0, record: &[] };

/// A frame's chains.
struct Chains<'a, T> {
    chains: Vec<Chain>,
    lanes: [Lane<'a>; LANES],
    waiting: usize,
    take: T,
}

impl<'a, T: FnMut(Linked)> Chains<'a, T> {
    fn extend(&mut self, lane: Lane<'a>) {
        if self.waiting == LANES || self.lanes[..self.waiting].iter().any(|waiting| waiting.slot == lane.slot) {
            self.flush();
        }
        self.lanes[self.waiting] = lane;
        self.waiting += 1;
    }

    fn flush(&mut self) {
        let lanes = &self.lanes[..std::mem::take(&mut self.waiting)];
        if lanes.is_empty() {
            return;
        }
        let mut links = [Link::from_bytes([0; 32]); LANES];
        let mut records: [&[u8]; LANES] = [&[]; LANES];
        for (at, lane) in lanes.iter().enumerate() {
            links[at] = self.chains[lane.slot].link;
            records[at] = lane.record;
        }
        crypto::next_lanes(&mut links[..lanes.len()], &records[..lanes.len()]);
        for (lane, link) in lanes.iter().zip(links) {
            self.chains[lane.slot].link = link;
            (self.take)(Linked { slot: lane.slot, position: lane.position, link });
        }
    }
}
