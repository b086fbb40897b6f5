//! Close, open, change the number of shards, damage: what was acknowledged is there, or named as damaged.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme::{CallError, Cores, DurableWrite, Engine, Failure, OpenError, Refusal};
use harness::{builder, check, copy, fill, in_memory, modes, on_disk, open, payload};
use std::fs;
use std::path::{Path, PathBuf};

const TENANTS: [&str; 5] = ["acme", "bolt", "coil", "dyne", "edge"];

#[test]
fn on_every_backend_on_disk_and_in_memory() {
    for mode in modes() {
        for root in [on_disk(), in_memory()] {
            // Each opening may make its durable writes in another way.
            let ways = [DurableWrite::Dsync, DurableWrite::LinkedFlush, DurableWrite::Dsync];
            for (opening, durable_write) in (0..).zip(ways) {
                let engine = builder(root.path(), 1).backend(mode).durable_write(durable_write).open().unwrap();
                let recovery = &engine.report().recovery;
                assert_eq!((recovery.created, recovery.clean), (opening == 0, opening > 0), "{mode:?}");
                let mut client = engine.client();
                let stream = client.ensure_stream("acme", "audit").unwrap();
                check(&mut client, &stream, "audit", 200 * opening);
                fill(&mut client, &stream, "audit", 200 * opening, 200);
                check(&mut client, &stream, "audit", 200 * (opening + 1));
                // Also with a client that is still there.
                let stats = engine.close().unwrap();
                assert_eq!(stats.len(), 1);
                assert!(stats[0].requests > 200);
                assert_eq!(client.append(&stream, b"late"), Err(CallError::Closed));
            }
        }
    }
}

#[test]
fn with_any_number_of_shards_and_a_tenant_that_is_placed_by_hand() {
    let root = in_memory();
    let mut written = 0;
    let mut stale = None;
    for (opening, shards) in [1_u16, 3, 2, 1, 4].into_iter().enumerate() {
        let mut settings = builder(root.path(), shards);
        if opening == 1 {
            // The last one is elsewhere by the hash, or this shows nothing.
            settings = settings.place("acme", 1).place("bolt", 0).place("coil", 2);
        }
        let engine = settings.open().unwrap();
        assert_eq!(engine.report().recovery.damage, []);
        let tenant = |name| diatreme::TenantId::of_name(name).0;
        if shards > 1 && opening < 3 {
            assert_eq!(
                (engine.placement().shard_of(tenant("acme")), engine.placement().shard_of(tenant("bolt"))),
                (1, 0)
            );
        }
        if opening == 1 {
            assert_eq!(engine.placement().shard_of(tenant("coil")), 2);
        }
        let mut client = engine.client();
        for name in TENANTS {
            let stream = client.ensure_stream(name, "events").unwrap();
            check(&mut client, &stream, name, written);
            fill(&mut client, &stream, name, written, 100);
            check(&mut client, &stream, name, written + 100);
        }
        assert_eq!(client.tenants().unwrap().len(), TENANTS.len());
        // A handle of an opening with other shards finds its stream all the same.
        let known = client.stream("edge", "events").unwrap();
        let old = *stale.get_or_insert(known);
        assert_eq!(client.head(&old).unwrap().next, written + 100);
        client.submit_head(&old).unwrap();
        client.wait(|completion| assert!(completion.result.is_ok(), "{completion:?}")).unwrap();
        written += 100;
        // Closed, and dropped, which is the same.
        if opening % 2 == 0 { drop(engine.close().unwrap()) } else { drop(engine) }
    }
    let version = open(root.path(), 4).placement().version();
    assert_eq!(open(root.path(), 4).placement().version(), version, "nothing has changed");
}

#[test]
fn one_engine_at_a_time() {
    let root = in_memory();
    let engine = open(root.path(), 1);
    assert!(matches!(builder(root.path(), 1).open(), Err(OpenError::Locked { .. })));
    engine.close().unwrap();
    open(root.path(), 1).close().unwrap();
}

