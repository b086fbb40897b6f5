//! The store: made, opened, read, and data keys added to it.
//!
//! Every change is made to a copy of the contents, written as a whole ([`crate::replace`]), and only then taken over in
//! memory: what fails before the disk has it leaves the store as it was.

use crate::contents::{Contents, Entry, KeyName, KeyState, Opened};
use crate::error::Error;
use crate::files::{Disk, Files, ReadError};
use crate::format::{self, Fault, Head, KEYS, SIGNED, Shape};
use crate::limits::{KEYS_BYTES_MAX, KEYS_MAX, SIGNED_BYTES_MAX};
use crate::lock::Lock;
use crate::master::MasterFile;
use crate::replace::{NotReplaced, OldBytes, replace, tidy};
use crate::signed::{Signed, SignedState};
use crate::source::MasterSource;
use crypto::secret::{COMMITMENT_BYTES, DataKey, MasterKey, Seed};
use crypto::wrap::{StoreKeys, WRAPPED_BYTES};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the file that holds the keys.
const KEYS_FILE: &str = "keys";
/// The name of the file that holds what was signed.
const SIGNED_FILE: &str = "signer";

/// A key store, open and locked.
pub struct KeyStore {
    pub(crate) files: Arc<dyn Files>,
    lock: Arc<Lock>,
    directory: PathBuf,
    pub(crate) master: MasterSource,
    pub(crate) opened: Opened,
    /// A write failed, and the disk may have it nevertheless.
    pub(crate) interrupted: bool,
}

/// One data key of a store.
#[derive(Clone, Copy, Debug)]
pub struct KeyInfo<'a> {
    /// Whose it is.
    pub tenant: u64,
    /// Its number in the tenant, from 1 up.
    pub key_id: u32,
    /// The stream whose own it is; 0: the tenant's.
    pub stream: u32,
    /// What may be done with it.
    pub state: KeyState,
    /// What the catalog says of it.
    pub commitment: [u8; COMMITMENT_BYTES],
    /// When it was made, in nanoseconds since 1970.
    pub created_ns: u64,
    /// When it was retired; 0: never.
    pub retired_ns: u64,
    /// When it was erased; 0: never.
    pub erased_ns: u64,
    /// The key, unless it is erased.
    pub key: Option<&'a DataKey>,
}

impl KeyStore {
    /// The stream of a key that is for a stream which has no number yet.
    pub const UNASSIGNED: u32 = u32::MAX;

    /// Makes a store, with its directory, for an engine. The master key has to be there.
    ///
    /// # Errors
    /// If a store is there, or what is left of one; if the master key cannot be had, or the files not be written.
    pub fn create(directory: &Path, engine: &[u8; 16], master: &MasterSource) -> Result<KeyStore, Error> {
        let key = master.read()?;
        Disk.make_directory(directory).map_err(Error::system("make", directory))?;
        let lock = Lock::hold(directory)?;
        Self::create_with(Arc::new(Disk), lock, directory, engine, master.clone(), &key)
    }

    /// Opens the store of an engine, and finishes what a crash interrupted. Nothing is changed unless it opens.
    ///
    /// # Errors
    /// If there is none, another process has it, it is another engine's, it is damaged, or the master key does not open it.
    pub fn open(directory: &Path, engine: &[u8; 16], master: &MasterSource) -> Result<KeyStore, Error> {
        let path = directory.join(KEYS_FILE);
        // Before the lock, which would leave its file in a directory of something else.
        std::fs::metadata(&path).map_err(|error| not_read(&path, ReadError::Io(error)))?;
        let lock = Lock::hold(directory)?;
        Self::open_with(Arc::new(Disk), lock, directory, engine, master.clone())
    }

    /// Whether a directory holds a store, or what looks like one.
    #[must_use]
    pub fn is_there(directory: &Path) -> bool {
        directory.join(KEYS_FILE).exists()
    }

