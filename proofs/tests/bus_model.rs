//! The protocol between nodes keeps its promises in all states of small plans, and would not without any of its rules.
//!
//! Without optimization that takes minutes, so only the first states are looked at; `scripts/test.sh` looks at all.

use std::collections::BTreeSet;

use accelerator_proofs::bus_model::{Size, Weakness, explore, plans};

const FIRST_STATES: Option<usize> = if cfg!(debug_assertions) { Some(2_000) } else { None };

#[test]
fn no_promise_is_broken_in_any_state() {
    let mut states = 0;
    for plan in plans(Size::Small) {
        let seen = explore(&plan, FIRST_STATES);
        println!("{}: {} states, up to {} steps", plan.name, seen.states, seen.depth);
        if let Some(by) = seen.refuted {
            panic!("{}: {}\n{}", plan.name, by.promise, by.trace.join("\n"));
        }
        assert!(FIRST_STATES.is_some() || seen.comes_to_rest, "{}: nothing comes to rest", plan.name);
        states += seen.states;
    }
    println!("states={states}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without optimization")]
fn without_any_of_its_rules_a_promise_is_broken() {
    let mut promises = BTreeSet::new();
    for weakness in Weakness::ALL {
        let plan = plans(Size::Small).into_iter().find(|plan| plan.name == weakness.plan()).expect("a plan");
        let seen = explore(&plan.without(weakness), None);
        let by = seen.refuted.unwrap_or_else(|| panic!("{weakness:?} survives {} states", seen.states));
        println!("{weakness:?}: {} after {} steps", by.promise, by.trace.len());
        promises.insert(by.promise);
    }
    assert!(promises.len() >= 4, "only these were ever broken: {promises:?}");
}
