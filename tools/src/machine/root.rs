//! Where the kernel tells about the machine: the files below `/proc` and `/sys`, or a tree that looks like them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest of these files that are of use, `/proc/interrupts` of a thousand CPUs, has a few MiB.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The directory below which `proc` and `sys` lie. What is absent, unreadable or not text is `None`: there are kernels,
/// containers and systems without any of it.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    base: PathBuf,
}

impl Root {
    /// This machine's own.
    pub(crate) fn system() -> Root {
        Root::at("/")
    }

    /// A tree somewhere else, such as that of another machine.
    pub(crate) fn at(base: impl Into<PathBuf>) -> Root {
        Root { base: base.into() }
    }

    /// A file's text.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let file = fs::File::open(self.path(path)).ok()?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        // A name in it that is no UTF-8 takes nothing from the rest.
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file's text without the space around it; `None` also if nothing is left.
    pub(crate) fn word(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let word = text.trim();
        (!word.is_empty()).then(|| word.to_owned())
    }

    /// A file that holds one number.
    pub(crate) fn number<T: std::str::FromStr>(&self, path: &str) -> Option<T> {
        self.word(path)?.parse().ok()
    }

    /// The names in a directory, sorted; none if it cannot be read.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Where a path leads once links are followed, as a path below this root.
    pub(crate) fn resolve(&self, path: &str) -> Option<String> {
        let base = self.base.canonicalize().ok()?;
        let found = self.path(path).canonicalize().ok()?;
        Some(format!("/{}", found.strip_prefix(base).ok()?.to_str()?))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.base.join(Path::new(path.trim_start_matches('/')))
    }
}
