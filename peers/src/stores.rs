//! The engines, each behind the same few calls. Their settings, and why these, are in `docs/peers.md`.

mod diatreme;
mod fjall;
mod raft_engine;
mod redb;
mod rocksdb;
mod sqlite;

use crate::cell::{Cell, Tally};
use crate::failure::Failure;
use std::path::Path;

/// An engine with a data directory open.
pub(crate) trait Store {
    /// The version of what runs.
    fn version(&self) -> String;

    /// Appends, durably, until the cell's time is over.
    fn run(&mut self, cell: &Cell<'_>) -> Result<Tally, Failure>;

    /// The record that a writer wrote as its `at`th, if there is one.
    fn read(&mut self, writer: u64, at: u64) -> Result<Option<Vec<u8>>, Failure>;

    /// Closes the engine. Of one whose own account of its durable writes is to be had: how many there were.
    fn close(self: Box<Self>) -> Result<Option<u64>, Failure>;
}

/// Opens an engine on a directory. One that can prepare its logs is told how many bytes may come.
type Open = fn(&Path, u64) -> Result<Box<dyn Store>, Failure>;

/// An engine that can be measured.
#[derive(Clone, Copy)]
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    /// Whether writers that commit at the same time share a flush. One that makes them wait for each other is given one writer.
    pub(crate) concurrent: bool,
    /// Whether it flushes through the C library, where calls are counted.
    pub(crate) calls_counted: bool,
    pub(crate) open: Open,
}

/// All of them; ratios are to the first.
pub(crate) const ENGINES: [Engine; 6] =
    [diatreme::ENGINE, raft_engine::ENGINE, fjall::ENGINE, redb::ENGINE, rocksdb::ENGINE, sqlite::ENGINE];

/// A key for engines that sort their keys: a writer's records lie together and in order.
fn key(writer: u64, at: u64) -> u64 {
    writer << 48 | at
}

/// The version of a crate that this program was built with.
fn locked_version(name: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let package = format!("name = \"{name}\"\nversion = \"");
    let version = lock.split_once(&package).and_then(|(_, rest)| rest.split_once('"'));
    version.map_or_else(|| "unknown".into(), |(version, _)| version.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;
    use std::time::Duration;

    /// What is read back after a cell must be what this one writer wrote, or the check of the records checks nothing.
    #[test]
    fn every_engine_keeps_what_it_acknowledged() {
        let _turn = crate::flush_count::turn();
        let noise = Noise::new(100);
        for engine in ENGINES {
            for (batch, in_flight) in [(1, 8), (50, 1)] {
                let directory = tempfile::tempdir_in(".").unwrap();
                let (warm_up, measured) = (Duration::from_millis(10), Duration::from_millis(50));
                let cell = Cell { noise: &noise, batch, in_flight, warm_up, measured };
                let mut store = (engine.open)(directory.path(), cell.bytes_max()).unwrap();
                let tally = store.run(&cell).unwrap();
                store.close().unwrap();
                let mut store = (engine.open)(directory.path(), 0).unwrap();
                for (writer, &written) in tally.written.iter().enumerate() {
                    assert!(written > 0, "{}: writer {writer} wrote nothing", engine.name);
                    for at in [0, written / 2, written - 1] {
                        let record = store.read(writer as u64, at).unwrap();
                        assert_eq!(record.as_deref(), Some(noise.record(writer as u64, at)), "{} {at}", engine.name);
                    }
                    assert_eq!(store.read(writer as u64, written).unwrap(), None, "{}", engine.name);
                }
            }
        }
    }

    #[test]
    fn versions_are_those_of_the_lock() {
        assert_eq!(locked_version("raft-engine"), "0.4.2");
        assert_eq!(locked_version("no-such-crate"), "unknown");
    }
}
