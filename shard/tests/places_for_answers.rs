//! As many answers as a shard may owe. In a file of its own, as the places for clients are.

mod harness;

use diatreme_shard::limits::{IN_FLIGHT_MAX, PLACES_MAX};
use harness::{Client, Rig, directory};

/// Each client may ask for a window of a million requests, and a shard took a thousand such clients: room for a billion answers.
#[test]
fn windows_are_given_as_far_as_the_shard_has_places() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let mut clients: Vec<Client> = (0..PLACES_MAX / IN_FLIGHT_MAX).map(|_| rig.client(IN_FLIGHT_MAX)).collect();
    rig.run();
    assert!(clients.iter().all(|client| !client.port.replies.is_disconnected()));
    let refused = rig.client(1);
    rig.run();
    assert!(refused.port.replies.is_disconnected(), "there is no place for its answer");
    clients.pop();
    rig.run();
    let late = rig.client(IN_FLIGHT_MAX);
    rig.run();
    assert!(!late.port.replies.is_disconnected(), "places that were freed are given again");
}
