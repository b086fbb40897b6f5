use super::*;

fn total(stats: &StageStats, stage: Stage) -> (u64, u64) {
    let time = stats.latency(stage);
    (time.requests, time.total_ns)
}

/// Three requests of a client, taken together, in one frame.
#[test]
fn a_requests_stages_are_what_passed_and_add_up() {
    let mut stages = Stages::new();
    let began = clock::now();
    let stamps = [0; 3].map(|_| {
        let mut raw = [0; STAMP_BYTES];
        stamp(&mut raw);
        clock::pass(10);
        raw
    });
    clock::pass(70);
    stages.turn();
    for stamp in &stamps {
        stages.request();
        clock::pass(5);
        stages.applied();
        clock::pass(2);
        stages.sealed();
        clock::pass(1);
        stages.taken(stamp, Awaits::OpenFrame);
    }
    stages.drained();
    clock::pass(1_000);
    stages.closing();
    clock::pass(50);
    let frame = stages.closed();
    stages.submitted();
    stages.polling(|| 1);
    clock::pass(20);
    stages.polled(|| 1, false);
    clock::pass(10_000);
    stages.turn();
    stages.polling(|| 1);
    stages.polled(|| 0, true);
    stages.settled(frame);
    clock::pass(3);
    stages.reaped(true);
    clock::pass(4);
    stages.publishing(true);
    clock::pass(2);
    stages.published(true);

    let stats = stages.stats().unwrap();
    // Sent at 0, 10 and 20, taken at 100, 108 and 116.
    assert_eq!(total(&stats, Stage::Queue), (3, 100 + 98 + 96));
    // The draining after the last request is in no sample: 15 of 23 parts, and 6, and 2.
    assert_eq!(total(&stats, Stage::Seal), (3, 24 * 6 / 23));
    assert_eq!(total(&stats, Stage::Apply), (3, 24 - 24 * 6 / 23));
    assert_eq!(total(&stats, Stage::Fill), (3, 3 * 1_000 + 16 + 8));
    assert_eq!(total(&stats, Stage::Submit), (3, 3 * 50));
    assert_eq!(total(&stats, Stage::Device), (3, 3 * 10_020));
    assert_eq!(total(&stats, Stage::Answer), (3, 3 * 7));
    let sum: u64 = Stage::ALL.map(|stage| stats.latency(stage).total_ns).iter().sum();
    assert_eq!(sum, 3 * (clock::now() - 2 - began) - 10 - 20, "as the client saw it");
    assert_eq!(stats.busy_ns(Step::Submit), 50 + 20);
    assert_eq!(stats.busy_ns(Step::Reap), 3);
    assert_eq!(stats.busy_ns(Step::Answer), 4 + 2);
    assert_eq!(stats.wall_ns() - stats.idle_ns(), 24 + 70 + 3 + 6);
}

/// The frame that a span's requests are in is closed by the next request, which finds no room in it.
#[test]
fn a_frame_that_closes_amid_a_span_parts_its_requests() {
    let mut stages = Stages::new();
    let mut raw = [0; STAMP_BYTES];
    stamp(&mut raw);
    let take = |stages: &mut Stages, full: bool| {
        stages.request();
        let frame = full.then(|| {
            stages.closing();
            clock::pass(100);
            let frame = stages.closed();
            stages.submitted();
            frame
        });
        clock::pass(10);
        stages.taken(&raw, Awaits::OpenFrame);
        frame
    };
    stages.turn();
    take(&mut stages, false);
    let first = take(&mut stages, true).unwrap();
    take(&mut stages, false);
    stages.drained();
    stages.polling(|| 1);
    stages.polled(|| 0, true);
    stages.settled(first);
    let stats = stages.stats().unwrap();
    assert_eq!(total(&stats, Stage::Queue), (3, 110 + 120));
    assert_eq!(total(&stats, Stage::Fill), (1, 0));
    assert_eq!(total(&stats, Stage::Submit), (1, 100));
    assert_eq!(total(&stats, Stage::Device), (1, 20));
    assert_eq!(stages.open.filled.requests, 2);
}

#[test]
fn what_waits_for_no_frame_waits_for_the_publishing() {
    let mut stages = Stages::new();
    let mut raw = [0; STAMP_BYTES];
    stamp(&mut raw);
    stages.turn();
    for awaits in [Awaits::Publishing, Awaits::OlderFrame] {
        stages.request();
        clock::pass(10);
        stages.taken(&raw, awaits);
    }
    stages.drained();
    clock::pass(5);
    stages.publishing(true);
    stages.published(true);
    let stats = stages.stats().unwrap();
    assert_eq!(total(&stats, Stage::Answer), (1, 15));
    assert_eq!(total(&stats, Stage::Queue), (2, 10));
    assert_eq!(total(&stats, Stage::Device), (0, 0));
}

#[test]
fn a_long_drain_is_many_spans_and_some_are_sampled() {
    let mut stages = Stages::new();
    let mut raw = [0; STAMP_BYTES];
    stages.turn();
    let count = 3 * SAMPLE_EVERY * SPAN_REQUESTS as u64;
    for _ in 0..count {
        stamp(&mut raw);
        stages.request();
        clock::pass(6);
        stages.applied();
        clock::pass(4);
        stages.sealed();
        stages.taken(&raw, Awaits::OlderFrame);
    }
    stages.drained();
    let stats = stages.stats().unwrap();
    assert_eq!(total(&stats, Stage::Seal), (count, 4 * count));
    assert_eq!(total(&stats, Stage::Apply), (count, 6 * count));
    let sampled = |stage| stats.latency(stage).histogram.buckets().iter().sum::<u64>();
    assert_eq!(sampled(Stage::Seal), 3 * SPAN_REQUESTS as u64);
    assert_eq!(sampled(Stage::Queue), count);
    assert_eq!(stats.latency(Stage::Seal).histogram.quantile_ns_max(1.0), 7);
}

/// A thread that is taken off its core amid a span has the whole of it shared out among requests that were sent later.
#[test]
fn no_stage_of_a_request_begins_before_it_was_sent() {
    let mut stages = Stages::new();
    let began = clock::now();
    stages.turn();
    for _ in 0..2 {
        let mut raw = [0; STAMP_BYTES];
        stamp(&mut raw);
        stages.request();
        clock::pass(1_000);
        stages.taken(&raw, Awaits::Publishing);
    }
    // Sent at 0 and 1,000; and one that claims to be sent later than it was taken.
    stages.taken(&u64::MAX.to_le_bytes(), Awaits::Publishing);
    stages.drained();
    stages.publishing(true);
    let stats = stages.stats().unwrap();
    let sum: u64 = Stage::ALL.map(|stage| stats.latency(stage).total_ns).iter().sum();
    assert_eq!(clock::now() - began, 2_000);
    assert_eq!(sum, 2_000 + 1_000);
}
