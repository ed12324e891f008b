//! The task that listens: `level/bus/listen.rs` and `level/bus/apply.rs`, with `origins.rs` and `message.rs` as they ship.

use super::super::plan::Plan;
use super::super::state::{Ear, Item, KEY, Node, State, later, now};
use super::super::weakness::Weakness;
use super::Step;
use crate::level::bus::message::{Content, Message};
use crate::level::bus::origins::{Lost, Origins};

pub(super) fn steps(state: &State, n: usize, out: &mut Vec<Step>) {
    let node = &state.nodes[n];
    match node.ear {
        Ear::Cut | Ear::Wakes => out.push(Step::HearOn(n)),
        Ear::Hears if !node.is_settled && node.queue.is_empty() => out.push(Step::Settle(n)),
        _ if node.queue.is_empty() => {}
        Ear::Hears | Ear::Deaf | Ear::Asks => {
            out.push(Step::Hear(n));
            if state.faults.doubles > 0 && matches!(node.queue[0], Item::Message { .. }) {
                out.push(Step::HearTwice(n));
            }
        }
    }
}

/// The next event; `takes`: it doesn't come once more.
pub(super) fn hear(plan: &Plan, state: &mut State, n: usize, takes: bool) {
    let confirmed = state.confirmed;
    state.faults.doubles -= u8::from(!takes);
    let node = state.node(n);
    let item = if takes { node.queue.remove(0) } else { node.queue[0].clone() };
    match item {
        Item::Gap => {
            (node.origins, node.heard, node.first, node.ear) = (None, None, None, Ear::Cut);
            if plan.weakness == Some(Weakness::ForgetsBeforeShortening) {
                forget_at_gap(plan, node, confirmed);
            } else {
                shorten(plan, node);
            }
        }
        Item::Listening(then) => {
            (node.origins, node.ear) = (Some(Origins::new(now())), Ear::Wakes);
            (node.is_settled, node.unheard) = (false, 0);
            let forgets =
                !matches!(plan.weakness, Some(Weakness::ListeningForgetsNothing | Weakness::ForgetsBeforeListening));
            if forgets {
                node.forget();
            }
            node.raise_floor(then);
        }
        Item::Message { bytes, said, .. } => {
            if node.first.is_none() && !node.is_settled {
                node.unheard = said;
            }
            message(plan, node, &bytes);
            if node.is_settled || said > node.unheard {
                node.raise_floor(said);
            }
        }
    }
}

/// It has listened for so long that it has heard of all.
pub(super) fn settle(plan: &Plan, state: &mut State, n: usize) {
    let node = state.node(n);
    node.is_settled = true;
    let missed = node.origins.as_mut().is_some_and(|origins| origins.may_have_missed(later()));
    if missed && plan.weakness != Some(Weakness::EarlyLossIsNoGap) {
        node.forget();
    }
    node.raise_floor(node.unheard);
}

/// The second half of a gap, or of `Listening`.
pub(super) fn hear_on(plan: &Plan, state: &mut State, n: usize) {
    let confirmed = state.confirmed;
    let node = state.node(n);
    match node.ear {
        Ear::Cut => {
            node.ear = Ear::Deaf;
            if plan.weakness == Some(Weakness::ForgetsBeforeShortening) {
                shorten(plan, node);
            } else {
                forget_at_gap(plan, node, confirmed);
            }
        }
        Ear::Wakes => {
            node.ear = Ear::Hears;
            node.short = false;
            node.outbox.greet();
            node.greets = true;
        }
        Ear::Hears | Ear::Deaf | Ear::Asks => {}
    }
}

fn shorten(plan: &Plan, node: &mut Node) {
    node.short = plan.weakness != Some(Weakness::GapShortensNothing);
}

fn forget_at_gap(plan: &Plan, node: &mut Node, confirmed: u8) {
    match plan.weakness {
        Some(Weakness::GapForgetsNothing) => {}
        Some(Weakness::GapOvertakesWrites) => {
            node.forget();
            node.overtake_all();
        }
        _ => node.forget(),
    }
    node.raise_floor(confirmed);
}

fn message(plan: &Plan, node: &mut Node, bytes: &[u8]) {
    let Some(message) = Message::decode(bytes) else {
        if plan.weakness != Some(Weakness::UnreadableIsNoGap) {
            node.forget();
        }
        return;
    };
    let hello = message.content == Content::Hello;
    let now = if node.is_settled { later() } else { now() };
    let lost = node.origins.as_mut().and_then(|origins| origins.hear(message.origin, message.number, hello, now));
    node.heard = node.heard.max(Some(message.number));
    node.first.get_or_insert(message.number + u64::from(hello));
    let ignored = match lost {
        None => true,
        Some(Lost::Skipped) => plan.weakness == Some(Weakness::SkipIsNoGap),
        Some(Lost::Trailing) => plan.weakness == Some(Weakness::HelloIsNoGap),
        Some(Lost::Unheard) => plan.weakness == Some(Weakness::FirstHeardIsNoGap),
    };
    if !ignored {
        node.forget();
    }
    match message.content {
        Content::Hello => {}
        Content::Clear { .. } => node.forget(),
        Content::Keys(keys) if !keys.contains(&KEY) => {}
        Content::Keys(_) if plan.weakness == Some(Weakness::MessagePurgesWithoutFence) => node.l1 = None,
        Content::Keys(_) => node.purge(),
    }
}
