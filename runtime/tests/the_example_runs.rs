//! The examples that the documentation shows are compiled and run with the tests.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

#[allow(dead_code, reason = "its main is for the command line")]
#[path = "../examples/embed.rs"]
mod embed;
mod harness;
#[allow(dead_code, reason = "its main is for the command line")]
#[path = "../examples/hosted.rs"]
mod hosted;

#[test]
fn each_run_appends_a_record_and_keeps_those_before() {
    let root = harness::on_disk();
    for _ in 0..3 {
        embed::embed(root.path()).unwrap();
    }
    let engine = harness::open(root.path(), 1);
    let mut client = engine.client();
    let stream = client.stream("acme", "audit").unwrap();
    assert_eq!(client.head(&stream).unwrap().next, 3);
    for offset in 0..3 {
        assert_eq!(client.read(&stream, offset, 1).unwrap()[0].payload, b"user 7 logged in");
    }
}

#[test]
fn a_front_end_that_hosts_its_shard_makes_durable_what_it_answers() {
    let root = harness::on_disk();
    for _ in 0..2 {
        hosted::host(root.path()).unwrap();
    }
    let engine = harness::open(root.path(), 1);
    let mut client = engine.client();
    let stream = client.stream("acme", "audit").unwrap();
    assert_eq!(client.head(&stream).unwrap().next, 6);
    for offset in 0..6 {
        let expected = format!("user {} logged in", offset % 3);
        assert_eq!(client.read(&stream, offset, 1).unwrap()[0].payload, expected.as_bytes());
    }
}
