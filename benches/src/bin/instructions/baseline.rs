//! The committed counts, and how a run compares with them.
//!
//! A line a fact: `tool NAME TEXT` for what the counts came from, `count NAME NUMBER` for instructions an operation, and
//! comments that begin with `#`.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A workload may not take more than this over its baseline, in percent.
pub(crate) const RISE_MAX: f64 = 5.0;

/// What was counted, with what.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Baseline {
    /// Versions, by the tool's name.
    pub(crate) tools: BTreeMap<String, String>,
    /// Instructions an operation, by the workload's name.
    pub(crate) counts: BTreeMap<String, f64>,
}

/// How a count compares with its baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// By so many percent, within bounds.
    Small(f64),
    /// More than [`RISE_MAX`] over it.
    Rise(f64),
    /// As far below it.
    Fall(f64),
    /// There is no baseline for it.
    New,
}

impl Baseline {
    /// Reads the text of a baseline.
    ///
    /// # Errors
    /// The number of the line that is none, and what it says.
    pub(crate) fn parse(text: &str) -> Result<Baseline, String> {
        let mut baseline = Baseline::default();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.trim().splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some(""), ..) => {}
                (Some(word), ..) if word.starts_with('#') => {}
                (Some("tool"), Some(name), Some(text)) => {
                    baseline.tools.insert(name.into(), text.into());
                }
                (Some("count"), Some(name), Some(text)) if text.parse().is_ok_and(|count: f64| count > 0.0) => {
                    baseline.counts.insert(name.into(), text.parse().unwrap_or_default());
                }
                _ => return Err(format!("line {}: neither a tool nor a count: {line:?}", number + 1)),
            }
        }
        Ok(baseline)
    }

    /// The text that [`parse`](Self::parse) reads.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::from(
            "# Instructions an operation, those of hashing left out. Written by `ci/bench-gate --update`, read by\n\
             # `ci/bench-gate`. Other tools and processors than these may give other counts of the same code.\n",
        );
        for (name, version) in &self.tools {
            _ = writeln!(text, "tool {name} {version}");
        }
        for (name, count) in &self.counts {
            _ = writeln!(text, "count {name} {count:.2}");
        }
        text
    }

    /// How `count` compares with what stands here.
    pub(crate) fn change(&self, name: &str, count: f64) -> Change {
        let Some(before) = self.counts.get(name) else {
            return Change::New;
        };
        // As precise as the file; and adding nothing makes a negative zero a plain one.
        let percent = ((count / before - 1.0) * 10_000.0).round() / 100.0 + 0.0;
        match percent {
            _ if percent > RISE_MAX => Change::Rise(percent),
            _ if percent < -RISE_MAX => Change::Fall(percent),
            _ => Change::Small(percent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline() -> Baseline {
        Baseline {
            tools: [("rustc".to_owned(), "rustc 1.95.0 (59807616e 2026-04-14)".to_owned())].into(),
            counts: [("apply".to_owned(), 100.0), ("turn".to_owned(), 4321.25)].into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Baseline::parse(&baseline().to_text()), Ok(baseline()));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for line in ["counts a 1", "count a", "count a b", "count a 0", "count a -1", "count a NaN", "tool x"] {
            let text = format!("# counts\n\n{line}\n");
            let refused = Baseline::parse(&text).unwrap_err();
            assert!(refused.starts_with("line 3:") && refused.contains(line), "{refused}");
        }
    }

    #[test]
    fn five_percent_more_are_too_many() {
        let baseline = baseline();
        assert_eq!(baseline.change("apply", 100.0), Change::Small(0.0));
        assert!(matches!(baseline.change("apply", 105.0), Change::Small(_)));
        assert!(matches!(baseline.change("apply", 105.1), Change::Rise(_)));
        assert!(matches!(baseline.change("apply", 94.9), Change::Fall(_)));
        assert_eq!(baseline.change("other", 1.0), Change::New);
    }
}
