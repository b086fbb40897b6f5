//! What happened in a run: a number to compare two runs by, and, if it is wanted, a list to look at.

use iobackend::sim::{Event as DiskEvent, EventKind};

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// The run itself: openings, crashes, what happens between them.
    World,
    /// A client.
    Client(u8),
    /// A shard's thread.
    Shard(u16),
    /// The disk, for the shard of this number, or the opening (`u16::MAX`).
    Disk(u16),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Virtual time, in nanoseconds.
    pub at: u64,
    /// Who did it.
    pub lane: Lane,
    /// What sort of thing it is, for colours: `sent`, `done`, `refused`, `left`, `failed`, `turn`, `io`, `fault`, `crash`, `opened`, `closed`, `violation`.
    pub sort: &'static str,
    /// The number of the request or operation, which joins a beginning with its end. Of what the run itself does, how many operations the
    /// disk had been asked for by then.
    pub number: u64,
    /// What it was.
    pub text: String,
}

/// Takes events in.
#[derive(Debug)]
pub(crate) struct Trace {
    events: Option<Vec<Event>>,
    /// Nothing is listed for the time being.
    hushed: bool,
    hash: u64,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Trace {
        Trace { events: keep.then(Vec::new), hushed: false, hash: 0xD1A7_3E3E }
    }

    pub(crate) fn note(&mut self, at: u64, lane: Lane, sort: &'static str, number: u64, text: impl FnOnce() -> String) {
        let lane_number = match lane {
            Lane::World => 0,
            Lane::Client(client) => 1 << 16 | u64::from(client),
            Lane::Shard(shard) => 2 << 16 | u64::from(shard),
            Lane::Disk(lane) => 3 << 16 | u64::from(lane),
        };
        self.absorb(at);
        self.absorb(lane_number << 32 | sort.len() as u64);
        self.absorb(number);
        if let Some(events) = self.events.as_mut().filter(|_| !self.hushed) {
            events.push(Event { at, lane, sort, number, text: text() });
        }
    }

    /// Whether what follows is left out of the list; the hash takes it in.
    pub(crate) fn hush(&mut self, hushed: bool) {
        self.hushed = hushed;
    }

    pub(crate) fn absorb(&mut self, word: u64) {
        // The finalizer of SplitMix64: the same in every build.
        let mut z = self.hash.rotate_left(7) ^ word;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        self.hash = z ^ (z >> 31);
    }

    /// Takes over what the disk noted itself.
    pub(crate) fn disk(&mut self, events: &[DiskEvent]) {
        let Some(list) = &mut self.events else { return };
        for event in events {
            let sort = match event.kind {
                EventKind::Submitted | EventKind::Completed => "io",
                EventKind::Failed => "failed",
                EventKind::Struck => "fault",
                EventKind::Crashed | EventKind::PoweredOn | EventKind::Restored => "crash",
            };
            let file = event.file.map_or_else(String::new, |file| format!(" {file}"));
            let action = event.action.map_or_else(String::new, |action| format!("{action:?}"));
            let range = if event.len > 0 { format!(" {}+{}", event.offset, event.len) } else { String::new() };
            let fault = event.fault.map_or_else(String::new, |fault| format!(" {fault}"));
            let kind = format!("{:?}", event.kind).to_lowercase();
            let text = format!("{kind} {action}{file}{range}{fault}");
            list.push(Event { at: event.time, lane: Lane::Disk(event.lane), sort, number: event.number, text });
        }
    }

    pub(crate) fn into_parts(self) -> (u64, Vec<Event>) {
        let mut events = self.events.unwrap_or_default();
        events.sort_by_key(|event| event.at);
        (self.hash, events)
    }
}
