//! The task that publishes: `level/bus/publish.rs`, around the outbox as it ships.

use super::super::plan::Plan;
use super::super::promises::Broken;
use super::super::state::{AREA, Item, KEY, Node, Publishing, State, now, room, what};
use super::super::weakness::Weakness;
use super::{Fate, Step};
use crate::error::StoreErrorKind;
use crate::level::bus::message::{Content, Message};
use crate::level::bus::outbox::{Job, What};

pub(super) fn steps(plan: &Plan, state: &State, n: usize, out: &mut Vec<Step>) {
    let node = &state.nodes[n];
    if node.publishing.is_some() {
        out.push(Step::Answer(n));
        return;
    }
    if node.outbox.has_work() {
        out.push(Step::Publish(n, Fate::Taken));
        // A hello that is not taken is one that is lost.
        if state.faults.refusals > 0 && (!node.outbox.fresh.pending.is_empty() || !node.outbox.failed.is_empty()) {
            out.extend([Step::Publish(n, Fate::Refused), Step::Publish(n, Fate::Doubtful)]);
        }
    } else if plan.weakness != Some(Weakness::NoHello) && state.owes_hello(n) {
        out.push(Step::Hello(n));
    }
}

/// The time of a hello has come.
pub(super) fn hello(plan: &Plan, state: &mut State, n: usize) {
    let outbox = &mut state.node(n).outbox;
    let due = outbox.hello_at().unwrap_or_else(now);
    outbox.is_hello_due(due);
    publish(plan, state, n, Fate::Taken);
}

pub(super) fn publish(plan: &Plan, state: &mut State, n: usize, fate: Fate) {
    let node = state.node(n);
    let mut idle = Vec::new();
    let job = node.outbox.next(now(), room(), |call| idle.push(call));
    match job {
        Job::Tell => {
            node.sending = std::mem::take(&mut node.fresh);
            send(state, n, What::Sending, fate);
        }
        Job::TellAgain => send(state, n, What::Failed, fate),
        Job::Hello => {
            state.node(n).greets = false;
            send(state, n, What::Hello, fate);
        }
        Job::Wait(_) | Job::Nothing => {}
    }
    idle.into_iter().for_each(|call| acknowledge(plan, state, n, call, true));
}

fn send(state: &mut State, n: usize, what: What, fate: Fate) {
    let node = state.node(n);
    let told = match what {
        What::Sending => node.sending,
        What::Failed => node.failed,
        What::Hello => 0,
    };
    let (mut number, again, mut says_it) = (0, node.again, false);
    let message = node.outbox.next_message(what, room(), now(), |used, content| {
        number = used;
        says_it = match &content {
            Content::Keys(keys) => keys.contains(&KEY),
            Content::Clear { .. } => true,
            Content::Hello => false,
        };
        Message { origin: n as u64, number: used - again, sent_at: 0, area: AREA, content }.encode()
    });
    let Some((bytes, _)) = message else { return };
    let told = if says_it { told } else { 0 };
    node.number = number;
    node.said = node.said.max(told);
    let (number, said) = (number - again, node.said);
    if fate != Fate::Refused {
        node.taken = node.taken.max(told);
    }
    if what != What::Hello {
        node.publishing = Some(Publishing { again: what == What::Failed, taken: fate == Fate::Taken });
    }
    let other = state.node(1 - n);
    if fate != Fate::Refused && other.subscribed {
        other.queue.push(Item::Message { bytes, number, said });
    }
    if fate != Fate::Taken {
        state.faults.refusals -= 1;
    }
}

/// As `Publishing::tell` and `Publishing::tell_again` after the answer.
pub(super) fn answer(plan: &Plan, state: &mut State, n: usize) {
    let node = state.node(n);
    let Some(Publishing { again, taken }) = node.publishing.take() else { return };
    if !taken && plan.weakness == Some(Weakness::NumberAgain) {
        node.again += 1;
    }
    let waits = match (what(again), taken) {
        (What::Failed, true) => {
            node.outbox.failed.told(room());
            node.failed = if node.outbox.failed.is_empty() { 0 } else { node.failed };
            return;
        }
        (What::Failed, false) => {
            node.outbox.again_at = Some(now());
            return;
        }
        (_, true) => {
            node.outbox.sending.pending.told(room());
            if !node.outbox.sending.pending.is_empty() {
                // One key is never two messages.
                return;
            }
            node.outbox.all_taken()
        }
        (_, false) => not_taken(plan, node),
    };
    node.sending = 0;
    let taken = taken || plan.weakness == Some(Weakness::FailureIsConfirmed);
    waits.into_iter().for_each(|call| acknowledge(plan, state, n, call, taken));
}

fn not_taken(plan: &Plan, node: &mut Node) -> Vec<u8> {
    let lacks_room = !node.outbox.failed.is_empty() && plan.is_full;
    let forgets = match plan.weakness {
        Some(Weakness::FailedIsForgotten) => true,
        Some(Weakness::OverflowIsForgotten) => lacks_room,
        _ => false,
    };
    if forgets {
        node.outbox.sending.pending.take();
    } else {
        node.failed = node.failed.max(node.sending);
    }
    node.outbox.not_taken(StoreErrorKind::Timeout, now(), room())
}

/// The call's future ends.
pub(super) fn acknowledge(plan: &Plan, state: &mut State, n: usize, call: u8, told: bool) {
    let node = state.node(n);
    let Some(at) = node.writes.iter().position(|write| write.version == call) else { return };
    let write = node.writes.remove(at);
    let early = plan.weakness == Some(Weakness::TellsBeforeL2);
    if told && !early && node.taken < write.confirmed {
        state.broken = Some(Broken::Untold);
    }
}
