//! Guards against a process that says it leaves no core dump and does. In a test of its own: the process stays so.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "only tests are here")]

#[test]
fn a_process_that_is_not_to_be_dumped_is_not() {
    assert!(diatreme_crypto::secret::undump_process());
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    assert!(diatreme_crypto::secret::undump_process(), "again");
}
