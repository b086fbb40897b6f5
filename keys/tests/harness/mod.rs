//! A key store on the machine's files.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

use diatreme_keys::{Error, KeyStore, MasterSource, NewMaster, generate_master_file};
use std::fs;
use std::path::{Path, PathBuf};

pub const ENGINE: [u8; 16] = [7; 16];
pub const ACME: u64 = 0xac3e;
pub const BOLT: u64 = 0xb017;

pub struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// A place with a master key.
    pub fn new() -> Place {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        generate_master_file(&place.path("master.key")).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("data.keys")
    }

    /// The file of the master key of this name, as a source.
    pub fn source(&self, name: &str) -> MasterSource {
        MasterSource::File(self.path(name))
    }

    /// Another master key, in a file of this name.
    pub fn another(&self, name: &str) -> MasterSource {
        generate_master_file(&self.path(name)).unwrap();
        self.source(name)
    }

    pub fn create(&self) -> KeyStore {
        KeyStore::create(&self.store(), &ENGINE, &self.source("master.key")).unwrap()
    }

    pub fn open(&self) -> Result<KeyStore, Error> {
        KeyStore::open(&self.store(), &ENGINE, &self.source("master.key"))
    }

    /// A store with a key of each tenant, one of them retired, one of a stream's own, and one erased; and with what was
    /// signed.
    pub fn with_keys() -> Place {
        let place = Place::new();
        let mut store = place.create();
        store.add_many(&[(ACME, 0), (ACME, 3), (BOLT, 0), (BOLT, 4)]).unwrap();
        store.retire(ACME, 1).unwrap();
        store.erase(BOLT, Some(4), NewMaster::InPlace).unwrap();
        store.signed_state().unwrap().advance_many(&[(ACME, 10, [1; 32]), (BOLT, 3, [2; 32])]).unwrap();
        place
    }

    /// The names in a directory.
    pub fn names(&self, directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Checks that an error helps: it says these words, in a line.
#[track_caller]
pub fn says(error: &impl std::fmt::Display, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
    assert!(!text.contains('\n'), "{text}");
}

pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
