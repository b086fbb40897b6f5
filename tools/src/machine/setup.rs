//! What a figure was measured on, in one plain structure.

use super::kernel::Virtual;
use super::{Machine, Root};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The machine in brief. What cannot be read, as most of it outside Linux, is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) cpu_model: Option<String>,
    pub(crate) cpus_online: usize,
    /// The CPUs that this process may run on.
    pub(crate) cpus_available: Vec<usize>,
    /// Hardware threads a core.
    pub(crate) smt: usize,
    pub(crate) numa_nodes: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: Option<String>,
    /// None on bare metal, and where it is not known.
    pub(crate) hypervisor: Option<String>,
    /// The frequency governors, if there are any: one name, or several with commas.
    pub(crate) governor: Option<String>,
    pub(crate) clock_source: Option<String>,
    pub(crate) transparent_huge_pages: Option<String>,
    pub(crate) isolated_cpus: Vec<usize>,
    /// The CPUs that take interrupts of the data directory's disk.
    pub(crate) disk_interrupt_cpus: Vec<usize>,
    pub(crate) file_system: Option<String>,
    pub(crate) mount_options: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) device_write_cache: Option<String>,
}

impl Setup {
    /// Of this machine, with the disk of a directory. Ask before pinning: a pinned thread may run on one CPU only.
    pub(crate) fn of(data_dir: &Path) -> Setup {
        let directory = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
        Setup::from(&Machine::read(&Root::system(), &directory))
    }
}

impl From<&Machine> for Setup {
    fn from(machine: &Machine) -> Setup {
        let Machine { processor, memory, kernel, storage, .. } = machine;
        let available = processor.allowed.clone().unwrap_or_else(diatreme::cores::available);
        let device = storage.device.as_ref();
        Setup {
            cpu_model: processor.model.clone(),
            cpus_online: processor.online.as_ref().map_or(available.len(), Vec::len),
            cpus_available: available,
            smt: processor.threads_per_core().unwrap_or(0),
            numa_nodes: processor.nodes.len(),
            memory_bytes: memory.bytes.unwrap_or(0),
            kernel: kernel.release.clone(),
            hypervisor: match &kernel.machine {
                Some(Virtual::Yes(name)) => Some(name.clone()),
                Some(Virtual::No) | None => None,
            },
            governor: processor.governor(),
            clock_source: kernel.clock_source.clone(),
            transparent_huge_pages: memory.huge_pages.clone(),
            isolated_cpus: processor.isolated.clone().unwrap_or_default(),
            disk_interrupt_cpus: device.map(super::Device::interrupt_cpus).unwrap_or_default(),
            file_system: storage.mount.as_ref().map(|mount| mount.file_system.clone()),
            mount_options: storage.mount.as_ref().map(|mount| mount.options.join(",")),
            device: device.map(super::Device::place),
            device_write_cache: device.and_then(|device| device.write_cache.clone()),
        }
    }
}
