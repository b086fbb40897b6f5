//! redb: one table; a batch is a write transaction.

use super::{Engine as Peer, Store, key, locked_version};
use crate::cell::{Cell, Clock, Tally, one_writer};
use crate::failure::Failure;
use redb::{Database, Durability, ReadableDatabase, TableDefinition, TableError};
use std::path::Path;

pub(super) const ENGINE: Peer = Peer { name: "redb", concurrent: false, calls_counted: true, open };

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("appends");

struct Opened(Database);

fn open(directory: &Path, _: u64) -> Result<Box<dyn Store>, Failure> {
    Ok(Box::new(Opened(Database::create(directory.join("redb")).map_err(Failure::doing("cannot open"))?)))
}

impl Opened {
    fn append(&self, first: u64, records: &[&[u8]]) -> Result<(), redb::Error> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (at, &record) in (first..).zip(records) {
                table.insert(key(0, at), record)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: u64) -> Result<Option<Vec<u8>>, redb::Error> {
        match self.0.begin_read()?.open_table(TABLE) {
            Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Store for Opened {
    fn version(&self) -> String {
        locked_version("redb")
    }

    fn run(&mut self, cell: &Cell<'_>) -> Result<Tally, Failure> {
        one_writer(cell, &Clock::start(cell), 0, |first, records| {
            self.append(first, records).map_err(Failure::doing("cannot commit"))
        })
    }

    fn read(&mut self, writer: u64, at: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.get(key(writer, at)).map_err(Failure::doing("cannot read"))
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
}
