//! fjall: one keyspace; a batch is a write batch that flushes the journal.

use super::{Engine as Peer, Store, key, locked_version};
use crate::cell::{Cell, Tally, writers};
use crate::failure::Failure;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

pub(super) const ENGINE: Peer = Peer { name: "fjall", concurrent: true, calls_counted: true, open };

struct Opened {
    database: Database,
    keyspace: Keyspace,
}

fn open(directory: &Path, _: u64) -> Result<Box<dyn Store>, Failure> {
    let database = Database::builder(directory).open().map_err(Failure::doing("cannot open"))?;
    let keyspace = database
        .keyspace("appends", KeyspaceCreateOptions::default)
        .map_err(Failure::doing("cannot make a keyspace"))?;
    Ok(Box::new(Opened { database, keyspace }))
}

impl Store for Opened {
    fn version(&self) -> String {
        locked_version("fjall")
    }

    fn run(&mut self, cell: &Cell<'_>) -> Result<Tally, Failure> {
        let Opened { database, keyspace } = self;
        let (database, keyspace) = (&*database, &*keyspace);
        writers(cell, |writer| {
            Ok(move |first, records: &[&[u8]]| {
                let mut batch = database.batch().durability(Some(PersistMode::SyncData));
                for (at, &record) in (first..).zip(records) {
                    batch.insert(keyspace, key(writer, at).to_be_bytes(), record);
                }
                batch.commit().map_err(Failure::doing("cannot commit"))
            })
        })
    }

    fn read(&mut self, writer: u64, at: u64) -> Result<Option<Vec<u8>>, Failure> {
        let value = self.keyspace.get(key(writer, at).to_be_bytes()).map_err(Failure::doing("cannot read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
}
