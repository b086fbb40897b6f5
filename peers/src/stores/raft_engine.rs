//! raft-engine, used as for raft logs: every writer is a raft group, every record an entry with the next index.

use super::{Engine as Peer, Store, locked_version};
use crate::cell::{Cell, Tally, writers};
use crate::failure::Failure;
use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize, RecoveryMode};
use std::path::Path;

pub(super) const ENGINE: Peer = Peer { name: "raft-engine", concurrent: true, calls_counted: true, open };

const LOG: ReadableSize = ReadableSize::mb(64);

/// Entries must be protobuf messages. This is one of those that come with the protobuf crate which has what an entry needs: a
/// number and bytes. It spares a compiler of protobuf files, and costs the same as a message of its own.
type Entry = UninterpretedOption;

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

/// Logs are zeroed before the start, and then written over, as in an engine that has run for a while and recycles them.
fn open(directory: &Path, ahead_bytes: u64) -> Result<Box<dyn Store>, Failure> {
    // raft-engine makes half as many again as it is told.
    let ahead = ReadableSize((ahead_bytes * 2 / 3).next_multiple_of(LOG.0).max(LOG.0));
    let config = Config {
        dir: directory.to_string_lossy().into_owned(),
        recovery_mode: RecoveryMode::TolerateTailCorruption,
        batch_compression_threshold: ReadableSize(0),
        target_file_size: LOG,
        purge_threshold: ahead,
        enable_log_recycle: true,
        prefill_for_recycle: ahead_bytes > 0,
        prefill_limit: (ahead_bytes > 0).then_some(ahead),
        ..Config::default()
    };
    Ok(Box::new(Opened(Engine::open(config).map_err(Failure::doing("cannot open"))?)))
}

struct Opened(Engine);

impl Store for Opened {
    fn version(&self) -> String {
        locked_version("raft-engine")
    }

    fn run(&mut self, cell: &Cell<'_>) -> Result<Tally, Failure> {
        writers(cell, |writer| {
            let mut log_batch = LogBatch::with_capacity(1);
            let mut entries = vec![Entry::new(); cell.batch];
            let engine = &self.0;
            Ok(move |first, records: &[&[u8]]| {
                for ((index, record), entry) in (first..).zip(records).zip(&mut entries) {
                    entry.set_positive_int_value(index);
                    let bytes = entry.mut_string_value();
                    bytes.clear();
                    bytes.extend_from_slice(record);
                }
                log_batch
                    .add_entries::<Entries>(group(writer), &entries)
                    .map_err(Failure::doing("cannot add entries"))?;
                engine.write(&mut log_batch, true).map_err(Failure::doing("cannot write"))?;
                Ok(())
            })
        })
    }

    fn read(&mut self, writer: u64, at: u64) -> Result<Option<Vec<u8>>, Failure> {
        let entry = self.0.get_entry::<Entries>(group(writer), at).map_err(Failure::doing("cannot read"))?;
        Ok(entry.map(|mut entry| entry.take_string_value()))
    }

    fn close(self: Box<Self>) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
}

/// Group 0 is not for use.
fn group(writer: u64) -> u64 {
    writer + 1
}
