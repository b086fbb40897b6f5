//! Watches a load while it runs: collects what its clients counted, keeps the timeline, and shows it on a terminal.

use super::document::{Interval, Latency, Part, Queue};
use super::files::HdrLog;
use super::history::{Backlog, Spacing};
use super::live::Live;
use super::load::{Group, Load, Outcome, Watched};
use super::sender::{Count, Ended, KINDS, Tally, histogram};
use super::switches::{self, Switches};
use crate::failure::Failure;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// What was counted of one kind of requests of one group.
pub(crate) struct Counted {
    pub(crate) name: &'static str,
    pub(crate) count: Count,
    pub(crate) latency_ns: Histogram<u64>,
    /// Since the last tick.
    fresh: Histogram<u64>,
}

/// Collects.
pub(crate) struct Watcher<'a> {
    every: Duration,
    warm_up: Duration,
    until: Option<Duration>,
    /// `KINDS` for each group.
    pub(crate) counted: Vec<Counted>,
    pub(crate) timeline: Vec<Interval>,
    spacing: Spacing,
    /// Of all kinds, since the last tick.
    fresh: Histogram<u64>,
    last_tick: Duration,
    /// What was collected after the last tick.
    rest: Tick,
    /// What waits at each client, as its tray said last: a client that is busy may leave nothing between two ticks.
    waiting: Vec<Waiting>,
    backlog: Backlog,
    switched: Option<(Duration, BTreeMap<u16, Switches>)>,
    /// Of each shard's thread: switches a second, voluntary and involuntary.
    pub(crate) switches_per_sec: BTreeMap<u16, (f64, f64)>,
    live: Live,
    log: Option<&'a mut HdrLog>,
    log_error: Option<Failure>,
}

/// What came to pass since the last tick.
#[derive(Default)]
struct Tick {
    /// When the last of the tallies was left.
    left_at: Duration,
    records: u64,
    /// All that waits, at its end.
    waiting: Waiting,
}

/// Requests that are due and not answered, and due and not sent.
#[derive(Clone, Copy, Default)]
struct Waiting {
    queue: u64,
    behind: u64,
}

