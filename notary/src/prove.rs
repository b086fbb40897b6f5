//! Proofs against the newest checkpoint on file. They need no key, and nothing here believes the checkpoint: it is proven
//! against, and whoever verifies has the pinned key.
//!
//! What must stay true: a proof is verified before it is given out, so that a tree's file that was damaged gives an error and
//! not a proof that proves nothing.

use crate::notary::Step;
use crate::sign::{Claimed, checkpoint_path};
use crate::{Error, Notary, files};
use crypto::merkle::{self, Hash, Path, is_consistent, is_included};
use crypto::note::{ConsistencyProof, InclusionProof, NOTE_BYTES_MAX};
use iobackend::IoBackend;
use log::{FoundRecord, RecordName};
use std::path::PathBuf;

/// The checkpoint that is proven against.
struct Newest {
    size: u64,
    root: Hash,
    note: String,
}

impl<B: IoBackend> Notary<B> {
    /// The newest checkpoint of a tenant, as it lies on file.
    ///
    /// # Errors
    /// If there is none, and what the system refuses.
    pub fn checkpoint_on_file(&self, tenant: u64) -> Result<String, Error> {
        let path = checkpoint_path(&self.directory, tenant);
        let Some(note) = files::read(&path, NOTE_BYTES_MAX as u64)? else {
            return Err(Error::NoCheckpoint { path });
        };
        String::from_utf8(note).map_err(|_| Error::BadCheckpoint { path, fault: "it is not a text" })
    }

    /// Proves that the record at an offset of a stream is in the tree of the tenant's newest checkpoint.
    ///
    /// # Errors
    /// If there is no checkpoint, none that covers the record, or no record; if a file is damaged, or the system refuses.
    pub fn inclusion(&mut self, tenant: u64, stream: u32, offset: u64) -> Result<InclusionProof, Error> {
        let newest = self.newest(tenant)?;
        let tiles = self.trees.tiles(tenant).ok_or(Error::UnknownTenant { tenant })?.clone();
        let mut nodes = tiles.nodes();
        let mut node = |index| nodes.node(merkle::NodeId { level: 0, index });
        let (size, mut covered, mut failed) = (newest.size, true, None);
        let leaf_of =
            |found: &FoundRecord| merkle::leaf(tenant, stream, &crypto::next(&found.link_before, &found.hashed));
        let mut accept = |found: &FoundRecord| {
            if found.position >= size {
                covered = false;
                return false;
            }
            match node(found.position) {
                Ok(leaf) => leaf == leaf_of(found),
                Err(error) => {
                    failed = Some(error);
                    false
                }
            }
        };
        let mut found = None;
        for log in self.logs() {
            let name = RecordName { tenant, stream, offset };
            found = log::find_record(&mut self.backend, &mut self.buffer, log, name, &mut accept)?;
            if found.is_some() {
                break;
            }
        }
        let Some(found) = found else {
            return Err(match failed {
                Some(error) => error,
                None if covered => Error::NoRecord { stream, offset },
                None => Error::NotCovered { stream, offset, size },
            });
        };
        let path = Path::inclusion(found.position, size).expect("the record is in the tree");
        let hashes = path.hashes(|id| nodes.node(id))?;
        if !is_included(found.position, size, &leaf_of(&found), &hashes, &newest.root) {
            return Err(self.spoilt(tenant));
        }
        let FoundRecord { position: index, link_before, hashed: record, .. } = found;
        Ok(InclusionProof { index, stream, link_before, record, hashes, checkpoint: newest.note })
    }

    /// Proves that the tree of the tenant's newest checkpoint begins with its tree of `old` records.
    ///
    /// # Errors
    /// If there is no checkpoint, or only an older one; if a file is damaged, or the system refuses.
    pub fn consistency(&mut self, tenant: u64, old: u64) -> Result<ConsistencyProof, Error> {
        let newest = self.newest(tenant)?;
        let path = Path::consistency(old, newest.size).ok_or(Error::OldIsNewer { old, size: newest.size })?;
        let tiles = self.trees.tiles(tenant).ok_or(Error::UnknownTenant { tenant })?;
        let mut nodes = tiles.nodes();
        let hashes = path.hashes(|id| nodes.node(id))?;
        let old_root = tiles.tree(old)?.root().expect("a tree begins at 0");
        if !is_consistent(old, newest.size, &hashes, &old_root, &newest.root) {
            return Err(self.spoilt(tenant));
        }
        Ok(ConsistencyProof { old, hashes, checkpoint: newest.note })
    }

    /// The same from a checkpoint that somebody kept, whoever signed it.
    ///
    /// # Errors
    /// As [`consistency`](Self::consistency); and if it is no checkpoint of the tenant, or of a tree that this one does not
    /// begin with.
    pub fn consistency_from(&mut self, tenant: u64, kept: &str) -> Result<ConsistencyProof, Error> {
        let claimed = Claimed::read(kept, &self.origin(tenant)).ok_or(Error::NotOfTenant { tenant })?;
        let proof = self.consistency(tenant, claimed.size)?;
        let tiles = self.trees.tiles(tenant).ok_or(Error::UnknownTenant { tenant })?;
        let root = tiles.tree(claimed.size)?.root().expect("a tree begins at 0");
        if !claimed.is_of(kept, &self.origin(tenant), root) {
            return Err(Error::OtherHistory { tenant, size: claimed.size });
        }
        Ok(proof)
    }

    /// The newest checkpoint, with its tree. What of the log the trees do not have yet is followed first.
    fn newest(&mut self, tenant: u64) -> Result<Newest, Error> {
        let note = self.checkpoint_on_file(tenant)?;
        let path = checkpoint_path(&self.directory, tenant);
        let bad = |fault| Error::BadCheckpoint { path, fault };
        let Some(claimed) = Claimed::read(&note, &self.origin(tenant)) else {
            return Err(bad("it is no checkpoint of this tenant"));
        };
        let size = claimed.size;
        let mut step = Step { more: true, ..Step::default() };
        while self.size(tenant) < size && step.more {
            self.follow(&mut step)?;
        }
        if self.size(tenant) < size {
            return Err(match self.stopped(tenant) {
                Some(stop) => Error::Stopped { tenant, stop },
                None => bad("it is of more records than there are"),
            });
        }
        let tiles = self.trees.tiles(tenant).ok_or(Error::UnknownTenant { tenant })?;
        let root = tiles.tree(size)?.root().expect("a tree begins at 0");
        if !claimed.is_of(&note, &self.origin(tenant), root) {
            return Err(bad("it is of another tree than this tenant's"));
        }
        Ok(Newest { size, root, note })
    }

    /// A tree's file that leads to no root it should have.
    fn spoilt(&self, tenant: u64) -> Error {
        let path: PathBuf = crate::follow::tenant_directory(&self.directory, tenant);
        Error::Tiles { path }
    }
}
