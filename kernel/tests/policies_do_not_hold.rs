//! Guards against a tenant whose appends are under another policy than the one that its catalog names.

use kernel::{
    Admitted, CATALOG, Command, Durability, Effects, Kernel, Level, Limits, RecordKind, Records, Refusal,
    ReplayedRecord, Reply, Seen, StreamId, SyncPolicy, TenantId,
};

const TENANT: TenantId = TenantId(5);
const STREAM: StreamId = StreamId(1);

fn told(kernel: &mut Kernel, command: &Command<'_>) -> Result<Reply, Refusal> {
    let mut effects = Effects::new(1);
    kernel.apply(0, command, 0, &mut effects);
    effects.replies[0].outcome
}

fn kernel() -> Kernel {
    let mut kernel = Kernel::new(Limits::default());
    told(&mut kernel, &Command::CreateTenant { tenant: TENANT, name: "t", key: None }).expect("a new tenant");
    told(&mut kernel, &Command::CreateStream { tenant: TENANT, name: "s", key: None }).expect("a new stream");
    kernel
}

fn admitted(kernel: &mut Kernel, asked: Option<Level>) -> Result<Admitted, Seen<Refusal>> {
    kernel.admit(TENANT, STREAM, None, asked, &Records::parse(&[0; 4], 0, 1).expect("an empty record"))
}

fn policy(kernel: &mut Kernel) -> Durability {
    let Admitted { slot, natural } = admitted(kernel, None).expect("an open stream");
    let (durability, catalog) = kernel.durability(slot);
    assert_eq!(natural, durability == Durability::NATURAL);
    assert_eq!(Some(catalog), kernel.slot(TENANT, CATALOG));
    durability
}

fn set(kernel: &mut Kernel, durability: Durability) -> Result<Reply, Refusal> {
    told(kernel, &Command::SetDurability { tenant: TENANT, durability })
}

#[test]
fn the_default_holds_until_a_tenant_has_a_policy_and_then_not() {
    let mut kernel = kernel();
    assert_eq!(policy(&mut kernel), Durability::NATURAL);
    kernel.set_default_durability(Durability::Memory);
    assert_eq!(policy(&mut kernel), Durability::Memory);
    let other = TenantId(6);
    told(&mut kernel, &Command::CreateTenant { tenant: other, name: "u", key: None }).expect("a new tenant");
    told(&mut kernel, &Command::CreateStream { tenant: other, name: "s", key: None }).expect("a new stream");
    let records = Records::parse(&[0; 4], 0, 1).expect("an empty record");
    assert!(!kernel.admit(other, STREAM, None, None, &records).expect("an open stream").natural);
    set(&mut kernel, Durability::NATURAL).expect("a possible policy");
    assert_eq!(policy(&mut kernel), Durability::NATURAL);
    kernel.set_default_durability(Durability::Strict(SyncPolicy::EveryRecord));
    assert_eq!(policy(&mut kernel), Durability::NATURAL);
}

#[test]
fn what_is_said_again_is_not_recorded_again() {
    let mut kernel = kernel();
    let mut effects = Effects::new(2);
    let command = Command::SetDurability { tenant: TENANT, durability: Durability::Memory };
    kernel.apply(0, &command, 7, &mut effects);
    kernel.apply(1, &command, 9, &mut effects);
    assert_eq!(effects.records.len(), 1);
    let set = Ok(Reply::DurabilitySet { timestamp: 7 });
    assert_eq!([effects.replies[0].outcome, effects.replies[1].outcome], [set; 2]);
    assert_eq!(effects.replies[1].slot, kernel.slot(TENANT, CATALOG), "it saw the first one's record");
}

#[test]
fn impossible_policies_are_refused_and_change_nothing() {
    let mut kernel = kernel();
    let before = kernel.state_hash();
    for impossible in [
        Durability::Buffered { interval_ns: 0, records: 1 },
        Durability::Buffered { interval_ns: 1, records: 0 },
        Durability::Buffered { interval_ns: Durability::INTERVAL_NS_MAX + 1, records: 1 },
        Durability::Buffered { interval_ns: 1, records: Durability::RECORDS_MAX + 1 },
        Durability::Strict(SyncPolicy::GroupCommit { max_delay_ns: Durability::MAX_DELAY_NS_MAX + 1 }),
    ] {
        let fault = impossible.check().expect_err("impossible");
        assert_eq!(set(&mut kernel, impossible), Err(Refusal::ImpossiblePolicy(fault)));
    }
    assert_eq!(kernel.state_hash(), before);
}

#[test]
fn an_append_may_ask_for_more_than_its_tenant_and_not_for_less() {
    use Level::{Buffered, Memory, Strict};
    let mut kernel = kernel();
    for durability in [Durability::Memory, Durability::BUFFERED, Durability::NATURAL] {
        set(&mut kernel, durability).expect("a possible policy");
        for asked in [Memory, Buffered, Strict] {
            let default = durability.level();
            let refusal = Refusal::BelowDefault { asked, default };
            let outcome = admitted(&mut kernel, Some(asked)).map(|_| ()).map_err(|seen| seen.answer);
            assert_eq!(outcome, if asked < default { Err(refusal) } else { Ok(()) });
        }
    }
}

/// A policy may be replayed again, and after a newer one: the newest in the catalog holds.
#[test]
fn an_older_policy_that_comes_again_changes_nothing() {
    let mut kernel = kernel();
    let replay = |kernel: &mut Kernel, offset, durability: Durability| {
        let payload = &durability.encode()[..];
        let (kind, timestamp) = (RecordKind::TenantPolicy, 100);
        let record =
            ReplayedRecord { tenant: TENANT, stream: CATALOG, kind, offset, position: offset, timestamp, payload };
        kernel.replay(&record).expect("a policy");
    };
    let every = Durability::Strict(SyncPolicy::EveryRecord);
    for (offset, durability) in [(2, Durability::Memory), (3, every), (2, Durability::Memory)] {
        replay(&mut kernel, offset, durability);
    }
    assert_eq!(policy(&mut kernel), every);
}
