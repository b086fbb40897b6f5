//! The key store: what Diatreme's data keys are kept in, outside the log and outside its backups.
//!
//! A data key that is destroyed makes what was sealed with it unreadable, in a log that is never rewritten. That holds only
//! if the key is in no copy of anything; so the keys lie in a small store that is written anew at each change, wrapped under
//! a master key that lies elsewhere ([`MasterSource`]), and an erasure changes the master key too: an older copy of the
//! store then opens with nothing that exists.
//!
//! ```no_run
//! use diatreme_keys::{KeyStore, MasterSource, NewMaster, generate_master_file};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! generate_master_file("/etc/diatreme/master.key".as_ref())?;
//! let master: MasterSource = "file:/etc/diatreme/master.key".parse()?;
//! let engine = [7; 16];
//! let mut store = KeyStore::create("data.keys".as_ref(), &engine, &master)?;
//! let (key_id, commitment) = store.add(0xac3e, 0)?;
//! let key = store.key(0xac3e, key_id).expect("it was just made");
//! assert!(key.fits(0xac3e, key_id, &commitment));
//! store.erase(0xac3e, None, NewMaster::InPlace)?;
//! assert!(store.key(0xac3e, key_id).is_none());
//! # Ok(())
//! # }
//! ```
//!
//! What must stay true:
//!
//! - A key that was given out is durable, and an id is never given twice, also not after an erasure.
//! - After a crash at any point the store is the old or the new one, and the master key that opens it is there.
//! - What is wrong is told apart only as far as anybody can see it without a key. Whatever the master key does not open, or
//!   does not vouch for, is one error, after the same work.
//! - No error, no `Debug`, no text holds key material.
//!
//! Not here: which key seals what, and whether it may (the catalog in the log says so, and the store follows); protection
//! against an older copy of the whole store under the same master key, which nothing inside the store can notice.
#![forbid(unsafe_code)]

mod contents;
#[cfg(test)]
mod crash_tests;
mod erase;
mod error;
mod files;
mod format;
pub mod limits;
mod lock;
mod master;
mod replace;
mod signed;
mod source;
mod store;

pub use contents::KeyState;
pub use erase::{Erased, NewMaster, OldMaster};
pub use error::Error;
pub use format::Fault;
pub use signed::{Regress, Signed, SignedState};
pub use source::{MasterSource, NoSource, SourceError, SourceFault, generate_master_file};
pub use store::{KeyInfo, KeyStore};
