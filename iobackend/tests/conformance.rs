//! One suite for every backend, on a disk and in memory, and for the simulated one.
//!
//! Each test runs on each backend that this system allows and in each place
//! that it has; what is left out is printed. So a fact that holds of the ring
//! and not of the synchronous backend, or the other way round, is a failure.

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{BLOCK, assert_panics, drain, every_backend, read, submit, write};
use iobackend::{BackendKind, FileName, FileSlot, IoError, Op, OpKind, OpenMode, Operation};

const FILE: FileSlot = FileSlot(0);

/// A backend is made on one thread and moved to its shard's; wakers go anywhere.
const fn threads<B: Send, W: Send + Sync>() {}
const _: () = threads::<iobackend::Backend, iobackend::Waker>();

#[test]
fn what_was_written_is_read_back() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        for (block, durable) in [(0, false), (1, true), (2, false)] {
            let mut buffer = bench.buffer();
            buffer.fill(block as u8 + 1);
            let (result, buffer) = bench.backend.run(write(FILE, block, buffer, durable));
            result.unwrap();
            bench.give_back(buffer);
        }
        bench.backend.run(OpKind::Flush { file: FILE }).0.unwrap();
        for block in 0..3 {
            let buffer = bench.buffer();
            let (result, buffer) = bench.backend.run(read(FILE, block, buffer));
            result.unwrap();
            let buffer = buffer.unwrap();
            assert!(buffer[..BLOCK].iter().all(|&byte| byte == block as u8 + 1));
            bench.give_back(Some(buffer));
        }
        assert_eq!(bench.backend.length(FILE).unwrap(), 3 * BLOCK as u64);
    });
}

#[test]
fn a_full_backend_gives_the_operation_back() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        let depth = bench.backend.depth();
        for token in 0..depth as u64 {
            submit(&mut bench.backend, token, OpKind::Flush { file: FILE });
        }
        assert_eq!(bench.backend.in_flight(), depth);
        let buffer = bench.buffer();
        let address = buffer.as_ptr();
        let refused = bench.backend.submit(Op { token: 77, kind: write(FILE, 0, buffer, false) });
        let op = refused.unwrap_err();
        assert_eq!(op.token, 77);
        assert_eq!(op.kind.into_buffer().unwrap().as_ptr(), address);
        assert_eq!(drain(&mut bench.backend).len(), depth);
        assert_eq!(bench.backend.in_flight(), 0);
        submit(&mut bench.backend, 78, OpKind::Flush { file: FILE });
        assert_eq!(drain(&mut bench.backend).len(), 1);
    });
}

#[test]
fn every_token_comes_back_once_with_its_own_buffer() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        let depth = bench.backend.depth();
        let mut owed = HashSet::new();
        let mut seen = HashSet::new();
        let mut spare: Vec<_> = (0..depth).map(|_| bench.buffer()).collect();
        let mut done = Vec::new();
        let mut next = 0u64;
        while seen.len() < 200 {
            while next < 200 && bench.backend.in_flight() < depth {
                let mut buffer = spare.pop().unwrap();
                buffer[..8].copy_from_slice(&next.to_le_bytes());
                let durable = next.is_multiple_of(3);
                submit(&mut bench.backend, next, write(FILE, next, buffer, durable));
                owed.insert(next);
                next += 1;
            }
            bench.backend.poll(&mut done);
            if done.is_empty() {
                bench.backend.wait(None).unwrap();
            }
            for completion in done.drain(..) {
                completion.result.unwrap();
                assert!(owed.remove(&completion.token), "{} is not owed", completion.token);
                seen.insert(completion.token);
                let buffer = completion.buffer.unwrap();
                assert_eq!(buffer[..8], completion.token.to_le_bytes());
                spare.push(buffer);
            }
        }
        assert!(owed.is_empty());
        let (result, buffer) = bench.backend.run(read(FILE, 137, spare.pop().unwrap()));
        result.unwrap();
        assert_eq!(buffer.unwrap()[..8], 137u64.to_le_bytes());
    });
}

