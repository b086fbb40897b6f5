//! A master key's file is replaced by a new one, and the old key destroyed, around the re-wrapping of the store.
//!
//! ```text
//! 1  NEXT made with a new key, durable                      the store opens with PATH
//! 2  the store is written under it (replace.rs)             from here on it opens with NEXT
//! 3  PATH overwritten with zeros, flushed                   the old key is gone
//! 4  NEXT renamed to PATH, the directory flushed
//! ```
//!
//! NEXT is `PATH.next-ENGINE`: a name that no operator gives to a key of his own, nor another engine's store to its next.
//! An opening that finds the store under NEXT does steps 3 and 4; one that finds it under PATH clears NEXT away. At every
//! point one of the two opens the store.

use crate::error::{Error, Hex};
use crate::files::{Files, beside, destroy, parent};
use crate::source::{MasterSource, SourceError, generate_with};
use crypto::secret::MasterKey;
use std::io;
use std::path::{Path, PathBuf};

/// The file of a master key, and its successor.
pub(crate) struct MasterFile {
    path: PathBuf,
    next: PathBuf,
}

impl MasterFile {
    /// The successor lies beside the file itself, not beside a link to it: a rename stays in one directory.
    pub(crate) fn new(files: &dyn Files, path: &Path, engine: &[u8; 16]) -> MasterFile {
        let path = files.resolve(path).unwrap_or_else(|_| path.into());
        let next = beside(&path, &format!(".next-{}", Hex(engine)));
        MasterFile { path, next }
    }

    /// Step 1. Nothing is changed if the file could not be overwritten afterwards.
    pub(crate) fn prepare(&self, files: &dyn Files) -> Result<MasterKey, Error> {
        files.may_scrub(&self.path).map_err(Error::system("write", &self.path))?;
        self.discard(files)?;
        generate_with(files, &self.next).map_err(Error::system("write", &self.next))
    }

    /// The key that waits, if one does.
    pub(crate) fn waiting(&self, files: &dyn Files) -> Option<Result<MasterKey, SourceError>> {
        match MasterSource::File(self.next.clone()).read_with(files) {
            Err(error) if error.is_missing_file() => None,
            read => Some(read),
        }
    }

    /// Steps 3 and 4.
    pub(crate) fn complete(&self, files: &dyn Files) -> Result<(), Error> {
        let scrubbed = match files.scrub(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        let done = scrubbed
            .and_then(|()| files.rename(&self.next, &self.path))
            .and_then(|()| files.flush_directory(parent(&self.path)));
        let remedy = "put that right and open the key store again, which goes on from here";
        done.map_err(|source| Error::MasterLeft { path: self.path.clone(), remedy, source })
    }

    /// Takes away a key that waits for nothing.
    pub(crate) fn discard(&self, files: &dyn Files) -> Result<(), Error> {
        destroy(files, &self.next).map_err(Error::system("clear away", &self.next))
    }

    /// Destroys the file's key without a successor in its place.
    pub(crate) fn destroy(&self, files: &dyn Files) -> Result<(), Error> {
        let done = destroy(files, &self.path).and_then(|()| files.flush_directory(parent(&self.path)));
        let remedy = "destroy it by hand";
        done.map_err(|source| Error::MasterLeft { path: self.path.clone(), remedy, source })
    }
}
