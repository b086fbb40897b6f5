use super::*;

fn encoded(request: &Request<'_>) -> Vec<u8> {
    let mut out = vec![0; request.encoded_bytes()];
    request.encode(7, &mut out);
    out
}

fn command(message: &[u8]) -> (Command<'_>, Named<'_>) {
    match decode(message) {
        Ok(Decoded::Command(command, named)) => (command, named),
        Ok(Decoded::Sync) => panic!("not a command"),
        Err(refusal) => panic!("{refusal}"),
    }
}

#[test]
fn requests_decode_to_the_commands_that_they_ask_for() {
    let (tenant, stream) = (TenantId(5), StreamId(6));
    let (level, records) = (Some(Level::Buffered), &[&b"one"[..], b"", b"three"]);
    let append = Request::Append { tenant, stream, expected: Some(3), level, records };
    let message = encoded(&append);
    assert_eq!(token(&message), 7);
    assert!(is_append(&message));
    let Ok(Append {
        tenant: TenantId(5),
        stream: StreamId(6),
        expected: Some(3),
        asked: Some(Level::Buffered),
        records,
    }) = decode_append(&message)
    else {
        panic!("not the append that was encoded");
    };
    let payloads: Vec<&[u8]> = records.iter().map(|record| record.bytes).collect();
    assert_eq!(payloads, [&b"one"[..], b"", b"three"]);

    let message = encoded(&Request::CreateTenant { name: "acme", key: None });
    let acme = TenantId::of_name("acme");
    assert!(
        matches!(command(&message), (Command::CreateTenant { tenant, name: "acme", key: None }, None) if tenant == acme)
    );
    let message = encoded(&Request::Read { tenant, stream, from: 9, records_max: 2, bytes_max: 100 });
    assert!(matches!(command(&message), (Command::Read { from: 9, records_max: 2, bytes_max: 100, .. }, None)));
    let message = encoded(&Request::ListTenants { after: None });
    assert!(matches!(command(&message), (Command::ListTenants { after: None, .. }, None)));
    assert!(matches!(decode(&encoded(&Request::Sync)), Ok(Decoded::Sync)));
}

