//! A run's events, sorted into the lives of the directory: each from the start of an opening to its closing or its crash.

use ::sim::{Event, Lane};
use std::collections::BTreeMap;

/// One opening and what followed, to its end.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// What was done to the disk before it.
    pub(super) before: Vec<String>,
    pub(super) start: u64,
    pub(super) end: u64,
    /// When the engine was open, and what was said of it; not in a life that ended earlier.
    pub(super) opened: Option<(u64, String)>,
    /// Openings that came to nothing.
    pub(super) failed: Vec<(u64, String)>,
    pub(super) ended: Ended,
    /// By client.
    pub(super) requests: BTreeMap<u8, Vec<Request>>,
    /// When a shard did something, by shard.
    pub(super) turns: BTreeMap<u16, Vec<u64>>,
    /// By the disk's lane.
    pub(super) operations: BTreeMap<u16, Vec<Operation>>,
    pub(super) faults: Vec<Fault>,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ended {
    Closed,
    Killed,
    PowerCut,
    /// With the run.
    #[default]
    Run,
}

/// From sent to answered.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) token: u64,
    pub(super) sent: u64,
    pub(super) what: String,
    /// When, and what was said; not if the end came first.
    pub(super) answer: Option<(u64, String)>,
    /// When its client left.
    pub(super) left: Option<u64>,
    pub(super) outcome: Outcome,
}

impl Request {
    /// When it was answered or given up, or else the life's end.
    pub(super) fn end(&self, life: &Life) -> u64 {
        self.answer.as_ref().map(|(at, _)| *at).or(self.left).unwrap_or(life.end)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Refused,
    /// Its client left, and waited no longer.
    GivenUp,
    /// The end came first.
    Unanswered,
}

/// From submitted to completed.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) number: u64,
    pub(super) start: u64,
    /// Not if the end came first.
    pub(super) end: Option<u64>,
    /// `Write`, `Flush` and so on.
    pub(super) action: String,
    /// Which file, and which bytes of it.
    pub(super) place: String,
    pub(super) failed: bool,
}

/// A fault at the moment when it struck.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: u64,
    pub(super) lane: u16,
    pub(super) kind: String,
    pub(super) says: String,
}

/// The lives, in order; those in which nothing happened are left out.
pub(super) fn of(events: &[Event]) -> Vec<Life> {
    // The disk's operations belong to the life in which they were asked for, whatever the time.
    let is_end = |event: &&Event| event.lane == Lane::World && matches!(event.sort, "closed" | "crash");
    let ends: Vec<&Event> = events.iter().filter(is_end).collect();
    let mut lives: Vec<Life> = (0..=ends.len()).map(|_| Life::default()).collect();
    for (life, end) in ends.iter().enumerate() {
        lives[life].ended = match end.text.as_str() {
            "closed" => Ended::Closed,
            "Kill" => Ended::Killed,
            _ => Ended::PowerCut,
        };
        lives[life].end = end.at;
        lives[life + 1].start = end.at;
    }
    let mut now = 0;
    for event in events {
        match event.lane {
            Lane::World => {
                lives[now].world(event);
                now += usize::from(is_end(&event));
            }
            Lane::Client(client) => lives[now].client(client, event),
            Lane::Shard(shard) => lives[now].turns.entry(shard).or_default().push(event.at),
            Lane::Disk(lane) => {
                // A cut strikes what was written before it, and no operation.
                let of_a_cut = event.sort == "fault" && !event.text.contains(char::is_uppercase);
                let life = ends.partition_point(|end| end.number + u64::from(of_a_cut) <= event.number);
                lives[life].disk(lane, event);
            }
        }
    }
    if let (Some(last), Some(event)) = (lives.last_mut(), events.last()) {
        last.end = event.at;
    }
    lives.retain(|life| !life.operations.is_empty());
    lives
}

impl Life {
    fn world(&mut self, event: &Event) {
        match event.sort {
            "opened" => self.opened = Some((event.at, event.text.clone())),
            "failed" => self.failed.push((event.at, event.text.clone())),
            "fault" => self.before.push(event.text.clone()),
            _ => {}
        }
    }

    fn client(&mut self, client: u8, event: &Event) {
        let requests = self.requests.entry(client).or_default();
        if event.sort == "sent" {
            let (token, sent, what) = (event.number, event.at, event.text.clone());
            requests.push(Request { token, sent, what, answer: None, left: None, outcome: Outcome::Unanswered });
        } else if event.sort == "left" {
            for request in requests.iter_mut().filter(|request| request.answer.is_none()) {
                request.left.get_or_insert(event.at);
                request.outcome = Outcome::GivenUp;
            }
        } else if let Some(request) = requests.iter_mut().rev().find(|request| request.token == event.number) {
            request.answer = Some((event.at, event.text.clone()));
            request.outcome = if event.sort == "done" { Outcome::Done } else { Outcome::Refused };
        }
    }

