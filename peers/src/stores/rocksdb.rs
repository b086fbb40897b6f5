//! RocksDB: the default column family; a batch is a write batch that flushes the write-ahead log.

use super::{Engine as Peer, Store, key};
use crate::cell::{Cell, Tally, writers};
use crate::failure::Failure;
use rocksdb::{DB, DBCompressionType, Options, WriteBatch, WriteOptions};
use std::path::{Path, PathBuf};

pub(super) const ENGINE: Peer = Peer { name: "RocksDB", concurrent: true, calls_counted: true, open };

/// Logs that are kept to be written over: that saves the file system's own journal when they are flushed.
const LOGS_RECYCLED: usize = 4;
/// Memtables that may wait to be written out before a writer has to.
const MEMTABLES: i32 = 8;

struct Opened {
    db: DB,
    directory: PathBuf,
}

fn open(directory: &Path, _: u64) -> Result<Box<dyn Store>, Failure> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::None);
    options.set_recycle_log_file_num(LOGS_RECYCLED);
    options.set_max_write_buffer_number(MEMTABLES);
    let db = DB::open(&options, directory).map_err(Failure::doing("cannot open"))?;
    Ok(Box::new(Opened { db, directory: directory.to_owned() }))
}

impl Store for Opened {
    /// Of the library that is linked, which its own log file names.
    fn version(&self) -> String {
        let log = std::fs::read_to_string(self.directory.join("LOG")).unwrap_or_default();
        let version = log.split_once("RocksDB version: ").and_then(|(_, rest)| rest.split_whitespace().next());
        version.unwrap_or("unknown").into()
    }

    fn run(&mut self, cell: &Cell<'_>) -> Result<Tally, Failure> {
        writers(cell, |writer| {
            let mut durable = WriteOptions::default();
            durable.set_sync(true);
            let db = &self.db;
            Ok(move |first, records: &[&[u8]]| {
                let mut batch = WriteBatch::default();
                for (at, record) in (first..).zip(records) {
                    batch.put(key(writer, at).to_be_bytes(), record);
                }
                db.write_opt(batch, &durable).map_err(Failure::doing("cannot write"))
            })
        })
    }

    fn read(&mut self, writer: u64, at: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.db.get(key(writer, at).to_be_bytes()).map_err(Failure::doing("cannot read"))
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
}