#[test]
fn reading_past_the_end_is_short() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        let mut buffer = bench.buffers(2);
        buffer.fill(9);
        let (result, buffer) = bench.backend.run(write(FILE, 0, buffer, false));
        result.unwrap();
        let (file, at, len) = (FILE, 0, 2 * BLOCK);
        let buffer = buffer.unwrap();
        let (result, buffer) = bench.backend.run(OpKind::Read { file, at, buffer, len });
        let short = |wanted, got| IoError::Short { operation: Operation::Read, wanted, got };
        assert_eq!(result.unwrap_err(), short(2 * BLOCK, BLOCK));
        let at = 64 * BLOCK as u64;
        let buffer = buffer.unwrap();
        let (result, buffer) = bench.backend.run(OpKind::Read { file, at, buffer, len });
        assert_eq!(result.unwrap_err(), short(2 * BLOCK, 0));
        assert!(buffer.is_some());
    });
}

#[test]
fn opening_says_what_is_missing_and_what_exists() {
    every_backend(|bench| {
        let error = bench.open(FILE, "absent", OpenMode::ReadWrite).unwrap_err();
        assert!(error.is_not_found(), "{error}");
        assert_eq!(error.operation(), Operation::Open);
        let error = bench.open(FILE, "absent/file", OpenMode::CreateNew).unwrap_err();
        assert!(error.is_not_found(), "{error}");
        bench.create(FILE, "data");
        let error = bench.open(FileSlot(1), "data", OpenMode::CreateNew).unwrap_err();
        assert!(error.kind() == std::io::ErrorKind::AlreadyExists, "{error}");
        bench.open(FileSlot(1), "data", OpenMode::ReadWrite).unwrap();
    });
}

#[test]
fn a_failed_open_leaves_the_slot_and_a_good_one_replaces_it() {
    every_backend(|bench| {
        bench.create(FILE, "first");
        let buffer = bench.buffer();
        bench.backend.run(write(FILE, 0, buffer, false)).0.unwrap();
        bench.open(FILE, "absent", OpenMode::ReadOnly).unwrap_err();
        assert_eq!(bench.backend.length(FILE).unwrap(), BLOCK as u64);
        bench.create(FILE, "second");
        assert_eq!(bench.backend.length(FILE).unwrap(), 0);
        let buffer = bench.buffer();
        bench.backend.run(write(FILE, 4, buffer, false)).0.unwrap();
        assert_eq!(bench.backend.length(FILE).unwrap(), 5 * BLOCK as u64);
        bench.open(FILE, "first", OpenMode::ReadOnly).unwrap();
        assert_eq!(bench.backend.length(FILE).unwrap(), BLOCK as u64);
    });
}

#[test]
fn a_slot_without_a_file_is_an_error_and_the_buffer_returns() {
    every_backend(|bench| {
        let bad = |result: Result<(), IoError>| {
            let error = result.unwrap_err();
            assert!(matches!(error, IoError::Os { errno: libc::EBADF, .. }), "{error}");
        };
        let buffer = bench.buffer();
        let (result, buffer) = bench.backend.run(write(FileSlot(3), 0, buffer, true));
        bad(result);
        let (result, buffer) = bench.backend.run(read(FileSlot(3), 0, buffer.unwrap()));
        bad(result);
        assert!(buffer.is_some());
        bad(bench.backend.run(OpKind::Flush { file: FileSlot(3) }).0);
        let allocate = OpKind::Allocate { file: FileSlot(3), len: 4096 };
        bad(bench.backend.run(allocate).0);
        assert!(bench.backend.length(FileSlot(3)).is_err());
        assert!(bench.backend.truncate(FileSlot(3), 0).is_err());
    });
}

#[test]
fn a_file_open_for_reading_is_not_written() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        bench.open(FILE, "data", OpenMode::ReadOnly).unwrap();
        let mut buffer = Some(bench.buffer());
        for durable in [false, true] {
            let (result, returned) = bench.backend.run(write(FILE, 0, buffer.unwrap(), durable));
            let error = result.unwrap_err();
            assert_eq!(error, IoError::Os { operation: Operation::Write, errno: libc::EBADF });
            buffer = returned;
        }
        assert!(buffer.is_some());
        assert_eq!(bench.backend.length(FILE).unwrap(), 0);
    });
}

