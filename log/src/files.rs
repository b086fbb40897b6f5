//! Which segment file stands in which slot of the backend: a few pinned ones and a cache for reads.

use crate::format::segment::SegmentId;
use iobackend::FileSlot;

/// The table of slots. A slot is pinned while an operation or a writer needs it; the one that was used
/// longest ago makes room for another.
#[derive(Debug)]
pub(crate) struct Files {
    slots: Vec<Entry>,
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    segment: Option<SegmentId>,
    open: bool,
    pins: u16,
    used: u64,
}

/// What [`Files::pin`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// The file is open in this slot.
    Open(FileSlot),
    /// The slot is this one's, and the caller is to open the file, then say [`Files::opened`].
    ToOpen(FileSlot),
    /// Somebody else is opening it: ask again. Nothing was pinned.
    Wait,
}

impl Files {
    pub(crate) fn new(slots: usize) -> Files {
        Files { slots: vec![Entry { segment: None, open: false, pins: 0, used: 0 }; slots], clock: 0 }
    }

    /// Pins the file of a segment.
    pub(crate) fn pin(&mut self, segment: SegmentId) -> Pinned {
        self.clock += 1;
        if let Some(at) = self.slots.iter().position(|entry| entry.segment == Some(segment)) {
            let entry = &mut self.slots[at];
            if !entry.open {
                return Pinned::Wait;
            }
            entry.pins += 1;
            entry.used = self.clock;
            return Pinned::Open(FileSlot(at as u16));
        }
        let free = self.slots.iter_mut().enumerate().filter(|(_, entry)| entry.pins == 0).min_by_key(|(_, e)| e.used);
        match free {
            Some((at, entry)) => {
                *entry = Entry { segment: Some(segment), open: false, pins: 1, used: self.clock };
                Pinned::ToOpen(FileSlot(at as u16))
            }
            None => Pinned::Wait,
        }
    }

    /// The file that was to be opened in a slot is open.
    pub(crate) fn opened(&mut self, slot: FileSlot) {
        self.slots[usize::from(slot.0)].open = true;
    }

    /// Takes back one pin.
    pub(crate) fn unpin(&mut self, slot: FileSlot) {
        let entry = &mut self.slots[usize::from(slot.0)];
        assert!(entry.pins > 0, "slot {} is not pinned", slot.0);
        entry.pins -= 1;
    }

    /// Opening failed, or the file is of no further use: the slot is free at once.
    pub(crate) fn forget(&mut self, slot: FileSlot) {
        self.slots[usize::from(slot.0)] = Entry { segment: None, open: false, pins: 0, used: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> SegmentId {
        SegmentId { log: 0, number }
    }

    #[test]
    fn pinned_files_stay_and_the_longest_unused_goes() {
        let mut files = Files::new(2);
        let Pinned::ToOpen(first) = files.pin(id(1)) else { panic!("a free slot") };
        assert_eq!(files.pin(id(1)), Pinned::Wait);
        files.opened(first);
        assert_eq!(files.pin(id(1)), Pinned::Open(first));
        let Pinned::ToOpen(second) = files.pin(id(2)) else { panic!("a free slot") };
        files.opened(second);
        assert_eq!(files.pin(id(3)), Pinned::Wait, "both are pinned");
        files.unpin(second);
        assert_eq!(files.pin(id(3)), Pinned::ToOpen(second));
        files.unpin(first);
        files.unpin(first);
        files.forget(second);
        assert_eq!(files.pin(id(1)), Pinned::Open(first));
    }
}
