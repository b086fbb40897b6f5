//! A tenant's tree only grows: over openings with other numbers of shards, so that its records lie in several logs, over closing and
//! being dropped, with catalogs and policies among its records.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use harness::{builder, fill, in_memory};
use iobackend::{Arena, BackendConfig, Mode};
use log::Tree;
use std::collections::BTreeMap;
use std::path::Path;

const TENANTS: [&str; 4] = ["acme", "bolt", "cara", "dune"];

/// The trees, with the roots that were seen before at their sizes.
fn trees(root: &Path, seen: &BTreeMap<(u64, u64), crypto::merkle::Hash>) -> Vec<Tree> {
    let open = || {
        let mut arena = Arena::new(log::SCAN_BUFFER_BYTES).unwrap();
        let buffer = log::scan_buffer(&mut arena).unwrap();
        let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(root) };
        Ok((iobackend::open(&config, &arena).unwrap(), buffer))
    };
    let sizes: Vec<_> = seen.keys().copied().collect();
    let verified = log::verify_roots(open, 2, &sizes, |_, _| {}).unwrap();
    assert_eq!(verified.damage, []);
    verified.trees
}

#[test]
fn roots_that_were_seen_are_there_however_the_tenants_moved() {
    let root = in_memory();
    let mut seen = BTreeMap::new();
    for (round, shards) in [3, 1, 4, 2, 4].into_iter().enumerate() {
        let (round, per_round) = (round as u64, 60);
        let engine = builder(root.path(), shards).open().unwrap();
        let mut client = engine.client();
        for tenant in TENANTS {
            let old = client.ensure_stream(tenant, "events").unwrap();
            fill(&mut client, &old, &format!("{tenant} events"), round * per_round, per_round);
            let new = client.ensure_stream(tenant, &format!("of round {round}")).unwrap();
            fill(&mut client, &new, &format!("{tenant} of round"), 0, 7);
        }
        drop(client);
        if round % 2 == 0 {
            engine.close().unwrap();
        } else {
            drop(engine);
        }
        let trees = trees(root.path(), &seen);
        assert_eq!(trees.len(), TENANTS.len());
        for tree in trees {
            // The tenant and its first stream; in each round a stream, and the records of both.
            assert_eq!((tree.size, tree.broken), (2 + (round + 1) * (1 + per_round + 7), false));
            let before: BTreeMap<_, _> = tree.roots.iter().map(|(size, root)| ((tree.tenant, *size), *root)).collect();
            assert_eq!(before.len() as u64, round, "every size of the rounds before");
            assert!(before.iter().all(|(at, root)| seen[at] == *root), "in round {round}, with {shards} shards");
            seen.insert((tree.tenant, tree.size), tree.root);
        }
    }
    let logs = std::fs::read_dir(root.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(logs, 4, "the records lie in several logs");
}
