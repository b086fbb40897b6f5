//! What a system may refuse: rings, locked memory, space, direct I/O,
//! allocation. Each refusal is made real on a thread of its own, which takes
//! the restriction with it when it ends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::{BLOCK, KINDS, bench, read, write};
use iobackend::{
    Arena, Backend, BackendConfig, BackendKind, DurableWrite, FileSlot, IoBackend, IoError, Mode, OpKind, OpenError,
    Operation, RingError, open,
};

const FILE: FileSlot = FileSlot(0);

/// Runs `test` on a thread of its own.
fn apart(test: impl FnOnce() + Send) {
    let ended = std::thread::scope(|scope| scope.spawn(test).join());
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes `io_uring_setup` fail with `errno` on this thread.
fn forbid_rings(errno: i32) -> io::Result<()> {
    let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        // The first field of what a filter sees is the call's number.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program outlives the calls and has the length told; both
    // calls change this thread alone.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program))
    }
}

/// Mounts a file system on `place`, for this thread alone.
fn mount_privately(kind: &str, options: &str, place: &Path) -> io::Result<()> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
    let (kind, options) = (text(kind.as_bytes())?, text(options.as_bytes())?);
    let place = text(place.as_os_str().as_bytes())?;
    let (none, all) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
    // SAFETY: all strings are C strings that outlive the calls; the thread's
    // own mount namespace keeps the mounts from everybody else.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        check(libc::mount(none, c"/".as_ptr(), none, all, std::ptr::null()))?;
        check(libc::mount(none, place.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()))
    }
}

/// Runs `test` for each kind of backend on a fresh, private mount, or says that it cannot.
fn on_mount(kind: &'static str, options: &'static str, test: impl Fn(&mut common::Bench) + Sync) {
    for kind_of_backend in KINDS {
        let place = tempfile::tempdir().unwrap();
        apart(|| {
            if let Err(error) = mount_privately(kind, options, place.path()) {
                println!("skipped: mounting {kind}: {error}");
            } else if let Some(mut bench) = bench(kind_of_backend, true, place.path()) {
                println!("{}", bench.backend.info());
                test(&mut bench);
            }
        });
    }
}

#[test]
fn a_forbidden_ring_leads_to_the_synchronous_backend_or_to_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let arena = Arena::new(BLOCK).unwrap();
    for (errno, hint) in [(libc::EPERM, "seccomp"), (libc::ENOSYS, "no io_uring")] {
        apart(|| {
            if let Err(error) = forbid_rings(errno) {
                println!("skipped: seccomp: {error}");
                return;
            }
            let mut config = BackendConfig::new(directory.path());
            let backend = open(&config, &arena).unwrap();
            assert!(matches!(backend, Backend::Sync(_)));
            assert_eq!(backend.info().kind, BackendKind::Sync);
            assert!(backend.info().notes[0].contains(hint), "{}", backend.info());
            for mode in [Mode::Uring, Mode::Sqpoll] {
                config.mode = mode;
                let Err(error) = open(&config, &arena) else {
                    panic!("{mode} was opened");
                };
                let OpenError::RingUnavailable { reason, .. } = error else {
                    panic!("{error}");
                };
                assert_eq!(reason, RingError::Refused { step: reason_step(mode), errno });
            }
        });
    }
}

fn reason_step(mode: Mode) -> &'static str {
    match mode {
        Mode::Sqpoll => "setup with submission polling",
        _ => "setup",
    }
}

/// Limits this thread's locked memory. Root's is not limited, so it becomes
/// another user; by the raw call, since libc's would change the whole process.
fn limit_locked_memory(bytes: usize) -> io::Result<()> {
    const NOBODY: libc::uid_t = 65_534;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the calls; no memory is passed to the last.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit))?;
        limit.rlim_cur = bytes as libc::rlim_t;
        check(libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit))?;
        check(libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) as i32)
    }
}

