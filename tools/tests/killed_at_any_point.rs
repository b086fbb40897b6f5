//! Whatever the command had told as acknowledged is there after it was killed, unaltered and in order; what is there beyond is
//! the beginning of what was sent.
//!
//! `ingest` and `bench` are killed again and again, on both backends, with one shard and two, while they open, write, begin a new
//! segment and close, in directories that the kills before left. The points are drawn from a seed, `DIATREME_KILL_SEED`;
//! `DIATREME_KILLS` says how many there are to be. What a seed draws are delays and numbers of records: where in the code a kill
//! strikes differs from run to run.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;

use harness::Place;
use harness::lines::{Random, Text, shown};
use harness::supervised::{Gone, Kill, Supervised, feed, offset};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

const KILLS: u64 = 100;
const SEED: u64 = 1;
/// Of each directory: first a benchmark, then ingests.
const KILLS_A_DIRECTORY: u64 = 6;
/// The time after a start in which a kill is to hit the opening, and after the last acknowledgement the closing.
const OPENING_US: u64 = 60_000;
const CLOSING_US: u64 = 20_000;
/// Lines of a benchmark's input: a prime, so that the streams' shares of them differ, and what goes missing shows.
const LINES: u64 = 1021;
const INPUT_NOISE_BYTES_MAX: u64 = 30_000;
/// What a log's first segment takes.
const SEGMENT_BYTES: u64 = 32 << 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Where a kill is to strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Opening,
    First,
    Amid,
    Rotation,
    Closing,
}

const PHASES: [Phase; 5] = [Phase::Opening, Phase::First, Phase::Amid, Phase::Rotation, Phase::Closing];

/// What happened, for whoever reads the test's output.
#[derive(Debug, Default)]
struct Counts {
    kills: u64,
    of_ingest: u64,
    of_bench: u64,
    before_anything_was_told: u64,
    by_phase: BTreeMap<Phase, u64>,
    by_backend: BTreeMap<&'static str, u64>,
    ended_before_the_kill: u64,
    torn_tails: u64,
    segments: u64,
    acknowledged: u64,
    beyond_the_acknowledged: u64,
}

/// A stream, and what is known of it.
struct Stream {
    tenant: String,
    name: String,
    /// Whether a command told of it: then it is there.
    made: bool,
    /// It has no fewer records than this.
    acknowledged: u64,
    /// Nor more than this.
    sent: u64,
}

struct Test {
    random: Random,
    backends: Vec<&'static str>,
    counts: Counts,
}

/// How a command is run: drawn anew for each.
#[derive(Clone, Copy, Debug)]
struct Draw {
    phase: Phase,
    backend: &'static str,
    shards: u64,
    /// Of noise in a line.
    noise_bytes_max: u64,
}

impl Test {
    fn draw(&mut self, number: u64) -> Draw {
        let phase = PHASES[(number % PHASES.len() as u64) as usize];
        let noise_bytes_max = match phase {
            Phase::Rotation => 800_000,
            _ => [100, 1000, 20_000][self.random.below(3) as usize],
        };
        // Each phase meets each backend, and each of those one shard and two.
        let turn = number / PHASES.len() as u64;
        let backend = self.backends[(turn % self.backends.len() as u64) as usize];
        Draw { phase, backend, shards: 1 + (turn / 2) % 2, noise_bytes_max }
    }

    fn delay(&mut self, us_max: u64) -> Duration {
        Duration::from_micros(self.random.below(us_max + 1))
    }

    /// How many records there are to be, and when the command is killed.
    fn kill(&mut self, draw: Draw, logs: u64) -> (u64, Kill) {
        let rotation = logs * SEGMENT_BYTES / (draw.noise_bytes_max / 2);
        match draw.phase {
            Phase::Opening => (u64::MAX / 2, Kill::Started(self.delay(OPENING_US))),
            Phase::First => (u64::MAX / 2, Kill::Told(self.random.below(2), self.delay(1000))),
            Phase::Amid => (u64::MAX / 2, Kill::Told(self.random.below(3000), self.delay(3000))),
            // A little before the segment is full, or after.
            Phase::Rotation => {
                (u64::MAX / 2, Kill::Told(rotation * (80 + self.random.below(40)) / 100, self.delay(3000)))
            }
            Phase::Closing => {
                let records = 1 + self.random.below(2000);
                (records, Kill::Told(records, self.delay(CLOSING_US)))
            }
        }
    }

    /// Accounts for a command's end. One that was faster than the signal is none of the kills.
    fn ended(&mut self, gone: &Gone, draw: Draw, told: bool, command: fn(&mut Counts) -> &mut u64) {
        assert!(gone.was_killed() || gone.status.success(), "{draw:?}: {}: {}", gone.status, gone.err);
        for line in gone.err.lines() {
            // A kill may come while the manifest's second copy is written.
            let fine = ["was never acknowledged, and is cut", "the other copy served", "note: synchronous backend"];
            assert!(fine.iter().any(|fine| line.contains(fine)), "{draw:?}: {line}");
        }
        if !gone.was_killed() {
            self.counts.ended_before_the_kill += 1;
            return;
        }
        self.counts.kills += 1;
        *command(&mut self.counts) += 1;
        *self.counts.by_phase.entry(draw.phase).or_default() += 1;
        *self.counts.by_backend.entry(draw.backend).or_default() += 1;
        self.counts.before_anything_was_told += u64::from(!told);
    }

