//! What was signed last, of each tenant: the signer's memory, so that it never signs two histories.
//!
//! What must stay true: a tree is here, durably, before its signature is released; and nothing smaller, and no other tree of
//! the same size, comes after it, but by an operator's act that stays recorded. Whether a larger tree extends the smaller
//! one the notary shows: that needs the tree.
//!
//! What cannot be seen here: an older copy of this file in its place. A signer that was restored with it may sign anew what it
//! signed before; who holds the later checkpoint finds out.

use crate::error::{Error, Hex};
use crate::files::Files;
use crate::format::{self, Head, SIGNED, SIGNED_ENTRY_BYTES, SIGNED_FIXED_BYTES, array_at, put, u32_at, u64_at};
use crate::limits::{SIGNED_BYTES_MAX, SIGNED_MAX};
use crate::lock::Lock;
use crate::replace::{NotReplaced, OldBytes, replace, tidy};
use crate::store::{now_ns, random, read_checked};
use crypto::secret::MasterKey;
use crypto::wrap::StoreKeys;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The tree of a tenant that was signed last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Its leaves.
    pub size: u64,
    /// Its root.
    pub root: [u8; 32],
    /// How often an operator gave up what was signed before.
    pub re_anchors: u32,
    /// When that was last, in nanoseconds since 1970; 0: never.
    pub re_anchored_ns: u64,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({}, {}, re-anchored {} times)", self.size, Hex(&self.root), self.re_anchors)
    }
}

/// What was to be signed contradicts what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regress {
    /// It is smaller.
    Smaller {
        /// The tenant.
        tenant: u64,
        /// Leaves that were signed.
        signed: u64,
        /// Leaves that were to be.
        asked: u64,
    },
    /// It has the same size, and another root.
    OtherRoot {
        /// The tenant.
        tenant: u64,
        /// Leaves.
        size: u64,
    },
}

impl fmt::Display for Regress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Regress::Smaller { tenant, signed, asked } => write!(
                f,
                "tenant {tenant:016x}: a tree of {signed} records was signed, this one has {asked}: records are missing, as \
                 after a restore of an older copy; bring back the newer data, or re-anchor the tenant"
            ),
            Regress::OtherRoot { tenant, size } => write!(
                f,
                "tenant {tenant:016x}: another tree of {size} records was signed: its history was changed, as after a \
                 restore of an older copy; bring back the data that was signed, or re-anchor the tenant"
            ),
        }
    }
}

impl std::error::Error for Regress {}

/// What was signed last, of each tenant. The key store stays locked for as long as this lives.
pub struct SignedState {
    files: Arc<dyn Files>,
    _lock: Arc<Lock>,
    path: PathBuf,
    head: Head,
    keys: StoreKeys,
    trees: BTreeMap<u64, Signed>,
    /// A write failed, and the disk may have it nevertheless.
    interrupted: bool,
}

impl SignedState {
    /// Reads it, and checks it with the key that the key store has for it.
    pub(crate) fn open(
        files: Arc<dyn Files>,
        lock: Arc<Lock>,
        path: PathBuf,
        engine: &[u8; 16],
        key: &MasterKey,
    ) -> Result<SignedState, Error> {
        let read = read_checked(&*files, &path, &SIGNED, SIGNED_BYTES_MAX, engine);
        let (head, bytes) = read.map_err(|error| match error {
            Error::Missing { path } => Error::SignedMissing { path },
            other => other,
        })?;
        let keys = StoreKeys::derive(key, &head.salt, engine);
        let (covered, mac) = format::authenticated(&bytes);
        let mut fits = keys.check(&[covered], &mac).is_ok();
        let mut trees = BTreeMap::new();
        for raw in format::entries(&SIGNED, &bytes) {
            let tenant = u64_at(raw, 0);
            fits &= trees.last_key_value().is_none_or(|(last, _)| *last < tenant);
            trees.insert(tenant, Signed::decode(raw));
        }
        if !fits {
            return Err(Error::DoesNotOpen { path });
        }
        tidy(&*files, &path, &bytes, SIGNED_BYTES_MAX)?;
        Ok(SignedState { files, _lock: lock, path, head, keys, trees, interrupted: false })
    }

    /// Writes one anew, under a salt of its own.
    pub(crate) fn write_new(
        files: &dyn Files,
        path: &Path,
        engine: &[u8; 16],
        key: &MasterKey,
        entries: &[(u64, Signed)],
    ) -> Result<(), Error> {
        let trees: BTreeMap<u64, Signed> = entries.iter().copied().collect();
        let head = Head { engine: *engine, generation: 1, salt: random(path)?, entries: trees.len() };
        room_for(trees.len(), path)?;
        let bytes = encode(&head, &trees, &StoreKeys::derive(key, &head.salt, engine));
        replace(files, path, &bytes, OldBytes::Left).map_err(|not| not.error)
    }