/// One that failed must not take those beside it along: of two entries each, they stand next to one another in one queue.
#[test]
fn durable_writes_fail_one_by_one() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        let depth = bench.backend.depth() as u64;
        for token in 0..depth {
            let slot = if token.is_multiple_of(3) { FileSlot(3) } else { FILE };
            let mut buffer = bench.buffer();
            buffer.fill(token as u8 + 1);
            submit(&mut bench.backend, token, write(slot, token, buffer, true));
        }
        let done = drain(&mut bench.backend);
        assert_eq!(done.len() as u64, depth);
        for completion in done {
            let error = IoError::Os { operation: Operation::Write, errno: libc::EBADF };
            let expected = if completion.token.is_multiple_of(3) { Err(error) } else { Ok(()) };
            assert_eq!(completion.result, expected, "{}", completion.token);
            bench.give_back(completion.buffer);
            if expected.is_ok() {
                let buffer = bench.buffer();
                let (result, buffer) = bench.backend.run(read(FILE, completion.token, buffer));
                result.unwrap();
                assert_eq!(buffer.as_ref().unwrap()[0], completion.token as u8 + 1);
                bench.give_back(buffer);
            }
        }
    });
}

#[test]
fn allocating_lengthens_and_never_shortens() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        for (len, then) in [(1 << 20, 1 << 20), (4096, 1 << 20)] {
            let allocate = OpKind::Allocate { file: FILE, len };
            bench.backend.run(allocate).0.unwrap();
            assert_eq!(bench.backend.length(FILE).unwrap(), then);
        }
        let (result, buffer) = {
            let buffer = bench.buffer();
            bench.backend.run(read(FILE, 3, buffer))
        };
        result.unwrap();
        assert!(buffer.unwrap().iter().all(|&byte| byte == 0));
    });
}

#[test]
fn directories_are_made_listed_and_flushed() {
    every_backend(|bench| {
        let backend = &mut bench.backend;
        backend.create_directory("shard-0001").unwrap();
        backend.create_directory("shard-0001").unwrap();
        assert_eq!(backend.list("shard-0001").unwrap(), Vec::<String>::new());
        bench.create(FILE, "shard-0001/b");
        bench.create(FILE, "shard-0001/a");
        let backend = &mut bench.backend;
        assert_eq!(backend.list("shard-0001").unwrap(), ["a", "b"]);
        assert_eq!(backend.list(".").unwrap(), ["shard-0001"]);
        let absent = backend.list("shard-0002").unwrap_err();
        assert_eq!(absent.kind(), std::io::ErrorKind::NotFound);
        for (name, exists) in [("shard-0001", true), (".", true), ("shard-0002", false)] {
            let name = FileName::new(name).unwrap();
            let (result, _) = backend.run(OpKind::FlushDirectory { name });
            assert_eq!(result.is_ok(), exists);
        }
        // A file in a directory's place is not taken for one.
        assert!(backend.create_directory("shard-0001/a").is_err());
        let name = FileName::new("shard-0001/a").unwrap();
        let (result, _) = backend.run(OpKind::FlushDirectory { name });
        assert!(result.is_err());
    });
}

#[test]
fn names_that_leave_the_root_are_refused() {
    every_backend(|bench| {
        let backend = &mut bench.backend;
        for name in ["..", "/tmp", "a/../../b"] {
            let refusals = [backend.list(name).err(), backend.create_directory(name).err(), backend.remove(name).err()];
            for error in refusals {
                assert_eq!(error.unwrap().kind(), std::io::ErrorKind::InvalidInput);
            }
        }
    });
}

#[test]
fn truncating_and_removing() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        let buffer = bench.buffers(4);
        let (file, at, len) = (FILE, 0, 4 * BLOCK);
        let kind = OpKind::Write { file, at, buffer, len, durable: false };
        bench.backend.run(kind).0.unwrap();
        bench.backend.truncate(FILE, BLOCK as u64).unwrap();
        assert_eq!(bench.backend.length(FILE).unwrap(), BLOCK as u64);
        bench.backend.remove("data").unwrap();
        let absent = bench.backend.remove("data").unwrap_err();
        assert_eq!(absent.kind(), std::io::ErrorKind::NotFound);
        assert_eq!(bench.backend.list(".").unwrap(), Vec::<String>::new());
        // The slot still holds the file that lost its name.
        let buffer = bench.buffer();
        bench.backend.run(read(FILE, 0, buffer)).0.unwrap();
        assert!(bench.backend.length(FILE).is_err());
    });
}

