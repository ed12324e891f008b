//! What must hold in every state.

use super::plan::Plan;
use super::state::{Ear, State};
use super::weakness::Weakness;

/// A promise that a step has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    /// A reader was answered something older than what its node had been told of.
    Answered,
    /// A load in progress over a purge stored what it had read.
    Stored,
    /// A call was acknowledged as told, and the bus had not taken it.
    Untold,
    /// A `set` was confirmed and lost, though nobody wrote after it.
    Lost,
}

/// (a) Once a node has heard of a write, or its loss has shown, it answers nothing older. While it hears nothing, nothing
/// older than `suspect_ttl`. What was lost before the first word of its sender shows once the node is settled.
pub(crate) fn nobody_answers_older(state: &State) -> bool {
    state.broken != Some(Broken::Answered)
        && state.nodes.iter().all(|node| node.l1.is_none_or(|entry| entry.version >= node.floor))
}

/// (b)
pub(crate) fn nothing_is_stored_over_a_purge(state: &State) -> bool {
    state.broken != Some(Broken::Stored)
}

/// (c) When nothing is on its way, both levels have the newest.
pub(crate) fn at_rest_nothing_is_old(plan: &Plan, state: &State) -> bool {
    !is_at_rest(plan, state)
        || (state.nodes.iter().all(|node| node.l1.is_none_or(|entry| entry.version == state.source))
            && state.l2.is_none_or(|version| version == state.source))
}

/// (d) A call that was told of is in a message that the bus has taken; one that was not is, in the end.
pub(crate) fn an_answer_says_what_was_told(plan: &Plan, state: &State) -> bool {
    state.broken != Some(Broken::Untold)
        && (!is_at_rest(plan, state) || state.nodes.iter().all(|node| node.taken >= node.owes))
}

/// (e)
pub(crate) fn no_confirmed_set_is_lost(state: &State) -> bool {
    state.broken != Some(Broken::Lost)
}

/// Nothing is in progress, on its way, or due.
pub(crate) fn is_at_rest(plan: &Plan, state: &State) -> bool {
    let hello = |n| plan.weakness != Some(Weakness::NoHello) && state.owes_hello(n);
    (0..2).all(|n| {
        let node = &state.nodes[n];
        node.loads.is_empty()
            && node.writes.is_empty()
            && node.unconfirmed.is_none()
            && node.ear == Ear::Hears
            && node.subscribed
            && node.is_settled
            && node.queue.is_empty()
            && node.publishing.is_none()
            && !node.outbox.has_work()
            && !hello(n)
    })
}
