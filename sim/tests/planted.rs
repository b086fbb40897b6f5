//! Each place where a bug can be planted is come by: none rots behind a change of the code around it.

use planted::Bug;
use sim::{Plan, Scenario, run};

#[test]
fn every_place_of_a_bug_is_come_by() {
    let mut asked = [0; Bug::ALL.len()];
    let _before = planted::take_asked();
    for bug in Bug::ALL {
        let scenario = Scenario::of_name(bug.scenario()).expect("a scenario that there is");
        // Seeds enough that the rarest of faults strikes.
        for seed in 0..100 {
            if asked[bug as usize] > 0 {
                break;
            }
            let _run = run(&Plan::draw(seed, scenario), false);
            for (sum, count) in asked.iter_mut().zip(planted::take_asked()) {
                *sum += count;
            }
        }
    }
    let never: Vec<&str> = Bug::ALL.into_iter().filter(|bug| asked[*bug as usize] == 0).map(Bug::name).collect();
    assert!(never.is_empty(), "no run comes by the places of {never:?}");
}

/// That a nonce comes twice is seen for itself, and not only that sealing is not what the format says: an engine that leaves out the salt
/// opens all that it sealed.
#[test]
fn a_nonce_under_which_two_records_are_sealed_is_named() {
    let twice = |violation: &str| violation.starts_with("two records are sealed under the same key stream: ");
    assert!(shows(Bug::SealedWithoutSalt, &[Scenario::Crashes, Scenario::Copies], twice));
}

/// What a forger moves to another stream, or another place, is given there if only the key and the place are sealed, and not whose it is.
#[test]
fn what_a_forger_moves_is_given_where_it_was_moved_to_without_an_identity() {
    let moved =
        |violation: &str| violation.contains("has a record that was sent to") || violation.contains("which lies at");
    assert!(shows(Bug::IdentityNotSealed, &[Scenario::Rot], moved));
}

/// Whether some run with the bug has a violation of this sort.
fn shows(bug: Bug, scenarios: &[Scenario], sort: impl Fn(&str) -> bool) -> bool {
    planted::plant(Some(bug));
    let plans = scenarios.iter().flat_map(|scenario| (0..200).map(|seed| Plan::draw(seed, *scenario)));
    let shown = plans.into_iter().any(|plan| run(&plan, false).violations.iter().any(|violation| sort(violation)));
    planted::plant(None);
    shown
}
