//! Another master key, and keys that are no more.
//!
//! What must stay true: when an erasure returns, the key is in no file of the store, nor in memory; and unless the caller
//! keeps the master key, no older copy of the store opens with a master key that exists. A file's master key is replaced here
//! ([`crate::master`]); one that lies elsewhere the caller must replace and destroy.

use crate::contents::{Contents, KeyName, KeyState};
use crate::error::Error;
use crate::master::MasterFile;
use crate::source::MasterSource;
use crate::store::{KeyStore, now_ns};
use crypto::secret::MasterKey;
use crypto::wrap::{StoreKeys, WRAPPED_BYTES};
use std::path::Path;

/// What an erasure does with the master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewMaster {
    /// A new random one takes the place of the old one, which is overwritten; for `file:` sources only. Whatever else opens
    /// with that file, such as another engine's store, is lost with it.
    InPlace,
    /// This one, which has to be another key. An old one in a file is overwritten and removed; another one the caller has to
    /// destroy.
    From(MasterSource),
    /// The old one stays: then an older copy of the key store still opens what is erased, for as long as the master key
    /// exists anywhere.
    KeepMaster,
}

/// What became of the old master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldMaster {
    /// Its file was overwritten.
    Destroyed,
    /// It came from here, and the caller has to destroy it wherever it is now: until then, an older copy of the key store
    /// still opens what is erased.
    ToDestroy(MasterSource),
    /// It is in use still.
    Kept,
}

/// What an erasure did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Keys that were destroyed; none if that was done before.
    pub keys: usize,
    /// What became of the old master key.
    pub old_master: OldMaster,
}

impl KeyStore {
    /// Destroys the data keys of a tenant, its streams' own included, or those that are one stream's own; stream 0 is the
    /// tenant. The survivors are wrapped again, under a new master key. Can be repeated: the master key changes again.
    ///
    /// # Errors
    /// If there is no such key, the new master key cannot be had, or a file cannot be written. With
    /// [`Error::MasterLeft`] the keys are destroyed, and the old master key is not.
    pub fn erase(&mut self, tenant: u64, stream: Option<u32>, new_master: NewMaster) -> Result<Erased, Error> {
        self.whole()?;
        let (next, doomed) = self.without(tenant, stream.unwrap_or(0))?;
        let keys = doomed.iter().filter(|name| self.opened.data.contains_key(name)).count();
        let old_master = match new_master {
            NewMaster::KeepMaster => {
                self.commit(next, None)?;
                self.forget(&doomed);
                OldMaster::Kept
            }
            NewMaster::InPlace => self.erase_in_place(next, &doomed)?,
            NewMaster::From(source) => self.erase_under(next, &doomed, source)?,
        };
        Ok(Erased { keys, old_master })
    }

    /// What can be said of an erasure before anything is done: whether the new master key can be had, and is another one.
    ///
    /// # Errors
    /// What [`erase`](Self::erase) would end with, having done nothing.
    pub fn may_erase(&self, new_master: &NewMaster) -> Result<(), Error> {
        self.whole()?;
        match new_master {
            NewMaster::KeepMaster => Ok(()),
            NewMaster::InPlace => self.replaceable().map(|_| ()),
            NewMaster::From(source) => self.another_master(source).map(|_| ()),
        }
    }

    /// Wraps everything again, under another master key. The old one is left alone: it opens older copies.
    ///
    /// # Errors
    /// If the new key cannot be had, or is the old one, or the store cannot be written.
    pub fn rotate_master(&mut self, new: &MasterSource) -> Result<(), Error> {
        self.whole()?;
        let key = self.another_master(new)?;
        let (next, wrapping) = self.rewrapped(self.opened.contents.clone(), &key)?;
        self.commit(next, Some(wrapping))?;
        self.master = new.clone();
        Ok(())
    }

    /// The contents without the keys of a tenant or stream, and which these are.
    fn without(&self, tenant: u64, stream: u32) -> Result<(Contents, Vec<KeyName>), Error> {
        let (mut next, now) = (self.opened.contents.clone(), now_ns());
        let mut doomed = Vec::new();
        let keys = next.entries.range_mut((tenant, 0)..=(tenant, u32::MAX));
        for (name, entry) in keys.filter(|(_, entry)| stream == 0 || entry.stream == stream) {
            doomed.push(*name);
            if entry.state != KeyState::Erased {
                entry.state = KeyState::Erased;
                entry.erased_ns = now;
                entry.wrapped = [0; WRAPPED_BYTES];
            }
        }
        if doomed.is_empty() { Err(Error::NoKey { tenant, stream }) } else { Ok((next, doomed)) }
    }

    fn erase_in_place(&mut self, next: Contents, doomed: &[KeyName]) -> Result<OldMaster, Error> {
        let file = MasterFile::new(&*self.files, self.replaceable()?, self.engine());
        let key = file.prepare(&*self.files)?;
        let written = self.rewrapped(next, &key).and_then(|(next, wrapping)| self.commit(next, Some(wrapping)));
        if written.is_err() && !self.interrupted {
            // Where it is not sure which key the store is under, an opening finds out.
            let _the_next_one_does_it = file.discard(&*self.files);
        }
        written?;
        self.forget(doomed);
        let completed = file.complete(&*self.files);
        // The only key that opens the store waits still: nothing may be put in its place before an opening sees to it.
        self.interrupted = completed.is_err();
        completed.map(|()| OldMaster::Destroyed)
    }

    /// The master key's file, if it has one, and that still holds the store's key.
    fn replaceable(&self) -> Result<&Path, Error> {
        let MasterSource::File(path) = &self.master else {
            return Err(Error::NeedsMaster { source: self.master.clone() });
        };
        if self.is_master(&self.master.read_with(&*self.files)?) {
            Ok(path)
        } else {
            Err(Error::OtherMaster { source: self.master.clone() })
        }
    }

    fn erase_under(&mut self, next: Contents, doomed: &[KeyName], source: MasterSource) -> Result<OldMaster, Error> {
        let key = self.another_master(&source)?;
        // Read now: the next one is the store's then, and may lie in the same place.
        let there = matches!(self.master, MasterSource::File(_))
            && self.master.read_with(&*self.files).is_ok_and(|old| self.is_master(&old));
        let (next, wrapping) = self.rewrapped(next, &key)?;
        self.commit(next, Some(wrapping))?;
        self.forget(doomed);
        match std::mem::replace(&mut self.master, source) {
            MasterSource::File(path) if there => {
                let file = MasterFile::new(&*self.files, &path, self.engine());
                file.destroy(&*self.files).map(|()| OldMaster::Destroyed)
            }
            elsewhere => Ok(OldMaster::ToDestroy(elsewhere)),
        }
    }

    /// Drops the keys from memory, which wipes them.
    fn forget(&mut self, doomed: &[KeyName]) {
        for name in doomed {
            self.opened.data.remove(name);
        }
    }

    /// A source's key, which must not be the one that is in use.
    fn another_master(&self, source: &MasterSource) -> Result<MasterKey, Error> {
        let key = source.read_with(&*self.files)?;
        if self.is_master(&key) { Err(Error::SameMaster { source: source.clone() }) } else { Ok(key) }
    }

    /// Whether the store is wrapped under this key.
    fn is_master(&self, key: &MasterKey) -> bool {
        let keys = StoreKeys::derive(key, &self.opened.contents.salt, self.engine());
        keys.check(&[], &self.opened.wrapping.mac(&[])).is_ok()
    }
}
