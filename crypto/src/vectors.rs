//! Published vectors for the known-answer tests: response files of NIST's validation program, as they are in `tests/data`.
//!
//! Cases are blocks of `Name = value` lines; a line `FAIL` stands where what was to be opened must not open. Lines in brackets
//! head a section and repeat what the values show.

/// A block of lines.
pub(crate) struct Case<'a>(&'a str);

pub(crate) fn cases(file: &str) -> impl Iterator<Item = Case<'_>> {
    file.split("\n\n").filter(|block| !block.starts_with(['#', '['])).map(Case)
}

impl Case<'_> {
    /// A value, if the case has it.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" =")).map(str::trim)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        bytes(self.find(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0)))
    }

    pub(crate) fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap()
    }

    pub(crate) fn must_fail(&self) -> bool {
        self.0.lines().any(|line| line == "FAIL")
    }
}

/// Bytes from hexadecimal digits.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let (digits, odd) = hex.as_bytes().as_chunks::<2>();
    assert!(odd.is_empty(), "{hex}");
    digits.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
