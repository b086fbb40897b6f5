//! Memory: how much, in which pages, whether it may be taken away again, and who watches it.

use super::processor::field;
use super::root::Root;

#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) bytes: Option<u64>,
    /// The choice of three that is in brackets: `always`, `madvise` or `never`.
    pub(crate) huge_pages: Option<String>,
    /// Whether a page fault waits until memory is compacted.
    pub(crate) huge_page_defrag: Option<String>,
    /// The files and devices that memory is swapped to.
    pub(crate) swaps: Option<Vec<String>>,
    pub(crate) swappiness: Option<u32>,
    /// Whether the kernel moves pages between nodes after the accesses that it samples.
    pub(crate) numa_balancing: Option<bool>,
    /// The files that turn a kernel thread on which samples everybody's accesses (DAMON), those that are seen to be on. Without a
    /// privilege most cannot be read.
    pub(crate) damon: Vec<String>,
}

impl Memory {
    pub(crate) fn read(root: &Root) -> Memory {
        let huge = |name: &str| chosen(&root.text(&format!("/sys/kernel/mm/transparent_hugepage/{name}"))?);
        Memory {
            bytes: root.text("/proc/meminfo").and_then(|text| kibibytes(field(&text, "MemTotal")?)),
            huge_pages: huge("enabled"),
            huge_page_defrag: huge("defrag"),
            swaps: root.text("/proc/swaps").and_then(|text| swaps(&text)),
            swappiness: root.number("/proc/sys/vm/swappiness"),
            // A number of modes; without several nodes the kernel may have no such file.
            numa_balancing: root.number::<u32>("/proc/sys/kernel/numa_balancing").map(|modes| modes != 0),
            damon: damon(root),
        }
    }
}

fn damon(root: &Root) -> Vec<String> {
    const OWN: &str = "/sys/kernel/mm/damon/admin/kdamonds";
    let modules = ["damon_reclaim", "damon_lru_sort"].map(|name| format!("/sys/module/{name}/parameters/enabled"));
    let own = root.names(OWN).into_iter().map(|number| format!("{OWN}/{number}/state"));
    let is_on = |file: &String| root.word(file).is_some_and(|state| ["Y", "on"].contains(&state.as_str()));
    modules.into_iter().chain(own).filter(is_on).collect()
}

/// `24684092 kB`, in bytes.
fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What stands in brackets: `always [madvise] never`.
pub(crate) fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(chosen, _)| chosen.to_owned())
}

/// The first column below its title.
fn swaps(text: &str) -> Option<Vec<String>> {
    let mut lines = text.lines().map(|line| line.split_whitespace().next());
    let titled = lines.next()? == Some("Filename");
    titled.then(|| lines.flatten().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_choices_and_swaps_are_read() {
        assert_eq!(kibibytes("24684092 kB"), Some(24_684_092 * 1024));
        assert_eq!((kibibytes("12"), kibibytes("x kB"), kibibytes("18446744073709551615 kB")), (None, None, None));
        assert_eq!(chosen("always defer [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!((chosen("none"), chosen("[cut"), chosen("")), (None, None, None));
        let text = "Filename\t\t\tType\t\tSize\n/dev/dm-1  partition\t999\n/swap.img  file\t9\n";
        assert_eq!(swaps(text), Some(vec!["/dev/dm-1".into(), "/swap.img".into()]));
        assert_eq!((swaps("Filename\n"), swaps(""), swaps("x y\n")), (Some(vec![]), None, None));
    }
}
