//! What only the ring's inside can show.

use io_uring::opcode;

use super::*;
use crate::direct::DirectIo;
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

/// What older kernels get: this one takes their flags too.
#[test]
fn every_choice_of_flags_serves() {
    for (first, (name, _)) in setup::CHOICES.iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let mut arena = Arena::new(8192).unwrap();
        let direct = DirectIo::probe(directory.path(), true);
        let files = Files::new(directory.path().into(), 1, direct, Arc::clone(arena.region()));
        let mut notes = Vec::new();
        let set_up = setup::build_entered(2, &setup::CHOICES[first..], &mut notes)
            .and_then(|ring| setup::equip(ring, &files, notes));
        let mut backend = match set_up {
            Ok(setup) => UringBackend::new(setup, files, 2),
            Err(error) => return println!("skipped: {name}: {error}"),
        };
        println!("{}", backend.info());
        let (file, mode) = (FileSlot(0), OpenMode::CreateNew);
        let name = FileName::new("data").unwrap();
        backend.run(OpKind::Open { file, name, mode }).0.unwrap();
        let (at, len) = (0, 4096);
        let mut done = Vec::with_capacity(2);
        for token in 0..100 {
            // Every other one without a wait: polling alone must get there too.
            let buffer = done.pop().and_then(|last: Completion| last.buffer);
            let buffer = buffer.unwrap_or_else(|| arena.take(len).unwrap());
            let kind = OpKind::Write { file, at, buffer, len, durable: true };
            backend.submit(Op { token, kind }).unwrap();
            while done.is_empty() {
                if token.is_multiple_of(2) {
                    backend.wait(None).unwrap();
                } else {
                    std::thread::yield_now();
                }
                backend.poll(&mut done);
            }
            assert_eq!(done[0].token, token);
            assert_eq!(done[0].result, Ok(()));
        }
        backend.waker().wake();
        backend.wait(None).unwrap();
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
