//! The flags that every command which opens an engine takes, and the builder that they make.

use crate::directory;
use crate::failure::Failure;
use crate::key_args::{KeyArgs, guard_keys};
use crate::output;
use crate::progress;
use crate::table::count;
use clap::{Args, ValueEnum};
use diatreme::{BackendInfo, BackendKind, Builder, Client, Cores, Engine, KeyReport, Mode};
use kernel::NAME_BYTES_MAX;
use std::path::PathBuf;
use std::str::FromStr;

/// Which directory, how many shards, where they run and how they do I/O.
#[derive(Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// The data directory; it is made if it does not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// Shards, each a thread with a log of its own [default: one for each CPU of a --cores list, else as many as the
    /// directory had, else 1].
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<u16>,

    /// The CPUs that shards are pinned to: a list such as 0,2-3, `auto` to let the engine choose, `none` not to pin.
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub(crate) cores: CoresArg,

    /// How shards do I/O; `auto` takes the best that the system allows.
    #[arg(long, value_name = "KIND", value_enum, default_value_t = BackendArg::Auto)]
    pub(crate) backend: BackendArg,

    #[command(flatten)]
    pub(crate) keys: KeyArgs,

    /// Leave records of new tenants in the clear; needed where there is no --master-key.
    #[arg(long, conflicts_with_all = ["master_key", "key_store"])]
    pub(crate) unencrypted: bool,
}

impl EngineArgs {
    /// Settings for the engine.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let builder = Engine::builder(&self.data_dir).cores(self.cores.0.clone()).backend(self.backend.into());
        let builder = match &self.keys.master_key {
            Some(master) => {
                guard_keys();
                builder.keys(self.keys.store(&self.data_dir), master.clone())
            }
            None if self.unencrypted => builder.unencrypted(),
            None => {
                return Err(Failure::usage(
                    "say how records are to be kept: --master-key SOURCE (`diatreme keygen FILE` makes one: file:FILE), or \
                     --unencrypted",
                ));
            }
        };
        Ok(match (self.shards, &self.cores.0) {
            (Some(shards), _) => builder.shards(shards),
            (None, Cores::List(_)) => builder,
            (None, _) => builder.shards(directory::manifest(&self.data_dir).map_or(1, |manifest| manifest.shards)),
        })
    }
}

/// Opens an engine, and tells on standard error what the opening found that its user should know.
pub(crate) fn open(args: &EngineArgs, builder: Builder) -> Result<Engine, Failure> {
    let engine = progress::open(builder).map_err(Failure::engine(&args.data_dir))?;
    let directory = args.data_dir.display();
    if let Some(why) = fallback(args.backend, engine.report().shards.iter().map(|shard| &shard.backend)) {
        output::remark(&format!("note: {why}"));
    }
    say_of_keys(&directory.to_string(), &engine.report().keys);
    let found = &engine.report().recovery;
    if found.moved {
        output::remark(&format!(
            "note: {directory} is a copy of, or was restored from, a directory that lay elsewhere: if that one is in use, their \
             histories part here"
        ));
    }
    for bad in &found.manifest_faults {
        output::remark(&format!("note: {directory}: {bad}; the other copy served, and both are written anew"));
    }
    for torn in &found.torn {
        let log::Torn { segment, at, .. } = torn;
        output::remark(&format!(
            "note: {directory}: {segment}: a tail from byte {at} on was never acknowledged, and is cut"
        ));
    }
    if let Some(first) = found.damage.first() {
        let more = found.damage.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {} more", count(more as u64, "place")) };
        output::remark(&format!(
            "warning: {directory}: damaged: {first}{more}; all else is served; run `diatreme verify`"
        ));
    }
    Ok(engine)
}

/// Opens an engine for some work with a client, and closes it.
pub(crate) fn with_client(
    args: &EngineArgs,
    work: impl FnOnce(&mut Client) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let engine = open(args, args.builder()?)?;
    let mut client = engine.client();
    let done = work(&mut client);
    drop(client);
    let closed = engine.close().map(|_| ()).map_err(Failure::engine(&args.data_dir));
    Failure::join([done, closed])
}

/// What of the keys its user should know.
fn say_of_keys(directory: &str, keys: &KeyReport) {
    for (keys, what) in [
        (&keys.missing, "is not in the key store: what it sealed cannot be read"),
        (
            &keys.unfinished,
            "is erased by the log's account and still in the key store: erase its tenant or stream again",
        ),
    ] {
        if let Some((tenant, key_id)) = keys.first() {
            let more = keys.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" (and {})", count(more as u64, "other key")) };
            output::remark(&format!("warning: {directory}: key {key_id} of tenant {tenant} {what}{more}"));
        }
    }
    if keys.store.is_some() && !keys.locked {
        output::remark("note: the system does not let keys be locked in memory: they may be swapped out");
    }
}

/// Why a shard does without io_uring though nobody asked for that. The first such shard speaks for all: what the system
/// forbids one thread of a process, it mostly forbids the others too.
fn fallback<'a>(asked: BackendArg, mut given: impl Iterator<Item = &'a BackendInfo>) -> Option<String> {
    if asked != BackendArg::Auto {
        return None;
    }
    // One of its notes says why it is this one (`iobackend::open`).
    let why = |info: &BackendInfo| {
        let note = info.notes.iter().find(|note| note.starts_with("synchronous backend: "));
        note.map_or_else(|| format!("synchronous backend: {}", info.notes.join("; ")), Clone::clone)
    };
    given.find(|info| info.kind == BackendKind::Sync).map(why)
}

