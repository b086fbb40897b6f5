//! Finds out whether files in a directory can be opened for direct I/O, by
//! trying: what a file system says, what it accepts at open and what it accepts
//! at a write are three different things.

use std::path::Path;

use crate::limits::BUFFER_ALIGNMENT;

/// How files are opened.
#[derive(Clone, Debug)]
pub(crate) struct DirectIo {
    /// Whether with `O_DIRECT`.
    pub(crate) on: bool,
    /// What offsets and lengths are multiples of.
    pub(crate) alignment: usize,
    /// The finding, as a line for the start-up report.
    pub(crate) note: String,
}

impl DirectIo {
    fn buffered(why: &str) -> Self {
        Self { on: false, alignment: BUFFER_ALIGNMENT, note: format!("buffered I/O: {why}") }
    }

    /// Flags for opening a file, beyond those of its mode.
    pub(crate) fn open_flags(&self) -> i32 {
        #[cfg(target_os = "linux")]
        if self.on {
            return libc::O_DIRECT;
        }
        0
    }

    /// Tries direct I/O in `root`, if it is wanted. Whatever stands against it
    /// leads to buffered I/O and a note, never to an error: a directory may be
    /// there to be read only.
    pub(crate) fn probe(root: &Path, wanted: bool) -> Self {
        if !wanted {
            return Self::buffered("as configured");
        }
        #[cfg(target_os = "linux")]
        return linux::probe(root);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = root;
            Self::buffered("direct I/O is used on Linux only")
        }
    }
}

/// The probe's file, so that a listing can leave it out: two shards may be
/// opening the same root.
pub(crate) const PROBE_PREFIX: &str = ".diatreme-probe-";

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::os::unix::fs::{FileExt, OpenOptionsExt};
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{DirectIo, PROBE_PREFIX};
    use crate::limits::BUFFER_ALIGNMENT;
    use crate::sys;

    #[repr(align(4096))]
    struct Block([u8; BUFFER_ALIGNMENT]);

    const _: () = assert!(align_of::<Block>() == BUFFER_ALIGNMENT);

    pub(super) fn probe(root: &Path) -> DirectIo {
        match probe_file(root).and_then(|file| try_on(&file)) {
            Ok(found) => found,
            Err(error) => DirectIo::buffered(&format!("trying O_DIRECT in {}: {error}", root.display())),
        }
    }

    /// A nameless file opened with `O_DIRECT`.
    fn probe_file(root: &Path) -> io::Result<File> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{PROBE_PREFIX}{}-{number}", std::process::id()));
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_DIRECT | libc::O_NOFOLLOW)
            .open(&path);
        // Some file systems make the file and refuse O_DIRECT afterwards, so
        // remove it in either case; that it was not there is no concern.
        let _ = fs::remove_file(&path);
        opened
    }

    fn try_on(file: &File) -> io::Result<DirectIo> {
        let told = sys::direct_io_alignment(file).unwrap_or(None);
        let (memory, alignment) = told.unwrap_or((BUFFER_ALIGNMENT, BUFFER_ALIGNMENT));
        if alignment == 0 {
            return Ok(DirectIo::buffered("the file system has no direct I/O"));
        }
        if memory > BUFFER_ALIGNMENT || alignment > BUFFER_ALIGNMENT {
            return Ok(DirectIo::buffered(&format!(
                "direct I/O here needs {memory} bytes of memory alignment and blocks of {alignment}, more than {BUFFER_ALIGNMENT}"
            )));
        }
        match file.write_at(&Block([0; BUFFER_ALIGNMENT]).0, 0) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => return Err(error),
            // A full or failing device says nothing about direct I/O; it will
            // say what it has to say to the operations.
            _ => {}
        }
        let source = if told.is_some() { "as statx says" } else { "assumed, statx does not say" };
        Ok(DirectIo {
            on: true,
            alignment,
            note: format!("direct I/O: accepted, blocks of {alignment} bytes ({source})"),
        })
    }
}
