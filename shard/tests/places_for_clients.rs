//! As many clients as a shard takes. In a file of its own: rings cost little memory until they fill, but only where the
//! allocator has not seen memory of their size freed before.

mod harness;

use diatreme_shard::limits::PORTS_MAX;
use diatreme_shard::wire::{Done, Request};
use harness::{Client, Rig, TENANT, appended, directory};

#[test]
fn the_last_place_is_given_and_freed_places_are_given_again() {
    let root = directory();
    let mut rig = Rig::open(root.path());
    let mut clients: Vec<Client> = (0..PORTS_MAX).map(|_| rig.client(2)).collect();
    clients[0].send(&Request::CreateTenant { name: TENANT, key: None });
    clients[0].send(&Request::CreateStream { tenant: TENANT, name: "stream", key: None });
    rig.run();
    let created = clients[0].take().pop().unwrap().outcome;
    let Ok(Done::StreamCreated { stream }) = created else { panic!("{created:?}") };
    let refused = rig.client(1);
    rig.run();
    assert!(refused.port.replies.is_disconnected(), "there is no place for it");
    assert!(clients.iter().all(|client| !client.port.replies.is_disconnected()));
    for client in [0, 500, PORTS_MAX - 1] {
        clients[client].append(stream, b"record");
    }
    rig.run();
    clients.swap_remove(500);
    rig.run();
    let mut late = rig.client(1);
    late.append(stream, b"record");
    rig.run();
    assert_eq!(appended(&late.take_one()), 3);
}
