//! Loads and backfills: `level/load/one.rs`, `level/remote/fill.rs`, `level/local/commit.rs`.

use super::super::plan::Plan;
use super::super::promises::Broken;
use super::super::state::{Entry, Load, State};
use super::super::weakness::Weakness;
use super::Step;

pub(super) fn steps(plan: &Plan, state: &State, n: usize, out: &mut Vec<Step>) {
    let node = &state.nodes[n];
    if node.l1.is_none() && node.loads.len() < usize::from(plan.reads[n]) {
        out.push(Step::Load(n));
    }
    out.extend((0..node.loads.len()).map(|at| Step::Store(n, at)));
}

pub(super) fn load(plan: &Plan, state: &mut State, n: usize) {
    let is_leased = state.nodes.iter().flat_map(|node| &node.loads).any(|load| load.lease);
    let node = &state.nodes[n];
    let reads_l2 = plan.has_l2 && (node.unconfirmed.is_none() || plan.weakness == Some(Weakness::ReadsUnconfirmedL2));
    let found = state.l2.filter(|_| reads_l2);
    let lease = reads_l2 && found.is_none() && !is_leased;
    let load = Load { version: found.unwrap_or(state.source), from_l2: found.is_some(), lease, valid: true };
    if load.version < node.floor {
        state.broken = Some(Broken::Answered);
    }
    state.node(n).loads.push(load);
}

pub(super) fn store(plan: &Plan, state: &mut State, n: usize, at: usize) {
    let load = state.node(n).loads.remove(at);
    if load.lease || (plan.weakness == Some(Weakness::FillsWithoutLease) && plan.has_l2 && !load.from_l2) {
        state.l2 = Some(load.version);
        state.end_leases();
    }
    let node = state.node(n);
    if load.valid || (load.from_l2 && plan.weakness == Some(Weakness::BackfillIgnoresFence)) {
        node.l1 = Some(Entry { version: load.version, short: node.short });
        if load.version < node.floor {
            state.broken = Some(Broken::Stored);
        }
    }
}