#[test]
fn what_goes_by_a_tenants_name_carries_it() {
    let acme = TenantId::of_name("acme");
    let requests = [
        (Request::CreateStream { tenant: "acme", name: "orders", key: None }, Some("orders")),
        (Request::Resolve { tenant: "acme", name: "orders" }, Some("orders")),
        (Request::ListStreams { tenant: "acme", after: StreamId(3) }, None),
        (Request::DeleteTenant { tenant: "acme" }, None),
        (Request::SetDurability { tenant: "acme", durability: Durability::BUFFERED }, None),
    ];
    for (request, expected) in requests {
        let message = encoded(&request);
        let (command, named) = command(&message);
        assert_eq!(named, Some(("acme", acme)));
        let name = match command {
            Command::CreateStream { tenant, name, key: None } | Command::Resolve { tenant, name } if tenant == acme => {
                Some(name)
            }
            Command::ListStreams { tenant, after: StreamId(3), .. } if tenant == acme => None,
            Command::DeleteTenant { tenant } if tenant == acme => None,
            Command::SetDurability { tenant, durability: Durability::BUFFERED } if tenant == acme => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(name, expected);
        assert!(decode(&message[..HEADER_BYTES + 3]).is_err(), "the tenant's name is cut");
    }
}

/// Whatever kept a segment from being made was told as a full disk, and whoever had no right to the directory went to free space.
#[test]
fn a_segment_that_cannot_be_made_is_named_with_what_the_system_said() {
    use iobackend::Operation;
    let segment = SegmentId { log: 2, number: 7 };
    let text = |error| Failure::NoSegment { segment, error }.to_string();
    let full = text(IoError::NoSpace { operation: Operation::Write });
    let denied = text(IoError::from_errno(Operation::Open, 13));
    assert!([&full, &denied].iter().all(|text| text.contains(&segment.to_string())), "{full} {denied}");
    assert_eq!((full.matches("free some space").count(), denied.matches("free").count()), (1, 0), "{full} {denied}");
    assert!(denied.contains(&IoError::from_errno(Operation::Open, 13).to_string()), "{denied}");
}

#[test]
fn whatever_lies_in_the_ring_decodes_or_is_refused() {
    let (tenant, stream) = (TenantId(1), StreamId(1));
    let append = Request::Append { tenant, stream, expected: None, level: None, records: &[b"payload"] };
    let whole = encoded(&append);
    for cut in 0..whole.len() {
        assert!(decode(&whole[..cut]).is_err() && decode_append(&whole[..cut]).is_err(), "cut at {cut}");
    }
    for code in [0, 15, 255] {
        let mut message = whole.clone();
        message[20] = code;
        assert!(decode(&message).is_err(), "code {code}");
    }
    for level in [4, 255] {
        let mut message = whole.clone();
        message[22] = level;
        assert!(decode_append(&message).is_err(), "level {level}");
    }
    let mut message = encoded(&Request::SetDurability { tenant: "a", durability: Durability::Memory });
    message[23] = 1;
    assert!(decode(&message).is_err(), "a policy that is none");
    let mut message = encoded(&Request::Resolve { tenant: "", name: "ab" });
    message[HEADER_BYTES + 1] = 0xff;
    assert!(matches!(decode(&message), Err(Refusal::NameNotUtf8 { valid: 1 })));
}

const fn key(key_id: u32) -> NewKey {
    NewKey { key_id, commitment: [0xcc; 32] }
}

/// A request of each form that names a key or what one seals.
fn of_keys() -> [Request<'static>; 6] {
    let (tenant, stream) = ("acme", Some(StreamId(6)));
    [
        Request::CreateTenant { name: tenant, key: Some(key(1)) },
        Request::CreateStream { tenant, name: "orders", key: Some(key(2)) },
        Request::IntroduceKey { tenant, stream: None, key: key(3) },
        Request::IntroduceKey { tenant, stream, key: key(u32::MAX) },
        Request::Erase { tenant, stream: None },
        Request::Erase { tenant, stream },
    ]
}

#[test]
fn keys_and_erasures_come_as_they_were_sent() {
    let acme = TenantId::of_name("acme");
    for (at, request) in of_keys().into_iter().enumerate() {
        let message = encoded(&request);
        let (command, named) = command(&message);
        assert_eq!(named, (at > 0).then_some(("acme", acme)));
        let stream = Some(StreamId(6));
        let same = match (at, command) {
            (0, Command::CreateTenant { tenant, name: "acme", key: new }) => (tenant, new) == (acme, Some(key(1))),
            (1, Command::CreateStream { tenant, name: "orders", key: new }) => (tenant, new) == (acme, Some(key(2))),
            (2, Command::IntroduceKey { tenant, stream: None, key: new }) => (tenant, new) == (acme, key(3)),
            (3, Command::IntroduceKey { tenant, stream: of, key: new }) => {
                (tenant, of, new) == (acme, stream, key(u32::MAX))
            }
            (4, Command::Erase { tenant, stream: None }) => tenant == acme,
            (5, Command::Erase { tenant, stream: of }) => (tenant, of) == (acme, stream),
            _ => false,
        };
        assert!(same, "{request:?} came as {command:?}");
    }
}

/// Whatever is cut off, no key comes that nobody sent, and none is dropped on the way.
#[test]
fn a_request_that_is_cut_gives_its_own_key_or_none() {
    for request in of_keys() {
        let whole = encoded(&request);
        for cut in 0..whole.len() {
            let Ok(Decoded::Command(got, _)) = decode(&whole[..cut]) else { continue };
            // A name at the end may be cut short.
            let (Command::CreateTenant { key: new, .. } | Command::CreateStream { key: new, .. }) = got else {
                panic!("{got:?}, cut at {cut}")
            };
            assert_eq!(new.as_ref(), request.key(), "cut at {cut}");
            assert!(cut >= HEADER_BYTES + NewKey::COMMITMENT_BYTES);
        }
    }
}

#[test]
fn a_key_that_lies_about_itself_is_refused_or_no_key() {
    let truncated = |at: usize| Refusal::Malformed { what: Malformed::BodyTruncated, at: at as u32 };
    // A flag that says that a key is there, where none is.
    for request in [Request::CreateTenant { name: "acme", key: None }, Request::DeleteTenant { tenant: "acme" }] {
        let mut message = encoded(&request);
        message[20] = Code::CreateTenant as u8;
        message[21] = 1;
        assert_eq!(decode(&message).err(), Some(truncated(message.len())));
    }
    // A rotation without a key, and one whose flag says so.
    let mut message = encoded(&Request::IntroduceKey { tenant: "acme", stream: None, key: key(3) });
    message[21] = 0;
    assert_eq!(decode(&message).err(), Some(truncated(message.len())));
    let message = encoded(&Request::IntroduceKey { tenant: "", stream: None, key: key(3) });
    assert_eq!(decode(&message[..HEADER_BYTES + 31]).err(), Some(truncated(HEADER_BYTES + 31)));
    // A tenant's name that is longer than the body.
    let mut message = encoded(&Request::IntroduceKey { tenant: "acme", stream: None, key: key(3) });
    message[32..36].copy_from_slice(&5_u32.to_le_bytes());
    assert!(decode(&message).is_err());
    // The number 0 is for the kernel to refuse.
    let message = encoded(&Request::CreateTenant { name: "acme", key: Some(key(0)) });
    assert!(matches!(command(&message).0, Command::CreateTenant { key: Some(NewKey { key_id: 0, .. }), .. }));
}

/// The records of one request lie in one frame because room for all of them is asked for at once.
#[test]
fn the_room_that_is_asked_for_holds_all_records_of_a_request() {
    use kernel::{Effects, Kernel, Limits, Payload};
    let longest = "n".repeat(NAME_BYTES_MAX);
    let tenant = TenantId::of_name(&longest);
    let mut kernel = Kernel::new(Limits::default());
    for command in [
        Command::CreateTenant { tenant, name: &longest, key: Some(key(1)) },
        Command::CreateStream { tenant, name: &longest, key: Some(key(2)) },
        Command::CreateStream { tenant, name: "plain", key: None },
        Command::IntroduceKey { tenant, stream: None, key: key(3) },
        Command::SetDurability { tenant, durability: Durability::BUFFERED },
        Command::Erase { tenant, stream: Some(StreamId(1)) },
        Command::DeleteStream { tenant, stream: StreamId(1) },
        Command::Erase { tenant, stream: None },
        Command::DeleteTenant { tenant },
    ] {
        let mut effects = Effects::new(1);
        kernel.apply(0, &command, 1, &mut effects);
        let bytes = |payload| match payload {
            Payload::Request { len, .. } | Payload::Scratch { len, .. } => len as usize,
        };
        let records = effects.records.iter();
        let taken: usize =
            records.map(|record| (RECORD_HEADER_BYTES + bytes(record.payload)).next_multiple_of(8)).sum();
        assert!(taken > 0, "{command:?} is recorded");
        assert!(log_bytes(&command).is_some_and(|room| room >= taken), "{command:?} takes {taken} bytes");
    }
}
