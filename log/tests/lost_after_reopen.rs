//! What was written is there after closing, and after crashing, as it was.

mod harness;

use harness::{Directory, Model, Place, open, payload};
use iobackend::Mode;

const CATALOG: (u64, u32) = (11, 0);
const KEYS: [(u64, u32); 5] = [CATALOG, (11, 1), (11, 2), (12, 0), (12, 7)];

fn write_some(session: &mut harness::Session<impl iobackend::IoBackend>, rounds: usize) {
    for round in 0..rounds {
        for (at, key) in KEYS.into_iter().enumerate() {
            let offset = session.model.streams.get(&key).map_or(0, Vec::len) as u64;
            let bytes = payload(key, offset, (round * 37 + at * 101) % 700);
            session.append(key, &bytes);
        }
        session.settle();
    }
}

fn written_closed_and_reopened(place: &impl Place) {
    let mut model = Model::default();
    for incarnation in 0..4 {
        let mut session = open(place, &model);
        session.check_recovered();
        assert_eq!(session.recovered.segments, incarnation);
        assert_eq!(session.recovered.scanned, 0, "a log that was closed is read by its footers");
        session.check_all();
        write_some(&mut session, 5);
        session.check_all();
        let base;
        (model, base) = session.close();
        place.write_manifest(base, true);
        let verified = place.verify();
        assert_eq!(verified.damage, []);
        assert_eq!((verified.torn, verified.records), (0, model.records() as u64));
    }
}

#[test]
fn closed_and_reopened_with_the_backend_that_this_machine_has() {
    written_closed_and_reopened(&Directory::on_disk(Mode::Auto));
}

#[test]
fn closed_and_reopened_with_the_synchronous_backend() {
    written_closed_and_reopened(&Directory::new(Mode::Sync));
}

fn crashed_and_reopened(place: &impl Place) {
    let mut model = Model::default();
    for incarnation in 0..4 {
        let mut session = open(place, &model);
        session.check_recovered();
        assert_eq!(session.recovered.segments, incarnation);
        session.check_all();
        write_some(&mut session, 5);
        if incarnation % 2 == 0 {
            session.quiet();
        }
        model = session.crash();
        let verified = place.verify();
        assert_eq!(verified.damage, []);
    }
}

#[test]
fn crashed_and_reopened_with_the_backend_that_this_machine_has() {
    crashed_and_reopened(&Directory::on_disk(Mode::Auto));
}

#[test]
fn crashed_and_reopened_with_the_synchronous_backend() {
    crashed_and_reopened(&Directory::new(Mode::Sync));
}
