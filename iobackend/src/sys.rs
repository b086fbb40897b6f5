//! The system calls that the standard library has no name for, each as a small
//! safe function.

#[cfg(target_os = "linux")]
pub(crate) use linux::{allocate, direct_io_alignment, eventfd};

use std::fs::File;
use std::io;

/// Makes the file at least `len` bytes long without shortening it.
pub(crate) fn extend(file: &File, len: u64) -> io::Result<()> {
    if file.metadata()?.len() < len {
        file.set_len(len)?;
    }
    Ok(())
}

/// Where there is no `fallocate`, only the length can be set.
#[cfg(not(target_os = "linux"))]
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    extend(file, len)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// Allocates space for the first `len` bytes; where the file system cannot
    /// promise space, sets the length alone.
    pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
        let Ok(bytes) = libc::off_t::try_from(len) else {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        };
        loop {
            // SAFETY: no memory is passed, and the descriptor is open as long as `file`.
            if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EOPNOTSUPP) => return super::extend(file, len),
                _ => return Err(error),
            }
        }
    }

    /// What direct I/O on this file needs, as (memory, offset and length)
    /// alignment. `None` if the kernel (before 6.1) or the file system does not
    /// say; zeros if it says that there is none.
    pub(crate) fn direct_io_alignment(file: &File) -> io::Result<Option<(usize, usize)>> {
        let mut answer = MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: the path is a C string, empty as AT_EMPTY_PATH asks for; the
        // kernel writes one `statx` into memory of that size.
        let result = unsafe {
            libc::statx(file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN, answer.as_mut_ptr())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: all-zero is a valid `statx`, which is integers only, and the
        // kernel filled it on success.
        let answer = unsafe { answer.assume_init() };
        let told = answer.stx_mask & libc::STATX_DIOALIGN != 0;
        Ok(told.then_some((answer.stx_dio_mem_align as usize, answer.stx_dio_offset_align as usize)))
    }

    /// A non-blocking event counter.
    pub(crate) fn eventfd() -> io::Result<File> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
    }
}