#[test]
fn more_shards_than_cores_pinned_or_not() {
    let cores = diatreme::cores::available().len() as u16;
    for placement in [Cores::Auto, Cores::Unpinned] {
        let root = in_memory();
        let engine = builder(root.path(), cores + 2).cores(placement).open().unwrap();
        assert_eq!(engine.report().shards.len(), usize::from(cores) + 2);
        let mut client = engine.client();
        for name in TENANTS {
            let stream = client.ensure_stream(name, "events").unwrap();
            fill(&mut client, &stream, name, 0, 20);
            check(&mut client, &stream, name, 20);
        }
        engine.close().unwrap();
    }
}

/// Names of this process's threads.
fn shard_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.unwrap().path().join("comm")).ok();
    tasks.filter_map(name).filter(|name| name.starts_with("shard-")).count()
}

/// The second shard cannot be had: the first one, which runs, is stopped, and the directory can be opened again.
#[test]
fn an_opening_that_fails_halfway_leaves_nothing_running() {
    // In a process of its own, since the threads of other tests have the same names.
    const CHILD: &str = "DIATREME_TEST_PIN";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "an_opening_that_fails_halfway_leaves_nothing_running"]).env(CHILD, "1");
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let root = in_memory();
    let first = diatreme::cores::available()[0];
    let settings = builder(root.path(), 2).cores(Cores::List(vec![first, 4095]));
    for _ in 0..2 {
        match settings.clone().open() {
            Err(OpenError::Pin { shard: 1, cpu: 4095, allowed }) => assert!(!allowed.contains(&4095)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shard_threads(), 0);
    let engine = open(root.path(), 2);
    let mut client = engine.client();
    let stream = client.ensure_stream("acme", "events").unwrap();
    fill(&mut client, &stream, "acme", 0, 10);
    engine.close().unwrap();
}

#[test]
fn what_cannot_be_is_refused_with_its_name() {
    let root = in_memory();
    let refused = |builder: diatreme::Builder| match builder.open() {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was opened"),
    };
    assert!(refused(builder(root.path(), 0)).contains("0 shards"));
    assert!(refused(builder(root.path(), 1).segment_bytes(1)).contains("segments of 1 bytes"));
    assert!(refused(builder(root.path(), 1).record_bytes_max(0)).contains("records of up to 0"));
    assert!(refused(builder(root.path(), 1).cores(Cores::List(Vec::new()))).contains("empty list"));
    assert!(refused(builder(root.path(), 1).place("acme", 1)).contains("shard 1"));
    assert!(refused(builder(root.path(), 1).frame_cap(1)).contains("frame cap"));
    assert!(refused(builder(root.path(), 1).frame_cap(1 << 30)).contains("frame cap"));

    // A directory that cannot be made or written, also for root: a file in its place, and a file system of the kernel's.
    let file = root.path().join("a-file");
    fs::write(&file, b"").unwrap();
    assert!(refused(Engine::builder(&file).unencrypted()).contains("a-file"));
    assert!(refused(Engine::builder(file.join("below")).unencrypted()).contains("a-file"));
    assert!(refused(Engine::builder("/proc/diatreme").unencrypted()).contains("/proc/diatreme"));
}

#[test]
fn a_name_that_is_none_of_ours_is_refused() {
    let root = in_memory();
    open(root.path(), 1).close().unwrap();
    fs::write(root.path().join("notes.txt"), b"mine").unwrap();
    let error = builder(root.path(), 1).open().unwrap_err().to_string();
    assert!(error.contains("notes.txt"), "{error}");
    fs::remove_file(root.path().join("notes.txt")).unwrap();
    open(root.path(), 1).close().unwrap();
}

fn segments(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for log in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        found.extend(fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()));
    }
    found.sort();
    found
}

/// Two tenants, the first in the first segment and the second in a later one.
fn two_tenants(root: &Path) -> Vec<PathBuf> {
    for name in ["acme", "bolt"] {
        let engine = open(root, 1);
        let mut client = engine.client();
        let stream = client.ensure_stream(name, "events").unwrap();
        fill(&mut client, &stream, name, 0, 100);
        engine.close().unwrap();
    }
    let segments = segments(root);
    assert_eq!(segments.len(), 2, "{segments:?}");
    segments
}

