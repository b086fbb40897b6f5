//! A follower shows what a crash takes away again, or what is not as it was written, or leaves out what is durable.
#![allow(clippy::unwrap_used, reason = "only tests are here")]

mod harness;

use crypto::Link;
use diatreme_log::format::segment::Base;
use diatreme_log::{Cursor, Damage, Followed, Follower, Paused, RecordName, find_record, read_manifest};
use harness::matrix::{bytes_to_try, closed, crashed, in_log};
use harness::memory::{Disk, Memory, Plan};
use harness::{ENGINE, Key, Model, Place, config, payload, try_open};
use std::collections::BTreeMap;

const KEYS: [Key; 4] = [(1, 0), (1, 1), (2, 0), (2, 9)];

/// What was followed: each stream's links, in order, and what was called damaged.
#[derive(Default)]
struct Seen {
    links: BTreeMap<Key, BTreeMap<u64, Link>>,
    damage: Vec<Damage>,
}

impl Seen {
    /// Takes what a follower shows, but for streams that it just called damaged.
    fn take(&mut self, followed: Followed<'_>) {
        match followed {
            Followed::Damaged(damage) => self.damage.push(damage),
            Followed::Frame(frame) => {
                let mut offsets: Vec<u64> = frame.table.iter().map(|entry| entry.first_offset).collect();
                for record in frame.records {
                    let entry = &frame.table[usize::from(record.slot)];
                    let key = (entry.tenant, entry.stream);
                    let offset = offsets[usize::from(record.slot)];
                    offsets[usize::from(record.slot)] += 1;
                    let lost = |damage: &Damage| {
                        damage
                            .losses
                            .iter()
                            .any(|loss| (loss.tenant, loss.stream) == key && loss.offsets.contains(&offset))
                    };
                    if !self.damage.iter().any(lost) {
                        let before = self.links.entry(key).or_default().insert(offset, record.link);
                        assert_eq!(before, None, "{key:?} {offset} comes twice");
                    }
                }
            }
            _ => {}
        }
    }

    fn records(&self) -> usize {
        self.links.values().map(BTreeMap::len).sum()
    }

    /// Every link is the one of the record that was told.
    fn check(&self, model: &Model, what: &str) {
        for (key, links) in &self.links {
            let told = model.streams.get(key).map_or(0, Vec::len);
            for (offset, link) in links {
                assert!(*offset < told as u64, "{what}: {key:?} {offset} of {told}");
                assert_eq!(*link, model.link(*key, *offset as usize + 1), "{what}: {key:?} {offset}");
            }
        }
    }
}

fn follower(memory: &Memory, cursor: Cursor) -> Follower {
    let (mut backend, buffer) = memory.scan_buffer();
    let manifest = read_manifest(&mut backend, &mut Some(buffer)).unwrap().manifest;
    let frontier = manifest.and_then(|manifest| manifest.frontiers.first().copied()).unwrap_or_default();
    Follower::new(0, ENGINE, frontier, cursor)
}

fn advance(memory: &Memory, follower: &mut Follower, budget: u64, seen: &mut Seen) -> Paused {
    let (mut backend, buffer) = memory.scan_buffer();
    let mut visit = |followed: Followed<'_>| {
        seen.take(followed);
        true
    };
    follower.advance(&mut backend, &mut Some(buffer), budget, &mut visit).unwrap()
}

fn follow_all(disk: &Disk) -> Seen {
    let memory = Memory::of(disk.clone());
    let mut seen = Seen::default();
    assert_eq!(advance(&memory, &mut follower(&memory, Cursor::default()), u64::MAX, &mut seen), Paused::End);
    seen
}

#[test]
fn a_closed_log_is_followed_to_its_end() {
    let subject = closed();
    let seen = follow_all(&subject.disk);
    assert_eq!(seen.damage, []);
    assert_eq!(seen.records(), subject.model.records());
    seen.check(&subject.model, "closed");
}

#[test]
fn a_crashed_log_is_followed_as_far_as_something_vouches() {
    let subject = crashed(true);
    assert_eq!(follow_all(&subject.disk).records(), subject.model.records());
    // Without the mark, nothing says that the newest frame is durable.
    let subject = crashed(false);
    let seen = follow_all(&subject.disk);
    assert!(seen.records() > 0 && seen.records() < subject.model.records());
    assert_eq!(seen.damage, []);
    seen.check(&subject.model, "crashed");
}

