//! Reading and writing the manifest's two copies.

use crate::LogError;
use crate::format::manifest::{BYTES_MAX, COPIES, Manifest};
use crate::format::{BLOCK_BYTES, Fault};
use crate::scan::SCAN_BUFFER_BYTES;
use iobackend::{Buffer, FileName, FileSlot, IoBackend, IoError, OpKind, OpenMode};
use planted::Bug;

const SLOT: FileSlot = FileSlot(0);
const _: () = assert!(BYTES_MAX <= SCAN_BUFFER_BYTES);

/// What the two copies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRead {
    /// The newest intact one; `None` if there is none.
    pub manifest: Option<Manifest>,
    /// What is wrong with each copy; a missing file is `None` here.
    pub faults: [Option<Fault>; 2],
    /// Whether each copy's file exists.
    pub present: [bool; 2],
}

/// A copy of the manifest that is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCopy {
    /// Its name.
    pub name: &'static str,
    /// What is wrong with it; `None` if it is missing.
    pub fault: Option<Fault>,
}

impl std::fmt::Display for BadCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.fault {
            Some(fault) => write!(f, "{}: {fault}", self.name),
            None => write!(f, "{}: missing", self.name),
        }
    }
}

impl ManifestRead {
    /// The copies that are missing or bad.
    #[must_use]
    pub fn bad_copies(&self) -> Vec<BadCopy> {
        let copies = COPIES.into_iter().zip(self.faults).zip(self.present);
        copies
            .filter(|((_, fault), present)| fault.is_some() || !present)
            .map(|((name, fault), _)| BadCopy { name, fault })
            .collect()
    }
}

/// Reads both copies.
///
/// # Errors
/// What the system refuses, and a manifest of another format version.
pub fn read_manifest<B: IoBackend>(backend: &mut B, buffer: &mut Option<Buffer>) -> Result<ManifestRead, LogError> {
    let mut result = ManifestRead { manifest: None, faults: [None; 2], present: [false; 2] };
    for (at, name) in COPIES.into_iter().enumerate() {
        let Some(copy) = read_copy(backend, buffer, name)? else {
            continue;
        };
        result.present[at] = true;
        match copy {
            Ok(manifest) => {
                let newest = result.manifest.as_ref().is_none_or(|other| other.generation < manifest.generation);
                if newest {
                    result.manifest = Some(manifest);
                }
            }
            Err(Fault::Version(found)) => return Err(LogError::Version { path: name.into(), found }),
            Err(fault) => result.faults[at] = Some(fault),
        }
    }
    Ok(result)
}

type Copy = Result<Manifest, Fault>;

fn read_copy<B: IoBackend>(backend: &mut B, buffer: &mut Option<Buffer>, name: &str) -> Result<Option<Copy>, LogError> {
    match open(backend, name, OpenMode::ReadOnly) {
        Ok(()) => {}
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(system("open", name, error)),
    }
    let length = backend.length(SLOT).map_err(|source| system("learn the length of", name, source))?;
    let len = (length as usize).min(BYTES_MAX) / BLOCK_BYTES * BLOCK_BYTES;
    if len == 0 {
        return Ok(Some(Err(Fault::Cut)));
    }
    let block = buffer.take().expect("the buffer is back between operations");
    let (read, block) = backend.run(OpKind::Read { file: SLOT, at: 0, buffer: block, len });
    *buffer = block;
    match read {
        Err(error) if error.is_bad_sector() => return Ok(Some(Err(Fault::Unreadable))),
        read => read.map_err(|error| system("read", name, error))?,
    }
    Ok(buffer.as_ref().map(|block| Manifest::decode(&block[..len])))
}

/// Writes both copies, one after the other, each durable before the next is touched, so that one is always whole: the
/// newest intact one is written last, since the other may be the bad one. A process that made a copy may have been
/// killed before its name was durable; so the names are flushed before the first copy is touched, too.
///
/// # Errors
/// What the system refuses.
pub fn write_manifest<B: IoBackend>(
    backend: &mut B,
    buffer: &mut Option<Buffer>,
    manifest: &Manifest,
) -> Result<(), LogError> {
    let [a, b] = [COPIES[0], COPIES[1]].map(|name| read_copy(backend, buffer, name));
    publish(backend)?;
    let newest_first = planted::is(Bug::ManifestGoodCopyFirst);
    let order = if (generation(a?) > generation(b?)) != newest_first { [COPIES[1], COPIES[0]] } else { COPIES };
    for name in order {
        let made = match open(backend, name, OpenMode::ReadWrite) {
            Ok(()) => false,
            Err(error) if error.is_not_found() => {
                open(backend, name, OpenMode::CreateNew).map_err(|error| system("create", name, error))?;
                true
            }
            Err(error) => return Err(system("open", name, error)),
        };
        let mut block = buffer.take().expect("the buffer is back between operations");
        manifest.encode(&mut block);
        let (len, durable) = (manifest.encoded_bytes(), !planted::is(Bug::ManifestCopiesTogether));
        let (written, block) = backend.run(OpKind::Write { file: SLOT, at: 0, buffer: block, len, durable });
        *buffer = block;
        written.map_err(|error| system("write", name, error))?;
        if made {
            publish(backend)?;
        }
    }
    Ok(())
}

/// Makes the names of the copies durable.
fn publish<B: IoBackend>(backend: &mut B) -> Result<(), LogError> {
    if planted::is(Bug::ManifestNotPublished) {
        return Ok(());
    }
    let root = FileName::new(".").expect("the root has a name");
    backend.run(OpKind::FlushDirectory { name: root }).0.map_err(|error| system("flush", "the directory", error))
}

/// `None`, which is below every generation, for a copy that is missing or bad.
fn generation(copy: Option<Copy>) -> Option<u64> {
    Some(copy?.ok()?.generation)
}

fn open<B: IoBackend>(backend: &mut B, name: &str, mode: OpenMode) -> Result<(), IoError> {
    let name = FileName::new(name).expect("the copies have short names");
    backend.run(OpKind::Open { file: SLOT, name, mode }).0
}

fn system(doing: &'static str, name: &str, error: impl Into<std::io::Error>) -> LogError {
    let (path, source) = (name.into(), error.into());
    match source.kind() {
        std::io::ErrorKind::IsADirectory => LogError::Foreign { path },
        _ => LogError::System { doing, path, source },
    }
}
