//! Guards against records in the clear that were to be sealed, and against erased data that is served.

use kernel::{
    CATALOG, CatalogRecord, Command, Effects, Encryption, Kernel, KeyView, Limits, Listing, NewKey, Payload, Records,
    Refusal, Reply, StreamId, TenantId,
};

const TENANT: TenantId = TenantId(5);
const PLAIN: StreamId = StreamId(1);
const OWN: StreamId = StreamId(2);

const fn key(key_id: u32) -> NewKey {
    NewKey { key_id, commitment: [key_id as u8; 32] }
}

/// What a command comes to, and how many records it has logged.
fn told(kernel: &mut Kernel, command: &Command<'_>) -> (Result<Reply, Refusal>, usize) {
    let mut effects = Effects::new(1);
    kernel.apply(0, command, 7, &mut effects);
    (effects.replies[0].outcome, effects.records.len())
}

/// A tenant with a key, one stream under it, one with a key of its own.
fn kernel(tenants: Option<NewKey>, own: Option<NewKey>) -> Kernel {
    let mut kernel = Kernel::new(Limits::default());
    for command in [
        Command::CreateTenant { tenant: TENANT, name: "t", key: tenants },
        Command::CreateStream { tenant: TENANT, name: "plain", key: None },
        Command::CreateStream { tenant: TENANT, name: "own", key: own },
    ] {
        told(&mut kernel, &command).0.expect("a creation");
    }
    kernel
}

fn append(kernel: &mut Kernel, stream: StreamId) -> Result<(), Refusal> {
    let records = Records::parse(&[0; 4], 0, 1).expect("an empty record");
    told(kernel, &Command::Append { tenant: TENANT, stream, expected: None, records }).0.map(|_| ())
}

fn read(kernel: &mut Kernel, stream: StreamId) -> Result<(), Refusal> {
    let read = Command::Read { tenant: TENANT, stream, from: 0, records_max: 1, bytes_max: 1 };
    told(kernel, &read).0.map(|_| ())
}

fn introduce(kernel: &mut Kernel, stream: Option<StreamId>, key: NewKey) -> Result<Reply, Refusal> {
    told(kernel, &Command::IntroduceKey { tenant: TENANT, stream, key }).0
}

fn erase(kernel: &mut Kernel, stream: Option<StreamId>) -> (Result<Reply, Refusal>, usize) {
    told(kernel, &Command::Erase { tenant: TENANT, stream })
}

fn sealed_by(kernel: &Kernel, stream: StreamId) -> u32 {
    kernel.seal_key(kernel.slot(TENANT, stream).expect("a known stream"))
}

/// How the tenant and its streams are kept, as lists tell it.
fn listed(kernel: &mut Kernel) -> Vec<Encryption> {
    let mut listed = Vec::new();
    let bytes_max = 1000;
    for command in [
        Command::ListTenants { after: None, bytes_max },
        Command::ListStreams { tenant: TENANT, after: CATALOG, bytes_max },
    ] {
        let mut effects = Effects::new(1);
        kernel.apply(0, &command, 7, &mut effects);
        assert!(effects.replies[0].outcome.is_ok());
        listed.extend(Listing::new(&effects.scratch).map(|entry| entry.encryption));
    }
    listed
}

#[test]
fn a_key_stands_right_behind_the_creation_that_it_came_with() {
    let mut kernel = Kernel::new(Limits::default());
    for (command, stream) in [
        (Command::CreateTenant { tenant: TENANT, name: "t", key: Some(key(3)) }, CATALOG),
        (Command::CreateStream { tenant: TENANT, name: "own", key: Some(key(4)) }, PLAIN),
    ] {
        let mut effects = Effects::new(1);
        kernel.apply(9, &command, 7, &mut effects);
        let [created, keyed] = effects.records[..] else { panic!("{effects:?}") };
        assert_eq!((keyed.request, keyed.slot, keyed.timestamp), (9, created.slot, created.timestamp));
        assert_eq!((keyed.offset, keyed.position), (created.offset + 1, created.position + 1));
        let Payload::Scratch { start, len } = keyed.payload else { panic!("{keyed:?}") };
        let payload = &effects.scratch[start as usize..][..len as usize];
        let Some(Ok(CatalogRecord::DataKey { stream: of, key })) = CatalogRecord::decode(keyed.kind, payload) else {
            panic!("{keyed:?}")
        };
        assert_eq!((of, key.key_id), (stream, if stream == CATALOG { 3 } else { 4 }));
        assert_eq!(effects.replies.len(), 1);
    }
}

