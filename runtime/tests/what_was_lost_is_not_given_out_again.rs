//! Segments are lost, with all that they held: no offset that may have been acknowledged in them is acknowledged again.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme::{CallError, Client, Failure, Refusal};
use harness::{builder, fill, in_memory};
use std::fs;
use std::path::Path;

const FROZEN: Result<(), CallError> = Err(CallError::Failed(Failure::Refused(Refusal::Frozen)));

/// Appends to streams of tenants in one opening, on the shards given.
fn write(root: &Path, shards: u16, tenants: &[(&str, u16)], from: u64, count: u64) {
    let mut settings = builder(root, shards);
    for (tenant, shard) in tenants {
        settings = settings.place(tenant, *shard);
    }
    let engine = settings.open().unwrap();
    let mut client = engine.client();
    for (tenant, _) in tenants {
        let stream = client.ensure_stream(tenant, "events").unwrap();
        fill(&mut client, &stream, tenant, from, count);
    }
    engine.close().unwrap();
}

fn append(client: &mut Client, tenant: &str) -> Result<(), CallError> {
    let stream = client.stream(tenant, "events")?;
    client.append(&stream, b"at which offset?").map(|_| ())
}

fn remove(root: &Path, segment: &str) {
    fs::remove_file(root.join(segment)).unwrap();
}

/// The catalog lay in the first segment and all records of the stream in the second, which was lost: the log did not show the
/// stream, so it was not frozen, and its first append was acknowledged at offset 0 once more.
#[test]
fn a_stream_of_which_only_the_creation_is_left_is_frozen() {
    let root = in_memory();
    write(root.path(), 1, &[("acme", 0)], 0, 0);
    write(root.path(), 1, &[("acme", 0)], 0, 10);
    remove(root.path(), "shard-0000/00000002.seg");
    for _ in 0..3 {
        let engine = builder(root.path(), 1).open().unwrap();
        assert_eq!(engine.report().recovery.frozen, 2, "the catalog too");
        let mut client = engine.client();
        assert_eq!(append(&mut client, "acme"), FROZEN);
        assert_eq!(client.ensure_stream("acme", "other").map(|_| ()), FROZEN);
        engine.close().unwrap();
    }
}

/// The only segment of a log was lost: nothing was known, so nothing was frozen, and the tenant was made again.
#[test]
fn a_tenant_that_may_have_been_lost_is_not_made_again() {
    let root = in_memory();
    write(root.path(), 1, &[("acme", 0)], 0, 10);
    remove(root.path(), "shard-0000/00000001.seg");
    for _ in 0..3 {
        let engine = builder(root.path(), 1).open().unwrap();
        assert_eq!(engine.client().ensure_stream("acme", "events").map(|_| ()), FROZEN);
        engine.close().unwrap();
    }
}

/// A stream went on in another log, of which all was lost: the first log alone told where it ended.
#[test]
fn a_stream_whose_end_lay_in_another_log_is_frozen() {
    let root = in_memory();
    write(root.path(), 1, &[("acme", 0)], 0, 100);
    write(root.path(), 2, &[("acme", 1)], 100, 100);
    remove(root.path(), "shard-0001/00000001.seg");
    let engine = builder(root.path(), 2).open().unwrap();
    assert_eq!(append(&mut engine.client(), "acme"), FROZEN);
    engine.close().unwrap();
}

/// A loss in the log that a stream had left long ago froze it for good, and what the stream had there, or in the other log,
/// was told to be lost.
#[test]
fn a_stream_that_went_on_after_the_loss_is_not_frozen() {
    let root = in_memory();
    write(root.path(), 2, &[("acme", 0), ("bolt", 0)], 0, 0);
    write(root.path(), 2, &[("acme", 0), ("bolt", 0)], 0, 100);
    write(root.path(), 2, &[("acme", 1), ("bolt", 0)], 100, 100);
    write(root.path(), 2, &[("acme", 0), ("bolt", 1)], 200, 100);
    remove(root.path(), "shard-0000/00000002.seg");
    let engine = builder(root.path(), 2).open().unwrap();
    let losses: Vec<_> = engine.report().recovery.damage.iter().flat_map(|damage| &damage.losses).collect();
    assert_eq!(losses.len(), 2, "{losses:?}");
    assert!(losses.iter().all(|loss| loss.stream == 1 && loss.offsets == (0..100)), "{losses:?}");
    for tenant in ["acme", "bolt"] {
        assert_eq!(append(&mut engine.client(), tenant), Ok(()));
    }
    engine.close().unwrap();
}