impl<'a> Watcher<'a> {
    /// `title` is what the run is called on the terminal.
    pub(crate) fn new(load: &Load, title: &str, every: Duration, log: Option<&'a mut HdrLog>) -> Watcher<'a> {
        let counted = |name| Counted { name, count: Count::default(), latency_ns: histogram(), fresh: histogram() };
        Watcher {
            every,
            warm_up: load.warm_up,
            until: load.duration.map(|duration| load.warm_up + duration),
            counted: load.groups.iter().flat_map(|group| group.names).map(counted).collect(),
            timeline: Vec::new(),
            spacing: Spacing::new(every),
            fresh: histogram(),
            last_tick: load.warm_up,
            rest: Tick::default(),
            waiting: Vec::new(),
            backlog: Backlog::new(),
            switched: None,
            switches_per_sec: BTreeMap::new(),
            live: Live::new(title),
            log,
            log_error: None,
        }
    }

    /// Looks at what was counted at every tick until nobody runs.
    pub(crate) fn watch(&mut self, watched: &Watched) {
        loop {
            std::thread::park_timeout(watched.every);
            if !watched.is_running() {
                break;
            }
            self.tick(watched);
        }
        // The last that was left in time; what came after it has to be handed over, and ends the timeline.
        self.rest = self.collect(watched);
        self.count_switches(watched.start.elapsed());
        self.live.clear();
    }

    fn tick(&mut self, watched: &Watched) {
        let tick = self.collect(watched);
        let now = watched.start.elapsed();
        if now <= self.warm_up {
            self.live.warming_up(now, self.warm_up);
            return;
        }
        self.count_switches(now);
        if self.until.is_none_or(|until| now <= until) {
            self.backlog.push(now, tick.waiting.behind);
        }
        // A rate is over the time in which its records were counted, which ended before they were collected.
        self.note(&tick, tick.left_at);
    }

    fn collect(&mut self, watched: &Watched) -> Tick {
        let mut tick = Tick::default();
        self.waiting.resize(watched.trays.len(), Waiting::default());
        for (at, (group, tray)) in watched.trays.iter().enumerate() {
            tray.collect(|tally| {
                self.take(*group, tally, &mut tick);
                tick.left_at = tick.left_at.max(tally.at);
                self.waiting[at] = Waiting { queue: tally.queue, behind: tally.behind };
            });
        }
        for waiting in &self.waiting {
            tick.waiting.queue += waiting.queue;
            tick.waiting.behind += waiting.behind;
        }
        tick
    }

    fn take(&mut self, group: usize, tally: &Tally, tick: &mut Tick) {
        for kind in 0..KINDS {
            let (fresh, count) = (&tally.latency_ns[kind], tally.counts[kind]);
            let counted = &mut self.counted[group * KINDS + kind];
            counted.count.add(count);
            tick.records += count.records;
            if fresh.is_empty() {
                continue;
            }
            for total in [&mut counted.latency_ns, &mut counted.fresh, &mut self.fresh] {
                total.add(fresh).expect("all histograms have the same bounds");
            }
        }
    }

    fn interval(&self, tick: &Tick, now: Duration, length: Duration) -> Interval {
        Interval {
            at_sec: (now - self.warm_up).as_secs_f64(),
            records_per_sec: tick.records as f64 / length.as_secs_f64(),
            p50_ns: self.fresh.value_at_quantile(0.5),
            p99_ns: self.fresh.value_at_quantile(0.99),
            max_ns: self.fresh.max(),
            queue: tick.waiting.queue,
        }
    }

    /// Closes an interval of the timeline.
    fn note(&mut self, tick: &Tick, now: Duration) {
        let length = now.saturating_sub(self.last_tick);
        if self.fresh.is_empty() || length.is_zero() {
            return;
        }
        // What is left at the end is a part of an interval; a rate over a short one says nothing.
        let interval = self.interval(tick, now, length);
        if length >= self.every / 2 || self.timeline.is_empty() {
            self.spacing.push(&mut self.timeline, interval);
        }
        self.fresh.reset();
        for counted in &mut self.counted {
            if let Some(log) = &mut self.log
                && !counted.fresh.is_empty()
                && let Err(error) = log.interval(counted.name, length, &counted.fresh)
            {
                self.log_error.get_or_insert(error);
            }
            counted.fresh.reset();
        }
        self.last_tick = now;
        self.live.show(&self.timeline);
    }

    /// Remembers the first count after the warm-up, and relates the newest one to it.
    fn count_switches(&mut self, now: Duration) {
        if now < self.warm_up || self.until.is_some_and(|until| now > until && self.switched.is_some()) {
            return;
        }
        let counts = switches::of_shards();
        let Some((since, first)) = &self.switched else {
            self.switched = Some((now, counts));
            return;
        };
        let seconds = (now - *since).as_secs_f64().max(1e-9);
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        for (shard, count) in counts {
            let then = first.get(&shard).copied().unwrap_or_default();
            let rates = (rate(count.voluntary, then.voluntary), rate(count.involuntary, then.involuntary));
            self.switches_per_sec.insert(shard, rates);
        }
    }

    /// Takes in what clients counted after the last tick, and makes the parts of the report: those of which there was a request.
    pub(crate) fn finish(&mut self, load: &Load, outcome: &Outcome) -> Result<Vec<Part>, Failure> {
        let mut tick = std::mem::take(&mut self.rest);
        for (group, tally) in &outcome.rest {
            self.take(*group, tally, &mut tick);
        }
        // Clients end when all is answered.
        tick.waiting = Waiting::default();
        let last = outcome.groups.iter().map(|group| group.ended.last_answer).max().unwrap_or_default();
        // Answers may be older than the last tick: their client had not left them in time.
        self.note(&tick, last.max(self.last_tick + Duration::from_micros(1)));
        if let Some(error) = self.log_error.take() {
            return Err(error);
        }
        Ok(load.groups.iter().enumerate().flat_map(|(at, group)| self.parts_of(at, group, outcome)).collect())
    }

    fn parts_of(&self, at: usize, group: &Group, outcome: &Outcome) -> Vec<Part> {
        let ended = &outcome.groups[at].ended;
        let elapsed_sec = ended.last_answer.saturating_sub(self.warm_up).as_secs_f64();
        let counted = &self.counted[at * KINDS..(at + 1) * KINDS];
        let requests: u64 = counted.iter().map(|counted| counted.count.requests).sum();
        let latency_sum_ns: f64 = counted.iter().map(|part| part.latency_ns.mean() * part.count.requests as f64).sum();
        let mut queue = Some(Queue {
            mean: ended.queue_ns / 1e9 / elapsed_sec.max(1e-9),
            by_littles_law: if requests == 0 { 0.0 } else { latency_sum_ns / 1e9 / elapsed_sec.max(1e-9) },
            full: ended.queue_full,
            offered_per_sec: group.offered_per_sec(),
            behind_max: ended.behind_max,
            behind_end: ended.behind_end,
            behind_growth_per_sec: self.growth_per_sec(ended),
        });
        let present = counted.iter().filter(|counted| counted.count.requests > 0);
        present.map(|counted| counted.part(elapsed_sec, queue.take())).collect()
    }

    /// By the looks at what is behind; of a run too short for that, by what was behind when requests ceased to become due.
    fn growth_per_sec(&self, ended: &Ended) -> f64 {
        self.backlog.growth_per_sec().unwrap_or_else(|| {
            let offered = self.until.map_or(ended.last_answer, |until| until.min(ended.last_answer));
            ended.behind_end as f64 / offered.saturating_sub(self.warm_up).as_secs_f64().max(1e-9)
        })
    }
}

impl Counted {
    fn part(&self, elapsed_sec: f64, queue: Option<Queue>) -> Part {
        let Count { requests, records, bytes } = self.count;
        Part {
            queue,
            latency: Latency::of(&self.latency_ns),
            ..Part::counted(self.name, requests, records, bytes, elapsed_sec)
        }
    }
}

impl Part {
    /// A part of which no latency is known.
    pub(crate) fn counted(name: &str, requests: u64, records: u64, bytes: u64, elapsed_sec: f64) -> Part {
        let rate = |count: u64| if elapsed_sec > 0.0 { count as f64 / elapsed_sec } else { 0.0 };
        Part {
            name: name.into(),
            requests,
            records,
            bytes,
            elapsed_sec,
            requests_per_sec: rate(requests),
            records_per_sec: rate(records),
            bytes_per_sec: rate(bytes),
            latency: None,
            queue: None,
        }
    }
}
