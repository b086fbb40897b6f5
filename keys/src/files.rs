//! What the store does to files, one operation at a time.
//!
//! The trait is the seam at which tests stop: after any operation, with or without what was not flushed yet
//! (`crash_tests`). [`Disk`] is what runs otherwise.
//!
//! What must stay true: whatever is written may be read by its owner only, and what was read is wiped when it is dropped.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What [`Files::read`] found.
pub(crate) struct Found {
    /// All that the file holds.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Who may do what with it, as in `chmod`; `0o600` where the platform has no such thing.
    pub(crate) mode: u32,
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is something of this name that is not a file.
    NotAFile,
    /// It has more bytes than are taken.
    TooLong(u64),
    /// The system said no.
    Io(io::Error),
}

impl ReadError {
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, ReadError::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

/// Operations on files. None but [`flush`](Files::flush), [`scrub`](Files::scrub) and
/// [`flush_directory`](Files::flush_directory) makes anything durable.
pub(crate) trait Files: Send + Sync {
    /// Reads a file that has at most `max` bytes. The length is looked at before memory is taken.
    fn read(&self, path: &Path, max: usize) -> Result<Found, ReadError>;
    /// The path without links in it.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;
    /// Makes a directory that only its owner enters, unless it is there.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes a file that must not be there yet, with these bytes, readable by its owner only.
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Makes a file's bytes durable.
    fn flush(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn flush_directory(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, in place of whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Whether [`scrub`](Files::scrub) would be let.
    fn may_scrub(&self, path: &Path) -> io::Result<()>;
    /// Overwrites a file with zeros where it lies, durably.
    fn scrub(&self, path: &Path) -> io::Result<()>;
    /// Takes a name away.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The directory that holds a path's name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The path with something behind its last name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Overwrites a file and takes its name away, if it is there.
pub(crate) fn destroy(files: &dyn Files, path: &Path) -> io::Result<()> {
    match files.scrub(path).and_then(|()| files.remove(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The machine's files.
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, max: usize) -> Result<Found, ReadError> {
        // Before it is opened: to open a pipe would wait for whoever writes to it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(ReadError::NotAFile);
        }
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let length = usize::try_from(metadata.len()).ok().filter(|&length| length <= max);
        let length = length.ok_or(ReadError::TooLong(metadata.len()))?;
        // Its final length at once: a vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(vec![0; length]);
        file.read_exact(&mut bytes)?;
        Ok(Found { bytes, mode: mode_of(&metadata) })
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.flush_directory(parent(path)),
        }
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let written = file.write_all(bytes);
        if written.is_err() {
            // A part of it would only be in the way.
            let _the_first_error_is_told = std::fs::remove_file(path);
        }
        written
    }

    fn flush(&self, path: &Path) -> io::Result<()> {
        // The kernel flushes the file, not what this handle wrote.
        File::open(path)?.sync_all()
    }

    fn flush_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn may_scrub(&self, path: &Path) -> io::Result<()> {
        writable(path).map(drop)
    }

    fn scrub(&self, path: &Path) -> io::Result<()> {
        let mut file = writable(path)?;
        let length = file.metadata()?.len();
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

/// Opens a file to overwrite it. A key's file may well be one that its owner only reads.
fn writable(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).open(path);
    match open() {
        #[cfg(unix)]
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(path, permissions).map_err(|_| error)?;
            open()
        }
        other => other,
    }
}

#[cfg(unix)]
fn mode_of(metadata: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
}

#[cfg(not(unix))]
fn mode_of(_: &std::fs::Metadata) -> u32 {
    0o600
}
