//! Builds a ring: chooses its flags by what the kernel takes, checks that it
//! has every opcode in use, registers the file table and the arena, and
//! forbids everything else. The ring stays disabled until its own thread
//! enables it, because that is the thread it is bound to.

use std::fs::File;
use std::io;
use std::sync::Arc;

use io_uring::register::{Probe, Restriction};
use io_uring::{Builder, IoUring, opcode, squeue};

use crate::arena::Region;
use crate::config::{BackendConfig, DurableWrite, Mode};
use crate::error::RingError;
use crate::files::Files;
use crate::limits::{ENTRIES_AN_OPERATION, INTERNAL_ENTRIES, SQPOLL_IDLE_MS};
use crate::waker::EventWaker;

/// A ring and what it was given.
pub(crate) struct Setup {
    pub(super) ring: IoUring,
    pub(super) sqpoll: bool,
    pub(super) fixed: bool,
    pub(super) durable_write: DurableWrite,
    pub(super) waker: Arc<EventWaker>,
    pub(super) root: File,
    pub(super) notes: Vec<String>,
}

/// Makes a ring for `config`, disabled.
/// `notes` is what led to it.
pub(crate) fn set_up(config: &BackendConfig, files: &Files, mut notes: Vec<String>) -> Result<Setup, RingError> {
    let durable_write = config.durable_write;
    let ring = match (config.mode, durable_write) {
        (Mode::Sqpoll, DurableWrite::LinkedFlush) => return Err(RingError::LinkedPolled),
        (Mode::Sqpoll, DurableWrite::Dsync) => build_polled(config, &mut notes)?,
        _ => build_entered(entries(config.depth, durable_write), &CHOICES, &mut notes)?,
    };
    equip(ring, durable_write, files, notes)
}

/// Checks a new ring, registers what it works with, and restricts it.
pub(super) fn equip(
    ring: IoUring,
    durable_write: DurableWrite,
    files: &Files,
    mut notes: Vec<String>,
) -> Result<Setup, RingError> {
    check_features(&ring)?;
    check_opcodes(&ring)?;
    // Sparse: an entry of -1 is empty.
    let table = vec![-1; files.slot_count()];
    let registered = ring.submitter().register_files(&table);
    registered.map_err(refused("registering the file table"))?;
    let fixed = register_arena(&ring, files.region(), &mut notes);
    restrict(&ring, fixed, durable_write)?;
    notes.push(format!("io_uring: a durable write is {durable_write}"));
    Ok(Setup {
        sqpoll: ring.params().is_setup_sqpoll(),
        ring,
        fixed,
        durable_write,
        waker: Arc::new(EventWaker::new().map_err(refused("making an eventfd"))?),
        root: File::open(files.root()).map_err(refused("opening the data directory"))?,
        notes,
    })
}

fn refused(step: &'static str) -> impl Fn(io::Error) -> RingError {
    move |error| RingError::Refused { step, errno: error.raw_os_error().unwrap_or(libc::EIO) }
}

fn builder() -> Builder {
    let mut builder = IoUring::builder();
    builder.setup_r_disabled().dontfork();
    builder
}

/// Queue length: every operation and the internal entries at once.
pub(super) fn entries(depth: usize, durable_write: DurableWrite) -> u32 {
    let of_operation = match durable_write {
        DurableWrite::Dsync => 1,
        DurableWrite::LinkedFlush => ENTRIES_AN_OPERATION,
    };
    (of_operation * depth + INTERNAL_ENTRIES).next_power_of_two() as u32
}

