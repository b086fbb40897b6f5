//! What the stages tell agrees with what a client and its watch see.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use diatreme::{Durability, Outcome, ShardStats, Stage, StageStats, Step};
use std::time::{Duration, Instant};

const RECORDS: u64 = 20_000;

/// What was seen from outside: the sum of latencies, and how long the engine was there.
struct Seen {
    latency: Duration,
    wall: Duration,
    stats: ShardStats,
}

impl Seen {
    fn stages(&self) -> &StageStats {
        self.stats.stages.as_ref().expect("the feature is on")
    }
}

/// Appends records, so many at a time.
fn run(durability: Durability, window: usize) -> Seen {
    let root = harness::on_disk();
    let began = Instant::now();
    let engine = harness::builder(root.path(), 1).durability(durability).open().unwrap();
    let mut client = engine.client_with_window(window).unwrap();
    let stream = client.ensure_stream("tenant", "stream").unwrap();
    let mut latency = Duration::ZERO;
    let mut sent_at = Vec::new();
    let (mut sent, mut answered) = (0, 0);
    while answered < RECORDS {
        while sent < RECORDS && sent - answered < window as u64 {
            sent_at.push(Instant::now());
            client.submit_append(&stream, None, &[&[7; 100]]).unwrap();
            sent += 1;
        }
        client
            .wait(|completion| {
                assert!(matches!(completion.result, Ok(Outcome::Appended(_))));
                // One shard answers a client in the order of its requests.
                latency += sent_at[answered as usize].elapsed();
                answered += 1;
            })
            .unwrap();
    }
    drop(client);
    let stats = engine.close().unwrap()[0];
    Seen { latency, wall: began.elapsed(), stats }
}

fn latency_ns(stages: &StageStats) -> u64 {
    Stage::ALL.map(|stage| stages.latency(stage).total_ns).iter().sum()
}

#[test]
fn the_stages_of_appends_are_within_what_the_client_saw() {
    let seen = run(Durability::NATURAL, 64);
    let stages = seen.stages();
    for stage in Stage::ALL {
        let time = stages.latency(stage);
        assert!(time.total_ns > 0, "{stage:?}");
        assert!(time.histogram.quantile_ns_max(0.99) >= time.histogram.quantile_ns_max(0.5), "{stage:?}");
    }
    // Each append went through every stage, and only the few requests that made the stream besides.
    for stage in [Stage::Queue, Stage::Apply, Stage::Seal] {
        assert_eq!(stages.latency(stage).requests, seen.stats.requests, "{stage:?}");
    }
    for stage in [Stage::Fill, Stage::Submit, Stage::Device] {
        let requests = stages.latency(stage).requests;
        assert!((RECORDS..=seen.stats.requests).contains(&requests), "{requests} in {stage:?}");
    }
    // Those few waited too, and the client's own count leaves them out: they are given the whole of the wall's time.
    let others = (seen.stats.requests - RECORDS) as u32;
    let seen_ns = (seen.latency + seen.wall * others).as_nanos() as u64;
    assert!(latency_ns(stages) <= seen_ns, "{} ns of {seen_ns}", latency_ns(stages));
    assert!(stages.latency(Stage::Device).total_ns < latency_ns(stages));
}

#[test]
fn the_steps_of_a_shard_are_within_its_time() {
    let seen = run(Durability::NATURAL, 1024);
    let stages = seen.stages();
    for step in Step::ALL.into_iter().filter(|step| *step != Step::Read) {
        assert!(stages.busy_ns(step) > 0, "{step:?}");
    }
    assert_eq!(stages.busy_ns(Step::Read), 0, "nothing was read");
    let busy: u64 = Step::ALL.map(|step| stages.busy_ns(step)).iter().sum();
    assert_eq!(busy + stages.idle_ns(), stages.wall_ns());
    assert!(u128::from(stages.wall_ns()) <= seen.wall.as_nanos());
}

#[test]
fn an_answer_that_waits_for_no_frame_is_in_no_stage_of_one() {
    let seen = run(Durability::Memory, 64);
    let stages = seen.stages();
    for stage in [Stage::Fill, Stage::Submit, Stage::Device] {
        // The creations of the tenant and the stream are strict under every policy.
        assert_eq!(stages.latency(stage).requests, 2, "{stage:?}");
    }
    assert!(stages.latency(Stage::Answer).requests >= RECORDS);
    assert!(stages.latency(Stage::Answer).total_ns > 0);
}