    /// Whose store a directory is, as far as can be seen without a key.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub fn engine_of(directory: &Path) -> Result<[u8; 16], Error> {
        let path = directory.join(KEYS_FILE);
        let bytes = Disk.read(&path, KEYS_BYTES_MAX).map_err(|error| not_read(&path, error))?.bytes;
        Ok(format::check(&KEYS, &bytes).map_err(|fault| Error::Damaged { path, fault })?.engine)
    }

    pub(crate) fn create_with(
        files: Arc<dyn Files>,
        lock: Lock,
        directory: &Path,
        engine: &[u8; 16],
        master: MasterSource,
        key: &MasterKey,
    ) -> Result<KeyStore, Error> {
        refuse_what_is_there(&*files, directory)?;
        let path = directory.join(KEYS_FILE);
        let seed = Seed::generate().map_err(|error| no_randomness(&path, error))?;
        let signed = MasterKey::generate().map_err(|error| no_randomness(&path, error))?;
        let contents = Contents {
            engine: *engine,
            generation: 0,
            salt: random(&path)?,
            created_ns: now_ns(),
            seed: [0; WRAPPED_BYTES],
            signed: [0; WRAPPED_BYTES],
            entries: BTreeMap::new(),
        };
        let wrapping = StoreKeys::derive(key, &contents.salt, engine);
        let opened = Opened { contents, wrapping, seed, signed, data: BTreeMap::new() };
        let mut store =
            KeyStore { files, lock: Arc::new(lock), directory: directory.into(), master, opened, interrupted: false };
        // First, so that keys without it are a loss and never a beginning.
        store.write_signed(&[])?;
        let (next, wrapping) = store.rewrapped(store.opened.contents.clone(), key)?;
        store.commit(next, Some(wrapping))?;
        Ok(store)
    }

    pub(crate) fn open_with(
        files: Arc<dyn Files>,
        lock: Lock,
        directory: &Path,
        engine: &[u8; 16],
        master: MasterSource,
    ) -> Result<KeyStore, Error> {
        let path = directory.join(KEYS_FILE);
        let (head, bytes) = read_checked(&*files, &path, &KEYS, KEYS_BYTES_MAX, engine)?;
        let opened = unlock(&*files, &path, &master, |key| Contents::open(&head, &bytes, key), engine)?;
        tidy(&*files, &path, &bytes, KEYS_BYTES_MAX)?;
        Ok(KeyStore { files, lock: Arc::new(lock), directory: directory.into(), master, opened, interrupted: false })
    }

    /// The engine whose keys these are.
    #[must_use]
    pub fn engine(&self) -> &[u8; 16] {
        &self.opened.contents.engine
    }

    /// Where the master key comes from that opens the store now.
    #[must_use]
    pub fn master(&self) -> &MasterSource {
        &self.master
    }

    /// How often the store was written.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.opened.contents.generation
    }

    /// When the store was made, in nanoseconds since 1970.
    #[must_use]
    pub fn created_ns(&self) -> u64 {
        self.opened.contents.created_ns
    }

    /// All keys, by tenant and id.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = KeyInfo<'_>> {
        self.opened.contents.entries.iter().map(|(name, entry)| KeyInfo {
            tenant: name.0,
            key_id: name.1,
            stream: entry.stream,
            state: entry.state,
            commitment: entry.commitment,
            created_ns: entry.created_ns,
            retired_ns: entry.retired_ns,
            erased_ns: entry.erased_ns,
            key: self.opened.data.get(name),
        })
    }

    /// A key, unless there is none or it is erased.
    #[must_use]
    pub fn key(&self, tenant: u64, key_id: u32) -> Option<&DataKey> {
        self.opened.data.get(&(tenant, key_id))
    }

    /// What the engine's Ed25519 key is made of.
    #[must_use]
    pub fn signer_seed(&self) -> &Seed {
        &self.opened.seed
    }

    /// Makes a data key for a tenant (stream 0), or for one stream of it. It is durable when this returns. An older key of
    /// the same stays current: retire it when the catalog has the new one.
    ///
    /// # Errors
    /// If the store is full, or cannot be written.
    pub fn add(&mut self, tenant: u64, stream: u32) -> Result<(u32, [u8; COMMITMENT_BYTES]), Error> {
        let added = self.add_many(&[(tenant, stream)])?;
        Ok(added[0])
    }

    /// Makes a data key for each tenant and stream, all in one write: all of them, or none. Gives their ids and commitments
    /// in the same order.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_many(&mut self, wanted: &[(u64, u32)]) -> Result<Vec<(u32, [u8; COMMITMENT_BYTES])>, Error> {
        let path = self.keys_path();
        let full = |things, max| Error::Full { path: path.clone(), things, max };
        if self.opened.contents.entries.len() + wanted.len() > KEYS_MAX {
            return Err(full("keys", KEYS_MAX));
        }
        let (mut next, now) = (self.opened.contents.clone(), now_ns());
        let mut made: Vec<(KeyName, DataKey)> = Vec::with_capacity(wanted.len());
        for &(tenant, stream) in wanted {
            let last = next.entries.range((tenant, 0)..=(tenant, u32::MAX)).next_back();
            let key_id = last.map_or(0, |((_, id), _)| *id).checked_add(1);
            let name = (tenant, key_id.ok_or_else(|| full("ids of one tenant", u32::MAX as usize))?);
            let key = DataKey::generate().map_err(|error| no_randomness(&path, error))?;
            let entry = Entry {
                stream,
                state: KeyState::Current,
                created_ns: now,
                retired_ns: 0,
                erased_ns: 0,
                commitment: key.commitment(name.0, name.1),
                wrapped: self.opened.wrapping.wrap(&key),
            };
            next.entries.insert(name, entry);
            made.push((name, key));
        }
        self.commit(next, None)?;
        let given = made.iter().map(|(name, _)| (name.1, self.opened.contents.entries[name].commitment)).collect();
        self.opened.data.extend(made);
        Ok(given)
    }

    /// Says which stream a key is for that was made for [`UNASSIGNED`](Self::UNASSIGNED): its tenant gives a stream its number
    /// only with its creation, which names the key.
    ///
    /// # Errors
    /// If there is no such key, it is another stream's or the tenant's, or the store cannot be written.
    pub fn assign(&mut self, tenant: u64, key_id: u32, stream: u32) -> Result<(), Error> {
        let mut next = self.opened.contents.clone();
        match next.entries.get_mut(&(tenant, key_id)) {
            Some(entry) if entry.stream == Self::UNASSIGNED => entry.stream = stream,
            Some(entry) if entry.stream == stream => return self.whole(),
            _ => return Err(Error::NotThere { tenant, key_id }),
        }
        self.commit(next, None)
    }

    /// Marks a key as one that seals nothing new. It stays, for what was sealed with it.
    ///
    /// # Errors
    /// If there is no such key, it is erased, or the store cannot be written.
    pub fn retire(&mut self, tenant: u64, key_id: u32) -> Result<(), Error> {
        let mut next = self.opened.contents.clone();
        match next.entries.get_mut(&(tenant, key_id)) {
            Some(entry) if entry.state == KeyState::Current => {
                entry.state = KeyState::Retired;
                entry.retired_ns = now_ns();
            }
            Some(entry) if entry.state == KeyState::Retired => return self.whole(),
            _ => return Err(Error::NotThere { tenant, key_id }),
        }
        self.commit(next, None)
    }

    /// What was signed last, of each tenant; in one place at a time.
    ///
    /// # Errors
    /// If it is missing, damaged or altered, or in use.
    pub fn signed_state(&mut self) -> Result<SignedState, Error> {
        let path = self.signed_path();
        if Arc::strong_count(&self.lock) > 1 {
            return Err(Error::SignedInUse { path });
        }
        let (files, lock) = (Arc::clone(&self.files), Arc::clone(&self.lock));
        SignedState::open(files, lock, path, self.engine(), &self.opened.signed)
    }

    /// Gives up what was signed, where it is lost, and takes these trees (tenant, size, root) instead: the operator's act,
    /// recorded with each. All tenants that have a tree belong here; another one is taken for new, and whatever tree it
    /// comes with is signed.
    ///
    /// # Errors
    /// If there are too many, or it cannot be written, or is in use.
    pub fn replace_signed_state(&mut self, trees: &[(u64, u64, [u8; 32])]) -> Result<SignedState, Error> {
        if Arc::strong_count(&self.lock) > 1 {
            return Err(Error::SignedInUse { path: self.signed_path() });
        }
        let now = now_ns();
        let anchored = |&(tenant, size, root): &(u64, u64, [u8; 32])| {
            (tenant, Signed { size, root, re_anchors: 1, re_anchored_ns: now })
        };
        self.write_signed(&trees.iter().map(anchored).collect::<Vec<_>>())?;
        self.signed_state()
    }

    fn write_signed(&self, entries: &[(u64, Signed)]) -> Result<(), Error> {
        SignedState::write_new(&*self.files, &self.signed_path(), self.engine(), &self.opened.signed, entries)
    }

    /// The contents under another master key: everything wrapped again, under a new salt.
    pub(crate) fn rewrapped(&self, mut next: Contents, master: &MasterKey) -> Result<(Contents, StoreKeys), Error> {
        next.salt = random(&self.keys_path())?;
        let wrapping = StoreKeys::derive(master, &next.salt, &next.engine);
        next.seed = wrapping.wrap(&self.opened.seed);
        next.signed = wrapping.wrap(&self.opened.signed);
        for (name, entry) in next.entries.iter_mut().filter(|(_, entry)| entry.state != KeyState::Erased) {
            entry.wrapped = wrapping.wrap(&self.opened.data[name]);
        }
        Ok((next, wrapping))
    }

    /// Makes the contents durable, then takes them over.
    pub(crate) fn commit(&mut self, mut next: Contents, wrapping: Option<StoreKeys>) -> Result<(), Error> {
        self.whole()?;
        next.generation = self.generation() + 1;
        let bytes = next.encode(wrapping.as_ref().unwrap_or(&self.opened.wrapping));
        let replaced = replace(&*self.files, &self.keys_path(), &bytes, OldBytes::Overwritten);
        replaced.map_err(|NotReplaced { unsure, error }| {
            self.interrupted = unsure;
            error
        })?;
        self.opened.contents = next;
        if let Some(wrapping) = wrapping {
            self.opened.wrapping = wrapping;
        }
        Ok(())
    }

    /// Whether memory and disk are known to be at one.
    pub(crate) fn whole(&self) -> Result<(), Error> {
        if self.interrupted { Err(Error::Interrupted { path: self.keys_path() }) } else { Ok(()) }
    }

    pub(crate) fn keys_path(&self) -> PathBuf {
        self.directory.join(KEYS_FILE)
    }

    fn signed_path(&self) -> PathBuf {
        self.directory.join(SIGNED_FILE)
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.opened.contents.entries.len();
        f.debug_struct("KeyStore")
            .field("directory", &self.directory)
            .field("master", &self.master)
            .field("generation", &self.generation())
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

/// Opens with the master key that the source gives, or, where an erasure was interrupted, with the one that was about to take
/// its place; which it then does.
fn unlock(
    files: &dyn Files,
    path: &Path,
    master: &MasterSource,
    open: impl Fn(&MasterKey) -> Option<Opened>,
    engine: &[u8; 16],
) -> Result<Opened, Error> {
    let opened = master
        .read_with(files)
        .map_err(Error::from)
        .and_then(|key| open(&key).ok_or_else(|| Error::DoesNotOpen { path: path.into() }));
    let MasterSource::File(file) = master else { return opened };
    let file = MasterFile::new(files, file, engine);
    match opened {
        Ok(opened) => file.discard(files).map(|()| opened),
        Err(error) => {
            let waiting = file.waiting(files).and_then(Result::ok);
            let opened = waiting.and_then(|key| open(&key)).ok_or(error)?;
            file.complete(files)?;
            Ok(opened)
        }
    }
}

/// A file, after all that can be checked without a key.
pub(crate) fn read_checked(
    files: &dyn Files,
    path: &Path,
    shape: &Shape,
    max: usize,
    engine: &[u8; 16],
) -> Result<(Head, Vec<u8>), Error> {
    let mut found = files.read(path, max).map_err(|error| not_read(path, error))?;
    let head = format::check(shape, &found.bytes).map_err(|fault| Error::Damaged { path: path.into(), fault })?;
    if head.engine != *engine {
        return Err(Error::Foreign { path: path.into(), found: head.engine, expected: *engine });
    }
    Ok((head, std::mem::take(&mut *found.bytes)))
}

fn not_read(path: &Path, error: ReadError) -> Error {
    let path = path.to_owned();
    match error {
        error if error.is_missing() => Error::Missing { path },
        ReadError::NotAFile => Error::Damaged { path, fault: Fault::NotAFile },
        ReadError::TooLong(_) => Error::Damaged { path, fault: Fault::Length },
        ReadError::Io(source) => Error::System { doing: "read", path, source },
    }
}

/// A store is made only where none is. What was signed, without keys, is what a lost store leaves; unless nothing was
/// signed: then it is what an interrupted making leaves.
fn refuse_what_is_there(files: &dyn Files, directory: &Path) -> Result<(), Error> {
    let keys = directory.join(KEYS_FILE);
    match files.read(&keys, KEYS_BYTES_MAX) {
        Err(error) if error.is_missing() => {}
        _ => return Err(Error::Exists { path: keys }),
    }
    let signed = directory.join(SIGNED_FILE);
    match files.read(&signed, SIGNED_BYTES_MAX) {
        Err(error) if error.is_missing() => Ok(()),
        Ok(found) if format::check(&SIGNED, &found.bytes).is_ok_and(|head| head.entries == 0) => Ok(()),
        _ => Err(Error::Exists { path: signed }),
    }
}

pub(crate) fn random<const N: usize>(path: &Path) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| no_randomness(path, error))?;
    Ok(bytes)
}

fn no_randomness(path: &Path, error: getrandom::Error) -> Error {
    Error::system("draw random bytes for", path)(io::Error::other(error.to_string()))
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
