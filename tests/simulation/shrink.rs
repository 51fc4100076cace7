//! Finds the fewest steps of a plan that fail still.

use fanfare::shards::simulation::Plan;

/// How many plans are tried at the most.
const TRIES: usize = 2_000;

/// Leaves out as many steps as it can (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002:
/// ever smaller parts, for as long as the rest fails).
pub(crate) fn shrink(plan: &Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let (mut least, mut tries) = (plan.clone(), 0);
    let mut part = least.steps.len() / 2;
    while part > 0 && tries < TRIES {
        let (mut start, before) = (0, least.steps.len());
        while start < least.steps.len() && tries < TRIES {
            let mut fewer = least.clone();
            fewer.steps.drain(start..(start + part).min(least.steps.len()));
            tries += 1;
            if fails(&fewer) {
                least = fewer;
            } else {
                start += part;
            }
        }
        if part > 1 {
            part = part.div_ceil(2);
        } else if least.steps.len() == before {
            part = 0;
        }
    }
    least
}

#[test]
fn only_the_steps_that_matter_are_left() {
    let plan = Plan::of_seed(1);
    assert!(plan.steps.len() > 20, "{}", plan.steps.len());
    let wanted = [plan.steps[3], plan.steps[17]];
    let least = shrink(&plan, |plan| wanted.iter().all(|step| plan.steps.contains(step)));
    assert_eq!(least.steps, wanted);
}