    /// What was signed last of a tenant.
    #[must_use]
    pub fn last(&self, tenant: u64) -> Option<&Signed> {
        self.trees.get(&tenant)
    }

    /// What was signed last, by tenant.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, &Signed)> {
        self.trees.iter().map(|(tenant, signed)| (*tenant, signed))
    }

    /// Takes a tree that is about to be signed. When this returns, it is durable, and its signature may be released.
    ///
    /// # Errors
    /// If it contradicts what was signed, or it cannot be written. Then it must not be signed.
    pub fn advance(&mut self, tenant: u64, size: u64, root: [u8; 32]) -> Result<(), Error> {
        self.advance_many(&[(tenant, size, root)])
    }

    /// The same, for several trees (tenant, size, root) in one write: all of them, or none.
    ///
    /// # Errors
    /// As [`advance`](Self::advance), at the first that contradicts.
    pub fn advance_many(&mut self, trees: &[(u64, u64, [u8; 32])]) -> Result<(), Error> {
        self.whole()?;
        let mut next = self.trees.clone();
        for &(tenant, size, root) in trees {
            let fresh = Signed { size, root, re_anchors: 0, re_anchored_ns: 0 };
            let last = next.entry(tenant).or_insert(fresh);
            if size < last.size {
                return Err(Regress::Smaller { tenant, signed: last.size, asked: size }.into());
            }
            if size == last.size && root != last.root {
                return Err(Regress::OtherRoot { tenant, size }.into());
            }
            (last.size, last.root) = (size, root);
        }
        if next == self.trees { Ok(()) } else { self.commit(next) }
    }

    /// Gives up what was signed of a tenant and takes this tree instead: an operator's act, which is recorded. Whoever
    /// holds an earlier checkpoint will find that it is not extended, and ask why.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn re_anchor(&mut self, tenant: u64, size: u64, root: [u8; 32]) -> Result<(), Error> {
        self.whole()?;
        let mut next = self.trees.clone();
        let before = next.get(&tenant).map_or(0, |last| last.re_anchors);
        let re_anchors = before.saturating_add(1);
        next.insert(tenant, Signed { size, root, re_anchors, re_anchored_ns: now_ns() });
        self.commit(next)
    }

    fn commit(&mut self, next: BTreeMap<u64, Signed>) -> Result<(), Error> {
        room_for(next.len(), &self.path)?;
        let head = Head { generation: self.head.generation + 1, entries: next.len(), ..self.head };
        let bytes = encode(&head, &next, &self.keys);
        let replaced = replace(&*self.files, &self.path, &bytes, OldBytes::Left);
        replaced.map_err(|NotReplaced { unsure, error }| {
            self.interrupted = unsure;
            error
        })?;
        (self.head, self.trees) = (head, next);
        Ok(())
    }

    fn whole(&self) -> Result<(), Error> {
        if self.interrupted { Err(Error::Interrupted { path: self.path.clone() }) } else { Ok(()) }
    }
}

impl fmt::Debug for SignedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedState")
            .field("path", &self.path)
            .field("tenants", &self.trees.len())
            .finish_non_exhaustive()
    }
}

impl Signed {
    fn encode(&self, tenant: u64, raw: &mut [u8]) {
        put(raw, 0, &tenant.to_le_bytes());
        put(raw, 8, &self.size.to_le_bytes());
        put(raw, 16, &self.root);
        put(raw, 48, &self.re_anchors.to_le_bytes());
        put(raw, 56, &self.re_anchored_ns.to_le_bytes());
    }

    fn decode(raw: &[u8]) -> Signed {
        Signed {
            size: u64_at(raw, 8),
            root: array_at(raw, 16),
            re_anchors: u32_at(raw, 48),
            re_anchored_ns: u64_at(raw, 56),
        }
    }
}

fn encode(head: &Head, trees: &BTreeMap<u64, Signed>, keys: &StoreKeys) -> Vec<u8> {
    let mut out = format::begin(&SIGNED, head);
    for (raw, (tenant, signed)) in out[SIGNED_FIXED_BYTES..].chunks_exact_mut(SIGNED_ENTRY_BYTES).zip(trees) {
        signed.encode(*tenant, raw);
    }
    format::end(&mut out, keys);
    out
}

fn room_for(tenants: usize, path: &Path) -> Result<(), Error> {
    match tenants <= SIGNED_MAX {
        true => Ok(()),
        false => Err(Error::Full { path: path.into(), things: "tenants", max: SIGNED_MAX }),
    }
}