/// The value of `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendArg {
    /// io_uring where it is allowed, else ordinary reads and writes.
    Auto,
    /// io_uring, or an error.
    Uring,
    /// io_uring with a kernel thread that polls for submissions, or an error.
    Sqpoll,
    /// Ordinary positioned reads and writes.
    Sync,
}

impl From<BackendArg> for Mode {
    fn from(arg: BackendArg) -> Mode {
        match arg {
            BackendArg::Auto => Mode::Auto,
            BackendArg::Uring => Mode::Uring,
            BackendArg::Sqpoll => Mode::Sqpoll,
            BackendArg::Sync => Mode::Sync,
        }
    }
}

/// The value of `--durable-write`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurableWriteArg {
    /// A write that is durable by itself (`RWF_DSYNC`).
    Dsync,
    /// A write, and a flush linked to it.
    Linked,
}

impl DurableWriteArg {
    /// As reports name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            DurableWriteArg::Dsync => "dsync",
            DurableWriteArg::Linked => "linked",
        }
    }
}

impl From<DurableWriteArg> for diatreme::DurableWrite {
    fn from(arg: DurableWriteArg) -> diatreme::DurableWrite {
        match arg {
            DurableWriteArg::Dsync => diatreme::DurableWrite::Dsync,
            DurableWriteArg::Linked => diatreme::DurableWrite::LinkedFlush,
        }
    }
}

/// The value of `--waiting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitingArg {
    /// Look again and again: answers leave at once, and the core is taken.
    Awake,
    /// Sleep until the device has written: answers leave some 20 µs later, and the core is free meanwhile.
    Asleep,
}

impl WaitingArg {
    /// As reports name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            WaitingArg::Awake => "awake",
            WaitingArg::Asleep => "asleep",
        }
    }
}

impl From<WaitingArg> for diatreme::Waiting {
    fn from(arg: WaitingArg) -> diatreme::Waiting {
        match arg {
            WaitingArg::Awake => diatreme::Waiting::Awake,
            WaitingArg::Asleep => diatreme::Waiting::Asleep,
        }
    }
}

/// The value of `--tenant` or `--stream`: what the engine takes for a name.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("a name has at least one byte".into()),
        1..=NAME_BYTES_MAX => Ok(text.into()),
        len => Err(format!("{len} bytes: a name has {NAME_BYTES_MAX} at most")),
    }
}

/// The value of `--cores`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoresArg(pub(crate) Cores);

/// No system has a CPU of a higher number; a longer range is a slip of the hand.
const CPU_MAX: usize = 4095;

impl FromStr for CoresArg {
    type Err = String;

    fn from_str(text: &str) -> Result<CoresArg, String> {
        match text {
            "auto" => return Ok(CoresArg(Cores::Auto)),
            "none" => return Ok(CoresArg(Cores::Unpinned)),
            _ => {}
        }
        let number = |text: &str| {
            let cpu = text.parse::<usize>().ok().filter(|cpu| *cpu <= CPU_MAX);
            cpu.ok_or_else(|| format!("`{text}` is no CPU's number: write a list such as 0,2-3, or auto, or none"))
        };
        let mut cpus = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                None => cpus.push(number(part)?),
                Some((first, last)) => {
                    let (first, last) = (number(first)?, number(last)?);
                    if first > last {
                        return Err(format!("`{part}` runs backwards: write the lower number first"));
                    }
                    cpus.extend(first..=last);
                }
            }
        }
        Ok(CoresArg(Cores::List(cpus)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where io_uring is forbidden, as in most containers, commands were slower and nothing said why.
    #[test]
    fn who_gets_no_ring_is_told_why_and_only_who_could_have_had_one() {
        let info = |kind, note: &str| BackendInfo {
            kind,
            direct: true,
            alignment: 4096,
            fixed_buffers: false,
            notes: vec!["what was tried before".into(), note.into(), "direct I/O".into()],
        };
        let ring = info(BackendKind::Uring, "io_uring: set up");
        let sync = info(BackendKind::Sync, "synchronous backend: io_uring: forbidden");
        let told = |asked, given: &[&BackendInfo]| fallback(asked, given.iter().copied());
        assert_eq!(told(BackendArg::Auto, &[&ring, &ring]), None);
        assert_eq!(told(BackendArg::Sync, &[&sync]), None);
        let why = Some("synchronous backend: io_uring: forbidden".to_owned());
        assert_eq!(told(BackendArg::Auto, &[&sync, &sync]), why);
        assert_eq!(told(BackendArg::Auto, &[&ring, &sync]), why);
    }

    #[test]
    fn lists_of_cores_are_read() {
        let cores = |text: &str| text.parse::<CoresArg>().map(|arg| arg.0);
        assert_eq!(cores("auto"), Ok(Cores::Auto));
        assert_eq!(cores("none"), Ok(Cores::Unpinned));
        assert_eq!(cores("3"), Ok(Cores::List(vec![3])));
        assert_eq!(cores("0,2-4,1"), Ok(Cores::List(vec![0, 2, 3, 4, 1])));
        for wrong in ["", ",", "1,", "a", "1-", "-1", "4-2", "0-99999999999", "1 2"] {
            assert!(cores(wrong).is_err(), "{wrong:?}");
        }
    }
}
