//! What callgrind wrote, summed up.
//!
//! Valgrind does not know the SHA instructions, so under it the chain is hashed by the portable code: thousands of instructions a
//! record that a real machine with those instructions never executes, and that would hide everything else. What the hash
//! functions and all that they call executed is therefore counted apart, and so is what ciphers do: which code of theirs runs
//! depends on the processor as well.
//!
//! The format: <https://valgrind.org/docs/manual/cl-format.html>. Read here as `--compress-strings=no --compress-pos=no
//! --dump-instr=no` make it: a line of cost is a line number and a count, and belongs to the function named last; after
//! `calls=` it is instead what the function named by `cfn=` executed with all that it called.

/// Functions that hash or seal, and whose callees are part of it; those of AWS-LC begin with its name, in Rust as in C.
const HASHING: [&str; 4] = ["diatreme_crypto::", "sha2::", "aws_lc_", "aes_gcm::"];

/// Instructions that a workload executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Without those of hashing.
    pub(crate) own: u64,
    /// Those of the portable hash functions.
    pub(crate) hashing: u64,
}

/// Sums up a whole profile.
///
/// # Errors
/// A line that is not understood, or sums that do not fit the file's own.
pub(crate) fn sum(profile: &str) -> Result<Counts, String> {
    let (mut total, mut hashing, mut said) = (0, 0, None);
    // Functions of AWS-LC that its own file alone sees have names like any function in C: what they call was counted with who
    // called them. Ours are in Rust.
    let (mut ours, mut callee_hashes) = (false, false);
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=") {
            ours = name.contains("::") && !hashes(name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee_hashes = hashes(name);
        } else if line.starts_with("calls=") {
            let inclusive = cost(lines.next().unwrap_or(""))?;
            if callee_hashes && ours {
                hashing += inclusive;
            }
        } else if let Some(sum) = line.strip_prefix("totals:") {
            said = sum.trim().parse().ok();
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            total += cost(line)?;
        }
    }
    if said != Some(total) {
        return Err(format!("the lines of the profile add up to {total}, its own sum is {said:?}"));
    }
    let own = total.checked_sub(hashing).ok_or_else(|| format!("{hashing} of {total} instructions are of hashing"))?;
    Ok(Counts { own, hashing })
}

fn hashes(function: &str) -> bool {
    HASHING.iter().any(|prefix| function.starts_with(prefix))
}

/// The count of a line of cost; none is written where it is 0.
fn cost(line: &str) -> Result<u64, String> {
    let mut words = line.split_ascii_whitespace();
    let counted = words.next().map(|_| words.next().map_or(Ok(0), str::parse));
    match (counted, words.next()) {
        (Some(Ok(count)), None) => Ok(count),
        _ => Err(format!("not a line of cost: {line:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
version: 1
events: Ir

ob=/bin/instructions
fl=log/src/open_frame.rs
fn=diatreme_log::OpenFrame::push
10 100
fi=core/src/ptr.rs
11 20
fe=log/src/open_frame.rs
cob=/lib/libc.so.6
cfn=memcpy
calls=4 0
12 40
cfn=diatreme_crypto::sha256
calls=2 7
12 1010

fn=diatreme_crypto::sha256
7 300
cfn=memcpy
calls=2 0
8 10
cfn=sha2::sha256::compress256
calls=2 1
9 700

fn=sha2::sha256::compress256
1 700

fn=memcpy
0 50

totals: 1170
";

    #[test]
    fn hashing_and_what_it_calls_is_counted_apart() {
        assert_eq!(sum(PROFILE), Ok(Counts { own: 160, hashing: 1010 }));
    }

    #[test]
    fn a_profile_that_does_not_add_up_is_refused() {
        assert!(sum(&PROFILE.replace("0 50\n", "0 51\n")).is_err());
        assert!(sum(&PROFILE.replace("totals: 1170\n", "")).is_err());
        assert!(sum(&PROFILE.replace("7 300\n", "7 300 4\n")).is_err(), "two events");
    }
}
