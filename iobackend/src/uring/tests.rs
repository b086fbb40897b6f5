//! What only the ring's inside can show.

use io_uring::opcode;

use super::*;
use crate::{Arena, Backend, BackendConfig, FileName, Mode, OpenMode, open};

/// A ring, or none where the system has none to give.
fn ring(mode: Mode) -> Option<(UringBackend, Arena, tempfile::TempDir)> {
    let directory = tempfile::tempdir().unwrap();
    let arena = Arena::new(1 << 16).unwrap();
    let mut config = BackendConfig::new(directory.path());
    config.mode = mode;
    config.direct = false;
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

/// A read of an empty pipe stands for a device that does not answer.
#[test]
fn memory_that_the_kernel_still_holds_is_never_unmapped() {
    const TOKEN: u64 = 4711;
    let Some((mut backend, mut arena, directory)) = ring(Mode::Uring) else {
        return;
    };
    let path = format!("{}/pipe\0", directory.path().display());
    // SAFETY: the path is NUL-terminated and outlives the call.
    let made = unsafe { libc::mkfifo(path.as_ptr().cast(), 0o600) };
    assert_eq!(made, 0);
    let (file, mode) = (FileSlot(0), OpenMode::ReadWrite);
    let name = FileName::new("pipe").unwrap();
    backend.run(OpKind::Open { file, name, mode }).0.unwrap();

    let buffer = arena.take(4096).unwrap();
    let kind = OpKind::Read { file, at: 0, buffer, len: 4096 };
    backend.submit(Op { token: TOKEN, kind }).unwrap();
    assert!(!backend.drain(Duration::ZERO));
    assert_eq!(backend.in_flight(), 1);
    drop(arena);
    // Another thread may not wait for it, and so leaves it at once.
    std::thread::spawn(move || drop(backend)).join().unwrap();
    let mut abandoned = ABANDONED.lock().unwrap();
    let slab = abandoned.first_mut().expect("the operation was kept");
    assert_eq!(slab.get_mut(0).token, TOKEN);
    let OpKind::Read { buffer, .. } = &slab.get_mut(0).kind else {
        panic!("another operation was kept");
    };
    assert!(buffer.iter().all(|&byte| byte == 0));
}
