//! What happens to the disk while no engine is open: injuries at rest, copies put aside, put back, and written to.

use crate::engine::{Engine, How};
use crate::forge::forge;
use crate::level::{Asked, Policy};
use crate::model::Model;
use crate::plan::{Action, End, Epoch, Expected, Meanwhile, Place, Step};
use crate::trace::Lane;
use crate::world::{Copy, WALL_START, World};
use iobackend::sim::{Extent, FaultRates, Rng, SimConfig, SimDisk};
use log::format::BLOCK_BYTES;
use log::format::manifest::COPIES;

impl World<'_> {
    pub(crate) fn meanwhile(&mut self, meanwhile: Meanwhile) {
        if self.stopped() {
            return;
        }
        self.note(Lane::World, "fault", 0, || meanwhile.to_string());
        match meanwhile {
            Meanwhile::BitRots(pick) => self.rot(pick),
            Meanwhile::SegmentLost(pick) => {
                if let Some(name) = self.segment(pick) {
                    let _there = self.disk.lose_file(&name);
                }
            }
            Meanwhile::ManifestCopyLost(pick) => {
                for name in COPIES.into_iter().skip((pick & 1) as usize).take(if pick >> 60 == 0 { 2 } else { 1 }) {
                    let _there = self.disk.lose_file(name);
                }
            }
            Meanwhile::SegmentsSwapped(pick) => {
                if let (Some(one), Some(other)) = (self.segment(pick), self.segment(pick >> 32))
                    && one != other
                    && self.disk.swap_files(&one, &other)
                {
                    self.since_swap = Some(0);
                }
            }
            Meanwhile::Forged(pick) => forge(&self.disk, pick),
            Meanwhile::Copied => {
                let (image, model) = (self.disk.snapshot(Extent::Visible), self.model.clone());
                self.copy = Some(Copy { image, model, spoilt: self.excused(), in_use: self.in_use });
            }
            Meanwhile::OlderCopyPutBack => self.put_back(),
            Meanwhile::CloneWritesTo => self.clone_writes(),
        }
    }

    fn segment(&self, pick: u64) -> Option<String> {
        let segments: Vec<String> = self.disk.files().into_iter().filter(|name| name.ends_with(".seg")).collect();
        let at = pick.checked_rem(segments.len() as u64)?;
        Some(segments[at as usize].clone())
    }

    /// Every second time in the newest blocks of a log, where a footer is, or a frame that little vouches for.
    fn rot(&mut self, pick: u64) {
        let mut rng = Rng::new(pick);
        let blocks = |name: &String| self.disk.stored(name).into_iter().flat_map(|range| range.step_by(BLOCK_BYTES));
        let files = self.disk.files().into_iter().filter(|name| name.ends_with(".seg"));
        let segments: Vec<(String, Vec<u64>)> = files.map(|name| (name.clone(), blocks(&name).collect())).collect();
        let written: Vec<&(String, Vec<u64>)> = segments.iter().filter(|(_, blocks)| blocks.len() > 1).collect();
        if written.is_empty() {
            return;
        }
        let mut chosen = written[rng.below(written.len() as u64) as usize];
        let mut among = chosen.1.len();
        if rng.coin() {
            let log = |(name, _): &(String, Vec<u64>)| name.split('/').next().map(str::to_owned);
            chosen = written.iter().rfind(|other| log(other) == log(chosen)).unwrap_or(&chosen);
            among = chosen.1.len().min(3);
        }
        let (name, blocks) = chosen;
        let block = blocks[blocks.len() - 1 - rng.below(among as u64) as usize];
        // Not in what is only filled up with zeros.
        let bytes = self.disk.peek(name, block, BLOCK_BYTES).unwrap_or_default();
        let used: Vec<u64> = (block..).zip(&bytes).filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
        if !used.is_empty() {
            let at = used[rng.below(used.len() as u64) as usize];
            let _hit = self.disk.rot_at_rest(name, at, 1 << rng.below(8));
        }
    }

    /// The directory is as it was when it was copied, and so is what can be asked of it.
    fn put_back(&mut self) {
        if let Some(Copy { image, model, in_use, .. }) = &self.copy {
            self.disk.restore(image);
            (self.in_use, self.closed) = (*in_use, false);
            self.model.put_back(model);
            self.coverage.branch("an older copy was put back");
            self.refuses_what_is_older();
        }
    }

    /// Who knows the newest generation is not served an older one.
    fn refuses_what_is_older(&mut self) {
        self.disk.set_rates(FaultRates::none());
        let (known, wall) = (std::mem::take(&mut self.generation), WALL_START);
        let (machine, policy, keys) = (self.machine, Policy::NATURAL, &self.keys);
        let how = How { shards: 1, machine, at_least: known + 1, wall, policy, keys };
        if Engine::open(&self.disk, &how).is_ok() {
            self.model.violate(format!("a directory older than generation {} was opened", known + 1));
        }
    }

    /// Another process opens a clone, appends, and is killed: whatever it writes must differ from what is written here by more
    /// than its content.
    fn clone_writes(&mut self) {
        let Some(Copy { image, model, spoilt, in_use }) = self.copy.clone() else { return };
        let config = SimConfig { injuries_max: 0, ..SimConfig::default() };
        let clone = SimDisk::from_image(self.rng.next_u64(), config, &image);
        clone.keep_written();
        let disk = std::mem::replace(&mut self.disk, clone);
        let ours = std::mem::replace(&mut self.model, model);
        let spoilt = std::mem::replace(&mut self.spoilt, spoilt);
        let since_swap = self.since_swap.take();
        let generation = std::mem::take(&mut self.generation);
        self.machine += 1;
        let (in_use, closed) = (std::mem::replace(&mut self.in_use, in_use), std::mem::take(&mut self.closed));
        let append = |tenant: u8| Step {
            client: 0,
            action: Action::Append {
                place: Place { tenant, stream: 0 },
                count: 1,
                bytes: 100,
                expected: Expected::Any,
                level: Asked::Tenants,
            },
        };
        let steps = (0..3).flat_map(|tenant| [append(tenant), append(tenant), append(tenant)]).collect();
        let epoch = Epoch { shards: 1, clock_jump_ns: 0, crash: None, steps, end: End::Kill, meanwhile: Vec::new() };
        // Its clock and its operations are another disk's.
        self.trace.hush(true);
        self.epoch(&epoch, false);
        self.trace.hush(false);
        self.look();
        for (sum, count) in self.coverage.faults.iter_mut().zip(self.disk.fired()) {
            *sum += count;
        }
        (self.disk, self.spoilt, self.generation, self.machine) = (disk, spoilt, generation, 1);
        (self.in_use, self.closed, self.since_swap) = (in_use, closed, since_swap);
        let Model { violations, .. } = std::mem::replace(&mut self.model, ours);
        self.model.violations.extend(violations);
        self.coverage.branch("a clone was written to");
    }
}
