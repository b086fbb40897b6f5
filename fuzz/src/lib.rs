//! What the fuzz targets share. Each target is one file in `fuzz_targets/`, and `ci/fuzz` runs them all.
//!
//! Every target tries its input twice: as it is, and with all checksums made to fit, so that what lies behind a checksum
//! is tried as well. A target asserts what must hold of whatever is accepted, and not only that nothing panics.

pub mod allocations;
pub mod disk;
pub mod oracle;
pub mod samples;
pub mod sums;

/// The input as it is, and with its checksums made to fit.
pub fn both(input: &[u8], fit: impl Fn(&mut [u8]), check: impl Fn(&[u8])) {
    check(input);
    let mut fitted = input.to_vec();
    fit(&mut fitted);
    if fitted != input {
        check(&fitted);
    }
}

/// Whether `a` and `b` are the same bytes outside of `loose`: what the format says is zero and no reader looks at, though
/// a checksum covers it.
#[must_use]
pub fn same_outside(loose: &[std::ops::Range<usize>], a: &[u8], b: &[u8]) -> bool {
    let is_loose = |at: usize| loose.iter().any(|range| range.contains(&at));
    a.len() == b.len() && a.iter().zip(b).enumerate().all(|(at, (a, b))| a == b || is_loose(at))
}