#[test]
fn a_wake_before_the_wait_ends_it() {
    every_backend(|bench| {
        bench.backend.waker().wake();
        bench.backend.wait(None).unwrap(); // would never return without it
    });
}

#[test]
fn a_wake_from_another_thread_ends_the_wait() {
    every_backend(|bench| {
        let waker = bench.backend.waker();
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for number in 0..300u32 {
                sender.send(number).unwrap();
                waker.wake();
            }
        });
        // Waits may end early, but never too late: the number was sent before the wake.
        let mut next = 0;
        while next < 300 {
            match receiver.try_recv() {
                Ok(number) => {
                    assert_eq!(number, next);
                    next += 1;
                }
                Err(_) => bench.backend.wait(None).unwrap(),
            }
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_wait_ends_when_its_time_is_over() {
    every_backend(|bench| {
        bench.backend.wait(Some(Duration::ZERO)).unwrap();
        bench.backend.wait(Some(Duration::from_millis(2))).unwrap();
    });
}

#[test]
fn a_completion_ends_the_wait_and_a_wake_beside_it_disturbs_nothing() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        for token in 0..50 {
            let buffer = bench.buffer();
            submit(&mut bench.backend, token, write(FILE, token, buffer, true));
            bench.backend.waker().wake();
            let done = drain(&mut bench.backend);
            assert_eq!(done.len(), 1);
            assert_eq!(done[0].token, token);
            bench.give_back(done.into_iter().next().and_then(|done| done.buffer));
        }
    });
}

#[test]
fn operations_of_a_dropped_backend_cannot_touch_freed_memory() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        let depth = bench.backend.depth() as u64;
        for token in 0..depth {
            let buffer = bench.buffer();
            let kind =
                if token.is_multiple_of(2) { write(FILE, token, buffer, true) } else { read(FILE, token, buffer) };
            submit(&mut bench.backend, token, kind);
            if token == depth / 2 {
                bench.backend.poll(&mut Vec::with_capacity(depth as usize));
            }
        }
        // The bench, and so backend and arena, are dropped here.
    });
}

#[test]
fn a_backend_dropped_unused_or_elsewhere_does_no_harm() {
    every_backend(|bench| {
        let buffer = bench.buffer();
        submit(&mut bench.backend, 0, read(FILE, 0, buffer));
    });
    every_backend(|bench| {
        std::thread::scope(|scope| {
            let shard = scope.spawn(|| {
                bench.create(FILE, "data");
                let buffer = bench.buffer();
                submit(&mut bench.backend, 0, write(FILE, 0, buffer, true));
                bench.backend.poll(&mut Vec::with_capacity(1));
            });
            shard.join().unwrap();
        });
        // The thread that the ring is bound to is gone; this one drops it.
    });
}

#[test]
fn our_own_bugs_are_panics() {
    every_backend(|bench| {
        bench.create(FILE, "data");
        let foreign = iobackend::Arena::new(BLOCK).unwrap().take(BLOCK).unwrap();
        if bench.backend.info().kind != BackendKind::Simulated {
            assert_panics(&mut bench.backend, write(FILE, 0, foreign, false));
        }
        let kinds = [
            OpKind::Flush { file: FileSlot(999) },
            OpKind::Allocate { file: FILE, len: 0 },
            write(FILE, u64::MAX / BLOCK as u64, bench.buffer(), false),
            OpKind::Read { file: FILE, at: 0, buffer: bench.buffer(), len: 2 * BLOCK },
            OpKind::Read { file: FILE, at: 0, buffer: bench.buffer(), len: 0 },
        ];
        for kind in kinds {
            assert_panics(&mut bench.backend, kind);
        }
        let info = bench.backend.info();
        if info.direct {
            let len = info.alignment / 2;
            let buffer = bench.buffer();
            let kind = OpKind::Read { file: FILE, at: 0, buffer, len };
            assert_panics(&mut bench.backend, kind);
        }
        let (name, mode) = (FileName::new("data").unwrap(), OpenMode::ReadWrite);
        submit(&mut bench.backend, 0, OpKind::Open { file: FILE, name, mode });
        let early = OpKind::Flush { file: FILE };
        assert_panics(&mut bench.backend, early);
        assert_eq!(drain(&mut bench.backend).len(), 1);
    });
}
