//! The engine's keys: where they come from, what the log says of them, and their way to the shards.
//!
//! What must stay true:
//! - nothing in the data directory is touched before the master key has opened the key store;
//! - a key is durable in the store before the log names it, and at its shard before the request that makes it the key to use;
//! - a key that does not fit what the log's catalog says of it is given to no shard;
//! - a key that the log says is erased is given to no shard, be it still in the store.

use crate::OpenError;
use crypto::secret::DataKey;
use kernel::{Kernel, KeyView, NewKey, TenantId};
use keys::{KeyState, KeyStore, MasterSource};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How the records of an engine are kept.
#[derive(Clone, Debug)]
pub(crate) enum Encryption {
    /// Nobody said: the engine does not open.
    Unsaid,
    /// In the clear.
    Off,
    /// Sealed, with keys of this store under this master key.
    Keys { store: PathBuf, master: MasterSource },
}

/// What an opening found about keys.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KeyReport {
    /// The directory of the key store; `None` without encryption.
    pub store: Option<PathBuf>,
    /// Which library seals, and by which instructions, as far as it says.
    pub cipher: &'static str,
    /// Whether keys are kept in memory that is not swapped out; some hosts do not allow it.
    pub locked: bool,
    /// Keys that were given to the shards.
    pub given: usize,
    /// Keys that the log names and the store does not have, with their tenants: what they sealed cannot be read.
    pub missing: Vec<(TenantId, u32)>,
    /// Keys that are erased by the log's account and still in the store, with their tenants: an erasure was interrupted, and is to be
    /// asked for again.
    pub unfinished: Vec<(TenantId, u32)>,
}

/// Keys for one shard.
pub(crate) type Given = Vec<(u64, u32, DataKey)>;

impl KeyReport {
    pub(crate) fn new(encryption: &Encryption) -> KeyReport {
        let store = match encryption {
            Encryption::Keys { store, .. } => Some(store.clone()),
            _ => None,
        };
        let (cipher, locked) = (crypto::seal::implementation(), crypto::secret::locked());
        KeyReport { store, cipher, locked, ..KeyReport::default() }
    }
}

impl Encryption {
    /// All that can be said before anything is touched.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if matches!(self, Encryption::Unsaid) { Err(unsaid()) } else { Ok(()) }
    }

    /// Opens the key store of a directory whose engine is `engine`, or sees to it that one can be made for a directory that is new.
    /// Touches nothing but the store.
    pub(crate) fn open(&self, engine: Option<[u8; 16]>) -> Result<Option<KeyStore>, OpenError> {
        let Encryption::Keys { store, master } = self else {
            return Ok(None);
        };
        let there = KeyStore::is_there(store);
        match engine {
            Some(engine) if there => Ok(Some(KeyStore::open(store, &engine, master)?)),
            None if there => {
                let engine = KeyStore::engine_of(store)?;
                Err(OpenError::ForeignKeys { store: store.clone(), engine })
            }
            _ => {
                master.read().map_err(keys::Error::from)?;
                Ok(None)
            }
        }
    }

    /// Makes the store that was not there; refused if the log names keys that must have been in it.
    pub(crate) fn create<'a>(
        &self,
        engine: &[u8; 16],
        kernels: impl Iterator<Item = &'a Kernel>,
    ) -> Result<Option<KeyStore>, OpenError> {
        let Encryption::Keys { store, master } = self else {
            return Ok(None);
        };
        let needed = kernels.flat_map(Kernel::keys).find(|key| !key.erased);
        if let Some(KeyView { tenant, key_id, .. }) = needed {
            return Err(OpenError::KeysMissing { store: store.clone(), tenant, key_id });
        }
        Ok(Some(KeyStore::create(store, engine, master)?))
    }
}

fn unsaid() -> OpenError {
    OpenError::Config(
        "nothing says how records are to be kept: give the builder `keys`, with a key store and a master key, or say \
         `unencrypted`"
            .into(),
    )
}

/// Tells the state machines of which tenants the store has no key. Without a store there are none: whoever opens without keys says
/// that records stay in the clear.
pub(crate) fn vouch<'a>(kernels: impl Iterator<Item = &'a mut Kernel>, store: Option<&KeyStore>) {
    let sealed: BTreeSet<_> = store.iter().flat_map(|store| store.keys()).map(|key| key.tenant).collect();
    for kernel in kernels {
        kernel.vouch_unsealed(|tenant| !sealed.contains(&tenant.0));
    }
}

