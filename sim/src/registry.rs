//! Identities that must never come twice, over all openings, crashes, copies and clones of a run: incarnations and salts, from which
//! sealing keys derive.

use iobackend::sim::SimDisk;
use log::format::segment::{SegmentHeader, SegmentId};
use std::collections::BTreeMap;

/// Every identity seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    incarnations: Vec<[u8; 16]>,
    /// Which segment of which opening has a salt.
    salts: BTreeMap<[u8; 32], (SegmentId, [u8; 16])>,
}

impl Registry {
    /// Notes an opening, and the segments that are there by now.
    pub(crate) fn opening(&mut self, disk: &SimDisk, incarnation: [u8; 16]) -> Result<(), String> {
        if self.incarnations.contains(&incarnation) {
            return Err("two openings have the same incarnation".into());
        }
        self.incarnations.push(incarnation);
        self.segments(disk)
    }

    /// Notes the segments that are there.
    pub(crate) fn segments(&mut self, disk: &SimDisk) -> Result<(), String> {
        for name in disk.files().iter().filter(|name| name.ends_with(".seg")) {
            let Some(header) = disk.peek(name, 0, log::format::BLOCK_BYTES) else { continue };
            let Ok(SegmentHeader { id, incarnation, salt, .. }) = SegmentHeader::decode(&header) else { continue };
            let known = *self.salts.entry(salt).or_insert((id, incarnation));
            if known != (id, incarnation) {
                return Err(format!("{id} has the salt of {}", known.0));
            }
        }
        Ok(())
    }
}
