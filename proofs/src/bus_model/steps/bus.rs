//! What the bus does by itself, and time.

use std::sync::Arc;

use bytes::Bytes;

use super::super::plan::Plan;
use super::super::state::{Ear, Item, State};
use super::super::weakness::Weakness;
use super::Step;

pub(super) fn steps(plan: &Plan, state: &State, n: usize, out: &mut Vec<Step>) {
    let (node, faults) = (&state.nodes[n], &state.faults);
    let is_message = |at: usize| matches!(node.queue.get(at), Some(Item::Message { .. }));
    if is_message(0) {
        out.extend((faults.losses > 0).then_some(Step::Lose(n)));
        out.extend((faults.damages > 0).then_some(Step::Damage(n)));
        out.extend((faults.swaps > 0 && is_message(1)).then_some(Step::Swap(n)));
    }
    if node.subscribed && faults.cuts > 0 {
        out.push(Step::Cut(n));
        out.extend((!node.queue.is_empty()).then_some(Step::Overflow(n)));
    }
    let asks_first = plan.weakness == Some(Weakness::ForgetsBeforeListening);
    match node.ear {
        _ if node.subscribed => {}
        Ear::Deaf if asks_first => out.push(Step::Ask(n)),
        Ear::Deaf | Ear::Asks => out.push(Step::Subscribe(n)),
        _ => {}
    }
}

pub(super) fn ask(state: &mut State, n: usize) {
    let node = state.node(n);
    node.ear = Ear::Asks;
    node.forget();
}

pub(super) fn swap(state: &mut State, n: usize) {
    state.faults.swaps -= 1;
    state.node(n).queue.swap(0, 1);
}

pub(super) fn lose(state: &mut State, n: usize) {
    state.faults.losses -= 1;
    state.node(n).queue.remove(0);
}

pub(super) fn damage(state: &mut State, n: usize) {
    state.faults.damages -= 1;
    if let Some(Item::Message { bytes, .. }) = state.node(n).queue.first_mut() {
        let damaged: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        *bytes = Bytes::from(damaged);
    }
}

/// The connection breaks. The node notices later.
pub(super) fn cut(state: &mut State, n: usize) {
    state.faults.cuts -= 1;
    let node = state.node(n);
    (node.subscribed, node.queue) = (false, vec![Item::Gap]);
}

pub(super) fn overflow(state: &mut State, n: usize) {
    state.faults.cuts -= 1;
    state.node(n).queue = vec![Item::Gap, Item::Listening(state.confirmed)];
}

pub(super) fn subscribe(state: &mut State, n: usize) {
    let confirmed = state.confirmed;
    let node = state.node(n);
    node.subscribed = true;
    node.queue.push(Item::Listening(confirmed));
}

fn is_deaf(ear: Ear) -> bool {
    matches!(ear, Ear::Deaf | Ear::Asks)
}

/// Loads are shorter than a tick, so the bound counts from their end.
pub(super) fn may_tick(state: &State) -> bool {
    let is_between = |ear| matches!(ear, Ear::Cut | Ear::Wakes);
    state.faults.ticks > 0
        && state.nodes.iter().any(|node| is_deaf(node.ear))
        && state.nodes.iter().all(|node| !is_between(node.ear) && (!is_deaf(node.ear) || node.loads.is_empty()))
}

pub(super) fn tick(state: &mut State) {
    state.faults.ticks -= 1;
    let confirmed = state.confirmed;
    for node in state.nodes.iter_mut().map(Arc::make_mut) {
        node.l1 = node.l1.filter(|entry| !entry.short);
        if is_deaf(node.ear) {
            node.raise_floor(confirmed);
        }
    }
}