#[test]
fn a_tenants_new_key_seals_all_streams_but_those_with_their_own() {
    let mut kernel = kernel(Some(key(1)), Some(key(2)));
    let sealed = |kernel: &Kernel| [CATALOG, PLAIN, OWN].map(|stream| sealed_by(kernel, stream));
    assert_eq!(sealed(&kernel), [0, 1, 2]);
    introduce(&mut kernel, None, key(3)).expect("a new key");
    assert_eq!(sealed(&kernel), [0, 3, 2]);
    introduce(&mut kernel, Some(OWN), key(9)).expect("a new key");
    assert_eq!(sealed(&kernel), [0, 3, 9]);
    for stream in [PLAIN, CATALOG] {
        assert_eq!(introduce(&mut kernel, Some(stream), key(10)), Err(Refusal::StreamHasNoKey));
    }
    let view = |stream, key_id| {
        let erased = false;
        KeyView { tenant: TENANT, stream, key_id, commitment: [key_id as u8; 32], erased }
    };
    let expected = [view(None, 1), view(Some(OWN), 2), view(None, 3), view(Some(OWN), 9)];
    assert_eq!(kernel.keys().collect::<Vec<_>>(), expected);
    let aes = |key_id| Encryption::Aes256Gcm { key_id };
    assert_eq!(listed(&mut kernel), [aes(3), aes(3), aes(9)]);
    assert_eq!(aes(3).to_string(), "aes-256-gcm, key 3");
}

#[test]
fn a_tenant_without_a_key_is_encrypted_from_its_first_one_on() {
    let mut kernel = kernel(None, None);
    assert_eq!(listed(&mut kernel), [Encryption::None; 3]);
    append(&mut kernel, PLAIN).expect("an append in the clear");
    assert_eq!(sealed_by(&kernel, PLAIN), 0);
    introduce(&mut kernel, None, key(1)).expect("a first key");
    assert_eq!([PLAIN, OWN].map(|stream| sealed_by(&kernel, stream)), [1, 1]);
}

#[test]
fn numbers_of_keys_ascend_over_the_tenant_and_its_streams() {
    let mut kernel = kernel(Some(key(3)), Some(key(5)));
    let before = kernel.state_hash();
    for key_id in [0, 3, 4, 5] {
        let refused = Err(Refusal::KeyIdNotAscending { key_id, last: 5 });
        let key = key(key_id);
        assert_eq!(introduce(&mut kernel, None, key), refused);
        assert_eq!(introduce(&mut kernel, Some(OWN), key), refused);
        let create = Command::CreateStream { tenant: TENANT, name: "new", key: Some(key) };
        assert_eq!(told(&mut kernel, &create), (refused, 0));
    }
    let create = Command::CreateTenant { tenant: TenantId(6), name: "u", key: Some(key(0)) };
    assert_eq!(told(&mut kernel, &create), (Err(Refusal::KeyIdNotAscending { key_id: 0, last: 0 }), 0));
    assert_eq!(kernel.state_hash(), before);
    introduce(&mut kernel, None, key(u32::MAX)).expect("the highest number");
}

#[test]
fn an_erased_stream_is_neither_read_nor_written_and_is_still_told_of() {
    let mut kernel = kernel(Some(key(1)), Some(key(2)));
    append(&mut kernel, OWN).expect("an append");
    assert_eq!(erase(&mut kernel, Some(OWN)), (Ok(Reply::Erased { timestamp: 7 }), 1));
    assert_eq!(append(&mut kernel, OWN), Err(Refusal::Erased));
    assert_eq!(read(&mut kernel, OWN), Err(Refusal::Erased));
    assert_eq!(introduce(&mut kernel, Some(OWN), key(3)), Err(Refusal::Erased));
    let head = told(&mut kernel, &Command::Head { tenant: TENANT, stream: OWN }).0;
    assert_eq!(head, Ok(Reply::Head { next: 1, timestamp: 7 }));
    let resolved = told(&mut kernel, &Command::Resolve { tenant: TENANT, name: "own" }).0;
    assert_eq!(resolved, Ok(Reply::Resolved { stream: OWN, next: 1 }));
    let aes = Encryption::Aes256Gcm { key_id: 1 };
    assert_eq!(listed(&mut kernel), [aes, aes, Encryption::Erased]);
    assert_eq!(kernel.keys().map(|key| key.erased).collect::<Vec<_>>(), [false, true]);
    // The others go on.
    append(&mut kernel, PLAIN).expect("another stream");
    read(&mut kernel, PLAIN).expect("another stream");
    introduce(&mut kernel, None, key(3)).expect("the tenant's key");
}