    /// A benchmark in a fresh directory: its streams, and the lines that each has to hold, over and over.
    fn bench(&mut self, place: &Place, draw: Draw) -> Vec<(Stream, Vec<Vec<u8>>)> {
        let draw = Draw { noise_bytes_max: draw.noise_bytes_max.min(INPUT_NOISE_BYTES_MAX), ..draw };
        let lines = lines(self.random.next(), draw.noise_bytes_max);
        let (input, data) = (place.path("input"), place.data());
        fs::write(&input, lines.concat()).unwrap();
        let (records, kill) = self.kill(draw, draw.shards);
        let (records, shards) = (records.to_string(), draw.shards.to_string());
        let args = ["bench", "--data-dir", data.to_str().unwrap(), "--input", input.to_str().unwrap()];
        let settings = ["--backend", draw.backend, "--shards", &shards, "--streams", "2"];
        let load = ["--records", &records, "--warm-up", "0"];
        let mut bench = Supervised::start(args.into_iter().chain(settings).chain(load));
        let mut told = Vec::new();
        match kill {
            Kill::Started(delay) => bench.kill_after(delay),
            Kill::Told(records, delay) => {
                let mut heads = BTreeMap::new();
                while heads.is_empty() || heads.values().sum::<u64>() < records {
                    let Some(line) = bench.hear() else { break };
                    heads.insert(stream(&line).to_owned(), offset(&line));
                    told.push(line);
                }
                bench.kill_after(delay);
            }
        }
        let gone = bench.gone(told);
        self.ended(&gone, draw, !gone.told.is_empty(), |counts| &mut counts.of_bench);
        let streams = benched(&gone.told, draw.shards);
        self.counts.acknowledged += streams.iter().map(|stream| stream.acknowledged).sum::<u64>();
        // Records go to all streams in turn.
        let all = streams.len();
        let of = |at: usize| (0..lines.len()).map(|nth| lines[(at + nth * all) % lines.len()].clone()).collect();
        streams.into_iter().enumerate().map(|(at, stream)| (stream, of(at))).collect()
    }

    /// Verifies a directory as a kill left it.
    fn verify(&mut self, place: &Place, told: bool) {
        let json = place.path("verified.json");
        let ended = place.run("verify", &["--json", json.to_str().unwrap()]);
        if !told && ended.code == 2 {
            // There is no directory yet, or no segment in it.
            assert!(ended.err.contains("cannot read") || ended.err.contains("holds no data"), "{}", ended.err);
            return;
        }
        assert_eq!(ended.code, 0, "{}{}", ended.text(), ended.err);
        let report = place.json("verified.json");
        assert_eq!(report["sound"], true);
        self.counts.torn_tails += report["torn_tails"].as_u64().unwrap();
        self.counts.segments = self.counts.segments.max(report["segments"].as_u64().unwrap());
    }

    /// How many records a stream has, which `count` compares with what was sent. This opens the directory.
    fn read(&mut self, place: &Place, stream: &mut Stream, count: impl FnOnce(&[u8]) -> u64) -> u64 {
        let Stream { tenant, name, made, .. } = &*stream;
        let ended = place.run("read", &["--tenant", tenant, "--stream", name]);
        if !made && ended.code != 0 {
            let absent = ["cannot read", "holds no data", "no tenant", "no stream"];
            assert!(absent.iter().any(|words| ended.err.contains(words)), "{}", ended.err);
            return 0;
        }
        assert_eq!(ended.code, 0, "{}", ended.err);
        let head = count(&ended.out);
        self.settle(stream, head);
        head
    }

    /// A stream has so many records.
    fn settle(&mut self, stream: &mut Stream, head: u64) {
        let Stream { tenant, name, acknowledged, sent, .. } = stream;
        assert!(head >= *acknowledged, "{tenant} {name}: {acknowledged} are acknowledged, {head} are there");
        assert!(head <= *sent, "{tenant} {name}: {sent} were sent, {head} are there");
        self.counts.beyond_the_acknowledged += head - *acknowledged;
        (*acknowledged, *sent) = (head, head);
    }

