//! Reports in files: JSON for programs, and texts in the form that their readers want.

use crate::failure::Failure;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A report that is to be written when the work is done, or piece by piece meanwhile. Its file is opened before, so that
/// a path which cannot be written is told before hours of work and not after.
#[derive(Debug)]
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
        path.map(Report::open_at).transpose()
    }

    /// Opens the file.
    pub(crate) fn open_at(path: &Path) -> Result<Report, Failure> {
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        let (opened, made) = match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(path), false)
            }
            other => (other, true),
        };
        let file = opened.map_err(|error| Failure::usage(format!("cannot write {}: {error}", path.display())))?;
        Ok(Report { path: path.into(), file, made, written: false })
    }

    /// Writes the report as JSON.
    pub(crate) fn write(self, content: &impl Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(content)
            .map_err(|error| Failure::failed(format!("cannot make a report for {}: {error}", self.path.display())))?;
        text.push('\n');
        self.write_text(&text)
    }

    /// Writes the report as it is.
    pub(crate) fn write_text(mut self, text: &str) -> Result<(), Failure> {
        self.append(text)
    }

    /// Writes a piece of the report; the first one replaces what the file held.
    pub(crate) fn append(&mut self, piece: &str) -> Result<(), Failure> {
        self.append_now(piece).map_err(|error| Failure::output(&self.path.display().to_string(), &error))
    }

    /// The same, for whoever is told something rather than shown it: that nobody reads on is an error too.
    pub(crate) fn append_now(&mut self, piece: &str) -> std::io::Result<()> {
        if !self.written && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(piece.as_bytes())?;
        self.written = true;
        Ok(())
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if self.made && !self.written {
            let _an_empty_file_is_no_harm = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_piece_replaces_and_the_others_follow() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report");
        std::fs::write(&path, "of a longer run before").unwrap();
        let mut report = Report::open_at(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "of a longer run before");
        report.append("one,").unwrap();
        report.append("two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one,two");
        drop(report);
        assert!(path.exists());
    }

    #[test]
    fn a_file_made_for_nothing_goes_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report");
        drop(Report::open_at(&path).unwrap());
        assert!(!path.exists());
    }
}
