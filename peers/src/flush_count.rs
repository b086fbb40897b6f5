//! Counts the system calls that make data durable, whoever in this process makes them.
//!
//! An executable's own symbols win over those of the C library, also for calls from shared libraries: the functions here stand in
//! for the C library's, count, and pass on to the kernel. What goes around the C library is not seen: io_uring, and files that
//! were opened with `O_DSYNC` (to notice those, variadic functions would have to be defined). For such the device's own counter
//! speaks: see `device`.

use libc::{c_int, c_long, c_uint, c_void, iovec, off_t, off64_t, size_t, ssize_t};
use serde::Serialize;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

static FSYNC: AtomicU64 = AtomicU64::new(0);
static FDATASYNC: AtomicU64 = AtomicU64::new(0);
static MSYNC: AtomicU64 = AtomicU64::new(0);
static SYNC_FILE_RANGE: AtomicU64 = AtomicU64::new(0);
static DSYNC_WRITE: AtomicU64 = AtomicU64::new(0);

/// How often each was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Calls {
    fsync: u64,
    fdatasync: u64,
    msync: u64,
    /// Starts writing, and flushes no device: makes nothing durable.
    sync_file_range: u64,
    /// Writes with `RWF_DSYNC` or `RWF_SYNC`.
    dsync_write: u64,
}

impl Calls {
    /// Since the start of the process.
    pub(crate) fn now() -> Calls {
        Calls {
            fsync: FSYNC.load(Relaxed),
            fdatasync: FDATASYNC.load(Relaxed),
            msync: MSYNC.load(Relaxed),
            sync_file_range: SYNC_FILE_RANGE.load(Relaxed),
            dsync_write: DSYNC_WRITE.load(Relaxed),
        }
    }

    /// Those between an earlier moment and this one.
    pub(crate) fn since(self, earlier: Calls) -> Calls {
        Calls {
            fsync: self.fsync - earlier.fsync,
            fdatasync: self.fdatasync - earlier.fdatasync,
            msync: self.msync - earlier.msync,
            sync_file_range: self.sync_file_range - earlier.sync_file_range,
            dsync_write: self.dsync_write - earlier.dsync_write,
        }
    }

