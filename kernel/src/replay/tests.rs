use super::*;
use crate::{Command, Effects, Limits, Records, Refusal, Reply};

const TENANT: TenantId = TenantId(5);
const STREAM: StreamId = StreamId(3);

fn record(stream: StreamId, kind: RecordKind, offset: u64, position: u64, payload: &[u8]) -> ReplayedRecord<'_> {
    ReplayedRecord { tenant: TENANT, stream, kind, offset, position, timestamp: 100, payload }
}

fn data(offset: u64, position: u64) -> ReplayedRecord<'static> {
    record(STREAM, RecordKind::Data, offset, position, b"")
}

fn told(kernel: &mut Kernel, command: &Command<'_>) -> Result<Reply, Refusal> {
    let mut effects = Effects::new(1);
    kernel.apply(0, command, 0, &mut effects);
    effects.replies[0].outcome
}

fn append(kernel: &mut Kernel) -> Result<Reply, Refusal> {
    let records = Records::parse(&[0; 4], 0, 1).unwrap();
    told(kernel, &Command::Append { tenant: TENANT, stream: STREAM, expected: None, records })
}

#[test]
fn a_stream_whose_creation_is_lost_can_be_read_and_not_written() {
    let mut kernel = Kernel::new(Limits::default());
    let slot = kernel.replay(&data(0, 9)).unwrap();
    assert_eq!(kernel.stream(slot).name, None);
    let head = told(&mut kernel, &Command::Head { tenant: TENANT, stream: STREAM });
    assert_eq!(head, Ok(Reply::Head { next: 1, timestamp: 100 }));
    assert_eq!(append(&mut kernel), Err(Refusal::Frozen));
    // Nor can its tenant's catalog, whose first record is not there.
    let create = Command::CreateStream { tenant: TENANT, name: "new", key: None };
    assert_eq!(told(&mut kernel, &create), Err(Refusal::Frozen));
    assert_eq!(told(&mut kernel, &Command::DeleteTenant { tenant: TENANT }), Err(Refusal::Frozen));
    let again = Command::CreateTenant { tenant: TENANT, name: "t", key: None };
    assert_eq!(told(&mut kernel, &again), Err(Refusal::TenantExists));
}

#[test]
fn a_creation_that_comes_late_opens_the_stream() {
    let mut kernel = Kernel::new(Limits::default());
    let slot = kernel.replay(&data(0, 9)).unwrap();
    kernel.replay(&record(CATALOG, RecordKind::StreamCreated, 1, 1, b"\x03\0\0\0orders")).unwrap();
    kernel.replay(&record(CATALOG, RecordKind::TenantCreated, 0, 0, b"t")).unwrap();
    assert_eq!(kernel.stream(slot).name, Some("orders"));
    assert_eq!(append(&mut kernel), Ok(Reply::Appended { first: 1, count: 1, timestamp: 100 }));
    assert_eq!(kernel.stream(slot).position, 10);
}

#[test]
fn ids_of_lost_streams_are_not_given_again() {
    let mut kernel = Kernel::new(Limits::default());
    kernel.replay(&record(CATALOG, RecordKind::TenantCreated, 0, 0, b"t")).unwrap();
    kernel.replay(&data(0, 9)).unwrap();
    let created = told(&mut kernel, &Command::CreateStream { tenant: TENANT, name: "orders", key: None });
    assert_eq!(created, Ok(Reply::StreamCreated { stream: StreamId(4), timestamp: 100 }));
}

#[test]
fn a_name_means_the_newer_stream_if_the_deletion_of_the_older_is_lost() {
    let mut kernel = Kernel::new(Limits::default());
    let (older, newer) = (&b"\x01\0\0\0orders"[..], &b"\x02\0\0\0orders"[..]);
    kernel.replay(&record(CATALOG, RecordKind::TenantCreated, 0, 0, b"t")).unwrap();
    kernel.replay(&record(CATALOG, RecordKind::StreamCreated, 1, 1, older)).unwrap();
    kernel.replay(&record(CATALOG, RecordKind::StreamCreated, 3, 3, newer)).unwrap();
    kernel.replay(&record(CATALOG, RecordKind::StreamCreated, 1, 1, older)).unwrap();
    let resolve = Command::Resolve { tenant: TENANT, name: "orders" };
    assert_eq!(told(&mut kernel, &resolve), Ok(Reply::Resolved { stream: StreamId(2), next: 0 }));
    // The older goes without taking the newer's name along.
    told(&mut kernel, &Command::DeleteStream { tenant: TENANT, stream: StreamId(1) }).unwrap();
    assert_eq!(told(&mut kernel, &resolve), Ok(Reply::Resolved { stream: StreamId(2), next: 0 }));
}