/// The keys of a shard's tenants, held against what its catalogs say of them.
pub(crate) fn given(kernel: &Kernel, store: Option<&KeyStore>, report: &mut KeyReport) -> Result<Given, OpenError> {
    let mut given = Vec::new();
    for KeyView { tenant, key_id, commitment, erased, .. } in kernel.keys() {
        match store.and_then(|store| store.key(tenant.0, key_id)) {
            Some(key) if !key.fits(tenant.0, key_id, &commitment) => {
                return Err(OpenError::KeyDiffers { tenant, key_id });
            }
            Some(_) if erased => report.unfinished.push((tenant, key_id)),
            Some(key) => given.push((tenant.0, key_id, key.duplicate())),
            None if erased => {}
            None => report.missing.push((tenant, key_id)),
        }
    }
    report.given += given.len();
    Ok(given)
}

/// The key store of an open engine.
#[derive(Debug)]
pub(crate) struct EngineKeys {
    pub(crate) store: KeyStore,
    /// Keys that no catalog names, as far as is known: of creations that were refused, or interrupted by a crash.
    spare: BTreeSet<(u64, u32)>,
}

/// A key that was drawn for a tenant or a stream, and that no catalog names yet.
pub(crate) struct Drawn {
    pub(crate) new: NewKey,
    pub(crate) key: DataKey,
}

impl EngineKeys {
    /// Takes the store, with what the catalogs name: streams are told to the store of which it was not told in time.
    pub(crate) fn new<'a>(
        mut store: KeyStore,
        kernels: impl Iterator<Item = &'a Kernel>,
    ) -> Result<EngineKeys, OpenError> {
        let mut spare: BTreeSet<_> = store.keys().map(|key| (key.tenant, key.key_id)).collect();
        let mut untold = Vec::new();
        for KeyView { tenant, stream, key_id, .. } in kernels.flat_map(Kernel::keys) {
            spare.remove(&(tenant.0, key_id));
            let entry = store.keys().find(|key| (key.tenant, key.key_id) == (tenant.0, key_id));
            let unassigned = entry.is_some_and(|entry| entry.stream == KeyStore::UNASSIGNED);
            untold.extend(stream.filter(|_| unassigned).map(|stream| (tenant.0, key_id, stream.0)));
        }
        for (tenant, key_id, stream) in untold {
            store.assign(tenant, key_id, stream)?;
        }
        Ok(EngineKeys { store, spare })
    }

    /// A key for a tenant (stream 0), or for a stream that is to be made: a spare one, if it is the tenant's newest, or a new one,
    /// durable when this returns.
    pub(crate) fn draw(&mut self, tenant: TenantId, stream: u32) -> Result<Drawn, keys::Error> {
        let newest = self.store.keys().filter(|key| key.tenant == tenant.0).max_by_key(|key| key.key_id);
        let spare = newest.filter(|key| {
            let fits = key.stream == stream && key.state == KeyState::Current;
            fits && self.spare.contains(&(tenant.0, key.key_id))
        });
        let (key_id, commitment) = match spare.map(|key| (key.key_id, key.commitment)) {
            Some(spare) => spare,
            None => self.store.add(tenant.0, stream)?,
        };
        self.spare.remove(&(tenant.0, key_id));
        let Some(key) = self.store.key(tenant.0, key_id) else {
            unreachable!("a key that is current is in the store");
        };
        Ok(Drawn { new: NewKey { key_id, commitment }, key: key.duplicate() })
    }

    /// Notes which keys of a tenant seal no more, now that a newer one does. Only a note: if it fails, the log says so all the same.
    pub(crate) fn retire_older(&mut self, tenant: TenantId) {
        let of_tenant = |key: &keys::KeyInfo<'_>| key.tenant == tenant.0 && key.stream == 0;
        let mut ids: Vec<_> = self.store.keys().filter(of_tenant).map(|key| (key.key_id, key.state)).collect();
        ids.sort_unstable_by_key(|(key_id, _)| *key_id);
        ids.pop();
        for (key_id, _) in ids.into_iter().filter(|(_, state)| *state == KeyState::Current) {
            let _only_a_note = self.store.retire(tenant.0, key_id);
        }
    }

    /// Takes back a key that no catalog came to name.
    pub(crate) fn put_back(&mut self, tenant: TenantId, key_id: u32) {
        self.spare.insert((tenant.0, key_id));
    }
}
