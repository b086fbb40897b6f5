//! The example that the documentation shows is compiled and run with the tests.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

#[allow(dead_code, reason = "its main is for the command line")]
#[path = "../examples/embed.rs"]
mod embed;
mod harness;

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
