//! A client's calls about keys: tenants and streams that are sealed or not, other keys, erasure.
//!
//! The order is always the same: the key is durable in the store, then at the shard, then named by the log. So a key that the log
//! names is there, and one that no log came to name seals nothing. An erasure goes the other way: first the log says that nothing is
//! served any more, then the key is destroyed, then every copy of it is dropped.

use crate::client::{Client, StreamRef};
use crate::encryption::Drawn;
use crate::{CallError, EraseError};
use kernel::{Encryption, NewKey, Refusal, StreamId, TenantId};
use keys::{Erased, KeyStore, NewMaster};
use shard::wire::{Done, Failure, Request};
use shard::{Control, Countdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A shard's inbox may be full for a moment, and it takes its messages once a turn: how long to wait between two looks.
const PAUSE: Duration = Duration::from_micros(100);

impl Client {
    /// Makes a tenant. Its records are sealed with a key of its own, if the engine has keys.
    ///
    /// # Errors
    /// If the name is taken or cannot be one, or a key cannot be made for it; and as any call: see [`CallError`].
    pub fn create_tenant(&mut self, name: &str) -> Result<TenantId, CallError> {
        let tenant = TenantId::of_name(name);
        self.with_key(tenant, 0, |client, key| client.call(tenant, &Request::CreateTenant { name, key }))?;
        Ok(tenant)
    }

    /// Makes a tenant whose records are not sealed, whatever the engine has. Lists and reports say so.
    ///
    /// # Errors
    /// If the name is taken or cannot be one; and as any call.
    pub fn create_tenant_unencrypted(&mut self, name: &str) -> Result<TenantId, CallError> {
        let tenant = TenantId::of_name(name);
        self.call(tenant, &Request::CreateTenant { name, key: None })?;
        Ok(tenant)
    }

    /// Makes a stream that is sealed with a key of its own, so that it can be [erased](Self::erase_stream) alone.
    ///
    /// # Errors
    /// If there is no such tenant, or the name is taken or cannot be one; [`CallError::Unencrypted`] if the engine has no keys.
    pub fn create_erasable_stream(&mut self, tenant: &str, name: &str) -> Result<StreamRef, CallError> {
        if self.shared().keys.is_none() {
            return Err(CallError::Unencrypted);
        }
        let id = TenantId::of_name(tenant);
        let (done, key_id) = self.with_key(id, KeyStore::UNASSIGNED, |client, key| {
            let done = client.call(id, &Request::CreateStream { tenant, name, key })?.0;
            Ok((done, key.map_or(0, |key| key.key_id)))
        })?;
        let Done::StreamCreated { stream } = done else {
            unreachable!("{done:?} to the creation of a stream");
        };
        if let Some(keys) = &self.shared().keys {
            // If this fails the next opening does it: the log says whose key it is.
            let _told_later = keys.lock().store.assign(id.0, key_id, stream.0);
        }
        Ok(self.stream_ref(id, stream))
    }

    /// Seals a tenant's records with another data key from here on; those of a tenant without encryption with its first one. What was
    /// sealed before is read with the key that sealed it.
    ///
    /// # Errors
    /// If there is no such tenant or it is erased; [`CallError::Unencrypted`] if the engine has no keys; and as any call.
    pub fn rotate_key(&mut self, tenant: &str) -> Result<(), CallError> {
        let id = TenantId::of_name(tenant);
        self.with_key(id, 0, |client, key| {
            let key = key.ok_or(CallError::Unencrypted)?;
            client.call(id, &Request::IntroduceKey { tenant, stream: None, key }).map(|_| ())
        })?;
        if let Some(keys) = &self.shared().keys {
            keys.lock().retire_older(id);
        }
        Ok(())
    }

    /// Erases a tenant: destroys its data keys, those of its streams too, and the old master key as far as that is ours to destroy.
    /// Its log, chains and proofs stay as they are, and its names. Can be repeated, if it was interrupted.
    ///
    /// # Errors
    /// If there is no such tenant, or it is not encrypted; if the new master key cannot be had, and then nothing is erased; if the key
    /// store or the master key cannot be written.
    pub fn erase_tenant(&mut self, tenant: &str, new_master: NewMaster) -> Result<Erased, EraseError> {
        self.erase(tenant, None, new_master)
    }

    /// Erases a stream that was [created with a key of its own](Self::create_erasable_stream). Where none has the name any more, it is
    /// the deleted one that had it last and is not erased yet: what is deleted is still in the log.
    ///
    /// # Errors
    /// If there is no such stream, or it is sealed with its tenant's key; and as [`erase_tenant`](Self::erase_tenant).
    pub fn erase_stream(&mut self, tenant: &str, stream: &str, new_master: NewMaster) -> Result<Erased, EraseError> {
        let id = match self.stream(tenant, stream) {
            Err(unknown @ CallError::Failed(Failure::Refused(Refusal::UnknownStream))) => {
                let had_it = self.streams(tenant)?.into_iter().filter(|named| named.deleted && named.name == stream);
                let last = had_it.max_by_key(|named| (named.encryption != Encryption::Erased, named.id));
                last.map(|named| StreamId(named.id as u32)).ok_or(unknown)?
            }
            found => found?.stream(),
        };
        self.erase(tenant, Some(id), new_master)
    }

    fn erase(&mut self, tenant: &str, stream: Option<StreamId>, new_master: NewMaster) -> Result<Erased, EraseError> {
        let id = TenantId::of_name(tenant);
        let shared = Arc::clone(self.shared());
        let keys = shared.keys.as_ref().ok_or(CallError::Unencrypted)?;
        // The log says it first, and for good: what can go wrong with the new master key is to be known before.
        keys.lock().store.may_erase(&new_master).map_err(EraseError::Refused)?;
        self.call(id, &Request::Erase { tenant, stream })?;
        let mut keys = keys.lock();
        let doomed: Vec<_> = {
            let of_it = |key: &keys::KeyInfo<'_>| {
                key.tenant == id.0 && stream.is_none_or(|stream| stream.0 == key.stream) && key.key.is_some()
            };
            keys.store.keys().filter(of_it).map(|key| key.key_id).collect()
        };
        let erased = keys.store.erase(id.0, stream.map(|stream| stream.0), new_master);
        drop(keys);
        // Also where the store's part failed: what is asked for again must not depend on a copy that is still in use.
        self.forget(id, &doomed)?;
        Ok(erased?)
    }

    /// Has every shard drop keys, and waits until each has. (A tenant lives on one; which one may have been another before.)
    fn forget(&mut self, tenant: TenantId, key_ids: &[u32]) -> Result<(), CallError> {
        let outstanding = Arc::new(AtomicUsize::new(0));
        for shard in 0..self.shards() {
            for &key_id in key_ids {
                let done = Countdown::of(&outstanding);
                match self.tell(shard, Control::ForgetKey { tenant: tenant.0, key_id, done }) {
                    // A shard that is gone has dropped all it had.
                    Ok(()) | Err(CallError::Closed) => {}
                    Err(error) => return Err(error),
                }
            }
            self.shared().doorbell(shard).ring();
        }
        while outstanding.load(Ordering::Acquire) > 0 {
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Calls with a key that is drawn for it, durable and at its shard; with none if the engine has no keys. A key that was refused
    /// is kept for the next call.
    fn with_key<T>(
        &mut self,
        tenant: TenantId,
        stream: u32,
        call: impl FnOnce(&mut Client, Option<NewKey>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let shared = Arc::clone(self.shared());
        let Some(keys) = &shared.keys else {
            return call(self, None);
        };
        let Drawn { new, key } = keys.lock().draw(tenant, stream).map_err(|error| CallError::of_keys(&error))?;
        let key_id = new.key_id;
        self.tell(self.shard_of_tenant(tenant), Control::AddKey { tenant: tenant.0, key_id, key })?;
        let called = call(self, Some(new));
        if matches!(called, Err(CallError::Failed(Failure::Refused(_) | Failure::NoSegment { .. }))) {
            keys.lock().put_back(tenant, key_id);
        }
        called
    }

    /// Puts a message into a shard's inbox, as soon as it has room.
    fn tell(&self, shard: u16, mut message: Control) -> Result<(), CallError> {
        while let Some(back) = self.shared().send(shard, message)? {
            message = back;
            self.shared().doorbell(shard).ring();
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}
