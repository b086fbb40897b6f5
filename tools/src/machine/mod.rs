//! Facts about the machine, read once, without a judgement: what `diatreme doctor` judges, and what a benchmark's report
//! says it was measured on.
//!
//! Every parser is a function of text, and all reading goes through a [`Root`], so that the facts of machines which are
//! not this one can be tested. Nothing here is an error: what cannot be read is not known.

mod cgroup;
pub(crate) mod cpus;
pub(crate) mod interrupts;
mod kernel;
mod limits;
mod memory;
mod mounts;
mod processor;
mod root;
mod setup;
mod storage;

pub(crate) use kernel::{BootLoader, CpuTimes, Kernel, Virtual, running_tasks};
pub(crate) use limits::Limits;
pub(crate) use memory::Memory;
pub(crate) use processor::Processor;
pub(crate) use root::Root;
pub(crate) use setup::Setup;
pub(crate) use storage::{Device, Storage};

use std::path::Path;

/// All facts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) processor: Processor,
    pub(crate) memory: Memory,
    pub(crate) kernel: Kernel,
    pub(crate) storage: Storage,
    pub(crate) limits: Limits,
}

impl Machine {
    /// Reads them, with the disk that holds a directory: an absolute path without links.
    pub(crate) fn read(root: &Root, data_dir: &Path) -> Machine {
        let table = interrupts::Table::parse(&root.text("/proc/interrupts").unwrap_or_default());
        Machine {
            processor: Processor::read(root),
            memory: Memory::read(root),
            kernel: Kernel::read(root),
            storage: Storage::read(root, data_dir, &table),
            limits: Limits::read(root),
        }
    }
}
