//! Keys from keys: HKDF-SHA-256 (RFC 5869), and a stack without traces of it. Cold paths only.

use hkdf::Hkdf;
use sha2::Sha256;

/// More than what is called by [`without_trace`] takes of the stack, in unoptimised builds too (a test looks for keys in all
/// memory).
const STACK_BYTES: usize = 16 * 1024;

/// HKDF-SHA-256 of `ikm`; `info` is the parts one after the other.
pub(crate) fn derive(ikm: &[u8], salt: &[u8], info: &[&[u8]], okm: &mut [u8; 32]) {
    without_trace(|| {
        if Hkdf::<Sha256>::new(Some(salt), ikm).expand_multi_info(info, okm).is_err() {
            unreachable!("HKDF-SHA-256 gives up to 8,160 bytes");
        }
    });
}

/// Calls `work` and wipes the stack that it used. The libraries wipe what they drop, but not what the compiler copied on the
/// way. Best effort: registers stay as they are.
pub(crate) fn without_trace<T>(work: impl FnOnce() -> T) -> T {
    let result = framed(work);
    zeroize::zeroize_stack::<STACK_BYTES>();
    result
}

/// Has a frame of its own, below the caller's, where the wiping reaches.
#[inline(never)]
fn framed<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(test)]
mod tests;
