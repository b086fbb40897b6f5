//! The world's key store: it lies beside the disk, so a crash, an older copy and a clone of the directory leave it as it is.
//!
//! It keeps no key: each is drawn from the seed by its tenant and number whenever it is wanted. So the registry of nonces can open
//! whatever was ever sealed, with keys that the engine must not have any more. What it does for the engine is what
//! `runtime/src/encryption.rs` does with a store on files.

use crate::engine::Engine;
use crypto::secret::DataKey;
use iobackend::sim::Rng;
use kernel::{KeyView, NewKey};
use std::collections::{BTreeMap, BTreeSet};

/// The stream of a key that was drawn for one that is still to be made.
pub(crate) const UNASSIGNED: u32 = u32::MAX;

/// Tenant and number of a key.
pub(crate) type KeyName = (u64, u32);

#[derive(Clone, Debug)]
struct Entry {
    /// Whose own it is; 0: the tenant's.
    stream: u32,
    destroyed: bool,
}

/// The store, and who is still to forget what.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    rng: Rng,
    entries: BTreeMap<KeyName, Entry>,
    /// Keys that no catalog names, as far as is known.
    spare: BTreeSet<KeyName>,
    /// Destroyed, and not yet told to the shards.
    doomed: Vec<KeyName>,
}

impl Keys {
    pub(crate) fn new(seed: u64) -> Keys {
        let rng = Rng::new(seed).fork("keys");
        Keys { rng, entries: BTreeMap::new(), spare: BTreeSet::new(), doomed: Vec::new() }
    }

    /// A key, whatever became of it.
    pub(crate) fn key(&self, (tenant, key_id): KeyName) -> DataKey {
        let mut bytes = [0; 32];
        self.rng.fork(tenant.to_le_bytes()).fork(key_id.to_le_bytes()).fill(&mut bytes);
        DataKey::from_bytes(&mut bytes)
    }

    /// A key for a tenant, a stream, or one that is to be made: a spare one if it is the tenant's newest, or another.
    pub(crate) fn draw(&mut self, tenant: u64, stream: u32) -> NewKey {
        let newest = self.entries.range((tenant, 0)..=(tenant, u32::MAX)).next_back();
        let spare =
            newest.filter(|(name, entry)| entry.stream == stream && !entry.destroyed && self.spare.contains(name));
        let key_id = match (spare, newest) {
            (Some(((_, key_id), _)), _) => *key_id,
            (None, newest) => newest.map_or(0, |((_, key_id), _)| *key_id) + 1,
        };
        let name = (tenant, key_id);
        self.spare.remove(&name);
        self.entries.entry(name).or_insert(Entry { stream, destroyed: false });
        NewKey { key_id, commitment: self.key(name).commitment(tenant, key_id) }
    }

    /// Takes back a key that no catalog came to name.
    pub(crate) fn put_back(&mut self, name: KeyName) {
        self.spare.insert(name);
    }

    /// The stream was made for which the key was drawn.
    pub(crate) fn assign(&mut self, name: KeyName, stream: u32) {
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.stream = stream;
        }
    }

    /// Destroys the keys of a tenant, or of one of its streams.
    pub(crate) fn destroy(&mut self, tenant: u64, stream: Option<u32>) {
        for (name, entry) in self.entries.range_mut((tenant, 0)..=(tenant, u32::MAX)) {
            if stream.is_none_or(|stream| entry.stream == stream) && !std::mem::replace(&mut entry.destroyed, true) {
                self.doomed.push(*name);
            }
        }
    }

    pub(crate) fn is_destroyed(&self, name: KeyName) -> bool {
        self.entries.get(&name).is_none_or(|entry| entry.destroyed)
    }

    /// Whose own a key is, as far as the store was told: the tenant's if 0. `None` without the key.
    pub(crate) fn stream_of(&self, name: KeyName) -> Option<u32> {
        self.entries.get(&name).map(|entry| entry.stream)
    }

    /// The highest number that was drawn in a tenant; 0 if none was.
    pub(crate) fn last(&self, tenant: u64) -> u32 {
        self.entries.range((tenant, 0)..=(tenant, u32::MAX)).next_back().map_or(0, |((_, key_id), _)| *key_id)
    }

    /// Whether records of a stream may be sealed with a key that is destroyed.
    pub(crate) fn has_lost(&self, tenant: u64, stream: u32) -> bool {
        let mut of_tenant = self.entries.range((tenant, 0)..=(tenant, u32::MAX));
        of_tenant.any(|(_, entry)| entry.destroyed && (entry.stream == 0 || entry.stream == stream))
    }

    /// Whether a shard is given the key that its catalog names. An error if the catalog means another key.
    pub(crate) fn gives(&self, view: &KeyView) -> Result<bool, String> {
        let name = (view.tenant.0, view.key_id);
        if !self.key(name).fits(name.0, name.1, &view.commitment) {
            return Err(format!("the catalog of {:016x} names another key {} than was drawn", name.0, name.1));
        }
        Ok(!view.erased && !self.is_destroyed(name))
    }

    /// Whether records may be taken for such as need not be sealed: a key of the tenant is named by no catalog, and where damage took
    /// that record, nothing tells that there was a key.
    pub(crate) fn has_unnamed(&self, tenant: u64) -> bool {
        self.spare.range((tenant, 0)..=(tenant, u32::MAX)).next().is_some()
    }

    /// Notes what the catalogs of an opening name: all else is spare.
    pub(crate) fn opened(&mut self, named: &[KeyView]) {
        self.doomed.clear();
        self.spare = self.entries.keys().copied().collect();
        for view in named {
            let name = (view.tenant.0, view.key_id);
            self.spare.remove(&name);
            self.assign(name, view.stream.map_or(0, |stream| stream.0));
        }
    }

    /// Has every shard forget what was destroyed, as far as their inboxes have room.
    pub(crate) fn tell_doomed(&mut self, engine: &mut Engine) {
        self.doomed.retain(|name| !engine.forget_key(*name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_refused_is_drawn_again_and_a_destroyed_one_never() {
        let mut keys = Keys::new(1);
        let first = keys.draw(7, 0);
        assert_eq!((first.key_id, keys.draw(7, 0).key_id, keys.draw(8, 0).key_id), (1, 2, 1));
        keys.put_back((7, 2));
        assert_eq!(keys.draw(7, UNASSIGNED).key_id, 3, "the spare one is the tenant's");
        keys.put_back((7, 3));
        assert_eq!(keys.draw(7, UNASSIGNED).key_id, 3);
        keys.assign((7, 3), 5);
        keys.destroy(7, Some(5));
        assert!(keys.is_destroyed((7, 3)) && !keys.is_destroyed((7, 1)));
        assert!(keys.has_lost(7, 5) && !keys.has_lost(7, 4));
        keys.put_back((7, 3));
        assert_eq!(keys.draw(7, 5).key_id, 4);
        assert!(keys.key((7, 1)).fits(7, 1, &first.commitment));
    }
}