#[test]
fn what_no_kernel_can_have_written_is_refused_and_changes_nothing() {
    use RecordKind::{Data, StreamCreated, TenantCreated};
    let mut kernel = Kernel::new(Limits::default());
    kernel.replay(&record(CATALOG, TenantCreated, 0, 0, b"t")).unwrap();
    kernel.replay(&record(CATALOG, StreamCreated, 1, 1, b"\x03\0\0\0orders")).unwrap();
    kernel.replay(&data(4, 9)).unwrap();
    let before = kernel.state_hash();
    let back_in_time = ReplayedRecord { timestamp: 99, ..data(5, 10) };
    let mut errors = Vec::new();
    for bad in [
        record(CATALOG, Data, 2, 2, b""),
        record(STREAM, StreamCreated, 5, 10, b"\x04\0\0\0a"),
        record(CATALOG, TenantCreated, 2, 2, b"t"),
        data(0, 0),
        record(CATALOG, StreamCreated, 2, 2, b"\x04\0\0\0"),
        record(CATALOG, TenantCreated, 0, 0, b"u"),
        record(CATALOG, StreamCreated, 2, 2, b"\x03\0\0\0invoices"),
        data(5, 9),
        back_in_time,
        data(1 << 63, 10),
        data(5, u64::MAX),
    ] {
        let error = kernel.replay(&bad).unwrap_err();
        assert!(error.to_string().starts_with("tenant 0000000000000005 stream "), "{error}");
        assert_eq!(kernel.state_hash(), before, "{error}");
        errors.push(error);
    }
    assert!(matches!(
        errors[..],
        [
            ReplayError::Misplaced { .. },
            ReplayError::Misplaced { .. },
            ReplayError::Misplaced { .. },
            ReplayError::Misplaced { .. },
            ReplayError::Payload { .. },
            ReplayError::Renamed { .. },
            ReplayError::Renamed { .. },
            ReplayError::OutOfOrder { .. },
            ReplayError::OutOfOrder { .. },
            ReplayError::NumberTooLarge { .. },
            ReplayError::NumberTooLarge { .. },
        ]
    ));
}

#[test]
fn a_number_means_one_key_and_numbers_ascend() {
    use RecordKind::{DataKey, TenantCreated};
    let key = |key_id: u8, stream: u8, byte: u8| [&[key_id, 0, 0, 0, stream, 0, 0, 0][..], &[byte; 32]].concat();
    let replay = |kernel: &mut Kernel, offset, payload: &[u8]| {
        kernel.replay(&record(CATALOG, DataKey, offset, offset, payload)).map(|_| ())
    };
    let mut kernel = Kernel::new(Limits::default());
    kernel.replay(&record(CATALOG, TenantCreated, 0, 0, b"t")).unwrap();
    for (offset, payload) in [(1, key(3, 0, 7)), (2, key(5, 0, 8)), (1, key(3, 0, 7))] {
        replay(&mut kernel, offset, &payload).unwrap();
    }
    let slot = kernel.replay(&data(0, 9)).unwrap();
    assert_eq!(kernel.seal_key(slot), 5, "the older one came again");
    let before = kernel.state_hash();
    for (payload, key_id) in [(key(5, 0, 7), 5), (key(5, 3, 8), 5), (key(3, 0, 8), 3), (key(4, 0, 9), 4)] {
        let error = replay(&mut kernel, 3, &payload).unwrap_err();
        assert!(matches!(error, ReplayError::Rekeyed { key_id: of, .. } if of == key_id), "{error}");
        assert!(error.to_string().starts_with("tenant 0000000000000005 stream 0 offset 3: "), "{error}");
        assert_eq!(kernel.state_hash(), before, "{error}");
    }
}

#[test]
fn a_stream_whose_key_is_known_and_whose_creation_is_lost_is_not_written() {
    let mut kernel = Kernel::new(Limits::default());
    kernel.replay(&record(CATALOG, RecordKind::TenantCreated, 0, 0, b"t")).unwrap();
    let slot = kernel.replay(&data(0, 9)).unwrap();
    let payload = [&[1, 0, 0, 0, 3, 0, 0, 0][..], &[7; 32]].concat();
    kernel.replay(&record(CATALOG, RecordKind::DataKey, 2, 10, &payload)).unwrap();
    assert_eq!(kernel.seal_key(slot), 1);
    assert_eq!(append(&mut kernel), Err(Refusal::Frozen));
    kernel.replay(&record(CATALOG, RecordKind::StreamCreated, 1, 8, b"\x03\0\0\0orders")).unwrap();
    assert!(append(&mut kernel).is_ok());
}

/// A tenant is created with its key, in one frame: where the creation is lost, the key may be too.
#[test]
fn streams_of_a_tenant_whose_creation_is_lost_are_not_written_in_the_clear() {
    let mut kernel = Kernel::new(Limits::default());
    kernel.replay(&record(CATALOG, RecordKind::StreamCreated, 2, 2, b"\x03\0\0\0orders")).unwrap();
    let slot = kernel.replay(&data(0, 9)).unwrap();
    assert_eq!(kernel.stream(slot).name, Some("orders"));
    assert_eq!(append(&mut kernel), Err(Refusal::Frozen));
    let payload = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &[7; 32]].concat();
    kernel.replay(&record(CATALOG, RecordKind::DataKey, 3, 10, &payload)).unwrap();
    assert!(append(&mut kernel).is_ok(), "sealed with a key that is known");
}

#[test]
fn an_end_moves_forward_only() {
    let mut kernel = Kernel::new(Limits::default());
    let mut end = StreamSummary { tenant: TENANT, stream: STREAM, next: 7, position: 20, timestamp: 50 };
    let slot = kernel.restore_stream(&end).unwrap();
    assert_eq!((kernel.stream(slot).next, kernel.stream(slot).timestamp), (7, 50));
    let before = kernel.state_hash();
    end = StreamSummary { next: 6, position: 19, timestamp: 49, ..end };
    assert_eq!(kernel.restore_stream(&end), Ok(slot));
    assert_eq!(kernel.restore_stream(&StreamSummary { next: 0, ..end }), Ok(slot));
    assert_eq!(kernel.state_hash(), before);
    end = StreamSummary { next: 8, position: 20, timestamp: 50, ..end };
    assert!(matches!(kernel.restore_stream(&end), Err(ReplayError::OutOfOrder { .. })));
    assert_eq!(kernel.state_hash(), before);
}
