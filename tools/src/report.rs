//! Reports for programs: one JSON document, in the file that `--json` names.

use crate::failure::Failure;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A report that is to be written when the work is done. Its file is opened before, so that a path which cannot be
/// written is told before hours of work and not after.
pub(crate) struct Report {
    path: PathBuf,
    file: File,
    /// Whether the file was made for this report: then it goes again if the report is never written.
    made: bool,
    written: bool,
}

impl Report {
    /// Opens the file, if there is to be one. What it holds stays until the new report is there.
    pub(crate) fn open(path: Option<&Path>) -> Result<Option<Report>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        let (opened, made) = match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(path), false)
            }
            other => (other, true),
        };
        let file = opened.map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
        Ok(Some(Report { path: path.into(), file, made, written: false }))
    }

    /// Writes the report.
    pub(crate) fn write(mut self, content: &impl Serialize) -> Result<(), Failure> {
        let name = self.path.display().to_string();
        let mut text = serde_json::to_vec_pretty(content)
            .map_err(|error| Failure::failed(format!("cannot make a report for {name}: {error}")))?;
        text.push(b'\n');
        self.replace(&text).map_err(|error| Failure::output(&name, &error))?;
        self.written = true;
        Ok(())
    }

    fn replace(&mut self, text: &[u8]) -> std::io::Result<()> {
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(text)
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if self.made && !self.written {
            let _an_empty_file_is_no_harm = std::fs::remove_file(&self.path);
        }
    }
}