    /// A benchmark and several ingests, each killed, in one directory.
    fn directory(&mut self, from: u64) {
        let place = Place::new();
        place.seal();
        let draw = self.draw(from);
        let mut benched = self.bench(&place, draw);
        let told = benched.iter().any(|(stream, _)| stream.made);
        self.verify(&place, told);
        for (stream, cycle) in &mut benched {
            self.read(&place, stream, |read| cycled(read, cycle));
        }
        let mut stream = Stream::new("acme", "audit");
        let mut text = Text::new(self.random.next(), 0);
        for number in from + 1..from + KILLS_A_DIRECTORY {
            let draw = self.draw(number);
            self.ingest(&place, &mut stream, &mut text, draw);
            self.verify(&place, told || stream.made);
            // Not always, so that also a command that opens what a kill left is killed.
            if self.random.below(2) == 0 || number + 1 == from + KILLS_A_DIRECTORY {
                self.read(&place, &mut stream, |read| text.count(read));
            }
        }
        // What was written before is as it was.
        for (stream, cycle) in &mut benched {
            self.read(&place, stream, |read| cycled(read, cycle));
        }
        self.verify(&place, told || stream.made);
    }

    fn ingest(&mut self, place: &Place, stream: &mut Stream, text: &mut Text, draw: Draw) {
        let (lines, kill) = self.kill(draw, 1);
        let (data, shards) = (place.data(), draw.shards.to_string());
        let args =
            ["ingest", "--data-dir", data.to_str().unwrap(), "--tenant", &stream.tenant, "--stream", &stream.name];
        let settings = ["--backend", draw.backend, "--shards", &shards, "-"];
        let keys = place.keys();
        let settings = settings.into_iter().chain(keys.iter().map(String::as_str));
        let ingest = Supervised::start(args.into_iter().chain(settings));
        // What is there beyond the acknowledged is kept, and the lines go on behind it.
        let fed = feed(ingest, lines, kill, |start| {
            text.resize(start, draw.noise_bytes_max);
            text.clone()
        });
        self.ended(&fed.gone, draw, fed.start.is_some(), |counts| &mut counts.of_ingest);
        let Some(start) = fed.start else { return };
        stream.made = true;
        self.settle(stream, start);
        self.counts.acknowledged += fed.acknowledged - start;
        (stream.acknowledged, stream.sent) = (fed.acknowledged, fed.sent);
    }
}

impl Stream {
    fn new(tenant: &str, name: &str) -> Stream {
        Stream { tenant: tenant.into(), name: name.into(), made: false, acknowledged: 0, sent: 0 }
    }
}

/// The streams of a benchmark in the order in which it takes them, with what it told of each.
fn benched(told: &[String], tenants: u64) -> Vec<Stream> {
    let named = (0..2).flat_map(|number| (0..tenants).map(move |tenant| (tenant, number)));
    let known = named.map(|(tenant, number)| {
        let mut known = Stream::new(&format!("bench-{tenant}"), &format!("stream-{number}"));
        let name = format!("{} {}", known.tenant, known.name);
        let acknowledged = told.iter().filter(|line| stream(line) == name).map(|line| offset(line)).max();
        (known.made, known.acknowledged, known.sent) = (acknowledged.is_some(), acknowledged.unwrap_or(0), u64::MAX);
        known
    });
    known.collect()
}

/// Whose acknowledgement a line of a benchmark is.
fn stream(line: &str) -> &str {
    line.rsplit_once(' ').unwrap().0
}

/// The lines of a benchmark's input.
fn lines(seed: u64, noise_bytes_max: u64) -> Vec<Vec<u8>> {
    let text = Text::new(seed, noise_bytes_max);
    let line = |at| {
        let mut line = Vec::new();
        text.put(at, &mut line);
        line
    };
    (0..LINES).map(line).collect()
}

/// How many lines `read` are, which must be those of `cycle`, over and over.
#[track_caller]
fn cycled(read: &[u8], cycle: &[Vec<u8>]) -> u64 {
    let (mut count, mut rest) = (0, read);
    while !rest.is_empty() {
        let line = &cycle[count % cycle.len()];
        assert!(rest.starts_with(line), "offset {count}: {} is not {}", shown(rest), shown(line));
        rest = &rest[line.len()..];
        count += 1;
    }
    count as u64
}

/// The backends that there are here.
fn backends() -> Vec<&'static str> {
    let ring = Place::new().ingest(b"", &["--backend", "uring"]);
    if ring.code != 0 {
        println!("no io_uring here, so all is done with the synchronous backend: {}", ring.err.trim_end());
        return vec!["sync"];
    }
    vec!["uring", "sync"]
}

#[test]
fn what_is_acknowledged_survives_every_kill() {
    let (kills, seed) = (setting("DIATREME_KILLS", KILLS), setting("DIATREME_KILL_SEED", SEED));
    println!("{kills} kills, seed {seed}");
    let mut test = Test { random: Random(seed), backends: backends(), counts: Counts::default() };
    let mut number = 0;
    while test.counts.kills < kills {
        test.directory(number);
        number += KILLS_A_DIRECTORY;
        assert!(number < 10 * kills + 100, "most commands end before they are killed: {:#?}", test.counts);
    }
    println!("{:#?}", test.counts);
    let Counts { acknowledged, before_anything_was_told, by_phase, .. } = test.counts;
    assert!(acknowledged > 0 && (before_anything_was_told > 0 || kills < PHASES.len() as u64));
    assert!(by_phase.len() == PHASES.len() || kills < PHASES.len() as u64, "{by_phase:?}");
}
