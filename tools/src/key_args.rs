//! The flags that every command which needs keys takes: where the key store is, and what opens it.

use crate::failure::Failure;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};
use keys::{KeyStore, MasterSource};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Where the keys are.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeyArgs {
    /// Where the master key comes from: file:PATH, env:NAME, credential:NAME or command:PROGRAM ARGS.
    #[arg(long, value_name = "SOURCE", value_parser = SourceParser)]
    pub(crate) master_key: Option<MasterSource>,

    /// The key store's directory [default: the data directory's name with .keys behind it].
    #[arg(long, value_name = "DIR")]
    pub(crate) key_store: Option<PathBuf>,
}

impl KeyArgs {
    /// The key store's directory, for a data directory.
    pub(crate) fn store(&self, data_dir: &Path) -> PathBuf {
        self.key_store.clone().unwrap_or_else(|| beside(data_dir, "keys"))
    }

    /// Opens the key store of an engine. Nothing is changed if the master key is not the right one.
    pub(crate) fn open(&self, data_dir: &Path, engine: &[u8; 16]) -> Result<KeyStore, Failure> {
        let missing = || {
            Failure::usage(
                "name the master key's source: --master-key file:PATH, env:NAME, credential:NAME or command:PROGRAM",
            )
        };
        let master = self.master_key.as_ref().ok_or_else(missing)?;
        guard_keys();
        KeyStore::open(&self.store(data_dir), engine, master).map_err(|error| Failure::failed(error.to_string()))
    }
}

/// Reads a source. Of a value that it does not take, clap's own parsers would show what was given, which may be a key.
#[derive(Clone)]
pub(crate) struct SourceParser;

impl TypedValueParser for SourceParser {
    type Value = MasterSource;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<MasterSource, clap::Error> {
        let refuse = |why: &str| {
            let option = arg.and_then(Arg::get_long).unwrap_or("master-key");
            clap::Error::raw(ErrorKind::ValueValidation, format!("--{option}: {why}\n")).with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| refuse("a source is text, and this is not UTF-8"))?;
        text.parse::<MasterSource>().map_err(|error| refuse(&error.to_string()))
    }
}

/// Where this process gets keys, nobody is to find them in a core dump of it, nor by a debugger but root's.
pub(crate) fn guard_keys() {
    if !crypto::secret::undump_process() && cfg!(target_os = "linux") {
        crate::output::remark(
            "note: the system does not let core dumps be turned off: one of this process would hold keys",
        );
    }
}

/// The place beside a data directory with its name and an extension, whatever the path that leads to it.
pub(crate) fn beside(data_dir: &Path, extension: &str) -> PathBuf {
    let path = data_dir.canonicalize().unwrap_or_else(|_| data_dir.into());
    let mut name = path.file_name().map_or_else(|| OsString::from("data"), OsString::from);
    name.push(".");
    name.push(extension);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_lies_beside_the_directory_however_that_is_named() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let data = root.join("data");
        std::fs::create_dir(&data).unwrap();
        let args = KeyArgs { master_key: None, key_store: None };
        let expected = root.join("data.keys");
        assert_eq!(args.store(&data), expected);
        assert_eq!(args.store(&root.join("data/")), expected);
        assert_eq!(args.store(&root.join("data/../data/.")), expected);
        assert_eq!(args.store(&root.join("not-there-yet")), root.join("not-there-yet.keys"));
        let named = KeyArgs { key_store: Some("elsewhere".into()), ..args };
        assert_eq!(named.store(&data), Path::new("elsewhere"));
    }
}
