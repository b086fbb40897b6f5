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
