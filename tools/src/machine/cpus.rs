//! Sets of CPUs, in the kernel's notation.

use std::fmt::Write;

/// No kernel is built for more; a longer range is no list of CPUs.
const CPU_MAX: usize = 8191;

/// The CPUs of a list such as `0-3,8`, ascending; nothing for `(null)` or an empty one. `None` if it is no list.
pub(crate) fn parse(list: &str) -> Option<Vec<usize>> {
    let list = list.trim();
    if list.is_empty() || list == "(null)" {
        return Some(Vec::new());
    }
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        // A stride, `0-15:2/4`, is taken by the command line only.
        let (last, stride) = match last.split_once(':') {
            Some((last, stride)) => (last, Some(stride)),
            None => (last, None),
        };
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        if first > last || last > CPU_MAX {
            return None;
        }
        let (used, group) = match stride {
            Some(stride) => stride.split_once('/').and_then(|(used, group)| {
                Some((used.parse::<usize>().ok()?, group.parse::<usize>().ok().filter(|group| *group > 0)?))
            })?,
            None => (1, 1),
        };
        cpus.extend((first..=last).filter(|cpu| (cpu - first) % group < used));
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// The list of CPUs, which are ascending: `0-3,8`.
pub(crate) fn list(cpus: &[usize]) -> String {
    let mut text = String::new();
    for run in cpus.chunk_by(|before, after| before + 1 == *after) {
        let (first, last) = (run[0], run[run.len() - 1]);
        let comma = if text.is_empty() { "" } else { "," };
        let _infallible =
            if first == last { write!(text, "{comma}{first}") } else { write!(text, "{comma}{first}-{last}") };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        for (text, cpus) in [("0", vec![0]), ("0-3,8\n", vec![0, 1, 2, 3, 8]), ("7,1-2", vec![1, 2, 7]), ("", vec![])] {
            assert_eq!(parse(text).as_deref(), Some(&cpus[..]), "{text:?}");
        }
        assert_eq!(parse("0-15:2/4"), Some(vec![0, 1, 4, 5, 8, 9, 12, 13]));
        assert_eq!(parse("(null)\n"), Some(vec![]), "nohz_full where the kernel has it and nobody asked for it");
        assert_eq!(list(&[0, 1, 2, 3, 8, 10, 11]), "0-3,8,10-11");
        assert_eq!(list(&[]), "");
    }

    #[test]
    fn what_is_no_list_is_none() {
        for text in ["a", "1-", "-1", "3-1", "0,,1", "0-99999999999999999999", "0-100000", "0-7:1/0", "0-7:1", "ff,ff"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
