//! What the host can be told about memory with secrets in it.

/// Keeps the whole process out of core dumps, and from being traced by others than root: for programs whose process is their own.
/// A library does not decide that for its host. What it starts may be dumped again, but for the limit, which is inherited. Returns
/// whether the host agreed.
#[cfg(target_os = "linux")]
#[must_use]
pub fn undump_process() -> bool {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is read from a value that lives until the call returns.
    let unlimited = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) } != 0;
    let no: libc::c_ulong = 0;
    // SAFETY: sets and reads a flag of the process; no memory is given.
    let dumpable = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, no) != 0 || libc::prctl(libc::PR_GET_DUMPABLE) != 0 };
    !unlimited && !dumpable
}

/// Nothing is known about this host.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn undump_process() -> bool {
    false
}

/// What the host agreed to.
pub(super) struct Protected {
    /// Never swapped.
    pub(super) locked: bool,
    /// Left out of core dumps.
    pub(super) undumped: bool,
}

/// Asks the host to keep these pages in memory and out of core dumps.
#[cfg(unix)]
pub(super) fn protect(pages: &[u8]) -> Protected {
    let (start, bytes) = (pages.as_ptr().cast_mut().cast(), pages.len());
    // SAFETY: the range is borrowed, so it is mapped; locking changes no byte of it.
    let locked = unsafe { libc::mlock(start, bytes) } == 0;
    #[cfg(target_os = "linux")]
    // SAFETY: as above; this advice changes no byte either, only what a core dump leaves out.
    let undumped = unsafe { libc::madvise(start, bytes, libc::MADV_DONTDUMP) } == 0;
    #[cfg(not(target_os = "linux"))]
    let undumped = false;
    Protected { locked, undumped }
}

/// Nothing is known about this host.
#[cfg(not(unix))]
pub(super) fn protect(_pages: &[u8]) -> Protected {
    Protected { locked: false, undumped: false }
}