/// A way to set a ring up, and its name in the report.
pub(super) type Choice = (&'static str, fn(&mut Builder) -> &mut Builder);

/// Best first. With deferred task work, completions are finished only when
/// their own thread asks for them, and a flag says when there is anything to ask for.
pub(super) const CHOICES: [Choice; 3] = [
    ("SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG (flags of Linux 6.1 and later)", |b| {
        b.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag()
    }),
    ("COOP_TASKRUN | TASKRUN_FLAG (flags of Linux 5.19 and later)", |b| b.setup_coop_taskrun().setup_taskrun_flag()),
    ("no flags", |b| b),
];

/// A ring that its thread enters: with the first choice that the kernel takes.
pub(super) fn build_entered(entries: u32, choices: &[Choice], notes: &mut Vec<String>) -> Result<IoUring, RingError> {
    for &(name, choose) in choices {
        let mut builder = builder();
        match choose(&mut builder).build(entries) {
            Ok(ring) => {
                notes.push(format!("io_uring: set up with {name}"));
                return Ok(ring);
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                notes.push(format!("io_uring: this kernel refuses {name}"));
            }
            Err(error) => return Err(refused("setup")(error)),
        }
    }
    Err(RingError::Refused { step: "setup", errno: libc::EINVAL })
}

/// A ring whose submissions a kernel thread takes. Deferred task work is not
/// combined with it: there the poller finishes completions.
fn build_polled(config: &BackendConfig, notes: &mut Vec<String>) -> Result<IoUring, RingError> {
    let mut builder = builder();
    builder.setup_sqpoll(SQPOLL_IDLE_MS);
    let mut note = format!("io_uring: submission polling, idle after {SQPOLL_IDLE_MS} ms");
    if let Some(cpu) = config.sqpoll_cpu {
        // One that does not fit is none, and the kernel says so.
        builder.setup_sqpoll_cpu(u32::try_from(cpu).unwrap_or(u32::MAX));
        note += &format!(", on CPU {cpu}");
    }
    if let Some(fd) = config.sqpoll_attach {
        builder.setup_attach_wq(fd);
        note += ", shared with another ring";
    }
    notes.push(note);
    // The poller may post completions before it gives back the entries of that
    // batch, so a second round of operations may be queued behind the first.
    let ring = builder.build(2 * entries(config.depth, config.durable_write));
    ring.map_err(refused("setup with submission polling"))
}

fn check_features(ring: &IoUring) -> Result<(), RingError> {
    let params = ring.params();
    for (present, what) in [
        (params.is_feature_ext_arg(), "waiting with a timeout (EXT_ARG)"),
        (params.is_feature_nodrop(), "lossless completion (NODROP)"),
        (params.is_feature_submit_stable(), "stable submission (SUBMIT_STABLE)"),
    ] {
        if !present {
            return Err(RingError::Missing { what });
        }
    }
    Ok(())
}

/// The opcodes that this crate sends, with or without a registered arena.
fn opcodes(fixed: bool) -> [(u8, &'static str); 6] {
    let (write, read) = if fixed {
        ((opcode::WriteFixed::CODE, "WRITE_FIXED"), (opcode::ReadFixed::CODE, "READ_FIXED"))
    } else {
        ((opcode::Write::CODE, "WRITE"), (opcode::Read::CODE, "READ"))
    };
    [
        write,
        read,
        (opcode::Fsync::CODE, "FSYNC"),
        (opcode::OpenAt::CODE, "OPENAT"),
        (opcode::Fallocate::CODE, "FALLOCATE"),
        (opcode::PollAdd::CODE, "POLL_ADD"),
    ]
}

fn check_opcodes(ring: &IoUring) -> Result<(), RingError> {
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    probed.map_err(refused("probing opcodes"))?;
    for (code, what) in opcodes(true).into_iter().chain(opcodes(false)) {
        if !probe.is_supported(code) {
            return Err(RingError::Missing { what });
        }
    }
    // Opening into the file table is not an opcode of its own, and an older
    // kernel would ignore the index. LINKAT is not used; it came with the same
    // release, 5.15.
    if !probe.is_supported(opcode::LinkAt::CODE) {
        let what = "opening into the file table";
        return Err(RingError::Missing { what });
    }
    Ok(())
}

/// Registers the arena as fixed buffer 0; without that, each transfer pins its
/// pages anew. False if the system does not allow it.
fn register_arena(ring: &IoUring, region: &Arc<Region>, notes: &mut Vec<String>) -> bool {
    let (start, len) = region.extent();
    let extent = libc::iovec { iov_base: start.cast(), iov_len: len };
    // SAFETY: the range is one live mapping. The backend keeps the region
    // referenced for as long as it may send operations on it, and the kernel
    // has its pages pinned until it is done with the ring.
    match unsafe { ring.submitter().register_buffers(&[extent]) } {
        Ok(()) => {
            notes.push(format!("io_uring: arena of {len} bytes registered"));
            true
        }
        Err(error) => {
            let hint =
                if error.raw_os_error() == Some(libc::ENOMEM) { ": RLIMIT_MEMLOCK is below what it needs" } else { "" };
            notes
                .push(format!("io_uring: arena of {len} bytes not registered, plain transfers instead: {error}{hint}"));
            false
        }
    }
}

/// From enabling on the ring takes the opcodes in use and nothing else.
fn restrict(ring: &IoUring, fixed: bool, durable_write: DurableWrite) -> Result<(), RingError> {
    /// `IORING_REGISTER_PROBE`, which the io-uring crate does not name.
    const REGISTER_PROBE: u8 = 8;
    let mut flags = squeue::Flags::FIXED_FILE;
    flags.set(squeue::Flags::IO_LINK, durable_write == DurableWrite::LinkedFlush);
    // All registration is done by then. The harmless one is listed because an
    // empty list might be read as no restriction.
    let mut allowed = vec![Restriction::register_op(REGISTER_PROBE), Restriction::sqe_flags_allowed(flags.bits())];
    allowed.extend(opcodes(fixed).map(|(code, _)| Restriction::sqe_op(code)));
    let restricted = ring.submitter().register_restrictions(&mut allowed);
    restricted.map_err(refused("restricting the ring to its opcodes"))
}