    /// Those after which data is durable.
    pub(crate) fn flushes(self) -> u64 {
        self.fsync + self.fdatasync + self.msync + self.dsync_write
    }
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    FSYNC.fetch_add(1, Relaxed);
    // SAFETY: the call's own arguments; fsync touches no memory of the caller.
    unsafe { libc::syscall(libc::SYS_fsync, fd) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    FDATASYNC.fetch_add(1, Relaxed);
    // SAFETY: the call's own arguments; fdatasync touches no memory of the caller.
    unsafe { libc::syscall(libc::SYS_fdatasync, fd) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn msync(address: *mut c_void, len: size_t, flags: c_int) -> c_int {
    if flags & libc::MS_SYNC != 0 {
        MSYNC.fetch_add(1, Relaxed);
    }
    // SAFETY: the call's own arguments; the kernel checks the range, and writes no memory of the caller.
    unsafe { libc::syscall(libc::SYS_msync, address, len, flags) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn sync_file_range(fd: c_int, offset: off64_t, len: off64_t, flags: c_uint) -> c_int {
    SYNC_FILE_RANGE.fetch_add(1, Relaxed);
    // SAFETY: the call's own arguments; sync_file_range touches no memory of the caller.
    unsafe { libc::syscall(libc::SYS_sync_file_range, fd, offset, len, flags) as c_int }
}

/// # Safety
/// As the C library's: `vectors` points to `count` of them, and each to memory that may be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev2(fd: c_int, vectors: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t {
    if flags & (libc::RWF_DSYNC | libc::RWF_SYNC) != 0 {
        DSYNC_WRITE.fetch_add(1, Relaxed);
    }
    // The kernel takes the offset in two halves, and on 64 bits ignores the upper one.
    let upper: c_long = 0;
    // SAFETY: the caller vouches for the vectors.
    unsafe { libc::syscall(libc::SYS_pwritev2, fd, vectors, count, offset, upper, flags) as ssize_t }
}

/// # Safety
/// As the C library's: `vectors` points to `count` of them, and each to memory that may be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev64v2(
    fd: c_int,
    vectors: *const iovec,
    count: c_int,
    offset: off64_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller vouches for the vectors.
    unsafe { pwritev2(fd, vectors, count, offset, flags) }
}

const _: () = assert!(size_of::<off_t>() == 8, "pwritev2 here passes on offsets of 64 bits only");

/// The counters are one for the process: tests that flush anything take turns.
#[cfg(test)]
pub(crate) fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(run: impl FnOnce()) -> Calls {
        let before = Calls::now();
        run();
        Calls::now().since(before)
    }

    #[test]
    fn a_flush_by_the_standard_library_is_counted() {
        let _turn = turn();
        let file = tempfile::tempfile().unwrap();
        let calls = counted(|| file.sync_data().unwrap());
        assert_eq!((calls.fdatasync, calls.flushes()), (1, 1), "{calls:?}");
        let calls = counted(|| file.sync_all().unwrap());
        assert_eq!((calls.fsync, calls.flushes()), (1, 1), "{calls:?}");
    }

    #[test]
    fn a_failed_flush_is_passed_on() {
        let _turn = turn();
        assert_eq!((fdatasync(-1), std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EBADF)));
    }

    #[test]
    fn a_flush_by_c_code_in_a_shared_library_is_counted() {
        let _turn = turn();
        let directory = tempfile::tempdir().unwrap();
        let sqlite = rusqlite::Connection::open(directory.path().join("sqlite")).unwrap();
        // The first commit also flushes the directory that the log is in.
        sqlite
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x); INSERT INTO t VALUES (0);",
            )
            .unwrap();
        let calls = counted(|| assert_eq!(sqlite.execute("INSERT INTO t VALUES (1)", []).unwrap(), 1));
        assert_eq!(calls.flushes(), 1, "{calls:?}");
        sqlite.execute_batch("PRAGMA synchronous = OFF").unwrap();
        let calls = counted(|| assert_eq!(sqlite.execute("INSERT INTO t VALUES (1)", []).unwrap(), 1));
        assert_eq!(calls.flushes(), 0, "{calls:?}");
    }

    #[test]
    fn a_flush_by_cpp_code_in_a_shared_library_is_counted() {
        let _turn = turn();
        let directory = tempfile::tempdir().unwrap();
        let rocksdb = rocksdb::DB::open_default(directory.path()).unwrap();
        let mut flushed = rocksdb::WriteOptions::default();
        flushed.set_sync(true);
        let calls = counted(|| rocksdb.put_opt("key", "value", &flushed).unwrap());
        assert!(calls.fdatasync >= 1, "{calls:?}");
        let calls = counted(|| rocksdb.put("key", "value").unwrap());
        assert_eq!(calls.flushes(), 0, "{calls:?}");
    }

    #[test]
    fn a_dsync_write_is_counted_and_written() {
        use std::io::{IoSlice, Read};
        use std::os::fd::AsRawFd;
        let _turn = turn();
        let mut file = tempfile::tempfile().unwrap();
        let vectors = [IoSlice::new(b"one "), IoSlice::new(b"two")];
        for (flags, flushes) in [(0, 0), (libc::RWF_DSYNC, 1)] {
            let calls = counted(|| {
                // SAFETY: an IoSlice has the layout of an iovec, and both outlive the call.
                assert_eq!(unsafe { pwritev2(file.as_raw_fd(), vectors.as_ptr().cast(), 2, 4096, flags) }, 7);
            });
            assert_eq!(calls.flushes(), flushes, "{calls:?}");
        }
        let mut all = Vec::new();
        file.read_to_end(&mut all).unwrap();
        assert_eq!((all.len(), &all[4096..]), (4103, &b"one two"[..]));
    }
}