#[test]
fn small_budgets_and_new_followers_show_the_same() {
    let subject = closed();
    let memory = Memory::of(subject.disk.clone());
    let (mut seen, mut cursor, mut pauses) = (Seen::default(), Cursor::default(), 0);
    loop {
        let mut follower = follower(&memory, cursor);
        let (mut backend, buffer) = memory.scan_buffer();
        assert!(follower.fits(&mut backend, &mut Some(buffer)).unwrap());
        let paused = advance(&memory, &mut follower, 1, &mut seen);
        cursor = follower.cursor();
        match paused {
            Paused::Budget => pauses += 1,
            Paused::End => break,
            Paused::Held => panic!("everything was taken"),
        }
    }
    assert!(pauses > 5);
    assert_eq!(seen.records(), subject.model.records());
    seen.check(&subject.model, "piece by piece");
}

#[test]
fn a_frame_that_is_not_taken_comes_again() {
    let subject = closed();
    let memory = Memory::of(subject.disk.clone());
    let mut follower = follower(&memory, Cursor::default());
    let mut shown = Vec::new();
    for taken in [1, 1, 0] {
        let (mut backend, buffer) = memory.scan_buffer();
        let mut left = taken;
        let mut visit = |followed: Followed<'_>| {
            let Followed::Frame(frame) = followed else { panic!("nothing is damaged") };
            shown.push(frame.header.sequence);
            left -= 1;
            left >= 0
        };
        let paused = follower.advance(&mut backend, &mut Some(buffer), u64::MAX, &mut visit).unwrap();
        assert_eq!(paused, Paused::Held);
    }
    assert_eq!(shown, [0, 1, 1, 2, 2]);
    assert_eq!(follower.cursor().sequence, 2);
}

