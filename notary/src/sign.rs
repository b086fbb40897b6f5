//! Signing: which tenants are due, and that what is signed contains what was signed before.
//!
//! The order of a signing, which no crash and no restore may turn round:
//!
//! ```text
//! 1  the tree at the size that was signed last is computed from the files, and has the root that was signed
//! 2  size and root are durable in the key store, of all tenants that are due in one write
//! 3  the signature is made
//! 4  the checkpoint's file is replaced
//! ```

use crate::follow::{Trees, tenant_directory};
use crate::notary::Step;
use crate::{Error, Notary, Refused, files};
use crypto::merkle::Hash;
use crypto::note::{Checkpoint, NOTE_BYTES_MAX, Origin, Signer, Verifier};
use hashbrown::HashMap;
use iobackend::IoBackend;
use keys::{KeyStore, Signed, SignedState};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The name of a tenant's newest checkpoint.
const CHECKPOINT: &str = "checkpoint";

/// The file of a tenant's newest checkpoint.
pub(crate) fn checkpoint_path(directory: &Path, tenant: u64) -> PathBuf {
    tenant_directory(directory, tenant).join(CHECKPOINT)
}

/// The engine's key, and what it signed last.
#[derive(Debug)]
pub struct Signing {
    signer: Signer,
    signed: SignedState,
    /// What each tenant's checkpoint on file says of itself; none if there is no such file.
    held: HashMap<u64, Option<Claimed>, foldhash::fast::RandomState>,
    /// Tenants that were refused in steps: it is told once.
    told: BTreeSet<u64>,
}

/// What a checkpoint on file says, unverified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) size: u64,
    pub(crate) time: u64,
}

impl Claimed {
    /// Reads size and time of a checkpoint of this origin, whoever signed it.
    pub(crate) fn read(note: &str, origin: &Origin) -> Option<Claimed> {
        let mut lines = note.lines();
        let named = lines.next()? == origin.to_string();
        let size = lines.next()?.parse().ok()?;
        let time = lines.nth(1)?.strip_prefix("time ")?.parse().ok()?;
        named.then_some(Claimed { size, time })
    }

    /// Whether the note it was read from is of the tree with this root.
    pub(crate) fn is_of(&self, note: &str, origin: &Origin, root: Hash) -> bool {
        let text = Checkpoint { origin: *origin, size: self.size, root, time: self.time }.text();
        note.strip_prefix(text.as_str()).is_some_and(|rest| rest.starts_with('\n'))
    }
}

/// A tenant's tree: its size and its root.
type Tree = (u64, u64, [u8; 32]);

/// Whether it is this tenant alone that is not signed for.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Refused(_) | Error::Stopped { .. } | Error::UnknownTenant { .. })
}

/// What asks for checkpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// The time: tenants that are due at it.
    Due(u64),
    /// An end: all tenants with something new.
    All,
}

impl Signing {
    /// Takes the engine's key and what was signed from its key store.
    ///
    /// # Errors
    /// If what was signed is missing, damaged or in use.
    pub fn new(store: &mut KeyStore) -> Result<Signing, Error> {
        let signed = store.signed_state()?;
        Ok(Signing::with(store, signed))
    }

    fn with(store: &KeyStore, signed: SignedState) -> Signing {
        let signer = Signer::from_seed(store.signer_seed().expose());
        Signing { signer, signed, held: HashMap::default(), told: BTreeSet::new() }
    }

    /// What an auditor pins for a tenant of the engine.
    #[must_use]
    pub fn verifier(&self, origin: &Origin) -> Verifier {
        self.signer.verifier(&origin.to_string()).expect("an origin is a name, and a seed gives no weak key")
    }

    /// What was signed last of a tenant.
    #[must_use]
    pub fn last(&self, tenant: u64) -> Option<&Signed> {
        self.signed.last(tenant)
    }

