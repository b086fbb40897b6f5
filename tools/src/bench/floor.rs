//! What the machine can do without the engine, measured in the same run: the device's durable write, and the processor's
//! copy and chain of the same records. No engine that keeps the promise is faster than the slower of the two.

use crypto::Link;
use diatreme::{BackendInfo, BackendKind, Mode};
use hdrhistogram::Histogram;
use iobackend::{
    Arena, Backend, BackendConfig, Buffer, Completion, FileName, FileSlot, IoBackend, IoError, Op, OpKind, OpenMode,
};
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// For how long each floor is measured.
const MEASURE: Duration = Duration::from_millis(1000);
/// The part of a file that is written over and over; zeroed before, as the engine does.
const FILE_BYTES: u64 = 128 << 20;
const FILE: FileSlot = FileSlot(0);

/// The mode that gives the backend which the engine had.
pub(crate) fn mode(kind: BackendKind) -> Mode {
    match kind {
        BackendKind::Uring => Mode::Uring,
        BackendKind::Sqpoll => Mode::Sqpoll,
        _ => Mode::Sync,
    }
}

/// The device's own durable writes.
#[derive(Debug)]
pub(crate) struct DeviceFloor {
    pub(crate) frame_bytes: usize,
    pub(crate) depth: usize,
    pub(crate) commits_per_sec: f64,
    pub(crate) latency_ns: Histogram<u64>,
    pub(crate) backend: BackendInfo,
}

/// Writes frames of `frame_bytes` durably, `depth` at a time, one after the other in a zeroed file beside `data_dir`: on the
/// same file system, and never in a directory that an engine would then refuse.
pub(crate) fn device(data_dir: &Path, mode: Mode, frame_bytes: usize, depth: usize) -> Result<DeviceFloor, String> {
    let mut arena = Arena::new(depth * frame_bytes + (1 << 20)).map_err(|error| format!("memory: {error}"))?;
    let data_dir = data_dir.canonicalize().map_err(|error| error.to_string())?;
    let directory = data_dir.parent().unwrap_or(&data_dir);
    let name = format!("diatreme-floor-{}.tmp", std::process::id());
    let config = BackendConfig { mode, depth: depth + 1, file_slots: 1, ..BackendConfig::new(directory) };
    let mut backend = iobackend::open(&config, &arena).map_err(|error| error.to_string())?;
    let mut take = |bytes| arena.take(bytes).ok_or_else(|| "memory: the arena is too small".to_owned());
    let zeros = take(1 << 20)?;
    let buffers = (0..depth).map(|_| take(frame_bytes)).collect::<Result<Vec<_>, _>>()?;
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", directory.join(&name).display());
    let result = prepare(&mut backend, &name, zeros)
        .and_then(|()| write_frames(&mut backend, buffers, frame_bytes))
        .map_err(|error| failed(&error));
    let removed = backend.remove(&name).map_err(|error| failed(&error));
    let (commits_per_sec, latency_ns) = result?;
    removed?;
    Ok(DeviceFloor { frame_bytes, depth, commits_per_sec, latency_ns, backend: backend.info().clone() })
}

fn prepare(backend: &mut Backend, name: &str, mut zeros: Buffer) -> Result<(), IoError> {
    let name = FileName::new(name).expect("a short name");
    backend.run(OpKind::Open { file: FILE, name, mode: OpenMode::CreateNew }).0?;
    backend.run(OpKind::Allocate { file: FILE, len: FILE_BYTES }).0?;
    let len = zeros.len();
    for at in (0..FILE_BYTES).step_by(len) {
        let (written, back) = backend.run(OpKind::Write { file: FILE, at, buffer: zeros, len, durable: false });
        written?;
        let Some(back) = back else { unreachable!("a write gives its buffer back") };
        zeros = back;
    }
    backend.run(OpKind::Flush { file: FILE }).0
}

fn write_frames(backend: &mut Backend, mut free: Vec<Buffer>, len: usize) -> Result<(f64, Histogram<u64>), IoError> {
    let mut latency_ns = super::load::histogram();
    let mut done: Vec<Completion> = Vec::with_capacity(free.len());
    let mut commits = 0_u32;
    let mut at = 0;
    let start = Instant::now();
    let mut now = Duration::ZERO;
    while now < MEASURE || backend.in_flight() > 0 {
        while now < MEASURE
            && let Some(buffer) = free.pop()
        {
            let token = start.elapsed().as_nanos() as u64;
            let kind = OpKind::Write { file: FILE, at, buffer, len, durable: true };
            assert!(backend.submit(Op { token, kind }).is_ok(), "the depth has room for every buffer");
            at = if at + 2 * len as u64 <= FILE_BYTES { at + len as u64 } else { 0 };
        }
        backend.poll(&mut done);
        now = start.elapsed();
        if done.is_empty() {
            // As the engine waits; see its idle strategy.
            std::thread::yield_now();
        }
        for Completion { token, result, buffer } in done.drain(..) {
            result?;
            latency_ns.saturating_record((now.as_nanos() as u64).saturating_sub(token));
            commits += 1;
            free.extend(buffer);
        }
    }
    Ok((f64::from(commits) / now.as_secs_f64(), latency_ns))
}

/// Nanoseconds to copy a record behind a header into a buffer and chain it, `streams` chains in turn, as many at a
/// time as the engine hashes side by side.
pub(crate) fn copy_and_chain(payload: usize, streams: usize) -> f64 {
    const HEADER: usize = log::format::frame::RECORD_HEADER_BYTES;
    const HASHED_FROM: usize = log::format::frame::RECORD_HASHED_FROM;
    let lanes = streams.clamp(1, crypto::LANES);
    let stride = log::format::frame::record_bytes(payload);
    let mut frame = vec![0_u8; (1 << 20).max(stride * lanes)];
    let source = vec![0x5a_u8; payload + 4096];
    let mut links = vec![Link::from_bytes([7; 32]); streams.max(1)];
    let mut records = 0_u64;
    let mut at = 0;
    let mut stream = 0;
    let start = Instant::now();
    while records < 100_000 || start.elapsed() < MEASURE / 2 {
        // Between looks at the clock: enough that the clock does not count.
        for _ in 0..256 {
            if at + stride * lanes > frame.len() {
                at = 0;
            }
            let mut own = [Link::from_bytes([0; 32]); crypto::LANES];
            for lane in 0..lanes {
                let place = at + lane * stride;
                let from = (records as usize + lane * 64) & 4095;
                frame[place..place + 8].copy_from_slice(&records.to_le_bytes());
                frame[place + HEADER..place + HEADER + payload].copy_from_slice(&source[from..from + payload]);
                own[lane] = links[(stream + lane) % links.len()];
            }
            let mut slices: [&[u8]; crypto::LANES] = [&[]; crypto::LANES];
            for (lane, slice) in slices[..lanes].iter_mut().enumerate() {
                let place = at + lane * stride;
                *slice = &frame[place + HASHED_FROM..place + HEADER + payload];
            }
            crypto::next_lanes(&mut own[..lanes], &slices[..lanes]);
            for (lane, link) in own[..lanes].iter().enumerate() {
                let place = (stream + lane) % links.len();
                links[place] = *link;
            }
            stream = (stream + lanes) % links.len();
            at += stride * lanes;
            records += lanes as u64;
        }
    }
    let elapsed = start.elapsed();
    black_box(&links);
    elapsed.as_nanos() as f64 / records as f64
}
