//! What only the ring's inside can show.

use io_uring::opcode;

use super::*;
use crate::{Arena, Backend, BackendConfig, Mode, open};

/// A ring, or none where the system has none to give.
fn ring(mode: Mode) -> Option<(UringBackend, Arena, tempfile::TempDir)> {
    let directory = tempfile::tempdir().unwrap();
    let arena = Arena::new(1 << 16).unwrap();
    let mut config = BackendConfig::new(directory.path());
    config.mode = mode;
    match open(&config, &arena) {
        Ok(Backend::Uring(ring)) => Some((ring, arena, directory)),
        Ok(Backend::Sync(_)) => unreachable!("a ring was asked for"),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

#[test]
fn an_opcode_that_is_not_in_use_is_refused() {
    for mode in [Mode::Uring, Mode::Sqpoll] {
        let Some((mut backend, ..)) = ring(mode) else {
            return;
        };
        let entry = opcode::Nop::new().build().user_data(1);
        // SAFETY: the entry holds no address.
        unsafe { backend.ring.push(&entry) };
        let refused = loop {
            backend.ring.send().unwrap();
            match backend.ring.next() {
                Some(completion) => break completion,
                None => backend.ring.wait(None).unwrap(),
            }
        };
        assert_eq!(refused.user_data(), 1);
        assert_eq!(refused.result(), -libc::EACCES);
    }
}
