//! What the notary does to files, with the order in which it becomes durable.

use crate::Error;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Replaces a file, so that after a crash it is the old one or the new one, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let next = beside(path, ".new");
    let written = File::create(&next).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(Error::file("write", &next))?;
    fs::rename(&next, path).map_err(Error::file("replace", path))?;
    flush_directory(parent(path))
}

/// Makes the names in a directory durable.
pub(crate) fn flush_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(Error::file("flush", path))
}

/// Makes a directory whose parent is there.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::file("make", path)(error)),
        _ => Ok(()),
    }
}

/// Reads a file of at most `max` bytes; none if it is not there.
pub(crate) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, Error> {
    let read = || -> io::Result<Vec<u8>> {
        let length = fs::metadata(path)?.len();
        if length > max {
            return Err(io::Error::new(ErrorKind::FileTooLarge, format!("{length} bytes, of at most {max}")));
        }
        fs::read(path)
    };
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(Error::file("read", path)),
    }
}

/// The file's path with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
