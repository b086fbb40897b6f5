//! Which part of the data directory a byte belongs to: the names and places of the on-disk format, and nothing else of it.

/// A part of the data directory, as far as faults tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// The first copy of the manifest.
    ManifestA,
    /// The second.
    ManifestB,
    /// The first block of a segment.
    SegmentHeader,
    /// What lies between a segment's header and its footer.
    Frames,
    /// A segment's footer and trailer.
    Tail,
    /// A directory's entries.
    Directory,
    /// Any other file.
    Other,
}

const BLOCK_BYTES: u64 = 4096;

/// The zone of a byte of a file. `footer_at` is where the footer begins, if the segment has one.
#[must_use]
pub fn zone_of(name: &str, at: u64, footer_at: Option<u64>) -> Zone {
    match name {
        "manifest.a" => Zone::ManifestA,
        "manifest.b" => Zone::ManifestB,
        _ if !is_segment(name) => Zone::Other,
        _ if at < BLOCK_BYTES => Zone::SegmentHeader,
        _ if footer_at.is_some_and(|footer| at >= footer) => Zone::Tail,
        _ => Zone::Frames,
    }
}

/// Whether the file is one whose sectors may be written once only.
pub(super) fn is_segment(name: &str) -> bool {
    name.ends_with(".seg")
}

/// A set of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneSet(u8);

impl ZoneSet {
    /// Every zone.
    pub const ALL: Self = Self(u8::MAX);

    /// These zones.
    #[must_use]
    pub fn of(zones: &[Zone]) -> Self {
        Self(zones.iter().fold(0, |bits, &zone| bits | 1 << zone as u8))
    }

    /// All but these.
    #[must_use]
    pub fn except(zones: &[Zone]) -> Self {
        Self(!Self::of(zones).0)
    }

    /// Whether the zone is one of them.
    #[must_use]
    pub fn contains(self, zone: Zone) -> bool {
        self.0 >> zone as u8 & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_give_the_zone() {
        let segment = "shard-0003/00000012.seg";
        assert_eq!(zone_of("manifest.a", 0, None), Zone::ManifestA);
        assert_eq!(zone_of("manifest.b", 9000, None), Zone::ManifestB);
        assert_eq!(zone_of(segment, 4095, Some(8192)), Zone::SegmentHeader);
        assert_eq!(zone_of(segment, 4096, Some(8192)), Zone::Frames);
        assert_eq!(zone_of(segment, 8192, Some(8192)), Zone::Tail);
        assert_eq!(zone_of(segment, 1 << 30, None), Zone::Frames);
        assert_eq!(zone_of("LOCK", 0, None), Zone::Other);
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = ZoneSet::of(&[Zone::Frames, Zone::Directory]);
        assert!(set.contains(Zone::Directory) && !set.contains(Zone::Tail));
        assert!(!ZoneSet::except(&[Zone::Tail]).contains(Zone::Tail));
        assert!(ZoneSet::ALL.contains(Zone::Other));
    }
}