    /// Whether the tree contains what was signed of the tenant.
    fn check(&self, trees: &Trees, tenant: u64, size: u64) -> Result<(), Error> {
        let Some(last) = self.signed.last(tenant) else { return Ok(()) };
        let signed = last.size;
        if size < signed {
            return Err(Error::Refused(Refused::Smaller { tenant, signed, size }));
        }
        let tiles = trees.tiles(tenant).ok_or(Error::UnknownTenant { tenant })?;
        if tiles.tree(signed)?.root() != Some(Hash::from_bytes(last.root)) {
            return Err(Error::Refused(Refused::OtherRoot { tenant, signed }));
        }
        Ok(())
    }
}

impl<B: IoBackend> Notary<B> {
    /// Signs from here on.
    pub fn sign_with(&mut self, signing: Signing) {
        self.signing = Some(signing);
    }

    /// The engine's key, if this notary signs.
    #[must_use]
    pub fn signing(&self) -> Option<&Signing> {
        self.signing.as_ref()
    }

    /// Signs what was followed of a tenant, due or not.
    ///
    /// # Errors
    /// If it has no records, or something is wrong with them, or they do not contain what was signed; and what the system
    /// refuses.
    ///
    /// # Panics
    /// If this notary does not sign.
    pub fn checkpoint(&mut self, tenant: u64, now: u64) -> Result<Checkpoint, Error> {
        let mut step = self.checkpoints([tenant], now)?;
        match step.refused.pop() {
            Some((_, error)) => Err(error),
            None => Ok(step.signed.pop().expect("what is not refused is signed")),
        }
    }

    /// The same for several tenants, with one durable write for all of them. Which were signed, and which refused, is in the
    /// result.
    ///
    /// # Errors
    /// What the system refuses.
    ///
    /// # Panics
    /// If this notary does not sign.
    pub fn checkpoints(&mut self, tenants: impl IntoIterator<Item = u64>, now: u64) -> Result<Step, Error> {
        let (mut step, mut due) = (Step::default(), Vec::new());
        for tenant in tenants {
            match self.checked(tenant) {
                Ok(tree) => due.push(tree),
                Err(error) if is_refusal(&error) => step.refused.push((tenant, error)),
                Err(error) => return Err(error),
            }
        }
        self.release_all(&due, now, &mut step)?;
        Ok(step)
    }

    /// Gives up what was signed of a tenant, and signs what is there: an operator's act, which the key store records. Whoever
    /// holds an earlier checkpoint will find that this one does not extend it.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint), but for what was signed.
    ///
    /// # Panics
    /// If this notary does not sign.
    pub fn re_anchor(&mut self, tenant: u64, now: u64) -> Result<Checkpoint, Error> {
        let (size, root) = self.to_sign(tenant)?;
        let signing = self.signing.as_mut().expect("a notary that signs");
        signing.signed.re_anchor(tenant, size, *root.as_bytes())?;
        signing.told.remove(&tenant);
        self.release(tenant, size, root, now)
    }

    /// Makes the memory of what was signed anew, where the key store has lost it, from the trees as they are: the same act, for
    /// all tenants. From here on this notary signs.
    ///
    /// # Errors
    /// What the key store refuses.
    pub fn re_anchor_all(&mut self, store: &mut KeyStore) -> Result<(), Error> {
        let mut trees = Vec::new();
        for tenant in self.trees.tenants() {
            if let Ok((size, root)) = self.to_sign(tenant) {
                trees.push((tenant, size, *root.as_bytes()));
            }
        }
        let signed = store.replace_signed_state(&trees)?;
        self.signing = Some(Signing::with(store, signed));
        Ok(())
    }

    /// The tree that would be signed.
    fn to_sign(&self, tenant: u64) -> Result<(u64, Hash), Error> {
        if let Some(stop) = self.trees.stop_of(tenant) {
            return Err(Error::Stopped { tenant, stop });
        }
        let tree = self.trees.tree(tenant).filter(|tree| tree.end() > 0).ok_or(Error::UnknownTenant { tenant })?;
        Ok((tree.end(), tree.root().expect("a tree begins at 0")))
    }

