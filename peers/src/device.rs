//! The block device's own count of flush requests: the word of a third party, which also sees what goes by io_uring.

use crate::failure::Failure;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Of the fields of a device's `stat`, the one that counts flush requests; see `Documentation/block/stat.rst` of the kernel.
const STAT_FLUSHES: usize = 15;
const TMPFS: i64 = 0x0102_1994;

/// The device that holds a directory, if it can be asked.
#[derive(Debug)]
pub(crate) struct Device {
    stat: PathBuf,
}

impl Device {
    /// `None` if there is no such device (a network file system, several disks), or it has no volatile cache: then the kernel
    /// has nothing to flush and counts nothing.
    pub(crate) fn of(directory: &Path) -> Option<Device> {
        let dev = fs::metadata(directory).ok()?.dev();
        let node = format!("/sys/dev/block/{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev));
        let node = fs::canonicalize(node).ok()?;
        // The kernel counts flushes for the whole disk only.
        let disk = if node.join("partition").exists() { node.parent()?.to_owned() } else { node };
        let cache = fs::read_to_string(disk.join("queue/write_cache")).ok()?;
        let device = Device { stat: disk.join("stat") };
        (cache.trim() == "write back" && device.flushes().is_some()).then_some(device)
    }

    /// Flush requests since the machine started, of all processes.
    pub(crate) fn flushes(&self) -> Option<u64> {
        flushes(&fs::read_to_string(&self.stat).ok()?)
    }
}

fn flushes(stat: &str) -> Option<u64> {
    stat.split_ascii_whitespace().nth(STAT_FLUSHES)?.parse().ok()
}

/// Writes out all that the file system of a directory still holds in memory, so that one engine does not pay for another.
pub(crate) fn settle(directory: &Path) -> Result<(), Failure> {
    let doing = || Failure::doing(format!("cannot flush the file system of {}", directory.display()));
    let opened = fs::File::open(directory).map_err(doing())?;
    rustix::fs::syncfs(opened).map_err(|error| doing()(error.into()))
}

/// Refuses a place where a flush means nothing.
pub(crate) fn check(directory: &Path) -> Result<(), Failure> {
    let refuse = |why: String| Failure::Usage(format!("--dir {}: {why}", directory.display()));
    if !directory.is_dir() {
        return Err(refuse("is no directory; make it first, on the file system that is to be measured".into()));
    }
    let system = rustix::fs::statfs(directory).map_err(|error| refuse(error.to_string()))?;
    if system.f_type == TMPFS {
        return Err(refuse("is in memory (tmpfs), where a flush does nothing; name a directory on a disk".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flushes_are_the_last_field_but_one() {
        let stat = " 1369 36 748 187 169 405 257 217 0 731 443 470 168 905 101 682 288\n";
        assert_eq!(flushes(stat), Some(682));
        // Kernels before 5.5 do not count them.
        assert_eq!(flushes("1369 36 748 187 169 405 257 217 0 731 443 470 168 905 101"), None);
    }

    /// Where the device can be asked, a flush of data that is not yet on it is seen.
    #[test]
    fn a_flush_reaches_the_device() {
        let _turn = crate::flush_count::turn();
        let directory = tempfile::tempdir_in(".").unwrap();
        let Some(device) = Device::of(directory.path()) else { return };
        let before = device.flushes().unwrap();
        for at in 0..10 {
            let path = directory.path().join(at.to_string());
            fs::write(&path, "data").unwrap();
            fs::File::open(&path).unwrap().sync_all().unwrap();
        }
        assert!(device.flushes().unwrap() >= before + 10);
    }

    #[test]
    fn a_directory_in_memory_is_refused() {
        assert!(matches!(check(Path::new("/dev/shm")), Err(Failure::Usage(text)) if text.contains("tmpfs")));
        assert!(matches!(check(Path::new("/no/such")), Err(Failure::Usage(text)) if text.contains("no directory")));
    }
}