    fn disk(&mut self, lane: u16, event: &Event) {
        let mut words = event.text.split(' ').filter(|word| !word.is_empty());
        let kind = words.next().unwrap_or_default();
        let rest: Vec<&str> = words.collect();
        match (event.sort, kind) {
            ("io", "submitted") => {
                let (action, place) = (rest.first().copied().unwrap_or_default(), rest.get(1..).unwrap_or_default());
                self.operations.entry(lane).or_default().push(Operation {
                    number: event.number,
                    start: event.at,
                    end: None,
                    action: action.into(),
                    place: place.join(" "),
                    failed: false,
                });
            }
            ("io" | "failed", _) => {
                let mut operations = self.operations.entry(lane).or_default().iter_mut().rev();
                if let Some(operation) = operations.find(|operation| operation.number == event.number) {
                    operation.end = Some(event.at);
                    operation.failed = event.sort == "failed";
                }
            }
            ("fault", _) => {
                let kind = rest.last().copied().unwrap_or_default().to_owned();
                let says = format!("{kind} struck {}", rest[..rest.len().saturating_sub(1)].join(" "));
                self.faults.push(Fault { at: event.at, lane, kind, says });
            }
            // The machine's own events are told by the run's.
            _ => {}
        }
    }

    /// Every moment at which something began or ended, sorted.
    pub(super) fn moments(&self) -> Vec<u64> {
        let mut moments = vec![self.start, self.end];
        moments.extend(self.opened.iter().map(|(at, _)| *at));
        moments.extend(self.failed.iter().map(|(at, _)| *at));
        moments.extend(self.faults.iter().map(|fault| fault.at));
        moments.extend(self.turns.values().flatten());
        for request in self.requests.values().flatten() {
            moments.extend([Some(request.sent), request.answer.as_ref().map(|(at, _)| *at)].into_iter().flatten());
        }
        for operation in self.operations.values().flatten() {
            moments.extend([Some(operation.start), operation.end].into_iter().flatten());
        }
        moments.retain(|at| (self.start..=self.end).contains(at));
        moments.sort_unstable();
        moments.dedup();
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: u64, lane: Lane, sort: &'static str, number: u64, text: &str) -> Event {
        Event { at, lane, sort, number, text: text.into() }
    }

    /// Two lives that meet at one moment: the disk's operations there belong to the one or the other by their numbers.
    #[test]
    fn what_begins_when_another_life_ends_belongs_to_the_next() {
        let events = [
            event(0, Lane::Disk(9), "io", 0, "submitted Open manifest.a"),
            event(4, Lane::World, "opened", 1, "opened with 1 shards; 0 torn tails"),
            event(5, Lane::Client(2), "sent", 1, "append 0 to 0/1"),
            event(8, Lane::Client(2), "sent", 2, "read 0/1"),
            event(9, Lane::Client(2), "done", 1, "append 0 to 0/1: told"),
            event(9, Lane::Client(3), "sent", 1, "head 0/1"),
            event(9, Lane::Client(3), "left", 0, ""),
            event(10, Lane::World, "crash", 2, "PowerCut"),
            event(10, Lane::Disk(0), "io", 1, "submitted Write a.seg 0+4096"),
            event(10, Lane::Disk(0), "fault", 1, "struck Write a.seg 0+4096 torn-at-sector"),
            event(10, Lane::Disk(0), "fault", 2, "struck  entry-lost"),
            event(10, Lane::World, "fault", 2, "a bit of a segment rots"),
            event(10, Lane::Disk(9), "io", 2, "submitted Open manifest.a"),
            event(12, Lane::Disk(9), "failed", 2, "failed Open manifest.a"),
        ];
        let lives = of(&events);
        assert_eq!(lives.len(), 2);
        let (first, second) = (&lives[0], &lives[1]);
        assert_eq!((first.ended, first.end, first.opened.as_ref().unwrap().0), (Ended::PowerCut, 10, 4));
        let [answered, open] = &first.requests[&2][..] else { panic!("{:?}", first.requests) };
        assert_eq!((answered.outcome, answered.answer.as_ref().unwrap().0), (Outcome::Done, 9));
        assert_eq!((open.outcome, open.answer.is_none()), (Outcome::Unanswered, true));
        assert_eq!((open.end(first), first.requests[&3][0].end(first)), (10, 9));
        assert_eq!((first.operations[&0].len(), first.operations[&9].len()), (1, 1));
        assert_eq!((first.faults[0].kind.as_str(), first.faults[0].lane), ("torn-at-sector", 0));
        assert_eq!((first.faults[1].kind.as_str(), second.faults.len()), ("entry-lost", 0));
        assert_eq!((second.ended, second.start, second.end), (Ended::Run, 10, 12));
        assert_eq!((&second.before[..], second.opened.is_none()), (&["a bit of a segment rots".to_owned()][..], true));
        assert!(second.operations[&9][0].failed);
        assert_eq!(second.moments(), [10, 12]);
    }
}
