//! What the host can be told about memory with secrets in it.

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
