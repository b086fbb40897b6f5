//! What once left a directory that no opening takes, or that forgot what it was told.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme::{Engine, OpenError, TenantId};
use harness::{builder, check, fill, in_memory, open};
use std::fs;
use std::path::Path;

fn refused(builder: diatreme::Builder) -> String {
    match builder.open() {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was opened"),
    }
}

fn use_it(engine: &Engine) {
    let mut client = engine.client();
    let stream = client.ensure_stream("acme", "events").unwrap();
    fill(&mut client, &stream, "acme", 0, 10);
    check(&mut client, &stream, "acme", 10);
}

/// A wrong setting was found out after the directories of the logs were made, and before the manifest was written. From
/// then on the directory was one whose manifest is lost.
#[test]
fn a_first_opening_with_a_wrong_setting_makes_nothing() {
    let parent = in_memory();
    let root = parent.path().join("a/b");
    assert!(refused(builder(&root, 1).place("acme", 1)).contains("shard 1"));
    assert!(refused(builder(&root, 1).segment_bytes(100_000_000)).contains("multiple of 4096"));
    assert!(refused(builder(&root, 1).frame_cap(1)).contains("frame cap"));
    let mut many = builder(&root, 1);
    for tenant in 0..=65_536 {
        many = many.place(&tenant.to_string(), 0);
    }
    assert!(refused(many).contains("65537 tenants placed by hand"));
    assert!(!parent.path().join("a").exists());
    let engine = open(&root, 1);
    assert!(engine.report().recovery.created);
    use_it(&engine);
}

/// The same after a crash during the first opening: directories, and a manifest that is torn or not there.
#[test]
fn a_first_opening_that_was_interrupted_is_begun_again() {
    let torn: [(&str, &[u8]); 3] = [("manifest.a", b""), ("manifest.a", &[0; 4096]), ("manifest.b", b"DIATMANI")];
    for copies in 0..=torn.len() {
        let root = in_memory();
        for log in ["shard-0000", "shard-0001"] {
            fs::create_dir(root.path().join(log)).unwrap();
        }
        for (name, bytes) in &torn[..copies] {
            fs::write(root.path().join(name), bytes).unwrap();
        }
        let engine = open(root.path(), 1);
        assert!(engine.report().recovery.created);
        use_it(&engine);
        engine.close().unwrap();
        assert!(!open(root.path(), 2).report().recovery.created);
    }
}

/// Where there is a segment there was a manifest, and to begin anew would be to forget it.
#[test]
fn a_directory_with_segments_and_no_manifest_is_refused() {
    let root = in_memory();
    use_it(&open(root.path(), 1));
    for name in ["manifest.a", "manifest.b"] {
        fs::remove_file(root.path().join(name)).unwrap();
    }
    assert!(refused(builder(root.path(), 1)).contains("neither copy of the manifest"));
}

/// One bad copy of the manifest was repaired in passing, and nobody was told.
#[test]
fn a_bad_copy_of_the_manifest_is_reported_once() {
    for spoil in [true, false] {
        let root = in_memory();
        use_it(&open(root.path(), 1));
        let copy = root.path().join("manifest.b");
        if spoil {
            fs::write(&copy, [7; 4096]).unwrap();
        } else {
            fs::remove_file(&copy).unwrap();
        }
        let engine = open(root.path(), 1);
        let faults: Vec<String> = engine.report().recovery.manifest_faults.iter().map(ToString::to_string).collect();
        let expected = if spoil { "manifest.b: not the expected structure" } else { "manifest.b: missing" };
        assert_eq!(faults, [expected]);
        engine.close().unwrap();
        assert_eq!(open(root.path(), 1).report().recovery.manifest_faults, []);
    }
}

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A directory with the number of a log that cannot be was taken for a log: directories were made up to it, tens of
/// thousands, and then the manifest had no room for them, which was a panic, for good. Verifying examined nothing and said
/// that all is sound.
#[test]
fn a_log_with_a_number_that_cannot_be_is_foreign() {
    let root = in_memory();
    use_it(&open(root.path(), 1));
    for name in ["shard-65535", "shard-1024"] {
        fs::create_dir(root.path().join(name)).unwrap();
        let before = names(root.path());
        assert!(refused(builder(root.path(), 1)).contains(name));
        assert_eq!(names(root.path()), before);
        fs::remove_dir(root.path().join(name)).unwrap();
    }
    fs::create_dir(root.path().join("lost+found")).unwrap();
    open(root.path(), 1).close().unwrap();
}

/// One opening with fewer shards, as for a quick look, and a tenant that was placed by hand on one that was not there
/// lived by the hash for ever after.
#[test]
fn a_tenant_placed_by_hand_stays_so_over_an_opening_with_fewer_shards() {
    let root = in_memory();
    let acme = TenantId::of_name("acme").0;
    let by_hash = open(in_memory().path(), 3).placement().shard_of(acme);
    let by_hand = if by_hash == 2 { 1 } else { 2 };
    let shard_of = |engine: Engine| {
        let (shard, version) = (engine.placement().shard_of(acme), engine.placement().version());
        engine.close().unwrap();
        (shard, version)
    };
    assert_eq!(shard_of(builder(root.path(), 3).place("acme", by_hand).open().unwrap()), (by_hand, 1));
    assert_eq!(shard_of(open(root.path(), 1)), (0, 2));
    assert_eq!(shard_of(open(root.path(), 3)), (by_hand, 3));
    assert_eq!(shard_of(open(root.path(), 3)), (by_hand, 3));
    assert_eq!(shard_of(builder(root.path(), 3).unplace("acme").open().unwrap()), (by_hash, 4));
    assert_eq!(shard_of(open(root.path(), 3)), (by_hash, 4));
    // The last word counts.
    let builder = builder(root.path(), 3).unplace("acme").place("acme", by_hand).place("bolt", 9).unplace("bolt");
    assert_eq!(shard_of(builder.open().unwrap()), (by_hand, 5));
}

/// Each opening stayed below the limit, and the sum of them panicked when the manifest was written, with the directories
/// of new logs made already.
#[test]
fn the_limit_on_tenants_placed_by_hand_counts_those_of_earlier_openings() {
    let root = in_memory();
    let many = |from: usize, count: usize| {
        (from..from + count).fold(builder(root.path(), 1), |builder, tenant| builder.place(&tenant.to_string(), 0))
    };
    many(0, 65_536).open().unwrap().close().unwrap();
    let before = names(root.path());
    match many(65_536, 1).shards(2).open() {
        Err(OpenError::Config(text)) => assert!(text.contains("65537"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(names(root.path()), before);
    many(0, 65_536).unplace("7").place("65536", 0).open().unwrap().close().unwrap();
}