/// A test of its own, and one only: the limit is the process's.
#[test]
fn memory_that_may_not_be_locked_leads_to_plain_transfers_or_to_no_ring() {
    let place = tempfile::tempdir().unwrap();
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(place.path(), open_to_all).unwrap();
    if bench((Mode::Uring, DurableWrite::Dsync), true, place.path()).is_none() {
        return; // for another reason
    }
    // As much as the arena, which with the ring is too much; then nothing,
    // which newer kernels hold against the ring itself.
    for (locked, modes) in [(common::ARENA_BYTES, &[Mode::Uring, Mode::Sqpoll][..]), (0, &[Mode::Auto])] {
        apart(|| {
            if let Err(error) = limit_locked_memory(locked) {
                println!("skipped: limits: {error}");
                return;
            }
            for &mode in modes {
                let Some(mut bench) = bench((mode, DurableWrite::Dsync), true, place.path()) else {
                    continue;
                };
                let info = bench.backend.info();
                assert!(!info.fixed_buffers, "{info}");
                assert!(info.to_string().contains("RLIMIT_MEMLOCK"), "{info}");
                println!("{info}");
                bench.create(FILE, "data");
                let mut buffer = bench.buffer();
                buffer.fill(5);
                let (result, buffer) = bench.backend.run(write(FILE, 1, buffer, true));
                result.unwrap();
                let mut buffer = buffer.unwrap();
                buffer.fill(0);
                let (result, buffer) = bench.backend.run(read(FILE, 1, buffer));
                result.unwrap();
                assert!(buffer.unwrap().iter().all(|&byte| byte == 5));
            }
        });
    }
}

#[test]
fn a_full_device_is_no_space() {
    on_mount("tmpfs", "size=64k", |bench| {
        bench.create(FILE, "data");
        let len = 1 << 20;
        let (result, _) = bench.backend.run(OpKind::Allocate { file: FILE, len });
        assert!(result.unwrap_err().is_no_space());
        let mut buffer = bench.buffer();
        let mut block = 0;
        let error = loop {
            let (result, returned) = bench.backend.run(write(FILE, block, buffer, true));
            buffer = returned.unwrap();
            match result {
                Ok(()) => block += 1,
                Err(error) => break error,
            }
        };
        assert!(error.is_no_space(), "{error}");
        assert!(block > 0 && block <= 16, "{block} blocks fitted");
        // What was written before is untouched.
        bench.backend.run(read(FILE, 0, buffer)).0.unwrap();
    });
}

/// A linked flush must neither hide that its write fell short nor stand in for it.
#[test]
fn a_durable_write_that_falls_short_is_short_and_its_buffer_returns() {
    on_mount("tmpfs", "size=16k", |bench| {
        bench.create(FILE, "data");
        let (mut buffer, mut block) = (bench.buffers(2), 0);
        let (result, buffer) = loop {
            // One block after the other, until two do not fit; the first two on their own, so that one is left over.
            let len = if block == 0 { BLOCK } else { 2 * BLOCK };
            let at = block * BLOCK as u64;
            let kind = OpKind::Write { file: FILE, at, buffer, len, durable: true };
            let (result, returned) = bench.backend.run(kind);
            if result.is_err() {
                break (result, returned);
            }
            buffer = returned.unwrap();
            block += (len / BLOCK) as u64;
        };
        let short = IoError::Short { operation: Operation::Write, wanted: 2 * BLOCK, got: BLOCK };
        assert_eq!((result, block), (Err(short), 3));
        assert!(buffer.is_some());
    });
}

#[test]
fn a_flush_is_not_linked_where_a_polling_thread_could_part_it_from_its_write() {
    let root = tempfile::tempdir().unwrap();
    let arena = Arena::new(BLOCK).unwrap();
    let durable_write = DurableWrite::LinkedFlush;
    let config = BackendConfig { mode: Mode::Sqpoll, durable_write, ..BackendConfig::new(root.path()) };
    let refused = open(&config, &arena).map(|_| ()).unwrap_err();
    let OpenError::RingUnavailable { reason: RingError::LinkedPolled, .. } = refused else {
        panic!("{refused}");
    };
    let backend = open(&BackendConfig { or_auto: true, ..config }, &arena).unwrap();
    assert_ne!(backend.info().kind, BackendKind::Sqpoll, "{}", backend.info());
    assert!(backend.info().notes[0].starts_with("no submission polling: "), "{}", backend.info());
}