    /// Signs every tenant whose turn it is.
    pub(crate) fn sign(&mut self, turn: Turn, now: u64, step: &mut Step) -> Result<(), Error> {
        if self.signing.is_none() {
            return Ok(());
        }
        let mut due = Vec::new();
        for tenant in self.tenants_to_sign() {
            if !self.is_due(tenant, turn)? {
                continue;
            }
            match self.checked(tenant) {
                Ok(tree) => due.push(tree),
                // Its records may be on their way still.
                Err(Error::Refused(Refused::Smaller { .. }) | Error::UnknownTenant { .. }) if step.more => {}
                Err(error) if is_refusal(&error) => {
                    let signing = self.signing.as_mut().expect("a notary that signs");
                    if signing.told.insert(tenant) || matches!(turn, Turn::All) {
                        step.refused.push((tenant, error));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.release_all(&due, now, step)
    }

    /// The tree of a tenant that may be signed.
    fn checked(&self, tenant: u64) -> Result<Tree, Error> {
        let signing = self.signing.as_ref().expect("a notary that signs");
        let (size, root) = match self.to_sign(tenant) {
            // What was signed of a tenant that has no record any more is what is missing.
            Err(Error::UnknownTenant { .. }) if signing.last(tenant).is_some() => (0, Hash::EMPTY_TREE),
            tree => tree?,
        };
        signing.check(&self.trees, tenant, size)?;
        Ok((tenant, size, *root.as_bytes()))
    }

    /// Makes durable what is about to be signed, and signs it.
    fn release_all(&mut self, due: &[Tree], now: u64, step: &mut Step) -> Result<(), Error> {
        if !due.is_empty() {
            self.signing.as_mut().expect("a notary that signs").signed.advance_many(due)?;
        }
        for &(tenant, size, root) in due {
            step.signed.push(self.release(tenant, size, Hash::from_bytes(root), now)?);
        }
        Ok(())
    }

    /// The tenants that have records, and those of which something was signed though they have none.
    #[must_use]
    pub fn tenants_to_sign(&self) -> BTreeSet<u64> {
        let signed = self.signing.iter().flat_map(|signing| signing.signed.iter().map(|(tenant, _)| tenant));
        self.trees.tenants().into_iter().chain(signed).collect()
    }

    fn is_due(&mut self, tenant: u64, turn: Turn) -> Result<bool, Error> {
        let size = self.size(tenant);
        let path = checkpoint_path(&self.directory, tenant);
        let origin = self.origin(tenant);
        let signing = self.signing.as_mut().expect("a notary that signs");
        let signed = signing.signed.last(tenant).map_or(0, |last| last.size);
        if !signing.held.contains_key(&tenant) {
            let note = files::read(&path, NOTE_BYTES_MAX as u64)?;
            let claimed = note.and_then(|note| Claimed::read(std::str::from_utf8(&note).ok()?, &origin));
            signing.held.insert(tenant, claimed);
        }
        let held = signing.held[&tenant];
        if held.is_some_and(|held| held.size == size && held.size == signed) || size.max(signed) == 0 {
            return Ok(false);
        }
        Ok(match (turn, held) {
            (Turn::All, _) | (_, None) => true,
            (Turn::Due(now), Some(held)) => {
                let new = size.abs_diff(held.size);
                // A clock that was set back holds up nothing.
                let waited = now.checked_sub(held.time).unwrap_or(u64::MAX);
                waited >= self.settings.interval_ns || new >= self.settings.records || size < signed
            }
        })
    }

    /// Signs a tree that the key store has, and puts the checkpoint in its place.
    fn release(&mut self, tenant: u64, size: u64, root: Hash, now: u64) -> Result<Checkpoint, Error> {
        let checkpoint = Checkpoint { origin: self.origin(tenant), size, root, time: now };
        let signing = self.signing.as_mut().expect("a notary that signs");
        let note = checkpoint.sign(&signing.signer);
        files::replace(&checkpoint_path(&self.directory, tenant), note.as_bytes())?;
        signing.held.insert(tenant, Some(Claimed { size, time: now }));
        Ok(checkpoint)
    }
}
