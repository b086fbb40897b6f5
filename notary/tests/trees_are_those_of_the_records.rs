//! Trees that differ from what the records give, however they were followed: at once, while they were written, over logs.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use crypto::note::{Checkpoint, ConsistencyProof};
use diatreme_notary::Settings;
use harness::{Place, assert_sound, assert_trees, fill, finish, plain, root_of, tenant, verifier, write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn closed_directories_of_several_shards_tenants_and_streams() {
    let place = Place::new();
    write(&place, 2, &[("acme", "a", 700), ("bolt", "b", 300), ("acme", "c", 5), ("core", "d", 1)]);
    write(&place, 2, &[("bolt", "e", 40), ("acme", "a", 900)]);
    let mut notary = place.notary();
    assert_sound(&finish(&mut notary, 1));
    assert_trees(&notary, &place.data());
    drop(notary);
    // Taken up where it was left, and with nothing new.
    let mut notary = place.notary();
    assert_eq!(notary.rebuilt(), None);
    assert_trees(&notary, &place.data());
    let step = finish(&mut notary, 2);
    assert_eq!(step.bytes, 0);
    drop(notary);
    write(&place, 2, &[("acme", "c", 100), ("deli", "x", 20)]);
    let mut notary = place.notary();
    let step = finish(&mut notary, 3);
    assert_sound(&step);
    assert_eq!(notary.rebuilt(), None);
    assert_trees(&notary, &place.data());
}

#[test]
fn a_step_does_no_more_than_it_may() {
    let place = Place::new();
    write(&place, 1, &[("acme", "a", 20_000)]);
    let mut notary = place.notary_with(Settings { step_bytes: 256 << 10, ..Settings::default() });
    let mut steps = 0;
    loop {
        let step = notary.step(1).unwrap();
        // The frame that reaches the limit is taken whole.
        assert!(step.bytes <= (256 << 10) + (2 << 20), "{} bytes", step.bytes);
        steps += 1;
        if !step.more {
            break;
        }
    }
    assert!(steps > 3, "{steps} steps");
    assert_trees(&notary, &place.data());
}

#[test]
fn an_engine_that_writes_meanwhile() {
    let place = Place::new();
    let engine = place.open(2);
    let mut client = engine.client();
    let streams =
        [("acme", "a"), ("bolt", "b"), ("core", "c")].map(|(tenant, name)| client.ensure_stream(tenant, name).unwrap());
    let mut notary = place.signer();
    let done = AtomicBool::new(false);
    let mut kept: Vec<Checkpoint> = Vec::new();
    let acme = tenant("acme");
    let written = std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..60 {
                streams.iter().for_each(|stream| fill(&mut client, stream, 100 + round));
            }
            done.store(true, Ordering::Release);
        });
        let written: u64 = (0..60).map(|round| 3 * (100 + round)).sum::<u64>() + 3 * 2;
        let since = Instant::now();
        let mut now = 0;
        // The last records are vouched for by a mark, a moment after the log falls quiet.
        loop {
            now += 60_000_000_000;
            let was_done = done.load(Ordering::Acquire);
            let step = notary.step(now).unwrap();
            assert_sound(&step);
            kept.extend(step.signed.into_iter().filter(|checkpoint| checkpoint.origin.tenant == acme));
            let followed: u64 = notary.tenants().into_iter().map(|tenant| notary.size(tenant)).sum();
            if was_done && followed == written {
                break written;
            }
            assert!(since.elapsed() < Duration::from_secs(120), "{followed} of {written} were followed");
        }
    });
    assert!(kept.len() > 2, "it signed while the engine wrote: {}", kept.len());
    drop(client);
    engine.close().unwrap();
    assert_sound(&finish(&mut notary, u64::MAX));
    assert_trees(&notary, &place.data());
    let records = plain(&place.data());
    assert_eq!(records.values().map(|records| records.len() as u64).sum::<u64>(), written);
    let leaves = harness::leaves(&records[&acme]);
    for checkpoint in &kept {
        assert_eq!(checkpoint.root, root_of(&leaves[..checkpoint.size as usize]), "{checkpoint:?}");
    }
    let proof = notary.consistency(acme, kept[0].size).unwrap().encode();
    let newest = ConsistencyProof::decode(proof.as_bytes()).unwrap().verify(&kept[0], &verifier(&notary, acme));
    assert_eq!(newest.unwrap().size, leaves.len() as u64);
}

#[test]
fn a_tenant_that_moved_between_logs() {
    let place = Place::new();
    let moves = [(3, 2), (1, 0), (2, 1), (3, 0), (3, 2)];
    let mut followed = 0;
    for (round, (shards, shard)) in moves.into_iter().enumerate() {
        let engine = place.builder(shards).place("acme", shard).place("bolt", shards - 1).open().unwrap();
        let mut client = engine.client();
        for (tenant, stream, count) in [("acme", "a", 300), ("bolt", "b", 200), ("acme", "c", 10)] {
            let stream = client.ensure_stream(tenant, stream).unwrap();
            fill(&mut client, &stream, count + round as u64);
        }
        drop(client);
        engine.close().unwrap();
        let mut notary = place.notary();
        assert_sound(&finish(&mut notary, 1));
        assert_eq!(notary.rebuilt(), None);
        assert_trees(&notary, &place.data());
        followed += 1;
    }
    assert_eq!(followed, moves.len());
    // All at once: a log that is read first has what comes after another's.
    std::fs::remove_dir_all(place.data().join("notary")).unwrap();
    let mut notary = place.notary();
    assert_sound(&finish(&mut notary, 1));
    assert_trees(&notary, &place.data());
}

/// The runtime gives it to a thread of its own.
#[test]
fn a_notary_may_be_moved_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    let place = Place::new();
    write(&place, 1, &[("acme", "a", 1)]);
    is_send(&place.signer());
}