#[test]
fn a_file_system_without_direct_io_and_allocation_still_serves() {
    on_mount("ramfs", "", |bench| {
        assert!(!bench.backend.info().direct, "{}", bench.backend.info());
        bench.create(FILE, "data");
        for (len, then) in [(1 << 20, 1 << 20), (4096, 1 << 20)] {
            let allocate = OpKind::Allocate { file: FILE, len };
            bench.backend.run(allocate).0.unwrap();
            assert_eq!(bench.backend.length(FILE).unwrap(), then);
        }
        let buffer = bench.buffer();
        bench.backend.run(write(FILE, 7, buffer, true)).0.unwrap();
    });
}

#[test]
fn polled_rings_share_a_poller() {
    let directory = tempfile::tempdir().unwrap();
    let arenas = [BLOCK, BLOCK].map(|bytes| Arena::new(bytes).unwrap());
    let mut config = BackendConfig::new(directory.path());
    config.mode = Mode::Sqpoll;
    config.sqpoll_cpu = Some(0);
    let mut first = match open(&config, &arenas[0]) {
        Ok(backend) => backend,
        Err(error) => return println!("skipped: {error}"),
    };
    config.sqpoll_attach = first.ring_fd();
    let mut second = open(&config, &arenas[1]).unwrap();
    for (backend, mut arena) in [&mut first, &mut second].into_iter().zip(arenas) {
        let name = iobackend::FileName::new(".").unwrap();
        backend.run(OpKind::FlushDirectory { name }).0.unwrap();
        let buffer = arena.take(BLOCK).unwrap();
        backend.run(read(FILE, 0, buffer)).0.unwrap_err();
    }
}

#[test]
fn configurations_out_of_range_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let arena = Arena::new(BLOCK).unwrap();
    let good = BackendConfig::new(directory.path());
    let refused = |config: BackendConfig| {
        let Err(error) = open(&config, &arena) else {
            panic!("{config:?} was opened");
        };
        error
    };
    for depth in [0, iobackend::limits::DEPTH_MAX + 1] {
        let error = refused(BackendConfig { depth, ..good.clone() });
        assert!(matches!(error, OpenError::Depth { .. }));
    }
    for file_slots in [0, iobackend::limits::FILE_SLOTS_MAX + 1] {
        let error = refused(BackendConfig { file_slots, ..good.clone() });
        assert!(matches!(error, OpenError::FileSlots { .. }));
    }
    let error = refused(BackendConfig::new(directory.path().join("absent")));
    assert!(matches!(error, OpenError::Root { .. }));
    assert!(error.to_string().contains("absent"), "{error}");
    std::fs::write(directory.path().join("file"), b"").unwrap();
    let error = refused(BackendConfig::new(directory.path().join("file")));
    assert!(matches!(error, OpenError::Root { .. }));
    let largest = BackendConfig { depth: iobackend::limits::DEPTH_MAX, ..good };
    assert_eq!(open(&largest, &arena).unwrap().depth(), largest.depth);
}

/// A polled ring that was chosen for a user who left the choice open was tried with a small arena first. If the real one was
/// then refused, for its memory or its CPU, nothing opened at all.
#[test]
fn a_polled_ring_that_nobody_insists_on_gives_way_and_says_why() {
    let root = tempfile::tempdir().unwrap();
    let arena = Arena::new(BLOCK).unwrap();
    let config = BackendConfig { mode: Mode::Sqpoll, sqpoll_cpu: Some(1 << 30), ..BackendConfig::new(root.path()) };
    let refused = open(&config, &arena).map(|_| ()).unwrap_err();
    assert!(matches!(refused, OpenError::RingUnavailable { mode: Mode::Sqpoll, .. }), "{refused}");
    let backend = open(&BackendConfig { or_auto: true, ..config.clone() }, &arena).unwrap();
    let info = backend.info();
    assert_ne!(info.kind, BackendKind::Sqpoll);
    assert!(info.notes[0].starts_with("no submission polling: io_uring: "), "{info}");
    apart(|| {
        if forbid_rings(libc::EPERM).is_ok() {
            let backend = open(&BackendConfig { or_auto: true, ..config }, &arena).unwrap();
            assert_eq!(backend.info().kind, BackendKind::Sync);
            assert!(backend.info().notes[0].starts_with("no submission polling: "), "{}", backend.info());
        }
    });
}
