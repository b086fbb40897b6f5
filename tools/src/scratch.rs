//! A fresh directory for a command that makes its own data.

use crate::failure::Failure;
use crate::key_args::beside;
use crate::output;
use std::path::{Path, PathBuf};

/// A directory that was empty or did not exist; removed at the end if the command chose it.
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
    temporary: bool,
}

impl Scratch {
    /// The directory that the user named, or else a new one in the current directory.
    pub(crate) fn make(path: Option<&Path>, purpose: &str) -> Result<Scratch, Failure> {
        let Some(path) = path else {
            let path = PathBuf::from(format!("diatreme-{purpose}-{}", std::process::id()));
            return Ok(Scratch { path, temporary: true });
        };
        let empty = std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
        if !empty {
            return Err(Failure::usage(format!("{} is not empty: name a fresh directory", path.display())));
        }
        Ok(Scratch { path: path.into(), temporary: false })
    }

    /// Removes a part of it that is no longer needed, if all of it goes in the end.
    pub(crate) fn drop_part(&self, part: &Path) -> Result<(), Failure> {
        if !self.temporary {
            return Ok(());
        }
        std::fs::remove_dir_all(part)
            .map_err(|error| Failure::failed(format!("cannot remove {}: {error}", part.display())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.temporary {
            return;
        }
        // The keys of what was in it lie beside it.
        let [keys, master] = ["keys", "master"].map(|extension| beside(&self.path, extension));
        let removed = [
            (&self.path, std::fs::remove_dir_all(&self.path)),
            (&keys, std::fs::remove_dir_all(&keys)),
            (&master, std::fs::remove_file(&master)),
        ];
        for (path, removed) in removed {
            if let Err(error) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                output::remark(&format!("cannot remove {}: {error}", path.display()));
            }
        }
    }
}