#[test]
fn an_erased_tenant_has_no_data_and_still_has_names() {
    let mut kernel = kernel(Some(key(1)), Some(key(2)));
    assert_eq!(erase(&mut kernel, None), (Ok(Reply::Erased { timestamp: 7 }), 1));
    for stream in [PLAIN, OWN] {
        assert_eq!(append(&mut kernel, stream), Err(Refusal::Erased));
        assert_eq!(read(&mut kernel, stream), Err(Refusal::Erased));
    }
    assert_eq!(introduce(&mut kernel, None, key(3)), Err(Refusal::Erased));
    let create = Command::CreateStream { tenant: TENANT, name: "new", key: Some(key(3)) };
    assert_eq!(told(&mut kernel, &create).0, Err(Refusal::Erased));
    assert_eq!(append(&mut kernel, CATALOG), Err(Refusal::CatalogIsReadOnly));
    read(&mut kernel, CATALOG).expect("the catalog");
    assert_eq!(listed(&mut kernel), [Encryption::Erased; 3]);
    assert!(kernel.keys().all(|key| key.erased));
    told(&mut kernel, &Command::DeleteStream { tenant: TENANT, stream: PLAIN }).0.expect("a deletion");
    told(&mut kernel, &Command::DeleteTenant { tenant: TENANT }).0.expect("a deletion");
}

/// An erasure is interrupted between its record and the destruction of the key, and is asked for again.
#[test]
fn what_is_erased_again_succeeds_and_is_not_recorded_again() {
    let mut kernel = kernel(Some(key(1)), Some(key(2)));
    for stream in [Some(OWN), None] {
        assert_eq!(erase(&mut kernel, stream), (Ok(Reply::Erased { timestamp: 7 }), 1));
        assert_eq!(erase(&mut kernel, stream), (Ok(Reply::Erased { timestamp: 7 }), 0));
    }
    assert_eq!(erase(&mut kernel, Some(OWN)), (Ok(Reply::Erased { timestamp: 7 }), 0));
}

#[test]
fn what_no_key_of_its_own_seals_is_not_erased() {
    let mut kernel = kernel(Some(key(1)), Some(key(2)));
    let before = kernel.state_hash();
    assert_eq!(erase(&mut kernel, Some(PLAIN)), (Err(Refusal::StreamHasNoKey), 0));
    assert_eq!(erase(&mut kernel, Some(CATALOG)), (Err(Refusal::StreamHasNoKey), 0));
    assert_eq!(erase(&mut kernel, Some(StreamId(9))), (Err(Refusal::UnknownStream), 0));
    assert_eq!(kernel.state_hash(), before);
    let mut kernel = self::kernel(None, Some(key(2)));
    assert_eq!(erase(&mut kernel, None), (Err(Refusal::TenantHasNoKey), 0));
    erase(&mut kernel, Some(OWN)).0.expect("a key of its own");
    let other = Command::Erase { tenant: TenantId(6), stream: None };
    assert_eq!(told(&mut kernel, &other), (Err(Refusal::UnknownTenant), 0));
}

#[test]
fn what_is_deleted_can_be_erased() {
    let mut kernel = kernel(Some(key(1)), Some(key(2)));
    told(&mut kernel, &Command::DeleteStream { tenant: TENANT, stream: OWN }).0.expect("a deletion");
    assert_eq!(erase(&mut kernel, Some(OWN)), (Ok(Reply::Erased { timestamp: 7 }), 1));
    assert_eq!(read(&mut kernel, OWN), Err(Refusal::StreamDeleted));
    told(&mut kernel, &Command::DeleteTenant { tenant: TENANT }).0.expect("a deletion");
    assert_eq!(erase(&mut kernel, None), (Ok(Reply::Erased { timestamp: 7 }), 1));
    assert!(kernel.keys().all(|key| key.erased));
}

/// The record that is lost may have been that of the first key, and what is appended now would lie there in the clear.
#[test]
fn nothing_is_appended_in_the_clear_where_a_catalog_is_damaged() {
    let mut plain = kernel(None, Some(key(2)));
    append(&mut plain, PLAIN).expect("an append");
    let catalog = plain.slot(TENANT, CATALOG).expect("a catalog");
    plain.freeze(catalog);
    assert_eq!(append(&mut plain, PLAIN), Err(Refusal::Frozen));
    read(&mut plain, PLAIN).expect("what is there");
    // No record can be written to a catalog whose end may be lost.
    assert_eq!(introduce(&mut plain, None, key(3)), Err(Refusal::Frozen));
    assert_eq!(erase(&mut plain, Some(OWN)), (Err(Refusal::Frozen), 0));

    // Whoever holds all keys knows better.
    plain.vouch_unsealed(|tenant| tenant != TENANT);
    assert_eq!(append(&mut plain, PLAIN), Err(Refusal::Frozen));
    plain.vouch_unsealed(|tenant| tenant == TENANT);
    append(&mut plain, PLAIN).expect("no key is lost");

    let mut sealed = kernel(Some(key(1)), Some(key(2)));
    sealed.freeze(catalog);
    for stream in [PLAIN, OWN] {
        append(&mut sealed, stream).expect("a key is known");
    }
}
