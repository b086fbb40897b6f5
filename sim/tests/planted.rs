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