#[test]
fn damage_is_reported_and_refused_and_all_else_is_served() {
    for missing in [false, true] {
        let root = in_memory();
        let segments = two_tenants(root.path());
        if missing {
            fs::remove_file(&segments[1]).unwrap();
        } else {
            // In a payload of the second tenant, of which the text tells the place.
            let mut bytes = fs::read(&segments[1]).unwrap();
            let needle = payload("bolt", 50);
            let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
            bytes[at + 2] ^= 1;
            fs::write(&segments[1], bytes).unwrap();
        }
        let engine = open(root.path(), 1);
        let mut client = engine.client();
        let acme = client.stream("acme", "events").unwrap();
        check(&mut client, &acme, "acme", 100);
        let recovery = engine.report().recovery.clone();
        if missing {
            // It was the last one, and nothing is left to tell which streams had records in it.
            assert!(recovery.damage.iter().any(|damage| damage.segment.number == 2), "{recovery:?}");
            assert!(recovery.frozen > 0);
            let refused = client.append(&acme, b"at which offset?");
            assert_eq!(refused, Err(CallError::Failed(Failure::Refused(Refusal::Frozen))));
            engine.close().unwrap();
            continue;
        }
        fill(&mut client, &acme, "acme", 100, 10);
        check(&mut client, &acme, "acme", 110);
        // A sealed segment is not read when the directory is opened: the damage is found by whoever asks for it.
        let bolt = client.stream("bolt", "events").unwrap();
        let mut damaged = 0;
        for offset in 0..100 {
            match client.read(&bolt, offset, 1) {
                Ok(records) => assert_eq!(records[0].payload, payload("bolt", offset)),
                Err(CallError::Failed(Failure::Damaged { segment, offset: at, .. })) => {
                    assert_eq!((segment.number, at), (2, offset));
                    damaged += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(damaged > 0);
        engine.close().unwrap();
    }
}

/// The last segment was not sealed, so its frames are read when the directory is opened. A bad one before others that say that it
/// was durable is damage: told at the start, and refused; what else there is goes on.
#[test]
fn damage_in_an_unsealed_segment_is_told_when_the_directory_is_opened() {
    let root = in_memory();
    let crashed = in_memory();
    {
        let engine = open(root.path(), 1);
        let mut client = engine.client();
        let acme = client.ensure_stream("acme", "events").unwrap();
        let bolt = client.ensure_stream("bolt", "events").unwrap();
        fill(&mut client, &acme, "acme", 0, 10);
        fill(&mut client, &bolt, "bolt", 0, 10);
        // In frames of their own, which say how far the log was durable before them.
        for offset in 10..14 {
            client.append(&acme, &payload("acme", offset)).unwrap();
        }
        // As a crash would leave it: the files, in the middle of the life of the engine.
        copy(root.path(), crashed.path());
    }
    let segment = segments(crashed.path()).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    let needle = payload("bolt", 9);
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at + 2] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let engine = open(crashed.path(), 1);
    let recovery = engine.report().recovery.clone();
    let [damage] = &recovery.damage[..] else { panic!("{recovery:?}") };
    assert!(!recovery.clean && damage.losses.iter().any(|loss| loss.offsets.contains(&9)), "{recovery:?}");
    let mut client = engine.client();
    let acme = client.stream("acme", "events").unwrap();
    check(&mut client, &acme, "acme", 14);
    let bolt = client.stream("bolt", "events").unwrap();
    let refused = client.read(&bolt, 9, 1);
    assert!(matches!(refused, Err(CallError::Failed(Failure::Damaged { offset: 9, .. }))), "{refused:?}");
    // The table of the bad frame is intact: it tells how many records it had.
    assert_eq!(client.append(&bolt, b"after the damage").unwrap().first, 10);
    assert_eq!(client.read(&bolt, 10, 1).unwrap()[0].payload, b"after the damage");
    engine.close().unwrap();
}
