//! Guards against a state that a restart changes.

mod history;

use std::collections::{BTreeMap, VecDeque};

use history::{LIMITS, Logged, Session, history};
use kernel::{CATALOG, Kernel, StreamId, StreamSummary, TenantId};
use proptest::prelude::*;

fn replay<'a>(kernel: &mut Kernel, log: impl IntoIterator<Item = &'a Logged>) {
    for record in log {
        let slot = kernel.replay(&record.replayed()).expect("a record that a kernel wrote");
        assert_eq!(kernel.slot(record.tenant, record.stream), Some(slot));
    }
}

/// The log in another order: the picks choose the stream that comes next, whose own records stay
/// in order.
fn interleave<'a>(log: &'a [Logged], picks: &[usize]) -> Vec<&'a Logged> {
    let mut streams: BTreeMap<(TenantId, StreamId), VecDeque<&Logged>> = BTreeMap::new();
    for record in log {
        streams.entry((record.tenant, record.stream)).or_default().push_back(record);
    }
    let mut queues: Vec<_> = streams.into_values().collect();
    let mut order = Vec::new();
    for pick in picks.iter().cycle() {
        if queues.is_empty() {
            break;
        }
        let chosen = pick % queues.len();
        order.extend(queues[chosen].pop_front());
        queues.retain(|queue| !queue.is_empty());
    }
    order
}

/// The ends of the streams after some records, as a footer would tell them.
fn summaries(log: &[Logged]) -> Vec<StreamSummary> {
    let mut last = BTreeMap::new();
    for record in log {
        last.insert((record.tenant, record.stream), record);
    }
    let summary = |record: &Logged| StreamSummary {
        tenant: record.tenant,
        stream: record.stream,
        next: record.offset + 1,
        position: record.position,
        timestamp: record.timestamp,
    };
    last.into_values().rev().map(summary).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_log_gives_the_state_again(history in history(), picks in prop::collection::vec(any::<usize>(), 1..50)) {
        let mut live = Session::new();
        for (op, now) in &history {
            live.step(op, *now);
        }
        let hash = live.kernel.state_hash();

        let mut replayed = Kernel::new(LIMITS);
        replay(&mut replayed, &live.log);
        prop_assert_eq!(replayed.state_hash(), hash, "once");
        replay(&mut replayed, &live.log);
        prop_assert_eq!(replayed.state_hash(), hash, "twice");
        replay(&mut replayed, interleave(&live.log, &picks));
        prop_assert_eq!(replayed.state_hash(), hash, "again in another order");

        let mut interleaved = Kernel::new(LIMITS);
        replay(&mut interleaved, interleave(&live.log, &picks));
        prop_assert_eq!(interleaved.state_hash(), hash, "in another order");
    }

    #[test]
    fn footers_replace_the_records_before_them(history in history(), at: prop::sample::Index) {
        let mut live = Session::new();
        for (op, now) in &history {
            live.step(op, *now);
        }
        prop_assume!(!live.log.is_empty());
        let (sealed, open) = live.log.split_at(at.index(live.log.len()));
        let mut kernel = Kernel::new(LIMITS);
        for summary in summaries(sealed) {
            kernel.restore_stream(&summary).expect("an end that a kernel wrote");
        }
        replay(&mut kernel, sealed.iter().filter(|record| record.stream == CATALOG));
        replay(&mut kernel, open);
        prop_assert_eq!(kernel.state_hash(), live.kernel.state_hash());
        for summary in summaries(sealed) {
            kernel.restore_stream(&summary).expect("an end that a kernel wrote");
        }
        prop_assert_eq!(kernel.state_hash(), live.kernel.state_hash(), "older ends change nothing");
    }

    #[test]
    fn a_restart_goes_on_as_if_it_had_not_been(
        history in history(),
        at: prop::sample::Index,
        picks in prop::collection::vec(any::<usize>(), 1..50),
    ) {
        let (before, after) = history.split_at(at.index(history.len()));
        let mut live = Session::new();
        for (op, now) in before {
            live.step(op, *now);
        }
        let mut kernel = Kernel::new(LIMITS);
        replay(&mut kernel, interleave(&live.log, &picks));
        let mut restarted = Session::of(kernel);
        for (op, now) in after {
            let told = |session: &mut Session| session.step(op, *now).map(|(told, _)| told);
            prop_assert_eq!(told(&mut restarted), told(&mut live), "{:?}", op);
        }
        prop_assert_eq!(restarted.kernel.state_hash(), live.kernel.state_hash());
    }
}
