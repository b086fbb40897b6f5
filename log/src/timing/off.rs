//! Without the feature: types of no size, functions of no code.

use super::{Awaits, Stage, StageTime, Step};

/// Bytes of a stamp in a request: none.
pub const STAMP_BYTES: usize = 0;

/// Stamps nothing.
#[inline]
pub fn stamp(_out: &mut [u8]) {}

/// Observes nothing.
#[derive(Debug)]
pub struct Stages;

/// Knows nothing of a frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameStages;

const _: () = assert!(size_of::<(Stages, FrameStages, Option<StageStats>)>() == 0);

impl Stages {
    #[inline]
    pub(crate) fn new() -> Stages {
        Stages
    }

    /// A turn begins.
    #[inline]
    pub fn turn(&mut self) {}

    /// A request is looked at.
    #[inline]
    pub fn request(&mut self) {}

    /// It was applied.
    #[inline]
    pub fn applied(&mut self) {}

    /// Its records were sealed.
    #[inline]
    pub fn sealed(&mut self) {}

    /// It was taken.
    #[inline]
    pub fn taken(&mut self, _stamp: &[u8], _awaits: Awaits) {}

    /// No more requests are taken in this turn.
    #[inline]
    pub fn drained(&mut self) {}

    #[inline]
    pub(crate) fn closing(&mut self) {}

    #[inline]
    pub(crate) fn closed(&mut self) -> FrameStages {
        FrameStages
    }

    #[inline]
    pub(crate) fn submitted(&mut self) {}

    #[inline]
    pub(crate) fn polling(&mut self, _in_flight: impl FnOnce() -> usize) {}

    #[inline]
    pub(crate) fn polled(&mut self, _in_flight: impl FnOnce() -> usize, _completed: bool) {}

    #[inline]
    pub(crate) fn settled(&mut self, _frame: FrameStages) {}

    #[inline]
    pub(crate) fn reaped(&mut self, _completed: bool) {}

    /// What is staged is about to be published.
    #[inline]
    pub fn publishing(&mut self, _staged: bool) {}

    /// It was published, or nothing was staged.
    #[inline]
    pub fn published(&mut self, _staged: bool) {}

    /// Reads were begun or handed out, or there were none.
    #[inline]
    pub fn read(&mut self, _worked: bool) {}

    #[inline]
    pub(crate) fn stats(&self) -> Option<StageStats> {
        None
    }
}

/// There is none without the feature `timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageStats {}

impl StageStats {
    /// What requests spent in a stage.
    #[must_use]
    pub fn latency(&self, _stage: Stage) -> &StageTime {
        match *self {}
    }

    /// Nanoseconds that the shard's thread was at a step.
    #[must_use]
    pub fn busy_ns(&self, _step: Step) -> u64 {
        match *self {}
    }

    /// Nanoseconds since the log was opened.
    #[must_use]
    pub fn wall_ns(&self) -> u64 {
        match *self {}
    }

    /// Nanoseconds in which it was at no step.
    #[must_use]
    pub fn idle_ns(&self) -> u64 {
        match *self {}
    }
}
