//! What the file `keys` holds: encoded, and decoded with the master key.

use crate::format::{self, Head, KEY_ENTRY_BYTES, KEYS, KEYS_FIXED_BYTES, array_at, put, u32_at, u64_at};
use crypto::secret::{COMMITMENT_BYTES, DataKey, Kind, MasterKey, Secret, Seed};
use crypto::wrap::{SALT_BYTES, StoreKeys, WRAPPED_BYTES};
use std::collections::BTreeMap;

/// Which key: tenant, key id.
pub(crate) type KeyName = (u64, u32);

/// Whether a key seals, only opens, or is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// What is written may be sealed with it.
    Current,
    /// What was sealed with it is read.
    Retired,
    /// It is destroyed: what was sealed with it is lost for good.
    Erased,
}

impl KeyState {
    fn code(self) -> u8 {
        match self {
            KeyState::Current => 1,
            KeyState::Retired => 2,
            KeyState::Erased => 3,
        }
    }

    fn from_code(code: u8) -> Option<KeyState> {
        [KeyState::Current, KeyState::Retired, KeyState::Erased].into_iter().find(|state| state.code() == code)
    }
}

/// A data key, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) stream: u32,
    pub(crate) state: KeyState,
    /// Nanoseconds since 1970; 0: not yet.
    pub(crate) created_ns: u64,
    pub(crate) retired_ns: u64,
    pub(crate) erased_ns: u64,
    pub(crate) commitment: [u8; COMMITMENT_BYTES],
    /// Zeros once it is erased.
    pub(crate) wrapped: [u8; WRAPPED_BYTES],
}

/// The store, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) engine: [u8; 16],
    pub(crate) generation: u64,
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) created_ns: u64,
    /// The signer's seed.
    pub(crate) seed: [u8; WRAPPED_BYTES],
    /// What authenticates the file `signer`. A key of its own, so that the two files need not change at once.
    pub(crate) signed: [u8; WRAPPED_BYTES],
    pub(crate) entries: BTreeMap<KeyName, Entry>,
}

/// The store's secrets.
pub(crate) struct Opened {
    pub(crate) contents: Contents,
    pub(crate) wrapping: StoreKeys,
    pub(crate) seed: Seed,
    pub(crate) signed: MasterKey,
    pub(crate) data: BTreeMap<KeyName, DataKey>,
}

impl Contents {
    /// The file, authenticated.
    pub(crate) fn encode(&self, wrapping: &StoreKeys) -> Vec<u8> {
        let entries = self.entries.len();
        let head = Head { engine: self.engine, generation: self.generation, salt: self.salt, entries };
        let mut out = format::begin(&KEYS, &head);
        put(&mut out, 80, &self.created_ns.to_le_bytes());
        put(&mut out, 88, &self.seed);
        put(&mut out, 128, &self.signed);
        for (raw, (name, entry)) in out[KEYS_FIXED_BYTES..].chunks_exact_mut(KEY_ENTRY_BYTES).zip(&self.entries) {
            entry.encode(*name, raw);
        }
        format::end(&mut out, wrapping);
        out
    }

    /// What the file holds, if the master key fits and nothing was altered.
    ///
    /// Every code is computed and every key unwrapped before the answer, whatever failed on the way: neither the answer nor
    /// its time says what.
    pub(crate) fn open(head: &Head, bytes: &[u8], master: &MasterKey) -> Option<Opened> {
        let wrapping = StoreKeys::derive(master, &head.salt, &head.engine);
        let (covered, mac) = format::authenticated(bytes);
        let mut fits = wrapping.check(&[covered], &mac).is_ok();
        let mut contents = Contents {
            engine: head.engine,
            generation: head.generation,
            salt: head.salt,
            created_ns: u64_at(bytes, 80),
            seed: array_at(bytes, 88),
            signed: array_at(bytes, 128),
            entries: BTreeMap::new(),
        };
        let seed = unwrap(&wrapping, &contents.seed, &mut fits);
        let signed = unwrap(&wrapping, &contents.signed, &mut fits);
        let mut data = BTreeMap::new();
        for raw in format::entries(&KEYS, bytes) {
            let (name, entry, sound) = Entry::decode(raw);
            let key: DataKey = match entry.state {
                KeyState::Erased => stand_in(),
                KeyState::Current | KeyState::Retired => unwrap(&wrapping, &entry.wrapped, &mut fits),
            };
            let committed = key.fits(name.0, name.1, &entry.commitment);
            fits &= sound & (committed | (entry.state == KeyState::Erased));
            if entry.state != KeyState::Erased {
                data.insert(name, key);
            }
            // Ascending, so none is there twice.
            fits &= contents.entries.last_key_value().is_none_or(|(last, _)| *last < name);
            contents.entries.insert(name, entry);
        }
        fits.then_some(Opened { contents, wrapping, seed, signed, data })
    }
}

/// Unwraps a secret; where that fails, gives another one, so that the work goes on.
fn unwrap<K: Kind>(wrapping: &StoreKeys, wrapped: &[u8; WRAPPED_BYTES], fits: &mut bool) -> Secret<K> {
    let unwrapped = wrapping.unwrap(wrapped);
    *fits &= unwrapped.is_ok();
    unwrapped.unwrap_or_else(|_| stand_in())
}

fn stand_in<K: Kind>() -> Secret<K> {
    Secret::from_bytes(&mut [0; 32])
}

impl Entry {
    fn encode(&self, (tenant, key_id): KeyName, raw: &mut [u8]) {
        put(raw, 0, &tenant.to_le_bytes());
        put(raw, 8, &key_id.to_le_bytes());
        put(raw, 12, &self.stream.to_le_bytes());
        raw[16] = self.state.code();
        put(raw, 24, &self.created_ns.to_le_bytes());
        put(raw, 32, &self.retired_ns.to_le_bytes());
        put(raw, 40, &self.erased_ns.to_le_bytes());
        put(raw, 48, &self.commitment);
        put(raw, 80, &self.wrapped);
    }

    /// The entry, and whether it is one that this program writes.
    fn decode(raw: &[u8]) -> (KeyName, Entry, bool) {
        let state = KeyState::from_code(raw[16]);
        let entry = Entry {
            stream: u32_at(raw, 12),
            state: state.unwrap_or(KeyState::Current),
            created_ns: u64_at(raw, 24),
            retired_ns: u64_at(raw, 32),
            erased_ns: u64_at(raw, 40),
            commitment: array_at(raw, 48),
            wrapped: array_at(raw, 80),
        };
        let name = (u64_at(raw, 0), u32_at(raw, 8));
        let wiped = entry.wrapped == [0; WRAPPED_BYTES];
        let sound = state.is_some() && name.1 > 0 && wiped == (entry.state == KeyState::Erased);
        (name, entry, sound)
    }
}
