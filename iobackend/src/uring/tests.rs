//! What only the ring's inside can show.

use std::panic::{AssertUnwindSafe, catch_unwind};

use io_uring::opcode;

use super::slab::Halves;
use super::*;
use crate::direct::DirectIo;
use crate::{Arena, Backend, BackendConfig, DurableWrite, FileName, Mode, OpenMode, open};

/// A ring, or none where the system has none to give.
fn ring(mode: Mode) -> Option<(UringBackend, Arena, tempfile::TempDir)> {
    ring_with(mode, DurableWrite::Dsync)
}

fn ring_with(mode: Mode, durable_write: DurableWrite) -> Option<(UringBackend, Arena, tempfile::TempDir)> {
    let directory = tempfile::tempdir().unwrap();
    let arena = Arena::new(1 << 16).unwrap();
    let mut config = BackendConfig::new(directory.path());
    config.mode = mode;
    config.durable_write = durable_write;
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
        for durable_write in [DurableWrite::Dsync, DurableWrite::LinkedFlush] {
            let directory = tempfile::tempdir().unwrap();
            let arena = Arena::new(8192).unwrap();
            let direct = DirectIo::probe(directory.path(), true);
            let files = Files::new(directory.path().into(), 1, direct, Arc::clone(arena.region()));
            let mut notes = Vec::new();
            let set_up = setup::build_entered(setup::entries(2, durable_write), &setup::CHOICES[first..], &mut notes)
                .and_then(|ring| setup::equip(ring, durable_write, &files, notes));
            match set_up {
                Ok(setup) => write_durably(UringBackend::new(setup, files, 2), arena),
                Err(error) => return println!("skipped: {name}: {error}"),
            }
        }
    }
}

fn write_durably(mut backend: UringBackend, mut arena: Arena) {
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

/// A ring with a file in slot 0.
fn ring_with_a_file(durable_write: DurableWrite) -> Option<(UringBackend, Arena, tempfile::TempDir)> {
    let (mut backend, arena, directory) = ring_with(Mode::Uring, durable_write)?;
    let (file, mode) = (FileSlot(0), OpenMode::CreateNew);
    let name = FileName::new("data").unwrap();
    backend.run(OpKind::Open { file, name, mode }).0.unwrap();
    Some((backend, arena, directory))
}

fn durable_write(arena: &mut Arena) -> Op {
    let (file, at, len) = (FileSlot(0), 0, 4096);
    let buffer = arena.take(len).unwrap();
    Op { token: 5, kind: OpKind::Write { file, at, buffer, len, durable: true } }
}

/// The kernel stops taking entries where one is refused. Had it stopped between a write and its flush, the flush would have
/// begun on its own, perhaps before the write had ended.
#[test]
fn a_flush_that_may_have_come_before_its_write_is_made_again() {
    let Some((mut backend, mut arena, _directory)) = ring_with_a_file(DurableWrite::LinkedFlush) else {
        return;
    };
    let refused = opcode::Nop::new().build().user_data(WAKER_KEY);
    // SAFETY: the entry holds no address.
    unsafe { backend.ring.push(&refused) };
    backend.submit(durable_write(&mut arena)).unwrap();
    backend.ring.send().unwrap();
    assert!(backend.ring.take_parted(), "the kernel took all of it");
    backend.distrust_links();
    let mut flushes = 0;
    let whole = loop {
        backend.ring.wait(None).unwrap();
        let Some(completion) = backend.ring.next() else { continue };
        if completion.user_data() == WAKER_KEY {
            continue;
        }
        flushes += u32::from(completion.user_data() == FLUSH_HALF);
        if let Some(whole) = backend.half_answered(completion.user_data(), completion.result()) {
            break whole;
        }
    };
    assert_eq!((whole, flushes), (4096, 2));
    backend.slab.remove(0);
}

/// What the two completions of a linked write may say, and what is told.
#[test]
fn a_write_and_its_flush_are_told_as_one() {
    const CANCELED: i32 = -libc::ECANCELED;
    let told = |write, flush| Halves { write, flush, parted: false }.whole(4096);
    for (write, flush, expected) in [
        (4096, 0, 4096),
        (4096, -libc::EIO, -libc::EIO),
        (4096, CANCELED, CANCELED),
        (512, CANCELED, 512),
        (512, 0, 512),
        (0, CANCELED, 0),
        (-libc::ENOSPC, CANCELED, -libc::ENOSPC),
        (-libc::ENOSPC, 0, -libc::ENOSPC),
        // The flush was refused, so the write before it was not begun.
        (CANCELED, -libc::EACCES, -libc::EACCES),
        (CANCELED, CANCELED, CANCELED),
        (CANCELED, 0, CANCELED),
    ] {
        assert_eq!(told(Some(write), Some(flush)), Some(expected), "{write}, {flush}");
        assert_eq!(told(Some(write), None), None);
        assert_eq!(told(None, Some(flush)), None);
    }
}

#[test]
fn a_slot_is_not_taken_from_under_a_flush() {
    let Some((mut backend, mut arena, _directory)) = ring_with_a_file(DurableWrite::LinkedFlush) else {
        return;
    };
    let write = durable_write(&mut arena);
    backend.submit(write).unwrap();
    let (name, mode) = (FileName::new("data").unwrap(), OpenMode::ReadWrite);
    let mut open_into = |file| {
        let submitted = AssertUnwindSafe(|| backend.submit(Op { token: 6, kind: OpKind::Open { file, name, mode } }));
        catch_unwind(submitted).is_ok()
    };
    assert!(!open_into(FileSlot(0)));
    assert!(open_into(FileSlot(1)));
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
    let mut abandoned = ABANDONED.lock();
    let slab = abandoned.first_mut().expect("the operation was kept");
    assert_eq!(slab.get_mut(0).token, TOKEN);
    let OpKind::Read { buffer, .. } = &slab.get_mut(0).kind else {
        panic!("another operation was kept");
    };
    assert!(buffer.iter().all(|&byte| byte == 0));
}
