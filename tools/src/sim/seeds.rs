//! A range of seeds, as `A..B` or `A..`.

use std::str::FromStr;

/// Seeds from one on, up to and without another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seeds {
    pub(super) first: u64,
    /// None: until something else ends it.
    pub(super) end: Option<u64>,
}

impl Seeds {
    /// How many there are.
    pub(super) fn count(self) -> Option<u64> {
        self.end.map(|end| end - self.first)
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        const FORM: &str = "seeds are given as A..B, which is A to B - 1, or as A.. with --minutes";
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is no seed; {FORM}"));
        let (first, end) = text.split_once("..").ok_or_else(|| FORM.to_owned())?;
        let first = number(first)?;
        let end = if end.is_empty() { None } else { Some(number(end)?) };
        if end.is_some_and(|end| end <= first) {
            return Err(format!("no seed lies in {text}: the second number is where to stop, and must be larger"));
        }
        Ok(Seeds { first, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_a_beginning_and_perhaps_an_end() {
        let range: Seeds = "3..10".parse().unwrap();
        assert_eq!((range, range.count()), (Seeds { first: 3, end: Some(10) }, Some(7)));
        assert_eq!("7..".parse(), Ok(Seeds { first: 7, end: None }));
        for wrong in ["", "7", "..7", "a..b", "1..-2", "5..5", "9..5", "1..=3"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong:?}");
        }
    }
}
