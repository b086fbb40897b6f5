//! The flags that every command which opens an engine takes, and the builder that they make.

use crate::failure::Failure;
use clap::{Args, ValueEnum};
use diatreme::{Builder, Cores, Engine, Mode};
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
}

impl EngineArgs {
    /// Settings for the engine.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let builder = Engine::builder(&self.data_dir).cores(self.cores.0.clone()).backend(self.backend.into());
        Ok(match (self.shards, &self.cores.0) {
            (Some(shards), _) => builder.shards(shards),
            (None, Cores::List(_)) => builder,
            (None, _) => builder.shards(1),
        })
    }
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

/// The value of `--durability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// Records are flushed to the device before they are acknowledged.
    Strict,
    /// Records are acknowledged before they are written; a crash may lose them.
    None,
}

impl DurabilityArg {
    /// As reports name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            DurabilityArg::Strict => "strict",
            DurabilityArg::None => "none",
        }
    }
}

impl From<DurabilityArg> for diatreme::Durability {
    fn from(arg: DurabilityArg) -> diatreme::Durability {
        match arg {
            DurabilityArg::Strict => diatreme::Durability::Strict,
            DurabilityArg::None => diatreme::Durability::None,
        }
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
