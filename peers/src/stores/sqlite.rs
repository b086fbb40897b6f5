//! SQLite in WAL mode with synchronous = FULL: one table by row id; a batch is a transaction.

use super::{Engine as Peer, Store, key};
use crate::cell::{Cell, Clock, Tally, one_writer};
use crate::failure::Failure;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

pub(super) const ENGINE: Peer = Peer { name: "SQLite", concurrent: false, calls_counted: true, open };

/// A checkpoint every 64 MiB of log instead of every 4, so that fewer commits wait for one.
const SETTINGS: &str = "PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 16384;
    CREATE TABLE IF NOT EXISTS appends (at INTEGER PRIMARY KEY, payload BLOB NOT NULL);";

struct Opened(Connection);

fn open(directory: &Path, _: u64) -> Result<Box<dyn Store>, Failure> {
    let connection = Connection::open(directory.join("sqlite")).map_err(Failure::doing("cannot open"))?;
    connection.execute_batch(SETTINGS).map_err(Failure::doing("cannot set up"))?;
    Ok(Box::new(Opened(connection)))
}

fn append(connection: &mut Connection, first: u64, records: &[&[u8]]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached("INSERT INTO appends VALUES (?1, ?2)")?;
        for (at, record) in (first..).zip(records) {
            insert.execute(params![key(0, at).cast_signed(), record])?;
        }
    }
    transaction.commit()
}

impl Store for Opened {
    fn version(&self) -> String {
        rusqlite::version().into()
    }

    fn run(&mut self, cell: &Cell<'_>) -> Result<Tally, Failure> {
        one_writer(cell, &Clock::start(cell), 0, |first, records| {
            append(&mut self.0, first, records).map_err(Failure::doing("cannot commit"))
        })
    }

    fn read(&mut self, writer: u64, at: u64) -> Result<Option<Vec<u8>>, Failure> {
        let key = key(writer, at).cast_signed();
        let read = self.0.query_row("SELECT payload FROM appends WHERE at = ?1", [key], |row| row.get(0));
        read.optional().map_err(Failure::doing("cannot read"))
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        self.0.close().map_err(|(_, error)| Failure::doing("cannot close")(error)).map(|()| None)
    }
}