/// Writes until the power goes, following all the while: what was followed is there after it.
fn power_goes_at_every_operation(record_bytes: usize, rounds: usize, step: usize, shuffle: u64) {
    let run = |memory: &Memory| {
        let mut seen = Seen::default();
        let Ok(mut session) = try_open(memory, &Model::default(), config()) else {
            return (Model::default(), seen, true);
        };
        // As a process does: opened when the log is.
        let view = |memory: &Memory| Memory::of(memory.disk().clone());
        let mut follower = follower(&view(memory), Cursor::default());
        for round in 0..rounds {
            for (at, key) in KEYS.into_iter().enumerate() {
                let offset = session.model.streams.get(&key).map_or(0, Vec::len) as u64;
                let ready = session.try_append(key, 1, &payload(key, offset, record_bytes / (1 + at)));
                if ready != diatreme_log::Room::Ready {
                    return (session.model, seen, false);
                }
                session.log.submit(session.now);
                session.turn();
                let before = session.log.durable();
                advance(&view(memory), &mut follower, u64::MAX, &mut seen);
                assert!(follower.cursor().sequence <= before, "only what is durable");
            }
            if round % 3 == 0 && !session.settle_or_fail() {
                return (session.model, seen, false);
            }
        }
        let done = session.settle_or_fail();
        if done {
            session.quiet();
            advance(&view(memory), &mut follower, u64::MAX, &mut seen);
            if session.log.failure().is_none() {
                assert_eq!(seen.records(), session.model.records(), "all of it is vouched for");
            }
        }
        (session.model, seen, done)
    };
    let memory = Memory { shuffle, ..Memory::default() };
    let (model, seen, done) = run(&memory);
    assert!(done);
    seen.check(&model, "without a crash");
    let count = memory.disk().operations;
    let mut followed = 0;
    for at in (0..count).step_by(step) {
        let memory = Memory { shuffle, ..Memory::default() };
        memory.disk().plan = Some(Plan::Cut(at, at.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let (model, mut seen, _) = run(&memory);
        let what = format!("operation {at} of {count}");
        // What is written and not flushed may be seen, and be gone after it.
        let view = Memory::of(memory.disk().clone());
        advance(&view, &mut follower(&view, Cursor::default()), u64::MAX, &mut Seen::default());
        assert_eq!(seen.damage, [], "{what}");
        seen.check(&model, &what);
        memory.disk().lose_power_partly(at);
        let memory = Memory::of(memory.disk().clone());
        let recovered = memory.recover().unwrap();
        assert_eq!(recovered.damage, [], "{what}");
        for (key, links) in &seen.links {
            let found = recovered.streams.get(key).map_or(0, |stream| stream.next_offset);
            assert!(found >= links.len() as u64, "{what}: {key:?}: {} were followed, {found} are there", links.len());
        }
        followed += seen.records();
        seen = Seen::default();
        // And the recovered log is followed to the end that it has now.
        let mut follower = Follower::new(0, ENGINE, Base::default(), Cursor::default());
        advance(&memory, &mut follower, u64::MAX, &mut seen);
        assert_eq!(
            (seen.damage.as_slice(), follower.cursor().sequence),
            (&[][..], recovered.start.base.sequence),
            "{what}"
        );
        seen.check(&model, &what);
    }
    assert!(followed > 0);
}

#[test]
fn power_goes_while_small_frames_are_followed() {
    power_goes_at_every_operation(300, 6, 1, 0);
    power_goes_at_every_operation(300, 6, 2, 7);
}

#[test]
fn power_goes_while_segments_are_left_behind() {
    power_goes_at_every_operation(700_000, 9, 17, 0);
    power_goes_at_every_operation(700_000, 9, 19, 11);
}

/// Whatever is spoilt, no record is shown as another; and what is not shown is called damaged, or is not vouched for.
fn flip_every_byte(disk: &Disk, model: &Model, name: &str, stride: usize) {
    let data = disk.clone().file(name).data.clone();
    let whole = follow_all(disk).records();
    for at in bytes_to_try(&data, stride) {
        let mut disk = disk.clone();
        disk.file(name).flip(at as u64, 1 << (at % 8));
        let seen = follow_all(&disk);
        let what = format!("byte {at} of {name}");
        seen.check(model, &what);
        assert!(seen.records() == whole || !seen.damage.is_empty(), "{what}: {} of {whole}", seen.records());
    }
}

#[test]
fn a_flipped_byte_in_a_closed_log() {
    let subject = closed();
    flip_every_byte(&subject.disk, &subject.model, &in_log("00000001.seg"), 509);
    flip_every_byte(&subject.disk, &subject.model, &in_log("00000002.seg"), 509);
}

#[test]
fn a_flipped_byte_in_a_crashed_log() {
    let subject = crashed(true);
    let name = in_log("00000002.seg");
    let data = subject.disk.clone().file(&name).data.clone();
    let whole = follow_all(&subject.disk).records();
    for at in bytes_to_try(&data, 509) {
        let mut disk = subject.disk.clone();
        disk.file(&name).flip(at as u64, 1 << (at % 8));
        let seen = follow_all(&disk);
        seen.check(&subject.model, &format!("byte {at}"));
        // The mark itself may be what was spoilt: then the newest frame is not vouched for.
        let newest = subject.model.records() - whole + 5;
        assert!(
            seen.records() + newest >= whole || !seen.damage.is_empty(),
            "byte {at}: {} of {whole}",
            seen.records()
        );
    }
}

#[test]
fn another_log_under_the_cursor_is_noticed() {
    let fits = |disk: &Disk, cursor: Cursor| {
        let memory = Memory::of(disk.clone());
        let (mut backend, buffer) = memory.scan_buffer();
        follower(&memory, cursor).fits(&mut backend, &mut Some(buffer)).unwrap()
    };
    let subject = closed();
    let memory = Memory::of(subject.disk.clone());
    let mut end = follower(&memory, Cursor::default());
    advance(&memory, &mut end, u64::MAX, &mut Seen::default());
    let cursor = end.cursor();
    assert!(fits(&subject.disk, cursor) && fits(&subject.disk, Cursor::default()));
    let other = Cursor { body_crc: cursor.body_crc ^ 1, ..cursor };
    assert!(!fits(&subject.disk, other));
    // An older copy, and one that was written on from there.
    assert!(!fits(&crashed(true).disk, cursor));
    let mut cut = subject.disk.clone();
    cut.remove_file(&in_log("00000002.seg"));
    assert!(!fits(&cut, cursor));
}

#[test]
fn every_record_is_found_by_its_offset() {
    for subject in [closed(), crashed(true)] {
        let memory = Memory::of(subject.disk.clone());
        let (mut backend, buffer) = memory.scan_buffer();
        let mut buffer = Some(buffer);
        for (key, sent) in &subject.model.streams {
            for (offset, sent) in sent.iter().enumerate() {
                let name = RecordName { tenant: key.0, stream: key.1, offset: offset as u64 };
                let found = find_record(&mut backend, &mut buffer, 0, name, &mut |_| true).unwrap();
                let found = found.unwrap_or_else(|| panic!("{name:?}"));
                assert_eq!(found.position, sent.told.position);
                assert_eq!(found.link_before, subject.model.link(*key, offset), "{name:?}");
                assert_eq!(found.hashed[34..], sent.told.payload[..]);
                let none = find_record(&mut backend, &mut buffer, 0, name, &mut |_| false).unwrap();
                assert_eq!(none, None, "nothing else is there");
            }
            let name = RecordName { tenant: key.0, stream: key.1, offset: sent.len() as u64 };
            assert_eq!(find_record(&mut backend, &mut buffer, 0, name, &mut |_| true).unwrap(), None);
        }
    }
}
