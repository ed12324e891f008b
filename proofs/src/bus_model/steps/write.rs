//! Writes: `level/write/delete.rs`, `level/write/set.rs`, `level/remote/bypass.rs`, `level/bus/announce.rs`.

use super::super::plan::{Kind, Plan};
use super::super::promises::Broken;
use super::super::state::{Entry, KEY, OTHER_KEY, Overtaken, Stage, State, Write, room};
use super::super::weakness::Weakness;
use super::Step;
use super::publish::acknowledge;
use crate::level::bus::pending::{Clear, News};

pub(super) fn steps(plan: &Plan, state: &State, n: usize, out: &mut Vec<Step>) {
    let node = &state.nodes[n];
    if usize::from(node.called) < plan.writes[n].len() {
        out.push(Step::Call(n));
    }
    for (at, _) in node.writes.iter().enumerate().filter(|(_, write)| write.stage == Stage::Called) {
        out.push(Step::Turn(n, at, true));
        if state.faults.l2 > 0 {
            out.push(Step::Turn(n, at, false));
        }
    }
    if node.unconfirmed.is_some() {
        out.push(Step::Recover(n));
    }
}

/// What happens before the call returns.
pub(super) fn call(plan: &Plan, state: &mut State, n: usize) {
    if plan.writes[n][usize::from(state.nodes[n].called)] == Kind::Other {
        state.node(n).called += 1;
        return put(plan, state, n, 0, News::Keys(vec![OTHER_KEY.into()]), None);
    }
    state.source += 1;
    let version = state.source;
    let node = state.node(n);
    let kind = plan.writes[n][usize::from(node.called)];
    node.called += 1;
    match kind {
        Kind::Clear => node.forget(),
        Kind::Del | Kind::Set | Kind::Other => node.purge(),
    }
    let stage = if plan.has_l2 { Stage::Called } else { Stage::Telling };
    let confirmed = if plan.has_l2 { 0 } else { version };
    node.writes.push(Write { kind, version, stage, valid: true, overtaken: Overtaken::No, confirmed });
    if plan.has_l2 {
        if plan.weakness == Some(Weakness::TellsBeforeL2) {
            put(plan, state, n, version, News::Keys(vec![KEY.into()]), None);
        }
        return;
    }
    if kind == Kind::Set {
        node.l1 = Some(Entry { version, short: node.short });
    }
    node.raise_floor(version);
    state.confirmed = version;
    let news = if kind == Kind::Clear { News::Clear(Clear::AlsoL2) } else { News::Keys(vec![KEY.into()]) };
    put(plan, state, n, version, news, Some(version));
}

/// From the turn in L2 to the news. No two writes of a node have their turns at once.
pub(super) fn turn(plan: &Plan, state: &mut State, n: usize, at: usize, confirms: bool) {
    let write = state.nodes[n].writes[at];
    if write.kind == Kind::Set && write.overtaken != Overtaken::No {
        if write.overtaken == Overtaken::ByGap && at + 1 == state.nodes[n].writes.len() {
            state.broken = Some(Broken::Lost);
        }
    } else if confirms {
        state.l2 = (write.kind == Kind::Set).then_some(write.version);
        state.confirmed = state.confirmed.max(write.version);
        state.end_leases();
        let node = state.node(n);
        node.writes[at].confirmed = write.version;
        node.unconfirmed = None;
        let second = plan.weakness != Some(Weakness::PurgesOnce);
        match write.kind {
            Kind::Set => {
                node.purge();
                node.l1 = write.valid.then_some(Entry { version: write.version, short: node.short });
            }
            _ if second => node.purge(),
            _ => {}
        }
    } else {
        state.faults.l2 -= 1;
        let node = state.node(n);
        node.unconfirmed = node.unconfirmed.max(Some(write.version));
        node.purge();
    }
    let node = state.node(n);
    if write.overtaken == Overtaken::No {
        node.raise_floor(write.version);
        node.writes[..at].iter_mut().for_each(|earlier| earlier.overtaken = Overtaken::ByWrite);
    }
    node.writes[at].stage = Stage::Telling;
    let confirmed = node.writes[at].confirmed;
    if plan.weakness == Some(Weakness::TellsBeforeL2) {
        acknowledge(plan, state, n, write.version, true);
    } else {
        put(plan, state, n, confirmed, News::Keys(vec![KEY.into()]), Some(write.version));
    }
}

/// The delete that was sent again is confirmed.
pub(super) fn recover(plan: &Plan, state: &mut State, n: usize) {
    let Some(version) = state.node(n).unconfirmed.take() else { return };
    state.l2 = None;
    state.confirmed = state.confirmed.max(version);
    state.end_leases();
    if plan.weakness != Some(Weakness::LateConfirmUntold) {
        put(plan, state, n, version, News::Keys(vec![KEY.into()]), None);
    }
}

/// Into the outbox: news that tell of this version.
fn put(plan: &Plan, state: &mut State, n: usize, version: u8, news: News, call: Option<u8>) {
    let node = state.node(n);
    node.owes = node.owes.max(version);
    if plan.weakness == Some(Weakness::JoinsMessageOnItsWay) && node.publishing.is_some_and(|it| !it.again) {
        node.outbox.sending.waits.extend(call);
        return;
    }
    node.fresh = node.fresh.max(version);
    node.outbox.put(news, room(), call);
}
