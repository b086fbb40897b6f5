//! A file that is replaced as a whole: after a crash at any point there is the old one or the new one.
//!
//! ```text
//! 1  NAME.new made, its bytes flushed
//! 2  NAME.old becomes a second name of the old file        (where it is to be overwritten)
//! 3  NAME.new renamed to NAME, the directory flushed       from here on it is the new one
//! 4  NAME.old overwritten with zeros, flushed, removed
//! ```
//!
//! The old file keeps a name until it is overwritten, so that an opening after a crash can do what is left to do ([`tidy`]).
//! What a device keeps of overwritten blocks nobody here can reach: flash writes elsewhere.

use crate::error::Error;
use crate::files::{Files, ReadError, beside, destroy, parent};
use std::io;
use std::path::Path;

const NEW: &str = ".new";
const OLD: &str = ".old";

/// Why a file was not replaced.
#[derive(Debug)]
pub(crate) struct NotReplaced {
    /// Whether the disk may have the new one nevertheless.
    pub(crate) unsure: bool,
    pub(crate) error: Error,
}

/// What becomes of the old file's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldBytes {
    Overwritten,
    Left,
}

/// Replaces the file, or makes it. It is durable when this returns.
pub(crate) fn replace(files: &dyn Files, path: &Path, bytes: &[u8], old: OldBytes) -> Result<(), NotReplaced> {
    let (new_path, old_path) = (beside(path, NEW), beside(path, OLD));
    let step = |doing, path: &Path, unsure, done: io::Result<()>| {
        done.map_err(|source| NotReplaced { unsure, error: Error::System { doing, path: path.into(), source } })
    };
    step("remove", &new_path, false, destroy(files, &new_path))?;
    step("write", &new_path, false, files.create(&new_path, bytes))?;
    step("flush", &new_path, false, files.flush(&new_path))?;
    if old == OldBytes::Overwritten {
        step("overwrite", &old_path, false, destroy(files, &old_path))?;
        // If it has the name although it says that it failed, to clear it away would overwrite the file itself.
        step("name", &old_path, true, keep_name(files, path, &old_path))?;
    }
    step("replace", path, true, files.rename(&new_path, path))?;
    step("flush the directory of", path, true, files.flush_directory(parent(path)))?;
    match old {
        OldBytes::Overwritten => step("overwrite", &old_path, true, destroy(files, &old_path)),
        OldBytes::Left => Ok(()),
    }
}

/// Gives the old file a second name, if there is one. A file system without second names cannot overwrite it in
/// this order, and this order is worth more.
fn keep_name(files: &dyn Files, path: &Path, old_path: &Path) -> io::Result<()> {
    match files.link(path, old_path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Does what an interrupted replacement left to do. `current` is what the file holds, and was found good.
///
/// An interruption between steps 2 and 3 leaves two names of one file, and to overwrite one would overwrite both. Then
/// the bytes are the same, which no file system can misreport.
pub(crate) fn tidy(files: &dyn Files, path: &Path, current: &[u8], max: usize) -> Result<(), Error> {
    for name in [NEW, OLD] {
        let left = beside(path, name);
        let cleared = match files.read(&left, max) {
            Err(error) if error.is_missing() => Ok(()),
            Ok(found) if found.bytes[..] == *current => files.remove(&left),
            Ok(_) | Err(ReadError::TooLong(_)) => destroy(files, &left),
            Err(ReadError::NotAFile) => Err(io::Error::other("it is not a file")),
            Err(ReadError::Io(error)) => Err(error),
        };
        cleared.map_err(Error::system("clear away", &left))?;
    }
    Ok(())
}
