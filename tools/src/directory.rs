//! A data directory seen from the outside: whether it is one, what lies in it, and a way to read it without an engine.

use crate::failure::Failure;
use iobackend::{Arena, Backend, BackendConfig, Buffer, IoBackend, Mode};
use log::format::manifest::{COPIES, Manifest};
use log::format::{RootName, root_name};
use log::{Fault, LogError, ManifestRead, SCAN_BUFFER_BYTES};
use std::path::Path;

/// What the names in a data directory say.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The numbers of the logs, ascending.
    pub(crate) logs: Vec<u16>,
    /// Whether there is a copy of the manifest.
    pub(crate) manifest: bool,
}

/// Looks at the names in a directory that is to hold data already.
///
/// A directory that is missing, or holds no data of ours, is a wrong argument. A name that is none of ours beside
/// those that are is refused, as opening the directory would.
pub(crate) fn survey(path: &Path) -> Result<Survey, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::usage(format!("cannot read {}: {error}", path.display()));
    // Asked first: the system's own word for what is wrong is the clearest.
    std::fs::read_dir(path).map_err(|error| unreadable(&error))?;
    let mut reader = Reader::open(path, Caching::Cached).map_err(Failure::at(path))?;
    let mut survey = Survey::default();
    let mut foreign = None;
    for name in reader.backend.list(".").map_err(|error| unreadable(&error))? {
        match root_name(&name) {
            Some(RootName::Log(log)) => survey.logs.push(log),
            Some(RootName::Manifest) => survey.manifest = true,
            Some(RootName::Ignored) => {}
            None => foreign = Some(name),
        }
    }
    if survey.logs.is_empty() && !survey.manifest {
        return Err(Failure::usage(format!("{} holds no data of Diatreme: name another directory", path.display())));
    }
    match foreign {
        Some(name) => Err(Failure::at(path)(LogError::Foreign { path: name })),
        None if is_unmade(&mut reader, &survey).map_err(Failure::at(path))? => Err(Failure::usage(format!(
            "{} holds no data of Diatreme, neither a segment nor a manifest in both its copies: if making it was \
             interrupted, `diatreme ingest` makes it anew",
            path.display()
        ))),
        None => {
            survey.logs.sort_unstable();
            Ok(survey)
        }
    }
}

/// Whether making the directory came to no end: a process was killed before both copies of the first manifest were there, without which
/// there is no segment, and nothing is acknowledged. That is no damage.
fn is_unmade(reader: &mut Reader, survey: &Survey) -> Result<bool, LogError> {
    for log in &survey.logs {
        if !log::log_segments(&mut reader.backend, *log)?.is_empty() {
            return Ok(false);
        }
    }
    let read = reader.manifest()?;
    let whole = |manifest: &Manifest| {
        manifest.frontiers.iter().any(|frontier| frontier.sequence > 0) || read.bad_copies().is_empty()
    };
    Ok(!read.manifest.as_ref().is_some_and(whole) && !read.faults.contains(&Some(Fault::Unreadable)))
}

/// Whether reading goes past the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    /// What is on the device, and not what the system remembers of it. Whether that can be had is found out by making a
    /// nameless file in the directory; where it cannot be made, reading is cached.
    Direct,
    /// Whatever is faster to have.
    Cached,
}

/// A backend on a directory, and a buffer to read with.
pub(crate) struct Reader {
    pub(crate) backend: Backend,
    pub(crate) buffer: Option<Buffer>,
}

impl Reader {
    pub(crate) fn open(path: &Path, caching: Caching) -> Result<Reader, LogError> {
        let failed = |source| LogError::System { doing: "read", path: "the directory".into(), source };
        let mut arena = Arena::new(SCAN_BUFFER_BYTES).map_err(failed)?;
        let buffer = arena.take(SCAN_BUFFER_BYTES);
        let direct = caching == Caching::Direct;
        let config = BackendConfig { mode: Mode::Sync, direct, ..BackendConfig::new(path) };
        let backend = iobackend::open(&config, &arena).map_err(|error| failed(std::io::Error::other(error)))?;
        Ok(Reader { backend, buffer })
    }

    pub(crate) fn manifest(&mut self) -> Result<ManifestRead, LogError> {
        log::read_manifest(&mut self.backend, &mut self.buffer)
    }
}

/// What is wrong with the copies of the manifest, each by its name.
pub(crate) fn manifest_faults(read: &ManifestRead) -> Vec<(&'static str, String)> {
    let serves = if read.manifest.is_some() { "the other copy serves" } else { "neither copy serves" };
    let fault = |((copy, fault), present): ((&'static str, Option<Fault>), bool)| match fault {
        Some(fault) => Some((copy, format!("{fault}; {serves}"))),
        None if !present => Some((copy, format!("missing; {serves}"))),
        None => None,
    };
    COPIES.into_iter().zip(read.faults).zip(read.present).filter_map(fault).collect()
}

/// The manifest of a directory, if it has one that can be read. For defaults only: opening the directory says what is
/// wrong with it.
pub(crate) fn manifest(path: &Path) -> Option<Manifest> {
    Reader::open(path, Caching::Cached).and_then(|mut reader| reader.manifest()).ok()?.manifest
}
