//! A log that falls quiet says once, in a mark frame, how far it is durable; and then is quiet.

mod harness;

use diatreme_log::Wish;
use harness::{Directory, Model, Place, open};
use iobackend::Mode;

/// The mark frame is the one frame without records. Closing it asked the hash for the links of no records at all,
/// which panics: the first pause of any log would have ended its shard.
#[test]
fn one_mark_frame_and_only_one() {
    let place = Directory::new(Mode::Sync);
    let mut session = open(&place, &Model::default());
    session.quiet();
    assert_eq!(session.log.stats().marks, 0, "nothing was written, so nothing is to be covered");
    session.append((1, 1), b"record");
    session.settle();
    assert!(session.log.mark_at().is_some_and(|at| at > session.now), "not at once: the next request may be near");
    session.quiet();
    assert_eq!(session.log.stats().marks, 1);
    for _ in 0..100 {
        session.now += 1_000_000_000;
        session.turn();
    }
    assert_eq!(session.log.stats().marks, 1, "a mark needs no mark");
    assert_eq!(session.log.mark_at(), None);
    session.append((1, 1), b"another");
    session.settle();
    session.quiet();
    assert_eq!((session.log.stats().marks, session.log.stats().frames), (2, 2));
    let model = session.crash();
    let session = open(&place, &model);
    session.check_recovered();
    assert_eq!(place.verify().damage, []);
}

/// Without flushes there is nothing that a mark could say.
#[test]
fn no_mark_without_durability() {
    let place = Directory::new(Mode::Sync);
    let mut session = open(&place, &Model::default());
    session.wish = Some(Wish::Nothing);
    session.append((1, 1), b"record");
    session.write_out();
    assert_eq!(session.log.mark_at(), None);
    session.check_all();
    let (model, base) = session.close();
    place.write_manifest(base, true);
    let mut session = open(&place, &model);
    session.check_recovered();
    session.check_all();
}
